"""The SQL store keeps every promise, on each database, driver and event loop."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from awaithumans.errors import BusyError, ConfigurationError, ConflictError
from awaithumans.protocols import Watchable
from awaithumans.stores import database as database_module
from awaithumans.stores.encryption import Codec
from awaithumans.stores.rows import Rows
from awaithumans.stores.sqlalchemy import SQLAlchemyStore, _find, _next_due
from awaithumans.stores.writing import SETTLE, apply
from awaithumans.testing.stores import StoreConformance, gather, lease_one
from awaithumans.testing.tasks import (
    ANA,
    NOON,
    answering,
    following,
    make_effect,
    make_spec,
    make_task,
    opening,
)
from awaithumans.types import Cursor, Query, Task, TaskStatus
from tests.databases import ASYNC_SERVERS, EACH_DATABASE, POSTGRES, SERVERS, plain
from tests.stores.accidents import lost_once

ROWS = Rows(Codec())


class TestSQLAlchemyStore(StoreConformance):
    @pytest.fixture
    def store(self, store: SQLAlchemyStore) -> SQLAlchemyStore:
        return store


@pytest.mark.anyio
async def test_a_key_that_keeps_changing_hands_may_be_tried_again(tmp_path: Path):
    """It is no conflict: whoever asks again later may well get it."""
    url = f"sqlite:///{tmp_path}/tasks.db"
    store, engine = SQLAlchemyStore(url), create_engine(url)
    await store.setup()
    with engine.begin() as connection:  # as if others were faster each time, and gave the key free at once
        connection.execute(
            text("CREATE TRIGGER others BEFORE INSERT ON awaithumans_tasks BEGIN SELECT RAISE(IGNORE); END")
        )
    with pytest.raises(BusyError) as caught:
        await store.create(opening(make_task()))
    assert not isinstance(caught.value, ConflictError)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER others"))
    assert await store.create(opening(make_task()))
    engine.dispose()
    await store.aclose()


# ── Whose engine it is ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "options",
    [{}, {"isolation_level": "AUTOCOMMIT"}, {"use_insertmanyvalues": False}],
    ids=["plain", "autocommit", "one by one"],
)
@pytest.mark.anyio
async def test_a_hosts_engine_is_used_as_it_is(url: str, options: dict[str, Any]):
    """It is neither configured nor closed, and even one in autocommit loses no atomicity."""
    async with hosts_engine(url, **options) as (engine, sync_engine):
        before = listener_count(sync_engine)
        store = SQLAlchemyStore(engine)
        await store.setup()
        task = await store.create(opening(make_task()))
        change = following(task, assignee=ANA)
        with pytest.raises(IntegrityError):
            await store.apply(replace(change, entries=change.entries * 2))
        assert await store.get(task.id) == task
        pool = sync_engine.pool
        await store.aclose()
        assert sync_engine.pool is pool
        assert listener_count(sync_engine) == before
        assert await store.get(task.id) == task


@pytest.mark.anyio
async def test_a_hosts_connection_keeps_its_settings(url: str):
    async with hosts_engine(url) as (engine, _):
        before = await on(engine, settings)
        store = SQLAlchemyStore(engine)
        await store.setup()
        await store.create(opening(make_task()))
        await store.find(Query())
        assert await on(engine, settings) == before


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_host_that_begins_transactions_itself_keeps_doing_so(tmp_path: Path):
    """The way SQLAlchemy's documentation tells to have real transactions on SQLite."""
    engine = create_engine(f"sqlite:///{tmp_path / 'tasks.db'}")
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    store = SQLAlchemyStore(engine)
    await store.setup()
    task = await store.create(opening(make_task()))
    results = await gather(*(partial(store.apply, following(task, attempt=n)) for n in range(1, 5)))
    assert results.count(True) == 1
    engine.dispose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_pool_of_one_connection_is_enough(tmp_path: Path):
    engine = create_engine(f"sqlite:///{tmp_path / 'tasks.db'}", pool_size=1, max_overflow=0)
    store = SQLAlchemyStore(engine)
    await store.setup()
    task = await store.create(opening(make_task()))
    assert await gather(*[partial(store.get, task.id)] * 30) == [task] * 30
    engine.dispose()


@pytest.mark.anyio
async def test_engines_of_its_own_are_closed_with_it(store: SQLAlchemyStore):
    task = await store.create(opening(make_task()))
    before = store._database._engine.pool
    await store.aclose()
    assert store._database._engine.pool is not before
    assert await store.get(task.id) == task, "it may be used again: the engine opens anew"


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite"), ("asyncio", "sqlite+aiosqlite")])
@pytest.mark.anyio
async def test_sqlite_files_of_its_own_survive_a_power_loss(store: SQLAlchemyStore):
    mode = await store._database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    level = await store._database.read(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar_one())
    assert (mode, level) == ("wal", 2)


