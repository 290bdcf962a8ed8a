"""How a value is written into a control, and read out of it again."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import cast

from awaithumans import schemas
from awaithumans.documents import MAX_INTEGER_DIGITS, loads
from awaithumans.errors import InvalidInputError
from awaithumans.forms.definition import (
    DateTime,
    FileUpload,
    FormField,
    MultiSelect,
    PictureChoice,
    Ranking,
    SelectOption,
    Signature,
    SingleSelect,
)
from awaithumans.forms.files import read_files, write_files
from awaithumans.forms.shape import Shape, as_list, texts_of
from awaithumans.forms.signatures import read_signature
from awaithumans.forms.widgets import Widget
from awaithumans.words import words

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_ENDING_ZERO = re.compile(r"-?\d+[.]\d*0", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d(:\d\d([.]\d{1,6})?)?", re.ASCII)
_ZONE = r"(Z|[+-]\d\d:\d\d)?"
_ZONED_TIME = re.compile(rf"{_TIME.pattern}{_ZONE}", re.ASCII)
_MOMENT = re.compile(rf"{_DATE.pattern}[T ]{_TIME.pattern}{_ZONE}", re.ASCII)
_NATIVE: Mapping[Widget, re.Pattern[str]] = {
    "date": _DATE,
    "time": re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII),
    "datetime-local": re.compile(rf"{_DATE.pattern}T\d\d:\d\d(:\d\d)?", re.ASCII),
}
_PLAIN = 10**15
_MINUTES = len("00:00")
_BOOLEAN = frozenset({"boolean"})
_LIST = frozenset({"array"})
LEFT_OUT = ""
"""Says among the options of a ranking that there is none."""
SEVERAL: frozenset[Widget] = frozenset({"checkboxes", "ranking"})
"""The controls that post one text for each of several options."""


class UnreadableError(ValueError):
    """What was filled in does not make a value; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Typed(tuple[str, ...]):
    """What stood in a control when its form was sent, letter by letter."""

    __slots__ = ()


def read(widget: Widget, typed: Sequence[str], field: FormField, shape: Shape) -> object:
    """Make the value of what was filled in, which is not blank.

    Raises `UnreadableError` where that would mean to guess.
    """
    values = {option.value for option in options_of(field)}
    texts = [text for text in dict.fromkeys(typed) if text or "" in values] or [""]
    if widget in SEVERAL:
        return [_member(text, field, shape.items) for text in texts]
    if len(texts) > 1:
        raise UnreadableError(words("give one value only"))
    return _READERS.get(widget, _text)(texts[0], field, shape)


def write(widget: Widget, value: object, field: FormField, shape: Shape) -> tuple[str, ...]:
    """Give what stands in a control for `value`; the inverse of `read`."""
    if widget in _WRITERS:
        return _WRITERS[widget](value)
    if value is None:
        return ()
    if widget in {"radio", "select", *SEVERAL}:
        members = [value] if isinstance(value, str | int | float) else as_list(value)
        return tuple(_option_text(member, field) for member in members)
    if not isinstance(value, str):
        return (json.dumps(_plain_number(value), ensure_ascii=False),)
    if widget == "datetime-local":
        return (_local_text(value, cast("DateTime", field)),)
    quoted = widget == "number" and shape.decimal and not _NUMBER.fullmatch(value)
    return (json.dumps(value, ensure_ascii=False) if quoted else value,)


