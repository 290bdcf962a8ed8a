"""What a `Store` promises, as tests anybody's store can be put to.

```python
class TestMyStore(StoreConformance):
    @pytest.fixture
    async def store(self):
        store = MyStore(...)
        await store.setup()
        yield store
        await store.aclose()
```

The tests run on the backends of the fixture `anyio_backend`. A test that fails
says which promise is broken. `WatchableConformance`, `JoinableConformance` and
`RecordsConformance` of `awaithumans.testing.records` are for what a store may
add.
"""
# ruff: noqa: PLR2004 - these are tests, with literal expectations

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint

from awaithumans.errors import ConfigurationError, TaskGoneError
from awaithumans.protocols import Joinable, Store, Watchable
from awaithumans.testing.promises import Promises
from awaithumans.testing.tasks import (
    ANA,
    BEN,
    BOSS,
    NOON,
    SECOND,
    answering,
    collecting,
    following,
    make_effect,
    make_entry,
    make_spec,
    make_task,
    opening,
)
from awaithumans.types import (
    Actor,
    Answer,
    Change,
    Cursor,
    Delivery,
    Effect,
    EffectKind,
    Human,
    KeyScope,
    Order,
    Outcome,
    Query,
    Task,
    TaskStatus,
    Verdict,
    VerifierConfig,
)

T = TypeVar("T")

UNTIL = NOON + timedelta(minutes=1)

AWKWARD_VALUES: dict[str, Any] = {
    "": "an empty key",
    "price": 99.99,
    "whole": 1.0,
    "tiny": 5e-324,
    "zero": -0.0,
    "huge": 10**300,
    "beyond 64 bits": -(2**64),
    "text": "Zażółć 漢字 🙂 \u2028 \x1f \\ \" % _ ' ; --",
    "nested": [{"a": [None, True, False, [], {}, ""]}, [[["deep"]]]],
    "null": None,
}


async def gather(*calls: Callable[[], Awaitable[T]]) -> list[T]:
    """Run calls at the same time; return their results in order."""
    results: dict[int, T] = {}

    async def run(place: int, call: Callable[[], Awaitable[T]]) -> None:
        results[place] = await call()

    async with anyio.create_task_group() as group:
        for place, call in enumerate(calls):
            group.start_soon(run, place, call)
    return [results[place] for place in range(len(calls))]


async def opened(store: Store, *effects: Effect, **fields: Any) -> Task:
    """Create a task with these fields."""
    return await store.create(opening(make_task(**fields), *effects))


async def moved(store: Store, change: Change) -> Task:
    """Apply a change that nobody competes with."""
    assert await store.apply(change), "apply: the version is the next one, and nobody was faster"
    return change.task


async def closed(store: Store, **fields: Any) -> Task:
    """Create a task and answer it."""
    return await moved(store, answering(await opened(store, **fields)))


async def opened_with(store: Store, *effects: dict[str, Any]) -> list[Effect]:
    """Create a task with effects of these fields; return them."""
    task = make_task()
    written = [make_effect(task, **fields) for fields in effects]
    await store.create(opening(task, *written))
    return written


async def leased(store: Store, *, now: datetime = NOON, until: datetime = UNTIL, limit: int = 10) -> list[Effect]:
    """Lease, and return the effects alone."""
    return [delivery.effect for delivery in await deliveries(store, now=now, until=until, limit=limit)]


async def deliveries(
    store: Store, *, now: datetime = NOON, until: datetime = UNTIL, limit: int = 10
) -> tuple[Delivery, ...]:
    """Lease, and return what was handed out."""
    return (await store.lease(now, until, limit)).deliveries


async def lease_one(store: Store, *, now: datetime = NOON, until: datetime = UNTIL) -> Delivery:
    """Lease the one effect there is."""
    [delivery] = await deliveries(store, now=now, until=until)
    return delivery


def ids(tasks: Iterable[Task]) -> list[str]:
    """Return the tasks' ids."""
    return [task.id for task in tasks]


@pytest.mark.anyio
class StoreTests(Promises):
    """The base of the parts below: a store, set up and empty."""

    @pytest.fixture
    def store(self) -> Store:
        """Give the store to test: set up, and empty. Override this one."""
        raise NotImplementedError


class CreateTests(StoreTests, of="Store.create"):
    """`create`: once per key."""

    async def test_create_returns_the_task_and_get_finds_it(self, store: Store) -> None:
        """A created task is there, equal to what was given."""
        task = opening(make_task()).task
        assert await store.create(opening(make_task(id=task.id, spec=task.spec))) == task
        assert await store.get(task.id) == task

    async def test_get_returns_none_for_an_unknown_task(self, store: Store) -> None:
        """There is no task with a made-up id."""
        assert await store.get("unknown") is None

    async def test_create_with_a_taken_key_returns_the_earlier_task(self, store: Store) -> None:
        """The second task with a key is not written, nor its trail and effects."""
        first = await opened(store, spec=make_spec(idempotency_key="k"))
        second = make_task(spec=make_spec(idempotency_key="k", task="Another?"))
        assert await store.create(opening(second, make_effect(second))) == first
        assert await store.get(second.id) is None
        assert await store.trail(second.id) == []
        assert await store.deliveries(second.id) == []

    async def test_repeating_a_create_changes_nothing(self, store: Store) -> None:
        """Writing the same change twice writes it once."""
        task = make_task()
        change = opening(task, make_effect(task))
        assert await store.create(change) == await store.create(change)
        assert len(await store.trail(task.id)) == 1
        assert len(await store.deliveries(task.id)) == 1

    async def test_concurrent_creates_with_one_key_return_one_task(self, store: Store) -> None:
        """Of any number of creates with one key, exactly one writes."""
        tasks = [make_task(spec=make_spec(idempotency_key="k")) for _ in range(12)]
        results = await gather(*(partial(store.create, opening(task)) for task in tasks))
        assert len({task.id for task in results}) == 1, "create: concurrent callers got different tasks"
        assert len(await store.find(Query())) == 1

    async def test_different_keys_name_different_tasks(self, store: Store) -> None:
        """Letter case, accents, blanks and length all count in a key."""
        keys = ["key", "KEY", "kéy", "key ", "key" * 400, "漢字", "'; --", ""]
        tasks = [await opened(store, spec=make_spec(idempotency_key=key)) for key in keys]
        assert len({task.id for task in tasks}) == len(keys)

    async def test_a_key_held_for_ever_outlives_the_task(self, store: Store) -> None:
        """Closing and collecting does not free a key of scope FOREVER."""
        spec = make_spec(idempotency_key="k", key_scope=KeyScope.FOREVER)
        done = await moved(store, collecting(await closed(store, spec=spec)))
        assert await opened(store, spec=spec) == done

    async def test_a_call_scoped_key_is_free_once_collected(self, store: Store) -> None:
        """Closing keeps a key of scope CALL taken; collecting frees it."""
        spec = make_spec(idempotency_key="k", key_scope=KeyScope.CALL)
        done = await closed(store, spec=spec)
        assert (await opened(store, spec=spec)).id == done.id, "closing alone must not free the key"
        await moved(store, collecting(done))
        again = await opened(store, spec=spec)
        assert again.id != done.id, "the key is still taken after the outcome was collected"
        assert (await opened(store, spec=spec)).id == again.id
        assert await store.get(done.id), "the collected task itself stays"

    async def test_both_scopes_share_one_name_space(self, store: Store) -> None:
        """A key that one scope holds is taken for the other, too."""
        lasting = await opened(store, spec=make_spec(idempotency_key="a", key_scope=KeyScope.FOREVER))
        passing = await opened(store, spec=make_spec(idempotency_key="b", key_scope=KeyScope.CALL))
        assert await opened(store, spec=make_spec(idempotency_key="a", key_scope=KeyScope.CALL)) == lasting
        assert await opened(store, spec=make_spec(idempotency_key="b", key_scope=KeyScope.FOREVER)) == passing

    async def test_creates_racing_the_collection_of_their_key_agree(self, store: Store) -> None:
        """While a key is given free, creates get the old task or one new task."""
        spec = make_spec(idempotency_key="k", key_scope=KeyScope.CALL)
        done = await closed(store, spec=spec)

        async def collect() -> str:
            await moved(store, collecting(done))
            return done.id

        async def create() -> str:
            return (await opened(store, spec=spec)).id

        outcomes = await gather(create, create, collect, create, create)
        assert len({*outcomes} - {done.id}) <= 1, "create: two tasks were made with one key"


