"""Every framework's mount, in every place, through real servers: addresses, forms and log-in hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import django
import httpx2
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from fastapi import APIRouter, FastAPI
from litestar import Litestar, asgi
from quart import Quart
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from awaithumans.web import Router
from tests.proxy import reverse_proxy
from tests.serving import serving
from tests.web.world import World, as_person, as_program, body, hidden_token


def in_starlette(router: Router, path: str) -> ASGIApp:
    return Starlette(routes=[Mount(path, router)])


def in_fastapi(router: Router, path: str) -> ASGIApp:
    app = FastAPI()
    app.mount(path, router)
    return app


def in_an_included_router(router: Router, path: str) -> ASGIApp:
    first, _, rest = path.rpartition("/")
    included, app = APIRouter(), FastAPI()
    included.mount(f"/{rest}", router)
    app.include_router(included, prefix=first)
    return app


def in_litestar(router: Router, path: str) -> Any:
    return Litestar([asgi(path, is_mount=True, copy_scope=True)(router)], logging_config=None)


def beside_django(router: Router, path: str) -> ASGIApp:
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["127.0.0.1"])
        django.setup()
    return Starlette(routes=[Mount(path, router), Mount("/", get_asgi_application())])  # type: ignore[arg-type]


def beside_quart(router: Router, path: str) -> Any:
    """Dispatch as docs/examples/quart_app.py does."""
    app = Quart(__name__)
    quart_app: Any = app.asgi_app

    async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
        mount = scope.get("root_path", "") + path.rstrip("/")
        if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{mount}/"):
            await router({**scope, "root_path": mount}, receive, send)
        else:
            await quart_app(scope, receive, send)

    app.asgi_app = asgi_app  # type: ignore[method-assign,assignment]
    return app


def as_hypercorn_tells(app: ASGIApp, root_path: str) -> ASGIApp:
    """Name the root path as `hypercorn --root-path` does: what is in the path stays as it came."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root_path} if scope["type"] == "http" else scope, receive, send)

    return told


HOSTS: dict[str, Callable[[Router, str], ASGIApp]] = {
    "Starlette": in_starlette,
    "FastAPI": in_fastapi,
    "FastAPI, include_router": in_an_included_router,
    "Litestar": in_litestar,
    "Django": beside_django,
    "Quart": beside_quart,
}


@dataclass(frozen=True)
class Place:
    """Where it is mounted, what a proxy does in front, and what the server is told."""

    mount: str
    prefix: str = ""
    strips: bool = False
    uvicorn_root_path: str = ""
    hypercorn_root_path: str = ""

    @property
    def public(self) -> str:
        """Give the path below which browsers find it."""
        shown = self.prefix if self.strips or self.hypercorn_root_path else ""
        return f"{shown}{self.mount}".rstrip("/")


PLACES = {
    "root": Place("/"),
    "prefix": Place("/humans"),
    "the name of a page": Place("/tasks"),
    "two-part prefix": Place("/shop/humans"),
    "proxy strips, root for uvicorn": Place("/", prefix="/shop", strips=True, uvicorn_root_path="/shop"),
    "proxy strips, uvicorn": Place("/humans", prefix="/shop", strips=True, uvicorn_root_path="/shop"),
    "proxy strips two parts, uvicorn": Place("/humans", prefix="/eu/shop", strips=True, uvicorn_root_path="/eu/shop"),
    "proxy strips, hypercorn": Place("/humans", prefix="/shop", strips=True, hypercorn_root_path="/shop"),
    "proxy keeps, in the mount": Place("/shop/humans", prefix="/shop"),
    "proxy keeps, hypercorn": Place("/humans", prefix="/shop", hypercorn_root_path="/shop"),
}

# What a framework itself cannot do.
IMPOSSIBLE = {
    ("FastAPI, include_router", "root"): "it includes no router with neither prefix nor path",
    ("FastAPI, include_router", "proxy strips, root for uvicorn"): "the same",
    ("Quart", "proxy strips, hypercorn"): "it answers 404 to a path without the root path",
}
EVERYWHERE = [(host, place) for host in HOSTS for place in PLACES if (host, place) not in IMPOSSIBLE]


