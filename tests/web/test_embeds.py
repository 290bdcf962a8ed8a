"""A task in a frame of the host's product: one task, one person, one origin."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from awaithumans.signing import Embed
from awaithumans.types import Actor, ColorScheme
from tests.web.test_links import FOR_ANA, SAME
from tests.web.world import ANA, BOB, HOST, OLGA, YES, World, as_person, as_program, body, form

ORIGIN = "https://app.example.com"
anyio_test = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World(embed_origins=["https://*.example.com", "http://127.0.0.1:9"])


async def embedded(world: World, client: httpx2.AsyncClient, **changes: object) -> tuple[str, str]:
    task_id = await world.ask(client, by="asker", **{"assign_to": FOR_ANA, **changes})
    page = world.engine.embed(await world.task(task_id), ANA, origin=ORIGIN)
    return task_id, page.url.removeprefix(HOST)


@anyio_test
async def test_the_page_shows_its_task_and_takes_the_answer(world: World, client: httpx2.AsyncClient) -> None:
    task_id, path = await embedded(world, client)
    page = await client.get(path)
    assert (page.status_code, "Approve the refund?" in page.text) == (200, True)
    action = page.text.partition('method="post" action="')[2].partition('"')[0]
    sent = await client.post(action, data=await form(client, path, None, approved="true"), headers=SAME)
    assert sent.status_code == 303
    assert "that is answered" in (await client.get(sent.headers["Location"])).text
    answer = (await world.task(task_id)).answer
    assert answer
    assert (answer.by.id, answer.by.auth, answer.by.via, answer.by.operator) == (ANA.id, "link", "embed", False)


@anyio_test
async def test_only_its_origin_may_frame_it(world: World, client: httpx2.AsyncClient) -> None:
    _, path = await embedded(world, client)
    headers = (await client.get(path)).headers
    assert f"frame-ancestors {ORIGIN};" in headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in headers
    for other in (world.link(await world.task(path and (await embedded(world, client, idempotency_key="2"))[0])), "/"):
        headers = (await client.get(other, headers=as_person("ana"))).headers
        assert "frame-ancestors 'none';" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"


@anyio_test
async def test_it_ends_with_its_time_but_leaves_time_to_answer(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id, path = await embedded(world, client)
    fields = await form(client, path, None, approved="true")
    action = (await client.get(path)).text.partition('method="post" action="')[2].partition('"')[0]
    now = world.engine.clock.now()
    monkeypatch.setattr(world.engine.clock, "now", lambda: now + timedelta(minutes=6))
    late = await client.get(path)
    assert late.status_code == 401
    assert "INVALID_EMBED_TOKEN" in late.text, "the page around it is told"
    assert (await client.post(action, data=fields, headers=SAME)).status_code == 303
    assert (await world.task(task_id)).response == YES
    monkeypatch.setattr(world.engine.clock, "now", lambda: now + timedelta(minutes=61))
    assert (await client.post(action, data=fields, headers=SAME)).status_code == 401


@anyio_test
async def test_what_the_form_is_sent_to_prolongs_nothing(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads it out of the page, or out of a log, could otherwise load it again and again for ever."""
    _, path = await embedded(world, client, timeout_seconds=86_400)
    now = world.engine.clock.now()
    for minutes, status in ((0, 200), (50, 200), (59, 200), (61, 401)):
        monkeypatch.setattr(world.engine.clock, "now", lambda minutes=minutes: now + timedelta(minutes=minutes))
        page = await client.get(path)
        assert page.status_code == status
        path = page.text.partition('method="post" action="')[2].partition('"')[0]


@anyio_test
@pytest.mark.parametrize("token", ["x", "AAAA", "a" * 5_000, "é"])
async def test_a_forged_address_is_401_and_can_be_framed_by_nobody(client: httpx2.AsyncClient, token: str) -> None:
    page = await client.get(f"/embed/{token}")
    assert page.status_code == 401
    assert "frame-ancestors 'none';" in page.headers["Content-Security-Policy"]


@anyio_test
async def test_an_address_is_no_link_and_a_link_no_address(world: World, client: httpx2.AsyncClient) -> None:
    task_id, path = await embedded(world, client)
    link = world.link(await world.task(task_id))
    assert (await client.get(path.replace("/embed/", "/l/"))).status_code == 404
    assert (await client.get(link.replace("/l/", "/embed/"))).status_code == 401


