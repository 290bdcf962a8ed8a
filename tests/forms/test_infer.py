"""Forms that follow from models and from JSON Schemas."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, Field, RootModel

from awaithumans.forms import (
    check_form,
    display_text,
    form_for,
    form_from_model,
    form_from_schema,
    long_text,
    render_fields,
    section_collapse,
    short_text,
    single_select,
    switch,
)
from awaithumans.forms.definition import MAX_FIELDS


class Colour(Enum):
    DARK_RED = "dr"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Line(BaseModel):
    amount: float


def fields_of(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    form: Any = form_from_model(model)
    check_form(form)
    return {field["name"]: field for field in form["fields"]}


def schema_fields(**properties: object) -> dict[str, dict[str, Any]]:
    form: Any = form_from_schema({"type": "object", "properties": properties, "required": list(properties)})
    check_form(form)
    return {field["name"]: field for field in form["fields"]}


def test_the_vector_of_the_wire_comes_out_exactly():
    class Answer(BaseModel):
        a: bool
        c: int | None = None
        e: Literal["p", 2]

    assert form_from_model(Answer) == {
        "version": 1,
        "fields": [
            {
                "name": "a",
                "kind": "switch",
                "label": "A",
                "hint": None,
                "required": True,
                "true_label": "Yes",
                "false_label": "No",
                "default": None,
            },
            {
                "name": "c",
                "kind": "short_text",
                "label": "C",
                "hint": None,
                "required": False,
                "subtype": "number",
                "placeholder": None,
                "min_length": None,
                "max_length": None,
                "pattern": None,
                "currency_code": None,
            },
            {
                "name": "e",
                "kind": "single_select",
                "label": "E",
                "hint": None,
                "required": True,
                "options": [{"value": "p", "label": "p", "hint": None}, {"value": "2", "label": "2", "hint": None}],
                "default": None,
            },
        ],
    }


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (bool, "switch"),
        (str, "short_text"),
        (Annotated[str, Field(max_length=5000)], "short_text"),
        (int, "short_text"),
        (float, "short_text"),
        (date, "date"),
        (datetime, "datetime"),
        (time, "time"),
        (Literal["a", "b"], "single_select"),
        (Literal[True], "single_select"),
        (Colour, "single_select"),
        (Level, "single_select"),
        (list[Colour], "multi_select"),
        (bool | None, "switch"),
        (Colour | None, "single_select"),
        (list[Colour] | None, "multi_select"),
        (list[str], "long_text"),
        (list[Line], "long_text"),
        (Line, "long_text"),
        (dict[str, int], "long_text"),
        (Decimal, "long_text"),
        (int | str, "long_text"),
        (Literal["2", 2], "long_text"),
        (Any, "long_text"),
    ],
)
def test_the_kind_follows_from_the_type(annotation, kind):
    model = type("Answer", (BaseModel,), {"__annotations__": {"a": annotation}})
    field = fields_of(model)["a"]
    assert field["kind"] == kind
    assert field["required"] is True
    assert field.get("subtype", "plain") == ("number" if annotation in {int, float} else "plain")


def test_the_options_of_an_enum_are_called_by_their_names():
    class Answer(BaseModel):
        one: Colour
        many: list[Colour]
        level: Level | None = None

    fields = fields_of(Answer)
    colours = [("dr", "Dark Red"), ("b", "Blue")]
    assert [(option["value"], option["label"]) for option in fields["one"]["options"]] == colours
    assert [(option["value"], option["label"]) for option in fields["many"]["options"]] == colours
    assert [(option["value"], option["label"]) for option in fields["level"]["options"]] == [
        ("1", "Low"),
        ("2", "High"),
    ]


def test_an_attribute_with_a_default_is_not_required_and_shows_it():
    class Answer(BaseModel):
        sure: bool = True
        colour: Colour = Colour.BLUE
        colours: list[Colour] = [Colour.DARK_RED]
        note: str | None

    fields = fields_of(Answer)
    assert [field["required"] for field in fields.values()] == [False, False, False, True]
    assert fields["sure"]["default"] is True
    assert fields["colour"]["default"] == "b"
    assert fields["colours"]["default"] == ["dr"]


def test_the_first_field_in_an_annotation_wins():
    class Answer(BaseModel):
        intro: Annotated[None, display_text("Read this")] = None
        reason_text: Annotated[str, "other", long_text(rows=4), short_text()]
        other: Annotated[str, Field(min_length=2), short_text(label="Else?")] = ""

    fields = fields_of(Answer)
    assert [(field["kind"], field["required"]) for field in fields.values()] == [
        ("display_text", False),
        ("long_text", True),
        ("short_text", False),
    ]
    assert fields["reason_text"]["label"] == "Reason Text"
    assert fields["other"]["label"] == "Else?"


def test_what_a_section_asks_for_is_asked_for_there_alone():
    inside = short_text().model_copy(update={"name": "inside"})

    class Answer(BaseModel):
        more: Annotated[None, section_collapse("More", [inside])] = None
        inside: str
        done: bool

    form = form_from_model(Answer)
    drawn = render_fields(form, Answer.model_json_schema(), {}, {})
    assert [(control.name, control.widget) for control in drawn] == [
        ("more", "display"),
        ("inside", "text"),
        ("done", "switch"),
    ]


def test_names_are_those_of_the_json():
    class Answer(BaseModel):
        one: Annotated[str, long_text()] = Field(alias="uno")
        two: Annotated[str, long_text()] = Field(validation_alias=AliasChoices("dos", "zwei"))

    assert {name: field["kind"] for name, field in fields_of(Answer).items()} == {
        "uno": "long_text",
        "dos": "long_text",
    }


def test_title_and_description_become_label_and_hint():
    class Answer(BaseModel):
        a: str = Field(title="The amount", description="In euros")

    field = fields_of(Answer)["a"]
    assert (field["label"], field["hint"]) == ("The amount", "In euros")


def test_a_model_that_refers_to_itself_has_a_form():
    class Tree(BaseModel):
        name: str
        left: Tree | None = None
        rest: list[Tree] = []

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    assert [field["kind"] for field in fields_of(Tree).values()] == ["short_text", "long_text", "long_text"]


def test_what_has_no_fields_has_no_form():
    class Nothing(BaseModel):
        pass

    assert form_from_model(Nothing) is None
    assert form_from_model(RootModel[list[int]]) is None
    schemas: list[dict[str, object]] = [
        {},
        {"type": "string"},
        {"type": "object", "properties": 5},
        {"properties": {"": {}}},
    ]
    for schema in schemas:
        assert form_from_schema(schema) is None
    assert form_from_schema({"properties": {f"a{number}": {} for number in range(MAX_FIELDS + 1)}}) is None


# ── From plain JSON Schema ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "boolean"}, "switch"),
        ({"enum": ["a", "b"]}, "single_select"),
        ({"type": "string", "const": "a"}, "single_select"),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, "single_select"),
        ({"type": "array", "items": {"enum": ["a"]}}, "multi_select"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "date-time"}, "datetime"),
        ({"type": "string", "format": "time"}, "time"),
        ({"type": "string", "format": "uuid"}, "short_text"),
        ({"type": "string", "maxLength": 80}, "short_text"),
        ({"type": "string", "maxLength": 2000}, "long_text"),
        ({"type": "string", "minLength": 100}, "long_text"),
        ({"type": "integer"}, "short_text"),
        ({"type": ["number", "null"]}, "short_text"),
        ({"type": ["integer", "number"]}, "short_text"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "switch"),
        ({"allOf": [{"$ref": "#/properties/b"}]}, "switch"),
        ({"$ref": "#/properties/b"}, "switch"),
        ({"type": "object"}, "long_text"),
        ({"type": "array", "items": {"type": "string"}}, "long_text"),
        ({"enum": [{"a": 1}]}, "long_text"),
        ({"enum": ["1", 1]}, "long_text"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "long_text"),
        ({"$ref": "#/properties/a"}, "long_text"),
        ({"anyOf": [{"$ref": "#/properties/a"}, {"$ref": "#/properties/a"}]}, "long_text"),
        (True, "long_text"),
        ({}, "long_text"),
    ],
)
def test_the_kind_follows_from_the_schema(schema, kind):
    assert schema_fields(a=schema, b={"type": "boolean"})["a"]["kind"] == kind


def test_required_is_what_the_schema_needs_and_has_no_default_for():
    form: Any = form_from_schema(
        {
            "properties": {
                "a": {},
                "b": {"default": 1},
                "c": {},
                "d": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["a", "b", "d"],
        }
    )
    assert [field["required"] for field in form["fields"]] == [True, False, False, True]


def test_a_list_of_lists_of_itself_is_looked_at_once():
    schema: dict[str, object] = {"$defs": {"l": {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/l"}]}}}}
    form: Any = form_from_schema({**schema, "properties": {"a": {"$ref": "#/$defs/l"}}})
    assert form["fields"][0]["kind"] == "long_text"


# ── The form to show ──────────────────────────────────────────────────────────


def test_a_question_that_the_clients_form_leaves_out_is_added():
    schema: dict[str, object] = {
        "properties": {"ok": {"type": "boolean"}, "tags": {"type": "array"}, "note": {"type": "string"}},
        "required": ["ok", "tags"],
    }
    sent = {"fields": [{"kind": "switch", "name": "ok", "label": "Fine?"}]}
    shown = form_for(sent, schema).fields
    assert [(field.name, field.kind, field.label) for field in shown] == [
        ("ok", "switch", "Fine?"),
        ("tags", "long_text", "Tags"),
    ]


def test_a_question_inside_a_section_is_not_added_again():
    schema: dict[str, object] = {"properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    inner = switch().model_copy(update={"name": "ok"})
    sent = {"fields": [section_collapse("More", [inner]).model_dump(mode="json")]}
    assert form_for(sent, schema) == check_form(sent)


def test_without_a_form_the_schema_implies_it():
    assert [field.kind for field in form_for(None, {"properties": {"a": {"enum": [1]}}}).fields] == ["single_select"]
    assert form_for(None, {}).fields == ()


def test_a_field_attached_by_hand_keeps_its_options():
    class Answer(BaseModel):
        size: Annotated[str, single_select(["S", ("M", "Medium")])]

    assert [option["label"] for option in fields_of(Answer)["size"]["options"]] == ["S", "Medium"]
