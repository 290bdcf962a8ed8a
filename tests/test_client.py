"""`await_human`: what an agent sees of it."""

from __future__ import annotations

import asyncio
import io
import math
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import anyio
import anyio.to_thread
import pytest
from annotated_types import Ge
from pydantic import BaseModel, WithJsonSchema, model_validator
from pydantic.fields import FieldInfo

from awaithumans import (
    Actor,
    BlockingEngine,
    ConfigurationError,
    Engine,
    Human,
    IdempotencyConflictError,
    InvalidInputError,
    MarketplaceAssignment,
    MarketplaceNotAvailableError,
    PoolAssignment,
    Query,
    SchemaValidationError,
    TaskCancelledError,
    TaskTimeoutError,
    TimeoutRangeError,
    VerifierConfig,
    await_human,
    await_human_sync,
    client,
)
from awaithumans.client import build_spec, derived_key
from awaithumans.forms import form_from_model, schema_of
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.tasks import make_spec, make_task
from awaithumans.waiting import time_left, waiting_line

T = TypeVar("T")
ANA = Actor.of(Human(id="ana@example.com", email="ana@example.com"), auth="engine")


class Refund(BaseModel):
    order: str
    amount: Decimal


class Decision(BaseModel):
    approved: bool
    amount: Decimal = Decimal(0)


class Chosen(BaseModel, Generic[T]):
    one: T


QUESTION: dict[str, Any] = {
    "task": "Approve the refund?",
    "payload_schema": Refund,
    "payload": Refund(order="A-1", amount=Decimal("99.99")),
    "response_schema": Decision,
    "timeout_seconds": 600,
}


async def answer_next(engine: Engine, value: Mapping[str, object], after: int = 0) -> None:
    """Be the person: wait for the next question, and answer it."""
    while len(tasks := await engine.find(Query())) <= after:
        await anyio.lowlevel.checkpoint()
    await engine.submit(tasks[0].id, value, by=ANA)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.mark.anyio
class TestAsking:
    async def test_returns_the_typed_answer(self):
        async with Engine(MemoryStore()).run() as engine, anyio.create_task_group() as group:
            group.start_soon(answer_next, engine, {"approved": True, "amount": "99.99"})
            decision = await await_human(**QUESTION)
        assert decision == Decision(approved=True, amount=Decimal("99.99"))

    async def test_finds_the_same_question_after_being_cancelled(self):
        async with Engine(MemoryStore()).run() as engine:
            with anyio.move_on_after(0.01):
                await await_human(**QUESTION)
            async with anyio.create_task_group() as group:
                group.start_soon(answer_next, engine, {"approved": False})
                assert not (await await_human(**QUESTION)).approved
            assert len(await engine.find(Query())) == 1

    async def test_asks_anew_once_the_outcome_was_returned(self):
        async with Engine(MemoryStore()).run() as engine:
            for number, approved in enumerate((True, False)):
                async with anyio.create_task_group() as group:
                    group.start_soon(answer_next, engine, {"approved": approved}, number)
                    assert (await await_human(**QUESTION)).approved is approved

    async def test_with_a_key_never_asks_twice(self):
        async with Engine(MemoryStore()).run() as engine, anyio.create_task_group() as group:
            group.start_soon(answer_next, engine, {"approved": True})
            first = await await_human(**QUESTION, idempotency_key="refund-A-1")
            assert await await_human(**QUESTION, idempotency_key="refund-A-1") == first
            changed = QUESTION | {"payload": Refund(order="A-1", amount=Decimal(9_999))}
            with pytest.raises(IdempotencyConflictError):
                await await_human(**changed, idempotency_key="refund-A-1")

    async def test_raises_the_timeout_and_then_asks_anew(self, clock):
        async with Engine(MemoryStore(), clock=clock).run() as engine, anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(TaskTimeoutError):
                    await await_human(**QUESTION)

            group.start_soon(ask)
            await clock.advance(601)
        (task,) = await engine.find(Query())
        assert task.collected_at is not None

    async def test_raises_a_cancelling(self):
        async with Engine(MemoryStore()).run() as engine, anyio.create_task_group() as group:

            async def cancel() -> None:
                while not (tasks := await engine.find(Query())):
                    await anyio.lowlevel.checkpoint()
                await engine.cancel(tasks[0].id, by=ANA)

            group.start_soon(cancel)
            with pytest.raises(TaskCancelledError):
                await await_human(**QUESTION)

    async def test_asks_once_more_if_only_the_model_refuses_the_answer(self):
        """As for a remote caller, whose model the engine does not have."""

        class Strict(Decision):
            @model_validator(mode="after")
            def not_too_much(self):
                if self.amount > 100:
                    raise ValueError("at most 100")
                return self

        async with Engine(MemoryStore()).run() as engine, anyio.create_task_group() as group:
            engine._models = _Forgetful()

            async def person() -> None:
                await answer_next(engine, {"approved": True, "amount": "101"})
                await answer_next(engine, {"approved": True, "amount": "100"}, after=1)

            group.start_soon(person)
            decision = await await_human(**(QUESTION | {"response_schema": Strict}))
            second, first = await engine.find(Query())
        assert decision.amount == 100
        assert second.spec.initial_response == {"approved": True, "amount": "101"}
        assert "at most 100" in str(second.spec.initial_errors)
        assert first.collected_at
        assert second.collected_at


