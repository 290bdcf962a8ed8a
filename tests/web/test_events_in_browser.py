"""Server-sent events in a browser, by its own `EventSource`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from tests.serving import serving
from tests.web.world import YES, World, as_program, body

FOLLOW = """path => {
    window.told = [];
    window.untyped = [];
    window.source = new EventSource(path);
    window.source.addEventListener("task", event => window.told.push(JSON.parse(event.data)));
    window.source.onmessage = event => window.untyped.push(event.data);
}"""


@dataclass
class Site:
    """A server that can be restarted, and another one in front of the same engine that stays."""

    world: World
    app: ASGIApp
    api: httpx2.Client
    running: ExitStack = field(default_factory=ExitStack)
    base: str = ""

    def start(self) -> None:
        self.base = self.running.enter_context(serving(self.app, port=urlsplit(self.base).port or 0))

    def stop(self) -> None:
        self.running.close()

    def open(self, browser: Browser) -> Page:
        context = browser.new_context()
        context.add_cookies([{"name": "user", "value": "olga", "url": self.base}])
        page = context.new_page()
        page.goto(f"{self.base}/blank")
        return page

    def ask(self, key: str) -> str:
        asked = self.api.post("/tasks", json=body(idempotency_key=key), headers=as_program("asker"))
        return str(asked.json()["id"])

    def complete(self, task_id: str) -> None:
        answer = {"response": YES}
        done = self.api.post(f"/tasks/{task_id}/complete", json=answer, headers=as_program("answerer"))
        assert done.status_code == 200, done.text


@pytest.fixture
def site(serve: Callable[[ASGIApp], str]) -> Iterator[Site]:
    world = World(mount="/humans")
    host = Starlette()
    host.add_route("/blank", blank)
    host.mount("/humans", world.router)
    with httpx2.Client(base_url=f"{serve(host)}/humans/api") as api:
        site = Site(world, host, api)
        site.start()
        yield site
        site.stop()


def blank(request: Request) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>blank</title>")


def test_the_browser_stops_once_it_saw_the_end(browser: Browser, site: Site) -> None:
    task_id = site.ask("k")
    page = site.open(browser)
    replies: list[int] = []
    page.on("response", lambda response: replies.append(response.status))
    page.evaluate(FOLLOW, f"/humans/api/tasks/{task_id}/events")
    page.wait_for_function("told.length === 1")
    with page.expect_response(lambda response: response.status == 204):
        site.complete(task_id)
    page.wait_for_function("source.readyState === EventSource.CLOSED")
    assert page.evaluate("told.map(task => task.status)") == ["created", "completed"]
    assert replies == [200, 204]


def test_the_browser_misses_nothing_while_the_server_restarts(browser: Browser, site: Site) -> None:
    page = site.open(browser)
    page.evaluate(FOLLOW, "/humans/api/events")
    page.wait_for_function("source.readyState === EventSource.OPEN")
    before = site.ask("before")
    page.wait_for_function("told.length === 1")
    site.stop()
    page.wait_for_function("source.readyState === EventSource.CONNECTING")
    while_away = [site.ask("away"), before]
    site.complete(before)
    site.start()
    page.wait_for_function("source.readyState === EventSource.OPEN")
    after = site.ask("after")
    page.wait_for_function("id => told.some(task => task.id === id)", arg=after)
    told = {(task["id"], task["version"]) for task in page.evaluate("told")}
    assert told >= {(while_away[0], 1), (before, 2), (after, 1)}
    assert page.evaluate("untyped") == [], "how a stream begins is no event"
    page.evaluate("source.close()")


def test_the_browser_that_heard_nothing_yet_misses_nothing_either(browser: Browser, site: Site) -> None:
    """It knows from where to go on since the stream began."""
    page = site.open(browser)
    page.evaluate(FOLLOW, "/humans/api/events")
    page.wait_for_function("source.readyState === EventSource.OPEN")
    site.stop()
    page.wait_for_function("source.readyState === EventSource.CONNECTING")
    away = site.ask("away")
    site.start()
    page.wait_for_function("id => told.some(task => task.id === id)", arg=away)
    page.evaluate("source.close()")


def test_the_browser_gives_up_where_it_is_not_let_in(browser: Browser, site: Site) -> None:
    page = site.open(browser)
    page.context.clear_cookies()
    page.evaluate(FOLLOW, "/humans/api/events")
    page.wait_for_function("source.readyState === EventSource.CLOSED")
