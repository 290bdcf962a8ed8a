"""What stands in Slack after each thing that happens to a task, and to the connection."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import anyio
import pytest

from awaithumans import Engine, VerifierConfig
from awaithumans.channels.slack import SlackApp, SlackChannel
from awaithumans.channels.slack.channel import Receipt
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import DeliveryError
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.channels import ChannelConformance, make_notice
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.tasks import ANA, BEN, BOSS, make_spec, make_task
from awaithumans.types import Actor, Cancel, Claim, Human, Notice, Reassign, Release, Submit, Task, Verdict
from tests.slack import BLIND_TOKEN, TOKEN, Line, Slack, Trouble

pytestmark = pytest.mark.anyio

NUMBERS = count(1)
LINK = "https://app.example/humans/l/secret"
DEAD = "C0NOWHERE"


@pytest.fixture
def place(slack: Slack) -> str:
    return slack.channel(f"approvals-{next(NUMBERS)}")


@pytest.fixture
def anas(slack: Slack) -> str:
    """Give an empty conversation with Ana."""
    return emptied(slack, "ana")


@pytest.fixture
def beas(slack: Slack) -> str:
    return emptied(slack, "bea.b")


def emptied(slack: Slack, name: str) -> str:
    conversation = slack.direct(slack.member(name))
    for message in slack.messages(conversation):
        slack.ask("chat.delete", channel=conversation, ts=message["ts"])
    return conversation


async def speaking(line: Line, token: str = TOKEN, **more: Any) -> AsyncIterator[SlackChannel]:
    channel = SlackChannel(token=token, api_url=line.api_url, **more)
    yield channel
    await channel.aclose()


@pytest.fixture
async def channel(slack_line: Line) -> AsyncIterator[SlackChannel]:
    async for one in speaking(slack_line):
        yield one


@pytest.fixture
async def blind(slack_line: Line) -> AsyncIterator[SlackChannel]:
    async for one in speaking(slack_line, BLIND_TOKEN):
        yield one


@pytest.fixture
async def hasty(slack_line: Line) -> AsyncIterator[SlackChannel]:
    async for one in speaking(slack_line, timeout=1):
        yield one


def actions(message: dict[str, Any]) -> list[str]:
    return [one["action_id"] for block in message["blocks"] for one in block.get("elements", []) if "action_id" in one]


def headline(message: dict[str, Any]) -> str:
    text: str = message["blocks"][0]["text"]["text"]
    return text


class TestSlackChannel(ChannelConformance):
    events = ("opened", "claimed", "released", "reassigned", "rejected", "reminder", "closed")

    @pytest.fixture
    async def channel(self, slack_line: Line) -> AsyncIterator[SlackChannel]:
        async for one in speaking(slack_line):
            yield one

    @pytest.fixture
    def target(self, place: str) -> str:
        return place

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        return ["", "two words", "<!channel>"]

    @pytest.fixture
    def dead_target(self) -> str:
        return DEAD

    @pytest.fixture
    def arrived(self, slack: Slack, place: str) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [one["metadata"]["event_payload"]["id"] for one in slack.messages(place)]

        return ids


# ── What each event leaves in Slack ───────────────────────────────────────────


class World:
    """An engine that tells Slack, and what stands there."""

    def __init__(self, slack: Slack, channel: SlackChannel, people: Sequence[Human]) -> None:
        self.slack = slack
        self.clock = VirtualClock()
        self.engine = Engine(
            MemoryStore(),
            channels=[channel],
            clock=self.clock,
            directory=People(people),
            secret="s" * 32,
            public_url="https://app.example/humans",
            verifiers={"picky": Picky()},
        )

    async def ask(self, *notify: str, **spec: Any) -> Task:
        task = await self.engine.create(make_spec(notify=notify, **spec))
        await self.settled(task)
        return task

    async def does(self, task: Task, command: Any) -> None:
        await self.engine.act(task.id, command)
        await self.settled(task)

    async def settled(self, task: Task) -> None:
        """Return once everything that is due is done."""
        with anyio.fail_after(10):
            while await self._waiting(task):
                await self.engine.tick()
                await anyio.sleep(0.01)

    async def _waiting(self, task: Task) -> bool:
        deliveries = await self.engine.store.deliveries(task.id)
        return any(one.settled_at is None and one.effect.due <= self.clock.now() for one in deliveries)

    def only(self, conversation: str) -> dict[str, Any]:
        (message,) = self.slack.messages(conversation)
        return message


class People:
    def __init__(self, people: Sequence[Human]) -> None:
        self._people = people

    async def resolve(self, assign_to: Any) -> Sequence[Human]:
        wanted = {str(one).lower() for one in assign_to["emails"]}
        return [one for one in self._people if one.addresses & wanted]

    async def find(self, address: str) -> Human | None:
        return next((one for one in self._people if address.lower() in one.addresses), None)


class Picky:
    """Refuses what is not approved."""

    async def verify(self, context: Any) -> Verdict:
        passed = context.response["approve"] is True
        return Verdict(passed=passed, reason="" if passed else "Say <yes> & mean it")


@pytest.fixture
def ana(slack: Slack) -> Human:
    return replace(ANA, slack_user_id=slack.member("ana"))


@pytest.fixture
def bea(slack: Slack) -> Human:
    return Human(id="u-bea", email="bea@example.com", slack_user_id=slack.member("bea.b"))


@pytest.fixture
def world(slack: Slack, channel: SlackChannel, ana: Human, bea: Human) -> World:
    return World(slack, channel, [ana, bea, BEN])


def by(human: Human) -> Actor:
    return Actor.of(human, auth="host", via="web")


async def test_a_broadcast_can_be_claimed_and_has_no_personal_link(world: World, place: str, ana: Human):
    task = await world.ask(f"slack:{place}")
    message = world.only(place)
    assert actions(message) == ["awaithumans.claim_task", "awaithumans.open_dashboard"]
    claim, page = message["blocks"][-1]["elements"]
    assert (claim["value"], page["url"]) == (task.id, f"https://app.example/humans/tasks/{task.id}")
    assert "/l/" not in json.dumps(message)
    assert "99.99" not in json.dumps(message)
    assert headline(message) == "📥 *Needs an answer:* Approve the refund?"

    await world.does(task, Claim(by=by(ana)))
    assert headline(world.only(place)) == f"🙋 *Taken by <@{ana.slack_user_id}>:* Approve the refund?"
    assert actions(world.only(place)) == ["awaithumans.open_dashboard"]
    await world.does(task, Release(by=by(ana)))
    assert actions(world.only(place)) == ["awaithumans.claim_task", "awaithumans.open_dashboard"]
    await world.does(task, Submit(value={"approve": True}, by=by(ana)))
    assert headline(world.only(place)) == f"✅ *Completed by <@{ana.slack_user_id}>:* Approve the refund?"
    assert actions(world.only(place)) == ["awaithumans.open_dashboard"]


async def test_a_direct_message_opens_the_form_and_has_the_persons_own_link(world: World, beas: str):
    task = await world.ask("slack", assign_to={"emails": ["bea@example.com"]})
    answer, page = world.only(beas)["blocks"][-1]["elements"]
    assert (answer["action_id"], answer["value"]) == ("awaithumans.open_review", task.id)
    assert page["url"].startswith("https://app.example/humans/l/")
    await world.does(task, Cancel(by=by(BOSS)))
    assert headline(world.only(beas)) == "🚫 *Cancelled:* Approve the refund?"


async def test_who_has_nothing_to_do_any_more_is_told_so(world: World, anas: str, beas: str, bea: Human):
    task = await world.ask("slack", assign_to={"emails": ["ana@example.com"]})
    await world.does(task, Reassign(to=(bea,), by=by(BOSS)))
    assert "nothing left for you to do" in headline(world.only(anas))
    assert "Handed on" in headline(world.only(anas))
    assert actions(world.only(anas)) == ["awaithumans.open_dashboard"]
    assert actions(world.only(beas)) == ["awaithumans.open_review", "awaithumans.open_dashboard"]


async def test_a_refused_answer_and_the_deadline_show(world: World, place: str, ana: Human):
    verifier = VerifierConfig(provider="picky", instructions="be picky", max_attempts=2)
    task = await world.ask(f"slack:{place}", verifier=verifier)
    await world.does(task, Submit(value={"approve": False}, by=by(ana)))
    assert headline(world.only(place)) == "🔁 *Needs a better answer:* Approve the refund?"
    await world.clock.advance(3700)
    await world.settled(task)
    assert headline(world.only(place)) == "⌛ *Timed out:* Approve the refund?"


# ── One notice after another ──────────────────────────────────────────────────


def note(place: str, event: str = "opened", **fields: Any) -> Notice:
    return make_notice("slack", place, event=event, task_id=fields.pop("task_id", "task-1"), **fields)


async def test_a_reminder_is_a_reply_that_the_channel_sees(channel: SlackChannel, slack: Slack, place: str):
    receipt = await channel.send(note(place))
    assert await channel.send(note(place, "reminder", receipt=receipt)) == receipt
    (message,) = slack.messages(place)
    (reply,) = slack.thread(place, message["ts"])
    assert "still waits for an answer" in reply["text"]
    assert reply["reply_broadcast"] is True


async def test_a_reminder_goes_to_those_only_who_can_do_something(channel: SlackChannel, slack: Slack, anas: str):
    member = slack.member("ana")
    person = replace(ANA, slack_user_id=member)
    taken = make_task(id="task-1", spec=make_spec(), addressees=(BEN,), assignee=BEN)
    receipt = await channel.send(note(member, person=person))
    (message,) = slack.messages(anas)
    await channel.send(note(member, "reminder", person=person, task=taken, receipt=receipt))
    assert slack.thread(anas, message["ts"]) == []
    await channel.send(note(member, "reminder", person=ANA, receipt=receipt))
    assert len(slack.thread(anas, message["ts"])) == 1


async def test_a_message_that_was_deleted_is_posted_anew_while_it_matters(channel, slack: Slack, place: str):
    receipt = await channel.send(note(place))
    slack.ask("chat.delete", channel=place, ts=json.loads(receipt)["ts"])
    again = await channel.send(note(place, "claimed", receipt=receipt))
    assert again != receipt
    assert len(slack.messages(place)) == 1
    slack.ask("chat.delete", channel=place, ts=json.loads(again)["ts"])
    assert await channel.send(note(place, "closed", receipt=again)) == again
    assert slack.messages(place) == []


async def test_whoever_was_never_told_is_not_told_of_the_end(channel, slack: Slack, place: str):
    assert await channel.send(note(place, "closed")) is None
    assert slack.messages(place) == []


async def test_a_name_of_a_channel_is_sent_as_it_is(channel, slack_line: Line):
    slack_line.replies("chat.postMessage", channel="C0123ABCD", ts="1.2")
    receipt = await channel.send(note("#approvals"))
    assert json.loads(slack_line.calls[0][1])["channel"] == "#approvals"
    assert Receipt.read(receipt) == Receipt("C0123ABCD", "1.2")


@pytest.mark.parametrize("text", [None, "", "nonsense", "[]", '{"channel": "C1"}', '"x"', "null"])
def test_a_receipt_of_something_else_is_none(text):
    assert Receipt.read(text) is None


async def test_a_target_outside_the_grammar_is_a_failure_for_good(channel):
    with pytest.raises(DeliveryError, match="nothing that Slack can send to") as caught:
        await channel.send(note("two words"))
    assert caught.value.permanent


# ── Trouble ───────────────────────────────────────────────────────────────────


async def test_a_message_whose_answer_was_lost_is_found_again(channel, slack: Slack, slack_line: Line, place: str):
    slack_line.troubles.append(Trouble("chat.postMessage", "lost"))
    with pytest.raises(DeliveryError) as caught:
        await channel.send(note(place))
    assert not caught.value.permanent
    receipt = await channel.send(note(place, attempt=2))
    (message,) = slack.messages(place)
    assert Receipt.read(receipt) == Receipt(place, message["ts"])
    assert slack_line.methods == ["chat.postMessage", "conversations.history", "chat.update"]


@pytest.mark.parametrize("target", ["ana@example.com", "@ana"])
async def test_a_lost_direct_message_is_found_again_too(
    channel, slack: Slack, slack_line: Line, anas: str, target: str
):
    slack_line.troubles.append(Trouble("users.list" if target == "@ana" else "users.lookupByEmail", "cut"))
    slack_line.troubles.append(Trouble("chat.postMessage", "lost"))
    for attempt in (1, 2):
        with pytest.raises(DeliveryError):
            await channel.send(note(target, attempt=attempt))
    await channel.send(note(target, attempt=3))
    assert len(slack.messages(anas)) == 1


async def test_a_lost_message_to_a_named_channel_is_found_by_its_name(channel, slack: Slack, slack_line: Line, place):
    name = next(one["name"] for one in slack.ask("conversations.list")["channels"] if one["id"] == place)
    await channel.send(note(place))
    slack.ask("chat.update", channel=place, ts=slack.messages(place)[0]["ts"], metadata=mark(f"#{name}"), text="x")
    receipt = await channel.send(note(f"#{name}", attempt=2))
    assert Receipt.read(receipt) == Receipt(place, slack.messages(place)[0]["ts"])


def mark(target: str) -> object:
    return {"event_type": "awaithumans_notice", "event_payload": {"id": "1", "task": "task-1", "target": target}}


async def test_without_the_right_to_look_a_second_attempt_posts_again(blind, slack: Slack, place: str):
    await blind.send(note(place))
    await blind.send(note(place, attempt=2))
    assert len(slack.messages(place)) == 2


async def test_a_reminder_whose_answer_was_lost_is_not_doubled(channel, slack: Slack, slack_line: Line, place: str):
    receipt = await channel.send(note(place))
    slack_line.troubles.append(Trouble("chat.postMessage", "lost"))
    with pytest.raises(DeliveryError):
        await channel.send(note(place, "reminder", receipt=receipt))
    await channel.send(note(place, "reminder", receipt=receipt, attempt=2))
    assert len(slack.thread(place, json.loads(receipt)["ts"])) == 1


async def test_slack_may_ask_to_wait(channel, slack_line: Line, place: str):
    limited = Trouble("chat.postMessage", "reply", 429, {"Retry-After": "30"}, {"ok": False, "error": "ratelimited"})
    slack_line.troubles.append(limited)
    with pytest.raises(DeliveryError) as caught:
        await channel.send(note(place))
    assert (caught.value.permanent, caught.value.retry_after) == (False, 30)
    slack_line.troubles.append(replace(limited, headers={"Retry-After": "soon"}))
    with pytest.raises(DeliveryError) as caught:
        await channel.send(note(place))
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble("chat.postMessage", "reply", 500, {}, "broken"),
        Trouble("chat.postMessage", "reply", 503, {"Content-Type": "text/html"}, "<html>"),
        Trouble("chat.postMessage", "reply", 200, {"Content-Type": "text/plain"}, "log in first"),
        Trouble("chat.postMessage", "reply", 200, {}, {"ok": False, "error": "internal_error"}),
        Trouble("chat.postMessage", "reply", 200, {}, {"ok": False, "error": "a_word_of_next_year"}),
        Trouble("chat.postMessage", "cut"),
        Trouble("chat.postMessage", "silent"),
    ],
)
async def test_what_may_be_better_later_is_tried_again(
    hasty, channel, slack: Slack, slack_line: Line, *, place, trouble
):
    slack_line.troubles.append(trouble)
    with pytest.raises(DeliveryError) as caught:
        await hasty.send(note(place))
    assert not caught.value.permanent
    assert slack_line.methods == ["chat.postMessage"]
    assert await channel.send(note(place, attempt=2))
    assert len(slack.messages(place)) == 1


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("channel_not_found", "invite the app"),
        ("not_in_channel", "invite the app"),
        ("is_archived", "name another one"),
        ("invalid_auth", "install the app again"),
        ("account_inactive", "install the app again"),
        ("token_revoked", "install the app again"),
        ("missing_scope", "add the scope"),
        ("messages_tab_disabled", "Messages Tab"),
    ],
)
async def test_what_no_retry_helps_says_what_to_do(channel, slack_line: Line, place, code, advice):
    slack_line.refuse("chat.postMessage", code)
    with pytest.raises(DeliveryError, match=advice) as caught:
        await channel.send(note(place))
    assert caught.value.permanent
    assert TOKEN not in str(caught.value)


async def test_an_edit_that_fails_is_not_taken_for_a_deleted_message(channel, slack: Slack, slack_line: Line, place):
    receipt = await channel.send(note(place))
    slack_line.refuse("chat.update", "internal_error")
    with pytest.raises(DeliveryError):
        await channel.send(note(place, "claimed", receipt=receipt))
    assert len(slack.messages(place)) == 1


async def test_connections_are_reused(channel, slack: Slack, place: str):
    await channel.send(note(place))
    session = channel._workspaces.session()
    await channel.send(note(place, task_id="task-2"))
    assert channel._workspaces.session() is session
    await channel.aclose()
    await channel.send(note(place, task_id="task-3"))
    assert len(slack.messages(place)) == 3


@pytest.mark.parametrize("when", ["open", "closed"])
def test_a_process_killed_after_slack_answered_leaves_one_message(slack: Slack, place: str, tmp_path, when: str):
    path = str(tmp_path / "tasks.db")

    def live(dies: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "tests.programs.mortal_messenger", path, slack.api_url, place, dies, when]
        return subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)

    assert live("once").returncode == -signal.SIGKILL
    (before,) = slack.messages(place)
    assert "awaithumans.claim_task" in actions(before)
    survivor = live("never")
    assert survivor.returncode == 0, survivor.stderr
    (message,) = slack.messages(place)
    assert message["ts"] == before["ts"]
    assert ("awaithumans.claim_task" in actions(message)) is (when == "open")
    assert ("Cancelled" in headline(message)) is (when == "closed")


# ── Set-up ────────────────────────────────────────────────────────────────────


def test_a_channel_needs_either_a_token_or_an_app():
    with pytest.raises(ConfigurationError, match="token"):
        SlackChannel()
    with pytest.raises(ConfigurationError, match="token"):
        SlackChannel(token="xoxb-1", app=SlackApp(client_id="1", client_secret="2"))


def test_without_its_libraries_the_channel_says_what_to_install(monkeypatch):
    monkeypatch.setattr("awaithumans.channels.slack.channel.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        SlackChannel(token="xoxb-1")
    assert "awaithumans[slack]" in str(caught.value.hint)


def test_people_are_reached_by_their_slack_id_or_their_address():
    channel = SlackChannel(token="xoxb-1")
    assert channel.address_of(ANA) == "U0ANA"
    assert channel.address_of(BEN) == "ben@example.com"
    assert channel.address_of(Human(id="u-9")) is None


async def test_a_person_of_another_workspace_is_told_there(slack_line: Line, monkeypatch):
    asked: list[str | None] = []
    channel = SlackChannel(token=TOKEN, api_url=slack_line.api_url)
    inner = channel._workspaces.client

    async def client(team_id: str | None) -> Any:
        asked.append(team_id)
        return await inner(None)

    monkeypatch.setattr(channel._workspaces, "client", client)
    for identity in (None, "T0OTHER"):
        slack_line.replies("chat.postMessage", channel="D1", ts="1")
        person = replace(ANA, slack_team_id="T0ACME")
        await channel.send(note("U0ANA1234", identity=identity, person=person, link=LINK))
    await channel.aclose()
    assert asked == ["T0ACME", "T0OTHER"]
