"""An agent asks for a refund approval, and you decide in your browser.

    make demo              # open the printed link and answer
    make demo ANSWER=yes   # answers by itself, through the page's own form

One process: a FastAPI application with the task engine mounted at /humans, on
a SQLite file, and an agent in it. Stop it while it waits and start it again:
the question is still there.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import httpx2
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

from awaithumans import Engine, Human, Notice, await_human
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import Router

PORT = int(os.environ.get("PORT", "0"))


class Refund(BaseModel):
    """What the agent shows."""

    order: str
    customer: str
    amount: Decimal
    reason: str


class Decision(BaseModel):
    """What it wants to know."""

    approved: bool
    note: str = ""


class Console:
    """A channel of four lines: it prints where to answer."""

    name = "console"

    def check(self, target: str) -> None:
        """Accept any target."""

    async def send(self, notice: Notice) -> None:
        """Say what happened, and where to look."""
        print(f"\r{notice.event}: {notice.task.spec.task} {notice.url}", flush=True)


def current_user(_: Request) -> Human:
    """Say who is logged in; a real application knows from its session."""
    return Human(id="you", display_name="You", operator=True)


def build(url: str) -> tuple[Engine, FastAPI]:
    """Put the engine on a SQLite file, and mount its pages."""
    engine = Engine(
        SQLAlchemyStore("sqlite:///quickstart.db"),
        channels=[Console()],
        secret="for this loopback demo only; keep yours to yourself",
        public_url=f"{url}/humans",
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.run():
            yield
        await engine.aclose()

    app = FastAPI(lifespan=lifespan)
    app.mount("/humans", Router(engine, auth=current_user))
    return engine, app


async def agent(engine: Engine) -> Decision:
    """Ask a person, and go on with a typed answer."""
    return await await_human(
        task="Approve this refund?",
        payload_schema=Refund,
        payload=Refund(order="A-1001", customer="Jo Park", amount=Decimal("99.99"), reason="Arrived broken"),
        response_schema=Decision,
        timeout_seconds=15 * 60,
        notify=["console:you"],
        engine=engine,
    )


async def answer_in_the_browsers_place(url: str) -> None:
    """Do what a browser does: open the queue, open the task, send its form."""
    async with httpx2.AsyncClient(base_url=url, follow_redirects=True) as browser:
        with anyio.fail_after(30):
            while not (found := re.search(r"/humans/tasks/\w+", (await browser.get("/humans/")).text)):
                await anyio.sleep(0.1)
        page = await browser.get(found[0])
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        answer = {**hidden, "approved": "true", "note": "Sent by make demo ANSWER=yes"}
        sent = await browser.post(found[0], data=answer, headers={"Origin": url})
        sent.raise_for_status()


async def main() -> None:
    """Serve the application on loopback, and run the agent beside it."""
    listener = socket.create_server(("127.0.0.1", PORT))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    engine, app = build(url)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])
        print(f"Your questions: {url}/humans/", flush=True)
        if os.environ.get("ANSWER"):
            group.start_soon(answer_in_the_browsers_place, url)
        decision = await agent(engine)
        print(f"The agent goes on with {decision!r}", flush=True)
        server.should_exit = True


if __name__ == "__main__":
    try:
        anyio.run(main)
    except KeyboardInterrupt:
        sys.exit("\nStopped. The question is kept in quickstart.db; start again to go on waiting.")
