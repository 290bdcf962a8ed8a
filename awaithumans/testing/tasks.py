"""Tasks, changes and effects to test with, made without an engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from awaithumans.types import (
    AGENT,
    Actor,
    Answer,
    Change,
    Effect,
    EffectKind,
    Entry,
    Human,
    JsonObject,
    Task,
    TaskSpec,
    TaskStatus,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""When test tasks are made, unless they say otherwise."""

SECOND = timedelta(seconds=1)

ANA = Human(id="u-1", email="Ana@Example.com", display_name="Ana Šimić", slack_user_id="U0ANA")
BEN = Human(id="u-2", email="ben@example.com", display_name="Ben 100%_Sure")
BOSS = Human(id="u-3", email="boss@example.com", display_name="The Boss", operator=True)


def make_spec(**fields: Any) -> TaskSpec:
    """Make a spec; `fields` are those of `TaskSpec`."""
    defaults: dict[str, Any] = {
        "task": "Approve the refund?",
        "payload": {"amount": 99.99},
        "payload_schema": {"type": "object"},
        "response_schema": {"type": "object", "properties": {"approve": {"type": "boolean"}}},
        "timeout_seconds": 3600,
        "idempotency_key": f"key-{uuid4().hex}",
    }
    return TaskSpec(**{**defaults, **fields})


def make_task(*, spec: TaskSpec | None = None, **fields: Any) -> Task:
    """Make a new task; `fields` are those of `Task`."""
    spec = spec or make_spec()
    created_at: datetime = fields.pop("created_at", NOON)
    defaults: dict[str, Any] = {
        "id": uuid4().hex,
        "fingerprint": "f" * 64,
        "changed_at": created_at,
        "deadline": created_at + timedelta(seconds=spec.timeout_seconds),
    }
    return Task(spec=spec, created_at=created_at, **{**defaults, **fields})


def make_entry(task: Task, *, action: str = "noted", data: JsonObject | None = None) -> Entry:
    """Make the next entry of the task's trail."""
    return Entry(
        task_id=task.id,
        seq=task.trail_length + 1,
        at=task.changed_at,
        action=action,
        by=AGENT,
        from_status=task.status.value,
        to_status=task.status.value,
        data=data or {},
        previous=task.trail_digest,
    )


def make_effect(task: Task, *, due: datetime = NOON, **fields: Any) -> Effect:
    """Make a notice about the task; `fields` are those of `Effect`."""
    defaults: dict[str, Any] = {"kind": EffectKind.NOTIFY, "recipient": "test:ana", "event": "opened"}
    return Effect(task_id=task.id, due=due, **{**defaults, **fields})


def opening(task: Task, *effects: Effect) -> Change:
    """Make the change that creates `task`, with one line of trail."""
    return _recorded(task, "created", effects)


def following(task: Task, *effects: Effect, action: str = "noted", **fields: Any) -> Change:
    """Make the change to the task's next version, with one line of trail.

    `fields` are the fields of `Task` that are to be different.
    """
    fields.setdefault("changed_at", task.changed_at + SECOND)
    return _recorded(replace(task, version=task.version + 1, **fields), action, effects)


def answering(task: Task, by: Human = ANA, value: JsonObject | None = None) -> Change:
    """Make the change that completes `task` with an answer."""
    at = task.changed_at + SECOND
    answer = Answer(by=Actor.of(by, auth="engine"), at=at, attempt=1, value=value or {"approve": True})
    return following(task, action="completed", status=TaskStatus.COMPLETED, answers=(answer,), closed_at=at)


def collecting(task: Task) -> Change:
    """Make the change by which a closed task's outcome is taken over."""
    return following(task, action="collected", collected_at=task.changed_at + SECOND)


def _recorded(task: Task, action: str, effects: Iterable[Effect]) -> Change:
    entry = make_entry(task, action=action)
    recorded = replace(task, trail_length=entry.seq, trail_digest=entry.digest)
    return Change(task=recorded, entries=(entry,), effects=tuple(effects))
