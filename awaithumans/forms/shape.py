"""What a response schema says of each property, in the terms of a form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from awaithumans import schemas
from awaithumans.types import JsonObject

DECIMAL = "x-decimal"
"""Marks the text that a number may come as, with all its digits."""
_NUMBERS = frozenset({"number", "integer"})
_DECIMAL = frozenset({"number", "string"})
_WHOLE = frozenset({"integer"})
_TEXT = frozenset({"string"})
_COMBINED = ("anyOf", "oneOf", "allOf")
_OF_THE_PROPERTY = frozenset({"$ref", "title", "description", "default", *_COMBINED})
_STEPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One property's schema, with references followed and null set aside.

    `types` is empty where any is allowed. `members` are the values of an enum
    or const. `needed` tells whether the schema requires the property;
    `defaulted` whether it has a default, which is `default`.
    """

    schema: JsonObject
    types: frozenset[str]
    members: tuple[object, ...] | None
    nullable: bool
    needed: bool = False
    defaulted: bool = False
    default: object = None
    title: str | None = None
    description: str | None = None
    root: JsonObject = field(default_factory=dict[str, object], repr=False)
    """The whole schema, which references start from."""

    def admits(self, value: object) -> bool:
        """Tell whether a value is of one of the types."""
        kind = _type_of(value)
        whole = isinstance(value, float) and value.is_integer()
        return kind in self.types or (kind == "integer" and "number" in self.types) or (whole and self.whole)

    @property
    def items(self) -> Shape | None:
        """Give the shape of a list's entries, where that is one for all."""
        return _property(self.schema["items"], self.root, needed=True) if "items" in self.schema else None

    @property
    def values(self) -> Shape | None:
        """Give the shape of the values under names that the schema does not have, where it has one."""
        others = self.schema.get("additionalProperties")
        return _property(cast("object", others), self.root, needed=True) if isinstance(others, dict) else None

    @property
    def properties(self) -> Mapping[str, Shape]:
        """Give the shapes of an object's properties, in their order."""
        return _properties(self.schema, self.root)

    @property
    def alternatives(self) -> Sequence[Shape]:
        """Give the shapes of which the value has one; none where the schema does not tell them apart."""
        either = as_list(self.schema.get("anyOf")) or as_list(self.schema.get("oneOf"))
        return [_property(part, self.root, needed=True) for part in either]

    @property
    def only_null(self) -> bool:
        """Tell whether nothing but null fits."""
        return self.schema.get("type") == "null"

    @property
    def decimal(self) -> bool:
        """Tell whether a number may come as text, as Pydantic's Decimal may."""
        return self.types == _DECIMAL and self.members is None

    @property
    def keeps_zeros(self) -> bool:
        """Tell whether a number that comes as text is nothing but that number."""
        return self.decimal and any(one.schema.get(DECIMAL) is True for one in self.alternatives)

    @property
    def secret(self) -> bool:
        """Tell whether it is text that nobody is to read, as Pydantic's SecretStr."""
        return self.types == _TEXT and (self.schema.get("format") == "password" or self.schema.get("writeOnly") is True)

    @property
    def numeric(self) -> bool:
        """Tell whether only numbers fit."""
        return self.decimal or bool(self.types and self.types <= _NUMBERS)

    @property
    def whole(self) -> bool:
        """Tell whether only whole numbers fit."""
        return self.types == _WHOLE

    @property
    def text(self) -> bool:
        """Tell whether any text fits as far as its type goes."""
        return not self.types or self.types == _TEXT


ANYTHING = Shape(schema={}, types=frozenset(), members=None, nullable=True)
"""The shape of what the schema does not speak of."""


def shapes(schema: JsonObject) -> dict[str, Shape]:
    """Give the shapes of an object schema's properties, in their order."""
    core, _ = _core(schema, schema)
    return _properties(core, schema)


def names(schema: JsonObject) -> tuple[str, ...]:
    """Name an object schema's properties, in their order."""
    core, _ = _core(schema, schema)
    return tuple(_object(core.get("properties")))


def shape_of(schema: JsonObject) -> Shape:
    """Give the shape of a whole response."""
    return _property(schema, schema, needed=True)


