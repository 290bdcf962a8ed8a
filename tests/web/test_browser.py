"""The pages in a browser: accessible, narrow, dark, and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.types import ASGIApp

from tests.web.world import World, as_program, body

SCHEMA = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Approve the refund"},
        "amount": {"type": "integer", "title": "Amount", "description": "In cents"},
        "kind": {"enum": ["full", "partial", "none"], "title": "Kind of refund"},
        "note": {"type": "string", "title": "Note"},
    },
    "required": ["approved", "amount"],
}
PAYLOAD = {
    "order": "A-1047",
    "customer": {"name": "Jürgen Groß", "vip": True},
    "lines": [{"sku": "LAMP-3", "quantity": 3}, {"sku": "BULB-9", "quantity": 6}],
    "ticket": "https://support.example/tickets/4711/" + "a" * 200,
}


@dataclass
class Site:
    world: World
    base: str
    task_id: str
    api: httpx2.Client

    def open(self, browser: Browser, path: str, **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.add_cookies([{"name": "user", "value": "olga", "url": self.base}])
        page = context.new_page()
        page.goto(f"{self.base}{path}")
        return page

    @property
    def link(self) -> str:
        """Give a capability link, as the task's state has it now."""
        token = self.world.engine.keys.link_token(self.task_id, "ana@example.com", 0)
        return f"/l/{token}"


@pytest.fixture
def site(serve: Callable[[ASGIApp], str]) -> Iterator[Site]:
    world = World(mount="/humans")
    host = Starlette()
    host.mount("/humans", world.router)
    base = f"{serve(host)}/humans"
    with httpx2.Client(base_url=f"{base}/api") as api:
        asked = body(response_schema=SCHEMA, payload=PAYLOAD, assign_to={"emails": ["ana@example.com"]})
        created = api.post("/tasks", json=asked, headers=as_program("asker"))
        yield Site(world, base, created.json()["id"], api)


def ensure_accessible(page: Page) -> None:
    page.wait_for_load_state()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def ensure_narrow(page: Page) -> None:
    page.wait_for_load_state()
    width = cast(int, page.evaluate("document.documentElement.scrollWidth"))
    assert width <= cast(int, page.evaluate("window.innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_page_is_accessible_and_fits(browser: Browser, site: Site, width: int, scheme: str) -> None:
    page = site.open(browser, "/", viewport={"width": width, "height": 800}, color_scheme=scheme)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    for path in ("/", f"/tasks/{site.task_id}", site.link, "/?status=closed", "/tasks/nope", "/l/nope"):
        page.goto(f"{site.base}{path}")
        ensure_accessible(page)
        ensure_narrow(page)
    page.goto(f"{site.base}/tasks/{site.task_id}")
    page.get_by_label("Amount").fill("a lot")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("alert")).to_be_visible()
    ensure_accessible(page)
    ensure_narrow(page)
    assert refused == []


@pytest.mark.parametrize("javascript", [True, False])
def test_a_person_answers(browser: Browser, site: Site, javascript: bool) -> None:  # noqa: FBT001
    page = site.open(browser, "/", java_script_enabled=javascript)
    page.get_by_role("link", name="Approve the refund?").click()
    fill_in(page, amount="twelve")
    page.get_by_role("button", name="Send the answer").click()
    amount = page.get_by_label("Amount")
    expect(amount).to_have_value("twelve")
    expect(amount).to_be_focused()
    fill_in(page, amount="1200")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")
    found = site.api.get(f"/tasks/{site.task_id}", headers=as_program("admin")).json()
    assert found["response"]["approved"] is True
    assert found["response"]["amount"] == 1200
    assert (found["completed_by_email"], found["completed_via_channel"]) == ("olga@example.com", "web")


def test_a_person_answers_by_a_link(browser: Browser, site: Site) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{site.base}{site.link}")
    fill_in(page, amount="5")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")
    expect(page.get_by_role("link")).to_have_count(1)  # the skip link


def test_the_keyboard_is_enough(browser: Browser, site: Site) -> None:
    page = site.open(browser, "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_the_time_left_ticks(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}")
    expect(page.locator("[data-left]").first).to_have_text("59 minutes left")


def fill_in(page: Page, *, amount: str) -> None:
    """Say yes, and fill in the amount."""
    page.get_by_label("Yes").check()
    page.get_by_label("Amount").fill(amount)
