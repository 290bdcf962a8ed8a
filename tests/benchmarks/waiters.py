"""Thousands who wait for nothing: what they cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator

from tests.benchmarks import asking
from tests.benchmarks.bench import BOTH, OBSERVED, Bench
from tests.benchmarks.load import Connection, accepted, drive, request
from tests.benchmarks.results import Limit, Row, at_most, measured, ratio_at_most
from tests.benchmarks.servers import Server
from tests.benchmarks.wakeups import asked

OBSERVE = request("GET", "/observed")
KB = 1024
LEAVING = 100
PATIENCE = 60.0
PROMISED = 2_000
"""With more of them, only what they ask of the database is held to a target, not the CPU time."""
QUIET = 0.25
"""Seconds without a query, after which there is none on its way."""


def waiters(bench: Bench) -> Iterator[Row]:
    for kind in BOTH:
        for count in bench.size((2_000, 10_000), short=(30, 60)):
            with bench.database(kind) as url, bench.app(url, app=OBSERVED) as app:
                rows = asyncio.run(_on(bench, kind, app, count))
            yield from (row.among(count, "idle waiters") for row in rows)


async def _on(bench: Bench, kind: str, app: Server, count: int) -> list[Row]:
    creates = bench.size(200, short=5)
    task_ids = await asked(app.url, count)
    alone, before = await _create_milliseconds(app.url, creates), app.memory()
    began = time.perf_counter()
    waiting = await _waiting(app.url, task_ids)
    await _until(app.url, lambda waiters: waiters == count)
    await _quiet(app.url)
    connected, held = time.perf_counter() - began, (app.memory() - before) / count / KB
    queries, busy = await _idle(app, bench.size(8.0, short=0.5))
    leaving = min(LEAVING, count // 2)
    gone = await _leave(app.url, waiting, leaving)
    beside = await _create_milliseconds(app.url, creates)
    for connection in waiting:
        connection.close()
    return [
        at_most(1, "queries", kind, queries, "/s"),
        at_most(2, "CPU", kind, busy, "%") if count <= PROMISED else measured("CPU", kind, busy, "%"),
        at_most(60, "memory each", kind, held, "KB"),
        ratio_at_most(1.2, "create, p50", kind, beside, "ms", limit=Limit("that without them", alone)),
        at_most(1_000, f"{leaving} leave, and are forgotten after", kind, gone, "ms"),
        measured("all wait after", kind, connected, "s"),
    ]


async def _waiting(url: str, task_ids: list[str]) -> list[Connection]:
    """Open a long-poll for each task; nobody reads what it says."""
    connections: list[Connection] = []
    for task_id in task_ids:
        connection = await Connection.open(url)
        connection.send(asking.poll(task_id))
        connections.append(connection)
    return connections


async def _idle(app: Server, seconds: float) -> tuple[float, float]:
    """Return the queries per second, and the percent of a processor, while nothing happens."""
    queries, used = (await _observed(app.url))["queries"], app.cpu_seconds()
    await asyncio.sleep(seconds)
    busy = app.cpu_seconds() - used
    return ((await _observed(app.url))["queries"] - queries) / seconds, 100 * busy / seconds


async def _leave(url: str, waiting: list[Connection], leaving: int) -> float:
    """Return the milliseconds until the server has forgotten those who left."""
    left = (await _observed(url))["waiters"] - leaving
    began = time.perf_counter()
    for connection in waiting[:leaving]:
        connection.close()
    await _until(url, lambda waiters: waiters <= left)
    return 1_000 * (time.perf_counter() - began)


async def _until(url: str, fits: Callable[[int], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fits((await _observed(url))["waiters"]):
            await asyncio.sleep(0.002)


async def _quiet(url: str) -> None:
    """Return once every waiter has read its task, which it does when it is registered."""
    before, queries = -1, (await _observed(url))["queries"]
    async with asyncio.timeout(PATIENCE):
        while queries > before:
            await asyncio.sleep(QUIET)
            before, queries = queries, (await _observed(url))["queries"]


async def _observed(url: str) -> dict[str, int]:
    connection = await Connection.open(url)
    found: dict[str, int] = json.loads(accepted(await connection.ask(OBSERVE)).body)
    connection.close()
    return found


async def _create_milliseconds(url: str, count: int) -> float:
    load = await drive(url, (asking.create() for _ in range(count)), connections=1, seconds=60)
    return load.milliseconds(0.5)
