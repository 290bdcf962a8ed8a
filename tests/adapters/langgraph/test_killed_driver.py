"""A driver killed before any write loses no answer, and nobody is asked twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

FEWEST_WRITES = 12


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killing_the_driver_before_any_write(database, tmp_path, database_url):
    program = [sys.executable, "-m", "tests.programs.mortal_driver", database_url(database), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=500, check=False)
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    *killed, survived = lives
    assert len(killed) >= FEWEST_WRITES, (survived, done.stderr)
    assert {life["first"] for life in killed} == {-signal.SIGKILL}
    assert survived["first"] == 0, done.stderr
    for life in lives:
        assert (life["second"], life["asked"]) == (0, 2), (life, done.stderr)
        assert life["payments"] >= 1, "a node that was cut off runs again, as LangGraph says"
        assert life["keys"] == 1, life
