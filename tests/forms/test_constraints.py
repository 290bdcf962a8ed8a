"""What the engine asks of every answer, from whichever channel it comes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from awaithumans.errors import InvalidInputError
from awaithumans.forms import (
    date_picker,
    date_range,
    datetime_picker,
    email,
    file_upload,
    long_text,
    multi_select,
    opinion_scale,
    phone,
    picture_choice,
    ranking,
    rich_text,
    section_collapse,
    short_text,
    signature,
    single_select,
    slider,
    star_rating,
    subform,
    switch,
    table,
    time_picker,
    url,
    validate_response,
)
from awaithumans.forms.definition import FormDefinition, FormField, PictureOption, TableColumn

PICTURES = [PictureOption(value=value, label=value, image_url="u") for value in ("a", "b")]
FILE = {"name": "a.pdf", "mime": "application/pdf", "size": 1, "id": "F1"}
COLUMN = TableColumn(name="x", label="X")


def fault(field: FormField, value: object) -> str | None:
    form = FormDefinition(fields=(field.model_copy(update={"name": "a"}),))
    return validate_response(form, {"type": "object"}, {"a": value}).get("a")


@pytest.mark.parametrize(
    ("field", "fits", "misfits"),
    [
        (short_text(min_length=2, max_length=3), ["ab", "abc", 5], ["a", "abcd"]),
        (short_text(pattern="^[a-z]+$"), ["ab"], ["AB"]),
        (email(), ["ana@example.com"], ["ana"]),
        (url(), ["https://example.com/"], ["example"]),
        (long_text(max_length=3), ["abc", [1, 2, 3, 4]], ["abcd"]),
        (rich_text(max_length=3), ["abc"], ["abcd"]),
        (switch(), [True, False], []),
        (single_select(["p", "2", "True", "false"]), ["p", 2, "2", True, False], ["q", 3, ["p", "2"], {"p": 1}]),
        (multi_select(["p", "2"], min_count=1, max_count=2), [["p"], [2, "p"]], [[], ["q"], ["p", 2, "p"]]),
        (picture_choice(PICTURES), ["a", ["a"]], ["c", ["a", "b"]]),
        (picture_choice(PICTURES, multiple=True), [["a", "b"]], [["c"]]),
        (url(), ["https://example.com", "HTTP://x"], ["javascript:alert(1)", "ftp://example.com", "example.com"]),
        (phone(), ["112", "+49 (30) 90-18 20"], ["call me", "1"]),
        (slider(min=1.5, max=3, step=0.1), [1.5, 1.8, 2, 3], [1, 1.85, 3.5, "2", True]),
        (star_rating(max=3), [1, 3], [0, 4]),
        (opinion_scale(), [1, 10], [0, 11]),
        (ranking(["a", "b"]), [["b", "a"]], [["a"], ["a", "a"], ["a", "b", "c"], "ab"]),
        (
            date_picker(min_date=date(2024, 1, 1), max_date=date(2024, 1, 31)),
            ["2024-01-01", "2024-01-31"],
            ["2023-12-31", "2024-02-01", "soon", 5],
        ),
        (
            datetime_picker(min_datetime=datetime(2024, 7, 1, 12), timezone="Europe/Berlin"),  # noqa: DTZ001
            ["2024-07-01T10:00:00Z", "2024-07-01T12:00:00"],
            ["2024-07-01T09:59:59Z", "2024-07-01T11:59"],
        ),
        (
            datetime_picker(max_datetime=datetime(2024, 7, 1, tzinfo=UTC)),
            ["2024-07-01T00:00:00Z", "2024-07-01T01:00:00+02:00"],
            ["2024-07-01T00:00:01Z", "never"],
        ),
        (time_picker(min_time=time(9), max_time=time(17)), ["09:00", "17:00:00Z"], ["08:59", "17:00:01"]),
        (
            date_range(min_date=date(2024, 1, 1), max_date=date(2024, 1, 31), min_days=1, max_days=7),
            [{"start": "2024-01-01", "end": "2024-01-08"}],
            [
                {"start": "2023-12-31", "end": "2024-01-01"},
                {"start": "2024-01-31", "end": "2024-02-01"},
                {"start": "2024-01-02", "end": "2024-01-01"},
                {"start": "2024-01-01", "end": "2024-01-01"},
                {"start": "2024-01-01", "end": "2024-01-09"},
                {"start": "2024-01-01"},
                "2024-01-01",
            ],
        ),
        (file_upload(multiple=True, min_count=1, max_count=2), [[FILE], [FILE, FILE]], [[], [FILE] * 3, [1]]),
        (table([COLUMN], min_rows=1, max_rows=2), [[1], [1, 2]], [[], [1, 2, 3]]),
        (subform([], min_count=1, max_count=2), [[1], [1, 2]], [[], [1, 2, 3]]),
        (signature(), [], ["aGk=", 1, ""]),
    ],
)
def test_the_form_asks_more_than_the_schema(field, fits, misfits):
    assert [value for value in [*fits, *misfits] if fault(field, value) is None] == fits


def test_the_schema_comes_first_and_each_field_has_one_fault():
    form = {"fields": [{"kind": "short_text", "name": "a", "min_length": 5}, {"kind": "star_rating", "name": "b"}]}
    schema = {"properties": {"a": {"minLength": 9}, "b": {"type": "integer"}}, "required": ["c"]}
    assert validate_response(form, schema, {"a": "x", "b": 9}) == {
        "a": "must have at least 9 characters",
        "b": "must be at most 5",
        "c": "is required",
    }


def test_what_is_absent_or_null_is_the_schemas_business():
    form = FormDefinition(fields=(star_rating().model_copy(update={"name": "a"}),))
    assert validate_response(form, {}, {}) == {}
    assert validate_response(form, {}, {"a": None}) == {}


def test_fields_of_a_section_are_checked_too():
    inner = star_rating().model_copy(update={"name": "a"})
    form = FormDefinition(fields=(section_collapse("More", [inner]),))
    assert validate_response(form, {}, {"a": 9}) == {"a": "must be at most 5"}


def test_without_a_form_the_schema_alone_decides():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert validate_response(None, schema, {"a": 1}) == {}
    assert validate_response(None, schema, {"a": "1"}) == {"a": "must be a whole number"}
    assert validate_response(FormDefinition(fields=()), schema, []) == {"": "must be an object"}


def test_huge_numbers_are_compared_as_they_are():
    assert fault(slider(), 10**400) == "must be at most 100"
    assert fault(slider(), -1e308) == "must be at least 0"


def test_limits_are_told_with_all_their_digits():
    assert fault(slider(max=1234567.5), 2e6) == "must be at most 1234567.5"
    assert fault(opinion_scale(min=10**400, max=10**400 + 1), 1) == f"must be at least {10**400}"


def test_the_limits_of_a_time_have_no_zone():
    limited = time_picker(min_time=time(9, tzinfo=UTC))
    assert fault(limited, "10:00:00") is None
    assert fault(limited, "08:00:00Z") == "must not be before 09:00:00"


def test_questions_that_differ_in_the_type_of_one_value_are_not_mixed_up():
    answers = [1, 1.5, True, "1"]
    for _ in range(2):
        for member in answers:
            fits = [
                not validate_response(None, {"properties": {"a": {"const": member}}}, {"a": one}) for one in answers
            ]
            assert fits == [one is member for one in answers]


def test_a_form_that_is_no_json_is_refused_though_one_that_is_reads_the_same():
    fields = [{"kind": "slider", "name": "a", "max": 5}]
    assert validate_response({"fields": fields}, {}, {"a": 9}) == {"a": "must be at most 5"}
    with pytest.raises(InvalidInputError, match="form_definition"):
        validate_response({"fields": tuple(fields)}, {}, {"a": 9})
