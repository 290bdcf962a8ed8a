"""Who somebody in Slack is to the host."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from awaithumans.channels.slack.calls import as_object, call
from awaithumans.channels.slack.workspaces import Workspaces
from awaithumans.protocols import DeliveryError, Directory
from awaithumans.types import Actor, Human

logger = logging.getLogger("awaithumans.channels.slack")

_NOT_OURS = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger", "is_app_user")
"""What `users.info` says of bots, guests, people of other workspaces and those who have left."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who did something with the app, as Slack tells it."""

    team_id: str
    """The workspace where it was done."""
    user_id: str
    home: str
    """The workspace the person is of: another one in a channel that two share."""


class People:
    """Finds the host's people behind Slack users.

    `by_email` are workspaces whose word is taken for their members' e-mail
    addresses: whoever runs one can give a member any address.
    """

    def __init__(self, directory: Directory, workspaces: Workspaces, *, by_email: Collection[str] = ()) -> None:
        self._directory = directory
        self._workspaces = workspaces
        self._by_email = frozenset(by_email)

    async def actor(self, visitor: Visitor) -> Actor | None:
        """Return who acts; None where the directory does not know them, or not any more.

        The directory is asked each time. It knows a Slack user where it finds
        a person under the user id whose workspace is the user's, or who names
        none while there is only one. Failing that, and only in the workspaces
        of `by_email`, a full member's confirmed address finds a person who has
        no other Slack user; such a person is no operator here, and the trail
        says how they were found.
        """
        human = await self._directory.find(visitor.user_id)
        if human is not None and await self._is(human, visitor):
            return Actor.of(human, auth="channel", via="slack")
        if visitor.team_id not in self._by_email or visitor.home != visitor.team_id:
            return None
        human = await self._with_address(visitor, await self._address(visitor))
        if human is None:
            return None
        known = replace(human, operator=False, slack_user_id=visitor.user_id, slack_team_id=visitor.home)
        stated_by = f"slack:{visitor.home}/{visitor.user_id} by e-mail"
        return Actor.of(known, auth="channel", via="slack", stated_by=stated_by)

    async def _is(self, human: Human, visitor: Visitor) -> bool:
        if (human.slack_user_id or "").upper() != visitor.user_id.upper():
            return False
        if human.slack_team_id is None:
            return await self._workspaces.is_only(visitor.home)
        return human.slack_team_id.upper() == visitor.home.upper()

    async def _with_address(self, visitor: Visitor, address: str) -> Human | None:
        human = await self._directory.find(address) if address else None
        if human is None or (human.email or "").lower() != address.lower():
            return None
        return human if human.slack_user_id is None or await self._is(human, visitor) else None

    async def _address(self, visitor: Visitor) -> str:
        """Return the confirmed address of a full member; "" for anybody else."""
        try:
            client = await self._workspaces.client(visitor.team_id)
            told = await call(client, "users.info", {"user": visitor.user_id})
        except DeliveryError as error:
            logger.warning("Slack does not say who %s is: %s", visitor.user_id, error)
            return ""
        user = as_object(told.get("user"))
        theirs = user.get("id") == visitor.user_id and user.get("team_id") == visitor.home
        if not theirs or user.get("is_email_confirmed") is not True or any(user.get(one) for one in _NOT_OURS):
            return ""
        return str(as_object(user.get("profile")).get("email") or "")
