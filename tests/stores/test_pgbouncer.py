"""A store whose connections go through PgBouncer in transaction mode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial

import anyio
import pytest
from sqlalchemy import Engine, create_engine, make_url

from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.stores import gather
from awaithumans.testing.tasks import NOON, SECOND, following, make_effect, make_task, opening
from awaithumans.types import Query
from tests.pgbouncer import pgbouncer, pgbouncer_missing
from tests.postgres import PostgresServer

PATIENCE = 20
CALLERS = 12


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PostgresServer]:
    if reason := pgbouncer_missing():
        pytest.skip(reason)
    with pgbouncer(postgres) as pooled:
        yield pooled


@pytest.fixture
def pooled(pooler: PostgresServer, postgres_url: str) -> Iterator[Engine]:
    """Give the engine that the documentation tells to use."""
    url = make_url(postgres_url).set(drivername="postgresql+psycopg", port=pooler.port)
    engine = create_engine(url, connect_args={"prepare_threshold": None}, hide_parameters=True)
    yield engine
    engine.dispose()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def store(pooled: Engine) -> AsyncIterator[SQLAlchemyStore]:
    store = SQLAlchemyStore(pooled)
    await store.setup()
    yield store
    await store.aclose()


@pytest.mark.anyio
async def test_operations_of_many_callers_keep_their_promises(store: SQLAlchemyStore):
    """Each caller's transactions go over whichever of three connections is free."""

    async def live() -> None:
        for _ in range(8):
            task = make_task()
            task = await store.create(opening(task, make_effect(task)))
            changes = [following(task, attempt=n) for n in (1, 2)]
            assert sorted([await store.apply(change) for change in changes]) == [False, True]
            assert await store.get(task.id) == changes[0].task
            await store.lease(NOON, NOON + SECOND, 3)
            await store.find(Query(limit=5))
            await store.announce([task.id])

    await gather(*[live] * CALLERS)
    assert len(await store.find(Query(limit=1000))) == CALLERS * 8
    assert await store.now() is not None


@pytest.mark.anyio
async def test_setup_of_many_at_once_goes_through(pooled: Engine):
    stores = [SQLAlchemyStore(pooled) for _ in range(6)]
    await gather(*(partial(store.setup) for store in stores))
    assert await stores[0].find(Query()) == []


@pytest.mark.anyio
async def test_changes_are_heard_on_a_connection_past_the_pooler(pooled: Engine, postgres_url: str):
    store = SQLAlchemyStore(pooled, listen=postgres_url)
    other = SQLAlchemyStore(pooled)
    await store.setup()
    with anyio.fail_after(PATIENCE):
        async with aclosing(store.watch()) as heard:
            assert list(await anext(heard)) == []
            await other.announce(["x"])
            assert list(await anext(heard)) == ["x"]
    await store.aclose()


@pytest.mark.anyio
async def test_closing_closes_what_it_opened_to_listen(pooled: Engine, postgres_url: str):
    store = SQLAlchemyStore(pooled, listen=postgres_url)
    before = store._listening._engine.pool
    pool = pooled.pool
    await store.aclose()
    assert store._listening._engine.pool is not before
    assert pooled.pool is pool
