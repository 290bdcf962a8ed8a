"""Stores that each break one promise, in a way in which real ones are broken.

`broken` is what the suite must say of it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, ClassVar

from anyio.lowlevel import checkpoint

from awaithumans.stores import memory
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import (
    Change,
    Cursor,
    Delivery,
    Effect,
    Human,
    KeyScope,
    Leased,
    Order,
    Outcome,
    Query,
    Task,
    TaskStatus,
)


class BrokenStore(MemoryStore):
    """A memory store, but for one thing."""

    broken: ClassVar[str]


# ── create ────────────────────────────────────────────────────────────────────


class Overwrites(BrokenStore):
    """The second task with a key takes the place of the first."""

    broken = "Store.create: create with a taken key returns the earlier task."

    async def create(self, change: Change) -> Task:
        self._holders.pop(change.task.spec.idempotency_key, None)
        return await super().create(change)


class LooksBeforeItWrites(BrokenStore):
    """Asks for the key in one transaction, and takes it in another."""

    broken = "Store.create: concurrent creates with one key return one task."

    async def create(self, change: Change) -> Task:
        key = change.task.spec.idempotency_key
        if key in self._holders:
            return await super().create(change)
        await checkpoint()
        task, entries = memory._copied(change)
        self._holders[key] = task.id
        self._write(task, entries, change.effects)
        return memory._copy(task)


class KeysWithoutCase(BrokenStore):
    """Has a collation that takes letter case for nothing."""

    broken = "Store.create: different keys name different tasks."

    async def create(self, change: Change) -> Task:
        key = change.task.spec.idempotency_key
        self._holders.setdefault(key, self._holders.get(key.lower(), ""))
        if not self._holders[key]:
            del self._holders[key]
        task = await super().create(change)
        self._holders[key.lower()] = task.id
        return task


class FreesKeysWhenClosed(BrokenStore):
    """Frees a key with the answer, before the outcome was collected."""

    broken = "Store.create: a call scoped key is free once collected."

    async def apply(self, change: Change) -> bool:
        applied = await super().apply(change)
        if applied and change.task.closed and change.task.spec.key_scope is KeyScope.CALL:
            self._free_key(change.task)
        return applied


class NeverFreesKeys(BrokenStore):
    """Holds every key for ever, collected or not."""

    broken = "Store.create: a call scoped key is free once collected."

    def _free_key(self, task: Task) -> None:
        pass


class FreesLastingKeys(BrokenStore):
    """Frees a key when the outcome is collected, whatever its scope."""

    broken = "Store.create: a key held for ever outlives the task."

    async def apply(self, change: Change) -> bool:
        applied = await super().apply(change)
        if applied and change.task.collected_at:
            self._free_key(change.task)
        return applied


class KeepsScopesApart(BrokenStore):
    """Has one name space of keys for each scope."""

    broken = "Store.create: both scopes share one name space."

    async def create(self, change: Change) -> Task:
        spec = change.task.spec
        inside = replace(spec, idempotency_key=f"{spec.key_scope} {spec.idempotency_key}")
        task = await super().create(replace(change, task=replace(change.task, spec=inside)))
        return replace(task, spec=replace(task.spec, idempotency_key=spec.idempotency_key))


# ── values ────────────────────────────────────────────────────────────────────


class WritesOtherwise(BrokenStore):
    """Changes a task on the way in."""

    def altered(self, task: Task) -> Task:
        raise NotImplementedError

    async def create(self, change: Change) -> Task:
        return await super().create(replace(change, task=self.altered(change.task)))

    async def apply(self, change: Change) -> bool:
        return await super().apply(replace(change, task=self.altered(change.task)))


class LosesUnknownKeys(WritesOtherwise):
    """Keeps the columns it knows."""

    broken = "Store: keys of newer releases are kept."

    def altered(self, task: Task) -> Task:
        return replace(task, unknown={}, unknown_spec={})


class LosesUnknownKeysOfPeople(WritesOtherwise):
    """Keeps what it knows of a person."""

    broken = "Store: keys of newer releases are kept."

    def altered(self, task: Task) -> Task:
        return replace(task, addressees=tuple(replace(human, unknown={}) for human in task.addressees))


class RoundsTimes(WritesOtherwise):
    """Keeps milliseconds."""

    broken = "Store: microseconds come back."

    def altered(self, task: Task) -> Task:
        milliseconds = task.created_at.microsecond // 1000 * 1000
        return replace(task, created_at=task.created_at.replace(microsecond=milliseconds))


class TakesWholeNumbersForIntegers(WritesOtherwise):
    """Gives 1 for 1.0, as many a database's JSON does."""

    broken = "Store: awkward json values come back."

    def altered(self, task: Task) -> Task:
        plain = json.loads(json.dumps(task.spec.payload), parse_float=lambda text: int(float(text)) or float(text))
        return replace(task, spec=replace(task.spec, payload=plain))


