"""Every verb for threads, and any number of threads that wait."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from awaithumans import Actor, BlockingEngine, Engine, Human, Query, RemoteEngine, TaskNotFoundError, TaskStatus
from awaithumans.protocols import TaskEngine
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.engines import a_question

ANA = Human(id="ana@example.com", email="ana@example.com")
BY_ANA = Actor.of(ANA, auth="engine")
SECRET = "0123456789" * 4
ROOT = Path(__file__).parent.parent
ASYNC_ONLY = {"run", "follow", "changes", "using"}  # `BlockingEngine(engine.using(connection))` joins
YES = {"approved": True}


@pytest.fixture
def engine() -> BlockingEngine[Engine]:
    return BlockingEngine(Engine(MemoryStore(), secret=SECRET, public_url="https://app.example/humans"))


@pytest.mark.parametrize("kind", [TaskEngine, Engine, RemoteEngine])
def test_it_has_every_verb_with_the_same_arguments(kind: type) -> None:
    for name, verb in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and name not in ASYNC_ONLY:
            twin = inspect.signature(getattr(BlockingEngine, name))
            ours, theirs = list(twin.parameters.values())[1:], list(inspect.signature(verb).parameters.values())[1:]
            known = {one.name for one in ours}
            assert ours == [one for one in theirs if one.name in known or name != "collect"], name


def test_what_takes_an_engine_in_this_process(engine: BlockingEngine[Engine]) -> None:
    task, new = engine.ask(a_question(assign_to={"email": "ana@example.com"}), by=BY_ANA)
    assert new
    assert list(engine.resolve({"email": "ana@example.com"})) == [ANA]
    assert engine.page_url(task.id) == f"https://app.example/humans/tasks/{task.id}"
    assert engine.link(task, ANA).startswith("https://app.example/humans/l/")
    page = engine.embed(task, ANA, origin="https://app.example")
    assert page.url.startswith("https://app.example/humans/embed/")
    assert engine.misfits(task, {}) != {}
    assert engine.wait_until(task.id, lambda task: not task.closed).id == task.id
    assert engine.wait_for_verdict(task.id).id == task.id
    assert [entry.action for entry in engine.trail(task.id)] == ["created"]
    assert len(engine.deliveries(task.id)) == 1
    assert engine.health().ok
    assert engine.tick() == 0
    assert engine.statistics().totals == {TaskStatus.PENDING: 1}
    assert engine.failures() == []
    assert engine.redeliver(task.id, by=BY_ANA) == engine.get(task.id)
    assert engine.remind(task.id, "nobody:else", by=BY_ANA) == engine.get(task.id)
    assert engine.purge(before=task.changed_at) == 0
    engine.delete(task.id, by=BY_ANA)
    with pytest.raises(TaskNotFoundError):
        engine.get(task.id)


def test_many_waiting_threads_starve_nobody(engine: BlockingEngine[Engine]) -> None:
    tasks = [engine.create(a_question(idempotency_key=f"k-{number}")) for number in range(100)]
    with ThreadPoolExecutor(100) as threads:
        waiting = [threads.submit(engine.wait, task.id, timeout=60) for task in tasks]
        while len(engine.engine._hub.awaited()) < len(tasks):
            assert engine.find(Query(limit=1))
        for task in tasks:
            engine.submit(task.id, YES, by=BY_ANA)
        assert {one.result(60).status for one in waiting} == {TaskStatus.COMPLETED}


def test_threads_that_start_at_once_share_one_event_loop(engine: BlockingEngine[Engine]) -> None:
    start = threading.Barrier(20)

    def look() -> None:
        start.wait()
        engine.find(Query())

    with ThreadPoolExecutor(20) as threads:
        for one in [threads.submit(look) for _ in range(20)]:
            one.result(60)
    assert len(engine.engine._background._homes) == 1


ANSWERS = """
import sys
from awaithumans import Actor, BlockingEngine, Engine, Human
from awaithumans.stores.sqlalchemy import SQLAlchemyStore

engine = BlockingEngine(Engine(SQLAlchemyStore(sys.argv[1])))
engine.submit(sys.argv[2], {"approved": True}, by=Actor.of(Human(id="ana@example.com"), auth="engine"))
"""


def test_a_program_that_answers_and_ends_wakes_who_waits_elsewhere(postgres_url: str) -> None:
    engine = BlockingEngine(Engine(SQLAlchemyStore(postgres_url)))
    task = engine.create(a_question())
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(engine.wait, task.id)
        subprocess.run([sys.executable, "-c", ANSWERS, postgres_url, task.id], cwd=ROOT, check=True, timeout=60)
        assert waiting.result(timeout=10).closed  # and not at the next look, up to half a minute later
    engine.aclose()
