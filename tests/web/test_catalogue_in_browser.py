"""Every kind of field, from the agent's question through Chromium to the agent's typed answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, cast, get_args

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pydantic import BaseModel, create_model
from starlette.applications import Starlette

from awaithumans import await_human
from awaithumans.forms.definition import ShortText
from awaithumans.types import Query, Task
from tests.serving import serving
from tests.web.catalogue import DISPLAYS, EXHIBITS, KINDS, Display, Exhibit, Given, inferred
from tests.web.world import World

SECONDS = 20
FIELDS = "() => [...new FormData(document.querySelector('form.answer'))].filter(([name]) => !name.startsWith('_'))"


class Payload(BaseModel):
    order: str = "A-1"


@dataclass
class Asked:
    """A question that an agent waits for, on its page."""

    page: Page
    answer: Future[BaseModel]

    def send(self) -> None:
        self.page.get_by_role("button", name="Send the answer").click()

    def does(self, given: Mapping[str, Given]) -> None:
        for label, one in given.items():
            one.deed(self.page, label)

    @property
    def filled_in(self) -> list[list[str]]:
        return cast("list[list[str]]", self.page.evaluate(FIELDS))

    def ensure_refused(self, faults: Mapping[str, str]) -> None:
        """Fail unless the page says what is wrong at exactly these fields, and is at the first."""
        alert = self.page.get_by_role("alert")
        expect(alert).to_be_visible()
        self.page.wait_for_load_state()
        said = {one.inner_text(): one.get_attribute("href") or "" for one in alert.get_by_role("link").all()}
        named = {text.replace(" ›", ":").split(":")[0] for text in said}
        assert {label for label in faults if any(text.startswith(label) for text in said)} == set(faults), said
        assert all(any(name.startswith(label) for label in faults) for name in named), said
        for text, place in said.items():
            label = next(label for label in faults if text.startswith(label))
            assert faults[label] in text
            spot = self.page.locator(place)
            expect(spot).to_be_visible()
            expect(self.page.locator(f"{place}-fault")).to_contain_text(text.rpartition(": ")[2][:20])
        first = next(iter(said.values()))
        expect(self.page.locator(f"{first}:focus-within")).to_have_count(1)
        assert not self.answer.done()

    def ensure_answered(self, expected: BaseModel) -> None:
        """Fail unless the agent has this very answer."""
        expect(self.page.get_by_role("heading", level=1).or_(self.page.get_by_role("alert")).last).to_have_text(
            "Thank you, that is answered"
        )
        answer = self.answer.result(SECONDS)
        assert answer == expected
        assert {name: type(value) for name, value in answer} == {name: type(value) for name, value in expected}


@dataclass
class Room:
    """An agent, the pages, and two browsers: one without JavaScript."""

    world: World
    base: str
    portal: BlockingPortal
    browsers: Mapping[bool, BrowserContext]
    waiting: list[Future[BaseModel]] = field(default_factory=list[Future[BaseModel]])

    def asks(self, model: type[BaseModel], *, javascript: bool) -> Asked:
        key = f"question-{len(self.waiting)}"
        asking = partial(
            await_human,
            task="Please fill this in.",
            payload_schema=Payload,
            payload=Payload(),
            response_schema=model,
            timeout_seconds=600,
            assign_to="ana@example.com",
            idempotency_key=key,
            engine=self.world.engine,
        )
        answer = self.portal.start_task_soon(asking)
        self.waiting.append(answer)
        page = self.browsers[javascript].new_page()
        page.goto(f"{self.base}{self.world.link(self._task(key, answer, page))}")
        return Asked(page, answer)

    def _task(self, key: str, answer: Future[BaseModel], page: Page) -> Task:
        for _ in range(100 * SECONDS):
            found = self.portal.call(self.world.engine.find, Query(idempotency_key=key))
            if found:
                return found[0]
            if answer.done():
                answer.result()
            page.wait_for_timeout(10)
        raise AssertionError("the agent asked nothing")


@pytest.fixture(scope="module")
def room(chromium: Callable[[], AbstractContextManager[Browser]]) -> Iterator[Room]:
    """Give a room for all of these tests: a browser is quick where it knows the files."""
    world = World(mount="/humans")
    host = Starlette()
    host.mount("/humans", world.router)
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(world.engine.run()))
        base = stack.enter_context(serving(host))
        browser = stack.enter_context(chromium())
        contexts = {way: browser.new_context(java_script_enabled=way, locale="en-US") for way in (True, False)}
        room = Room(world, f"{base}/humans", portal, contexts)
        yield room
        for one in room.waiting:
            one.cancel()


def test_every_kind_has_a_place_in_the_catalogue() -> None:
    assert {kind for kind, model in KINDS.items() if model.answered} - EXHIBITS.keys() == set()
    assert {kind for kind, model in KINDS.items() if not model.answered} == DISPLAYS.keys()
    for kind, exhibits in EXHIBITS.items():
        assert {one.helper.kind for one in exhibits if one.helper} == {kind}
    subtypes = {one.helper.subtype for one in EXHIBITS["short_text"] if isinstance(one.helper, ShortText)}
    assert subtypes == set(get_args(ShortText.model_fields["subtype"].annotation))


CASES = [
    *(pytest.param(one, id=f"{kind}: {one.name}") for kind, exhibits in EXHIBITS.items() for one in exhibits),
    *(pytest.param(one, id=f"by type: {one.name}") for one in inferred()),
]


def _model(exhibit: Exhibit) -> type[BaseModel]:
    """Make an answer of a field that is required, one for each edge, and one that can be left alone."""
    fields: dict[str, Any] = {"first": (exhibit.asked, ...)}
    fields |= {f"edge_{letter}": (exhibit.asked, ...) for letter, _ in zip("abc", exhibit.edges, strict=False)}
    return create_model("Answer", **fields, spare=(exhibit.asked_if_wanted, None))


@pytest.mark.parametrize("javascript", [pytest.param(True, id="javascript"), pytest.param(False, id="bare")])
@pytest.mark.parametrize("exhibit", CASES)
def test_a_kind_takes_its_values_and_nothing_else(room: Room, exhibit: Exhibit, javascript: bool) -> None:  # noqa: FBT001
    """Nothing at all, then garbage, then what is right; and on the way there what is just about right."""
    model = _model(exhibit)
    edges = {f"Edge {letter}": edge for letter, edge in zip("ABC", exhibit.edges, strict=False)}
    asked = room.asks(model, javascript=javascript)
    if exhibit.blank:
        asked.send()
        asked.ensure_refused(dict.fromkeys(["First", *edges], exhibit.blank))
    asked.does(edges)
    exhibit.garbage.deed(asked.page, "First")
    before = asked.filled_in
    asked.send()
    asked.ensure_refused({"First": exhibit.garbage.fault})
    if exhibit.comes_back:
        assert _kept(asked.filled_in) == _kept(before)
    exhibit.native.deed(asked.page, "First")
    asked.send()
    values = [exhibit.native.value, *(edge.value for edge in exhibit.edges)]
    expected = dict(zip(model.model_fields, values, strict=False))
    asked.ensure_answered(model.model_validate({**expected, "spare": exhibit.left_out}))
    asked.page.close()


def _kept(fields: list[list[str]]) -> list[list[str]]:
    return [[name, text.replace("\r\n", "\n")] for name, text in fields]


@pytest.mark.parametrize("javascript", [pytest.param(True, id="javascript"), pytest.param(False, id="bare")])
@pytest.mark.parametrize("display", [pytest.param(one, id=kind) for kind, one in DISPLAYS.items()])
def test_what_is_shown_is_there_to_be_read_and_asks_nothing(room: Room, display: Display, javascript: bool) -> None:  # noqa: FBT001
    shown: dict[str, Any] = {"shown": (Annotated[None, display.helper], None), "done": (bool, ...)}
    model: type[BaseModel] = create_model("Answer", **shown, **display.beside)
    asked = room.asks(model, javascript=javascript)
    expect(display.seen(asked.page)).to_be_visible()
    asked.send()
    asked.ensure_refused({"Done": "choose one", **dict.fromkeys(display.deeds, "is required")})
    asked.does(display.deeds)
    asked.page.get_by_label("Yes").check()
    forged = "form => form.insertAdjacentHTML('beforeend', '<input type=hidden name=shown value=garbage>')"
    asked.page.locator("form.answer").evaluate(forged)
    asked.send()
    expected = {name: given.value for name, given in zip(display.beside, display.deeds.values(), strict=True)}
    asked.ensure_answered(model(done=True, **expected))
    asked.page.close()
