"""JSON with nothing in it that a later reader chokes on, and our documents."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import NoReturn, TypeAlias, cast

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

_MAX_INTEGER = 10**MAX_INTEGER_DIGITS

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
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def ensure_json(value: object, name: str = "") -> None:
    """Raise `InvalidInputError` unless `loads(dumps(value))` gives `value`.

    `name` is what the value is called in the error's field paths.
    """
    pending: list[tuple[object, _Place, int]] = [(value, (None, name), 0)]
    while pending:
        current, place, depth = pending.pop()
        if depth > MAX_DEPTH:
            _refuse_at(place, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(current, dict | list):
            container = cast("dict[object, object] | list[object]", current)
            pending.extend((child, (place, step), depth + 1) for child, step in _children(container, place))
        else:
            _ensure_scalar(current, place)


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
    return json.dumps(_plain_numbers(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """Give the SHA-256 of a value's canonical form, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        [(doubled, _)] = Counter(key for key, _ in pairs).most_common(1)
        _refuse(doubled.encode("ascii", "backslashreplace").decode(), "the key stands twice")
    return result


def _no_constant(name: str) -> NoReturn:
    _refuse("", f"{name} is not a JSON number")


_Place: TypeAlias = "tuple[_Place | None, str | int]"
"""A place in a document: where it is in, and the step to it. Written out only to name a fault."""


def _children(container: dict[object, object] | list[object], place: _Place) -> Iterator[tuple[object, str | int]]:
    if isinstance(container, list):
        yield from ((child, index) for index, child in enumerate(container))
        return
    for key, child in container.items():
        if not isinstance(key, str):
            _refuse_at(place, "object keys must be text")
        _ensure_text(key, place)
        yield child, key


def _ensure_scalar(value: object, place: _Place) -> None:
    match value:
        case None | bool():
            return
        case str():
            _ensure_text(value, place)
        case int() if abs(value) >= _MAX_INTEGER:
            _refuse_at(place, f"integer of more than {MAX_INTEGER_DIGITS} digits")
        case int():
            return
        case float() if not math.isfinite(value):
            _refuse_at(place, "not a finite number")
        case float():
            return
        case _:
            _refuse_at(place, f"{type(value).__name__} is not a JSON value")


def _ensure_text(text: str, place: _Place) -> None:
    if "\0" in text:
        _refuse_at(place, "text must not contain NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse_at(place, "text must not contain lone surrogates")


def _refuse_at(place: _Place, fault: str) -> NoReturn:
    steps: list[str] = []
    at: _Place | None = place
    while at is not None:
        at, step = at
        steps.append(str(step))
    _refuse(".".join(step for step in reversed(steps) if step), fault)


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
    known = {field.name: document[field.name] for field in fields(Delivery) if field.name in document}
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


def _document(value: object, *, skip: Sequence[str] = ()) -> dict[str, object]:
    unknown: JsonObject = getattr(value, "unknown", {})
    return dict(unknown) | {
        field.name: content if field.name in _CONTENT_FIELDS else _plain(content)
        for field in fields(value)  # type: ignore[arg-type]
        if field.name not in (*skip, "unknown")
        and (content := getattr(value, field.name)) is not None
        and content != ()
        and content is not False
    }


def _plain(value: object) -> object:
    match value:
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
    names = {field.name for field in fields(cls)}
    read = cast(JsonObject, document)
    known = {key: value for key, value in read.items() if key in names}
    return {**known, "unknown": {key: value for key, value in read.items() if key not in names}}


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