class ValueTests(StoreTests, of="Store"):
    """Values come back equal to what was written."""

    async def test_every_field_comes_back(self, store: Store) -> None:
        """A task with every field set is read back equal."""
        task = opening(_full_task()).task
        await store.create(Change(task=task, entries=(make_entry(_full_task()),)))
        assert await store.get(task.id) == task
        assert await store.find(Query()) == [task]

    async def test_awkward_json_values_come_back(self, store: Store) -> None:
        """Numbers keep value and kind; text keeps every character."""
        answer = Answer(by=Actor.of(ANA, auth="host"), at=NOON, attempt=1, value=AWKWARD_VALUES)
        task = make_task(spec=make_spec(payload=AWKWARD_VALUES), answers=(answer,))
        entry = make_entry(task, data=AWKWARD_VALUES)
        await store.create(Change(task=task, entries=(entry,)))
        read = await store.get(task.id)
        assert read
        [line] = await store.trail(task.id)
        for value in (read.spec.payload, read.answers[0].value, line.data):
            assert json.dumps(value) == json.dumps(AWKWARD_VALUES)

    async def test_microseconds_come_back(self, store: Store) -> None:
        """Times are exact, however far away."""
        far = NOON.replace(year=2999, microsecond=999_999)
        task = await opened(store, created_at=NOON.replace(year=1999, microsecond=1), deadline=far)
        read = await store.get(task.id)
        assert read
        assert (read.created_at.year, read.created_at.microsecond, read.deadline) == (1999, 1, far)

    async def test_keys_of_newer_releases_are_kept(self, store: Store) -> None:
        """What this release does not know is written back with each change."""
        newer = Human(id="u-9", unknown={"pronouns": "they"})
        task = await opened(
            store, unknown={"quorum": {"n": 2}}, unknown_spec={"escalate": ["x"]}, addressees=(newer,), assignee=newer
        )
        await moved(store, following(task, attempt=1))
        read = await store.get(task.id)
        assert read
        assert (read.unknown, read.unknown_spec) == ({"quorum": {"n": 2}}, {"escalate": ["x"]})
        assert read.assignee
        assert [human.unknown for human in (*read.addressees, read.assignee)] == [newer.unknown] * 2

    async def test_what_the_caller_does_to_its_values_later_changes_nothing(self, store: Store) -> None:
        """The store shares no mutable value with its callers."""
        payload: dict[str, Any] = {"lines": [1]}
        task = make_task(spec=make_spec(payload=payload))
        returned = await store.create(opening(task))
        payload["lines"].append(2)
        assert returned.spec.payload == {"lines": [1]}
        cast("dict[str, Any]", returned.spec.payload)["more"] = True
        read = await store.get(task.id)
        assert read
        assert read.spec.payload == {"lines": [1]}

    async def test_a_large_task_comes_back(self, store: Store) -> None:
        """A payload of a megabyte is kept whole."""
        payload = {"text": "ß" * 500_000}
        task = await opened(store, spec=make_spec(payload=payload))
        read = await store.get(task.id)
        assert read
        assert read.spec.payload == task.spec.payload == payload


class ApplyTests(StoreTests, of="Store.apply"):
    """`apply`: compare-and-set."""

    async def test_apply_writes_the_next_version(self, store: Store) -> None:
        """The task, its trail and its effects are there afterwards."""
        task = await opened(store)
        effect = make_effect(task, event="claimed")
        change = following(task, effect, assignee=ANA)
        assert await store.apply(change) is True
        assert await store.get(task.id) == change.task
        assert [entry.action for entry in await store.trail(task.id)] == ["created", "noted"]
        assert [delivery.effect for delivery in await store.deliveries(task.id)] == [effect]

    async def test_apply_at_another_version_writes_nothing(self, store: Store) -> None:
        """A stale or early change leaves task, trail and effects as they are."""
        task = await opened(store)
        now = await moved(store, following(task, assignee=BEN))
        for stale in (following(task, make_effect(task), assignee=ANA), following(replace(now, version=7))):
            assert await store.apply(stale) is False, "apply: the stored version is not the one before"
        assert await store.get(task.id) == now
        assert len(await store.trail(task.id)) == 2
        assert await store.deliveries(task.id) == []

    async def test_apply_to_an_unknown_task_is_false(self, store: Store) -> None:
        """There is nothing to be faster than."""
        assert await store.apply(following(make_task())) is False

    async def test_of_many_applies_to_one_version_exactly_one_wins(self, store: Store) -> None:
        """One True; the stored task is the winner's, with one line of trail."""
        task = await opened(store)
        rivals = [following(task, attempt=attempt, action=f"rival {attempt}") for attempt in range(1, 13)]
        won = await gather(*(partial(store.apply, change) for change in rivals))
        assert won.count(True) == 1, "apply: not exactly one winner"
        winner = rivals[won.index(True)]
        assert await store.get(task.id) == winner.task
        assert [entry.action for entry in await store.trail(task.id)] == ["created", winner.entries[0].action]

    async def test_concurrent_changes_are_all_made_when_retried(self, store: Store) -> None:
        """Reading again and retrying loses no change."""
        task = await opened(store)

        async def add() -> None:
            for _ in range(50):
                read = await store.get(task.id)
                assert read
                if await store.apply(following(read, attempt=read.attempt + 1)):
                    return

        await gather(*[add] * 5)
        read = await store.get(task.id)
        assert read
        assert (read.attempt, read.version) == (5, 6)
        assert [entry.seq for entry in await store.trail(task.id)] == [1, 2, 3, 4, 5, 6]

    async def test_effects_that_are_stored_are_left_as_they_are(self, store: Store) -> None:
        """Writing an effect again neither doubles nor revives it."""
        task = make_task()
        effect = make_effect(task)
        task = await store.create(opening(task, effect))
        await store.settle(await lease_one(store), NOON, receipt="r")
        later = replace(effect, due=effect.due + SECOND)
        await moved(store, following(task, later))
        [delivery] = await store.deliveries(task.id)
        assert (delivery.effect, delivery.receipt) == (effect, "r")
        assert delivery.settled_at
        assert await leased(store, now=UNTIL + SECOND) == []

    async def test_a_change_that_cannot_be_written_writes_nothing(self, store: Store) -> None:
        """When a part cannot be written, no part is."""
        task = await opened(store)
        good = following(task, make_effect(task), assignee=ANA)
        bad = replace(good, entries=(replace(good.entries[0], data={"no JSON": object()}),))
        with pytest.raises(Exception):  # noqa: B017, PT011 - stores choose what to raise
            await store.apply(bad)
        assert await store.get(task.id) == task
        assert len(await store.trail(task.id)) == 1
        assert await store.deliveries(task.id) == []
        assert await store.apply(good)

    async def test_a_cancelled_caller_wrote_all_or_nothing(self, store: Store) -> None:
        """Version, trail and effects agree, whenever the caller gave up."""
        for turns in range(6):
            task = await opened(store)
            change = following(task, make_effect(task), assignee=ANA)
            await _cancelled_after(turns, partial(store.apply, change))
            read = await store.get(task.id)
            assert read
            written = (read.version - 1, len(await store.trail(task.id)) - 1, len(await store.deliveries(task.id)))
            assert written in {(0, 0, 0), (1, 1, 1)}, f"apply: a cancelled caller wrote a part: {written}"

    async def test_the_trail_is_kept_in_order(self, store: Store) -> None:
        """Entries come back equal, by `seq`, each with the digest before."""
        task = make_task()
        entries = [opening(task).entries[0]]
        task = await store.create(opening(task))
        for number in range(12):
            change = following(task, action=f"step {number}")
            entries += change.entries
            task = await moved(store, change)
        trail = await store.trail(task.id)
        assert trail == entries
        assert [entry.previous for entry in trail] == ["", *(entry.digest for entry in trail[:-1])]

    async def test_one_change_may_write_several_lines_or_none(self, store: Store) -> None:
        """A change carries any number of entries."""
        task = await opened(store)
        first = following(task)
        second = replace(make_entry(first.task), action="second")
        task = await moved(store, replace(first, entries=(*first.entries, second)))
        await moved(store, replace(following(task), entries=()))
        assert [entry.action for entry in await store.trail(task.id)] == ["created", "noted", "second"]

    async def test_the_trail_of_an_unknown_task_is_empty(self, store: Store) -> None:
        """No task, no trail, no effects."""
        assert await store.trail("unknown") == []
        assert await store.deliveries("unknown") == []


