"""Leases: one holder at a time, in one process or several, for as long as it runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
from anyio.lowlevel import checkpoint

from awaithumans import BlockingEngine, Engine, InvalidInputError, LeaseLostError, Record
from awaithumans.errors import ConfigurationError
from awaithumans.leases import KEPT_FOR, KIND, MAX_SECONDS, SAFE_SECONDS, SWEPT_AT_ONCE, Leases, holding
from awaithumans.records import MemoryRecords
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
OUTAGE = ConnectionError("no route to host")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def engine(clock: VirtualClock) -> Engine:
    return Engine(MemoryStore(), clock=clock, background=False)


# ── In the store ──────────────────────────────────────────────────────────────


class PausedRecords(MemoryRecords):
    """Records that let others act between reading and writing."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []

    async def put(self, record: Record) -> bool:
        while self.meanwhile:
            await self.meanwhile.pop()()  # type: ignore[misc]
        return await super().put(record)


async def test_a_lease_that_was_taken_and_given_back_meanwhile_is_not_taken_twice(clock: VirtualClock) -> None:
    """What was read before is no ground to replace what a third has taken since."""
    records = PausedRecords()
    leases = Leases(records, clock)
    await leases.lease("n", "first", 1)
    await clock.advance(2)
    records.meanwhile = [
        partial(leases.lease, "n", "third", 30),
        partial(leases.lease, "n", "second", 0),
        partial(leases.lease, "n", "second", 30),
    ]
    assert await leases.lease("n", "late", 30) is False
    assert await leases.lease("n", "third", 30)


async def test_a_lease_that_lapsed_while_it_was_written_is_not_held(clock: VirtualClock) -> None:
    records = PausedRecords()
    records.meanwhile = [partial(clock.advance, 31)]
    assert await Leases(records, clock).lease("n", "a", 30) is False


async def test_leases_that_lapsed_long_ago_do_not_pile_up(clock: VirtualClock) -> None:
    """In whatever order names are made, and whether they were given back or not."""
    records = MemoryRecords()
    leases = Leases(records, clock)
    for number in range(300):
        assert await leases.lease(f"{number:05}", "a", 30)
        if number % 2:
            await leases.lease(f"{number:05}", "a", 0)
        await clock.advance(60)
    kept = await records.find(KIND, limit=1000)
    assert len(kept) <= KEPT_FOR / timedelta(minutes=1) + 2 * SWEPT_AT_ONCE


async def test_a_store_without_records_leases_in_this_process(clock: VirtualClock) -> None:
    store = MemoryStore()
    del store.records
    engine = Engine(store, clock=clock, background=False)
    assert await engine.lease("n", holder="a", seconds=30)
    assert await engine.lease("n", holder="b", seconds=30) is False


async def test_a_right_cannot_be_leased_in_a_hosts_transaction(tmp_path: Path) -> None:
    engine = Engine(SQLAlchemyStore(f"sqlite:///{tmp_path}/t.db"), background=False)
    await engine.health()
    with engine.store._database._engine.begin() as connection, pytest.raises(ConfigurationError):  # type: ignore[attr-defined]
        await engine.using(connection).lease("n", holder="a", seconds=30)
    await engine.aclose()


# ── In several processes and threads ──────────────────────────────────────────

DATABASES = ["sqlite", "postgres_url", "mariadb_url"]
NAMES = [f"thread-{number}" for number in range(20)]


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/t.db"
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("url", DATABASES, indirect=True)
def test_of_several_processes_one_gets_a_lease(url: str) -> None:
    """They all try at the same moment, and for every name exactly one is told True."""
    command = [sys.executable, "-m", "tests.programs.leasing", url]
    with ExitStack() as ending:
        processes = [
            ending.enter_context(
                subprocess.Popen(
                    [*command, f"process-{number}", *NAMES], cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
                )
            )
            for number in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in told] == [""] * 4
    assert sorted(name for names, _ in told for name in names.split()) == sorted(NAMES)


@pytest.mark.parametrize("url", DATABASES, indirect=True)
def test_of_several_threads_one_gets_a_lease(url: str) -> None:
    """On two engines, as two processes have them."""
    engines = [BlockingEngine(Engine(SQLAlchemyStore(url), background=False)) for _ in range(2)]
    start = threading.Barrier(8)

    def take(number: int) -> list[str]:
        start.wait(timeout=20)
        return [name for name in NAMES if engines[number % 2].lease(name, holder=str(number), seconds=300)]

    with ThreadPoolExecutor(8) as threads:
        told = [name for names in threads.map(take, range(8)) for name in names]
    assert sorted(told) == sorted(NAMES)
    for engine in engines:
        engine.aclose()


# ── Holding ───────────────────────────────────────────────────────────────────


async def test_of_many_that_wait_one_is_inside_at_a_time(engine: Engine, clock: VirtualClock) -> None:
    inside, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal inside, most, done
        async with holding(engine, "n", clock=clock):
            inside += 1
            most = max(most, inside)
            await checkpoint()
            inside -= 1
            done += 1

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(work)
        for _ in range(100):
            await clock.advance(1)
    assert (most, done) == (1, 8)


async def test_it_is_renewed_while_the_block_runs_and_given_back_at_its_end(
    engine: Engine, clock: VirtualClock
) -> None:
    async with holding(engine, "n", clock=clock):
        await clock.advance(600)
        assert await engine.lease("n", holder="another", seconds=30) is False
    assert await engine.lease("n", holder="another", seconds=30)


async def test_it_is_given_back_by_a_block_that_raises_or_is_cancelled(engine: Engine, clock: VirtualClock) -> None:
    with pytest.raises(KeyError):
        async with holding(engine, "n", clock=clock):
            raise KeyError
    with anyio.move_on_after(0.01):
        async with holding(engine, "n", clock=clock):
            await anyio.sleep_forever()
    assert await engine.lease("n", holder="another", seconds=30)


