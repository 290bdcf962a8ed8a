"""What a forked process must not take over: connections, locks, and event loops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATIENCE = 60


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_parent_and_child_of_a_fork_work_on(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else f"sqlite:///{tmp_path}/t.db"
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.programs.forking", url]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
