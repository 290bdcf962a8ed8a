"""A database behind an engine, sync or async: how operations become transactions.

An operation is a plain function of a sync `Connection`. `Database.read` and
`Database.write` are the only places that open, commit, retry and shield.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar, current_token
from sqlalchemy import URL, Connection, Engine, Pool, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from awaithumans.errors import ConfigurationError, StoreSchemaError
from awaithumans.forks import forget_in_forks
from awaithumans.stores.dialects import DIALECTS, SHIELD_SECONDS, dialect_of
from awaithumans.stores.groups import Line

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

logger = logging.getLogger("awaithumans.stores")

T = TypeVar("T")
ItemT = TypeVar("ItemT")
Operation = Callable[[Connection], T]
"""What to do on a connection; it may be done again from the start."""

_Way = Callable[[Operation[Any], Connection], Any]
"""How operations are done: as reads, or in a transaction."""

ATTEMPTS = 6
FIRST_PAUSE = 0.02
CONCURRENCY = 10
GROUPS = 2
"""How many groups of writes are on their way at once: one computes while the other is being committed."""

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
}
"""What a URL means that names no driver."""

_DRIVER_HINTS = {
    "psycopg": "Run: pip install 'awaithumans[postgres]'",
    "asyncpg": "Run: pip install 'awaithumans[asyncpg]'",
    "pymysql": "Run: pip install 'awaithumans[mariadb]'",
    "asyncmy": "Run: pip install 'awaithumans[asyncmy]'",
    "greenlet": "SQLAlchemy's async engines need it. Run: pip install greenlet",
}


class _InProcess:
    """What this process is doing with databases that work in the process itself.

    In a fork from the midst of it nothing can be done with them: their locks
    were copied and protect nothing, and one that another thread held is held
    for ever.
    """

    def __init__(self) -> None:
        self.open: set[object] = set()
        """A token for each store that may have connections, and for each thing that is being done with one."""
        self.broken = False
        forget_in_forks(self)

    def forget(self) -> None:
        """Note that this process was forked from one that had them open."""
        self.broken = self.broken or bool(self.open)


_in_process = _InProcess()


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Generic[ItemT, T]):
    """An operation on any number of items, in about as many statements as on one.

    `do` gives a result for each item. `recover` tells for one item what was
    done before its connection was lost, as in `Database.write`. Those of one
    transaction are done by their `place`.
    """

    do: Callable[[Connection, Sequence[ItemT]], Sequence[T]]
    recover: Callable[[Connection, ItemT], T | None] | None = None
    place: int = 0


@dataclass(frozen=True, slots=True)
class _Work(Generic[T]):
    operation: Operation[T]
    recover: Operation[T | None] | None = None

    def once_more(self, connection: Connection) -> T:
        """Return what was done before, or do it."""
        result = self.recover(connection) if self.recover else None
        return self.operation(connection) if result is None else result


@dataclass(frozen=True, slots=True, eq=False)
class _Share(Generic[ItemT, T]):
    """One item's part in a batch."""

    batch: Batch[ItemT, T]
    item: ItemT

    def alone(self, connection: Connection) -> T:
        return self.batch.do(connection, [self.item])[0]

    def recovered(self, connection: Connection) -> T | None:
        return self.batch.recover(connection, self.item) if self.batch.recover else None


_Line: TypeAlias = Line[_Share[Any, Any]]


