"""What a person filled in, and the response it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from awaithumans import schemas
from awaithumans.forms.constraints import validate_response
from awaithumans.forms.definition import FormDefinition, FormField, MultiSelect, PictureChoice, Switch
from awaithumans.forms.infer import form_for
from awaithumans.forms.shape import ANYTHING, Shape, shapes
from awaithumans.forms.values import UnreadableError, is_blank, read
from awaithumans.forms.widgets import WHOLE, Widget, laid_out
from awaithumans.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A form that was sent in.

    `value` is the response it makes, fit to be an answer if there are no
    `errors` (dotted path to message). `typed` is what stood in each control,
    so that a refused form comes back as it was filled in.
    """

    value: JsonObject
    errors: Mapping[str, str]
    typed: Mapping[str, Sequence[str]]


class _Absent:
    """Stands for a property that the response leaves out."""


_ABSENT = _Absent()


def parse(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    submitted: Mapping[str, Sequence[str]],
) -> Submission:
    """Turn the values of an HTML form's controls into a response.

    Each control is read as what its field and the response schema say it is,
    and what cannot be read without guessing is an error of its field. A blank
    field that is not required is left out, unless the schema needs it: then it
    is the schema's default, or null. Names that the form does not have are
    ignored. The whole is then checked as `validate_response` does.
    """
    shown = form_for(form, response_schema)
    if asks_whole(shown, response_schema):
        return _whole(response_schema, submitted)
    value: dict[str, object] = {}
    errors: dict[str, str] = {}
    typed: dict[str, Sequence[str]] = {}
    for field, shape, widget in laid_out(shown, shapes(response_schema)):
        if widget == "display":
            continue
        typed[field.name] = tuple(submitted.get(field.name, ()))
        try:
            read_value = _read(field, shape, widget, typed[field.name])
        except UnreadableError as fault:
            errors[field.name] = str(fault)
        else:
            value |= {} if read_value is _ABSENT else {field.name: read_value}
    faults = validate_response(shown, response_schema, value)
    return Submission(value=value, errors={**faults, **errors}, typed=typed)


def asks_whole(shown: FormDefinition, schema: JsonObject) -> bool:
    """Tell whether a form without questions still needs an answer as JSON."""
    asking = any(widget != "display" for _, _, widget in laid_out(shown, shapes(schema)))
    return not asking and bool(schemas.validate(schema, {}))


def _whole(schema: JsonObject, submitted: Mapping[str, Sequence[str]]) -> Submission:
    typed = tuple(submitted.get(WHOLE, ()))
    try:
        value = read("json", typed or ("",), WHOLE_FIELD, ANYTHING)
    except UnreadableError as fault:
        return Submission(value={}, errors={WHOLE: str(fault)}, typed={WHOLE: typed})
    if not isinstance(value, dict):
        return Submission(value={}, errors={WHOLE: "must be an object"}, typed={WHOLE: typed})
    errors = {path or WHOLE: message for path, message in schemas.validate(schema, cast("object", value)).items()}
    return Submission(value=cast("JsonObject", value), errors=errors, typed={WHOLE: typed})


def _read(field: FormField, shape: Shape, widget: Widget, typed: Sequence[str]) -> object:
    if not is_blank(widget, typed, field):
        return read(widget, [text for text in typed if text] or [""], field, shape)
    if widget == "checkboxes":
        return [] if field.required or shape.needed or _preselected(field, shape) else _ABSENT
    if field.required:
        raise UnreadableError("choose one" if isinstance(field, Switch) or widget in _CHOICES else "is required")
    return _left_blank(shape)
