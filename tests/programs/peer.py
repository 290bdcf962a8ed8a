"""One of two processes on one database.

Usage: python -m tests.programs.peer ask|answer|work DATABASE_URL OUTBOX

`ask` waits for a decision, `answer` gives it, `work` runs an engine until its
standard input closes, delivering what others asked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from awaithumans import Engine, Query, await_human
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from tests.programs.mortal_agent import ANA, Decision, Outbox, Refund


async def ask(engine: Engine) -> None:
    decision = await await_human(
        task="Approve the refund?",
        payload_schema=Refund,
        payload=Refund(order="A-1"),
        response_schema=Decision,
        timeout_seconds=3_600,
        engine=engine,
    )
    say(decision.model_dump_json())


async def answer(engine: Engine) -> None:
    while not (asked := await engine.find(Query())):
        await anyio.sleep(0.01)
    await anyio.to_thread.run_sync(sys.stdin.readline)
    await engine.submit(asked[0].id, {"approved": True}, by=ANA)
    say("answered")


async def work(engine: Engine) -> None:
    say("ready")
    await anyio.to_thread.run_sync(sys.stdin.read)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(role: str, url: str, outbox: str) -> None:
    store = SQLAlchemyStore(url)
    async with Engine(store, channels=[Outbox(Path(outbox))]).run() as engine:
        await {"ask": ask, "answer": answer, "work": work}[role](engine)
    await store.aclose()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