class LeaseTests(StoreTests, of="Store.lease"):
    """`lease`: each effect to one at a time, in order."""

    async def test_what_is_due_is_leased_earliest_first(self, store: Store) -> None:
        """At its due time it qualifies, a microsecond before it does not."""
        tick = timedelta(microseconds=1)
        future, second, first, present = await opened_with(
            store,
            {"due": NOON + tick, "recipient": "future"},
            {"due": NOON - SECOND, "recipient": "second"},
            {"due": NOON - 2 * SECOND, "recipient": "first"},
            {"due": NOON, "recipient": "present"},
        )
        result = await store.lease(NOON, UNTIL, 10)
        assert [delivery.effect for delivery in result.deliveries] == [first, second, present]
        assert result.next_due == future.due

    async def test_a_lease_hands_out_at_most_the_limit(self, store: Store) -> None:
        """The rest stays, and is due at once."""
        effects = await opened_with(store, *({"due": NOON + n * SECOND, "recipient": str(n)} for n in range(5)))
        result = await store.lease(UNTIL, UNTIL + SECOND, 2)
        assert [delivery.effect for delivery in result.deliveries] == effects[:2]
        assert result.next_due == effects[2].due
        assert await leased(store, now=UNTIL, until=UNTIL + SECOND) == effects[2:]

    async def test_limit_zero_only_looks(self, store: Store) -> None:
        """Nothing is handed out, and the next time is told."""
        [effect] = await opened_with(store, {"due": NOON})
        result = await store.lease(NOON + SECOND, UNTIL, 0)
        assert (result.deliveries, result.next_due) == ((), NOON)
        delivery = await lease_one(store)
        assert (delivery.effect, delivery.attempts) == (effect, 1)

    async def test_an_empty_store_has_nothing_due(self, store: Store) -> None:
        """No effects: no deliveries, and no time to wait for."""
        result = await store.lease(NOON, UNTIL, 10)
        assert (result.deliveries, result.next_due) == ((), None)

    async def test_a_leased_effect_is_not_handed_out_again(self, store: Store) -> None:
        """Until its lease ends; then it is, under another token."""
        await opened_with(store, {})
        first = await lease_one(store)
        assert await leased(store, now=UNTIL - SECOND) == [], "lease: handed out twice under running leases"
        second = await lease_one(store, now=UNTIL, until=UNTIL + SECOND)
        assert first.token
        assert second.token
        assert first.token != second.token
        assert (first.attempts, second.attempts) == (1, 2)

    async def test_next_due_is_the_end_of_anothers_lease(self, store: Store) -> None:
        """It counts for who comes next, not for who has it."""
        await opened_with(store, {})
        assert (await store.lease(NOON, UNTIL, 10)).next_due is None
        assert (await store.lease(NOON, UNTIL, 10)).next_due == UNTIL

    async def test_concurrent_leases_share_the_work(self, store: Store) -> None:
        """Every effect is handed out, none of them twice."""
        effects = await opened_with(store, *({"recipient": str(number)} for number in range(20)))
        handed: list[str] = []
        while len(handed) < len(effects):
            shares = await gather(*[lambda: leased(store, limit=4)] * 6)
            got = [effect.id for share in shares for effect in share]
            assert got, "lease: something is due, nobody holds it, and nobody gets it"
            handed += got
        assert sorted(handed) == sorted(effect.id for effect in effects)

    async def test_a_lane_is_worked_off_in_order(self, store: Store) -> None:
        """What comes later in a lane waits until the earlier is settled."""
        closed_, opened_, elsewhere = await opened_with(
            store,
            {"due": NOON - SECOND, "event": "closed"},
            {"due": NOON - 2 * SECOND, "event": "opened"},
            {"due": NOON, "recipient": "test:ben"},
        )
        first, other = await deliveries(store)
        assert [first.effect, other.effect] == [opened_, elsewhere], "lease: 'closed' overtook 'opened'"
        await store.settle(first, NOON)
        assert await leased(store) == [closed_]

    async def test_ties_in_a_lane_go_by_the_order_of_writing(self, store: Store) -> None:
        """Within a change as listed, and change after change."""
        task = make_task()
        effects = [make_effect(task, event=event) for event in ("z", "a", "m", "b", "1")]
        task = await store.create(opening(task, *effects[:3]))
        await moved(store, following(task, *effects[3:]))
        for effect in effects:
            delivery = await lease_one(store)
            assert delivery.effect == effect
            await store.settle(delivery, NOON)

    async def test_an_effect_backing_off_holds_up_its_lane(self, store: Store) -> None:
        """A retry in the future keeps what comes after it waiting."""
        first, second = await opened_with(store, {"event": "opened"}, {"event": "closed"})
        later = NOON + 30 * SECOND
        await store.settle(await lease_one(store), NOON, retry_at=later)
        result = await store.lease(NOON, UNTIL, 10)
        assert (result.deliveries, result.next_due) == ((), later)
        again = await lease_one(store, now=later)
        assert (again.effect, again.attempts) == (first, 2)
        await store.settle(again, NOON)
        assert await leased(store, now=later) == [second]

    async def test_an_earlier_effect_written_later_comes_first(self, store: Store) -> None:
        """The head of a lane is the earliest that is not settled."""
        task = make_task()
        far = make_effect(task, due=NOON + SECOND, generation=1)
        task = await store.create(opening(task, far))
        near = make_effect(task, due=NOON, generation=2)
        await moved(store, following(task, near))
        delivery = await lease_one(store, now=UNTIL, until=UNTIL + SECOND)
        assert delivery.effect == near
        await store.settle(delivery, NOON)
        assert await leased(store, now=UNTIL, until=UNTIL + SECOND) == [far]