def lines(text: str) -> str:
    """Write every line break as one letter; browsers post each as two, in names, too."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text(text: str, _field: FormField, _shape: Shape) -> str:
    return lines(text)


def preset(field: FormField, shape: Shape) -> object:
    """Give the value that a field starts with: its default, or the schema's.

    The schema has only asterisks for a secret, which nobody is to send back.
    """
    default: object = field.model_dump(mode="json").get("default")
    chosen = default if default not in (None, []) else None if shape.secret else shape.default
    if isinstance(field, PictureChoice) and not field.multiple:
        return next(iter(as_list(chosen)), None)
    if isinstance(field, Ranking) and field.required and chosen is None:
        return [option.value for option in field.options]
    return chosen


def is_blank(widget: Widget, typed: Sequence[str], field: FormField) -> bool:
    """Tell whether nothing was filled in."""
    if widget == "ranking":
        return LEFT_OUT in typed or not typed
    if widget in {"radio", "select", "checkboxes"} and "" in {option.value for option in options_of(field)}:
        return not typed
    whole = widget in {"text", "textarea", "radio", "select", "checkboxes"}
    return not any(text if whole else text.strip() for text in typed)


def options_of(field: FormField) -> Sequence[SelectOption]:
    """Give what there is to choose from."""
    return field.options if isinstance(field, SingleSelect | MultiSelect | PictureChoice | Ranking) else ()


# ── Choices ───────────────────────────────────────────────────────────────────


def _switch(text: str, _field: FormField, _shape: Shape) -> bool:
    if text not in {"true", "false"}:
        raise UnreadableError(words("choose one"))
    return text == "true"


def _choice(text: str, field: FormField, shape: Shape) -> object:
    if shape.types == _LIST or (isinstance(field, PictureChoice) and not shape.types):
        return [_member(text, field, shape.items)]
    return _member(text, field, shape)


def _member(text: str, field: FormField, shape: Shape | None) -> object:
    """Find the value that an option's text stands for."""
    if text not in {option.value for option in options_of(field)}:
        raise UnreadableError(words("choose one of the options"))
    members = (shape.members or ()) if shape else ()
    if known := [member for member in members if text in texts_of(member)]:
        return min(known, key=lambda member: _likeness(text, member))
    if shape is None or shape.text or shape.decimal:
        return text
    if shape.numeric:
        return _number(text, field, shape)
    return text == "true" if shape.types == _BOOLEAN and text in {"true", "false"} else text


def _likeness(text: str, member: object) -> int:
    """Rank the ways to write a value: text as it is, then as Python, then as JSON."""
    return (member != text) + (str(member) != text)


def _option_text(value: object, field: FormField) -> str:
    known = {option.value for option in options_of(field)} & texts_of(value)
    return min(known, key=lambda text: _likeness(text, value), default=str(value))


# ── Numbers ───────────────────────────────────────────────────────────────────


def _number(typed: str, _field: FormField, shape: Shape) -> int | float | str:
    text = typed.strip()
    if shape.decimal and text.startswith('"'):
        return _quoted(text)
    if "," in text:
        raise UnreadableError(words("write a point for decimals and nothing between thousands, like 1234.56"))
    if not _NUMBER.fullmatch(text) or len(text) > MAX_INTEGER_DIGITS:
        raise UnreadableError(words("must be a number"))
    if _INTEGER.fullmatch(text):
        return int(text)
    if shape.whole:
        raise UnreadableError(words("must be a whole number"))
    return _exact(text, shape)


def number_text(value: float) -> str:
    """Write a number with all its digits, whole ones without a point."""
    return repr(_plain_number(value))


def _plain_number(value: object) -> object:
    """Write `7.0` as `7`, which is also right where only whole numbers fit."""
    plain = isinstance(value, float) and value.is_integer() and abs(value) < _PLAIN
    return int(cast("float", value)) if plain else value


def _quoted(text: str) -> str:
    value = _json(text, None, None)
    if not isinstance(value, str):
        raise UnreadableError(words("must be a number, or text in quotes"))
    return value


def _exact(text: str, shape: Shape) -> float | str:
    """Read a number with all its digits: as text where it may come so and a number would lose some, be it zeros."""
    nearest = float(text)
    exact = math.isfinite(nearest) and Decimal(repr(nearest)) == Decimal(text)
    if exact and not (shape.keeps_zeros and _ENDING_ZERO.fullmatch(text)):
        return nearest
    if not shape.decimal:
        raise UnreadableError(words("has more digits than can be kept; use at most 15"))
    faults = _faults(math.copysign(min(abs(nearest), sys.float_info.max), nearest), shape)
    if exact and (faults or _faults(text, shape)):
        return nearest
    if faults:
        raise UnreadableError(next(iter(faults.values())))
    return text


def _faults(value: float | str, shape: Shape) -> Mapping[str, str]:
    """Say what is wrong with a number or a text, as the part of the schema has it that is about its kind."""
    found = [schemas.validate(one.schema, value) for one in shape.alternatives or [shape] if one.admits(value)]
    return min(found, key=len, default=dict[str, str]())


# ── Dates and times ───────────────────────────────────────────────────────────


def _date(typed: str, _field: FormField, _shape: Shape) -> str:
    text = typed.strip()
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise UnreadableError(words("must be a date like 2026-01-31"))


