"""What each kind of database does in its own way, behind one set of names."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    Insert,
    Table,
    Text,
    bindparam,
    cast,
    column,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import GenerativeSelect

from awaithumans.documents import dumps
from awaithumans.errors import ConfigurationError

Row = Mapping[str, Any]
SelectT = TypeVar("SelectT", bound=GenerativeSelect)

BUSY_SECONDS = 10
SHIELD_SECONDS = 60.0
"""How long an operation on a connection to a server may take, where its driver lets that be said.

On an async connection, the operation ends within it as if its caller had not
been cancelled.
"""


class Dialect:
    """A kind of database; here, what it does unless it says otherwise."""

    name: ClassVar[str]
    in_process: ClassVar[bool] = False
    """Whether the database works in this process, with locks of its own that a fork would copy."""
    one_writer: ClassVar[bool] = False
    """Whether writers would only wait for one another."""
    orders_by_known_columns: ClassVar[bool] = False
    """Whether an index gives its order only if ORDER BY names those of its columns, too, that WHERE has fixed."""

    def connect_arguments(self, driver: str) -> dict[str, object]:
        """Return the arguments for connections of our own."""
        raise NotImplementedError

    def prepare(self, engine: Engine) -> None:
        """Configure an engine of our own."""

    def before_reading(self, connection: Connection) -> None:
        """Make ready for statements that need no transaction."""

    def transaction(self, connection: Connection) -> AbstractContextManager[object]:
        """Begin a transaction in which each statement sees what is committed; end it with the block."""
        raise NotImplementedError

    def impatient(self, connection: Connection) -> AbstractContextManager[object]:
        """Let the block, inside a transaction, fail soon where it meets somebody else's lock."""
        del connection
        return nullcontext()

    def savepoint(self, connection: Connection) -> AbstractContextManager[object]:
        """Make the block happen wholly or not at all, inside the transaction of a host."""
        return connection.begin_nested()

    def latest(self, statement: SelectT) -> SelectT:
        """Make a statement read what is committed, also in a transaction that has read before.

        Where the database would rather fail such a transaction than show it
        two states, that is left to it.
        """
        return statement

    def exclusive(self, connection: Connection) -> AbstractContextManager[object]:
        """Let one process at a time migrate, inside its transaction."""
        del connection
        return nullcontext()

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert the rows that are not there yet."""
        connection.execute(self._insert_new(table), rows)

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Row]) -> Collection[tuple[Any, ...]]:
        """Insert the rows that are not there yet, and give their primary keys."""
        statement = self._insert_new(table)
        if connection.dialect.insert_executemany_returning:
            return {tuple(key) for key in connection.execute(_giving_keys(statement), rows)}
        return [
            _key(table, row)
            for row in rows
            if connection.execute(statement, row, execution_options={"preserve_rowcount": True}).rowcount == 1
        ]

    def now(self, connection: Connection) -> datetime | None:
        """Return the server's time; None if it is this machine's."""
        raise NotImplementedError

    def worth_retrying(self, error: DBAPIError) -> bool:
        """Tell whether the same transaction may succeed if done again."""
        raise NotImplementedError

    def lacks_tables(self, error: DBAPIError) -> bool:
        """Tell whether a table or column of ours is missing."""
        raise NotImplementedError

    def explain_loss(self, connection: Connection, error: DBAPIError) -> None:
        """Raise what tells more than a lost connection, if that was the server's way to refuse."""

    def _insert_new(self, table: Table) -> Insert:
        """Make an INSERT of any number of parameter sets that leaves rows alone that are there already."""
        raise NotImplementedError


class SQLite(Dialect):
    """A file, with one writer at a time."""

    name = "sqlite"
    in_process = True
    one_writer = True

    _BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
    _MISSING = ("no such table: awaithumans_", "no such column: awaithumans_", "has no column named")

    def connect_arguments(self, driver: str) -> dict[str, object]:
        del driver
        return {"timeout": BUSY_SECONDS}

    def prepare(self, engine: Engine) -> None:
        event.listen(engine, "connect", _prepare_sqlite)

    @contextmanager
    def transaction(self, connection: Connection) -> Generator[None]:
        with connection.begin():
            if not driver_of(connection).in_transaction:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield

    def savepoint(self, connection: Connection) -> AbstractContextManager[object]:
        if not driver_of(connection).in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # or else releasing the savepoint would commit
        return connection.begin_nested()

    def now(self, connection: Connection) -> None:
        del connection

    def worth_retrying(self, error: DBAPIError) -> bool:
        code: int = getattr(error.orig, "sqlite_errorcode", 0)
        return code & 0xFF in self._BUSY  # the rest of the number is detail

    def lacks_tables(self, error: DBAPIError) -> bool:
        words = str(error.orig)
        return any(phrase in words for phrase in self._MISSING)

    def _insert_new(self, table: Table) -> Insert:
        return _sqlite_insert(table)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Make commits survive a power loss, and let readers run beside a writer."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    # Written in the file, once; another process that is about to do it may be in the way.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


