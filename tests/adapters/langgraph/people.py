"""The people in these tests: they see what is asked, and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from awaithumans import Actor, Engine, Human, Query, Task
from awaithumans.types import OPEN_STATUSES

ANA = Actor.of(Human(id="ana", email="ana@example.com"), auth="host", via="web")
YES: dict[str, Any] = {"approved": True}
NO: dict[str, Any] = {"approved": False}


class People:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def asked(self, count: int = 1, *, total: int | None = None) -> list[Task]:
        """Wait until so many tasks are open (and so many were made in all); give those that are open, oldest first."""
        with anyio.fail_after(20):
            while True:
                tasks = sorted(await self.engine.find(Query(limit=100)), key=lambda task: task.created_at)
                waiting = [task for task in tasks if task.status in OPEN_STATUSES]
                if len(waiting) == count and total in (None, len(tasks)):
                    return waiting
                await anyio.sleep(0.01)

    async def answer(self, value: dict[str, Any] = YES, order: str | None = None, **fields: Any) -> Task:
        for task in await self.opened():
            if order in (None, task.spec.payload.get("order")):
                return await self.engine.submit(task.id, {**value, **fields}, by=ANA)
        raise AssertionError(f"nobody asks about {order}")

    async def opened(self) -> Sequence[Task]:
        return await self.engine.find(Query(statuses=OPEN_STATUSES, limit=100))

    async def submit(self, task_id: str, value: dict[str, Any]) -> Task:
        return await self.engine.submit(task_id, value, by=ANA)

    async def all(self) -> list[Task]:
        return sorted(await self.engine.find(Query(limit=100)), key=lambda task: task.created_at)
