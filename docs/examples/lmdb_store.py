"""Tasks in LMDB: one folder, and any number of processes on one machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import lmdb
from anyio import to_thread

from awaithumans import Change, Cursor, Delivery, Entry, KeyScope, Leased, Query, Task, TaskGoneError, TaskStatus
from awaithumans.documents import dumps
from awaithumans.record import TaskRecord
from awaithumans.types import Outcome, from_microseconds, microseconds

Txn: TypeAlias = "lmdb.Transaction[bytes]"


def place(*parts: str) -> bytes:
    return "\0".join(parts).encode()


def load(txn: Txn, at: bytes) -> Any:
    value = txn.get(at)
    return None if value is None else json.loads(value)


def save(txn: Txn, at: bytes, value: object) -> None:
    txn.put(at, dumps(value).encode())


def scan(txn: Txn, kind: str) -> Iterator[Any]:
    start, cursor = place(kind, ""), txn.cursor()
    cursor.set_range(start)
    for at, value in cursor:
        if not at.startswith(start):
            return
        yield json.loads(value)


def read(txn: Txn, task_id: str) -> TaskRecord | None:
    document = load(txn, place("task", task_id))
    return None if document is None else TaskRecord.from_document(document)


def places(record: TaskRecord) -> dict[bytes, object]:
    found: dict[bytes, object] = {place("task", record.task.id): record.document()}
    for kind, effects in (("due", record.waiting), ("failed", record.failed)):
        for effect_id, at in effects.items():
            time = microseconds(at)
            found[place(kind, f"{time:020}", effect_id)] = [time, effect_id, record.task.id]
    return found


def replace(txn: Txn, old: TaskRecord | None, new: TaskRecord | None) -> bool:
    for at in places(old) if old else ():
        txn.delete(at)
    for at, value in places(new).items() if new else ():
        save(txn, at, value)
    return True


def key_of(task: Task) -> bytes:
    return place("key", sha256(task.spec.idempotency_key.encode()).hexdigest())


def free_key(txn: Txn, task: Task) -> None:
    if load(txn, key_of(task)) == [task.id, None]:
        txn.delete(key_of(task))


def candidates(txn: Txn, query: Query) -> Iterable[Task]:
    if query.ids is None:
        return (TaskRecord.from_document(document).task for document in scan(txn, "task"))
    return (record.task for task_id in set(query.ids) if (record := read(txn, task_id)))


P = ParamSpec("P")
T = TypeVar("T")
Work: TypeAlias = "Callable[Concatenate[LMDBStore, Txn, P], T]"
Method: TypeAlias = "Callable[Concatenate[LMDBStore, P], Coroutine[Any, Any, T]]"


def writing(work: Work[P, T], *, write: bool = True) -> Method[P, T]:
    async def method(store: LMDBStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def transaction() -> T:
            with store.env.begin(write=write) as txn:
                return work(store, txn, *args, **kwargs)

        return await to_thread.run_sync(transaction)

    return method


def reading(work: Work[P, T]) -> Method[P, T]:
    return writing(work, write=False)


class LMDBStore:
    """A `Store` in the folder `path`, of at most `map_size` bytes."""

    def __init__(self, path: str, *, map_size: int = 2**36) -> None:
        self.env = lmdb.open(path, map_size=map_size, max_readers=1000)

    async def setup(self) -> None:
        self.env.reader_check()

    async def now(self) -> None:
        return None

    async def aclose(self) -> None:
        self.env.close()

    @writing
    def create(self, txn: Txn, change: Change) -> Task:
        key = key_of(change.task)
        if load(txn, key) is None:
            save(txn, key, [change.task.id, None])
            replace(txn, None, TaskRecord.opened(change))
        task_id, outcome = load(txn, key)
        if (record := read(txn, task_id)) is None:
            raise TaskGoneError(task_id, outcome)
        return record.task

    @writing
    def apply(self, txn: Txn, change: Change) -> bool:
        old = read(txn, change.task.id)
        new = old.apply(change) if old else None
        if new and new.task.spec.key_scope is KeyScope.CALL and new.task.collected_at:
            free_key(txn, new.task)
        return replace(txn, old, new) if new else False

    @writing
    def lease(self, txn: Txn, now: datetime, until: datetime, limit: int) -> Leased:
        heads = list(islice(scan(txn, "due"), limit + 1))
        due = [head for head in heads[:limit] if head[0] <= microseconds(now)]
        handed: list[Delivery] = []
        for _, effect_id, task_id in due:
            if old := read(txn, task_id):
                new, delivery = old.lease(effect_id, until)
                replace(txn, old, new)
                handed.append(delivery)
        later = [from_microseconds(time) for time, *_ in heads[len(due) :]]
        return Leased(deliveries=tuple(handed), next_due=later[0] if later else None)

    @writing
    def settle(self, txn: Txn, /, delivery: Delivery, at: datetime, **outcome: Any) -> bool:
        old = read(txn, delivery.effect.task_id)
        new = old.settle(delivery, at, **outcome) if old else None
        return replace(txn, old, new) if new else False

    @writing
    def purge(self, txn: Txn, task: Task) -> bool:
        old = read(txn, task.id)
        if old is None or old.task.version != task.version or not old.task.closed:
            return False
        if task.spec.key_scope is KeyScope.CALL:
            free_key(txn, task)
        else:
            save(txn, key_of(task), [task.id, task.status])
        return replace(txn, old, None)

    @reading
    def get(self, txn: Txn, task_id: str) -> Task | None:
        record = read(txn, task_id)
        return record.task if record else None

    @reading
    def trail(self, txn: Txn, task_id: str) -> list[Entry]:
        record = read(txn, task_id)
        return list(record.trail) if record else []

    @reading
    def deliveries(self, txn: Txn, task_id: str) -> list[Delivery]:
        record = read(txn, task_id)
        return record.deliveries if record else []

    @reading
    def failures(self, txn: Txn, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        end = (microseconds(after.at), after.id) if after else None
        latest = [found for found in scan(txn, "failed") if end is None or tuple(found[:2]) < end][::-1]
        records = ((read(txn, task_id), effect_id) for _, effect_id, task_id in latest[:limit])
        return [record.effects[effect_id].delivery for record, effect_id in records if record]

    @reading
    def find(self, txn: Txn, query: Query) -> list[Task]:
        return query.select(candidates(txn, query))

    @reading
    def count(self, txn: Txn, query: Query) -> Mapping[TaskStatus, int]:
        return Counter(task.status for task in candidates(txn, query) if query.fits(task))

    @reading
    def outcomes(self, txn: Txn, query: Query) -> list[Outcome]:
        return [Outcome.of(task) for task in query.select(candidates(txn, query))]
