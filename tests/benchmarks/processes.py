"""Four worker processes on one PostgreSQL database: more throughput, and nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import psutil
import psycopg

from tests.benchmarks import asking
from tests.benchmarks.bench import POSTGRESQL, Bench
from tests.benchmarks.load import Load, drive, ids_in
from tests.benchmarks.results import Limit, Row, at_most, measured, ratio_at_least
from tests.benchmarks.sink import receiving
from tests.benchmarks.throughput import CONNECTIONS, in_turns

WORKERS = 4
PATIENCE = 120.0
SETTLED = 1.0
"""Seconds in which a second copy would arrive."""


def processes(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        url, other = (stack.enter_context(bench.database(POSTGRESQL)) for _ in range(2))
        several = [stack.enter_context(bench.app(url)).url for _ in range(WORKERS)]
        one = stack.enter_context(bench.app(other)).url
        rates = asyncio.run(_rates(bench, several, one))
        busy = asyncio.run(_busy(bench, one))
        doubled = asyncio.run(_doubled(several, bench.size(1_000, short=20)))
        deadlocks = _deadlocks(url)
    who = f"{WORKERS} processes"
    alone = Limit("that of one process", rates[1])
    yield ratio_at_least(1.6, f"{who}: create, 50 connections", POSTGRESQL, rates[0], "/s", limit=alone)
    yield measured("one process: CPU of the whole machine", POSTGRESQL, busy, "%")
    yield at_most(0, f"{who}: deadlocks", POSTGRESQL, deadlocks, "")
    yield at_most(0, f"{who}: effects performed twice", POSTGRESQL, doubled, "")


async def _rates(bench: Bench, several: Sequence[str], one: str) -> list[float]:
    seconds = bench.size(2.0, short=0.2)

    async def create(urls: str | Sequence[str]) -> Load:
        return await drive(urls, asking.creates(), connections=CONNECTIONS, seconds=seconds)

    await create(several)
    await create(one)
    return await in_turns(bench.size(5, short=1), lambda: create(several), lambda: create(one))


async def _busy(bench: Bench, one: str) -> float:
    """Return how much of all processors is in use under the load of one process: what is left bounds the others."""
    psutil.cpu_percent()
    await drive(one, asking.creates(), connections=CONNECTIONS, seconds=bench.size(4.0, short=0.2))
    return psutil.cpu_percent()


async def _doubled(urls: Sequence[str], count: int) -> int:
    """Ask, answer, and have the agents told by webhook; return how many were told again."""
    async with receiving() as sink:
        questions = (asking.create(callback_url=sink.url) for _ in range(count))
        load = await drive(urls, questions, connections=CONNECTIONS, seconds=PATIENCE)
        answers = map(asking.complete, ids_in(load.replies))
        await drive(urls, answers, connections=CONNECTIONS, seconds=PATIENCE)
        await sink.until(count, patience=PATIENCE)
        await asyncio.sleep(SETTLED)
        return sum(times - 1 for times in Counter(sink.ids).values())


def _deadlocks(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return row[0] if row else 0
