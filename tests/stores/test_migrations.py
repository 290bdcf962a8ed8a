"""`setup()` brings any database up to date, once, whoever else tries."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect

from awaithumans.errors import StoreSchemaError
from awaithumans.stores import migrations
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.migrations import VERSION_TABLE
from awaithumans.stores.schema import EPOCH, REVISION, metadata, schema
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.tasks import NOON, make_effect, make_task, opening
from awaithumans.types import Query, Task
from tests.databases import EACH_DATABASE

PROCESSES = 8
WITH_TRANSACTIONS = [("asyncio", "sqlite"), ("asyncio", "postgresql+psycopg")]  # for changes of tables


@pytest.fixture
def engine(plain_url: URL) -> Iterator[Engine]:
    """Give a plain look at the database."""
    engine = create_engine(plain_url)
    yield engine
    engine.dispose()


@pytest.fixture
def anew(url: str) -> SQLAlchemyStore:
    """Give a store that nobody has set up."""
    return SQLAlchemyStore(url)


@pytest.mark.anyio
async def test_setup_makes_exactly_the_tables_of_the_metadata(anew: SQLAlchemyStore, engine: Engine):
    await anew.setup()
    await anew.aclose()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert connection.execute(schema.select()).one() == (1, EPOCH, REVISION)
        names = set(inspect(connection).get_table_names())
    assert names == {*metadata.tables, VERSION_TABLE}


@pytest.mark.anyio
async def test_setup_keeps_what_is_there(anew: SQLAlchemyStore):
    await anew.setup()
    task = make_task()
    task = await anew.create(opening(task, make_effect(task)))
    await anew.setup()
    assert await anew.get(task.id) == task
    assert len(await anew.deliveries(task.id)) == 1
    await anew.aclose()


@pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)
def test_many_processes_may_start_at_once_on_an_empty_database(url: str):
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        start = manager.Barrier(PROCESSES)
        with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
            starts = [pool.submit(_start, url, start) for _ in range(PROCESSES)]
            assert [future.result(timeout=120) for future in starts] == ["ready"] * PROCESSES
    assert len(anyio.run(_all_tasks, url)) == PROCESSES


@pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)
def test_who_waited_for_a_migration_finds_it_done(engine: Engine):
    """Even at once: the lock is given back no earlier than the work can be seen."""
    done: list[bool] = []

    def wait() -> None:
        with engine.connect() as connection:
            dialect = dialect_of(connection)
            with dialect.transaction(connection), dialect.exclusive(connection):
                done.append(migrations.up_to_date(connection))

    with engine.connect() as connection, dialect_of(connection).transaction(connection):
        migrations.migrate(connection)
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(0.5)  # where the lock is the transaction's, it waits for the commit
    waiting.join(30)
    assert done == [True]


@pytest.mark.anyio
async def test_a_newer_epoch_is_refused(anew: SQLAlchemyStore, engine: Engine):
    await anew.setup()
    with engine.begin() as connection:
        connection.execute(schema.update().values(epoch=EPOCH + 1))
    with pytest.raises(StoreSchemaError, match="pip install --upgrade awaithumans"):
        await anew.setup()
    await anew.aclose()


@pytest.mark.anyio
async def test_a_newer_revision_is_worked_with(anew: SQLAlchemyStore, engine: Engine):
    """An old process beside a new one: changes within an epoch only add."""
    await anew.setup()
    with engine.begin() as connection:
        connection.execute(schema.update().values(revision=REVISION + 1))
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = 'of the future'")
        connection.exec_driver_sql("ALTER TABLE awaithumans_tasks ADD COLUMN newer TEXT")
    await anew.setup()
    task = await anew.create(opening(make_task()))
    assert await anew.get(task.id) == task
    with engine.connect() as connection:
        assert connection.execute(schema.select()).one() == (1, EPOCH, REVISION + 1)
    await anew.aclose()


@pytest.mark.anyio
async def test_without_setup_the_error_says_what_to_do(anew: SQLAlchemyStore):
    for call in (lambda: anew.get("x"), lambda: anew.create(opening(make_task())), lambda: anew.lease(NOON, NOON, 1)):
        with pytest.raises(StoreSchemaError, match=r"await store\.setup\(\)"):
            await call()
    await anew.aclose()


@pytest.mark.anyio
async def test_tables_that_lack_a_column_say_what_to_do(anew: SQLAlchemyStore, engine: Engine):
    await anew.setup()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE awaithumans_tasks DROP COLUMN assignee_name")
    for call in (lambda: anew.create(opening(make_task())), lambda: anew.find(Query(assigned_to="ana"))):
        with pytest.raises(StoreSchemaError, match=r"await store\.setup\(\)"):
            await call()
    await anew.aclose()


@pytest.mark.anyio
async def test_hosts_may_make_the_tables_themselves(anew: SQLAlchemyStore, engine: Engine):
    """With `metadata`; calling `setup()` all the same, then or later, is fine."""
    with engine.begin() as connection:
        metadata.create_all(connection)
    task = await anew.create(opening(make_task()))
    await anew.setup()
    assert await anew.get(task.id) == task
    await anew.aclose()


@pytest.mark.anyio
async def test_a_hosts_own_alembic_is_left_alone(anew: SQLAlchemyStore, engine: Engine):
    """Its version table, and its logging."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('of the host')")
    logger = logging.getLogger("of.the.host")
    before = (logging.root.level, list(logging.root.handlers), logger.disabled)
    await anew.setup()
    assert (logging.root.level, list(logging.root.handlers), logger.disabled) == before
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "of the host"
    await anew.aclose()


