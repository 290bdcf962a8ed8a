"""Writes that arrive together share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, ExceptionContext, create_engine, event, select
from sqlalchemy.exc import IntegrityError

from awaithumans.errors import TaskGoneError
from awaithumans.stores.database import GROUPS
from awaithumans.stores.dialects import Dialect, PostgreSQL
from awaithumans.stores.groups import LARGEST, Line
from awaithumans.stores.rows import Written
from awaithumans.stores.schema import addressees, tasks, words
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.stores.writing import CREATE
from awaithumans.testing.stores import gather
from awaithumans.testing.tasks import ANA, BEN, NOON, answering, following, make_effect, make_spec, make_task, opening
from awaithumans.types import Change, Query, Task
from tests.databases import EACH_DATABASE, POSTGRES, plain
from tests.stores.accidents import lost_once

MANY = 30
each_database = pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)
never_begun = pytest.mark.filterwarnings("ignore:.*never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
"""Anyio leaves a coroutine behind if asyncio cancels its task before that has begun; such a test collects it itself."""


@pytest.mark.anyio
async def test_writes_that_arrive_together_share_commits(store: SQLAlchemyStore):
    changes = [opening(make_task()) for _ in range(MANY)]
    with commits(store) as committed:
        created = await gather(*(partial(store.create, change) for change in changes))
    assert created == [change.task for change in changes]
    assert len(committed) < MANY / 3
    for task in created:
        assert await store.get(task.id) == task
        assert len(await store.trail(task.id)) == 1


@pytest.mark.anyio
async def test_reads_that_arrive_together_share_connections(store: SQLAlchemyStore):
    created = [await store.create(opening(make_task())) for _ in range(MANY)]
    taken: list[object] = []

    def note(*arguments: object) -> None:
        taken.append(arguments)

    event.listen(store._database._engine, "checkout", note)
    found = await gather(*(partial(store.get, task.id) for task in created))
    event.remove(store._database._engine, "checkout", note)
    assert found == created
    assert len(taken) < MANY / 3


@pytest.mark.parametrize("backend_and_driver", POSTGRES)
@pytest.mark.anyio
async def test_postgresql_takes_the_new_rows_of_a_group_by_a_statement_that_does_not_grow(store: SQLAlchemyStore):
    rows = await store._rows()
    written = [[rows.opened(opening(make_task())) for _ in range(number)] for number in (1, MANY)]
    of_one, of_many = [await inserts(store, changes) for changes in written]
    assert of_one == of_many
    assert {table.name for table in (tasks, addressees, words)} <= {statement.split()[2] for statement in of_many}


@each_database
@pytest.mark.anyio
async def test_more_than_one_group_can_hold_are_all_written(store: SQLAlchemyStore):
    changes = [opening(make_task()) for _ in range(3 * LARGEST)]
    assert len(await gather(*(partial(store.create, change) for change in changes))) == len(changes)


@pytest.mark.anyio
async def test_nothing_is_acknowledged_before_it_is_committed(store: SQLAlchemyStore):
    """Whoever looks from outside, once a write has returned, sees it."""
    outside = create_engine(plain(store._database._engine.url))

    def seen(task: Task) -> bool:
        with outside.connect() as connection:
            return connection.scalar(select(tasks.c.id).where(tasks.c.id == task.id)) == task.id

    async def create_and_look(change: Change) -> bool:
        return seen(await store.create(change))

    changes = [opening(make_task()) for _ in range(MANY)]
    assert all(await gather(*(partial(create_and_look, change) for change in changes)))
    outside.dispose()


@pytest.mark.anyio
async def test_a_failure_concerns_its_own_member_alone(store: SQLAlchemyStore):
    held = await store.create(opening(make_task()))
    clashing = following(held, make_effect(held), assignee=ANA)
    clashing = replace(clashing, entries=clashing.entries * 2)
    outcomes: list[object] = []

    async def attempt(write: Callable[[], Awaitable[object]]) -> None:
        try:
            outcomes.append(await write())
        except IntegrityError:
            outcomes.append(IntegrityError)

    changes = [opening(make_task()) for _ in range(MANY)]
    writes: list[Callable[[], Awaitable[object]]] = [partial(store.create, change) for change in changes]
    writes.append(partial(store.apply, clashing))
    await gather(*(partial(attempt, write) for write in writes))
    assert outcomes.count(IntegrityError) == 1
    assert await store.get(held.id) == held
    for change in changes:
        assert await store.get(change.task.id) == change.task
        assert len(await store.trail(change.task.id)) == 1


@each_database
@pytest.mark.anyio
async def test_a_key_that_is_gone_concerns_its_asker_alone(store: SQLAlchemyStore):
    done = answering(await store.create(opening(make_task(spec=make_spec(idempotency_key="gone")))))
    assert await store.apply(done)
    assert await store.purge(done.task)
    refused: list[TaskGoneError] = []

    async def ask_again() -> None:
        try:
            await store.create(opening(make_task(spec=make_spec(idempotency_key="gone"))))
        except TaskGoneError as error:
            refused.append(error)

    changes = [opening(make_task()) for _ in range(MANY)]
    await gather(*(partial(store.create, change) for change in changes), ask_again, ask_again)
    assert len(refused) == 2
    assert [await store.get(change.task.id) for change in changes] == [change.task for change in changes]


@pytest.mark.anyio
async def test_those_who_lose_in_a_group_lose_alone(store: SQLAlchemyStore):
    """Of changes of one task one is made, and of questions with one key one is asked."""
    contested = [await store.create(opening(make_task())) for _ in range(3)]
    changes = [following(task, make_effect(task), attempt=n) for task in contested for n in range(1, 5)]
    asked = [opening(make_task(spec=make_spec(idempotency_key=f"key-{n % 3}"))) for n in range(12)]
    applying, creating = [partial(store.apply, one) for one in changes], [partial(store.create, one) for one in asked]
    results: list[object] = await gather(*applying, *creating)
    assert results[: len(changes)].count(True) == len(contested)
    assert len({one.id for one in results if isinstance(one, Task)}) == 3


@pytest.mark.parametrize("before_commit", [True, False])
@pytest.mark.anyio
async def test_a_group_whose_connection_is_lost_is_written_once(store: SQLAlchemyStore, *, before_commit: bool):
    """Whether its commit was heard of or not: each finds out what became of its own write."""
    first = [await store.create(opening(make_task())) for _ in range(MANY)]
    changes = [following(task, make_effect(task), assignee=ANA) for task in first]
    with lost_once(store, before_commit=before_commit):
        results = await gather(*(partial(store.apply, change) for change in changes))
    assert results == [True] * MANY
    for change in changes:
        assert await store.get(change.task.id) == change.task
        assert len(await store.trail(change.task.id)) == 2


@pytest.mark.anyio
async def test_a_caller_that_is_cancelled_takes_nobody_along(store: SQLAlchemyStore):
    """Not even the one who does the work of all; what it asked for was done wholly, or not at all."""
    for turns in range(12):
        changes = [opening(make_task()) for _ in range(MANY)]
        returned: list[Task] = []

        async def create(change: Change, returned: list[Task] = returned) -> None:
            returned.append(await store.create(change))

        async with anyio.create_task_group() as staying:
            for change in changes[MANY // 2 :]:
                staying.start_soon(create, change)
            async with anyio.create_task_group() as leaving:
                for change in changes[: MANY // 2]:
                    leaving.start_soon(create, change)
                for _ in range(turns):
                    await checkpoint()
                leaving.cancel_scope.cancel()
        assert {change.task.id for change in changes[MANY // 2 :]} <= {task.id for task in returned}
        for change in changes:
            assert len(await store.trail(change.task.id)) == (await store.get(change.task.id) is not None)


@pytest.mark.parametrize("backend_and_driver", [pair for pair in EACH_DATABASE if pair[0] == "asyncio"])
@pytest.mark.anyio
async def test_asyncios_own_cancellation_takes_nobody_along(store: SQLAlchemyStore):
    leader = asyncio.create_task(store.create(opening(make_task())))
    others = [asyncio.create_task(store.create(opening(make_task()))) for _ in range(MANY)]
    await checkpoint()
    leader.cancel()
    done = await asyncio.gather(leader, *others, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert all(isinstance(one, Task) for one in done[1:])
    assert await store.create(opening(make_task()))


@pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)
@pytest.mark.anyio
async def test_a_read_sees_what_its_caller_has_written(store: SQLAlchemyStore):
    """Also where others' reads are on their way already."""

    async def write_and_read(number: int) -> bool:
        task = await store.create(opening(make_task()))
        change = following(task, attempt=number)
        return await store.apply(change) and await store.get(task.id) == change.task

    assert all(await gather(*(partial(write_and_read, number) for number in range(1, 3 * MANY))))


