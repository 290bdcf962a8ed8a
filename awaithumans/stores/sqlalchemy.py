"""A store in a SQL database: SQLite, PostgreSQL or MariaDB, through SQLAlchemy.

One body of SQL for every database and driver. What each operation does to a
task is in `memory.py`, in fewer words.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from uuid import uuid4

from anyio.lowlevel import checkpoint
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Table,
    and_,
    delete,
    false,
    func,
    or_,
    select,
    tuple_,
    update,
)

from awaithumans import documents
from awaithumans.errors import ConflictError, TaskGoneError
from awaithumans.protocols import Store
from awaithumans.stores.database import Database, HostTransaction
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.schema import ANYBODY, address_of, addressees, digest_of, effects, metadata, tasks, trail
from awaithumans.stores.watching import announce, watch
from awaithumans.types import (
    CLOSED_STATUSES,
    Change,
    Cursor,
    Delivery,
    Effect,
    EffectKind,
    Entry,
    Human,
    KeyScope,
    Leased,
    Query,
    Task,
    TaskStatus,
    from_microseconds,
    microseconds,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["SQLAlchemyStore", "metadata"]

_Values: TypeAlias = dict[str, Any]
DatabaseT = TypeVar("DatabaseT", Database, HostTransaction)

_CREATE_ROUNDS = 10
_EFFECTS_PER_CHANGE = 1_000_000
_CLOSED = sorted(status.value for status in CLOSED_STATUSES)


class _SQLStore(Generic[DatabaseT]):
    """What a `Store` does with tasks, in whatever runs its operations."""

    _database: DatabaseT

    async def create(self, change: Change) -> Task:
        return await self._database.write(partial(_create, rows=_Rows.of(change)))

    async def get(self, task_id: str) -> Task | None:
        return await self._database.read(partial(_get, task_id=task_id))

    async def find(self, query: Query) -> list[Task]:
        return await self._database.read(partial(_find, query=query))

    async def count(self, query: Query) -> Mapping[TaskStatus, int]:
        return await self._database.read(partial(_count, query=query))

    async def apply(self, change: Change) -> bool:
        rows = _Rows.of(change)
        return await self._database.write(partial(_apply, rows=rows), recover=partial(_applied, rows=rows))

    async def trail(self, task_id: str) -> list[Entry]:
        return await self._database.read(partial(_trail, task_id=task_id))

    async def deliveries(self, task_id: str) -> list[Delivery]:
        return await self._database.read(partial(_deliveries, task_id=task_id))

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        return await self._database.read(partial(_failures, after=after, limit=limit))

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        due = await self._database.read(_next_due)
        if limit == 0 or due is None or due > now:
            return Leased(next_due=due)
        token = uuid4().hex
        return await self._database.write(
            partial(_lease, now=now, until=until, limit=limit, token=token),
            recover=partial(_leased, token=token),
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
        values: _Values = {
            "settled_at": microseconds(at),
            "failed_at": None if failed is None else microseconds(at),
            "failure": failed,
        }
        if retry_at:
            values = {"available_at": microseconds(retry_at)}
        elif failed is None:
            values["receipt"] = receipt
        return await self._database.write(
            partial(_settle, delivery=delivery, values=values),
            recover=partial(_settled, delivery=delivery, values=values),
        )

    async def purge(self, task: Task) -> bool:
        return await self._database.write(partial(_purge, task=task), recover=partial(_purged, task=task))

    async def now(self) -> datetime | None:
        return await self._database.read(_clock)


class SQLAlchemyStore(_SQLStore[Database]):
    """A `Store`, `Watchable` and `Joinable`, in a database.

    `bind` is a URL, or the host's own `Engine` or `AsyncEngine`, which is used
    as it is and never closed here. A sync engine works in threads, under
    asyncio and trio; an async one needs asyncio.

    `listen` is where to hear of changes, if that is not through `bind`: the
    direct address of a PostgreSQL server whose pooler passes on no
    notifications.
    """

    def __init__(
        self,
        bind: str | URL | Engine | AsyncEngine,
        *,
        listen: str | URL | Engine | AsyncEngine | None = None,
    ) -> None:
        self._database = Database(bind)
        self._listening = self._database if listen is None else Database(listen)

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

    def using(self, connection: Connection | AsyncConnection, *, committing: Callable[[], None] | None = None) -> Store:
        """Give this store inside the host's own transaction; see `Joinable`.

        `connection` is what SQLAlchemy's `Engine.begin()`, `Session.connection()`
        or their async twins give, on the same database.
        """
        return _JoinedStore(HostTransaction(connection, committing, dialect=self._database.dialect))

    def watch(self) -> AsyncGenerator[Sequence[str]]:
        return watch(self._listening)

    async def announce(self, task_ids: Sequence[str]) -> None:
        await announce(self._database, task_ids)

    async def aclose(self) -> None:
        await self._database.aclose()
        await self._listening.aclose()


class _JoinedStore(_SQLStore[HostTransaction]):
    def __init__(self, transaction: HostTransaction) -> None:
        self._database = transaction

    async def setup(self) -> None:
        await checkpoint()

    async def aclose(self) -> None:
        await checkpoint()


# ── Creating ──────────────────────────────────────────────────────────────────


def _create(connection: Connection, *, rows: _Rows) -> Task:
    for _ in range(_CREATE_ROUNDS):
        if dialect_of(connection).insert_new(connection, tasks, rows.task):
            _add(connection, addressees, [_addressee(rows.id, address) for address in rows.addresses])
            _add_the_rest(connection, rows)
            return rows.read()
        if holder := _holder(connection, rows):
            return holder
    raise ConflictError("the idempotency key keeps changing hands", hint="Try again.")


def _holder(connection: Connection, rows: _Rows) -> Task | None:
    """Return what this very change wrote earlier, or else the key's task."""
    same_id, same_key = tasks.c.id == rows.id, tasks.c.held_key == rows.task["held_key"]
    found = select(tasks.c.id, tasks.c.status, tasks.c.spec, tasks.c.state).where(or_(same_id, same_key))
    row = connection.execute(found.order_by(same_id.desc()).limit(1)).mappings().one_or_none()
    if row is None:
        return None
    if row["state"] is None:
        raise TaskGoneError(row["id"], row["status"])
    return _task(row)