@pytest.mark.anyio
class TestArguments:
    @pytest.mark.parametrize("seconds", [0, -1, 366 * 86_400 + 1])
    async def test_timeouts_out_of_range_are_refused(self, seconds):
        with pytest.raises(TimeoutRangeError) as refused:
            await await_human(**(QUESTION | {"timeout_seconds": seconds}))
        assert refused.value.code == "TIMEOUT_OUT_OF_RANGE"

    async def test_a_payload_of_another_model_is_refused(self):
        with pytest.raises(SchemaValidationError) as refused:
            await await_human(**(QUESTION | {"payload": Decision(approved=True)}))
        assert set(refused.value.fields) == {"order"}

    async def test_a_payload_may_be_plain_data(self):
        assert build_spec(**(QUESTION | {"payload": {"order": "A-1", "amount": "1.50"}})).payload["amount"] == "1.50"
        with pytest.raises(SchemaValidationError):
            build_spec(**(QUESTION | {"payload": {"order": 7}}))

    async def test_the_marketplace_is_refused(self):
        with pytest.raises(MarketplaceNotAvailableError):
            await await_human(**QUESTION, assign_to=MarketplaceAssignment())

    @pytest.mark.parametrize(
        ("assign_to", "wire"),
        [
            (None, None),
            ("a@x.org", {"email": "a@x.org"}),
            (["a@x.org", "b@x.org"], {"emails": ["a@x.org", "b@x.org"]}),
            (PoolAssignment(pool="ops"), {"pool": "ops"}),
            ({"role": "lead"}, {"role": "lead"}),
            (Human(id="7", email="a@x.org"), {"email": "a@x.org"}),
            (Human(id="7"), {"user_id": "7"}),
        ],
    )
    async def test_say_whom_to_ask(self, assign_to, wire):
        assert build_spec(**QUESTION, assign_to=assign_to).assign_to == wire

    async def test_a_reworded_model_keeps_the_derived_key(self):
        class Reworded(BaseModel):
            """Now with a docstring."""

            approved: bool
            amount: Decimal = Decimal(1)

        reworded = build_spec(**(QUESTION | {"response_schema": Reworded}))
        assert derived_key(reworded) == derived_key(build_spec(**QUESTION))

    async def test_the_derived_key_is_another_for_other_people_and_other_checks(self):
        """What one person is asked without a key, another's answer does not answer."""
        ways: list[dict[str, Any]] = [
            {},
            {"assign_to": "ana@example.com"},
            {"assign_to": "boss@example.com"},
            {"verifier": VerifierConfig(provider="rules", instructions="Be strict.")},
            {"verifier": VerifierConfig(provider="rules", instructions="Be lenient.")},
        ]
        assert len({derived_key(build_spec(**QUESTION, **way)) for way in ways}) == len(ways)
        assert derived_key(build_spec(**QUESTION, notify=["console:"])) == derived_key(build_spec(**QUESTION))

    async def test_the_derived_key_does_not_depend_on_how_the_same_authority_is_written(self):
        """Or a restarted agent would ask twice: a set of addresses has another order in each process."""
        ana, ben = "ana@example.com", "ben@example.com"
        rules = VerifierConfig(provider="rules", instructions="Be strict.")
        same: list[dict[str, Any]] = [
            {"assign_to": [ana, ben], "verifier": rules},
            {"assign_to": [ben, "Ana@Example.com"], "verifier": rules.model_copy(update={"provider": "Rules "})},
        ]
        assert len({derived_key(build_spec(**QUESTION, **way)) for way in same}) == 1

    async def test_without_an_engine_the_error_says_what_to_do(self, monkeypatch):
        monkeypatch.delenv("AWAITHUMANS_URL", raising=False)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(ConfigurationError, match=r"engine=.*server_url=.*AWAITHUMANS_URL.*terminal"):
            await await_human(**QUESTION)