class SettleTests(StoreTests, of="Store.settle"):
    """`settle`: what came of an effect."""

    async def test_a_failed_effect_is_done_with(self, store: Store) -> None:
        """It keeps its reason, and lets its lane go on."""
        first, second = await opened_with(store, {"event": "opened"}, {"event": "closed"})
        assert await store.settle(await lease_one(store), NOON, failed="no such mailbox")
        assert await leased(store) == [second]
        failure, _ = await store.deliveries(first.task_id)
        assert failure.failure == "no such mailbox"
        assert failure.settled_at

    async def test_only_the_latest_lease_settles(self, store: Store) -> None:
        """Who lost the lease, and who never had one, is told so."""
        [effect] = await opened_with(store, {})
        lost = await lease_one(store)
        held = await lease_one(store, now=UNTIL, until=UNTIL + SECOND)
        for stranger in (lost, replace(held, token="made up"), Delivery(effect=effect)):  # noqa: S106
            assert await store.settle(stranger, NOON, receipt="wrong") is False, "settle: not the latest lease"
            assert await store.settle(stranger, NOON, retry_at=NOON) is False
        assert await store.settle(held, NOON, receipt="right") is True
        assert [delivery.receipt for delivery in await store.deliveries(effect.task_id)] == ["right"]

    async def test_a_settled_effect_is_settled_once(self, store: Store) -> None:
        """Of many who settle one lease, one is told True; nothing is undone."""
        [effect] = await opened_with(store, {})
        delivery = await lease_one(store)
        results = await gather(*[lambda: store.settle(delivery, NOON, receipt="r")] * 5)
        assert results.count(True) == 1
        assert await store.settle(delivery, NOON, retry_at=NOON) is False
        assert await leased(store, now=UNTIL) == []
        assert [one.receipt for one in await store.deliveries(effect.task_id)] == ["r"]

    async def test_settling_after_the_lease_ended_counts_unless_it_was_handed_on(self, store: Store) -> None:
        """A slow worker whose effect nobody took over is heard."""
        await opened_with(store, {})
        delivery = await lease_one(store)
        assert (await store.lease(UNTIL, UNTIL + SECOND, 0)).next_due == UNTIL
        assert await store.settle(delivery, NOON) is True
        assert await leased(store, now=UNTIL) == []

    async def test_the_lanes_latest_receipt_is_handed_on(self, store: Store) -> None:
        """Each lease carries what the channel gave back last in that lane."""
        events = ({"event": event} for event in ("opened", "claimed", "rejected", "closed"))
        await opened_with(store, *events, {"recipient": "test:ben"})
        seen: dict[str, str | None] = {}
        for receipt in ("first", None, "third", None):
            for delivery in await deliveries(store):
                mine = delivery.effect.recipient == "test:ana"
                assert await store.settle(delivery, NOON, receipt=receipt if mine else "bens")
                seen[delivery.effect.recipient + delivery.effect.event] = delivery.receipt
        assert seen == {
            "test:anaopened": None,
            "test:anaclaimed": "first",
            "test:anarejected": "first",
            "test:anaclosed": "third",
            "test:benopened": None,
        }

    async def test_recipients_receipts_and_failures_may_be_in_any_script(self, store: Store) -> None:
        """Nothing is lost of what lies outside the plane of common characters."""
        await opened_with(store, {"recipient": "test:🙂", "event": "a"}, {"recipient": "test:漢🦄", "event": "b"})
        given = {delivery.effect.recipient: delivery for delivery in await deliveries(store)}
        assert await store.settle(given["test:🙂"], NOON, receipt="🧾")
        assert await store.settle(given["test:漢🦄"], NOON, failed="💥")
        stored = await store.deliveries(given["test:🙂"].effect.task_id)
        assert {(done.receipt, done.failure) for done in stored} == {("🧾", None), (None, "💥")}

    async def test_recipients_and_receipts_may_be_long(self, store: Store) -> None:
        """A callback URL of thousands of characters is a recipient, too."""
        [effect] = await opened_with(store, {"recipient": "webhook:https://example.com/" + "ü/" * 2000})
        delivery = await lease_one(store)
        assert delivery.effect == effect
        await store.settle(delivery, NOON, receipt="r" * 10_000)
        assert [len(one.receipt or "") for one in await store.deliveries(effect.task_id)] == [10_000]


class DeliveriesTests(StoreTests, of="Store.deliveries"):
    """`deliveries`: what came of effects, read again."""

    async def test_effects_come_back_by_due_time(self, store: Store) -> None:
        """`deliveries` lists them all, settled ones included."""
        late, early = await opened_with(
            store,
            {"due": NOON + SECOND, "kind": EffectKind.EXPIRE, "recipient": "", "event": "", "generation": 3},
            {"due": NOON, "recipient": "mail:Zoë <z@example.com>", "event": "opened"},
        )
        await store.settle(await lease_one(store), NOON, receipt="receipt ✓")
        done, waiting = await store.deliveries(early.task_id)
        assert (done.effect, done.receipt, done.attempts, done.failure) == (early, "receipt ✓", 1, None)
        assert done.settled_at == NOON
        assert waiting == Delivery(effect=late)


