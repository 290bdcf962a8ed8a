"""A server in a process of its own, started as a user starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
STOP_SECONDS = 20


@dataclass(frozen=True)
class Running:
    """A server that runs: its base URL, its process, and what it printed."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> float:
        """Send SIGTERM; return how many seconds it took to end."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(STOP_SECONDS)
        return time.monotonic() - began


@contextmanager
def running(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[Running]:
    """Run `python -m <command>` in `cwd`; `{fd}` in it is a listening socket, `{url}` in `env` its address.

    Nobody has to wait for the start: connections made before it queue at the
    socket. The log is shown when the block fails.
    """
    log = cwd / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        fd, url = listener.fileno(), f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(fd=fd) for word in command)],
            cwd=cwd,
            env=_environment({name: value.format(url=url) for name, value in env.items()}),
            pass_fds=[fd],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(url, process, log)
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace"))
        raise
    finally:
        _end(process)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **given}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
