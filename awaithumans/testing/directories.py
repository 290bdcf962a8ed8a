"""What a `Directory` promises, as tests anybody's directory can be put to.

```python
class TestMyDirectory(DirectoryConformance):
    @pytest.fixture
    def directory(self):
        return MyDirectory(...)

    @pytest.fixture
    def people(self):
        return [Human(id="ana", email="ana@example.com")]
```

The tests run on the backends of the fixture `anyio_backend`.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from awaithumans.errors import InvalidInputError, InvalidRoutingError
from awaithumans.protocols import Directory
from awaithumans.testing.promises import Promises
from awaithumans.types import Human, JsonObject

__all__ = ["DirectoryConformance"]

STRANGE = ("", " ", "*", "%", "@", "nobody at all", "a" * 5_000, "\x00", "'; --", "🙂", "\ud800")
"""What somebody may put into a link, or an agent into a message."""


class DirectoryConformance(Promises, of="Directory"):
    """What every directory must hold to; subclass it and override the fixtures.

    `directory` and `people` are needed. With `assignments`, the suite also
    looks at what leads to people; with `gone` and `unresolvable`, at what
    does not.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def directory(self) -> Directory:
        """Give the directory under test."""
        raise NotImplementedError("override the fixture `directory`")

    @pytest.fixture
    def people(self) -> Sequence[Human]:
        """Give some of its people."""
        raise NotImplementedError("override the fixture `people`")

    @pytest.fixture
    def gone(self) -> Sequence[str]:
        """Give addresses of people who are no longer active, or never were."""
        return ()

    @pytest.fixture
    def assignments(self) -> Sequence[JsonObject]:
        """Give `assign_to` objects that lead to people."""
        return ()

    @pytest.fixture
    def unresolvable(self) -> Sequence[JsonObject]:
        """Give `assign_to` objects that lead to nobody."""
        return ()

    async def test_a_person_is_found_under_every_address(self, directory: Directory, people: Sequence[Human]) -> None:
        """By id, e-mail and Slack id, in any letter case, and it is that person."""
        for human in people:
            for address in human.addresses:
                for spelling in (address, address.upper(), address.title()):
                    found = await directory.find(spelling)
                    assert found is not None, f"nobody is found under {spelling!r}"
                    assert found.id == human.id

    async def test_who_is_no_longer_active_is_not_found(self, directory: Directory, gone: Sequence[str]) -> None:
        """Their links end with that."""
        for address in gone:
            assert await directory.find(address) is None

    async def test_what_is_no_address_finds_nobody(self, directory: Directory) -> None:
        """It is no error: links and messages may bring anything."""
        for address in STRANGE:
            assert await directory.find(address) is None

    async def test_an_assignment_leads_to_people_who_are_found_again(
        self, directory: Directory, assignments: Sequence[JsonObject]
    ) -> None:
        """Whoever is asked can also answer by a link, which finds them by e-mail or id."""
        for assign_to in assignments:
            people = await directory.resolve(assign_to)
            assert people, f"{assign_to} leads to nobody"
            assert len({human.id for human in people}) == len(people), f"{assign_to} names somebody twice"
            for human in people:
                found = await directory.find(human.email or human.id)
                assert found is not None
                assert found.id == human.id

    async def test_an_assignment_that_leads_to_nobody_is_refused(
        self, directory: Directory, unresolvable: Sequence[JsonObject]
    ) -> None:
        """With `InvalidRoutingError`, so that creating the task fails; never silence, never anybody."""
        for assign_to in unresolvable:
            with pytest.raises(InvalidRoutingError):
                await directory.resolve(assign_to)

    async def test_there_is_no_marketplace(self, directory: Directory) -> None:
        """Deployed clients can ask for one."""
        with pytest.raises(InvalidInputError):
            await directory.resolve({"marketplace": True})

    async def test_it_can_be_asked_at_the_same_time(self, directory: Directory, people: Sequence[Human]) -> None:
        """Every notice and every link asks it."""
        found: list[str | None] = []

        async def look(human: Human) -> None:
            one = await directory.find(human.id)
            found.append(one.id if one else None)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(look, people[number % len(people)])
        assert sorted(filter(None, found)) == sorted(people[number % len(people)].id for number in range(20))
