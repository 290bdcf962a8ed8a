"""A service that asks people what the graphs of a LangGraph API server want to know.

    make langgraph-server
    cd docs/examples/langgraph_server && ../../../.venv-langgraph/bin/langgraph dev --no-browser

and in another terminal, with the orders that a refund is asked for:

    python docs/examples/langgraph_server/ask_people.py A-1001 A-1002

Open the printed link and answer. Stop either of the two while a question
waits, and start it again, with the same orders or without: the question is
still there, and is not asked twice.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

import anyio
import httpx
import uvicorn
from fastapi import FastAPI, Request
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.client import LangGraphClient

from awaithumans import Engine, Human, OutcomeError, TaskSpec
from awaithumans.adapters.langgraph import sweep_remote_threads
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import Router

LANGGRAPH_URL = os.environ.get("LANGGRAPH_URL", "http://127.0.0.1:2024")
PORT = int(os.environ.get("PORT", "8000"))
SWEPT_EVERY = float(os.environ.get("SWEPT_EVERY", "2"))
EXPENSIVE = 1_000

logger = logging.getLogger("ask_people")
engine = Engine(
    SQLAlchemyStore("sqlite:///questions.db"),
    secret="for this loopback example only; keep yours to yourself",
    public_url=f"http://127.0.0.1:{PORT}/humans",
)


def current_user(_: Request) -> Human:
    """Say who is logged in; a real application knows from its session."""
    return Human(id="you", email="you@example.com", display_name="You", operator=True)


def whom_to_ask(spec: TaskSpec) -> TaskSpec:
    """Send what is expensive to the head of the department."""
    amount = spec.payload.get("amount")
    boss = isinstance(amount, int) and amount > EXPENSIVE
    return replace(spec, assign_to={"email": "head@example.com" if boss else "you@example.com"})


async def sweep(client: LangGraphClient) -> None:
    """Ask what is to be asked, and resume what is answered, again and again."""
    while True:
        try:
            swept = await sweep_remote_threads(client, engine=engine, reroute=whom_to_ask)
        except Exception:
            logger.exception("the LangGraph server could not be swept; trying again")
        else:
            for one in swept:
                if isinstance(one.error, OutcomeError):
                    logger.info("thread %s: %s; it is asked again", one.thread_id, one.error.message)
                elif one.error:
                    logger.error("thread %s", one.thread_id, exc_info=one.error)
        await anyio.sleep(SWEPT_EVERY)


def begin(orders: Sequence[str]) -> None:
    """Run the graph once for each order, as any client of the server would."""
    with get_sync_client(url=LANGGRAPH_URL) as client:
        client.assistants.search(graph_id="refunds", limit=1)
        for order in orders:
            thread_id = str(uuid5(NAMESPACE_URL, f"https://shop.example.com/orders/{order}"))
            client.threads.create(thread_id=thread_id, if_exists="do_nothing")
            if not client.runs.list(thread_id, limit=1):
                client.runs.create(thread_id, "refunds", input={"order": order, "amount": 99})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.run(), get_client(url=LANGGRAPH_URL) as client, anyio.create_task_group() as group:
        group.start_soon(sweep, client)
        print(f"Your questions: http://127.0.0.1:{PORT}/humans/", flush=True)
        yield
        group.cancel_scope.cancel()
    await engine.aclose()


app = FastAPI(lifespan=lifespan)
app.mount("/humans", Router(engine, auth=current_user))


def main() -> None:
    """Begin what is asked for, and serve until stopped."""
    logging.basicConfig(level=logging.WARNING)
    try:
        begin(sys.argv[1:])
    except httpx.TransportError:
        sys.exit(f"No LangGraph server answers at {LANGGRAPH_URL}; start it first, or set LANGGRAPH_URL.")
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")


if __name__ == "__main__":
    main()
