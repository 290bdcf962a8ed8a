"""Which control of a page asks for a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from awaithumans import schemas
from awaithumans.forms.definition import (
    Date,
    DateTime,
    FileUpload,
    FormDefinition,
    FormField,
    LongText,
    MultiSelect,
    OpinionScale,
    PictureChoice,
    Ranking,
    RichText,
    SectionCollapse,
    ShortText,
    Signature,
    SingleSelect,
    Slider,
    StarRating,
    Switch,
    Time,
)
from awaithumans.forms.shape import ANYTHING, Shape, shapes
from awaithumans.types import JsonObject

Widget: TypeAlias = Literal[
    "switch",
    "select",
    "radio",
    "checkboxes",
    "text",
    "textarea",
    "number",
    "date",
    "datetime-local",
    "time",
    "ranking",
    "files",
    "signature",
    "json",
    "display",
]
"""A control; "number" is a line of text that holds a number, "ranking" a list in an order."""

WHOLE_FIELD = LongText(name="response", label="Response", hint="JSON")
"""Asks for a whole response, where there is nothing to make fields of."""

_RADIOS = 5
_ABOUT_TEXT = frozenset({"minLength", "maxLength", "pattern", "format"})


def is_json_box(field: FormField, schema: JsonObject) -> bool:
    """Tell whether a field is asked for as JSON, judged by the response schema."""
    return widget_of(field, shapes(schema).get(field.name, ANYTHING)) == "json"


def asks_whole(form: FormDefinition, schema: JsonObject) -> bool:
    """Tell whether a form without questions still needs an answer."""
    asking = any(widget != "display" for _, _, widget in laid_out(form, shapes(schema)))
    return not asking and bool(schemas.validate(schema, {}))


def laid_out(form: FormDefinition, known: Mapping[str, Shape]) -> Iterator[tuple[FormField, Shape, Widget]]:
    """Yield every field to draw, those of sections after their section."""
    yield from _laid_out(form.fields, known)


def _laid_out(fields: tuple[FormField, ...], known: Mapping[str, Shape]) -> Iterator[tuple[FormField, Shape, Widget]]:
    for field in fields:
        shape = known.get(field.name, ANYTHING)
        whole = isinstance(field, SectionCollapse) and field.name in known and not shape.only_null
        yield field, shape, "json" if whole else widget_of(field, shape)
        if isinstance(field, SectionCollapse) and not whole:
            yield from _laid_out(field.fields, known)


def widget_of(field: FormField, shape: Shape) -> Widget:
    """Choose the control that can give a value of this shape."""
    match field:
        case ShortText() | LongText() | RichText():
            return _writing(field, shape)
        case SingleSelect() | MultiSelect() | PictureChoice():
            return _choosing(field, shape)
        case _:
            widget, types = _PLAIN.get(type(field), ("json" if field.answered else "display", ()))
            return widget if not types or _takes(shape, *types) else "json"


def _takes(shape: Shape, *types: str) -> bool:
    return not shape.types or not shape.types.isdisjoint(types)


def _writing(field: ShortText | LongText | RichText, shape: Shape) -> Widget:
    if shape.numeric:
        return "number"
    if not shape.text or (isinstance(field, LongText) and _open(shape)):
        return "json"
    if not isinstance(field, ShortText):
        return "textarea"
    return "number" if not shape.types and field.subtype in {"number", "currency"} else "text"


def _open(shape: Shape) -> bool:
    """Tell whether the schema has the property and lets it be anything."""
    return shape is not ANYTHING and not shape.types and _ABOUT_TEXT.isdisjoint(shape.schema)


def _choosing(field: SingleSelect | MultiSelect | PictureChoice, shape: Shape) -> Widget:
    several = isinstance(field, MultiSelect) or (isinstance(field, PictureChoice) and field.multiple)
    if several:
        return "checkboxes" if _takes(shape, "array") else "json"
    if shape.types == frozenset({"object"}):
        return "json"
    # A list to open says "nothing chosen" by an empty text.
    unmarked = any(not option.value for option in field.options)
    pictures = isinstance(field, PictureChoice)
    return "radio" if pictures or unmarked or len(field.options) <= _RADIOS else "select"


_PLAIN: Mapping[type, tuple[Widget, tuple[str, ...]]] = {
    Switch: ("switch", ("boolean",)),
    Slider: ("number", ("number", "integer")),
    StarRating: ("number", ("number", "integer")),
    OpinionScale: ("number", ("number", "integer")),
    Date: ("date", ("string",)),
    DateTime: ("datetime-local", ("string",)),
    Time: ("time", ("string",)),
    Ranking: ("ranking", ("array",)),
    FileUpload: ("files", ("array",)),
    Signature: ("signature", ("string",)),
}
"""The control of a kind, and the types of the values that it gives."""
