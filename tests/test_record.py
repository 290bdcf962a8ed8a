"""A task's record keeps the rules of a store; the suite for stores checks them all on the LMDB example."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from awaithumans.documents import delivery_document, delivery_from_document, dumps
from awaithumans.record import TaskRecord
from awaithumans.testing.tasks import ANA, NOON, SECOND, following, make_effect, make_task, opening
from awaithumans.types import Delivery, Effect, EffectKind, Human

LATER = NOON + timedelta(minutes=1)

effects = st.builds(
    lambda kind, due, recipient, generation: make_effect(
        make_task(id="t"), kind=kind, due=NOON + due * SECOND, recipient=recipient, generation=generation
    ),
    kind=st.sampled_from(EffectKind),
    due=st.integers(-5, 5),
    recipient=st.sampled_from(["", "test:ana", "webhook:https://example.com/ü"]),
    generation=st.integers(1, 5),
)


def read_again(record: TaskRecord) -> TaskRecord:
    return TaskRecord.from_document(json.loads(dumps(record.document())))


def test_a_record_is_read_back_as_it_was_written():
    task = make_task(unknown={"newer": [1]}, unknown_spec={"newest": {}}, assignee=Human(id="a", unknown={"x": 1}))
    done, failed, waiting = (make_effect(task, recipient=name) for name in ("done", "failed", "waiting"))
    record = TaskRecord.opened(opening(task, done, failed, waiting))
    record, leased = record.lease(done.id, LATER)
    record = record.settle(leased, NOON, receipt="🧾") or record
    record, leased = record.lease(failed.id, LATER)
    record = record.settle(leased, NOON, failed="💥") or record
    record = record.apply(following(record.task, assignee=ANA)) or record
    assert read_again(record) == record
    assert (record.task.version, len(record.trail)) == (2, 2)
    assert (dict(record.waiting), dict(record.failed)) == ({waiting.id: NOON}, {failed.id: NOON})


def test_a_record_is_never_changed_in_place():
    task = make_task()
    effect = make_effect(task)
    before = TaskRecord.opened(opening(task, effect))
    after, delivery = before.lease(effect.id, LATER)
    assert before.deliveries == [Delivery(effect=effect)]
    assert after.deliveries == [delivery]


def test_only_the_next_version_is_written():
    record = TaskRecord.opened(opening(make_task()))
    assert record.apply(following(replace(record.task, version=5))) is None
    assert record.apply(opening(record.task)) is None
    assert record.apply(following(record.task))


@given(st.lists(effects, max_size=8), st.lists(effects, max_size=4))
def test_of_each_lane_the_earliest_waits_and_the_one_written_first(first, second):
    record = TaskRecord.opened(opening(make_task(id="t"), *first))
    record = record.apply(following(record.task, *second)) or record
    written: dict[str, Effect] = {}
    for effect in (*first, *second):
        written.setdefault(effect.id, effect)
    heads = {effect.lane: effect for effect in sorted(written.values(), key=lambda effect: effect.due)[::-1]}
    found = {delivery.effect.id: delivery.effect for delivery in record.deliveries}
    assert {found[effect_id].lane: found[effect_id] for effect_id in record.waiting} == heads


def test_a_delivery_is_read_back_with_all_that_came_of_it():
    effect = make_effect(make_task(), kind=EffectKind.EXPIRE, recipient="", event="", generation=3)
    for delivery in (
        Delivery(effect=effect),
        Delivery(effect=effect, token="t", attempts=2),
        Delivery(effect=effect, token="t", attempts=2, receipt="", settled_at=NOON),
        Delivery(effect=effect, token="t", attempts=2, failure="", settled_at=NOON),
    ):
        assert delivery_from_document(json.loads(dumps(delivery_document(delivery)))) == delivery