# ── Addresses it refuses ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://", "sqlite:///file:x?mode=memory&uri=true"],
)
def test_databases_in_memory_are_refused(url: str):
    with pytest.raises(ConfigurationError, match="MemoryStore"):
        SQLAlchemyStore(url)


def test_a_hosts_database_in_memory_is_refused():
    with pytest.raises(ConfigurationError, match="MemoryStore"):
        SQLAlchemyStore(create_engine("sqlite://"))


@pytest.mark.parametrize("url", ["oracle://host/x", "nonsense://x", "postgresql+nonsense://x"])
def test_other_databases_are_refused(url: str):
    with pytest.raises(ConfigurationError, match="sqlite:///path"):
        SQLAlchemyStore(url)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://host/x", "psycopg", "awaithumans[postgres]"),
        ("postgresql+asyncpg://host/x", "asyncpg", "awaithumans[asyncpg]"),
        ("mariadb://host/x", "pymysql", "awaithumans[mariadb]"),
        ("mysql+asyncmy://host/x", "asyncmy", "awaithumans[asyncmy]"),
        ("sqlite+aiosqlite:///x.db", "aiosqlite", "pip install aiosqlite"),
    ],
)
def test_a_missing_driver_is_named(url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr(database_module, "create_engine", absent)
    monkeypatch.setattr("sqlalchemy.ext.asyncio.create_async_engine", absent)
    with pytest.raises(ConfigurationError) as raised:
        SQLAlchemyStore(url)
    assert extra in raised.value.hint


def test_a_missing_greenlet_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database_module, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="pip install greenlet"):
        SQLAlchemyStore("sqlite+aiosqlite:///x.db")


# ── Trouble ───────────────────────────────────────────────────────────────────


@pytest.mark.anyio
async def test_a_change_is_written_whole_or_not_at_all(store: SQLAlchemyStore):
    """The second line of trail clashes after the task's row was written."""
    task = await store.create(opening(make_task()))
    change = following(task, make_effect(task), assignee=ANA)
    with pytest.raises(IntegrityError) as raised:
        await store.apply(replace(change, entries=change.entries * 2))
    assert "approve" not in str(raised.value).lower(), "an error must not carry payloads into logs"
    assert await store.get(task.id) == task
    assert (len(await store.trail(task.id)), await store.deliveries(task.id)) == (1, [])


@pytest.mark.anyio
async def test_a_connection_cut_before_the_commit_costs_nothing(store: SQLAlchemyStore):
    task = await store.create(opening(make_task()))
    change = following(task, make_effect(task), assignee=ANA)
    with lost_once(store, before_commit=True):
        assert await store.apply(change) is True
    assert await store.get(task.id) == change.task


@pytest.mark.parametrize("entries", [True, False])
@pytest.mark.anyio
async def test_a_write_whose_commit_was_not_heard_of_is_known_as_ones_own(store: SQLAlchemyStore, *, entries: bool):
    """The version has moved, and it was this caller who moved it."""
    task = await store.create(opening(make_task()))
    change = following(task, make_effect(task), assignee=ANA)
    if not entries:
        change = replace(change, entries=())
    with lost_once(store, before_commit=False):
        assert await store.apply(change) is True
    assert await store.apply(change) is False
    assert len(await store.trail(task.id)) == 1 + entries


@pytest.mark.anyio
async def test_a_loser_stays_a_loser_when_its_connection_is_lost(store: SQLAlchemyStore):
    task = await store.create(opening(make_task()))
    assert await store.apply(following(task, attempt=1))
    with lost_once(store, before_commit=True):
        assert await store.apply(following(task, attempt=1)) is False


@pytest.mark.anyio
async def test_every_other_write_survives_an_unheard_commit(store: SQLAlchemyStore):
    task = make_task()
    change = opening(task, make_effect(task))
    with lost_once(store, before_commit=False):
        assert await store.create(change) == change.task
    with lost_once(store, before_commit=False):
        delivery = await lease_one(store)
    assert delivery.attempts == 1, "lease: what was leased unheard is handed out, not leased once more"
    with lost_once(store, before_commit=False):
        assert await store.settle(delivery, NOON, retry_at=NOON)
    again = await lease_one(store)
    with lost_once(store, before_commit=False):
        assert await store.settle(again, NOON, receipt="r")
    done = answering(change.task)
    assert await store.apply(done)
    with lost_once(store, before_commit=False):
        assert await store.purge(done.task)
    assert await store.get(task.id) is None