@anyio_test
async def test_it_dies_with_the_person_and_with_the_assignment(world: World, client: httpx2.AsyncClient) -> None:
    task_id, path = await embedded(world, client)
    await world.engine.reassign(task_id, [BOB], by=Actor.of(OLGA, auth="host"))
    assert (await client.get(path)).status_code == 410
    await world.engine.reassign(task_id, [ANA], by=Actor.of(OLGA, auth="host"))
    assert (await client.get(path)).status_code == 200
    world.directory.gone.add("ana@example.com")
    assert (await client.get(path)).status_code == 410


# ── Programs that ask for an address ──────────────────────────────────────────


async def asked_for(client: httpx2.AsyncClient, task_id: str, who: str = "speaker", **changes: object) -> Any:
    wanted = {"task_id": task_id, "parent_origin": ORIGIN, "sub": "ana@example.com", **changes}
    return await client.post("/api/embed/tokens", json=wanted, headers=as_program(who))


@anyio_test
async def test_a_program_may_say_in_which_colours(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, by="asker", assign_to=FOR_ANA)
    given = (await asked_for(client, task_id, color_scheme="light")).json()
    assert "dark.css" not in (await client.get(given["embed_url"].removeprefix(HOST))).text
    assert (await asked_for(client, task_id, color_scheme="blue")).status_code == 422


@anyio_test
@pytest.mark.parametrize("seconds", [60, 60.0, 1e300])
async def test_a_program_may_ask_for_an_address(world: World, client: httpx2.AsyncClient, seconds: float) -> None:
    task_id = await world.ask(client, by="asker", assign_to=FOR_ANA)
    reply = await asked_for(client, task_id, ttl_seconds=seconds)
    given = reply.json()
    assert (reply.status_code, set(given)) == (200, {"embed_token", "embed_url", "expires_at"})
    assert given["embed_url"].endswith(f"/embed/{given['embed_token']}")
    page = await client.get(given["embed_url"].removeprefix(HOST))
    assert page.status_code == 200
    assert f"frame-ancestors {ORIGIN};" in page.headers["Content-Security-Policy"]


@anyio_test
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"parent_origin": "https://evil.example"}, 400, "EMBED_ORIGIN_NOT_ALLOWED"),
        ({"parent_origin": "https://example.com; x"}, 422, "INVALID_REQUEST"),
        ({"sub": "nobody@example.com"}, 403, "FORBIDDEN"),
        ({"sub": None}, 422, "INVALID_REQUEST"),
        ({"ttl_seconds": -1}, 422, "INVALID_REQUEST"),
        ({"ttl_seconds": 60.5}, 422, "INVALID_REQUEST"),
        ({"task_id": "unknown"}, 404, "TASK_NOT_FOUND"),
        ({"who": "asker"}, 403, "FORBIDDEN"),
        ({"who": "operator"}, 403, "FORBIDDEN"),
    ],
)
async def test_what_it_may_not_ask_for(
    world: World, client: httpx2.AsyncClient, changes: dict[str, Any], status: int, code: str
) -> None:
    task_id = await world.ask(client, by="asker", assign_to=FOR_ANA)
    reply = await asked_for(client, **{"task_id": task_id, **changes})
    assert (reply.status_code, reply.json()["error"]) == (status, code)


@anyio_test
async def test_nobody_answers_their_own_question_in_a_frame(world: World, client: httpx2.AsyncClient) -> None:
    """A program that may ask and speak for others could approve what it asked itself."""
    task_id = await world.ask(client, by="admin", assign_to=FOR_ANA)
    path = (await asked_for(client, task_id, "admin")).json()["embed_url"].removeprefix(HOST)
    action = (await client.get(path)).text.partition('method="post" action="')[2].partition('"')[0]
    sent = await client.post(action, data=await form(client, path, None, approved="true"), headers=SAME)
    assert sent.status_code == 403
    assert (await world.task(task_id)).answers == ()


@anyio_test
async def test_an_answer_says_whose_word_it_is_that_it_was_ana(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, by="asker", assign_to=FOR_ANA)
    path = (await asked_for(client, task_id)).json()["embed_url"].removeprefix(HOST)
    action = (await client.get(path)).text.partition('method="post" action="')[2].partition('"')[0]
    await client.post(action, data=await form(client, path, None, approved="true"), headers=SAME)
    answer = (await world.task(task_id)).answer
    assert answer
    assert answer.by.stated_by == "agent:speaker"


