"""Databases of every kind, and the two event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from sqlalchemy import URL, create_engine

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
def used_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Give the address of a database that many tests use, one after another."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def used_mariadb_url(mariadb: MariaDBServer) -> Iterator[str]:
    """Give the address of a database that many tests use, one after another."""
    with mariadb.database() as url:
        yield url


@pytest.fixture
def used_url(driver: str, request: pytest.FixtureRequest) -> str:
    """Give the address of the database that `store` is in."""
    if driver.startswith("sqlite"):
        url: str = request.getfixturevalue("url")
        return url
    name = "used_postgres_url" if driver.startswith("postgresql") else "used_mariadb_url"
    used: str = request.getfixturevalue(name)
    return driver + used[used.index(":") :]


@pytest.fixture
async def store(used_url: str, driver: str) -> AsyncIterator[SQLAlchemyStore]:
    """Give a store that is set up and empty."""
    store = SQLAlchemyStore(used_url)
    await store.setup()
    if not driver.startswith("sqlite"):
        _empty(used_url)
    yield store
    await store.aclose()


def _empty(url: str) -> None:
    engine = create_engine(plain(url))
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "awaithumans_schema":
                connection.execute(table.delete())
    engine.dispose()
