"""What can happen to a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from awaithumans.stores.sqlalchemy import SQLAlchemyStore


@contextmanager
def lost_once(store: SQLAlchemyStore, *, before_commit: bool) -> Iterator[None]:
    """Cut the next writing transaction's connection, before its commit or after.

    After: the database has committed, and the caller never hears of it.
    """
    losses: list[str] = []

    def cut(connection: Connection) -> None:
        if losses:
            return
        losses.append("lost")
        if not before_commit:
            connection.dialect.do_commit(connection.connection)
        connection.invalidate()
        raise DBAPIError("COMMIT", {}, Exception("the connection was lost"), connection_invalidated=True)

    event.listen(store._database._engine, "commit", cut)
    yield
    event.remove(store._database._engine, "commit", cut)
    assert losses
