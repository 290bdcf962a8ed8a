"""One of several is chosen: fairly, by any number of processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from random import Random

import anyio
import pytest
import sqlalchemy

from awaithumans import Engine
from awaithumans.assignment import COMPARED, REMEMBERED
from awaithumans.directory import StaticDirectory
from awaithumans.errors import IdempotencyConflictError
from awaithumans.protocols import Store
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import Encryption, SQLAlchemyStore
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import a_question
from awaithumans.types import AGENT, Actor, Human, JsonObject, KeyScope, Query, Task, TaskStatus
from tests.running import ROOT

pytestmark = pytest.mark.anyio

NAMES = ("ana", "ben", "cleo")
# "1" is part of everybody's name, and one is an operator, who sees all tasks.
CREW = [Human(id=name, email=f"{name}@example.com", display_name=f"{name} 1", pools=("crew",)) for name in NAMES]
CREW[2] = Human(id="1", display_name="Cleo 1", pools=("crew", "night"), operator=True)
TO_CREW = {"pool": "crew"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def people() -> list[Human]:
    return list(CREW)


@pytest.fixture(params=["memory", "sqlite", "encrypted"])
async def engine(
    request: pytest.FixtureRequest, clock: VirtualClock, people: list[Human], tmp_path
) -> AsyncIterator[Engine]:
    url = f"sqlite:///{tmp_path}/tasks.db"
    encryption = Encryption("s" * 32) if request.param == "encrypted" else None
    store: Store = MemoryStore() if request.param == "memory" else SQLAlchemyStore(url, encryption=encryption)
    directory = StaticDirectory(lambda: list(people))
    engine = Engine(store, directory=directory, clock=clock, background=False, rng=Random(1))
    yield engine
    await engine.aclose()


async def ask(engine: Engine, assign_to: JsonObject = TO_CREW, **fields: object) -> Task:
    return await engine.create(a_question(assign_to=assign_to, **fields))


def who(task: Task) -> str:
    assert task.assignee
    assert task.addressees == (task.assignee,)
    return task.assignee.id


async def answer(engine: Engine, task: Task) -> None:
    await engine.submit(task.id, {"approved": True}, by=AGENT)


async def test_everybody_has_their_turn(engine: Engine) -> None:
    chosen = [who(await ask(engine)) for _ in range(9)]
    assert chosen == ["ana", "ben", "1"] * 3


async def test_who_has_fewer_open_tasks_is_asked(engine: Engine, clock: VirtualClock) -> None:
    tasks = [await ask(engine) for _ in range(6)]
    for task in tasks:
        if who(task) == "1":
            await answer(engine, task)
    await clock.advance(60)
    assert [who(await ask(engine)) for _ in range(4)] == ["1", "1", "ana", "ben"]


async def test_tasks_that_came_another_way_count(engine: Engine, clock: VirtualClock) -> None:
    """By name, or taken from a list; but not those that others have, or nobody."""
    both = {"emails": ["ana@example.com", "1"]}
    await ask(engine, {"email": "1"})
    for _ in range(3):
        await engine.claim((await ask(engine, both)).id, by=Actor.of(CREW[0], auth="host"))
    for _ in range(3):
        await engine.create(a_question())
    await clock.advance(60)
    assert [who(await ask(engine)) for _ in range(3)] == ["ben", "1", "ben"]


async def test_between_equals_it_is_whose_turn_is_longest_ago(engine: Engine, clock: VirtualClock) -> None:
    chosen = []
    for _ in range(6):
        task = await ask(engine)
        chosen.append(who(task))
        await answer(engine, task)
        await clock.advance(60)
    assert chosen == ["ana", "ben", "1"] * 2


async def test_a_crowd_that_asks_at_once_is_spread(engine: Engine) -> None:
    """Before any of the tasks is there to be counted."""
    chosen: Counter[str] = Counter()

    async def one() -> None:
        chosen[who(await ask(engine))] += 1

    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(one)
    assert set(chosen.values()) == {10}


async def test_asking_again_with_a_key_takes_no_turn(engine: Engine) -> None:
    first = await ask(engine, idempotency_key="refund:1")
    for scope in (KeyScope.FOREVER, KeyScope.CALL):
        again = [ask(engine, idempotency_key="refund:1", key_scope=scope) for _ in range(2)]
        for call in again:
            if scope is KeyScope.FOREVER:
                assert (await call).id == first.id
            else:
                with pytest.raises(IdempotencyConflictError):
                    await call
    assert [who(await ask(engine)) for _ in range(2)] == ["ben", "1"]


async def test_a_key_that_is_free_again_takes_a_turn(engine: Engine) -> None:
    first = await ask(engine, idempotency_key="refund:1", key_scope=KeyScope.CALL)
    await answer(engine, first)
    await engine.collect(first.id)
    assert who(await ask(engine, idempotency_key="refund:1", key_scope=KeyScope.CALL)) == "ben"


async def test_a_key_finds_its_task_when_nobody_of_them_is_left(engine: Engine, people: list[Human]) -> None:
    """Whoever waits for the answer after a restart must not be turned away."""
    first = await ask(engine, idempotency_key="refund:1")
    people.clear()
    assert (await ask(engine, idempotency_key="refund:1")).id == first.id


async def test_who_has_left_is_not_chosen(engine: Engine, people: list[Human]) -> None:
    await ask(engine)
    people.remove(CREW[1])
    assert [who(await ask(engine)) for _ in range(3)] == ["1", "ana", "1"]


async def test_the_only_one_needs_no_choice(engine: Engine) -> None:
    assert [who(await ask(engine, {"pool": "night"})) for _ in range(2)] == ["1", "1"]
    assert await engine._assignment._records.find("assignment") == []  # type: ignore[union-attr]


async def test_what_is_kept_says_no_names(engine: Engine) -> None:
    """Ids of records are not encrypted."""
    await ask(engine)
    (record,) = await engine._assignment._records.find("assignment")  # type: ignore[union-attr]
    assert "crew" not in record.id


@pytest.mark.parametrize("size", [COMPARED + 30, REMEMBERED + 1])
async def test_of_a_multitude_only_some_are_compared(size: int, clock: VirtualClock) -> None:
    """One choice costs a bounded number of look-ups, and the work is shared out all the same."""
    crowd = [Human(id=f"h{number}", pools=("crowd",)) for number in range(size)]
    counts = 0

    class Counting(MemoryStore):
        async def count(self, query: Query) -> Mapping[TaskStatus, int]:
            nonlocal counts
            counts += 1
            return await super().count(query)

    directory = StaticDirectory(crowd)
    engine = Engine(Counting(), directory=directory, clock=clock, background=False, rng=Random(1))
    chosen = Counter([who(await ask(engine, {"pool": "crowd"})) for _ in crowd])
    assert counts == size * COMPARED
    assert max(chosen.values()) <= (1 if size <= REMEMBERED else 2)
    await engine.aclose()


async def test_handing_on_takes_a_turn_too(engine: Engine) -> None:
    task = await engine.create(a_question())
    people = await engine.resolve(TO_CREW)
    assert who(await engine.reassign(task.id, people, by=AGENT)) == "ana"
    assert who(await ask(engine)) == "ben"


async def test_in_a_hosts_transaction_nobody_waits_and_the_least_busy_are_asked(tmp_path, clock: VirtualClock) -> None:
    """Its tasks count as it goes; nothing is written that others would wait for."""
    database = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/tasks.db")
    engine = Engine(SQLAlchemyStore(database), directory=StaticDirectory(CREW), clock=clock, background=False)
    await engine.store.setup()
    with anyio.fail_after(20), database.connect() as connection:
        joined = engine.using(connection)
        chosen = Counter([who(await ask(joined)) for _ in range(9)])
        connection.commit()
    assert set(chosen.values()) == {3}
    assert await engine.store.records.find("assignment") == []  # type: ignore[attr-defined]
    await engine.aclose()
    database.dispose()


ASKER = """
import sys, anyio
from awaithumans import Engine
from awaithumans.directory import StaticDirectory
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.engines import a_question
from tests.test_assignment import CREW

