"""The service of docs/examples/langgraph_server, beside the server that it sweeps."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import httpx2
from langgraph_sdk import get_sync_client

from tests.daemons import free_port
from tests.langgraph_server import installed
from tests.running import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "langgraph_server"


def test_the_service_asks_for_the_parked_threads_and_resumes_them(tmp_path: Path) -> None:
    with installed(EXAMPLE) as server:
        port = free_port()
        settings = {"LANGGRAPH_URL": server.url, "PORT": str(port), "SWEPT_EVERY": "0.2", "PYTHONPATH": str(ROOT)}
        with (tmp_path / "log").open("wb") as log:
            service = subprocess.Popen(
                [sys.executable, EXAMPLE / "ask_people.py", "A-1001"],
                cwd=tmp_path,
                env=settings,
                stdout=log,
                stderr=log,
            )
        try:
            answer(f"http://127.0.0.1:{port}")
            assert outcome(server.url) == "refused: no receipt"
        finally:
            service.terminate()
            service.wait(20)
            sys.stderr.write((tmp_path / "log").read_text())


def answer(url: str) -> None:
    """Do what a browser does, once the question is there."""
    with httpx2.Client(base_url=url) as browser:
        path = task_path(browser)
        page = browser.get(path).text
        assert "Refund order A-1001?" in unescape(page)
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        form = {**hidden, "approved": "false", "note": "no receipt"}
        assert browser.post(path, data=form, headers={"Origin": url}).status_code in {200, 303}


def task_path(browser: httpx2.Client) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if found := re.search(r"/humans/tasks/\w+", browser.get("/humans/").text):
                return found[0]
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("nobody was asked")


def outcome(url: str) -> object:
    """Give what the graph made of the answer."""
    deadline = time.monotonic() + 30
    with get_sync_client(url=url) as client:
        while time.monotonic() < deadline:
            if finished := client.threads.search(status="idle"):
                return (finished[0]["values"] or {})["outcome"]
            time.sleep(0.1)
    raise AssertionError("the thread was not resumed")
