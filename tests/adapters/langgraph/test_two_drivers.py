"""Two drivers of one thread, in each other's way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
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


async def _either(*events: anyio.Event) -> None:
    with anyio.fail_after(10):
        while not any(event.is_set() for event in events):
            await anyio.sleep(0.01)
