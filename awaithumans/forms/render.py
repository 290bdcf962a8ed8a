"""What a page draws for each field of a form, as one control or in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from awaithumans.forms.controls import Control, Entry, Parts, between, control_of, display_of, texts_in, walk
from awaithumans.forms.definition import FormDefinition, SectionCollapse
from awaithumans.forms.infer import form_for
from awaithumans.forms.nodes import (
    KEY,
    MARK,
    MAX_ROWS,
    VALUE,
    Composed,
    Group,
    Leaf,
    Node,
    OneOf,
    Rows,
    is_shown,
    nodes_of,
    whole_node,
)
from awaithumans.forms.posting import ABSENT, HERE, KEY_NODE, NOTHING, Filled, fill, fill_anew
from awaithumans.forms.shape import shapes
from awaithumans.forms.values import Typed
from awaithumans.forms.widgets import WHOLE_FIELD, asks_whole, laid_out
from awaithumans.types import JsonObject
from awaithumans.words import joined, placed, words


def render_fields(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    values: Mapping[str, object],
    errors: Mapping[str, str],
) -> list[Control]:
    """List what to draw, in order; the fields of a section follow it.

    `values` is a response, or the `typed` of a refused submission. A field
    without a value starts with its default. Errors inside a field's value
    ("items.0.amount") are shown at the field, and at the part that has them.
    """
    shown = form_for(form, response_schema)
    if asks_whole(shown, response_schema):
        return [_whole(whole_node(response_schema), values, errors)]
    nodes = nodes_of(shown, response_schema)
    drawn = [_field(node, f"field-{number}", values, errors) for number, node in enumerate(nodes, start=1)]
    return [_holding(control, node, response_schema) for control, node in zip(drawn, nodes, strict=True)]


def _holding(control: Control, node: Node, schema: JsonObject) -> Control:
    """Count what is in a section."""
    if not isinstance(node.field, SectionCollapse) or not is_shown(node):
        return control
    inside = laid_out(FormDefinition(fields=node.field.fields), shapes(schema))
    return replace(control, within=len(list(inside)))


def _whole(node: Node, values: Mapping[str, object], errors: Mapping[str, str]) -> Control:
    name = WHOLE_FIELD.name
    typed = any(isinstance(value, Typed) for value in values.values())
    below = {path if path == name else f"{name}.{path}".rstrip("."): text for path, text in errors.items()}
    drawn = _field(node, "field-1", values if typed else {name: dict(values)}, below)
    parts = drawn.parts if values else _field(node, "field-1", {}, below).parts
    error = _joined({"" if path == name else path: text for path, text in errors.items()})
    return replace(drawn, parts=parts, hint="" if parts else drawn.hint, error=error)


def _field(node: Node, at: str, values: Mapping[str, object], errors: Mapping[str, str]) -> Control:
    one, name = node.field, node.field.name
    if is_shown(node):
        return display_of(one, at)
    widget = node.widget if isinstance(node, Leaf) else "json"
    texts = () if f"{name}.{MARK}" in values else texts_in(one, node.shape, widget, values)
    control = control_of(one, node.shape, widget, texts, name=name, at=at, error=_error(name, errors))
    filled = None if isinstance(node, Leaf) else _filling(node, values)
    if isinstance(node, Leaf) or filled is None:
        return control
    return replace(control, parts=_Drawing(filled, errors).parts(node, _Place(name, name, at)))


def _filling(node: Composed, values: Mapping[str, object]) -> Filled | None:
    """Give what the parts hold; None where they are asked for as one."""
    name = node.field.name
    if f"{name}.{MARK}" in values:
        return {key: texts for key, texts in values.items() if isinstance(texts, Typed)}
    return None if isinstance(values.get(name), Typed) else fill(node, values.get(name, ABSENT))


# ── Parts ─────────────────────────────────────────────────────────────────────


class _Place(NamedTuple):
    """Where a part stands: its name when posted, its path in the answer, its element on the page."""

    name: str
    path: str
    at: str

    def inside(self, step: str, number: int | str, *, path: str | None = None) -> _Place:
        return _Place(f"{self.name}.{step}", f"{self.path}.{step}" if path is None else path, f"{self.at}-{number}")

    @property
    def mark(self) -> str:
        return f"{self.name}.{MARK}"


class _Drawing:
    """Draws the parts of one field as they are filled in, with their errors."""

    def __init__(self, filled: Filled, errors: Mapping[str, str]) -> None:
        self._filled = filled
        self._errors = errors

    def parts(self, node: Composed, place: _Place) -> Parts:
        """Draw what a node is made of."""
        known = self._filled if place.mark in self._filled else fill_anew(node, place.name)
        marks = [text for text in known[place.mark] if text]
        match node:
            case Group():
                drawn = self._group(node, place, marks)
            case Rows():
                drawn = self._rows(node, place, marks)
            case OneOf():
                drawn = self._choice(node, place, marks)
        return replace(drawn, error=self._errors.get(place.path) or _joined(self._loose(place.path, drawn)))

    def _control(self, node: Node, place: _Place) -> Control:
        one, shape = node.field, node.shape
        if is_shown(node):
            return _holding(display_of(one, place.at), node, {})
        error = _error(place.path, self._errors)
        if not isinstance(node, Leaf):
            shell = control_of(one, shape, "json", (), name=place.name, at=place.at, error=error)
            return replace(shell, parts=self.parts(node, place))
        texts = self._filled.get(place.name)
        texts = texts_in(one, shape, node.widget, {}) if texts is None else texts
        return control_of(one, shape, node.widget, texts, name=place.name, at=place.at, error=error)

    def _inside(self, node: Node, place: _Place) -> tuple[Control, ...]:
        """Draw an entry: what has names stands in it without a frame of its own."""
        if not isinstance(node, Group) or node.optional:
            return (self._control(node, place),)
        parts = enumerate(node.parts.items(), start=1)
        return tuple(self._control(part, place.inside(key, number)) for number, (key, part) in parts)

    def _group(self, node: Group, place: _Place, marks: Sequence[str]) -> Parts:
        if node.optional and HERE not in marks:
            return Parts(kind="group", mark=place.mark, add=words("Add"))
        controls = self._inside(replace(node, optional=False), place)
        entry = Entry(HERE, "", chosen=True, remove=words("Remove") if node.optional else "", controls=controls)
        return Parts(kind="group", mark=place.mark, entries=(entry,))

    def _rows(self, node: Rows, place: _Place, marks: Sequence[str]) -> Parts:
        one = node.entry() if marks else None
        rows = [
            Entry(number, f"{at + 1}", chosen=True, remove=node.remove, controls=row)
            for at, number in enumerate(marks)
            for row in [self._row(node, cast("Node", one), place.inside(number, number, path=f"{place.path}.{at}"))]
        ]
        most = str(node.extent.most) if node.extent.most < MAX_ROWS else ""
        return Parts(
            kind="rows",
            mark=place.mark,
            entries=tuple(rows),
            add=node.add if len(rows) < node.extent.most else "",
            limits=between(str(node.extent.least or ""), most) if node.add else "",
        )

    def _row(self, node: Rows, entry: Node, place: _Place) -> tuple[Control, ...]:
        if not node.keyed:
            return self._inside(entry, place)
        number = place.name.rpartition(".")[2]
        rows = place.path.rpartition(".")[0]
        key = place.inside(KEY, 1, path=f"{rows}.{KEY}{number}")
        value = place.inside(VALUE, 2, path=f"{rows}.{MARK}{number}")
        return self._control(KEY_NODE, key), self._control(entry, value)

    def _choice(self, node: OneOf, place: _Place, marks: Sequence[str]) -> Parts:
        entries: list[Entry] = []
        for number, (label, choice) in enumerate(node.choices):
            chosen = list(marks) == [str(number)]
            drawing = self if chosen else _Drawing(self._filled, {})
            controls = drawing._inside(choice, place.inside(f"{MARK}{number}", number, path=place.path))  # noqa: SLF001
            entries.append(Entry(str(number), label, chosen, "", controls))
        nothing = [Entry(NOTHING, words("None"), list(marks) == [NOTHING], "", ())] if node.none else []
        return Parts(kind="choice", mark=place.mark, entries=(*entries, *nothing))

    def _loose(self, path: str, parts: Parts) -> dict[str, str]:
        """Give the errors below a path that none of the parts shows."""
        shown = [text for one in walk(parts) if (text := one.parts.error if one.parts else one.error)]
        below = _below(path, self._errors)
        return {one: text for one, text in below.items() if not any(text in error for error in shown)}


# ── Errors ────────────────────────────────────────────────────────────────────


def _error(path: str, errors: Mapping[str, str]) -> str:
    return errors.get(path) or _joined(_below(path, errors))


def _below(path: str, errors: Mapping[str, str]) -> dict[str, str]:
    return {one.removeprefix(f"{path}."): text for one, text in errors.items() if one.startswith(f"{path}.")}


def _joined(errors: Mapping[str, str]) -> str:
    return joined("; ", (placed(path, fault) for path, fault in errors.items()))
