"""One task, told everywhere at once, answered at any one place: all the others say so, and the agent goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from awaithumans import Engine, Human, StaticDirectory, await_human
from awaithumans.channels.email import EmailChannel, Sender, Smtp
from awaithumans.channels.slack import SlackChannel
from awaithumans.protocols import Channel
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.types import Query, Task
from awaithumans.web import Router
from tests.channels.email.mail import Server, parsed, smtp_server, text_of
from tests.channels.email.test_answers import links
from tests.channels.slack.desk import SIGNING_SECRET, clicked, interaction, sent_in, signature_headers
from tests.slack import TOKEN, Line, Slack
from tests.web.world import SECRET, hidden_token

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.anyio

CLAIM, OPEN = "awaithumans.claim_task", "awaithumans.open_review"
SAME = {"Sec-Fetch-Site": "same-origin"}
NUMBERS = count(1)
PATIENCE = 20


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio: Slack's library knows no other."""
    return "asyncio"


async def until(what: Callable[[], Any]) -> Any:
    with anyio.fail_after(PATIENCE):
        while not (found := await anyio.to_thread.run_sync(what)):
            await anyio.sleep(0.01)
        return found


@dataclass
class Town:
    """Everybody and everything: a room and a person on Slack, two people with mail, one in a browser."""

    engine: Engine
    url: str
    slack: Slack
    line: Line
    mail: Server
    room: str
    ana: Human
    seen: int
    """How many messages Ana had before."""

    async def ask(self) -> Decision:
        return await await_human(
            task="Approve this refund?",
            payload_schema=Refund,
            payload=Refund(order="A-1"),
            response_schema=Decision,
            timeout_seconds=600,
            assign_to=["ana@example.com", "bea@example.com", "cleo@example.com", "dan@example.com"],
            notify=[
                f"slack:{self.room}",
                f"slack:{self.ana.slack_user_id}",
                "email:bea@example.com",
                "email:cleo@example.com",
            ],
            engine=self.engine,
        )

    # ── What each finds ───────────────────────────────────────────────────────

    def in_room(self) -> Any:
        return self.slack.messages(self.room)[-1:]

    def to_ana(self) -> Any:
        assert self.ana.slack_user_id
        return self.slack.messages(self.slack.direct(self.ana.slack_user_id))[self.seen :]

    def mails_to(self, whom: str) -> list[EmailMessage]:
        mails = [parsed(raw) for raw in self.mail.mails]
        return [mail for mail in mails if mail["To"] == f"{whom}@example.com"]

    def both_mails_to(self, whom: str) -> list[EmailMessage]:
        return mails if len(mails := self.mails_to(whom)) == 2 else []

    async def page(self, task: Task) -> httpx2.Response:
        async with self.browser() as client:
            return await client.get(f"/tasks/{task.id}")

    def browser(self) -> httpx2.AsyncClient:
        """Give Dan's browser."""
        return httpx2.AsyncClient(base_url=self.url, headers={"Cookie": "user=dan@example.com"})

    # ── What each does ────────────────────────────────────────────────────────

    async def on_the_page(self, task: Task) -> None:
        async with self.browser() as client:
            page = await client.get(f"/tasks/{task.id}")
            form = {"_awaithumans_csrf": hidden_token(page.text), "approved": "true"}
            assert (await client.post(f"/tasks/{task.id}", data=form, headers=SAME)).status_code == 303

    async def in_the_room(self, task: Task) -> None:
        await self.click(CLAIM, task)
        await until(lambda: "Taken by" in json.dumps(self.in_room()))
        await self.send_in(task)

    async def in_a_direct_message(self, task: Task) -> None:
        await self.click(OPEN, task)
        await self.send_in(task)

    async def by_a_word_to_slack(self, task: Task) -> None:
        (message,) = self.to_ana()
        event = {
            "type": "message",
            "channel": self.slack.direct(str(self.ana.slack_user_id)),
            "channel_type": "im",
            "user": self.ana.slack_user_id,
            "text": "yes",
            "ts": "1.2",
            "thread_ts": message["ts"],
        }
        body = {"type": "event_callback", "team_id": self.ana.slack_team_id, "event": event}
        await self.post("events", json.dumps(body), "application/json")

    async def by_a_button_in_a_mail(self, task: Task) -> None:
        (mail,) = self.mails_to("bea")
        (yes,) = [link for link in links(mail) if link.endswith("?answer=true")]
        async with httpx2.AsyncClient() as client:
            form = {"_awaithumans_csrf": hidden_token((await client.get(yes)).text), "approved": "true"}
            reply = await client.post(yes.partition("?")[0], data=form, headers=SAME)
        assert reply.status_code == 303, reply.text

    async def by_a_reply_to_a_mail(self, task: Task) -> None:
        (mail,) = self.mails_to("cleo")
        reply = EmailMessage()
        reply["From"], reply["To"], reply["Subject"] = mail["To"], mail["Reply-To"], f"Re: {mail['Subject']}"
        reply["Message-ID"], reply["In-Reply-To"] = "<1@cleo.example>", mail["Message-ID"]
        reply.set_content("Yes")
        channel = self.engine.channels["email"]
        assert isinstance(channel, EmailChannel)
        await channel.receive_reply(reply.as_bytes())

    async def click(self, action: str, task: Task) -> None:
        payload = clicked(self.line, action, task.id, self.ana, team=str(self.ana.slack_team_id))
        opened = await anyio.to_thread.run_sync(
            lambda: self.slack.ask("views.generateTriggerId", user=self.ana.slack_user_id)
        )
        payload["trigger_id"] = opened["trigger_id"]
        await self.post("interactions", interaction(payload))

    async def send_in(self, task: Task) -> None:
        await self.post("interactions", interaction(sent_in(task, self.ana)))

    async def post(self, path: str, body: str, kind: str = "application/x-www-form-urlencoded") -> None:
        headers = {**signature_headers(body), "Content-Type": kind}
        async with httpx2.AsyncClient(base_url=self.url) as client:
            assert (await client.post(f"/api/channels/slack/{path}", content=body, headers=headers)).status_code == 200


