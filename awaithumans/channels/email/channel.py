"""Telling people by mail, and taking what they answer by mail."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import EmailMessage
from typing import TYPE_CHECKING

from awaithumans.channels.email.answers import CHANNEL, Answers, ReplyOutcome
from awaithumans.channels.email.letters import letter_for
from awaithumans.channels.email.message import Sender, is_address, message_id, message_ids, written
from awaithumans.channels.email.tokens import reply_address
from awaithumans.channels.email.transports import Envelope
from awaithumans.clock import SystemClock
from awaithumans.errors import ConfigurationError, InvalidRoutingError
from awaithumans.protocols import Clock, DeliveryError
from awaithumans.types import Human, Notice

if TYPE_CHECKING:
    from awaithumans.engine import Engine


class EmailChannel:
    """Mails people who are asked, and answers for them when they reply.

    Arguments:
        sender: who mails come from that name no identity; without one, the
            only one of `senders`.
        senders: by identity: `acme` for `email+acme:ana@example.com`.
        clock: the time in `Date`; by default the engine's.

    A question comes with buttons, where it asks for one small choice, and with
    the person's own link, where the engine has a `public_url` and a `secret`.
    Mails of one question to one person are one thread. Nobody is mailed that a
    task was claimed or released, that they answered it themselves by mail or
    link, or about the end of a question that they were never mailed.
    """

    name = CHANNEL

    def __init__(
        self, sender: Sender | None = None, *, senders: Mapping[str, Sender] | None = None, clock: Clock | None = None
    ) -> None:
        self._senders = dict[str | None, Sender]((senders or {}).items())
        if sender is None and len(self._senders) == 1:
            (sender,) = self._senders.values()
        if sender is not None:
            self._senders[None] = sender
        if not self._senders:
            raise ConfigurationError("an e-mail channel needs a sender", hint="EmailChannel(Sender(address=..., ...)).")
        self._clock = clock
        self._engine: Engine | None = None

    def bind(self, engine: Engine) -> None:
        """Take replies for this engine's tasks, by its clock."""
        if any(sender.replies for sender in self._senders.values()) and not engine.keys.keyed:
            raise ConfigurationError("replies by mail need a secret", hint="Pass Engine(secret=...).")
        self._engine = engine

    def check(self, target: str) -> None:
        if not is_address(target):
            raise InvalidRoutingError(
                "notify",
                f"{target[:200]!r} is not an e-mail address that mails can carry",
                hint="Write it like email:ana@example.com, in ASCII; other letters in a domain are written as xn--.",
            )

    def check_identity(self, identity: str | None) -> None:
        if identity not in self._senders:
            known = ", ".join(sorted(filter(None, self._senders)))
            asked = f"has no sender {identity[:100]!r}" if identity else "needs to know which sender"
            raise InvalidRoutingError(
                "notify",
                f"the e-mail channel {asked}",
                hint=f"Write email+<sender>:<address>; there are: {known or 'none'}.",
            )

    def address_of(self, human: Human) -> str | None:
        """Return the person's e-mail address, if mails can carry it."""
        return human.email if human.email and is_address(human.email) else None

    async def send(self, notice: Notice) -> str | None:
        letter = letter_for(notice)
        if letter is None:
            return notice.receipt
        sender = self._senders.get(notice.identity)
        if sender is None:
            raise DeliveryError(f"there is no sender {notice.identity!r} any more")
        thread = message_ids(notice.receipt)
        id_ = message_id(notice.id, sender)
        message = written(
            letter,
            sender=sender,
            to=notice.target,
            id=id_,
            date=self._now_from.now(),
            thread=thread,
            reply_to=self._reply_to(notice, sender),
            own_words=self._engine is not None and self._engine.reads_text(notice.task),
        )
        await sender.transport(message, Envelope(id=notice.id, sender=sender.address, recipient=notice.target))
        return " ".join([*thread[:1], id_])

    async def receive_reply(self, message: bytes | EmailMessage) -> ReplyOutcome:
        """Take a mail that came to the mailbox of `Sender.replies`.

        The token in the address it was sent to says what it answers, and as
        whom; whoever has that address counts as that person. What `From` says
        goes into the trail, where it is another address. The mail may come any
        number of times.

        Where it is no answer that counts, the person gets a mail that says so,
        with the link, if there still is something to answer. Programs, mailing
        lists and unknown addresses get none.

        That mail goes once, also if the reply comes to several processes at the
        same time, and three at most for one reply address within an hour. If a
        process ends while it sends it, it goes again when the reply comes
        again, with the same `Message-ID`.

        Raises `DeliveryError`, `LeaseLostError`, and what store and directory
        raise: then hand it in again. Nothing that stands in a mail is a reason.
        """
        if self._engine is None:
            raise ConfigurationError("the channel has no engine yet", hint="Pass it as Engine(channels=[...]).")
        return await Answers(self._engine, self._senders, self._now_from).take(message)

    async def aclose(self) -> None:
        """Close the connections of the senders' transports."""
        transports = {id(sender.transport): sender.transport for sender in self._senders.values()}
        for transport in transports.values():
            if close := getattr(transport, "aclose", None):
                await close()

    @property
    def _now_from(self) -> Clock:
        return self._clock or (self._engine.clock if self._engine else SystemClock())

    def _reply_to(self, notice: Notice, sender: Sender) -> str | None:
        """Return where the reader may answer, if a reply of theirs can count."""
        if not (sender.replies and notice.link and self._engine):
            return None
        return reply_address(
            sender.replies,
            self._engine.keys,
            task_id=notice.task.id,
            address=notice.target,
            attempt=notice.task.attempt,
        )
