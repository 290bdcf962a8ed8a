"""Programs whose questions come to their own console.

    python -m tests.programs.console_app WAY [PORT]

The answer goes to standard output as JSON.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount

from awaithumans import Engine, Human, await_human, await_human_sync
from awaithumans.channels.console import ConsoleChannel
from awaithumans.directory import StaticDirectory
from awaithumans.stores.memory import MemoryStore
from awaithumans.web import ApiToken, Router

SECRET = "0123456789" * 4
TOKEN = "token-of-the-console-app"
PEOPLE = [Human(id="ana", email="ana@example.com", display_name="Ana")]


class Refund(BaseModel):
    """What is shown."""

    order: str = "A-1"


class Decision(BaseModel):
    """What is asked."""

    approved: bool


QUESTION: dict[str, Any] = {
    "task": "Approve the refund?",
    "payload_schema": Refund,
    "payload": Refund(),
    "response_schema": Decision,
    "timeout_seconds": 60,
}


def new_engine(port: int = 8000) -> Engine:
    return Engine(
        MemoryStore(),
        channels=[ConsoleChannel()],
        directory=StaticDirectory(PEOPLE),
        secret=SECRET,
        public_url=f"http://127.0.0.1:{port}",
    )


def in_a_coroutine(_: int) -> None:
    async def main() -> None:
        async with new_engine().run():
            decision = await await_human(**QUESTION, assign_to="ana@example.com", notify=["console"])
            print(decision.model_dump_json(), flush=True)

    anyio.run(main)


def in_threads(_: int) -> None:
    decision = await_human_sync(**QUESTION, notify=["console:me"], engine=new_engine())
    print(decision.model_dump_json(), flush=True)


def in_a_server(port: int) -> None:
    engine = new_engine(port)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with engine.run():
            yield

    router = Router(engine, tokens=[ApiToken.admin(TOKEN, may_answer_own=True)])
    app = Starlette(routes=[Mount("/", router)], lifespan=lifespan)
    uvicorn.run(app, port=port, log_level=logging.INFO)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 0)
