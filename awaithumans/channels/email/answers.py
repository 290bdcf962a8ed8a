"""What comes of a reply: an answer that counts, or a mail that says why not."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import EmailMessage, Message
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

import anyio.to_thread

from awaithumans.channels.email.letters import OWN_WORDS, answerable_by_word, answering_back, shows_all
from awaithumans.channels.email.mails_back import MailsBack
from awaithumans.channels.email.message import Sender, is_address, message_id, message_ids, written
from awaithumans.channels.email.replies import addressed_to, is_automatic, is_read_in_part, own_words, read, sender_of
from awaithumans.channels.email.tokens import ReplyToken, read_reply_address, reply_address
from awaithumans.channels.email.transports import Envelope
from awaithumans.display import clean
from awaithumans.errors import AwaitHumansError, SchemaValidationError, TaskNotFoundError
from awaithumans.forms import chosen_by_word
from awaithumans.lifecycle import may_answer
from awaithumans.protocols import Clock
from awaithumans.routing import Recipient
from awaithumans.types import MAX_TASK_LENGTH, Actor, Human, Submit, Task, TaskStatus

if TYPE_CHECKING:
    from awaithumans.engine import Engine

CHANNEL = "email"
MAX_TOKENS = 10
"""Reply addresses that are looked up for one mail."""
_ENDING = ".!, \t\n"


class ReplyOutcome(StrEnum):
    """What came of a reply."""

    ANSWERED = "answered"
    """It is the person's answer; also if it was taken before."""
    UNCLEAR = "unclear"
    """It is no answer; the person was mailed the link."""
    TOO_LATE = "too_late"
    """It could not count any more; the person was told."""
    IGNORED = "ignored"
    """It came from a program, or to an address that was not made here."""


