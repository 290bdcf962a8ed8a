"""What a form asks of a value, beyond the response schema."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from fractions import Fraction
from typing import TypeVar, cast

from awaithumans import schemas
from awaithumans.documents import dumps, ensure_json, remembered
from awaithumans.forms.definition import (
    Date,
    DateRange,
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
    SelectOption,
    ShortText,
    Signature,
    SingleSelect,
    Slider,
    StarRating,
    Subform,
    Table,
    Time,
    check_form,
)
from awaithumans.forms.files import file_faults
from awaithumans.forms.infer import form_from_schema
from awaithumans.forms.shape import as_list, shapes, texts_of
from awaithumans.forms.signatures import signature_faults
from awaithumans.forms.values import number_text
from awaithumans.forms.widgets import laid_out
from awaithumans.types import JsonObject
from awaithumans.words import counted, words

_PointT = TypeVar("_PointT", date, datetime, time)


def validate_response(form: FormDefinition | JsonObject | None, schema: JsonObject, value: object) -> dict[str, str]:
    """Say what is wrong with a response, by dotted path; empty when it fits.

    The response schema is checked, and for each field of the form that has a
    value what the form says of it. Options are compared by their text, since a
    form has texts where the schema may have numbers. Without a form, it is the
    one that the schema implies.
    """
    faults = schemas.validate(schema, value)
    if not isinstance(value, dict):
        return faults
    for path, message in _faults_of_all(_fields(form, schema), cast("JsonObject", value), ""):
        faults.setdefault(path, message)
    return faults


def _fields(form: FormDefinition | JsonObject | None, schema: JsonObject) -> tuple[FormField, ...]:
    if isinstance(form, FormDefinition):
        return _laid_out(form, schema)
    given = None if form is None else dict(form)
    ensure_json(given, "form_definition")
    return _fields_of(dumps(given), dumps(schema))


@remembered
def _fields_of(form: str, schema: str) -> tuple[FormField, ...]:
    """Work out once what answers are compared with: the same few questions are answered again and again."""
    known: dict[str, object] = json.loads(schema)
    given: dict[str, object] | None = json.loads(form)
    asked = form_from_schema(known) if given is None else given
    return () if asked is None else _laid_out(check_form(asked), known)


def _laid_out(form: FormDefinition, schema: JsonObject) -> tuple[FormField, ...]:
    return tuple(field for field, _, _ in laid_out(form, shapes(schema)))


def _faults_of_all(fields: Iterable[FormField], value: JsonObject, below: str) -> Iterator[tuple[str, str]]:
    for field in fields:
        if (part := value.get(field.name)) is None:
            continue
        path = f"{below}{field.name}"
        yield from ((path, message) for message in _faults(field, part))
        if isinstance(field, Table | Subform) and isinstance(part, list):
            yield from _faults_of_rows(field, cast("list[object]", part), path)


def _faults_of_rows(field: Table | Subform, rows: Sequence[object], path: str) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            continue
        known, place = cast("JsonObject", row), f"{path}.{number}."
        if isinstance(field, Subform):
            inner = [one for one, _, _ in laid_out(FormDefinition(fields=field.fields), {})]
            yield from _faults_of_all(inner, known, place)
        else:
            yield from _faults_of_cells(field, known, place)


def _faults_of_cells(table: Table, row: JsonObject, place: str) -> Iterator[tuple[str, str]]:
    for column in table.columns:
        if (value := row.get(column.name)) is None:
            continue
        if column.kind == "single_select" and column.options:
            known = SingleSelect(options=column.options)
            yield from ((f"{place}{column.name}", message) for message in _choice_faults(known, value))
        least = -math.inf if column.min_value is None else column.min_value
        most = math.inf if column.max_value is None else column.max_value
        if column.kind in {"number", "currency"} and (least, most) != (-math.inf, math.inf):
            yield from ((f"{place}{column.name}", message) for message in _range_faults(least, most, value))


def _faults(field: FormField, value: object) -> Iterator[str]:
    match field:
        case ShortText() | LongText() | RichText() if isinstance(value, str):
            yield from _text_faults(field, value)
        case SingleSelect() | MultiSelect() | PictureChoice():
            yield from _choice_faults(field, value)
        case Ranking():
            yield from _ranking_faults(field.options, value)
        case Slider():
            yield from _slider_faults(field, value)
        case OpinionScale():
            yield from _range_faults(field.min, field.max, value)
        case StarRating():
            yield from _range_faults(1, field.max, value)
        case Date() | DateTime() | Time() | DateRange():
            yield from _calendar_faults(field, value)
        case _:
            yield from _faults_of_content(field, value)


def _faults_of_content(field: FormField, value: object) -> Iterator[str]:
    match field:
        case FileUpload():
            yield from _files_faults(field, value)
        case Signature():
            yield from signature_faults(field, value)
        case Subform():
            yield from _count_faults(field.min_count, field.max_count, value)
        case Table():
            yield from _count_faults(field.min_rows, field.max_rows, value)
        case _:
            return


# ── Text ──────────────────────────────────────────────────────────────────────

_SUBTYPES = {"email": "email", "url": "uri"}
_WEB = ("https://", "http://")
_FEWEST_DIGITS = 2


def _text_faults(field: ShortText | LongText | RichText, value: str) -> Iterator[str]:
    schema: dict[str, object] = {"maxLength": field.max_length, "minLength": getattr(field, "min_length", None)}
    if isinstance(field, ShortText):
        schema |= {"pattern": field.pattern, "format": _SUBTYPES.get(field.subtype)}
    asked = {key: limit for key, limit in schema.items() if limit is not None}
    yield from schemas.validate(asked, value).values() if asked else ()
    subtype = getattr(field, "subtype", None)
    if subtype == "url" and not value.lower().startswith(_WEB):
        yield words("must be a web address, which begins with https:// or http://")
    if subtype == "phone" and sum(map(str.isdigit, value)) < _FEWEST_DIGITS:
        yield words("must be a telephone number")


# ── Choices ───────────────────────────────────────────────────────────────────


def _choice_faults(field: SingleSelect | MultiSelect | PictureChoice, value: object) -> Iterator[str]:
    known = {option.value for option in field.options}
    chosen = cast("list[object]", value) if isinstance(value, list) else [value]
    if any(known.isdisjoint(texts_of(member)) for member in chosen):
        yield words("choose one of the options") if len(chosen) == 1 else words("choose among the options")
    if isinstance(field, MultiSelect):
        yield from _count_faults(field.min_count, field.max_count, chosen)
    elif len(chosen) > 1 and not getattr(field, "multiple", False):
        yield words("choose one only")


def _ranking_faults(options: Sequence[SelectOption], value: object) -> Iterator[str]:
    ranked = cast("list[object]", value) if isinstance(value, list) else []
    if sorted(map(str, ranked)) != sorted(option.value for option in options):
        yield words("must have every option once")


def _files_faults(field: FileUpload, value: object) -> Iterator[str]:
    yield from _count_faults(field.min_count, field.max_count if field.multiple else 1, value)
    for file in as_list(value):
        yield from file_faults(field, file)


def _count_faults(least: int | None, most: int | None, value: object) -> Iterator[str]:
    count = len(cast("list[object]", value)) if isinstance(value, list) else 1
    if least is not None and count < least:
        yield counted("must have at least %(count)s entry", "must have at least %(count)s entries", least)
    if most is not None and count > most:
        yield counted("must have at most %(count)s entry", "must have at most %(count)s entries", most)


# ── Numbers ───────────────────────────────────────────────────────────────────


def _range_faults(least: float, most: float, value: object) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield words("must be a number")
    elif value < least:
        yield words("must be at least %(limit)s", limit=number_text(least))
    elif value > most:
        yield words("must be at most %(limit)s", limit=number_text(most))


def _slider_faults(field: Slider, value: object) -> Iterator[str]:
    outside = list(_range_faults(field.min, field.max, value))
    yield from outside or _step_faults(field, value)


def _step_faults(field: Slider, value: object) -> Iterator[str]:
    if isinstance(value, int | float) and (_exactly(value) - _exactly(field.min)) % _exactly(field.step):
        yield words(
            "must be in steps of %(step)s from %(least)s",
            step=number_text(field.step),
            least=number_text(field.min),
        )


def _exactly(number: float) -> Fraction:
    """Give the number as it is written, so that 0.3 is three steps of 0.1."""
    return Fraction(repr(number))


# ── Dates and times ───────────────────────────────────────────────────────────


def _calendar_faults(field: Date | DateTime | Time | DateRange, value: object) -> Iterator[str]:
    try:
        match field:
            case Date():
                yield from _between(field.min_date, field.max_date, value, date.fromisoformat)
            case DateTime():
                yield from _moment_faults(field, value)
            case Time():
                yield from _between(field.min_time, field.max_time, value, _naive_time)
            case DateRange():
                yield from _span_faults(field, cast("JsonObject", value))
    except (ValueError, TypeError, KeyError):
        yield words("is not a date or time that can be read")


def _moment_faults(field: DateTime, value: object) -> Iterator[str]:
    least = field.aware(field.min_datetime) if field.min_datetime else None
    most = field.aware(field.max_datetime) if field.max_datetime else None
    yield from _between(least, most, value, lambda text: field.aware(datetime.fromisoformat(text)))


def _naive_time(text: str) -> time:
    return time.fromisoformat(text).replace(tzinfo=None)


def _between(
    least: _PointT | None, most: _PointT | None, value: object, read: Callable[[str], _PointT]
) -> Iterator[str]:
    point = read(cast("str", value))
    if least is not None and point < least:
        yield words("must not be before %(limit)s", limit=least.isoformat())
    if most is not None and point > most:
        yield words("must not be after %(limit)s", limit=most.isoformat())


def _span_faults(field: DateRange, value: JsonObject) -> Iterator[str]:
    for end in ("start", "end"):
        yield from _between(field.min_date, field.max_date, value[end], date.fromisoformat)
    days = (date.fromisoformat(cast("str", value["end"])) - date.fromisoformat(cast("str", value["start"]))).days
    if days < 0:
        yield words("must not end before it starts")
    if field.min_days is not None and days < field.min_days:
        yield counted("must be at least %(count)s day long", "must be at least %(count)s days long", field.min_days)
    if field.max_days is not None and days > field.max_days:
        yield counted("must be at most %(count)s day long", "must be at most %(count)s days long", field.max_days)


def not_understood(faults: Mapping[str, str]) -> str:
    """Say to whoever answered in their own words why what was read out of them is no answer."""
    places = "; ".join(f"{path}: {fault}" if path else fault for path, fault in faults.items())
    return f"This could not be understood as an answer. Please say it more exactly, or use the form. {places}"
