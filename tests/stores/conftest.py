"""Databases of every kind, and the two event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from sqlalchemy import URL, Engine, create_engine

from awaithumans.stores.sqlalchemy import SQLAlchemyStore, metadata
from tests.databases import EVERYWHERE, plain
from tests.mariadb import MariaDBServer
from tests.postgres import PostgresServer


@pytest.fixture(params=EVERYWHERE, ids=" ".join)
def backend_and_driver(request: pytest.FixtureRequest) -> tuple[str, str]:
    backend, driver = request.param
    return backend, driver


@pytest.fixture
def anyio_backend(backend_and_driver: tuple[str, str]) -> str:
    return backend_and_driver[0]


@pytest.fixture
def driver(backend_and_driver: tuple[str, str]) -> str:
    return backend_and_driver[1]


@pytest.fixture
def url(driver: str, database_url: Callable[[str], str]) -> str:
    """Give the address of a new, empty database."""
    return database_url(driver)


@pytest.fixture
def plain_url(url: str) -> URL:
    """Give the same address for a driver without asyncio."""
    return plain(url)


@pytest.fixture(scope="session")
def used_postgresql(postgres: PostgresServer) -> Iterator[Engine]:
    with postgres.database() as url:
        yield from _kept(url)


@pytest.fixture(scope="session")
def used_mariadb(mariadb: MariaDBServer) -> Iterator[Engine]:
    with mariadb.database() as url:
        yield from _kept(url)


def _kept(url: str) -> Iterator[Engine]:
    engine = create_engine(plain(url), pool_pre_ping=True)  # tests end connections of others
    yield engine
    engine.dispose()


@pytest.fixture
def used(driver: str, request: pytest.FixtureRequest) -> Engine | None:
    """Give the server's database that many tests use, one after another; files are new ones."""
    kind = driver.partition("+")[0]
    return None if kind == "sqlite" else request.getfixturevalue(f"used_{kind}")


@pytest.fixture
def used_url(used: Engine | None, driver: str, database_url: Callable[[str], str]) -> str:
    """Give the address of the database that `store` is in."""
    return used.url.set(drivername=driver).render_as_string(hide_password=False) if used else database_url(driver)


@pytest.fixture
async def store(used: Engine | None, used_url: str) -> AsyncIterator[SQLAlchemyStore]:
    """Give a store that is set up and empty."""
    store = SQLAlchemyStore(used_url)
    await store.setup()
    if used:
        _empty(used)
    yield store
    await store.aclose()


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "awaithumans_schema":
                connection.execute(table.delete())
