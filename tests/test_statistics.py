"""Figures: what is counted, and how long answers take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from awaithumans import statistics as figures
from awaithumans.protocols import Store
from awaithumans.statistics import Share, Statistics, statistics
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.tasks import ANA, BEN, NOON, SECOND, following, make_task, opening
from awaithumans.types import Actor, Answer, Human, Outcome, Query, Task, TaskStatus

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


async def answered(
    store: Store, seconds: float, *, by: Human = ANA, via: str | None = "web", days_ago: int = 0
) -> None:
    task = await store.create(opening(make_task(created_at=NOON - days_ago * DAY)))
    at = task.created_at + timedelta(seconds=seconds)
    answer = Answer(by=Actor.of(by, auth="host", via=via), at=at, attempt=1, value={})
    change = following(task, status=TaskStatus.COMPLETED, answers=(answer,), closed_at=at)
    assert await store.apply(change)


async def found(store: Store, window: timedelta = WEEK) -> Statistics:
    return await statistics(store, NOON + timedelta(hours=6), window, visible_to=None)


def paces(shares: Sequence[Share]) -> list[tuple[str, int, float, float]]:
    return [
        (one.name, one.pace.answered, one.pace.median.total_seconds(), one.pace.p95.total_seconds()) for one in shares
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("times", "median", "p95"),
    [([7], 7, 7), ([1, 9], 1, 9), (range(1, 21), 10, 19), (range(100, 0, -1), 50, 95), (range(1, 102), 51, 96)],
)
async def test_half_and_95_of_100_took_at_most_so_long(times: Sequence[int], median: float, p95: float) -> None:
    store = MemoryStore()
    for seconds in times:
        await answered(store, seconds)
    pace = (await found(store)).pace
    assert pace
    assert (pace.answered, pace.median, pace.p95) == (len(times), median * SECOND, p95 * SECOND)
    assert pace.mean == sum(times) / len(times) * SECOND


@pytest.mark.anyio
async def test_nothing_answered_has_no_pace() -> None:
    stood = await found(MemoryStore())
    assert (stood.pace, stood.mean_time_to_completion, stood.completion_rate) == (None, None, None)
    assert [(day.created, day.completed, day.pace) for day in stood.by_day] == [(0, 0, None)] * 7


@pytest.mark.anyio
async def test_doors_and_people_are_told_apart_by_id() -> None:
    store = MemoryStore()
    namesake = Human(id="u-9", display_name=ANA.display_name)
    for seconds, by, via in [(10, ANA, "web"), (30, ANA, "slack"), (20, BEN, "web"), (5, namesake, None)]:
        await answered(store, seconds, by=by, via=via)
    stood = await found(store)
    assert paces(stood.doors) == [("web", 2, 10, 20), ("slack", 1, 30, 30), ("unknown", 1, 5, 5)]
    assert [(one.id, one.pace.answered) for one in stood.people] == [("u-1", 2), ("u-9", 1), ("u-2", 1)]
    assert stood.by_channel == {"web": 2, "slack": 1, "unknown": 1}


@pytest.mark.anyio
async def test_each_day_has_what_ended_on_it() -> None:
    store = MemoryStore()
    await answered(store, 60, days_ago=1)
    await answered(store, 86_400, days_ago=1)
    late = await store.create(opening(make_task(created_at=NOON - DAY)))
    assert await store.apply(following(late, status=TaskStatus.TIMED_OUT, closed_at=NOON))
    yesterday, today = (await found(store)).by_day[-2:]
    assert (yesterday.created, yesterday.completed, yesterday.timed_out) == (3, 1, 0)
    assert (today.created, today.completed, today.timed_out) == (0, 1, 1)
    assert today.pace
    assert today.pace.median == DAY


@pytest.mark.anyio
async def test_only_the_window_counts_but_for_the_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_PAGE", 2)
    store = MemoryStore()
    for days_ago in (0, 1, 3, 6, 8, 20):
        await answered(store, 60, days_ago=days_ago)
    stood = await found(store)
    assert stood.totals == {TaskStatus.COMPLETED: 6}
    assert stood.fates == {TaskStatus.COMPLETED: 4}
    assert sum(day.completed for day in stood.by_day) == 4


@pytest.mark.anyio
async def test_no_more_than_a_page_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_PAGE", 3)
    limits: list[int] = []

    class Watched(MemoryStore):
        async def outcomes(self, query: Query) -> list[Outcome]:
            limits.append(query.limit)
            return await super().outcomes(query)

        async def find(self, query: Query) -> list[Task]:
            raise AssertionError("no task is read")

    store = Watched()
    for _ in range(10):
        await answered(store, 60)
    stood = await found(store)
    assert stood.pace
    assert stood.pace.answered == 10
    assert limits == [3] * 5
