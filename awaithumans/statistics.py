"""How tasks fare: counts and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from awaithumans.protocols import Store
from awaithumans.types import CLOSED_STATUSES, Cursor, Human, Query, Task, TaskStatus

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The tasks created, and those completed, on one day in UTC."""

    date: date
    created: int
    completed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """How tasks stood at a moment: in all, and those created within a `window` before."""

    at: datetime
    window: timedelta
    totals: Mapping[TaskStatus, int]
    """Over all time."""
    refused: int
    """How many of the pending ones wait for a better answer; over all time."""
    mean_time_to_completion: timedelta | None
    """How long those of the window that are completed took on average; None if none is."""
    by_day: tuple[Day, ...]
    """The days of the window, oldest first."""
    by_channel: Mapping[str, int]
    """Through which door those of the window were answered."""

    @property
    def completion_rate(self) -> float | None:
        """Give the completed share of all closed tasks; None if none is closed."""
        closed = sum(self.totals.get(status, 0) for status in CLOSED_STATUSES)
        return self.totals.get(TaskStatus.COMPLETED, 0) / closed if closed else None


async def statistics(store: Store, now: datetime, window: timedelta, *, visible_to: Human | None) -> Statistics:
    """Count the tasks that this person may see; all of them if None."""
    now = now.astimezone(UTC)
    query = Query(visible_to=visible_to)
    recent = [task async for task in _created_since(store, query, now - window)]
    completed = [task for task in recent if task.status is TaskStatus.COMPLETED]
    return Statistics(
        at=now,
        window=window,
        totals=await store.count(query),
        refused=sum((await store.count(replace(query, refused=True))).values()),
        mean_time_to_completion=_mean([_time_taken(task) for task in completed]),
        by_day=_by_day(now, window, recent, completed),
        by_channel=Counter((task.answer and task.answer.by.via) or "unknown" for task in completed),
    )


async def _created_since(store: Store, query: Query, since: datetime) -> AsyncIterator[Task]:
    query = replace(query, limit=_PAGE)
    while page := await store.find(query):
        for task in page:
            if task.created_at < since:
                return
            yield task
        query = replace(query, after=Cursor(at=page[-1].created_at, id=page[-1].id))


def _by_day(now: datetime, window: timedelta, created: Iterable[Task], completed: Iterable[Task]) -> tuple[Day, ...]:
    days = [(now - timedelta(days=ago)).date() for ago in reversed(range(window.days))]
    begun = Counter(task.created_at.astimezone(UTC).date() for task in created)
    ended = Counter(_closed_at(task).astimezone(UTC).date() for task in completed)
    return tuple(Day(date=day, created=begun[day], completed=ended[day]) for day in days)


def _mean(times: list[timedelta]) -> timedelta | None:
    return sum(times, timedelta()) / len(times) if times else None


def _time_taken(task: Task) -> timedelta:
    return _closed_at(task) - task.created_at


def _closed_at(task: Task) -> datetime:
    return task.closed_at or task.changed_at
