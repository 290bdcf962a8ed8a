"""What our client costs a program that makes a new one for each call, as programs do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator

from awaithumans import RemoteEngine
from tests.benchmarks import asking
from tests.benchmarks.bench import SQLITE, Bench
from tests.benchmarks.results import Limit, Row, at_most, median
from tests.benchmarks.wakeups import asked


def client(bench: Bench) -> Iterator[Row]:
    with bench.database(SQLITE) as url, bench.app(url) as app:
        new, kept = asyncio.run(_costs(app.url, bench.size(200, short=5)))
    limit = Limit("one that is kept", kept)
    yield at_most(5, "a new RemoteEngine for each call: CPU a call", "client", new, "ms", limit=limit)


async def _costs(url: str, calls: int) -> tuple[float, float]:
    """Return the milliseconds of processor time of a call, with a new engine for each and with one for all."""
    (task_id,) = await asked(url, 1)
    new: list[float] = []
    kept: list[float] = []
    async with RemoteEngine(f"{url}/humans", asking.TOKEN) as engine:
        for _ in range(calls):
            new.append(await _cost(_get_with_a_new_one(url, task_id)))
            kept.append(await _cost(engine.get(task_id)))
    return median(new), median(kept)


async def _get_with_a_new_one(url: str, task_id: str) -> object:
    async with RemoteEngine(f"{url}/humans", asking.TOKEN) as engine:
        return await engine.get(task_id)


async def _cost(call: Awaitable[object]) -> float:
    began = time.process_time()
    await call
    return 1_000 * (time.process_time() - began)
