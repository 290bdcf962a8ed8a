"""From a letter to a mail: its headers, and its two bodies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from awaithumans.channels.email.letters import Letter, offering_replies
from awaithumans.channels.email.rendering import as_html, as_text
from awaithumans.channels.email.transports import Transport
from awaithumans.errors import ConfigurationError

MAX_LOCAL_PART = 64
MAX_MAILBOX = 19
"""Characters before the `@` of a mailbox for replies; the rest of an address takes the token."""
MAX_ADDRESS = 254

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,200}@[A-Za-z0-9.\[\]:-]{1,255}>")
_UNFIT_FOR_AN_ID = re.compile(r"[^A-Za-z0-9-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_DOMAIN_OF_AN_ID = 30
_MAX_REFERENCES = 10
_RANDOM_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who mails come from, and what takes them away.

    Raises `ConfigurationError` for what cannot stand in a header.
    """

    address: str
    """What `From` says, and where bounces go."""
    transport: Transport
    """A `Smtp`, `HttpApi` or `Files`, or an async function of yours: `async def send(message, envelope)`."""
    name: str = ""
    """The name that people see."""
    reply_to: str | None = None
    """Where replies go that are no answers."""
    replies: str | None = None
    """The mailbox that `EmailChannel.receive_reply` gets its mails from: `reply@example.com` stands in mails as
    `reply+<token>@example.com`, so it has at most 19 characters before the `@`. Without it questions are not
    answered by reply."""

    def __post_init__(self) -> None:
        for address in filter(None, (self.address, self.reply_to, self.replies)):
            if not is_address(address):
                raise ConfigurationError(f"{address[:200]!r} is not an e-mail address that mails can carry")
        if _CONTROL.search(self.name):
            raise ConfigurationError("a sender's name has line breaks or control characters")
        if self.replies and len(self.replies.rpartition("@")[0]) > MAX_MAILBOX:
            raise ConfigurationError(
                f"{self.replies!r} has more than {MAX_MAILBOX} characters before the @",
                hint="A plus and a token come behind them, and mail servers take 64 in all. Use a shorter mailbox.",
            )


def is_address(text: str) -> bool:
    """Tell whether this is an address that every mail server takes: in ASCII, and not too long.

    A domain in other letters is written as `xn--…`.
    """
    local, _, _ = text.rpartition("@")
    return len(local) <= MAX_LOCAL_PART and len(text) <= MAX_ADDRESS and _ADDRESS.fullmatch(text) is not None


def message_id(notice_id: str, sender: Sender) -> str:
    """Give the `Message-ID` of a notice's mail: equal for every attempt."""
    local = _UNFIT_FOR_AN_ID.sub("-", notice_id)
    if len(local) > MAX_LOCAL_PART:
        local = hashlib.sha256(notice_id.encode()).hexdigest()[:_RANDOM_LENGTH]
    domain = sender.address.rpartition("@")[2]  # a header's line must take the whole, or it is encoded
    return f"<{local}@{domain[-_LONGEST_DOMAIN_OF_AN_ID:].lstrip('.-')}>"


def message_ids(text: object) -> list[str]:
    """List the message ids in a header, or in a receipt of ours."""
    return _MESSAGE_ID.findall(str(text or ""))


def written(
    letter: Letter,
    *,
    sender: Sender,
    to: str,
    id: str,  # noqa: A002 - as the header is called
    date: datetime,
    thread: Sequence[str] = (),
    reply_to: str | None = None,
    own_words: bool = False,
    submitted: str = "auto-generated",
) -> EmailMessage:
    """Write a mail.

    Arguments:
        letter: what it says.
        sender: who it comes from.
        to: the address it goes to.
        id: its `Message-ID`.
        date: when it is sent.
        thread: the ids of the mails before it, oldest first.
        reply_to: where a reply is an answer; else replies go where the sender says.
        own_words: whether that reply may be in the person's own words.
        submitted: what `Auto-Submitted` says.
    """
    letter = offering_replies(letter, own_words=own_words) if reply_to else letter
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(display_name=sender.name, addr_spec=sender.address)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = f"Re: {letter.subject}" if thread else letter.subject
    message["Date"] = format_datetime(date)
    message["Message-ID"] = id
    for name, value in _thread(thread).items():
        message[name] = value
    if answers := reply_to or sender.reply_to:
        message["Reply-To"] = Address(addr_spec=answers)
    message["Auto-Submitted"] = submitted
    message.set_content(as_text(letter), cte="quoted-printable")
    message.add_alternative(as_html(letter, name=sender.name), subtype="html", cte="quoted-printable")
    return message


def _thread(ids: Sequence[str]) -> Mapping[str, str]:
    if not ids:
        return {}
    kept = [ids[0], *ids[1:][-_MAX_REFERENCES:]]
    return {"In-Reply-To": ids[-1], "References": " ".join(kept)}
