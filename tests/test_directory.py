"""The host's people: from objects, a file or a function, and whom an `assign_to` means."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from awaithumans.client import build_spec
from awaithumans.directory import StaticDirectory
from awaithumans.errors import ConfigurationError, InvalidRoutingError
from awaithumans.protocols import Directory
from awaithumans.routing import AddressDirectory
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.directories import DirectoryConformance
from awaithumans.types import AssignTo, Human, JsonObject, OneOf, PoolAssignment, RoleAssignment, UserAssignment

pytestmark = pytest.mark.anyio

ANA = Human(
    id="Ana", email="Ana@Example.com", slack_user_id="U0ANA", pools=("refunds",), roles=("clerk",), access_level="high"
)
BEN = Human(id="ben", email="ben@example.com", pools=("refunds", "fraud"), roles=("clerk",), access_level="low")
CLEO = Human(id="cleo", pools=("fraud",), roles=("lead",))
OLGA = Human(id="olga", email="olga@example.com", operator=True)
PEOPLE = (ANA, BEN, CLEO, OLGA)

TOML = """
[[people]]
id = "Ana"
email = "Ana@Example.com"
slack_user_id = "U0ANA"
pools = ["refunds"]
roles = ["clerk"]
access_level = "high"

[[people]]
id = "ben"
email = "ben@example.com"
pools = ["refunds", "fraud"]
roles = ["clerk"]
access_level = "low"

[[people]]
id = "cleo"
pools = ["fraud"]
roles = ["lead"]

[[people]]
id = "olga"
email = "olga@example.com"
operator = true

[[people]]
id = "gone"
email = "gone@example.com"
pools = ["refunds", "empty"]
active = false
"""
YAML = """
people:
  - {id: Ana, email: Ana@Example.com, slack_user_id: U0ANA, pools: [refunds], roles: [clerk], access_level: high}
  - {id: ben, email: ben@example.com, pools: [refunds, fraud], roles: [clerk], access_level: low}
  - {id: cleo, pools: [fraud], roles: [lead]}
  - {id: olga, email: olga@example.com, operator: true}
  - {id: gone, email: gone@example.com, pools: [refunds, empty], active: false}
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestAddresses(DirectoryConformance):
    @pytest.fixture
    def directory(self) -> Directory:
        return AddressDirectory()

    @pytest.fixture
    def people(self) -> Sequence[Human]:
        return [Human(id="ana@example.com", email="ana@example.com")]

    @pytest.fixture
    def assignments(self) -> Sequence[JsonObject]:
        return [{"email": "Ana@example.com"}, {"emails": ["ana@example.com", "ANA@example.com", "ben@example.com"]}]

    @pytest.fixture
    def unresolvable(self) -> Sequence[JsonObject]:
        return [{"pool": "refunds"}, {"email": "ana"}, {"emails": [1]}, {"email": None}]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class OfPeople(DirectoryConformance):
    """A static directory, wherever it has its people from."""

    @pytest.fixture
    def people(self) -> Sequence[Human]:
        return PEOPLE

    @pytest.fixture
    def gone(self) -> Sequence[str]:
        return ["gone", "gone@example.com"]

    @pytest.fixture
    def assignments(self) -> Sequence[JsonObject]:
        return [
            {"email": "ana@EXAMPLE.com"},
            {"email": "u0ana"},
            {"emails": ["ben@example.com", "BEN", "cleo", "gone@example.com"]},
            {"user_id": "cleo"},
            {"userId": "cleo"},
            {"pool": "refunds"},
            {"role": "clerk", "accessLevel": "high", "pool": None},
        ]

    @pytest.fixture
    def unresolvable(self) -> Sequence[JsonObject]:
        return [
            {"email": "gone@example.com"},
            {"emails": ["gone", "nobody@example.com"]},
            {"emails": []},
            {"emails": "ana@example.com"},
            {"emails": ["ana", 1]},
            {"user_id": "nobody"},
            {"user_id": 1},
            {"pool": "empty"},
            {"pool": "Refunds"},
            {"pool": "refunds", "role": "lead"},
            {"pool": "refunds", "email": "ana@example.com"},
            {"role": ["clerk"]},
            {"rool": "clerk", "pool": "refunds"},
            {"pool": None},
            {"managed": True},
            {"marketplace": False},
            {},
        ]

    async def test_all_criteria_hold_for_those_who_are_meant(self, directory: Directory) -> None:
        for assign_to, ids in (
            ({"pool": "refunds"}, ["Ana", "ben"]),
            ({"role": "clerk", "access_level": "low"}, ["ben"]),
            ({"pool": "fraud", "role": "clerk"}, ["ben"]),
            ({"access_level": "high"}, ["Ana"]),
        ):
            meant = await directory.resolve(assign_to)
            assert isinstance(meant, OneOf)
            assert [human.id for human in meant] == ids

    async def test_any_of_a_list_may_answer(self, directory: Directory) -> None:
        meant = await directory.resolve({"emails": ["ana@example.com", "cleo"]})
        assert not isinstance(meant, OneOf)
        assert [human.id for human in meant] == ["Ana", "cleo"]


