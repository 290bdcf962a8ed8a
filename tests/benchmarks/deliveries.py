"""Webhooks that are due: how fast one process delivers them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from awaithumans import lifecycle
from awaithumans.types import AGENT, Cancel, Change
from tests.benchmarks.bench import BOTH, Bench
from tests.benchmarks.results import Limit, Row, at_least, ratio_at_least
from tests.benchmarks.seeding import opened, seed
from tests.benchmarks.sink import dead, receiving

NO_SLOWER = 0.9
PATIENCE = 120.0
DEAD = 100


def deliveries(bench: Bench) -> Iterator[Row]:
    count, lost = bench.size(3_000, short=20), bench.size(DEAD, short=5)
    for kind in BOTH:
        alone = asyncio.run(_delivered(bench, kind, count, 0))
        beside = asyncio.run(_delivered(bench, kind, count, lost))
        yield at_least(500, "webhooks delivered by one process", kind, alone, "/s")
        yield ratio_at_least(
            NO_SLOWER,
            f"the same behind {lost} for a receiver that is dead",
            kind,
            beside,
            "/s",
            limit=Limit("that without them", alone),
        )


async def _delivered(bench: Bench, kind: str, count: int, lost: int) -> float:
    """Return how many are delivered per second, counted from when the server listens."""
    async with receiving() as sink:
        with bench.database(kind) as url, dead() as nobody:
            changes = [*_cancelled(lost, nobody), *_cancelled(count, sink.url)]
            await asyncio.to_thread(seed, url, changes)
            with bench.app(url):
                began = time.perf_counter()
                await sink.until(count, patience=PATIENCE)
    return count / (sink.times[-1] - (began))


def _cancelled(count: int, callback_url: str) -> Iterator[Change]:
    """Make questions that were withdrawn, whose agents are to be told."""
    now = datetime.now(UTC)
    for change in opened(count, now=now, callback_url=callback_url):
        yield change
        if cancelled := lifecycle.act(change.task, Cancel(by=AGENT), now):
            yield cancelled