@pytest.mark.parametrize("backend_and_driver", WITH_TRANSACTIONS)
@pytest.mark.anyio
async def test_a_migration_that_fails_leaves_nothing(
    anew: SQLAlchemyStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    upgrade = migrations.upgrade

    def fail(connection: Connection) -> None:
        upgrade(connection)
        raise RuntimeError("in the middle")

    monkeypatch.setattr(migrations, "upgrade", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        await anew.setup()
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    monkeypatch.undo()
    await anew.setup()
    assert await anew.find(Query()) == []
    await anew.aclose()


@pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)
@pytest.mark.anyio
async def test_a_setup_cut_short_at_any_statement_is_completed_by_the_next(anew: SQLAlchemyStore, engine: Engine):
    """Where changes of tables are not undone, they are not done twice either."""
    statements = 0
    while await _cut_short(anew, after=statements):
        statements += 1
        await anew.setup()
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            assert compare_metadata(context, metadata) == []
            assert connection.execute(schema.select()).one() == (1, EPOCH, REVISION)
        with engine.begin() as connection:
            metadata.drop_all(connection)
            connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
    assert statements > len(metadata.tables)
    await anew.aclose()


class _CutError(Exception):
    pass


async def _cut_short(store: SQLAlchemyStore, *, after: int) -> bool:
    """Lose the connection of `setup()` after so many statements; tell whether it had as many."""
    left = after

    def cut(connection: Connection, *_: object) -> None:
        nonlocal left
        if left == 0:
            connection.invalidate()
            raise _CutError
        left -= 1

    event.listen(store._database._engine, "before_cursor_execute", cut)
    try:
        await store.setup()
    except _CutError:
        return True
    finally:
        event.remove(store._database._engine, "before_cursor_execute", cut)
    return False


def _start(url: str, start: threading.Barrier) -> str:
    start.wait(timeout=60)
    return anyio.run(_set_up_and_create, url)


async def _set_up_and_create(url: str) -> str:
    store = SQLAlchemyStore(url)
    await store.setup()
    await store.create(opening(make_task()))
    await store.aclose()
    return "ready"


async def _all_tasks(url: str) -> list[Task]:
    store = SQLAlchemyStore(url)
    found = await store.find(Query())
    await store.aclose()
    return found