class PostgreSQL(Dialect):
    """A PostgreSQL server."""

    name = "postgresql"
    orders_by_known_columns = True

    _RETRIED = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock timeout
    _MISSING = frozenset({"42P01", "42703"})  # undefined table, undefined column
    _LOCK = 0x6177616974  # "await"; any number nobody else uses will do

    def connect_arguments(self, driver: str) -> dict[str, object]:
        if "psycopg" in driver:
            return {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
        return {}

    def before_reading(self, connection: Connection) -> None:
        connection.execution_options(isolation_level="AUTOCOMMIT")

    def transaction(self, connection: Connection) -> AbstractContextManager[object]:
        connection.execution_options(isolation_level="READ COMMITTED")
        return connection.begin()

    def impatient(self, connection: Connection) -> AbstractContextManager[object]:
        # Sooner than deadlocks are looked for: a host that locks in its own order is not their victim.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
        return nullcontext()

    def exclusive(self, connection: Connection) -> AbstractContextManager[object]:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._LOCK})
        return nullcontext()

    def now(self, connection: Connection) -> datetime:
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now.astimezone(UTC)

    def worth_retrying(self, error: DBAPIError) -> bool:
        return _state(error) in self._RETRIED

    def lacks_tables(self, error: DBAPIError) -> bool:
        return _state(error) in self._MISSING

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        connection.execute(_postgresql_insert(table), {"rows": dumps(rows)})

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Row]) -> Collection[tuple[Any, ...]]:
        statement = _giving_keys(_postgresql_insert(table))
        return {tuple(key) for key in connection.execute(statement, {"rows": dumps(rows)})}


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


class MariaDB(Dialect):
    """A MariaDB server, by either of SQLAlchemy's names: mariadb or mysql."""

    name = "mariadb"

    _OLDEST = (10, 6)  # the first with SKIP LOCKED
    _RETRIED = frozenset({1020, 1205, 1213})  # row changed since it was read, lock timeout, deadlock
    _MISSING = frozenset({1054, 1146})  # unknown column, no such table
    _DUPLICATE = 1062
    _LOCK = "CONCAT('awaithumans.', DATABASE())"
    _LOCK_SECONDS = 10
    _NEVER_TOO_LONG = 500_000

    def connect_arguments(self, driver: str) -> dict[str, object]:
        # Whatever the server's default, what does not fit is an error, and no table is without transactions.
        arguments: dict[str, object] = {"sql_mode": "TRADITIONAL"}
        if driver == "pymysql":
            return {**arguments, "read_timeout": SHIELD_SECONDS, "write_timeout": SHIELD_SECONDS}
        return arguments

    def before_reading(self, connection: Connection) -> None:
        _refuse_mysql(connection, self._OLDEST)

    @contextmanager
    def transaction(self, connection: Connection) -> Generator[None]:
        _refuse_mysql(connection, self._OLDEST)
        with connection.begin():
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql("START TRANSACTION")  # a host's engine may be in autocommit
            yield

    @contextmanager
    def impatient(self, connection: Connection) -> Generator[None]:
        connection.exec_driver_sql(
            "SET @awaithumans_patience = @@innodb_lock_wait_timeout, innodb_lock_wait_timeout = 1"
        )
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # a connection that was lost has nothing to set back
                connection.exec_driver_sql("SET innodb_lock_wait_timeout = @awaithumans_patience")

    @contextmanager
    def savepoint(self, connection: Connection) -> Generator[None]:
        transaction, autocommit = connection.execute(text("SELECT @@in_transaction, @@autocommit")).one()
        if autocommit and not transaction:
            raise ConfigurationError(
                "the connection is in autocommit: there is no transaction to join",
                hint="Begin one first, or leave the isolation level AUTOCOMMIT off.",
            )
        nested = connection.begin_nested()
        try:
            yield
        except BaseException:
            with suppress(OperationalError):  # a deadlock has ended the transaction, and the savepoint with it
                nested.rollback()
            raise
        nested.commit()

    def latest(self, statement: SelectT) -> SelectT:
        return statement.with_for_update(read=True)

    @contextmanager
    def exclusive(self, connection: Connection) -> Generator[None]:
        """Lock by name: changing a table commits, and would let go of a transaction's locks.

        What was done is committed before the lock is given back: the next one
        has to see it.
        """
        while not connection.scalar(text(f"SELECT GET_LOCK({self._LOCK}, {self._LOCK_SECONDS})")):
            pass
        try:
            yield
            connection.exec_driver_sql("COMMIT")
        finally:
            if not connection.invalidated:  # or the server has let go already
                connection.execute(text(f"SELECT RELEASE_LOCK({self._LOCK})")).close()

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Row]) -> Collection[tuple[Any, ...]]:
        return [_key(table, row) for row in rows if self._inserted(connection, table, row)]

    def _inserted(self, connection: Connection, table: Table, row: Row) -> bool:
        """Insert and see: the count of rows does not tell here, and IGNORE ignores other errors too."""
        try:
            connection.execute(table.insert(), row)
        except IntegrityError as error:
            if _code(error) != self._DUPLICATE:
                raise
            return False
        return True

    def now(self, connection: Connection) -> datetime:
        now: datetime = connection.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
        return now.replace(tzinfo=UTC)

    def worth_retrying(self, error: DBAPIError) -> bool:
        return _code(error) in self._RETRIED

    def lacks_tables(self, error: DBAPIError) -> bool:
        return _code(error) in self._MISSING

    def explain_loss(self, connection: Connection, error: DBAPIError) -> None:
        if (length := _length(error)) < self._NEVER_TOO_LONG:
            return
        allowed = connection.scalar(text("SELECT @@max_allowed_packet")) or 0
        connection.rollback()
        if length > allowed:
            raise ConfigurationError(
                f"a task of {length} bytes is more than the server's max_allowed_packet of {allowed} bytes",
                hint="Raise max_allowed_packet on the server, or ask with less.",
            ) from error

    def _insert_new(self, table: Table) -> Insert:
        kept = next(iter(table.primary_key))
        return mysql.insert(table).on_duplicate_key_update({kept.name: kept})


