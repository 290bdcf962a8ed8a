"""Tasks written in a transaction of the host's: with its rows, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import pytest
from anyio import to_thread
from sqlalchemy import Column, Connection, Integer, MetaData, Table, create_engine, event, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.orm import Session

from awaithumans import BlockingEngine, Engine, runner
from awaithumans.errors import ConfigurationError, IdempotencyConflictError, TaskNotFoundError
from awaithumans.protocols import Joinable, KeepsRecords, Records, Store
from awaithumans.stores import writing
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.engines import ANA, a_question
from awaithumans.testing.stores import Begin, JoinableConformance, StoreConformance
from awaithumans.types import AGENT, Query, Record
from tests.databases import ASYNC_DRIVERS

pytestmark = pytest.mark.anyio

YES = {"approved": True}
ON_MARIADB = [("asyncio", "mariadb+pymysql"), ("asyncio", "mariadb+asyncmy")]

host_metadata = MetaData()
orders = Table("orders", host_metadata, Column("id", Integer, primary_key=True))


class Host:
    """A host application with a table and a connection pool of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asynchronous = url.startswith(ASYNC_DRIVERS)
        self.engine = create_engine(url) if not self.asynchronous else None
        self.async_engine = create_async_engine(url) if self.asynchronous else None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection | AsyncConnection]:
        if self.async_engine:
            async with self.async_engine.begin() as connection:
                yield connection
        elif self.engine:
            with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection | AsyncConnection]:
        if self.async_engine:
            async with self.async_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection
        elif self.engine:
            with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection

    async def order(self, connection: Connection | AsyncConnection, number: int) -> None:
        insert = orders.insert().values(id=number)
        if isinstance(connection, AsyncConnection):
            await connection.execute(insert)
        else:
            connection.execute(insert)

    async def orders(self) -> int:
        async with self.begin() as connection:
            count = select(func.count()).select_from(orders)
            if isinstance(connection, AsyncConnection):
                return (await connection.execute(count)).scalar_one()
            return connection.execute(count).scalar_one()

    async def aclose(self) -> None:
        if self.async_engine:
            await self.async_engine.dispose()
        if self.engine:
            self.engine.dispose()


@pytest.fixture
async def host(used_url: str) -> AsyncIterator[Host]:
    host = Host(used_url)
    async with host.begin() as connection:
        if isinstance(connection, AsyncConnection):
            await connection.run_sync(set_up)
        else:
            set_up(connection)
    yield host
    await host.aclose()


def set_up(connection: Connection) -> None:
    host_metadata.create_all(connection)
    connection.execute(orders.delete())


class TestConformance(StoreConformance):
    """Inside a transaction, every promise but durability and being seen holds."""

    @pytest.fixture(params=["sqlite", "postgresql+psycopg_async", "mariadb+pymysql"])
    def backend_and_driver(self, request) -> tuple[str, str]:
        return "asyncio", request.param

    @pytest.fixture
    async def store(self, store: SQLAlchemyStore, host: Host) -> AsyncIterator[Store]:
        async with host.begin() as connection:
            yield store.using(connection)


class TestJoining(JoinableConformance):
    @pytest.fixture
    def store(self, store: SQLAlchemyStore) -> SQLAlchemyStore:
        return store

    @pytest.fixture
    def begin(self, host: Host) -> Begin:
        return host.begin


