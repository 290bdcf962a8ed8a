"""A PgBouncer in front of a PostgreSQL server, in transaction mode.

`with pgbouncer(server) as pooled: … pooled.url(name) …`
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.daemons import folder_of_its_own, free_port, running
from tests.postgres import PostgresServer

PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


def pgbouncer_missing() -> str:
    """Say why none can be started here; empty if one can."""
    return "" if shutil.which("pgbouncer", path=PLACES) else "PgBouncer is not installed: apt-get install pgbouncer"


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[PostgresServer]:
    """Run a new one until the block ends; give it as if it were a server."""
    with folder_of_its_own("pgbouncer-") as folder:
        pooled = PostgresServer(free_port())
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(server=server.port, port=pooled.port))
        program = shutil.which("pgbouncer", path=PLACES) or "pgbouncer"
        with running([program, str(configuration)], folder, stop=signal.SIGINT) as daemon:
            daemon.await_ready(lambda: psycopg.connect(pooled.url(), connect_timeout=2).close())
            yield pooled