def _time(typed: str, _field: FormField, _shape: Shape) -> str:
    text = typed.strip()
    try:
        if _ZONED_TIME.fullmatch(text):
            time.fromisoformat(text)
            return text if text[_MINUTES:].startswith(":") else f"{text[:_MINUTES]}:00{text[_MINUTES:]}"
    except ValueError:
        pass
    raise UnreadableError(words("must be a time like 14:30"))


def _moment(typed: str, field: FormField, _shape: Shape) -> str:
    text = typed.strip()
    try:
        if isinstance(field, DateTime) and _MOMENT.fullmatch(text):
            return _existing(datetime.fromisoformat(text), field).isoformat()
    except (ValueError, OverflowError):
        pass
    raise UnreadableError(words("must be a date and time that exist, like 2026-01-31T14:30"))


def _existing(typed: datetime, field: DateTime) -> datetime:
    """Refuse what the clocks skip in spring."""
    moment = field.aware(typed)
    if moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) != typed.replace(tzinfo=None):
        raise ValueError
    return moment


def _local_text(value: str, field: DateTime) -> str:
    """Write a moment as the clocks of the field's zone show it, if that is the same moment."""
    try:
        moment = datetime.fromisoformat(value)
        zone = field.aware(datetime(2000, 1, 1)).tzinfo  # noqa: DTZ001 - only to learn the field's zone
        local = (moment.astimezone(zone) if moment.tzinfo else moment).replace(tzinfo=None, fold=0)
        same = field.aware(local).astimezone(UTC) == field.aware(moment).astimezone(UTC)
    except (ValueError, OverflowError):
        return value
    return local.isoformat() if same and not local.microsecond else value


def is_native(widget: Widget, text: str) -> bool:
    """Tell whether a browser keeps `text` in such an input; others it blanks."""
    pattern = _NATIVE.get(widget)
    if pattern is None or not text:
        return True
    try:
        _PARSERS[widget](text)
    except ValueError:
        return False
    return pattern.fullmatch(text) is not None


_PARSERS: Mapping[Widget, Callable[[str], date | time]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "datetime-local": datetime.fromisoformat,
}


def reread(widget: Widget, typed: Sequence[str], field: FormField, shape: Shape, start: object) -> object:
    """Make the value of what was filled in where `start` had been drawn.

    A date, a time or a number written as text is `start` itself where it was
    left alone. Where a moment had no zone, and neither has the field, the new
    one has none unless it was typed.
    """
    if shape.decimal and isinstance(start, str) and tuple(typed) == write(widget, start, field, shape):
        return start
    if widget not in _NATIVE or not isinstance(start, str):
        return read(widget, typed, field, shape)
    floating = isinstance(field, DateTime) and _is_floating(start)
    if isinstance(field, DateTime) and floating and field.timezone:
        return read(widget, typed, field, shape)
    if tuple(typed) == write(widget, start, field, shape):
        return start
    value = read(widget, typed, field, shape)
    if not floating or not isinstance(value, str) or not all(map(_is_floating, filter(None, typed))):
        return value
    return datetime.fromisoformat(value).replace(tzinfo=None).isoformat()


def sent(typed: Sequence[str], field: FileUpload | Signature, start: object) -> object:
    """Make files of what was posted, or a signature; a single file takes the place of the one before."""
    try:
        if isinstance(field, Signature):
            return read_signature(typed, field)
        files = read_files(typed, as_list(start))
    except ValueError as fault:
        raise UnreadableError(*fault.args) from None
    return files if field.multiple else files[-1:]


def _is_floating(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.strip()).tzinfo is None
    except ValueError:
        return False


# ── JSON ──────────────────────────────────────────────────────────────────────


def _json(text: str, _field: FormField | None, _shape: Shape | None) -> object:
    try:
        return loads(text)
    except InvalidInputError as error:
        reason = error.message.removeprefix("the body is not valid JSON: ")
        raise UnreadableError(words("is not valid JSON: %(reason)s", reason=reason[:200])) from None


def _write_json(value: object) -> tuple[str, ...]:
    return (json.dumps(value, ensure_ascii=False, indent=2),)


_WRITERS: Mapping[Widget, Callable[[object], tuple[str, ...]]] = {"json": _write_json, "files": write_files}
_READERS: Mapping[Widget, Callable[[str, FormField, Shape], object]] = {
    "switch": _switch,
    "radio": _choice,
    "select": _choice,
    "number": _number,
    "date": _date,
    "time": _time,
    "datetime-local": _moment,
    "json": _json,
}
