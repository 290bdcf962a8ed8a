"""Whose turn it is, where one of several people is to be asked."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

from awaithumans.protocols import Clock, Records, Store
from awaithumans.types import OPEN_STATUSES, Human, Query, Record, microseconds

KIND = "assignment"
COMPARED = 20
"""How many people's open tasks are counted at most for one choice."""
REMEMBERED = 200
"""How many people may take turns; of more, the lot decides between equals."""
EXPECTED_FOR = timedelta(seconds=10)
"""How long after a turn its task may not be counted yet."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """When somebody was chosen last, and how many open tasks they have with that."""

    at: int = 0
    open: int = 0


class Assignment:
    """Chooses one of several people, with what a store knows of them.

    Where several processes choose at once, each sees the others' choices: a
    record for each name is written by compare-and-set. Without `records`
    none is written, and the lot decides between equals.
    """

    def __init__(self, store: Store, records: Records | None, clock: Clock, rng: random.Random) -> None:
        self._store = store
        self._records = records
        self._clock = clock
        self._rng = rng

    async def choose(self, people: Sequence[Human], name: str) -> Human:
        """Return who has the fewest open tasks, then whose turn is longest ago.

        Turns are kept under `name`. Of more than `COMPARED` people, those are
        compared whose turn is longest ago; of more than `REMEMBERED`, any.
        """
        if self._records is None or len(people) > REMEMBERED:
            return await self._by_lot(people)
        record = await self._records.get(KIND, name)
        turns = _turns_of(record)
        compared = sorted(people, key=lambda one: _turn_of(one, turns).at)[:COMPARED]
        counted = [(await self._open_tasks(one), one) for one in compared]
        while True:
            now = self._clock.now()
            load, chosen = _fairest(counted, turns, now)
            turns[chosen.id] = _Turn(at=microseconds(now), open=load + 1)
            kept = {one.id: turns[one.id] for one in people if one.id in turns}
            if await self._records.put(_next(record, name, kept)):
                return chosen
            record = await self._records.get(KIND, name)
            turns = _turns_of(record)

    async def _by_lot(self, people: Sequence[Human]) -> Human:
        compared = self._rng.sample(people, min(len(people), COMPARED))
        counted = [(await self._open_tasks(one), one) for one in compared]
        return min(counted, key=lambda pair: pair[0])[1]

    async def _open_tasks(self, human: Human) -> int:
        """Count the open tasks that this person has."""
        themselves = replace(human, operator=False)
        having = Query(statuses=OPEN_STATUSES, assignee_id=human.id, visible_to=themselves)
        return sum((await self._store.count(having)).values())


def _fairest(counted: Iterable[tuple[int, Human]], turns: Mapping[str, _Turn], now: datetime) -> tuple[int, Human]:
    """Return whose turn it is, and how many open tasks they have."""
    loads = [(_load(count, _turn_of(one, turns), now), one) for count, one in counted]
    return min(loads, key=lambda pair: (pair[0], _turn_of(pair[1], turns).at))


def _load(counted: int, turn: _Turn, now: datetime) -> int:
    """Count open tasks, those included that others are about to write."""
    return max(counted, turn.open) if turn.at > microseconds(now - EXPECTED_FOR) else counted


def _turn_of(human: Human, turns: Mapping[str, _Turn]) -> _Turn:
    return turns.get(human.id, _Turn())


def _turns_of(record: Record | None) -> dict[str, _Turn]:
    if record is None:
        return {}
    kept = cast("Mapping[str, Sequence[int]]", record.document["turns"])
    return {id_: _Turn(*turn) for id_, turn in kept.items()}


def _next(record: Record | None, name: str, turns: Mapping[str, _Turn]) -> Record:
    document = {"turns": {id_: [turn.at, turn.open] for id_, turn in turns.items()}}
    if record is None:
        return Record(kind=KIND, id=name, document=document)
    return replace(record, version=record.version + 1, document=document)
