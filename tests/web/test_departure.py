"""A server that is told to stop does not wait for long-polls."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest

TOKEN = "a token for this test only"
PATIENCE = 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_server_ends_its_long_polls(number, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "AWAITHUMANS_DATABASE_URL": f"sqlite:///{tmp_path}/t.db",
        "AWAITHUMANS_SECRET": "s" * 32,
        "AWAITHUMANS_ADMIN_API_TOKEN": TOKEN,
    }
    program = [sys.executable, "-m", "uvicorn", "docs.examples.fastapi_app:app", "--port", str(port)]
    with subprocess.Popen(program, env=environment, stderr=subprocess.PIPE) as server:
        api = httpx2.Client(
            base_url=f"http://127.0.0.1:{port}/humans/api",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=PATIENCE,
        )
        with api:
            await_up(api)
            task = api.post("/tasks", json=question()).json()
            replies: list[httpx2.Response] = []
            poll = threading.Thread(target=lambda: replies.append(api.get(f"/tasks/{task['id']}/poll?timeout=25")))
            poll.start()
            time.sleep(0.5)  # the request is under way; what if it is not, tests/examples shows
            started = time.monotonic()
            server.send_signal(number)
            poll.join(PATIENCE)
            server.wait(PATIENCE)
            assert time.monotonic() - started < 10
        assert [(reply.status_code, reply.json()["status"]) for reply in replies] == [(200, "created")]


def await_up(api: httpx2.Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if api.get("/health").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")


def question() -> dict[str, object]:
    return {
        "task": "Approve?",
        "payload": {},
        "payload_schema": {"type": "object"},
        "response_schema": {"type": "object"},
        "timeout_seconds": 600,
        "idempotency_key": "k",
    }
