"""The app as Slack is to set it up, held against the rules that Slack publishes for manifests."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from awaithumans.channels.slack import slack_manifest
from awaithumans.channels.slack.workspaces import SCOPES
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError
from awaithumans.schemas import check_schema, validate
from awaithumans.stores.memory import MemoryStore

AT = "https://app.example.com/humans"
HERE = f"{AT}/api/channels/slack"


def strings(longest: int, **more: object) -> dict[str, object]:
    return {"type": "array", "items": {"type": "string", "maxLength": longest}, **more}


def exactly(required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


URL = {"type": "string", "pattern": "^https://"}
FLAG = {"type": "boolean"}
RULES = exactly(
    ["display_information"],
    display_information=exactly(
        ["name"],
        name={"type": "string", "minLength": 1, "maxLength": 35},
        description={"type": "string", "minLength": 1, "maxLength": 140},
    ),
    features=exactly(
        [],
        app_home=exactly([], home_tab_enabled=FLAG, messages_tab_enabled=FLAG, messages_tab_read_only_enabled=FLAG),
        bot_user=exactly(
            ["display_name"], display_name={"type": "string", "minLength": 1, "maxLength": 80}, always_online=FLAG
        ),
    ),
    oauth_config=exactly(
        [], redirect_urls=strings(2500, uniqueItems=True), scopes=exactly([], bot=strings(50, maxItems=255))
    ),
    settings=exactly(
        [],
        interactivity=exactly(["is_enabled"], is_enabled=FLAG, request_url=URL),
        event_subscriptions=exactly([], request_url=URL, bot_events=strings(50, maxItems=100, uniqueItems=True)),
        org_deploy_enabled=FLAG,
        socket_mode_enabled=FLAG,
        token_rotation_enabled=FLAG,
    ),
)
"""The part of Slack's manifest schema, version 1, that concerns what is used here."""


@pytest.mark.parametrize("replies", [True, False])
def test_it_is_in_the_shape_that_slack_publishes(*, replies: bool) -> None:
    check_schema(RULES, "rules")
    manifest = slack_manifest(AT, name="N" * 35, replies=replies)
    assert validate(RULES, json.loads(json.dumps(manifest))) == {}


def test_every_address_is_below_the_mount() -> None:
    for at in (AT, f"{AT}/", Engine(MemoryStore(), public_url=AT, background=False)):
        manifest = cast("Any", slack_manifest(at))
        assert manifest["settings"]["interactivity"]["request_url"] == f"{HERE}/interactions"
        assert manifest["settings"]["event_subscriptions"]["request_url"] == f"{HERE}/events"
        assert manifest["oauth_config"]["redirect_urls"] == [f"{HERE}/oauth/callback"]


def test_it_asks_for_what_the_channel_uses() -> None:
    manifest = cast("Any", slack_manifest(AT))
    assert manifest["oauth_config"]["scopes"]["bot"] == list(SCOPES)
    assert {"chat:write", "im:write", "users:read", "users:read.email"} <= set(SCOPES)
    events = manifest["settings"]["event_subscriptions"]["bot_events"]
    for channels in ("channels", "groups", "im"):
        assert f"message.{channels}" in events
        assert f"{channels}:history" in SCOPES, "Slack refuses the event without the scope"


def test_without_replies_it_reads_no_messages() -> None:
    manifest = cast("Any", slack_manifest(AT, replies=False))
    assert "event_subscriptions" not in manifest["settings"]
    assert not [scope for scope in manifest["oauth_config"]["scopes"]["bot"] if "history" in scope]
    assert manifest["features"]["app_home"]["messages_tab_read_only_enabled"] is True


@pytest.mark.parametrize(
    "at", ["", "http://app.example.com", "app.example.com", "https://", "https://app.example.com?x=1"]
)
def test_slack_reaches_https_addresses_only(at: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        slack_manifest(at)


@pytest.mark.parametrize("name", ["", "N" * 36])
def test_a_name_that_slack_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 35"):
        slack_manifest(AT, name=name)
