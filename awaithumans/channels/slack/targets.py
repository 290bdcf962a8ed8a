"""Whom a target means: a conversation, or an account found by id, e-mail address or name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from awaithumans.channels.slack.calls import SlackError, as_object, call, pages
from awaithumans.errors import InvalidRoutingError
from awaithumans.protocols import Clock, DeliveryError
from awaithumans.types import JsonObject

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

KEPT_FOR = timedelta(minutes=5)
"""How long what Slack said of its accounts is taken for true."""
ASKED_AGAIN_AFTER = timedelta(minutes=1)
"""How old the list of accounts is at least, before it is fetched anew for a name that is not on it."""

MAX_EMAILS = 10_000

_PERSON = re.compile(r"[UW][A-Z0-9]{5,20}", re.ASCII)
_CONVERSATION = re.compile(r"[CGD][A-Z0-9]{5,20}", re.ASCII)
_CHANNEL_NAME = re.compile(r"#[^\s#<>,:@\x00-\x1f\x7f]{1,80}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>,;:\"]{1,64}@[^@\s\x00-\x1f\x7f<>,;:\"]{1,253}")
_HANDLE = re.compile(r"[^@\s#<>,:\x00-\x1f\x7f]{1,80}")
_HOW = "Write a channel (#name or its id), a member's id, an e-mail address, or @name."
_SLACKBOT = "USLACKBOT"


@dataclass(frozen=True, slots=True)
class Target:
    """A target that was read."""

    kind: Literal["conversation", "person", "email", "handle"]
    value: str

    @property
    def broadcast(self) -> bool:
        """Tell whether several people read what is sent there."""
        return self.kind == "conversation" and not self.value.startswith("D")

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target. Raises `InvalidRoutingError` if it is not in the grammar."""
        if _CHANNEL_NAME.fullmatch(text) or _CONVERSATION.fullmatch(text):
            return cls("conversation", text)
        named = text.removeprefix("@")
        if _PERSON.fullmatch(named):
            return cls("person", named)
        if _EMAIL.fullmatch(named):
            return cls("email", named.lower())
        if _HANDLE.fullmatch(named):
            return cls("handle", named.lower())
        raise InvalidRoutingError("notify", f"{text[:200]!r} is nothing that Slack can send to", hint=_HOW)


Names: TypeAlias = Mapping[str, tuple[str, ...]]


class Accounts:
    """Finds accounts of a workspace; what was found is kept for `KEPT_FOR`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._names: dict[str | None, tuple[datetime, Names]] = {}
        self._emails: dict[tuple[str | None, str], tuple[datetime, str]] = {}

    async def address(self, client: AsyncWebClient, team: str | None, target: Target) -> str:
        """Return what a message to this target is posted to.

        A name is an account's own (`name`), which is unique; those that people
        give themselves never count. Raises `DeliveryError`.
        """
        match target.kind:
            case "email":
                return await self._by_email(client, team, target.value)
            case "handle":
                return await self._by_name(client, team, target.value)
            case _:
                return target.value

    async def _by_email(self, client: AsyncWebClient, team: str | None, email: str) -> str:
        kept = self._emails.get((team, email))
        if kept and self._clock.now() - kept[0] < KEPT_FOR:
            return kept[1]
        answer = await call(client, "users.lookupByEmail", {"email": email})
        account = as_object(answer.get("user"))
        if not _is_person(account):
            raise SlackError("users.lookupByEmail", "users_not_found")
        if len(self._emails) >= MAX_EMAILS:
            self._emails.clear()
        self._emails[team, email] = self._clock.now(), str(account["id"])
        return str(account["id"])

    async def _by_name(self, client: AsyncWebClient, team: str | None, name: str) -> str:
        found = (await self._known(client, team, name)).get(name) or ()
        if len(found) == 1:
            return found[0]
        if not found:
            raise DeliveryError(
                f"no account of the workspace is called @{name}; a display name does not count: name the account's id",
                permanent=True,
            )
        raise DeliveryError(f"{len(found)} accounts are called @{name}: name the account's id", permanent=True)

    async def _known(self, client: AsyncWebClient, team: str | None, name: str) -> Names:
        """Return the accounts by name: those kept, unless they are old or lack this one."""
        if kept := self._names.get(team):
            at, names = kept
            age = self._clock.now() - at
            if age < (KEPT_FOR if name in names else ASKED_AGAIN_AFTER):
                return names
        names = await _names(client)
        self._names[team] = self._clock.now(), names
        return names


async def _names(client: AsyncWebClient) -> Names:
    names: dict[str, tuple[str, ...]] = {}
    async with aclosing(pages(client, "users.list", {}, "members")) as accounts:
        async for account in accounts:
            name = str(account.get("name") or "").lower()
            if name and _is_person(account):
                names[name] = (*names.get(name, ()), str(account["id"]))
    return names


def _is_person(account: JsonObject) -> bool:
    """Tell whether this is a person of the workspace who is still there."""
    others = ("deleted", "is_bot", "is_stranger", "is_workflow_bot")
    return bool(account.get("id")) and account.get("id") != _SLACKBOT and not any(account.get(key) for key in others)