class TestObjects(OfPeople):
    @pytest.fixture
    def directory(self) -> Directory:
        return StaticDirectory(PEOPLE)


class TestATomlFile(OfPeople):
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Directory:
        (tmp_path / "people.toml").write_text(TOML)
        return StaticDirectory.from_file(tmp_path / "people.toml")


class TestAYamlFile(OfPeople):
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Directory:
        (tmp_path / "people.yaml").write_text(YAML)
        return StaticDirectory.from_file(str(tmp_path / "people.yaml"))


class TestAFunction(OfPeople):
    @pytest.fixture
    def directory(self) -> Directory:
        return StaticDirectory(lambda: (human for human in PEOPLE))


class TestAnAsyncFunction(OfPeople):
    @pytest.fixture
    def directory(self) -> Directory:
        async def people() -> Sequence[Human]:
            return PEOPLE

        return StaticDirectory(people)


@pytest.mark.parametrize(
    ("assign_to", "ids"),
    [
        ("ana@example.com", ["Ana"]),
        (["ben@example.com", "cleo"], ["ben", "cleo"]),
        (CLEO, ["cleo"]),
        (BEN, ["ben"]),
        (UserAssignment(user_id="cleo"), ["cleo"]),
        (PoolAssignment(pool="fraud"), ["ben", "cleo"]),
        (RoleAssignment(role="clerk", access_level="high"), ["Ana"]),
        ({"pool": "fraud", "role": "lead"}, ["cleo"]),
    ],
)
async def test_whatever_python_callers_write_leads_to_people(assign_to: AssignTo, ids: list[str]) -> None:
    sent: dict[str, Any] = {"payload_schema": UserAssignment, "payload": {"user_id": "x"}, "timeout_seconds": 60}
    spec = build_spec(task="Approve?", response_schema=UserAssignment, assign_to=assign_to, **sent)
    assert spec.assign_to
    assert [human.id for human in await StaticDirectory(PEOPLE).resolve(spec.assign_to)] == ids


class TestWhatLeadsToNobody:
    async def test_can_be_asked_of_all_operators(self) -> None:
        directory = StaticDirectory([*PEOPLE, Human(id="otto", operator=True)], unresolved="operators")
        for assign_to in ({"email": "gone@example.com"}, {"pool": "empty"}, {"emails": ["x", "y"]}):
            meant = await directory.resolve(assign_to)
            assert not isinstance(meant, OneOf)
            assert [human.id for human in meant] == ["olga", "otto"]

    async def test_is_refused_where_there_are_no_operators(self) -> None:
        with pytest.raises(InvalidRoutingError):
            await StaticDirectory([ANA], unresolved="operators").resolve({"pool": "empty"})

    async def test_is_refused_if_it_is_no_assignment_at_all(self) -> None:
        with pytest.raises(InvalidRoutingError, match="managed is no assignment"):
            await StaticDirectory(PEOPLE, unresolved="operators").resolve({"managed": True})

    async def test_is_logged_where_others_of_the_list_are_asked(self, caplog: pytest.LogCaptureFixture) -> None:
        await StaticDirectory(PEOPLE).resolve({"emails": ["ana@example.com", "typo@example.com"]})
        assert "names 1 people who are not in the directory" in caplog.text
        assert "typo" not in caplog.text


