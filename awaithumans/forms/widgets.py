"""Which control of a page asks for a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from awaithumans.forms.definition import (
    Date,
    DateTime,
    FormDefinition,
    FormField,
    LongText,
    MultiSelect,
    OpinionScale,
    PictureChoice,
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
    "json",
    "display",
]
"""A control; "number" is a line of text that holds a number."""

WHOLE = "response"
"""The name of the one control that asks for a whole response as JSON."""

_RADIOS = 5


def is_json_box(field: FormField, schema: JsonObject) -> bool:
    """Tell whether a field is asked for as JSON, judged by the response schema."""
    return widget_of(field, shapes(schema).get(field.name, ANYTHING)) == "json"


def laid_out(form: FormDefinition, known: Mapping[str, Shape]) -> Iterator[tuple[FormField, Shape, Widget]]:
    """Yield every field to draw, those of sections after their section."""
    yield from _laid_out(form.fields, known)


def _laid_out(fields: tuple[FormField, ...], known: Mapping[str, Shape]) -> Iterator[tuple[FormField, Shape, Widget]]:
    for field in fields:
        shape = known.get(field.name, ANYTHING)
        whole = isinstance(field, SectionCollapse) and field.name in known
        yield field, shape, "json" if whole else widget_of(field, shape)
        if isinstance(field, SectionCollapse) and not whole:
            yield from _laid_out(field.fields, known)


def widget_of(field: FormField, shape: Shape) -> Widget:
    """Choose the control that can give a value of this shape."""
    if not field.answered:
        return "display"
    match field:
        case ShortText() | LongText() | RichText() | Signature():
            return _writing(field, shape)
        case SingleSelect() | MultiSelect() | PictureChoice():
            return _choosing(field, shape)
        case Switch():
            return "switch" if _takes(shape, "boolean") else "json"
        case Slider() | StarRating() | OpinionScale():
            return "number" if _takes(shape, "number", "integer") else "json"
        case Date() | DateTime() | Time():
            return _dating(field) if _takes(shape, "string") else "json"
        case _:
            return "json"


def _takes(shape: Shape, *types: str) -> bool:
    return not shape.types or not shape.types.isdisjoint(types)


def _writing(field: ShortText | LongText | RichText | Signature, shape: Shape) -> Widget:
    if shape.numeric:
        return "number"
    if not shape.text:
        return "json"
    if not isinstance(field, ShortText):
        return "textarea"
    return "number" if not shape.types and field.subtype in {"number", "currency"} else "text"


def _choosing(field: SingleSelect | MultiSelect | PictureChoice, shape: Shape) -> Widget:
    several = isinstance(field, MultiSelect) or (isinstance(field, PictureChoice) and field.multiple)
    if several:
        return "checkboxes" if _takes(shape, "array") else "json"
    if shape.types == frozenset({"object"}):
        return "json"
    return "radio" if len(field.options) <= _RADIOS else "select"


def _dating(field: Date | DateTime | Time) -> Widget:
    match field:
        case Date():
            return "date"
        case DateTime():
            return "datetime-local"
        case Time():
            return "time"
