"""Databases of every kind, and the two event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from awaithumans.stores.sqlalchemy import SQLAlchemyStore

DRIVERS = ("sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg")
SYNC_DRIVERS = ("sqlite", "postgresql+psycopg")


def address(driver: str, request: pytest.FixtureRequest) -> str:
    """Give the URL of a new, empty database."""
    if driver.startswith("sqlite"):
        folder: Path = request.getfixturevalue("tmp_path")
        return f"{driver}:///{folder / 'tasks.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url.replace("postgresql", driver, 1)


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
def url(backend_and_driver: tuple[str, str], request: pytest.FixtureRequest) -> str:
    return address(backend_and_driver[1], request)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SQLAlchemyStore]:
    store = SQLAlchemyStore(url)
    await store.setup()
    yield store
    await store.aclose()
