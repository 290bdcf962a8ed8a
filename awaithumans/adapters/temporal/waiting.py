"""The call in workflow code: ask a person, and wait as a workflow waits."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import MethodType
from typing import cast

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from awaithumans.adapters.temporal.activities import CANCEL, CREATE, READ
from awaithumans.adapters.temporal.failures import error_of, failure_of
from awaithumans.adapters.temporal.hints import DECIDED, signal_name
from awaithumans.adapters.temporal.histories import ensure_recordable
from awaithumans.client import build_spec, once_more
from awaithumans.documents import scrubbed
from awaithumans.errors import AwaitHumansError, SchemaValidationError
from awaithumans.types import AssignTo, JsonObject, ResponseT, Task, TaskSpec, VerifierConfig
from awaithumans.wire import spec_to_wire, task_from_wire

ATTEMPT = timedelta(seconds=60)
"""How long one attempt of an activity may take."""

WITHDRAW_WITHIN = timedelta(minutes=10)
"""How long a cancellation waits for an engine that is away."""

_LONGEST_NAME = 200
_PERSISTENT = RetryPolicy(maximum_interval=timedelta(minutes=1))
_PATIENT = RetryPolicy(maximum_interval=timedelta(minutes=1), maximum_attempts=100)


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
    workflow reads the task itself; where it is lost, an activity looks at
    growing intervals: at half the time waited so far, at least every day, and
    at the deadline. However long it waits, the history grows by the same few
    events. `timeout_seconds` counts from the moment the task is created, on
    the engine's clock.

    If the call is cancelled, so is its question, before the cancellation goes
    on; while the engine is away, that is tried for ten minutes. A question
    with an `idempotency_key` stays open, since others may wait for it. What is
    not cancelled so stays open until its deadline: after those ten minutes, or
    where the run ends without waiting for the call (terminated, timed out,
    returned, failed).

    A response that `response_schema` refuses, though its JSON Schema allowed
    it, is asked for once more, with the errors at the fields.

    Raises what `awaithumans.await_human` raises, as `ApplicationError`s of
    those classes, which fail the workflow unless caught and are not retried;
    a client finds them by `error_of`. Among them is `BodyTooLargeError`, for a
    question or a response of more than 1,500,000 bytes: of the latter, the
    task keeps it. Raises `ActivityError` if the engine cannot be asked within
    about an hour and a half of attempts.
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
        return await questions.ask(spec, response_schema, own=idempotency_key is None)
    except AwaitHumansError as error:
        raise failure_of(error) from None


@dataclass(eq=False)
class _Waiter:
    """One call that waits for a task."""

    task_id: str
    heard: bool = False


class _Questions:
    """The questions of one run, and who waits for them."""

    def __init__(self) -> None:
        self._keys_made = 0
        self._waiters: list[_Waiter] = []
        self._withdrawals: set[asyncio.Task[None]] = set()

    @classmethod
    def of_this_run(cls) -> _Questions:
        """Return them from where the run keeps its handlers; the first call makes them."""
        handler = cast("MethodType | None", workflow.get_update_handler(DECIDED))  # pyright: ignore[reportUnknownMemberType]
        if handler is not None:
            return cast(_Questions, handler.__self__)
        questions = cls()
        workflow.set_update_handler(DECIDED, questions.hear, validator=_one_task_id)  # pyright: ignore[reportUnknownMemberType]
        return questions

    def hear(self, *said: object) -> bool:
        """Take the word, true or not, that a task is closed; say whether anybody waits for it."""
        waiters = [one for one in self._waiters if one.task_id == said[0]]
        for waiter in waiters:
            waiter.heard = True
        return bool(waiters)

    def next_key(self) -> str:
        """Name a question of this run: no other run has its id."""
        self._keys_made += 1
        info = workflow.info()
        names = (scrubbed(name, _LONGEST_NAME) for name in (info.namespace, info.workflow_id, info.run_id))
        return ":".join(("temporal", *names, str(self._keys_made)))

    async def ask(self, spec: TaskSpec, response_schema: type[ResponseT], *, own: bool) -> ResponseT:
        """Ask and wait; if several are cancelled together, end when all are withdrawn.

        For `asyncio.gather` ends with the first of them, and the workflow with
        it. `own` questions nobody else can have asked.
        """
        try:
            task = await self._decided(spec, own=own)
            try:
                return _result(task, response_schema)
            except SchemaValidationError as misfit:
                better = once_more(spec, misfit, task_id=task.id, response=task.response)
            return _result(await self._decided(better, own=own), response_schema)
        except asyncio.CancelledError:
            await workflow.wait_condition(lambda: not self._withdrawals)
            raise

    async def _decided(self, spec: TaskSpec, *, own: bool) -> Task:
        """Ask, and return the task once it is closed; if cancelled, begin to withdraw what is one's own."""
        creating = asyncio.create_task(_create(spec))
        try:
            task = await asyncio.shield(creating)
            with self._waiting(task) as waiter:
                return await _outcome(spec, waiter, task)
        except asyncio.CancelledError:
            if own:
                self._withdraw(creating)
            else:
                creating.cancel()
            raise

    @contextmanager
    def _waiting(self, task: Task) -> Generator[_Waiter]:
        """Listen to word of the task: by the key that it was asked under.

        That is in the history. The key of this run's spec may be another, where
        a reset run or a replay elsewhere goes through what an earlier one did.
        Signals from before wait for their handler.
        """

        def hear(*_: object) -> None:
            self.hear(task.id)

        self._waiters.append(waiter := _Waiter(task.id))
        workflow.set_signal_handler(signal_name(task.spec.idempotency_key), hear)  # pyright: ignore[reportUnknownMemberType]
        try:
            yield waiter
        finally:
            self._waiters.remove(waiter)

    def _withdraw(self, creating: asyncio.Task[Task]) -> None:
        withdrawal = asyncio.create_task(_withdrawn(creating))
        self._withdrawals.add(withdrawal)
        withdrawal.add_done_callback(self._withdrawals.discard)


