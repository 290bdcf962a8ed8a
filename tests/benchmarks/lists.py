"""A hundred thousand tasks: what one sees of them, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat

from awaithumans.types import Change, microseconds
from tests.benchmarks import asking
from tests.benchmarks.bench import BOTH, Bench
from tests.benchmarks.load import Load, drive, ids_in
from tests.benchmarks.results import Limit, Row, at_most, ratio_at_least
from tests.benchmarks.seeding import opened, seed
from tests.benchmarks.servers import Server
from tests.benchmarks.throughput import CONNECTIONS, in_turns

NO_SLOWER = 0.9
"""Two measurements of the same thing differ by as much."""


def lists(bench: Bench) -> Iterator[Row]:
    many, few = bench.size(100_000, short=300), bench.size(1_000, short=50)
    for kind in BOTH:
        with ExitStack() as stack:
            crowded, quiet = (stack.enter_context(bench.database(kind)) for _ in range(2))
            changes = list(opened(many))
            seed(crowded, changes)
            seed(quiet, opened(few))
            big, small = (stack.enter_context(bench.app(url)) for url in (crowded, quiet))
            middle = _behind(changes[many // 2])
            del changes
            yield from asyncio.run(_pages(bench, kind, big.url, f"{many:,} tasks", middle))
            yield from asyncio.run(_timers(bench, kind, big, f"{many:,} pending timers"))
            yield from asyncio.run(_writes(bench, kind, big.url, small.url, f"{many:,} tasks"))


def _behind(change: Change) -> str:
    """Write the cursor that goes on behind a task, as the links to the next page do."""
    return f"?after={microseconds(change.task.created_at)}.{change.task.id}"


async def _pages(bench: Bench, kind: str, url: str, among: str, middle: str) -> list[Row]:
    pages = {
        "list API, first page": asking.listed(),
        "list API, deep page": asking.listed(middle),
        "queue page, first": asking.queue(),
        "queue page, deep": asking.queue(middle),
    }
    count = bench.size(100, short=3)
    await drive(url, [asking.queue(), asking.listed()], connections=1, seconds=30)  # templates are compiled
    loads = {name: await drive(url, repeat(page, count), connections=1, seconds=60) for name, page in pages.items()}
    return [at_most(15, f"{among}: {name}, p50", kind, load.milliseconds(0.5), "ms") for name, load in loads.items()]


async def _timers(bench: Bench, kind: str, app: Server, among: str) -> list[Row]:
    seconds = bench.size(10.0, short=0.5)
    used = app.cpu_seconds()
    await asyncio.sleep(seconds)
    return [at_most(1, f"{among}: CPU of an idle server", kind, 100 * (app.cpu_seconds() - used) / seconds, "%")]


async def _writes(bench: Bench, kind: str, big: str, small: str, among: str) -> list[Row]:
    seconds, rounds = bench.size(2.0, short=0.1), bench.size(5, short=1)
    asked: dict[str, list[str]] = {big: [], small: []}

    async def create(url: str) -> Load:
        load = await drive(url, asking.creates(), connections=CONNECTIONS, seconds=seconds)
        asked[url] += ids_in(load.replies)
        return load

    def complete(url: str) -> Iterator[bytes]:
        return map(asking.complete, asked[url])

    creating = await in_turns(rounds, lambda: create(big), lambda: create(small))
    answers = {url: complete(url) for url in asked}
    completing = await in_turns(
        rounds, *(lambda url=url: drive(url, answers[url], connections=CONNECTIONS, seconds=seconds) for url in asked)
    )
    return [
        ratio_at_least(NO_SLOWER, f"{among}: {verb}", kind, rates[0], "/s", limit=Limit("that with few", rates[1]))
        for verb, rates in (("create", creating), ("complete", completing))
    ]