class TestBlocking:
    def test_from_a_plain_script(self):
        engine = Engine(MemoryStore())
        threading.Thread(target=approve, args=(engine,)).start()
        assert await_human_sync(**QUESTION, engine=engine).approved

    @pytest.mark.anyio
    async def test_from_a_worker_of_the_event_loop_that_runs_the_engine(self):
        async with Engine(MemoryStore()).run() as engine, anyio.create_task_group() as group:
            group.start_soon(answer_next, engine, {"approved": True})
            decision = await anyio.to_thread.run_sync(lambda: await_human_sync(**QUESTION))
        assert decision.approved

    @pytest.mark.anyio
    async def test_from_a_foreign_thread_beside_the_event_loop(self):
        async with Engine(MemoryStore()).run() as engine, anyio.create_task_group() as group:
            group.start_soon(answer_next, engine, {"approved": True})
            decision = await asyncio.to_thread(lambda: await_human_sync(**QUESTION, engine=engine))
        assert decision.approved

    @pytest.mark.anyio
    async def test_inside_a_running_loop_of_another_kind_as_notebooks_have(self):
        engine = Engine(MemoryStore())
        threading.Thread(target=approve, args=(engine,)).start()
        assert await_human_sync(**QUESTION, engine=engine).approved

    @pytest.mark.anyio
    async def test_on_the_loop_that_would_have_to_answer_is_refused(self):
        async with Engine(MemoryStore()).run():
            with pytest.raises(ConfigurationError, match="never return"):
                await_human_sync(**QUESTION)

    def test_verbs_for_threads(self):
        blocking = BlockingEngine(Engine(MemoryStore()))
        task = blocking.create(build_spec(**QUESTION))
        blocking.claim(task.id, by=ANA)
        blocking.release(task.id, by=ANA)
        blocking.submit(task.id, {"approved": True}, by=ANA)
        assert blocking.wait(task.id, timeout=1).response == {"approved": True}
        assert blocking.collect(task.id) == blocking.get(task.id) == blocking.find(Query())[0]


class _Forgetful(OrderedDict[str, type[BaseModel]]):
    """Keeps no models, as an engine in another process."""

    def __setitem__(self, key: str, value: type[BaseModel]) -> None:
        pass


def approve(engine: Engine) -> None:
    blocking = BlockingEngine(engine)
    while not (tasks := blocking.find(Query())):
        pass
    blocking.submit(tasks[0].id, {"approved": True}, by=ANA)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestInterruption:
    def test_of_a_blocking_call_leaves_the_outcome_to_whoever_asks_again(self):
        """Whatever a signal raises in the waiting thread; the call must not go on alone."""
        engine = Engine(MemoryStore())
        before = signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            await_human_sync(**QUESTION, engine=engine)
        signal.signal(signal.SIGALRM, before)
        approve(engine)
        assert await_human_sync(**QUESTION, engine=engine).approved
        assert len(BlockingEngine(engine).find(Query())) == 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class Vanished(io.StringIO):
    """A terminal that was closed."""

    def isatty(self) -> bool:
        return True

    def write(self, _: str) -> int:
        raise OSError(5, "Input/output error")


