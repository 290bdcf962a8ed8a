"""What a forked process must not take over: connections, locks, and event loops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATIENCE = 60


SQLITE = """
import os
from awaithumans import BlockingEngine, ConfigurationError, Engine, Query
from awaithumans.stores.sqlalchemy import SQLAlchemyStore

used, unused = (BlockingEngine(Engine(SQLAlchemyStore(f"sqlite:///{name}.db"))) for name in ("used", "unused"))
used.find(Query())
if os.fork() == 0:
    for engine in (used, unused, BlockingEngine(Engine(SQLAlchemyStore("sqlite:///new.db")))):
        try:
            engine.find(Query())
        except ConfigurationError as error:
            assert "after the fork" in error.hint
        else:
            os._exit(1)
    os._exit(0)
_, status = os.wait()
used.find(Query())
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


CLOSED = """
import os
import sys
from awaithumans import BlockingEngine, ConfigurationError, Engine, Query
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.engines import a_question
from tests.programs.mortal_agent import ANA

engine = BlockingEngine(Engine(SQLAlchemyStore(sys.argv[1] + ":///tasks.db")))
engine.create(a_question(idempotency_key="before"))
engine.aclose()
children = []
for number in range(3):
    if (child := os.fork()) == 0:
        for turn in range(10):
            task = engine.create(a_question(idempotency_key=f"{number}-{turn}"))
            assert engine.submit(task.id, {"approved": True}, by=ANA).closed
        engine.aclose()
        os._exit(0)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
assert not any(statuses), statuses
assert len(engine.find(Query())) == 31
if os.fork() == 0:
    try:
        engine.find(Query())
    except ConfigurationError:
        os._exit(0)
    os._exit(1)
_, status = os.wait()
engine.aclose()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_sqlite_that_was_closed_before_a_fork_works_in_it(driver: str, tmp_path: Path) -> None:
    """As servers do that load the application, set it up, and fork; opened again, it is refused again."""
    run(CLOSED, driver, cwd=tmp_path)


def test_sqlite_is_not_carried_over_a_fork(tmp_path: Path) -> None:
    """Its locks are copied and protect nothing, and one that a thread of the parent held is held for ever."""
    run(SQLITE, cwd=tmp_path)


def run(code: str, *words: str, cwd: Path) -> None:
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        program, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("database", ["postgres_url", "mariadb_url"])
def test_parent_and_child_of_a_fork_work_on(database: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(database)
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.programs.forking", url]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
