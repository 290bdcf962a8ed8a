"""`await_human` in workflow code, on Temporal's server, in the sandbox."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import anyio
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from awaithumans import (
    BodyTooLargeError,
    IdempotencyConflictError,
    InvalidInputError,
    InvalidRoutingError,
    SchemaValidationError,
    Task,
    TaskCancelledError,
    TaskNotFoundError,
    TaskSpec,
    TaskStatus,
    TaskTimeoutError,
    TimeoutRangeError,
    VerificationExhaustedError,
)
from awaithumans.adapters.temporal import AwaitHumansPlugin, error_of, waiting
from awaithumans.adapters.temporal import activities as activities_of_ours
from awaithumans.adapters.temporal.activities import CANCEL, CREATE, READ
from tests.adapters.temporal.conftest import ANA, PATIENCE, SECRET, TOKEN, World, looked, world_on
from tests.adapters.temporal.workflows import (
    WORKFLOWS,
    AgainWorkflow,
    CatchingWorkflow,
    GroupWorkflow,
    ImpatientWorkflow,
    LargeWorkflow,
    ParallelWorkflow,
    ParentWorkflow,
    RefundWorkflow,
    RetriedWorkflow,
    StubbornWorkflow,
    TwinsWorkflow,
)

pytestmark = pytest.mark.anyio


async def failure_of(handle: WorkflowHandle[Any, Any]) -> WorkflowFailureError:
    with anyio.fail_after(PATIENCE), pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    return caught.value


async def done(handle: WorkflowHandle[Any, Any]) -> Any:
    with anyio.fail_after(PATIENCE):
        return await handle.result()


async def activities(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """Name the activities of a workflow, in order."""
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


class TestAnswers:
    async def test_the_answer_resumes_the_workflow(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        assert timedelta(seconds=25) < await looked(handle) < timedelta(seconds=35)
        await world.answer(task)
        assert await done(handle) == ["A-1: True"]
        assert await activities(handle) == [CREATE, READ, READ]

    async def test_two_questions_are_two_tasks(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1", "A-1"], {})
        for approved in (True, False):
            [task] = await world.open_tasks()
            await world.answer(task, approved=approved, note="said so")
        assert await done(handle) == ["A-1: True", "A-1: False"]

    async def test_parallel_questions_get_each_its_own_answer(self, world: World):
        handle = await world.start(ParallelWorkflow.run, ["A-1", "A-2", "A-3"])
        tasks = await world.open_tasks(3)
        for task in reversed(tasks):
            await world.answer(task, note=f"about {task.spec.payload['order']}")
        assert await done(handle) == ["A-1: about A-1", "A-2: about A-2", "A-3: about A-3"]

    async def test_an_answer_the_model_refuses_is_asked_for_once_more(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [first] = await world.open_tasks()
        await world.answer(first, approved=False)
        [second] = await world.open_tasks()
        assert second.spec.initial_response == {"approved": False, "note": ""}
        assert "say why not" in str(second.spec.initial_errors)
        await world.answer(second, approved=False, note="too late")
        assert await done(handle) == ["A-1: False"]

    async def test_and_only_once(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        for _ in range(2):
            [task] = await world.open_tasks()
            await world.answer(task, approved=False)
        assert isinstance(error_of(await failure_of(handle)), SchemaValidationError)

    async def test_an_explicit_key_names_the_question_for_every_workflow(self, world: World, monkeypatch):
        """The first is told of the answer, the others look for it."""
        monkeypatch.setattr(activities_of_ours, "FIRST_PAUSE", timedelta(seconds=1))
        options = {"idempotency_key": f"refund:{uuid4().hex}"}
        first = await world.start(RefundWorkflow.run, ["A-1"], options)
        [task] = await world.open_tasks()
        second = await world.start(RefundWorkflow.run, ["A-1"], options)
        await world.answer(task)
        assert await done(first) == await done(second) == ["A-1: True"]
        assert len(await world.tasks()) == 1

    async def test_one_who_gives_up_does_not_deafen_another_who_waits_for_the_same(self, world: World):
        handle = await world.start(TwinsWorkflow.run, uuid4().hex, 1.0)
        [task] = await world.open_tasks()
        with anyio.fail_after(PATIENCE):
            while EventType.EVENT_TYPE_TIMER_FIRED not in await kinds(handle):
                await anyio.sleep(0.02)
        await looked(handle)
        await world.answer(task, note="heard")
        assert await done(handle) == "heard"


class TestOutcomes:
    async def test_nobody_answers(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {"timeout_seconds": 1})
        failure = await failure_of(handle)
        error = error_of(failure)
        [task] = await world.tasks()
        assert isinstance(error, TaskTimeoutError)
        assert (error.code, vars(error)["task_id"]) == ("TIMEOUT_EXCEEDED", task.id)
        assert isinstance(failure.cause, ApplicationError)
        assert (failure.cause.type, failure.cause.non_retryable) == ("TaskTimeoutError", True)

    async def test_the_deadline_is_looked_at(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {"timeout_seconds": 10})
        assert timedelta(seconds=5) < await looked(handle) < timedelta(seconds=12)
        await handle.cancel()
        await failure_of(handle)

    async def test_the_question_is_withdrawn(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        await world.local.cancel(task.id, by=ANA)
        assert isinstance(error_of(await failure_of(handle)), TaskCancelledError)

    async def test_the_verifier_refuses(self, world: World):
        verifier = {"provider": "strict", "instructions": "Be strict.", "max_attempts": 2}
        handle = await world.start(RefundWorkflow.run, ["A-1"], {"verifier": verifier})
        for attempt in range(2):
            with anyio.fail_after(PATIENCE):
                while not (tasks := [task for task in await world.tasks() if task.attempt == attempt]):
                    await anyio.sleep(0.01)
            await world.answer(tasks[0])
        error = error_of(await failure_of(handle))
        assert isinstance(error, VerificationExhaustedError)
        assert (error.attempts, "not good enough" in error.message) == (2, True)

    @pytest.mark.parametrize(
        ("seconds", "outcome"), [(1, "nobody: TIMEOUT_EXCEEDED"), (600, "withdrawn: TASK_CANCELLED")]
    )
    async def test_workflow_code_can_catch_them_by_their_class(self, world: World, seconds, outcome):
        handle = await world.start(CatchingWorkflow.run, seconds)
        [task] = await world.open_tasks()
        if seconds > 1:
            await world.local.cancel(task.id, by=ANA)
        assert await done(handle) == outcome

    async def test_a_parents_client_finds_what_befell_the_child(self, world: World):
        handle = await world.start(ParentWorkflow.run, ["A-1"])
        [task] = await world.open_tasks()
        await world.local.cancel(task.id, by=ANA)
        assert isinstance(error_of(await failure_of(handle)), TaskCancelledError)

    async def test_out_of_task_groups(self, world: World):
        handle = await world.start(GroupWorkflow.run, ["A-1", "A-2"])
        first, second = await world.open_tasks(2)
        await world.local.cancel(first.id, by=ANA)
        assert isinstance(error_of(await failure_of(handle)), TaskCancelledError)
        assert (await world.local.get(second.id)).status is TaskStatus.CANCELLED

    async def test_out_of_the_task_groups_of_an_update(self, world: World):
        handle = await world.start(GroupWorkflow.run, ["A-1"])
        [main] = await world.open_tasks()
        asking = await handle.start_update(GroupWorkflow.also, ["A-2"], wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        [asked] = [task for task in await world.open_tasks(2) if task.id != main.id]
        await world.local.cancel(asked.id, by=ANA)
        with anyio.fail_after(PATIENCE), pytest.raises(WorkflowUpdateFailedError) as caught:
            await asking.result()
        assert isinstance(error_of(caught.value), TaskCancelledError)
        await world.answer(main)
        await done(handle)


class TestWhatCannotBeAsked:
    """It fails the workflow at once, instead of wedging it or being retried."""

    async def test_too_long_a_wait(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {"timeout_seconds": 0})
        assert isinstance(error_of(await failure_of(handle)), TimeoutRangeError)

    async def test_nobody_to_ask(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {"assign_to": {"pool": "nowhere"}})
        error = error_of(await failure_of(handle))
        assert isinstance(error, InvalidRoutingError)
        assert error.fields

    async def test_another_question_under_a_taken_key(self, world: World):
        options = {"idempotency_key": uuid4().hex}
        first = await world.start(RefundWorkflow.run, ["A-1"], options)
        [task] = await world.open_tasks()
        second = await world.start(RefundWorkflow.run, ["A-2"], options)
        assert isinstance(error_of(await failure_of(second)), IdempotencyConflictError)
        await world.answer(task)
        assert await done(first) == ["A-1: True"]


class TestWhatAHistoryCannotHold:
    """It fails the workflow with an explanation, instead of being tried without end."""

    async def test_too_large_a_question(self, world: World):
        handle = await world.start(LargeWorkflow.run, 3_000_000)
        error = error_of(await failure_of(handle))
        assert isinstance(error, BodyTooLargeError)
        assert re.search(r"the question has 300\d{4} bytes.* at most 1500000", error.message)
        assert "an id or a link" in error.hint
        assert await world.tasks() == []

    async def test_a_text_that_is_none(self, world: World):
        handle = await world.start(LargeWorkflow.run, 0)
        error = error_of(await failure_of(handle))
        assert isinstance(error, InvalidInputError)
        assert "the question.payload.order" in error.fields
        assert await world.tasks() == []

    @pytest.mark.parametrize("size", [1_600_000, 3_000_000])
    async def test_too_large_an_answer(self, world: World, size):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        await world.answer(task, note="x" * size)
        error = error_of(await failure_of(handle))
        assert isinstance(error, BodyTooLargeError)
        assert f"the answer to task {task.id}" in error.message
        assert vars(error)["task_id"] == task.id
        assert (await world.local.get(task.id)).response == {"approved": True, "note": "x" * size}

    async def test_a_large_answer(self, world: World):
        handle = await world.start(LargeWorkflow.run, 900_000)
        [task] = await world.open_tasks()
        await world.answer(task, note="x" * 1_400_000)
        assert len(await done(handle)) == 1_400_000


class TestWorkflowIds:
    """Whatever a workflow is called, it can ask."""

    @pytest.mark.parametrize("name", [" refund ", "re\0fund", "x" * 900])
    async def test_they_are_told_where_they_can_be_named(self, world: World, name):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {}, id=name)
        [task] = await world.open_tasks()
        told = [delivery.effect.recipient for delivery in await world.local.deliveries(task.id)]
        assert (f"temporal:{name}" in told) is (name[0] == "x")
        await handle.cancel()
        await failure_of(handle)


class TestRunsOfOneWorkflow:
    """Each run's question is its own: no answer counts twice."""

    async def test_continued_as_new(self, world: World):
        handle = await world.start(AgainWorkflow.run, 2)
        for note in ("first", "second"):
            [task] = await world.open_tasks()
            await world.answer(task, note=note)
        assert await done(handle) == "second"

    async def test_retried(self, world: World):
        retries = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=2)
        handle = await world.start(RetriedWorkflow.run, retry_policy=retries)
        for note in ("first", "second"):
            [task] = await world.open_tasks()
            await world.answer(task, note=note)
        assert await done(handle) == "second"

    async def test_an_outcome_is_not_retried(self, world: World):
        handle = await world.start(
            RefundWorkflow.run, ["A-1"], {"timeout_seconds": 1}, retry_policy=RetryPolicy(maximum_attempts=3)
        )
        assert isinstance(error_of(await failure_of(handle)), TaskTimeoutError)
        assert len(await world.tasks()) == 1

    async def test_reset_to_before_the_question(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [first] = await world.open_tasks()
        await world.answer(first, approved=True)
        assert await done(handle) == ["A-1: True"]
        again = await reset(world, handle, to_task=1)
        [second] = await world.open_tasks()
        await world.answer(second, approved=False, note="on second thoughts")
        assert await done(again) == ["A-1: False"]
        assert first.spec.idempotency_key != second.spec.idempotency_key

    async def test_reset_to_while_it_waited(self, world: World):
        """The question is in the history that is kept: it is not asked again."""
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        await world.answer(task)
        assert await done(handle) == ["A-1: True"]
        again = await reset(world, handle, to_task=2)
        assert await done(again) == ["A-1: True"]
        assert len(await world.tasks()) == 1

    async def test_reset_to_behind_a_signal(self, world: World):
        """The new run goes through what the signal did, under the key of the run that heard it."""
        handle = await signalled(world)
        again = await reset(world, handle, to_task=4)
        assert await done(again) == ["A-1: True"]
        assert len(await world.tasks()) == 1


async def signalled(world: World) -> WorkflowHandle[Any, Any]:
    """Run a workflow that looked once upon a signal, and once more upon the decision."""
    handle = await world.start(RefundWorkflow.run, ["A-1"], {})
    [task] = await world.open_tasks()
    await looked(handle)
    await handle.signal(f"awaithumans:{task.spec.idempotency_key}", {"task_id": task.id})
    with anyio.fail_after(PATIENCE):
        while await activities(handle) != [CREATE, READ, READ]:
            await anyio.sleep(0.02)
    await world.answer(task)
    assert await done(handle) == ["A-1: True"]
    return handle


async def reset(world: World, handle: WorkflowHandle[Any, Any], *, to_task: int) -> WorkflowHandle[Any, Any]:
    """Begin a workflow anew from the nth of its workflow tasks."""
    finished = [
        event.event_id
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    reply = await world.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=world.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.first_execution_run_id or ""),
            reason="a test",
            request_id=uuid4().hex,
            workflow_task_finish_event_id=finished[to_task - 1],
        )
    )
    return world.client.get_workflow_handle(handle.id, run_id=reply.run_id)


