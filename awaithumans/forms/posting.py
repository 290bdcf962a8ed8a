"""What a page's controls hold for a value, and the value that they make.

The parts of a nested value are posted one by one. The name of a part is that
of the whole, a dot, and its own: `lines.0.amount`. Under `lines.?` stands
which entries there are, in their order, after an empty text that is always
posted; the numbers only tell entries apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from awaithumans.forms.definition import FileUpload, FormField, ShortText, Signature
from awaithumans.forms.nodes import KEY, MARK, MAX_ROWS, VALUE, Composed, Group, Leaf, Node, OneOf, Rows, chosen_for
from awaithumans.forms.shape import ANYTHING, Shape, as_list, same_member
from awaithumans.forms.values import (
    LEFT_OUT,
    Typed,
    UnreadableError,
    is_blank,
    lines,
    options_of,
    preset,
    reread,
    sent,
    write,
)
from awaithumans.forms.widgets import Widget
from awaithumans.types import JsonObject
from awaithumans.words import words

ABSENT = object()
"""Stands for no value at all."""
HERE = "0"
"""Marks a group that may be missing as there."""
NOTHING = "none"
"""Marks that none of several is chosen, on purpose."""
KEY_FIELD = ShortText(name=KEY, label="Name")
MAX_DRAWN = 600
"""How many controls the parts of one field may have; a larger value is asked for as JSON."""

Filled = Mapping[str, Sequence[str]]

_BLANK: tuple[object, ...] = (None, "", [], {})


class UndrawableError(ValueError):
    """The controls cannot hold this value."""


# ── From a value to controls ──────────────────────────────────────────────────


def fill(node: Composed, value: object) -> Filled | None:
    """Give what the controls of a field hold for its value; None if that would change it.

    `ABSENT` stands for the value it starts with.
    """
    try:
        filled = _filled(node, node.field.name, value)
    except UndrawableError:
        return None
    if len(filled) > MAX_DRAWN or not (value is ABSENT or _comes_back(node, filled, value)):
        return None
    return filled


def fill_anew(node: Composed, name: str) -> Filled:
    """Give what the controls of parts begin with, under this name; nothing where that is too much."""
    try:
        return _filled(node, name, ABSENT)
    except UndrawableError:
        return {f"{name}.{MARK}": ("",)}


def _comes_back(node: Composed, filled: Filled, value: object) -> bool:
    reading = Reading(filled)
    found = reading.value(node, node.field.name, node.field.name, value)
    return not reading.errors and _keeps(found, value)


def _keeps(found: object, value: object) -> bool:
    """Tell whether nothing of a value is lost; what is null may be missing, and defaults may be added."""
    match found, value:
        case dict(), dict():
            made, given = cast("JsonObject", found), cast("JsonObject", value)
            return all(_keeps(made.get(name), one) for name, one in given.items())
        case list(), list():
            entries, wanted = cast("list[object]", found), cast("list[object]", value)
            return len(entries) == len(wanted) and all(map(_keeps, entries, wanted))
        case _:
            return same_member(None if found is ABSENT else found, value)


def _filled(node: Node, name: str, value: object) -> dict[str, Sequence[str]]:
    start = preset(node.field, node.shape) if value is ABSENT else value
    match node:
        case Leaf():
            return _filled_leaf(node, name, start)
        case Group():
            return _filled_group(node, name, start)
        case Rows():
            return _filled_rows(node, name, _entries(node, start, fresh=value is ABSENT))
        case OneOf():
            return _filled_choice(node, name, start, untouched=value is ABSENT)


def _filled_leaf(node: Leaf, name: str, value: object) -> dict[str, Sequence[str]]:
    if node.widget == "display":
        return {}
    if value is None:
        return {name: ()}
    return {name: write(node.widget, value, node.field, node.shape)}


def _filled_group(node: Group, name: str, value: object) -> dict[str, Sequence[str]]:
    if value is None and node.optional:
        return {f"{name}.{MARK}": ("",)}
    if not isinstance(value, dict | None):
        raise UndrawableError
    known = cast("JsonObject", value or {})
    filled: dict[str, Sequence[str]] = {f"{name}.{MARK}": ("", HERE)}
    for key, part in node.parts.items():
        missing = ABSENT if value is None or part.shape.needed or part.shape.defaulted else None
        filled |= _filled(part, f"{name}.{key}", known.get(key, missing))
    return filled


def _filled_rows(node: Rows, name: str, entries: Sequence[tuple[str, object]]) -> dict[str, Sequence[str]]:
    numbers = [str(at) for at in range(len(entries))]
    filled: dict[str, Sequence[str]] = {f"{name}.{MARK}": ("", *numbers)}
    entry = node.entry() if entries else None
    for number, (key, one) in zip(numbers, entries, strict=True):
        filled |= {f"{name}.{number}.{KEY}": (key,)} if node.keyed else {}
        filled |= _filled(cast("Node", entry), f"{name}.{number}.{VALUE}" if node.keyed else f"{name}.{number}", one)
        if len(filled) > MAX_DRAWN:
            raise UndrawableError
    return filled


def _entries(node: Rows, value: object, *, fresh: bool) -> Sequence[tuple[str, object]]:
    match value:
        case None:
            asked_for = node.field.required or not node.add
            return [("", ABSENT)] * node.extent.first if fresh and asked_for else []
        case dict() if node.keyed:
            return list(cast("dict[str, object]", value).items())
        case list() if not node.keyed:
            return [("", one) for one in cast("list[object]", value)]
        case _:
            raise UndrawableError


def _filled_choice(node: OneOf, name: str, value: object, *, untouched: bool) -> dict[str, Sequence[str]]:
    at = None if value is None else chosen_for(node, value)
    if at is None and value is not None:
        raise UndrawableError
    nothing = (NOTHING,) if node.none and not (untouched and node.field.required) else ()
    mark = nothing if at is None else (str(at),)
    filled: dict[str, Sequence[str]] = {f"{name}.{MARK}": ("", *mark)}
    for number, (_, choice) in enumerate(node.choices):
        filled |= _filled(choice, f"{name}.{MARK}{number}", value if number == at else ABSENT)
    return filled


# ── From controls to a value ──────────────────────────────────────────────────


class Reading:
    """Reads what was posted: `typed` is all that stood there, `errors` what is wrong, by path."""

    def __init__(self, submitted: Filled) -> None:
        self._submitted = {lines(name): texts for name, texts in submitted.items()}
        self.typed: dict[str, Typed] = {}
        self.errors: dict[str, str] = {}

    def field(self, node: Node, start: object) -> object:
        """Make the value of a field: of its parts if those were posted, else of the one control it has."""
        name = node.field.name
        apart = isinstance(node, Leaf) or lines(f"{name}.{MARK}") in self._submitted
        return self.value(node if apart else whole(node), name, name, start)

    def value(self, node: Node, name: str, path: str, start: object) -> object:
        """Make the value that stands under `name`; `ABSENT` for none.

        `start` is the value that the controls began with.
        """
        try:
            match node:
                case Leaf():
                    return _part(node.field, node.shape, node.widget, self._typed(name, node.field), start)
                case Group():
                    return self._group(node, name, path, start)
                case Rows():
                    return self._rows(node, name, path, start)
                case OneOf():
                    return self._choice(node, name, path, start)
        except UnreadableError as fault:
            self.errors[path] = fault.message
            return ABSENT

    def _aside(self) -> Reading:
        """Read the same, for what stands there alone."""
        reading = Reading({})
        reading._submitted = self._submitted
        return reading

    def _typed(self, name: str, field: FormField | None = None) -> Typed:
        options = {lines(option.value): option.value for option in options_of(field)} if field else {}
        texts = self._submitted.get(lines(name), ())
        self.typed[name] = Typed(options.get(lines(text), text) for text in texts)
        return self.typed[name]

    def _marks(self, name: str) -> list[str]:
        marks = [mark for mark in dict.fromkeys(self._typed(f"{name}.{MARK}")) if mark]
        self.typed[f"{name}.{MARK}"] = Typed(["", *marks])
        return marks

    def _group(self, node: Group, name: str, path: str, start: object) -> object:
        if HERE not in self._marks(name) and node.optional:
            return _left_out_whole(node)
        value = dict(node.fixed)
        for key, part in node.parts.items():
            if isinstance(part, Leaf) and part.widget == "display":
                continue
            known = cast("JsonObject", start).get(key) if isinstance(start, dict) else preset(part.field, part.shape)
            found = self.value(part, f"{name}.{key}", f"{path}.{key}", known)
            value |= {} if found is ABSENT else {key: found}
        return value

    def _rows(self, node: Rows, name: str, path: str, start: object) -> object:
        numbers = [mark for mark in self._marks(name) if _is_number(mark)]
        began = isinstance(start, dict) if node.keyed else isinstance(start, list)
        if not numbers and not began:
            return _left_out_whole(node)
        entry = node.entry() if numbers else None
        if node.keyed:
            return self._pairs(cast("Leaf", entry), numbers, name, path)
        known = dict(enumerate(as_list(start)))
        found = [
            self.value(cast("Node", entry), f"{name}.{number}", f"{path}.{at}", known.get(int(number)))
            for at, number in enumerate(numbers)
        ]
        return [None if one is ABSENT else one for one in found]

    def _pairs(self, entry: Leaf, numbers: Sequence[str], name: str, path: str) -> dict[str, object]:
        pairs: dict[str, object] = {}
        for number in numbers:
            below = f"{name}.{number}"
            place = f"{path}.{KEY}{number}"
            key = self.value(KEY_NODE, f"{below}.{KEY}", place, None)
            value_place = f"{path}.{MARK}{number}"
            found = self.value(entry, f"{below}.{VALUE}", value_place, None)
            if isinstance(key, str) and key in pairs:
                self.errors[place] = words("another entry has this name")
            elif isinstance(key, str) and value_place not in self.errors:
                pairs[key] = None if found is ABSENT else found
        return pairs

    def _choice(self, node: OneOf, name: str, path: str, start: object) -> object:
        marks = self._marks(name)
        chosen: object = ABSENT
        for at, (_, choice) in enumerate(node.choices):
            reading = self if marks == [str(at)] else self._aside()
            found = reading.value(choice, f"{name}.{MARK}{at}", path, start)
            self.typed |= reading.typed
            chosen = found if reading is self else chosen
        if marks == [NOTHING] and node.none:
            return None if node.shape.needed or node.shape.nullable else ABSENT
        if len(marks) != 1 or not (marks[0].isdecimal() and int(marks[0]) < len(node.choices)):
            return _not_chosen(node)
        return chosen


def whole(node: Node) -> Leaf:
    """Give the control that asks for parts as one."""
    return Leaf(field=node.field, shape=node.shape, widget="json")


KEY_NODE = Leaf(field=KEY_FIELD, shape=ANYTHING, widget="text")


def _is_number(mark: str) -> bool:
    return mark.isascii() and mark.isdecimal() and len(mark) <= len(str(MAX_ROWS)) + 3


def _left_out_whole(node: Group | Rows) -> object:
    """Give the value of parts that are not there."""
    if isinstance(node, Rows) and (node.field.required or (node.shape.needed and not node.shape.nullable)):
        return {} if node.keyed else []
    if node.shape.default not in _BLANK:
        return None if node.shape.nullable else ABSENT
    return _left_out(node.shape)


def _not_chosen(node: OneOf) -> object:
    if node.field.required:
        raise UnreadableError(words("choose one"))
    return _left_out(node.shape)


def _part(field: FormField, shape: Shape, widget: Widget, typed: Typed, start: object) -> object:
    blank = is_blank(widget, typed, field)
    if not blank and isinstance(field, FileUpload | Signature) and widget in {"files", "signature"}:
        return sent(typed, field, start)
    if not blank:
        return reread(widget, typed, field, shape, start)
    if widget in {"checkboxes", "files"} and not (field.required and widget == "files"):
        chosen = field.required or (shape.needed and not shape.nullable) or preset(field, shape)
        return [] if chosen else _left_out(shape)
    if field.required:
        raise UnreadableError(words("choose one") if widget in {"switch", "radio", "select"} else words("is required"))
    return _cleared(shape) if typed and shape.default not in _BLANK else _left_out(shape)


def _cleared(shape: Shape) -> object:
    """Give the value of a control whose default was taken away."""
    if shape.nullable:
        return None
    if shape.text and shape.members is None:
        return ""
    raise UnreadableError(words("is required"))


def _left_out(shape: Shape) -> object:
    if not shape.needed:
        return ABSENT
    if shape.defaulted:
        return shape.default
    return None if shape.nullable else ABSENT


# ── More and fewer entries ────────────────────────────────────────────────────


def with_entry(typed: Filled, name: str) -> Filled:
    """Add an entry to the rows that stand under `name`, or bring the group that is missing."""
    mark = f"{name}.{MARK}"
    if mark not in typed or len(typed[mark]) > MAX_ROWS:
        return typed
    numbers = [int(number) for number in typed[mark] if _is_number(number)]
    return {**typed, mark: (*typed[mark], str(max(numbers, default=-1) + 1))}


def moved(typed: Filled, name: str, steps: int) -> Filled:
    """Move one of the texts under a name forward, or back: `order.0`."""
    several, _, number = name.rpartition(".")
    texts = [text for text in typed.get(several, ()) if text != LEFT_OUT]
    if not (_is_number(number) and int(number) < len(texts)):
        return typed
    text = texts.pop(int(number))
    texts.insert(max(int(number) + steps, 0), text)
    return {**typed, several: tuple(texts)}


def without_entry(typed: Filled, name: str) -> Filled:
    """Take away an entry, by its name: `lines.0`."""
    rows, _, number = name.rpartition(".")
    mark = f"{rows}.{MARK}"
    kept = {key: texts for key, texts in typed.items() if not f"{key}.".startswith(f"{name}.")}
    return {**kept, mark: tuple(one for one in typed[mark] if one != number)} if mark in typed else typed
