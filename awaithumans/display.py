"""What people read: named pairs, lists and tables instead of JSON, and times in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeVar, cast

from awaithumans.meaning import (
    LINK,
    Sense,
    amount_in,
    currency_of,
    data_size,
    day_of,
    is_amount,
    is_size,
    moment_of,
    money_of,
    sense_of,
)
from awaithumans.types import JsonObject
from awaithumans.words import Words, counted, joined, words

_EntryT = TypeVar("_EntryT")

_MAX_VALUES = 2_000
_MAX_NESTING = 6
_LONG_TEXT = 120
_DECIMAL = re.compile(r"-?\d{1,40}\.\d{1,40}", re.ASCII)
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LANGUAGE = re.compile(r"[\w+#.-]{1,20}")
_LOCAL_REF = "#/$defs/"
_COMBINED = ("anyOf", "oneOf", "allOf")
_REFERENCES = 8
LABELS = "x-labels"
"""Says in a schema what people read for values, each by its text: `{"true": "Grant"}`."""
BEFORE = "x-before"
AFTER = "x-after"
"""Say what stands around a number."""
CURRENCY = "x-currency"
"""Says which currency an amount is of."""
ORDERED = "x-ordered"
"""Says that a list is an order."""
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
_SIZES = ((10**9, words("%(count)s GB")), (10**6, words("%(count)s MB")), (10**3, words("%(count)s kB")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a value is laid out."""

    values: int
    """Of all parts together."""
    entries: int
    """Of one list, or rows of one table."""
    columns: int
    """Of a table; records with more keys are shown one after another."""
    characters: int
    """Of all texts together, those of `data:` URLs apart; short texts are shown even beyond."""
    markdown: int
    """Characters of all Markdown together; what is beyond is shown as it is written."""
    data: int
    """Characters of all `data:` URLs together."""


MESSAGE = Limits(values=10**9, entries=500, columns=8, characters=10**9, markdown=10**9, data=10**9)
"""What goes into a message, which cuts long texts itself. Longer values are JSON there."""
PAGE = Limits(values=1_000, entries=100, columns=40, characters=30_000, markdown=10_000, data=1_000_000)
"""What a page shows, with a link to the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One value, ready for a template.

    `kind` says how it is laid out, and is all that a plain text needs.
    `sense` says what it means, for those who can show more than text.
    """

    kind: Literal["empty", "flag", "text", "prose", "link", "list", "pairs", "table", "raw"]
    text: str = ""
    sense: Sense = ""
    at: datetime | date | None = None
    """What the text says, if it is a moment (in UTC) or a day."""
    items: Sequence[Shown] = ()
    pairs: Sequence[tuple[str, Shown]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Shown]] = ()
    numeric: Sequence[bool] = ()
    """Tells of each column whether it holds numbers alone."""
    ordered: bool = False
    """Tells whether the items of a list are in an order."""
    more: int = 0
    """Counts the entries, characters of a text, or bytes of a file, that are left out."""

    @property
    def count(self) -> int:
        """Count the entries, those included that are left out."""
        return len(self.items) + len(self.pairs) + len(self.rows) + self.more

    def marked(self, bullet: str) -> list[tuple[str, Shown]]:
        """Give each item with what stands before it: the bullet, or its place."""
        return [(f"{place}." if self.ordered else bullet, item) for place, item in enumerate(self.items, start=1)]


def shown(value: object, schema: JsonObject | None = None, *, limits: Limits = MESSAGE) -> Shown:
    """Make a value readable; titles in its JSON Schema name its parts, in its order.

    `LABELS`, `BEFORE`, `AFTER`, `CURRENCY` and `ORDERED` in it say how a part is read.

    A value with too much for a message is JSON; for a page, what is beyond
    its limits is counted in `more`.
    """
    root = schema or {}
    if limits is MESSAGE and _is_long(value):
        return Shown(kind="raw", text=raw_json(value))
    return _Layout(root, limits).of(value, root, "", 0)


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


def size(count: int | str) -> Words:
    """Write a number of bytes for people: `1.2 MB`."""
    number = int(count)
    for unit, name in _SIZES:
        if number >= unit:
            return name.filled(count=f"{Decimal(number) / unit:.1f}")
    return counted("%(count)s byte", "%(count)s bytes", number)


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


def short_json(value: object, most: int) -> str | None:
    """Write a value as indented JSON; None, and soon, if it takes more characters than that."""
    pieces: list[str] = []
    for piece in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(value):
        pieces.append(piece)
        most -= len(piece)
        if most < 0:
            return None
    return "".join(pieces)


