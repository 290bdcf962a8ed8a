"""A worker killed at any of its steps loses no answer, and asks nobody twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.temporal import TemporalServer

DIED = [-signal.SIGKILL, 0, 0]
SURVIVED = [0, 0, 0]
STEPS = {"before": (2, 3), "after": (2, 3), "waiting": (1,)}
"""Create, and read once or, where the answer came later, twice."""


def test_killing_the_worker_at_any_step(temporal: TemporalServer, tmp_path):
    def killed(when: str) -> subprocess.CompletedProcess[str]:
        (folder := tmp_path / when).mkdir()
        program = [sys.executable, "-m", "tests.programs.mortal_worker", temporal.address, str(folder), when]
        return subprocess.run(program, capture_output=True, text=True, timeout=150, check=False)

    with ThreadPoolExecutor(len(STEPS)) as threads:
        for when, done in zip(STEPS, threads.map(killed, STEPS), strict=True):
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            *deaths, last = [line["statuses"] for line in lines]
            if when == "waiting":
                deaths, last = [last], SURVIVED
            assert (all(one == DIED for one in deaths), last) == (True, SURVIVED), done.stderr
            assert len(deaths) in STEPS[when], done.stderr
            for line in lines:
                assert (line["tasks"], line["opened"] <= 1) == (1, True), (line, done.stderr)
                assert [answer.endswith(": True") for answer in line["result"]] == [True], (line, done.stderr)