class Database:
    """Runs operations on a URL, an `Engine` or an `AsyncEngine`.

    Only what it opened itself is configured, and closed by `aclose`. A forked
    process opens connections of its own, unless the host brought the engine.
    """

    def __init__(self, bind: str | URL | Engine | AsyncEngine) -> None:
        opened = _open(make_url(bind)) if isinstance(bind, str | URL) else bind
        self._owned = opened is not bind
        self._async_engine = None if isinstance(opened, Engine) else opened
        self._engine = opened if isinstance(opened, Engine) else opened.sync_engine
        _refuse_unsupported(self._engine.url)
        self._dialect = dialect_of(self._engine)
        self._limiters: RunVar[tuple[CapacityLimiter, CapacityLimiter]] = RunVar("awaithumans.stores.limiters")
        self._known_lines: WeakKeyDictionary[object, tuple[_Line, _Line]] = WeakKeyDictionary()
        """By event loop; kept here, for they know this object, which a loop would keep alive."""
        self._inherited: list[Pool] = []
        self._connections = object()
        """The token of its connections in `_in_process.open`."""
        if self._owned:
            forget_in_forks(self)

    def forget(self) -> None:
        """Leave the parent's connections alone, in a process that was forked.

        They are kept for ever: closing one would end the parent's session, or
        drop locks on its SQLite file.
        """
        self._inherited.append(self._engine.pool)
        self._engine.dispose(close=False)

    @property
    def dialect(self) -> str:
        """Name the kind of database."""
        return self._dialect.name

    async def read(self, operation: Operation[T]) -> T:
        """Return what one statement reads."""
        return await self._do_alone(self._reading, _Work(operation))

    async def read_together(self, batch: Batch[ItemT, T], item: ItemT) -> T:
        """Return what a batch reads for `item`, perhaps along with what others ask at the same time.

        What was committed before the call is seen.
        """
        return cast("T", await self._lines()[0].join(_Share(batch, item)))

    async def write(self, operation: Operation[T], *, recover: Operation[T | None] | None = None) -> T:
        """Do `operation` in a transaction, and return once it is committed.

        After a connection was lost nobody knows whether it was committed:
        then `recover` is asked first, in the new transaction, and what it
        returns is the result, unless it is None. An operation without
        `recover` can be repeated without harm.
        """
        return await self._do_alone(self._writing, _Work(operation, recover))

    async def write_together(self, batch: Batch[ItemT, T], item: ItemT) -> T:
        """Do a batch for `item` in a transaction, and return once it is committed.

        Items that arrive together share the transaction, but no failure: if
        one fails, or has to wait for a lock, each gets a transaction of its
        own. If every batch locks rows in one order, and batches go by `place`,
        no two groups lock each other out.
        """
        return cast("T", await self._lines()[1].join(_Share(batch, item)))

    @asynccontextmanager
    async def pinned(self) -> AsyncGenerator[Pinned]:
        """Give a connection of its own, outside the pool."""
        with self._whole():
            if self._async_engine is None:
                connection = await to_thread.run_sync(self._engine.connect, limiter=CapacityLimiter(1))
                pinned: Pinned = _ThreadPinned(connection)
            else:
                pinned = _AsyncPinned(await self._async_engine.connect())
            try:
                await pinned.run(self._detach)
                yield pinned
            finally:
                with anyio.move_on_after(SHIELD_SECONDS, shield=True):
                    await pinned.aclose()

    async def aclose(self) -> None:
        """Close the connections this object opened."""
        if not self._owned:
            return
        with anyio.move_on_after(SHIELD_SECONDS, shield=True):
            if self._async_engine is None:
                await to_thread.run_sync(self._engine.dispose)
            else:
                await self._async_engine.dispose()
            _in_process.open.discard(self._connections)

    # ── Alone and together ────────────────────────────────────────────────────

    async def _do_alone(self, way: _Way, work: _Work[T], *, lost: bool = False) -> T:
        """Do the work on a connection of its own; `lost` says that it may have been done already."""
        again: Operation[T] = partial(way, work.once_more)
        return await self._retried(again if lost else partial(way, work.operation), self._limit(way), again=again)

    async def _do_together(self, way: _Way, shares: Sequence[_Share[Any, Any]]) -> Sequence[object]:
        return await self._once(partial(way, partial(_all_of, shares)), self._limit(way))

    async def _do_apart(self, way: _Way, share: _Share[Any, T], failure: BaseException) -> T:
        """Do alone what was to be done in a group that failed, unless it was done after all."""
        logger.info("a group of operations failed (%s); doing each alone", type(failure).__name__)
        return await self._do_alone(way, _Work(share.alone, share.recovered), lost=True)

    def _lines(self) -> tuple[_Line, _Line]:
        """Return this event loop's lines of readers and of writers."""
        loop = current_token().native_token
        lines = self._known_lines.get(loop)
        if lines is None:
            self._known_lines[loop] = lines = (
                self._line(self._reading, self._reading, GROUPS),
                self._line(self._writing_together, self._writing, 1 if self._dialect.one_writer else GROUPS),
            )
        return lines

    def _line(self, together: _Way, apart: _Way, leaders: int) -> _Line:
        return Line(partial(self._do_together, together), partial(self._do_apart, apart), leaders=leaders)

    # ── Running ───────────────────────────────────────────────────────────────

    async def _retried(
        self, operation: Operation[T], limiter: CapacityLimiter, *, again: Operation[T] | None = None
    ) -> T:
        for attempt in count(1):
            try:
                return await self._once(operation, limiter)
            except DBAPIError as error:
                self._explain(error)
                if attempt == ATTEMPTS or not (error.connection_invalidated or self._dialect.worth_retrying(error)):
                    raise
                if error.connection_invalidated and again:
                    operation = partial(self._after_loss, again, error)
                logger.info("attempt %d failed (%s); trying again", attempt, type(error.orig).__name__)
            await anyio.sleep(FIRST_PAUSE * 2**attempt * random.random())  # noqa: S311 - spreads load, guards nothing
        raise AssertionError("counting does not end")

    async def _once(self, operation: Operation[T], limiter: CapacityLimiter) -> T:
        with self._whole():
            return await self._run(operation, limiter)

    @contextmanager
    def _whole(self) -> Generator[None]:
        """Use the database meanwhile, if no fork has broken it."""
        if not self._dialect.in_process:
            yield
            return
        if _in_process.broken:
            raise ConfigurationError(
                f"{self._dialect.name} was in use when this process was forked, and cannot be used in the fork",
                hint=(
                    "Use the engine only after the fork (gunicorn: without --preload, or first in post_worker_init), "
                    "or close it before: await engine.aclose()."
                ),
            )
        doing = object()
        _in_process.open.add(doing)
        try:
            yield
        finally:
            _in_process.open.add(self._connections)
            _in_process.open.discard(doing)

    async def _run(self, operation: Operation[T], limiter: CapacityLimiter) -> T:
        """Run in a thread or in the engine's way; in either, to the end."""
        if self._async_engine is None:
            return await to_thread.run_sync(self._run_here, operation, limiter=limiter)
        async with limiter:
            # An SQLite file answers within BUSY_SECONDS, and a statement on it cannot be interrupted.
            patience = None if self.dialect == "sqlite" else SHIELD_SECONDS
            with anyio.fail_after(patience, shield=True):
                return await _run_async(self._async_engine, operation)

    def _run_here(self, operation: Operation[T]) -> T:
        with self._engine.connect() as connection:
            return operation(connection)

    def _reading(self, operation: Operation[T], connection: Connection) -> T:
        self._dialect.before_reading(connection)
        return operation(connection)

    def _writing(self, operation: Operation[T], connection: Connection) -> T:
        with self._dialect.transaction(connection):
            return operation(connection)

    def _writing_together(self, operation: Operation[T], connection: Connection) -> T:
        """Write for many, who do not wait for the one whose row somebody else has locked."""
        with self._dialect.transaction(connection), self._dialect.impatient(connection):
            return operation(connection)

    def _after_loss(self, again: Operation[T], error: DBAPIError, connection: Connection) -> T:
        self._dialect.explain_loss(connection, error)
        return again(connection)

    def _detach(self, connection: Connection) -> None:
        self._dialect.before_reading(connection)
        connection.detach()

    def _explain(self, error: DBAPIError) -> None:
        """Raise in its place what tells more, if something does."""
        if self._dialect.lacks_tables(error):
            raise StoreSchemaError(
                "the database's tables are missing or too old",
                hint="Run: python -m awaithumans migrate, or in a program: await store.setup()",
            ) from error

    def _limit(self, way: _Way) -> CapacityLimiter:
        """Return this event loop's limit for readers, or for writers."""
        limits = self._limiters.get(None)
        if limits is None:
            readers = CapacityLimiter(CONCURRENCY)
            limits = (readers, CapacityLimiter(1) if self._dialect.one_writer else readers)
            self._limiters.set(limits)
        readers, writers = limits
        return readers if way == self._reading else writers


