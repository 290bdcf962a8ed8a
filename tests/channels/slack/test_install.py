"""Installing the app in several workspaces, from the operator's link to the token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from awaithumans.channels.slack import SlackApp, SlackChannel, install
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError
from awaithumans.stores.memory import MemoryStore
from tests.channels.slack.desk import Desk
from tests.channels.slack.slack_api import BOT, TEAM, SlackApi, slack_api

pytestmark = pytest.mark.anyio

MOUNTED_AT = "https://app.example/humans"
APP = SlackApp(client_id="1.2", client_secret="hush")
GRANT = {
    "access_token": "xoxb-acme",
    "token_type": "bot",
    "scope": "chat:write,users:read",
    "bot_user_id": BOT,
    "app_id": "A1",
    "team": {"id": TEAM, "name": "Acme <script>"},
    "enterprise": None,
    "authed_user": {"id": "U0000ANA"},
    "is_enterprise_install": False,
}


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as api:
        api.replies["oauth.v2.access"] = GRANT
        yield api


@pytest.fixture
async def desk(api: SlackApi) -> AsyncIterator[Desk]:
    desk = Desk(api, app=APP, public_url=MOUNTED_AT)
    yield desk
    await desk.engine.aclose()


async def get(desk: Desk, address: str, cookie: str = "") -> httpx2.Response:
    """Be the browser; the router is mounted below /humans."""
    url = urlsplit(address)
    async with desk.browser() as client:
        return await client.get(
            f"{url.path.removeprefix('/humans')}?{url.query}", headers={"Cookie": cookie} if cookie else {}
        )


async def begin(desk: Desk) -> tuple[Mapping[str, str], str]:
    """Follow a link; return what Slack is asked, and the browser's cookie."""
    started = await get(desk, desk.slack.install_link())
    assert started.status_code == 302
    location = urlsplit(started.headers["location"])
    assert (location.netloc, location.path) == ("slack.com", "/oauth/v2/authorize")
    asked = {name: values[0] for name, values in parse_qs(location.query).items()}
    return asked, started.headers["set-cookie"].partition(";")[0]


async def come_back(desk: Desk, cookie: str, **query: str) -> httpx2.Response:
    url = httpx2.URL(f"{MOUNTED_AT}/api/channels/slack/oauth/callback", params=query)
    return await get(desk, str(url), cookie)


async def test_from_the_link_to_a_workspace_that_can_be_asked(desk: Desk, api: SlackApi) -> None:
    asked, cookie = await begin(desk)
    assert asked["client_id"] == "1.2"
    assert "chat:write" in asked["scope"].split(",")
    assert asked["redirect_uri"] == f"{MOUNTED_AT}/api/channels/slack/oauth/callback"
    page = await come_back(desk, cookie, code="c0de", state=asked["state"])
    assert (page.status_code, "Acme &lt;script&gt;" in page.text) == (200, True)
    (exchange,) = api.given("oauth.v2.access")
    assert exchange == {
        "client_id": "1.2",
        "client_secret": "hush",
        "code": "c0de",
        "redirect_uri": asked["redirect_uri"],
    }
    (installed,) = await desk.slack.installations()
    assert (installed.team_id, installed.bot_user_id, installed.installed_by) == (TEAM, BOT, "U0000ANA")
    assert installed.scopes == ("chat:write", "users:read")
    await desk.ask(notify=["slack:U0000ANA"])
    await desk.engine.tick()
    assert [call.token for call in api.calls if call.method == "chat.postMessage"] == ["xoxb-acme"]


async def test_the_cookie_stays_with_the_installation(desk: Desk) -> None:
    started = await get(desk, desk.slack.install_link())
    flags = {part.strip() for part in started.headers["set-cookie"].split(";")[1:]}
    assert flags == {"Path=/humans/api/channels/slack/oauth", "Max-Age=600", "HttpOnly", "SameSite=Lax", "Secure"}
    assert started.headers["cache-control"] == "no-store"
    assert started.headers["referrer-policy"] == "no-referrer"


async def test_nobody_begins_without_a_link(desk: Desk) -> None:
    for token in ("", "x", desk.engine.keys.encrypt("another purpose", "9999999999")):
        answer = await get(desk, f"{MOUNTED_AT}/api/channels/slack/oauth/start?token={token}")
        assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)


