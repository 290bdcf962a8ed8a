"""JSON with nothing in it that a later reader chokes on, and our documents."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from functools import cache, lru_cache, wraps
from typing import NoReturn, TypeVar, TypeVarTuple, cast

from awaithumans.errors import InvalidInputError
from awaithumans.types import (
    Actor,
    Answer,
    Delivery,
    Effect,
    EffectKind,
    Entry,
    Human,
    JsonObject,
    KeyScope,
    Task,
    TaskSpec,
    TaskStatus,
    Usage,
    Verdict,
    VerifierConfig,
    from_microseconds,
    microseconds,
)

MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 1_000
DOCUMENT_VERSION = 1
REMEMBERED = 64
LONGEST_REMEMBERED = 200_000
"""Characters of the texts: who asks may write millions, and those are not to stay in memory."""

_Texts = TypeVarTuple("_Texts")
_R = TypeVar("_R")
_MAX_INTEGER = 10**MAX_INTEGER_DIGITS
_WHOLE = re.compile(r"\.0|e[+]")
"""What stands in every whole number that is written as a float, and may stand in texts."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SORTED = json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"))

# ── Strict JSON ───────────────────────────────────────────────────────────────


def loads(text: bytes | str) -> object:
    """Parse JSON, refusing what JSON does not define or readers differ on.

    Raises `InvalidInputError` for invalid JSON, duplicate keys, NaN and
    infinities, NUL characters, lone surrogates, nesting deeper than
    `MAX_DEPTH` and integers of more than `MAX_INTEGER_DIGITS` digits.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value: object = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except InvalidInputError:
        raise
    except RecursionError:
        raise InvalidInputError(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise InvalidInputError(f"the body is not valid JSON: {error}") from None
    ensure_json(value)
    return value


def dumps(value: object) -> str:
    """Write compact JSON; the inverse of `loads`."""
    return _COMPACT.encode(value)


def dumps_sorted(value: object) -> str:
    """Write compact JSON in ASCII, its keys sorted."""
    return _SORTED.encode(value)


def ensure_json(value: object, name: str = "") -> None:
    """Raise `InvalidInputError` unless `loads(dumps(value))` gives `value`.

    `name` is what the value is called in the error's field paths.
    """
    try:
        _check(value, 0)
    except _FaultError as found:
        _refuse(".".join(step for step in (name, *reversed(found.steps)) if step), found.fault)


def ensure_object(value: object, name: str) -> None:
    """Raise `InvalidInputError` unless `value` is a JSON object."""
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} must be a JSON object", fields={name: "must be a JSON object"})
    ensure_json(cast(object, value), name)


def ensure_text(text: str, name: str, *, longest: int) -> None:
    """Raise `InvalidInputError` unless `text` has 1 to `longest` characters, and no NUL."""
    if not (isinstance(text, str) and 1 <= len(text) <= longest):  # pyright: ignore[reportUnnecessaryIsInstance]
        fault = f"must be text of 1 to {longest} characters"
        raise InvalidInputError(f"{name} {fault}", fields={name: fault})
    ensure_json(text, name)


def canonical(value: object) -> str:
    """Write JSON in one form only: keys sorted, `1.0` as `1`, ASCII."""
    text = dumps_sorted(value)
    return dumps_sorted(_plain_numbers(value)) if _WHOLE.search(text) else text


def digest(value: object) -> str:
    """Give the SHA-256 of a value's canonical form, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def remembered(made: Callable[[*_Texts], _R]) -> Callable[[*_Texts], _R]:
    """Keep what a function makes of texts, for the latest `REMEMBERED` of them that are not too long.

    It is the same value for all callers, from whatever thread.
    """
    keeping = lru_cache(maxsize=REMEMBERED)(made)

    @wraps(made)
    def looked_up(*texts: *_Texts) -> _R:
        short = sum(len(text) for text in texts if isinstance(text, str)) <= LONGEST_REMEMBERED
        return keeping(*texts) if short else made(*texts)

    return looked_up


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        [(doubled, _)] = Counter(key for key, _ in pairs).most_common(1)
        _refuse(doubled.encode("ascii", "backslashreplace").decode(), "the key stands twice")
    return result


def _no_constant(name: str) -> NoReturn:
    _refuse("", f"{name} is not a JSON number")


