"""The tables' history, and `migrate`, which brings a database up to date."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, select

from awaithumans.errors import StoreSchemaError
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.schema import EPOCH, REVISION, schema

VERSION_TABLE = "awaithumans_alembic"

_alembic = threading.Lock()
"""Alembic keeps the migration that runs in module globals."""


def up_to_date(connection: Connection) -> bool:
    """Tell whether the tables are as new as this release, or newer.

    Raises `StoreSchemaError` if they are of a newer epoch.
    """
    if not inspect(connection).has_table(schema.name):
        return False
    row = connection.execute(select(schema.c.epoch, schema.c.revision)).one_or_none()
    if row is None:
        return False
    epoch, revision = row
    if epoch > EPOCH:
        raise _too_new(epoch, revision)
    return (epoch, revision) >= (EPOCH, REVISION)


def migrate(connection: Connection) -> None:
    """Bring the tables up to date, inside the connection's transaction.

    One process at a time; whoever waited finds nothing left to do. On
    MariaDB, where making a table commits, what is left of a migration that
    was cut short is completed by the next one.
    """
    with dialect_of(connection).exclusive(connection):
        if up_to_date(connection):
            return
        upgrade(connection)
        connection.execute(schema.delete())
        connection.execute(schema.insert().values(id=1, epoch=EPOCH, revision=REVISION))


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database has not had yet."""
    with _alembic:
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    return config


def _too_new(epoch: int, revision: int) -> StoreSchemaError:
    return StoreSchemaError(
        f"the database's tables are of epoch {epoch} (revision {revision}), and this release knows epoch {EPOCH}",
        hint="A newer release has migrated this database. Run: pip install --upgrade awaithumans",
    )
