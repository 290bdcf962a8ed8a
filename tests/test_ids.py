from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from awaithumans import Engine
from awaithumans.ids import uuid7
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import a_question

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7():
    one = UUID(made := uuid7(NOON))
    assert (one.version, one.variant, one.hex) == (7, RFC_4122, made)
    assert datetime.fromtimestamp((one.int >> 80) / 1_000, UTC) == NOON


def test_ids_of_one_moment_differ_and_later_ones_sort_behind_them():
    ids = [uuid7(NOON + timedelta(milliseconds=number // 100)) for number in range(1_000)]
    assert len(set(ids)) == len(ids)
    assert sorted(ids, key=lambda one: one[:12]) == ids
    assert all(a[:12] < b[:12] for a, b in zip(ids, ids[100:], strict=False))


def test_a_clock_that_is_centuries_off_makes_ids_too():
    for year in (1, 1969, 9999):
        assert UUID(uuid7(NOON.replace(year=year))).version == 7


async def test_a_task_is_named_by_the_engines_clock():
    clock = VirtualClock()
    engine = Engine(MemoryStore(), clock=clock)
    task = await engine.create(a_question())
    assert task.id[:12] == f"{int(clock.now().timestamp() * 1_000):012x}"
    await engine.aclose()
