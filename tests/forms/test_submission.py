"""From what was filled in to a response, exactly, or with a message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, create_model

from awaithumans.forms import (
    Typed,
    date_range,
    datetime_picker,
    form_from_model,
    long_text,
    multi_select,
    opinion_scale,
    parse,
    picture_choice,
    ranking,
    render_fields,
    rich_text,
    schema_of,
    section_collapse,
    short_text,
    single_select,
    slider,
    star_rating,
    subform,
    switch,
    table,
)
from awaithumans.forms.definition import FormDefinition, FormField, PictureOption, TableColumn


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Line(BaseModel):
    amount: float
    note: str | None = None


Posted = Mapping[str, Sequence[str]]


def answer(schema: Mapping[str, object], *typed: str) -> tuple[object, object]:
    """Fill in the one field `a`; give what came of it and its error."""
    sent = parse(None, {"type": "object", "properties": {"a": schema}, "required": ["a"]}, {"a": list(typed)})
    return sent.value.get("a", "nothing"), sent.errors.get("a")


def by_hand(field: FormField, schema: object, *typed: str) -> tuple[object, Mapping[str, str]]:
    form = FormDefinition(fields=(field.model_copy(update={"name": "a"}),))
    sent = parse(form, {"type": "object", "properties": {"a": schema}}, {"a": list(typed)})
    return sent.value.get("a", "nothing"), sent.errors


NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
DECIMAL = {"anyOf": [{"type": "number"}, {"type": "string"}]}


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "false", False),
        (NUMBER, "99.99", 99.99),
        (NUMBER, " 5 ", 5),
        (NUMBER, "-0.5", -0.5),
        (NUMBER, ".5", 0.5),
        (NUMBER, "1e3", 1000.0),
        (WHOLE, "42", 42),
        (WHOLE, "-7", -7),
        (WHOLE, "123456789012345678901234567890", 123456789012345678901234567890),
        (DECIMAL, "99.99", 99.99),
        (DECIMAL, "0.10", 0.1),
        (DECIMAL, "7", 7),
        (DECIMAL, "0.1234567890123456789012", "0.1234567890123456789012"),
        (DECIMAL, '"n/a"', "n/a"),
        ({"type": "string"}, "  as typed ", "  as typed "),
        ({"type": "string"}, "99.90", "99.90"),
        ({"type": "string"}, "true", "true"),
        ({"type": "string", "maxLength": 999}, "one\r\ntwo\rthree", "one\ntwo\nthree"),
        ({"type": "string", "format": "date"}, "2024-02-29", "2024-02-29"),
        ({"type": "string", "format": "time"}, "14:30", "14:30:00"),
        ({"type": "string", "format": "time"}, "14:30:05", "14:30:05"),
        ({"type": "string", "format": "date-time"}, "2024-05-01T14:30", "2024-05-01T14:30:00+00:00"),
        ({"type": "string", "format": "date-time"}, "2024-05-01T14:30:00+02:00", "2024-05-01T14:30:00+02:00"),
        ({"enum": ["p", 2]}, "p", "p"),
        ({"enum": ["p", 2]}, "2", 2),
        ({"enum": [True, "x"]}, "True", True),
        ({"const": 1.5}, "1.5", 1.5),
        ({"type": "array", "items": {"type": "string"}}, '["a", "b"]', ["a", "b"]),
        ({"type": "object"}, '{"a": {"b": 1.50}}', {"a": {"b": 1.5}}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, '"5"', "5"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "5", 5),
        ({"enum": ["1", 1]}, '"1"', "1"),
    ],
)
def test_what_is_typed_becomes_the_value_it_stands_for(schema, typed, value):
    assert json.dumps(answer(schema, typed)) == json.dumps((value, None))


@pytest.mark.parametrize(
    ("schema", "typed", "words"),
    [
        ({"type": "boolean"}, "yes", "choose one"),
        ({"type": "boolean"}, "", "choose one"),
        (NUMBER, "99,99", "write a point"),
        (NUMBER, "1,234.56", "write a point"),
        (NUMBER, "inf", "must be a number"),
        (NUMBER, "NaN", "must be a number"),
        (NUMBER, "1e999", "digits"),
        (NUMBER, "1e-400", "digits"),
        (NUMBER, "0.12345678901234567890", "digits"),
        (NUMBER, "1_000", "must be a number"),
        (NUMBER, "٣", "must be a number"),
        (NUMBER, "0x10", "must be a number"),
        (NUMBER, "twelve", "must be a number"),
        (NUMBER, "9" * 5_000, "must be a number"),
        (NUMBER, "", "is required"),
        ({**NUMBER, "maximum": 3}, "5", "at most 3"),
        ({**NUMBER, "multipleOf": 0.01}, "99.999", "multiple of 0.01"),
        (WHOLE, "1e3", "whole number"),
        (WHOLE, "5.0", "whole number"),
        (DECIMAL, "inf", "must be a number"),
        (DECIMAL, "n/a", "must be a number"),
        ({"type": "string"}, "", "is required"),
        ({"type": "string", "minLength": 3}, "a", "at least 3"),
        ({"type": "string"}, "a\0b", "NUL"),
        ({"type": "string", "format": "date"}, "2023-02-29", "must be a date"),
        ({"type": "string", "format": "date"}, "29.2.2024", "must be a date"),
        ({"type": "string", "format": "time"}, "25:00", "must be a time"),
        ({"type": "string", "format": "date-time"}, "2024-05-01", "date and time"),
        ({"type": "string", "format": "date-time"}, "0001-01-01T00:00+14:00", "date and time"),
        ({"enum": ["p", 2]}, "q", "choose one of the options"),
        ({"enum": ["p", 2]}, "", "choose one"),
        ({"type": "array", "items": {"type": "string"}}, "a, b", "not valid JSON"),
        ({"type": "array", "items": {"type": "string"}}, '{"a": 1, "a": 2}', "twice"),
        ({"type": "array", "items": {"type": "string"}}, "[NaN]", "not a JSON number"),
        ({"type": "array", "items": {"type": "string"}}, "[" * 5_000, "nested"),
        ({"type": "array", "items": {"type": "string"}}, "", "is required"),
    ],
)
def test_what_cannot_be_read_without_guessing_is_refused_at_its_field(schema, typed, words):
    _, error = answer(schema, typed)
    assert words in str(error)


def test_a_fault_inside_a_json_box_is_told_at_its_place():
    class Answer(BaseModel):
        lines: list[Line]

    sent = parse(form_from_model(Answer), Answer.model_json_schema(), {"lines": ['[{"amount": "5"}, {}]']})
    assert sent.errors == {"lines.0.amount": "must be a number", "lines.1.amount": "is required"}


def test_several_values_are_chosen_together_and_for_the_rest_only_one_is_taken():
    several = {"type": "array", "items": {"enum": ["a", 2, None]}}
    assert answer({**several, "items": {"enum": ["a", 2]}}, "a", "2") == (["a", 2], None)
    assert answer({"type": "array", "items": {"enum": ["a", 2]}}, "", "2") == ([2], None)
    assert answer({"enum": ["a", "b"]}, "a", "b")[1] == "give one value only"
    assert answer({"enum": ["a", "b"]}, "a", "a") == ("a", None)
    assert answer({"type": "boolean"}, "true", "false")[1] == "give one value only"


def test_nothing_chosen_among_several_is_an_empty_list_where_that_fits():
    several = {"type": "array", "items": {"enum": ["a", 2]}}
    assert answer(several) == ([], None)
    assert answer({**several, "minItems": 1}) == ([], "must have at least 1 entry")


def test_an_option_may_have_no_text():
    assert answer({"enum": ["", "a"]}, "") == ("", None)
    assert answer({"enum": ["", "a"]})[1] == "choose one"


@pytest.mark.parametrize("members", [["a", '"a"'], [True, "true"], ["true", True], ['"1"', 1, "a"]])
def test_members_that_read_alike_are_told_apart(members):
    schema = {"type": "object", "properties": {"a": {"enum": members}}, "required": ["a"]}
    for member in members:
        drawn = render_fields(None, schema, {"a": member}, {})
        assert json.dumps(parse(None, schema, as_a_browser_posts(drawn)).value) == json.dumps({"a": member})


@pytest.mark.parametrize("member", ["two\nlines", "two\rlines", "two\r\nlines"])
def test_an_option_of_two_lines_can_be_chosen(member):
    """A browser posts each line break as two letters, in names, too."""
    schema = {"type": "object", "properties": {"a\nb": {"enum": [member, "no"]}}, "required": ["a\nb"]}
    sent = parse(None, schema, {"a\r\nb": ["two\r\nlines"]})
    assert (sent.value, sent.errors) == ({"a\nb": member}, {})
    assert sent.typed == {"a\nb": (member,)}


def test_a_list_that_was_not_touched_is_no_choice_of_the_option_without_text():
    schema = {"properties": {"a": {"enum": ["", *"bcdefg"]}}, "required": ["a"]}
    assert render_fields(None, schema, {}, {})[0].widget == "radio"
    assert answer({"enum": [" ", *"bcdefg"]}, " ") == (" ", None)


def test_a_property_that_may_be_anything_is_asked_for_as_json():
    assert answer({}, "5") == (5, None)
    assert answer({"title": "Any"}, '"x"') == ("x", None)
    assert "JSON" in str(answer({}, "x")[1])
    assert answer({"minLength": 1}, "x") == ("x", None)


# ── Blank fields ──────────────────────────────────────────────────────────────


def blank(schema: Mapping[str, object], *, needed: bool = False, typed: Sequence[str] = ("",)) -> object:
    form = FormDefinition(fields=(short_text().model_copy(update={"name": "a", "required": False}),))
    required = ["a"] if needed else []
    return parse(form, {"properties": {"a": schema}, "required": required}, {"a": typed}).value.get("a", "nothing")


def test_a_blank_field_is_left_out_unless_the_schema_needs_it():
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert blank({"type": "string"}) == "nothing"
    assert blank(nullable) == "nothing"
    assert blank(nullable, needed=True) is None
    assert blank({"type": "string", "default": "x"}, needed=True, typed=()) == "x"


def test_a_default_that_was_taken_away_does_not_come_back():
    assert blank({"type": "string", "default": "x"}) == ""
    assert blank({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 5}) is None
    assert blank({"type": "string", "default": "x"}, typed=()) == "nothing"
    sent = parse(None, {"properties": {"a": {"type": "integer", "default": 5}}}, {"a": [""]})
    assert sent.errors == {"a": "is required"}


def test_preset_choices_that_were_all_taken_away_are_an_empty_list():
    class Answer(BaseModel):
        colours: list[Colour] = [Colour.RED]
        others: list[Colour] = []

    assert parse(form_from_model(Answer), Answer.model_json_schema(), {}).value == {"colours": []}


def test_a_required_question_that_was_not_answered_is_refused():
    class Answer(BaseModel):
        approved: bool
        reason: str | None
        colour: Colour

    sent = parse(form_from_model(Answer), Answer.model_json_schema(), {})
    assert sent.errors == {"approved": "choose one", "reason": "is required", "colour": "choose one"}


# ── The whole form ────────────────────────────────────────────────────────────


def test_names_that_the_form_does_not_have_are_ignored():
    sent = parse(None, {"properties": {"a": {"type": "string"}}}, {"a": ["x"], "csrf": ["t"], "b": ["y"]})
    assert (sent.value, sent.errors, sent.typed) == ({"a": "x"}, {}, {"a": ("x",)})


def test_everything_typed_is_kept_also_what_was_refused():
    schema = {"properties": {"a": {"type": "integer"}, "b": {"enum": ["x"]}, "c": {"type": "string"}}}
    posted = {"a": ["12,5"], "b": ["y", "z"], "c": ["fine\r\n"]}
    sent = parse(None, schema, posted)
    assert {name: list(texts) for name, texts in sent.typed.items()} == posted
    assert all(isinstance(texts, Typed) for texts in sent.typed.values())
    drawn = {control.name: control for control in render_fields(None, schema, sent.typed, sent.errors)}
    assert {name: list(control.values) for name, control in drawn.items()} == posted
    assert drawn["a"].error
    assert not drawn["c"].error


def test_what_the_schema_requires_and_the_form_lacks_is_an_error_of_its_own_field():
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "array"}}, "required": ["a", "b"]}
    sent = parse({"fields": [{"kind": "short_text", "name": "a"}]}, schema, {"a": ["x"], "b": ["[1]"]})
    assert (sent.value, sent.errors) == ({"a": "x", "b": [1]}, {})


def test_fields_in_a_section_answer_beside_the_others():
    inner = switch().model_copy(update={"name": "ok"})
    form = FormDefinition(fields=(section_collapse("More", [inner]),))
    sent = parse(form, {"properties": {"ok": {"type": "boolean"}}}, {"ok": ["true"]})
    assert sent.value == {"ok": True}


def test_a_section_that_is_a_property_is_answered_as_json():
    section = section_collapse("More", [switch().model_copy(update={"name": "ok"})])
    value, errors = by_hand(section, {"type": "object"}, '{"ok": true}')
    assert (value, errors) == ({"ok": True}, {})


@pytest.mark.parametrize(
    ("typed", "value", "errors"),
    [
        ('{"b": 1}', {"b": 1}, {}),
        ('{"b": "x"}', {"b": "x"}, {"b": "must be a whole number"}),
        ("{}", {}, {"response": "must have at least 1 field"}),
        ("5", {}, {"response": "must be an object, in { }"}),
        ("b: 1", {}, {"response": "is not valid JSON: Expecting value: line 1 column 1 (char 0)"}),
    ],
)
def test_a_response_without_named_fields_is_asked_for_as_json(typed, value, errors):
    schema = {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}
    sent = parse(None, schema, {"response": [typed]})
    assert (sent.value, sent.errors, sent.typed) == (value, errors, {"response": (typed,)})


def test_an_acknowledgement_is_an_empty_response():
    form = {"fields": [{"kind": "display_text", "text": "Read this."}]}
    assert parse(form, {"type": "object"}, {}).errors == {}
    assert parse(form, {"type": "object"}, {}).value == {}


# ── Kinds attached by hand ────────────────────────────────────────────────────

PICTURES = [PictureOption(value=value, label=value, image_url="https://example.com/a.png") for value in ("a", "2")]
LIST: dict[str, object] = {"type": "array"}


@pytest.mark.parametrize(
    ("field", "schema", "typed", "value"),
    [
        (switch(), True, ["true"], True),
        (switch(), {"type": "string"}, ['"on"'], "on"),
        (single_select(["a", "2"]), {"type": "integer"}, ["2"], 2),
        (single_select(["a", "2"]), {"type": "string"}, ["2"], "2"),
        (single_select(["true", "false"]), {"type": "boolean"}, ["false"], False),
        (single_select(["a", "2"]), {}, ["2"], "2"),
        (single_select(["a"]), LIST, ["a"], ["a"]),
        (multi_select(["a", "2"]), {"type": "array", "items": {"type": "number"}}, ["2"], [2]),
        (multi_select(["a", "2"]), LIST, ["a", "2"], ["a", "2"]),
        (multi_select(["a", "2"]), {"type": "string"}, ['"a"'], "a"),
        (picture_choice(PICTURES), LIST, ["2"], ["2"]),
        (picture_choice(PICTURES), {}, ["2"], ["2"]),
        (picture_choice(PICTURES), {"type": "string"}, ["2"], "2"),
        (picture_choice(PICTURES, multiple=True), LIST, ["a", "2"], ["a", "2"]),
        (slider(step=0.5), {"type": "number"}, ["12.5"], 12.5),
        (slider(step=0.5), DECIMAL, ["12.5"], 12.5),
        (star_rating(), {"type": "integer"}, ["4"], 4),
        (opinion_scale(), {}, ["7"], 7),
        (short_text(subtype="number"), {}, ["7.5"], 7.5),
        (short_text(subtype="currency"), {"type": "string"}, ["7.50"], "7.50"),
        (short_text(), {"type": "array"}, ["[1]"], [1]),
        (long_text(), {}, ["{}"], {}),
        (rich_text(), {"type": "string"}, ["<b>"], "<b>"),
        (ranking(["a", "b"]), LIST, ["b", "a"], ["b", "a"]),
        (ranking(["a", "b"]), {}, ["b", "a"], ["b", "a"]),
        (ranking(["1", "2"]), {"type": "array", "items": {"type": "integer"}}, ["2", "1"], [2, 1]),
        (date_range(), {"type": "object"}, ['{"start": "2024-01-01", "end": "2024-01-02"}'], ...),
        (table([TableColumn(name="x", label="X")]), LIST, ['[{"x": "1"}]'], [{"x": "1"}]),
        (subform([switch().model_copy(update={"name": "x"})]), LIST, ['[{"x": true}]'], [{"x": True}]),
    ],
)
def test_every_kind_gives_the_value_that_the_schema_wants(field, schema, typed, value):
    found, errors = by_hand(field, schema, *typed)
    assert errors == {}
    assert json.dumps(found) == json.dumps(json.loads(typed[0]) if value is ... else value)


def test_a_moment_is_meant_in_the_time_zone_of_its_field():
    berlin = datetime_picker(timezone="Europe/Berlin")
    moment = {"type": "string", "format": "date-time"}
    assert by_hand(berlin, moment, "2024-07-01T14:30") == ("2024-07-01T14:30:00+02:00", {})
    assert by_hand(berlin, moment, "2024-12-01T14:30") == ("2024-12-01T14:30:00+01:00", {})
    _, errors = by_hand(berlin, moment, "2024-03-31T02:30")
    assert "exist" in errors["a"]


@pytest.mark.parametrize(
    ("form", "value", "widget"),
    [
        ("date-time", "2026-10-25T02:30:00.123456+00:00", "text"),
        ("date-time", "2026-10-25T02:30:00Z", "datetime-local"),
        ("date-time", "2026-10-25T02:30:00", "datetime-local"),
        ("time", "10:00:00Z", "text"),
        ("time", "10:00:00.123456", "text"),
        ("time", "10:00", "time"),
        ("date", "2026-10-25", "date"),
    ],
)
def test_a_date_or_time_left_alone_is_the_very_value(form, value, widget):
    schema = {"properties": {"a": {"type": "string", "format": form}}, "required": ["a"]}
    drawn = render_fields(None, schema, {"a": value}, {})
    sent = parse(None, schema, as_a_browser_posts(drawn), {"a": value})
    assert (drawn[0].widget, sent.value, sent.errors) == (widget, {"a": value}, {})
    assert not parse(None, schema, as_a_browser_posts(drawn)).errors


def test_the_hour_that_comes_twice_is_not_moved():
    form = FormDefinition(fields=(datetime_picker(timezone="Europe/Berlin").model_copy(update={"name": "a"}),))
    schema = {"properties": {"a": {"type": "string", "format": "date-time"}}}
    for value, widget in (("2026-10-25T00:30:00Z", "datetime-local"), ("2026-10-25T01:30:00Z", "text")):
        drawn = render_fields(form, schema, {"a": value}, {})
        sent = parse(form, schema, as_a_browser_posts(drawn))
        assert drawn[0].widget == widget
        assert datetime.fromisoformat(str(sent.value["a"])) == datetime.fromisoformat(value)


def test_a_moment_without_a_zone_stays_without_where_the_field_has_none():
    schema = {"properties": {"a": {"type": "string", "format": "date-time"}}}
    start = {"a": "2026-01-01T10:00:00"}
    assert parse(None, schema, {"a": ["2026-01-01T11:00"]}, start).value == {"a": "2026-01-01T11:00:00"}
    assert parse(None, schema, {"a": ["2026-01-01T11:00Z"]}, start).value == {"a": "2026-01-01T11:00:00+00:00"}
    form = FormDefinition(fields=(datetime_picker(timezone="Asia/Tokyo").model_copy(update={"name": "a"}),))
    assert parse(form, schema, {"a": ["2026-01-01T10:00:00"]}, start).value == {"a": "2026-01-01T10:00:00+09:00"}
    assert "date and time" in parse(None, schema, {"a": ["soon"]}, {"a": "soon"}).errors["a"]


# ── There and back ────────────────────────────────────────────────────────────

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
OFFSETS = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (str, TEXT),
    (int, st.integers()),
    (float, FLOATS),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)),
    (date, st.dates()),
    (AwareDatetime, st.datetimes(datetime(1900, 1, 1), timezones=OFFSETS)),  # noqa: DTZ001 - offsets are drawn
    (time, st.times()),
    (Literal["p", 2, True], st.sampled_from(["p", 2, True])),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (list[Colour], st.lists(st.sampled_from(Colour), unique=True)),
    (list[str], st.lists(JSON_TEXT)),
    (Line, st.builds(Line, amount=FLOATS, note=st.none() | JSON_TEXT)),
    (list[Line], st.lists(st.builds(Line, amount=FLOATS), max_size=3)),
    (dict[str, int], st.dictionaries(JSON_TEXT, st.integers())),
    (int | str, st.integers() | JSON_TEXT),
]


@st.composite
def filled_in(draw: st.DrawFn) -> BaseModel:
    """Make a model of some fields, and an answer."""
    chosen = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
    fields: dict[str, Any] = {}
    values: dict[str, object] = {}
    for number, (annotation, strategy) in enumerate(chosen):
        optional = draw(st.booleans())
        fields[f"f{number}"] = (annotation | None, None) if optional else (annotation, ...)
        # Nothing chosen where nothing has to be is no answer, not an empty one.
        values[f"f{number}"] = draw(st.none() | strategy.filter(lambda value: value != []) if optional else strategy)
    answered: BaseModel = create_model("Answer", **fields)(**values)
    return answered


def as_a_browser_posts(controls: Sequence[Any]) -> dict[str, list[str]]:
    posted: dict[str, list[str]] = {}
    for control in controls:
        chosen = control.widget in {"switch", "radio", "select", "checkboxes"}
        allowed = {option.value for option in control.options}
        assert not chosen or set(control.values) <= allowed
        texts = [text.replace("\n", "\r\n") for text in control.values]
        posted[control.name] = texts if chosen else texts or [""]
    return posted


@given(filled_in())
def test_a_value_drawn_into_a_form_and_sent_back_is_the_same(given_answer):
    model = type(given_answer)
    schema = model.model_json_schema()
    value = json.loads(given_answer.model_dump_json(exclude_none=True))
    for form in (form_from_model(model), None):
        sent = parse(form, schema, as_a_browser_posts(render_fields(form, schema, value, {})))
        assert sent.errors == {}
        assert model.model_validate_json(json.dumps(sent.value)) == given_answer


@given(st.dictionaries(st.sampled_from(["f0", "f1", "f2"]), st.lists(st.text(max_size=10), max_size=3)), filled_in())
def test_whatever_is_posted_is_a_fitting_value_or_an_error(posted: Posted, example: BaseModel):
    schema = type(example).model_json_schema()
    sent = parse(None, schema, posted)
    assert set(sent.typed) == set(type(example).model_fields)
    if not sent.errors:
        json.dumps(sent.value, allow_nan=False)
        drawn = render_fields(None, schema, sent.value, {})
        assert parse(None, schema, as_a_browser_posts(drawn)).errors == {}


class Price(BaseModel):
    price: Decimal = Field(ge=0, le=100)
    rebate: Decimal | None = None
    either: float | str = 0.0


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("12.50", "12.50"), ("0.10", "0.10"), ("12.5", 12.5), ("12", 12), ("1e1", 10.0)],
)
def test_a_decimal_keeps_the_zeros_that_were_typed(typed: str, kept: object) -> None:
    sent = parse(None, schema_of(Price), {"price": [typed], "rebate": [typed], "either": [typed]})
    assert not sent.errors
    assert (sent.value["price"], sent.value["rebate"]) == (kept, kept)
    assert str(Price.model_validate(sent.value).price) == str(Decimal(str(kept)))
    assert not isinstance(sent.value["either"], str), "what may be text or a number is a number if it can be one"


@pytest.mark.parametrize(
    "typed", ["-0.50", "100.10", "-5.0000000000000000000000001", "200.0000000000000000000000001", "1e400"]
)
def test_a_decimal_that_comes_as_text_is_within_the_limits_of_the_number(typed: str) -> None:
    assert parse(None, schema_of(Price), {"price": [typed]}).errors.keys() == {"price"}