class _Layout:
    """Lays one value out, within its limits."""

    def __init__(self, root: JsonObject, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._values = limits.values
        self._characters = limits.characters
        self._markdown = limits.markdown
        self._data = limits.data

    def of(self, value: object, schema: JsonObject, name: str, depth: int) -> Shown:
        if label := _named(value, _resolved(schema, self._root)):
            return self._prose(label, "")
        match value:
            case dict() if value:
                return self._object(cast("dict[str, object]", value), schema, depth)
            case list() if value and depth < _MAX_NESTING:
                return self._list(cast("list[object]", value), schema, depth)
            case list() if value:
                return self._raw(cast("object", value))
            case str() if value:
                return self._text(value, name, schema)
            case _:
                return _plain(value, schema)

    def _object(self, value: Mapping[str, object], schema: JsonObject, depth: int) -> Shown:
        if depth and (money := money_of(value)):
            return Shown(kind="text", sense="money", text=money)
        if depth and (sense := _declared(value)):
            return self._prose(str(value[sense]), sense)
        if depth >= _MAX_NESTING:
            return self._raw(value)
        parts = _properties(schema, self._root)
        names = self._taken(_in_order(value, parts), self._limits.values)
        pairs = [(_label(name, parts.get(name)), self._part(value, name, parts, depth)) for name in names]
        return Shown(kind="pairs", pairs=pairs, more=len(value) - len(pairs))

    def _part(self, record: Mapping[str, object], name: str, parts: Mapping[str, JsonObject], depth: int) -> Shown:
        """Lay out what an object has under a name; its other parts may say what that is."""
        value = record.get(name)
        part = parts.get(name, {})
        currency = _said(part, CURRENCY) or (currency_of(record) if is_amount(name) else "")
        if currency and (money := amount_in(currency, value)):
            return Shown(kind="text", sense="money", text=money)
        if is_size(name, value, record):
            return Shown(kind="text", sense="size", text=str(value))
        return self.of(value, part, name, depth + 1)

    def _list(self, values: Sequence[object], schema: JsonObject, depth: int) -> Shown:
        items = _items(schema, self._root)
        columns = self._columns(values)
        if columns:
            return self._table(cast("Sequence[Mapping[str, object]]", values), columns, items, depth)
        taken = self._taken(values, self._limits.entries)
        laid_out = [self.of(value, items, "", depth + 1) for value in taken]
        ordered = schema.get(ORDERED) is True
        return Shown(kind="list", items=laid_out, ordered=ordered, more=len(values) - len(taken))

    def _table(
        self, records: Sequence[Mapping[str, object]], columns: Sequence[str], schema: JsonObject, depth: int
    ) -> Shown:
        parts = _properties(schema, self._root)
        columns = _in_order(columns, parts)
        taken = self._taken(records, self._limits.entries, each=len(columns))
        rows = [[self._part(record, name, parts, depth + 1) for name in columns] for record in taken]
        return Shown(
            kind="table",
            columns=[_label(name, parts.get(name)) for name in columns],
            rows=rows,
            numeric=[_all_numbers(column) for column in zip(*rows, strict=True)] or [False] * len(columns),
            more=len(records) - len(taken),
        )

    def _columns(self, values: Sequence[object]) -> list[str]:
        """Give the columns if the records that are laid out are of plain values, else none."""
        if self._limits is MESSAGE and len(values) > self._limits.entries:
            return []
        names: dict[str, None] = {}
        for value in values[: self._limits.entries]:
            if not isinstance(value, dict):
                return []
            record = cast("dict[str, object]", value)
            if not all(_fits_a_cell(cell) for cell in record.values()):
                return []
            names |= dict.fromkeys(record)
            if len(names) > self._limits.columns:
                return []
        return list(names)

    def _text(self, text: str, name: str, schema: JsonObject) -> Shown:
        if self._characters <= 0 and len(text) > _LONG_TEXT and not text.startswith("data:"):
            return Shown(kind="prose", more=len(text))
        if LINK.fullmatch(text):
            return Shown(kind="link", text=text, sense=sense_of(text, name, schema))
        if text.startswith("data:"):
            return self._data_url(text, sense_of(text, name, schema))
        sense = sense_of(text, name, schema)
        if sense == "moment":
            return Shown(kind="text", text=text, sense=sense, at=moment_of(text))
        if sense == "day":
            return Shown(kind="text", text=text, sense=sense, at=day_of(text))
        return self._prose(text, sense)

    def _prose(self, text: str, sense: Sense) -> Shown:
        kept = text if len(text) <= _LONG_TEXT else text[: max(0, self._characters)]
        self._characters -= len(text)
        more = len(text) - len(kept)
        if sense == "markdown":
            sense = "markdown" if len(kept) <= self._markdown and not more else ""
            self._markdown -= len(kept)
        kind: Literal["prose", "text"] = "prose" if "\n" in text or len(text) > _LONG_TEXT else "text"
        return Shown(kind=kind, text=kept, sense=sense, more=more)

    def _data_url(self, text: str, sense: Sense) -> Shown:
        if not sense:
            return self._prose(text, sense)
        if len(text) > self._data:
            return Shown(kind="text", sense=sense, more=data_size(text))
        self._data -= len(text)
        return Shown(kind="prose" if len(text) > _LONG_TEXT else "text", text=text, sense=sense)

    def _raw(self, value: object) -> Shown:
        """Lay out as JSON; without line breaks, which take long to write, what there is no room for anyway."""
        text = short_json(value, self._characters) or json.dumps(value, ensure_ascii=False)
        return replace(self._prose(text, ""), kind="raw")

    def _taken(self, entries: Sequence[_EntryT], most: int, *, each: int = 1) -> Sequence[_EntryT]:
        """Give the entries that there is room for; each has so many values."""
        taken = entries[: max(0, min(most, self._values // each))]
        self._values -= len(taken) * each
        return taken


def _plain(value: object, schema: JsonObject) -> Shown:
    match value:
        case None | "" | dict() | list():
            return Shown(kind="empty")
        case bool():
            return Shown(kind="flag", text=words("Yes") if value else words("No"))
        case _:
            around = (_said(schema, BEFORE), json.dumps(value), _said(schema, AFTER))
            return Shown(kind="text", sense="number", text=" ".join(filter(None, around)))


def _named(value: object, schema: JsonObject) -> str:
    """Give what people read for a value; "" if nothing else than the value."""
    labels = schema.get(LABELS)
    if not isinstance(labels, dict) or not isinstance(value, str | int | float):
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    named = cast("JsonObject", labels)
    return _said(named, text) or _said(named, str(value))


def _said(schema: JsonObject, key: str) -> str:
    text = schema.get(key)
    return text.strip() if isinstance(text, str) else ""


def _in_order(names: Iterable[str], parts: Mapping[str, JsonObject]) -> list[str]:
    """Put names in the order of the schema's properties, others after them."""
    places = {name: place for place, name in enumerate(parts)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def _declared(value: Mapping[str, object]) -> Literal["", "markdown", "code"]:
    """Tell what an object says that its only text is: `{"markdown": "…"}`, or code of a language."""
    if set(value) == {"markdown"} and isinstance(value["markdown"], str):
        return "markdown"
    of_code = set(value) == {"code", "language"} and isinstance(value["code"], str)
    language = value.get("language")
    return "code" if of_code and isinstance(language, str) and _LANGUAGE.fullmatch(language) else ""


def _all_numbers(cells: Sequence[Shown]) -> bool:
    told = [cell for cell in cells if cell.kind != "empty"]
    return bool(told) and all(map(_is_number, told))


def _is_number(cell: Shown) -> bool:
    """Tell whether a cell holds a number; JSON has decimals as texts, too, to keep their digits."""
    return cell.sense in {"number", "money", "size"} or (cell.kind == "text" and bool(_DECIMAL.fullmatch(cell.text)))


def _fits_a_cell(value: object) -> bool:
    if isinstance(value, dict):
        return not value or money_of(cast("dict[str, object]", value)) is not None
    return not isinstance(value, list) or not value


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
    """Follow references, and what a schema only wraps: one alternative beside null."""
    for _ in range(_REFERENCES):
        inside = _inside(schema, root)
        if inside is None:
            break
        schema = inside
    return schema


def _inside(schema: JsonObject, root: JsonObject) -> JsonObject | None:
    reference, definitions = schema.get("$ref"), root.get("$defs")
    if isinstance(reference, str) and reference.startswith(_LOCAL_REF) and isinstance(definitions, dict):
        found = cast("dict[str, object]", definitions).get(reference.removeprefix(_LOCAL_REF))
        return cast(JsonObject, found) if isinstance(found, dict) else None
    either = next((cast("list[object]", part) for part in map(schema.get, _COMBINED) if isinstance(part, list)), ())
    known = [cast(JsonObject, one) for one in either if isinstance(one, dict)]
    rest = [one for one in known if one.get("type") != "null"]
    return rest[0] if len(rest) == 1 and "properties" not in schema else None
