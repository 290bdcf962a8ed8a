"""Every page in a browser: in each language and direction, narrow, enlarged, on paper, and without colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.types import ASGIApp

from tests.web.catalogues import HEBREW, compiled
from tests.web.test_browser import ensure_accessible, ensure_narrow
from tests.web.tour import Tour, touring


@pytest.fixture
def tour(serve: Callable[[ASGIApp], str], tmp_path: Path) -> Iterator[Tour]:
    with touring(serve, translations=compiled(tmp_path, "he", HEBREW)) as tour:
        yield tour


def visit(tour: Tour, page: Page) -> Iterator[str]:
    """Open every page there is, one after another; fail if the policy refuses anything."""
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    for name, path in tour.paths.items():
        page.goto(tour.base + path)
        yield name
    assert refused == []


@pytest.mark.parametrize("language", ["en", "de", "he"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(browser: Browser, tour: Tour, scheme: Any, language: str) -> None:
    page = tour.page(browser, locale=language, color_scheme=scheme)
    for name in visit(tour, page):
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 800})
            ensure_narrow(page)
            if (name, scheme) != ("frame", "dark"):  # there it shows the page around it, which is none here
                ensure_accessible(page)
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("html")).to_have_attribute("dir", "rtl" if language == "he" else "ltr")
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        expect(page.get_by_role("main")).to_have_count(1)


@pytest.mark.parametrize("language", ["de", "he"])
def test_every_page_fits_when_it_is_enlarged_fourfold(browser: Browser, tour: Tour, language: str) -> None:
    """A window of 1280 pixels, enlarged to 400 %, is 320 CSS pixels wide."""
    page = tour.page(browser, locale=language, viewport={"width": 320, "height": 256}, device_scale_factor=4)
    for _ in visit(tour, page):
        ensure_narrow(page)


def test_every_page_fits_when_its_letters_are_twice_as_large(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, locale="de", viewport={"width": 640, "height": 800})
    for name in visit(tour, page):
        page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")
        ensure_narrow(page)
        for locator in page.locator("button:visible, .button:visible, label:visible:not(.visually-hidden)").all():
            cut = locator.evaluate("one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflow")
            assert cut in (False, "visible"), (name, locator)


def test_a_page_from_right_to_left_is_mirrored(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, locale="he")
    page.goto(tour.base + tour.paths["open"])
    name, who = page.locator(".brand").bounding_box(), page.locator(".who").bounding_box()
    assert name
    assert who
    assert who["x"] < name["x"]
    expect(page.locator("h1")).to_have_css("text-align", "right")
    page.goto(tour.base + tour.paths["figures"])
    chart = page.locator(".plot svg").first.bounding_box()
    today = page.locator(".plot rect.asked").last.bounding_box()
    assert chart
    assert today
    assert today["x"] < chart["x"] + chart["width"] / 2, "time runs from right to left"


def test_moments_and_spans_are_in_the_language_of_the_page(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, locale="de-AT", timezone_id="Europe/Vienna")
    page.goto(tour.base + tour.paths["open"])
    expect(page.locator("[data-left]").first).to_have_text("noch 1 Stunde")
    expect(page.locator("time[data-moment]").first).to_have_text(re.compile(r"^\d+\.\d+\.\d{4}, \d\d:\d\d$"))
    expect(page.locator("time[data-moment]").first).to_have_attribute("title", re.compile("UTC$"))


def test_a_page_answers_in_german(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, locale="de", java_script_enabled=False)
    page.goto(tour.base + tour.paths["yes or no"])
    page.get_by_role("button", name="Antwort senden").click()
    expect(page.get_by_role("alert")).to_contain_text("Вернуть: bitte eine Möglichkeit wählen")
    page.get_by_label("Ja", exact=True).check()
    page.get_by_role("button", name="Antwort senden").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Danke, die Frage ist beantwortet")


def test_paper_has_the_record_and_nothing_to_press(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, locale="de", timezone_id="Europe/Vienna")
    page.emulate_media(media="print")
    for _ in visit(tour, page):
        expect(page.locator("button:visible, a.button:visible, nav:visible")).to_have_count(0)
        ensure_narrow(page)
    page.goto(tour.base + tour.paths["answered"])
    expect(page.locator(".on-paper")).to_contain_text(re.compile("Frage [0-9a-f]{32}, Stand"))
    expect(page.locator(".trail dl").first).to_be_visible()
    expect(page.locator("pre:visible")).to_have_count(0)
    page.goto(tour.base + tour.paths["figures"])
    expect(page.locator(".plot + details table").first).to_be_visible()


def test_a_dark_screen_prints_on_white(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, color_scheme="dark")
    page.goto(tour.base + tour.paths["answered"])
    expect(page.locator(".card").first).to_have_css("background-color", "rgb(27, 31, 40)")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".card").first).to_have_css("background-color", "rgb(255, 255, 255)")


def test_what_is_chosen_shows_without_colours(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, forced_colors="active")
    page.goto(tour.base + tour.paths["queue"])
    expect(page.locator(".tabs [aria-current]")).to_have_css("outline-style", "solid")
    expect(page.locator(".badge").first).to_have_css("border-top-style", "solid")


def test_nothing_moves_for_those_who_ask_for_that(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser, reduced_motion="reduce")
    for _ in visit(tour, page):
        moving = page.evaluate(
            """() => [...document.querySelectorAll("*")].filter((one) => {
              const { transitionDuration, animationName } = getComputedStyle(one);
              return animationName !== "none" || parseFloat(transitionDuration) > 0;
            }).length"""
        )
        assert moving == 0


def test_what_has_the_focus_is_marked(browser: Browser, tour: Tour) -> None:
    page = tour.page(browser)
    page.goto(tour.base + tour.paths["open"])
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement !== document.body"):
        style = page.evaluate(
            """() => {
              const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
              return [document.activeElement.outerHTML.slice(0, 80), outlineStyle, parseFloat(outlineWidth)];
            }"""
        )
        assert style[1] != "none", style
        assert style[2] >= 2, style
        page.keyboard.press("Tab")