@pytest.mark.parametrize("backend_and_driver", [pair for pair in EACH_DATABASE if pair[0] == "asyncio"])
@never_begun
@pytest.mark.anyio
async def test_a_leader_that_is_cut_off_takes_nobody_along(store: SQLAlchemyStore):
    """Whoever ends the task that does a group's work, its members find out themselves what became of theirs."""
    for turns in range(8):
        changes = [opening(make_task()) for _ in range(MANY)]
        others = asyncio.all_tasks()
        mine = [asyncio.create_task(store.create(change)) for change in changes]
        for _ in range(turns):
            await checkpoint()
        for theirs in asyncio.all_tasks() - {*mine, *others}:
            theirs.cancel()
        assert await asyncio.wait_for(asyncio.gather(*mine), timeout=20) == [change.task for change in changes]
        assert [len(await store.trail(change.task.id)) for change in changes] == [1] * MANY
    gc.collect()


@never_begun
def test_a_store_outlives_the_loops_that_use_it(tmp_path: Path):
    """Each ends in the midst of writes and reads, and the next one begins afresh."""
    store = SQLAlchemyStore(f"sqlite:///{tmp_path / 'tasks.db'}")
    abandoned: list[asyncio.Task[object]] = []

    async def use_and_leave(turns: int) -> Task:
        await store.setup()
        task = await store.create(opening(make_task()))
        abandoned.extend(asyncio.create_task(store.create(opening(make_task()))) for _ in range(MANY))
        abandoned.extend(asyncio.create_task(store.get(task.id)) for _ in range(MANY))
        for _ in range(turns):
            await asyncio.sleep(0)
        return task

    created = [asyncio.run(use_and_leave(turns)) for turns in range(8)]
    assert all(one.cancelled() or one.exception() is None for one in abandoned)
    assert anyio.run(gather, *(partial(store.get, task.id) for task in created), backend="trio") == created
    anyio.run(store.aclose)
    abandoned.clear()
    gc.collect()


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite"), ("trio", "sqlite")])
@pytest.mark.anyio
async def test_a_loop_outlives_the_stores_it_used(store: SQLAlchemyStore):
    another = SQLAlchemyStore(store._database._engine)
    await another.create(opening(make_task()))
    database = weakref.ref(another._database)
    del another
    gc.collect()
    assert database() is None


