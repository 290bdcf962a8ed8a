"""What a worker does for workflows that ask: every call of the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from temporalio import activity
from temporalio.exceptions import ApplicationError

from awaithumans.adapters.temporal.failures import failure_of
from awaithumans.errors import (
    ConflictError,
    InvalidInputError,
    TaskAlreadyTerminalError,
    TaskNotFoundError,
)
from awaithumans.protocols import TaskEngine
from awaithumans.routing import Recipient
from awaithumans.types import Actor, Task, TaskSpec
from awaithumans.wire import spec_from_wire, task_to_wire

logger = logging.getLogger("awaithumans.temporal")

CREATE = "awaithumans_create_task"
READ = "awaithumans_read_task"
COLLECT = "awaithumans_collect_task"
CANCEL = "awaithumans_cancel_task"

CHANNEL = "temporal"
WORKFLOW_ID = "{workflow_id}"

_HOPELESS = (InvalidInputError, ConflictError, TaskNotFoundError)
"""What no retry can cure."""

_TOLD = (
    "id",
    "idempotency_key",
    "status",
    "response",
    "response_redacted_at",
    "verifier_result",
    "verification_attempt",
    "timeout_seconds",
    "created_at",
    "updated_at",
    "timeout_at",
    "closed_at",
    "completed_at",
    "version",
)
"""What a workflow learns of a task: not who it is addressed to, nor again what it asked."""


class HumanActivities:
    """The activities behind `await_human`, on one engine.

    Arguments:
        engine: where questions are asked, in this process or over HTTP.
        callback: who is told how a question ended, so that the workflow goes
            on at once: a `notify` entry of the engine, in which
            `{workflow_id}` stands for the id of the workflow that asks. By
            default `temporal:{workflow_id}`, if the engine is in this process
            and has a `TemporalChannel`. Without one, the workflow looks for
            itself, at growing intervals.

    Register them with `Worker(activities=[*HumanActivities(engine).all, ...])`,
    or let `AwaitHumansPlugin` do it. The engine stays the caller's to run and to close.
    """

    def __init__(self, engine: TaskEngine, *, callback: str | None = None) -> None:
        self._engine = engine
        self._callback = callback or _callback_of(engine)
        if self._callback is not None:
            Recipient.parse(self._callback)

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """Give what to register on the worker."""
        return (self.create, self.read, self.collect, self.cancel)

    @activity.defn(name=CREATE)
    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask what `body` says, as it is on the wire; return the task."""
        with _failing_plainly():
            spec = spec_from_wire(body, requested_by="")
            return _told(await self._engine.create(self._with_callback(spec)))

    @activity.defn(name=READ)
    async def read(self, task_id: str) -> dict[str, Any]:
        """Return the task as it stands."""
        with _failing_plainly():
            return _told(await self._engine.get(task_id))

    @activity.defn(name=COLLECT)
    async def collect(self, task_id: str) -> None:
        """Say that the outcome is in the workflow's history."""
        with _failing_plainly(), suppress(TaskNotFoundError):
            await self._engine.collect(task_id)

    @activity.defn(name=CANCEL)
    async def cancel(self, task_id: str) -> None:
        """Withdraw the question, if it is still open."""
        by = Actor(kind="agent", id=CHANNEL, auth="engine", via=CHANNEL)
        with _failing_plainly(), suppress(TaskNotFoundError, TaskAlreadyTerminalError):
            await self._engine.cancel(task_id, by=by, reason="The workflow that asked was cancelled.")

    def _with_callback(self, spec: TaskSpec) -> TaskSpec:
        if self._callback is None:
            return spec
        workflow_id = activity.info().workflow_id or ""
        to_channel = self._callback.startswith(f"{CHANNEL}:")
        entry = self._callback.replace(WORKFLOW_ID, workflow_id if to_channel else quote(workflow_id, safe=""))
        return replace(spec, notify=(*spec.notify, entry))


def _callback_of(engine: TaskEngine) -> str | None:
    """Name the channel to the workflow, where the engine has it in this process."""
    return f"{CHANNEL}:{WORKFLOW_ID}" if CHANNEL in getattr(engine, "channels", ()) else None


def _told(task: Task) -> dict[str, Any]:
    document = task_to_wire(task)
    return {name: document[name] for name in _TOLD}


@contextmanager
def _failing_plainly() -> Generator[None]:
    """Keep out of the history what errors of others may quote: addresses, contents, secrets."""
    try:
        yield
    except _HOPELESS as error:
        raise failure_of(error, retryable=False) from None
    except Exception as error:
        logger.exception("the engine failed in activity %s", activity.info().activity_type)
        kind = type(error).__name__
        raise ApplicationError(f"the engine failed with {kind}; the worker's log says more", type=kind) from None
