"""Tasks that are there before anything is measured, written by the store's own statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import anyio
from sqlalchemy import create_engine

from awaithumans import lifecycle
from awaithumans.ids import uuid7
from awaithumans.stores.encryption import Codec
from awaithumans.stores.rows import Rows
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.stores.writing import apply, create
from awaithumans.testing.tasks import make_spec
from awaithumans.types import AGENT, Change
from tests.benchmarks.asking import QUESTION
from tests.databases import plain

MONTH = timedelta(days=30)


def opened(
    count: int,
    *,
    within: timedelta = MONTH,
    apart: timedelta = timedelta(seconds=1),
    now: datetime | None = None,
    **fields: object,
) -> Iterator[Change]:
    """Make questions that still wait, the last one asked just now."""
    now = now or datetime.now(UTC)
    for number in range(count):
        spec = make_spec(**{**QUESTION, "timeout_seconds": int(within.total_seconds()), **fields})
        asked_at = now - (count - 1 - number) * apart
        yield lifecycle.open_task(
            spec,
            task_id=uuid7(asked_at),
            fingerprint="f" * 64,
            addressees=(),
            by=AGENT,
            now=asked_at,
        )


def seed(url: str, changes: Iterable[Change]) -> None:
    """Write tasks into a database that may be empty, in one transaction."""
    anyio.run(_set_up, url)
    rows = Rows(Codec())
    engine = create_engine(plain(url))
    with engine.begin() as connection:
        for change in changes:
            if change.task.version == 1:
                create(connection, [rows.opened(change)])
            else:
                apply(connection, [rows.changed(change)])
    engine.dispose()


async def _set_up(url: str) -> None:
    store = SQLAlchemyStore(url)
    await store.setup()
    await store.aclose()