class Answers:
    """Takes replies for one engine."""

    def __init__(self, engine: Engine, senders: Mapping[str | None, Sender], clock: Clock) -> None:
        self._engine = engine
        self._senders = senders
        self._clock = clock
        self._mails_back = MailsBack(engine)

    async def take(self, message: bytes | EmailMessage) -> ReplyOutcome:
        """Take one mail; see `EmailChannel.receive_reply`."""
        reply = await anyio.to_thread.run_sync(read, message)  # a large one takes its time
        if is_automatic(reply):
            return ReplyOutcome.IGNORED
        asked = await self._asked(reply)
        if asked is None:
            return ReplyOutcome.IGNORED
        words = await anyio.to_thread.run_sync(own_words, reply)
        answer = self._meant(asked, words, asked.actor(sender_of(reply)))
        if answer and answer.text is not None and await anyio.to_thread.run_sync(is_read_in_part, reply):
            answer = None
        if answer and _is_again(asked, answer):
            return ReplyOutcome.ANSWERED
        return await self._answer(asked, reply, answer)

    def _meant(self, asked: _Asked, words: str, by: Actor) -> Submit | None:
        """Make an answer of a reply: the very word of a choice, or words for the verifier to read."""
        if (value := chosen_by_word(words, answerable_by_word(asked.task), _plain)) is not None:
            return Submit(value=value, by=by, attempt=asked.token.attempt)
        if not 0 < len(words) <= MAX_TASK_LENGTH or _quotes_us(words):
            return None
        if not (self._engine.reads_text(asked.task) and shows_all(asked.task)):
            return None
        return Submit(text=words, by=by, attempt=asked.token.attempt)

    async def _asked(self, reply: Message) -> _Asked | None:
        """Find what a reply answers, and who that makes its writer."""
        tokens = dict.fromkeys(filter(None, map(read_reply_address, addressed_to(reply))))
        for token in islice(tokens, MAX_TOKENS):
            task = await self._task(token.task_id)
            if task is None:
                continue
            entries = {
                entry.target: entry for entry in map(Recipient.parse, task.recipients) if entry.channel == CHANNEL
            }
            target = token.recipient_of(entries, self._engine.keys)
            human = await self._engine.directory.find(target) if target else None
            sender = self._senders.get(entries[target].identity) if target else None
            if target and human and sender:
                return _Asked(task, token, target, replace(human, operator=False), sender)
        return None

    async def _task(self, task_id: str) -> Task | None:
        try:
            return await self._engine.get(task_id)
        except TaskNotFoundError:
            return None

    async def _answer(self, asked: _Asked, reply: Message, answer: Submit | None) -> ReplyOutcome:
        if reason := _too_late(asked):
            return await self._back(asked, reply, ReplyOutcome.TOO_LATE, reason)
        if answer is None:
            return await self._back(asked, reply, ReplyOutcome.UNCLEAR, _UNCLEAR)
        try:
            await self._engine.act(asked.task.id, answer)
        except AwaitHumansError as error:
            asked = replace(asked, task=await self._engine.get(asked.task.id))
            if _is_again(asked, answer):
                return ReplyOutcome.ANSWERED
            return await self._back(asked, reply, *_refusal(asked, error))
        return ReplyOutcome.ANSWERED

    async def _back(self, asked: _Asked, reply: Message, outcome: ReplyOutcome, lead: str) -> ReplyOutcome:
        """Say what came of a reply, to the person it stands for; once, and not for ever to a program."""
        identity = await anyio.to_thread.run_sync(_identity, reply)  # may have to read all of it
        letter_id = _digest(f"{asked.name}/{identity}")
        await self._mails_back.send(asked.name, letter_id, lambda: self._send(asked, reply, lead, letter_id))
        return outcome

    async def _send(self, asked: _Asked, reply: Message, lead: str, letter_id: str) -> None:
        task, sender = asked.task, asked.sender
        waiting = task.status is TaskStatus.PENDING and may_answer(task, asked.human)
        link = self._engine.link(task, asked.human, via=CHANNEL) if waiting and self._engine.public_url else None
        message = written(
            answering_back(task, lead, link=link),
            sender=sender,
            to=asked.target,
            id=message_id(letter_id, sender),
            date=self._clock.now(),
            thread=[*message_ids(reply.get("References")), *message_ids(reply.get("Message-ID"))],
            reply_to=self._reply_to(asked) if waiting else None,
            own_words=self._engine.reads_text(task),
            submitted="auto-replied",
        )
        await sender.transport(message, Envelope(id=letter_id, sender=sender.address, recipient=asked.target))

    def _reply_to(self, asked: _Asked) -> str | None:
        if asked.sender.replies is None:
            return None
        task = asked.task
        return reply_address(
            asked.sender.replies, self._engine.keys, task_id=task.id, address=asked.target, attempt=task.attempt
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, and the person that a reply address makes its holder."""

    task: Task
    token: ReplyToken
    target: str
    human: Human
    sender: Sender

    @property
    def name(self) -> str:
        """Name the address that was written to; nobody can tell it from its name."""
        return _digest(f"{self.task.id}/{self.token.mac.hex()}")

    def actor(self, claimed: str) -> Actor:
        """Make who answers; an address in `From` that is not the person's stands in the trail."""
        known = {self.target.lower(), (self.human.email or "").lower()}
        stranger = claimed if is_address(claimed) else "unreadable"
        stated_by = None if claimed.lower() in known else f"email:{stranger}"
        return Actor.of(self.human, auth="channel", via=CHANNEL, stated_by=stated_by)


def _quotes_us(words: str) -> bool:
    """Tell whether our mail is among the words: what the asking program wrote in it would be read as the person's."""
    return _plain(OWN_WORDS) in _plain(words.replace(">", " "))


def _plain(text: str) -> str:
    """Forget letter case, spacing and the marks behind a word."""
    return " ".join(unicodedata.normalize("NFKC", clean(text)).split()).rstrip(_ENDING).casefold()


def _is_again(asked: _Asked, given: Submit) -> bool:
    """Tell whether this very answer was taken already."""
    return any(
        answer.attempt == asked.token.attempt + 1
        and answer.by.via == CHANNEL
        and given.says_the_same(answer)
        and answer.by.human.addresses & asked.human.addresses
        for answer in asked.task.answers
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _identity(reply: Message) -> str:
    """Tell one mail from another, however often it is delivered."""
    ids = message_ids(reply.get("Message-ID"))
    return ids[0] if ids else hashlib.sha256(own_words(reply).encode()).hexdigest()


# ── What to say ───────────────────────────────────────────────────────────────

_UNCLEAR = "Your reply could not be read as an answer."


def _too_late(asked: _Asked) -> str | None:
    """Say why no answer at all can count."""
    task = asked.task
    if task.closed:
        return _closed(task)
    if not may_answer(task, asked.human):
        return "Your reply came too late: the question is not addressed to you any more."
    if task.status is TaskStatus.SUBMITTED:
        return "Your reply came too late: an answer is being checked."
    if asked.token.attempt != task.attempt:
        return "Your reply was to an earlier mail. That answer was refused; the question is open again."
    return None


def _closed(task: Task) -> str:
    how = {TaskStatus.COMPLETED: "it was answered", TaskStatus.TIMED_OUT: "it expired"}
    said = how.get(task.status, "it was withdrawn" if task.status is TaskStatus.CANCELLED else "it was closed")
    return f"Your reply came too late, and the question is closed: {said}."


def _refusal(asked: _Asked, error: AwaitHumansError) -> tuple[ReplyOutcome, str]:
    if isinstance(error, SchemaValidationError):
        return ReplyOutcome.UNCLEAR, f"Your reply was not taken: {'; '.join(error.fields.values())}."
    return ReplyOutcome.TOO_LATE, _too_late(asked) or f"Your reply does not count: {error.message}."