async def main():
    engine = Engine(SQLAlchemyStore(sys.argv[1]), directory=StaticDirectory(CREW), background=False)
    await engine.store.setup()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(15):
        print((await engine.create(a_question(assign_to={"pool": "crew"}))).assignee.id)
    await engine.aclose()

anyio.run(main)
"""


@pytest.mark.parametrize("driver", ["sqlite", "postgresql+psycopg"])
def test_processes_that_ask_at_once_share_the_work_out(driver: str, database_url) -> None:
    command = [sys.executable, "-c", ASKER, database_url(driver)]
    askers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for asker in askers:
        assert asker.stdout
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin
        asker.stdin.write("go\n")
        asker.stdin.flush()
    chosen = Counter(name for asker in askers for name in asker.communicate(timeout=60)[0].split())
    assert chosen == {"ana": 10, "ben": 10, "1": 10}


def test_a_turn_is_expected_to_be_a_task_for_a_while_only() -> None:
    """A create that failed after its turn must not count for ever."""

    async def main() -> list[str]:
        clock = VirtualClock()
        engine = Engine(MemoryStore(), directory=StaticDirectory(CREW), clock=clock, background=False)
        for _ in range(2):
            await engine.resolve(TO_CREW)  # ana's and ben's turn, and nothing is created
        await ask(engine, {"email": "1"})
        await clock.advance(timedelta(minutes=1).total_seconds())
        return [who(await ask(engine)) for _ in range(2)]

    assert anyio.run(main) == ["ana", "ben"]
