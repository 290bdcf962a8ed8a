"""A MariaDB server of one's own: for the tests, and for whoever measures.

`with mariadb_server() as server, server.database() as url: …`
"""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.daemons import folder_of_its_own, free_port, prepare, running

PROGRAMS = ("mariadb-install-db", "mariadbd")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])

SMALL = ["--no-defaults", "--skip-name-resolve", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=96M"]
SETTINGS = ["--skip-grant-tables", "--skip-networking=0", "--bind-address=127.0.0.1", "--max-connections=200"]


@dataclass(frozen=True)
class MariaDBServer:
    """A running server on the loopback interface that trusts everybody."""

    port: int

    def url(self, database: str = "") -> str:
        """Return the address of one database."""
        return f"mariadb://root@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the address of a new, empty database; drop it afterwards."""
        name = f"t{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name}")

    def execute(self, statement: str) -> None:
        """Do one thing on a connection of its own."""
        engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{self.port}/", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def mariadb_missing() -> str:
    """Say why no server can be started here; empty if one can."""
    if all(shutil.which(name, path=PLACES) for name in PROGRAMS):
        return ""
    return "MariaDB is not installed: apt-get install mariadb-server-core mariadb-client-core"


@contextmanager
def mariadb_server(*options: str) -> Iterator[MariaDBServer]:
    """Run a new server in a temporary folder until the block ends."""
    installer, program = (shutil.which(name, path=PLACES) or name for name in PROGRAMS)
    with folder_of_its_own("mariadb-") as folder:
        places = [f"--datadir={folder / 'data'}", f"--tmpdir={folder}"]
        prepare([installer, *SMALL, *places, "--auth-root-authentication-method=normal", "--skip-test-db"], folder)
        server = MariaDBServer(free_port())
        private = [f"--port={server.port}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"]
        with running([program, *SMALL, *SETTINGS, *places, *private, *options], folder, stop=signal.SIGTERM) as daemon:
            daemon.await_ready(lambda: server.execute("SELECT 1"))
            yield server