def _one_task_id(*said: object) -> None:
    """Refuse what is not word of a task, before it gets into the history."""
    match said:
        case (str(),):
            return
        case _:
            raise ValueError(f"{DECIDED} takes the id of a task")


# ── Activities ────────────────────────────────────────────────────────────────


async def _create(spec: TaskSpec) -> Task:
    body = spec_to_wire(spec)
    ensure_recordable(body, "the question", workflow.payload_converter())
    return _task(spec, await _do(CREATE, _PATIENT, body))


async def _outcome(spec: TaskSpec, waiter: _Waiter, task: Task) -> Task:
    """Return the task once it is closed: an activity looks now and then, and another at once upon a hint."""
    asked_at = workflow.now()
    while not task.closed:
        waiter.heard = False
        allowed = (task.deadline - task.created_at) - (workflow.now() - asked_at)
        reading = asyncio.create_task(_do(READ, _PERSISTENT, task.id, allowed.total_seconds()))
        try:
            await workflow.wait_condition(lambda: waiter.heard or reading.done())  # noqa: B023 - awaited in this turn
        finally:
            reading.cancel()
        if reading.done():
            task = _task(spec, reading.result())
    return task


async def _withdrawn(creating: asyncio.Task[Task]) -> None:
    """Cancel a question that nobody waits for any more; one that is just being asked, too."""
    try:
        async with asyncio.timeout(WITHDRAW_WITHIN.total_seconds()):
            task = await creating
            await _do(CANCEL, _PERSISTENT, task.id)
    except (AwaitHumansError, ActivityError, TimeoutError) as fault:
        workflow.logger.warning("a question may be left open, the engine could not be told: %s", fault)


async def _do(activity: str, retries: RetryPolicy, *arguments: object) -> JsonObject:
    """Have an activity done; raise the error of ours that it failed with, if it was one."""
    try:
        return cast(
            JsonObject,
            await workflow.execute_activity(
                activity, args=arguments, result_type=dict, start_to_close_timeout=ATTEMPT, retry_policy=retries
            ),
        )
    except ActivityError as failure:
        if is_cancelled_exception(failure):
            raise asyncio.CancelledError from failure
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
