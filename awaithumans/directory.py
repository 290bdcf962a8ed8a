"""The host's people, and whom an `assign_to` means among them."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, ValidationError

from awaithumans.clock import SystemClock
from awaithumans.errors import ConfigurationError, InvalidRoutingError, MarketplaceNotAvailableError
from awaithumans.protocols import Clock
from awaithumans.routing import in_snake_case
from awaithumans.types import Human, JsonObject, OneOf

logger = logging.getLogger("awaithumans.directory")

People: TypeAlias = Iterable[Human] | Callable[[], Iterable[Human] | Awaitable[Iterable[Human]]]
"""People, or a function, plain or async, that returns who there is now."""

_HINT = (
    'Assign to an address, a list of them, {"user_id": …}, {"pool": …}, or {"role": …, "access_level": …}, '
    "with a pool if you like."
)


class StaticDirectory:
    """A `Directory` of the people it is given.

    Arguments:
        people: everybody who may be asked, or a function that returns them. A
            plain function is called in a worker thread, so it may read a
            database. Who is not among them is nobody: not asked, not told, and
            links in their name end.
        max_age: seconds for which it is used what the function returned; with
            0 it is called for every look-up.
        unresolved: what becomes of an `assign_to` that leads to nobody:
            `refuse` raises `InvalidRoutingError`, `operators` asks all
            operators among the people, of whom any may answer.
        clock: for `max_age`.

    `assign_to` may be an address (`{"email": …}`: an id, e-mail or Slack id),
    a list of them (`{"emails": […]}`: any of these people; who is not here is
    passed over), `{"user_id": …}`, or any of `pool`, `role` and
    `access_level`: of those for whom all of them hold, one is chosen, who has
    the fewest open tasks, and of those whose turn is longest ago. `userId` and
    `accessLevel` are understood, too. Letter case counts in pools, roles and
    access levels, and does not in addresses.

    Safe to use from any event loop and thread. Raises `ConfigurationError` if
    two people share an address: here, or where a function is called.
    """

    def __init__(
        self,
        people: People,
        *,
        max_age: float = 0,
        unresolved: Literal["refuse", "operators"] = "refuse",
        clock: Clock | None = None,
    ) -> None:
        self._source = people if callable(people) else None
        self._roster = _Roster(() if callable(people) else tuple(people))
        self._max_age = timedelta(seconds=max_age)
        self._unresolved = unresolved
        self._clock: Clock = clock or SystemClock()
        self._read_at: datetime | None = None

    @classmethod
    def from_file(cls, path: str | Path, *, unresolved: Literal["refuse", "operators"] = "refuse") -> StaticDirectory:
        """Make a directory of a TOML or YAML file, by its suffix.

        It has a list `people`, each with the fields of `Human`, of which `id`
        is needed, and `active`: who is `false` there is nobody. The file is
        read anew when it has changed, which every look-up looks at. Raises
        `ConfigurationError`, here and later, if it cannot be read: nobody is
        taken for who they were before.
        """
        file = _File(Path(path))
        file()
        return cls(file, unresolved=unresolved)

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        """Return the people a wire `assign_to` object means."""
        roster = await self._current()
        people = roster.meant(assign_to)
        if people:
            return people
        operators = [human for human in roster.people if human.operator]
        if self._unresolved == "operators" and operators:
            return operators
        raise InvalidRoutingError(
            "assign_to", "leads to nobody in the directory", hint="Check the spelling, and that they are still active."
        )

    async def find(self, address: str) -> Human | None:
        """Return the person with this id, e-mail or Slack id."""
        return (await self._current()).find(address)

    async def _current(self) -> _Roster:
        now = self._clock.now()
        if self._source and (self._read_at is None or now - self._read_at >= self._max_age):
            people = await _called(self._source)
            if people is not self._roster.people:
                self._roster = _Roster(people)
            self._read_at = now
        return self._roster


async def _called(source: Callable[[], Iterable[Human] | Awaitable[Iterable[Human]]]) -> tuple[Human, ...]:
    def call() -> tuple[tuple[Human, ...], Awaitable[Iterable[Human]] | None]:
        found = source()
        return ((), found) if isinstance(found, Awaitable) else (tuple(found), None)

    people, pending = await anyio.to_thread.run_sync(call)
    return people if pending is None else tuple(await pending)


class _Roster:
    """Who there is, by every address."""

    def __init__(self, people: tuple[Human, ...]) -> None:
        self.people = people
        self._by_address: dict[str, Human] = {}
        for human in people:
            for address in human.addresses:
                if address in self._by_address:
                    raise ConfigurationError(
                        f"two people of the directory have the address {address!r}",
                        hint="Ids, e-mails and Slack ids name one person each; letter case does not count.",
                    )
                self._by_address[address] = human

    def find(self, address: str) -> Human | None:
        return self._by_address.get(address.strip().lower())

    def meant(self, assign_to: JsonObject) -> Sequence[Human]:
        """Return whom an assignment means. Raises `InvalidInputError` if it is none."""
        if assign_to.get("marketplace"):
            raise MarketplaceNotAvailableError
        given = {name: value for name, value in in_snake_case(assign_to).items() if value is not None}
        match given:
            case {"email": str(address), **rest} | {"user_id": str(address), **rest} if not rest:
                return self._listed([address])
            case {"emails": list(), **rest} if not rest and _are_texts(given["emails"]):
                return self._listed(cast("list[str]", given["emails"]))
            case {**criteria} if _are_criteria(criteria):
                return OneOf(human for human in self.people if _fits(human, criteria))
            case _:
                names = ", ".join(sorted(assign_to))[:200]
                raise InvalidRoutingError("assign_to", f"{names} is no assignment", hint=_HINT)

    def _listed(self, addresses: Sequence[str]) -> Sequence[Human]:
        found = [self.find(address) for address in addresses]
        people = {human.id: human for human in found if human}
        if people and None in found:
            logger.warning("assign_to names %d people who are not in the directory", found.count(None))
        return list(people.values())


def _are_criteria(given: Mapping[str, object]) -> bool:
    return bool(given) and _are_texts([*given.values()]) and given.keys() <= {"pool", "role", "access_level"}


def _are_texts(values: object) -> bool:
    return all(isinstance(value, str) for value in cast("list[object]", values))


def _fits(human: Human, criteria: Mapping[str, object]) -> bool:
    return (
        criteria.get("pool") in {None, *human.pools}
        and criteria.get("role") in {None, *human.roles}
        and criteria.get("access_level") in {None, human.access_level}
    )


# ── Files ─────────────────────────────────────────────────────────────────────


class _Person(BaseModel):
    """A person as a file has them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    email: str | None = None
    display_name: str | None = None
    slack_user_id: str | None = None
    slack_team_id: str | None = None
    pools: list[str] = []
    roles: list[str] = []
    access_level: str | None = None
    operator: bool = False
    active: bool = True

    def human(self) -> Human:
        known = self.model_dump(exclude={"active", "pools", "roles"})
        return Human(**known, pools=tuple(self.pools), roles=tuple(self.roles))


class _People(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    people: list[_Person]


@dataclass
class _File:
    """A file of people, read when it has changed."""

    path: Path
    _stamp: tuple[int, ...] | None = None
    _people: tuple[Human, ...] = ()

    def __call__(self) -> tuple[Human, ...]:
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                document = _parser(self.path)(self.path.read_text(encoding="utf-8"))
                people = tuple(one.human() for one in _People.model_validate(document).people if one.active)
                _Roster(people)
                self._people, self._stamp = people, stamp
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the people in {self.path} cannot be read: {_reason(error)}",
                hint="docs/how-to/know-your-people.md shows what such a file looks like.",
            ) from error
        return self._people


def _parser(path: Path) -> Callable[[str], Any]:
    if path.suffix.lower() not in {".yaml", ".yml"}:
        return tomllib.loads
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(
            "reading YAML needs PyYAML", hint='Run: pip install "awaithumans[yaml]", or write TOML.'
        ) from None

    def parse(text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error

    return parse


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return str(error)