class _FaultError(Exception):
    """A fault in a document, and the steps that lead to it, innermost first."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.steps: list[str] = []


def _check(value: object, depth: int) -> None:
    """Look at every part of a value once; as each question is looked at whole, this is to be quick."""
    if depth > MAX_DEPTH:
        raise _FaultError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        _check_object(cast("dict[object, object]", value), depth + 1)
    elif isinstance(value, list):
        _check_list(cast("list[object]", value), depth + 1)
    elif value is not None and value is not True and value is not False:
        _check_number(value)


def _check_object(value: dict[object, object], depth: int) -> None:
    for key, child in value.items():
        if not isinstance(key, str):
            raise _FaultError("object keys must be text")
        _check_text(key)
        try:
            _check(child, depth)
        except _FaultError as found:
            found.steps.append(key)
            raise


def _check_list(value: list[object], depth: int) -> None:
    for index, child in enumerate(value):
        try:
            _check(child, depth)
        except _FaultError as found:
            found.steps.append(str(index))
            raise


def _check_number(value: object) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _FaultError("not a finite number")
    elif not isinstance(value, int):
        raise _FaultError(f"{type(value).__name__} is not a JSON value")
    elif abs(value) >= _MAX_INTEGER:
        raise _FaultError(f"integer of more than {MAX_INTEGER_DIGITS} digits")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _FaultError("text must not contain NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _FaultError("text must not contain lone surrogates") from None


def _refuse(path: str, fault: str) -> NoReturn:
    place = path[:200].encode("ascii", "backslashreplace").decode().replace("\0", "\\0")
    raise InvalidInputError(f"{place}: {fault}" if place else fault, fields={place: fault})


def _plain_numbers(value: object) -> object:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _plain_numbers(child) for key, child in cast("dict[str, object]", value).items()}
        case list() | tuple():
            return [_plain_numbers(child) for child in cast("list[object]", value)]
        case _:
            return value


def scrubbed(text: str, limit: int) -> str:
    """Make text of foreign origin storable: cut, no NUL, no lone surrogates."""
    return text[:limit].replace("\0", "").encode(errors="replace").decode()


# ── Our documents ─────────────────────────────────────────────────────────────


def spec_document(task: Task) -> dict[str, object]:
    """Write down what never changes of a task."""
    spec = task.spec
    document = _document(spec, skip=("verifier",))
    if spec.verifier:
        document["verifier"] = spec.verifier.model_dump(mode="json")
    document |= {
        "created_at": microseconds(task.created_at),
        "fingerprint": task.fingerprint,
        "v": DOCUMENT_VERSION,
    }
    return {**task.unknown_spec, **document}


def state_document(task: Task) -> dict[str, object]:
    """Write down where a task stands."""
    document = _document(task, skip=("id", "spec", "fingerprint", "created_at", "unknown", "unknown_spec"))
    document["version"] = task.version
    document["status"] = task.status.value
    document["v"] = DOCUMENT_VERSION
    return {**task.unknown, **document}


def task_from_documents(task_id: str, spec: JsonObject, state: JsonObject) -> Task:
    """Read a task back; the inverse of the two above."""
    known_spec, unknown_spec = _split(spec, _SPEC_KEYS)
    known, unknown = _split(state, _STATE_KEYS)
    return Task(
        id=task_id,
        fingerprint=cast("str", known_spec.pop("fingerprint")),
        created_at=_moment(known_spec.pop("created_at")),
        spec=_read_spec(known_spec),
        unknown=unknown,
        unknown_spec=unknown_spec,
        **_read_state(known),  # type: ignore[arg-type]
    )


def delivery_document(delivery: Delivery) -> dict[str, object]:
    """Write down an effect and what came of it."""
    return {**_document(delivery), "effect": _document(delivery.effect)}


def delivery_from_document(document: JsonObject) -> Delivery:
    """Read an effect back, and what came of it."""
    known = {name: document[name] for name in _names(Delivery) if name in document}
    effect = dict(cast("JsonObject", known["effect"]))
    effect |= {"kind": EffectKind(cast("str", effect["kind"])), "due": _moment(effect["due"])}
    known["effect"] = Effect(**effect)  # type: ignore[arg-type]
    if "settled_at" in known:
        known["settled_at"] = _moment(known["settled_at"])
    return Delivery(**known)  # type: ignore[arg-type]


def entry_document(entry: Entry) -> dict[str, object]:
    """Write down a line of the trail."""
    return _document(entry, skip=("task_id", "seq", "previous"))


def entry_from_document(task_id: str, seq: int, previous: str, document: JsonObject) -> Entry:
    """Read a line of the trail back."""
    return Entry(
        task_id=task_id,
        seq=seq,
        previous=previous,
        at=_moment(document["at"]),
        action=cast("str", document["action"]),
        by=_actor(document["by"]),
        from_status=cast("str | None", document.get("from_status")),
        to_status=cast("str", document["to_status"]),
        data=cast("JsonObject", document.get("data", {})),
    )


_CONTENT_FIELDS = frozenset(
    {
        "payload",
        "payload_schema",
        "response_schema",
        "form",
        "assign_to",
        "initial_response",
        "value",
        "parsed_response",
        "data",
    }
)
_SPEC_KEYS = frozenset({field.name for field in fields(TaskSpec)} | {"created_at", "fingerprint", "v"})
_STATE_KEYS = frozenset({field.name for field in fields(Task)} | {"v"}) - {
    "id",
    "spec",
    "fingerprint",
    "created_at",
    "unknown",
    "unknown_spec",
}


def _document(value: object, *, skip: tuple[str, ...] = ()) -> dict[str, object]:
    cls: type = type(value)
    document: dict[str, object] = dict(getattr(value, "unknown", {}))
    for name in _names(cls):
        content = getattr(value, name)
        if content is not None and content is not False and content != () and name not in skip:
            document[name] = content if name in _CONTENT_FIELDS else _plain(content)
    return document


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls) if field.name != "unknown")


def _plain(value: object) -> object:
    match value:
        case str() | int():
            return value
        case datetime():
            return microseconds(value)
        case tuple():
            return [_plain(item) for item in cast("tuple[object, ...]", value)]
        case Human() | Actor() | Answer() | Verdict() | Usage():
            return _document(value)
        case _:
            return value


def _split(document: JsonObject, known: frozenset[str]) -> tuple[dict[str, object], dict[str, object]]:
    ours = {key: value for key, value in document.items() if key in known and key != "v"}
    theirs = {key: value for key, value in document.items() if key not in known}
    return ours, theirs


def _read_spec(document: dict[str, object]) -> TaskSpec:
    if verifier := cast("JsonObject | None", document.pop("verifier", None)):
        known = {key: value for key, value in verifier.items() if key in VerifierConfig.model_fields}
        document["verifier"] = VerifierConfig.model_validate(known)
    document["key_scope"] = KeyScope(cast("str", document["key_scope"]))
    for name in ("notify", "asker_addresses"):
        document[name] = tuple(cast("list[str]", document.get(name, [])))
    return TaskSpec(**document)  # type: ignore[arg-type]


def _read_state(document: dict[str, object]) -> dict[str, object]:
    for name in (
        "changed_at",
        "deadline",
        "grace_until",
        "claimed_at",
        "closed_at",
        "collected_at",
        "response_redacted_at",
    ):
        if name in document:
            document[name] = _moment(document[name])
    document["status"] = TaskStatus(cast("str", document["status"]))
    document["recipients"] = tuple(cast("list[str]", document.get("recipients", [])))
    document["addressees"] = tuple(map(_human, cast("list[object]", document.get("addressees", []))))
    document["answers"] = tuple(map(_answer, cast("list[object]", document.get("answers", []))))
    if assignee := document.get("assignee"):
        document["assignee"] = _human(assignee)
    if verdict := document.get("verdict"):
        document["verdict"] = _verdict(verdict)
    return document


def _moment(value: object) -> datetime:
    return from_microseconds(cast("int", value))


def _known(document: object, cls: type) -> dict[str, object]:
    known = dict(cast(JsonObject, document))
    unknown = {key: known.pop(key) for key in known.keys() - _names(cls)}
    return {**known, "unknown": unknown}


def _human(document: object) -> Human:
    known = _known(document, Human)
    known |= {name: tuple(cast("list[str]", known.get(name, []))) for name in ("pools", "roles")}
    return Human(**known)  # type: ignore[arg-type]


def _actor(document: object) -> Actor:
    return Actor(**_known(document, Actor))  # type: ignore[arg-type]


def _answer(document: object) -> Answer:
    known = _known(document, Answer)
    known |= {"by": _actor(known["by"]), "at": _moment(known["at"])}
    return Answer(**known)  # type: ignore[arg-type]


def _verdict(document: object) -> Verdict:
    known = {"passed": False, **_known(document, Verdict)}
    if usage := known.get("usage"):
        known["usage"] = Usage(**_known(usage, Usage))  # type: ignore[arg-type]
    return Verdict(**known)  # type: ignore[arg-type]
