"""A worker killed at any of its steps loses no answer, and asks nobody twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from tests.temporal import TemporalServer

STEPS = 3
"""Create, read, collect."""
DIED = [-signal.SIGKILL, 0, 0]


def test_killing_the_worker_at_any_step(temporal: TemporalServer, tmp_path):
    command = [sys.executable, "-m", "tests.programs.mortal_worker", temporal.address]
    programs = {}
    for when in ("before", "after", "waiting"):
        (folder := tmp_path / when).mkdir()
        programs[when] = subprocess.Popen(
            [*command, str(folder), when], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    for when, program in programs.items():
        output, log = program.communicate(timeout=150)
        lines = [json.loads(line) for line in output.splitlines()]
        statuses = [line["statuses"] for line in lines]
        assert statuses == ([DIED] if when == "waiting" else [DIED] * STEPS + [[0, 0, 0]]), log
        for line in lines:
            assert (line["tasks"], line["collected"], line["opened"]) == (1, True, 1), (line, log)
            assert [answer.endswith(": True") for answer in line["result"]] == [True], (line, log)