class CutsText(WritesOtherwise):
    """Has columns of 64 KiB."""

    broken = "Store: a large task comes back."

    def altered(self, task: Task) -> Task:
        cut = {name: value[:65536] if isinstance(value, str) else value for name, value in task.spec.payload.items()}
        return replace(task, spec=replace(task.spec, payload=cut))


class SharesWhatItHolds(BrokenStore):
    """Hands out the values that it holds, not copies."""

    broken = "Store: what the caller does to its values later changes nothing."

    async def create(self, change: Change) -> Task:
        task = await super().create(change)
        if task.id == change.task.id:
            self._tasks[task.id] = change.task
        return self._tasks[task.id]


# ── apply ─────────────────────────────────────────────────────────────────────


class ForgetsToCompare(BrokenStore):
    """Sets without comparing: the last writer wins."""

    broken = "Store.apply: apply at another version writes nothing."

    async def apply(self, change: Change) -> bool:
        if stored := self._tasks.get(change.task.id):
            self._tasks[change.task.id] = replace(stored, version=change.task.version - 1)
        return await super().apply(change)


class ComparesBeforeItSets(BrokenStore):
    """Compares in one transaction, and sets in another."""

    broken = "Store.apply: of many applies to one version exactly one wins."

    async def apply(self, change: Change) -> bool:
        stored = self._tasks.get(change.task.id)
        if stored is None or stored.version != change.task.version - 1:
            return False
        await checkpoint()
        task, entries = memory._copied(change)
        self._write(task, entries, change.effects)
        return True


class TakesAnyLaterVersion(BrokenStore):
    """Compares with "less than", not with "is the one before"."""

    broken = "Store.apply: apply at another version writes nothing."

    async def apply(self, change: Change) -> bool:
        stored = self._tasks.get(change.task.id)
        if stored and stored.version < change.task.version:
            self._tasks[change.task.id] = replace(stored, version=change.task.version - 1)
        return await super().apply(change)


class WritesTheTrailAfterwards(BrokenStore):
    """Writes the task in one transaction, and its trail and effects in the next."""

    broken = "Store.apply: a cancelled caller wrote all or nothing."

    async def apply(self, change: Change) -> bool:
        if not await super().apply(replace(change, entries=(), effects=(), retried=())):
            return False
        await checkpoint()
        task, entries = memory._copied(change)
        self._write(self._tasks[task.id], entries, change.effects)
        self._effects.retry(change.retried)
        return True


class KeepsHalfOfAFailedWrite(BrokenStore):
    """Does not roll back."""

    broken = "Store.apply: a change that cannot be written writes nothing."

    async def apply(self, change: Change) -> bool:
        stored = self._tasks.get(change.task.id)
        if stored and stored.version == change.task.version - 1:
            self._tasks[stored.id] = change.task
            memory._copied(change)
            self._tasks[stored.id] = stored
        return await super().apply(change)


