"""The example of docs/how-to/wait-in-temporal.md, as a reader runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.temporal import temporal_missing, temporal_server

PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "temporal_refund.py"
PAID = "The workflow ended: 99.99 paid back to Jo Park"


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in an empty folder, and have it answer by itself."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROGRAM.parents[2]), "ANSWER": "yes", **environment}
    return subprocess.run(
        [sys.executable, str(PROGRAM)], cwd=folder, env=given, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture
def temporal(tmp_path: Path) -> None:
    if reason := temporal_missing():
        pytest.skip(reason)


def test_it_starts_a_server_of_its_own(temporal: None, tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert PAID in done.stdout


def test_it_uses_a_server_that_is_there(temporal: None, tmp_path: Path) -> None:
    with temporal_server(tmp_path) as server:
        done = run(tmp_path, TEMPORAL_ADDRESS=server.address)
    assert done.returncode == 0, done.stderr
    assert PAID in done.stdout