@pytest.mark.parametrize("backend_and_driver", POSTGRES)
@pytest.mark.anyio
async def test_what_was_settled_is_known_as_ones_own_though_its_commit_still_goes_on(store: SQLAlchemyStore):
    """The connection is lost before the server has ended the transaction: whoever looks has to wait for that."""
    task = await store.create(opening(make_task()))
    assert await store.apply(following(task, make_effect(task)))
    delivery = await lease_one(store)
    written = (await store._rows()).settled(delivery, NOON, receipt="r", retry_at=None, failed=None)
    engine = create_engine(plain(store._database._engine.url), isolation_level="READ COMMITTED")
    found: list[bool | None] = []
    recover = SETTLE.recover
    assert recover

    async def find_out() -> None:
        await store._database.write(lambda connection: found.append(recover(connection, written)))

    async with anyio.create_task_group() as finding_out:
        with engine.connect() as connection, engine.connect() as looking, connection.begin():
            assert SETTLE.do(connection, [written]) == [True]
            finding_out.start_soon(find_out)
            with anyio.fail_after(20):
                while not found and not looking.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                    await anyio.sleep(0.01)
    assert found == [True]
    engine.dispose()


@pytest.mark.parametrize("backend_and_driver", SERVERS)
@pytest.mark.anyio
async def test_pooled_connections_that_died_are_replaced(store: SQLAlchemyStore):
    await kill_the_others(store)
    task = await store.create(opening(make_task()))
    await kill_the_others(store)
    assert await store.get(task.id) == task


@pytest.mark.parametrize("backend_and_driver", SERVERS)
@pytest.mark.anyio
async def test_a_connection_killed_in_a_transaction_costs_nothing(store: SQLAlchemyStore):
    task = await store.create(opening(make_task()))
    change = following(task, make_effect(task), assignee=ANA)
    kills = [_KILL_ITSELF[store._database.dialect]]

    def dying(connection: Connection) -> bool:
        done = apply(connection, [ROWS.changed(change)])[0]
        while kills:
            connection.exec_driver_sql(kills.pop())
        return done

    assert await store._database.write(dying) is True
    assert await store.get(task.id) == change.task
    assert len(await store.trail(task.id)) == 2


@pytest.mark.parametrize("backend_and_driver", [pair for pair in EACH_DATABASE if pair in SERVERS])
@pytest.mark.anyio
async def test_two_writers_in_each_others_way_both_finish(store: SQLAlchemyStore):
    """They change two tasks in opposite order: one is told of a deadlock, and tries again."""
    first, second = [await store.create(opening(make_task())) for _ in range(2)]
    each_has_one = threading.Barrier(2)
    tries: list[int] = []

    def change_both(connection: Connection, *, order: tuple[Task, Task], alone: list[bool]) -> list[bool]:
        tries.append(1)
        results: list[bool] = []
        for task in order:
            results += apply(connection, [ROWS.changed(following(task, attempt=1))])
            if not alone:
                alone.append(True)
                each_has_one.wait(timeout=20)
        return results

    orders = [(first, second), (second, first)]
    writes = [partial(change_both, order=order, alone=[]) for order in orders]
    results = await gather(*(partial(store._database.write, write) for write in writes))
    assert sorted(results) == [[False, False], [True, True]]
    assert len(tries) == 3


@pytest.mark.anyio
async def test_transient_errors_are_retried(store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch):
    """A deadlock, a serialization failure, a lock that took too long."""
    monkeypatch.setattr(database_module, "FIRST_PAUSE", 0)
    failures = iter([transient(store), transient(store)])

    def shaky(_: Connection) -> str:
        for failure in failures:
            raise failure
        return "done"

    assert await store._database.write(shaky) == "done"


@pytest.mark.anyio
async def test_retrying_ends(store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database_module, "FIRST_PAUSE", 0)
    tries: list[int] = []

    def hopeless(_: Connection) -> None:
        tries.append(1)
        raise transient(store)

    with pytest.raises(DBAPIError):
        await store._database.write(hopeless)
    assert len(tries) == database_module.ATTEMPTS


@pytest.mark.anyio
async def test_cancelling_callers_leaves_the_store_usable(store: SQLAlchemyStore):
    """Connections go back to the pool, and locks are let go."""
    for turns in range(40):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(store.create, opening(make_task()))
            for _ in range(turns):
                await checkpoint()
            group.cancel_scope.cancel()
    for task in await store.find(Query(limit=1000)):
        assert len(await store.trail(task.id)) == 1
    assert await store.create(opening(make_task()))


@pytest.mark.parametrize("backend_and_driver", ASYNC_SERVERS)
@pytest.mark.anyio
async def test_an_operation_that_hangs_is_given_up(store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch):
    sleeping = "SELECT pg_sleep(60)" if store._database.dialect == "postgresql" else "SELECT SLEEP(60)"
    monkeypatch.setattr(database_module, "SHIELD_SECONDS", 0.1)
    with pytest.raises(TimeoutError):
        await store._database.write(lambda connection: connection.execute(text(sleeping)).close())
    monkeypatch.undo()
    assert await store.create(opening(make_task()))


@pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)
@pytest.mark.anyio
async def test_threads_with_loops_of_their_own_may_share_it(store: SQLAlchemyStore):
    start = threading.Barrier(4)

    def create(backend: str) -> Task:
        start.wait()
        change = opening(make_task(spec=make_spec(idempotency_key="k")))
        return anyio.run(store.create, change, backend=backend)

    with ThreadPoolExecutor(4) as threads:
        backends = ("asyncio", "trio") * 2
        tasks = [future.result() for future in [threads.submit(create, backend) for backend in backends]]
    assert len({task.id for task in tasks}) == 1


def test_it_hears_other_processes(tmp_path: Path):
    assert isinstance(SQLAlchemyStore(f"sqlite:///{tmp_path / 'tasks.db'}"), Watchable)


# ── Many tasks ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite")])
@pytest.mark.parametrize(
    ("operation", "index"),
    [
        (partial(_find, rows=ROWS, query=Query()), "tasks_newest"),
        (partial(_find, rows=ROWS, query=Query(after=Cursor(at=NOON, id="x"))), "tasks_newest"),
        (partial(_find, rows=ROWS, query=Query(statuses=frozenset({TaskStatus.PENDING}))), "tasks_by_status"),
        (partial(_find, rows=ROWS, query=Query(changed_after=Cursor(at=NOON, id="x"))), "tasks_changes"),
        (partial(_find, rows=ROWS, query=Query(idempotency_key="k")), "tasks_by_key"),
        (_next_due, "effects_to_do"),
        (_next_due, "effects_in_lane"),
    ],
)
@pytest.mark.anyio
async def test_what_is_asked_often_is_read_from_an_index(
    store: SQLAlchemyStore, operation: Callable[[Connection], object], index: str
):
    """Nothing is scanned, and lists are not sorted."""
    plan = await plan_of(store, operation)
    assert f"INDEX awaithumans_{index}" in plan
    assert "SCAN awaithumans_tasks\n" not in f"{plan}\n"
    assert "TEMP B-TREE" not in plan or index == "tasks_by_key"


# ── Means ─────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def hosts_engine(url: str, **options: Any) -> AsyncIterator[tuple[Any, Engine]]:
    """Make an engine the way a host does, and close it; give its sync side, too."""
    if not make_url(url).get_dialect().is_async:
        engine = create_engine(url, **options)
        yield engine, engine
        engine.dispose()
        return
    async_engine = create_async_engine(url, **options)
    yield async_engine, async_engine.sync_engine
    await async_engine.dispose()


def listener_count(engine: Engine) -> tuple[int, int, int]:
    return len(engine.pool.dispatch.connect), len(engine.dispatch.begin), len(engine.dispatch.commit)


async def on(engine: Any, read: Callable[[Connection], Any]) -> Any:
    if isinstance(engine, Engine):
        with engine.connect() as connection:
            return read(connection)
    async with engine.connect() as connection:
        return await connection.run_sync(read)


def settings(connection: Connection) -> list[object]:
    names = ("synchronous", "busy_timeout", "foreign_keys", "journal_mode")
    if connection.dialect.name == "sqlite":
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    if connection.dialect.name == "mariadb":
        names = ("tx_isolation", "autocommit", "sql_mode", "innodb_lock_wait_timeout")
        return [connection.exec_driver_sql(f"SELECT @@{name}").scalar() for name in names]
    return [
        connection.exec_driver_sql("SHOW transaction_isolation").scalar(),
        connection.exec_driver_sql("SHOW statement_timeout").scalar(),
        connection.get_isolation_level(),
    ]


_KILL_ITSELF = {
    "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mariadb": "KILL CONNECTION_ID()",
}


def transient(store: SQLAlchemyStore) -> DBAPIError:
    cause = Exception(1213, "try again")
    if store._database.dialect == "sqlite":
        cause.sqlite_errorcode = 517  # type: ignore[attr-defined]
    elif store._database.dialect == "postgresql":
        cause.sqlstate = "40P01"  # type: ignore[attr-defined]
    return DBAPIError("UPDATE", {}, cause)


async def kill_the_others(store: SQLAlchemyStore) -> None:
    engine = create_engine(plain(store._database._engine.url), poolclass=NullPool)
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            return
        others = text("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        for number in connection.scalars(others).all():
            connection.exec_driver_sql(f"KILL {number}")


async def plan_of(store: SQLAlchemyStore, operation: Callable[[Connection], object]) -> str:
    """Return how SQLite goes about the statements of an operation."""
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((f"EXPLAIN QUERY PLAN {statement}", parameters))

    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", note)
    await store._database.read(operation)
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        return "\n".join(row.detail for explain in statements for row in connection.exec_driver_sql(*explain))
