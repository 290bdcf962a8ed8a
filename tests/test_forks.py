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


def test_sqlite_is_not_carried_over_a_fork(tmp_path: Path) -> None:
    """Its locks are copied and protect nothing, and one that a thread of the parent held is held for ever."""
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SQLITE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("database", ["postgres_url", "mariadb_url"])
def test_parent_and_child_of_a_fork_work_on(database: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(database)
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.programs.forking", url]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
