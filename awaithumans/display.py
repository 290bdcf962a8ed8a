"""What people read: named pairs, lists and tables instead of JSON, and times in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast

from awaithumans.types import JsonObject
from awaithumans.words import Words, counted, joined, words

_MAX_VALUES = 2_000
_MAX_NESTING = 6
_MAX_COLUMNS = 8
_MAX_TABLE_ROWS = 500
_LONG_TEXT = 120
_LINK = re.compile(r"https?://[^\s\"'<>\\^`{|}]{1,2000}", re.IGNORECASE | re.ASCII)
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LOCAL_REF = "#/$defs/"
_MONTHS = (
    words("Jan"),
    words("Feb"),
    words("Mar"),
    words("Apr"),
    words("May"),
    words("Jun"),
    words("Jul"),
    words("Aug"),
    words("Sep"),
    words("Oct"),
    words("Nov"),
    words("Dec"),
)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One value, ready for a template."""

    kind: Literal["empty", "flag", "text", "prose", "link", "list", "pairs", "table", "raw"]
    text: str = ""
    items: Sequence[Shown] = ()
    pairs: Sequence[tuple[str, Shown]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Shown]] = ()


def shown(value: object, schema: JsonObject | None = None) -> Shown:
    """Make a value readable; titles in its JSON Schema name its parts."""
    root = schema or {}
    if _is_long(value):
        return Shown(kind="raw", text=raw_json(value))
    return _shown(value, root, root, 0)


def _is_long(value: object) -> bool:
    """Tell whether there are too many values to lay out one by one."""
    pending: list[object] = [value]
    count = 0
    while pending and count <= _MAX_VALUES:
        current = pending.pop()
        count += 1
        if isinstance(current, dict):
            pending.extend(cast("dict[str, object]", current).values())
        elif isinstance(current, list):
            pending.extend(cast("list[object]", current))
    return count > _MAX_VALUES


def clean(text: str) -> str:
    """Leave out what cannot be seen and would change how the rest is read."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def raw_json(value: object) -> str:
    """Write a value as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def moment(at: datetime) -> Words:
    """Write a moment for people, in UTC."""
    utc = at.astimezone(UTC)
    return words("%(date)s, %(time)s UTC", date=day_of_year(utc), time=f"{utc:%H:%M}")


def day_of_year(date: date) -> Words:
    """Write a date for people: `31 Jan 2026`."""
    return words("%(day)s %(month)s %(year)s", day=date.day, month=_MONTHS[date.month - 1], year=date.year)


def day(date: date) -> Words:
    """Write a date for people who know the year: `31 Jan`."""
    return words("%(day)s %(month)s", day=date.day, month=_MONTHS[date.month - 1])


def span(duration: timedelta) -> Words:
    """Write how long something takes in its largest unit: `3 hours`."""
    seconds = int(abs(duration.total_seconds()))
    if days := seconds // _DAY:
        return counted("%(count)s day", "%(count)s days", days)
    if hours := seconds // _HOUR:
        return counted("%(count)s hour", "%(count)s hours", hours)
    if minutes := seconds // _MINUTE:
        return counted("%(count)s minute", "%(count)s minutes", minutes)
    return words("less than a minute")


