"""Graphs that ask, for the tests of the adapter."""

from __future__ import annotations

import operator
from collections import Counter
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, field_validator

from awaithumans.adapters.langgraph import await_human

HOUR = 3_600


class Refund(BaseModel):
    order: str
    amount: float = 10.0


class Decision(BaseModel):
    approved: bool
    note: str = ""

    @field_validator("note")
    @classmethod
    def polite(cls, note: str) -> str:
        if "damn" in note:
            raise ValueError("mind your language")
        return note


class State(TypedDict, total=False):
    order: str
    amount: float
    log: Annotated[list[str], operator.add]


def question(order: str, **fields: Any) -> dict[str, Any]:
    return {
        "task": f"Refund {order}?",
        "payload_schema": Refund,
        "payload": {"order": order},
        "response_schema": Decision,
        "timeout_seconds": HOUR,
        **fields,
    }


class Graphs:
    """Makes graphs, and counts how often each node runs."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.fields: dict[str, Any] = {}

    def asking(self, name: str, *orders: str, caught: tuple[type[Exception], ...] = ()) -> Any:
        """Make a node that asks about some orders, one after the other."""

        def node(state: State) -> State:
            self.runs[name] += 1
            said = []
            for order in orders:
                try:
                    decision = await_human(**question(order, **self.fields))
                    said.append(f"{order}: {decision.approved} {decision.note}".strip())
                except caught as error:
                    said.append(f"{order}: {type(error).__name__}")
            return {"log": said}

        return node

    def saying(self, name: str) -> Any:
        def node(state: State) -> State:
            self.runs[name] += 1
            return {"log": [name]}

        return node

    def compiled(self, nodes: dict[str, Any], *edges: tuple[str, str], saver: Any = None, **options: Any) -> Any:
        """Compile nodes with edges; without any, all run at the same time."""
        builder = StateGraph(State)
        for name, node in nodes.items():
            builder.add_node(name, node)
        for start, end in edges or [(START, name) for name in nodes]:
            builder.add_edge(start, end)
        if not edges:
            for name in nodes:
                builder.add_edge(name, END)
        return builder.compile(checkpointer=InMemorySaver() if saver is None else saver, **options)


def thread(name: str = "t") -> Any:
    return {"configurable": {"thread_id": name}}
