"""How tasks fare: counts and times, for a dashboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from awaithumans.engine import Engine
from awaithumans.types import Cursor, Human, Query, Task, TaskStatus
from awaithumans.wire import wire_status

_PAGE = 500


async def statistics(engine: Engine, window: timedelta, *, visible_to: Human | None) -> dict[str, object]:
    """Count tasks: totals over all time, the rest over those created in the window."""
    now = engine.clock.now().astimezone(UTC)
    totals: Counter[str] = Counter()
    recent = _Recent(now, window)
    closed = 0
    async for task in _every(engine, Query(visible_to=visible_to, limit=_PAGE)):
        totals[wire_status(task)] += 1
        closed += task.closed
        recent.add(task)
    completed = totals[TaskStatus.COMPLETED.value]
    return {
        "window_days": window.days,
        "generated_at": now.isoformat(),
        "totals": dict(totals),
        "completion_rate": completed / closed if closed else None,
        **recent.summary(),
    }


class _Recent:
    """What is counted of the tasks created in the window."""

    def __init__(self, now: datetime, window: timedelta) -> None:
        self._days = [(now - timedelta(days=ago)).date() for ago in reversed(range(window.days))]
        self._since = now - window
        self._created: Counter[object] = Counter()
        self._completed: Counter[object] = Counter()
        self._channels: Counter[str] = Counter()
        self._seconds: list[float] = []

    def add(self, task: Task) -> None:
        if task.created_at < self._since:
            return
        self._created[task.created_at.astimezone(UTC).date()] += 1
        if task.status is TaskStatus.COMPLETED and task.closed_at:
            self._completed[task.closed_at.astimezone(UTC).date()] += 1
            self._channels[(task.answer and task.answer.by.via) or "unknown"] += 1
            self._seconds.append((task.closed_at - task.created_at).total_seconds())

    def summary(self) -> dict[str, object]:
        return {
            "avg_completion_seconds": sum(self._seconds) / len(self._seconds) if self._seconds else None,
            "by_day": [
                {"date": day.isoformat(), "created": self._created[day], "completed": self._completed[day]}
                for day in self._days
            ],
            "by_channel": dict(self._channels),
        }


async def _every(engine: Engine, query: Query) -> AsyncIterator[Task]:
    while True:
        page = await engine.find(query)
        for task in page:
            yield task
        if len(page) < query.limit:
            return
        query = replace(query, after=Cursor(at=page[-1].created_at, id=page[-1].id))
