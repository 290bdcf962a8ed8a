"""Time in tests: it jumps when everybody waits, and only then."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from awaithumans import (
    Actor,
    BlockingEngine,
    ConfigurationError,
    Engine,
    Human,
    Query,
    TaskStatus,
    TaskTimeoutError,
    await_human,
)
from awaithumans.client import build_spec
from awaithumans.protocols import TaskEngine
from awaithumans.routing import AddressDirectory
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing import rehearsal
from awaithumans.testing.engines import Advance, EngineConformance
from awaithumans.testing.humans import Humans, Reply, Silence
from tests.testing.questions import HOUR, ask, ask_sync, question

pytestmark = pytest.mark.anyio

YES: dict[str, Any] = {"approved": True}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def in_no_time():
    """Hours pass in each of these tests; it takes a moment."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 60


async def outcome(order: str, done: Callable[[str], None] = lambda _: None, **fields: Any) -> None:
    """Ask, and say what came of it and in which order."""
    try:
        await ask(order, **fields)
        done(f"{order} answered")
    except TaskTimeoutError:
        done(f"{order} timed out")


class TestAQuestion:
    async def test_that_nobody_answers_times_out_at_its_deadline(self, humans: Humans):
        humans.ignore()
        with pytest.raises(TaskTimeoutError):
            await ask(timeout_seconds=30 * 24 * HOUR)
        [task] = humans.tasks
        assert task.closed_at == task.deadline == task.created_at + timedelta(days=30)

    @pytest.mark.parametrize("after", [0.5, HOUR - 1, timedelta(minutes=59)])
    async def test_that_is_answered_late_is_answered_then(self, humans: Humans, after: Any):
        humans.answer(YES, after=after)
        assert (await ask()).approved
        [task] = humans.tasks
        assert task.closed_at
        passed = task.closed_at - task.created_at
        assert passed == (after if isinstance(after, timedelta) else timedelta(seconds=after))

    @pytest.mark.parametrize("after", [HOUR, HOUR + 1, 2 * HOUR])
    async def test_that_is_answered_too_late_times_out(self, humans: Humans, after: float):
        humans.answer(YES, after=after)
        with pytest.raises(TaskTimeoutError):
            await ask()
        assert humans.tasks[0].closed_at == humans.tasks[0].deadline

    async def test_that_is_answered_at_once_takes_no_time(self, humans: Humans):
        humans.answer(YES)
        await ask()
        assert humans.tasks[0].closed_at == humans.tasks[0].created_at

    async def test_starts_at_the_present(self, humans: Humans):
        """A receiver of webhooks, for one, compares with its own clock."""
        assert abs(humans.engine.clock.now().timestamp() - time.time()) < 60

    def test_in_plain_functions(self, humans: Humans):
        humans.script(Silence(), Reply(YES, after=60))
        with pytest.raises(TaskTimeoutError):
            ask_sync()
        assert ask_sync().approved


class TestQuestionsAtOnce:
    async def test_end_in_the_order_of_the_virtual_clock(self, humans: Humans):
        humans.answer(lambda task: Reply(YES, after=float(task.spec.payload["order"])))  # type: ignore[arg-type]
        for _ in range(10):
            ended: list[str] = []
            async with anyio.create_task_group() as group:
                for order in ("50", "5000", "10", "4000", "30"):
                    group.start_soon(outcome, order, ended.append)
            assert ended[:3] == ["10 answered", "30 answered", "50 answered"]
            assert sorted(ended[3:]) == ["4000 timed out", "5000 timed out"]

    async def test_each_have_their_own_deadline(self, humans: Humans):
        humans.ignore()
        ended: list[str] = []
        async with anyio.create_task_group() as group:
            for hours in (3, 1, 2):
                group.start_soon(partial(outcome, f"{hours} h", ended.append, timeout_seconds=hours * HOUR))
        assert ended == ["1 h timed out", "2 h timed out", "3 h timed out"]

    async def test_may_be_many(self, humans: Humans):
        humans.answer(lambda task: Reply(YES, after=int(str(task.spec.payload["order"])) % 10))
        ended: list[str] = []
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(outcome, str(number), ended.append)
        assert sorted(ended) == sorted(f"{number} answered" for number in range(50))

    async def test_go_on_when_one_is_given_up(self, humans: Humans):
        """The waiter that saw to everything is cancelled; another takes over."""
        humans.answer(YES, after=60)
        humans.ignore(to="never")
        ended: list[str] = []
        async with anyio.create_task_group() as group, anyio.create_task_group() as given_up:
            with humans.hold():
                for _ in range(3):
                    given_up.start_soon(partial(outcome, "never", ended.append, task="never"))
                await anyio.wait_all_tasks_blocked()
                group.start_soon(outcome, "A-1", ended.append)
                await anyio.wait_all_tasks_blocked()
                given_up.cancel_scope.cancel()
        assert ended == ["A-1 answered"]


