"""What a worker does for workflows that ask: every call of the engine."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, cast
from urllib.parse import quote

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from awaithumans.adapters.temporal.failures import failure_of
from awaithumans.adapters.temporal.histories import ensure_recordable
from awaithumans.documents import ensure_json
from awaithumans.errors import (
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    TaskAlreadyTerminalError,
    TaskNotFoundError,
)
from awaithumans.protocols import Channel, TaskEngine
from awaithumans.routing import MAX_RECIPIENTS, Recipient, is_for_agents, shown_recipient
from awaithumans.types import MAX_TEXT_LENGTH, Actor, Task, TaskSpec
from awaithumans.wire import spec_from_wire, task_to_wire

logger = logging.getLogger("awaithumans.temporal")

CREATE = "awaithumans_create_task"
READ = "awaithumans_read_task"
CANCEL = "awaithumans_cancel_task"

CHANNEL = "temporal"
WORKFLOW_ID = "{workflow_id}"

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(days=1)

MARGIN = timedelta(seconds=1)
"""How long after a deadline it is looked for."""

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
            and has a `TemporalChannel`. Without one, or with False, nobody
            is told: the workflow looks for itself, at growing intervals. So
            it does if the engine could not take the entry for its workflow id.

    Register them with `Worker(activities=[*HumanActivities(engine).all, ...])`,
    or let `AwaitHumansPlugin` do it. The engine stays the caller's to run and to close.

    Raises `InvalidInputError` for a callback that is no `notify` entry, and
    `ConfigurationError` for one that does not name the workflow, or whose
    channel an engine in this process does not have.
    """

    def __init__(self, engine: TaskEngine, *, callback: str | Literal[False] | None = None) -> None:
        self._engine = engine
        if isinstance(callback, str):
            _check_callback(callback, _channels(engine))
        self._callback = _default_callback(engine) if callback is None else callback or None

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """Give what to register on the worker."""
        return (self.create, self.read, self.cancel)

    @activity.defn(name=CREATE)
    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask what `body` says, as it is on the wire; return the task."""
        with _failing_plainly():
            spec = spec_from_wire(body, requested_by="")
            return _told(await self._engine.create(self._with_callback(spec)))

    @activity.defn(name=READ)
    async def read(self, task_id: str, allowed: float) -> dict[str, Any]:
        """Return the task once it is closed.

        Fails while it is open, and Temporal tries again, at growing intervals:
        that leaves nothing in the history. `allowed` is how many seconds there
        are to the deadline, from when the activity was scheduled.
        """
        with _failing_plainly():
            task = await self._engine.get(task_id)
            if task.closed:
                return _told(task)
        raise ApplicationError(
            "the task is still open",
            type="StillOpen",
            category=ApplicationErrorCategory.BENIGN,
            next_retry_delay=pause_before_looking(_waited(), timedelta(seconds=allowed)),
        )

    @activity.defn(name=CANCEL)
    async def cancel(self, task_id: str) -> None:
        """Withdraw the question, if it is still open."""
        by = Actor(kind="agent", id=CHANNEL, auth="engine", via=CHANNEL)
        with _failing_plainly(), suppress(TaskNotFoundError, TaskAlreadyTerminalError):
            await self._engine.cancel(task_id, by=by, reason="The workflow that asked was cancelled.")

    def _with_callback(self, spec: TaskSpec) -> TaskSpec:
        """Add who is told; a question that this would make impossible goes without."""
        if self._callback is None:
            return spec
        workflow_id = activity.info().workflow_id or ""
        entry = _entry(self._callback, workflow_id)
        if entry is None or len(spec.notify) >= MAX_RECIPIENTS:
            logger.warning("workflow %r cannot be told how its question ends: it looks for itself", workflow_id)
            return spec
        return replace(spec, notify=(*spec.notify, entry))


def pause_before_looking(waited: timedelta, allowed: timedelta) -> timedelta:
    """Say how long to wait before looking again whether a task is closed.

    Half the time waited so far, or since the deadline, within bounds; and no
    longer than to the deadline. Both arguments count from one moment.
    """
    left = allowed - waited
    since = waited if left > timedelta() else -left
    pause = min(max(since / 2, FIRST_PAUSE), LONGEST_PAUSE)
    return min(pause, left + MARGIN) if left > timedelta() else pause


def _waited() -> timedelta:
    """Tell how long this activity is being tried, on the clock of Temporal's server."""
    info = activity.info()
    return info.current_attempt_scheduled_time - info.scheduled_time


# ── Who is told ───────────────────────────────────────────────────────────────


def _channels(engine: TaskEngine) -> Mapping[str, Channel] | None:
    """Give the channels of an engine in this process; None for one elsewhere."""
    return cast("Mapping[str, Channel] | None", getattr(engine, "channels", None))


def _default_callback(engine: TaskEngine) -> str | None:
    return f"{CHANNEL}:{WORKFLOW_ID}" if CHANNEL in (_channels(engine) or ()) else None


def _check_callback(callback: str, channels: Mapping[str, Channel] | None) -> None:
    recipient = Recipient.parse(callback)
    if set(re.findall(r"\{.*?\}", callback)) != {WORKFLOW_ID}:
        raise ConfigurationError(
            f"the callback {shown_recipient(callback)!r} does not name the workflow",
            hint=f"Write {WORKFLOW_ID}, and nothing else in braces, such as temporal:{WORKFLOW_ID}.",
        )
    if channels is not None and not (recipient.channel in channels and is_for_agents(channels[recipient.channel])):
        raise ConfigurationError(
            f"the engine has no channel {recipient.channel!r} that tells programs",
            hint="Give it one, such as Engine(channels=[TemporalChannel(client)]), or pass callback=False.",
        )


def _entry(callback: str, workflow_id: str) -> str | None:
    """Name the workflow as an entry of `notify`; None if an engine would not take it, or read another id."""
    to_channel = callback.startswith(f"{CHANNEL}:")
    entry = callback.replace(WORKFLOW_ID, workflow_id if to_channel else quote(workflow_id, safe=""))
    try:
        ensure_json(entry, "notify")
        unharmed = entry.endswith(f":{Recipient.parse(entry).target}")
    except InvalidInputError:
        return None
    return entry if unharmed and len(entry) <= MAX_TEXT_LENGTH else None


# ── What the history gets ─────────────────────────────────────────────────────


def _told(task: Task) -> dict[str, Any]:
    """Say what the workflow learns; raise what it gets instead, if its history cannot hold that."""
    document = task_to_wire(task)
    told = {name: document[name] for name in _TOLD}
    try:
        ensure_recordable(told, f"the answer to task {task.id}", activity.payload_converter())
    except InvalidInputError as error:
        vars(error).update(task_id=task.id)
        raise
    return told


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
