"""Which token speaks in which workspace, and how tokens are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from awaithumans.channels.slack.workspaces import Installation, SlackApp, Workspaces
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError, EncryptionError
from awaithumans.protocols import DeliveryError
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Record
from tests.channels.slack.slack_api import BOT, TEAM, SlackApi

pytestmark = pytest.mark.anyio

OLD, NEW = "o" * 40, "n" * 40
APP = SlackApp(client_id="1.2", client_secret="hush")
ACME = Installation(
    team_id=TEAM,
    team_name="Acme",
    bot_user_id=BOT,
    scopes=("chat:write",),
    installed_by="U1",
    installed_at=datetime(2026, 1, 2, tzinfo=UTC),
)
OTHER = replace(ACME, team_id="T0000OTHER", bot_user_id="U0000BOT2")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def static(api: SlackApi) -> AsyncIterator[Workspaces]:
    workspaces = Workspaces(token="xoxb-static", app=None, api_url=api.api_url, timeout=5)
    yield workspaces
    await workspaces.aclose()


@pytest.fixture
async def several(api: SlackApi, store: MemoryStore) -> AsyncIterator[Workspaces]:
    workspaces = installed_by(store, api, OLD)
    yield workspaces
    await workspaces.aclose()


def installed_by(store: MemoryStore, api: SlackApi, *secrets: str) -> Workspaces:
    workspaces = Workspaces(token=None, app=APP, api_url=api.api_url, timeout=5)
    workspaces.bind(Engine(store, secret=secrets, background=False))
    return workspaces


@pytest.mark.parametrize(("token", "app"), [(None, None), ("", None), ("xoxb-1", APP)])
def test_it_takes_one_token_or_one_app(token: str | None, app: SlackApp | None) -> None:
    with pytest.raises(ConfigurationError, match="token of one workspace"):
        Workspaces(token=token, app=app, api_url="https://slack.com/api/", timeout=5)


def test_the_token_is_not_sent_where_others_on_the_way_could_read_it() -> None:
    with pytest.raises(ConfigurationError, match="no URL that a token may be sent to"):
        Workspaces(token="xoxb-1", app=None, api_url="http://slack.example/api/", timeout=5)


def test_installations_need_a_secret() -> None:
    workspaces = Workspaces(token=None, app=APP, api_url="https://slack.com/api/", timeout=5)
    with pytest.raises(ConfigurationError, match="secret to encrypt"):
        workspaces.bind(Engine(MemoryStore(), background=False))


def test_an_app_does_not_show_its_secret() -> None:
    assert "hush" not in repr(APP)


class TestOneWorkspace:
    async def test_the_token_speaks_where_no_workspace_is_named_and_in_its_own(
        self, static: Workspaces, api: SlackApi
    ) -> None:
        for named in (None, TEAM):
            await (await static.client(named)).api_call("api.test")
        assert {call.token for call in api.calls} == {"xoxb-static"}

    async def test_it_does_not_speak_in_another(self, static: Workspaces) -> None:
        with pytest.raises(DeliveryError, match="not one of workspace T0000OTHER") as caught:
            await static.client("T0000OTHER")
        assert caught.value.permanent

    async def test_slack_is_asked_once_whose_it_is(self, static: Workspaces, api: SlackApi) -> None:
        bots = [await static.bot(None) for _ in range(3)]
        assert {(bot.team_id, bot.user_id) for bot in bots} == {(TEAM, BOT)}
        assert api.methods == ["auth.test"]
        assert await static.is_only(TEAM)
        assert not await static.is_only("T0000OTHER")

    async def test_it_has_no_installations(self, static: Workspaces) -> None:
        with pytest.raises(ConfigurationError, match="installations only of a Slack app"):
            await static.installations()

    async def test_connections_are_kept_and_closed(self, static: Workspaces) -> None:
        first = static.session()
        assert static.session() is first
        await static.aclose()
        await static.aclose()
        assert first.closed
        assert not static.session().closed


class TestSeveralWorkspaces:
    async def test_each_is_spoken_to_with_its_own_token(self, several: Workspaces, api: SlackApi) -> None:
        await several.install(ACME, "xoxb-acme")
        await several.install(OTHER, "xoxb-other")
        for team in (ACME.team_id, OTHER.team_id):
            await (await several.client(team)).api_call("api.test")
        assert [call.token for call in api.calls] == ["xoxb-acme", "xoxb-other"]
        assert (await several.bot(OTHER.team_id)).user_id == OTHER.bot_user_id

    async def test_the_only_one_need_not_be_named(self, several: Workspaces, api: SlackApi) -> None:
        await several.install(ACME, "xoxb-acme")
        await (await several.client(None)).api_call("api.test")
        assert [call.token for call in api.calls] == ["xoxb-acme"]
        assert not await several.is_only(ACME.team_id), "another may join"

    async def test_without_a_name_none_and_two_are_refused_with_what_to_write(self, several: Workspaces) -> None:
        for where in ("nowhere", "in several workspaces"):
            with pytest.raises(DeliveryError, match=rf"{where}.*slack\+T") as caught:
                await several.client(None)
            assert caught.value.permanent
            await several.install(ACME, "xoxb-acme")
            await several.install(OTHER, "xoxb-other")

    async def test_a_workspace_without_the_app_is_refused(self, several: Workspaces) -> None:
        await several.install(ACME, "xoxb-acme")
        with pytest.raises(DeliveryError, match="not installed in workspace T0000OTHER") as caught:
            await several.client(OTHER.team_id)
        assert caught.value.permanent

    async def test_installing_again_replaces_and_forgetting_erases(self, several: Workspaces) -> None:
        await several.install(ACME, "xoxb-1")
        await several.install(replace(ACME, team_name="Acme Ltd"), "xoxb-2")
        assert await several.installations() == [replace(ACME, team_name="Acme Ltd")]
        assert (await several.client(TEAM)).token == "xoxb-2"
        assert await several.forget(TEAM)
        assert not await several.forget(TEAM)
        assert await several.installations() == []

    async def test_all_are_listed_however_many(self, several: Workspaces) -> None:
        teams = [f"T{number:04}" for number in range(120)]
        for team in teams:
            await several.install(replace(ACME, team_id=team), "xoxb-1")
        assert [one.team_id for one in await several.installations()] == teams

    async def test_the_store_never_sees_a_token(self, several: Workspaces, store: MemoryStore) -> None:
        await several.install(ACME, "xoxb-acme")
        record = await store.records.get("slack_installation", TEAM)
        assert record is not None
        assert "xoxb" not in repr(record.document)

    async def test_a_token_moved_to_another_workspace_is_not_read(
        self, several: Workspaces, store: MemoryStore
    ) -> None:
        await several.install(ACME, "xoxb-acme")
        record = await store.records.get("slack_installation", TEAM)
        assert record is not None
        await store.records.put(Record(kind=record.kind, id=OTHER.team_id, document=record.document))
        with pytest.raises(EncryptionError):
            await several.client(OTHER.team_id)

    async def test_tokens_outlive_the_rotation_of_the_secret_but_not_its_loss(
        self, several: Workspaces, store: MemoryStore, api: SlackApi
    ) -> None:
        await several.install(ACME, "xoxb-acme")
        rotated = installed_by(store, api, NEW, OLD)
        assert (await rotated.client(TEAM)).token == "xoxb-acme"
        await rotated.aclose()
        lost = installed_by(store, api, NEW)
        with pytest.raises(EncryptionError, match="another secret") as caught:
            await lost.client(TEAM)
        assert "[new, old]" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "slacks"),
    [
        ("https://hooks.slack.com/actions/T1/2/3", True),
        ("https://slack.com/x", True),
        ("http://hooks.slack.com/actions", False),
        ("https://evilslack.com/", False),
        ("https://slack.com@evil.example/", False),
        ("https://slack.com.evil.example/", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("https://[::1", False),
        ("", False),
    ],
)
async def test_what_is_said_to_a_person_goes_to_no_other_host_than_slacks(address: str, *, slacks: bool) -> None:
    workspaces = Workspaces(token="xoxb-1", app=None, api_url="https://slack.com/api/", timeout=5)
    assert workspaces.is_slacks(address) is slacks
