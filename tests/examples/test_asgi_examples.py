"""The example applications, each under the servers that its users run it with."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest

from awaithumans.signing import KeyRing
from tests.running import ROOT, Running, running

SECRET = "an example's secret: 32 bytes and more"
PASSWORD = "the example's password"
TOKEN = "the agents' own token"
AS_AGENT = {"Authorization": f"Bearer {TOKEN}"}
ANA = "ana@example.com"

UVICORN = ("uvicorn", "{app}", "--fd", "{fd}")
HYPERCORN = ("hypercorn", "{app}", "--bind", "fd://{fd}")
GUNICORN = ("gunicorn", "{app}", "--worker-class", "uvicorn_worker.UvicornWorker", "--bind", "fd://{fd}")
TWO_WORKERS = ("--workers", "2")


@dataclass(frozen=True)
class Example:
    """An example application, and how people log in to it."""

    app: str
    log_in: Callable[[httpx2.Client], None]
    prepare: tuple[tuple[str, ...], ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    asks: bool = True

    @property
    def file(self) -> Path:
        return ROOT / "docs" / "examples" / f"{self.app.partition(':')[0]}.py"


def with_the_form(client: httpx2.Client) -> None:
    """Log in at /login, as `ANA`."""
    assert client.get("/login").status_code == 200
    assert client.post("/login", data={"email": "", "password": PASSWORD}).status_code < 500
    assert client.get("/humans/").status_code in {303, 401}, "nobody has no address"
    sent = client.post("/login", data={"email": ANA, "password": PASSWORD})
    assert (sent.status_code, sent.headers["Location"]) == (303, "/humans/")


def with_djangos_form(client: httpx2.Client) -> None:
    page = client.get("/login/")
    sent = client.post("/login/", data={**hidden_fields(page.text), "username": "ana", "password": PASSWORD})
    assert (sent.status_code, sent.headers["Location"]) == (302, "/humans/")


def with_basic_credentials(client: httpx2.Client) -> None:
    client.headers["Authorization"] = "Basic " + base64.b64encode(f"{ANA}:{TOKEN}".encode()).decode()


FASTAPI = Example(
    "fastapi_app:app",
    with_basic_credentials,
    environment={"AWAITHUMANS_SECRET": SECRET, "AWAITHUMANS_ADMIN_API_TOKEN": TOKEN},
    asks=False,
)
FASTAPI_ROUTER = Example("fastapi_router_app:app", with_the_form)
STARLETTE = Example("starlette_app:app", with_the_form)
LITESTAR = Example("litestar_app:app", with_the_form)
QUART = Example("quart_app:app", with_the_form)
DJANGO = Example(
    "django_app:application",
    with_djangos_form,
    prepare=(("migrate", "--verbosity=0"), ("createsuperuser", "--noinput", "--username=ana", f"--email={ANA}")),
)

USUAL = {
    "FastAPI, uvicorn": (FASTAPI, UVICORN),
    "FastAPI, two uvicorn workers": (FASTAPI, UVICORN + TWO_WORKERS),
    "FastAPI with include_router, uvicorn": (FASTAPI_ROUTER, UVICORN),
    "FastAPI with include_router, two gunicorn workers": (FASTAPI_ROUTER, GUNICORN + TWO_WORKERS),
    "Starlette, uvicorn": (STARLETTE, UVICORN),
    "Starlette, two uvicorn workers": (STARLETTE, UVICORN + TWO_WORKERS),
    "Starlette, two hypercorn workers": (STARLETTE, HYPERCORN + TWO_WORKERS),
    "Litestar, uvicorn": (LITESTAR, UVICORN),
    "Litestar, two uvicorn workers": (LITESTAR, UVICORN + TWO_WORKERS),
    "Litestar, two hypercorn workers": (LITESTAR, HYPERCORN + TWO_WORKERS),
    "Django, uvicorn": (DJANGO, UVICORN),
    "Django, two uvicorn workers": (DJANGO, UVICORN + TWO_WORKERS),
    "Django, two gunicorn workers": (DJANGO, GUNICORN + TWO_WORKERS),
    "Quart, hypercorn": (QUART, HYPERCORN),
    "Quart, two hypercorn workers": (QUART, HYPERCORN + TWO_WORKERS),
    "Quart, two uvicorn workers": (QUART, UVICORN + TWO_WORKERS),
}


@pytest.mark.parametrize("usual", USUAL)
def test_an_example_goes_the_whole_way(usual: str, tmp_path: Path) -> None:
    """Ask in every way, log in, answer in every way; then stop."""
    example, command = USUAL[usual]
    environment = {"SECRET": SECRET, "PASSWORD": PASSWORD, "AGENT_TOKEN": TOKEN, **example.environment}
    for arguments in example.prepare:
        subprocess.run(
            [sys.executable, example.file, *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT), "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
            check=True,
            timeout=60,
        )
    words = [word.replace("{app}", f"docs.examples.{example.app}") for word in command]
    with running(words, cwd=tmp_path, env=environment) as server:
        nobody_gets_in(server)
        with httpx2.Client(base_url=server.url, timeout=30) as person:
            example.log_in(person)
            an_agent_elsewhere_gets_the_answer_it_waits_for(server, person)
            if example.asks:
                the_applications_own_agent_gets_its_answer(server, person)
        a_link_is_enough_to_answer(server)
        it_stops_while_an_agent_waits(server, tells_its_workers=command[0] != "hypercorn")


def nobody_gets_in(server: Running) -> None:
    with httpx2.Client(base_url=server.url, timeout=30) as stranger:
        for path in ("/humans/", f"/humans/tasks/{'0' * 32}"):
            refused = stranger.get(path)
            assert refused.status_code in {303, 401}, path
            if refused.status_code == 303:
                assert stranger.get(refused.headers["Location"]).status_code == 200
        assert stranger.get("/humans/api/tasks").status_code == 401
        assert stranger.get("/humans/nothing-here").status_code == 404
        assert stranger.get("/nothing-here").status_code == 404


def an_agent_elsewhere_gets_the_answer_it_waits_for(server: Running, person: httpx2.Client) -> None:
    task_id = asked_over_http(server, "refund:B-1")
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(httpx2.get, poll_of(server, task_id), headers=AS_AGENT, timeout=40)
        open_and_answer(person, f"/humans/tasks/{task_id}", note="from the page")
        heard = poll.result().json()
    assert (heard["status"], heard["response"]) == ("completed", {"approved": True, "note": "from the page"})


def a_link_is_enough_to_answer(server: Running) -> None:
    task_id = asked_over_http(server, "refund:B-2", assign_to={"email": "bob@example.com"})
    with httpx2.Client(base_url=server.url, timeout=30) as bob:
        link = f"/humans/l/{KeyRing(SECRET).link_token(task_id, 'bob@example.com', 0)}"
        open_and_answer(bob, link, note="by a link")
    heard = httpx2.get(poll_of(server, task_id), headers=AS_AGENT, timeout=40).json()
    assert heard["response"]["note"] == "by a link"


def the_applications_own_agent_gets_its_answer(server: Running, person: httpx2.Client) -> None:
    with httpx2.Client(base_url=server.url, timeout=30) as caller:
        for token in ({}, {"Authorization": "Bearer not the agent's"}):
            assert caller.post("/orders/A-1/refund", headers=token).status_code == 401
        assert caller.post(f"/orders/{'A' * 600}/refund", headers=AS_AGENT).status_code in {400, 404, 422}
        for _ in range(2):
            asked = caller.post("/orders/A-1/refund", headers=AS_AGENT)
            assert (asked.status_code, asked.json()) == (202, {"status": "pending", "decision": None})
        [place] = addresses_of(person.get("/humans/").text, r"/humans/tasks/\w+")
        open_and_answer(person, place, note="why not")
        told = caller.post("/orders/A-1/refund", headers=AS_AGENT)
        decision = {"approved": True, "note": "why not"}
        assert (told.status_code, told.json()) == (200, {"status": "completed", "decision": decision})


def it_stops_while_an_agent_waits(server: Running, *, tells_its_workers: bool) -> None:
    """A deploy does not wait for the longest poll, and the poll is answered.

    Hypercorn stops its workers without a signal, and cuts off after three
    seconds what is still open: with a 500 or with nothing. Agents ask again.
    """
    task_id = asked_over_http(server, "refund:B-3")
    sent = threading.Event()

    def trace(event: str, _: object) -> None:
        if event.endswith("send_request_body.complete"):
            sent.set()

    with httpx2.Client(headers=AS_AGENT, timeout=40) as agent, ThreadPoolExecutor(1) as pool:
        agent.get(f"{server.url}/humans/api/tasks/{task_id}").raise_for_status()  # a worker has this connection now
        poll = pool.submit(agent.get, poll_of(server, task_id), extensions={"trace": trace})
        assert sent.wait(10)
        assert server.stop() < 10
        if tells_its_workers:
            assert poll.result().json()["status"] == "created"
        elif not isinstance(poll.exception(), httpx2.TransportError):
            assert poll.result().status_code == 500


def asked_over_http(server: Running, key: str, **changes: Any) -> str:
    body = {
        "task": "Refund the order?",
        "payload": {"order": key},
        "payload_schema": {"type": "object"},
        "response_schema": {
            "type": "object",
            "properties": {"approved": {"type": "boolean"}, "note": {"type": "string"}},
            "required": ["approved"],
        },
        "timeout_seconds": 600,
        "idempotency_key": key,
        **changes,
    }
    created = httpx2.post(f"{server.url}/humans/api/tasks", json=body, headers=AS_AGENT, timeout=30)
    assert created.status_code == 201, created.text
    task_id = created.json()["id"]
    assert isinstance(task_id, str)
    return task_id


def poll_of(server: Running, task_id: str) -> str:
    return f"{server.url}/humans/api/tasks/{task_id}/poll?timeout=25"


def open_and_answer(person: httpx2.Client, address: str, *, note: str) -> None:
    """Do what a browser does: load the page and its files, send its form, follow."""
    page = person.get(address)
    assert page.status_code == 200, page.text
    files = addresses_of(page.text, r"/humans/static/[0-9a-f]{16}/[a-z.]+")
    names = {file.rpartition("/")[2] for file in files}
    assert names - {"keys.js"} == {"icon.svg", "style.css", "dark.css", "page.js"}  # keys are for who is logged in
    for file in files:
        loaded = person.get(file)
        assert (loaded.status_code, "immutable" in loaded.headers["Cache-Control"]) == (200, True), file
    [action] = re.findall(r'<form method="post" action="([^"]*)" class="answer"', page.text)
    fields = {**hidden_fields(page.text), "approved": "true", "note": note}
    assert person.post(action, data=fields, headers={"Origin": "https://evil.example"}).status_code == 403
    sent = person.post(action, data=fields, headers={"Origin": str(person.base_url).rstrip("/")})
    assert sent.status_code == 303, sent.text
    done = person.get(sent.headers["Location"])
    assert "that is answered" in done.text


def addresses_of(page: str, pattern: str) -> list[str]:
    return sorted(set(re.findall(rf'(?:href|src)="({pattern})"', page)))


def hidden_fields(page: str) -> dict[str, str]:
    return {
        name: unescape(value) for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    }
