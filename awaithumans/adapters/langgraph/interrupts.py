"""What a parked graph shows of a question, and what it is resumed with.

Both are JSON. A node shows

    {"awaithumans": {"v": 1, "spec": <create body>, "after": [<task id>, …], "stray": [<task id>, …]}}

and, where it has created the task itself, the keys `task_id`,
`idempotency_key`, `task`, `payload` and `callback_url` beside it. `spec` is
the body of `POST /tasks`, without `idempotency_key` if the question has none
of its own; `after` are tasks whose outcomes this question was not content
with, and `stray` those that answered something else. A node is resumed with
the body of the webhook that tells the outcome, and `content`, the digest of
what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

from langgraph.types import Interrupt

from awaithumans.admission import content_of
from awaithumans.documents import digest
from awaithumans.errors import (
    ConfigurationError,
    InvalidInputError,
)
from awaithumans.types import (
    JsonObject,
    ResponseT,
    Task,
    TaskSpec,
    TaskStatus,
    outcome_error_of,
    typed_response,
)
from awaithumans.wire import outcome_to_wire, spec_from_wire, spec_to_wire

MARK: Final = "awaithumans"
VERSION: Final = 1

RESUME_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "description": "How a task ended, as its webhook tells it.",
    "properties": {
        "task_id": {"type": "string"},
        "status": {"enum": ["completed", "timed_out", "cancelled", "verification_exhausted"]},
        "response": {"type": ["object", "null"]},
        "content": {"type": "string"},
    },
    "required": ["task_id", "status", "response"],
}
"""The JSON Schema of what our interrupts are resumed with."""

_EITHER_CLIENT = ({"task_id", "idempotency_key", "task", "payload"}, {"taskId", "idempotencyKey", "task", "payload"})


# ── What a node shows ─────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Our own interrupt, as it was read."""

    spec: TaskSpec | None = None
    """What is asked; with an empty key, if it has none of its own. None if only the task's id is known."""
    after: tuple[str, ...] = ()
    """Tasks whose outcomes the question was not content with."""
    stray: tuple[str, ...] = ()
    """Tasks whose outcomes the node was resumed with, and which answer something that it does not ask any more."""
    task_id: str | None = None
    """The task that the node has created itself."""


def to_create(spec: TaskSpec, after: Sequence[str] = (), stray: Sequence[str] = ()) -> dict[str, object]:
    """Write the interrupt of a node that leaves creating the task to others."""
    body = {name: value for name, value in spec_to_wire(spec).items() if value not in (None, "")}
    return {MARK: {"v": VERSION, "spec": body, "after": list(after), "stray": list(stray)}}


def created(task: Task, spec: TaskSpec) -> dict[str, object]:
    """Write the interrupt of a node that has created the task."""
    return {
        "task_id": task.id,
        "idempotency_key": task.spec.idempotency_key,
        "task": spec.task,
        "payload": spec.payload,
        "callback_url": spec.callback_url,
        **to_create(spec),
    }


def read_parked(value: object) -> Parked | None:
    """Read an interrupt's value; None if it is not one of ours.

    Those of the existing format's clients are ours, too. Raises
    `ConfigurationError` for one of a newer release, and `InvalidInputError`
    for one that is broken.
    """
    if not isinstance(value, Mapping):
        return None
    shown = cast("Mapping[str, object]", value)
    task_id = next((shown[name] for name in ("task_id", "taskId") if isinstance(shown.get(name), str)), None)
    mark = shown.get(MARK)
    if isinstance(mark, Mapping):
        return _read_mark(cast("Mapping[str, object]", mark), cast("str | None", task_id))
    if task_id and any(keys <= shown.keys() for keys in _EITHER_CLIENT):
        return Parked(task_id=cast(str, task_id))
    return None