class FailuresTests(StoreTests, of="Store.failures"):
    """`failures`: over all tasks, in pages."""

    async def test_failures_are_listed_latest_first(self, store: Store) -> None:
        """Over all tasks, in pages; what is done or tried anew is not among them."""
        effects = [(await opened_with(store, {}))[0] for _ in range(5)]
        for delivery in await deliveries(store):
            number = effects.index(delivery.effect)
            failed = None if number == 4 else f"reason {number}"
            assert await store.settle(delivery, NOON + (number // 2) * SECOND, failed=failed)
        listed = await store.failures()
        expected = [one.effect for one in listed]
        assert [{effects.index(effect) for effect in pair} for pair in (expected[:2], expected[2:])] == [{2, 3}, {0, 1}]
        assert [one.failure for one in listed] == [f"reason {effects.index(effect)}" for effect in expected]
        assert await store.failures(limit=1) == listed[:1]
        third = listed[2]
        assert third.settled_at
        assert await store.failures(after=Cursor(at=third.settled_at, id=third.effect.id)) == listed[3:]
        task = await store.get(expected[0].task_id)
        assert task
        await moved(store, replace(following(task), retried=(expected[0],)))
        assert [one.effect for one in await store.failures()] == expected[1:]


class RetriedTests(StoreTests, of="Store.apply (change.retried)"):
    """`apply`: what is settled is performed anew."""

    async def test_an_effect_that_failed_may_be_tried_anew(self, store: Store) -> None:
        """Under its id, at its new due time, counted from the start."""
        first, _, after = await opened_with(
            store, {"event": "opened"}, {"event": "claimed"}, {"event": "closed", "due": UNTIL}
        )
        assert await store.settle(await lease_one(store), NOON, failed="no such mailbox")
        assert await store.settle(await lease_one(store), NOON + SECOND, receipt="r")
        task = await store.get(first.task_id)
        assert task
        anew = replace(first, due=UNTIL - SECOND)
        await moved(store, replace(following(task), retried=(anew,)))
        assert await leased(store) == []
        delivery = await lease_one(store, now=UNTIL, until=UNTIL + SECOND)
        assert (delivery.effect, delivery.attempts, delivery.failure) == (anew, 1, None)
        assert delivery.receipt == "r", "lease: the lane's latest receipt is handed on"
        assert await store.settle(delivery, UNTIL)
        assert await leased(store, now=UNTIL, until=UNTIL + SECOND) == [after]

    async def test_an_effect_that_is_done_may_be_performed_anew(self, store: Store) -> None:
        """Under its id, without what came of it before."""
        first, done = await opened_with(store, {"event": "opened"}, {"event": "closed", "due": NOON + SECOND})
        assert await store.settle(await lease_one(store), NOON, receipt="first")
        assert await store.settle(await lease_one(store, now=NOON + SECOND), NOON + SECOND, receipt="second")
        task = await store.get(done.task_id)
        assert task
        anew = replace(done, due=UNTIL)
        await moved(store, replace(following(task), retried=(anew,)))
        assert await store.deliveries(task.id) == [
            replace((await store.deliveries(task.id))[0], effect=first, receipt="first"),
            Delivery(effect=anew),
        ]
        delivery = await lease_one(store, now=UNTIL, until=UNTIL + SECOND)
        assert (delivery.effect, delivery.attempts, delivery.receipt) == (anew, 1, "first")
        assert await store.settle(delivery, UNTIL, receipt="third")
        assert [one.receipt for one in await store.deliveries(task.id)] == ["first", "third"]

    async def test_only_what_is_settled_is_tried_anew(self, store: Store) -> None:
        """What still waits, and what is being performed, stays as it is."""
        leased_one, waiting = await opened_with(store, {"recipient": "a"}, {"recipient": "b", "due": UNTIL})
        delivery = await lease_one(store)
        task = await store.get(waiting.task_id)
        assert task
        before = await store.deliveries(task.id)
        effects = (leased_one, waiting, make_effect(task, event="?"))
        again = tuple(replace(effect, due=NOON + SECOND) for effect in effects)
        await moved(store, replace(following(task), retried=again))
        assert await store.deliveries(task.id) == before
        assert await store.settle(delivery, NOON)

    async def test_a_change_that_lost_tries_nothing_anew(self, store: Store) -> None:
        """What failed stays so if the version was another."""
        [effect] = await opened_with(store, {})
        assert await store.settle(await lease_one(store), NOON, failed="gone")
        task = await store.get(effect.task_id)
        assert task
        await moved(store, following(task))
        assert await store.apply(replace(following(task), retried=(effect,))) is False
        assert [one.effect for one in await store.failures()] == [effect]


class FindTests(StoreTests, of="Store.find"):
    """`find`: every condition, the order, and pages."""

    async def test_the_newest_come_first(self, store: Store) -> None:
        """By creation time, then id, descending."""
        tasks = [await opened(store, id=f"t{n}", created_at=NOON + (n // 2) * SECOND) for n in (3, 0, 2, 1, 4)]
        assert ids(await store.find(Query())) == ["t4", "t3", "t2", "t1", "t0"]
        assert {task.id for task in tasks} == {"t0", "t1", "t2", "t3", "t4"}

    async def test_pages_meet_without_gap_or_overlap(self, store: Store) -> None:
        """Following the cursor gives each task once, ties included."""
        for number in range(23):
            await opened(store, created_at=NOON + (number // 4) * SECOND)
        everything = ids(await store.find(Query(limit=100)))
        pages: list[str] = []
        cursor = None
        while len(pages) <= len(everything) and (page := await store.find(Query(after=cursor, limit=5))):
            pages += ids(page)
            cursor = Cursor(at=page[-1].created_at, id=page[-1].id)
        assert pages == everything
        assert len(set(pages)) == 23

    async def test_offset_skips_and_limit_ends(self, store: Store) -> None:
        """Both count in the query's order, behind the cursor."""
        for number in range(6):
            await opened(store, id=f"t{number}", created_at=NOON + number * SECOND)
        assert ids(await store.find(Query(offset=1, limit=2))) == ["t4", "t3"]
        cursor = Cursor(at=NOON + 4 * SECOND, id="t4")
        assert ids(await store.find(Query(after=cursor, offset=1, limit=2))) == ["t2", "t1"]
        assert await store.find(Query(offset=6)) == []
        assert await store.find(Query(limit=0)) == []

    async def test_changed_after_gives_the_changes_in_order(self, store: Store) -> None:
        """By the time of the latest change, then id, ascending."""
        tasks = [await opened(store, id=f"t{number}", created_at=NOON) for number in range(4)]
        await moved(store, following(tasks[1], changed_at=NOON + 9 * SECOND))
        await moved(store, following(tasks[3], changed_at=NOON + 5 * SECOND))
        since = Cursor(at=NOON - SECOND, id="")
        assert ids(await store.find(Query(changed_after=since))) == ["t0", "t2", "t3", "t1"]
        behind = Cursor(at=NOON, id="t0")
        assert ids(await store.find(Query(changed_after=behind, limit=2))) == ["t2", "t3"]
        assert await store.find(Query(changed_after=Cursor(at=NOON + 9 * SECOND, id="t1"))) == []

    async def test_by_ids(self, store: Store) -> None:
        """Those that exist; no ids, no tasks."""
        one, _, three = [await opened(store, created_at=NOON + n * SECOND) for n in range(3)]
        assert ids(await store.find(Query(ids=(one.id, "unknown", three.id)))) == [three.id, one.id]
        assert await store.find(Query(ids=())) == []

    async def test_by_status(self, store: Store) -> None:
        """Any of the given ones; none given, none found."""
        pending, done = await opened(store), await closed(store)
        assert ids(await store.find(Query(statuses=frozenset({TaskStatus.PENDING})))) == [pending.id]
        assert ids(await store.find(Query(statuses=frozenset({TaskStatus.COMPLETED})))) == [done.id]
        assert len(await store.find(Query(statuses=frozenset(TaskStatus)))) == 2
        assert await store.find(Query(statuses=frozenset())) == []

    async def test_by_whether_the_last_answer_was_refused(self, store: Store) -> None:
        """Only a pending task with a judged answer is refused."""
        fresh = await opened(store, id="fresh")
        judged = await moved(store, following(await opened(store, id="judged"), attempt=1))
        done = await moved(store, answering(await opened(store, id="done", attempt=1)))
        assert ids(await store.find(Query(refused=True))) == [judged.id]
        assert set(ids(await store.find(Query(refused=False)))) == {fresh.id, done.id}
        await moved(store, following(judged, status=TaskStatus.SUBMITTED))
        assert await store.find(Query(refused=True)) == []

    async def test_by_idempotency_key(self, store: Store) -> None:
        """Every task that was asked under the key, exactly."""
        spec = make_spec(idempotency_key="k", key_scope=KeyScope.CALL)
        old = await moved(store, collecting(await closed(store, spec=spec)))
        new = await opened(store, spec=spec, created_at=NOON + SECOND)
        await opened(store, spec=make_spec(idempotency_key="K"))
        assert ids(await store.find(Query(idempotency_key="k"))) == [new.id, old.id]
        assert await store.find(Query(idempotency_key="other")) == []

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("u-1", "ana"),
            ("ana@example.COM", "ana"),
            ("u0ana", "ana"),
            ("ana š", "ana"),
            ("ŠIMIĆ", "ana"),
            ("100%", "ben"),
            ("%_s", "ben"),
            ("100_", None),
            ("b%n", None),
            ("example.com", None),
            ("u-", None),
            ("\\", None),
        ],
    )
    async def test_by_assignee(self, store: Store, name: str, found: str | None) -> None:
        """An exact id, e-mail or Slack id, or a part of the display name."""
        await opened(store, id="ana", assignee=ANA)
        await opened(store, id="ben", assignee=BEN)
        await opened(store, id="nobody")
        assert ids(await store.find(Query(assigned_to=name))) == ([found] if found else [])

    @pytest.mark.parametrize(
        ("id_", "found"),
        [("u-1", "ana"), ("U-1", "ana"), ("u-2", "ben"), ("u-", None), ("Ana@Example.com", None), ("ana", None)],
    )
    async def test_by_the_assignees_id(self, store: Store, id_: str, found: str | None) -> None:
        """Exactly that one, and no other of their names."""
        await opened(store, id="ana", assignee=ANA)
        await opened(store, id="ben", assignee=BEN)
        await opened(store, id="nobody")
        assert ids(await store.find(Query(assignee_id=id_))) == ([found] if found else [])

    @pytest.mark.parametrize(
        ("person", "found"),
        [
            (Human(id="other", email="ANA@example.com"), "ana"),
            (Human(id="other", slack_user_id="u0ana"), "ana"),
            (Human(id="U-2"), "ben"),
            (Human(id="ana"), None),
            (Human(id="u-", display_name="Ana Šimić"), None),
        ],
    )
    async def test_by_the_person_who_has_it(self, store: Store, person: Human, found: str | None) -> None:
        """By any of their addresses, whole; what they are called does not count."""
        await opened(store, id="ana", assignee=ANA)
        await opened(store, id="ben", assignee=BEN)
        await opened(store, id="nobody")
        assert ids(await store.find(Query(held_by=person))) == ([found] if found else [])

    async def test_by_assignee_follows_the_latest_state(self, store: Store) -> None:
        """Who had it once does not have it now."""
        task = await opened(store, assignee=ANA)
        await moved(store, following(task, assignee=BEN))
        assert await store.find(Query(assigned_to="u-1")) == []
        assert ids(await store.find(Query(assigned_to="u-2"))) == [task.id]

    async def test_by_being_unassigned(self, store: Store) -> None:
        """Nobody has it, or somebody has."""
        with_ana, free = await opened(store, assignee=ANA), await opened(store)
        assert ids(await store.find(Query(unassigned=True))) == [free.id]
        assert ids(await store.find(Query(unassigned=False))) == [with_ana.id]

    async def test_people_see_what_concerns_them(self, store: Store) -> None:
        """Addressed to, assigned to or answered by them, or for anybody."""
        await opened(store, id="anybody")
        await opened(store, id="addressed", addressees=(BEN, ANA))
        await opened(store, id="assigned", addressees=(BEN,), assignee=ANA)
        await moved(store, answering(await opened(store, id="answered", addressees=(BEN,)), by=ANA))
        await opened(store, id="foreign", addressees=(BEN,), assignee=BEN)
        await opened(store, id="taken", assignee=BEN)
        visible = {"anybody", "addressed", "assigned", "answered", "taken"}
        assert set(ids(await store.find(Query(visible_to=ANA)))) == visible
        assert len(await store.find(Query(visible_to=BOSS))) == 6

    async def test_names_that_look_alike_are_different_people(self, store: Store) -> None:
        """Accents, blanks and every character count in an id, for the assignee and for who sees what."""
        names = ["jose", "josé", "jose ", "jo se", "ж", "🙂", "🙃"]
        tasks = [await opened(store, id=name, assignee=Human(id=name), addressees=(Human(id=name),)) for name in names]
        for name, task in zip(names, tasks, strict=True):
            assert await store.get(name) == task
            assert ids(await store.find(Query(visible_to=Human(id=name)))) == [name]
            assert ids(await store.find(Query(assigned_to=name))) == [name]
        upper = await opened(store, id="JOSE")
        assert [await store.get("jose"), await store.get("JOSE")] == [tasks[0], upper]

    async def test_people_are_known_by_any_of_their_addresses(self, store: Store) -> None:
        """One address in common is enough, whatever its letter case."""
        await opened(store, id="mail", addressees=(Human(id="ANA@example.com"),))
        await opened(store, id="slack", addressees=(Human(id="x", slack_user_id="u0ana"),))
        await opened(store, id="name", addressees=(Human(id="y", display_name=ANA.display_name),))
        assert set(ids(await store.find(Query(visible_to=ANA)))) == {"mail", "slack"}
        assert ids(await store.find(Query(visible_to=Human(id="U0ANA")))) == ["slack"]

    async def test_who_is_taken_off_a_task_sees_it_no_more(self, store: Store) -> None:
        """Visibility follows the latest addressees."""
        task = await opened(store, addressees=(ANA,), assignee=ANA)
        task = await moved(store, following(task, addressees=(BEN,), assignee=None))
        assert await store.find(Query(visible_to=ANA)) == []
        await moved(store, following(task, addressees=()))
        assert ids(await store.find(Query(visible_to=ANA))) == [task.id]

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("refund", {"one", "two"}),
            ("REFUND Groß", {"one"}),
            ("groß refund", {"one"}),
            ("fund ord", {"one"}),
            ("order-1047", {"one"}),
            ("emea", {"two"}),
            ("pool:finance refund", {"two"}),
            ("100%", {"two"}),
            ("1%0", set[str]()),
            ("_", set[str]()),
            ("\\", set[str]()),
            ("refund nowhere", set[str]()),
            ("secret", set[str]()),
        ],
    )
    async def test_by_words(self, store: Store, search: str, found: set[str]) -> None:
        """Each a part of the question, the key, the metadata or the routing; whatever their order and letter case."""
        secret = {"payload": "secret"}
        await opened(store, id="one", spec=make_spec(task="Refund Jürgen GROSS, Groß?", idempotency_key="order-1047"))
        told = {"metadata": {"region": "EMEA"}, "assign_to": {"pool": "Finance"}}
        await opened(store, id="two", spec=make_spec(task="Refund 100%?", payload=secret, **told))
        assert set(ids(await store.find(Query(search=search)))) == found
        assert sum((await store.count(Query(search=search))).values()) == len(found)

    @pytest.mark.parametrize("search", ["order-1047", "one"])
    async def test_by_a_whole_key_or_id(self, store: Store, search: str) -> None:
        """Every store finds those, also one that keeps no readable words."""
        await opened(store, id="one", spec=make_spec(task="Refund?", idempotency_key="order-1047"))
        await opened(store, id="two", spec=make_spec(task="Refund?", idempotency_key="order-2000"))
        assert ids(await store.find(Query(search=search))) == ["one"]

    @pytest.mark.parametrize("order", Order)
    async def test_each_order_is_followed_across_pages(self, store: Store, order: Order) -> None:
        """By creation or by deadline, then id; the cursor gives each task once."""
        for number in range(12):
            created_at, deadline = NOON + number // 3 * SECOND, NOON + (7 - number) // 2 * SECOND
            await opened(store, id=f"t{number:02}", created_at=created_at, deadline=deadline)
        found = await store.find(Query(order=order))
        placed = sorted(found, key=lambda task: (order.place(task).at, task.id), reverse=order is Order.NEWEST)
        assert ids(found) == ids(placed)
        pages: list[str] = []
        cursor = None
        while len(pages) <= 12 and (page := await store.find(Query(order=order, after=cursor, limit=5))):
            pages += ids(page)
            cursor = order.place(page[-1])
        assert pages == ids(found)

    async def test_the_order_by_deadline_follows_the_latest_one(self, store: Store) -> None:
        """A deadline that was moved counts as it is now."""
        first = await opened(store, id="first", deadline=NOON + SECOND)
        await opened(store, id="second", deadline=NOON + 2 * SECOND)
        await moved(store, following(first, deadline=NOON + 3 * SECOND))
        assert ids(await store.find(Query(order=Order.DEADLINE))) == ["second", "first"]

    async def test_conditions_hold_together(self, store: Store) -> None:
        """Each narrows the list; the limit counts what is left."""
        for number in range(12):
            person = (ANA, BEN, None)[number % 3]
            fields = {"assignee": person, "created_at": NOON + number * SECOND}
            task = await opened(store, id=f"t{number:02}", **fields)
            if number % 2:
                await moved(store, answering(task))
        pending = frozenset({TaskStatus.PENDING})
        assert ids(await store.find(Query(statuses=pending, assigned_to="u-1"))) == ["t06", "t00"]
        assert ids(await store.find(Query(statuses=pending, unassigned=False, limit=2))) == ["t10", "t06"]
        cursor = Cursor(at=NOON + 6 * SECOND, id="t06")
        assert ids(await store.find(Query(statuses=pending, assigned_to="u-1", after=cursor))) == ["t00"]


class OutcomeTests(StoreTests, of="Store.outcomes"):
    """`outcomes`: what figures are made of."""

    async def test_outcomes_say_how_each_task_fares(self, store: Store) -> None:
        """Those that fit, in the query's order, at their latest version."""
        tasks = [await opened(store, id=f"t{number}", created_at=NOON + number * SECOND) for number in range(4)]
        tasks[1] = await moved(store, answering(tasks[1], by=ANA))
        tasks[2] = await moved(store, following(tasks[2], status=TaskStatus.CANCELLED, closed_at=NOON + 9 * SECOND))
        expected = [Outcome.of(task) for task in reversed(tasks)]
        assert [one.answerer for one in expected] == [None, None, ANA.label, None]
        assert await store.outcomes(Query()) == expected
        assert await store.outcomes(Query(limit=2, after=Cursor(at=NOON + 3 * SECOND, id="t3"))) == expected[1:3]
        assert await store.outcomes(Query(statuses=frozenset({TaskStatus.PENDING}))) == [expected[0], expected[3]]

    async def test_a_purged_task_has_no_outcome(self, store: Store) -> None:
        """Nothing of it counts any more."""
        await store.purge(await closed(store, assignee=ANA))
        assert await store.outcomes(Query()) == []


class CountTests(StoreTests, of="Store.count"):
    """`count`: how many, without reading them."""

    async def test_tasks_are_counted_by_status(self, store: Store) -> None:
        """Those that fit, whatever the page; a status without any is no key."""
        for person in (ANA, ANA, BEN):
            await opened(store, assignee=person)
        await closed(store, assignee=ANA)
        await store.purge(await closed(store, assignee=ANA))
        assert dict(await store.count(Query())) == {TaskStatus.PENDING: 3, TaskStatus.COMPLETED: 1}
        with_ana = Query(assigned_to="u-1", limit=1, offset=1)
        assert dict(await store.count(with_ana)) == {TaskStatus.PENDING: 2, TaskStatus.COMPLETED: 1}
        assert dict(await store.count(Query(statuses=frozenset({TaskStatus.CANCELLED})))) == {}


class PurgeTests(StoreTests, of="Store.purge"):
    """`purge`: content goes, the key stays."""

    async def test_a_purged_task_is_gone(self, store: Store) -> None:
        """Neither task nor trail nor effects can be read any more."""
        task = make_task(addressees=(ANA,), assignee=ANA)
        await store.create(opening(task, make_effect(task)))
        [held] = await deliveries(store)
        task = await moved(store, answering(opening(task).task))
        assert await store.purge(task) is True
        assert await store.get(task.id) is None
        assert await store.trail(task.id) == []
        assert await store.deliveries(task.id) == []
        assert await leased(store, now=UNTIL) == []
        assert await store.settle(held, NOON) is False
        assert await store.apply(following(task)) is False
        assert await store.purge(task) is False, "purge: the task is gone already"

    async def test_the_failures_of_a_purged_task_are_gone(self, store: Store) -> None:
        """Nobody could do anything about them."""
        task = make_task()
        await store.create(opening(task, make_effect(task)))
        assert await store.settle(await lease_one(store), NOON, failed="no such mailbox")
        assert await store.purge(await moved(store, answering(opening(task).task)))
        assert await store.failures() == []

    async def test_a_purged_task_is_in_no_list(self, store: Store) -> None:
        """No condition finds it."""
        task = await closed(store, spec=make_spec(idempotency_key="k"), assignee=ANA)
        await store.purge(task)
        queries = (
            Query(),
            Query(ids=(task.id,)),
            Query(idempotency_key="k"),
            Query(statuses=frozenset(TaskStatus)),
            Query(assigned_to="u-1"),
            Query(assignee_id="u-1"),
            Query(held_by=ANA),
            Query(search=task.id),
            Query(unassigned=True),
            Query(visible_to=ANA),
            Query(changed_after=Cursor(at=NOON - SECOND, id="")),
        )
        for query in queries:
            assert await store.find(query) == [], f"find: a purged task fits {query}"

    async def test_the_key_of_a_purged_task_stays_taken(self, store: Store) -> None:
        """Creating with it says that the task is gone."""
        task = await closed(store, spec=make_spec(idempotency_key="k"))
        await store.purge(task)
        for scope in KeyScope:
            with pytest.raises(TaskGoneError) as raised:
                await opened(store, spec=make_spec(idempotency_key="k", key_scope=scope))
            assert raised.value.task_id == task.id
            assert "completed" in raised.value.message

    async def test_the_call_scoped_key_of_a_purged_task_is_free(self, store: Store) -> None:
        """Collected or not."""
        spec = make_spec(idempotency_key="k", key_scope=KeyScope.CALL)
        first = await closed(store, spec=spec)
        await store.purge(first)
        second = await opened(store, spec=spec)
        assert second.id != first.id

    async def test_purging_an_old_task_leaves_the_keys_present_holder(self, store: Store) -> None:
        """A key that was given free and taken anew stays with its new task."""
        spec = make_spec(idempotency_key="k", key_scope=KeyScope.CALL)
        old = await moved(store, collecting(await closed(store, spec=spec)))
        new = await opened(store, spec=spec)
        assert await store.purge(old)
        assert (await opened(store, spec=spec)).id == new.id

    async def test_purge_needs_the_present_version(self, store: Store) -> None:
        """A change that came in between is not erased unread."""
        task = await closed(store)
        now = await moved(store, collecting(task))
        assert await store.purge(task) is False
        assert await store.get(task.id) == now
        assert await store.purge(make_task()) is False

    async def test_an_open_task_is_not_erased(self, store: Store) -> None:
        """Somebody may still be waiting for it."""
        task = await opened(store)
        assert await store.purge(task) is False
        assert await store.get(task.id) == task

    async def test_purging_leaves_other_tasks_alone(self, store: Store) -> None:
        """Nothing of another task goes."""
        other = make_task()
        await store.create(opening(other, make_effect(other)))
        await store.purge(await closed(store))
        assert await store.get(other.id) == opening(other).task
        assert len(await store.trail(other.id)) == 1
        assert await leased(store) == [make_effect(other)]

    async def test_of_purge_and_apply_one_wins(self, store: Store) -> None:
        """Both need the same version."""
        task = await closed(store)
        results = await gather(lambda: store.purge(task), lambda: store.apply(collecting(task)))
        assert results.count(True) == 1


class LifeTests(StoreTests, of="Store"):
    """`setup`, `now` and `aclose`."""

    async def test_setup_may_be_repeated(self, store: Store) -> None:
        """Nothing is lost by it."""
        task = await opened(store)
        await gather(store.setup, store.setup)
        assert await store.get(task.id) == task

    async def test_the_stores_clock_is_aware_or_absent(self, store: Store) -> None:
        """A time with a zone, never going back; or None."""
        first, second = await store.now(), await store.now()
        if first is not None and second is not None:
            assert first.utcoffset() == timedelta()
            assert first <= second

    async def test_closing_may_be_repeated(self, store: Store) -> None:
        """The second time does nothing."""
        await store.aclose()
        await store.aclose()


class StoreConformance(
    CreateTests,
    ValueTests,
    ApplyTests,
    LeaseTests,
    SettleTests,
    DeliveriesTests,
    FailuresTests,
    RetriedTests,
    FindTests,
    OutcomeTests,
    CountTests,
    PurgeTests,
    LifeTests,
):
    """Every promise of `awaithumans.protocols.Store`."""


class WatchableStore(Store, Watchable, Protocol):
    """A store that hears what other processes change."""


@pytest.mark.anyio
class WatchableConformance(Promises, of="Watchable"):
    """Every promise of `Watchable`: subclass it, and override both fixtures."""

    patience: float = 20
    """Seconds after which a hint counts as lost."""

    @pytest.fixture
    def store(self) -> WatchableStore:
        """Give the store that listens: set up."""
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> WatchableStore:
        """Give a second store on the same tasks, as another process has it."""
        raise NotImplementedError

    async def test_the_first_item_says_that_somebody_listens(self, store: WatchableStore) -> None:
        """It comes though nothing has changed."""
        async with listening(store, self.patience):
            pass

    async def test_a_change_in_another_store_is_heard(self, store: WatchableStore, other: WatchableStore) -> None:
        """A new task and each new version, once they are announced."""
        async with listening(store, self.patience) as heard:
            task = await opened(other)
            await other.announce([task.id])
            await hears(heard, task.id, patience=self.patience)
            await moved(other, following(task))
            await other.announce([task.id])
            await hears(heard, task.id, patience=self.patience)

    async def test_many_changes_are_all_heard(self, store: WatchableStore, other: WatchableStore) -> None:
        """More ids than fit in one message."""
        tasks = [make_task() for _ in range(300)]
        async with listening(store, self.patience) as heard:
            await gather(*(partial(other.create, opening(task)) for task in tasks))
            await other.announce(ids(tasks))
            await hears(heard, *ids(tasks), patience=self.patience)

    async def test_announcing_nothing_is_harmless(self, store: WatchableStore, other: WatchableStore) -> None:
        """What comes after it is heard."""
        async with listening(store, self.patience) as heard:
            await other.announce([])
            task = await opened(other)
            await other.announce([task.id])
            await hears(heard, task.id, patience=self.patience)

    async def test_several_may_listen_on_one_store(self, store: WatchableStore, other: WatchableStore) -> None:
        """Each of them hears everything."""
        async with listening(store, self.patience) as first, listening(store, self.patience) as second:
            task = await opened(other)
            await other.announce([task.id])
            await hears(first, task.id, patience=self.patience)
            await hears(second, task.id, patience=self.patience)

    async def test_listening_can_end_and_begin_again(self, store: WatchableStore, other: WatchableStore) -> None:
        """Closed, or cancelled while it waits, it leaves a store that works."""
        async with listening(store, self.patience):
            pass
        with anyio.move_on_after(0.05):
            async with listening(store, self.patience) as heard:
                async for _ in heard:
                    pass
        async with listening(store, self.patience) as heard:
            task = await opened(other)
            await other.announce([task.id])
            await hears(heard, task.id, patience=self.patience)
        assert await store.get(task.id) == task


@asynccontextmanager
async def listening(store: Watchable, patience: float) -> AsyncGenerator[AsyncGenerator[Sequence[str], None], None]:
    """Watch, from the moment that somebody listens."""
    async with aclosing(store.watch()) as heard:
        with anyio.fail_after(patience):
            await anext(heard)
        yield heard


async def hears(heard: AsyncGenerator[Sequence[str], None], *task_ids: str, patience: float) -> None:
    """Return once all of these were heard of."""
    missing = set(task_ids)
    with anyio.fail_after(patience):
        while missing:
            missing -= set(await anext(heard))


class JoinableStore(Store, Joinable, Protocol):
    """A store that can write inside a transaction of the host's."""


Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]
"""Opens a transaction and gives its connection; commits at the end of the
block, and rolls back if the block raises."""


@pytest.mark.anyio
class JoinableConformance(Promises, of="Joinable"):
    """Every promise of `Joinable`: subclass it, and override both fixtures.

    What `using` gives is a store, too: put it to `StoreConformance`, with a
    fixture that gives `store.using(connection)` inside a transaction.
    """

    @pytest.fixture
    def store(self) -> JoinableStore:
        """Give the store: set up, and empty."""
        raise NotImplementedError

    @pytest.fixture
    def begin(self) -> Begin:
        """Give what opens a transaction of the host's, on the store's database."""
        raise NotImplementedError

    async def test_nobody_sees_a_task_before_the_commit(self, store: JoinableStore, begin: Begin) -> None:
        """Inside the transaction it is there at once, outside after it."""
        async with begin() as connection:
            joined = store.using(connection)
            task = await opened(joined)
            assert await joined.get(task.id) == task
            assert await store.get(task.id) is None, "using: seen by others before the commit"
        assert await store.get(task.id) == task

    async def test_a_rollback_takes_everything_back(self, store: JoinableStore, begin: Begin) -> None:
        """Tasks, changes, trails, effects and keys."""
        before = await opened(store)
        spec = make_spec(idempotency_key="k")
        taken_back = make_task(spec=spec)
        with suppress(_RolledBackError):
            async with begin() as connection:
                joined = store.using(connection)
                await joined.create(opening(taken_back))
                await moved(joined, following(before, make_effect(before), assignee=ANA))
                raise _RolledBackError
        assert await store.find(Query()) == [before]
        assert len(await store.trail(before.id)) == 1
        assert await store.deliveries(before.id) == []
        assert (await opened(store, spec=spec)).id != taken_back.id

    async def test_effects_are_handed_out_after_the_commit(self, store: JoinableStore, begin: Begin) -> None:
        """Nobody is told of a question that may yet be taken back."""
        task = make_task()
        async with begin() as connection:
            await store.using(connection).create(opening(task, make_effect(task)))
            assert await store.deliveries(task.id) == []
        assert await leased(store) == [make_effect(task)]

    async def test_a_call_that_writes_nothing_leaves_the_transaction_usable(
        self, store: JoinableStore, begin: Begin
    ) -> None:
        """Whether it lost, found its key taken, or could not be written."""
        before = await opened(store, spec=make_spec(idempotency_key="k"))
        bad = following(before)
        bad = replace(bad, entries=(replace(bad.entries[0], data={"no JSON": object()}),))
        async with begin() as connection:
            joined = store.using(connection)
            assert await joined.apply(replace(bad, task=replace(bad.task, version=9), entries=())) is False
            assert await opened(joined, spec=make_spec(idempotency_key="k")) == before
            with pytest.raises(Exception):  # noqa: B017, PT011 - stores choose what to raise
                await joined.apply(bad)
            task = await opened(joined)
        assert await store.get(task.id) == task
        assert await store.get(before.id) == before

    async def test_committing_is_called_when_the_host_commits(self, store: JoinableStore, begin: Begin) -> None:
        """Not before, and not for a rollback."""
        called: list[str] = []
        with suppress(_RolledBackError):
            async with begin() as connection:
                await opened(store.using(connection, committing=lambda: called.append("rolled back")))
                raise _RolledBackError
        async with begin() as connection:
            await opened(store.using(connection, committing=lambda: called.append("committed")))
            assert called == []
        assert set(called) == {"committed"}

    async def test_something_that_cannot_be_joined_is_refused(self, store: JoinableStore) -> None:
        """`ConfigurationError`, at once."""
        with pytest.raises(ConfigurationError):
            store.using(object())


class _RolledBackError(Exception):
    """What the host says to its transaction."""


async def _cancelled_after(turns: int, call: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Start `call`, and cancel it after some turns of the event loop."""
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        for _ in range(turns):
            await checkpoint()
        group.cancel_scope.cancel()


def _full_task() -> Task:
    by = Actor.of(ANA, auth="link", via="web", stated_by="agent:x")
    spec = make_spec(
        payload_schema={"type": "object", "properties": {"amount": {"type": "number"}}},
        key_scope=KeyScope.CALL,
        form={"fields": [{"name": "approve"}]},
        assign_to={"emails": ["ana@example.com"]},
        notify=("email:ana@example.com", "slack:#ops"),
        verifier=VerifierConfig(provider="llm", instructions="Be fair.", max_attempts=2, metadata={"a": None}),
        redact_payload=True,
        redact_response_after_submit=True,
        metadata={"order": "1"},
        callback_url="https://example.com/hook",
        initial_response={"approve": False},
        initial_errors={"approve": "must be true"},
        requested_by="agent:x",
        idempotency_key="the key",
    )
    return make_task(
        id="full",
        spec=spec,
        grace_until=NOON + SECOND,
        status=TaskStatus.SUBMITTED,
        addressees=(ANA, Human(id="r", roles=("ops", "eu"), access_level="gold", operator=True)),
        assignee=ANA,
        claimed_at=NOON,
        reminded=2,
        answers=(
            Answer(by=by, at=NOON, attempt=1, value={"approve": False}),
            Answer(by=by, at=NOON + SECOND, attempt=2, value={}),
        ),
        attempt=1,
        verdict=Verdict(passed=False, reason="too high", parsed_response={"approve": True}),
        closed_at=NOON,
        collected_at=NOON,
        response_redacted_at=NOON,
        unknown={"newer": [1, {"a": None}]},
        unknown_spec={"newest": {}},
    )
