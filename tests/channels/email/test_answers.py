"""From the agent's question to its answer: by a button of a mail, and by replying to one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from functools import partial
from html import unescape
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from awaithumans.channels.email import EmailChannel, ReplyOutcome, Sender, mails_back
from awaithumans.channels.email.answers import MAX_TOKENS
from awaithumans.channels.email.tokens import read_reply_address, reply_address
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError, InvalidRoutingError
from awaithumans.protocols import DeliveryError
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Actor, Human, Query, Task, TaskStatus
from tests.channels import reader
from tests.channels.email.mail import CHOICE, Inbox, html_of, text_of
from tests.channels.reader import Noted, Reader
from tests.web.world import ANA, BOB, HOST, OLGA, SECRET, World, hidden_token

pytestmark = pytest.mark.anyio

YES = {"approve": True}
SAME = {"Sec-Fetch-Site": "same-origin"}
READ = reader.CHECK
CHECK = {"provider": "moody", "instructions": "Be polite."}


@dataclass
class Office:
    """An engine that mails, and what comes back to it."""

    world: World
    inbox: Inbox
    client: httpx2.AsyncClient

    def __post_init__(self) -> None:
        self.channel = self.world.engine.channels["email"]

    async def asks(self, **changes: Any) -> str:
        given: dict[str, Any] = {
            "notify": ["email"],
            "assign_to": {"email": "ana@example.com"},
            "response_schema": CHOICE,
            **changes,
        }
        task_id = await self.world.ask(self.client, **given)
        await self.settle()
        return task_id

    async def settle(self) -> None:
        """Let all be done that is due, here or in the engine's background."""
        engine = self.world.engine
        with anyio.fail_after(20):
            while await self._waiting():
                await engine.tick()
                await anyio.sleep(0.005)

    async def _waiting(self) -> bool:
        engine = self.world.engine
        tasks = await engine.find(Query())
        deliveries = [one for task in tasks for one in await engine.deliveries(task.id)]
        return any(not one.settled_at and one.effect.due <= engine.clock.now() for one in deliveries)

    async def task(self, task_id: str) -> Task:
        return await self.world.task(task_id)

    @property
    def mails(self) -> list[EmailMessage]:
        return self.inbox.mails

    def says(self, words: str) -> bool:
        """Tell whether any mail says so."""
        return any(words in text_of(mail) for mail in self.mails)

    async def replies(self, text: str = "Yes", *, to: EmailMessage | None = None, **headers: str) -> ReplyOutcome:
        mail = to or self.mails[-1]
        reply = EmailMessage()
        given = {
            "From": "Ana <ana@example.com>",
            "To": str(mail["Reply-To"]),
            "Subject": f"Re: {mail['Subject']}",
            "Message-ID": "<reply-1@ana.example>",
            "In-Reply-To": str(mail["Message-ID"]),
            "References": str(mail["Message-ID"]),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        for name, value in given.items():
            reply[name] = value
        quoted = "\n".join(f"> {line}" for line in text_of(mail).splitlines())
        reply.set_content(f"{text}\n\nOn Mon, 5 Jan 2026 at 13:00, Acme <approvals@example.com> wrote:\n{quoted}\n")
        outcome: ReplyOutcome = await self.channel.receive_reply(reply.as_bytes())  # type: ignore[attr-defined]
        await self.settle()
        return outcome


@pytest.fixture
async def office(inbox: Inbox) -> AsyncIterator[Office]:
    world = World(channels=[inbox.channel(replies="reply@example.com")])
    async with world.client() as client:
        yield Office(world, inbox, client)


def links(mail: EmailMessage) -> list[str]:
    """Find every address in a mail, as a scanner does."""
    found = re.findall(r'(?:href|src|action)="([^"]+)"', unescape(html_of(mail))) + re.findall(
        r"https?://\S+", text_of(mail)
    )
    return list(dict.fromkeys(found))


# ── By a button ───────────────────────────────────────────────────────────────


async def test_scanners_open_everything_and_change_nothing_and_then_ana_answers(office: Office) -> None:
    task_id = await office.asks()
    (mail,) = office.mails
    before = await office.task(task_id)
    for link in links(mail):
        assert link.startswith(HOST)
        for method in ("GET", "HEAD", "GET"):
            assert (await office.client.request(method, link)).status_code == 200
    assert await office.task(task_id) == before

    (no,) = [link for link in links(mail) if link.endswith("?answer=false")]
    page = await office.client.get(no)
    form = {"_awaithumans_csrf": hidden_token(page.text), "approve": "false"}
    path = urlsplit(no).path
    async with anyio.create_task_group() as group:
        outcome: list[Task] = []

        async def agent() -> None:
            outcome.append(await office.world.engine.wait(task_id, timeout=20))

        group.start_soon(agent)
        assert (await office.client.post(path, data=form, headers=SAME)).status_code == 303
    (task,) = outcome
    assert task.response == {"approve": False}
    assert task.answer
    assert (task.answer.by.id, task.answer.by.auth, task.answer.by.via) == ("ana@example.com", "link", "email")
    await office.settle()
    assert len(office.mails) == 1, "who answered by the link is not told so"
    assert (await office.client.post(path, data=form, headers=SAME)).status_code == 410


async def test_a_refused_answer_brings_a_fresh_link_and_spends_the_old(office: Office) -> None:
    task_id = await office.asks(verifier_config=CHECK)
    assert await office.replies() is ReplyOutcome.ANSWERED
    first, second = office.mails
    assert "Your answer was refused" in text_of(second)
    assert "Say please." in text_of(second)
    assert {(await office.client.get(link)).status_code for link in links(first)} == {410}
    assert {(await office.client.get(link)).status_code for link in links(second)} == {200}
    assert first["Reply-To"] != second["Reply-To"]
    assert (await office.task(task_id)).refused


async def test_everybody_who_is_asked_has_their_own_link(office: Office) -> None:
    await office.asks(assign_to={"emails": ["ana@example.com", "bob@example.com"]})
    ana, bob = office.mails
    assert {str(ana["To"]), str(bob["To"])} == {"ana@example.com", "bob@example.com"}
    assert set(links(ana)).isdisjoint(links(bob))
    assert ana["Reply-To"] != bob["Reply-To"]


# ── By replying ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", ["Yes", "yes", "  YES!  ", "Yes.", "true", "*Yes*\n\n-- \nAna"])
async def test_the_very_word_is_the_answer(office: Office, words: str) -> None:
    task_id = await office.asks()
    expected = ReplyOutcome.UNCLEAR if "*" in words else ReplyOutcome.ANSWERED
    assert await office.replies(words) is expected
    task = await office.task(task_id)
    assert (task.response == YES) is (expected is ReplyOutcome.ANSWERED)


async def test_words_of_ones_own_are_read_by_the_verifier_and_told_back(office: Office) -> None:
    office.world.engine.verifiers["reader"] = Reader()
    schema = Noted.model_json_schema()
    task_id = await office.asks(verifier_config=READ, response_schema=schema)
    assert "Or reply to this mail in your own words." in text_of(office.mails[0])
    assert await office.replies("hm\n\n--\nAna") is ReplyOutcome.ANSWERED
    refused = office.mails[-1]
    assert "Say whether you approve, and why." in text_of(refused)
    assert await office.replies("Decline, too\nmuch", Message_ID="<2@ana.example>") is ReplyOutcome.ANSWERED
    task = await office.task(task_id)
    assert task.response == {"approved": False, "notes": "too\nmuch"}
    told = text_of(office.mails[-1])
    assert "Your reply was read and accepted." in told
    assert "much" in told
    assert len(office.mails) == 3
    again = await office.replies("Decline, too\nmuch", to=refused, Message_ID="<2@ana.example>")
    assert again is ReplyOutcome.ANSWERED
    assert len((await office.task(task_id)).answers) == 2


async def test_words_are_no_answer_to_what_the_mail_does_not_show(office: Office) -> None:
    office.world.engine.verifiers["reader"] = Reader()
    schema = Noted.model_json_schema()
    task_id = await office.asks(verifier_config=READ, response_schema=schema, payload={"text": "x" * 2_000})
    assert "in your own words" not in text_of(office.mails[0])
    assert await office.replies("approve, fine") is ReplyOutcome.UNCLEAR
    assert not (await office.task(task_id)).answers


async def test_our_own_mail_is_not_read_as_the_persons_words(office: Office) -> None:
    """Where a mail program quotes without a mark, what the agent wrote stands among what the person wrote."""
    office.world.engine.verifiers["reader"] = Reader()
    schema = Noted.model_json_schema()
    task_id = await office.asks(verifier_config=READ, response_schema=schema)
    assert await office.replies(f"approve, fine\n\n{text_of(office.mails[0])}") is ReplyOutcome.UNCLEAR
    assert not (await office.task(task_id)).answers


@pytest.mark.parametrize("parts", [["approve, fine\n" + " \n" * 20_000 + "but not today"], ["approve, ", "not at all"]])
async def test_words_of_which_some_may_be_missing_are_no_answer(office: Office, parts: list[str]) -> None:
    office.world.engine.verifiers["reader"] = Reader()
    schema = Noted.model_json_schema()
    task_id = await office.asks(verifier_config=READ, response_schema=schema)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "ana@example.com", office.mails[0]["Reply-To"], "<1@ana.example>"
    mail.set_content(parts[0])
    if parts[1:]:
        mail.make_mixed()
        for part in parts[1:]:
            inline = EmailMessage()
            inline.set_content(part)
            mail.attach(inline)
    outcome = await office.channel.receive_reply(mail.as_bytes())  # type: ignore[attr-defined]
    assert outcome is ReplyOutcome.UNCLEAR
    assert not (await office.task(task_id)).answers


async def test_the_trail_says_who_answered_and_how(office: Office) -> None:
    task_id = await office.asks()
    await office.replies()
    answer = (await office.task(task_id)).answer
    assert answer
    assert (answer.by.id, answer.by.auth, answer.by.via, answer.by.stated_by) == (
        *("ana@example.com", "channel", "email"),
        None,
    )
    assert len(office.mails) == 1, "who answered by mail is not told so"


async def test_a_reply_from_another_address_counts_and_is_on_record(office: Office) -> None:
    task_id = await office.asks()
    assert await office.replies(From="Somebody <phone@elsewhere.example>") is ReplyOutcome.ANSWERED
    answer = (await office.task(task_id)).answer
    assert answer
    assert (answer.by.id, answer.by.stated_by) == ("ana@example.com", "email:phone@elsewhere.example")


async def test_the_token_survives_another_letter_case(office: Office) -> None:
    await office.asks()
    assert await office.replies(To=str(office.mails[0]["Reply-To"]).upper()) is ReplyOutcome.ANSWERED


@pytest.mark.parametrize("words", ["Yes, but only half", "Yes?", "I think so", "", "Yes\n\nNo", "yesno"])
async def test_anything_else_is_answered_with_the_link(office: Office, words: str) -> None:
    task_id = await office.asks()
    assert await office.replies(words) is ReplyOutcome.UNCLEAR
    asked, back = office.mails
    assert "could not be read as an answer" in text_of(back)
    assert (await office.task(task_id)).answers == ()
    assert set(links(back)) == set(links(asked))
    assert back["Auto-Submitted"] == "auto-replied"
    assert back["In-Reply-To"] == "<reply-1@ana.example>"
    assert str(back["References"]).split() == [asked["Message-ID"], "<reply-1@ana.example>"]
    assert back["To"] == "ana@example.com"
    assert await office.replies("Yes", to=back, Message_ID="<reply-2@ana.example>") is ReplyOutcome.ANSWERED


async def test_the_link_goes_to_the_person_and_not_to_who_wrote(office: Office) -> None:
    await office.asks()
    await office.replies("What is this?", From="eve@example.com")
    assert office.mails[-1]["To"] == "ana@example.com"


async def test_free_text_is_no_answer_to_a_longer_form_even_where_there_is_a_verifier(office: Office) -> None:
    """An answer has to fit the schema before a verifier sees it."""
    schema = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
    task_id = await office.asks(response_schema=schema, verifier_config=CHECK)
    assert await office.replies("please") is ReplyOutcome.UNCLEAR
    assert (await office.task(task_id)).answers == ()


@pytest.mark.parametrize("hidden", [{"redact_payload": True}, {"payload": {str(n): "x" * 900 for n in range(50)}}])
async def test_what_the_mail_does_not_show_is_answered_on_the_page_only(office: Office, hidden: dict[str, Any]) -> None:
    task_id = await office.asks(**hidden)
    assert "reply to this mail" not in text_of(office.mails[0])
    assert await office.replies("Yes") is ReplyOutcome.UNCLEAR
    assert (await office.task(task_id)).answers == ()


async def test_a_form_with_more_than_one_word_to_say_is_not_answered_by_one(office: Office) -> None:
    schema = {"type": "object", "properties": {"approve": {"type": "boolean"}, "note": {"type": "string"}}}
    await office.asks(response_schema=schema)
    assert await office.replies("Yes") is ReplyOutcome.UNCLEAR


# ── Again, too late, and by nobody ────────────────────────────────────────────


async def test_a_reply_that_is_delivered_twice_counts_once(office: Office) -> None:
    task_id = await office.asks()
    assert [await office.replies() for _ in range(3)] == [ReplyOutcome.ANSWERED] * 3
    task = await office.task(task_id)
    assert (len(task.answers), len(office.mails)) == (1, 1)


async def test_an_unclear_reply_that_is_delivered_twice_is_answered_once(office: Office) -> None:
    await office.asks()
    first = office.mails[0]
    for _ in range(3):
        assert await office.replies("Hm", to=first) is ReplyOutcome.UNCLEAR
    assert len(office.mails) == 2


async def test_a_reply_delivered_twice_at_once_counts_once(office: Office) -> None:
    task_id = await office.asks()
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(office.replies)
    assert len((await office.task(task_id)).answers) == 1
    assert len(office.mails) == 1


async def test_a_reply_delivered_twice_counts_once_though_it_was_refused_between(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second delivery has read the question before the first was refused, and writes after that."""
    task_id = await office.asks(verifier_config=CHECK)
    mail = office.mails[0]
    find, first = office.world.directory.find, True

    async def slow(address: str) -> Human | None:
        nonlocal first
        if first:
            first = False
            assert await office.replies(to=mail) is ReplyOutcome.ANSWERED
            assert (await office.task(task_id)).refused
        return await find(address)

    monkeypatch.setattr(office.world.directory, "find", slow)
    assert await office.replies(to=mail) is ReplyOutcome.ANSWERED
    assert len((await office.task(task_id)).answers) == 1


async def test_another_answer_afterwards_is_too_late(office: Office) -> None:
    task_id = await office.asks()
    await office.replies("Yes")
    assert await office.replies("No", Message_ID="<reply-2@ana.example>") is ReplyOutcome.TOO_LATE
    assert "it was answered" in text_of(office.mails[-1])
    assert links(office.mails[-1]) == []
    assert (await office.task(task_id)).response == YES


async def test_a_reply_to_a_question_that_was_withdrawn_is_told_so(office: Office) -> None:
    task_id = await office.asks()
    asked = office.mails[0]
    await office.world.engine.cancel(task_id, by=Actor.of(OLGA, auth="host"))
    assert await office.replies(to=asked) is ReplyOutcome.TOO_LATE
    assert office.says("it was withdrawn")


async def test_a_reply_after_the_deadline_is_told_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = await office.asks()
    later = office.world.engine.clock.now() + timedelta(hours=2)
    monkeypatch.setattr(office.world.engine.clock, "now", lambda: later)
    assert await office.replies() is ReplyOutcome.TOO_LATE
    assert office.says("it expired")
    assert (await office.task(task_id)).status is TaskStatus.TIMED_OUT


async def test_a_reply_to_what_was_handed_on_is_told_so(office: Office) -> None:
    task_id = await office.asks()
    await office.world.engine.reassign(task_id, [BOB], by=Actor.of(OLGA, auth="host"))
    assert await office.replies() is ReplyOutcome.TOO_LATE
    assert office.says("not addressed to you any more")
    assert (await office.task(task_id)).answers == ()


async def test_a_reply_to_what_somebody_else_has_taken_is_told_so(office: Office) -> None:
    task_id = await office.asks(assign_to={"emails": ["ana@example.com", "bob@example.com"]})
    to_ana = next(mail for mail in office.mails if mail["To"] == "ana@example.com")
    await office.world.engine.claim(task_id, by=Actor.of(BOB, auth="host"))
    assert await office.replies(to=to_ana) is ReplyOutcome.TOO_LATE
    assert "Bob" in text_of(office.mails[-1])


async def test_a_reply_to_the_mail_before_a_refusal_is_asked_again(office: Office) -> None:
    await office.asks(verifier_config=CHECK)
    first = office.mails[0]
    await office.replies("Yes", to=first)
    assert await office.replies("No", to=first, Message_ID="<reply-2@ana.example>") is ReplyOutcome.TOO_LATE
    assert "earlier mail" in text_of(office.mails[-1])
    assert {(await office.client.get(link)).status_code for link in links(office.mails[-1])} == {200}


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Precedence": "bulk"},
        {"List_Id": "<list.example.com>"},
        {"Return_Path": "<>"},
        {"Subject": "Automatic reply: Approve the refund?"},
    ],
)
async def test_absence_notes_and_bounces_answer_nothing_and_get_no_answer(
    office: Office, headers: dict[str, Any]
) -> None:
    task_id = await office.asks()
    for words in ("Yes", "I am away."):
        assert await office.replies(words, **headers) is ReplyOutcome.IGNORED
    assert (await office.task(task_id)).answers == ()
    assert len(office.mails) == 1


async def test_a_program_that_does_not_say_so_is_not_answered_for_ever(office: Office) -> None:
    await office.asks()
    first = office.mails[0]
    for number in range(10):
        await office.replies("I am away.", to=first, Message_ID=f"<{number}@ana.example>")
    assert len(office.mails) == 4


@pytest.mark.parametrize("to", ["approvals@example.com", "reply@example.com", "reply+abc@example.com", "", "<<@>"])
async def test_a_mail_to_no_address_of_ours_is_ignored(office: Office, to: str) -> None:
    await office.asks()
    assert await office.replies(To=to) is ReplyOutcome.IGNORED
    assert len(office.mails) == 1


async def test_a_token_of_another_question_or_person_is_worth_nothing(office: Office) -> None:
    await office.asks()
    address = str(office.mails[0]["Reply-To"])
    other = "b" if address[40] == "a" else "a"
    assert await office.replies(To=address[:40] + other + address[41:]) is ReplyOutcome.IGNORED


async def test_a_mail_to_very_many_made_up_addresses_asks_the_store_for_a_few(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def get(task_id: str) -> Task | None:
        asked.append(task_id)
        return None

    addresses = [
        reply_address("reply@example.com", office.world.engine.keys, task_id=f"{n:032x}", address="a@b.c", attempt=0)
        for n in range(200)
    ]
    monkeypatch.setattr(office.world.store, "get", get)
    raw = f"To: {', '.join(map(str, addresses))}\n\nYes".encode()
    assert await office.channel.receive_reply(raw) is ReplyOutcome.IGNORED  # type: ignore[attr-defined]
    assert len(asked) == MAX_TOKENS


async def test_who_left_the_directory_is_not_heard(office: Office) -> None:
    await office.asks()
    office.world.directory.gone.add("ana@example.com")
    assert await office.replies() is ReplyOutcome.IGNORED


async def test_who_left_the_directory_gets_no_more_of_the_question_nor_the_answer(office: Office) -> None:
    both = {"emails": ["ana@example.com", "bob@example.com"]}
    task_id = await office.asks(assign_to=both, payload={"secret": "xyzzy"}, verifier_config=CHECK)
    office.world.directory.gone.add("ana@example.com")
    before = len(office.mails)
    await office.world.engine.submit(task_id, YES, by=Actor.of(BOB, auth="host"))
    await office.settle()
    assert (await office.task(task_id)).refused
    await office.world.engine.reassign(task_id, [BOB], by=Actor.of(OLGA, auth="host"))
    await office.settle()
    await office.world.engine.cancel(task_id, by=Actor.of(OLGA, auth="host"))
    await office.settle()
    hers = [text_of(mail) for mail in office.mails[before:] if mail["To"] == "ana@example.com"]
    assert [text.splitlines()[0] for text in hers] == [
        "This question was handed to Bob.",
        "This question was withdrawn.",
    ]
    assert not any("xyzzy" in text or "The answer" in text for text in hers)


async def test_an_answer_is_not_mailed_to_who_is_not_asked_and_unknown(office: Office) -> None:
    task_id = await office.asks(notify=["email", "email:former@example.com"])
    await office.world.engine.submit(task_id, YES, by=Actor.of(ANA, auth="host"))
    await office.settle()
    (end,) = [text_of(mail) for mail in office.mails[2:] if mail["To"] == "former@example.com"]
    assert end.startswith("Ana answered.")
    assert "The answer" not in end


async def test_a_mail_back_that_cannot_be_sent_is_sent_when_the_reply_comes_again(office: Office) -> None:
    await office.asks()
    first = office.mails[0]
    office.inbox.failures.append(DeliveryError("busy"))
    with pytest.raises(DeliveryError):
        await office.replies("Hm", to=first)
    assert await office.replies("Hm", to=first) is ReplyOutcome.UNCLEAR
    assert len(office.mails) == 2


async def test_replies_that_come_to_several_processes_at_once_are_answered_by_one_mail(office: Office) -> None:
    await office.asks()
    first = office.mails[0]
    other = copy(office)
    other.channel = office.inbox.channel(replies="reply@example.com")
    Engine(
        office.world.store,
        channels=[other.channel],
        directory=office.world.directory,
        secret=SECRET,
        public_url=HOST,
        background=False,
    )
    async with anyio.create_task_group() as group:
        for place in (office, other, office, other):
            group.start_soon(partial(place.replies, "Hm", to=first))
    assert len(office.mails) == 2


async def test_of_many_unclear_replies_at_once_three_are_answered(office: Office) -> None:
    await office.asks()
    first = office.mails[0]
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(partial(office.replies, "Hm", to=first, Message_ID=f"<{number}@ana.example>"))
    assert len(office.mails) == 4


async def test_an_hour_later_replies_are_answered_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await office.asks(timeout_seconds=86_400)
    first = office.mails[0]
    for number in range(4):
        await office.replies("Hm", to=first, Message_ID=f"<{number}@ana.example>")
    assert len(office.mails) == 4
    later = office.world.engine.clock.now() + timedelta(minutes=61)
    monkeypatch.setattr(office.world.engine.clock, "now", lambda: later)
    await office.replies("Hm", to=first, Message_ID="<5@ana.example>")
    assert len(office.mails) == 5
    records = await office.world.engine.records.find(mails_back.KIND)
    assert [len(cast("list[object]", record.document["mails"])) for record in records] == [1], (
        "what is old is forgotten"
    )


async def test_what_is_kept_of_mails_back_opens_no_reply_address(office: Office) -> None:
    task_id = await office.asks()
    await office.replies("Hm")
    token = read_reply_address(str(office.mails[0]["Reply-To"]))
    assert token
    (record,) = await office.world.engine.records.find(mails_back.KIND)
    assert token.mac.hex() not in str(record)
    assert task_id not in str(record)


async def test_a_mail_back_that_was_cut_off_is_sent_when_the_reply_comes_again(office: Office) -> None:
    await office.asks()
    first = office.mails[0]
    office.inbox.hangs = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(office.replies, "Hm", to=first))
        with anyio.fail_after(20):
            await office.inbox.hangs.wait()
        group.cancel_scope.cancel()
    assert len(office.mails) == 1
    office.inbox.hangs = None
    assert await office.replies("Hm", to=first) is ReplyOutcome.UNCLEAR
    assert len(office.mails) == 2


# ── Senders ───────────────────────────────────────────────────────────────────


async def test_each_identity_has_its_own_sender(inbox: Inbox) -> None:
    acme = Inbox()
    channel = EmailChannel(inbox.sender(), senders={"acme": acme.sender(address="acme@acme.example", name="Acme")})
    world = World(channels=[channel])
    async with world.client() as client:
        await world.ask(client, notify=["email+acme:ana@example.com", "email:bob@example.com"])
        await world.engine.tick()
    assert [str(mail["From"]) for mail in acme.mails] == ["Acme <acme@acme.example>"]
    assert [str(mail["To"]) for mail in inbox.mails] == ["bob@example.com"]


async def test_a_sender_that_there_is_not_is_an_error_of_whoever_asks(inbox: Inbox) -> None:
    world = World(channels=[inbox.channel()])
    async with world.client() as client:
        with pytest.raises(AssertionError, match="has no sender"):
            await world.ask(client, notify=["email+acme:ana@example.com"])


async def test_with_several_senders_and_no_first_the_question_names_one(inbox: Inbox) -> None:
    several = EmailChannel(senders={"a": inbox.sender(), "b": inbox.sender()})
    several.check_identity("a")
    with pytest.raises(InvalidRoutingError):
        several.check_identity(None)
    EmailChannel(senders={"a": inbox.sender()}).check_identity(None)
    with pytest.raises(ConfigurationError):
        EmailChannel()


def test_replies_need_a_secret(inbox: Inbox) -> None:
    with pytest.raises(ConfigurationError):
        Engine(MemoryStore(), channels=[inbox.channel(replies="reply@example.com")])


async def test_a_channel_without_an_engine_takes_no_replies(inbox: Inbox) -> None:
    with pytest.raises(ConfigurationError):
        await inbox.channel().receive_reply(b"To: x\n\nYes")


async def test_closing_the_channel_closes_each_transport_once() -> None:
    class Transport(Inbox):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    transport = Transport()
    senders = {name: Sender(address="a@example.com", transport=transport) for name in "ab"}
    await EmailChannel(senders=senders).aclose()
    assert transport.closed == 1
