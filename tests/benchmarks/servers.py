"""Servers in processes of their own, as a user starts them.

On a port, and not on a socket that they inherit: asyncio does not turn Nagle's
algorithm off on such a one, and each reply would take 40 milliseconds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.daemons import free_port

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    port: int
    process: psutil.Popen

    @property
    def url(self) -> str:
        """Give its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the processor time it has used."""
        times = self.process.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Return how many bytes it holds."""
        return self.process.memory_info().rss


@contextmanager
def serving(app: str, environment: Mapping[str, str]) -> Generator[Server]:
    """Serve an ASGI app until the block ends, with uvicorn as `awaithumans[server]` installs it."""
    port = free_port()
    options = ["--http", "h11", "--loop", "asyncio", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options]
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        process = psutil.Popen(command, cwd=folder, env=given, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await_ready(process, port)
            yield Server(port, process)
        except BaseException:
            sys.stderr.write((Path(folder) / "log").read_text(errors="replace"))
            raise
        finally:
            _end(process)


def _await_ready(process: psutil.Popen, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the server did not start; its log says why")


def _end(process: psutil.Popen) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait()