async def test_whoever_stops_waiting_leaves_the_lease_to_others(engine: Engine, clock: VirtualClock) -> None:
    assert await engine.lease("n", holder="another", seconds=30)
    with anyio.move_on_after(0.01) as scope:
        async with holding(engine, "n", clock=clock):
            pytest.fail("another has it")
    assert scope.cancelled_caught
    assert await engine.lease("n", holder="another", seconds=30)


async def test_a_task_that_would_wait_for_itself_is_told(engine: Engine, clock: VirtualClock) -> None:
    other = Engine(MemoryStore(), clock=clock, background=False)
    for _ in range(2):
        async with holding(engine, "n", clock=clock), holding(engine, "m", clock=clock), holding(other, "n"):
            with pytest.raises(ConfigurationError, match="holds 'n' already"):
                async with holding(engine, "n", clock=clock):
                    pytest.fail("it is in the block already")
            assert await engine.lease("n", holder="another", seconds=30) is False


async def test_a_task_that_the_block_has_started_waits_for_its_end(engine: Engine, clock: VirtualClock) -> None:
    """Though it has the context of the block: whether that waits for the task cannot be told."""
    entered = anyio.Event()

    async def enter() -> None:
        async with holding(engine, "n", clock=clock):
            entered.set()

    async with anyio.create_task_group() as group:
        async with holding(engine, "n", clock=clock):
            group.start_soon(enter)
            await clock.advance(5)
            assert not entered.is_set()
        await clock.advance(5)
        assert entered.is_set()


class Line(Engine):
    """An engine that cannot always be reached, and whose leases are not always kept."""

    broken = False
    silent = False
    taken_over = False

    async def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        with anyio.CancelScope(shield=True):
            while self.silent and seconds:
                await anyio.sleep(0.005)
        if self.taken_over:
            self.taken_over = False
            await super().lease(name, holder=holder, seconds=0)
            await super().lease(name, holder="another", seconds=30)
        if self.broken:
            raise OUTAGE
        return await super().lease(name, holder=holder, seconds=seconds)


@pytest.fixture
def line(clock: VirtualClock) -> Line:
    return Line(MemoryStore(), clock=clock, background=False)


async def lost_after(line: Line, clock: VirtualClock, trouble: Callable[[], object]) -> tuple[float, LeaseLostError]:
    """Return after how many seconds a block is ended once there is trouble, and by what."""
    began, seconds = clock.monotonic(), 0.0
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            try:
                async with holding(line, "n", clock=clock):
                    trouble()
                    group.start_soon(clock.advance, 600)
                    try:
                        await anyio.sleep_forever()
                    finally:
                        seconds = clock.monotonic() - began
                        line.silent = False
            except LeaseLostError as error:
                group.cancel_scope.cancel()
                return seconds, error
    raise AssertionError("the block was not ended by a lost lease")


async def test_a_short_outage_ends_no_block(line: Line, clock: VirtualClock) -> None:
    async with holding(line, "n", clock=clock):
        await clock.advance(1)
        line.broken = True
        await clock.advance(26)
        line.broken = False
        await clock.advance(60)
        assert await line.lease("n", holder="another", seconds=30) is False


async def test_a_long_outage_ends_the_block_once_the_lease_has_lapsed(line: Line, clock: VirtualClock) -> None:
    """From then on somebody else may have it."""
    seconds, lost = await lost_after(line, clock, lambda: setattr(line, "broken", True))
    assert seconds == SAFE_SECONDS
    assert lost.__cause__ is OUTAGE


async def test_a_call_that_cannot_be_cancelled_does_not_keep_the_block_running(line: Line, clock: VirtualClock) -> None:
    seconds, _ = await lost_after(line, clock, lambda: setattr(line, "silent", True))
    assert seconds == SAFE_SECONDS


async def test_the_block_ends_when_another_has_the_lease(line: Line, clock: VirtualClock) -> None:
    """As it is if this process stood still, and another took over."""
    seconds, lost = await lost_after(line, clock, lambda: setattr(line, "taken_over", True))
    assert seconds == 10
    assert "'n'" in str(lost)
    assert await line.lease("n", holder="another", seconds=30)


async def test_what_the_engine_raises_while_it_waits_comes_out_as_it_is(line: Line, clock: VirtualClock) -> None:
    line.broken = True
    with pytest.raises(ConnectionError):
        async with holding(line, "n", clock=clock):
            pytest.fail("nobody granted it")


class SetBack(VirtualClock):
    """A clock that somebody sets back an hour while the engine is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.hours = 0

    def now(self) -> datetime:
        return super().now() - timedelta(hours=self.hours)


class Setting(Line):
    """An engine on the other side of which the holder's clock is set."""

    def __init__(self, set_back: SetBack) -> None:
        super().__init__(MemoryStore(), clock=VirtualClock(), background=False)
        self._set_back = set_back

    async def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        held = await super().lease(name, holder=holder, seconds=seconds)
        self._set_back.hours += 1
        return held


async def test_setting_the_holders_clock_back_makes_no_lease_longer() -> None:
    """It counts from before the engine was asked, whatever the time of day."""
    clock = SetBack()
    line = Setting(clock)
    seconds, _ = await lost_after(line, clock, lambda: setattr(line, "broken", True))
    assert seconds == SAFE_SECONDS


async def test_nobody_holds_a_right_for_long_without_renewing_it(engine: Engine) -> None:
    assert await engine.lease("n", holder="a", seconds=MAX_SECONDS)
    with pytest.raises(InvalidInputError):
        await engine.lease("n", holder="a", seconds=MAX_SECONDS + 1)
    assert MAX_SECONDS <= 300
