"""What any program on this machine can do: commits on its databases, wake-ups in its event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

import anyio
import psycopg

from tests.benchmarks.bench import SQLITE
from tests.benchmarks.results import median

ROW_BYTES = 2_000
"""About what the rows of a new task come to."""


@contextmanager
def committing(url: str) -> Generator[Callable[[], float]]:
    """Give a function that commits one row to a database, and returns the milliseconds it took."""
    connecting = _sqlite if url.startswith("sqlite") else _postgres
    with connecting(url) as commit:
        yield lambda: _timed(commit)


@contextmanager
def _sqlite(url: str) -> Generator[Callable[[], object]]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS bare (text TEXT)")
        yield lambda: connection.execute("INSERT INTO bare VALUES (?)", ("x" * ROW_BYTES,))


@contextmanager
def _postgres(url: str) -> Generator[Callable[[], object]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (text TEXT)")
        yield lambda: connection.execute("INSERT INTO bare VALUES (%s)", ("x" * ROW_BYTES,))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - began)


def commit_milliseconds(url: str, count: int) -> float:
    """Return how long a commit of one row takes."""
    with committing(url) as commit:
        return median([commit() for _ in range(count)])


async def event_milliseconds(count: int) -> float:
    """Return how long it takes from `anyio.Event.set` to the waiter."""
    return median([await _one_event() for _ in range(count)])


async def _one_event() -> float:
    event = anyio.Event()

    async def wait() -> float:
        await event.wait()
        return time.perf_counter()

    waiter = asyncio.create_task(wait())
    await asyncio.sleep(0)
    began = time.perf_counter()
    event.set()
    return 1_000 * (await waiter - began)


def name_of_commit(kind: str) -> str:
    """Say which commit is the limit."""
    return "a SQLite commit (WAL, FULL)" if kind == SQLITE else "a PostgreSQL commit"