class MixesUpTheTrail(BrokenStore):
    """Gives the lines of a trail as its index of them has them."""

    broken = "Store.apply: the trail is kept in order."

    async def trail(self, task_id: str) -> list[Any]:
        return sorted(await super().trail(task_id), key=lambda entry: str(entry.seq))


class RevivesEffects(BrokenStore):
    """Writes an effect anew that is there already."""

    broken = "Store.apply: effects that are stored are left as they are."

    async def apply(self, change: Change) -> bool:
        applied = await super().apply(change)
        for effect in change.effects if applied else ():
            row = self._effects._rows[effect.id]
            if row.settled_at:
                row.effect, row.settled_at, row.available_at = effect, None, effect.due
                self._effects._queue_up(row)
        return applied


class TriesEverythingAnew(BrokenStore):
    """Lets what is being performed wait again, not only what is settled."""

    broken = "Store.apply (change.retried): only what is settled is tried anew."

    async def apply(self, change: Change) -> bool:
        applied = await super().apply(change)
        for effect in change.retried if applied else ():
            row = self._effects._rows.get(effect.id)
            if row and not row.settled_at:
                row.effect, row.token, row.attempts, row.available_at = effect, None, 0, effect.due
        return applied


class TriesOnlyFailuresAnew(BrokenStore):
    """Leaves what was delivered as it is."""

    broken = "Store.apply (change.retried): an effect that is done may be performed anew."

    async def apply(self, change: Change) -> bool:
        rows = self._effects._rows
        failed = [effect for effect in change.retried if effect.id in rows and rows[effect.id].failure is not None]
        return await super().apply(replace(change, retried=tuple(failed)))


class TriesAnewWhatLost(BrokenStore):
    """Lets what has failed wait again before it compares the versions."""

    broken = "Store.apply (change.retried): a change that lost tries nothing anew."

    async def apply(self, change: Change) -> bool:
        self._effects.retry(change.retried)
        return await super().apply(change)


class CountsOldAttempts(BrokenStore):
    """Goes on counting where the failed attempts ended."""

    broken = "Store.apply (change.retried): an effect that failed may be tried anew."

    async def apply(self, change: Change) -> bool:
        rows = [self._effects._rows[effect.id] for effect in change.retried if effect.id in self._effects._rows]
        before = [(row, row.attempts) for row in rows]
        applied = await super().apply(change)
        for row, attempts in before:
            row.attempts = attempts
        return applied


class NeverTriesAnew(BrokenStore):
    """Has not heard of `change.retried`."""

    broken = "Store.apply (change.retried): an effect that failed may be tried anew."

    async def apply(self, change: Change) -> bool:
        return await super().apply(replace(change, retried=()))


# ── lease and settle ──────────────────────────────────────────────────────────


class HandsOutTwice(BrokenStore):
    """Forgets that it has handed out an effect."""

    broken = "Store.lease: a leased effect is not handed out again."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        return await super().lease(now, now, limit)


class LeasesForEver(BrokenStore):
    """Never takes back what a dead worker held."""

    broken = "Store.lease: a leased effect is not handed out again."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        return await super().lease(now, until + timedelta(days=1000), limit)


class LeasesTooEarly(BrokenStore):
    """Has a clock of whole seconds."""

    broken = "Store.lease: what is due is leased earliest first."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        return await super().lease(now + timedelta(milliseconds=1), until, limit)


class LeasesTooLate(BrokenStore):
    """Asks for "before now", not for "now or before"."""

    broken = "Store.lease: what is due is leased earliest first."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        return await super().lease(now - timedelta(microseconds=1), until, limit)


class LeasesInAnyOrder(BrokenStore):
    """Has no ORDER BY."""

    broken = "Store.lease: what is due is leased earliest first."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        leased = await super().lease(now, until, limit)
        return replace(leased, deliveries=leased.deliveries[::-1])


