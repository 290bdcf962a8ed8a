"""Two drivers of one thread, in each other's way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from awaithumans import Engine, Task
from awaithumans.adapters.langgraph import drive_human_loop
from awaithumans.protocols import TaskEngine
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import Graphs, thread
from tests.adapters.langgraph.people import People

pytestmark = pytest.mark.anyio


class Slow:
    """An engine that holds a task up before it is created, until it is told to go on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.reached = anyio.Event()
        self.go_on = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def create(self, *given: Any, **options: Any) -> Task:
        self.reached.set()
        await self.go_on.wait()
        return await self._engine.create(*given, **options)


class Attentive:
    """An engine that notices when somebody else has a lease."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.noticed = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        given = await self._engine.lease(name, holder=holder, seconds=seconds)
        if seconds and not given:
            self.noticed.set()
        return given


async def test_what_one_has_collected_the_other_does_not_ask_again(
    graphs: Graphs, people: People, home: Engine, tmp_path: Path
):
    nodes = {"ask": graphs.asking("ask", "A"), "then": graphs.saying("then")}
    edges = ("__start__", "ask"), ("ask", "then")
    path = str(tmp_path / "graphs.db")
    first, second = Attentive(home), Slow(home)
    async with AsyncSqliteSaver.from_conn_string(path) as one, AsyncSqliteSaver.from_conn_string(path) as other:
        graph, same = (graphs.compiled(nodes, *edges, saver=saver) for saver in (one, other))
        drive = partial(drive_human_loop, config=thread(), input_state={})
        async with driving(partial(drive, graph, engine=cast("TaskEngine", first))) as [driven]:
            await people.asked()
            async with driving(partial(drive, same, engine=cast("TaskEngine", second))) as [late]:
                await second.reached.wait()
                await people.answer()
                await _either(driven.done, first.noticed)
                second.go_on.set()
                for each in (driven, late):
                    assert (await each.result()).values["log"] == ["A: True", "then"]
    assert len(await people.all()) == 1
    assert graphs.runs == {"ask": 2, "then": 1}


async def test_a_step_that_another_driver_has_begun_to_save_is_gone_on_with(
    graphs: Graphs, people: People, home: Engine
):
    """The other one has resumed the last question, and dies before the next checkpoint: that is no breakpoint."""
    saver = Sticking()
    nodes = {"ask": graphs.asking("ask", "A"), "then": graphs.saying("then")}
    graph = graphs.compiled(nodes, ("__start__", "ask"), ("ask", "then"), saver=saver)
    first, second = Attentive(home), Deaf(home)
    drive = partial(drive_human_loop, graph, config=thread(), input_state={})
    async with driving(partial(drive, engine=cast("TaskEngine", second))) as [late]:
        await people.asked()
        async with driving(partial(drive, engine=cast("TaskEngine", first))):
            await second.waits.wait()
            saver.sticks = True
            await people.answer()
            with anyio.fail_after(10):
                await saver.stuck.wait()
        saver.sticks = False
        second.hears.set()
        assert (await late.result()).values["log"] == ["A: True", "then"]
    assert graphs.runs == {"ask": 2, "then": 1}


class Sticking(InMemorySaver):
    """A checkpointer that may be unable to write the next checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.sticks = False
        self.stuck = anyio.Event()

    async def aput(self, *given: Any, **options: Any) -> Any:
        if self.sticks:
            self.stuck.set()
            await anyio.sleep_forever()
        return await super().aput(*given, **options)


class Deaf:
    """An engine that hears of no outcome until it is told to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waits = anyio.Event()
        self.hears = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def wait(self, *given: Any, **options: Any) -> Task:
        self.waits.set()
        await self.hears.wait()
        return await self._engine.wait(*given, **options)


async def _either(*events: anyio.Event) -> None:
    with anyio.fail_after(10):
        while not any(event.is_set() for event in events):
            await anyio.sleep(0.01)