def _properties(core: JsonObject, root: JsonObject) -> dict[str, Shape]:
    properties, required = core.get("properties"), core.get("required")
    if not isinstance(properties, dict):
        return {}
    needed = cast("list[object]", required) if isinstance(required, list) else []
    named = cast("dict[str, object]", properties).items()
    return {name: _property(part, root, needed=name in needed) for name, part in named}


def texts_of(member: object) -> frozenset[str]:
    """Give the texts that a choice may be known by in a form."""
    return frozenset({str(member), json.dumps(member, ensure_ascii=False)})


def same_member(value: object, member: object) -> bool:
    """Tell whether a value is the member; true is not 1."""
    return value == member and isinstance(value, bool) == isinstance(member, bool)


def as_list(value: object) -> list[object]:
    """Give a list as it is, and nothing for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def _property(part: object, root: JsonObject, *, needed: bool) -> Shape:
    outer = _object(part)
    core, nullable = _core(outer, root)
    return Shape(
        schema=core,
        types=(_types(part, root, set()) or frozenset()) - {"null"},
        members=_members(core, root),
        nullable=nullable,
        needed=needed,
        defaulted="default" in outer,
        default=outer.get("default"),
        title=_text(outer.get("title")),
        description=_text(outer.get("description")),
        root=root,
    )


def _core(part: object, root: JsonObject) -> tuple[dict[str, object], bool]:
    """Follow references and take null away, until something else is said."""
    current, nullable = _object(part), False
    for _ in range(_STEPS):
        inner, was_nullable = _inside(current, root)
        nullable = nullable or was_nullable
        if inner is None:
            break
        outer = {key: value for key, value in current.items() if key not in _OF_THE_PROPERTY}
        current = {**outer, **inner}
    return current, nullable or _admits_null(current)


def _inside(part: dict[str, object], root: JsonObject) -> tuple[dict[str, object] | None, bool]:
    """Give the one schema that `part` only wraps, and whether null is beside it."""
    if "$ref" in part:
        return _object(schemas.follow(part, root)), False
    for key in _COMBINED:
        alternatives = [_object(schemas.follow(child, root)) for child in as_list(part.get(key))]
        rest = [child for child in alternatives if not _is_null(child)]
        if len(rest) == 1:
            return rest[0], len(rest) < len(alternatives)
        if len(rest) < len(alternatives):
            return {key: rest}, True
    return None, False


def _is_null(part: JsonObject) -> bool:
    return part.get("type") == "null" or ("const" in part and part["const"] is None)


def _admits_null(part: JsonObject) -> bool:
    return "null" in as_list(part.get("type")) or None in as_list(part.get("enum")) or _is_null(part)


def _types(part: object, root: JsonObject, seen: set[int]) -> frozenset[str] | None:
    """Give the types that fit; None where any may."""
    if id(part) in seen:
        return frozenset()
    seen.add(id(part))
    core, _ = _core(part, root)
    named = core.get("type")
    if named is not None:
        return frozenset(cast("list[str]", named if isinstance(named, list) else [named]))
    if members := _own_members(core):
        return frozenset(map(_type_of, members))
    either = [_types(child, root, seen) for child in as_list(core.get("anyOf")) or as_list(core.get("oneOf"))]
    every = [_types(child, root, seen) for child in as_list(core.get("allOf"))]
    known = [kinds for kinds in (_union(either), *every) if kinds]
    return frozenset(kind for kind in known[0] if all(kind in kinds for kinds in known)) if known else None


def _union(groups: list[frozenset[str] | None]) -> frozenset[str] | None:
    known = [kinds for kinds in groups if kinds is not None]
    return frozenset(kind for kinds in known for kind in kinds) if len(known) == len(groups) else None


def _members(part: JsonObject, root: JsonObject) -> tuple[object, ...] | None:
    """Give the values to choose from, if those are all there is."""
    alternatives = as_list(part.get("anyOf")) or as_list(part.get("oneOf"))
    groups = [_own_members(_core(child, root)[0]) for child in alternatives] or [_own_members(part)]
    if not all(groups):
        return None
    return tuple(member for group in groups for member in group if member is not None) or None


def _own_members(part: JsonObject) -> list[object]:
    return [part["const"]] if "const" in part else as_list(part.get("enum"))


_TYPE_NAMES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def _type_of(member: object) -> str:
    return _TYPE_NAMES.get(type(member), "null")


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