def short_span(duration: timedelta) -> Words:
    """Write how long something takes in its two largest units: `3 h 20 min`."""
    seconds = round(duration.total_seconds())
    parts = (
        words("%(count)s d", count=seconds // _DAY),
        words("%(count)s h", count=seconds % _DAY // _HOUR),
        words("%(count)s min", count=seconds % _HOUR // _MINUTE),
        words("%(count)s s", count=seconds % _MINUTE),
    )
    first = next((at for at, part in enumerate(parts) if part.arguments["count"]), len(parts) - 1)
    return joined(" ", [parts[first], *(part for part in parts[first + 1 : first + 2] if part.arguments["count"])])


def humanised(name: str) -> str:
    """Turn a key into words: `due_date` and `dueDate` into `Due date`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").strip()
    words = [word if word.isupper() else word.lower() for word in spaced.split()]
    text = " ".join(words) or name
    return text[:1].upper() + text[1:]


def _shown(value: object, schema: JsonObject, root: JsonObject, depth: int) -> Shown:
    match value:
        case dict() if value and depth < _MAX_NESTING:
            return _pairs(cast("dict[str, object]", value), schema, root, depth)
        case list() if value and depth < _MAX_NESTING:
            return _several(cast("list[object]", value), _items(schema, root), root, depth)
        case dict() | list() if value:
            return Shown(kind="raw", text=raw_json(cast("object", value)))
        case _:
            return _plain(value)


def _plain(value: object) -> Shown:
    match value:
        case None | "" | dict() | list():
            return Shown(kind="empty")
        case bool():
            return Shown(kind="flag", text=words("Yes") if value else words("No"))
        case str():
            return _text(value)
        case _:
            return Shown(kind="text", text=json.dumps(value))


def _text(value: str) -> Shown:
    if _LINK.fullmatch(value):
        return Shown(kind="link", text=value)
    return Shown(kind="prose" if "\n" in value or len(value) > _LONG_TEXT else "text", text=value)


def _pairs(value: Mapping[str, object], schema: JsonObject, root: JsonObject, depth: int) -> Shown:
    parts = _properties(schema, root)
    return Shown(
        kind="pairs",
        pairs=[
            (_label(name, parts.get(name)), _shown(child, parts.get(name, {}), root, depth + 1))
            for name, child in value.items()
        ],
    )


def _several(values: Sequence[object], schema: JsonObject, root: JsonObject, depth: int) -> Shown:
    columns = _columns(values)
    if not columns:
        return Shown(kind="list", items=[_shown(value, schema, root, depth + 1) for value in values])
    parts = _properties(schema, root)
    rows = cast("Sequence[Mapping[str, object]]", values)
    return Shown(
        kind="table",
        columns=[_label(name, parts.get(name)) for name in columns],
        rows=[[_shown(row.get(name), {}, root, depth + 2) for name in columns] for row in rows],
    )


def _columns(values: Sequence[object]) -> list[str]:
    """Give the columns if these are records of plain values, else none."""
    names: dict[str, None] = {}
    for value in values:
        if not isinstance(value, dict):
            return []
        record = cast("dict[str, object]", value)
        if not all(_fits_a_cell(cell) for cell in record.values()):
            return []
        names |= dict.fromkeys(record)
    usable = len(names) <= _MAX_COLUMNS and 1 < len(values) <= _MAX_TABLE_ROWS
    return list(names) if usable else []


def _fits_a_cell(value: object) -> bool:
    return not isinstance(value, dict | list) or value in ({}, [])


def _label(name: str, schema: JsonObject | None) -> str:
    title = (schema or {}).get("title")
    return title if isinstance(title, str) and title else humanised(name)


def _properties(schema: JsonObject, root: JsonObject) -> dict[str, JsonObject]:
    properties = _resolved(schema, root).get("properties")
    if not isinstance(properties, dict):
        return {}
    parts = cast("dict[str, object]", properties)
    return {name: cast(JsonObject, part) for name, part in parts.items() if isinstance(part, dict)}


def _items(schema: JsonObject, root: JsonObject) -> JsonObject:
    items = _resolved(schema, root).get("items")
    return cast(JsonObject, items) if isinstance(items, dict) else {}


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    reference = schema.get("$ref")
    definitions = root.get("$defs")
    if not (isinstance(reference, str) and reference.startswith(_LOCAL_REF) and isinstance(definitions, dict)):
        return schema
    found = cast("dict[str, object]", definitions).get(reference.removeprefix(_LOCAL_REF))
    return cast(JsonObject, found) if isinstance(found, dict) else schema
