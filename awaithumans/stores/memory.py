"""A store in this process's memory: the specification that runs.

What a `Store` promises is easiest to read here. Everything is lost with the
process, so it is for tests, trials and notebooks.
"""

from __future__ import annotations

import heapq
import json
import pickle
import threading
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from typing import cast
from uuid import uuid4

from anyio.lowlevel import checkpoint

from awaithumans import documents
from awaithumans.errors import TaskGoneError
from awaithumans.records import MemoryRecords
from awaithumans.types import (
    Change,
    Cursor,
    Delivery,
    Effect,
    Entry,
    JsonObject,
    KeyScope,
    Leased,
    Outcome,
    Query,
    Task,
    TaskStatus,
)


class MemoryStore:
    """A `Store` for one process, which `KeepsRecords`; every promise but durability holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._holders: dict[str, str] = {}  # idempotency key -> task id
        self._outcomes: dict[str, str] = {}  # task id -> outcome, of purged tasks
        self._trails: dict[str, list[Entry]] = {}
        self._effects = _Effects()
        self.records = MemoryRecords()

    async def setup(self) -> None:
        await checkpoint()

    async def create(self, change: Change) -> Task:
        await checkpoint()
        task, entries = _copied(change)
        key = task.spec.idempotency_key
        with self._lock:
            holder = self._holders.get(key)
            if holder is None:
                holder = self._holders[key] = task.id
                self._write(task, entries, change.effects)
            if holder in self._outcomes:
                raise TaskGoneError(holder, self._outcomes[holder])
            return _copy(self._tasks[holder])

    async def get(self, task_id: str) -> Task | None:
        await checkpoint()
        with self._lock:
            task = self._tasks.get(task_id)
        return _copy(task) if task else None

    async def find(self, query: Query) -> list[Task]:
        await checkpoint()
        with self._lock:
            found = query.select(self._tasks.values())
        return [_copy(task) for task in found]

    async def count(self, query: Query) -> Mapping[TaskStatus, int]:
        await checkpoint()
        with self._lock:
            return Counter(task.status for task in self._tasks.values() if query.fits(task))

    async def outcomes(self, query: Query) -> list[Outcome]:
        await checkpoint()
        with self._lock:
            return [Outcome.of(task) for task in query.select(self._tasks.values())]

    async def apply(self, change: Change) -> bool:
        await checkpoint()
        task, entries = _copied(change)
        with self._lock:
            stored = self._tasks.get(task.id)
            if stored is None or stored.version != task.version - 1:
                return False
            self._write(task, entries, change.effects)
            self._effects.retry(change.retried)
            if not _holds_key(task):
                self._free_key(task)
            return True

    async def trail(self, task_id: str) -> list[Entry]:
        await checkpoint()
        with self._lock:
            entries = tuple(self._trails.get(task_id, ()))
        return [_copy_entry(entry) for entry in entries]

    async def deliveries(self, task_id: str) -> list[Delivery]:
        await checkpoint()
        with self._lock:
            return self._effects.of_task(task_id)

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        await checkpoint()
        with self._lock:
            return self._effects.failures(after, limit)

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        await checkpoint()
        with self._lock:
            return self._effects.lease(now, until, limit)

    async def settle(
        self,
        delivery: Delivery,
        at: datetime,
        *,
        receipt: str | None = None,
        retry_at: datetime | None = None,
        failed: str | None = None,
    ) -> bool:
        await checkpoint()
        with self._lock:
            return self._effects.settle(delivery, at=at, receipt=receipt, retry_at=retry_at, failed=failed)

    async def purge(self, task: Task) -> bool:
        await checkpoint()
        with self._lock:
            stored = self._tasks.get(task.id)
            if stored is None or stored.version != task.version or not stored.closed:
                return False
            self._erase(stored)
            return True

    async def now(self) -> datetime | None:
        await checkpoint()
        return None

    async def aclose(self) -> None:
        await checkpoint()

    def _write(self, task: Task, entries: Iterable[Entry], effects: Iterable[Effect]) -> None:
        self._tasks[task.id] = task
        self._trails.setdefault(task.id, []).extend(entries)
        self._effects.add(effects)

    def _erase(self, task: Task) -> None:
        del self._tasks[task.id]
        self._trails.pop(task.id, None)
        self._effects.forget(task.id)
        if task.spec.key_scope is KeyScope.CALL:
            self._free_key(task)
        else:
            self._outcomes[task.id] = task.status.value

    def _free_key(self, task: Task) -> None:
        key = task.spec.idempotency_key
        if self._holders.get(key) == task.id:
            del self._holders[key]


# ── Effects ───────────────────────────────────────────────────────────────────


@dataclass(slots=True, eq=False)
class _Row:
    """An effect, and what came of it so far.

    `available_at` is when it may be leased next: its due time, the retry time,
    or the end of the running lease.
    """

    effect: Effect
    number: int
    available_at: datetime
    token: str | None = None
    attempts: int = 0
    receipt: str | None = None
    settled_at: datetime | None = None
    failure: str | None = None
    ticket: int | None = None

    @property
    def place(self) -> tuple[datetime, int]:
        """Give the place in the lane."""
        return self.effect.due, self.number

    @property
    def end(self) -> tuple[datetime, str]:
        """Give the place among what is settled."""
        return self.settled_at or self.effect.due, self.effect.id

    def delivery(self, receipt: str | None) -> Delivery:
        """Give the row as others see it."""
        return Delivery(
            effect=self.effect,
            token=self.token,
            attempts=self.attempts,
            receipt=receipt,
            settled_at=self.settled_at,
            failure=self.failure,
        )


class _Effects:
    """Every effect, and a queue of those at the head of their lane."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._by_task: dict[str, list[_Row]] = {}
        self._lanes: dict[str, list[_Row]] = {}  # what is not settled, by place
        self._queue: list[tuple[datetime, datetime, int, int, _Row]] = []
        self._numbers = count()
        self._tickets = count()

    def add(self, effects: Iterable[Effect]) -> None:
        """Write those that are not there yet."""
        for effect in effects:
            if effect.id not in self._rows:
                row = _Row(effect=effect, number=next(self._numbers), available_at=effect.due)
                self._rows[effect.id] = row
                self._by_task.setdefault(effect.task_id, []).append(row)
                self._queue_up(row)

    def retry(self, effects: Iterable[Effect]) -> None:
        """Let those that are settled wait again, as if written now."""
        for effect in effects:
            row = self._rows.get(effect.id)
            if row and row.settled_at:
                row.effect, row.number, row.available_at = effect, next(self._numbers), effect.due
                row.token = row.receipt = row.settled_at = row.failure = None
                row.attempts = 0
                self._queue_up(row)

    def failures(self, after: Cursor | None, limit: int) -> list[Delivery]:
        """Return those that have failed, latest first; see `Store.failures`."""
        failed = [row for row in self._rows.values() if row.failure is not None]
        behind = [row for row in failed if after is None or row.end < (after.at, after.id)]
        latest = sorted(behind, key=lambda row: row.end, reverse=True)
        return [row.delivery(row.receipt) for row in latest[:limit]]

    def _queue_up(self, row: _Row) -> None:
        insort(self._lanes.setdefault(row.effect.lane, []), row, key=lambda row: row.place)
        self._offer_head(row.effect.lane)

    def of_task(self, task_id: str) -> list[Delivery]:
        """Return a task's effects by due time."""
        rows = sorted(self._by_task.get(task_id, ()), key=lambda row: row.place)
        return [row.delivery(row.receipt) for row in rows]

    def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        """Hand out the earliest; see `Store.lease`."""
        taken = list(islice(self._take(now, until), limit))
        head = self._first()
        for row in taken:
            self._offer_head(row.effect.lane)
        return Leased(
            deliveries=tuple(row.delivery(self._latest_receipt(row)) for row in taken),
            next_due=head.available_at if head else None,
        )

    def settle(
        self,
        delivery: Delivery,
        *,
        at: datetime,
        receipt: str | None,
        retry_at: datetime | None,
        failed: str | None,
    ) -> bool:
        """Write down what came of it; see `Store.settle`."""
        row = self._rows.get(delivery.effect.id)
        if row is None or row.settled_at or row.token is None or row.token != delivery.token:
            return False
        if retry_at:
            row.available_at = retry_at
        else:
            self._finish(row, at, receipt, failed)
        self._offer_head(row.effect.lane)
        return True

    def forget(self, task_id: str) -> None:
        """Erase a task's effects."""
        for row in self._by_task.pop(task_id, ()):
            row.ticket = None
            del self._rows[row.effect.id]
            self._lanes.pop(row.effect.lane, None)

    def _take(self, now: datetime, until: datetime) -> Iterator[_Row]:
        while (row := self._first()) and row.available_at <= now:
            row.available_at = until
            row.token = uuid4().hex
            row.attempts += 1
            row.ticket = None
            yield row

    def _first(self) -> _Row | None:
        """Return the row that is available first, of those not being taken."""
        while self._queue:
            *_, ticket, row = self._queue[0]
            if row.ticket == ticket:
                return row
            heapq.heappop(self._queue)
        return None

    def _offer_head(self, lane: str) -> None:
        """Put the head of a lane in the queue, and nothing else of it."""
        for row in self._lanes.get(lane, ())[1:2]:
            row.ticket = None
        for row in self._lanes.get(lane, ())[:1]:
            row.ticket = next(self._tickets)
            heapq.heappush(self._queue, (row.available_at, *row.place, row.ticket, row))

    def _finish(self, row: _Row, at: datetime, receipt: str | None, failed: str | None) -> None:
        row.settled_at = at
        row.failure = failed
        row.ticket = None
        self._lanes[row.effect.lane].remove(row)
        if not self._lanes[row.effect.lane]:
            del self._lanes[row.effect.lane]
        row.receipt = receipt if failed is None else None

    def _latest_receipt(self, row: _Row) -> str | None:
        lane = (one for one in self._by_task[row.effect.task_id] if one.effect.lane == row.effect.lane)
        given = [one for one in lane if one.receipt is not None]
        return max(given, key=lambda one: one.place).receipt if given else None


# ── Conditions ────────────────────────────────────────────────────────────────


def _holds_key(task: Task) -> bool:
    return task.spec.key_scope is KeyScope.FOREVER or task.collected_at is None


# ── Copies: nothing inside is shared with callers ─────────────────────────────


def _copied(change: Change) -> tuple[Task, list[Entry]]:
    return _as_written(change.task), [_copy_entry(entry) for entry in change.entries]


def _copy(task: Task) -> Task:
    return cast("Task", pickle.loads(pickle.dumps(task)))  # noqa: S301 - our own, and the quickest way


def _as_written(task: Task) -> Task:
    spec = _as_read(documents.spec_document(task))
    state = _as_read(documents.state_document(task))
    return documents.task_from_documents(task.id, spec, state)


def _copy_entry(entry: Entry) -> Entry:
    document = _as_read(documents.entry_document(entry))
    return documents.entry_from_document(entry.task_id, entry.seq, entry.previous, document)


def _as_read(document: JsonObject) -> JsonObject:
    return cast("JsonObject", json.loads(documents.dumps(document)))
