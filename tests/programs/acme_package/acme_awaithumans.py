"""What a company brings of its own: a channel, a store and a verifier."""

from __future__ import annotations

from pathlib import Path

from awaithumans import Notice, Store, Verdict, VerificationContext
from docs.examples.lmdb_store import LMDBStore

NUMBER = 42


class AcmeChannel:
    """Writes what it is told to a file."""

    name = "acme"

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, target: str) -> None:
        """Take any target."""

    async def send(self, notice: Notice) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{notice.event} {notice.target}\n")


class AcmeVerifier:
    """Passes everything."""

    async def verify(self, context: VerificationContext) -> Verdict:
        return Verdict(passed=True)


def open_store(url: str) -> Store:
    """Open `acme://<path>`."""
    return LMDBStore(url.removeprefix("acme://"))
