"""A process killed while an answer is checked loses neither the answer nor an attempt."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path


def live(folder: Path, fate: str, minutes: int) -> str:
    database = f"sqlite:///{folder / 'tasks.db'}"
    program = [sys.executable, "-m", "tests.programs.mortal_checker", database, fate, str(minutes)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == (-signal.SIGKILL if fate == "dies" else 0), done.stderr
    return done.stdout.strip()


def test_killed_again_and_again_it_is_checked_once_more_and_costs_one_attempt(tmp_path: Path) -> None:
    for minutes in (0, 2, 4):
        live(tmp_path, "dies", minutes)
    assert live(tmp_path, "lives", 6) == "completed 1 {'approve': True}"
    assert live(tmp_path, "lives", 8) == "completed 1 {'approve': True}"


def test_an_answer_that_was_given_in_time_is_checked_even_past_the_deadline(tmp_path: Path) -> None:
    live(tmp_path, "dies", 0)
    assert live(tmp_path, "lives", 61) == "completed 1 {'approve': True}"
