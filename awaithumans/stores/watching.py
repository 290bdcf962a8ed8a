"""Hearing what other processes change: a notification, or a look now and then.

All of it is hints. The first item says that somebody listens now; on it, look
again at whatever is waited for.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import Any

import anyio
from sqlalchemy import ColumnElement, Connection, Integer, bindparam, func, literal_column, select, text

from awaithumans.stores.database import Database, Pinned
from awaithumans.stores.dialects import driver_of
from awaithumans.stores.schema import tasks, trail

CHANNEL = "awaithumans"
PAYLOAD_BYTES = 7_900
"""PostgreSQL takes less than 8000."""

SQLITE_PAUSE = 0.1
TURNS = 10
"""After as many pauses what was erased is looked for."""
PAUSE = 1.0
LOOK_BACK = 10_000_000
"""Microseconds by which changes may become visible out of their order."""


async def watch(database: Database) -> AsyncGenerator[Sequence[str]]:
    """Yield ids of changed tasks; see `Watchable.watch`."""
    async with database.pinned() as pinned, aclosing(await _source(database, pinned)) as heard:
        async for task_ids in heard:
            yield task_ids


async def announce(database: Database, task_ids: Sequence[str]) -> None:
    """Tell the listeners, where the database can; see `Watchable.announce`."""
    if database.dialect != "postgresql":
        return
    for payload in _payloads(task_ids):
        await database.read(partial(_notify, payload=payload))


async def _source(database: Database, pinned: Pinned) -> AsyncGenerator[Sequence[str]]:
    if database.dialect == "sqlite":
        return _watch_file(pinned)
    driver = await pinned.run(driver_of)
    if hasattr(driver, "pgconn"):
        return _listen_psycopg(pinned, driver.pgconn)
    if hasattr(driver, "add_termination_listener"):
        return _listen_asyncpg(driver)
    return _look(pinned)


# ── PostgreSQL: LISTEN and NOTIFY ─────────────────────────────────────────────


async def _listen_psycopg(pinned: Pinned, pgconn: Any) -> AsyncGenerator[Sequence[str]]:
    await pinned.run(lambda connection: connection.exec_driver_sql(f"LISTEN {CHANNEL}").close())
    yield ()
    while True:
        await anyio.wait_readable(pgconn.socket)
        pgconn.consume_input()
        while notification := pgconn.notifies():
            yield notification.extra.decode().split(",")


async def _listen_asyncpg(driver: Any) -> AsyncGenerator[Sequence[str]]:
    send, receive = anyio.create_memory_object_stream[str](math.inf)

    def hear(*arguments: Any) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            send.send_nowait(arguments[-1])

    def end(_driver: object) -> None:
        send.close()

    with send, receive:
        driver.add_termination_listener(end)
        await driver.add_listener(CHANNEL, hear)
        yield ()
        async for payload in receive:
            yield payload.split(",")
    raise ConnectionError("the connection that listened for changes was lost")


def _payloads(task_ids: Sequence[str]) -> Iterator[str]:
    """Pack ids into as few notifications as they fit in."""
    payload = ""
    for task_id in task_ids:
        longer = f"{payload},{task_id}" if payload else task_id
        if len(longer.encode()) > PAYLOAD_BYTES:
            yield payload
            longer = task_id
        payload = longer
    if payload:
        yield payload


_NOTIFY = text("SELECT set_config('synchronous_commit', 'off', true), pg_notify(:channel, :payload)")
"""One statement, and so a transaction of its own. A hint is not worth waiting for the disk, as its commit would."""


def _notify(connection: Connection, *, payload: str) -> None:
    connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


# ── Everywhere else: looking ──────────────────────────────────────────────────


class _Window:
    """The latest changes, and which of them were seen before."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._newest: int | None = None

    def look(self, connection: Connection) -> list[str]:
        """Return the tasks whose version is new since the last look."""
        newest = _newest(connection) if self._newest is None else self._newest
        changes = select(tasks.c.id, tasks.c.version, tasks.c.changed_at).where(tasks.c.changed_at > newest - LOOK_BACK)
        rows = connection.execute(changes).all()
        fresh = [row.id for row in rows if self._seen.get(row.id) != row.version]
        self._seen = {row.id: row.version for row in rows}
        self._newest = max((row.changed_at for row in rows), default=newest)
        return fresh

    def erased(self, connection: Connection) -> list[str]:
        """Pass over what changed since the last look; return the tasks among the latest that were erased."""
        newest, self._newest = self._newest or 0, _newest(connection)
        return list(connection.scalars(_ERASED, {"since": newest - LOOK_BACK}))


_ERASED = select(tasks.c.id).where(tasks.c.changed_at > bindparam("since"), tasks.c.state.is_(None))


def _newest(connection: Connection) -> int:
    return connection.scalar(select(func.max(tasks.c.changed_at))) or 0


async def _look(pinned: Pinned) -> AsyncGenerator[Sequence[str]]:
    window = _Window()
    while True:
        yield await pinned.run(window.look)
        await anyio.sleep(PAUSE)


# ── SQLite: reading on ────────────────────────────────────────────────────────


class _Reading:
    """How far the trail has been read.

    SQLite has one writer at a time, and numbers rows as they are written. So
    what was committed since stands behind the last row that was read, each
    change once. Only where rows are missing, erased with their task, or where
    something else was written, are the latest changes looked through.

    Rows may be missing without a gap: those that were erased last, whose
    numbers are given anew. So what was erased is looked for now and then.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._window = _Window()

    def begin(self, connection: Connection) -> list[str]:
        """Read on from where the trail ends now."""
        self._read_on(connection)
        self._window.look(connection)
        return []

    def look(self, connection: Connection) -> list[str]:
        """Return the tasks that changed since the last look."""
        rows = connection.execute(_BEHIND, {"number": self._last.number if self._last else 0}).all()
        if not self._goes_on(rows):
            self._read_on(connection)
            return self._window.look(connection)
        self._last, new = rows[-1], rows[1:]
        return list(dict.fromkeys(row.task_id for row in new))

    def look_back(self, connection: Connection) -> list[str]:
        """Return the tasks that were erased lately, also those that no row tells of."""
        return self._window.erased(connection)

    def _read_on(self, connection: Connection) -> None:
        self._last = connection.execute(_END).one_or_none()

    def _goes_on(self, rows: Sequence[Any]) -> bool:
        """Tell whether these are the last row and, without a gap, new ones."""
        return len(rows) > 1 and rows[0] == self._last and rows[-1].number - rows[0].number == len(rows) - 1


_number: ColumnElement[int] = literal_column("rowid", Integer).label("number")
_BEHIND = select(_number, trail.c.task_id, trail.c.stamp).where(_number >= bindparam("number")).order_by(_number)
_END = select(_number, trail.c.task_id, trail.c.stamp).order_by(_number.desc()).limit(1)


async def _watch_file(pinned: Pinned) -> AsyncGenerator[Sequence[str]]:
    """Look only when SQLite says that another connection has written."""
    reading = _Reading()
    last = looked_back = await pinned.run(_data_version)
    yield await pinned.run(reading.begin)
    for turn in count(1):
        await anyio.sleep(SQLITE_PAUSE)
        version = await pinned.run(_data_version)
        if version != last:
            last = version
            yield await pinned.run(reading.look)
        if version != looked_back and turn % TURNS == 0:
            looked_back = version
            yield await pinned.run(reading.look_back)


def _data_version(connection: Connection) -> int:
    version: int = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
    return version
