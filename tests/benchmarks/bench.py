"""Where a scenario runs: new databases, servers in processes of their own, and its size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from tests.benchmarks.asking import TOKEN
from tests.benchmarks.results import Row
from tests.benchmarks.servers import Server, serving
from tests.postgres import PostgresServer, postgres_server

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
BOTH = (SQLITE, POSTGRESQL)
WEBHOOK_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
EXAMPLE = "docs.examples.fastapi_app:app"
OBSERVED = "tests.benchmarks.observed:app"
BARE = "tests.benchmarks.bare:app"

SizeT = TypeVar("SizeT", int, float, tuple[int, ...])


@dataclass
class Bench:
    """What a scenario is given."""

    short: bool
    """Whether it only has to be seen that everything runs."""
    _stack: ExitStack = field(default_factory=ExitStack)
    _postgres: PostgresServer | None = None

    def size(self, full: SizeT, *, short: SizeT) -> SizeT:
        """Choose how much of something there is."""
        return short if self.short else full

    @contextmanager
    def database(self, kind: str) -> Generator[str]:
        """Give the address of a new, empty database of a kind."""
        if kind == SQLITE:
            with tempfile.TemporaryDirectory() as folder:
                yield f"sqlite:///{folder}/tasks.db"
            return
        with self._server().database() as url:
            yield url

    @contextmanager
    def app(self, database: str, *, app: str = EXAMPLE) -> Generator[Server]:
        """Serve the example application on a database."""
        environment = {
            "AWAITHUMANS_DATABASE_URL": database,
            "AWAITHUMANS_SECRET": "of the benchmarks, 32 bytes or more of it",
            "AWAITHUMANS_ADMIN_API_TOKEN": TOKEN,
            "AWAITHUMANS_ADMIN_MAY_ANSWER": "1",
            "AWAITHUMANS_PAYLOAD_KEY": WEBHOOK_KEY,
            "AWAITHUMANS_ALLOW_PRIVATE_CALLBACKS": "1",
        }
        with serving(app, environment) as server:
            yield server

    @contextmanager
    def bare(self) -> Generator[Server]:
        """Serve what is the limit of any application."""
        with serving(BARE, {}) as server:
            yield server

    def close(self) -> None:
        """End the database server."""
        self._stack.close()

    def _server(self) -> PostgresServer:
        if self._postgres is None:
            self._postgres = self._stack.enter_context(postgres_server())
        return self._postgres


Scenario: TypeAlias = Callable[[Bench], Iterable[Row]]
