"""Whom a target means, and whom it never means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from awaithumans.channels.slack.calls import SlackError
from awaithumans.channels.slack.targets import ASKED_AGAIN_AFTER, KEPT_FOR, Accounts, Target
from awaithumans.channels.slack.workspaces import Workspaces
from awaithumans.errors import InvalidRoutingError
from awaithumans.protocols import DeliveryError
from awaithumans.testing.clock import VirtualClock
from tests.slack import BLIND_TOKEN, TOKEN, Line, Slack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "kind", "value", "broadcast"),
    [
        ("#approvals", "conversation", "#approvals", True),
        ("#zahlungen-über-100", "conversation", "#zahlungen-über-100", True),
        ("C0123ABCD", "conversation", "C0123ABCD", True),
        ("G0123ABCD", "conversation", "G0123ABCD", True),
        ("D0123ABCD", "conversation", "D0123ABCD", False),
        ("U0123ABCD", "person", "U0123ABCD", False),
        ("@W0123ABCD", "person", "W0123ABCD", False),
        ("Ana@Example.com", "email", "ana@example.com", False),
        ("@Ana.Lima", "handle", "ana.lima", False),
        ("charlie", "handle", "charlie", False),
        ("Charlie1", "handle", "charlie1", False),
        ("GRETA", "handle", "greta", False),
    ],
)
def test_a_target_is_read_by_its_form(text, kind, value, broadcast):
    target = Target.parse(text)
    assert (target.kind, target.value, target.broadcast) == (kind, value, broadcast)


@pytest.mark.parametrize(
    "text", ["", "#", "@", "#two words", "ana lima", "<!channel>", "#a,b", "ana@", "a\nb", "x" * 99]
)
def test_what_slack_cannot_send_to_is_refused(text):
    with pytest.raises(InvalidRoutingError):
        Target.parse(text)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def accounts(clock: VirtualClock) -> Accounts:
    return Accounts(clock)


@pytest.fixture
async def client(slack_line: Line) -> AsyncIterator[object]:
    workspaces = Workspaces(token=TOKEN, app=None, api_url=slack_line.api_url, timeout=5)
    yield await workspaces.client(None)
    await workspaces.aclose()


async def test_conversations_and_ids_are_not_looked_up(accounts, client, slack_line):
    for text in ("#approvals", "C0123ABCD", "U0123ABCD"):
        assert await accounts.address(client, None, Target.parse(text)) == text
    assert slack_line.calls == []


async def test_an_address_is_looked_up_once_in_a_while(accounts, client, clock, slack_line, slack: Slack):
    for _ in range(2):
        found = await accounts.address(client, None, Target.parse("ANA@example.com"))
        assert found == slack.member("ana")
    assert slack_line.methods == ["users.lookupByEmail"]
    await clock.advance(KEPT_FOR.total_seconds())
    await accounts.address(client, None, Target.parse("ana@example.com"))
    await accounts.address(client, "T2", Target.parse("ana@example.com"))
    assert slack_line.methods == ["users.lookupByEmail"] * 3


async def test_an_address_nobody_has_is_a_failure_for_good(accounts, client):
    with pytest.raises(SlackError, match="no account of the workspace has this e-mail address") as caught:
        await accounts.address(client, None, Target.parse("nobody@example.com"))
    assert caught.value.permanent


@pytest.mark.parametrize("flag", ["deleted", "is_bot", "is_stranger"])
async def test_an_address_of_somebody_who_is_no_member_counts_for_nothing(accounts, client, slack_line, flag):
    slack_line.replies("users.lookupByEmail", user={"id": "U0GONE123", "name": "ana", flag: True})
    with pytest.raises(SlackError, match="users_not_found"):
        await accounts.address(client, None, Target.parse("ana@example.com"))


async def test_a_handle_is_the_accounts_own_name_in_any_case(accounts, client, slack: Slack):
    assert await accounts.address(client, None, Target.parse("@ANA")) == slack.member("ana")
    assert await accounts.address(client, None, Target.parse("bea.b")) == slack.member("bea.b")


@pytest.mark.parametrize("given", ["@ana.admin", "@Bea"])
async def test_names_that_people_give_themselves_mean_nobody(accounts, client, given):
    with pytest.raises(DeliveryError, match="a display name does not count") as caught:
        await accounts.address(client, None, Target.parse(given))
    assert caught.value.permanent


async def test_every_page_of_the_accounts_is_read(accounts, client, slack_line):
    members = [{"id": f"U{n:08}", "name": f"member{n}"} for n in range(5)]
    slack_line.replies("users.list", members=members[:3], response_metadata={"next_cursor": "more"})
    slack_line.replies("users.list", members=members[3:], response_metadata={"next_cursor": ""})
    assert await accounts.address(client, None, Target.parse("@member4")) == "U00000004"
    assert "cursor=more" in slack_line.calls[1][1]


async def test_bots_and_former_members_are_skipped_and_two_of_a_name_are_an_error(accounts, client, slack_line):
    members = [
        {"id": "U00000001", "name": "ana", "deleted": True},
        {"id": "U00000002", "name": "ana", "is_bot": True},
        {"id": "USLACKBOT", "name": "slackbot"},
        {"id": "U00000003", "name": "ana"},
        {"id": "U00000004", "name": "kim"},
        {"id": "U00000005", "name": "Kim"},
    ]
    slack_line.replies("users.list", members=members)
    assert await accounts.address(client, None, Target.parse("@ana")) == "U00000003"
    with pytest.raises(DeliveryError, match="2 accounts are called @kim"):
        await accounts.address(client, None, Target.parse("@kim"))
    with pytest.raises(DeliveryError, match="no account"):
        await accounts.address(client, None, Target.parse("@slackbot"))
    assert slack_line.methods == ["users.list"]


async def test_accounts_are_listed_anew_when_old_or_when_a_name_is_missing(accounts, client, clock, slack_line):
    async def ask(name: str) -> None:
        await accounts.address(client, None, Target.parse(name))

    await ask("@ana")
    with pytest.raises(DeliveryError):
        await ask("@newcomer")
    assert len(slack_line.calls) == 1
    await clock.advance(ASKED_AGAIN_AFTER.total_seconds())
    await ask("@ana")
    assert len(slack_line.calls) == 1
    with pytest.raises(DeliveryError):
        await ask("@newcomer")
    assert len(slack_line.calls) == 2
    await clock.advance(KEPT_FOR / timedelta(seconds=1))
    await ask("@ana")
    assert len(slack_line.calls) == 3


async def test_a_missing_scope_is_named(slack_line, accounts, client):
    slack_line.refuse("users.lookupByEmail", "missing_scope", needed="users:read.email")
    with pytest.raises(SlackError, match=r"missing_scope \(users:read.email\); add the scope") as caught:
        await accounts.address(client, None, Target.parse("ana@example.com"))
    assert caught.value.permanent
    assert BLIND_TOKEN not in str(caught.value)
