"""A LangGraph API server of one's own, in a virtual environment of its own.

Its packages do not go together with those of the tests; `make langgraph-server`
installs them. The server is LangGraph's own for development: it keeps all in
memory, and writes that to its folder when it is stopped, and now and then.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemons import free_port

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / ".venv-langgraph" / ("Scripts" if sys.platform == "win32" else "bin") / "langgraph"
START_SECONDS = 60
STOP_SECONDS = 20
SILENT = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}


@dataclass
class LangGraphServer:
    """A server on the loopback interface, which can be stopped and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--config", "langgraph.json"]
        manners = ["--no-browser", "--no-reload", "--n-jobs-per-worker", "10"]
        environment = {**os.environ, **SILENT, "PYTHONPATH": str(ROOT), "MARKS": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "dev", *place, *manners], cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        self._await_ready()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, as kindly as the signal says."""
        if self.process is None:
            return
        self.process.send_signal(by)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _await_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/ok", timeout=2).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the LangGraph server did not start:\n{(self.folder / 'log').read_text()[-4000:]}")


def langgraph_server_missing() -> str:
    """Say why no server can be started here; empty if one can."""
    return "" if PROGRAM.exists() else "The LangGraph API server is not installed: make langgraph-server"


@contextmanager
def langgraph_server(project: Path) -> Iterator[LangGraphServer]:
    """Serve what a folder's langgraph.json names, from a copy of that folder, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="langgraph-") as name:
        folder = shutil.copytree(project, Path(name) / "project", ignore=shutil.ignore_patterns("__pycache__", ".*"))
        server = LangGraphServer(folder, free_port())
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def installed(project: Path) -> Iterator[LangGraphServer]:
    """Serve a folder likewise; where no server is installed, skip the test."""
    if reason := langgraph_server_missing():
        pytest.skip(reason)
    with langgraph_server(project) as server:
        yield server
