"""Deadlines that pass: how soon the tasks are closed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

from sqlalchemy import Engine, create_engine, func, select

from awaithumans.stores.schema import tasks
from awaithumans.types import TaskStatus
from tests.benchmarks.bench import BOTH, Bench
from tests.benchmarks.results import Row, at_most, measured, quantile
from tests.benchmarks.seeding import opened, seed
from tests.databases import plain

PATIENCE = 60.0
LOOK_EVERY = 0.005
PROMISED = 500
LINE = "closed after the deadline, p99"


def deadlines(bench: Bench) -> Iterator[Row]:
    counts, within = bench.size((50, 500, 2_000), short=(20,)), timedelta(seconds=bench.size(12, short=4))
    for kind, count in product(BOTH, counts):
        with bench.database(kind) as url:
            now = datetime.now(UTC)
            seed(url, opened(count, within=within, apart=timedelta(), now=now))
            with bench.app(url):
                late = quantile(_closed(url, count, now + within), 0.99)
        row = at_most(250, LINE, kind, late, "ms") if count <= PROMISED else measured(LINE, kind, late, "ms")
        yield row.among(count, "tasks that expire together")


def _closed(url: str, count: int, deadline: datetime) -> list[float]:
    """Return how many milliseconds after the deadline each was seen to be closed."""
    engine = create_engine(plain(url))
    seen: list[float] = []
    until = time.monotonic() + PATIENCE
    while len(seen) < count and time.monotonic() < until:
        closed = _timed_out(engine)
        late = 1_000 * (datetime.now(UTC) - deadline).total_seconds()
        seen += [late] * (closed - len(seen))
        time.sleep(LOOK_EVERY)
    engine.dispose()
    if len(seen) < count:
        raise RuntimeError(f"only {len(seen)} of {count} tasks were closed")
    return seen


def _timed_out(engine: Engine) -> int:
    statement = select(func.count()).where(tasks.c.status == TaskStatus.TIMED_OUT.value)
    with engine.connect() as connection:
        return connection.scalar(statement) or 0