class LeasesWithoutLimit(BrokenStore):
    """Hands out everything that is due."""

    broken = "Store.lease: a lease hands out at most the limit."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        return await super().lease(now, until, 1000 if limit else 0)


class NeverTellsWhen(BrokenStore):
    """Leaves the runner to its own ideas of when to come again."""

    broken = "Store.lease: limit zero only looks."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        return replace(await super().lease(now, until, limit), next_due=None)


class CountsNoAttempts(BrokenStore):
    """Always says that it is the first attempt."""

    broken = "Store.lease: a leased effect is not handed out again."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        leased = await super().lease(now, until, limit)
        return replace(leased, deliveries=tuple(replace(each, attempts=1) for each in leased.deliveries))


class KnowsNoLanes(BrokenStore):
    """Hands out whatever is due, also what a lane holds back."""

    broken = "Store.lease: a lane is worked off in order."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        effects = self._effects
        for row in [row for lane in effects._lanes.values() for row in lane[1:]] if limit else ():
            effects._lanes[row.effect.lane].remove(row)
            effects._lanes.setdefault(row.effect.id, []).append(row)
            object.__setattr__(row, "effect", _InALaneOfItsOwn(**_fields(row.effect)))
            effects._offer_head(row.effect.id)
        return await super().lease(now, until, limit)


class _InALaneOfItsOwn(Effect):
    @property
    def lane(self) -> str:
        return self.id


def _fields(effect: Effect) -> dict[str, Any]:
    names = ("task_id", "kind", "due", "recipient", "event", "generation")
    return {name: getattr(effect, name) for name in names}


class BreaksTiesById(BrokenStore):
    """Orders a lane by due time and id, as if nothing could be due together."""

    broken = "Store.lease: ties in a lane go by the order of writing."

    def __init__(self) -> None:
        super().__init__()
        self._effects.add = self._add_by_id  # type: ignore[method-assign]

    def _add_by_id(self, effects: Any) -> None:
        for effect in effects:
            self._effects._numbers = count(int(effect.id, 16))
            memory._Effects.add(self._effects, [effect])


class LetsALanePassABackoff(BrokenStore):
    """Puts an effect that is tried again behind what came after it."""

    broken = "Store.lease: an effect backing off holds up its lane."

    async def settle(self, delivery: Delivery, at: datetime, *, retry_at: datetime | None = None, **rest: Any) -> bool:
        settled = await super().settle(delivery, at, retry_at=retry_at, **rest)
        if settled and retry_at:
            row = self._effects._rows[delivery.effect.id]
            self._effects._lanes[row.effect.lane].sort(key=lambda row: row.available_at)
            row.ticket = None
            self._effects._offer_head(row.effect.lane)
        return settled


class BelievesAnyToken(BrokenStore):
    """Lets whoever lost the lease settle the effect."""

    broken = "Store.settle: only the latest lease settles."

    async def settle(self, delivery: Delivery, at: datetime, **outcome: Any) -> bool:
        row = self._effects._rows.get(delivery.effect.id)
        return await super().settle(replace(delivery, token=row.token if row else None), at, **outcome)


class SettlesAgain(BrokenStore):
    """Lets an effect be settled that is settled."""

    broken = "Store.settle: a settled effect is settled once."

    async def settle(self, delivery: Delivery, at: datetime, **outcome: Any) -> bool:
        row = self._effects._rows.get(delivery.effect.id)
        done = row is not None and row.settled_at is not None and row.token == delivery.token
        return await super().settle(delivery, at, **outcome) or done


class ForgetsSlowWorkers(BrokenStore):
    """Refuses what a worker says after its lease has ended, though nobody took over."""

    broken = "Store.settle: settling after the lease ended counts unless it was handed on."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        for row in self._effects._rows.values():
            if row.token and row.available_at <= now and not row.settled_at:
                row.token = None
        return await super().lease(now, until, limit)


