"""Databases of every kind, and the two event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from awaithumans.stores.sqlalchemy import SQLAlchemyStore, metadata
from tests.postgres import PostgresServer

DRIVERS = ("sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg")
SYNC_DRIVERS = ("sqlite", "postgresql+psycopg")


@pytest.fixture(
    params=[("asyncio", driver) for driver in DRIVERS] + [("trio", driver) for driver in SYNC_DRIVERS],
    ids=" ".join,
)
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
def url(driver: str, request: pytest.FixtureRequest) -> str:
    """Give the address of a new, empty database."""
    if driver.startswith("sqlite"):
        return _file(driver, request)
    postgres_url: str = request.getfixturevalue("postgres_url")
    return postgres_url.replace("postgresql", driver, 1)


@pytest.fixture(scope="session")
def used_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Give the address of a database that many tests use, one after another."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def used_url(driver: str, request: pytest.FixtureRequest) -> str:
    """Give the address of the database that `store` is in."""
    if driver.startswith("sqlite"):
        return _file(driver, request)
    used: str = request.getfixturevalue("used_postgres_url")
    return used.replace("postgresql", driver, 1)


@pytest.fixture
async def store(used_url: str, driver: str) -> AsyncIterator[SQLAlchemyStore]:
    """Give a store that is set up and empty."""
    store = SQLAlchemyStore(used_url)
    await store.setup()
    if not driver.startswith("sqlite"):
        _empty(used_url)
    yield store
    await store.aclose()


def _file(driver: str, request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"{driver}:///{folder / 'tasks.db'}"


def _empty(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "awaithumans_schema":
                connection.execute(table.delete())
    engine.dispose()
