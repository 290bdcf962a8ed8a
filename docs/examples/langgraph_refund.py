"""A graph asks whether it may pay a refund, and you decide in your browser.

    python docs/examples/langgraph_refund.py              # open the printed link and answer
    ANSWER=yes python docs/examples/langgraph_refund.py   # answers by itself

Press Ctrl-C while it waits, or kill it, and run it again: the graph is parked
in graphs.db, the question is in approvals.db, and both go on. bank.db has one
payment for each order, however often the program was killed. Another order is
another refund:

    python docs/examples/langgraph_refund.py A-1002

Needs `pip install 'awaithumans[langgraph]' langgraph-checkpoint-sqlite uvicorn`.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
from contextlib import closing
from typing import TypedDict

import anyio
import uvicorn
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from starlette.requests import Request

from awaithumans import Actor, Engine, Human, Query, TaskStatus
from awaithumans.adapters.langgraph import await_human, drive_human_loop
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import Router

YOU = Human(id="you", display_name="You", operator=True)


class Refund(BaseModel):
    """What you see."""

    order: str
    amount: int


class Decision(BaseModel):
    """What the graph wants to know."""

    approved: bool


class State(TypedDict, total=False):
    """What the graph carries along."""

    order: str
    amount: int
    approved: bool


def review(state: State) -> State:
    """Ask. This node runs again with the answer, so it does nothing else."""
    decision = await_human(
        task="Approve this refund?",
        payload_schema=Refund,
        payload=Refund(order=state["order"], amount=state["amount"]),
        response_schema=Decision,
        timeout_seconds=24 * 60 * 60,
    )
    return {"approved": decision.approved}


def pay(state: State, config: RunnableConfig) -> None:
    """Pay once: the bank knows a repeated payment by its key."""
    with closing(sqlite3.connect("bank.db")) as bank, bank:
        bank.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, amount INTEGER)")
        payment = (config["configurable"]["thread_id"], state["amount"])
        bank.execute("INSERT OR IGNORE INTO payments VALUES (?, ?)", payment)


builder = StateGraph(State)
builder.add_node(review)
builder.add_node(pay)
builder.add_edge(START, "review")
builder.add_conditional_edges("review", lambda state: "pay" if state["approved"] else END, ["pay", END])
builder.add_edge("pay", END)


async def drive(engine: Engine, order: str) -> bool:
    """Run the graph to its end, from wherever it is parked."""
    async with AsyncSqliteSaver.from_conn_string("graphs.db") as saver:
        state = await drive_human_loop(
            builder.compile(checkpointer=saver),
            input_state={"order": order, "amount": 99},
            config={"configurable": {"thread_id": f"refund:{order}"}},
            engine=engine,
        )
    return bool(state.values["approved"])


async def answer_yes(engine: Engine) -> None:
    """Answer in your place, whatever is asked."""
    while True:
        for task in await engine.find(Query(statuses=frozenset({TaskStatus.PENDING}))):
            await engine.submit(task.id, {"approved": True}, by=Actor.of(YOU, auth="engine"))
        await anyio.sleep(0.1)


async def main(order: str) -> None:
    """Serve the questions on loopback, and drive the graph beside it."""
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    engine = Engine(
        SQLAlchemyStore("sqlite:///approvals.db"),
        secret="for this loopback demo only; keep yours to yourself",
        public_url=url,
    )

    def current_user(_: Request) -> Human:
        return YOU

    pages = uvicorn.Config(Router(engine, auth=current_user), log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(pages)
    async with engine.run(), anyio.create_task_group() as serving:
        serving.start_soon(server.serve, [listener])
        print(f"Your questions: {url}/", flush=True)
        async with anyio.create_task_group() as group:
            if os.environ.get("ANSWER"):
                group.start_soon(answer_yes, engine)
            approved = await drive(engine, order)
            group.cancel_scope.cancel()
        print(f"Order {order}: {'paid' if approved else 'refused'}", flush=True)
        server.should_exit = True
    await engine.aclose()


if __name__ == "__main__":
    try:
        anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "A-1001")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The graph is parked; run it again to go on.")
