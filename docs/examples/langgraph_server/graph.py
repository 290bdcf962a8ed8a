"""A graph that asks, as a LangGraph API server runs it: without a checkpointer of its own."""

from __future__ import annotations

from typing import TypedDict

from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from awaithumans.adapters.langgraph import await_human


class Refund(BaseModel):
    """What people are shown."""

    order: str
    amount: int


class Decision(BaseModel):
    """What the graph wants to know."""

    approved: bool
    note: str = ""


class State(TypedDict, total=False):
    order: str
    amount: int
    outcome: str


def approve(state: State) -> State:
    decision = await_human(
        task=f"Refund order {state['order']}?",
        payload_schema=Refund,
        payload=Refund(order=state["order"], amount=state["amount"]),
        response_schema=Decision,
        timeout_seconds=24 * 60 * 60,
    )
    return {"outcome": "refunded" if decision.approved else f"refused: {decision.note}"}


builder = StateGraph(State)
builder.add_node("approve", approve)
builder.add_edge(START, "approve")
refunds = builder.compile()
