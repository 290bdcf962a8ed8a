"""JSON Schema: which schemas can be used, and which values fit them.

Nothing is ever retrieved, from no network and no file. Patterns run on an
engine whose time is linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, time
from functools import reduce
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, NoReturn, cast
from urllib.parse import unquote

from awaithumans.documents import dumps_sorted, ensure_json, remembered
from awaithumans.errors import InvalidInputError, InvalidSchemaError
from awaithumans.types import JsonObject
from awaithumans.words import counted, words

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

MAX_NODES = 20_000
"""How many values a schema may consist of."""
MAX_EXPANSION = 1_000_000
"""How many steps a schema may take with all its references written out."""
MAX_UNEVALUATED = 2_000
"""As above, where the engine writes references out: `unevaluatedProperties` and `unevaluatedItems`."""

MAX_PATTERNS = 50
MAX_PATTERN_LENGTH = 4_000
MAX_PATTERN_BYTES = 200_000
"""How large a compiled pattern may be."""

_UNEVALUATED = frozenset({"unevaluatedProperties", "unevaluatedItems"})
MAX_STEPS = 200_000
_EXPLAINED = 20_000
_MAX_FAULTS = 100
_QUOTED = 60
_TOLD = 200
_CHOICES = 12
_TOO_COSTLY = "is nested in too many ways to be checked"
_TOO_LARGE = "does not fit the schema, and is too large to say where"

# ── Where schemas stand inside a schema ───────────────────────────────────────

_NAMED = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"},
)
_LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_SINGLE = frozenset(
    {
        "items",
        "additionalItems",
        "unevaluatedItems",
        "contains",
        "additionalProperties",
        "unevaluatedProperties",
        "propertyNames",
        "not",
        "if",
        "then",
        "else",
        "contentSchema",
    }
)
_ANYTHING: JsonObject = {}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"}
)


def without_annotations(schema: object) -> object:
    """Give the schema without what does not change which values fit.

    Titles, descriptions, defaults, examples, `deprecated`, `readOnly`,
    `writeOnly`, `$comment` and `x-…` keys go; properties of such names, and
    whatever stands in `enum` or `const`, stay.
    """
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: value
        for key, value in cast("dict[str, object]", schema).items()
        if key not in _ANNOTATIONS and not key.startswith("x-")
    }
    return _rebuilt(kept, without_annotations)


def follow(schema: object, root: JsonObject) -> object:
    """Give what a schema's local `$ref` leads to, as often as it takes.

    A schema without one is given back as it is, and `{}` stands for a
    reference that leads nowhere or only to itself.
    """
    seen: set[str] = set()
    while (reference := _reference(schema)) is not None:
        if reference in seen:
            return _ANYTHING
        seen.add(reference)
        schema = _target(reference, root, _ANYTHING)
    return _ANYTHING if schema is None else schema


def _reference(schema: object) -> str | None:
    reference = cast("dict[str, object]", schema).get("$ref") if isinstance(schema, dict) else None
    return reference if isinstance(reference, str) else None


def _rebuilt(schema: dict[str, object], change: Callable[[object], object]) -> dict[str, object]:
    return {key: _changed(key, value, change) for key, value in schema.items()}


def _changed(key: str, value: object, change: Callable[[object], object]) -> object:
    if key in _NAMED and isinstance(value, dict):
        return {name: change(child) for name, child in cast("dict[str, object]", value).items()}
    if key in _LISTED and isinstance(value, list):
        return [change(child) for child in cast("list[object]", value)]
    return change(value) if key in _SINGLE else value


def _parts(schema: object) -> Iterator[tuple[str, str, object]]:
    """Yield the schemas directly inside one: keyword, name if any, schema."""
    for key, value in cast("dict[str, object]", schema).items() if isinstance(schema, dict) else ():
        if key in _NAMED and isinstance(value, dict):
            yield from ((key, name, child) for name, child in cast("dict[str, object]", value).items())
        elif key in _LISTED and isinstance(value, list):
            yield from ((key, "", child) for child in cast("list[object]", value))
        elif key in _SINGLE:
            yield key, "", value


def _everywhere(schema: object) -> Iterator[dict[str, object]]:
    pending = [schema]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield cast("dict[str, object]", current)
            pending.extend(child for _, _, child in _parts(cast("object", current)))


def _target(reference: str, root: JsonObject, anchors: JsonObject) -> object | None:
    pointer = unquote(reference.removeprefix("#"))
    if pointer and not pointer.startswith("/"):
        return anchors.get(pointer)
    current: object = root
    for step in pointer.split("/")[1:]:
        current = _step(current, step.replace("~1", "/").replace("~0", "~"))
    return current


def _step(current: object, step: str) -> object | None:
    if isinstance(current, dict):
        return cast("dict[str, object]", current).get(step)
    if isinstance(current, list) and step.isdecimal() and len(step) < len(str(MAX_NODES)):
        return next(islice(cast("list[object]", current), int(step), None), None)
    return None


class _References:
    """The references of one schema, and what they lead to."""

    def __init__(self, root: JsonObject) -> None:
        self.root = root
        self._anchors = {
            name: schema
            for schema in _everywhere(root)
            for key in ("$anchor", "$dynamicAnchor")
            if isinstance(name := schema.get(key), str)
        }

    def of(self, schema: object) -> Iterator[object]:
        """Yield what the references of one schema lead to."""
        found = cast("dict[str, object]", schema) if isinstance(schema, dict) else {}
        for reference in filter(None, map(found.get, _REFERENCES)):
            target = _target(cast("str", reference), self.root, self._anchors)
            yield _ANYTHING if target is None else target


# ── Which schemas can be used ─────────────────────────────────────────────────


def check_schema(schema: object, field: str) -> None:
    """Raise `InvalidSchemaError` unless `schema` can be used as it stands.

    It must be valid by its own `$schema` (2020-12 where it names none), refer
    only to places inside itself, and stay within bounds: nesting, number of
    parts, and the work its references add up to. Its patterns must run in
    linear time: look-ahead is understood directly after a leading `^`, and
    other look-around and back-references are refused.
    """
    if not isinstance(schema, dict):
        raise InvalidSchemaError(field, "it must be an object")
    known = cast("dict[str, object]", schema)
    try:
        ensure_json(known)
    except InvalidInputError as error:
        raise InvalidSchemaError(field, error.message) from None
    text = dumps_sorted(known)
    _check_bounds(text, field)
    with _no_crash(field):
        _compiled(text)


@remembered
def _check_bounds(text: str, field: str) -> None:
    """Check what was not found good before: agents ask with the same few schemas again and again."""
    schema: dict[str, object] = json.loads(text)
    _check_extent(schema, field)
    _check_references(schema, field)
    _check_expansion(schema, field)


def _check_extent(schema: dict[str, object], field: str) -> None:
    if sum(1 for _ in _values(schema)) > MAX_NODES:
        raise InvalidSchemaError(field, f"it has more than {MAX_NODES} parts")
    patterns = sum(("pattern" in part) + _count(part.get("patternProperties")) for part in _everywhere(schema))
    written = [part["pattern"] for part in _everywhere(schema) if isinstance(part.get("pattern"), str)]
    if any(len(cast(str, pattern)) > MAX_PATTERN_LENGTH for pattern in written):
        raise InvalidSchemaError(field, f"it has a pattern of more than {MAX_PATTERN_LENGTH} characters")
    if patterns > MAX_PATTERNS:
        raise InvalidSchemaError(field, f"it has more than {MAX_PATTERNS} patterns")


def _count(value: object) -> int:
    return len(cast("dict[str, object]", value)) if isinstance(value, dict) else 0


def _values(value: object) -> Iterator[object]:
    pending = [value]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(child for _, child in _items(current))


def _items(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        yield from (("", child) for child in cast("list[object]", value))


def _check_references(schema: dict[str, object], field: str) -> None:
    references = _References(schema)
    known = {id(_ANYTHING), *map(id, _everywhere(schema))}
    for part in _everywhere(schema):
        if "$id" in part and part is not schema:
            raise InvalidSchemaError(field, "$id may stand only at the top")
        for reference in filter(None, map(part.get, _REFERENCES)):
            if not isinstance(reference, str) or not reference.startswith("#"):
                raise InvalidSchemaError(field, f"{_quote(reference)} is not a reference inside the schema")
        if any(id(target) not in known for target in references.of(part) if not isinstance(target, bool)):
            raise InvalidSchemaError(field, "a reference leads to where no schema is looked for; use $defs")


def _check_expansion(schema: dict[str, object], field: str) -> None:
    try:
        unevaluated = any(not _UNEVALUATED.isdisjoint(part) for part in _everywhere(schema))
        if _expansion(schema) > (MAX_UNEVALUATED if unevaluated else MAX_EXPANSION):
            raise InvalidSchemaError(field, "its references multiply beyond what can be checked")
    except RecursionError:
        raise InvalidSchemaError(field, "its references are nested too deep") from None


def _expansion(root: dict[str, object]) -> int:
    """Count the parts of a schema with its references written out.

    What refers back to itself counts once: the engine remembers those results.
    """
    references = _References(root)
    loops = _loops(root, references)
    sizes: dict[int, int] = {}

    def size(schema: object) -> int:
        known = sizes.get(id(schema))
        if known is None:
            sizes[id(schema)] = 1
            targets = (target for target in references.of(schema) if loops.get(id(target)) != loops.get(id(schema)))
            inner = (child for key, _, child in _parts(schema) if key not in {"$defs", "definitions"})
            known = sizes[id(schema)] = 1 + sum(map(size, chain(inner, targets)))
        return known

    return max(map(size, _everywhere(root)))


def _loops(root: JsonObject, references: _References) -> dict[int, int]:
    """Number the schemas so that those referring to one another share one."""
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    loops: dict[int, int] = {}
    stack: list[int] = []

    def visit(schema: object) -> None:
        me = id(schema)
        order[me] = lowest[me] = len(order)
        stack.append(me)
        for child in chain((child for _, _, child in _parts(schema)), references.of(schema)):
            if id(child) not in order:
                visit(child)
            if id(child) not in loops:
                lowest[me] = min(lowest[me], lowest[id(child)])
        if lowest[me] == order[me]:
            while me not in loops:
                loops[stack.pop()] = me

    visit(root)
    return loops


@remembered
def _compiled(text: str) -> Validator:
    from jsonschema_rs import EmailOptions, RegexOptions, validator_for

    return validator_for(
        cast("dict[str, object]", _plain_patterns(json.loads(text))),
        formats={"time": _is_time, "date-time": _is_moment},
        validate_formats=True,
        retriever=_nothing,
        pattern_options=RegexOptions(size_limit=MAX_PATTERN_BYTES),
        email_options=EmailOptions(require_tld=True, allow_domain_literal=False, allow_display_text=False),
    )


@remembered
def _references(text: str) -> _References:
    return _References(json.loads(text))


def _nothing(uri: str) -> NoReturn:
    """Take the place of what would look a schema up at its address."""
    raise ValueError(f"{uri} is not part of this schema")


@contextmanager
def _no_crash(field: str) -> Generator[None, None, None]:
    """Turn what the engine raises, its panics too, into our own error."""
    try:
        yield
    except BaseException as fault:
        if isinstance(fault, ValueError) or type(fault).__name__ == "PanicException":
            raise InvalidSchemaError(field, _reason(fault)) from None
        raise


_NO_REGEX = ' is not a "regex"'


def _reason(fault: BaseException) -> str:
    message: str = getattr(fault, "message", "") or str(fault)
    if message.endswith(_NO_REGEX):
        message = f"the pattern {_shortened(message.removesuffix(_NO_REGEX))} cannot run in linear time"
    place = ".".join(map(str, cast("list[object]", getattr(fault, "instance_path", []))))
    return _shortened(f"{place}: {message}" if place else message, 300)


# ── Formats that the engine is stricter about than the writers of answers ─────

_TIME = r"\d\d:\d\d(:\d\d([.]\d+)?)?([Zz]|[+-]\d\d:\d\d)?"
_A_TIME = re.compile(_TIME, re.ASCII)
_A_MOMENT = re.compile(rf"\d{{4}}-\d\d-\d\d[Tt ]{_TIME}", re.ASCII)


def _is_time(text: str) -> bool:
    return bool(_A_TIME.fullmatch(text)) and _reads(time.fromisoformat, text)


def _is_moment(text: str) -> bool:
    return bool(_A_MOMENT.fullmatch(text)) and _reads(datetime.fromisoformat, text)


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text.upper())
    except ValueError:
        return False
    return True


# ── Patterns ──────────────────────────────────────────────────────────────────

_LOOK_AHEAD = re.compile(r"\^?\(\?([=!])")


def _plain_patterns(schema: object) -> object:
    """Write look-ahead at the start of patterns as patterns of their own."""
    if not isinstance(schema, dict):
        return schema
    rebuilt = _rebuilt(cast("dict[str, object]", schema), _plain_patterns)
    pattern = rebuilt.get("pattern")
    if isinstance(pattern, str) and (conditions := _conditions(pattern)):
        rest = {key: value for key, value in rebuilt.items() if key != "pattern"}
        return {**rest, "allOf": [*cast("list[object]", rest.get("allOf", [])), *conditions]}
    return rebuilt


def _conditions(pattern: str) -> list[object]:
    """Split `^(?=a)(?!b)c` into schemas that say the same; else none."""
    conditions: list[object] = []
    rest = pattern
    while pattern.startswith("^") and (found := _LOOK_AHEAD.match(rest)):
        end = _closing(rest, found.end())
        if end is None:
            return []
        condition = {"type": "string", "pattern": f"^(?:{rest[found.end() : end]})"}
        conditions.append(condition if found[1] == "=" else {"not": condition})
        rest = rest[end + 1 :]
    if not conditions or _closing(rest, 0, "|") is not None:
        return []
    on_text: list[object] = [{"if": {"type": "string"}, "then": condition} for condition in conditions]
    return [*on_text, {"pattern": f"^(?:{rest})"}]


def _closing(pattern: str, start: int, wanted: str = ")") -> int | None:
    """Find the next `wanted` outside of groups, classes and escapes."""
    depth, in_class, at = 0, False, start
    while at < len(pattern):
        character = pattern[at]
        if character == wanted and not depth and not in_class:
            return at
        depth += 0 if in_class else (character == "(") - (character == ")")
        in_class = character == "[" or (in_class and character != "]")
        at += 2 if character == "\\" else 1
    return None


# ── Which values fit ──────────────────────────────────────────────────────────


def validate(schema: JsonObject, value: object) -> dict[str, str]:
    """Say what is wrong with `value`, by dotted path; empty when it fits.

    "" is the value as a whole. Messages are for people and quote nothing long;
    an `x-error` beside a keyword says instead what is wrong where that is broken.
    Formats count: date, date-time and time (a zone may be missing), email,
    uri, uuid and the others the schema's draft defines. Raises
    `InvalidSchemaError` for a schema that `check_schema` refuses to compile.
    """
    try:
        ensure_json(value)
    except InvalidInputError as error:
        return dict(error.fields)
    with _no_crash("schema"):
        text = dumps_sorted(schema)
        validator = _compiled(text)
        references = _references(text)
        if not _affordable(references, value, MAX_STEPS, stops=True):
            return {"": _TOO_COSTLY}
        if validator.is_valid(_scalars_first(value) if _recursive(text) else value):
            return {}
        if not _affordable(references, value, _EXPLAINED, stops=False):
            return {"": _TOO_LARGE}
        found = (_explained(error, schema) for error in validator.iter_errors(value))
        return _first_of_each(islice(chain.from_iterable(found), _MAX_FAULTS))


def _first_of_each(faults: Iterator[tuple[str, str]]) -> dict[str, str]:
    result: dict[str, str] = {}
    for path, message in faults:
        result.setdefault(path, message)
    return result


@remembered
def _recursive(text: str) -> bool:
    """Tell whether parts of a schema refer back to themselves."""
    references = _references(text)
    loops = _loops(references.root, references)
    return len(set(loops.values())) < len(loops)


def _affordable(references: _References, value: object, steps: int, *, stops: bool) -> bool:
    """Tell whether checking `value` takes at most so many steps.

    `stops` tells whether the engine goes on behind the first fault.
    """
    try:
        return _Cost(references, steps, stops=stops).of(references.root, value) <= steps
    except RecursionError:
        return False


class _Cost:
    """Counts the steps of checking a value, without taking all of them."""

    def __init__(self, references: _References, limit: int, *, stops: bool) -> None:
        self._references = references
        self._limit = limit
        self._stops = stops
        self._known: dict[tuple[int, int], int] = {}

    def of(self, schema: object, value: object) -> int:
        """Give the steps for one schema and one value, or more than the limit."""
        key = (id(schema), id(value))
        if key in self._known:
            return self._known[key]
        if len(self._known) > self._limit:
            return self._limit + 1
        self._known[key] = 0
        total = 1 + _choices_of(schema)
        for part, at in self._inside(schema, value):
            total += self.of(part, at)
            if total > self._limit:
                break
        self._known[key] = total
        return total

    def _inside(self, schema: object, value: object) -> Iterator[tuple[object, object]]:
        if self._stops and _refuted(schema, value):
            return
        for target in self._references.of(schema):
            yield target, value
        parts = list(_parts(schema))
        yield from ((part, at) for key, _, part in parts if key != "properties" for at in _applied(key, value))
        properties = {name: part for key, name, part in parts if key == "properties"}
        for name, at in sorted(_fields(value), key=itemgetter(0)):
            if name in properties:
                yield properties[name], at
                if self._stops and not isinstance(at, dict | list) and _refuted(properties[name], at):
                    return


def _choices_of(schema: object) -> int:
    """Count what a value is compared with one by one."""
    enum = cast("JsonObject", schema).get("enum") if isinstance(schema, dict) else None
    return len(cast("list[object]", enum)) if isinstance(enum, list) else 0


def _scalars_first(value: object) -> object:
    """Order objects so that the engine looks at what is cheap to refuse first.

    It goes by name or, in larger objects, by the order in the value.
    """
    if isinstance(value, list):
        return [_scalars_first(child) for child in cast("list[object]", value)]
    if isinstance(value, dict):
        fields = sorted(_fields(cast("object", value)), key=lambda field: isinstance(field[1], dict | list))
        return {name: _scalars_first(child) for name, child in fields}
    return value


def _refuted(schema: object, value: object) -> bool:
    """Tell whether a look at the value itself is enough to refuse it."""
    known = cast("dict[str, object]", schema) if isinstance(schema, dict) else {}
    kind = known.get("type")
    other_kind = isinstance(kind, str) and not isinstance(value, _PYTHON_TYPES.get(kind, object))
    return other_kind or ("const" in known and known["const"] != value)


_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "array": list,
    "object": dict,
    "boolean": bool,
    "integer": (int, float),
    "number": (int, float),
}
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"})
_NOWHERE = frozenset({"$defs", "definitions", "contentSchema"})


def _applied(key: str, value: object) -> Iterator[object]:
    """Yield what a schema under this keyword looks at."""
    if key in _IN_PLACE:
        yield value
    elif key not in _NOWHERE:
        yield from (child for _, child in _items(value))


def _fields(value: object) -> list[tuple[str, object]]:
    return list(cast("dict[str, object]", value).items()) if isinstance(value, dict) else []


# ── What to say ───────────────────────────────────────────────────────────────

_TYPES: dict[str, str] = {
    "string": words("text"),
    "integer": words("a whole number"),
    "number": words("a number"),
    "boolean": words("true or false"),
    "array": words("a list"),
    "object": words("an object"),
    "null": words("empty"),
}
_FORMATS = {
    "date": words("a date like 2026-01-31"),
    "date-time": words("a date and time like 2026-01-31T14:30:00Z"),
    "time": words("a time like 14:30"),
    "email": words("an e-mail address"),
    "idn-email": words("an e-mail address"),
    "uri": words("a full web address, with https://"),
    "uuid": words("a UUID"),
}
_MUST_BE = words("must be %(limit)s")
_MANY = 2
_MESSAGES = {
    "minimum": words("must be at least %(limit)s"),
    "maximum": words("must be at most %(limit)s"),
    "exclusiveMinimum": words("must be more than %(limit)s"),
    "exclusiveMaximum": words("must be less than %(limit)s"),
    "multipleOf": words("must be a multiple of %(limit)s"),
    "minLength": counted("must have at least %(count)s character", "must have at least %(count)s characters", _MANY),
    "maxLength": counted("must have at most %(count)s character", "must have at most %(count)s characters", _MANY),
    "minItems": counted("must have at least %(count)s entry", "must have at least %(count)s entries", _MANY),
    "maxItems": counted("must have at most %(count)s entry", "must have at most %(count)s entries", _MANY),
    "minProperties": counted("must have at least %(count)s field", "must have at least %(count)s fields", _MANY),
    "maxProperties": counted("must have at most %(count)s field", "must have at most %(count)s fields", _MANY),
    "const": _MUST_BE,
    "pattern": words("must match the pattern %(limit)s"),
    "uniqueItems": words("must not have the same entry twice"),
    "contains": words("lacks an entry that is asked for, or has too many of them"),
    "falseSchema": words("is not allowed"),
    "not": words("is not allowed like this"),
    "contentEncoding": words("must be encoded as %(limit)s"),
    "contentMediaType": _MUST_BE,
    "unevaluatedItems": words("has more entries than are allowed"),
}


def _explained(error: ValidationError, schema: JsonObject) -> Iterator[tuple[str, str]]:
    own = _own_message(error, schema)
    return ((path, own or message) for path, message in _faults(error))


def _own_message(error: ValidationError, schema: JsonObject) -> str | None:
    """Give what the schema itself says of an error; it does not count inside of `anyOf` and `oneOf`."""
    part: object = schema
    for step in error.schema_path[:-1]:
        part = dict(_steps(part)).get(str(step))
    own = cast("JsonObject", part).get("x-error") if isinstance(part, dict) else None
    return _shortened(own, _TOLD) if isinstance(own, str) else None


def _steps(part: object) -> Iterator[tuple[str, object]]:
    if isinstance(part, list):
        return ((str(at), child) for at, child in enumerate(cast("list[object]", part)))
    return iter(_fields(part))


def _all_faults(errors: Iterator[ValidationError]) -> Iterator[tuple[str, str]]:
    return chain.from_iterable(map(_faults, errors))


def _faults(error: ValidationError) -> Iterator[tuple[str, str]]:
    path = ".".join(map(str, error.instance_path))
    match error.kind.name:
        case "required":
            yield _below(path, cast("str", error.kind.value)), words("is required")
        case "additionalProperties" | "unevaluatedProperties":
            for extra in cast("list[str]", error.kind.value):
                yield _below(path, extra), words("is not a known field")
        case "anyOf" | "oneOf":
            yield from _alternatives(path, error)
        case "propertyNames":
            yield path, words("has a field whose name is not allowed")
        case name:
            yield path, _message(name, error.kind.value)


def _below(path: str, name: str) -> str:
    named = _shortened(name, 200)
    return f"{path}.{named}" if path else named


def _message(name: str, value: object) -> str:
    match name:
        case "type":
            return _MUST_BE.filled(limit=_kinds(cast("list[str]", value)))
        case "enum":
            return _choices(cast("list[object]", value))
        case "format":
            return _MUST_BE.filled(limit=_FORMATS.get(cast("str", value)) or _quote(value))
        case _:
            return _MESSAGES.get(name, words("does not fit")).filled(limit=_quote(value), count=value)


def _alternatives(path: str, error: ValidationError) -> Iterator[tuple[str, str]]:
    """Explain by the one alternative that was meant, if there is one."""
    context = cast("list[list[ValidationError]]", error.kind.as_dict()["context"])
    failed = [faults for faults in context if faults]
    if len(failed) < len(context):
        yield path, words("fits more than one of the alternatives")
        return
    depth = len(error.instance_path)
    meant = [faults for faults in failed if not any(_mistaken(fault, depth) for fault in faults)]
    if len(meant) == 1:
        yield from _all_faults(iter(meant[0]))
    else:
        yield path, _none_fits(failed, depth)


def _mistaken(fault: ValidationError, depth: int) -> bool:
    """Tell whether a fault shows that an alternative was not the one meant."""
    below = len(fault.instance_path) - depth
    return fault.kind.name in ({"type", "const", "enum"} if below == 0 else {"const"} if below == 1 else ())


def _none_fits(failed: list[list[ValidationError]], depth: int) -> str:
    first = [fault for faults in failed for fault in faults if len(fault.instance_path) == depth]
    names = {fault.kind.name for fault in first}
    if names == {"type"}:
        return _MUST_BE.filled(limit=_kinds([kind for fault in first for kind in cast("list[str]", fault.kind.value)]))
    if names <= {"const", "enum"} and names:
        return _choices(list(chain.from_iterable(map(_members, first))))
    return words("fits none of the alternatives")


def _members(fault: ValidationError) -> list[object]:
    value: object = fault.kind.value
    return cast("list[object]", value) if fault.kind.name == "enum" else [value]


def _kinds(types: list[str]) -> str:
    known = [_TYPES.get(kind, kind) for kind in dict.fromkeys(types) if kind != "null"]
    return reduce(_either, known or [_TYPES["null"]])


def _either(one: str, other: str) -> str:
    return words("%(one)s or %(other)s", one=one, other=other)


def _choices(options: list[object]) -> str:
    shown = ", ".join(map(_quote, options[:_CHOICES]))
    more = ", …" if len(options) > _CHOICES else ""
    return words("choose one of: %(options)s", options=shown + more) if options else words("is not allowed")


def _quote(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _shortened(text)


def _shortened(text: str, limit: int = _QUOTED) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