class ForgetsReceipts(BrokenStore):
    """Gives a channel nothing with which it could edit its message."""

    broken = "Store.settle: the lanes latest receipt is handed on."

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        leased = await super().lease(now, until, limit)
        return replace(leased, deliveries=tuple(replace(each, receipt=None) for each in leased.deliveries))


class CutsReceipts(BrokenStore):
    """Has room for 255 characters."""

    broken = "Store.settle: recipients and receipts may be long."

    async def settle(self, delivery: Delivery, at: datetime, *, receipt: str | None = None, **rest: Any) -> bool:
        return await super().settle(delivery, at, receipt=receipt and receipt[:255], **rest)


class TakesFailuresForDone(BrokenStore):
    """Does not keep why an effect has failed."""

    broken = "Store.settle: a failed effect is done with."

    async def settle(self, delivery: Delivery, at: datetime, *, failed: str | None = None, **rest: Any) -> bool:
        return await super().settle(delivery, at, **rest)


class RetriesFailures(BrokenStore):
    """Tries for ever what has failed for good."""

    broken = "Store.settle: a failed effect is done with."

    async def settle(self, delivery: Delivery, at: datetime, *, failed: str | None = None, **rest: Any) -> bool:
        return await super().settle(delivery, at, **(rest if failed is None else {"retry_at": at}))


class ListsOldFailuresFirst(BrokenStore):
    """Forgets to say "descending"."""

    broken = "Store.failures: failures are listed latest first."

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        return (await super().failures(after=after, limit=limit))[::-1]


class ShowsWhatWaits(BrokenStore):
    """Leaves out of a task's effects what is done."""

    broken = "Store.deliveries: effects come back by due time."

    async def deliveries(self, task_id: str) -> list[Delivery]:
        return [each for each in await super().deliveries(task_id) if each.settled_at is None]


# ── find and count ────────────────────────────────────────────────────────────


class FindsOtherwise(BrokenStore):
    """Changes the question on the way in."""

    def altered(self, query: Query) -> Query:
        raise NotImplementedError

    async def find(self, query: Query) -> list[Task]:
        return await super().find(self.altered(query))


class OldestFirst(BrokenStore):
    """Gives the oldest tasks first."""

    broken = "Store.find: the newest come first."

    async def find(self, query: Query) -> list[Task]:
        found = await super().find(replace(query, limit=10**6, offset=0))
        return (found if query.changed_after else found[::-1])[query.offset : query.offset + query.limit]


class ForgetsTies(FindsOtherwise):
    """Has a cursor of a time alone, and so skips what was made at the same time."""

    broken = "Store.find: pages meet without gap or overlap."

    def altered(self, query: Query) -> Query:
        return replace(query, after=replace(query.after, id="")) if query.after else query


class RepeatsTheLast(FindsOtherwise):
    """Begins a page with the task that ended the one before."""

    broken = "Store.find: pages meet without gap or overlap."

    def altered(self, query: Query) -> Query:
        return replace(query, after=replace(query.after, id=query.after.id + "\0")) if query.after else query


class ChangesInOrderOfCreation(BrokenStore):
    """Follows changes in the order in which tasks were made."""

    broken = "Store.find: changed after gives the changes in order."

    async def find(self, query: Query) -> list[Task]:
        found = await super().find(query)
        return sorted(found, key=lambda task: (task.created_at, task.id)) if query.changed_after else found


class TakesNoneForAny(FindsOtherwise):
    """Takes an empty list of conditions for no condition."""

    broken = "Store.find: by status."

    def altered(self, query: Query) -> Query:
        return replace(query, statuses=query.statuses or None)


class TakesAPatternForAName(FindsOtherwise):
    """Puts a name into a LIKE as it is."""

    broken = "Store.find: by assignee."

    def altered(self, query: Query) -> Query:
        return replace(query, assigned_to=(query.assigned_to or "").replace("%", "").replace("_", "") or None)


