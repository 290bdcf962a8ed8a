"""An engine in the agent's own process: asking and answering without HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from pydantic import BaseModel

from awaithumans import Engine, await_human
from awaithumans.protocols import Store
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.types import Actor, Human, Submit, Task, TaskSpec
from tests.benchmarks import asking
from tests.benchmarks.bench import BOTH, Bench
from tests.benchmarks.results import Limit, Row, at_least

AT_ONCE = 50
MEMORY = "memory"
TARGETS = {MEMORY: 3_000, **dict.fromkeys(BOTH, 800)}
ANA = Actor.of(Human(id="ana", email="ana@example.com"), auth="engine")


class Refund(BaseModel):
    order: str
    amount: float
    currency: str
    customer: str
    days: int


class Decision(BaseModel):
    approved: bool
    reason: str


class _Heard(Engine):
    """Tells at once what was asked, so that somebody can answer."""

    async def create(self, spec: TaskSpec, *, response_model: type[BaseModel] | None = None) -> Task:
        task = await super().create(spec, response_model=response_model)
        self.asked.put_nowait(task.id)
        return task

    def __init__(self, store: Store, **arguments: Any) -> None:
        super().__init__(store, **arguments)
        self.asked: asyncio.Queue[str] = asyncio.Queue()


def in_process(bench: Bench) -> Iterator[Row]:
    for kind, target in TARGETS.items():
        with ExitStack() as stack:
            url = "" if kind == MEMORY else stack.enter_context(bench.database(kind))
            rate = asyncio.run(_on(url, bench.size(4.0, short=0.2)))
        line = f"await_human(engine=) and its answer, {AT_ONCE} at once"
        yield at_least(target, line, kind, rate, "/s", limit=_schemas_alone(bench.size(500, short=10)))


def _schemas_alone(count: int) -> Limit:
    """Measure what Pydantic takes to say what is shown and what is asked for: the two schemas of each question."""
    began = time.perf_counter()
    for _ in range(count):
        Refund.model_json_schema()
        Decision.model_json_schema()
    return Limit("Pydantic making its two JSON Schemas", count / (time.perf_counter() - began))


async def _on(url: str, seconds: float) -> float:
    engine = _Heard(SQLAlchemyStore(url) if url else MemoryStore())
    async with engine.run():
        people = [asyncio.create_task(_answer(engine)) for _ in range(AT_ONCE)]
        began = time.perf_counter()
        done = sum(await asyncio.gather(*(_ask(engine, number, began + seconds) for number in range(AT_ONCE))))
        rate = done / (time.perf_counter() - began)
        for person in people:
            person.cancel()
    await engine.aclose()
    return rate


async def _ask(engine: Engine, who: int, until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        decision = await await_human(
            task=str(asking.QUESTION["task"]),
            payload_schema=Refund,
            payload=Refund(order=f"A-{who}", amount=99.99, currency="EUR", customer="Ben Example", days=done),
            response_schema=Decision,
            timeout_seconds=3_600,
            engine=engine,
        )
        done += decision.approved
    return done


async def _answer(engine: _Heard) -> None:
    while True:
        await engine.act(await engine.asked.get(), Submit(value=asking.ANSWER, by=ANA))