class TestCancelling:
    async def test_a_workflow_that_waits(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        await world.open_tasks()
        await handle.cancel()
        await failure_of(handle)
        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
        [task] = await world.tasks()
        assert task.status is TaskStatus.CANCELLED
        assert (await world.local.trail(task.id))[-1].data == {"reason": "The workflow that asked was cancelled."}

    async def test_all_its_questions(self, world: World):
        handle = await world.start(ParallelWorkflow.run, ["A-1", "A-2"])
        [first, _] = await world.open_tasks(2)
        await world.answer(first)
        await handle.cancel()
        await failure_of(handle)
        assert [task.status.value for task in await world.tasks()] == ["completed", "cancelled"]

    async def test_a_question_with_a_key_of_its_own_stays(self, world: World, monkeypatch):
        """Others may wait for it."""
        monkeypatch.setattr(activities_of_ours, "FIRST_PAUSE", timedelta(seconds=1))
        options = {"idempotency_key": uuid4().hex}
        first = await world.start(RefundWorkflow.run, ["A-1"], options)
        [task] = await world.open_tasks()
        second = await world.start(RefundWorkflow.run, ["A-1"], options)
        await looked(first)
        await looked(second)
        await first.cancel()
        await failure_of(first)
        assert await activities(first) == [CREATE, READ]
        await world.answer(task)
        assert await done(second) == ["A-1: True"]

    async def test_one_that_was_caught_holds_up_no_other(self, world: World):
        handle = await world.start(StubbornWorkflow.run)
        assert await done(handle) == "given up, and still waiting"

    async def test_by_a_clock_of_the_workflows_own(self, world: World):
        handle = await world.start(ImpatientWorkflow.run, 1.0)
        assert await done(handle) == "gone on"
        assert [task.status.value for task in await world.tasks()] == ["cancelled"]
        assert await activities(handle) == [CREATE, READ, CANCEL]


class TestHints:
    """The task is what counts, whatever else arrives."""

    async def test_forged_ones_change_nothing(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        signal = f"awaithumans:{task.spec.idempotency_key}"
        forged = {"task_id": task.id, "status": "completed", "response": {"approved": True}}
        await handle.signal(signal, forged)
        await handle.execute_update("awaithumans_decided", task.id, id=uuid4().hex)
        await handle.signal(signal, args=[])
        await handle.signal(signal, args=[1, 2])
        for wrong in ([forged], [], [task.id, "completed"]):
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update("awaithumans_decided", args=wrong)
        await handle.execute_update("awaithumans_decided", "some-other-task")
        await world.answer(task, approved=False, note="no")
        assert await done(handle) == ["A-1: False"]

    async def test_doubled_and_late_ones_change_nothing(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1", "A-2"], {})
        [first] = await world.open_tasks()
        await looked(handle)
        await world.answer(first)
        [second] = await world.open_tasks()
        await looked(handle)
        for _ in range(3):
            await handle.execute_update("awaithumans_decided", first.id, id=first.id)
            await handle.execute_update("awaithumans_decided", first.id)
            await handle.signal(f"awaithumans:{first.spec.idempotency_key}", {"task_id": first.id})
        await world.answer(second, approved=False, note="no")
        assert await done(handle) == ["A-1: True", "A-2: False"]
        assert await activities(handle) == [CREATE, READ, READ] * 2

    async def test_one_decision_is_one_update(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        await looked(handle)
        await world.answer(task)
        await done(handle)
        events = await kinds(handle)
        assert events.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) == 1
        assert events.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 0
        assert await handle.execute_update("awaithumans_decided", task.id, id=task.id) is True


class TestHistories:
    async def test_there_is_no_secret_in_them(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {"assign_to": "ana@example.com"})
        [task] = await world.open_tasks()
        await world.answer(task)
        await done(handle)
        written = b"".join(event.SerializeToString() for event in (await handle.fetch_history()).events)
        assert b"A-1" in written
        for secret in (TOKEN, SECRET, world.local.keys.key_ids[0]):
            assert secret.encode() not in written

    async def test_they_replay(self, world: World):
        handles = [
            await world.start(ParallelWorkflow.run, ["A-1", "A-2"]),
            await world.start(AgainWorkflow.run, 1),
        ]
        for task in await world.open_tasks(3):
            await world.answer(task)
        handles += [
            await world.start(ImpatientWorkflow.run, 0.2),
            await world.start(CatchingWorkflow.run, 1),
        ]
        for handle in handles:
            await done(handle)
        replayer = Replayer(
            workflows=WORKFLOWS,
            plugins=[AwaitHumansPlugin(world.engine)],
            data_converter=world.client.data_converter,
        )
        for handle in handles:
            await replayer.replay_workflow(await handle.fetch_history())

    async def test_they_replay_under_other_names(self, world: World):
        """A downloaded history says neither its namespace nor its workflow id."""
        history = await (await signalled(world)).fetch_history()
        replayer = Replayer(
            workflows=WORKFLOWS,
            plugins=[AwaitHumansPlugin(world.engine)],
            data_converter=world.client.data_converter,
            namespace="elsewhere",
        )
        await replayer.replay_workflow(WorkflowHistory.from_json("some-workflow", history.to_json()))


class TestAnEngineInTrouble:
    @pytest.fixture
    async def world(self, client: Client) -> AsyncIterator[World]:
        async with world_on(client) as world, world.worker():
            yield world

    async def test_asking_is_tried_again_and_what_it_failed_with_is_not_quoted(self, world: World, monkeypatch, caplog):
        create, failures = world.local.create, iter([RuntimeError("to postgresql://user:password@host")])

        async def failing_once(spec: TaskSpec) -> Task:
            for failure in failures:
                raise failure
            return await create(spec)

        monkeypatch.setattr(world.local, "create", failing_once)
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        await world.answer(task)
        assert await done(handle) == ["A-1: True"]
        written = b"".join(event.SerializeToString() for event in (await handle.fetch_history()).events)
        assert b"the engine failed with RuntimeError" in written
        assert b"password" not in written
        assert "password" in caplog.text, "the worker's log says more"

    async def test_a_question_that_is_just_being_asked_is_cancelled_too(self, world: World, monkeypatch):
        create, began, go_on = world.local.create, anyio.Event(), anyio.Event()

        async def slow(spec: TaskSpec) -> Task:
            began.set()
            await go_on.wait()
            return await create(spec)

        monkeypatch.setattr(world.local, "create", slow)
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        await began.wait()
        await handle.cancel()
        with anyio.fail_after(PATIENCE):
            while EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED not in await kinds(handle):
                await anyio.sleep(0.02)
        go_on.set()
        await failure_of(handle)
        assert [task.status.value for task in await world.tasks()] == ["cancelled"]

    async def test_withdrawing_is_tried_again(self, world: World, monkeypatch):
        cancel, failures = world.local.cancel, iter([RuntimeError("away"), RuntimeError("away")])

        async def failing_twice(task_id: str, **options: Any) -> Task:
            for failure in failures:
                raise failure
            return await cancel(task_id, **options)

        monkeypatch.setattr(world.local, "cancel", failing_twice)
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        await world.open_tasks()
        await handle.cancel()
        await failure_of(handle)
        assert [task.status.value for task in await world.tasks()] == ["cancelled"]

    async def test_withdrawing_ends_where_the_engine_stays_away(self, world: World, monkeypatch):
        async def failing(spec: TaskSpec) -> Task:
            raise RuntimeError("away")

        monkeypatch.setattr(world.local, "create", failing)
        monkeypatch.setattr(waiting, "WITHDRAW_WITHIN", timedelta(seconds=1))
        handle = await world.start(ImpatientWorkflow.run, 1.0)
        assert await done(handle) == "gone on"
        assert await activities(handle) == [CREATE]
        assert EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED in await kinds(handle), "asking has ended, too"

    async def test_a_task_that_was_erased_fails_the_workflow(self, world: World):
        handle = await world.start(RefundWorkflow.run, ["A-1"], {})
        [task] = await world.open_tasks()
        await world.local.delete(task.id, by=ANA)
        assert isinstance(error_of(await failure_of(handle)), TaskNotFoundError | TaskCancelledError)


async def kinds(handle: WorkflowHandle[Any, Any]) -> list[int]:
    return [event.event_type for event in (await handle.fetch_history()).events]
