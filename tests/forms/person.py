"""Somebody who fills in a page's form: sees controls, presses buttons, and posts what stands in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel

from awaithumans.forms import Control, Entry, Submission, edited, form_from_model, parse, render_fields

Posted = dict[str, list[str]]


def as_posted(controls: Sequence[Control]) -> Posted:
    """Give what a browser posts of the page, drawn in parts."""
    posted: Posted = {}
    for name, text in _successful(controls):
        posted.setdefault(name, []).append(text)
    return posted


def _successful(controls: Sequence[Control]) -> Iterator[tuple[str, str]]:
    for control in controls:
        if control.parts:
            yield control.parts.mark, ""
            for entry in control.parts.entries:
                if entry.chosen:
                    yield control.parts.mark, entry.value
                yield from _successful(entry.controls)
        elif control.widget in {"switch", "radio", "checkboxes"}:
            yield from ((control.name, text) for text in control.values)
        elif control.widget != "display":
            for text in control.values or [""]:
                yield control.name, text.replace("\r\n", "\n").replace("\n", "\r\n")


class Person:
    """Fills in the form of a response schema, from blank, as one who sees only the page."""

    def __init__(self, schema: Mapping[str, object], form: Mapping[str, object] | None = None) -> None:
        self._schema = dict(schema)
        self._form = None if form is None else dict(form)
        self._posted = as_posted(render_fields(self._form, self._schema, {}, {}))

    @classmethod
    def before(cls, model: type[BaseModel], *, sent: bool) -> Person:
        """Sit before the form that the model made, or the one that its JSON Schema implies."""
        return cls(model.model_json_schema(), form_from_model(model) if sent else None)

    def sends(self) -> Submission:
        return parse(self._form, self._schema, self._posted)

    def answers(self, answer: BaseModel) -> Submission:
        """Answer with what a model has."""
        for control in self._drawn():
            self._gives(control.name, getattr(answer, control.name))
        return self.sends()

    def _drawn(self) -> list[Control]:
        typed = parse(self._form, self._schema, self._posted).typed
        return render_fields(self._form, self._schema, typed, {})

    def _sees(self, name: str) -> Control:
        return next(control for control in _all(self._drawn()) if control.name == name)

    def _presses(self, **button: str) -> None:
        typed = edited(self._form, self._schema, self._posted, **button)
        self._posted = as_posted(render_fields(self._form, self._schema, typed, {}))

    def _gives(self, name: str, value: object) -> None:
        control = self._sees(name)
        if control.parts is None:
            self._posted[name] = list(_texts(control, value))
        elif control.parts.kind == "choice":
            self._chooses(control, value)
        elif control.parts.kind == "group":
            self._fills_group(control, value)
        else:
            self._fills_rows(control, value)

    def _fills_group(self, control: Control, value: object) -> None:
        assert control.parts
        if value is None:
            assert control.parts.add, f"{control.name} cannot be left out"
            return
        if not control.parts.entries:
            self._presses(add=control.name)
        self._fills_entry(_parts(self._sees(control.name))[0], value)

    def _fills_rows(self, control: Control, value: object) -> None:
        entries = [] if value is None else [*value.items()] if isinstance(value, dict) else list(cast("Any", value))
        while len(_parts(self._sees(control.name))) < len(entries):
            self._presses(add=control.name)
        for entry, one in zip(_parts(self._sees(control.name)), entries, strict=True):
            self._fills_entry(entry, one)

    def _chooses(self, control: Control, value: object) -> None:
        assert control.parts
        wanted = _word(value)
        named = {one.label: one for one in control.parts.entries}
        entry = named.get(wanted) or next(one for label, one in named.items() if label != "None")
        self._posted[control.parts.mark] = ["", entry.value]
        if entry.controls:
            self._fills_entry(entry, value)

    def _fills_entry(self, entry: Entry, value: object) -> None:
        if isinstance(value, tuple):
            for control, one in zip(entry.controls, value, strict=True):
                self._gives(control.name, one)
        elif isinstance(value, BaseModel) and not (len(entry.controls) == 1 and entry.controls[0].parts):
            for control in entry.controls:
                self._gives(control.name, getattr(value, control.name.rpartition(".")[2]))
        elif isinstance(value, BaseModel) and self._is_member(entry.controls[0], value):
            self._gives(entry.controls[0].name, getattr(value, entry.controls[0].name.rpartition(".")[2]))
        else:
            (control,) = entry.controls
            self._gives(control.name, value)

    def _is_member(self, control: Control, value: BaseModel) -> bool:
        return control.name.rpartition(".")[2] in type(value).model_fields


def _parts(control: Control) -> Sequence[Entry]:
    assert control.parts
    return control.parts.entries


def _all(controls: Sequence[Control]) -> Iterator[Control]:
    for control in controls:
        yield control
        for entry in control.parts.entries if control.parts else ():
            yield from _all(entry.controls)


def _word(value: object) -> str:
    """Say which of several a value is, as the page does."""
    words = {int: "Whole number", str: "Text", type(None): "None"}
    return words.get(type(value), type(value).__name__)


def _texts(control: Control, value: object) -> Iterator[str]:
    """Give what somebody types or chooses for a value."""
    if control.widget == "json":
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        yield json.dumps(plain, default=_plain)
    elif control.widget == "checkboxes":
        for one in cast("list[object]", value or []):
            yield from _option(control, one)
    elif value is None:
        yield from () if control.options else ("",)
    elif control.options:
        yield from _option(control, value)
    else:
        yield _typed(value).replace("\n", "\r\n")


def _option(control: Control, value: object) -> Iterator[str]:
    text = str(value).lower() if control.widget == "switch" else str(value.value if isinstance(value, Enum) else value)
    assert text in {option.value for option in control.options}
    yield text


def _typed(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value.value if isinstance(value, Enum) else _typed(value)