async def test_a_link_ends_after_ten_minutes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    link = desk.slack.install_link()
    monkeypatch.setattr(desk.slack._reception, "_clock", Later(timedelta(minutes=10)))
    assert (await get(desk, link)).status_code == 403


async def test_a_state_counts_only_in_the_browser_that_set_out(desk: Desk, api: SlackApi) -> None:
    asked, cookie = await begin(desk)
    other_asked, other_cookie = await begin(desk)
    for state, theirs in (
        (asked["state"], ""),
        (asked["state"], other_cookie),
        (other_asked["state"], cookie),
        ("", cookie),
        (asked["state"][:-1], cookie),
        (asked["state"], f"{install.COOKIE}="),
        (asked["state"], "a=\x00b"),
    ):
        answer = await come_back(desk, theirs, code="c0de", state=state)
        assert answer.status_code == 401
    assert "oauth.v2.access" not in api.methods


async def test_a_state_ends_after_ten_minutes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, cookie = await begin(desk)
    monkeypatch.setattr(desk.slack._reception, "_clock", Later(timedelta(minutes=10)))
    assert (await come_back(desk, cookie, code="c0de", state=asked["state"])).status_code == 401


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"error": "access_denied"}, "Slack says: access_denied."),
        ({"error": "<script>"}, "Slack sent no code."),
        ({}, "Slack sent no code."),
    ],
)
async def test_what_slack_refuses_is_said_on_a_plain_page(desk: Desk, query: dict[str, str], told: str) -> None:
    asked, cookie = await begin(desk)
    page = await come_back(desk, cookie, state=asked["state"], **query)
    assert (page.status_code, told in page.text, "<script" in page.text) == (400, True, False)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Max-Age=0" in page.headers["set-cookie"]
    assert await desk.slack.installations() == []


@pytest.mark.parametrize(
    ("grant", "told"),
    [
        ({"ok": False, "error": "invalid_code"}, "Slack gave no token"),
        ({"is_enterprise_install": True, "team": None}, "not in the whole organisation"),
        ({"expires_in": 43_200, "refresh_token": "xoxe-1"}, "token rotation"),
        ({"access_token": None}, "lacks"),
        ({"team": None}, "lacks"),
        ({"bot_user_id": ""[:0] or None}, "lacks"),
    ],
)
async def test_a_grant_that_cannot_be_used_installs_nothing(
    desk: Desk, api: SlackApi, grant: Mapping[str, Any], told: str
) -> None:
    api.replies["oauth.v2.access"] = {**GRANT, **grant}
    asked, cookie = await begin(desk)
    page = await come_back(desk, cookie, code="c0de", state=asked["state"])
    assert (page.status_code, told in page.text) == (400, True)
    assert await desk.slack.installations() == []


async def test_an_operator_uninstalls(desk: Desk, api: SlackApi) -> None:
    asked, cookie = await begin(desk)
    await come_back(desk, cookie, code="c0de", state=asked["state"])
    api.fails("apps.uninstall", "internal_error")
    assert await desk.slack.uninstall(TEAM)
    assert not await desk.slack.uninstall(TEAM)
    assert api.given("apps.uninstall") == [{"client_id": "1.2", "client_secret": "hush"}]
    assert await desk.slack.installations() == []


async def test_with_a_token_of_ones_own_there_is_nothing_to_install(api: SlackApi) -> None:
    desk = Desk(api)
    with pytest.raises(ConfigurationError, match="SlackApp"):
        desk.slack.install_link()
    for path in ("start", "callback"):
        assert (await get(desk, f"{MOUNTED_AT}/api/channels/slack/oauth/{path}")).status_code == 404


async def test_a_link_needs_an_engine_and_its_address(api: SlackApi) -> None:
    channel = SlackChannel(app=APP, api_url=api.api_url)
    with pytest.raises(ConfigurationError, match="belongs to no engine"):
        channel.install_link()
    Engine(MemoryStore(), channels=[channel], secret="s" * 32, background=False)
    with pytest.raises(ConfigurationError, match="public_url"):
        channel.install_link()


class Later:
    """This machine's clock, some time from now."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by
