"""From the answer to the agent: how soon a long-poll replies, and whole round trips."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager

from tests.benchmarks import asking
from tests.benchmarks.bench import BOTH, POSTGRESQL, Bench
from tests.benchmarks.limits import event_milliseconds
from tests.benchmarks.load import Connection, Reply, accepted, drive, ids_in
from tests.benchmarks.results import Limit, Row, at_least, at_most, measured, quantile

REGISTERED = 0.05
"""Seconds after which a poll that was sent waits in the server, if that has nothing else to do."""


def wakeups(bench: Bench) -> Iterator[Row]:
    event = Limit("a bare anyio.Event", asyncio.run(event_milliseconds(1_000)))
    for kind in BOTH:
        with bench.database(kind) as url, bench.app(url) as here, bench.app(url) as there:
            yield from asyncio.run(_on(bench, kind, here.url, there.url, event))


async def _on(bench: Bench, kind: str, here: str, there: str, event: Limit) -> list[Row]:
    count = bench.size(200, short=5)
    among = {many: await _wake_among(here, many, count) for many in bench.size((100, 2_000), short=(10, 50))}
    alone = [await _wake(here, here) for _ in range(count)]
    across = [await _wake(here, there) for _ in range(count)]
    most = 100 if kind == POSTGRESQL else 300
    return [
        at_most(10, "wake-up, p99", kind, quantile(alone, 0.99), "ms", limit=event).among(1, "waiters"),
        *(
            at_most(50, "wake-up, p99", kind, quantile(late, 0.99), "ms", limit=event).among(many, "waiters")
            for many, late in among.items()
        ),
        at_most(most, "wake-up from another process, p99", kind, quantile(across, 0.99), "ms", limit=event),
    ]


async def _wake(waiting_at: str, answering_at: str) -> float:
    """Ask a question, wait for it, answer it; return the milliseconds from one reply to the other."""
    (task_id,) = await asked(answering_at, 1)
    async with polling(waiting_at, [task_id]) as polls:
        return await _answered(answering_at, task_id, polls[0])


async def _wake_among(url: str, many: int, count: int) -> list[float]:
    task_ids = await asked(url, many)
    async with polling(url, task_ids) as polls:
        return [
            await _answered(url, task_id, poll) for task_id, poll in list(zip(task_ids, polls, strict=True))[:count]
        ]


async def _answered(url: str, task_id: str, poll: asyncio.Task[Reply]) -> float:
    answering = await Connection.open(url)
    acknowledged = accepted(await answering.ask(asking.complete(task_id)))
    answering.close()
    async with asyncio.timeout(30):
        return 1_000 * (woken(await poll).at - acknowledged.at)


def woken(reply: Reply) -> Reply:
    """Return the reply of a poll, unless its time ran out before there was an answer."""
    if json.loads(accepted(reply).body)["status"] != "completed":
        raise RuntimeError("a poll ended before the answer: nobody was woken")
    return reply


async def asked(url: str, count: int) -> list[str]:
    """Ask so many questions and return their ids."""
    load = await drive(url, (asking.create() for _ in range(count)), connections=min(count, 50), seconds=300)
    return ids_in(load.replies)


@asynccontextmanager
async def polling(url: str, task_ids: Sequence[str]) -> AsyncGenerator[list[asyncio.Task[Reply]]]:
    """Wait for each task on a connection of its own."""
    opened = [await Connection.open(url) for _ in task_ids]
    polls = [asyncio.create_task(one.ask(asking.poll(id_))) for one, id_ in zip(opened, task_ids, strict=True)]
    try:
        await asyncio.sleep(REGISTERED)
        await _caught_up(url, task_ids[-1])
        yield polls
    finally:
        for connection, poll in zip(opened, polls, strict=True):
            poll.cancel()
            connection.close()


async def _caught_up(url: str, task_id: str) -> None:
    """Return once the server answers fast: it has taken in all that was sent before."""
    connection = await Connection.open(url)
    began = 0.0
    while time.perf_counter() - began > REGISTERED:
        began = time.perf_counter()
        accepted(await connection.ask(asking.get(task_id)))
    connection.close()


# ── Round trips ───────────────────────────────────────────────────────────────

LINE = "round trips"
ALONE = 1


def round_trips(bench: Bench) -> Iterator[Row]:
    seconds = bench.size(10.0, short=0.3)
    for kind in BOTH:
        for agents in bench.size((1, 20, 200), short=(10,)):
            with bench.database(kind) as url, bench.app(url) as app:
                rate, latency = asyncio.run(_trips(app.url, agents, seconds))
            row = at_least(150, LINE, kind, rate, "/s") if agents > ALONE else measured(LINE, kind, rate, "/s")
            yield row.among(agents, "agents at once")
            yield measured("a round trip, p50", kind, latency, "ms").among(agents, "agents at once")


async def _trips(url: str, agents: int, seconds: float) -> tuple[float, float]:
    taken: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_agent(url, began + seconds, taken) for _ in range(agents)))
    return len(taken) / (time.perf_counter() - began), 1_000 * quantile(taken, 0.5)


async def _agent(url: str, until: float, taken: list[float]) -> None:
    agent, person = await Connection.open(url), await Connection.open(url)
    while (began := time.perf_counter()) < until:
        (task_id,) = ids_in([accepted(await agent.ask(asking.create()))])
        poll = asyncio.create_task(agent.ask(asking.poll(task_id)))
        accepted(await person.ask(asking.complete(task_id)))
        woken(await poll)
        taken.append(time.perf_counter() - began)
    agent.close()
    person.close()