# ── In a browser ──────────────────────────────────────────────────────────────

AROUND = """<!doctype html><title>The host's product</title><h1>Order A-1</h1>
<script>
window.heard = [];
addEventListener("message", (event) => {{
  heard.push({{ origin: event.origin, ...event.data }});
  if (event.data.type === "resize") document.querySelector("iframe").style.height = event.data.payload.height + "px";
}});
</script>
<iframe src="{src}" style="width: 100%; height: 300px; border: 0"></iframe>"""


INK: dict[ColorScheme, str] = {"light": "rgb(26, 31, 43)", "dark": "rgb(232, 235, 241)"}


class Product:
    """The host's product, on an origin of its own, and the router on another."""

    def __init__(self, serve: Callable[[ASGIApp], str], browser: Browser) -> None:
        self.world = World(mount="/humans", embed_origins=["http://127.0.0.1:9"])
        host = Starlette()
        host.mount("/humans", self.world.router)
        self.base = serve(host)
        self.src = ""
        self.around = serve(Starlette(routes=[Route("/", self._page)]))
        self._browser = browser

    async def _page(self, request: Request) -> HTMLResponse:
        return HTMLResponse(AROUND.format(src=self.src))

    def show(self, origin: str, *, color_scheme: ColorScheme | None = None, browser_is: ColorScheme = "light") -> Page:
        asked = body(assign_to=FOR_ANA)
        created = httpx2.post(f"{self.base}/humans/api/tasks", json=asked, headers=as_program("asker")).json()
        embed = Embed(
            task_id=created["id"],
            address=ANA.id,
            origin=origin,
            expires_at=int(time.time()) + 300,
            stated_by=None,
            color_scheme=color_scheme,
        )
        self.src = f"{self.base}/humans/embed/{self.world.engine.keys.embed_token(embed)}"
        page = self._browser.new_page(color_scheme=browser_is)
        page.goto(self.around)
        return page


@pytest.fixture
def product(serve: Callable[[ASGIApp], str], browser: Browser) -> Product:
    return Product(serve, browser)


def test_the_product_around_it_hears_what_happens(product: Product) -> None:
    page = product.show(product.around)
    frame = page.frame_locator("iframe")
    frame.get_by_label("Yes").check()
    frame.get_by_role("button", name="Send the answer").click()
    expect(frame.get_by_role("heading", name="Thank you, that is answered")).to_be_visible()
    page.wait_for_function("heard.some((one) => one.type === 'task.completed')")
    heard = cast("list[dict[str, Any]]", page.evaluate("heard"))
    assert {one["source"] for one in heard} == {"awaithumans"}
    assert {one["origin"] for one in heard} == {product.base}
    assert [one["type"] for one in heard if one["type"] != "resize"] == ["loaded", "loaded", "task.completed"]
    assert all(one["payload"]["height"] > 100 for one in heard if one["type"] == "resize")
    (done,) = (one["payload"] for one in heard if one["type"] == "task.completed")
    assert done["response"] == {"approved": True}
    assert done["completedAt"].startswith("20")


@pytest.mark.parametrize(
    ("color_scheme", "browser_is", "shown"),
    [("light", "dark", "light"), ("dark", "light", "dark"), (None, "light", "light"), (None, "dark", "dark")],
)
def test_it_has_the_colours_of_the_product_or_else_of_the_browser(
    product: Product, color_scheme: ColorScheme | None, browser_is: ColorScheme, shown: ColorScheme
) -> None:
    page = product.show(product.around, color_scheme=color_scheme, browser_is=browser_is)
    expect(page.frame_locator("iframe").locator("body")).to_have_css("color", INK[shown])
    frame = page.frames[1]
    parts = frame.locator("meta[name=color-scheme]").get_attribute("content")
    assert parts == (color_scheme or "light dark"), "the browser's own parts go along"
    frame.get_by_label("Yes").check()
    frame.get_by_role("button", name="Send the answer").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Thank you, that is answered")).to_be_visible()
    expect(page.frame_locator("iframe").locator("body")).to_have_css("color", INK[shown])


def test_a_page_of_another_origin_shows_and_hears_nothing(product: Product) -> None:
    page = product.show("https://app.example.com")
    page.wait_for_load_state("networkidle")
    assert page.frame_locator("iframe").get_by_role("heading", name="Approve the refund?").count() == 0
    assert page.evaluate("heard") == []
