"""Nested answers, part by part: whatever a model allows, a person can say on the page."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, create_model

from awaithumans.forms import (
    Control,
    Parts,
    date_range,
    edited,
    form_from_model,
    parse,
    render_fields,
    short_text,
    subform,
    switch,
    table,
    walk,
)
from awaithumans.forms.definition import FormDefinition, FormField, SelectOption, TableColumn
from tests.forms.person import Person, as_posted


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=8)
OFFSETS = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
MOMENTS = st.datetimes(datetime(1900, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - offsets are drawn
CENTS = st.decimals(min_value=0, max_value=10**6, places=2)
Typing = tuple[Any, st.SearchStrategy[Any]]
SCALARS: list[Typing] = [
    (bool, st.booleans()),
    (str, TEXT),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (Decimal, CENTS),
    (date, st.dates()),
    (AwareDatetime, MOMENTS),
    (time, st.times()),
    (Literal["p", 2, True], st.sampled_from(["p", 2, True])),
    (Colour, st.sampled_from(Colour)),
    (Annotated[int, Field(ge=0, le=9)], st.integers(0, 9)),
    (
        Annotated[str, Field(min_length=2, max_length=3, pattern="^[a-z]+$")],
        st.from_regex("[a-z]{2,3}", fullmatch=True),
    ),
]
_SCALAR = st.sampled_from(SCALARS)


CHOICES: dict[Any, list[Any]] = {Literal["p", 2, True]: ["p", 2, True], Colour: list(Colour)}
CHOICE_TYPES: list[Typing] = [part for part in SCALARS if part[0] in CHOICES]


def _list(part: Typing) -> Typing:
    annotation, values = part
    listed: Any = list[annotation]  # type: ignore[valid-type]
    options = CHOICES.get(annotation)
    if not options:
        return listed, st.lists(values, max_size=3)
    # Boxes to tick: each option once, in their order.
    ticks = st.tuples(*[st.booleans() for _ in options])
    return listed, ticks.map(lambda some: [one for one, tick in zip(options, some, strict=True) if tick])


def _optional(part: Typing) -> Typing:
    # Nothing in a list that may be missing is no list.
    return part[0] | None, st.none() | part[1].filter(lambda value: value not in ([], {}))


_NULLABLE = [annotation | None for annotation, _ in (*SCALARS, *map(_list, CHOICE_TYPES))]


def _mapping(part: Typing) -> Typing:
    annotation, values = part
    mapped: Any = dict[str, annotation]  # type: ignore[valid-type]
    return mapped, st.dictionaries(TEXT, values, max_size=3)


def _model(parts: list[Typing], name: str = "Part", **fixed: Any) -> Typing:
    fields: dict[str, Any] = {f"f{number}": (annotation, ...) for number, (annotation, _) in enumerate(parts)}
    model: Any = create_model(name, **fixed, **fields)
    return model, st.builds(model, **{f"f{number}": values for number, (_, values) in enumerate(parts)})


def _union(parts: list[list[Typing]]) -> Typing:
    kinds = [f"k{at}" for at in range(len(parts))]
    models = [_model(each, kind.upper(), kind=(Literal[kind], kind)) for kind, each in zip(kinds, parts, strict=True)]
    either: Any = Union[tuple(model for model, _ in models)]  # noqa: UP007 - of a tuple
    return Annotated[either, Field(discriminator="kind")], st.one_of([values for _, values in models])


def _plain_union() -> st.SearchStrategy[Typing]:
    return st.just((int | str, st.integers() | TEXT))


def _wider(inner: st.SearchStrategy[Typing]) -> st.SearchStrategy[Typing]:
    several = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        inner.map(_list),
        inner.map(_optional),
        several.map(_model),
        _SCALAR.map(_mapping),
        st.lists(several, min_size=2, max_size=2).map(_union),
        _plain_union(),
    )


@st.composite
def answers(draw: st.DrawFn) -> BaseModel:
    """Make a model of nested types, and an answer."""
    types = draw(st.lists(st.recursive(_SCALAR, _wider, max_leaves=4), min_size=1, max_size=3))
    fields: dict[str, Any] = {}
    values: dict[str, object] = {}
    for number, part in enumerate(types):
        # What one control asks for and has to be filled in cannot be null, even where the model would take that.
        defaulted = draw(st.booleans()) or part[0] in _NULLABLE
        annotation, strategy = _optional(part) if defaulted else part
        fields[f"f{number}"] = (annotation, None) if defaulted else (annotation, ...)
        values[f"f{number}"] = draw(strategy)
    answered: BaseModel = create_model("Answer", **fields)(**values)
    return answered


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(answers(), st.booleans())
def test_every_answer_that_a_model_takes_can_be_given_from_a_blank_form(answer: BaseModel, sent: bool):  # noqa: FBT001
    submission = Person.before(type(answer), sent=sent).answers(answer)
    assert submission.errors == {}
    assert type(answer).model_validate_json(json.dumps(submission.value)) == answer


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(answers(), st.booleans())
def test_a_nested_value_drawn_into_a_form_and_sent_back_is_the_same(answer: BaseModel, sent: bool):  # noqa: FBT001
    model = type(answer)
    form, schema = form_from_model(model) if sent else None, model.model_json_schema()
    value = json.loads(answer.model_dump_json())
    submission = parse(form, schema, as_posted(render_fields(form, schema, value, {})), value)
    assert submission.errors == {}
    assert model.model_validate_json(json.dumps(submission.value)) == answer
    again = render_fields(form, schema, submission.typed, {})
    assert as_posted(again) == as_posted(render_fields(form, schema, value, {}))


# ── From a plain JSON Schema ──────────────────────────────────────────────────


def of(schema: Any, *, needed: bool = True) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, "required": ["a"] if needed else []}


def drawn(schema: Any, value: object = None, *, needed: bool = True, errors: dict[str, str] | None = None) -> Control:
    values = {} if value is None else {"a": value}
    return render_fields(None, of(schema, needed=needed), values, errors or {})[0]


def parts_of(control: Control) -> Parts:
    assert control.parts
    return control.parts


def names(control: Control) -> list[str]:
    return [one.name for one in walk(parts_of(control))]


POINT = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x", "y"]}
TREE: dict[str, Any] = {
    "$ref": "#/$defs/Tree",
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            },
            "required": ["name"],
        }
    },
}


def test_an_object_is_a_group_of_fields():
    assert parts_of(drawn(POINT)).kind == "group"
    assert names(drawn(POINT)) == ["a.x", "a.y"]
    sent = parse(None, of(POINT), {"a.?": ["", "0"], "a.x": ["1"], "a.y": ["2.50"]})
    assert (sent.value, sent.errors) == ({"a": {"x": 1, "y": 2.5}}, {})


def test_an_object_that_may_be_missing_is_brought_and_taken_away_by_a_button():
    schema = of(POINT, needed=False)
    assert (parts_of(drawn(POINT, needed=False)).entries, parts_of(drawn(POINT, needed=False)).add) == ((), "Add")
    assert parse(None, schema, {"a.?": [""]}).value == {}
    brought = edited(None, schema, {"a.?": [""]}, add="a")
    control = render_fields(None, schema, brought, {})[0]
    assert (names(control), parts_of(control).entries[0].remove) == (["a.x", "a.y"], "Remove")
    gone = edited(None, schema, as_posted([control]), remove="a.0")
    assert parts_of(render_fields(None, schema, gone, {})[0]).entries == ()


def test_a_row_more_or_less_changes_nothing_else():
    schema = of({"type": "array", "items": {"type": "integer"}})
    posted = {"a.?": ["", "0", "1"], "a.0": ["7"], "a.1": ["no number"]}
    more = edited(None, schema, posted, add="a")
    assert {name: list(texts) for name, texts in more.items()} == {**posted, "a.?": ["", "0", "1", "2"]}
    less = edited(None, schema, posted, remove="a.0")
    assert {name: list(texts) for name, texts in less.items()} == {"a.?": ["", "1"], "a.1": ["no number"]}
    assert edited(None, schema, posted, add="b") == edited(None, schema, posted, remove="b.0")


def test_as_many_rows_are_there_at_first_as_there_have_to_be():
    control = drawn({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2})
    assert ([one.value for one in parts_of(control).entries], parts_of(control).add) == (["0", "1"], "")
    assert control.limits == "exactly 2"


def test_more_rows_than_a_page_has_are_asked_for_as_json():
    assert drawn({"type": "array", "items": {"type": "string"}, "minItems": 101}).parts is None


def test_rows_are_answered_in_the_order_in_which_they_stand():
    schema = of({"type": "array", "items": {"type": "integer"}})
    assert parse(None, schema, {"a.?": ["", "5", "2"], "a.2": ["2"], "a.5": ["5"]}).value == {"a": [5, 2]}


def test_no_rows_are_an_empty_list_where_one_has_to_be_given():
    rows = {"type": "array", "items": {"type": "integer"}}
    assert parse(None, of(rows), {"a.?": [""]}).value == {"a": []}
    assert parse(None, of(rows, needed=False), {"a.?": [""]}).value == {}
    assert parse(None, of(rows, needed=False), {"a.?": [""]}, {"a": [1]}).value == {"a": []}


def test_names_that_people_give_must_differ():
    schema = of({"type": "object", "additionalProperties": {"type": "integer"}})
    posted = {"a.?": ["", "0", "1"]}
    for number, name in (("0", "x"), ("1", "x")):
        posted |= {f"a.{number}.?key": [name], f"a.{number}.?value": ["1"]}
    sent = parse(None, schema, posted)
    control = render_fields(None, schema, sent.typed, sent.errors)[0]
    assert [one.error for one in walk(parts_of(control))] == ["", "", "another entry has this name", ""]
    assert parse(None, schema, {**posted, "a.1.?key": ["y"]}).value == {"a": {"x": 1, "y": 1}}


def test_what_can_only_be_one_thing_is_not_asked():
    fixed = {"type": "object", "properties": {"kind": {"const": "k"}, "x": {"type": "integer"}}, "required": ["kind"]}
    assert names(drawn(fixed)) == ["a.x"]
    assert parse(None, of(fixed), {"a.?": ["", "0"], "a.x": ["1"]}).value == {"a": {"kind": "k", "x": 1}}


def test_one_of_several_has_to_be_chosen_and_only_that_one_is_read():
    either = {"anyOf": [{**POINT, "title": "GridPoint"}, {"type": "string", "minLength": 2}]}
    assert [one.label for one in parts_of(drawn(either)).entries] == ["Grid Point", "Text"]
    assert parse(None, of(either), {"a.?": [""]}).errors == {"a": "choose one"}
    posted = {"a.?": ["", "1"], "a.?0.?": ["", "0"], "a.?0.x": ["no number"], "a.?1": ["hi"]}
    sent = parse(None, of(either), posted)
    assert (sent.value, sent.errors) == ({"a": "hi"}, {})
    assert sent.typed["a.?0.x"] == ("no number",)


def test_null_is_one_of_several_where_it_has_to_be_said():
    nullable = {"anyOf": [POINT, {"type": "null"}]}
    assert [one.label for one in parts_of(drawn(nullable)).entries] == ["Fields", "None"]
    assert parse(None, of(nullable), {"a.?": ["", "none"]}).value == {"a": None}
    assert parse(None, of(nullable), {"a.?": [""]}).errors == {"a": "choose one"}


def test_a_tree_grows_as_far_as_people_let_it_and_then_is_json():
    deepest: dict[str, object] = {"name": "leaf", "children": []}
    for depth in range(12):
        deepest = {"name": f"at {depth}", "children": [deepest]}
    schema = {**of({"$ref": "#/$defs/Tree"}), "$defs": TREE["$defs"]}
    controls = render_fields(None, schema, {"a": deepest}, {})
    assert any(one.parts is None and one.widget == "json" for one in walk(parts_of(controls[0])))
    assert parse(None, schema, as_posted(controls), {"a": deepest}).value == {"a": deepest}


@pytest.mark.parametrize("needed", [[], [f"p{number}" for number in range(40)]])
def test_a_schema_full_of_itself_is_taken_apart_only_so_far(needed: list[str]):
    many = {f"p{number}": {"$ref": "#/$defs/Many"} for number in range(40)}
    schema = {
        **of({"$ref": "#/$defs/Many"}),
        "$defs": {"Many": {"type": "object", "properties": many, "required": needed}},
    }
    controls = render_fields(None, schema, {}, {})
    assert len(as_posted(controls)) < 3_000
    everything = [*controls, *(one for control in controls if control.parts for one in walk(control.parts))]
    assert any(one.widget == "json" and one.parts is None for one in everything)


def test_rows_inside_of_rows_do_not_multiply():
    rows: dict[str, Any] = {"type": "integer"}
    for _ in range(5):
        rows = {"type": "array", "items": rows, "minItems": 20}
    lists = {"type": "array", "items": rows}
    assert drawn(rows).parts is None
    brought = edited(None, of(lists), {"a.?": [""]}, add="a")
    assert len(as_posted(render_fields(None, of(lists), brought, {}))) < 1_000


def test_a_value_that_the_parts_would_lose_is_asked_for_as_json():
    assert drawn(POINT, {"x": 1, "y": 2}).parts
    for value in ({"x": 1, "y": 2, "z": 3}, {"x": "one", "y": 2}, [1], "text"):
        control = drawn(POINT, value)
        assert control.parts is None
        assert json.loads(control.values[0]) == value


def test_money_that_was_left_alone_keeps_its_cents():
    schema = of({"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}})
    posted = as_posted(render_fields(None, schema, {"a": ["12.50", "3"]}, {}))
    assert parse(None, schema, posted, {"a": ["12.50", "3"]}).value == {"a": ["12.50", "3"]}


def test_a_name_that_could_be_that_of_a_part_leaves_the_value_whole():
    dotted = {"type": "object", "properties": {"x.y": {"type": "string"}}}
    assert drawn(dotted).parts is None
    schema = {"properties": {"a": POINT, "a.x": {"type": "string"}}}
    assert [one.parts for one in render_fields(None, schema, {}, {})] == [None, None]


def test_a_part_may_also_be_posted_as_json():
    assert parse(None, of(POINT), {"a": ['{"x": 1, "y": 2}']}).value == {"a": {"x": 1, "y": 2}}


# ── Errors ────────────────────────────────────────────────────────────────────


def test_errors_stand_at_the_parts_that_have_them():
    schema = of({"type": "array", "items": POINT, "minItems": 1})
    sent = parse(None, schema, {"a.?": ["", "4"], "a.4.?": [""], "a.4.x": ["1,5"], "a.4.y": [""]})
    assert set(sent.errors) == {"a.0.x", "a.0.y"}
    control = render_fields(None, schema, sent.typed, sent.errors)[0]
    assert [one.values for one in walk(parts_of(control))] == [("1,5",), ("",)]
    assert [one.error for one in walk(parts_of(control))] == [sent.errors["a.0.x"], "is required"]
    assert parts_of(control).error == ""


def test_a_named_value_that_cannot_be_read_is_told_of_once():
    schema = of({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1})
    sent = parse(None, schema, {"a.?": ["", "0"], "a.0.?key": ["limit"], "a.0.?value": ["many"]})
    assert sent.errors == {"a.?0": "must be a number"}
    control = render_fields(None, schema, sent.typed, sent.errors)[0]
    assert parts_of(control).error == ""


def test_rows_that_may_be_left_out_begin_with_none():
    rows = {"type": "array", "items": POINT, "minItems": 1}
    assert len(parts_of(drawn(rows)).entries) == 1
    optional = render_fields(None, of(rows, needed=False), {}, {})[0]
    assert parts_of(optional).entries == ()
    assert parse(None, of(rows, needed=False), {"a.?": [""]}).errors == {}


def test_what_belongs_to_no_part_is_told_at_the_whole():
    control = drawn(POINT, {"x": 1, "y": 2}, errors={"a.z": "is not allowed"})
    assert parts_of(control).error == "z: is not allowed"


def test_limits_are_told_in_words():
    limits = {
        "one to nine": ({"type": "integer", "minimum": 1, "maximum": 9}, "1 to 9"),
        "open": ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01}, "more than 0, in steps of 0.01"),
        "short": ({"type": "string", "maxLength": 80}, "at most 80 characters"),
        "needed": ({"type": "string", "minLength": 1}, ""),
        "initial": ({"type": "string", "minLength": 1, "maxLength": 1}, "at most 1 character"),
        "one or two": ({"type": "string", "minLength": 1, "maxLength": 2}, "at most 2 characters"),
        "in decimals": ({"type": "string", "maxLength": 8.0}, "at most 8.0 characters"),
        "free": ({"type": "string"}, ""),
    }
    assert {name: drawn(schema).limits for name, (schema, _) in limits.items()} == {
        name: words for name, (_, words) in limits.items()
    }


# ── Kinds that have parts of their own ────────────────────────────────────────


def by_hand(field: FormField, posted: dict[str, list[str]]) -> tuple[object, object]:
    form = FormDefinition(fields=(field.model_copy(update={"name": "a"}),))
    sent = parse(form, of(True, needed=False), posted)
    return sent.value.get("a"), dict(sent.errors)


def test_a_table_is_rows_of_its_columns():
    columns = [
        TableColumn(name="item", label="Item"),
        TableColumn(name="price", label="Price", kind="currency", min_value=1, default=5),
        TableColumn(name="size", label="Size", kind="single_select", options=(SelectOption(value="s", label="S"),)),
    ]
    form = FormDefinition(fields=(table(columns, min_rows=1).model_copy(update={"name": "a"}),))
    control = render_fields(form, of(True), {}, {})[0]
    assert [(one.name, one.widget, one.values) for one in walk(parts_of(control))] == [
        ("a.0.item", "text", ()),
        ("a.0.price", "number", ("5",)),
        ("a.0.size", "radio", ()),
    ]
    posted = {"a.?": ["", "0"], "a.0.item": ["Lamp"], "a.0.price": ["7.50"], "a.0.size": ["s"]}
    assert by_hand(form.fields[0], posted) == ([{"item": "Lamp", "price": 7.5, "size": "s"}], {})
    assert by_hand(form.fields[0], {**posted, "a.0.price": ["0.5"]})[1] == {"a.0.price": "must be at least 1"}


def test_a_table_whose_rows_are_fixed_has_no_buttons():
    fixed = table([TableColumn(name="x", label="X")], initial_rows=2, allow_add_row=False, allow_remove_row=False)
    form = FormDefinition(fields=(fixed.model_copy(update={"name": "a"}),))
    parts = parts_of(render_fields(form, of(True), {}, {})[0])
    assert (parts.add, [entry.remove for entry in parts.entries]) == ("", ["", ""])


def test_a_subform_is_rows_of_its_fields():
    inner: list[Any] = [
        short_text(max_length=3).model_copy(update={"name": "x"}),
        switch().model_copy(update={"name": "ok"}),
    ]
    field = subform(inner, add_label="One more", min_count=1)
    posted = {"a.?": ["", "0"], "a.0.x": ["abc"], "a.0.ok": ["true"]}
    assert by_hand(field, posted) == ([{"x": "abc", "ok": True}], {})
    assert by_hand(field, {**posted, "a.0.x": ["abcd"]})[1] == {"a.0.x": "must have at most 3 characters"}
    form = FormDefinition(fields=(field.model_copy(update={"name": "a"}),))
    assert parts_of(render_fields(form, of(True), {}, {})[0]).add == "One more"


def test_a_span_of_days_is_two_dates():
    posted = {"a.?": ["", "0"], "a.start": ["2026-01-01"], "a.end": ["2026-01-03"]}
    assert by_hand(date_range(), posted) == ({"start": "2026-01-01", "end": "2026-01-03"}, {})
    assert "a" in cast("dict[str, str]", by_hand(date_range(max_days=1), posted)[1])


def test_a_whole_response_may_have_parts():
    schema = {
        "oneOf": [
            {**POINT, "title": "Point"},
            {"type": "object", "properties": {"r": {"type": "number"}}, "required": ["r"], "title": "Circle"},
        ]
    }
    [control] = render_fields(None, schema, {}, {})
    assert [one.label for one in parts_of(control).entries] == ["Point", "Circle"]
    posted = {"response.?": ["", "1"], "response.?1.?": [""], "response.?1.r": ["2"]}
    assert parse(None, schema, posted).value == {"r": 2}
    wrong = parse(None, schema, {**posted, "response.?1.r": ["x"]})
    assert wrong.errors == {"r": "must be a number"}
    [control] = render_fields(None, schema, wrong.typed, wrong.errors)
    assert [one.error for one in walk(parts_of(control)) if one.error] == ["must be a number"]


@given(
    st.dictionaries(
        st.sampled_from(["a", "a.?", "a.0", "a.0.?", "a.0.x", "a.0.x.?"]), st.lists(st.text(max_size=4), max_size=4)
    ),
    answers(),
)
def test_whatever_is_posted_in_parts_is_a_fitting_value_or_an_error(posted: dict[str, list[str]], answer: BaseModel):
    schema = type(answer).model_json_schema()
    sent = parse(None, schema, {name.replace("a", "f0", 1): texts for name, texts in posted.items()})
    again = render_fields(None, schema, sent.typed, sent.errors)
    assert {one.name for one in again} == set(type(answer).model_fields)
    if not sent.errors:
        json.dumps(sent.value, allow_nan=False)
