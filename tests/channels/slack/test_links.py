"""Who gets a personal link in Slack: nobody whose own click would not count as that person's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.channels.slack.desk import ANA, Desk
from tests.channels.slack.slack_api import TEAM, SlackApi

pytestmark = pytest.mark.anyio

FOREIGN = "T0000ELSE"
MEMBER = {"id": "U0000ANA", "team_id": TEAM, "is_email_confirmed": True, "profile": {"email": "ana@example.com"}}


async def told(desk: Desk, notify: str) -> Mapping[str, Any]:
    """Return the message that Slack gets."""
    await desk.ask(notify=[notify])
    await desk.engine.tick()
    assert isinstance(desk.api, SlackApi)
    (message,) = desk.api.given("chat.postMessage")
    return message


def has_link(message: Mapping[str, Any]) -> bool:
    return "/l/" in json.dumps(message)


async def test_an_account_that_the_directory_knows_gets_it(desk: Desk) -> None:
    assert has_link(await told(desk, "slack:U0000ANA"))


async def test_an_account_whose_name_is_somebodys_id_in_the_directory_does_not(desk: Desk, api: SlackApi) -> None:
    api.replies["users.list"] = {"members": [{"id": "U0000EVE", "name": "ana"}]}
    message = await told(desk, "slack:ana")
    assert message["channel"] == "U0000EVE"
    assert not has_link(message)


async def test_the_same_user_id_in_another_workspace_does_not(desk: Desk, api: SlackApi) -> None:
    api.replies["auth.test"] = {"team_id": FOREIGN, "user_id": "U0000BOT"}
    message = await told(desk, f"slack+{FOREIGN}:U0000ANA")
    assert not has_link(message)


@pytest.mark.parametrize("slack_user_id", [None, "U0000ANA"])
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("guest", [False, True])
async def test_an_address_in_slack_counts_as_it_does_for_a_click(
    api: SlackApi, *, slack_user_id: str | None, trusted: bool, guest: bool
) -> None:
    desk = Desk(api, link_by_email=[TEAM] if trusted else [])
    desk.staff.people = [replace(ANA, slack_user_id=slack_user_id, slack_team_id=slack_user_id and TEAM)]
    api.replies["users.lookupByEmail"] = api.replies["users.info"] = {"user": {**MEMBER, "is_restricted": guest}}
    message = await told(desk, "slack:ana@example.com")
    assert message["channel"] == "U0000ANA"
    assert has_link(message) == bool(slack_user_id or (trusted and not guest))
    await desk.engine.aclose()


async def test_an_address_that_is_another_accounts_in_slack_does_not(desk: Desk, api: SlackApi) -> None:
    api.replies["users.lookupByEmail"] = {"user": {**MEMBER, "id": "U0000EVE"}}
    assert not has_link(await told(desk, "slack:ana@example.com"))