# ── The line by itself ────────────────────────────────────────────────────────

either_loop = pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite"), ("trio", "sqlite")])


@either_loop
@pytest.mark.anyio
async def test_each_is_in_one_group_and_no_group_is_empty():
    groups: list[Sequence[int]] = []

    async def together(works: Sequence[int]) -> Sequence[int]:
        groups.append(works)
        for _ in range(len(groups) % 4):
            await checkpoint()
        return [-work for work in works]

    async def join(number: int) -> object:
        for _ in range(number % 7):
            await checkpoint()
        return await line.join(number)

    line = Line(together, impossible, leaders=2)
    many = range(5 * LARGEST)
    assert await gather(*(partial(join, number) for number in many)) == [-number for number in many]
    assert sorted(number for works in groups for number in works) == list(many)
    assert all(0 < len(works) <= LARGEST for works in groups)


@either_loop
@pytest.mark.anyio
async def test_where_there_is_room_for_two_groups_two_are_on_their_way():
    """Also where more wait than one group holds."""
    running, most = 0, 0

    async def together(works: Sequence[int]) -> Sequence[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await checkpoint()
        running -= 1
        return works

    line = Line(together, impossible, leaders=2)
    await gather(*(partial(line.join, number) for number in range(3 * LARGEST)))
    assert most == 2


@either_loop
@pytest.mark.anyio
async def test_nobody_waits_while_another_tries_again():
    """Not even the leader: whoever was in a group that failed does its own part, itself."""
    returned: list[object] = []
    enough = anyio.Event()

    async def together(works: Sequence[int]) -> Sequence[int]:
        await checkpoint()
        raise ValueError(works)

    async def alone(work: int, failure: BaseException) -> int:
        assert isinstance(failure, ValueError)
        if work == MANY - 1:
            await enough.wait()
        return work

    async def join(number: int) -> None:
        returned.append(await line.join(number))
        if len(returned) == MANY - 1:
            enough.set()

    line = Line(together, alone, leaders=1)
    with anyio.fail_after(10):
        await gather(*(partial(join, number) for number in range(MANY)))
    assert sorted(map(str, returned)) == sorted(map(str, range(MANY)))


@each_database
@pytest.mark.anyio
async def test_who_raises_raises_an_exception_of_its_own(store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch):
    """One that several raised would collect the tracebacks of all."""

    async def too_late(*_: object) -> object:
        await checkpoint()
        raise TimeoutError

    monkeypatch.setattr(store._database, "_once", too_late)
    caught: list[TimeoutError] = []

    async def create() -> None:
        with pytest.raises(TimeoutError) as raised:
            await store.create(opening(make_task()))
        caught.append(raised.value)

    await gather(*(create for _ in range(3)))
    assert len(set(map(id, caught))) == 3


@pytest.mark.parametrize("backend_and_driver", [pair for pair in EACH_DATABASE if "sqlite" not in pair[1]])
@pytest.mark.anyio
async def test_nobody_waits_for_a_row_that_somebody_else_has_locked(store: SQLAlchemyStore, used_url: str):
    """As a host's own transaction does, which may last."""
    held = [await store.create(opening(make_task())) for _ in range(GROUPS + 1)]
    free = [await store.create(opening(make_task())) for _ in range(3)]
    engine = create_engine(plain(used_url), isolation_level="READ COMMITTED")
    answered: list[bool] = []

    async def answer(task: Task) -> None:
        answered.append(await store.apply(answering(task)))

    async with anyio.create_task_group() as waiting:
        with engine.begin() as connection:
            for task in held:
                connection.execute(select(tasks.c.id).where(tasks.c.id == task.id).with_for_update())
                waiting.start_soon(answer, task)
                await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(15):
                assert await gather(*(partial(store.apply, answering(task)) for task in free)) == [True] * 3
                await store.create(opening(make_task()))
            assert answered == []
    assert answered == [True] * len(held)
    engine.dispose()


async def impossible(work: int, failure: BaseException) -> object:
    raise AssertionError(work) from failure


# ── Statements ────────────────────────────────────────────────────────────────


@each_database
@pytest.mark.anyio
async def test_a_group_makes_as_many_statements_as_one_write(store: SQLAlchemyStore):
    """Only a change of several tasks looks at their versions first; MariaDB asks for each key by itself."""
    for verb, more in (("create", MANY - 1 if store._database.dialect == "mariadb" else 0), ("apply", 1)):
        of_one, of_many = await statements(store, verb, 1), await statements(store, verb, MANY)
        assert len(of_many) == len(of_one) + more, of_many


@each_database
@pytest.mark.anyio
async def test_what_came_of_many_effects_is_written_in_one_statement(store: SQLAlchemyStore):
    opened = [make_task() for _ in range(MANY)]
    await gather(*(partial(store.create, opening(task, make_effect(task))) for task in opened))
    leased = await store.lease(NOON, NOON + timedelta(hours=1), MANY)
    stale = replace(leased.deliveries[0], token="f" * 32)
    settling = [partial(store.settle, one, NOON, receipt=one.effect.task_id) for one in leased.deliveries[1:-2]]
    settling += [partial(store.settle, leased.deliveries[-1], NOON, failed="no such person")] * 2
    settling += [partial(store.settle, leased.deliveries[-2], NOON, retry_at=NOON + timedelta(minutes=1))]
    settling += [partial(store.settle, stale, NOON), partial(store.settle, replace(stale, token=None), NOON)]
    with executed(store) as made:
        results = await gather(*settling)
    assert sum("awaithumans_effects" in one for one in made) == 2
    assert results == [True] * (MANY - 2) + [False, True, False, False]
    for task in opened:
        (kept,) = await store.deliveries(task.id)
        if kept.effect.id == leased.deliveries[-1].effect.id:
            assert (kept.settled_at, kept.failure, kept.receipt) == (NOON, "no such person", None)
        elif kept.effect.id in {leased.deliveries[0].effect.id, leased.deliveries[-2].effect.id}:
            assert (kept.settled_at, kept.receipt) == (None, None)
        else:
            assert (kept.settled_at, kept.receipt) == (NOON, task.id)
    assert (await store.lease(NOON, NOON, 0)).next_due == NOON + timedelta(minutes=1)


@each_database
@pytest.mark.anyio
async def test_a_group_writes_whom_each_task_concerns(store: SQLAlchemyStore):
    asked = [opening(make_task(addressees=(person,))) for person in (ANA, ANA, BEN)]
    anas, kept, bens = await gather(*(partial(store.create, change) for change in asked))
    moved = [following(anas, addressees=(BEN,)), following(kept, assignee=ANA), following(bens, addressees=(ANA, BEN))]
    assert await gather(*(partial(store.apply, change) for change in moved)) == [True] * 3
    assert {task.id for task in await store.find(Query(visible_to=ANA))} == {kept.id, bens.id}
    assert {task.id for task in await store.find(Query(visible_to=BEN))} == {anas.id, bens.id}


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite")])
@pytest.mark.anyio
async def test_an_old_sqlite_that_returns_nothing_is_asked_one_by_one(store: SQLAlchemyStore):
    store._database._engine.dialect.insert_executemany_returning = False
    asked = [opening(make_task(spec=make_spec(idempotency_key=f"key-{n % 3}"))) for n in range(12)]
    created = await gather(*(partial(store.create, one) for one in asked))
    assert len({task.id for task in created}) == 3
    assert [len(await store.trail(task.id)) for task in created] == [1] * 12


# ── Two stores ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite"), ("trio", "sqlite")])
@pytest.mark.anyio
async def test_two_databases_share_no_group(store: SQLAlchemyStore, tmp_path: Path):
    other = SQLAlchemyStore(f"sqlite:///{tmp_path / 'another.db'}")
    await other.setup()
    mine, theirs = ([opening(make_task()) for _ in range(MANY)] for _ in range(2))
    both = zip(mine, theirs, strict=True)
    await gather(*(partial(each.create, one) for pair in both for each, one in zip((store, other), pair, strict=True)))
    for each, changes in ((store, mine), (other, theirs)):
        everything = await gather(*(partial(each.get, change.task.id) for change in (*mine, *theirs)))
        assert {task.id for task in everything if task} == {change.task.id for change in changes}
    await other.aclose()


@each_database
@pytest.mark.anyio
@pytest.mark.usefixtures("slow_rows")
async def test_two_stores_groups_do_not_lock_each_other_out(
    store: SQLAlchemyStore, used_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Both create with the same keys and change the same tasks, in opposite order, at the same time."""
    monkeypatch.setattr(PostgreSQL, "impatient", Dialect.impatient)  # or none would wait for a deadlock
    other = SQLAlchemyStore(used_url)
    await other.setup()
    with refused(store) as here, refused(other) as there:
        await both_create_and_apply(store, other)
    await other.aclose()
    assert DEADLOCK not in {*here, *there}


async def both_create_and_apply(store: SQLAlchemyStore, other: SQLAlchemyStore) -> None:
    for number in range(5):
        specs = [make_spec(idempotency_key=f"{number}-{n}") for n in range(MANY)]
        asked = [[opening(make_task(spec=spec)) for spec in specs] for _ in range(2)]
        created = await gather(
            *(partial(store.create, change) for change in asked[0]),
            *(partial(other.create, change) for change in reversed(asked[1])),
        )
        held = created[:MANY]
        assert held == created[MANY:][::-1]
        won = await gather(
            *(partial(store.apply, following(task, make_effect(task), attempt=1)) for task in held),
            *(partial(other.apply, following(task, make_effect(task), attempt=1)) for task in reversed(held)),
        )
        assert [first + second for first, second in zip(won[:MANY], won[MANY:][::-1], strict=True)] == [1] * MANY


@pytest.fixture
def slow_rows(store: SQLAlchemyStore, used_url: str) -> Iterator[None]:
    """On PostgreSQL, have each row of a task take some time, so that whoever writes many meets others."""
    if store._database.dialect != "postgresql":
        yield
        return
    engine = create_engine(plain(used_url), isolation_level="AUTOCOMMIT")
    sleeping = "BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS '{sleeping}'")
        connection.exec_driver_sql(
            f"CREATE TRIGGER slowly AFTER INSERT OR UPDATE ON {tasks.name} FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
        yield
        connection.exec_driver_sql("DROP FUNCTION slowly CASCADE")
    engine.dispose()


DEADLOCK = "40P01"
"""As PostgreSQL says it. That one waits long for the other is none."""


@contextmanager
def refused(store: SQLAlchemyStore) -> Iterator[list[str | None]]:
    """Collect the states in which the database refuses statements meanwhile."""
    engine, states = store._database._engine, list[str | None]()

    def note(context: ExceptionContext) -> None:
        states.append(getattr(context.original_exception, "sqlstate", None))

    event.listen(engine, "handle_error", note)
    try:
        yield states
    finally:
        event.remove(engine, "handle_error", note)


# ── Means ─────────────────────────────────────────────────────────────────────


async def statements(store: SQLAlchemyStore, verb: str, number: int) -> list[str]:
    """Return what is executed where so many do this at once."""
    changes = [opening(task, make_effect(task)) for task in (make_task() for _ in range(number))]
    if verb == "apply":
        held = await gather(*(partial(store.create, change) for change in changes))
        changes = [following(task, make_effect(task), assignee=ANA) for task in held]
    with executed(store) as made:
        await gather(*(partial(getattr(store, verb), change) for change in changes))
    return made


@contextmanager
def executed(store: SQLAlchemyStore) -> Iterator[list[str]]:
    """Collect the statements that are executed meanwhile."""
    engine, made = store._database._engine, list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        made.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def inserts(store: SQLAlchemyStore, changes: Sequence[Written]) -> list[str]:
    """Write new tasks; give the statements that leave rows alone that are there, each as often as it was run."""
    engine, run = store._database._engine, list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "ON CONFLICT" in statement:
            run.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    await store._database.write(lambda connection: CREATE.do(connection, changes))
    event.remove(engine, "before_cursor_execute", note)
    return run


@contextmanager
def commits(store: SQLAlchemyStore) -> Iterator[list[Connection]]:
    """Collect the transactions that are committed meanwhile."""
    engine, committed = store._database._engine, list[Connection]()

    def note(connection: Connection) -> None:
        committed.append(connection)

    event.listen(engine, "commit", note)
    try:
        yield committed
    finally:
        event.remove(engine, "commit", note)
