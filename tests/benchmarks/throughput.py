"""Requests per second of one worker, beside those of a bare endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import cycle

from tests.benchmarks import asking
from tests.benchmarks.bench import BOTH, Bench
from tests.benchmarks.limits import commit_milliseconds, name_of_commit
from tests.benchmarks.load import Load, drive, ids_in, request
from tests.benchmarks.results import Limit, Row, at_most, measured, median, ratio_at_least

CONNECTIONS = 50
THINGS = "connections"
POST = request("POST", "/", asking.QUESTION | {"idempotency_key": "0" * 32})
GET = request("GET", "/")

Driving = Callable[[], Awaitable[Load]]


def throughput(bench: Bench) -> Iterator[Row]:
    for kind in BOTH:
        with bench.database(kind) as url, bench.app(url) as app, bench.bare() as bare:
            yield from asyncio.run(_on(bench, kind, url, app.url, bare.url))


async def _on(bench: Bench, kind: str, database: str, app: str, bare: str) -> list[Row]:
    seconds = bench.size(2.0, short=0.1)

    def at_50(url: str, requests: Iterable[bytes]) -> Driving:
        return partial(drive, url, requests, connections=CONNECTIONS, seconds=seconds)

    created: list[str] = []

    async def create() -> Load:
        load = await at_50(app, asking.creates())()
        created.extend(ids_in(load.replies))
        return load

    rounds, post, get = bench.size(5, short=1), at_50(bare, cycle([POST])), at_50(bare, cycle([GET]))
    await create()  # what is done once, such as making the tables, is done
    asked, post_rate = await in_turns(rounds, create, post)
    answers = map(asking.complete, created)
    answered, post_again = await in_turns(rounds, at_50(app, answers), post)
    read, get_rate = await in_turns(rounds, at_50(app, map(asking.get, cycle(created))), get)
    alone, commit = await _alone(app, database, bench.size(300, short=10))
    rows = [
        ratio_at_least(0.2, "create", kind, asked, "/s", limit=Limit("a bare POST", post_rate)),
        ratio_at_least(0.2, "complete", kind, answered, "/s", limit=Limit("a bare POST", post_again)),
        ratio_at_least(0.3, "get", kind, read, "/s", limit=Limit("a bare GET", get_rate)),
    ]
    return [
        *(row.among(CONNECTIONS, THINGS) for row in rows),
        at_most(4, "create, 1 connection, p50", kind, alone, "ms", limit=Limit(name_of_commit(kind), commit)),
        *[await _at(app, kind, others, seconds) for others in bench.size((1, 10, 200), short=(1,))],
    ]


async def _at(app: str, kind: str, connections: int, seconds: float) -> Row:
    """Measure creates at another number of connections."""
    load = await drive(app, asking.creates(), connections=connections, seconds=seconds)
    return measured("create", kind, load.rate, "/s").among(connections, THINGS)


async def in_turns(rounds: int, *drives: Driving) -> list[float]:
    """Return the rate of each, measured in turns, so that a busy moment of the machine falls on all."""
    rates = [[(await driving()).rate for driving in drives] for _ in range(rounds)]
    return [median(column) for column in zip(*rates, strict=True)]


async def _alone(app: str, database: str, count: int) -> tuple[float, float]:
    """Return the milliseconds of a create on one connection, and of a commit."""
    asked: list[float] = []
    commits: list[float] = []
    for _ in range(3):
        load = await drive(app, (asking.create() for _ in range(count)), connections=1, seconds=30)
        asked.append(load.milliseconds(0.5))
        commits.append(await asyncio.to_thread(commit_milliseconds, database, count))
    return median(asked), median(commits)