def _code(error: DBAPIError) -> object:
    return error.orig.args[0] if error.orig and error.orig.args else None


def _length(error: DBAPIError) -> int:
    """Return how long a statement was as sent, with its values in it, escaped."""
    parameters: Any = error.params or ()
    values: Iterable[object] = parameters.values() if hasattr(parameters, "values") else parameters
    sent = "".join(value for value in values if isinstance(value, str))
    return len(sent.encode()) + sum(map(sent.count, "\"'\\"))


def _refuse_mysql(connection: Connection, oldest: tuple[int, int]) -> None:
    """Raise unless it is a MariaDB that is new enough, which only a connection can tell."""
    dialect: Any = connection.dialect
    if not dialect.is_mariadb or dialect.server_version_info < oldest:
        product = "MariaDB" if dialect.is_mariadb else "MySQL"
        version = ".".join(map(str, dialect.server_version_info))
        raise ConfigurationError(
            f"the database is {product} {version}, which is not supported",
            hint="Use MariaDB {}.{} or newer.".format(*oldest),
        )


def _key(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


@cache
def _sqlite_insert(table: Table) -> Insert:
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def _postgresql_insert(table: Table) -> Insert:
    """Take any number of rows as one JSON text: the statement is always the same, and so is prepared once."""
    document = cast(bindparam("rows", type_=Text), JSON)
    columns = [column(each.name, each.type) for each in table.columns]
    rows = func.json_to_recordset(document).table_valued(*columns).render_derived(with_types=True)
    return postgresql.insert(table).from_select(list(table.columns), select(rows)).on_conflict_do_nothing()


@cache
def _giving_keys(statement: Insert) -> ReturningInsert[Any]:
    return statement.returning(*statement.table.primary_key)


def driver_of(connection: Connection) -> Any:
    """Return the driver's own connection, also where it was detached."""
    adapted = connection.connection.dbapi_connection
    return connection.dialect.get_driver_connection(adapted) if adapted else None


DIALECTS: Mapping[str, Dialect] = {
    "sqlite": SQLite(),
    "postgresql": PostgreSQL(),
    "mariadb": (_mariadb := MariaDB()),
    "mysql": _mariadb,
}
"""By SQLAlchemy's name for it."""


def dialect_of(bind: Connection | Engine) -> Dialect:
    """Return what is special about a connection's database."""
    return DIALECTS[bind.dialect.name]
