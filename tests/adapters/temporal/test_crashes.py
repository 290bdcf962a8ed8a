"""A worker killed at any of its steps loses no answer, and asks nobody twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.temporal import TemporalServer

STEPS = 3
"""Create, read, collect."""
DIED = [-signal.SIGKILL, 0, 0]
STATUSES = {
    "before": [DIED] * STEPS + [[0, 0, 0]],
    "after": [DIED] * STEPS + [[0, 0, 0]],
    "waiting": [DIED],
}


def test_killing_the_worker_at_any_step(temporal: TemporalServer, tmp_path):
    def killed(when: str) -> subprocess.CompletedProcess[str]:
        (folder := tmp_path / when).mkdir()
        program = [sys.executable, "-m", "tests.programs.mortal_worker", temporal.address, str(folder), when]
        return subprocess.run(program, capture_output=True, text=True, timeout=150, check=False)

    with ThreadPoolExecutor(len(STATUSES)) as threads:
        for when, done in zip(STATUSES, threads.map(killed, STATUSES), strict=True):
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            assert [line["statuses"] for line in lines] == STATUSES[when], done.stderr
            for line in lines:
                assert (line["tasks"], line["collected"], line["opened"] <= 1) == (1, True, True), (line, done.stderr)
                assert [answer.endswith(": True") for answer in line["result"]] == [True], (line, done.stderr)
