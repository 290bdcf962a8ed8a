"""The people answer what the nodes of a real LangGraph graph ask."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from awaithumans import TaskTimeoutError
from awaithumans.testing.humans import Humans, Reply
from tests.testing.questions import ask, ask_sync

pytestmark = pytest.mark.anyio

YES: dict[str, Any] = {"approved": True}
THREAD: Any = {"configurable": {"thread_id": "1"}}


class Orders(TypedDict):
    orders: list[str]
    refunded: Annotated[list[str], operator.add]


class Order(TypedDict):
    order: str


async def decide(state: Order) -> dict[str, list[str]]:
    try:
        decision = await ask(state["order"])
    except TaskTimeoutError:
        return {"refunded": [f"{state['order']}: nobody answered"]}
    return {"refunded": [f"{state['order']}: {decision.approved}"]}


def decide_sync(state: Order) -> dict[str, list[str]]:
    try:
        decision = ask_sync(state["order"])
    except TaskTimeoutError:
        return {"refunded": [f"{state['order']}: nobody answered"]}
    return {"refunded": [f"{state['order']}: {decision.approved}"]}


def graph_of(node: Any) -> Any:
    """Make a graph that decides on each order in a branch of its own, at the same time."""
    graph = StateGraph(Orders)
    graph.add_node("decide", node)
    graph.add_conditional_edges(START, lambda state: [Send("decide", {"order": one}) for one in state["orders"]])
    graph.add_edge("decide", END)
    return graph.compile(checkpointer=MemorySaver())


async def test_a_node_gets_its_answer(humans: Humans):
    humans.answer(YES)
    state = await graph_of(decide).ainvoke({"orders": ["A-1"], "refunded": []}, THREAD)
    assert state["refunded"] == ["A-1: True"]
    assert [asked.payload for asked in humans.asked] == [{"order": "A-1"}]


async def test_parallel_branches_are_each_answered_late_or_never(humans: Humans):
    late = {"A-1": 3_000.0, "A-2": 10.0, "A-3": 9_999.0, "A-4": 0.0}
    humans.answer(lambda task: Reply(YES, after=late[str(task.spec.payload["order"])]))
    state = await graph_of(decide).ainvoke({"orders": [*late], "refunded": []}, THREAD)
    assert state["refunded"] == ["A-1: True", "A-2: True", "A-3: nobody answered", "A-4: True"]
    closed = {task.spec.payload["order"]: task.closed_at for task in humans.tasks if task.closed_at}
    assert sorted(closed, key=lambda order: closed[order]) == ["A-4", "A-2", "A-1", "A-3"]


async def test_sync_nodes_of_an_async_run_ask_from_their_threads(humans: Humans):
    humans.answer(YES)
    humans.ignore(to=lambda task: task.spec.payload["order"] == "A-2")
    state = await graph_of(decide_sync).ainvoke({"orders": ["A-1", "A-2"], "refunded": []}, THREAD)
    assert state["refunded"] == ["A-1: True", "A-2: nobody answered"]


def test_sync_nodes_of_a_sync_run_ask_from_their_threads(humans: Humans):
    humans.answer(YES)
    humans.ignore(to=lambda task: task.spec.payload["order"] == "A-2")
    state = graph_of(decide_sync).invoke({"orders": ["A-1", "A-2", "A-3"], "refunded": []}, THREAD)
    assert state["refunded"] == ["A-1: True", "A-2: nobody answered", "A-3: True"]


async def test_what_a_node_cannot_catch_ends_the_run(humans: Humans):
    with pytest.raises(AssertionError, match="Nobody was told"):
        await graph_of(decide).ainvoke({"orders": ["A-1", "A-2"], "refunded": []}, THREAD)
    humans.failures.clear()