class HostTransaction:
    """Runs operations inside a transaction that the host has begun and will end.

    Each operation happens wholly or not at all. Nothing is retried: what the
    database refuses is the host's to see, and to begin again with.
    """

    def __init__(
        self, connection: Connection | AsyncConnection, committing: Callable[[], None] | None, *, dialect: str
    ) -> None:
        self._connection = _sync_part(connection)
        self._async_connection = None if isinstance(connection, Connection) else connection
        self._lock = anyio.Lock()
        if self.dialect != dialect:
            raise ConfigurationError(f"the connection is to {self.dialect}, and the tasks are in {dialect}")
        if committing:
            for ending in ("commit", "commit_twophase"):
                event.listen(self._connection, ending, _heard(committing), once=True)

    @property
    def dialect(self) -> str:
        """Name the kind of database."""
        known = DIALECTS.get(self._connection.dialect.name)
        return known.name if known else self._connection.dialect.name

    async def read(self, operation: Operation[T]) -> T:
        """Return what is there as the transaction sees it."""
        return await self._run(operation)

    async def read_together(self, batch: Batch[ItemT, T], item: ItemT) -> T:
        """Return what a batch reads for `item`, as the transaction sees it."""
        return await self._run(_Share(batch, item).alone)

    async def write(self, operation: Operation[T], *, recover: Operation[T | None] | None = None) -> T:  # noqa: ARG002
        """Do `operation`; the host's commit makes it durable."""
        return await self._run(partial(_in_savepoint, operation))

    async def write_together(self, batch: Batch[ItemT, T], item: ItemT) -> T:
        """Do a batch for `item` alone; the host's commit makes it durable."""
        return await self.write(_Share(batch, item).alone)

    async def _run(self, operation: Operation[T]) -> T:
        async with self._lock:
            if self._async_connection is not None:
                with anyio.fail_after(None, shield=True):
                    return await self._async_connection.run_sync(operation)
            return await _in_thread_to_the_end(partial(operation, self._connection))


