"""The Flask example in the servers it names: one walk, and agents that leave room for people."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx2
import pytest

from awaithumans import await_human_sync
from awaithumans.web.seats import LONGEST_WAIT
from docs.examples.flask_app import AGENT_TOKEN, PASSWORD, Decision, Refund

ROOT = Path(__file__).parent.parent.parent
APP = "docs.examples.flask_app:app"
PATIENT = "tests.programs.patient_shop:app"
PATIENCE = 60
AGENT = {"Authorization": f"Bearer {AGENT_TOKEN}"}
ASKED_FOR = 25
"""Seconds that a poll wants to wait."""

GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}")
SERVERS = {
    "gunicorn, preloaded, sync": (*GUNICORN, "--preload", "--workers", "2", "{app}"),
    "gunicorn, preloaded, threads": (*GUNICORN, "--preload", "--workers", "2", "--threads", "4", "{app}"),
    "gunicorn, threads": (*GUNICORN, "--workers", "2", "--threads", "4", "{app}"),
    "waitress": ("waitress", "--listen", "127.0.0.1:{port}", "--threads", "4", "{app}"),
    "flask run": ("flask", "--app", "{app}", "run", "--port", "{port}"),
}
ONE_PROCESS = {
    "gunicorn, threads": (*GUNICORN, "--preload", "--threads", "4", "{app}"),
    "waitress": SERVERS["waitress"],
}
ALONE = (*GUNICORN, "{app}")


@dataclass(frozen=True)
class Shop:
    """A running server; `path` is where a browser finds the application."""

    origin: str
    process: subprocess.Popen[bytes]
    path: str = ""

    def client(self, *, path: str | None = None) -> httpx2.Client:
        base = f"{self.origin}{self.path if path is None else path}"
        return httpx2.Client(base_url=base, timeout=PATIENCE, verify=False)  # nothing to verify; loading takes long

    @contextmanager
    def log_in(self) -> Iterator[httpx2.Client]:
        with self.client() as browser:
            reply = browser.post("/login", data={"email": "ana@example.com", "password": PASSWORD})
            assert reply.status_code == 302
            yield browser

    def ask(self, order: str = "A-1") -> str:
        """Ask through the JSON API; return the task's id."""
        body = {
            "task": "Approve the refund?",
            "payload": {"order": order},
            "payload_schema": {"type": "object"},
            "response_schema": Decision.model_json_schema(),
            "timeout_seconds": 3_600,
            "idempotency_key": order,
        }
        with self.client() as agent:
            created = agent.post("/humans/api/tasks", json=body, headers=AGENT)
        assert created.status_code == 201, created.text
        task_id: str = created.json()["id"]
        return task_id


@contextmanager
def running(
    command: tuple[str, ...], folder: Path, *, app: str = APP, environment: dict[str, str] | None = None
) -> Iterator[Shop]:
    """Run a server with its own folder and database until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    words = [word.format(port=port, app=app) for word in command]
    settings = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "SHOP_DATABASE_URL": f"sqlite:///{folder}/shop.db",
        "SHOP_PUBLIC_URL": f"{origin}/humans",
        "SHOP_SECRET": "0123456789" * 4,
        "SHOP_PASSWORD": PASSWORD,
        "SHOP_AGENT_TOKEN": AGENT_TOKEN,
        **(environment or {}),
    }
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=settings, stdout=log, stderr=log)
    try:
        _await_started(origin, process, folder / "log")
        yield Shop(origin, process)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


def _await_started(origin: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx2.get(origin)
        except httpx2.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(log.read_text())


@pytest.fixture(params=SERVERS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with running(SERVERS[request.param], tmp_path) as shop:
        yield shop


# ── The walk ──────────────────────────────────────────────────────────────────


def test_secrets_made_for_trying_it_out_are_refused_on_a_database_of_its_own(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHOP_DATABASE_URL": f"sqlite:///{tmp_path}/shop.db"}
    program = [sys.executable, "-c", "import docs.examples.flask_app"]
    done = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Set SHOP_SECRET.\n")


def test_the_whole_walk(shop: Shop) -> None:
    walk(shop)


def test_an_engine_at_work_before_the_fork_is_right_after_it(postgres_url: str, tmp_path: Path) -> None:
    command = SERVERS["gunicorn, preloaded, threads"]
    environment = {"SHOP_DATABASE_URL": postgres_url}
    with running(command, tmp_path, app="tests.programs.busy_shop:app", environment=environment) as shop:
        walk(shop)
    assert "Traceback" not in (tmp_path / "log").read_text()


class TestPrefixes:
    def test_a_proxy_that_keeps_the_prefix_under_gunicorn(self, tmp_path: Path) -> None:
        environment = {"SCRIPT_NAME": "/app"}
        with running(ONE_PROCESS["gunicorn, threads"], tmp_path, environment=environment) as shop:
            walk(Shop(shop.origin, shop.process, "/app"))

    def test_a_proxy_that_keeps_the_prefix_under_waitress(self, tmp_path: Path) -> None:
        command = ("waitress", "--url-prefix", "/app", *SERVERS["waitress"][1:])
        with running(command, tmp_path) as shop:
            walk(Shop(shop.origin, shop.process, "/app"))

    def test_a_proxy_that_strips_the_prefix(self, tmp_path: Path) -> None:
        command = ONE_PROCESS["gunicorn, threads"]
        with running(command, tmp_path, app="tests.programs.proxied_shop:app") as shop, stripping(shop) as proxied:
            walk(proxied)


@contextmanager
def stripping(shop: Shop) -> Iterator[Shop]:
    """Give the shop as it is seen through a proxy that serves it below /app."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from tests.serving import serving

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        below = request.url.path.removeprefix("/app")
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {**request.headers, "X-Forwarded-Prefix": "/app"}
        async with httpx2.AsyncClient(timeout=PATIENCE, verify=False) as upstream:
            reply = await upstream.request(
                request.method, f"{shop.origin}{below}{query}", content=await request.body(), headers=headers
            )
        kept = [(name, value) for name, value in reply.headers.multi_items() if name.lower() in PASSED_ON]
        response = Response(reply.content, reply.status_code)
        response.raw_headers += [(name.lower().encode(), value.encode()) for name, value in kept]
        found = below if request.url.path.startswith("/app/") else None
        await (response if found else Response(status_code=404))(scope, receive, send)

    with serving(proxy) as origin:
        yield Shop(origin, shop.process, "/app")


