"""Nested answers in a browser, with and without JavaScript: groups, rows, and one of several."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.types import ASGIApp

from awaithumans.forms import form_from_model
from tests.web.catalogue import press
from tests.web.test_browser import Site, ensure_accessible, ensure_narrow
from tests.web.world import World, as_program, body


class Reason(Enum):
    DAMAGED = "damaged"
    LATE = "late"


class Line(BaseModel):
    sku: str = Field(title="Article", min_length=2)
    quantity: int = Field(ge=1, le=99)
    price: Decimal = Field(ge=0)
    reason: Reason | None = None


class Card(BaseModel):
    kind: Literal["card"]
    last_four: str = Field(pattern=r"^\d{4}$")


class Transfer(BaseModel):
    kind: Literal["transfer"]
    iban: str
    on: date


class Address(BaseModel):
    street: str
    city: str


class Refund(BaseModel):
    approved: bool = Field(title="Refund it?")
    payment: Annotated[Card | Transfer, Field(discriminator="kind")]
    lines: list[Line] = Field(min_length=1)
    address: Address | None = None
    tags: list[str] = []
    limits: dict[str, int] = {}
    action: str = ""


ANSWER = Refund(
    approved=True,
    payment=Transfer(kind="transfer", iban="DE02", on=date(2026, 1, 31)),
    lines=[
        Line(sku="LAMP", quantity=2, price=Decimal("99.99"), reason=Reason.LATE),
        Line(sku="BULB", quantity=1, price=Decimal("0.1")),
    ],
    address=Address(street="Am Markt 1", city="Jena"),
    tags=["vip"],
    limits={"a day": 3},
)


@pytest.fixture
def site(serve: Callable[[ASGIApp], str]) -> Iterator[Site]:
    world = World(mount="/humans")
    host = Starlette()
    host.mount("/humans", world.router)
    base = f"{serve(host)}/humans"
    with httpx2.Client(base_url=f"{base}/api") as api:
        asked = body(
            response_schema=Refund.model_json_schema(),
            form_definition=form_from_model(Refund),
            assign_to={"emails": ["ana@example.com"]},
        )
        created = api.post("/tasks", json=asked, headers=as_program("asker"))
        yield Site(world, base, created.json()["id"], api)


HELD = """() => {
    const { fetch } = window;
    const held = new Promise((resolve) => { window.letGo = resolve; });
    window.fetch = (...asked) => held.then(() => fetch(...asked));
}"""
"""Has what the page fetches wait until it is let go."""


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def row(page: Page, name: str) -> Callable[[str, str], None]:
    """Wait for a row; give what fills in a line of it."""
    group = page.get_by_role("group", name=name, exact=True)
    expect(group).to_be_visible()
    return lambda label, text: group.get_by_label(label).fill(text)


def fill_in(page: Page) -> None:
    page.get_by_label("Yes").check()
    page.get_by_label("Transfer").check()
    page.get_by_label("Iban").fill("DE02")
    page.get_by_label("On", exact=True).fill("2026-01-31")
    first = row(page, "Lines 1")
    press(page, button(page, "Add Lines"))
    second = row(page, "Lines 2")
    for fill, line in zip((first, second), ANSWER.lines, strict=True):
        fill("Article", line.sku)
        fill("Quantity", str(line.quantity))
        fill("Price", str(line.price))
    page.get_by_role("group", name="Lines 1", exact=True).get_by_label("late").check()
    press(page, button(page, "Add Address"))
    page.get_by_label("Street").fill("Am Markt 1")
    page.get_by_label("City").fill("Jena")
    for name in ("Tags", "Tags", "Limits"):
        press(page, button(page, f"Add {name}"))
    row(page, "Tags 2")("Tags", "vip")
    press(page, button(page, "Remove Tags 1"))
    expect(page.get_by_role("group", name="Tags 2", exact=True)).to_have_count(0)
    row(page, "Limits 1")("Name", "a day")
    row(page, "Limits 1")("Value", "3")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_nested_answer_is_given_part_by_part(browser: Browser, site: Site, javascript: bool) -> None:  # noqa: FBT001
    page = site.open(browser, f"/tasks/{site.task_id}", java_script_enabled=javascript)
    fill_in(page)
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")
    found = site.api.get(f"/tasks/{site.task_id}", headers=as_program("admin")).json()
    assert found["response"]["lines"][0]["price"] == 99.99
    assert Refund.model_validate_json(json.dumps(found["response"])) == ANSWER


@pytest.mark.parametrize("javascript", [True, False])
def test_a_refused_row_comes_back_filled_in(browser: Browser, site: Site, javascript: bool) -> None:  # noqa: FBT001
    page = site.open(browser, f"/tasks/{site.task_id}", java_script_enabled=javascript)
    fill_in(page)
    quantity = page.get_by_role("group", name="Lines 2", exact=True).get_by_label("Quantity")
    quantity.fill("100")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("alert")).to_contain_text("Lines 2 › Quantity: must be at most 99")
    expect(quantity).to_be_focused()
    expect(quantity).to_have_value("100")
    expect(quantity).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Iban")).to_have_value("DE02")
    expect(page.get_by_label("City")).to_have_value("Jena")
    quantity.fill("1")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")


def test_the_cells_of_a_row_stay_in_a_line_where_one_is_wrong(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}", viewport={"width": 1200, "height": 800})
    line = page.get_by_role("group", name="Lines 1", exact=True)
    line.get_by_label("Article").fill("LAMP")
    line.get_by_label("Quantity").fill("100")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("alert")).to_contain_text("Quantity: must be at most 99")
    cells = [line.get_by_label(label).bounding_box() for label in ("Article", "Quantity", "Price")]
    assert len({cell["y"] + cell["height"] for cell in cells if cell}) == 1


@pytest.mark.parametrize("javascript", [True, False])
def test_a_new_row_is_where_one_goes_on(browser: Browser, site: Site, javascript: bool) -> None:  # noqa: FBT001
    page = site.open(browser, f"/tasks/{site.task_id}", java_script_enabled=javascript)
    press(page, button(page, "Add Lines"))
    expect(page.get_by_role("group", name="Lines 2", exact=True).get_by_label("Article")).to_be_focused()
    press(page, button(page, "Remove Lines 2"))
    expect(button(page, "Add Lines")).to_be_focused()
    assert site.api.get(f"/tasks/{site.task_id}", headers=as_program("admin")).json()["status"] == "created"


def test_enter_sends_the_answer_and_adds_no_row(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}")
    page.get_by_label("Article").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Lines 1 › Article: is required")
    expect(page.get_by_role("group", name="Lines 2", exact=True)).to_have_count(0)


def test_where_the_script_cannot_fetch_the_button_works_by_itself(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}")
    page.get_by_label("Article").fill("LAMP")
    page.evaluate("() => { window.fetch = () => Promise.reject(new Error('no network')); }")
    button(page, "Add Lines").click()
    expect(page.get_by_role("group", name="Lines 2", exact=True)).to_be_visible()
    expect(page.get_by_label("Article").first).to_have_value("LAMP")


def test_nothing_is_typed_into_a_form_that_is_about_to_be_exchanged(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}")
    article = page.get_by_label("Article").first
    article.fill("LAMP")
    page.evaluate(HELD)
    button(page, "Add Lines").click()
    article.click(force=True)
    page.keyboard.type("SHADE")
    expect(article).to_have_value("LAMP")
    page.evaluate("() => { window.letGo(); }")
    expect(page.get_by_role("group", name="Lines 2", exact=True).get_by_label("Article")).to_be_focused()
    page.keyboard.type("BULB")
    expect(page.get_by_label("Article").nth(1)).to_have_value("BULB")
    expect(article).to_have_value("LAMP")


def test_only_what_was_chosen_of_several_is_shown(browser: Browser, site: Site) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}", java_script_enabled=False)
    page.get_by_label("Card", exact=True).check()
    expect(page.get_by_label("Last Four")).to_be_visible()
    expect(page.get_by_label("Iban")).to_be_hidden()
    page.get_by_label("Transfer").check()
    expect(page.get_by_label("Last Four")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_parts_are_accessible_and_fit(browser: Browser, site: Site, width: int, scheme: str) -> None:
    page = site.open(browser, f"/tasks/{site.task_id}", viewport={"width": width, "height": 800}, color_scheme=scheme)
    fill_in(page)
    ensure_accessible(page)
    ensure_narrow(page)
    page.get_by_label("Iban").fill("")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("alert")).to_be_visible()
    ensure_accessible(page)
    ensure_narrow(page)
