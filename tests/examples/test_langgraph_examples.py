"""The example graphs, as processes: they are killed, and end once with the right answer."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest

from awaithumans import Engine, Query
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from tests.running import ROOT, Running, running

EXAMPLES = ROOT / "docs" / "examples"
WITHIN = 25


def decide(url: str, *, approved: bool) -> None:
    """Do what a browser does: load the page, send its form."""
    with httpx2.Client(timeout=30) as person:
        page = person.get(url)
        assert page.status_code == 200, page.text
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        fields = {name: unescape(value) for name, value in hidden} | {"approved": "true" if approved else "false"}
        sent = person.post(url, data=fields, headers={"Origin": "/".join(url.split("/")[:3])})
        assert sent.status_code == 303, sent.text


def payments(folder: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(folder / "bank.db")) as bank:
        bank.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, amount INTEGER)")
        return bank.execute("SELECT key, amount FROM payments").fetchall()


async def decisions(folder: Path) -> dict[str, list[Any]]:
    """Give what was answered about each order."""
    engine = Engine(SQLAlchemyStore(f"sqlite:///{folder / 'approvals.db'}"))
    found: dict[str, list[Any]] = {}
    for task in await engine.find(Query(limit=100)):
        found.setdefault(str(task.spec.payload["order"]), []).append(task.response)
    await engine.aclose()
    return found


def free_leases(folder: Path) -> None:
    """Let the half minute pass for which a killed process still has its leases."""
    with closing(sqlite3.connect(folder / "approvals.db")) as approvals, approvals:
        approvals.execute("DELETE FROM awaithumans_records WHERE kind = 'lease'")


# ── langgraph_refund.py ───────────────────────────────────────────────────────


@dataclass(frozen=True)
class Program:
    """The program while it runs, and what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path

    def printed(self, pattern: str) -> str:
        """Wait until something is printed; return it."""
        deadline = time.monotonic() + WITHIN
        while not (found := re.search(pattern, self.log.read_text())):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return found[0]

    def question(self) -> str:
        """Wait until something is asked; return the address of its page."""
        url = self.printed(r"http://[\d.:]+")
        deadline = time.monotonic() + WITHIN
        while not (found := re.search(r"/tasks/\w+", httpx2.get(f"{url}/").text)):
            assert time.monotonic() < deadline, "nothing is asked"
            time.sleep(0.02)
        return url + found[0]


@contextmanager
def refunding(folder: Path, **environment: str) -> Iterator[Program]:
    log = folder / "program.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / "langgraph_refund.py"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.mark.anyio
async def test_the_refund_answers_by_itself_and_is_paid_once(tmp_path: Path):
    for _ in range(2):
        with refunding(tmp_path, ANSWER="yes") as program:
            assert program.process.wait(WITHIN) == 0, program.log.read_text()
            assert "Order A-1001: paid" in program.log.read_text()
    assert payments(tmp_path) == [("refund:A-1001", 99)]
    assert await decisions(tmp_path) == {"A-1001": [{"approved": True}]}


@pytest.mark.anyio
async def test_the_refund_goes_on_after_it_was_stopped_or_killed(tmp_path: Path):
    with refunding(tmp_path) as program:
        program.question()
        program.process.send_signal(signal.SIGINT)
        assert program.process.wait(WITHIN) == 1
        assert "run it again to go on" in program.log.read_text()
    with refunding(tmp_path) as program:
        program.question()
        program.process.kill()
        program.process.wait()
    free_leases(tmp_path)
    with refunding(tmp_path) as program:
        decide(program.question(), approved=False)
        assert program.process.wait(WITHIN) == 0, program.log.read_text()
        assert "Order A-1001: refused" in program.log.read_text()
    assert payments(tmp_path) == []
    assert await decisions(tmp_path) == {"A-1001": [{"approved": False}]}


# ── langgraph_app ─────────────────────────────────────────────────────────────


@contextmanager
def application(folder: Path) -> Iterator[Running]:
    command = ["uvicorn", "docs.examples.langgraph_app.app:app", "--fd", "{fd}"]
    with running(command, cwd=folder, env={"URL": "{url}"}) as server:
        yield server


def kick_off(server: Running, order: str) -> str:
    """Run kickoff.py; return what it prints."""
    return subprocess.run(
        [sys.executable, EXAMPLES / "langgraph_app" / "kickoff.py", order],
        env={"PATH": os.environ["PATH"], "URL": server.url},
        check=True,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    ).stdout


def refund(server: Running, order: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{server.url}/refunds/{order}", timeout=30).json()
    return found


def outcome(server: Running, order: str) -> str:
    """Wait until the refund has ended; return its decision."""
    deadline = time.monotonic() + WITHIN
    while not (found := refund(server, order))["done"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return str(found["decision"])


def kill(server: Running, folder: Path) -> None:
    """Kill the process, and let the minute pass for which nobody else does what it was doing."""
    server.process.kill()
    server.process.wait()
    with closing(sqlite3.connect(folder / "approvals.db")) as approvals, approvals:
        approvals.execute("UPDATE awaithumans_effects SET available_at = due WHERE settled_at IS NULL")
    free_leases(folder)


def checkpoints(folder: Path, thread: str) -> int:
    """Count the steps that a graph has saved."""
    with closing(sqlite3.connect(folder / "graphs.db")) as graphs:
        [[count]] = graphs.execute("SELECT count(*) FROM checkpoints WHERE thread_id = ?", [thread])
        return int(count)


def wait_for_a_step(folder: Path, thread: str, behind: int) -> None:
    """Return as soon as a graph has run on."""
    deadline = time.monotonic() + WITHIN
    while checkpoints(folder, thread) <= behind:
        assert time.monotonic() < deadline, "the graph was not resumed"


@pytest.mark.anyio
async def test_the_application_ends_each_graph_once_though_it_is_killed_again_and_again(tmp_path: Path):
    with application(tmp_path) as server:
        assert httpx2.post(f"{server.url}/refunds/A-9").status_code == 404
        assert httpx2.get(f"{server.url}/refunds/A-1001").status_code == 404
        links = [re.findall(r"http\S+", kick_off(server, order)) for order in ("A-1001", "A-1001", "A-1002")]
        assert links[0] == links[1] != links[2]
        kill(server, tmp_path)  # between question and answer
    with application(tmp_path) as server:
        decide(refund(server, "A-1002")["link"], approved=False)
        kill(server, tmp_path)  # right after the answer
    with application(tmp_path) as server:
        parked = checkpoints(tmp_path, "refund:A-1001")
        decide(refund(server, "A-1001")["link"], approved=True)
        wait_for_a_step(tmp_path, "refund:A-1001", parked)
        kill(server, tmp_path)  # behind the review, while it pays or has just ended
    with application(tmp_path) as server:
        assert outcome(server, "A-1001") == "approved"
        assert outcome(server, "A-1002") == "refused"
        assert kick_off(server, "A-1001") == "Order A-1001: approved\n"
    assert payments(tmp_path) == [("refund:A-1001", 99)]
    assert await decisions(tmp_path) == {"A-1001": [{"approved": True}], "A-1002": [{"approved": False}]}
    begun_looked_up_and_reviewed = 4
    assert checkpoints(tmp_path, "refund:A-1002") == begun_looked_up_and_reviewed
    assert checkpoints(tmp_path, "refund:A-1001") == begun_looked_up_and_reviewed + 1, "and paid"
