"""What a field's value is made of: single values, groups, rows, and one of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias, cast

from awaithumans.forms.definition import (
    Date,
    DateRange,
    DateTime,
    FormDefinition,
    FormField,
    LongText,
    RichText,
    ShortText,
    SingleSelect,
    Subform,
    Switch,
    Table,
    TableColumn,
)
from awaithumans.forms.infer import field_for, humanised
from awaithumans.forms.shape import ANYTHING, Shape, same_member, shape_of, shapes
from awaithumans.forms.widgets import WHOLE_FIELD, Widget, laid_out, widget_of
from awaithumans.types import JsonObject
from awaithumans.words import joined, words

MARK = "?"
"""Names what is there, in the place of a part's name: `lines.?`."""
KEY = "?key"
"""Names the name of an entry, where people give it."""
VALUE = "?value"
"""Names what stands under that name."""
MAX_DEPTH = 6
"""How deep parts are drawn; what lies deeper is asked for as JSON."""
MAX_CHOICES_INSIDE = 2
"""How deep a choice between parts may lie in another one, since all of them are drawn."""
MAX_ALTERNATIVES = 12
MAX_PLANNED = 2_000
"""How many parts a form is taken into at first; the others are asked for as JSON."""
MAX_ROWS = 100

_NAME = re.compile(r"[^.?][^.]*")
_OBJECT = frozenset({"object"})
_ARRAY = frozenset({"array"})
_TYPE_WORDS = {
    "string": words("Text"),
    "integer": words("Whole number"),
    "number": words("Number"),
    "boolean": words("Yes or no"),
    "array": words("List"),
    "object": words("Fields"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    field: FormField
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf(_Node):
    """A value that one control asks for."""

    widget: Widget


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(_Node):
    """An object of known names. `fixed` are the values that can be nothing else."""

    parts: Mapping[str, Node]
    fixed: JsonObject = field(default_factory=dict[str, object])
    optional: bool = False


class Extent(NamedTuple):
    """How many entries there are at first, at least and at most."""

    first: int
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(_Node):
    """A list, or an object whose names people give (`keyed`), entry by entry."""

    entry: Callable[[], Node]
    keyed: bool = False
    extent: Extent
    add: str = words("Add")
    """What the button says; "" for none."""
    remove: str = words("Remove")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf(_Node):
    """One of several, by the place among the `choices`; or nothing, if it may be `none`."""

    choices: Sequence[tuple[str, Node]]
    none: bool = False


Composed: TypeAlias = Group | Rows | OneOf
Node: TypeAlias = Leaf | Composed


@dataclass(slots=True)
class _Budget:
    """How many more parts are planned, so that a schema full of itself does not grow for ever."""

    left: int = MAX_PLANNED


@dataclass(frozen=True, slots=True)
class _Depth:
    parts: int = 0
    choices: int = 0
    budget: _Budget = field(default_factory=_Budget)

    def inside(self, *, choice: bool = False) -> _Depth:
        return _Depth(self.parts + 1, self.choices + choice, self.budget)

    def anew(self) -> _Depth:
        """Give the depth inside of an entry, which is planned once it is there."""
        return _Depth(self.parts + 1, self.choices)

    def reached(self) -> bool:
        """Count a part; tell whether it has to do without parts of its own."""
        self.budget.left -= 1
        return self.parts >= MAX_DEPTH or self.budget.left < 0


def nodes_of(form: FormDefinition, schema: JsonObject) -> list[Node]:
    """Take each field of a form apart as far as its shape allows; the rest are single values."""
    laid = list(laid_out(form, shapes(schema)))
    names = [one.name for one, _, _ in laid]
    depth = _Depth()
    return [
        Leaf(field=one, shape=shape, widget=widget)
        if any(name.startswith(f"{one.name}.") for name in names)
        else _node(one, shape, depth, widget)
        for one, shape, widget in laid
    ]


def whole_node(schema: JsonObject) -> Node:
    """Take a whole response apart."""
    return _node(WHOLE_FIELD, shape_of(schema), _Depth(), "json")


def is_shown(node: Node) -> bool:
    """Tell whether a node is only there to be read."""
    return isinstance(node, Leaf) and node.widget == "display"


def _node(one: FormField, shape: Shape, depth: _Depth, widget: Widget | None = None) -> Node:
    leaf = Leaf(field=one, shape=shape, widget=widget or widget_of(one, shape))
    if depth.reached() or leaf.widget != "json":
        return leaf
    return _composed(one, shape, depth) or leaf


def _composed(one: FormField, shape: Shape, depth: _Depth) -> Composed | None:
    match one:
        case Table() | Subform() if not shape.types or "array" in shape.types:
            return _listed(one, shape, depth)
        case DateRange() if not shape.types or "object" in shape.types:
            return _span(one, shape)
        case ShortText() | LongText() | RichText() if shape.types and shape.members is None:
            return _of_shape(one, shape, depth)
        case _:
            return None


def _of_shape(one: FormField, shape: Shape, depth: _Depth) -> Composed | None:
    explicit = shape.nullable and one.required
    if explicit or shape.alternatives:
        return _one_of(one, shape, depth)
    if shape.types == _ARRAY:
        return _rows(one, shape, depth)
    if shape.types != _OBJECT:
        return None
    return _group(one, shape, depth) if shape.properties else _pairs(one, shape, depth)


# ── Objects ───────────────────────────────────────────────────────────────────


def _group(one: FormField, shape: Shape, depth: _Depth) -> Group | None:
    properties = shape.properties
    if not all(map(_NAME.fullmatch, properties)):
        return None
    fixed = {name: part.members[0] for name, part in properties.items() if part.members and _is_fixed(part)}
    asked = {name: part for name, part in properties.items() if name not in fixed}
    parts = {name: _part(name, part, depth) for name, part in asked.items()}
    given = isinstance(shape.default, dict) and not shape.nullable
    optional = shape.nullable or not (shape.needed or given)
    return Group(field=one, shape=shape, parts=parts, fixed=fixed, optional=optional)


def _part(name: str, shape: Shape, depth: _Depth) -> Node:
    return _node(field_for(name, shape), shape, depth.inside())


def _is_fixed(shape: Shape) -> bool:
    """Tell whether there is but one value, and nothing to decide."""
    single = len(shape.members or ()) == 1 and not shape.nullable
    return single and (shape.needed or (shape.defaulted and same_member(shape.default, (shape.members or [None])[0])))


def _span(one: DateRange, shape: Shape) -> Group:
    ends = {
        name: Date(name=name, label=humanised(name), min_date=one.min_date, max_date=one.max_date)
        for name in ("start", "end")
    }
    known = shape.properties
    parts = {name: _node(end, known.get(name, ANYTHING), _Depth(1)) for name, end in ends.items()}
    return Group(field=one, shape=shape, parts=parts, optional=not one.required)


def _pairs(one: FormField, shape: Shape, depth: _Depth) -> Rows | None:
    values = shape.values
    if values is None:
        return None
    entry = _node(_unnamed(values, "Value"), values, depth.inside())
    if not isinstance(entry, Leaf) or entry.widget == "json":
        return None
    return Rows(
        field=one,
        shape=shape,
        entry=lambda: entry,
        keyed=True,
        extent=_extent(shape.schema.get("minProperties"), shape.schema.get("maxProperties")),
    )


def _unnamed(shape: Shape, label: str) -> FormField:
    return field_for("", shape).model_copy(update={"label": shape.title or label})


# ── Lists ─────────────────────────────────────────────────────────────────────


def _rows(one: FormField, shape: Shape, depth: _Depth) -> Rows | None:
    items = shape.items
    if items is None or "prefixItems" in shape.schema:
        return None
    label = one.label or humanised(one.name)
    inner = _unnamed(items, label)
    least = shape.schema.get("minItems")
    if isinstance(least, int | float) and least > MAX_ROWS:
        return None
    extent = _extent(least, shape.schema.get("maxItems"))
    return Rows(field=one, shape=shape, entry=lambda: _node(inner, items, depth.anew()), extent=extent)


def _extent(least: object, most: object, first: int = 0) -> Extent:
    low = min(int(least), MAX_ROWS) if isinstance(least, int | float) else 0
    high = min(int(most), MAX_ROWS) if isinstance(most, int | float) else MAX_ROWS
    return Extent(first=min(max(first, low), high), least=low, most=high)


def _listed(one: Table | Subform, shape: Shape, depth: _Depth) -> Rows | None:
    items = shape.items or replace(ANYTHING, needed=True)
    parts: Mapping[str, Node]
    match one:
        case Table():
            parts = {column.name: _cell(column, items) for column in one.columns}
        case Subform():
            laid = laid_out(FormDefinition(fields=one.fields), items.properties)
            named = [(inner.name or f"{MARK}{at}", inner, part) for at, (inner, part, _) in enumerate(laid)]
            parts = {name: _node(inner, part, depth.inside()) for name, inner, part in named}
    if not all(_NAME.fullmatch(name) for name, part in parts.items() if part.field.answered):
        return None
    entry = Group(field=_unnamed(items, ""), shape=items, parts=parts)
    rows = Rows(field=one, shape=shape, entry=lambda: entry, extent=_extent(None, None))
    return _table(rows, one) if isinstance(one, Table) else _repeated(rows, one)


def _table(rows: Rows, one: Table) -> Rows:
    added = words("Add") if one.allow_add_row else ""
    removed = words("Remove") if one.allow_remove_row else ""
    return replace(rows, extent=_extent(one.min_rows, one.max_rows, one.initial_rows), add=added, remove=removed)


def _repeated(rows: Rows, one: Subform) -> Rows:
    extent = _extent(one.min_count, one.max_count, one.initial_count)
    return replace(rows, extent=extent, add=one.add_label, remove=one.remove_label)


def _cell(column: TableColumn, row: Shape) -> Leaf:
    shape = row.properties.get(column.name, ANYTHING)
    limits = {"minimum": column.min_value, "maximum": column.max_value}
    shape = replace(shape, schema={**shape.schema, **{key: one for key, one in limits.items() if one is not None}})
    if column.default is not None:
        shape = replace(shape, defaulted=True, default=column.default)
    one = column_field(column)
    return Leaf(field=one, shape=shape, widget=widget_of(one, shape))


def column_field(column: TableColumn) -> FormField:
    """Give the field that asks for a cell of a column."""
    kind = column.kind if column.kind in _COLUMN_KINDS else "short_text"
    said = column.model_dump(include={"name", "label", "required", "placeholder", "options", "currency_code"})
    own = {"subtype": column.kind} if column.kind in {"number", "currency"} else {}
    return _COLUMN_KINDS[kind].model_validate({key: one for key, one in said.items() if one is not None} | own)


_COLUMN_KINDS: Mapping[str, type[Switch | SingleSelect | Date | DateTime | LongText | ShortText]] = {
    "switch": Switch,
    "single_select": SingleSelect,
    "date": Date,
    "datetime": DateTime,
    "long_text": LongText,
    "short_text": ShortText,
}


# ── One of several ────────────────────────────────────────────────────────────


def _one_of(one: FormField, shape: Shape, depth: _Depth) -> OneOf | None:
    choices = shape.alternatives or [replace(shape, nullable=False, needed=True)]
    if depth.choices >= MAX_CHOICES_INSIDE or len(choices) > MAX_ALTERNATIVES:
        return None
    labels = _labels(choices)
    inside = depth.inside(choice=True)
    nodes = [_node(_chosen_field(one, part), part, inside) for part in choices]
    return OneOf(
        field=one,
        shape=shape,
        choices=list(zip(labels, nodes, strict=True)),
        none=shape.nullable or not (shape.needed or shape.defaulted),
    )


def _chosen_field(one: FormField, shape: Shape) -> FormField:
    return field_for("", shape).model_copy(update={"label": one.label or humanised(one.name), "hint": None})


def _labels(choices: Sequence[Shape]) -> list[str]:
    """Name the alternatives so that they can be told apart."""
    labels = [_label(choice) for choice in choices]
    numbers = [labels[: at + 1].count(label) if labels.count(label) > 1 else 0 for at, label in enumerate(labels)]
    return [
        words("%(label)s (%(number)s)", label=label, number=number) if number else label
        for label, number in zip(labels, numbers, strict=True)
    ]


def _label(shape: Shape) -> str:
    own = shape.title or shape.schema.get("title")
    if isinstance(own, str) and own.strip():
        return spelt_out(own)
    constants = [str(part.members[0]) for part in shape.properties.values() if part.members and _is_fixed(part)]
    if constants:
        return humanised(constants[0])
    if shape.items and shape.types == _ARRAY:
        return words("List: %(entries)s", entries=_label(shape.items))
    return joined(" / ", (_TYPE_WORDS.get(kind, kind) for kind in sorted(shape.types))) or words("Other")


def spelt_out(title: str) -> str:
    """Put spaces between the words of a class's name."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", title)


def chosen_for(node: OneOf, value: object) -> int | None:
    """Find the first alternative that a value could be."""
    return next((at for at, (_, choice) in enumerate(node.choices) if _could_be(choice.shape, value, MAX_DEPTH)), None)


def _could_be(shape: Shape, value: object, depth: int) -> bool:
    if value is None or shape.alternatives:
        return shape.nullable if value is None else any(_could_be(one, value, depth) for one in shape.alternatives)
    if shape.members is not None:
        return any(same_member(value, member) for member in shape.members)
    if shape.types and not shape.admits(value):
        return False
    if depth == 0:
        return True
    if isinstance(value, dict):
        return _object_could_be(shape, cast("JsonObject", value), depth - 1)
    items = shape.items if isinstance(value, list) else None
    return items is None or all(_could_be(items, one, depth - 1) for one in cast("list[object]", value))


def _object_could_be(shape: Shape, value: JsonObject, depth: int) -> bool:
    properties = shape.properties
    missing = [name for name, part in properties.items() if part.needed and name not in value]
    inside = [_could_be(properties[name], part, depth) for name, part in value.items() if name in properties]
    return not missing and all(inside) and (not properties or properties.keys() >= value.keys())
