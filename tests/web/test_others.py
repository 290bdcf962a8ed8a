"""What else waits for the person behind a link: sent where the link was sent, and nothing on the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import httpx2
import pytest
from playwright.sync_api import Browser, expect
from starlette.applications import Starlette
from starlette.types import ASGIApp

from awaithumans.channels.email import EmailChannel, Sender, Smtp
from awaithumans.engine import Engine
from awaithumans.testing.recording import RecordingChannel
from awaithumans.types import Actor, Human, Notice, Query
from awaithumans.web.others import MOST, remind_of_others
from tests.channels.email.mail import Server, parsed, smtp_server, text_of
from tests.web.test_browser import ensure_accessible, ensure_narrow
from tests.web.world import ANA, BOB, EVE, HOST, OLGA, World, as_program, body, form, hidden_token

pytestmark = pytest.mark.anyio

SAME = {"Sec-Fetch-Site": "same-origin"}
ANAS: dict[str, Any] = {"assign_to": {"email": "ana@example.com"}, "notify": ["mail:ana@example.com"]}
SAID = "If anything else waits for you, it is on its way to the address this link came to."


@dataclass
class Desk:
    """An engine with a channel, and Ana with a link that came by it."""

    world: World
    channel: RecordingChannel
    client: httpx2.AsyncClient
    numbers: int = 0

    async def asks(self, **changes: Any) -> str:
        self.numbers += 1
        given: dict[str, Any] = {
            "idempotency_key": f"key-{self.numbers}",
            "task": f"Question {self.numbers}?",
            **ANAS,
            **changes,
        }
        task_id = await self.world.ask(self.client, **given)
        await self.settle()
        return task_id

    async def settle(self) -> None:
        """Let all be done that is due, in the engine's background."""
        with anyio.fail_after(20):
            while any([await self._waits(task.id) for task in await self.world.engine.find(Query(limit=100))]):
                await self.world.engine.tick()
                await anyio.sleep(0.005)

    async def _waits(self, task_id: str) -> bool:
        now = self.world.engine.clock.now()
        return any(not one.settled_at and one.effect.due <= now for one in await self.world.engine.deliveries(task_id))

    async def link(self, task_id: str, human: Human = ANA, via: str = "mail") -> str:
        task = await self.world.task(task_id)
        return self.world.engine.link(task, human, via=via).removeprefix(HOST)

    async def presses(self, link: str, **fields: str) -> httpx2.Response:
        fields = fields or await form(self.client, link, None)
        pressed = await self.client.post(f"{link}/others", data=fields, headers=SAME)
        await self.settle()
        return pressed

    def reminded(self) -> list[Notice]:
        return [notice for notice in self.channel.sent if notice.event == "reminder"]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    channel = RecordingChannel("mail")
    world = World(channels=[channel])
    async with world.engine.run(), world.client() as client:
        yield Desk(world, channel, client)


async def test_every_other_task_comes_with_a_fresh_link_and_the_page_says_nothing(desk: Desk) -> None:
    here, one, two = [await desk.asks() for _ in range(3)]
    pressed = await desk.presses(await desk.link(here))
    assert pressed.status_code == 200
    assert SAID in pressed.text
    assert "Question 2" not in pressed.text
    assert {notice.task.id for notice in desk.reminded()} == {one, two}
    for notice in desk.reminded():
        assert notice.target == "ana@example.com"
        assert notice.link
        assert notice.task.spec.task in (await desk.client.get(notice.link)).text
    trail = await desk.world.engine.trail(one)
    assert [(line.action, line.by.id, line.by.via) for line in trail[1:]] == [("reminder_requested", ANA.id, "mail")]


async def test_the_page_is_the_same_where_nothing_waits(desk: Desk) -> None:
    lonely = await desk.presses(await desk.link(await desk.asks()))
    assert desk.reminded() == []
    await desk.asks()
    busy = await desk.presses(await desk.link(await desk.asks()))
    assert len(desk.reminded()) == 2
    texts = [page.text.partition("<main")[2].partition('<p class="actions">')[0] for page in (lonely, busy)]
    assert texts[0] == texts[1]


async def test_ten_presses_at_once_are_one_reminder_and_ten_minutes_later_there_is_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = await desk.asks(), await desk.asks()
    link = await desk.link(here)
    fields = await form(desk.client, link, None)

    async def press() -> None:
        await desk.client.post(f"{link}/others", data=fields, headers=SAME)

    for minutes, reminders in ((0, 1), (9, 1), (11, 2)):
        later = desk.world.engine.clock.now() + timedelta(minutes=minutes)
        with monkeypatch.context() as clock:
            clock.setattr(desk.world.engine.clock, "now", lambda later=later: later)
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(press)
            await desk.settle()
        assert [notice.task.id for notice in desk.reminded()] == [other] * reminders
    assert len({notice.id for notice in desk.reminded()}) == 2


