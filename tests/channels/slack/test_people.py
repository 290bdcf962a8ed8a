"""Who somebody in Slack is to the host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from awaithumans.channels.slack.people import People, Visitor
from awaithumans.channels.slack.workspaces import SlackApp, Workspaces
from awaithumans.engine import Engine
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Human, JsonObject
from tests.channels.slack.slack_api import TEAM, SlackApi, slack_api

pytestmark = pytest.mark.anyio

ELSEWHERE = "T0000OTHER"
ANA = Human(id="ana", email="ana@example.com", slack_user_id="U0000ANA", slack_team_id=TEAM, operator=True)
ANA_THERE = Visitor(TEAM, "U0000ANA", TEAM)
MEMBER = {
    "id": "U0000ANA",
    "team_id": TEAM,
    "deleted": False,
    "is_bot": False,
    "is_restricted": False,
    "is_ultra_restricted": False,
    "is_email_confirmed": True,
    "profile": {"email": "Ana@Example.com"},
}


@dataclass
class Staff:
    """A directory that can be changed."""

    people: list[Human] = field(default_factory=list)

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        return self.people

    async def find(self, address: str) -> Human | None:
        return next((human for human in self.people if address.lower() in human.addresses), None)


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as api:
        api.replies["users.info"] = {"user": MEMBER}
        yield api


@pytest.fixture
async def static(api: SlackApi) -> AsyncIterator[Workspaces]:
    workspaces = Workspaces(token="xoxb-static", app=None, api_url=api.api_url, timeout=5)
    yield workspaces
    await workspaces.aclose()


class TestKnownBySlackId:
    async def test_a_person_acts_as_the_directory_has_them(self, static: Workspaces) -> None:
        actor = await People(Staff([ANA]), static).actor(ANA_THERE)
        assert actor is not None
        assert (actor.id, actor.auth, actor.via, actor.operator) == ("ana", "channel", "slack", True)
        assert actor.stated_by is None

    async def test_the_directory_is_asked_each_time(self, static: Workspaces) -> None:
        staff = Staff([ANA])
        people = People(staff, static)
        staff.people = [replace(ANA, operator=False)]
        demoted = await people.actor(ANA_THERE)
        assert demoted is not None
        assert not demoted.operator
        staff.people = []
        assert await people.actor(ANA_THERE) is None

    async def test_the_same_id_in_another_workspace_is_somebody_else(self, static: Workspaces) -> None:
        people = People(Staff([ANA]), static)
        assert await people.actor(Visitor(ELSEWHERE, "U0000ANA", ELSEWHERE)) is None

    async def test_in_a_shared_channel_the_workspace_of_the_person_counts(self, static: Workspaces) -> None:
        people = People(Staff([ANA]), static)
        assert await people.actor(Visitor(TEAM, "U0000ANA", ELSEWHERE)) is None
        guest = replace(ANA, slack_team_id=ELSEWHERE)
        assert await People(Staff([guest]), static).actor(Visitor(TEAM, "U0000ANA", ELSEWHERE)) is not None

    async def test_a_host_with_one_workspace_need_not_name_it(self, static: Workspaces) -> None:
        people = People(Staff([replace(ANA, slack_team_id=None)]), static)
        assert await people.actor(ANA_THERE) is not None
        assert await people.actor(Visitor(TEAM, "U0000ANA", ELSEWHERE)) is None

    async def test_a_host_with_an_app_for_several_has_to(self, api: SlackApi) -> None:
        app = SlackApp(client_id="1.2", client_secret="hush")
        several = Workspaces(token=None, app=app, api_url=api.api_url, timeout=5)
        several.bind(Engine(MemoryStore(), secret="s" * 32, background=False))
        assert await People(Staff([replace(ANA, slack_team_id=None)]), several).actor(ANA_THERE) is None
        assert await People(Staff([ANA]), several).actor(ANA_THERE) is not None

    async def test_what_is_found_under_the_id_must_have_it_as_slack_id(self, static: Workspaces) -> None:
        impostor = Human(id="U0000ANA", email="eve@example.com")
        assert await People(Staff([impostor]), static).actor(ANA_THERE) is None


class TestKnownByEmail:
    @pytest.fixture
    def staff(self) -> Staff:
        return Staff([replace(ANA, slack_user_id=None, slack_team_id=None)])

    async def test_it_is_off_unless_the_workspace_is_named(
        self, static: Workspaces, staff: Staff, api: SlackApi
    ) -> None:
        assert await People(staff, static).actor(ANA_THERE) is None
        assert await People(staff, static, by_email=[ELSEWHERE]).actor(ANA_THERE) is None
        assert "users.info" not in api.methods

    async def test_a_confirmed_address_finds_the_person_and_the_trail_can_say_so(
        self, static: Workspaces, staff: Staff
    ) -> None:
        actor = await People(staff, static, by_email=[TEAM]).actor(ANA_THERE)
        assert actor is not None
        assert (actor.id, actor.slack_user_id, actor.auth) == ("ana", "U0000ANA", "channel")
        assert actor.stated_by == f"slack:{TEAM}/U0000ANA by e-mail"
        assert not actor.operator, "whoever runs the workspace can give anybody an operator's address"

    @pytest.mark.parametrize(
        "told",
        [
            {"is_restricted": True},
            {"is_ultra_restricted": True},
            {"is_stranger": True},
            {"is_bot": True},
            {"deleted": True},
            {"is_email_confirmed": False},
            {"is_email_confirmed": None},
            {"team_id": ELSEWHERE},
            {"id": "U0000EVE"},
            {"profile": {}},
            {"profile": {"email": ""}},
            {"profile": {"email": "eve@example.com"}},
        ],
        ids=str,
    )
    async def test_guests_bots_strangers_and_unconfirmed_addresses_find_nobody(
        self, static: Workspaces, staff: Staff, api: SlackApi, told: Mapping[str, Any]
    ) -> None:
        api.replies["users.info"] = {"user": {**MEMBER, **told}}
        assert await People(staff, static, by_email=[TEAM]).actor(ANA_THERE) is None

    async def test_a_person_of_another_workspace_is_not_even_looked_up(
        self, static: Workspaces, staff: Staff, api: SlackApi
    ) -> None:
        people = People(staff, static, by_email=[TEAM, ELSEWHERE])
        assert await people.actor(Visitor(TEAM, "U0000ANA", ELSEWHERE)) is None
        assert "users.info" not in api.methods

    async def test_who_has_another_slack_user_is_not_found_by_address(self, static: Workspaces) -> None:
        bound = replace(ANA, slack_user_id="U0000ANNA")
        assert await People(Staff([bound]), static, by_email=[TEAM]).actor(ANA_THERE) is None

    async def test_when_slack_does_not_answer_nobody_is_found(
        self, static: Workspaces, staff: Staff, api: SlackApi
    ) -> None:
        api.fails("users.info", "missing_scope")
        assert await People(staff, static, by_email=[TEAM]).actor(ANA_THERE) is None