class TestWithTheHostsRows:
    async def test_both_are_there_after_the_commit_and_neither_before(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        async with host.begin() as connection:
            await host.order(connection, 1)
            task = await engine.using(connection).create(a_question())
            assert await engine.using(connection).get(task.id) == task
            with pytest.raises(TaskNotFoundError):
                await engine.get(task.id)
        assert await engine.get(task.id) == task
        assert await host.orders() == 1

    async def test_neither_is_there_after_a_rollback(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)

        async def order() -> None:
            async with host.begin() as connection:
                await host.order(connection, 1)
                await engine.using(connection).create(a_question())
                raise LookupError("the customer is unknown")

        with pytest.raises(LookupError):
            await order()
        assert await engine.find(Query()) == []
        assert await host.orders() == 0

    async def test_a_refused_verb_leaves_the_transaction_usable(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        first = await engine.create(a_question(idempotency_key="k"))
        async with host.begin() as connection:
            joined = engine.using(connection)
            with pytest.raises(IdempotencyConflictError):
                await joined.create(a_question(idempotency_key="k", task="Another?"))
            with pytest.raises(TaskNotFoundError):
                await joined.cancel("unknown", by=AGENT)
            assert await joined.create(a_question(idempotency_key="k")) == first
            await host.order(connection, 1)
        assert await host.orders() == 1

    async def test_an_answer_and_the_hosts_rows_are_one(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        task = await engine.create(a_question())
        async with host.begin() as connection:
            await host.order(connection, 1)
            done = await engine.using(connection).submit(task.id, YES, by=ANA)
        assert (await engine.get(task.id), done.response) == (done, YES)


class TestRecords:
    async def test_they_commit_with_the_hosts_rows(self, host: Host, store: SQLAlchemyStore) -> None:
        record = Record(kind="k", id="1", document={"a": 1})
        async with host.begin() as connection:
            joined = records_of(store.using(connection))
            await host.order(connection, 1)
            assert await joined.put(record)
            assert await joined.put(record) is False
            assert [await joined.get("k", "1"), *await joined.find("k")] == [record, record]
            assert await store.records.get("k", "1") is None
        assert await store.records.get("k", "1") == record
        assert await host.orders() == 1

    async def test_they_roll_back_with_the_hosts_rows(self, host: Host, store: SQLAlchemyStore) -> None:
        kept, changed = (Record(kind="k", id=id_, document={}) for id_ in "12")
        for record in (kept, changed):
            assert await store.records.put(record)

        async def change() -> None:
            async with host.begin() as connection:
                joined = records_of(store.using(connection))
                assert await joined.delete(kept)
                assert await joined.put(replace(changed, version=2, document={"new": True}))
                assert await joined.put(Record(kind="k", id="3", document={}))
                assert len(await joined.find("k")) == 2
                raise LookupError

        with pytest.raises(LookupError):
            await change()
        assert await store.records.find("k") == [kept, changed]


def records_of(store: Store) -> Records:
    assert isinstance(store, KeepsRecords)
    return store.records


class TestAfterwards:
    async def test_people_are_told_after_the_commit_and_at_once(
        self, host: Host, store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "IDLE", timedelta(minutes=1))
        channel = RecordingChannel()
        async with Engine(store, channels=[channel]).run() as engine:
            async with host.begin() as connection:
                await engine.using(connection).create(a_question(notify=("test:ana",)))
                await anyio.sleep(0.2)
                assert channel.sent == []
            with anyio.fail_after(20):  # and not when the runner looks, hint or no hint
                while not channel.sent:
                    await anyio.sleep(0.01)

    async def test_waiters_hear_of_what_was_done_in_a_transaction(self, host: Host, store: SQLAlchemyStore) -> None:
        async with Engine(store).run() as engine:
            task = await engine.create(a_question())
            with anyio.fail_after(20):  # and not at the next look, up to half a minute later
                async with anyio.create_task_group() as group:
                    group.start_soon(engine.wait, task.id)
                    await anyio.wait_all_tasks_blocked()
                    async with host.begin() as connection:
                        await engine.using(connection).cancel(task.id, by=AGENT)

    async def test_without_background_work_the_next_verb_tells(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        async with host.begin() as connection:
            task = await engine.using(connection).create(a_question())
        heard: list[str] = []
        engine._hub.ring = heard.append  # type: ignore[method-assign, assignment]
        await engine.find(Query())
        assert (heard, engine._background._committing) == ([task.id], [])

    async def test_what_was_rolled_back_is_not_told_of_as_done(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        task = await engine.create(a_question())
        async with host.begin() as connection:
            joined = engine.using(connection)
            nested = (
                await connection.begin_nested()
                if isinstance(connection, AsyncConnection)
                else connection.begin_nested()
            )
            cancelled = await joined.cancel(task.id, by=AGENT)
            if isinstance(connection, AsyncConnection):
                await nested.rollback()  # type: ignore[misc]
            else:
                nested.rollback()
            claimed = await joined.claim(task.id, by=ANA)
        assert cancelled.version == claimed.version
        visible = [await engine._background._is_visible(change) for change in engine._background._committing]
        assert visible == [False, True]

    async def test_waiting_inside_the_transaction_is_refused(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        async with host.begin() as connection:
            joined = engine.using(connection)
            task = await joined.create(a_question())
            with pytest.raises(ConfigurationError, match="not for inside a transaction"):
                await joined.wait(task.id)

    async def test_so_is_all_that_would_not_be_part_of_it(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        async with host.begin() as connection:
            joined = engine.using(connection)
            lease = partial(joined.lease, "n", holder="a", seconds=30)
            refused = (joined.tick, joined.aclose, partial(joined.purge, before=datetime.now(UTC)), lease)
            for call in refused:
                with pytest.raises(ConfigurationError, match="not for inside a transaction"):
                    await call()
            for block in (joined.run(), joined.follow("x"), joined.changes(Query())):
                with pytest.raises(ConfigurationError, match="not for inside a transaction"):
                    async with block:
                        pass

    async def test_deleting_inside_the_transaction_erases_after_it(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        task = await engine.create(a_question())
        async with host.begin() as connection:
            await engine.using(connection).delete(task.id, by=AGENT)
        assert (await engine.get(task.id)).closed
        await engine.tick()
        with pytest.raises(TaskNotFoundError):
            await engine.get(task.id)


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "postgresql+psycopg_async")], ids=["asyncio"])
async def test_of_two_transactions_with_one_key_the_second_waits_for_the_first(
    host: Host, store: SQLAlchemyStore
) -> None:
    engine = Engine(store, background=False)
    ids: list[str] = []

    async def second() -> None:
        async with host.begin() as connection:
            ids.append((await engine.using(connection).create(a_question(idempotency_key="k"))).id)

    async with anyio.create_task_group() as group, host.begin() as connection:
        first = await engine.using(connection).create(a_question(idempotency_key="k"))
        group.start_soon(second)
        await anyio.sleep(0.2)
        assert ids == []
    assert ids == [first.id]


@pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite"), ("trio", "sqlite")], ids=" ".join)
async def test_a_thread_with_an_orm_session(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    database, engine = create_engine(url), Engine(SQLAlchemyStore(url))
    host_metadata.create_all(database)

    def handle_request() -> str:
        with Session(database) as session, session.begin():
            session.execute(orders.insert().values(id=1))
            return BlockingEngine(engine.using(session.connection())).create(a_question()).id

    async with engine.run():
        task_id = await to_thread.run_sync(handle_request)
        assert await engine.get(task_id)
    await engine.aclose()
    database.dispose()


@pytest.mark.parametrize(
    "backend_and_driver",
    [("asyncio", driver) for driver in ("sqlite", "postgresql+psycopg", "mariadb+pymysql")],
    ids=" ".join,
)
class TestAsyncioCancellation:
    """A native cancellation passes shields; the thread must have left the connection all the same."""

    async def test_writes_all_or_nothing_and_leaves_the_connection_alone(
        self, host: Host, store: SQLAlchemyStore, monkeypatch
    ) -> None:
        engine = Engine(store, background=False)
        await engine.find(Query())
        add = writing._add_the_rest

        def slowly(connection: Connection, written: object) -> None:
            time.sleep(0.3)  # between two statements of one verb
            add(connection, written)  # type: ignore[arg-type]

        monkeypatch.setattr(writing, "_add_the_rest", slowly)
        async with host.begin() as connection:
            await host.order(connection, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await engine.using(connection).create(a_question(idempotency_key="k"))
        for task in await engine.find(Query()):
            assert (len(await engine.trail(task.id)), len(await engine.deliveries(task.id))) == (1, 1)
        assert await host.orders() == 1


def test_a_loop_that_ends_leaves_no_thread_on_the_hosts_connection(tmp_path) -> None:
    """It cancels every task; closing a connection of SQLite's under a running statement can crash the process."""
    database = create_engine(f"sqlite:///{tmp_path}/tasks.db")
    begun, left = threading.Event(), threading.Event()

    def slowly(*_: object) -> None:
        begun.set()
        time.sleep(0.3)
        left.set()

    async def main(connection: Connection) -> None:
        engine = Engine(SQLAlchemyStore(database), background=False)
        await engine.find(Query())
        event.listen(connection, "before_cursor_execute", slowly)
        asyncio.create_task(engine.using(connection).find(Query()))  # noqa: RUF006 - the loop ends before it does
        await anyio.to_thread.run_sync(begun.wait)

    with database.connect() as connection, connection.begin():
        asyncio.run(main(connection))
        assert left.is_set()


@pytest.mark.parametrize(
    "backend_and_driver", [("asyncio", "mariadb+pymysql"), ("asyncio", "mariadb+asyncmy")], ids=" ".join
)
class TestOnMariaDB:
    """Its transactions read one snapshot, and write on another."""

    async def test_a_verb_sees_what_others_have_changed_since(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        task = await engine.create(a_question())
        async with host.begin() as connection:
            joined = engine.using(connection)
            assert await joined.find(Query())
            await engine.claim(task.id, by=ANA)
            with anyio.fail_after(10):
                done = await joined.cancel(task.id, by=AGENT)
        assert (done.version, await engine.get(task.id)) == (3, done)

    async def test_a_key_that_others_took_since_gives_their_task(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        async with host.begin() as connection:
            joined = engine.using(connection)
            assert await joined.find(Query()) == []
            task = await engine.create(a_question(idempotency_key="k"))
            assert await joined.create(a_question(idempotency_key="k")) == task

    async def test_autocommit_is_refused(self, host: Host, store: SQLAlchemyStore) -> None:
        engine = Engine(store, background=False)
        await engine.find(Query())
        async with host.autocommit() as connection:
            with pytest.raises(ConfigurationError, match="autocommit"):
                await engine.using(connection).create(a_question())
        assert await engine.find(Query()) == []


class TestMistakes:
    def test_a_store_that_cannot_join_says_so(self) -> None:
        assert not isinstance(MemoryStore(), Joinable)
        with pytest.raises(ConfigurationError, match="MemoryStore cannot write"):
            Engine(MemoryStore()).using(object())

    def test_something_that_is_no_connection_is_refused(self, tmp_path) -> None:
        engine = Engine(SQLAlchemyStore(f"sqlite:///{tmp_path}/tasks.db"))
        database = create_engine(f"sqlite:///{tmp_path}/tasks.db")
        with pytest.raises(ConfigurationError, match="no open connection"):
            engine.using(database)
        with pytest.raises(ConfigurationError, match="no open connection"):
            engine.using(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/tasks.db").connect())

    def test_another_database_is_refused(self, tmp_path) -> None:
        engine = Engine(SQLAlchemyStore("postgresql+psycopg://nobody@127.0.0.1:1/nowhere"))
        database = create_engine(f"sqlite:///{tmp_path}/tasks.db")
        with database.connect() as connection, pytest.raises(ConfigurationError, match="the connection is to sqlite"):
            engine.using(connection)
