"""What a person filled in, and the response it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from awaithumans import schemas
from awaithumans.forms.constraints import validate_response
from awaithumans.forms.definition import FormDefinition, FormField
from awaithumans.forms.infer import form_for
from awaithumans.forms.shape import ANYTHING, Shape, shapes
from awaithumans.forms.values import Typed, UnreadableError, is_blank, preset, read, reread
from awaithumans.forms.widgets import WHOLE_FIELD, Widget, asks_whole, laid_out
from awaithumans.types import JsonObject, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A form that was sent in."""

    value: JsonObject
    """The response it makes, fit to be an answer if there are no `errors`."""
    errors: Mapping[str, str]
    """What is wrong, by dotted path."""
    typed: Mapping[str, Typed]
    """What stood in each control, so that a refused form comes back as it was filled in."""


_ABSENT = object()
_BLANK: tuple[object, ...] = (None, "", [], {})


def parse(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    submitted: Mapping[str, Sequence[str]],
    start: Mapping[str, object] | None = None,
) -> Submission:
    """Turn the values of an HTML form's controls into a response.

    Each control is read as what its field and the response schema say it is,
    and what cannot be read without guessing is an error of its field. A blank
    field that is not required is left out, unless the schema needs it: then it
    is the schema's default, or null. Names that the form does not have are
    ignored. A date or time that came back as it was drawn for `start`, the
    values the form began with, is the very value. The whole is then checked as `validate_response` does.
    """
    shown = form_for(form, response_schema)
    if asks_whole(shown, response_schema):
        return _whole(response_schema, submitted)
    value: dict[str, object] = {}
    errors: dict[str, str] = {}
    asked = [each for each in laid_out(shown, shapes(response_schema)) if each[2] != "display"]
    typed = {field.name: Typed(submitted.get(field.name, ())) for field, _, _ in asked}
    for field, shape, widget in asked:
        try:
            part = _part(field, shape, widget, typed[field.name], (start or {}).get(field.name, preset(field, shape)))
        except UnreadableError as fault:
            errors[field.name] = str(fault)
        else:
            value |= {} if part is _ABSENT else {field.name: part}
    faults = validate_response(shown, response_schema, value)
    return Submission(value=value, errors={**faults, **errors}, typed=typed)


def prefilled(task: Task) -> tuple[Mapping[str, object], Mapping[str, str]]:
    """Return what a task's form starts with: the refused answer, or what the agent gave.

    That is the values, and messages at them.
    """
    if task.refused and task.answer is not None and task.answer.text is None:
        return task.answer.value, {}
    return task.spec.initial_response or {}, task.spec.initial_errors


def _part(field: FormField, shape: Shape, widget: Widget, typed: Typed, start: object) -> object:
    if not is_blank(widget, typed, field):
        return reread(widget, typed, field, shape, start)
    if widget == "checkboxes":
        return [] if field.required or shape.needed or preset(field, shape) else _ABSENT
    if field.required:
        raise UnreadableError("choose one" if widget in {"switch", "radio", "select"} else "is required")
    return _cleared(shape) if typed and shape.default not in _BLANK else _left_out(shape)


def _cleared(shape: Shape) -> object:
    """Give the value of a control whose default was taken away."""
    if shape.nullable:
        return None
    if shape.text and shape.members is None:
        return ""
    raise UnreadableError("is required")


def _left_out(shape: Shape) -> object:
    if not shape.needed:
        return _ABSENT
    if shape.defaulted:
        return shape.default
    return None if shape.nullable else _ABSENT


def _whole(schema: JsonObject, submitted: Mapping[str, Sequence[str]]) -> Submission:
    name = WHOLE_FIELD.name
    typed = {name: Typed(submitted.get(name, ()))}
    try:
        value = read("json", typed[name], WHOLE_FIELD, ANYTHING)
    except UnreadableError as fault:
        return Submission(value={}, errors={name: str(fault)}, typed=typed)
    if not isinstance(value, dict):
        return Submission(value={}, errors={name: "must be an object, in { }"}, typed=typed)
    errors = {path or name: message for path, message in schemas.validate(schema, cast("object", value)).items()}
    return Submission(value=cast("JsonObject", value), errors=errors, typed=typed)