class TestChanges:
    async def test_in_a_file_count_at_once(self, tmp_path: Path) -> None:
        file = tmp_path / "people.toml"
        file.write_text(TOML)
        directory = StaticDirectory.from_file(file)
        assert await directory.find("ben")
        file.write_text(TOML.replace('id = "ben"', 'id = "ben"\nactive = false'))
        assert await directory.find("ben") is None
        assert [human.id for human in await directory.resolve({"pool": "refunds"})] == ["Ana"]

    async def test_that_break_a_file_are_an_error_until_it_is_whole(self, tmp_path: Path) -> None:
        """Whoever was to lose their rights by the change must not keep them by a typing mistake."""
        file = tmp_path / "people.toml"
        file.write_text(TOML)
        directory = StaticDirectory.from_file(file)
        file.write_text(TOML + "[[people")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="cannot be read"):
                await directory.find("ben")
        file.write_text(TOML)
        assert await directory.find("ben")

    async def test_that_are_taken_back_from_a_copy_leave_nothing_of_them(self, tmp_path: Path) -> None:
        """A copy that keeps its times, as by `cp -p`, is the very file that was read before."""
        file = tmp_path / "people.toml"
        file.write_text(TOML)
        before = file.stat()
        directory = StaticDirectory.from_file(file)
        file.write_text(TOML + '[[people]]\nid = "BEN"\n')
        with pytest.raises(ConfigurationError, match="two people"):
            await directory.find("ben")
        file.write_text(TOML)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert await directory.find("ben")

    async def test_of_a_function_are_seen_once_what_is_known_is_too_old(self) -> None:
        clock, people = VirtualClock(), [ANA, BEN]
        directory = StaticDirectory(lambda: people, max_age=60, clock=clock)
        assert await directory.find("ben")
        people.remove(BEN)
        await clock.advance(59)
        assert await directory.find("ben")
        await clock.advance(1)
        assert await directory.find("ben") is None

    async def test_of_a_function_are_seen_at_once_by_default(self) -> None:
        people = [ANA, BEN]
        directory = StaticDirectory(lambda: people)
        assert await directory.find("ben")
        people.remove(BEN)
        assert await directory.find("ben") is None


async def test_a_plain_function_runs_in_a_thread_of_its_own() -> None:
    """There it may read the host's database: lazily, as Django's queries do."""
    threads: list[int] = []

    def people() -> Any:
        for human in PEOPLE:
            threads.append(threading.get_ident())
            yield human

    assert await StaticDirectory(people).find("ana")
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("twin", [Human(id="ANA"), Human(id="x", email="ana@example.com"), Human(id="u0ana")])
async def test_an_address_names_one_person(twin: Human) -> None:
    """Otherwise one could answer for the other."""
    with pytest.raises(ConfigurationError, match="two people of the directory have the address"):
        StaticDirectory([ANA, twin])
    with pytest.raises(ConfigurationError, match="two people"):
        await StaticDirectory(lambda: [ANA, twin]).find("ana")


FAULTS: Mapping[str, str] = {
    "": "people: Field required",
    "people = 1": "people: Input should be a valid list",
    "[[people]]\nemail = 'a@example.com'": "people.0.id: Field required",
    "[[people]]\nid = 'a'\npool = 'x'": "people.0.pool: Extra inputs are not permitted",
    "[[people]]\nid = 'a'\noperator = 'no'": "people.0.operator: Input should be a valid boolean",
    "[[people]": "Expected",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "people.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        StaticDirectory.from_file(tmp_path / "people.toml")
    assert FAULTS[text] in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        StaticDirectory.from_file(tmp_path / "people.toml")


def test_yaml_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.yml").write_text("people: [")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        StaticDirectory.from_file(tmp_path / "people.yml")


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    (tmp_path / "people.yml").write_text(f"people: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        StaticDirectory.from_file(tmp_path / "people.yml")
    assert not (tmp_path / "made").exists()