class TakesAnAddressForAnId(FindsOtherwise):
    """Looks for an assignee's id among all their names."""

    broken = "Store.find: by the assignees id."

    def altered(self, query: Query) -> Query:
        return replace(query, assignee_id=None, assigned_to=query.assigned_to or query.assignee_id)


class ShowsEverybodyEverything(FindsOtherwise):
    """Forgets who may see what."""

    broken = "Store.find: people see what concerns them."

    def altered(self, query: Query) -> Query:
        return replace(query, visible_to=None)


class KnowsPeopleByIdAlone(FindsOtherwise):
    """Looks for a person's id, and not for the other addresses."""

    broken = "Store.find: people are known by any of their addresses."

    def altered(self, query: Query) -> Query:
        human = query.visible_to
        return replace(query, visible_to=Human(id=human.id, operator=human.operator)) if human else query


class SearchesForAnyWord(FindsOtherwise):
    """Is content with one of the words."""

    broken = "Store.find: by words."

    def altered(self, query: Query) -> Query:
        return replace(query, search=query.search.split()[0]) if query.search else query


class SearchesWordsAlone(FindsOtherwise):
    """Takes letter case for what it is."""

    broken = "Store.find: by words."

    def altered(self, query: Query) -> Query:
        return replace(query, search="-") if query.search and query.search != query.search.lower() else query


class SearchesNoKeys(FindsOtherwise):
    """Looks through the questions alone."""

    broken = "Store.find: by a whole key or id."

    def altered(self, query: Query) -> Query:
        return replace(query, search="nothing at all") if query.search == "order-1047" else query


class KnowsOneOrder(FindsOtherwise):
    """Gives the newest first, whatever was asked for."""

    broken = "Store.find: each order is followed across pages."

    def altered(self, query: Query) -> Query:
        return replace(query, order=Order.NEWEST)


class RemembersTheFirstDeadline(BrokenStore):
    """Writes a deadline once."""

    broken = "Store.find: the order by deadline follows the latest one."

    async def apply(self, change: Change) -> bool:
        stored = self._tasks.get(change.task.id, change.task)
        return await super().apply(replace(change, task=replace(change.task, deadline=stored.deadline)))


class CountsFirstVersions(BrokenStore):
    """Writes how a task fares once."""

    broken = "Store.outcomes: outcomes say how each task fares."

    async def outcomes(self, query: Query) -> list[Outcome]:
        found = await super().outcomes(query)
        return [replace(one, status=TaskStatus.PENDING, closed_at=None) for one in found]


class CountsOutcomesOfWhatIsGone(BrokenStore):
    """Keeps figures of what was purged."""

    broken = "Store.outcomes: a purged task has no outcome."

    def __init__(self) -> None:
        super().__init__()
        self._gone: list[Outcome] = []

    async def purge(self, task: Task) -> bool:
        purged = await super().purge(task)
        self._gone += [Outcome.of(task)] if purged else []
        return purged

    async def outcomes(self, query: Query) -> list[Outcome]:
        return await super().outcomes(query) + self._gone


class CountsThePage(BrokenStore):
    """Counts what is on a page."""

    broken = "Store.count: tasks are counted by status."

    async def count(self, query: Query) -> Any:
        return Counter(task.status for task in await self.find(query))


class CountsWhatIsGone(BrokenStore):
    """Counts what was purged, too."""

    broken = "Store.count: tasks are counted by status."

    def __init__(self) -> None:
        super().__init__()
        self.gone: Counter[Any] = Counter()

    async def purge(self, task: Task) -> bool:
        purged = await super().purge(task)
        self.gone[task.status] += purged
        return purged

    async def count(self, query: Query) -> Any:
        return Counter(await super().count(query)) + self.gone


class CountsEverything(BrokenStore):
    """Counts without regard to where a page begins, or to any other condition."""

    broken = "Store.count: tasks are counted by status."

    async def count(self, query: Query) -> Any:
        return await super().count(Query(statuses=query.statuses))


# ── purge ─────────────────────────────────────────────────────────────────────


