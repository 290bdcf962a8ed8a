"""Bells: no ring is lost, and one ring wakes once."""

from __future__ import annotations

from collections import Counter

import anyio
import anyio.to_thread
import pytest

from awaithumans import Engine, Submit
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.engines import ANA, a_question
from awaithumans.types import Change, Task
from awaithumans.wakeups import Bell

pytestmark = pytest.mark.anyio

PATIENCE = 20
ROUNDS = 200


async def test_a_ring_while_the_waiter_looks_is_heard_when_it_is_back() -> None:
    bell = Bell()
    bell.ring()
    with anyio.fail_after(PATIENCE):
        await bell.rung()
        bell.ring()
        await bell.rung()


async def test_rings_before_the_waiter_looks_are_one() -> None:
    bell = Bell()
    bell.ring()
    await anyio.wait_all_tasks_blocked()
    bell.ring()
    with anyio.fail_after(PATIENCE):
        await bell.rung()
    with anyio.move_on_after(0.05) as silence:
        await bell.rung()
    assert silence.cancelled_caught


async def test_a_waiter_that_gave_up_hears_the_ring_when_it_is_back() -> None:
    bell = Bell()
    with anyio.move_on_after(0.01):
        await bell.rung()
    bell.ring()
    await anyio.wait_all_tasks_blocked()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await bell.rung()
    assert scope.cancelled_caught
    with anyio.fail_after(PATIENCE):
        await bell.rung()


async def test_whatever_another_thread_rang_for_is_seen() -> None:
    bell, noted = Bell(), 0

    def note() -> None:
        nonlocal noted
        for _ in range(ROUNDS):
            noted += 1
            bell.ring()

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, note)
        with anyio.fail_after(PATIENCE):
            while noted < ROUNDS:
                await bell.rung()


class _Counted(MemoryStore):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    async def create(self, change: Change) -> Task:
        self.asked["create"] += 1
        return await super().create(change)

    async def get(self, task_id: str) -> Task | None:
        self.asked["get"] += 1
        return await super().get(task_id)

    async def apply(self, change: Change) -> bool:
        self.asked["apply"] += 1
        return await super().apply(change)


async def test_a_question_and_its_answer_ask_the_store_for_nothing_twice() -> None:
    """Read are: the task when it is waited for, answered and collected, and when the waiter is woken."""
    store = _Counted()
    async with Engine(store).run() as engine:
        task = await engine.create(a_question())
        async with anyio.create_task_group() as group:
            group.start_soon(_wait_and_collect, engine, task.id)
            await anyio.wait_all_tasks_blocked()
            await engine.act(task.id, Submit(value={"approved": True}, by=ANA))
    assert store.asked == {"create": 1, "get": 4, "apply": 2}


class _Slow(MemoryStore):
    """Writes, and is long in saying so."""

    async def apply(self, change: Change) -> bool:
        written = await super().apply(change)
        await anyio.sleep(PATIENCE * 10)
        return written


async def test_who_waits_hears_of_an_answer_whose_giver_left_before_it_was_told_that_it_is_written() -> None:
    heard: list[Task] = []
    async with Engine(_Slow()).run() as engine:
        task = await engine.create(a_question())

        async def wait() -> None:
            heard.append(await engine.wait(task.id))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                async with anyio.create_task_group() as answering:
                    answering.start_soon(engine.act, task.id, Submit(value={"approved": True}, by=ANA))
                    await anyio.wait_all_tasks_blocked()
                    answering.cancel_scope.cancel()
    assert [one.response for one in heard] == [{"approved": True}]


async def _wait_and_collect(engine: Engine, task_id: str) -> None:
    await engine.collect((await engine.wait(task_id)).id)
