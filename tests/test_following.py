"""Following tasks as they change: nothing lost, nothing piled up, nothing asked for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from types import MethodType

import anyio
import pytest
from sqlalchemy import create_engine

from awaithumans import Engine
from awaithumans.background import RECHECK_EVERY, RESTART_AFTER, VISIBLE_WITHIN
from awaithumans.errors import TaskNotFoundError
from awaithumans.following import LOOK_BACK, PAGE, PAUSE
from awaithumans.protocols import Store
from awaithumans.stores.encryption import Codec
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.rows import Rows
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.stores.writing import apply
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import ANA, a_question
from awaithumans.testing.tasks import following
from awaithumans.types import AGENT, Cursor, Human, Query, Reassign, Task, TaskStatus
from awaithumans.wakeups import MAX_NOTED, Feed

ROWS = Rows(Codec())
pytestmark = pytest.mark.anyio

PATIENCE = 20
YES = {"approved": True}
BOB = Human(id="bob@example.com", email="bob@example.com")


@pytest.fixture(params=["asyncio memory", "trio memory", "asyncio sqlite", "trio sqlite", "asyncio postgresql"])
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    backend, store = request.param.split()
    return backend, store


@pytest.fixture
def anyio_backend(kind: tuple[str, str]) -> str:
    return kind[0]


@pytest.fixture
def another(kind: tuple[str, str], tmp_path, request: pytest.FixtureRequest) -> Callable[[], Store]:
    """Give a function that opens the one place where tasks are kept once more."""
    if kind[1] == "memory":
        store = MemoryStore()
        return lambda: store
    if kind[1] == "sqlite":
        return lambda: SQLAlchemyStore(f"sqlite:///{tmp_path}/tasks.db")
    url: str = request.getfixturevalue("postgres_url")
    return lambda: SQLAlchemyStore(url)


@pytest.fixture
async def engine(another: Callable[[], Store]) -> AsyncIterator[Engine]:
    async with Engine(another()).run() as engine:
        yield engine
    await engine.aclose()


on_memory = pytest.mark.parametrize("kind", [("asyncio", "memory"), ("trio", "memory")], ids=" ".join)
between_processes = pytest.mark.parametrize(
    "kind", [("asyncio", "sqlite"), ("trio", "sqlite"), ("asyncio", "postgresql"), ("trio", "postgresql")], ids=" ".join
)
on_postgres = pytest.mark.parametrize("kind", [("asyncio", "postgresql"), ("trio", "postgresql")], ids=" ".join)


# ── One task ──────────────────────────────────────────────────────────────────


async def test_a_task_is_given_as_it_stands_then_at_each_change_until_it_is_closed(engine: Engine):
    task = await engine.create(a_question())
    seen: list[tuple[TaskStatus, int]] = []
    async with patiently(), engine.follow(task.id) as versions:
        async for version in versions:
            seen.append((version.status, version.version))
            if version.version == 1:
                await engine.claim(task.id, by=ANA)
            elif not version.closed:
                await engine.submit(task.id, YES, by=ANA)
    assert seen == [(TaskStatus.PENDING, 1), (TaskStatus.PENDING, 2), (TaskStatus.COMPLETED, 3)]


async def test_the_version_that_was_seen_is_not_given_again(engine: Engine):
    task = await engine.create(a_question())
    async with patiently(), engine.follow(task.id, seen=1) as versions, anyio.create_task_group() as group:
        group.start_soon(partial(engine.cancel, task.id, by=AGENT))
        assert [version.status async for version in versions] == [TaskStatus.CANCELLED]
    async with patiently(), engine.follow(task.id, seen=2) as versions:
        assert [version async for version in versions] == []


async def test_of_changes_in_quick_succession_the_latest_counts(engine: Engine):
    task = await engine.create(a_question())
    async with patiently(), engine.follow(task.id) as versions:
        assert (await anext(versions)).version == 1
        for _ in range(5):
            await engine.claim(task.id, by=ANA)
            await engine.release(task.id, by=ANA)
        assert (await anext(versions)).version == 11


async def test_a_task_that_is_deleted_ends_it_with_an_error(engine: Engine):
    task = await engine.create(a_question())
    async with patiently(), engine.follow(task.id) as versions:
        await anext(versions)
        await engine.delete(task.id, by=AGENT)
        with pytest.raises(TaskNotFoundError):
            await anext(versions)
    with pytest.raises(TaskNotFoundError):
        async with engine.follow("unknown") as versions:
            await anext(versions)


# ── All tasks ─────────────────────────────────────────────────────────────────


async def test_tasks_are_given_as_they_change(engine: Engine):
    before = await engine.create(a_question())
    async with patiently(), engine.changes(Query()) as tasks:
        asked = await engine.create(a_question())
        assert (await given(tasks, (asked.id, 1)))[-1] == asked
        await engine.submit(before.id, YES, by=ANA)
        assert (await given(tasks, (before.id, 2)))[-1].status is TaskStatus.COMPLETED


async def test_what_changes_before_the_first_look_is_given_too(engine: Engine):
    async with patiently(), engine.changes(Query()) as tasks:
        await given(tasks, *[((await engine.create(a_question())).id, 1) for _ in range(3)])


async def test_only_tasks_that_fit_are_given(engine: Engine):
    for_ana = {"email": "ana@example.com"}
    theirs = await engine.create(a_question(assign_to={"email": "bob@example.com"}))
    hers = await engine.create(a_question(assign_to=for_ana))
    async with patiently(), engine.changes(Query(visible_to=ANA.human)) as tasks:
        await engine.cancel(theirs.id, by=AGENT)
        await engine.reassign(hers.id, [BOB], by=AGENT)
        marker = await engine.create(a_question(assign_to=for_ana))
        found = await given(tasks, (marker.id, 1))
    assert {(task.id, task.version) for task in found} <= {(hers.id, 1), (marker.id, 1)}


async def test_ids_that_were_asked_for_are_the_only_ones_given(engine: Engine):
    wanted, other = await engine.create(a_question()), await engine.create(a_question())
    async with patiently(), engine.changes(Query(ids=(wanted.id,))) as tasks:
        await engine.cancel(other.id, by=AGENT)
        await engine.cancel(wanted.id, by=AGENT)
        assert {task.id for task in await given(tasks, (wanted.id, 2))} == {wanted.id}


async def test_it_goes_on_behind_an_earlier_place(engine: Engine):
    tasks = [await engine.create(a_question()) for _ in range(PAGE + 10)]
    place = Cursor(at=tasks[0].changed_at, id=tasks[0].id)
    async with patiently(), engine.changes(Query(changed_after=place, limit=1, offset=5)) as changes:
        found = await given(changes, (tasks[-1].id, 1))
    assert [task.id for task in found] == [task.id for task in tasks], "all pages, oldest change first"


async def test_one_version_is_given_once_while_it_lasts(engine: Engine):
    async with patiently(), engine.changes(Query()) as tasks:
        first = await engine.create(a_question())
        await given(tasks, (first.id, 1))
        engine._hub.ring(first.id)
        engine._hub.ring_all()
        second = await engine.create(a_question())
        assert [task.id for task in await given(tasks, (second.id, 1))] == [second.id]


async def test_a_burst_costs_few_readings(engine: Engine):
    task = await engine.create(a_question())
    async with patiently(), engine.changes(Query()) as tasks:
        count = counted(engine, "find")
        for _ in range(20):
            await engine.claim(task.id, by=ANA)
            await engine.release(task.id, by=ANA)
        found = await given(tasks, (task.id, 41))
    assert len(found) <= 20 * 2 / 3, "versions are left out"
    assert len(count) <= len(found) + 2


async def test_two_hundred_followers_ask_the_store_nothing_while_nothing_happens(engine: Engine):
    task = await engine.create(a_question())
    entered: list[None] = []

    async def follow(query: Query) -> None:
        async with engine.changes(query) as tasks:
            entered.append(None)
            await anext(tasks)

    async def follow_one() -> None:
        async with engine.follow(task.id, seen=1) as versions:
            entered.append(None)
            await anext(versions)

    reads = counted(engine, "find", "get")
    async with patiently(), anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(follow, Query())
            group.start_soon(follow_one)
        while len(entered) < 200 or reads.count("get") < 100:
            await anyio.sleep(0.01)
        while await grows(reads, within=4 * PAUSE):
            pass  # these are first looks; they come to an end
        before = len(reads)
        await engine.cancel(task.id, by=AGENT)
    assert len(reads) - before <= 202
    assert not engine._hub.followed


# ── Nothing is lost ───────────────────────────────────────────────────────────


def test_the_look_back_is_longer_than_the_last_process_needs_to_hear_of_a_change():
    assert timedelta(seconds=RECHECK_EVERY + RESTART_AFTER) + VISIBLE_WITHIN < LOOK_BACK


@on_postgres
async def test_a_transaction_that_commits_late_is_not_lost_to_who_comes_back(
    engine: Engine, another: Callable[[], Store]
):
    """Its change is older than one that was seen before it became visible."""
    late, seen = await engine.create(a_question()), await engine.create(a_question())
    change = following(late, changed_at=engine.clock.now())
    with uncommitted(another(), change) as commit:
        async with patiently(), engine.changes(Query()) as tasks:
            await engine.cancel(seen.id, by=AGENT)
            last = (await given(tasks, (seen.id, 2)))[-1]
        assert last.changed_at > change.task.changed_at
        commit()
    behind = Cursor(at=last.changed_at, id=last.id)
    found = await engine.find(Query(changed_after=behind))
    assert found == [], "by the cursor alone it would be lost for ever"
    async with patiently(), engine.changes(Query(changed_after=behind)) as tasks:
        await given(tasks, (late.id, 2))


@on_postgres
async def test_a_transaction_that_commits_late_is_not_lost_to_who_stays(engine: Engine, another: Callable[[], Store]):
    late, seen = await engine.create(a_question()), await engine.create(a_question())
    change = following(late, changed_at=engine.clock.now())
    async with patiently(), engine.changes(Query()) as tasks:
        with uncommitted(another(), change) as commit:
            await engine.cancel(seen.id, by=AGENT)
            await given(tasks, (seen.id, 2))
            commit()
        await announce(another(), late.id)
        await given(tasks, (late.id, 2))


@between_processes
async def test_a_change_made_by_another_engine_is_heard(engine: Engine, another: Callable[[], Store]):
    other = Engine(another())
    async with patiently(), engine.changes(Query()) as tasks, other.run():
        await given(tasks, ((await other.create(a_question())).id, 1))
    await other.aclose()


@on_memory
async def test_what_a_slow_reader_may_not_see_any_more_is_not_given():
    clock = VirtualClock()
    for_ana = {"email": "ana@example.com"}
    async with Engine(MemoryStore(), clock=clock).run() as engine:
        asked = [(await engine.create(a_question(assign_to=for_ana))).id for _ in range(4)]
        query = Query(visible_to=Human(id="ana", email="ana@example.com"), changed_after=Cursor(at=clock.now(), id=""))
        async with patiently(), engine.changes(query) as tasks:
            seen = [(await anext(tasks)).id]
            taken, *kept = set(asked) - set(seen)
            await engine.act(taken, Reassign(to=(BOB,), by=AGENT))
            await clock.advance(2)
            seen += [(await anext(tasks)).id for _ in kept]
            asked.append((await engine.create(a_question(assign_to=for_ana))).id)
            async with anyio.create_task_group() as group:
                group.start_soon(clock.advance, PAUSE)
                seen.append((await anext(tasks)).id)
        assert sorted(seen) == sorted(set(asked) - {taken})


def engine_that_tells_nobody(store: Store, clock: VirtualClock) -> Engine:
    engine = Engine(store, clock=clock)
    engine._background._start_lazily = lambda: None  # type: ignore[method-assign]
    return engine


@on_memory
async def test_a_lost_hint_costs_time_and_nothing_else():
    """A memory store tells no other engine: every hint is lost."""
    clock, store = VirtualClock(), MemoryStore()
    engine, silent = Engine(store, clock=clock), engine_that_tells_nobody(store, clock)
    async with engine.run(), anyio.create_task_group() as group:
        task = await engine.create(a_question())
        found: list[tuple[str, int]] = []

        async def note(who: str, following: AbstractAsyncContextManager[AsyncIterator[Task]]) -> None:
            async with following as versions:
                async for version in versions:
                    found.append((who, version.version))  # noqa: PERF401 - it never ends

        group.start_soon(note, "all", engine.changes(Query()))
        group.start_soon(note, "one", engine.follow(task.id))
        await clock.advance(PAUSE)
        await silent.claim(task.id, by=ANA)
        await clock.advance(RECHECK_EVERY - 1)
        assert found == [("one", 1)]
        await clock.advance(2)
        assert sorted(found) == [("all", 2), ("one", 1), ("one", 2)]
        group.cancel_scope.cancel()


@on_memory
async def test_who_waits_for_what_another_process_erased_is_told_so():
    """All hints are lost; that it is gone shows at the next look after what is awaited."""
    clock, store = VirtualClock(), MemoryStore()
    engine, silent = Engine(store, clock=clock), engine_that_tells_nobody(store, clock)
    async with engine.run(), anyio.create_task_group() as group:
        task = await engine.create(a_question())
        told: list[str] = []

        async def wait() -> None:
            with pytest.raises(TaskNotFoundError):
                await engine.wait(task.id)
            told.append(task.id)

        group.start_soon(wait)
        await clock.advance(PAUSE)
        await silent.delete(task.id, by=AGENT)
        await clock.advance(RECHECK_EVERY - 1)
        assert told == []
        await clock.advance(2)
        assert told == [task.id]


@on_memory
async def test_what_nobody_reads_does_not_pile_up_and_is_not_lost(engine: Engine):
    async with patiently(), engine.changes(Query()) as tasks:
        await given(tasks, ((await engine.create(a_question())).id, 1))
        asked = [(await engine.create(a_question())).id for _ in range(MAX_NOTED + 100)]
        [feed] = engine._hub._feeds
        assert feed._noted is None, "they are not noted one by one any more"
        await given(tasks, *[(task_id, 1) for task_id in asked])


@on_memory
async def test_a_feed_rings_once_for_many_changes():
    feed = Feed()
    rings: list[None] = []
    feed.ring = lambda: rings.append(None)  # type: ignore[method-assign]
    for number in range(5 * MAX_NOTED):
        feed.note(str(number))
    assert len(rings) == 1
    assert feed.take() is None
    feed.note("a")
    assert (len(rings), feed.take(), feed.take()) == (2, frozenset({"a"}), frozenset())


# ── Parts ─────────────────────────────────────────────────────────────────────


class patiently:  # noqa: N801 - reads as a word
    """Fail where what is awaited does not come."""

    async def __aenter__(self) -> None:
        self._scope = anyio.fail_after(PATIENCE)
        self._scope.__enter__()

    async def __aexit__(self, *raised) -> bool | None:
        return self._scope.__exit__(*raised)


async def given(tasks: AsyncIterator[Task], *wanted: tuple[str, int]) -> list[Task]:
    """Return what is given, up to the last of these ids and versions."""
    found: list[Task] = []
    missing = set(wanted)
    while missing:
        found.append(await anext(tasks))
        missing.discard((found[-1].id, found[-1].version))
    return found


def counted(engine: Engine, *names: str) -> list[str]:
    """Return a list that grows with each call of these methods of the store."""
    calls: list[str] = []

    def count(name: str) -> None:
        method = getattr(engine.store, name)

        async def call(_store: Store, *arguments: object) -> object:
            calls.append(name)
            return await method(*arguments)

        setattr(engine.store, name, MethodType(call, engine.store))

    for name in names:
        count(name)
    return calls


async def grows(calls: list[str], *, within: float) -> bool:
    before = len(calls)
    await anyio.sleep(within)
    return len(calls) > before


class uncommitted:  # noqa: N801 - reads as a word
    """Write a change in a transaction, to be committed later."""

    def __init__(self, store: Store, change) -> None:
        assert isinstance(store, SQLAlchemyStore)
        self._engine = create_engine(store._database._engine.url)
        self._change = change

    def __enter__(self) -> Callable[[], None]:
        self._connection = self._engine.connect()
        assert apply(self._connection, [ROWS.changed(self._change)])[0]
        return self._connection.commit

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._engine.dispose()


async def announce(store: Store, task_id: str) -> None:
    assert isinstance(store, SQLAlchemyStore)
    await store.announce([task_id])
    await store.aclose()
