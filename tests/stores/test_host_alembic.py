"""A host that migrates our tables with its own Alembic."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, create_engine, text

from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.tasks import make_effect, make_task, opening
from tests.databases import EACH_DATABASE

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("backend_and_driver", EACH_DATABASE)]

ENV = """
from alembic import context
from awaithumans.stores.sqlalchemy import metadata
from sqlalchemy import Column, Integer, MetaData, Table

mine = MetaData()
Table("orders", mine, Column("id", Integer, primary_key=True))
context.configure(connection=context.config.attributes["connection"], target_metadata=[mine, metadata])
with context.begin_transaction():
    context.run_migrations()
"""


class HostsAlembic:
    """Alembic's commands, as a host runs them."""

    def __init__(self, folder: Path, url: URL) -> None:
        self._engine = create_engine(url)
        self._config = Config(str(folder.with_suffix(".ini")))
        self._config.set_main_option("script_location", str(folder))
        self._config.set_main_option("path_separator", "os")
        command.init(self._config, str(folder))
        (folder / "env.py").write_text(ENV)
        self._versions = folder / "versions"

    def revise(self) -> str:
        """Generate a revision, run it, and return its text."""
        with self._engine.begin() as connection:
            self._config.attributes["connection"] = connection
            command.revision(self._config, "next", autogenerate=True)
        with self._engine.begin() as connection:
            self._config.attributes["connection"] = connection
            command.upgrade(self._config, "head")
        newest = max(self._versions.glob("*.py"), key=lambda path: path.stat().st_mtime_ns)
        return newest.read_text()

    def check(self) -> None:
        """Raise if there is anything to generate."""
        with self._engine.begin() as connection:
            self._config.attributes["connection"] = connection
            command.check(self._config)

    def execute(self, statement: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement))

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def alembic(tmp_path: Path, plain_url: URL):
    hosts = HostsAlembic(tmp_path / "migrations", plain_url)
    yield hosts
    hosts.close()


async def test_generated_revisions_make_all_there_is(alembic: HostsAlembic, url: str):
    assert "awaithumans_tasks" in alembic.revise()
    alembic.check()
    store = SQLAlchemyStore(url)
    task = make_task()
    task = await store.create(opening(task, make_effect(task)))
    assert await store.get(task.id) == task
    await store.setup()
    assert await store.get(task.id) == task
    await store.aclose()


async def test_what_a_release_adds_is_generated_by_the_next_revision(alembic: HostsAlembic):
    """As if the tables were of a release without a column and an index."""
    alembic.revise()
    alembic.execute("ALTER TABLE awaithumans_effects DROP COLUMN failure")
    mariadb = alembic._engine.dialect.name == "mariadb"
    alembic.execute("DROP INDEX awaithumans_tasks_changes" + " ON awaithumans_tasks" * mariadb)
    revision = alembic.revise()
    assert "failure" in revision
    assert "awaithumans_tasks_changes" in revision
    alembic.check()
