"""One process hears what another changes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

from awaithumans.stores import watching
from awaithumans.stores.database import Pinned
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.stores.watching import PAYLOAD_BYTES
from awaithumans.testing.stores import WatchableConformance, hears, listening
from awaithumans.testing.tasks import NOON, SECOND, answering, following, make_task, opening
from tests.databases import POSTGRES, plain

PATIENCE = 20
on_sqlite = pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite")])

CHILD = """
import sys, anyio
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.tasks import make_task, opening

async def main():
    store = SQLAlchemyStore(sys.argv[1])
    await store.create(opening(make_task(id="of the child")))
    await store.announce(["of the child"])
    await store.aclose()

anyio.run(main)
"""


@pytest.fixture
async def other(store: SQLAlchemyStore) -> AsyncIterator[SQLAlchemyStore]:
    """Give a second store on the same database."""
    other = SQLAlchemyStore(store._database._engine.url)
    yield other
    await other.aclose()


class TestConformance(WatchableConformance):
    @pytest.fixture
    def store(self, store: SQLAlchemyStore) -> SQLAlchemyStore:
        return store

    @pytest.fixture
    def other(self, other: SQLAlchemyStore) -> SQLAlchemyStore:
        return other


@pytest.mark.anyio
async def test_a_change_in_another_process_is_heard(store: SQLAlchemyStore):
    url = store._database._engine.url.render_as_string(hide_password=False)
    async with listening(store, PATIENCE) as heard:
        await anyio.run_process([sys.executable, "-c", CHILD, url], stderr=subprocess.STDOUT)
        await hears(heard, "of the child", patience=PATIENCE)


@pytest.mark.anyio
async def test_listening_ends_when_cancelled_and_leaves_nothing_behind(store: SQLAlchemyStore):
    checked_out = store._database._engine.pool.checkedout  # type: ignore[attr-defined]
    with anyio.move_on_after(PATIENCE) as scope:
        async with aclosing(store.watch()) as heard:
            async for _ in heard:
                scope.cancel()
    assert scope.cancelled_caught
    assert checked_out() == 0


@pytest.mark.anyio
async def test_listening_holds_no_connection_of_the_pool(store: SQLAlchemyStore):
    checked_out = store._database._engine.pool.checkedout  # type: ignore[attr-defined]
    async with listening(store, PATIENCE):
        assert checked_out() == 0


@pytest.mark.parametrize("backend_and_driver", POSTGRES)
@pytest.mark.anyio
async def test_a_lost_connection_is_an_error_and_listening_can_begin_again(
    store: SQLAlchemyStore, other: SQLAlchemyStore
):
    async with listening(store, PATIENCE) as heard:
        cut_listeners(store)
        with anyio.fail_after(PATIENCE), pytest.raises(Exception):  # noqa: B017, PT011 - drivers differ
            async for _ in heard:
                pass
    async with listening(store, PATIENCE) as heard:
        await other.announce(["x"])
        await hears(heard, "x", patience=PATIENCE)


@pytest.mark.parametrize("backend_and_driver", POSTGRES)
@pytest.mark.anyio
async def test_announcing_nothing_says_nothing(store: SQLAlchemyStore, other: SQLAlchemyStore):
    async with listening(store, PATIENCE) as heard:
        await other.announce([])
        await other.announce(["marker"])
        assert await another(heard) == ["marker"]


@pytest.mark.anyio
async def test_where_nothing_notifies_a_look_now_and_then_finds_changes(
    store: SQLAlchemyStore, other: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch
):
    """Each version once, though changes become visible out of their order."""
    monkeypatch.setattr(watching, "PAUSE", 0)

    async with store._database.pinned() as pinned, aclosing(watching._look(pinned)) as heard:
        assert list(await anext(heard)) == []
        newer = await other.create(opening(make_task()))
        await hears(heard, newer.id, patience=PATIENCE)
        older = await other.create(opening(make_task(created_at=newer.created_at - SECOND)))
        assert await another(heard) == [older.id]
        assert await other.apply(following(older, changed_at=older.changed_at))
        assert await another(heard) == [older.id]


@asynccontextmanager
async def trail_read_on(store: SQLAlchemyStore) -> AsyncGenerator[tuple[watching._Reading, Pinned]]:
    """Read what is written from now on, on one connection."""
    async with store._database.pinned() as pinned:
        reading = watching._Reading()
        await pinned.run(reading.begin)
        yield reading, pinned


@on_sqlite
@pytest.mark.anyio
async def test_however_many_changes_there_were_a_look_reads_the_new_ones_alone(
    store: SQLAlchemyStore, other: SQLAlchemyStore
):
    await other.create(opening(make_task()))
    async with store._database.pinned() as pinned:
        reading = watching._Reading()
        assert await pinned.run(reading.begin) == []
        first, second = [await other.create(opening(make_task())) for _ in range(2)]
        assert await pinned.run(reading.look) == [first.id, second.id]
        assert await other.apply(following(first))
        assert await pinned.run(reading.look) == [first.id]
        await pinned.run(reading.look)  # something else may have been written: it looks back, once
        assert await pinned.run(reading.look) == []


@on_sqlite
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.anyio
async def test_a_task_that_is_erased_as_soon_as_it_is_closed_is_heard_of(
    store: SQLAlchemyStore, other: SQLAlchemyStore, *, more: bool
):
    task = await other.create(opening(make_task()))
    async with trail_read_on(store) as (reading, pinned):
        assert await other.apply(done := answering(task))
        for _ in range(2 * more):
            await other.create(opening(make_task()))
        assert await other.purge(done.task)
        assert task.id in await pinned.run(reading.look)


@on_sqlite
@pytest.mark.parametrize("vacuum", [False, True])
@pytest.mark.anyio
async def test_nothing_is_missed_where_rows_are_erased_and_their_numbers_given_anew(
    store: SQLAlchemyStore, other: SQLAlchemyStore, *, vacuum: bool
):
    first, last = [await other.create(opening(make_task())) for _ in range(2)]
    erased, kept = (first, last) if vacuum else (last, first)
    async with trail_read_on(store) as (reading, pinned):
        assert await other.apply(done := answering(erased))
        assert await other.purge(done.task)
        if vacuum:
            await other._database.read(lambda connection: connection.exec_driver_sql("VACUUM").close())
        assert await other.apply(change := following(kept))
        assert kept.id in await pinned.run(reading.look)
        assert await other.apply(following(change.task))
        assert await pinned.run(reading.look) == [kept.id]


@on_sqlite
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.anyio
async def test_a_task_is_heard_of_whose_rows_are_erased_without_a_gap(
    store: SQLAlchemyStore, other: SQLAlchemyStore, *, first: bool
):
    """Where others write before it is closed, or under the numbers of its rows once it is erased."""
    task, busy = [await other.create(opening(make_task())) for _ in range(2)]
    async with trail_read_on(store) as (reading, pinned):
        if first:
            assert await other.apply(following(busy))
        assert await other.apply(done := answering(task))
        assert await other.purge(done.task)
        if not first:
            assert await other.apply(following(busy))
        assert await pinned.run(reading.look) == [busy.id]
        assert await pinned.run(reading.look_back) == [task.id]


@on_sqlite
@pytest.mark.anyio
async def test_while_others_write_what_was_erased_is_looked_for_now_and_then(
    store: SQLAlchemyStore, other: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watching._Reading, "look", lambda *_: [])
    async with listening(store, PATIENCE) as heard:
        task = await other.create(opening(make_task()))
        assert await other.apply(done := answering(task))
        assert await other.purge(done.task)
        await hears(heard, task.id, patience=PATIENCE)


@on_sqlite
@pytest.mark.anyio
async def test_a_look_back_after_a_busy_time_is_no_longer_than_any(store: SQLAlchemyStore, other: SQLAlchemyStore):
    await other.create(opening(make_task()))
    async with trail_read_on(store) as (reading, pinned):
        for minute in range(1, 5):
            latest = await other.create(opening(make_task(created_at=NOON + minute * 60 * SECOND)))
            assert await pinned.run(reading.look) == [latest.id]
            assert await pinned.run(reading.look_back) == []
        assert await pinned.run(reading.look) == [latest.id]


@on_sqlite
@pytest.mark.anyio
async def test_a_connection_is_not_closed_under_an_operation_that_was_given_up(store: SQLAlchemyStore):
    """An asyncio loop that ends cancels tasks, and these do not wait for their threads."""
    begun, closed = threading.Event(), threading.Event()
    closed_meanwhile: list[bool] = []

    def operation(_connection: Connection) -> None:
        begun.set()
        closed_meanwhile.append(closed.wait(0.5))

    async def use() -> None:
        async with store._database.pinned() as pinned:
            await pinned.run(operation)

    event.listen(store._database._engine, "close_detached", lambda _: closed.set())
    using = asyncio.create_task(use())
    await anyio.to_thread.run_sync(begun.wait, PATIENCE)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert (closed_meanwhile, closed.is_set()) == ([False], True)


def test_notifications_are_packed():
    ids = [f"{number:032}" for number in range(1000)]
    payloads = list(watching._payloads(ids))
    assert all(0 < len(payload.encode()) <= PAYLOAD_BYTES for payload in payloads)
    assert ",".join(payloads).split(",") == ids
    assert len(payloads) == 5
    assert list(watching._payloads([])) == []


async def another(heard: AsyncGenerator[Sequence[str]]) -> list[str]:
    """Return the next item with something in it."""
    with anyio.fail_after(PATIENCE):
        while not (task_ids := await anext(heard)):
            pass
    return list(task_ids)


def cut_listeners(store: SQLAlchemyStore) -> None:
    engine = create_engine(plain(store._database._engine.url), poolclass=NullPool)
    ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    with engine.connect() as connection:
        assert connection.execute(text(ending)).all()
    engine.dispose()
