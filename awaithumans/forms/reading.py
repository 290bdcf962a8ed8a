"""How an answer reads: each value as its field asked for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import cast

from awaithumans.display import AFTER, BEFORE, CURRENCY, LABELS, ORDERED
from awaithumans.forms.controls import switch_labels
from awaithumans.forms.definition import (
    FormDefinition,
    FormField,
    Ranking,
    RichText,
    ShortText,
    Slider,
    Subform,
    Switch,
    Table,
)
from awaithumans.forms.infer import field_for, form_for, humanised
from awaithumans.forms.nodes import column_field
from awaithumans.forms.shape import ANYTHING, Shape, shape_of
from awaithumans.forms.values import options_of
from awaithumans.forms.widgets import laid_out
from awaithumans.types import JsonObject


def readable_schema(form: FormDefinition | JsonObject | None, response_schema: JsonObject) -> JsonObject:
    """Give the schema by which `display.shown` lays out an answer in the words of its form.

    It has the labels of the form's fields as titles, in the form's order, and
    says what people read for the values. It is not there to validate.
    """
    asked = _asking(form_for(form, response_schema), shape_of(response_schema))
    definitions = response_schema.get("$defs")
    if not isinstance(definitions, dict):
        return asked
    named = cast("dict[str, object]", definitions)
    return {**asked, "$defs": {name: _of_definition(part) for name, part in named.items()}}


def _asking(form: FormDefinition, shape: Shape) -> JsonObject:
    """Give the schema of an object as these fields ask for it, what they do not ask for after them."""
    laid = laid_out(form, shape.properties)
    asked = {field.name: _asked(field, part) for field, part, widget in laid if widget != "display"}
    known = shape.schema.get("properties")
    others = cast("dict[str, object]", known) if isinstance(known, dict) else {}
    rest = {name: part for name, part in others.items() if name not in asked}
    return {**shape.schema, "properties": {**asked, **rest}}


def _asked(field: FormField, shape: Shape) -> JsonObject:
    inside = dict(_inside(field, shape.items or ANYTHING))
    return {**shape.schema, **_words(field), **inside, "title": field.label or humanised(field.name)}


def _inside(field: FormField, items: Shape) -> Iterator[tuple[str, JsonObject]]:
    """Yield the schema of a list's entries, where the field says more of them."""
    match field:
        case Table():
            yield "items", _asking(FormDefinition(fields=tuple(map(column_field, field.columns))), items)
        case Subform():
            yield "items", _asking(FormDefinition(fields=field.fields), items)
        case _ if options_of(field):
            yield "items", {**items.schema, LABELS: _labels(field)}
        case _:
            pass


def _words(field: FormField) -> Mapping[str, object]:
    match field:
        case Switch():
            return {LABELS: dict(switch_labels(field))}
        case Slider():
            return {BEFORE: field.prefix, AFTER: field.suffix}
        case ShortText():
            return {CURRENCY: field.currency_code}
        case RichText():
            return {"contentMediaType": "text/markdown"}
        case Ranking():
            return {ORDERED: True}
        case _:
            return {LABELS: _labels(field)}


def _labels(field: FormField) -> Mapping[str, str]:
    """Give the label of each option that has one of its own; two of one label are told apart."""
    options = [option for option in options_of(field) if option.label != option.value]
    count = Counter(option.label for option in options_of(field))
    return {
        option.value: option.label if count[option.label] == 1 else f"{option.label} ({option.value})"
        for option in options
    }


def _of_definition(part: object) -> object:
    """Label the members of an Enum as the field does that asks for one."""
    if not isinstance(part, dict):
        return part
    definition = cast("JsonObject", part)
    return {**definition, LABELS: _labels(field_for("", shape_of(definition)))} if "enum" in definition else definition