async def _in_thread_to_the_end(call: Callable[[], T]) -> T:
    """Return only once the thread has left the connection, however the caller is cancelled.

    A shield does not keep out asyncio's own cancellation, but a task group
    waits; and where a loop that ends cancels the group's task, too, that one does.
    """
    outcome: list[T] = []
    given_up = threading.Event()
    alone = threading.Lock()

    def call_unless_given_up() -> None:
        with alone:
            if not given_up.is_set():
                outcome.append(call())

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            try:
                await to_thread.run_sync(call_unless_given_up, limiter=CapacityLimiter(1))
            except anyio.get_cancelled_exc_class():
                with alone:
                    given_up.set()
                raise

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(run)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return outcome[0]


def _heard(committing: Callable[[], None]) -> Callable[..., None]:
    def heard(*_: object) -> None:
        committing()

    return heard


def _sync_part(connection: Connection | AsyncConnection) -> Connection:
    if isinstance(connection, Connection):
        return connection
    started: Connection | None = getattr(connection, "sync_connection", None)
    if started is None:
        raise ConfigurationError(
            f"{type(connection).__name__} is no open connection of SQLAlchemy's",
            hint="Pass what engine.begin() or session.connection() gives, inside its block.",
        )
    return started


def _in_savepoint(operation: Operation[T], connection: Connection) -> T:
    with dialect_of(connection).savepoint(connection):
        return operation(connection)


class Pinned:
    """A connection that stays the same from one operation to the next."""

    async def run(self, operation: Operation[T]) -> T:
        """Do `operation` on it, outside a transaction."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close it."""
        raise NotImplementedError


