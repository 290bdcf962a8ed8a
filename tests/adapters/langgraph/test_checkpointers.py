"""The same with every checkpointer, awaited and blocking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from awaithumans import Engine, SchemaValidationError, await_human_sync
from awaithumans.adapters.langgraph import drive_human_loop, drive_human_loop_sync
from awaithumans.errors import ConfigurationError
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import Graphs, question, thread
from tests.adapters.langgraph.people import NO, People

pytestmark = pytest.mark.anyio

SYNC = ("memory", "sqlite", "postgres")
ASYNC = ("memory", "async sqlite", "async postgres")


@pytest.fixture
async def saver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    path = str(tmp_path / "graphs.db")
    with ExitStack() as stack:
        async with AsyncExitStack() as astack:
            match request.param:
                case "memory":
                    yield InMemorySaver()
                case "sqlite":
                    yield stack.enter_context(SqliteSaver.from_conn_string(path))
                case "async sqlite":
                    yield await astack.enter_async_context(AsyncSqliteSaver.from_conn_string(path))
                case "postgres":
                    url = request.getfixturevalue("postgres_url")
                    found = stack.enter_context(PostgresSaver.from_conn_string(url))
                    found.setup()
                    yield found
                case "async postgres":
                    url = request.getfixturevalue("postgres_url")
                    afound = await astack.enter_async_context(AsyncPostgresSaver.from_conn_string(url))
                    await afound.setup()
                    yield afound


async def asked_and_answered(drive: Any, again: Any, people: People) -> list[str]:
    """Cut the first drive off while it waits; answer; drive to the end."""
    async with driving(drive):
        await people.asked(2)
        await people.answer(order="A")
        await people.asked(1)
    async with driving(again) as [driven]:
        await people.asked(1, total=2)
        await people.answer(NO, order="B")
        return sorted((await driven.result()).values["log"])


def branches(graphs: Graphs, saver: Any) -> Any:
    return graphs.compiled({name: graphs.asking(name, name) for name in "AB"}, saver=saver)


@pytest.mark.parametrize("saver", [*ASYNC, *SYNC[1:]], indirect=True)
async def test_awaited(saver: Any, graphs: Graphs, people: People, engine: Engine):
    drive = partial(drive_human_loop, branches(graphs, saver), config=thread(), engine=engine)
    log = await asked_and_answered(partial(drive, input_state={"order": "x"}), drive, people)
    assert log == ["A: True", "B: False"]
    assert (await drive(input_state={"order": "x"})).values["log"], "the input of the last turn is known"
    assert len(await people.all()) == 2


@pytest.mark.parametrize("saver", SYNC, indirect=True)
async def test_blocking(saver: Any, graphs: Graphs, people: People, engine: Engine):
    graph = branches(graphs, saver)
    drive = partial(drive_human_loop_sync, graph, config=thread(), engine=engine)
    in_thread = partial(anyio.to_thread.run_sync, drive, abandon_on_cancel=True)
    [first, *_] = await anyio.to_thread.run_sync(lambda: [drive(input_state={}, wait=False)])
    assert len(first.interrupts) == 2
    async with driving(in_thread) as [driven]:
        await people.asked(2, total=2)
        await people.answer(order="A")
        await people.answer(NO, order="B")
        assert sorted((await driven.result()).values["log"]) == ["A: True", "B: False"]
    assert graph.get_state(thread()).next == ()


async def test_what_the_blocking_driver_raises_comes_out_of_it(graphs: Graphs, engine: Engine):
    graphs.fields["payload"] = {"order": 7}
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    drive = partial(drive_human_loop_sync, graph, config=thread(), input_state={}, engine=engine)
    with pytest.raises(SchemaValidationError, match="payload"):
        await anyio.to_thread.run_sync(drive)
    with pytest.raises(ConfigurationError, match="own event loop"):
        drive()


async def test_a_node_of_a_blocking_graph_may_ask_by_itself(graphs: Graphs, people: People, engine: Engine):
    """Waiting inside the node, as in a plain thread, is possible too; the graph then is not parked."""

    def ask(state: Any) -> Any:
        return {"log": [str(await_human_sync(**question("A"), engine=engine).approved)]}

    graph = graphs.compiled({"ask": ask})
    drive = partial(drive_human_loop_sync, graph, config=thread(), input_state={}, engine=engine)
    async with driving(partial(anyio.to_thread.run_sync, drive)) as [driven]:
        await people.asked()
        await people.answer()
        assert (await driven.result()).values["log"] == ["True"]