def _add_the_rest(connection: Connection, rows: _Rows) -> None:
    if rows.trail:
        connection.execute(trail.insert(), rows.trail)
    _add(connection, effects, rows.effects)
    for row in rows.retried:
        failed = and_(effects.c.id == row["id"], effects.c.failed_at.is_not(None))
        connection.execute(update(effects).where(failed).values(row))


def _add(connection: Connection, table: Table, rows: list[_Values]) -> None:
    """Insert the rows that are not there yet."""
    if rows:
        dialect_of(connection).insert_missing(connection, table, rows)


# ── Changing ──────────────────────────────────────────────────────────────────


def _apply(connection: Connection, *, rows: _Rows) -> bool:
    version = rows.task["version"] - 1
    stored = and_(tasks.c.id == rows.id, tasks.c.version == version, tasks.c.state.is_not(None))
    if connection.execute(update(tasks).where(stored).values(rows.changed)).rowcount != 1:
        return False
    _readdress(connection, rows)
    _add_the_rest(connection, rows)
    return True


def _applied(connection: Connection, *, rows: _Rows) -> bool | None:
    """Tell whether this very change was written before its connection was lost.

    The row is locked first: the lost transaction may still be ending.
    """
    row = connection.execute(
        select(tasks.c.version, tasks.c.state).where(tasks.c.id == rows.id).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    if not rows.trail:
        return True if (row.version, row.state) == (rows.task["version"], rows.task["state"]) else None
    last = rows.trail[-1]
    line = and_(trail.c.task_id == rows.id, trail.c.seq == last["seq"], trail.c.stamp == last["stamp"])
    return True if connection.scalar(select(trail.c.seq).where(line)) is not None else None


def _readdress(connection: Connection, rows: _Rows) -> None:
    mine = addressees.c.task_id == rows.id
    before = frozenset(connection.scalars(select(addressees.c.address).where(mine)))
    if gone := before - rows.addresses:
        connection.execute(delete(addressees).where(mine, addressees.c.address.in_(sorted(gone))))
    _add(connection, addressees, [_addressee(rows.id, address) for address in rows.addresses - before])


def _purge(connection: Connection, *, task: Task) -> bool:
    stored = and_(
        tasks.c.id == task.id,
        tasks.c.version == task.version,
        tasks.c.status.in_(_CLOSED),
        tasks.c.state.is_not(None),
    )
    if connection.execute(update(tasks).where(stored).values(_erased(task))).rowcount != 1:
        return False
    for table in (addressees, trail, effects):
        connection.execute(delete(table).where(table.c.task_id == task.id))
    return True


def _purged(connection: Connection, *, task: Task) -> bool | None:
    gone = and_(tasks.c.id == task.id, tasks.c.version == task.version, tasks.c.state.is_(None))
    return True if connection.scalar(select(tasks.c.id).where(gone)) else None


def _erased(task: Task) -> _Values:
    """Return what is left of a task: its id, its times, its outcome, and its key."""
    values: _Values = {**_assignee_values(None), "spec": None, "state": None}
    return {**values, "held_key": None} if task.spec.key_scope is KeyScope.CALL else values


# ── Reading ───────────────────────────────────────────────────────────────────


_TASK = (tasks.c.id, tasks.c.spec, tasks.c.state)


def _get(connection: Connection, *, task_id: str) -> Task | None:
    stored = and_(tasks.c.id == task_id, tasks.c.state.is_not(None))
    row = connection.execute(select(*_TASK).where(stored)).mappings().one_or_none()
    return _task(row) if row else None


def _find(connection: Connection, *, query: Query) -> list[Task]:
    fitting = select(*_TASK).where(tasks.c.state.is_not(None), *_conditions(query))
    page = fitting.order_by(*_order(query)).offset(query.offset).limit(query.limit)
    return [_task(row) for row in connection.execute(page).mappings()]


def _count(connection: Connection, *, query: Query) -> Mapping[TaskStatus, int]:
    fitting = select(tasks.c.status, func.count()).where(tasks.c.state.is_not(None), *_conditions(query))
    return {TaskStatus(status): number for status, number in connection.execute(fitting.group_by(tasks.c.status))}


def _trail(connection: Connection, *, task_id: str) -> list[Entry]:
    rows = connection.execute(select(trail).where(trail.c.task_id == task_id).order_by(trail.c.seq)).mappings()
    return [_entry(row) for row in rows]


def _deliveries(connection: Connection, *, task_id: str) -> list[Delivery]:
    listed = select(effects).where(effects.c.task_id == task_id).order_by(effects.c.due, effects.c.seq)
    return [_delivery(row, row["receipt"]) for row in connection.execute(listed).mappings()]


def _failures(connection: Connection, *, after: Cursor | None, limit: int) -> list[Delivery]:
    listed = select(effects).where(effects.c.failed_at.is_not(None))
    if after:
        listed = listed.where(tuple_(effects.c.failed_at, effects.c.id) < tuple_(microseconds(after.at), after.id))
    latest = listed.order_by(effects.c.failed_at.desc(), effects.c.id.desc()).limit(limit)
    return [_delivery(row, row["receipt"]) for row in connection.execute(latest).mappings()]


def _clock(connection: Connection) -> datetime | None:
    return dialect_of(connection).now(connection)


def _order(query: Query) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    if query.changed_after:
        return tasks.c.changed_at, tasks.c.id
    return tasks.c.created_at.desc(), tasks.c.id.desc()


def _conditions(query: Query) -> Iterable[ColumnElement[bool]]:
    if query.ids is not None:
        yield tasks.c.id.in_(query.ids)
    if query.statuses is not None:
        yield tasks.c.status.in_(sorted(query.statuses))
    if query.refused is not None:
        yield tasks.c.refused.is_(query.refused)
    if query.idempotency_key is not None:
        yield tasks.c.key_digest == digest_of(query.idempotency_key)
    yield from _conditions_on_people(query)
    yield from _conditions_on_place(query)


def _conditions_on_people(query: Query) -> Iterable[ColumnElement[bool]]:
    if query.unassigned is not None:
        yield tasks.c.assignee_id.is_(None) if query.unassigned else tasks.c.assignee_id.is_not(None)
    if query.assigned_to is not None:
        yield _is_with(query.assigned_to.lower())
    if query.visible_to is not None and not query.visible_to.operator:
        known_as = [ANYBODY, *map(address_of, query.visible_to.addresses)]
        concerns = addressees.c.task_id == tasks.c.id
        yield select(addressees.c.task_id).where(concerns, addressees.c.address.in_(known_as)).exists()


def _is_with(name: str) -> ColumnElement[bool]:
    exact = (tasks.c.assignee_id, tasks.c.assignee_email, tasks.c.assignee_slack)
    return or_(*(column == name for column in exact), tasks.c.assignee_name.contains(name, autoescape=True))


def _conditions_on_place(query: Query) -> Iterable[ColumnElement[bool]]:
    if query.after:
        at, place = microseconds(query.after.at), tuple_(tasks.c.created_at, tasks.c.id)
        yield tasks.c.created_at <= at  # MariaDB finds no place in an index by two columns
        yield place < tuple_(at, query.after.id)
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


def _lease(connection: Connection, *, now: datetime, until: datetime, limit: int, token: str) -> Leased:
    due = effects.c.available_at <= microseconds(now)
    candidates = select(effects.c.id).where(_heads(), due).order_by(*_earliest(connection)).limit(limit)
    chosen = connection.scalars(candidates.with_for_update(skip_locked=True)).all()
    if chosen:
        still_due = and_(effects.c.id.in_(chosen), effects.c.settled_at.is_(None), due)
        stamped = {"token": token, "available_at": microseconds(until), "attempts": effects.c.attempts + 1}
        connection.execute(update(effects).where(still_due).values(stamped))
    deliveries = sorted(_under(connection, token), key=lambda delivery: chosen.index(delivery.effect.id))
    return Leased(deliveries=tuple(deliveries), next_due=_next_due(connection, besides=token))


def _leased(connection: Connection, *, token: str) -> Leased | None:
    """Return what was leased under this token before its connection was lost."""
    deliveries = tuple(_under(connection, token))
    return Leased(deliveries=deliveries, next_due=_next_due(connection, besides=token)) if deliveries else None


def _under(connection: Connection, token: str) -> list[Delivery]:
    leased = select(effects).where(effects.c.token == token).order_by(effects.c.due)
    rows = connection.execute(leased).mappings().all()
    receipts = _receipts(connection, {row["lane"] for row in rows})
    return [_delivery(row, receipts.get(row["lane"])) for row in rows]


def _receipts(connection: Connection, lanes: set[str]) -> Mapping[str, str]:
    """Return each lane's latest receipt."""
    if not lanes:
        return {}
    given = select(effects.c.lane, effects.c.receipt).where(effects.c.lane.in_(lanes), effects.c.receipt.is_not(None))
    return {row.lane: row.receipt for row in connection.execute(given.order_by(effects.c.due, effects.c.seq))}


def _settle(connection: Connection, *, delivery: Delivery, values: _Values) -> bool:
    held = and_(_under_lease(delivery), effects.c.settled_at.is_(None))
    return connection.execute(update(effects).where(held).values(values)).rowcount == 1


def _settled(connection: Connection, *, delivery: Delivery, values: _Values) -> bool | None:
    """Tell whether this very word was written before its connection was lost."""
    said = and_(*(effects.c[name] == value for name, value in values.items() if value is not None))
    row = select(effects.c.id).where(_under_lease(delivery), said).with_for_update()
    return True if connection.scalar(row) else None


def _under_lease(delivery: Delivery) -> ColumnElement[bool]:
    if delivery.token is None:
        return false()
    return and_(effects.c.id == delivery.effect.id, effects.c.token == delivery.token)


# ── Rows ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Rows:
    """What a change writes, made ready before the transaction begins."""

    task: _Values
    addresses: frozenset[str]
    trail: list[_Values]
    effects: list[_Values]
    retried: list[_Values]

    @classmethod
    def of(cls, change: Change) -> _Rows:
        """Make the rows of a change."""
        stamp = uuid4().hex
        seq = count(change.task.version * _EFFECTS_PER_CHANGE)
        return cls(
            task=_task_values(change.task),
            addresses=_addresses(change.task),
            trail=[_entry_values(entry, stamp) for entry in change.entries],
            effects=[_effect_values(effect, next(seq)) for effect in change.effects],
            retried=[_effect_values(effect, next(seq)) | _AFRESH for effect in change.retried],
        )

    @property
    def id(self) -> str:
        """Give the task's id."""
        task_id: str = self.task["id"]
        return task_id

    @property
    def changed(self) -> _Values:
        """Give the task's columns that a change rewrites."""
        kept = {"id", "spec", "created_at", "key_digest"}
        if self.task["held_key"]:
            kept.add("held_key")
        return {name: value for name, value in self.task.items() if name not in kept}

    def read(self) -> Task:
        """Give the task as a reader gets it."""
        spec, state = json.loads(self.task["spec"]), json.loads(self.task["state"])
        return documents.task_from_documents(self.id, spec, state)


def _task_values(task: Task) -> _Values:
    key = digest_of(task.spec.idempotency_key)
    held = task.spec.key_scope is KeyScope.FOREVER or task.collected_at is None
    return {
        "id": task.id,
        "status": task.status.value,
        "version": task.version,
        "refused": task.refused,
        "created_at": microseconds(task.created_at),
        "changed_at": microseconds(task.changed_at),
        "key_digest": key,
        "held_key": key if held else None,
        **_assignee_values(task.assignee),
        "spec": documents.dumps(documents.spec_document(task)),
        "state": documents.dumps(documents.state_document(task)),
    }


def _assignee_values(assignee: Human | None) -> _Values:
    if assignee is None:
        return dict.fromkeys(("assignee_id", "assignee_email", "assignee_slack", "assignee_name"))
    return {
        "assignee_id": assignee.id.lower(),
        "assignee_email": (assignee.email or "").lower() or None,
        "assignee_slack": (assignee.slack_user_id or "").lower() or None,
        "assignee_name": (assignee.display_name or "").lower(),
    }


def _addresses(task: Task) -> frozenset[str]:
    """Return the addresses of everybody whom the task concerns."""
    people = [*task.addressees, *(answer.by.human for answer in task.answers)]
    if task.assignee:
        people.append(task.assignee)
    named = frozenset(address_of(address) for person in people for address in person.addresses)
    return named if task.addressees else named | {ANYBODY}


def _addressee(task_id: str, address: str) -> _Values:
    return {"task_id": task_id, "address": address}


def _entry_values(entry: Entry, stamp: str) -> _Values:
    return {
        "task_id": entry.task_id,
        "seq": entry.seq,
        "previous": entry.previous,
        "stamp": stamp,
        "document": documents.dumps(documents.entry_document(entry)),
    }


def _effect_values(effect: Effect, seq: int) -> _Values:
    due = microseconds(effect.due)
    return {
        "id": effect.id,
        "task_id": effect.task_id,
        "kind": effect.kind.value,
        "lane": digest_of(effect.lane),
        "recipient": effect.recipient,
        "event": effect.event,
        "generation": effect.generation,
        "due": due,
        "seq": seq,
        "available_at": due,
        "attempts": 0,
    }


_AFRESH: _Values = dict.fromkeys(("token", "receipt", "failure", "settled_at", "failed_at"))


def _task(row: RowMapping) -> Task:
    return documents.task_from_documents(row["id"], json.loads(row["spec"]), json.loads(row["state"]))


def _entry(row: RowMapping) -> Entry:
    return documents.entry_from_document(row["task_id"], row["seq"], row["previous"], json.loads(row["document"]))


def _delivery(row: RowMapping, receipt: str | None) -> Delivery:
    effect = Effect(
        task_id=row["task_id"],
        kind=EffectKind(row["kind"]),
        due=from_microseconds(row["due"]),
        recipient=row["recipient"],
        event=row["event"],
        generation=row["generation"],
    )
    settled_at = row["settled_at"]
    return Delivery(
        effect=effect,
        token=row["token"],
        attempts=row["attempts"],
        receipt=receipt,
        settled_at=None if settled_at is None else from_microseconds(settled_at),
        failure=row["failure"],
    )
