"""The call in workflow code: ask a person, and wait as a workflow waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from types import MethodType
from typing import cast

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from awaithumans.adapters.temporal.activities import CANCEL, COLLECT, CREATE, READ
from awaithumans.adapters.temporal.failures import error_of, failure_of
from awaithumans.adapters.temporal.hints import DECIDED, signal_name
from awaithumans.client import build_spec, once_more
from awaithumans.errors import AwaitHumansError, SchemaValidationError
from awaithumans.types import AssignTo, JsonObject, ResponseT, Task, TaskSpec, VerifierConfig
from awaithumans.wire import spec_to_wire, task_from_wire

ATTEMPT = timedelta(seconds=60)
"""How long one attempt of an activity may take."""

WITHDRAW_WITHIN = timedelta(minutes=1)
"""How long the cancellation of a workflow waits for a question that is just being asked."""

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(days=1)

MARGIN = timedelta(seconds=1)
"""How long after a deadline it is looked for."""

_LONGEST_NAME = 200
_PERSISTENT = RetryPolicy(maximum_interval=timedelta(minutes=1))
_PATIENT = RetryPolicy(maximum_interval=timedelta(minutes=1), maximum_attempts=100)
_BRIEF = RetryPolicy(maximum_interval=timedelta(minutes=1), maximum_attempts=8)


async def await_human(
    *,
    task: str,
    payload_schema: type[BaseModel],
    payload: BaseModel | Mapping[str, object],
    response_schema: type[ResponseT],
    timeout_seconds: int,
    assign_to: AssignTo | None = None,
    notify: list[str] | None = None,
    verifier: VerifierConfig | None = None,
    idempotency_key: str | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
    callback_url: str | None = None,
) -> ResponseT:
    """Ask a person from workflow code, and wait for the typed answer.

    The arguments are those of `awaithumans.await_human`; the engine is the
    worker's (`HumanActivities`). Without `idempotency_key`, each call of each
    run is a question of its own, also after a continue-as-new, a retry of
    the workflow, a reset, or in the next run of a schedule.

    While it waits nothing runs and nothing is held; it outlives worker, engine
    and Temporal's server. Word of the decision is only a hint, upon which the
    workflow reads the task itself; where it is lost, the workflow looks at
    growing intervals: at half the time waited so far, at least every day, and
    at the deadline. `timeout_seconds` counts from the moment the task is
    created, on the engine's clock.

    If the call is cancelled, so is the open question. A response that
    `response_schema` refuses, though its JSON Schema allowed it, is asked for
    once more, with the errors at the fields.

    Raises what `awaithumans.await_human` raises, as `ApplicationError`s of
    those classes, which fail the workflow unless caught and are not retried;
    a client finds them by `error_of`. Raises `ActivityError` if the engine
    cannot be asked within about an hour and a half of attempts.
    """
    questions = _Questions.of_this_run()
    try:
        spec = build_spec(
            task=task,
            payload_schema=payload_schema,
            payload=payload,
            response_schema=response_schema,
            timeout_seconds=timeout_seconds,
            assign_to=assign_to,
            notify=notify,
            verifier=verifier,
            idempotency_key=questions.next_key() if idempotency_key is None else idempotency_key,
            redact_payload=redact_payload,
            task_metadata=task_metadata,
            callback_url=callback_url,
        )
        return await questions.ask(spec, response_schema)
    except AwaitHumansError as error:
        raise failure_of(error) from None


class _Questions:
    """The questions of one run, and what it has heard of them."""

    def __init__(self) -> None:
        self._keys_made = 0
        self._heard_of: set[str] = set()
        self._asking: set[asyncio.Task[object]] = set()

    @classmethod
    def of_this_run(cls) -> _Questions:
        """Return them from where the run keeps its handlers; the first call makes them."""
        handler = cast("MethodType | None", workflow.get_update_handler(DECIDED))  # pyright: ignore[reportUnknownMemberType]
        if handler is not None:
            return cast(_Questions, handler.__self__)
        questions = cls()
        workflow.set_update_handler(DECIDED, questions.hear, validator=_one_task_id)  # pyright: ignore[reportUnknownMemberType]
        return questions

    def hear(self, *said: object) -> None:
        """Take the word, true or not, that a task is closed."""
        self._heard_of.add(cast(str, said[0]))

    def next_key(self) -> str:
        """Name a question of this run: no other run has its id."""
        self._keys_made += 1
        info = workflow.info()
        named = (info.namespace[:_LONGEST_NAME], info.workflow_id[:_LONGEST_NAME], info.run_id, self._keys_made)
        return ":".join(("temporal", *map(str, named)))

    async def ask(self, spec: TaskSpec, response_schema: type[ResponseT]) -> ResponseT:
        """Ask and wait; if several are cancelled together, end when all are withdrawn.

        For `asyncio.gather` ends with the first of them, and the workflow with it.
        """
        asking = cast("asyncio.Task[object]", asyncio.current_task())
        self._asking.add(asking)
        try:
            return await self._ask(spec, response_schema)
        except BaseException as error:
            self._asking.discard(asking)
            if not is_cancelled_exception(error):
                raise
            await workflow.wait_condition(self._none_is_being_withdrawn)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise asyncio.CancelledError from error  # an activity that was cancelled with the call
        finally:
            self._asking.discard(asking)

    def _none_is_being_withdrawn(self) -> bool:
        return not any(asking.cancelling() for asking in self._asking)

    async def _ask(self, spec: TaskSpec, response_schema: type[ResponseT]) -> ResponseT:
        task = await self._decided(spec)
        try:
            return _result(task, response_schema)
        except SchemaValidationError as misfit:
            better = once_more(spec, misfit, task_id=task.id, response=task.response)
        return _result(await self._decided(better), response_schema)

    async def _decided(self, spec: TaskSpec) -> Task:
        """Ask, and return the task once it is closed; if cancelled, cancel it, too."""
        creating = asyncio.create_task(_create(spec))
        try:
            task = await self._outcome(spec, await asyncio.shield(creating))
        except BaseException as error:
            if is_cancelled_exception(error):
                await asyncio.shield(_withdraw(creating))
            raise
        await _collect(task.id)
        return task

    async def _outcome(self, spec: TaskSpec, task: Task) -> Task:
        task_id, asked_at = task.id, workflow.now()

        def hear(*_: object) -> None:
            self._heard_of.add(task_id)

        workflow.set_signal_handler(signal_name(task.spec.idempotency_key), hear)  # pyright: ignore[reportUnknownMemberType]
        while not task.closed:
            with suppress(TimeoutError):
                pause = pause_before_looking(asked_at, workflow.now(), task.deadline)
                await workflow.wait_condition(lambda: task_id in self._heard_of, timeout=pause)
            self._heard_of.discard(task_id)
            task = _task(spec, await _do(READ, task_id, _PERSISTENT))
        return task


def pause_before_looking(asked_at: datetime, now: datetime, deadline: datetime) -> timedelta:
    """Say how long to wait for word of a decision before looking for it.

    Half the time since the question was asked, or since its deadline, within
    bounds; and no longer than to the deadline.
    """
    left = deadline - now
    since = now - asked_at if left > timedelta() else -left
    pause = min(max(since / 2, FIRST_PAUSE), LONGEST_PAUSE)
    return min(pause, left + MARGIN) if left > timedelta() else pause


def _one_task_id(*said: object) -> None:
    """Refuse what is not word of a task, before it gets into the history."""
    match said:
        case (str(),):
            return
        case _:
            raise ValueError(f"{DECIDED} takes the id of a task")


# ── Activities ────────────────────────────────────────────────────────────────


async def _create(spec: TaskSpec) -> Task:
    return _task(spec, await _do(CREATE, spec_to_wire(spec), _PATIENT))


async def _collect(task_id: str) -> None:
    try:
        await _do(COLLECT, task_id, _BRIEF)
    except (AwaitHumansError, ActivityError) as fault:
        if is_cancelled_exception(fault):
            raise
        workflow.logger.warning("task %s: its outcome is here, and the engine could not be told: %s", task_id, fault)


async def _withdraw(creating: asyncio.Task[Task]) -> None:
    """Cancel a question that nobody waits for any more; one that is just being asked, too."""
    try:
        task = await asyncio.wait_for(creating, WITHDRAW_WITHIN.total_seconds())
        await _do(CANCEL, task.id, _BRIEF)
    except (AwaitHumansError, ActivityError, TimeoutError) as fault:
        workflow.logger.warning("a question was left open, the engine could not be told: %s", fault)


async def _do(activity: str, argument: object, retries: RetryPolicy) -> JsonObject:
    """Have an activity done; raise the error of ours that it failed with, if it was one."""
    try:
        return cast(
            JsonObject,
            await workflow.execute_activity(
                activity, argument, result_type=dict, start_to_close_timeout=ATTEMPT, retry_policy=retries
            ),
        )
    except ActivityError as failure:
        if known := error_of(failure):
            raise known from failure
        raise


def _result(task: Task, response_schema: type[ResponseT]) -> ResponseT:
    try:
        return task.result(response_schema)
    except AwaitHumansError as error:
        vars(error).update(task_id=task.id, attempts=task.attempt)
        raise


def _task(spec: TaskSpec, told: JsonObject) -> Task:
    return task_from_wire({**spec_to_wire(spec), **told})