PASSED_ON = {"location", "set-cookie", "content-type", "www-authenticate"}


def walk(shop: Shop) -> None:
    """Ask by both ways, answer by the pages, and read both answers."""
    with shop.client() as stranger, shop.log_in() as ana, ThreadPoolExecutor() as threads:
        the_doors_are_shut(shop, stranger)
        asked = stranger.post("/refunds", json={"order": "A-1", "amount": 120}, headers=AGENT)
        assert asked.status_code == 202
        own = asked.json()["id"]
        agents = [threads.submit(ask_and_wait, shop) for _ in range(4)]
        remote = the_other_question(ana, own)
        for task_id, verdict in ((own, "true"), (remote, "false")):
            every_address_leads_somewhere(ana, shop, "/humans/", f"/humans/tasks/{task_id}")
            answer(ana, shop, task_id, verdict)
        assert [agent.result(PATIENCE).approved for agent in agents] == [False] * 4
        read = stranger.get(f"/refunds/{own}", headers=AGENT).json()
        assert read == {"status": "completed", "approved": True}


def the_doors_are_shut(shop: Shop, stranger: httpx2.Client) -> None:
    front = stranger.get("/")
    assert (front.status_code, front.headers["Location"]) == (302, f"{shop.path}/login")
    for page in ("/humans/", "/humans/tasks/nope"):
        refused = stranger.get(page)
        assert (refused.status_code, refused.headers["Location"]) == (303, f"{shop.path}/login")
    assert stranger.get("/humans/api/tasks").status_code == 401
    assert stranger.post("/refunds", json={"order": "A-1", "amount": 120}).status_code == 401
    assert stranger.post("/refunds", json={"order": "A-1"}, headers=AGENT).status_code == 422
    assert stranger.get("/refunds/nope", headers=AGENT).status_code == 404


def ask_and_wait(shop: Shop) -> Decision:
    """Be an agent in another process: one of several that ask the same."""
    return await_human_sync(
        task="Approve the other refund?",
        payload_schema=Refund,
        payload=Refund(order="B-2", amount=1),
        response_schema=Decision,
        timeout_seconds=20,
        idempotency_key="other",
        server_url=f"{shop.origin}{shop.path}/humans",
        api_key=AGENT_TOKEN,
    )