@pytest.fixture
async def town(slack: Slack, slack_line: Line, serve: Callable[..., str], tmp_path: Any) -> AsyncIterator[Town]:
    team = slack.ask("auth.test")["team_id"]
    ana = Human(id="ana", email="ana@example.com", slack_user_id=slack.member("ana"), slack_team_id=team)
    others = [Human(id=name, email=f"{name}@example.com") for name in ("bea", "cleo", "dan")]
    directory = StaticDirectory([ana, *others])

    async def log_in(request: Request) -> Human | None:
        return await directory.find(request.cookies.get("user", ""))

    with smtp_server() as mail:
        sender = Sender(
            address="approvals@example.com",
            transport=Smtp("127.0.0.1", mail.port, security="none"),
            replies="reply@example.com",
        )
        channels: list[Channel] = [
            SlackChannel(token=TOKEN, signing_secret=SIGNING_SECRET, api_url=slack_line.api_url),
            EmailChannel(sender),
        ]
        store = SQLAlchemyStore(f"sqlite+aiosqlite:///{tmp_path / 'tasks.db'}")
        engine = Engine(store, channels=channels, directory=directory, secret=SECRET, public_url="http://later")
        router = Router(engine, auth=log_in)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await router(scope, receive, send)
            if scope["type"] == "lifespan":
                await engine.aclose()

        async with engine.run():
            engine.public_url = url = serve(app)
            room = slack.channel(f"everywhere-{next(NUMBERS)}")
            seen = len(slack.messages(slack.direct(str(ana.slack_user_id))))
            yield Town(engine, url, slack, slack_line, mail, room, ana, seen)
        await engine.aclose()


@pytest.mark.parametrize(
    ("answer", "by", "told"),
    [
        (Town.on_the_page, "dan", {"bea", "cleo"}),
        (Town.in_the_room, "ana", {"bea", "cleo"}),
        (Town.in_a_direct_message, "ana", {"bea", "cleo"}),
        (Town.by_a_word_to_slack, "ana", {"bea", "cleo"}),
        (Town.by_a_button_in_a_mail, "bea", {"cleo"}),
        (Town.by_a_reply_to_a_mail, "cleo", {"bea"}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
async def test_answered_at_one_place_all_the_others_say_so(
    town: Town,
    answer: Callable[[Town, Task], Awaitable[None]],
    by: str,
    told: set[str],
) -> None:
    decisions: list[Decision] = []

    async def agent() -> None:
        decisions.append(await town.ask())

    async with anyio.create_task_group() as agents:
        agents.start_soon(agent)
        await until(lambda: town.in_room() and town.to_ana() and town.mails_to("bea") and town.mails_to("cleo"))
        (task,) = await town.engine.find(Query())
        assert "Yes" in (await town.page(task)).text
        await answer(town, task)
    answered_at = anyio.current_time()
    assert decisions == [Decision(approved=True)]

    (closed,) = await town.engine.find(Query())
    assert closed.answer
    assert closed.answer.by.id == by
    await until(lambda: "Completed" in json.dumps(town.in_room()))
    await until(lambda: "Completed" in json.dumps(town.to_ana()))
    for name in told:
        first, last = await until(partial(town.both_mails_to, name))
        assert last["In-Reply-To"] == first["Message-ID"]
        assert by.capitalize() in text_of(last) or by in text_of(last)
    logger.info("%.3f s until all say so", anyio.current_time() - answered_at)
    page = (await town.page(task)).text
    assert "Answered" in page
    assert "_awaithumans_csrf" not in page

    for name in {"bea", "cleo"} - told:
        assert len(town.mails_to(name)) == 1, "who answered is not told so"
    assert len(town.slack.messages(town.room)) == len(town.to_ana()) == 1, "messages are edited, not repeated"
    for mail in town.mails_to("bea"):
        for link in links(mail):
            if urlsplit(link).path.startswith("/l/"):
                async with httpx2.AsyncClient() as client:
                    assert 'class="answer"' not in (await client.get(link)).text, "there is nothing left to answer"
