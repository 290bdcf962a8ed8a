"""Who may answer, by the doors of the channels: the table of `tests/web/test_one_rule.py`.

Nor does anybody's answer count who is not in the directory any more, or never
was; by Slack an operator has an operator's rights, by mail and in a frame not.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.message import EmailMessage
from urllib.parse import urlsplit

import httpx2
import pytest
from pydantic import BaseModel

from awaithumans import Engine, StaticDirectory, build_spec
from awaithumans.channels.email import EmailChannel
from awaithumans.channels.email.tokens import reply_address
from awaithumans.channels.slack import SlackChannel
from awaithumans.channels.slack.modal import CALLBACK_ID
from awaithumans.lifecycle import may_answer
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Actor, Human, Task, Verdict, VerificationContext, VerifierConfig
from awaithumans.web import Router
from tests.channels.email.mail import Inbox
from tests.channels.email.test_answers import links
from tests.channels.slack.desk import SIGNING_SECRET, clicked, interaction, sent_in, signature_headers
from tests.channels.slack.slack_api import TEAM, SlackApi, slack_api
from tests.channels.slack.test_events import message_about, reply
from tests.web import world
from tests.web.test_one_rule import NOBODY, STATES, WITHOUT_RANK
from tests.web.world import HOST, SECRET, hidden_token

pytestmark = pytest.mark.anyio

ORIGIN = "https://product.example"
MAILBOX = "reply@example.com"
SAME = {"Sec-Fetch-Site": "same-origin"}
NO = {"approved": False}


def in_slack(human: Human) -> Human:
    return replace(human, slack_user_id=f"U0000{human.label.upper()}", slack_team_id=TEAM)


def somebody(name: str) -> Human:
    return Human(id=f"{name}@example.com", email=f"{name}@example.com", display_name=name.capitalize())


ANA, BOB, EVE, OLGA, IAN, UNA = (
    in_slack(human) for human in (world.ANA, world.BOB, world.EVE, world.OLGA, somebody("ian"), somebody("una"))
)
PEOPLE = {
    "ana": ANA,
    "bob": BOB,
    "eve": EVE,  # the directory knows her
    "olga": OLGA,  # an operator
    "ian": IAN,  # asked, and then not active any more
    "una": UNA,  # nobody ever heard of her
}


class Decision(BaseModel):
    approved: bool


class Undecided:
    async def verify(self, context: VerificationContext) -> Verdict:
        raise AssertionError("nobody lets it decide")


class House:
    """One engine, with every channel at its doors."""

    def __init__(self, api: SlackApi) -> None:
        self.api = api
        self.inbox = Inbox()
        self.staff = [ANA, BOB, EVE, OLGA, IAN]
        self.slack = SlackChannel(token="xoxb-1", signing_secret=SIGNING_SECRET, api_url=api.api_url)
        self.email: EmailChannel = self.inbox.channel(replies=MAILBOX)
        self.engine = Engine(
            MemoryStore(),
            channels=[self.slack, self.email],
            directory=StaticDirectory(lambda: self.staff),
            verifiers={"undecided": Undecided()},
            secret=SECRET,
            public_url=HOST,
            background=False,
        )
        router = Router(self.engine, embed_origins=[ORIGIN])
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(router), base_url=HOST)

    async def asked(self, state: str) -> Task:
        """Ask, tell everybody by mail, whoever they are, and bring the task into a state."""
        names = ["ana", "ian"] if state == "for ana" else ["ana", "bob", "ian"]
        check = VerifierConfig(provider="undecided", instructions="") if state == "under review" else None
        spec = build_spec(
            task="Approve this refund?",
            payload=Decision(approved=False),
            payload_schema=Decision,
            response_schema=Decision,
            timeout_seconds=600,
            assign_to=None if state.startswith("for anybody") else [f"{name}@example.com" for name in names],
            notify=[f"email:{name}@example.com" for name in PEOPLE],
            verifier=check,
        )
        self.as_asked = task = await self.engine.create(spec)
        await self.engine.tick()
        await self._brought(task, state)
        self.staff.remove(IAN)
        return await self.engine.get(task.id)

    async def _brought(self, task: Task, state: str) -> None:
        ana, olga = Actor.of(ANA, auth="host"), Actor.of(OLGA, auth="host")
        if "taken" in state or state == "given back":
            await self.engine.claim(task.id, by=ana)
        if state == "given back":
            await self.engine.release(task.id, by=ana)
        if state.startswith("handed on"):
            await self.engine.reassign(task.id, [ANA], by=olga)
        if state in {"under review", "answered"}:
            await self.engine.submit(task.id, NO, by=olga)
        if state == "withdrawn":
            await self.engine.cancel(task.id, by=olga)

    async def post(self, path: str, body: str, kind: str) -> None:
        headers = {**signature_headers(body), "Content-Type": kind}
        sent = await self.client.post(f"/api/channels/slack/{path}", content=body, headers=headers)
        assert sent.status_code == 200, sent.text

    async def interact(self, payload: Mapping[str, object]) -> None:
        await self.post("interactions", interaction(payload), "application/x-www-form-urlencoded")

    def mail_to(self, human: Human) -> EmailMessage:
        (mail,) = [mail for mail in self.inbox.mails if mail["To"] == human.email]
        return mail


# ── The doors: each tells whether an answer was offered, and tries it in any case ──


async def by_claiming(house: House, task: Task, human: Human) -> bool:
    return await _in_a_modal(house, task, human, "awaithumans.claim_task")


async def by_a_modal(house: House, task: Task, human: Human) -> bool:
    return await _in_a_modal(house, task, human, "awaithumans.open_review")


async def _in_a_modal(house: House, task: Task, human: Human, button: str) -> bool:
    await house.interact(clicked(house.api, button, task.id, human))
    offered = [one["view"] for one in house.api.given("views.open") if one["view"].get("callback_id") == CALLBACK_ID]
    await house.interact(sent_in(task, human))
    return bool(offered)


async def by_a_word_in_the_thread(house: House, task: Task, human: Human) -> bool | None:
    house.api.replies["conversations.replies"] = {"messages": [message_about(task)]}
    await house.post("events", json.dumps(reply("Yes", human)), "application/json")
    return None


async def by_a_button_in_a_mail(house: House, task: Task, human: Human) -> bool:
    mailed = [link for link in links(house.mail_to(human)) if link.endswith("?answer=true")]
    link = mailed[0] if mailed else house.engine.link(task, human, via="email")
    was_asked = may_answer(house.as_asked, replace(human, operator=False))
    assert bool(mailed) == (was_asked and human is not UNA), "a link goes to those who were asked, and known"
    return await _on_a_page(house, link, human)


async def by_a_reply_to_a_mail(house: House, task: Task, human: Human) -> None:
    address = reply_address(MAILBOX, house.engine.keys, task_id=task.id, address=str(human.email), attempt=0)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = human.email, address, "Re: Approve this refund?"
    mail["Message-ID"] = f"<1@{human.label}.example>"
    mail.set_content("Yes")
    outcome = await house.email.receive_reply(mail.as_bytes())
    assert (outcome == "ignored") == (human in {IAN, UNA}), "whom nobody knows hears nothing, either"


async def in_the_hosts_product(house: House, task: Task, human: Human) -> bool:
    return await _on_a_page(house, house.engine.embed(task, human, origin=ORIGIN).url, human)


async def _on_a_page(house: House, address: str, human: Human) -> bool:
    page = (await house.client.get(address)).text
    offered = 'name="approved"' in page
    action = re.search(r'<form method="post" action="([^"]+)" class="answer"', page)
    token = hidden_token(page) if offered else house.engine.keys.form_token(f"link:{human.id}", "")
    path = action[1] if action else urlsplit(address).path
    sent = await house.client.post(path, data={"_awaithumans_csrf": token, "approved": "true"}, headers=SAME)
    assert offered == (sent.status_code == 303), "a form is shown to those alone whose answer counts"
    return offered


@dataclass(frozen=True)
class Door:
    attempt: Callable[[House, Task, Human], Awaitable[bool | None]]
    auth: str
    via: str
    rank: bool
    """Whether operators come by it as such."""


DOORS = [
    Door(by_claiming, "channel", "slack", rank=True),
    Door(by_a_modal, "channel", "slack", rank=True),
    Door(by_a_word_in_the_thread, "channel", "slack", rank=True),
    Door(by_a_button_in_a_mail, "link", "email", rank=False),
    Door(by_a_reply_to_a_mail, "channel", "email", rank=False),
    Door(in_the_hosts_product, "link", "embed", rank=False),
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio: Slack's library knows no other."""
    return "asyncio"


@pytest.fixture(scope="module")
def shared_api() -> Iterator[SlackApi]:
    with slack_api() as api:
        yield api


@pytest.fixture
async def house(shared_api: SlackApi) -> AsyncIterator[House]:
    shared_api.calls.clear()
    house = House(shared_api)
    yield house
    await house.client.aclose()
    await house.engine.aclose()


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.attempt.__name__)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", PEOPLE)
async def test_the_rule(house: House, name: str, state: str, door: Door) -> None:
    human, task = PEOPLE[name], await house.asked(state)
    may = name in (STATES[state] if name != "olga" or door.rank else WITHOUT_RANK.get(state, NOBODY))
    offered = await door.attempt(house, task, human)
    assert offered in {may, None}, "an answer is offered to those alone from whom it counts"
    after = await house.engine.get(task.id)
    assert len(after.answers) - len(task.answers) == may
    if may:
        by = after.answers[-1].by
        assert (by.id, by.auth, by.via, by.operator) == (human.id, door.auth, door.via, human.operator and door.rank)
    else:
        assert (after.status, after.assignee) == (task.status, task.assignee)
