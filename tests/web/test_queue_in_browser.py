"""The queue and the figures in a browser: keys, what is new, the next question, and all of it without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from starlette.applications import Starlette
from starlette.types import ASGIApp

from tests.web.test_browser import ensure_accessible, ensure_narrow
from tests.web.world import YES, World, as_program, body

YES_OR_NO = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}


@dataclass
class Site:
    """A server with an empty queue, and what agents do to it."""

    base: str
    api: httpx2.Client

    def open(self, browser: Browser, path: str = "/", *, who: str = "olga", **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.add_cookies([{"name": "user", "value": who, "url": self.base}])
        page = context.new_page()
        page.goto(f"{self.base}{path}")
        return page

    def ask(self, task: str, **changes: object) -> str:
        asked = body(task=task, idempotency_key=task, **changes)
        return str(self.api.post("/tasks", json=asked, headers=as_program("asker")).json()["id"])

    def complete(self, task_id: str) -> None:
        done = self.api.post(f"/tasks/{task_id}/complete", json={"response": YES}, headers=as_program("answerer"))
        assert done.status_code == 200, done.text

    def status(self, task_id: str) -> str:
        return str(self.api.get(f"/tasks/{task_id}", headers=as_program("admin")).json()["status"])


@pytest.fixture
def site(serve: Callable[[ASGIApp], str]) -> Iterator[Site]:
    world = World(mount="/humans", accent="#d9a400", logo=b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    host = Starlette()
    host.mount("/humans", world.router)
    base = f"{serve(host)}/humans"
    with httpx2.Client(base_url=f"{base}/api") as api:
        yield Site(base, api)


def expect_questions(page: Page, *tasks: str) -> None:
    expect(page.locator(".queue h2")).to_have_text(tasks)


def press(page: Page, key: str) -> None:
    """Press a key once the page listens to keys, which it then says."""
    expect(page.locator("[data-keys]")).to_be_visible()
    page.keyboard.press(key)


def test_what_is_new_is_said_and_nothing_moves_until_a_click(browser: Browser, site: Site) -> None:
    old = site.ask("An old one?")
    page = site.open(browser)
    page.get_by_role("link", name="An old one?").focus()
    news = page.get_by_role("status").get_by_role("link")
    for number, words in enumerate(("New questions: 1", "New questions: 2"), start=1):
        site.ask(f"A new one, {number}?")
        expect(news).to_have_text(words)
    expect_questions(page, "An old one?")
    expect(page.get_by_role("link", name="An old one?")).to_be_focused()
    news.click()
    expect(page.locator(".queue h2")).to_have_count(3)
    site.complete(old)
    expect(page.locator(".gone")).to_have_text(re.compile("An old one.*No longer in this list", re.DOTALL))
    ensure_accessible(page)


def test_only_what_fits_the_filter_is_new(browser: Browser, site: Site) -> None:
    page = site.open(browser, "/?q=refund", who="ana")
    bobs = {"email": "bob@example.com"}
    for task, assign_to in (("Refund Bob?", bobs), ("Hire Eve?", None), ("Refund Eve?", None)):
        site.ask(task, assign_to=assign_to)
    expect(page.get_by_role("status")).to_have_text("New questions: 1")


def test_keys_move_open_and_confirm_but_never_send(browser: Browser, site: Site) -> None:
    for number in (3, 2, 1):
        task_id = site.ask(f"Question {number}?", response_schema=YES_OR_NO)
    page = site.open(browser)
    for key, focused in (("j", 1), ("j", 2), ("j", 3), ("j", 3), ("k", 2), ("k", 1), ("k", 1)):
        press(page, key)
        expect(page.get_by_role("link", name=f"Question {focused}?")).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Question 1?")
    press(page, "r")
    expect(page.get_by_text("You chose No. Nothing is sent yet.")).to_be_visible()
    press(page, "q")
    page.wait_for_url(f"{site.base}/")
    press(page, "j")
    press(page, "a")
    expect(page.get_by_text("You chose Yes. Nothing is sent yet.")).to_be_visible()
    assert site.status(task_id) == "created"
    expect(page.get_by_role("button", name="Send “Yes”")).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")
    assert site.status(task_id) == "completed"


def test_in_a_form_that_asks_for_more_a_key_chooses_and_does_not_answer(browser: Browser, site: Site) -> None:
    task_id = site.ask("Approve, and say why?")
    page = site.open(browser, f"/tasks/{task_id}")
    press(page, "a")
    expect(page.get_by_role("radio", name="Yes")).to_be_checked()
    expect(page.get_by_role("radio", name="Yes")).to_be_focused()
    press(page, "r")
    expect(page.get_by_role("radio", name="No")).to_be_checked()
    expect(page).to_have_url(f"{site.base}/tasks/{task_id}")
    assert site.status(task_id) == "created"
    page.goto(f"{site.base}/")
    press(page, "j")
    press(page, "a")
    expect(page.get_by_role("button", name="Send the answer")).to_be_visible()


def test_a_key_chooses_in_a_form_whose_field_is_called_action(browser: Browser, site: Site) -> None:
    schema = {"type": "object", "properties": {"action": {"type": "boolean"}}, "required": ["action"]}
    task_id = site.ask("Act?", response_schema=schema)
    page = site.open(browser, f"/tasks/{task_id}")
    press(page, "a")
    expect(page.get_by_text("You chose Yes. Nothing is sent yet.")).to_be_visible()


def test_a_form_that_was_begun_is_not_left_by_a_key(browser: Browser, site: Site) -> None:
    address = f"/tasks/{site.ask('Approve, and say why?')}"
    page = site.open(browser, address)
    page.get_by_label("Note").fill("Because")
    page.get_by_role("heading", level=1).click()
    press(page, "q")
    press(page, "?")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page).to_have_url(f"{site.base}{address}")


def test_nothing_is_called_gone_once_the_log_in_has_ended(browser: Browser, site: Site) -> None:
    site.ask("An old one?")
    page = site.open(browser)
    page.evaluate(
        "() => new MutationObserver(() => { window.gone ||= !!document.querySelector('.gone'); })"
        ".observe(document.body, { attributes: true, childList: true, subtree: true })"
    )
    page.route(f"{site.base}/", lambda route: route.fulfill(body="<h1>Log in</h1>"), times=1)
    with page.expect_response(f"{site.base}/"):
        site.ask("A new one?")
    site.ask("And another one?")
    expect(page.get_by_role("status").get_by_role("link")).to_have_text("New questions: 2")
    assert not page.evaluate("window.gone")


def test_a_question_asked_while_the_page_loads_is_news(browser: Browser, site: Site) -> None:
    def late(route: Route) -> None:
        site.ask("A new one?")
        route.continue_()

    page = site.open(browser)
    page.route("**/api/events?*", late, times=1)
    page.reload()
    expect(page.get_by_role("status").get_by_role("link")).to_have_text("New questions: 1")


def test_keys_are_explained_not_heard_while_typing_and_can_be_turned_off(browser: Browser, site: Site) -> None:
    site.ask("A question?")
    page = site.open(browser)
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    ensure_accessible(page)
    press(page, "Escape")
    expect(dialog).to_be_hidden()
    press(page, "/")
    page.keyboard.type("jar?")
    expect(page.get_by_label("Search")).to_have_value("jar?")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Use these shortcuts").uncheck()
    page.reload()
    press(page, "j")
    expect(page.get_by_role("link", name="A question?")).not_to_be_focused()


@pytest.mark.parametrize("javascript", [True, False])
def test_one_question_leads_to_the_next(browser: Browser, site: Site, javascript: bool) -> None:  # noqa: FBT001
    site.ask("Second?", response_schema=YES_OR_NO, timeout_seconds=7_200)
    site.ask("For Bob?", response_schema=YES_OR_NO, timeout_seconds=60, assign_to={"email": "bob@example.com"})
    site.ask("First?", response_schema=YES_OR_NO, timeout_seconds=3_600)
    page = site.open(browser, who="ana", java_script_enabled=javascript)
    page.get_by_role("link", name="First?").click()
    for following in ("Second?", None):
        page.get_by_label("Yes").check()
        page.get_by_role("button", name="Send the answer").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")
        if following:
            page.get_by_role("link", name="Next question").click()
            expect(page.get_by_role("heading", level=1)).to_have_text(following)
    expect(page.get_by_text("Nothing else waits for you.")).to_be_visible()


def test_searching_and_sorting_need_no_javascript(browser: Browser, site: Site) -> None:
    site.ask("Refund Ana?", timeout_seconds=7_200)
    site.ask("Refund Bob?", timeout_seconds=3_600, assign_to={"email": "bob@example.com"})
    site.ask("Hire Eve?")
    page = site.open(browser, java_script_enabled=False)
    page.get_by_label("Search").fill("REFUND")
    page.get_by_label("Order").select_option("Oldest first")
    page.get_by_role("button", name="Show").click()
    expect_questions(page, "Refund Ana?", "Refund Bob?")
    page.get_by_label("Order").select_option("Most urgent first")
    page.get_by_role("button", name="Show").click()
    expect_questions(page, "Refund Bob?", "Refund Ana?")
    page.get_by_role("link", name="Clear the search").click()
    expect(page.locator(".queue h2")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_queue_figures_and_empty_states_are_accessible_and_fit(
    browser: Browser, site: Site, width: int, scheme: str
) -> None:
    done = site.ask("An answered one?")
    site.complete(done)
    site.ask("Wie" * 60 + "?", assign_to={"email": "ana@example.com"})
    page = site.open(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    paths = ["/", "/?show=mine", "/?show=unassigned", "/?q=zebra", "/?status=timed_out", "/figures"]
    for path in [*paths, "/figures?window_days=7", f"/tasks/{done}/done"]:
        page.goto(f"{site.base}{path}")
        for details in page.locator("details").all():
            details.locator("summary").click()
        ensure_accessible(page)
        ensure_narrow(page)
    assert refused == []


def test_each_chart_has_its_numbers_in_a_table(browser: Browser, site: Site) -> None:
    site.complete(site.ask("An answered one?"))
    site.ask("An open one?")
    page = site.open(browser, "/", java_script_enabled=False)
    page.get_by_role("link", name="Figures").click()
    for title, row in (("Questions a day", "2 1 0"), ("Answered through", "api 1"), ("Answered by", "answerer 1")):
        section = page.get_by_role("region", name=title, exact=True)
        section.locator("summary").click()
        expect(section.get_by_role("row", name=row)).to_be_visible()
