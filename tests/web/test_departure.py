"""A server that is told to stop does not wait for long-polls."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from awaithumans.web import departure
from awaithumans.web.departure import until_departure
from awaithumans.web.seats import BRIEF
from tests.running import Running, running
from tests.web.world import World, as_program

TOKEN = "a token for this test only"
PATIENCE = 20
START_SECONDS = 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_server_ends_its_long_polls(number: signal.Signals, tmp_path: Path) -> None:
    with example_server(f"sqlite:///{tmp_path}/t.db", tmp_path) as (server, api):
        task = api.post("/tasks", json=question()).json()
        replies: list[httpx2.Response] = []
        poll = threading.Thread(target=lambda: replies.append(api.get(f"/tasks/{task['id']}/poll?timeout=25")))
        poll.start()
        until(lambda: re.search(r"Started scope=.*/poll'", server.log.read_text()))  # what if not, tests/examples shows
        started = time.monotonic()
        server.process.send_signal(number)
        poll.join(PATIENCE)
        server.process.wait(PATIENCE)
        assert time.monotonic() - started < PATIENCE
    assert [(reply.status_code, reply.json()["status"]) for reply in replies] == [(200, "created")]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Have a process that survives a SIGTERM; give what its handlers say."""
    said: list[str] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(departure, "_last_told", departure._last_told)
    monkeypatch.setattr(departure, "_looked_at", -math.inf)
    signal.signal(signal.SIGTERM, lambda *_: said.append("the server's"))
    yield said
    for number, handler in before.items():
        signal.signal(number, handler)


async def wait_a_moment() -> None:
    with until_departure():
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_a_handler_that_is_set_later_and_chains_this_one_is_called_once(heard: list[str]) -> None:
    """As libraries do that flush something at the end."""
    await wait_a_moment()
    chained = signal.getsignal(signal.SIGTERM)
    assert callable(chained)

    def flush(number: int, frame: object) -> None:
        heard.append("the library's")
        chained(number, frame)  # type: ignore[arg-type]

    signal.signal(signal.SIGTERM, flush)
    for _ in range(3):
        await wait_a_moment()
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["the library's", "the server's"]


@pytest.mark.anyio
async def test_a_signal_that_the_process_survives_ends_open_polls_and_makes_later_ones_brief(
    heard: list[str], world: World, client: httpx2.AsyncClient
) -> None:
    """Ended at once, they would come again at once, for a minute."""
    task_id = await world.ask(client)
    took: list[float] = []

    async def poll() -> None:
        started = time.monotonic()
        reply = await client.get(f"/api/tasks/{task_id}/poll?timeout=30", headers=as_program("asker"))
        assert reply.json()["status"] == "created"
        took.append(time.monotonic() - started)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(poll)
            while task_id not in world.engine._hub.awaited():
                await anyio.lowlevel.checkpoint()
            signal.raise_signal(signal.SIGTERM)
        await poll()
    assert heard == ["the server's"]
    assert took[0] < 10
    assert BRIEF <= took[1] < 10


@pytest.mark.anyio
async def test_the_first_poll_may_come_just_behind_the_signal(
    heard: list[str], world: World, client: httpx2.AsyncClient
) -> None:
    """The worker has had other requests before, such as the one that asked."""
    task_id = await world.ask(client)
    signal.raise_signal(signal.SIGTERM)
    with anyio.fail_after(PATIENCE):
        reply = await client.get(f"/api/tasks/{task_id}/poll?timeout=30", headers=as_program("asker"))
    assert reply.json()["status"] == "created"
    assert heard == ["the server's"]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def example_server(database_url: str, folder: Path) -> Iterator[tuple[Running, httpx2.Client]]:
    """Run the example application in a process of its own, with a log of each request that comes."""
    settings = {
        "AWAITHUMANS_DATABASE_URL": database_url,
        "AWAITHUMANS_SECRET": "s" * 32,
        "AWAITHUMANS_ADMIN_API_TOKEN": TOKEN,
    }
    folder.mkdir(exist_ok=True)
    command = ["uvicorn", "docs.examples.fastapi_app:app", "--fd", "{fd}", "--log-level", "trace"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        running(command, cwd=folder, env=settings) as server,
        httpx2.Client(base_url=f"{server.url}/humans/api", headers=headers, timeout=START_SECONDS) as api,
    ):
        yield server, api


def question() -> dict[str, object]:
    return {
        "task": "Approve?",
        "payload": {},
        "payload_schema": {"type": "object"},
        "response_schema": {"type": "object"},
        "timeout_seconds": 600,
        "idempotency_key": "k",
    }
