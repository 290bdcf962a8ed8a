"""How tasks fare: counts and times."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from awaithumans.protocols import Store
from awaithumans.types import CLOSED_STATUSES, Cursor, Human, Outcome, Query, TaskStatus

_PAGE = 5_000
_MEDIAN, _P95 = 50, 95
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long some answers took, from the question to the decision.

    Half of them took at most `median`, and 95 of 100 at most `p95`: both are
    times that an answer really took.
    """

    answered: int
    mean: timedelta
    median: timedelta
    p95: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The answers that came through one door, or from one person."""

    id: str
    name: str
    pace: Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The tasks created on one day in UTC, and those completed and timed out on it."""

    date: date
    created: int
    completed: int
    timed_out: int = 0
    pace: Pace | None = None
    """Of those completed on it; None if none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """How tasks stood at a moment: in all, and those created within a `window` before."""

    at: datetime
    window: timedelta
    totals: Mapping[TaskStatus, int]
    """Over all time."""
    refused: int
    """How many of the pending ones wait for a better answer; over all time."""
    pace: Pace | None
    """How long those of the window that are completed took; None if none is."""
    fates: Mapping[TaskStatus, int]
    """How those of the window stand."""
    by_day: tuple[Day, ...]
    """The days of the window, oldest first."""
    doors: tuple[Share, ...]
    """Through which doors those of the window were answered; most first."""
    people: tuple[Share, ...]
    """Who answered those of the window; most first."""

    @property
    def completion_rate(self) -> float | None:
        """Give the completed share of all closed tasks; None if none is closed."""
        closed = sum(self.totals.get(status, 0) for status in CLOSED_STATUSES)
        return self.totals.get(TaskStatus.COMPLETED, 0) / closed if closed else None

    @property
    def mean_time_to_completion(self) -> timedelta | None:
        """Give how long those of the window that are completed took on average; None if none is."""
        return self.pace.mean if self.pace else None

    @property
    def by_channel(self) -> Mapping[str, int]:
        """Count those of the window that were answered, by door."""
        return {share.id: share.pace.answered for share in self.doors}


async def statistics(store: Store, now: datetime, window: timedelta, *, visible_to: Human | None) -> Statistics:
    """Count the tasks that this person may see; all of them if None.

    What is kept of each task of the window is one number, whatever its size.
    """
    now = now.astimezone(UTC)
    query = Query(visible_to=visible_to)
    seen = _Seen()
    async for outcome in _created_since(store, query, now - window):
        seen.add(outcome)
    days = [(now - timedelta(days=ago)).date() for ago in reversed(range(window.days))]
    return Statistics(
        at=now,
        window=window,
        totals=await store.count(query),
        refused=sum((await store.count(replace(query, refused=True))).values()),
        pace=_pace(seen.times),
        fates=seen.fates,
        by_day=tuple(map(seen.day, days)),
        doors=_shares(seen.by_door, {}),
        people=_shares(seen.by_person, seen.names),
    )


class _Seen:
    """What is known of the tasks seen so far; times are seconds."""

    def __init__(self) -> None:
        self.fates: Counter[TaskStatus] = Counter()
        self.times = array("d")
        self.by_door: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.by_person: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.names: dict[str, str] = {}
        self._created: Counter[date] = Counter()
        self._timed_out: Counter[date] = Counter()
        self._completed: dict[date, array[float]] = defaultdict(lambda: array("d"))

    def add(self, outcome: Outcome) -> None:
        """Take in one task."""
        self.fates[outcome.status] += 1
        self._created[outcome.created_at.astimezone(UTC).date()] += 1
        if outcome.closed_at is None:
            return
        ended = outcome.closed_at.astimezone(UTC).date()
        if outcome.status is TaskStatus.TIMED_OUT:
            self._timed_out[ended] += 1
        if outcome.status is TaskStatus.COMPLETED:
            self._add_time(outcome, (outcome.closed_at - outcome.created_at).total_seconds(), ended)

    def day(self, day: date) -> Day:
        """Say what was on one day."""
        times = self._completed.get(day, array("d"))
        return Day(
            date=day,
            created=self._created[day],
            completed=len(times),
            timed_out=self._timed_out[day],
            pace=_pace(times),
        )

    def _add_time(self, outcome: Outcome, seconds: float, ended: date) -> None:
        person = outcome.answered_by or UNKNOWN
        self.names.setdefault(person, outcome.answerer or person)  # the newest name comes first
        for times in (
            self.times,
            self._completed[ended],
            self.by_door[outcome.via or UNKNOWN],
            self.by_person[person],
        ):
            times.append(seconds)


async def _created_since(store: Store, query: Query, since: datetime) -> AsyncIterator[Outcome]:
    query = replace(query, limit=_PAGE)
    while page := await store.outcomes(query):
        for outcome in page:
            if outcome.created_at < since:
                return
            yield outcome
        query = replace(query, after=Cursor(at=page[-1].created_at, id=page[-1].task_id))


def _shares(times: Mapping[str, Sequence[float]], names: Mapping[str, str]) -> tuple[Share, ...]:
    paces = ((id_, _pace(taken)) for id_, taken in times.items())
    shares = [Share(id=id_, name=names.get(id_, id_), pace=pace) for id_, pace in paces if pace]
    return tuple(sorted(shares, key=lambda share: (-share.pace.answered, share.name, share.id)))


def _pace(seconds: Sequence[float]) -> Pace | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return Pace(
        answered=len(ordered),
        mean=timedelta(seconds=sum(ordered) / len(ordered)),
        median=_at_rank(ordered, _MEDIAN),
        p95=_at_rank(ordered, _P95),
    )


def _at_rank(ordered: Sequence[float], percent: int) -> timedelta:
    """Return the least time that so many percent of them took at most."""
    return timedelta(seconds=ordered[(percent * len(ordered) + 99) // 100 - 1])