def _read_mark(mark: Mapping[str, object], task_id: str | None) -> Parked:
    if mark.get("v") != VERSION:
        raise ConfigurationError(
            f"the graph was parked by a release that writes version {mark.get('v')!r} of the interrupt",
            hint="Update awaithumans where the graph is driven.",
        )
    asked, after, stray = mark.get("spec"), mark.get("after", []), mark.get("stray", [])
    if not (isinstance(asked, Mapping) and isinstance(after, list) and isinstance(stray, list)):
        raise InvalidInputError("an interrupt of this library is broken: it has no spec, or no lists of tasks")
    spec = spec_from_wire({"idempotency_key": _NO_KEY, **cast("Mapping[str, object]", asked)}, requested_by="")
    return Parked(
        spec=replace(spec, idempotency_key="") if spec.idempotency_key == _NO_KEY else spec,
        after=tuple(map(str, cast("list[object]", after))),
        stray=tuple(map(str, cast("list[object]", stray))),
        task_id=task_id,
    )


_NO_KEY = "\0"


# ── What it is resumed with ───────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended, as a node is told of it."""

    task_id: str
    status: TaskStatus
    response: JsonObject | None
    attempt: int
    reason: str
    content: str | None

    def result(self, spec: TaskSpec, schema: type[ResponseT]) -> ResponseT:
        """Return the typed response to `spec`, or raise what the outcome stands for; see `Task.result`."""
        if error := outcome_error_of(self.status, spec, attempt=self.attempt, reason=self.reason):
            raise error
        return typed_response(self.response, schema)


def content_digest(spec: TaskSpec) -> str:
    """Digest what makes two questions the same question."""
    return digest(content_of(spec))


def to_resume(task: Task, spec: TaskSpec | None) -> dict[str, object]:
    """Write what a node is resumed with once the `task` that asked `spec` has closed."""
    return {
        **outcome_to_wire(task),
        "reason": task.verdict.reason if task.verdict else "",
        "content": content_digest(spec) if spec else None,
    }


def read_resume(value: object) -> Outcome | None:
    """Read what a node was resumed with; None if that tells of no outcome."""
    if not isinstance(value, Mapping):
        return None
    told = cast("Mapping[str, object]", value)
    task_id, status, response = told.get("task_id"), told.get("status"), told.get("response")
    if not isinstance(task_id, str) or status not in _CLOSED or not isinstance(response, Mapping | None):
        return None
    return Outcome(
        task_id=task_id,
        status=TaskStatus(str(status)),
        response=cast("JsonObject | None", response),
        attempt=cast(int, told.get("verification_attempt") or 0),
        reason=str(told.get("reason") or ""),
        content=cast("str | None", told.get("content")),
    )


_CLOSED = frozenset(status.value for status in TaskStatus if status.closed)


# ── Asking people in place of an interrupt ────────────────────────────────────


ANSWERED: Final = frozenset({TaskStatus.COMPLETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One task, and what its outcome means to the graph."""

    spec: TaskSpec
    """What is asked, such as by `build_spec`. Without a key of its own it is named by thread, interrupt and content."""
    read: Callable[[Task], object]
    """Makes a value of a closed task. Raises `SchemaValidationError` for an answer that cannot be used: then it is
    asked once more, with the errors at the fields."""
    outcomes: frozenset[TaskStatus] = ANSWERED
    """The outcomes that `read` takes; any other is raised to whoever drives the graph."""


def _first(values: Sequence[object]) -> object:
    return values[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What people are asked in place of one interrupt.

    Each of `asks` is a task of its own, all are asked at the same time, and
    when the last is answered the graph is resumed with what `resume` makes of
    the values, in their order.
    """

    asks: tuple[Ask, ...]
    resume: Callable[[Sequence[object]], object] = _first
    """By default: the value of the first."""


OnInterrupt: TypeAlias = Callable[[Interrupt], "Question | None"]
"""Tells what people are asked in place of an interrupt that is not ours; None leaves it to the caller."""