class TestOtherWork:
    async def test_that_runs_comes_before_a_deadline(self, humans: Humans):
        """The clock stands still while any other task of the loop can run."""
        humans.ignore()
        order: list[str] = []

        async def compute() -> None:
            for _ in range(500):
                await anyio.lowlevel.checkpoint()
            order.append("computed")

        async with anyio.create_task_group() as group:
            group.start_soon(outcome, "A-1", order.append)
            group.start_soon(compute)
        assert order == ["computed", "A-1 timed out"]

    async def test_that_sleeps_for_real_changes_nothing_of_a_question(self, humans: Humans):
        """Each question's end depends on what people do with it, and on nothing else."""
        humans.ignore()
        humans.answer(YES, to="second", after=HOUR - 1)
        ended: list[str] = []

        async def later() -> None:
            await anyio.sleep(0.05)
            await outcome("B-1", ended.append, task="second")

        async with anyio.create_task_group() as group:
            group.start_soon(outcome, "A-1", ended.append)
            group.start_soon(later)
        assert ended == ["A-1 timed out", "B-1 answered"]

    async def test_that_sleeps_for_real_can_hold_the_clock(self, humans: Humans):
        humans.ignore()
        order: list[str] = []

        async def fetch() -> None:
            with humans.hold():
                await anyio.sleep(0.05)
                order.append("fetched")

        async with anyio.create_task_group() as group:
            group.start_soon(fetch)
            group.start_soon(outcome, "A-1", order.append)
        assert order == ["fetched", "A-1 timed out"]

    async def test_may_ask_while_it_holds_the_clock(self, humans: Humans):
        humans.answer(YES)
        with humans.hold():
            assert (await ask()).approved

    async def test_cannot_wait_for_the_clock_that_it_holds(self, humans: Humans, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(rehearsal, "HELD_WITHIN", 0.05)
        humans.ignore()
        with humans.hold(), pytest.raises(AssertionError, match="The clock was held"):
            await ask()

    async def test_that_never_rests_is_not_waited_for(self, humans: Humans):
        humans.ignore()

        async def spin() -> None:
            while True:
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(spin)
            with pytest.raises(TaskTimeoutError):
                await ask()
            group.cancel_scope.cancel()


class TestThreads:
    def test_of_a_pool_may_all_ask(self, humans: Humans):
        humans.answer(lambda task: Reply(YES, after=float(task.spec.payload["order"])))  # type: ignore[arg-type]
        with ThreadPoolExecutor(8) as pool:
            assert all(decision.approved for decision in pool.map(ask_sync, map(str, range(24))))

    def test_of_a_pool_may_all_be_ignored(self, humans: Humans):
        humans.ignore()

        def ended(order: str) -> bool:
            with pytest.raises(TaskTimeoutError):
                ask_sync(order)
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ended, map(str, range(24))))

    async def test_of_the_loop_may_ask(self, humans: Humans):
        humans.script(YES, Silence())
        assert (await anyio.to_thread.run_sync(ask_sync)).approved
        with pytest.raises(TaskTimeoutError):
            await anyio.to_thread.run_sync(ask_sync)

    async def test_of_an_event_loop_may_not_be_blocked(self, humans: Humans):
        """As in production, where the engine works on that loop."""
        humans.answer(YES)
        with pytest.raises(ConfigurationError, match="would never return"):
            ask_sync()

    async def test_that_are_blocked_with_a_loop_end_the_test(self, humans: Humans, monkeypatch: pytest.MonkeyPatch):
        """A coroutine waits on a loop that waits for a thread that waits for the coroutine."""
        monkeypatch.setattr(rehearsal, "STUCK_AFTER", 0.2)
        humans.ignore()
        failed: list[BaseException] = []

        def in_a_thread() -> None:
            try:
                ask_sync("A-2")
            except AssertionError as error:
                failed.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(outcome, "A-1")
            while not humans.engine._turn.locked():
                await anyio.lowlevel.checkpoint()
            thread = threading.Thread(target=in_a_thread)
            thread.start()
            thread.join()
        assert "an event loop is blocked" in str(failed)

    async def test_and_coroutines_may_ask_together(self, humans: Humans):
        """Two event loops, and one clock."""
        humans.answer(lambda task: Reply(YES, after=float(task.spec.payload["order"])))  # type: ignore[arg-type]
        thread_said: list[bool] = []

        def in_a_thread() -> None:
            thread_said.extend(ask_sync(str(order)).approved for order in range(1, 11))

        thread = threading.Thread(target=in_a_thread)
        thread.start()
        assert all([(await ask(str(order))).approved for order in range(101, 111)])
        await anyio.to_thread.run_sync(thread.join)
        assert thread_said == [True] * 10