class _ThreadPinned(Pinned):
    """One thread at a time is on the connection, also where an operation was given up.

    When an asyncio loop ends, it cancels all tasks, and these do not wait for
    their threads. Closing a connection of SQLite's under a running statement
    can crash the process.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    async def run(self, operation: Operation[T]) -> T:
        return await self._in_thread(partial(_outside_transaction, operation, self._connection))

    async def aclose(self) -> None:
        await self._in_thread(self._connection.close)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await to_thread.run_sync(self._alone, call, limiter=CapacityLimiter(1))

    def _alone(self, call: Callable[[], T]) -> T:
        with self._lock:
            return call()


class _AsyncPinned(Pinned):
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, operation: Operation[T]) -> T:
        with anyio.fail_after(SHIELD_SECONDS, shield=True):
            return await self._connection.run_sync(partial(_outside_transaction, operation))

    async def aclose(self) -> None:
        await self._connection.run_sync(_close_detached)


async def _run_async(engine: AsyncEngine, operation: Operation[T]) -> T:
    connection = await engine.connect()
    try:
        return await connection.run_sync(operation)
    finally:
        await connection.close()


def _close_detached(connection: Connection) -> None:
    """Close the driver's connection too, which not every async dialect does."""
    adapted = connection.connection.dbapi_connection
    connection.close()
    if adapted:
        adapted.close()


def _outside_transaction(operation: Operation[T], connection: Connection) -> T:
    try:
        return operation(connection)
    finally:
        connection.rollback()


def _all_of(shares: Sequence[_Share[Any, Any]], connection: Connection) -> list[object]:
    """Do each batch once, for all who share it; give the results in the order of the shares."""
    results: dict[_Share[Any, Any], object] = {}
    for batch in sorted({share.batch for share in shares}, key=attrgetter("place")):
        mine = [share for share in shares if share.batch is batch]
        results.update(zip(mine, batch.do(connection, [share.item for share in mine]), strict=True))
    return [results[share] for share in shares]


# ── Engines of our own ────────────────────────────────────────────────────────


def _open(url: URL) -> Engine | AsyncEngine:
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    _refuse_unsupported(url)
    try:
        return _open_async(url) if url.get_dialect().is_async else _open_sync(url)
    except ModuleNotFoundError as error:
        raise _driver_missing(url, error.name or "") from error


def _open_sync(url: URL) -> Engine:
    engine = create_engine(url, **_options(url))
    dialect_of(engine).prepare(engine)
    return engine


def _open_async(url: URL) -> AsyncEngine:
    if find_spec("greenlet") is None:
        raise _driver_missing(url, "greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, **_options(url))
    dialect_of(engine.sync_engine).prepare(engine.sync_engine)
    return engine


def _options(url: URL) -> dict[str, Any]:
    """Return the arguments for an engine; parameters, being payloads, stay out of its errors."""
    defaults = DIALECTS[url.get_backend_name()].connect_arguments(url.get_driver_name())
    arguments = {name: value for name, value in defaults.items() if name not in url.query}
    return {"hide_parameters": True, "connect_args": arguments}


def _driver_missing(url: URL, module: str) -> ConfigurationError:
    hint = _DRIVER_HINTS.get(module, f"Run: pip install {module}")
    return ConfigurationError(f"{url.drivername!r} needs the package {module!r}, which is not installed", hint=hint)


def _refuse_unsupported(url: URL) -> None:
    try:
        backend = url.get_dialect().name
    except NoSuchModuleError as error:
        raise ConfigurationError(f"there is no database driver {url.drivername!r}", hint=_URL_HINT) from error
    if backend not in DIALECTS:
        raise ConfigurationError(f"{backend} is not supported", hint=_URL_HINT)
    if backend == "sqlite" and _in_memory(url):
        raise ConfigurationError(
            "an SQLite database in memory cannot be shared by connections",
            hint="Use awaithumans.stores.memory.MemoryStore, or a file: sqlite:///tasks.db",
        )


_URL_HINT = (
    "Use sqlite:///path, postgresql://user@host/database, mariadb://user@host/database,"
    " or one of SQLAlchemy's drivers for these."
)


def _in_memory(url: URL) -> bool:
    name = url.database or ":memory:"
    return ":memory:" in name or "mode=memory" in name or url.query.get("mode") == "memory"
