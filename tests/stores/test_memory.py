"""The memory store keeps every promise of a store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from awaithumans.protocols import Watchable
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.stores import StoreConformance
from awaithumans.testing.tasks import NOON, SECOND, following, make_effect, make_spec, make_task, opening
from awaithumans.types import Leased, Task


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_threads_may_share_it():
    store = MemoryStore()
    start = threading.Barrier(4)

    def create() -> Task:
        start.wait()
        return anyio.run(store.create, opening(make_task(spec=make_spec(idempotency_key="k"))))

    with ThreadPoolExecutor(4) as threads:
        tasks = [future.result() for future in [threads.submit(create) for _ in range(4)]]
    assert len({task.id for task in tasks}) == 1


def test_it_has_nothing_to_hear_from_other_processes():
    assert not isinstance(MemoryStore(), Watchable)


@pytest.mark.anyio
async def test_leasing_looks_at_what_is_due_and_not_at_what_is_done():
    store = MemoryStore()
    task = await store.create(opening(make_task()))
    for number in range(200):
        change = following(task, make_effect(task, generation=number))
        assert await store.apply(change)
        task = change.task
        [delivery] = (await store.lease(NOON, NOON + SECOND, 10)).deliveries
        assert await store.settle(delivery, NOON)
    assert await store.lease(NOON, NOON, 10) == Leased()
    assert store._effects._queue == []