class TestTheEngine:
    async def test_does_nothing_in_the_background(self, humans: Humans, anyio_backend: str):
        humans.answer(YES)
        async with humans.engine.run():
            await ask()
        assert humans.engine.home is None
        if anyio_backend == "asyncio":
            assert len([one for one in asyncio.all_tasks() if one.get_name() == "awaithumans"]) == 0

    async def test_may_be_given_by_hand(self):
        humans = Humans()
        humans.answer(YES)
        assert (await await_human(**question(), engine=humans.engine)).approved

    async def test_is_asked_whatever_surrounds_the_call(self, humans: Humans, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("AWAITHUMANS_URL", "http://127.0.0.1:9")
        humans.answer(YES)
        async with Engine(MemoryStore()).run() as other:
            assert (await ask()).approved
            assert await other.find(Query()) == []

    async def test_is_asked_no_more_when_the_test_is_over(self):
        with Humans() as humans:
            humans.answer(YES)
        async with Engine(MemoryStore()).run() as other, anyio.create_task_group() as group:
            group.start_soon(outcome, "A-1")
            while not await other.find(Query()):
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        assert humans.asked == []

    async def test_leaves_what_surrounds_the_call_as_it_was(self, humans: Humans):
        """Its own `run()` is over when its block is."""
        async with Engine(MemoryStore()).run():
            async with humans.engine.run():
                pass
            assert (await _ambient()) is humans.engine

    @pytest.mark.parametrize("timeout", [0, 60, 59.5])
    async def test_gives_up_waiting_when_it_is_told_to(self, humans: Humans, timeout: float):
        humans.ignore()
        task = await humans.engine.create(build_spec(**question()))
        seen = await humans.engine.wait(task.id, timeout=timeout)
        assert seen.status is TaskStatus.PENDING
        assert humans.engine.clock.now() - task.created_at == timedelta(seconds=timeout)

    def test_can_be_used_with_blocking_verbs(self, humans: Humans):
        humans.answer(YES, after=60)
        engine = BlockingEngine(humans.engine)
        task = engine.create(build_spec(**question()))
        assert engine.wait(task.id).response == YES

    async def test_lets_the_test_do_what_no_rule_says(self, humans: Humans):
        humans.ignore()
        ana = Actor.of(Human(id="ana@example.com"), auth="engine")
        async with anyio.create_task_group() as group:
            group.start_soon(outcome, "A-1")
            with humans.hold():
                while not humans.tasks:
                    await anyio.sleep(0.001)
                await humans.engine.claim(humans.tasks[0].id, by=ana)
                await humans.engine.submit(humans.tasks[0].id, YES, by=ana)
        assert humans.tasks[0].response == YES


async def _ambient() -> Any:
    from awaithumans.ambient import AMBIENT_ENGINE

    return AMBIENT_ENGINE.get()


class TestAdvancing:
    """For agents that ask and go on, and hear of the answer later."""

    async def test_lets_people_answer(self, humans: Humans):
        humans.answer(YES)
        task = await humans.engine.create(build_spec(**question(), callback_url="https://example.com/hook"))
        await humans.advance()
        assert humans.tasks[0].response == YES
        assert [notice.task.id for notice in humans.notices] == [task.id]

    async def test_lets_time_pass(self, humans: Humans):
        humans.answer(YES, after=60)
        task = await humans.engine.create(build_spec(**question()))
        await humans.advance(59)
        assert not humans.tasks[0].closed
        await humans.advance(timedelta(seconds=1))
        assert humans.tasks[0].response == YES
        assert humans.engine.clock.now() - task.created_at == timedelta(seconds=60)

    async def test_lets_questions_time_out(self, humans: Humans):
        humans.ignore()
        await humans.engine.create(build_spec(**question()))
        await humans.advance(HOUR)
        assert humans.tasks[0].status is TaskStatus.TIMED_OUT

    async def test_lets_agents_go_on(self, humans: Humans):
        """What somebody waits for happens before `advance` returns."""
        humans.answer(YES, after=60)
        ended: list[str] = []
        async with anyio.create_task_group() as group:
            with humans.hold():
                group.start_soon(outcome, "A-1", ended.append)
                await anyio.wait_all_tasks_blocked()
            await humans.advance(60)
            assert ended == ["A-1 answered"]

    async def test_reports_what_nobody_expected(self, humans: Humans):
        await humans.engine.create(build_spec(**question()))
        with pytest.raises(AssertionError, match="Nobody was told"):
            await humans.advance(1)
        humans.failures.clear()

    def test_in_plain_functions(self, humans: Humans):
        humans.answer(YES)
        BlockingEngine(humans.engine).create(build_spec(**question()))
        humans.advance_sync(1)
        assert humans.tasks[0].response == YES


class TestEveryPromiseOfAnEngine(EngineConformance):
    """It is one: only its people and its clock are not real."""

    @pytest.fixture
    def humans(self) -> Humans:
        return Humans(directory=AddressDirectory())

    @pytest.fixture
    def engine(self, humans: Humans) -> TaskEngine:
        humans.ignore()
        return humans.engine

    @pytest.fixture
    def advance(self, humans: Humans) -> Advance:
        return humans.advance