async def test_where_the_message_is_still_on_its_way_there_is_no_second(desk: Desk) -> None:
    here = await desk.asks()
    link = await desk.link(here)
    fields = await form(desk.client, link, None)
    blocked = anyio.Event()

    async def send(notice: Notice) -> str | None:
        await blocked.wait()
        return await RecordingChannel.send(desk.channel, notice)

    desk.channel.send = send  # type: ignore[method-assign]
    other = await desk.world.ask(desk.client, idempotency_key="new", **ANAS)
    await desk.client.post(f"{link}/others", data=fields, headers=SAME)
    blocked.set()
    await desk.settle()
    assert desk.channel.events(other) == ["opened"]


async def test_what_was_written_is_sent_by_another_process(desk: Desk) -> None:
    """The process that took the request ends before it sends anything."""
    here, other = await desk.asks(), await desk.asks()
    gone = Engine(desk.world.store, channels=[RecordingChannel("mail")], background=False)
    await remind_of_others(gone, await desk.world.task(here), Actor.of(ANA, auth="link", via="mail"))
    await desk.settle()
    assert [notice.task.id for notice in desk.reminded()] == [other]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"notify": ["mail:bob@example.com"]}, id="told to others"),
        pytest.param({"notify": ["other:ana@example.com"]}, id="told through another channel"),
        pytest.param({"notify": []}, id="told to nobody"),
        pytest.param({"assign_to": {"email": "bob@example.com"}}, id="asked of others"),
    ],
)
async def test_what_does_not_go_there_anyway_does_not_go_there_now(changes: dict[str, Any]) -> None:
    channel, other = RecordingChannel("mail"), RecordingChannel("other")
    world = World(channels=[channel, other])
    async with world.engine.run(), world.client() as client:
        desk = Desk(world, channel, client)
        here = await desk.asks()
        await desk.asks(**changes)
        assert (await desk.presses(await desk.link(here))).status_code == 200
        assert desk.reminded() == []
        assert [notice.event for notice in other.sent if notice.event == "reminder"] == []


async def test_only_what_the_person_can_answer_counts(desk: Desk) -> None:
    both = {"assign_to": {"emails": ["ana@example.com", "bob@example.com"]}}
    here, bobs, done, handed_on = [await desk.asks(**both) for _ in range(4)]
    olga = Actor.of(OLGA, auth="host")
    await desk.world.engine.claim(bobs, by=Actor.of(BOB, auth="host"))
    await desk.world.engine.submit(done, {"approved": True}, by=Actor.of(BOB, auth="host"))
    await desk.world.engine.reassign(handed_on, [EVE], by=olga)
    await desk.presses(await desk.link(here))
    assert desk.reminded() == []


async def test_who_has_left_or_lost_the_task_is_told_nothing(desk: Desk) -> None:
    here, _ = await desk.asks(), await desk.asks()
    link = await desk.link(here)
    fields = await form(desk.client, link, None)
    desk.world.directory.gone.add("ana@example.com")
    assert (await desk.presses(link, **fields)).status_code == 410
    desk.world.directory.gone.clear()
    await desk.world.engine.reassign(here, [BOB], by=Actor.of(OLGA, auth="host"))
    assert (await desk.presses(link, **fields)).status_code == 410
    assert desk.reminded() == []


async def test_who_leaves_before_it_is_sent_gets_nothing(desk: Desk) -> None:
    here, other = await desk.asks(), await desk.asks()
    link = await desk.link(here)
    fields = await form(desk.client, link, None)
    original = desk.world.engine.remind

    async def remind(task_id: str, recipient: str, *, by: Actor) -> object:
        desk.world.directory.gone.add("ana@example.com")
        return await original(task_id, recipient, by=by)

    desk.world.engine.remind = remind  # type: ignore[method-assign, assignment]
    await desk.presses(link, **fields)
    assert (await desk.world.task(other)).version == 2
    assert desk.reminded() == []


async def test_the_end_of_the_task_by_somebody_else_ends_it(desk: Desk) -> None:
    here, _ = await desk.asks(assign_to={"emails": ["ana@example.com", "bob@example.com"]}), await desk.asks()
    link = await desk.link(here)
    fields = await form(desk.client, link, None)
    await desk.world.engine.submit(here, {"approved": True}, by=Actor.of(BOB, auth="host"))
    assert (await desk.presses(link, **fields)).status_code == 410
    assert desk.reminded() == []


