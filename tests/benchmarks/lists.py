"""A thousand tasks, and a hundred thousand: what one sees of them, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

from awaithumans.types import Change, microseconds
from tests.benchmarks import asking
from tests.benchmarks.bench import BOTH, Bench
from tests.benchmarks.load import Load, drive, ids_in
from tests.benchmarks.results import Limit, Row, at_most, median, ratio_at_least
from tests.benchmarks.seeding import opened, seed
from tests.benchmarks.servers import Server
from tests.benchmarks.throughput import CONNECTIONS, in_turns

NO_SLOWER = 0.9
"""Two measurements of the same thing differ by as much."""


THINGS = "tasks"


@dataclass(frozen=True, slots=True)
class _Crowd:
    """The example application on a database with so many tasks."""

    count: int
    app: Server
    middle: str
    """The query string of the page that begins in the midst of them."""


def lists(bench: Bench) -> Iterator[Row]:
    counts = bench.size((1_000, 10_000, 100_000), short=(50, 300))
    for kind in BOTH:
        with ExitStack() as stack:
            crowds = [stack.enter_context(_crowd(bench, kind, count)) for count in counts]
            for crowd in crowds:
                yield from asyncio.run(_pages(bench, kind, crowd))
            yield asyncio.run(_timers(bench, kind, crowds[0], crowds[-1]))
            yield from asyncio.run(_writes(bench, kind, {crowd.count: crowd.app.url for crowd in crowds}))


@contextmanager
def _crowd(bench: Bench, kind: str, count: int) -> Generator[_Crowd]:
    with bench.database(kind) as url:
        changes = list(opened(count))
        seed(url, changes)
        middle = _behind(changes[count // 2])
        del changes
        with bench.app(url) as app:
            yield _Crowd(count, app, middle)


def _behind(change: Change) -> str:
    """Write the cursor that goes on behind a task, as the links to the next page do."""
    return f"?after={microseconds(change.task.created_at)}.{change.task.id}"


async def _pages(bench: Bench, kind: str, crowd: _Crowd) -> list[Row]:
    pages = {
        "list API, first page": asking.listed(),
        "list API, deep page": asking.listed(crowd.middle),
        "queue page, first": asking.queue(),
        "queue page, deep": asking.queue(crowd.middle),
    }
    url, count = crowd.app.url, bench.size(100, short=3)
    await drive(url, [asking.queue(), asking.listed()], connections=1, seconds=30)  # templates are compiled
    loads = {name: await drive(url, repeat(page, count), connections=1, seconds=60) for name, page in pages.items()}
    return [
        at_most(15, f"{name}, p50", kind, load.milliseconds(0.5), "ms").among(crowd.count, THINGS)
        for name, load in loads.items()
    ]


async def _timers(bench: Bench, kind: str, few: _Crowd, many: _Crowd) -> Row:
    """Look at what a server uses that has nothing to do, at both in turns."""
    seconds, rounds = bench.size(3.0, short=0.3), bench.size(5, short=1)
    busy = [[await _busy(crowd.app, seconds) for crowd in (few, many)] for _ in range(rounds)]
    at_rest, with_timers = (median(column) for column in zip(*busy, strict=True))
    line = "CPU of an idle server, beyond that with few"
    return at_most(1, line, kind, max(with_timers - at_rest, 0), "%").among(many.count, "pending timers")


async def _busy(app: Server, seconds: float) -> float:
    used = app.cpu_seconds()
    await asyncio.sleep(seconds)
    return 100 * (app.cpu_seconds() - used) / seconds


async def _writes(bench: Bench, kind: str, urls: Mapping[int, str]) -> Iterator[Row]:
    seconds, rounds = bench.size(2.0, short=0.1), bench.size(5, short=1)
    asked: dict[str, list[str]] = {url: [] for url in urls.values()}

    async def create(url: str) -> Load:
        load = await drive(url, asking.creates(), connections=CONNECTIONS, seconds=seconds)
        asked[url] += ids_in(load.replies)
        return load

    async def complete(url: str) -> Load:
        return await drive(url, answers[url], connections=CONNECTIONS, seconds=seconds)

    created = await in_turns(rounds, *(partial(create, url) for url in asked))
    answers = {url: map(asking.complete, ids) for url, ids in asked.items()}
    completed = await in_turns(rounds, *(partial(complete, url) for url in asked))
    return chain(_grown("create", kind, urls, created), _grown("complete", kind, urls, completed))


def _grown(verb: str, kind: str, counts: Iterable[int], rates: Sequence[float]) -> Iterator[Row]:
    few = Limit("that with few", rates[0])
    for count, rate in zip(counts, rates, strict=True):
        line = f"{verb}, {CONNECTIONS} connections"
        yield ratio_at_least(NO_SLOWER, line, kind, rate, "/s", limit=few).among(count, THINGS)
