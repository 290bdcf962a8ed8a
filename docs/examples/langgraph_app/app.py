"""A FastAPI application that hosts a LangGraph graph, and asks people for it.

    uvicorn docs.examples.langgraph_app.app:app

Needs `pip install 'awaithumans[langgraph]' langgraph-checkpoint-sqlite fastapi uvicorn`.

Begin a refund, and open the link that this prints:

    python docs/examples/langgraph_app/kickoff.py A-1001

Nothing waits in the process. When you have answered, the engine's callback
resumes the graph, which pays or does not. Kill the process whenever you like
and start it again: it goes on where it was, and the money leaves once.

`URL` in the environment says where people reach it, if not at
http://127.0.0.1:8000: with `--port 8001`, set `URL=http://127.0.0.1:8001`, for
kickoff.py, too.

It listens on loopback, where everybody is let in. For others, see
fastapi_app.py: it has a log-in, tokens and secrets.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any, Literal, TypedDict

from fastapi import FastAPI, HTTPException, Request
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import StateSnapshot
from pydantic import BaseModel

from awaithumans import Engine, Human, TaskTimeoutError
from awaithumans.adapters.langgraph import LangGraphChannel, await_human, drive_human_loop
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import Router

URL = os.environ.get("URL", "http://127.0.0.1:8000")
ORDERS = {"A-1001": 99, "A-1002": 480}
"""What the customers have paid; a real shop looks it up."""


class Refund(BaseModel):
    """What the reviewer sees."""

    order: str
    amount: int


class Decision(BaseModel):
    """What the graph wants to know."""

    approved: bool


class State(TypedDict, total=False):
    """What the graph carries along."""

    order: str
    amount: int
    decision: Literal["approved", "refused", "put off"]


# ── The graph ─────────────────────────────────────────────────────────────────


def thread(order: str) -> RunnableConfig:
    """Name the thread after what may happen only once."""
    return {"configurable": {"thread_id": f"refund:{order}"}}


def look_up(state: State) -> State:
    """Find out what is shown, in a node that does not run again."""
    return {"amount": ORDERS[state["order"]]}


def review(state: State, config: RunnableConfig) -> State:
    """Ask, and have the answer resume this very thread."""
    try:
        decision = await_human(
            task="Approve this refund?",
            payload_schema=Refund,
            payload=Refund(order=state["order"], amount=state["amount"]),
            response_schema=Decision,
            timeout_seconds=7 * 24 * 60 * 60,
            callback_url=f"langgraph:{config['configurable']['thread_id']}",
            engine=engine,
        )
    except TaskTimeoutError:
        return {"decision": "put off"}
    return {"decision": "approved" if decision.approved else "refused"}


def pay(state: State, config: RunnableConfig) -> None:
    """Pay once: the bank knows a repeated payment by its key."""
    with closing(sqlite3.connect("bank.db")) as bank, bank:
        bank.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, amount INTEGER)")
        payment = (config["configurable"]["thread_id"], state["amount"])
        bank.execute("INSERT OR IGNORE INTO payments VALUES (?, ?)", payment)


builder = StateGraph(State)
builder.add_node(look_up)
builder.add_node(review)
builder.add_node(pay)
builder.add_edge(START, "look_up")
builder.add_edge("look_up", "review")
builder.add_conditional_edges("review", lambda state: "pay" if state["decision"] == "approved" else END, ["pay", END])
builder.add_edge("pay", END)
graph = builder.compile(checkpointer=SqliteSaver(sqlite3.connect("graphs.db", check_same_thread=False)))


# ── The application ───────────────────────────────────────────────────────────

engine = Engine(
    SQLAlchemyStore("sqlite:///approvals.db"),
    channels=[LangGraphChannel(graph)],
    secret="for this loopback demo only; keep yours to yourself",
    public_url=f"{URL}/humans",
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Do the engine's background work, which resumes graphs, while the server runs."""
    async with engine.run():
        yield
    await engine.aclose()


def current_user(_: Request) -> Human:
    """Say who is logged in; a real application knows from its session."""
    return Human(id="you", display_name="You", operator=True)


app = FastAPI(title="A shop", lifespan=lifespan)
app.mount("/humans", Router(engine, auth=current_user))


@app.post("/refunds/{order}", status_code=202)
async def start(order: str) -> dict[str, Any]:
    """Begin a refund, or go on with it: repeating the request is harmless."""
    if order not in ORDERS:
        raise HTTPException(404)
    state = await drive_human_loop(
        graph, input_state={"order": order}, config=thread(order), engine=engine, raise_in_node=True, wait=False
    )
    return progress(state)


@app.get("/refunds/{order}")
def look(order: str) -> dict[str, Any]:
    """Tell how a refund stands."""
    state = graph.get_state(thread(order))
    if state.created_at is None:
        raise HTTPException(404)
    return progress(state)


def progress(state: StateSnapshot) -> dict[str, Any]:
    """Tell where the graph is, and where its question is answered."""
    links = [engine.page_url(one.value["task_id"]) for one in state.interrupts]
    return {"done": not state.tasks, "decision": state.values.get("decision"), "link": links[0] if links else None}
