"""Days pass, on Temporal's server that skips time, and no word comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, timedelta

import anyio
import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from awaithumans import Engine, Query, TaskTimeoutError
from awaithumans.adapters.temporal import AwaitHumansPlugin, error_of
from awaithumans.adapters.temporal.activities import (
    CREATE,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MARGIN,
    READ,
    pause_before_looking,
)
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import VirtualClock
from tests.adapters.temporal.conftest import ANA
from tests.adapters.temporal.test_waiting import activities
from tests.adapters.temporal.workflows import RefundWorkflow
from tests.temporal import SKIPPING_SERVER, temporal_missing

DAY = timedelta(days=1)
YEAR = 366 * DAY

Ask = Callable[[timedelta], Awaitable[WorkflowHandle[RefundWorkflow, list[str]]]]


def looks(*, until: timedelta, allowed: timedelta) -> list[timedelta]:
    """Say after what times it is looked whether a task is closed."""
    found = [timedelta()]
    while found[-1] < until:
        found.append(found[-1] + pause_before_looking(found[-1], allowed))
    return found[1:]


class TestPauses:
    """How long it takes until a task is looked at again."""

    def test_they_grow_with_the_time_waited(self):
        for waited in looks(until=30 * DAY, allowed=30 * DAY):
            pause = pause_before_looking(waited, 30 * DAY)
            assert pause <= max(waited / 2, FIRST_PAUSE)
            assert pause <= LONGEST_PAUSE

    def test_the_deadline_is_looked_at(self):
        for seconds in (1, 20, 3_600, 3 * 24 * 3_600 + 7):
            allowed = timedelta(seconds=seconds)
            assert allowed + MARGIN in looks(until=allowed, allowed=allowed)

    def test_behind_the_deadline_they_begin_anew(self):
        late = looks(until=7 * DAY + timedelta(minutes=10), allowed=7 * DAY)
        assert sum(waited > 7 * DAY for waited in late) >= 5


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
    async def ask(self, env: WorkflowEnvironment, engine: Engine) -> AsyncIterator[Ask]:
        """Start a workflow that asks an engine which has no channel to it."""

        async def ask(allowed: timedelta) -> WorkflowHandle[RefundWorkflow, list[str]]:
            options = {"timeout_seconds": int(allowed.total_seconds())}
            handle = await env.client.start_workflow(
                RefundWorkflow.run, args=[["A-1"], options], id="refund", task_queue="q"
            )
            while not await engine.find(Query()):
                await anyio.sleep(0.01)
            return handle

        plugin = AwaitHumansPlugin(engine)
        async with Worker(env.client, task_queue="q", workflows=[RefundWorkflow], plugins=[plugin]):
            yield ask

    async def test_an_answer_is_found_without_word_of_it(self, ask, engine, env):
        handle = await ask(3 * DAY)
        [task] = await engine.find(Query())
        await env.sleep(DAY)
        await engine.submit(task.id, {"approved": True}, by=ANA)
        answered = await env.get_current_time()
        assert await handle.result() == ["A-1: True"]
        found = (await handle.fetch_history()).events[-1].event_time.ToDatetime(UTC)
        assert timedelta() < found - answered <= DAY / 2 + timedelta(seconds=5), "half of what it had waited"

    async def test_a_year_leaves_no_more_in_the_history_than_a_minute(self, ask, engine, env):
        handle = await ask(YEAR)
        [task] = await engine.find(Query())
        await env.sleep(YEAR - DAY)
        await engine.submit(task.id, {"approved": True}, by=ANA)
        assert await handle.result() == ["A-1: True"]
        assert len((await handle.fetch_history()).events) < 20

    async def test_the_deadline_is_the_tasks(self, ask, engine, env, clock):
        """The engine's clock goes a little behind Temporal's, as clocks do."""

        async def keep_time() -> None:
            while True:
                clock.jump(await env.get_current_time())
                await engine.tick()
                await anyio.sleep(0.01)

        handle = await ask(3 * DAY)
        async with anyio.create_task_group() as group:
            group.start_soon(keep_time)
            with pytest.raises(WorkflowFailureError) as caught:
                await handle.result()
            group.cancel_scope.cancel()
        assert isinstance(error_of(caught.value), TaskTimeoutError)
        [task] = await engine.find(Query())
        assert task.closed_at is not None
        assert task.closed_at >= task.created_at + 3 * DAY
        assert await activities(handle) == [CREATE, READ]
