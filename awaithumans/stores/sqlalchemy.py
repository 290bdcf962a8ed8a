"""A store in a SQL database: SQLite, PostgreSQL or MariaDB, through SQLAlchemy.

One body of SQL for every database and driver. What each operation does to a
task is in `memory.py`, in fewer words.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from uuid import uuid4

from anyio.lowlevel import checkpoint
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from awaithumans.errors import ConfigurationError, TaskGoneError
from awaithumans.protocols import Records, Store
from awaithumans.stores.database import Batch, Database, HostTransaction
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.encryption import Codec, Encryption
from awaithumans.stores.records import SQLRecords
from awaithumans.stores.reencryption import TO_DECRYPT, codec_of, reencrypt
from awaithumans.stores.rows import Row, Rows
from awaithumans.stores.schema import ANYBODY, addressees, effects, metadata, tasks, trail, words
from awaithumans.stores.watching import announce, watch
from awaithumans.stores.writing import APPLY, CREATE, SETTLE
from awaithumans.types import (
    CLOSED_STATUSES,
    Change,
    Cursor,
    Delivery,
    Entry,
    Leased,
    Order,
    Outcome,
    Query,
    Task,
    TaskStatus,
    from_microseconds,
    microseconds,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["Encryption", "SQLAlchemyStore", "metadata"]

DatabaseT = TypeVar("DatabaseT", Database, HostTransaction)

_FEW = 1_000
"""As many tasks are asked for by id."""
_TIMES = {Order.NEWEST: "created_at", Order.OLDEST: "created_at", Order.DEADLINE: "deadline"}
_ASSIGNEE = (tasks.c.assignee_id, tasks.c.assignee_email, tasks.c.assignee_slack)
_CLOSED = sorted(status.value for status in CLOSED_STATUSES)


class _SQLStore(Generic[DatabaseT]):
    """What a `Store` does with tasks, in whatever runs its operations."""

    _database: DatabaseT
    _joined: ClassVar[bool]

    async def _rows(self) -> Rows:
        raise NotImplementedError

    @property
    def records(self) -> Records:
        return SQLRecords(self._database, self._rows)

    async def create(self, change: Change) -> Task:
        rows = await self._rows()
        written = rows.opened(change)
        holder = await self._database.write_together(CREATE, written) or written.task
        if holder["state"] is None:
            raise TaskGoneError(holder["id"], holder["status"])
        return rows.task(holder)

    async def get(self, task_id: str) -> Task | None:
        rows = await self._rows()
        stored = await self._database.read_together(_GET_LATEST if self._joined else _GET, task_id)
        return rows.task(stored) if stored else None

    async def find(self, query: Query) -> list[Task]:
        return await self._database.read(partial(_find, rows=await self._rows(), query=query))

    async def count(self, query: Query) -> Mapping[TaskStatus, int]:
        return await self._database.read(partial(_count, rows=await self._rows(), query=query))

    async def outcomes(self, query: Query) -> list[Outcome]:
        return await self._database.read(partial(_outcomes, rows=await self._rows(), query=query))

    async def apply(self, change: Change) -> bool:
        return await self._database.write_together(APPLY, (await self._rows()).changed(change))

    async def trail(self, task_id: str) -> list[Entry]:
        return await self._database.read(partial(_trail, rows=await self._rows(), task_id=task_id))

    async def deliveries(self, task_id: str) -> list[Delivery]:
        return await self._database.read(partial(_deliveries, rows=await self._rows(), task_id=task_id))

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        return await self._database.read(partial(_failures, rows=await self._rows(), after=after, limit=limit))

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        due = await self._database.read(_next_due)
        if limit == 0 or due is None or due > now:
            return Leased(next_due=due)
        rows, token = await self._rows(), uuid4().hex
        return await self._database.write(
            partial(_lease, rows=rows, now=now, until=until, limit=limit, token=token),
            recover=partial(_leased, rows=rows, token=token),
        )

    async def settle(
        self,
        delivery: Delivery,
        at: datetime,
        *,
        receipt: str | None = None,
        retry_at: datetime | None = None,
        failed: str | None = None,
    ) -> bool:
        rows = await self._rows()
        settled = rows.settled(delivery, at, receipt=receipt, retry_at=retry_at, failed=failed)
        return await self._database.write_together(SETTLE, settled)

    async def purge(self, task: Task) -> bool:
        erased = (await self._rows()).of_erased(task)
        return await self._database.write(
            partial(_purge, task=task, erased=erased), recover=partial(_purged, task=task)
        )

    async def now(self) -> datetime | None:
        return await self._database.read(_clock)


class SQLAlchemyStore(_SQLStore[Database]):
    """A `Store`, `Watchable` and `Joinable`, which `KeepsRecords`, in a database.

    `bind` is a URL, or the host's own `Engine` or `AsyncEngine`, which is used
    as it is and never closed here. A sync engine works in threads, under
    asyncio and trio; an async one needs asyncio.

    With `encryption`, titles, payloads, answers, the trail, recipients and
    receipts are written encrypted, and keys and addresses as keyed digests;
    parts of display names are then not found. So are the documents of records,
    but not their kinds and ids. Every process needs the same. A database is
    encrypted from its first task on, or by `reencrypt`.

    `listen` is where to hear of changes, if that is not through `bind`: the
    direct address of a PostgreSQL server whose pooler passes on no
    notifications.
    """

    _joined = False

    def __init__(
        self,
        bind: str | URL | Engine | AsyncEngine,
        *,
        encryption: Encryption | None = None,
        listen: str | URL | Engine | AsyncEngine | None = None,
    ) -> None:
        self._database = Database(bind)
        self._listening = self._database if listen is None else Database(listen)
        self._encryption = encryption
        self._known_rows: Rows | None = None

    async def up_to_date(self) -> bool:
        """Tell whether `setup()` would have nothing to do.

        Raises `StoreSchemaError` if the tables are of a newer epoch.
        """
        from awaithumans.stores.migrations import up_to_date

        return await self._database.read(up_to_date)

    async def setup(self) -> None:
        from awaithumans.stores.migrations import migrate, up_to_date

        if not await self._database.read(up_to_date):
            await self._database.write(migrate)
        await self._rows()

    def using(self, connection: Connection | AsyncConnection, *, committing: Callable[[], None] | None = None) -> Store:
        """Give this store inside the host's own transaction; see `Joinable`.

        `connection` is what SQLAlchemy's `Engine.begin()`, `Session.connection()`
        or their async twins give, on the same database.
        """
        transaction = HostTransaction(connection, committing, dialect=self._database.dialect)
        return _JoinedStore(transaction, self._rows)

    async def reencrypt(self) -> int:
        """Encrypt under the first secret what is not; return how many tasks that were.

        Other processes may go on meanwhile if they know the first secret, too.
        Where nothing was encrypted before, none may run: they would not find
        what is, and write what is not. Harmless when repeated, also after it
        was cut short. Raises `ConfigurationError` without `encryption`.
        """
        if self._encryption is None:
            raise ConfigurationError("there is no secret to encrypt with", hint=TO_DECRYPT)
        return await reencrypt(self._database, self._encryption)

    async def _rows(self) -> Rows:
        if self._known_rows is None:
            self._known_rows = Rows(await codec_of(self._database, self._encryption))
        return self._known_rows

    def watch(self) -> AsyncGenerator[Sequence[str]]:
        return watch(self._listening)

    async def announce(self, task_ids: Sequence[str]) -> None:
        await announce(self._database, task_ids)

    async def aclose(self) -> None:
        await self._database.aclose()
        await self._listening.aclose()


class _JoinedStore(_SQLStore[HostTransaction]):
    _joined = True

    def __init__(self, transaction: HostTransaction, rows: Callable[[], Awaitable[Rows]]) -> None:
        self._database = transaction
        self._rows_outside = rows

    async def setup(self) -> None:
        await checkpoint()

    async def _rows(self) -> Rows:
        return await self._rows_outside()

    async def aclose(self) -> None:
        await checkpoint()


# ── Erasing ───────────────────────────────────────────────────────────────────


def _purge(connection: Connection, *, task: Task, erased: Row) -> bool:
    stored = and_(
        tasks.c.id == task.id,
        tasks.c.version == task.version,
        tasks.c.status.in_(_CLOSED),
        tasks.c.state.is_not(None),
    )
    if connection.execute(update(tasks).where(stored).values(erased)).rowcount != 1:
        return False
    for table in (addressees, words, trail, effects):
        connection.execute(delete(table).where(table.c.task_id == task.id))
    return True


def _purged(connection: Connection, *, task: Task) -> bool | None:
    gone = and_(tasks.c.id == task.id, tasks.c.version == task.version, tasks.c.state.is_(None))
    return True if connection.scalar(select(tasks.c.id).where(gone)) else None


# ── Reading ───────────────────────────────────────────────────────────────────


_TASK = (tasks.c.id, tasks.c.spec, tasks.c.state)
_STORED = select(*_TASK).where(tasks.c.id.in_(bindparam("ids", expanding=True)), tasks.c.state.is_not(None))
_OUTCOME = (tasks.c.id, tasks.c.created_at, tasks.c.status, tasks.c.outcome)


def _get(connection: Connection, task_ids: Sequence[str]) -> list[RowMapping | None]:
    return _stored(connection, _STORED, task_ids)


def _get_latest(connection: Connection, task_ids: Sequence[str]) -> list[RowMapping | None]:
    return _stored(connection, dialect_of(connection).latest(_STORED), task_ids)


def _stored(
    connection: Connection, statement: Select[Any, Any, Any], task_ids: Sequence[str]
) -> list[RowMapping | None]:
    found = {row["id"]: row for row in connection.execute(statement, {"ids": task_ids}).mappings()}
    return [found.get(task_id) for task_id in task_ids]


_GET, _GET_LATEST = Batch(_get), Batch(_get_latest)


def _find(connection: Connection, *, rows: Rows, query: Query) -> list[Task]:
    page = _page(_narrowed(connection, query, rows.codec), rows.codec, _TASK)
    return [rows.task(row) for row in connection.execute(page).mappings()]


def _outcomes(connection: Connection, *, rows: Rows, query: Query) -> list[Outcome]:
    page = _page(_narrowed(connection, query, rows.codec), rows.codec, _OUTCOME)
    return rows.outcomes(connection.execute(page).all())


def _count(connection: Connection, *, rows: Rows, query: Query) -> Mapping[TaskStatus, int]:
    conditions = _conditions(_narrowed(connection, query, rows.codec), rows.codec)
    fitting = select(tasks.c.status, func.count()).where(tasks.c.state.is_not(None), *conditions)
    return {TaskStatus(status): number for status, number in connection.execute(fitting.group_by(tasks.c.status))}


def _trail(connection: Connection, *, rows: Rows, task_id: str) -> list[Entry]:
    listed = select(trail).where(trail.c.task_id == task_id).order_by(trail.c.seq)
    return [rows.entry(row) for row in connection.execute(listed).mappings()]


def _deliveries(connection: Connection, *, rows: Rows, task_id: str) -> list[Delivery]:
    listed = select(effects).where(effects.c.task_id == task_id).order_by(effects.c.due, effects.c.seq)
    return [rows.delivery(row, rows.word(row, "receipt")) for row in connection.execute(listed).mappings()]


def _failures(connection: Connection, *, rows: Rows, after: Cursor | None, limit: int) -> list[Delivery]:
    listed = select(effects).where(effects.c.failed_at.is_not(None))
    if after:
        place = tuple_(microseconds(after.at), rows.codec.effect_id(after.id))
        listed = listed.where(tuple_(effects.c.failed_at, effects.c.id) < place)
    latest = listed.order_by(effects.c.failed_at.desc(), effects.c.id.desc()).limit(limit)
    return [rows.delivery(row, rows.word(row, "receipt")) for row in connection.execute(latest).mappings()]


def _clock(connection: Connection) -> datetime | None:
    return dialect_of(connection).now(connection)


def _page(query: Query, codec: Codec, columns: tuple[Column[Any], ...]) -> Select[Any]:
    page = select(*columns).order_by(*_order(query)).offset(query.offset).limit(query.limit)
    if query.statuses is None or len(query.statuses) < 2 or query.changed_after:  # noqa: PLR2004
        return page.where(tasks.c.state.is_not(None), *_conditions(query, codec))
    first = union_all(*(_first_of(query, status, codec) for status in sorted(query.statuses))).subquery()
    return page.join(first, first.c.id == tasks.c.id)


def _first_of(query: Query, status: TaskStatus, codec: Codec) -> Select[Any]:
    """Give the ids of all of one status that can be on the page: each index gives one status in order."""
    fitting = _conditions(replace(query, statuses=frozenset({status})), codec)
    first = select(tasks.c.id).where(tasks.c.state.is_not(None), *fitting).order_by(*_order(query))
    return select(first.limit(query.offset + query.limit).subquery().c.id)


def _order(query: Query) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    if query.changed_after:
        return tasks.c.changed_at, tasks.c.id
    at = tasks.c[_TIMES[query.order]]
    return (at.desc(), tasks.c.id.desc()) if query.order is Order.NEWEST else (at, tasks.c.id)


def _conditions(query: Query, codec: Codec) -> Iterable[ColumnElement[bool]]:
    if query.ids is not None:
        yield tasks.c.id.in_(query.ids)
    if query.statuses is not None:
        statuses = sorted(query.statuses)
        yield tasks.c.status == statuses[0] if len(statuses) == 1 else tasks.c.status.in_(statuses)
    if query.refused is not None:
        yield tasks.c.refused.is_(query.refused)
    if query.idempotency_key is not None:
        yield tasks.c.key_digest == codec.digest(query.idempotency_key)
    if query.search is not None:
        yield from _says(query.search, codec)
    yield from _conditions_on_people(query, codec)
    yield from _conditions_on_place(query)


def _says(search: str, codec: Codec) -> Iterable[ColumnElement[bool]]:
    if codec.searchable(search) is None:
        yield or_(tasks.c.id == search, tasks.c.key_digest == codec.digest(search))
        return
    if search.split():
        yield tasks.c.id.in_(_with_words(search))


def _with_words(search: str) -> Select[Any]:
    parts = (words.c.words.contains(word, autoescape=True) for word in search.lower().split())
    return select(words.c.task_id).where(*parts)


def _narrowed(connection: Connection, query: Query, codec: Codec) -> Query:
    """Look up first what is searched for, and ask for those tasks if they are few.

    Databases guess badly how many that will be, and many are soon found on
    the way through the list.
    """
    if not (query.search and query.search.split()) or codec.searchable(query.search) is None:
        return query
    found = connection.scalars(_with_words(query.search).limit(_FEW + 1)).all()
    if len(found) > _FEW:
        return query
    wanted = found if query.ids is None else set(found) & set(query.ids)
    return replace(query, search=None, ids=tuple(wanted))


def _conditions_on_people(query: Query, codec: Codec) -> Iterable[ColumnElement[bool]]:
    if query.unassigned is not None:
        yield tasks.c.assignee_id.is_(None) if query.unassigned else tasks.c.assignee_id.is_not(None)
    if query.assigned_to is not None:
        yield _is_with(query.assigned_to.lower(), codec)
    if query.held_by is not None:
        known_as = [codec.address(address) for address in query.held_by.addresses]
        yield or_(*(column.in_(known_as) for column in _ASSIGNEE))
    if query.assignee_id is not None:
        yield tasks.c.assignee_id == codec.address(query.assignee_id.lower())
    if query.visible_to is not None and not query.visible_to.operator:
        known_as = [ANYBODY, *map(codec.address, query.visible_to.addresses)]
        theirs = select(addressees.c.task_id).where(addressees.c.address.in_(known_as))
        few = query.ids is not None or query.idempotency_key is not None
        # Few tasks are asked one by one; of many, SQLite finds a person's own far faster by one list of them.
        yield theirs.where(addressees.c.task_id == tasks.c.id).exists() if few else tasks.c.id.in_(theirs)


def _is_with(name: str, codec: Codec) -> ColumnElement[bool]:
    known_as = codec.address(name)
    exact = or_(*(column == known_as for column in _ASSIGNEE))
    part = codec.searchable(name)
    return exact if part is None else or_(exact, tasks.c.assignee_name.contains(part, autoescape=True))


def _conditions_on_place(query: Query) -> Iterable[ColumnElement[bool]]:
    if query.after:
        column, at = tasks.c[_TIMES[query.order]], microseconds(query.after.at)
        place, after, newest = tuple_(column, tasks.c.id), tuple_(at, query.after.id), query.order is Order.NEWEST
        yield column <= at if newest else column >= at  # MariaDB finds no place in an index by two columns
        yield place < after if newest else place > after
    if query.changed_after:
        at, place = microseconds(query.changed_after.at), tuple_(tasks.c.changed_at, tasks.c.id)
        yield tasks.c.changed_at >= at
        yield place > tuple_(at, query.changed_after.id)


# ── Effects ───────────────────────────────────────────────────────────────────


def _heads() -> ColumnElement[bool]:
    """Give the condition for effects that nothing in their lane comes before."""
    other = effects.alias()
    earlier = tuple_(other.c.due, other.c.seq) < tuple_(effects.c.due, effects.c.seq)
    before = select(other.c.id).where(other.c.lane == effects.c.lane, other.c.settled_at.is_(None), earlier)
    return and_(effects.c.settled_at.is_(None), ~before.exists())


def _earliest(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """Give the order of heads: that of the index of what is to do."""
    order = (effects.c.available_at, effects.c.due, effects.c.seq)
    return (effects.c.settled_at, *order) if dialect_of(connection).orders_by_known_columns else order


def _next_due(connection: Connection, *, besides: str | None = None) -> datetime | None:
    """Return when the next effect is available, besides those under a token."""
    others = or_(effects.c.token.is_(None), effects.c.token != besides) if besides else effects.c.id.is_not(None)
    first = select(effects.c.available_at).where(_heads(), others).order_by(*_earliest(connection)).limit(1)
    available_at = connection.scalar(first)
    return None if available_at is None else from_microseconds(available_at)


def _lease(connection: Connection, *, rows: Rows, now: datetime, until: datetime, limit: int, token: str) -> Leased:
    due = effects.c.available_at <= microseconds(now)
    candidates = select(effects.c.id).where(_heads(), due).order_by(*_earliest(connection)).limit(limit)
    chosen = connection.scalars(candidates.with_for_update(skip_locked=True)).all()
    if chosen:
        still_due = and_(effects.c.id.in_(chosen), effects.c.settled_at.is_(None), due)
        stamped = {"token": token, "available_at": microseconds(until), "attempts": effects.c.attempts + 1}
        connection.execute(update(effects).where(still_due).values(stamped))
    deliveries = _under(connection, rows, token, chosen)
    return Leased(deliveries=deliveries, next_due=_next_due(connection, besides=token))


def _leased(connection: Connection, *, rows: Rows, token: str) -> Leased | None:
    """Return what was leased under this token before its connection was lost."""
    deliveries = _under(connection, rows, token)
    return Leased(deliveries=deliveries, next_due=_next_due(connection, besides=token)) if deliveries else None


def _under(connection: Connection, rows: Rows, token: str, order: Sequence[str] = ()) -> tuple[Delivery, ...]:
    leased = select(effects).where(effects.c.token == token).order_by(effects.c.due)
    found = connection.execute(leased).mappings().all()
    receipts = _receipts(connection, rows, {row["lane"] for row in found})
    if order:
        found = sorted(found, key=lambda row: order.index(row["id"]))
    return tuple(rows.delivery(row, receipts.get(row["lane"])) for row in found)


def _receipts(connection: Connection, rows: Rows, lanes: set[str]) -> Mapping[str, str | None]:
    """Return each lane's latest receipt."""
    if not lanes:
        return {}
    columns = (effects.c.id, effects.c.lane, effects.c.receipt)
    given = select(*columns).where(effects.c.lane.in_(lanes), effects.c.receipt.is_not(None))
    ordered = connection.execute(given.order_by(effects.c.due, effects.c.seq)).mappings()
    return {row["lane"]: rows.word(row, "receipt") for row in ordered}