class ForgetsTombstones(BrokenStore):
    """Frees the key with the task, so that an old approval can be asked for again."""

    broken = "Store.purge: the key of a purged task stays taken."

    async def purge(self, task: Task) -> bool:
        purged = await super().purge(task)
        if purged:
            self._free_key(task)
        return purged


class KeepsEveryKey(BrokenStore):
    """Keeps a tombstone for every key, whatever its scope."""

    broken = "Store.purge: the call scoped key of a purged task is free."

    async def purge(self, task: Task) -> bool:
        key = task.spec.idempotency_key
        holder = self._holders.get(key)
        purged = await super().purge(task)
        if purged and holder == task.id:
            self._holders[key], self._outcomes[task.id] = task.id, task.status
        return purged


class FreesAnothersKey(BrokenStore):
    """Frees the key by its name, whoever holds it by now."""

    broken = "Store.purge: purging an old task leaves the keys present holder."

    def _free_key(self, task: Task) -> None:
        self._holders.pop(task.spec.idempotency_key, None)


class PurgesUnread(BrokenStore):
    """Erases a task at whatever version it is."""

    broken = "Store.purge: purge needs the present version."

    async def purge(self, task: Task) -> bool:
        return await super().purge(self._tasks.get(task.id, task))


class PurgesOpenTasks(BrokenStore):
    """Erases what somebody still waits for."""

    broken = "Store.purge: an open task is not erased."

    async def purge(self, task: Task) -> bool:
        stored = self._tasks.get(task.id)
        if stored and stored.version == task.version and not stored.closed:
            self._erase(stored)
            return True
        return await super().purge(task)


class PurgesTheTaskAlone(BrokenStore):
    """Leaves the trail, with everything that was said, where it was."""

    broken = "Store.purge: a purged task is gone."

    def _erase(self, task: Task) -> None:
        trail = self._trails[task.id]
        super()._erase(task)
        self._trails[task.id] = trail


class LeavesEffectsBehind(BrokenStore):
    """Goes on telling people of a task that is gone."""

    broken = "Store.purge: a purged task is gone."

    def _erase(self, task: Task) -> None:
        forget, self._effects.forget = self._effects.forget, lambda task_id: None  # type: ignore[method-assign]
        super()._erase(task)
        self._effects.forget = forget  # type: ignore[method-assign]


class RemembersFailures(BrokenStore):
    """Lists the failures of a task that is gone."""

    broken = "Store.purge: the failures of a purged task are gone."

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Delivery] = []

    async def purge(self, task: Task) -> bool:
        failed = [each for each in await self.failures() if each.effect.task_id == task.id]
        purged = await super().purge(task)
        self.kept += failed if purged else []
        return purged

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        return await super().failures(after=after, limit=limit) + self.kept


class PurgesTooMuch(BrokenStore):
    """Empties the queue of everybody's effects."""

    broken = "Store.purge: purging leaves other tasks alone."

    def _erase(self, task: Task) -> None:
        super()._erase(task)
        self._effects._queue.clear()


# ── setup and now ─────────────────────────────────────────────────────────────


class BeginsAnew(BrokenStore):
    """Drops its tables before it makes them."""

    broken = "Store: setup may be repeated."

    async def setup(self) -> None:
        self._tasks.clear()


class HasAClockWithoutZone(BrokenStore):
    """Gives local time."""

    broken = "Store: the stores clock is aware or absent."

    async def now(self) -> datetime | None:
        return datetime.now()  # noqa: DTZ005 - that is what is broken


class ClosesOnce(BrokenStore):
    """Cannot be closed twice."""

    broken = "Store: closing may be repeated."

    async def aclose(self) -> None:
        del self._tasks


def _leaves(cls: type[BrokenStore]) -> list[type[BrokenStore]]:
    return [leaf for sub in cls.__subclasses__() for leaf in _leaves(sub)] or [cls]


BROKEN_STORES = _leaves(BrokenStore)