def the_other_question(ana: httpx2.Client, own: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = set(re.findall(r'href="[^"]*/tasks/(\w+)"', ana.get("/humans/").text)) - {own}
        if found:
            return str(found.pop())
        time.sleep(0.05)
    raise TimeoutError("the agent's question does not show up")


def every_address_leads_somewhere(ana: httpx2.Client, shop: Shop, *pages: str) -> None:
    with shop.client(path="") as browser:
        browser.cookies = ana.cookies
        for page in pages:
            shown = ana.get(page)
            assert shown.status_code == 200, shown.text
            addresses = re.findall(r'(href|src|action)="(/[^"]*)"', shown.text)
            assert len(addresses) > 3
            for kind, address in addresses:
                assert address.startswith(f"{shop.path}/humans/")
                expected = {200, 405} if kind == "action" else {200}  # some are for POST only
                assert browser.get(unescape(address)).status_code in expected, address


def answer(ana: httpx2.Client, shop: Shop, task_id: str, verdict: str) -> None:
    page = ana.get(f"/humans/tasks/{task_id}").text
    [action] = re.findall(r'<form method="post" action="([^"]*)" class="answer"', page)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page))
    with shop.client(path="") as browser:
        browser.cookies = ana.cookies
        forged = browser.post(action, data={**hidden, "approved": verdict}, headers={"Origin": "http://evil.example"})
        assert forged.status_code == 403
        sent = browser.post(action, data={**hidden, "approved": verdict}, headers={"Origin": shop.origin})
        assert sent.status_code == 303, sent.text
        assert sent.headers["Location"] == f"{shop.path}/humans/tasks/{task_id}/done"
        assert "that is answered" in browser.get(sent.headers["Location"]).text


# ── Agents leave room ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("server", ONE_PROCESS)
def test_eight_waiting_agents_leave_two_of_four_threads_for_people(server: str, tmp_path: Path) -> None:
    command = ONE_PROCESS[server]
    with running(command, tmp_path, app=PATIENT) as shop, shop.log_in() as ana, ThreadPoolExecutor(8) as agents:
        task_id = shop.ask()
        polls = [agents.submit(poll, shop, task_id) for _ in range(8)]
        at_once = wait_for(polls, 6, within=ASKED_FOR)
        assert ana.get(f"/humans/tasks/{task_id}").status_code == 200
        assert len([one for one in polls if not one.done()]) == 2
        assert [one.result() for one in at_once] == ["created"] * 6
        answer(ana, shop, task_id, "true")
        assert sorted(one.result(PATIENCE) for one in polls) == ["completed"] * 2 + ["created"] * 6


@pytest.mark.parametrize("server", ONE_PROCESS)
def test_agents_that_never_stop_asking_leave_a_page_within_a_second(server: str, tmp_path: Path) -> None:
    over = threading.Event()

    def keep_asking(shop: Shop, task_id: str) -> None:
        while not over.is_set():
            poll(shop, task_id)

    with running(ONE_PROCESS[server], tmp_path) as shop, shop.log_in() as ana, ThreadPoolExecutor(8) as agents:
        task_id = shop.ask()
        asking = [agents.submit(keep_asking, shop, task_id) for _ in range(8)]
        try:
            took = [seconds(ana, f"/humans/tasks/{task_id}") for _ in range(20)]
        finally:
            over.set()
        for one in asking:
            one.result(PATIENCE)
    assert sorted(took)[len(took) // 2] < 1
    assert max(took) < LONGEST_WAIT / 2


def test_with_one_thread_nobody_waits(tmp_path: Path) -> None:
    with running(ALONE, tmp_path, app=PATIENT) as shop, ThreadPoolExecutor(8) as agents:
        task_id = shop.ask()
        started = time.monotonic()
        assert list(agents.map(lambda _: poll(shop, task_id), range(8))) == ["created"] * 8
        assert time.monotonic() - started < ASKED_FOR


def test_a_stopped_server_does_not_wait_for_its_agents(shop: Shop) -> None:
    with ThreadPoolExecutor(4) as agents:
        task_id = shop.ask()
        polls = [agents.submit(poll, shop, task_id) for _ in range(4)]
        poll(shop, task_id)  # by now the others are there, too
        started = time.monotonic()
        shop.process.send_signal(signal.SIGTERM)
        shop.process.wait(PATIENCE)
        assert time.monotonic() - started < LONGEST_WAIT * 2
        wait(polls, PATIENCE)


def poll(shop: Shop, task_id: str) -> str:
    with shop.client() as agent:
        reply = agent.get(f"/humans/api/tasks/{task_id}/poll?timeout={ASKED_FOR}", headers=AGENT)
    assert reply.status_code == 200, reply.text
    status: str = reply.json()["status"]
    return status


def wait_for(polls: list[Future[str]], count: int, *, within: float) -> list[Future[str]]:
    """Return the first `count` to come back."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        done = [one for one in polls if one.done()]
        if len(done) >= count:
            return done
        time.sleep(0.01)
    raise TimeoutError(f"{sum(one.done() for one in polls)} of {count} came back")


def seconds(browser: httpx2.Client, page: str) -> float:
    started = time.monotonic()
    assert browser.get(page).status_code == 200
    return time.monotonic() - started
