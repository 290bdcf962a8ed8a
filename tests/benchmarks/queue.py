"""How long the queue and the figures take among many tasks, on each kind of database.

Run it by hand: `python -m tests.benchmarks.queue 100000 sqlite postgresql mariadb memory`.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import anyio
from sqlalchemy import create_engine

from awaithumans.protocols import Store
from awaithumans.statistics import statistics
from awaithumans.stores.encryption import Codec
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.rows import Rows
from awaithumans.stores.schema import addressees, tasks, words
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.tasks import ANA, BEN, NOON, SECOND, answering, make_spec, make_task
from awaithumans.types import CLOSED_STATUSES, OPEN_STATUSES, Human, Order, Query, Task
from tests.databases import plain
from tests.mariadb import mariadb_server
from tests.postgres import postgres_server

ROUNDS = 5
DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
OTHERS = [Human(id=f"u-{number}", email=f"person{number}@example.com") for number in range(100, 150)]
QUESTIONS = ("Approve the refund of order", "Publish the article", "Hire the candidate", "Pay the invoice")

PLACES = {
    "open, newest": Query(statuses=OPEN_STATUSES, limit=31),
    "open, by deadline": Query(statuses=OPEN_STATUSES, limit=31, order=Order.DEADLINE),
    "closed, oldest": Query(statuses=CLOSED_STATUSES, limit=31, order=Order.OLDEST),
    "open, of one person": Query(statuses=OPEN_STATUSES, limit=31, visible_to=ANA, order=Order.DEADLINE),
    "mine": Query(statuses=OPEN_STATUSES, limit=31, visible_to=ANA, assigned_to="u-1"),
    "unassigned, of one": Query(statuses=OPEN_STATUSES, limit=31, visible_to=BEN, unassigned=True),
    "search, many": Query(statuses=OPEN_STATUSES, limit=31, search="refund"),
    "search, one": Query(statuses=OPEN_STATUSES, limit=31, search="order a-77777x"),
    "search, none": Query(limit=31, search="nowhere"),
    "search, one, of one person": Query(limit=31, search="a-77x", visible_to=ANA, order=Order.DEADLINE),
}


def made(count: int) -> Iterator[Task]:
    chance = random.Random(7)
    for number in range(count):
        question = f"{chance.choice(QUESTIONS)} A-{number}x?\nThe customer wrote twice and waits for an answer."
        spec = make_spec(
            task=question, idempotency_key=f"key-{number}", payload={"text": "x" * 600}, timeout_seconds=10**6
        )
        person = ANA if number % 5_000 == 0 else chance.choice(OTHERS)
        at = NOON + number * 20 * SECOND
        task = make_task(
            id=f"{number:032x}",
            spec=spec,
            created_at=at,
            deadline=at + timedelta(seconds=chance.randrange(10**6)),
            addressees=(person,),
            assignee=person if chance.random() < 0.7 else None,
        )
        yield answering(task, by=person).task if chance.random() < 0.5 else task


@contextmanager
def address(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/tasks.db"
        return
    with ExitStack() as stack:
        if kind == "postgresql":
            url = stack.enter_context(stack.enter_context(postgres_server()).database())
        else:
            url = stack.enter_context(stack.enter_context(mariadb_server()).database())
        yield f"{DRIVERS[kind]}{url[url.index(':') :]}"


def fill(url: str, count: int) -> None:
    rows = Rows(Codec())
    pages: list[Task] = []
    with create_engine(plain(url)).begin() as connection:
        for task in made(count):
            pages.append(task)
            if len(pages) == 2_000 or task.id == f"{count - 1:032x}":
                connection.execute(tasks.insert(), [rows.of_task(one) for one in pages])
                connection.execute(words.insert(), [row for one in pages for row in rows.words(one)])
                people = [{"task_id": one.id, "address": name} for one in pages for name in rows.addresses(one)]
                connection.execute(addressees.insert(), people)
                pages = []


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await work()
        times.append(time.perf_counter() - start)
    return 1_000 * sorted(times)[ROUNDS // 2]


async def measure(store: Store, kind: str, count: int) -> None:
    for name, query in PLACES.items():
        print(f"{kind:12} {name:28} {await timed(partial(store.find, query)):8.1f} ms")
    now = NOON + count * 20 * SECOND
    for days in (7, 90):
        took = await timed(partial(statistics, store, now, timedelta(days=days), visible_to=None))
        print(f"{kind:12} figures of {days} days {took:8.1f} ms")


async def main(count: int, kind: str) -> None:
    if kind == "memory":
        memory = MemoryStore()
        memory._tasks = {task.id: replace(task) for task in made(count)}
        await measure(memory, kind, count)
        return
    with address(kind) as url:
        store = SQLAlchemyStore(url)
        await store.setup()
        fill(url, count)
        await measure(store, kind, count)
        await store.aclose()


if __name__ == "__main__":
    for one in sys.argv[2:]:
        anyio.run(main, int(sys.argv[1]), one)
