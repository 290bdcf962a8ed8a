"""The service of docs/examples/langgraph_server, beside the server that it sweeps."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import httpx2
from langgraph_sdk import get_sync_client

from tests.daemons import free_port
from tests.langgraph_server import installed
from tests.running import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "langgraph_server"


def test_the_service_asks_for_the_parked_threads_and_resumes_them(tmp_path: Path) -> None:
    """Stopped while the question waits, and started again with the same order, it asks for it no second time."""
    with installed(EXAMPLE) as server:
        url = f"http://127.0.0.1:{free_port()}"
        with serving(server.url, url, tmp_path), httpx2.Client(base_url=url) as browser:
            path = task_path(browser)
        with serving(server.url, url, tmp_path):
            assert answer(url) == path
            assert outcome(server.url) == "refused: no receipt"
        with get_sync_client(url=server.url) as client:
            [thread] = client.threads.search()
            assert len(client.runs.list(thread["thread_id"])) == 2, "one that asked, and one that was answered"


def test_without_a_server_it_says_so_and_ends(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = subprocess.run(
        [sys.executable, EXAMPLE / "ask_people.py", "A-1001"],
        cwd=tmp_path,
        env={"LANGGRAPH_URL": nowhere, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == f"No LangGraph server answers at {nowhere}; start it first, or set LANGGRAPH_URL.\n"


@contextmanager
def serving(langgraph: str, url: str, folder: Path) -> Iterator[None]:
    """Run the service until the block ends."""
    port = url.rpartition(":")[2]
    settings = {"LANGGRAPH_URL": langgraph, "PORT": port, "SWEPT_EVERY": "0.2", "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("ab") as log:
        service = subprocess.Popen(
            [sys.executable, EXAMPLE / "ask_people.py", "A-1001"], cwd=folder, env=settings, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        service.terminate()
        service.wait(20)
        sys.stderr.write((folder / "log").read_text())


def answer(url: str) -> str:
    """Do what a browser does, once the question is there; return the path of its page."""
    with httpx2.Client(base_url=url) as browser:
        path = task_path(browser)
        page = browser.get(path).text
        assert "Refund order A-1001?" in unescape(page)
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        form = {**hidden, "approved": "false", "note": "no receipt"}
        assert browser.post(path, data=form, headers={"Origin": url}).status_code in {200, 303}
        return path


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
