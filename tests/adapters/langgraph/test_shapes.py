"""Graphs of other shapes: subgraphs, Send, tools, the functional API, streams, contexts."""

from __future__ import annotations

import asyncio
import operator
from functools import partial
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.func import task as langgraph_task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from awaithumans import Engine
from awaithumans.adapters.langgraph import await_human, await_human_async, drive_human_loop
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import Graphs, State, question, thread
from tests.adapters.langgraph.people import NO, People

pytestmark = pytest.mark.anyio


async def answered(drive: Any, people: People, *orders: str) -> Any:
    """Drive; approve all that is asked at once, but refuse the first."""
    async with driving(drive) as [driven]:
        await people.asked(len(orders))
        for order in orders:
            await people.answer(NO if order == orders[0] else {"approved": True}, order=order)
        return await driven.result()


async def test_subgraphs(graphs: Graphs, people: People, engine: Engine):
    inner = graphs.compiled({name: graphs.asking(name, name) for name in "AB"}, saver=True)
    outer = graphs.compiled({"inner": inner, "C": graphs.asking("C", "C")})
    drive = partial(drive_human_loop, outer, input_state={}, config=thread(), engine=engine)
    state = await answered(drive, people, "A", "B", "C")
    assert sorted(state.values["log"]) == ["A: False", "B: True", "C: True"]
    assert len(await people.all()) == 3


async def test_a_subgraph_called_in_a_node(graphs: Graphs, people: People, engine: Engine):
    inner = graphs.compiled({"ask": graphs.asking("ask", "A")}, saver=True)

    def call(state: State) -> State:
        return {"log": inner.invoke({})["log"]}

    outer = graphs.compiled({"call": call})
    drive = partial(drive_human_loop, outer, input_state={}, config=thread(), engine=engine)
    assert (await answered(drive, people, "A")).values["log"] == ["A: False"]


async def test_send(people: People, engine: Engine):
    class Orders(TypedDict, total=False):
        orders: list[str]
        log: Annotated[list[str], operator.add]

    def decide(one: Any) -> Orders:
        return {"log": [f"{one['order']}: {await_human(**question(one['order'])).approved}"]}

    builder: Any = StateGraph(Orders)
    builder.add_node("decide", decide)
    builder.add_conditional_edges(START, lambda state: [Send("decide", {"order": order}) for order in state["orders"]])
    graph = builder.compile(checkpointer=InMemorySaver())
    drive = partial(drive_human_loop, graph, input_state={"orders": ["A", "B", "B"]}, config=thread(), engine=engine)
    async with driving(drive) as [driven]:
        assert len(await people.asked(3)) == 3, "two equal questions are two, where two branches ask"
        for _ in range(3):
            await people.answer()
        assert sorted((await driven.result()).values["log"]) == ["A: True", "B: True", "B: True"]


async def test_tools_in_a_tool_node(people: People, engine: Engine):
    @tool
    def refund(order: str) -> str:
        """Refund an order."""
        return str(await_human(**question(order)).approved)

    def model(state: MessagesState) -> Any:
        calls = [{"name": "refund", "args": {"order": order}, "id": order} for order in "AB"]
        return {"messages": [AIMessage("", tool_calls=calls)]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tools", ToolNode([refund]))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    drive = partial(drive_human_loop, graph, input_state={"messages": []}, config=thread(), engine=engine)
    async with driving(drive) as [driven]:
        for _ in range(2):
            [task] = await people.asked()
            await people.answer({"approved": task.spec.payload["order"] == "A"})
            if len(await people.all()) == 1:
                await people.asked(total=2)
        messages = (await driven.result()).values["messages"]
    told = {one.tool_call_id: one.content for one in messages if isinstance(one, ToolMessage)}
    assert told == {"A": "True", "B": "False"}


async def test_the_functional_api(people: People, engine: Engine):
    drafts = []

    @langgraph_task
    def draft() -> str:
        drafts.append("draft")
        return f"A{len(drafts)}"

    @entrypoint(checkpointer=InMemorySaver())
    def refund(given: str) -> str:
        order = draft().result()
        return f"{given}: {await_human(**question(order)).approved}"

    drive = partial(drive_human_loop, refund, input_state="please", config=thread(), engine=engine)
    assert (await answered(drive, people, "A1")).values == "please: False"
    assert len(drafts) == 1, "what a @task gave is kept"


async def test_async_nodes(people: People, engine: Engine, graphs: Graphs):
    async def ask(state: State) -> State:
        await asyncio.sleep(0)
        return {"log": [str((await await_human_async(**question("A"))).approved)]}

    graph = graphs.compiled({"ask": ask})
    drive = partial(drive_human_loop, graph, input_state={}, config=thread(), engine=engine)
    assert (await answered(drive, people, "A")).values["log"] == ["False"]


async def test_a_node_may_say_where_to_go(people: People, engine: Engine, graphs: Graphs):
    def ask(state: State) -> Command[Any]:
        return Command(goto="paid" if await_human(**question("A")).approved else "refused")

    nodes = {"ask": ask, "paid": graphs.saying("paid"), "refused": graphs.saying("refused")}
    graph = graphs.compiled(nodes, (START, "ask"))
    drive = partial(drive_human_loop, graph, input_state={}, config=thread(), engine=engine)
    assert (await answered(drive, people, "A")).values["log"] == ["refused"]


async def test_context_and_stream_and_the_configs_own_settings(people: People, engine: Engine):
    class Context(TypedDict):
        shop: str

    class Told(TypedDict, total=False):
        log: Annotated[list[str], operator.add]

    def ask(state: Told, runtime: Runtime[Context]) -> Told:
        return {"log": [f"{runtime.context['shop']}: {await_human(**question('A')).approved}"]}

    builder = StateGraph(Told, context_schema=Context)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=InMemorySaver())
    chunks: list[Any] = []
    config = {**thread(), "metadata": {"customer": "7"}, "tags": ["shop"]}
    drive = partial(
        drive_human_loop,
        graph,
        input_state={},
        config=config,
        engine=engine,
        context={"shop": "here"},
        stream_mode="updates",
        on_chunk=chunks.append,
    )
    state = await answered(drive, people, "A")
    assert state.values["log"] == ["here: False"]
    assert state.metadata["customer"] == "7"
    assert [next(iter(chunk)) for chunk in chunks] == ["__interrupt__", "ask"]


async def test_other_interrupts_are_left_to_the_caller(graphs: Graphs, people: People, engine: Engine):
    from langgraph.types import interrupt

    def other(state: State) -> State:
        return {"log": [interrupt("a bare one")]}

    graph = graphs.compiled({"ask": graphs.asking("ask", "A"), "other": other})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    state = await answered(partial(drive, input_state={}), people, "A")
    [one] = state.interrupts
    assert one.value == "a bare one"
    assert (await drive()).interrupts == (one,), "driving again changes nothing"
    await graph.ainvoke(Command(resume={one.id: "mine"}), thread())
    assert sorted((await drive()).values["log"]) == ["A: False", "mine"]
