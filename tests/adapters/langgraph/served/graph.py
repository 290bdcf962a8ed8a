"""Graphs for a LangGraph API server, which imports this file in a process of its own.

Each run of a node leaves a line in a file of its thread, in the server's folder.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from awaithumans import TaskCancelledError
from awaithumans.adapters.langgraph import await_human
from tests.adapters.langgraph.graphs import State, question

MARKS = Path(os.environ.get("MARKS", "."))


class Context(TypedDict, total=False):
    shop: str


def mark(node: str) -> Path:
    path = MARKS / str(get_config()["configurable"]["thread_id"])
    with path.open("a") as file:
        file.write(f"{node}\n")
    return path


def asking(name: str, *orders: str, caught: tuple[type[Exception], ...] = ()) -> Any:
    def node(state: State) -> State:
        mark(name)
        said = []
        for order in orders or (state["order"],):
            try:
                decision = await_human(**question(order))
                said.append(f"{order}: {decision.approved} {decision.note}".strip())
            except caught as error:
                said.append(f"{order}: {type(error).__name__}")
        return {"log": said}

    return node


def saying(name: str) -> Any:
    def node(state: State) -> State:
        mark(name)
        return {"log": [name]}

    return node


def until_mended(name: str) -> Any:
    """Make a node that fails until there is a file of the thread's name and `.mended`."""

    def node(state: State) -> State:
        if not mark(name).with_suffix(".mended").exists():
            raise ConnectionError("the bank is away")
        return {"log": [name]}

    return node


def until_opened(state: State) -> State:
    """Wait for a file of the thread's name and `.opened`."""
    gate = mark("gate").with_suffix(".opened")
    while not gate.exists():
        time.sleep(0.05)
    return {"log": ["opened"]}


def other(state: State) -> State:
    return {"log": [interrupt("a bare one")]}


def shop(state: State, runtime: Runtime[Context]) -> State:
    name = (runtime.context or {}).get("shop", "no shop")
    return {"log": [f"{name}: {await_human(**question('A')).approved}"]}


class Model(FakeMessagesListChatModel):
    """Calls refund for each order that the user names, and then is done."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *given: Any, **options: Any) -> ChatResult:
        said = AIMessage("done")
        if isinstance(messages[-1], HumanMessage):
            orders = str(messages[-1].content).split()
            calls = [{"name": "refund", "args": {"order": order, "amount": 9.99}, "id": order} for order in orders]
            said = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=said)])


@tool
def refund(order: str, amount: float) -> str:
    """Pay an order back."""
    return f"paid {amount} for {order}"


def agent(mode: Any) -> Any:
    """Make an agent whose calls are reviewed."""
    review = HumanInTheLoopMiddleware({"refund": True}, interrupt_mode=mode)
    return create_agent(Model(responses=[]), [refund], middleware=[review])


def graph(*steps: dict[str, Any], context: Any = None, **options: Any) -> Any:
    """Make a graph of steps; the nodes of a step run at the same time."""
    builder = StateGraph(State, context_schema=context)
    before = [START]
    for step in steps:
        for name, node in step.items():
            builder.add_node(name, node)
            for earlier in before:
                builder.add_edge(earlier, name)
        before = list(step)
    return builder.compile(**options)


one = graph({"ask": asking("ask")}, {"then": saying("then")})
two = graph({"ask": asking("ask", "A", "A")})
branches = graph({name: asking(name, name) for name in "ABC"})
mixed = graph({"ask": asking("ask", "A"), "other": other})
catching = graph({"ask": asking("ask", "A", "B", caught=(TaskCancelledError,))})
failing = graph({"ask": asking("ask", "A")}, {"charge": until_mended("charge")})
gated = graph({"gate": until_opened}, {"ask": asking("ask", "A")})
stopping = graph({"ask": asking("ask", "A")}, {"last": saying("last")}, interrupt_before=["last"])
held_inside = graph({"plan": saying("plan")}, {"pay": saying("pay")}, interrupt_before=["pay"])
holding_inside = graph({"inner": held_inside, "beside": saying("beside")})
contextual = graph({"shop": shop}, context=Context)
reviewed_in_a_batch = agent("batched")
reviewed_per_call = agent("per_call")
