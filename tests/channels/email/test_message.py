"""Headers and bodies: what mail programs rely on, whatever the question says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.channels.email import EmailChannel, Sender
from awaithumans.channels.email.letters import MAX_SUBJECT, letter_for
from awaithumans.channels.email.message import message_id, written
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import START, VirtualClock
from tests.channels.email.mail import Inbox, asked, html_of, parsed, text_of, told

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from("\r\n\0\t\x0b\x85\u2028\u202e<>\"'&@:;,=?éЖ漢🎉 ab"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=400,
)


def mail_about(question: str, payload: dict[str, object] | None = None, name: str = "Acme"):
    notice = told(task=asked(spec={"task": question, "payload": payload or {}}))
    letter = letter_for(notice)
    assert letter
    sender = Inbox().sender(name=name)
    message = written(letter, sender=sender, to="ana@example.com", id="<a@example.com>", date=AT)
    return message, parsed(message.as_bytes())


class Seen(HTMLParser):
    """What a program shows, and every element and link that there is."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src", "action"}]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


@given(HOSTILE)
def test_no_question_changes_a_header(question: str) -> None:
    message, mail = mail_about(question)
    assert mail.keys() == [
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
    ]
    assert str(mail["To"]) == "ana@example.com"
    assert re.fullmatch(r"[^\r\n]{1,120}", mail["Subject"])
    assert " ".join(str(mail["Subject"]).split()) == " ".join(str(message["Subject"]).split())
    assert max(map(len, message.as_bytes().split(b"\r\n"))) <= 998
    assert mail.defects == []


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_payload_becomes_markup(question: str, key: str, value: str) -> None:
    _, plain = mail_about("Approve?", {"key": "value"})
    _, mail = mail_about(question, {key: value, "list": [value], "more": {key: {key: value}}})
    seen, usual = Seen(html_of(mail)), Seen(html_of(plain))
    assert seen.tags <= usual.tags | {"br", "td", "tr", "table", "span", "div", "a"}
    assert all(link.startswith(("https://app.example/humans/l/token", "http")) for link in seen.links)


@pytest.mark.parametrize("name", ['Zoë, Å & Co; "quoted"', "漢字", "Plain", "a" * 200])
def test_any_sender_name_arrives_as_it_is(name: str) -> None:
    _, mail = mail_about("Approve?", name=name)
    (sender,) = mail["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, "approvals@example.com")


@pytest.mark.parametrize("question", ["Zoë’s refund – 漢字 🎉?", "é" * 119, "word " * 20])
def test_a_subject_in_any_letters_arrives_as_it_is(question: str) -> None:
    _, mail = mail_about(question)
    assert mail["Subject"] == question.strip()


def test_a_long_subject_is_cut() -> None:
    _, mail = mail_about("x" * 1_000)
    assert len(mail["Subject"]) == MAX_SUBJECT
    assert mail["Subject"].endswith("…")


@pytest.mark.parametrize(
    "fields",
    [
        {"address": "a@example.com\r\nBcc: b@example.com"},
        {"address": "Acme <a@example.com>"},
        {"name": "Acme\r\nBcc: b@example.com"},
        {"reply_to": "a@example.com\nX: y"},
        {"replies": "nobody"},
    ],
)
def test_a_sender_that_would_break_a_header_is_refused_at_once(inbox: Inbox, fields: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        inbox.sender(**fields)


def test_a_mailbox_that_leaves_no_room_for_a_token_is_refused_at_once(inbox: Inbox) -> None:
    inbox.sender(replies="x" * 19 + "@example.com")
    with pytest.raises(ConfigurationError, match="19 characters"):
        inbox.sender(replies="x" * 20 + "@example.com")


async def test_the_mails_of_a_question_are_one_thread(inbox: Inbox) -> None:
    channel = inbox.channel()
    receipt = None
    for event in ("opened", "claimed", "reminder", "reassigned"):
        receipt = await channel.send(told(event, id=f"{event}-id", receipt=receipt))
    first, second, third = inbox.mails
    assert (first["Message-ID"], first["In-Reply-To"], first["References"]) == ("<opened-id@example.com>", None, None)
    assert second["In-Reply-To"] == second["References"] == "<opened-id@example.com>"
    assert third["In-Reply-To"] == "<reminder-id@example.com>"
    assert third["References"] == "<opened-id@example.com> <reminder-id@example.com>"
    assert [str(mail["Subject"]) for mail in inbox.mails] == ["Approve the refund?", *["Re: Approve the refund?"] * 2]


async def test_a_mail_says_that_no_person_wrote_it_and_offers_no_unsubscribing(inbox: Inbox) -> None:
    await inbox.channel().send(told())
    (mail,) = inbox.mails
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"] is None
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


async def test_the_date_is_the_engines(inbox: Inbox) -> None:
    channel = inbox.channel()
    Engine(MemoryStore(), channels=[channel], clock=VirtualClock(), background=False)
    await channel.send(told())
    assert inbox.mails[0]["Date"].datetime == START


async def test_a_clock_of_the_channels_own_goes_first(inbox: Inbox) -> None:
    channel = EmailChannel(inbox.sender(), clock=VirtualClock(AT))
    Engine(MemoryStore(), channels=[channel], background=False)
    await channel.send(told())
    assert inbox.mails[0]["Date"].datetime == AT


@pytest.mark.parametrize("domain", ["example.com", f"{'sub-domain.' * 8}example.com"])
async def test_ids_survive_in_a_header_whatever_the_domain(inbox: Inbox, domain: str) -> None:
    """A word that does not fit on a line would be encoded, and no program would find it."""
    sender = inbox.sender(address=f"approvals@{domain}")
    channel = EmailChannel(sender)
    receipt = await channel.send(told(id="a" * 32))
    await channel.send(told("reminder", id="b" * 32, receipt=receipt))
    first, second = inbox.mails
    assert first["Message-ID"] == message_id("a" * 32, sender) == second["In-Reply-To"] == second["References"]


@pytest.mark.parametrize("notice_id", ["a b\r\n<>", "é" * 300, "x" * 65])
def test_any_notice_id_makes_a_proper_message_id(inbox: Inbox, notice_id: str) -> None:
    assert re.fullmatch(r"<[A-Za-z0-9-]{1,64}@example\.com>", message_id(notice_id, inbox.sender()))


async def test_both_bodies_say_the_same(inbox: Inbox) -> None:
    payload = {"amount": 99.99, "due_date": "2026-01-05", "items": [{"name": "Tea pot", "price": 3}] * 2, "tags": ["x"]}
    await inbox.channel().send(told(task=asked(spec={"payload": payload, "requested_by": "agent:refund-agent"})))
    (mail,) = inbox.mails
    text, seen = text_of(mail), Seen(html_of(mail))
    for words in ("99.99", "Due date", "Tea pot", "refund-agent", "Monday, 5 January 2026, 13:00 UTC", "1 hour after"):
        assert words in text
        assert words in seen.text
    assert [link for link in seen.links if link] == re.findall(r"https://\S+", text)


def test_what_others_wrote_cannot_pass_for_a_line_of_ours() -> None:
    _, mail = mail_about("Approve?\nOpen the question: https://evil.example", {"note": "x\nAnswer “Yes”: https://evil"})
    ours = [line for line in text_of(mail).splitlines() if line[:1].strip()]
    assert not any("evil" in line for line in ours)


def test_a_transport_is_all_that_a_sender_needs(inbox: Inbox) -> None:
    assert Sender(address="a@example.com", transport=inbox).name == ""
