"""What is special about MariaDB."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from awaithumans.errors import ConfigurationError
from awaithumans.stores.encryption import Codec
from awaithumans.stores.migrations import VERSION_TABLE
from awaithumans.stores.rows import Rows
from awaithumans.stores.schema import effects, metadata, tasks
from awaithumans.stores.sqlalchemy import SQLAlchemyStore, _find, _lease, _next_due
from awaithumans.testing.stores import UNTIL
from awaithumans.testing.tasks import NOON, SECOND, make_effect, make_spec, make_task, opening
from awaithumans.types import Cursor, Query
from tests.databases import MARIADB, plain
from tests.mariadb import mariadb_missing, mariadb_server

ROWS = Rows(Codec())
MANY = 2_000
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("backend_and_driver", MARIADB)]


# ── Servers it refuses ────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", ["5.7.19", "10.5.9-MariaDB"])
async def test_mysql_and_old_servers_are_refused(version: str, driver: str):
    if reason := mariadb_missing():
        pytest.skip(reason)
    with mariadb_server(f"--version={version}") as server, server.database() as url:
        store = SQLAlchemyStore(url.replace("mariadb:", driver.replace("mariadb", "mysql") + ":"))
        for call in (store.setup, store.now, lambda: store.create(opening(make_task()))):
            with pytest.raises(ConfigurationError, match=f"{version[:5]}.*not supported") as raised:
                await call()
            assert "MariaDB 10.6" in raised.value.hint
        await store.aclose()


async def test_sqlalchemys_name_mysql_means_the_same(url: str):
    store = SQLAlchemyStore(url.replace("mariadb+", "mysql+"))
    await store.setup()
    engine = create_engine(plain(url).set(drivername="mysql+pymysql"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    task = await store.create(opening(make_task()))
    assert await store.get(task.id) == task
    await store.aclose()


async def test_a_servers_lax_settings_do_not_matter(driver: str):
    """One that cuts what does not fit, and makes tables without transactions."""
    if reason := mariadb_missing():
        pytest.skip(reason)
    lax = ["--sql-mode=", "--default-storage-engine=MyISAM", "--character-set-server=latin1"]
    with mariadb_server(*lax) as server, server.database() as url:
        store = SQLAlchemyStore(url.replace("mariadb:", f"{driver}:"))
        await store.setup()
        task = await store.create(opening(make_task(spec=make_spec(task="🙂"))))
        assert await store.get(task.id) == task
        with pytest.raises(DBAPIError, match="too long"):
            await store.create(opening(make_task(id="x" * 65)))
        engines = text("SELECT DISTINCT engine FROM information_schema.tables WHERE table_name IN :names")
        names = {"names": tuple(metadata.tables)}
        assert await store._database.read(lambda c: c.scalars(engines, names).all()) == ["InnoDB"]
        await store.aclose()


# ── Large tasks ───────────────────────────────────────────────────────────────


async def test_a_payload_of_five_megabytes_comes_back(store: SQLAlchemyStore):
    task = await store.create(opening(make_task(spec=make_spec(payload={"x": 'é"\\🙂' * 625_000}))))
    assert await store.get(task.id) == task


async def test_what_is_longer_than_the_server_takes_is_refused_plainly(driver: str):
    if reason := mariadb_missing():
        pytest.skip(reason)
    with mariadb_server("--max-allowed-packet=1M") as server, server.database() as url:
        store = SQLAlchemyStore(url.replace("mariadb:", f"{driver}:"))
        await store.setup()
        large = opening(make_task(spec=make_spec(payload={"x": '"' * 1_000_000})))
        with pytest.raises((ConfigurationError, OperationalError), match=r"max_allowed_packet|Lost connection"):
            await store.create(large)
        assert await store.create(opening(make_task(spec=make_spec(payload={"x": "y" * 600_000}))))
        await store.aclose()


# ── Trouble ───────────────────────────────────────────────────────────────────


async def test_other_errors_of_an_insert_are_not_taken_for_a_duplicate(store: SQLAlchemyStore):
    """INSERT IGNORE would take them so."""
    with pytest.raises(DBAPIError, match="too long"):
        await store.create(opening(make_task(id="x" * 65)))
    assert await store.find(Query()) == []


async def test_a_write_sees_what_others_committed_before_each_statement(store: SQLAlchemyStore, url: str):
    """Not only what was there when its transaction began."""
    task = await store.create(opening(make_task()))
    other = create_engine(plain(store._database._engine.url))

    def reading_twice(connection: Connection) -> tuple[int | None, int | None]:
        version = text("SELECT version FROM awaithumans_tasks")
        before = connection.scalar(version)
        with other.begin() as beside:
            beside.execute(update(tasks).values(version=7))
        return before, connection.scalar(version)

    assert await store._database.write(reading_twice) == (task.version, 7)
    other.dispose()


# ── Many tasks ────────────────────────────────────────────────────────────────


async def test_what_is_settled_does_not_slow_down_what_is_to_do(store: SQLAlchemyStore):
    """There are no partial indexes here."""
    task = make_task()
    rows = ROWS.opened(opening(task, *(make_effect(task, generation=n) for n in range(MANY)))).effects
    rows = [{**row, "lane": row["id"], "settled_at": 1 if n < MANY - 5 else None} for n, row in enumerate(rows)]
    await store._database.write(lambda connection: connection.execute(insert(effects), rows).close())
    assert await rows_read(store, _next_due) < 50
    assert await rows_read(store, partial(_lease, rows=ROWS, now=NOON, until=UNTIL, limit=3, token="t")) < 150


_MIDDLE = Cursor(at=NOON + MANY // 2 * SECOND, id="x")


@pytest.mark.parametrize("query", [Query(limit=5, after=_MIDDLE), Query(limit=5, changed_after=_MIDDLE)])
async def test_a_page_is_found_without_reading_those_before_it(store: SQLAlchemyStore, query: Query):
    made = [ROWS.opened(opening(make_task(created_at=NOON + n * SECOND))).task for n in range(MANY)]
    await store._database.write(lambda connection: connection.execute(insert(tasks), made).close())
    await store._database.read(lambda connection: connection.execute(text("ANALYZE TABLE awaithumans_tasks")).all())
    assert await rows_read(store, partial(_find, rows=ROWS, query=query)) < 50


# ── Means ─────────────────────────────────────────────────────────────────────


async def rows_read(store: SQLAlchemyStore, operation: Callable[[Connection], object]) -> int:
    """Return how many rows and places in indexes the server looked at."""
    status = text("SELECT SUM(variable_value) FROM information_schema.session_status WHERE variable_name IN :names")
    names = tuple(f"Handler_read_{way}" for way in ("first", "key", "last", "next", "prev", "rnd", "rnd_next"))

    def counting(connection: Connection) -> int:
        before = connection.scalar(status, {"names": names})
        operation(connection)
        return int(connection.scalar(status, {"names": names}) - before)

    return await store._database.write(counting)
