"""Records in a SQL database; see `Records`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from awaithumans.records import ensure_record
from awaithumans.stores.database import Database, HostTransaction
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.rows import Row, Rows
from awaithumans.stores.schema import records
from awaithumans.types import Record


class SQLRecords:
    """`Records`, in whatever runs the operations."""

    def __init__(self, database: Database | HostTransaction, rows: Callable[[], Awaitable[Rows]]) -> None:
        self._database = database
        self._rows = rows
        self._joined = isinstance(database, HostTransaction)

    async def get(self, kind: str, id: str) -> Record | None:  # noqa: A002 - as the field is called
        rows = await self._rows()
        return await self._database.read(partial(_get, rows=rows, kind=kind, id_=id, latest=self._joined))

    async def find(self, kind: str, *, after: str = "", limit: int = 50) -> list[Record]:
        rows = await self._rows()
        return await self._database.read(partial(_find, rows=rows, kind=kind, after=after, limit=limit))

    async def put(self, record: Record) -> bool:
        ensure_record(record)
        row = (await self._rows()).of_record(record)
        return await self._database.write(partial(_put, row=row))

    async def delete(self, record: Record) -> bool:
        return await self._database.write(partial(_delete, record=record), recover=partial(_deleted, record=record))


def _get(connection: Connection, *, rows: Rows, kind: str, id_: str, latest: bool) -> Record | None:
    stored = select(records).where(_at(kind, id_))
    statement = dialect_of(connection).latest(stored) if latest else stored
    row = connection.execute(statement).mappings().one_or_none()
    return rows.record(row) if row else None


def _find(connection: Connection, *, rows: Rows, kind: str, after: str, limit: int) -> list[Record]:
    page = select(records).where(records.c.kind == kind, records.c.id > after).order_by(records.c.id).limit(limit)
    return [rows.record(row) for row in connection.execute(page).mappings()]


def _put(connection: Connection, *, row: Row) -> bool:
    """Write, or find what this very call wrote before its connection was lost."""
    place = _at(row["kind"], row["id"])
    if row["version"] == 1:
        written = bool(dialect_of(connection).insert_new(connection, records, [row]))
    else:
        before = and_(place, records.c.version == row["version"] - 1)
        written = connection.execute(update(records).where(before).values(row)).rowcount == 1
    return written or connection.scalar(select(records.c.stamp).where(place)) == row["stamp"]


def _delete(connection: Connection, *, record: Record) -> bool:
    stored = and_(_at(record.kind, record.id), records.c.version == record.version)
    return connection.execute(delete(records).where(stored)).rowcount == 1


def _deleted(connection: Connection, *, record: Record) -> bool | None:
    """Tell whether it is gone, since the connection was lost that was to erase it."""
    row = select(records.c.id).where(_at(record.kind, record.id)).with_for_update()
    return True if connection.scalar(row) is None else None


def _at(kind: str, id_: str) -> ColumnElement[bool]:
    return and_(records.c.kind == kind, records.c.id == id_)
