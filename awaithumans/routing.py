"""Who is asked, and where word of it goes: `assign_to`, `notify` and `callback_url`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from awaithumans.errors import InvalidRoutingError, MarketplaceNotAvailableError
from awaithumans.protocols import Channel
from awaithumans.types import Human, JsonObject

WEBHOOK = "webhook"
"""The channel that a `callback_url` of http or https is delivered by."""

MAX_RECIPIENTS = 100

_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f<>,;:\"]{1,64}@[^@\s\x00-\x1f\x7f<>,;:\"]{1,253}")

_HTTP = re.compile(r"https?:", re.IGNORECASE)

_URL_TARGET = re.compile(
    r"(?P<scheme>[^:]*:\s*[A-Za-z][A-Za-z0-9+.-]*://)([^/?#\\]*@)?(?P<host>[^/?#\\]*)(?P<rest>.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a channel tells: `<channel>[+<identity>]:<target>`."""

    channel: str
    identity: str | None
    target: str

    @property
    def prefix(self) -> str:
        """Give what stands before the colon."""
        return f"{self.channel}+{self.identity}" if self.identity else self.channel

    @classmethod
    def parse(cls, text: str, field: str = "notify") -> Recipient:
        """Read an entry of `field`. Raises `InvalidRoutingError`."""
        prefix, colon, target = text.partition(":")
        channel, plus, identity = (part.strip() for part in prefix.partition("+"))
        if not (colon and channel and target.strip()) or (plus and not identity):
            raise InvalidRoutingError(
                field,
                f"{text[:200]!r} is not <channel>:<target>",
                hint=_HOW_TO_WRITE[field],
            )
        return cls(channel=channel, identity=identity or None, target=target.strip())

    def is_among(self, entries: Iterable[str]) -> bool:
        """Tell whether one of `entries` is this; letter case does not count."""
        return str(self).lower() in map(str.lower, entries)

    def __str__(self) -> str:
        """Write it as it stands in `notify`."""
        return f"{self.prefix}:{self.target}"


_HOW_TO_WRITE = {
    "notify": "Write each entry as channel:target, for example email:ana@example.com, or a channel alone.",
    "callback_url": "Write an address like https://agent.example/callback, or agent-channel:target.",
}


EVERYBODY = "*"
"""The target that a `notify` entry without one has: everybody whom the task is addressed to."""


def entry_of(text: str) -> Recipient:
    """Read an entry of `notify`; one without a target has `EVERYBODY`. Raises `InvalidRoutingError`."""
    return Recipient.parse(text if ":" in text else f"{text}:{EVERYBODY}")


def recipients_of(notify: Iterable[str], people: Sequence[Human], channels: Mapping[str, Channel]) -> list[str]:
    """Name everybody who is told, as `<channel>:<target>`.

    An entry without a target stands for each of `people` whom its channel
    reaches. Raises `InvalidRoutingError` if that is none of them.
    """
    told: list[str] = []
    for text in notify:
        entry = entry_of(text)
        reached = addresses_of(entry, people, channels) if entry.target == EVERYBODY else [text]
        if not reached:
            raise InvalidRoutingError(
                "notify",
                f"{text[:200]!r} reaches nobody whom the task is addressed to",
                hint=f"Address the task to people whom {entry.channel} reaches, or write {entry.channel}:<target>.",
            )
        told += reached
    if len(told) > MAX_RECIPIENTS:
        raise InvalidRoutingError("notify", f"would tell {len(told)} recipients, more than {MAX_RECIPIENTS}")
    return list(dict.fromkeys(told))


def addresses_of(entry: Recipient, people: Iterable[Human], channels: Mapping[str, Channel]) -> list[str]:
    """Name those of `people` whom a channel reaches where the directory knows them."""
    address_of: Callable[[Human], str | None] | None = getattr(channels.get(entry.channel), "address_of", None)
    if address_of is None:
        return []
    return [str(replace(entry, target=target)) for human in people if (target := address_of(human))]


def channel_of(recipient: str) -> str:
    """Name the channel of a recipient, well-formed or not."""
    return recipient.partition(":")[0].partition("+")[0].strip()


def callback_recipient(callback_url: str) -> str:
    """Name the recipient that a task's `callback_url` means."""
    return f"{WEBHOOK}:{callback_url}" if _HTTP.match(callback_url) else callback_url


def is_for_agents(channel: Channel) -> bool:
    """Tell whether a channel talks to programs, which hear only how a task ended."""
    return getattr(channel, "for_agents", False) is True


def carries_response(recipient: str) -> bool:
    """Tell whether a program that is told this way has the response with it."""
    return channel_of(recipient) == WEBHOOK


def shown_recipient(recipient: str) -> str:
    """Name a recipient to people: of a URL scheme and host, since the rest may hold secrets."""
    if not (url := _URL_TARGET.fullmatch(recipient)):
        return recipient
    return f"{url['scheme']}{url['host']}" + ("/…" if url["rest"].strip("/") else "")


def in_snake_case(assign_to: JsonObject) -> dict[str, object]:
    """Give an `assign_to` with its names as Python's clients spell them."""
    return {_SNAKE_CASE.get(name, name): value for name, value in assign_to.items()}


_SNAKE_CASE = {"accessLevel": "access_level", "userId": "user_id"}


class AddressDirectory:
    """The directory of a host that has none: people are their e-mail address.

    Understands `{"email": …}` and `{"emails": […]}`.
    """

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        """Return a person per address."""
        if assign_to.get("marketplace"):
            raise MarketplaceNotAvailableError
        match dict(assign_to):
            case {"email": str(address)}:
                return [_person(address)]
            case {"emails": list()} if addresses := cast("list[object]", assign_to["emails"]):
                return [_person(address) for address in dict.fromkeys(map(_lower, addresses))]
            case {"email": _} | {"emails": _}:
                raise InvalidRoutingError("assign_to", "is not an e-mail address or a list of them")
            case _:
                raise InvalidRoutingError(
                    "assign_to",
                    f"{', '.join(sorted(assign_to))[:200]} cannot be resolved without a directory",
                    hint="Assign to an e-mail address or a list of them, or pass Engine(directory=...).",
                )

    async def find(self, address: str) -> Human | None:
        """Return the person with this address; everybody has one."""
        return Human(id=address.lower(), email=address.lower()) if _ADDRESS.fullmatch(address) else None


def _person(address: str) -> Human:
    if not _ADDRESS.fullmatch(address):
        raise InvalidRoutingError("assign_to", f"{address[:200]!r} is not an e-mail address")
    return Human(id=address.lower(), email=address.lower())


def _lower(address: object) -> str:
    if not isinstance(address, str):
        raise InvalidRoutingError("assign_to", "emails must be a list of text")
    return address.lower()