@contextmanager
def published(app: ASGIApp, place: Place) -> Iterator[str]:
    """Serve `app`, and a proxy in front if the place has one; give the origin that browsers see."""
    told = as_hypercorn_tells(app, place.hypercorn_root_path) if place.hypercorn_root_path else app
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(told, root_path=place.uvicorn_root_path))
        if not place.prefix:
            yield upstream
            return
        yield stack.enter_context(serving(reverse_proxy(upstream, place.prefix, strips=place.strips)))


@pytest.mark.parametrize(("host", "place"), EVERYWHERE)
def test_it_works_wherever_it_is_mounted(host: str, place: str) -> None:
    """Ask, open every page, follow each of its addresses, be refused, and answer by form and by link."""
    world = World(mount=PLACES[place].public)
    with published(HOSTS[host](world.router, PLACES[place].mount), PLACES[place]) as origin:
        browser = httpx2.Client(base_url=origin, headers={**as_person("ana"), "Host": "app.example"}, timeout=20)
        with browser:
            visit = Visit(browser, PLACES[place].public)
            task_id = visit.ask("key-1")
            visit.read_every_page(task_id)
            visit.be_refused_without_log_in(task_id)
            visit.answer(f"/tasks/{task_id}")
            visit.answer(link_to(world, visit.ask("key-2", assign_to={"email": "ana@example.com"})))
            visit.be_told_where_the_api_is()


def link_to(world: World, task_id: str) -> str:
    return f"/l/{world.engine.keys.link_token(task_id, 'ana@example.com', 0)}"


class Visit:
    """What a browser and an agent do at one place."""

    def __init__(self, browser: httpx2.Client, public: str) -> None:
        self.browser = browser
        self.public = public
        self.followed: set[str] = set()

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.browser.get(f"{self.public}{path}", **options)

    def ask(self, key: str, **changes: object) -> str:
        asked = body(idempotency_key=key, **changes)
        created = self.browser.post(f"{self.public}/api/tasks", json=asked, headers=as_program("admin"))
        assert created.status_code == 201, created.text
        task_id = created.json()["id"]
        assert isinstance(task_id, str)
        return task_id

    def read_every_page(self, task_id: str) -> None:
        pages = {"/": 200, "/?status=closed": 200, f"/tasks/{task_id}": 200, "/tasks/nope": 404, "/l/x": 404}
        for path, status in pages.items():
            page = self.get(path)
            assert page.status_code == status, path
            assert "set-cookie" not in page.headers
            self.follow_every_address(page.text)
        led = self.get(f"/task?id={task_id}")
        assert (led.status_code, led.headers["Location"]) == (303, f"{self.public}/tasks/{task_id}")

    def follow_every_address(self, page: str) -> None:
        addresses = set(re.findall(r'(?:href|src)="([^"#][^"]*)"', page))
        assert addresses
        for address in addresses - self.followed:
            assert address.startswith(f"{self.public}/"), address
            assert self.browser.get(address).status_code == 200, address
        self.followed |= addresses

    def be_refused_without_log_in(self, task_id: str) -> None:
        for path in ("/", f"/tasks/{task_id}", "/api/tasks", f"/api/tasks/{task_id}"):
            assert self.get(path, headers={"Cookie": ""}).status_code == 401, path

    def answer(self, path: str) -> None:
        page = self.get(path).text
        [action] = re.findall(r'<form method="post" action="([^"]*)" class="answer"', page)
        assert action == f"{self.public}{path}"
        answer = {"_awaithumans_csrf": hidden_token(page), "approved": "true"}
        for token, site in ((answer["_awaithumans_csrf"], "cross-site"), ("forged", "same-origin")):
            forged = {**answer, "_awaithumans_csrf": token}
            assert self.browser.post(action, data=forged, headers={"Sec-Fetch-Site": site}).status_code == 403
        sent = self.browser.post(action, data=answer)
        assert sent.status_code == 303, sent.text
        assert sent.headers["Location"].startswith(f"{self.public}/")
        assert "that is answered" in self.browser.get(sent.headers["Location"]).text

    def be_told_where_the_api_is(self) -> None:
        assert self.get("/api/openapi.json").json()["servers"] == [{"url": f"{self.public}/api"}]
        listed = self.get("/api/tasks?limit=1", headers=as_program("admin"))
        following = listed.links["next"]["url"]
        assert following.startswith(f"{self.public}/api/tasks?")
        assert self.browser.get(following, headers=as_program("admin")).status_code == 200