async def test_after_the_answer_it_is_there_too(desk: Desk) -> None:
    here, other = await desk.asks(), await desk.asks()
    link = await desk.link(here)
    await desk.client.post(link, data=await form(desk.client, link, None, approved="true"), headers=SAME)
    page = await desk.client.get(link)
    assert "that is answered" in page.text
    await desk.presses(link, _awaithumans_csrf=hidden_token(page.text))
    assert [notice.task.id for notice in desk.reminded()] == [other]


async def test_a_redacted_payload_stays_where_it_is(desk: Desk) -> None:
    here, _ = await desk.asks(), await desk.asks(redact_payload=True, payload={"secret": "A-1"})
    await desk.presses(await desk.link(here))
    (notice,) = desk.reminded()
    assert notice.task.spec.payload == {}


async def test_only_so_many_at_once_and_the_most_urgent_first(desk: Desk) -> None:
    here = await desk.asks()
    for number in range(MOST + 2):
        await desk.asks(timeout_seconds=9_000 - number)
    await desk.presses(await desk.link(here))
    assert {notice.task.spec.timeout_seconds for notice in desk.reminded()} == set(range(9_000 - MOST - 1, 9_000 - 1))


async def test_other_sites_and_links_of_no_channel_cannot(desk: Desk) -> None:
    here, _ = await desk.asks(), await desk.asks()
    link, made_by_hand = await desk.link(here), await desk.link(here, via="web")
    fields = await form(desk.client, link, None)
    crossing = await desk.client.post(f"{link}/others", data=fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert crossing.status_code == 403
    assert (await desk.client.post(f"{link}/others", data={"a": "b"}, headers=SAME)).status_code == 403
    assert (await desk.client.get(f"{link}/others")).status_code == 405
    assert "/others" in (await desk.client.get(link)).text
    assert "/others" not in (await desk.client.get(made_by_hand)).text
    await desk.presses(made_by_hand, **fields)
    assert desk.reminded() == []


async def test_a_frame_has_no_such_button(desk: Desk) -> None:
    here, _ = await desk.asks(), await desk.asks()
    page = desk.world.engine.embed(await desk.world.task(here), ANA, origin="https://shop.example")
    path = page.url.removeprefix(HOST)
    shown = await desk.client.get(path)
    assert "/others" not in shown.text
    fields = {"_awaithumans_csrf": hidden_token(shown.text)}
    assert (await desk.client.post(f"{path}/others", data=fields, headers=SAME)).status_code == 404


@pytest.mark.parametrize("javascript", [True, False])
def test_ana_presses_and_has_mail(browser: Browser, serve: Callable[[ASGIApp], str], javascript: bool) -> None:  # noqa: FBT001
    """By SMTP and in a browser: a link of a mail, its button, and the links of the mails that come."""
    with smtp_server() as server:
        transport = Smtp("127.0.0.1", server.port, security="none")
        sender = Sender(address="approvals@example.com", transport=transport)
        world = World(mount="/humans", channels=[EmailChannel(sender)])
        host = Starlette()
        host.mount("/humans", world.router)
        base = f"{serve(host)}/humans"
        world.engine.public_url = base
        for number, question in enumerate(("Refund A-1?", "Refund A-2?", "Refund A-3?")):
            asked = body(task=question, idempotency_key=f"key-{number}", **ANAS | {"notify": ["email"]})
            httpx2.post(f"{base}/api/tasks", json=asked, headers=as_program("asker")).raise_for_status()
        page = browser.new_page(java_script_enabled=javascript, viewport={"width": 360, "height": 800})
        page.goto(links_by_subject(server, page.wait_for_timeout, 3)["Refund A-1?"])
        if javascript:
            ensure_accessible(page)
        ensure_narrow(page)
        page.get_by_role("button", name="What else is waiting for me?").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Look at your messages")
        if javascript:
            ensure_accessible(page)
        expect(page.get_by_text("Refund")).to_have_count(0)
        links = links_by_subject(server, page.wait_for_timeout, 5, since=3)
        assert set(links) == {"Refund A-2?", "Refund A-3?"}
        page.goto(links["Refund A-2?"])
        page.get_by_label("Yes").check()
        page.get_by_role("button", name="Send the answer").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that is answered")


def links_by_subject(server: Server, wait: Callable[[float], object], count: int, *, since: int = 0) -> dict[str, str]:
    """Wait for so many mails; give the address that each of the latest opens."""
    for _ in range(1_200):
        if len(server.mails) >= count:
            break
        wait(25)
    mails = [parsed(raw) for raw in server.mails[since:]]
    assert len(server.mails) == count, json.dumps([str(mail["Subject"]) for mail in mails])
    found: dict[str, str] = {}
    for mail in mails:
        addresses = [word for word in text_of(mail).split() if "/l/" in word and "?answer=" not in word]
        found[str(mail["Subject"]).removeprefix("Re: ")] = addresses[0].strip("<>")
    return found
