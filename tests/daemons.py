"""Servers run by tests: each in a temporary folder, by a user without rights, to the end of a block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pwd

START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True)
class Daemon:
    """A running server, which writes a log into its folder."""

    process: subprocess.Popen[bytes]
    folder: Path

    def await_ready(self, connect: Callable[[], object]) -> None:
        """Return once `connect` raises no more."""
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                connect()
            except Exception:  # noqa: BLE001 - drivers differ in what they raise
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"{self.process.args!r} did not start:\n{_log(self.folder)}")


@contextmanager
def folder_of_its_own(prefix: str) -> Iterator[Path]:
    """Make a temporary folder that the server's user may write to."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        if owner := _owner():
            os.chown(name, owner.pw_uid, owner.pw_gid)
        yield Path(name)


def prepare(command: Sequence[str], folder: Path) -> None:
    """Run a program to its end."""
    with _spawn(command, folder) as process:
        if process.wait(START_SECONDS):
            raise RuntimeError(f"{command[0]} failed:\n{_log(folder)}")


@contextmanager
def running(command: Sequence[str], folder: Path, *, stop: signal.Signals) -> Iterator[Daemon]:
    """Run a server; at the end send it `stop`, then insist."""
    with _spawn(command, folder) as process:
        try:
            yield Daemon(process, folder)
        finally:
            process.send_signal(stop)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _owner() -> pwd.struct_passwd | None:
    """Return who shall run servers: many refuse to be run by root."""
    import pwd

    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _spawn(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    owner = _owner()
    user, group, groups = (owner.pw_uid, owner.pw_gid, ()) if owner else (None, None, None)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, user=user, group=group, extra_groups=groups
        )


def _log(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-4000:]
