"""A process killed around the sending of a mail loses none, and doubles none where that can be told."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.channels.conftest import Receiver
from tests.channels.email.mail import Server, parsed


def live(folder: Path, place: str, when: str, minutes: int) -> int:
    database = f"sqlite:///{folder / 'tasks.db'}"
    program = [sys.executable, "-m", "tests.programs.mortal_mailer", database, place, when, str(minutes)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


def test_killed_before_the_mail_is_handed_over_it_comes_once(tmp_path: Path, server: Server) -> None:
    place = f"smtp:{server.port}"
    assert live(tmp_path, place, "before", 0) == -signal.SIGKILL
    assert server.mails == []
    for minutes in (2, 4):
        assert live(tmp_path, place, "never", minutes) == 0
    assert len(server.mails) == 1


def test_killed_before_it_is_noted_the_mail_comes_again_with_the_same_id(tmp_path: Path, server: Server) -> None:
    place = f"smtp:{server.port}"
    assert live(tmp_path, place, "after", 0) == -signal.SIGKILL
    for minutes in (2, 4):
        assert live(tmp_path, place, "never", minutes) == 0
    first, second = map(parsed, server.mails)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Reply-To"] == second["Reply-To"]


@pytest.mark.parametrize("lives", [1, 3])
def test_an_api_that_knows_the_key_gets_the_very_same_mail(tmp_path: Path, receiver: Receiver, lives: int) -> None:
    for number in range(lives):
        assert live(tmp_path, receiver.url, "after", 2 * number) == -signal.SIGKILL
    assert live(tmp_path, receiver.url, "never", 2 * lives) == 0
    assert live(tmp_path, receiver.url, "never", 2 * lives + 2) == 0
    assert len(receiver.received) == lives + 1
    assert len({(one.headers["idempotency-key"], one.body) for one in receiver.received}) == 1
