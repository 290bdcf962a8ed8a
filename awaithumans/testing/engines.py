"""What every task engine promises, in-process or over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import uuid4

import anyio
import pytest
from pydantic import BaseModel

from awaithumans.errors import (
    AwaitHumansError,
    ConflictError,
    IdempotencyConflictError,
    InvalidInputError,
    SchemaValidationError,
    TaskAlreadyTerminalError,
    TaskCancelledError,
    TaskNotFoundError,
    TaskStillOpenError,
    TaskTimeoutError,
)
from awaithumans.protocols import TaskEngine
from awaithumans.testing.promises import Promises
from awaithumans.types import Actor, Cursor, Human, KeyScope, Order, Query, Submit, Task, TaskSpec, TaskStatus

Advance: TypeAlias = Callable[[float], Awaitable[None]]
"""Lets seconds pass on the clock that decides deadlines."""


class Decision(BaseModel):
    """What the people in this suite decide."""

    approved: bool
    amount: float = 0


SCHEMA = Decision.model_json_schema()
ANA = Actor.of(Human(id="ana@example.com", email="ana@example.com"), auth="engine")


def a_question(**fields: Any) -> TaskSpec:
    """Make a spec that any engine takes; `fields` are those of `TaskSpec`."""
    defaults: dict[str, Any] = {
        "task": "Approve the refund?",
        "payload": {"order": "A-1", "amount": 99.99},
        "payload_schema": {"type": "object"},
        "response_schema": SCHEMA,
        "timeout_seconds": 600,
        "idempotency_key": uuid4().hex,
    }
    return TaskSpec(**{**defaults, **fields})


@pytest.mark.anyio
class EngineConformance(Promises, of="TaskEngine"):
    """Subclass it, and override `engine` and `advance`.

    `engine` is the engine under test, on an empty store, allowed to answer
    what it asked and to name people. `advance(seconds)` moves the clock that
    decides deadlines, and lets due work be done.
    """

    @pytest.fixture
    def engine(self) -> TaskEngine:
        """Give the engine under test."""
        raise NotImplementedError

    @pytest.fixture
    def advance(self) -> Advance:
        """Give a function that lets seconds pass."""
        raise NotImplementedError

    async def test_a_created_task_can_be_read(self, engine: TaskEngine) -> None:
        """`create` returns the task, and `get` the same."""
        spec = a_question(metadata={"order": "A-1"})
        created = await engine.create(spec)
        read = await engine.get(created.id)
        assert (read.id, read.status, read.version) == (created.id, TaskStatus.PENDING, 1)
        assert read.spec.payload == spec.payload, "the payload is what was given, 99.99 included"
        assert (read.spec.task, dict(read.spec.metadata)) == (spec.task, {"order": "A-1"})
        assert (read.deadline - read.created_at).total_seconds() == spec.timeout_seconds

    async def test_one_key_is_one_task_however_many_ask(self, engine: TaskEngine) -> None:
        """Concurrent creates with one key and content return one task."""
        spec, found = a_question(), list[str]()

        async def ask() -> None:
            found.append((await engine.create(spec)).id)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)
        assert len(set(found)) == 1
        assert len(await engine.find(Query(idempotency_key=spec.idempotency_key))) == 1

    @pytest.mark.parametrize(
        "changed",
        [
            {"task": "Approve another refund?"},
            {"payload": {"order": "A-1", "amount": 9_999}},
            {"response_schema": {"type": "object", "properties": {"approved": {"type": "string"}}}},
            {"key_scope": KeyScope.CALL},
        ],
    )
    async def test_a_key_with_other_content_is_refused(self, engine: TaskEngine, changed: dict[str, Any]) -> None:
        """A changed question never inherits an old answer."""
        spec = a_question()
        await engine.create(spec)
        with pytest.raises(IdempotencyConflictError):
            await engine.create(a_question(idempotency_key=spec.idempotency_key, **changed))

    async def test_a_key_for_ever_with_other_people_is_refused(self, engine: TaskEngine) -> None:
        """What one person answers does not answer what is asked of another; over HTTP as in the process."""
        spec = a_question(assign_to={"email": "ana@example.com"})
        task = await engine.create(spec)
        for other in ({"email": "boss@example.com"}, None):
            with pytest.raises(IdempotencyConflictError):
                await engine.create(replace(spec, assign_to=other))
        assert (await engine.create(spec)).id == task.id

    async def test_a_task_without_an_answer_is_found_whomever_the_key_asks(self, engine: TaskEngine) -> None:
        """There is nothing to inherit, so asking others may begin with finding it."""
        spec = a_question(assign_to={"email": "ana@example.com"})
        task = await engine.create(spec)
        await engine.cancel(task.id, by=ANA)
        found = await engine.create(replace(spec, assign_to={"email": "boss@example.com"}))
        assert (found.id, found.status) == (task.id, TaskStatus.CANCELLED)

    async def test_rewording_what_is_not_asked_keeps_the_task(self, engine: TaskEngine) -> None:
        """Timeout, form and the schema's annotations are not content."""
        spec = a_question()
        task = await engine.create(spec)
        reworded = {**SCHEMA, "title": "Verdict", "description": "Reworded."}
        again = a_question(idempotency_key=spec.idempotency_key, response_schema=reworded, timeout_seconds=60)
        assert (await engine.create(again)).id == task.id

    async def test_a_key_for_ever_finds_the_outcome(self, engine: TaskEngine) -> None:
        """The same key gives the same task after it is answered and collected."""
        spec = a_question()
        task = await answered(engine, spec)
        await engine.collect(task.id)
        found = await engine.create(spec)
        assert (found.id, found.response) == (task.id, {"approved": True})

    async def test_a_key_for_one_call_is_free_once_collected(self, engine: TaskEngine) -> None:
        """Before collecting the outcome is found again; after it, it is asked anew."""
        spec = a_question(key_scope=KeyScope.CALL)
        task = await answered(engine, spec)
        assert (await engine.create(spec)).id == task.id, "a crash before collecting must find the same task"
        await engine.collect(task.id)
        assert (await engine.create(spec)).id != task.id, "an old approval must not answer a new question"

    async def test_collecting_twice_changes_nothing(self, engine: TaskEngine) -> None:
        """`collect` is harmless when repeated, and when `seen` is a task that has changed since."""
        task = await answered(engine, a_question())
        first = await engine.collect(task.id, seen=task)
        second, third = await engine.collect(task.id), await engine.collect(task.id, seen=task)
        assert first.collected_at == second.collected_at == third.collected_at is not None
        assert first.version == second.version == third.version

    async def test_an_open_task_cannot_be_collected(self, engine: TaskEngine) -> None:
        """`collect` refuses while there is no outcome."""
        task = await engine.create(a_question())
        with pytest.raises(TaskStillOpenError):
            await engine.collect(task.id)

    async def test_an_answer_wakes_everybody_who_waits(self, engine: TaskEngine) -> None:
        """`wait` returns the closed task to each of its callers."""
        task = await engine.create(a_question())
        closed: list[Task] = []

        async def wait() -> None:
            closed.append(await engine.wait(task.id))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(wait)
                await engine.submit(task.id, {"approved": True, "amount": 99.99}, by=ANA)
        assert [one.result(Decision) for one in closed] == [Decision(approved=True, amount=99.99)] * 3

    async def test_waiting_for_a_while_returns_the_open_task(self, engine: TaskEngine) -> None:
        """`wait` with a timeout gives up without ending the task."""
        task = await engine.create(a_question())
        assert (await engine.wait(task.id, timeout=0)).status is TaskStatus.PENDING

    @pytest.mark.parametrize("value", [{}, {"approved": "perhaps"}, {"approved": True, "amount": "much"}])
    async def test_an_answer_that_does_not_fit_is_refused(self, engine: TaskEngine, value: dict[str, Any]) -> None:
        """The task stays open, and the error names the field."""
        task = await engine.create(a_question())
        with pytest.raises(SchemaValidationError) as refused:
            await engine.submit(task.id, value, by=ANA)
        assert refused.value.fields
        assert (await engine.get(task.id)).status is TaskStatus.PENDING

    async def test_an_answer_to_another_attempt_is_refused(self, engine: TaskEngine) -> None:
        """`Submit.attempt` says how many had been refused; with another number, the answer does not count."""
        task = await engine.create(a_question())
        with pytest.raises(ConflictError):
            await engine.act(task.id, Submit(value={"approved": True}, by=ANA, attempt=1))
        answered = await engine.act(task.id, Submit(value={"approved": True}, by=ANA, attempt=0))
        assert answered.status is TaskStatus.COMPLETED

    async def test_of_many_answers_one_wins(self, engine: TaskEngine) -> None:
        """Everybody else is told that the task is closed."""
        task = await engine.create(a_question())
        won, lost = list[float](), list[AwaitHumansError]()

        async def answer(amount: float) -> None:
            try:
                await engine.submit(task.id, {"approved": True, "amount": amount}, by=ANA)
                won.append(amount)
            except TaskAlreadyTerminalError as error:
                lost.append(error)

        async with anyio.create_task_group() as group:
            for amount in range(20):
                group.start_soon(answer, float(amount))
        assert (len(won), len(lost)) == (1, 19)
        assert (await engine.get(task.id)).result(Decision).amount == won[0]

    async def test_a_closed_task_keeps_its_outcome(self, engine: TaskEngine) -> None:
        """Answering or cancelling afterwards is refused."""
        task = await answered(engine, a_question())
        with pytest.raises(TaskAlreadyTerminalError):
            await engine.submit(task.id, {"approved": False}, by=ANA)
        with pytest.raises(TaskAlreadyTerminalError):
            await engine.cancel(task.id, by=ANA)
        assert (await engine.get(task.id)).response == {"approved": True}

    async def test_a_cancelled_task_raises_its_outcome(self, engine: TaskEngine) -> None:
        """`result` raises `TaskCancelledError`."""
        task = await engine.create(a_question())
        await engine.cancel(task.id, by=ANA)
        closed = await engine.wait(task.id)
        with pytest.raises(TaskCancelledError):
            closed.result(Decision)

    async def test_the_deadline_closes_a_task(self, engine: TaskEngine, advance: Advance) -> None:
        """At the deadline, and not before; nobody needs to look."""
        task = await engine.create(a_question(timeout_seconds=600))
        await advance(599)
        assert (await engine.get(task.id)).status is TaskStatus.PENDING
        await advance(2)
        with anyio.fail_after(20):
            closed = await engine.wait(task.id)
        with pytest.raises(TaskTimeoutError):
            closed.result(Decision)

    async def test_an_answer_after_the_deadline_is_refused(self, engine: TaskEngine, advance: Advance) -> None:
        """Too late is too late, whether or not a sweep came by."""
        task = await engine.create(a_question(timeout_seconds=1))
        await advance(1)
        with pytest.raises(TaskAlreadyTerminalError):
            await engine.submit(task.id, {"approved": True}, by=ANA)
        assert (await engine.get(task.id)).status is TaskStatus.TIMED_OUT

    async def test_unknown_tasks_are_said_to_be_unknown(self, engine: TaskEngine) -> None:
        """Every verb raises `TaskNotFoundError` for an id nobody made."""
        unknown = "0" * 32
        verbs: list[Callable[[], Awaitable[Task]]] = [
            lambda: engine.get(unknown),
            lambda: engine.wait(unknown),
            lambda: engine.collect(unknown),
            lambda: engine.submit(unknown, {"approved": True}, by=ANA),
            lambda: engine.cancel(unknown, by=ANA),
        ]
        for verb in verbs:
            with pytest.raises(TaskNotFoundError):
                await verb()

    @pytest.mark.parametrize(
        "fields",
        [
            {"timeout_seconds": 0},
            {"timeout_seconds": 366 * 86_400 + 1},
            {"idempotency_key": ""},
            {"idempotency_key": "k" * 10_000},
            {"task": "a\0b"},
            {"response_schema": {"type": "nonsense"}},
            {"response_schema": {"$ref": "http://127.0.0.1:9/schema"}},
            {"response_schema": {"properties": {"a": {"$ref": "#/$defs/nowhere"}}}},
            {"notify": ("pigeon:ana",)},
            {"notify": ("nonsense",)},
            {"assign_to": {"pool": "nobody knows"}},
            {"assign_to": {"email": "not an address"}},
        ],
    )
    async def test_what_cannot_be_asked_is_refused(self, engine: TaskEngine, fields: dict[str, Any]) -> None:
        """Nothing is stored that could not be shown, answered or delivered."""
        with pytest.raises(InvalidInputError):
            await engine.create(a_question(**fields))
        assert await engine.find(Query()) == []

    async def test_tasks_are_found(self, engine: TaskEngine) -> None:
        """By status and by key, newest first, page by page."""
        tasks = [await engine.create(a_question()) for _ in range(5)]
        await engine.submit(tasks[0].id, {"approved": True}, by=ANA)
        closed = await engine.find(Query(statuses=frozenset({TaskStatus.COMPLETED})))
        assert [task.id for task in closed] == [tasks[0].id]
        keyed = await engine.find(Query(idempotency_key=tasks[3].spec.idempotency_key))
        assert [task.id for task in keyed] == [tasks[3].id]
        refused = await engine.find(Query(statuses=frozenset({TaskStatus.PENDING}), refused=True))
        assert refused == []
        last = tasks[2]
        behind = await engine.find(Query(after=Cursor(at=last.created_at, id=last.id)))
        assert last.id not in {task.id for task in behind}
        said = await engine.find(Query(search=tasks[3].spec.idempotency_key))
        assert [task.id for task in said] == [tasks[3].id]
        oldest = (await engine.find(Query()))[::-1]
        behind_one = Query(order=Order.OLDEST, after=Order.OLDEST.place(oldest[0]), limit=2)
        assert [task.id for task in await engine.find(behind_one)] == [task.id for task in oldest[1:3]]
        chosen = await engine.find(Query(ids=(tasks[1].id, tasks[4].id)))
        assert {task.id for task in chosen} == {tasks[1].id, tasks[4].id}
        pages = [task.id for offset in (0, 2, 4) for task in await engine.find(Query(limit=2, offset=offset))]
        assert sorted(pages) == sorted(task.id for task in tasks)

    async def test_of_many_holders_one_has_the_lease(self, engine: TaskEngine) -> None:
        """Everybody else is told False, and a lease of another name is another."""
        held: dict[str, bool] = {}

        async def take(holder: str) -> None:
            held[holder] = await engine.lease("thread-1", holder=holder, seconds=30)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(take, f"holder-{number}")
        assert list(held.values()).count(True) == 1
        assert await engine.lease("thread-2", holder="somebody else", seconds=30)

    async def test_a_lease_is_kept_by_its_holder(self, engine: TaskEngine, advance: Advance) -> None:
        """Taking it again before it lapses renews it, from then on."""
        assert await engine.lease("thread-1", holder="a", seconds=30)
        for _ in range(3):
            await advance(20)
            assert await engine.lease("thread-1", holder="b", seconds=30) is False
            assert await engine.lease("thread-1", holder="a", seconds=30)

    async def test_a_lease_lapses(self, engine: TaskEngine, advance: Advance) -> None:
        """Not before its time; then another may take it, and the first has it no more."""
        assert await engine.lease("thread-1", holder="a", seconds=30)
        await advance(29)
        assert await engine.lease("thread-1", holder="b", seconds=30) is False
        await advance(2)
        assert await engine.lease("thread-1", holder="b", seconds=30)
        assert await engine.lease("thread-1", holder="a", seconds=30) is False

    async def test_a_lease_is_given_back(self, engine: TaskEngine) -> None:
        """Another may take it at once; giving back what one has not changes nothing."""
        assert await engine.lease("thread-1", holder="a", seconds=30)
        assert await engine.lease("thread-1", holder="b", seconds=0) is False
        assert await engine.lease("thread-1", holder="b", seconds=30) is False
        assert await engine.lease("thread-1", holder="a", seconds=0) is False
        assert await engine.lease("thread-1", holder="b", seconds=30)
        assert await engine.lease("thread-1", holder="a", seconds=0) is False
        assert await engine.lease("thread-1", holder="a", seconds=30) is False

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"name": "n" * 513},
            {"name": "a\0b"},
            {"holder": ""},
            {"holder": "h" * 129},
            {"holder": "\ud800"},
            {"seconds": -1},
            {"seconds": 301},
            {"seconds": float("nan")},
        ],
    )
    async def test_what_cannot_be_leased_is_refused(self, engine: TaskEngine, wrong: dict[str, Any]) -> None:
        """Names, holders and times have limits, which are not passed in silence."""
        asked: dict[str, Any] = {"name": "n" * 512, "holder": "h" * 128, "seconds": 300}
        with pytest.raises(InvalidInputError) as refused:
            await engine.lease(**{**asked, **wrong})
        assert set(refused.value.fields) == set(wrong)
        assert await engine.lease(**asked)


async def answered(engine: TaskEngine, spec: TaskSpec) -> Task:
    """Ask, and have Ana approve."""
    task = await engine.create(spec)
    return await engine.submit(task.id, {"approved": True}, by=ANA)
