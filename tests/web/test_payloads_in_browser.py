"""What a question is about, in a browser: readable, in the reader's time, and fetched from nowhere else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tests.web.test_browser import Site, ensure_accessible, ensure_narrow
from tests.web.world import World, as_program, body

PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"><rect width="9" height="9"/></svg>'
PAYLOAD = {
    "refund": {"amount": 1250, "currency": "EUR"},
    "placed_at": "2026-11-21T06:30:00+07:00",
    "due": "2026-12-01",
    "customer": {"name": "Ana", "mail": "ana@example.com", "address": {f"line {n}": n for n in range(12)}},
    "lines": [{f"column {n}": n * row for n in range(14)} for row in range(60)],
    "receipt": "data:image/svg+xml;base64," + base64.b64encode(PICTURE).decode(),
    "own": "/files/own.svg",
    "strange": "https://evil.example/strange.png",
    "contract": "/files/contract.pdf",
    "why": "## Late\n\nIt is **late**, see [it](https://example.com/1) and ![x](https://evil.example/x.png).\n\n"
    "| a | b |\n|---|--:|\n| 1 | 2 |\n",
    "patch": "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n",
    "log": "\n".join(f"line {n}" for n in range(60)),
    "odd": "pay \u202eevil\u202c",
}


@pytest.fixture
def site(serve: Callable[[ASGIApp], str]) -> Iterator[Site]:
    async def picture(request: Request) -> Response:
        return Response(PICTURE, media_type="image/svg+xml")

    world = World(mount="/humans")
    host = Starlette(routes=[Route("/files/own.svg", picture)])
    host.mount("/humans", world.router)
    base = f"{serve(host)}/humans"
    with httpx2.Client(base_url=f"{base}/api") as api:
        task = "Refund it?\nThe customer asks for **1,250 EUR**."
        asked = body(task=task, payload=PAYLOAD, assign_to={"emails": ["ana@example.com"]})
        created = api.post("/tasks", json=asked, headers=as_program("asker"))
        yield Site(world, base, created.json()["id"], api)


def watched(page: Page) -> tuple[list[str], list[str]]:
    """Note what the page is refused, and what it asks of whom."""
    refused: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: asked.append(request.url))
    return refused, asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_kind_is_accessible_fits_and_stays_at_home(browser: Browser, site: Site, width: int, scheme: str) -> None:
    page = site.open(browser, "/", viewport={"width": width, "height": 800}, color_scheme=scheme)
    refused, asked = watched(page)
    for path in (f"/tasks/{site.task_id}", site.link):
        page.goto(f"{site.base}{path}")
        for part in page.locator("details").all():
            part.evaluate("one => { one.open = true; }")
        ensure_accessible(page)
        ensure_narrow(page)
    assert refused == []
    assert [url for url in asked if not url.startswith((site.base.removesuffix("/humans"), "data:", "chrome"))] == []


def test_moments_are_in_the_readers_zone_and_days_stay(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}", timezone_id="Asia/Tokyo", locale="en-GB")
    written = page.locator("time[datetime='2026-11-20T23:30:00+00:00']")
    expect(written).to_have_text(re.compile("^21 Nov 2026, 08:30 (GMT|UTC)\\+9$"))
    expect(written).to_have_attribute("title", "2026-11-21T06:30:00+07:00")
    west = site.open(browser, f"/tasks/{site.task_id}", timezone_id="America/Los_Angeles", locale="en-GB")
    expect(west.locator("time[data-day]")).to_have_text("1 Dec 2026")


def test_without_javascript_the_zone_is_named(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}", java_script_enabled=False, timezone_id="Asia/Tokyo")
    expect(page.get_by_text("20 Nov 2026, 23:30 UTC")).to_be_visible()


def test_pictures_of_this_site_are_shown_and_others_are_links(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}")
    for picture in page.locator("main img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("naturalWidth", 90)
    expect(page.locator("main img")).to_have_count(2)
    expect(page.get_by_role("link", name="https://evil.example/strange.png")).to_be_visible()


def test_what_is_long_is_folded_and_opens(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}", java_script_enabled=False)
    log = page.locator(".clamp .inner", has_text="line 59")
    folded = log.bounding_box()
    page.get_by_text("Show all").click()
    opened = log.bounding_box()
    assert folded
    assert opened
    assert opened["height"] > 2 * folded["height"]
    rows = page.get_by_role("row")
    before = rows.count()
    page.get_by_text("and 40 more rows").click()
    expect(rows).to_have_count(before + 41)  # its head, too


def test_the_time_left_turns_red_and_is_announced(browser: Browser, site: Site) -> None:
    context = browser.new_context()
    context.add_cookies([{"name": "user", "value": "olga", "url": site.base}])
    page = context.new_page()
    page.clock.install()
    page.goto(f"{site.base}/tasks/{site.task_id}")
    left = page.locator("[data-left]")
    expect(left).not_to_have_class("urgent")
    page.clock.fast_forward("50:30")
    expect(left).to_have_class("urgent")
    expect(page.get_by_role("status")).to_have_text("9 minutes left")
    page.clock.fast_forward("10:00")
    expect(page.get_by_role("status")).to_have_text("time is up")
