"""A process killed around any store call loses nothing and asks once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

FEWEST_CALLS = 8


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"])
def test_killing_the_process_around_any_store_call(database, when, tmp_path, database_url):
    url = database_url(database)
    program = [sys.executable, "-m", "tests.programs.mortal_agent", url, when, str(tmp_path / "outbox")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=500, check=False)
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    *killed, survived = lives
    assert len(killed) >= FEWEST_CALLS, (survived, done.stderr)
    assert {life["first"] for life in killed} == {-signal.SIGKILL}
    assert survived["first"] == 0, (survived, done.stderr)
    for life in lives:
        assert (life["second"], life["tasks"], life["collected"]) == (0, 1, True), (life, done.stderr)
        assert life["opened"] <= 1, life