class TestWaitingLine:
    @pytest.mark.anyio
    async def test_outlives_its_terminal(self):
        async with waiting_line(make_task(), None, Vanished()):
            await anyio.wait_all_tasks_blocked()

    @pytest.mark.anyio
    async def test_shows_task_link_and_time_left_on_a_terminal(self):
        stream, task = Terminal(), make_task()
        async with waiting_line(task, "http://127.0.0.1/tasks/1", stream):
            await anyio.wait_all_tasks_blocked()
        assert "http://127.0.0.1/tasks/1" in stream.getvalue()
        assert stream.getvalue().endswith("\x1b[K")

    @pytest.mark.anyio
    async def test_says_nothing_elsewhere(self):
        stream = io.StringIO()
        async with waiting_line(make_task(), None, stream):
            await anyio.lowlevel.checkpoint()
        assert stream.getvalue() == ""

    @pytest.mark.parametrize(
        ("hours", "shown"), [(30, "1 d 6 h"), (0.25, "0:15:00"), (23.999, "23:59:56"), (-1, "0:00:00")]
    )
    def test_says_how_long_there_is(self, hours, shown):
        task = make_task()
        assert time_left(task, task.deadline - timedelta(hours=hours)) == shown

    @pytest.mark.anyio
    async def test_rewrites_nothing_but_the_time(self):
        """A line that a narrow terminal wraps could not be taken back."""
        stream = Terminal()
        async with waiting_line(make_task(spec=make_spec(task="Line\nbreak \x1b[31m")), "http://x/1", stream):
            await anyio.wait_all_tasks_blocked()
        assert stream.getvalue().startswith("\r\x1b[Kwaiting: Line break  [31m\nhttp://x/1\n")
        assert all(len(part) < 40 for part in stream.getvalue().split("\n")[2:])


class TestWhatFollowsFromAModel:
    def test_its_form_is_made_once(self, monkeypatch):
        made: list[object] = []

        class Counted(BaseModel):
            approved: bool

        def counted(model: type[BaseModel]) -> object:
            made.append(model)
            return form_from_model(model)

        monkeypatch.setattr(client, "form_from_model", counted)
        first = build_spec(**{**QUESTION, "response_schema": Counted})
        assert build_spec(**{**QUESTION, "response_schema": Counted}) == first
        assert made == [Counted]

    def test_choices_that_are_found_when_asked_for_are_those_of_now(self):
        choices = ["ana", "ben"]

        class Pick(BaseModel):
            who: Annotated[str, WithJsonSchema({"type": "string"})]

            @classmethod
            def __get_pydantic_json_schema__(cls, core_schema, handler):
                schema = handler(core_schema)
                schema["properties"]["who"]["enum"] = list(choices)
                return schema

        def offered() -> object:
            spec: Any = build_spec(**{**QUESTION, "response_schema": Pick})
            options = [option["value"] for option in spec.form["fields"][0]["options"]]
            assert spec.response_schema["properties"]["who"]["enum"] == options
            return options

        assert offered() == ["ana", "ben"]
        choices[:] = ["carla", "dora"]
        assert offered() == ["carla", "dora"]

    def test_is_everybodys_own(self):
        spoilt: Any = build_spec(**QUESTION)
        spoilt.response_schema["properties"].clear()
        spoilt.payload_schema["properties"].clear()
        spoilt.form["fields"].clear()
        spec = build_spec(**QUESTION)
        assert spec.response_schema == schema_of(Decision)
        assert spec.payload_schema == Refund.model_json_schema()
        assert spec.form == form_from_model(Decision)

    def test_is_made_anew_when_the_model_is_rebuilt(self):
        class Bounded(BaseModel):
            amount: int

        def least() -> object:
            schema: Any = build_spec(**{**QUESTION, "response_schema": Bounded}).response_schema
            return schema["properties"]["amount"].get("minimum")

        assert least() is None
        Bounded.model_fields["amount"] = FieldInfo(annotation=Annotated[int, Ge(5)])
        Bounded.model_rebuild(force=True)
        assert least() == 5

    def test_is_each_alias_its_own(self):
        aliases: list[Any] = [Chosen[int], Chosen[str]]
        kinds = [build_spec(**{**QUESTION, "response_schema": alias}).response_schema for alias in aliases]
        assert kinds == [schema_of(Chosen[int]), schema_of(Chosen[str])]
        assert kinds[0] != kinds[1]

    def test_is_refused_where_it_is_no_json(self):
        class Endless(BaseModel):
            amount: float = math.inf

        for _ in range(2):
            with pytest.raises(InvalidInputError, match="not a finite number"):
                build_spec(**{**QUESTION, "response_schema": Endless})
