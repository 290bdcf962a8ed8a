"""Several processes on one database: they wake each other and share the work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack

import anyio
import pytest

from awaithumans import Engine
from awaithumans.background import RECHECK_EVERY
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.engines import a_question
from tests.programs.mortal_agent import Outbox

PATIENCE = 30
TASKS = 120


def start(role: str, url: str, outbox: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "tests.programs.peer", role, url, outbox]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite", "postgresql", "postgresql+asyncpg", "mariadb", "mariadb+asyncmy"])
def url(request, database_url) -> str:
    url: str = database_url(request.param)
    return url


def test_an_answer_in_one_process_wakes_the_waiter_in_another(url, tmp_path):
    """By a hint, and not only by the slow re-check."""
    with ExitStack() as stack:
        asking = stack.enter_context(start("ask", url, str(tmp_path / "a")))
        answering = stack.enter_context(start("answer", url, str(tmp_path / "b")))
        assert answering.stdin is not None
        assert asking.stdout is not None
        started = time.monotonic()
        answering.stdin.write("now\n")
        answering.stdin.flush()
        assert answering.wait(PATIENCE) == 0
        assert json.loads(asking.stdout.readline()) == {"approved": True}
        assert time.monotonic() - started < RECHECK_EVERY / 2
        assert asking.wait(PATIENCE) == 0


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
@pytest.mark.anyio
async def test_two_processes_deliver_all_and_double_none(database, database_url, tmp_path):
    url = database_url(database)
    outboxes = [tmp_path / "a", tmp_path / "b"]
    with ExitStack() as stack:
        workers = [stack.enter_context(start("work", url, str(outbox))) for outbox in outboxes]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        await ask_many(url, tmp_path)
        sent = await all_sent(outboxes)
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.close()
            assert worker.wait(PATIENCE) == 0
    assert len(sent) == len(set(sent)) == TASKS


async def ask_many(url: str, tmp_path) -> None:
    """Ask without doing any of the deliveries here."""
    store = SQLAlchemyStore(url)
    engine = Engine(store, channels=[Outbox(tmp_path / "unused")])
    engine._background._start_lazily = lambda: None  # type: ignore[method-assign]
    for _ in range(TASKS):
        await engine.create(a_question(notify=("outbox:ana",)))
    await store.aclose()


async def all_sent(outboxes) -> list[str]:
    with anyio.fail_after(PATIENCE):
        while True:
            lines = [line for box in outboxes if box.exists() for line in box.read_text().splitlines()]
            if len(lines) >= TASKS:
                return [json.loads(line)["id"] for line in lines]
            await anyio.sleep(0.05)
