"""Days pass, on Temporal's server that skips time, and no word comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from awaithumans import Engine, Query, TaskTimeoutError
from awaithumans.adapters.temporal import AwaitHumansPlugin, error_of
from awaithumans.adapters.temporal.activities import READ
from awaithumans.adapters.temporal.waiting import FIRST_PAUSE, LONGEST_PAUSE, MARGIN, pause_before_looking
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import VirtualClock
from tests.adapters.temporal.conftest import ANA
from tests.adapters.temporal.test_waiting import activities
from tests.adapters.temporal.workflows import RefundWorkflow
from tests.temporal import SKIPPING_SERVER, temporal_missing

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = 24 * 60 * 60


def looks(*, until: datetime, deadline: datetime) -> list[datetime]:
    """Give the times at which a workflow looks that was asked at noon."""
    found = [NOON]
    while found[-1] < until:
        found.append(found[-1] + pause_before_looking(NOON, found[-1], deadline))
    return found[1:]


class TestPauses:
    """How long a workflow waits for word before it looks."""

    def test_they_grow_with_the_time_waited(self):
        deadline = NOON + timedelta(days=30)
        for at in looks(until=deadline, deadline=deadline):
            pause = pause_before_looking(NOON, at, deadline)
            assert pause <= max((at - NOON) / 2, FIRST_PAUSE)
            assert pause <= LONGEST_PAUSE

    def test_the_deadline_is_looked_at(self):
        for seconds in (1, 20, 3_600, 3 * DAY + 7):
            deadline = NOON + timedelta(seconds=seconds)
            assert deadline + MARGIN in looks(until=deadline, deadline=deadline)

    def test_behind_the_deadline_they_begin_anew(self):
        deadline = NOON + timedelta(days=7)
        late = looks(until=deadline + timedelta(minutes=10), deadline=deadline)
        assert sum(at > deadline for at in late) >= 5

    def test_the_longest_wait_stays_far_below_what_a_history_holds(self):
        deadline = NOON + timedelta(days=366)
        assert len(looks(until=deadline, deadline=deadline)) < 400


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    if reason := temporal_missing():
        pytest.skip(reason)
    path = str(SKIPPING_SERVER)
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=path) as env:
        yield env


@pytest.mark.anyio
class TestDays:
    @pytest.fixture
    async def clock(self, env: WorkflowEnvironment) -> VirtualClock:
        return VirtualClock(await env.get_current_time())

    @pytest.fixture
    async def engine(self, env: WorkflowEnvironment, clock: VirtualClock) -> AsyncIterator[Engine]:
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            yield engine

    @pytest.fixture
    async def handle(
        self, env: WorkflowEnvironment, engine: Engine
    ) -> AsyncIterator[WorkflowHandle[RefundWorkflow, list[str]]]:
        """Give a workflow that asked, whose engine has no channel to it."""
        plugin = AwaitHumansPlugin(engine)
        async with Worker(env.client, task_queue="q", workflows=[RefundWorkflow], plugins=[plugin]):
            handle = await env.client.start_workflow(
                RefundWorkflow.run, args=[["A-1"], {"timeout_seconds": 3 * DAY}], id="refund", task_queue="q"
            )
            while not await engine.find(Query()):
                await anyio.sleep(0.01)
            yield handle

    async def test_an_answer_is_found_without_word_of_it(self, handle, engine, env):
        [task] = await engine.find(Query())
        await env.sleep(DAY)
        await engine.submit(task.id, {"approved": True}, by=ANA)
        answered = await env.get_current_time()
        assert await handle.result() == ["A-1: True"]
        found = (await handle.fetch_history()).events[-1].event_time.ToDatetime(UTC)
        assert timedelta() < found - answered <= timedelta(days=0.5, seconds=1), "half of what it had waited"

    async def test_the_deadline_is_the_tasks(self, handle, engine, env, clock):
        """The engine's clock goes a little behind Temporal's, as clocks do."""

        async def keep_time() -> None:
            while True:
                clock.jump(await env.get_current_time())
                await engine.tick()
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as group:
            group.start_soon(keep_time)
            with pytest.raises(WorkflowFailureError) as caught:
                await handle.result()
            group.cancel_scope.cancel()
        assert isinstance(error_of(caught.value), TaskTimeoutError)
        [task] = await engine.find(Query())
        assert task.closed_at is not None
        assert task.closed_at >= task.created_at + timedelta(days=3)
        assert (await activities(handle)).count(READ) < 100
