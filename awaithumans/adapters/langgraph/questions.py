"""What all questions have in common that are asked in place of interrupts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, cast

from langchain_core.messages import BaseMessage, message_to_dict
from langgraph.types import Interrupt
from pydantic import BaseModel

from awaithumans.adapters.langgraph.interrupts import OnInterrupt, Question
from awaithumans.client import build_spec
from awaithumans.documents import MAX_INTEGER_DIGITS, canonical, scrubbed
from awaithumans.forms import FormDefinition, Submission, Typed, parse, render_fields
from awaithumans.types import AssignTo, JsonObject, TaskSpec, VerifierConfig

_MAX_NESTING = 32
_MAX_INTEGER = 10**MAX_INTEGER_DIGITS
_FOR_MACHINES = frozenset({"type", "additional_kwargs", "response_metadata", "usage_metadata", "id"})


def first_of(*handlers: OnInterrupt) -> OnInterrupt:
    """Try several in their order; the first that makes a question of an interrupt counts."""

    def ask(one: Interrupt) -> Question | None:
        return next((question for handler in handlers if (question := handler(one))), None)

    return ask


class _Nothing(BaseModel):
    """Stands in until it is known what is asked."""


def template(
    *,
    timeout_seconds: int,
    assign_to: AssignTo | None,
    notify: Sequence[str] | None,
    verifier: VerifierConfig | None,
    redact_payload: bool,
    task_metadata: Mapping[str, str] | None,
) -> TaskSpec:
    """Make the spec of a question of which everything is known but the question."""
    spec = build_spec(
        task="",
        payload_schema=_Nothing,
        payload=_Nothing(),
        response_schema=_Nothing,
        timeout_seconds=timeout_seconds,
        assign_to=assign_to,
        notify=list(notify or ()),
        verifier=verifier,
        redact_payload=redact_payload,
        task_metadata=task_metadata,
    )
    return replace(spec, idempotency_key="", payload_schema={"type": "object"}, form=None)


# ── Values as people read them ────────────────────────────────────────────────


def readable(value: object, depth: int = 0) -> object:
    """Give a value as JSON: itself where it is JSON, and else what tells most of it.

    Messages are objects of what they say, models and dataclasses of their
    fields; anything else is its text.
    """
    if value is None or isinstance(value, bool | str | int | float):
        return _scalar(value)
    if depth >= _MAX_NESTING:
        return _text(value)
    match value:
        case Mapping():
            parts = cast("Mapping[object, object]", value)
            return {_text(key): readable(part, depth + 1) for key, part in parts.items()}
        case set() | frozenset():
            return sorted((readable(part, depth + 1) for part in cast("Iterable[object]", value)), key=canonical)
        case list() | tuple():
            return [readable(part, depth + 1) for part in cast("Iterable[object]", value)]
        case _:
            return readable(_told(value), depth + 1)


def _scalar(value: str | float | None) -> object:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case int():
            return int(value) if abs(value) < _MAX_INTEGER else hex(value)
        case _:
            return value if math.isfinite(value) else str(value)


def _told(value: object) -> object:
    """Give what an object that is not JSON tells of itself."""
    match value:
        case Enum():
            return cast("object", value.value)
        case BaseMessage():
            return _message(value)
        case BaseModel():
            return value.model_dump(mode="json", fallback=str, warnings=False)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {each.name: getattr(value, each.name) for each in fields(value)}
        case _:
            text = _text(value)
            return f"<{type(value).__name__}>" if _ADDRESS.search(text) else text


_ADDRESS = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)
"""How an object without words of its own shows where it is, which is another place each time."""


def _message(message: BaseMessage) -> dict[str, Any]:
    """Leave out of a message what is not for people."""
    written = message_to_dict(message)
    said: dict[str, Any] = written["data"]
    return {
        "type": written["type"],
        **{name: part for name, part in said.items() if name not in _FOR_MACHINES and part not in (None, "", [], {})},
    }


def _text(value: object) -> str:
    text = str(value)
    return scrubbed(text, len(text))


def is_json(value: object) -> bool:
    """Tell whether a value is JSON, so that a person may edit it."""
    shown = readable(value)
    return type(shown) is type(value) and shown == value


# ── Forms that start filled in ────────────────────────────────────────────────


def free_names(names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Name a field for each name: the name itself, with `_` behind it as long as it is taken."""
    names, used, found = list(names), set(taken), dict[str, str]()
    for name in names:
        free = name
        while free in used or (free != name and free in names):
            free += "_"
        used.add(free)
        found[name] = free
    return found


def untouched(spec: TaskSpec) -> JsonObject:
    """Give the answer that a form makes when it is sent as it was drawn."""
    return as_drawn(spec.form, spec.response_schema, spec.initial_response or {}).value


def as_drawn(form: FormDefinition | JsonObject | None, schema: JsonObject, start: JsonObject) -> Submission:
    """Send a form that starts with `start` as it was drawn."""
    drawn = render_fields(form, schema, start, {})
    return parse(form, schema, {control.name: Typed(control.values) for control in drawn}, start)


def same(first: JsonObject, second: JsonObject, name: str) -> bool:
    """Tell whether two answers have the same at one field, or both nothing."""
    if name not in first or name not in second:
        return (name in first) == (name in second)
    return canonical(first[name]) == canonical(second[name])
