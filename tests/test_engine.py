"""The engine in-process: conformance on every store, and what is its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random

import anyio
import pytest
from anyio.lowlevel import checkpoint

from awaithumans import Engine
from awaithumans.background import Background
from awaithumans.clock import CorrectedClock
from awaithumans.errors import (
    ConfigurationError,
    IdempotencyConflictError,
    InvalidInputError,
    InvalidRoutingError,
    ResponseRedactedError,
    SchemaValidationError,
    TaskAlreadyClaimedError,
    TaskAlreadyTerminalError,
    TaskGoneError,
    TaskNotFoundError,
    VerifierConfigError,
    VerifierUnknownError,
)
from awaithumans.forms import prefilled
from awaithumans.protocols import DeliveryError, Store, VerifierError
from awaithumans.runner import BATCH, CONCURRENCY, SLOW
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import ANA, Advance, Decision, EngineConformance, a_question, answered
from awaithumans.types import (
    AGENT,
    Actor,
    Claim,
    EffectKind,
    Human,
    KeyScope,
    Notice,
    Query,
    Reassign,
    Submit,
    TaskStatus,
    Usage,
    Verdict,
    VerificationContext,
    VerifierConfig,
)

SECRET = "s" * 32
YES = {"approved": True}
BEN = Actor.of(Human(id="ben@example.com", email="ben@example.com"), auth="engine")
OPERATOR = Actor(kind="human", id="olga", auth="host", operator=True)
CHECKED = VerifierConfig(provider="rules", instructions="Be strict.", max_attempts=2)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class InProcess(EngineConformance):
    @pytest.fixture
    async def engine(self, store: Store, clock: VirtualClock) -> AsyncIterator[Engine]:
        async with Engine(store, clock=clock).run() as engine:
            yield engine
        await store.aclose()

    @pytest.fixture
    def advance(self, engine: Engine, clock: VirtualClock) -> Advance:
        async def advance(seconds: float) -> None:
            await clock.advance(seconds)
            await engine.tick()

        return advance


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestOnMemory(InProcess):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestOnSQLite(InProcess):
    @pytest.fixture
    def store(self, tmp_path) -> Store:
        return SQLAlchemyStore(f"sqlite:///{tmp_path}/tasks.db")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
class TestOnPostgreSQL(InProcess):
    @pytest.fixture
    def store(self, postgres_url: str, driver: str) -> Store:
        return SQLAlchemyStore(postgres_url.replace("postgresql:", f"postgresql+{driver}:"))


class TestOnPostgreSQLUnderTrio(InProcess):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "trio"

    @pytest.fixture
    def store(self, postgres_url: str) -> Store:
        return SQLAlchemyStore(postgres_url.replace("postgresql:", "postgresql+psycopg:"))


@pytest.mark.parametrize("driver", ["pymysql", "asyncmy"])
class TestOnMariaDB(InProcess):
    @pytest.fixture
    def store(self, mariadb_url: str, driver: str) -> Store:
        return SQLAlchemyStore(mariadb_url.replace("mariadb:", f"mariadb+{driver}:"))


class Rules:
    """A verifier that passes what `passes` says, and may be broken."""

    trusted = False
    reads_text = False

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self.verdicts = list(verdicts)
        self.seen: list[VerificationContext] = []

    async def verify(self, context: VerificationContext) -> Verdict:
        self.seen.append(context)
        verdict = self.verdicts.pop(0)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


async def until(ready: Callable[[], bool]) -> None:
    """Wait for what happens on its own, but not for ever."""
    with anyio.fail_after(30):
        while not ready():
            await anyio.sleep(0.005)


class Hanging(RecordingChannel):
    """A channel whose messages are never sent."""

    begun = 0

    async def send(self, notice: Notice) -> None:
        self.begun += 1
        await anyio.sleep_forever()


class Never:
    """A verifier that is away."""

    async def verify(self, context: VerificationContext) -> Verdict:
        raise DeliveryError("away")


@pytest.mark.anyio
class TestDelivery:
    async def test_tells_of_opening_and_closing_with_one_id_each(self, clock):
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock)
        await answered(engine, a_question(notify=("test:ana",)))
        await clock.advance(0)
        assert [(notice.event, notice.target) for notice in channel.sent] == [("closed", "ana")]

    async def test_reminds_until_there_is_an_answer(self, clock):
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False, reminders=(0.9, 0.25, 0.5))
        task = await engine.create(a_question(notify=("test:ana",), timeout_seconds=1000))
        for seconds, events in (
            (249, ["opened"]),
            (1, ["opened", "reminder"]),
            (250, ["opened", "reminder", "reminder"]),
        ):
            await clock.advance(seconds)
            await engine.tick()
            assert [notice.event for notice in channel.sent] == events
        await engine.submit(task.id, YES, by=ANA)
        await clock.advance(400)
        await engine.tick()
        assert [notice.event for notice in channel.sent] == [*events, "closed"]
        assert [line.action for line in await engine.trail(task.id)] == ["created", "reminded", "reminded", "completed"]

    async def test_reminders_that_could_not_be_sent_in_time_come_as_one(self, clock):
        away = [None, *(DeliveryError("away", retry_after=600) for _ in range(2))]
        channel = RecordingChannel(failures=away)
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False, reminders=(0.1, 0.2))
        await engine.create(a_question(notify=("test:ana",), timeout_seconds=10_000))
        for _ in range(40):
            await clock.advance(100)
            await engine.tick()
        assert [notice.event for notice in channel.sent] == ["opened", "reminder"]
        assert len(channel.tried) > len(channel.sent)

    async def test_nobody_is_reminded_while_an_answer_is_checked(self, clock):
        channel = RecordingChannel(failures=[None, DeliveryError("away")])
        engine = Engine(
            MemoryStore(), channels=[channel], clock=clock, background=False, reminders=(0.1,), verifiers={"v": Never()}
        )
        config = VerifierConfig(provider="v", instructions="Be careful.")
        task = await engine.create(a_question(notify=("test:ana",), timeout_seconds=10_000, verifier=config))
        for seconds in (0, 1000):
            await clock.advance(seconds)
            await engine.tick()
        assert [notice.event for notice in channel.tried] == ["opened", "reminder"]
        await engine.submit(task.id, YES, by=ANA)
        await clock.advance(60)
        await engine.tick()
        assert [notice.event for notice in channel.sent] == ["opened", "submitted"]

    async def test_nobody_is_told_late_that_an_answer_is_checked(self, clock):
        channel = RecordingChannel(failures=[None, DeliveryError("away")])
        engine = Engine(
            MemoryStore(),
            channels=[channel],
            clock=clock,
            background=False,
            verifiers={"rules": Rules(Verdict(passed=False))},
        )
        task = await engine.create(a_question(notify=("test:ana",), verifier=CHECKED))
        await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        for _ in range(2):
            await engine.tick()
            await clock.advance(60)
        assert [notice.event for notice in channel.tried] == ["opened", "submitted", "rejected"]
        assert [notice.event for notice in channel.sent] == ["opened", "rejected"]

    @pytest.mark.parametrize("part", [0, 1, -0.5, 60])
    def test_a_reminder_comes_within_the_time(self, part):
        with pytest.raises(ConfigurationError, match="reminders"):
            Engine(MemoryStore(), reminders=(0.5, part))

    async def test_tells_before_the_answer_and_hands_the_receipt_on(self, clock):
        channel = RecordingChannel()
        engine = Engine(
            MemoryStore(), channels=[channel], clock=clock, background=False, public_url="https://app.example/humans/"
        )
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        first, second = channel.sent
        assert (first.event, first.receipt, second.event) == ("opened", None, "closed")
        assert second.receipt is not None
        assert first.url == f"https://app.example/humans/tasks/{task.id}"
        assert first.id != second.id

    async def test_a_channel_alone_tells_those_asked_and_those_it_is_handed_on_to(self, clock):
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        to_two = {"emails": ["ana@example.com", "ben@example.com"]}
        task = await engine.create(a_question(notify=("test",), assign_to=to_two))
        await engine.tick()
        await engine.reassign(task.id, [Human(id="cleo@example.com")], by=AGENT)
        await engine.tick()
        assert [(notice.event, notice.target) for notice in channel.sent] == [
            ("opened", "ana@example.com"),
            ("opened", "ben@example.com"),
            ("reassigned", "ana@example.com"),
            ("reassigned", "ben@example.com"),
            ("opened", "cleo@example.com"),
        ]

    async def test_who_hands_a_task_on_may_name_more_whom_to_tell(self, clock):
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await engine.create(a_question())
        cleo = Human(id="cleo@example.com")
        await engine.act(task.id, Reassign(to=(cleo,), by=AGENT, notify=("test", "test:#room")))
        await engine.tick()
        assert [(notice.event, notice.target) for notice in channel.sent] == [
            ("opened", "cleo@example.com"),
            ("opened", "#room"),
        ]

    @pytest.mark.parametrize("entry", ["", "nowhere:ana", "test: ", "nowhere"])
    async def test_but_nobody_whom_no_channel_reaches(self, clock, entry):
        engine = Engine(MemoryStore(), channels=[RecordingChannel()], clock=clock, background=False)
        task = await engine.create(a_question())
        with pytest.raises(InvalidRoutingError):
            await engine.act(task.id, Reassign(to=(Human(id="cleo"),), by=AGENT, notify=(entry,)))
        assert (await engine.get(task.id)).version == 1

    async def test_whom_a_notice_reaches_gets_a_link_for_as_long_as_they_may_answer(self, clock):
        channel = RecordingChannel()
        engine = Engine(
            MemoryStore(),
            channels=[channel],
            clock=clock,
            background=False,
            secret="s" * 32,
            public_url="https://app.example/humans",
        )
        to_ana = {"email": "ana@example.com"}
        notify = ("test:ana@example.com", "test:ben@example.com", "test:#room")
        task = await engine.create(a_question(notify=notify, assign_to=to_ana))
        await engine.tick()
        ana, ben, room = channel.sent
        assert ana.person
        assert ana.link == engine.link(task, ana.person, via="test")
        assert ben.person
        assert (ben.link, room.person, room.link) == (None, None, None)
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        assert [notice.link for notice in channel.sent[3:]] == [None, None, None]

    async def test_retries_and_never_lets_closed_overtake_opened(self, clock):
        channel = RecordingChannel(failures=[DeliveryError("busy", retry_after=100)])
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False, rng=Random(1))
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        assert channel.sent == []
        await clock.advance(99)
        await engine.tick()
        assert channel.sent == []
        await clock.advance(1)
        await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        assert [notice.event for notice in channel.sent] == ["opened", "closed"]

    async def test_a_channel_that_hangs_holds_up_no_other(self, clock):
        hanging, quick = Hanging("hanging"), RecordingChannel("quick")
        engine = Engine(MemoryStore(), channels=[hanging, quick], clock=clock)
        async with engine.run():
            for number in range(3 * CONCURRENCY // 50):
                addresses = tuple(f"hanging:{address}" for address in range(50))
                await engine.create(a_question(idempotency_key=f"{number}", notify=addresses))
            await until(lambda: hanging.begun > CONCURRENCY - BATCH)
            await engine.create(a_question(idempotency_key="quick", notify=("quick:ana",)))
            await anyio.wait_all_tasks_blocked()
            assert hanging.begun <= CONCURRENCY
            assert quick.sent == []
            for _ in range(4):
                await clock.advance(SLOW.total_seconds())
                await anyio.wait_all_tasks_blocked()
            assert len(quick.sent) == 1

    async def test_what_is_due_together_is_leased_in_few_batches(self, clock):
        class Counting(MemoryStore):
            batches = 0

            async def lease(self, now, until, limit):
                leased = await super().lease(now, until, limit)
                self.batches += bool(leased.deliveries)
                return leased

        store, count = Counting(), 2 * CONCURRENCY
        async with Engine(store, clock=clock).run() as engine:
            for number in range(count):
                task = await engine.create(a_question(idempotency_key=f"{number}"))
            await anyio.wait_all_tasks_blocked()
            await clock.advance(task.spec.timeout_seconds)
            await anyio.wait_all_tasks_blocked()
            assert await engine.store.count(Query()) == {TaskStatus.TIMED_OUT: count}
        assert store.batches <= count / BATCH

    async def test_what_ends_makes_way_for_the_next_in_its_lane_though_others_hang(self, clock):
        class Slow(RecordingChannel):
            may_end = anyio.Event()

            async def send(self, notice):
                await self.may_end.wait()
                await super().send(notice)

        slow, hanging = Slow("slow"), Hanging("hanging")
        async with Engine(MemoryStore(), channels=[slow, hanging], clock=clock).run() as engine:
            task = await engine.create(a_question(notify=("hanging:ana", "slow:ana")))
            await anyio.wait_all_tasks_blocked()
            await engine.submit(task.id, YES, by=ANA)
            await anyio.wait_all_tasks_blocked()
            slow.may_end.set()
            await anyio.wait_all_tasks_blocked()
            assert [notice.event for notice in slow.sent] == ["opened", "closed"]

    async def test_one_dead_recipient_holds_up_nobody_and_is_put_on_record(self, clock):
        class Dead(RecordingChannel):
            async def send(self, notice):
                if notice.target == "dead":
                    raise DeliveryError("no such mailbox", permanent=True)
                return await super().send(notice)

        channel = Dead()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await engine.create(a_question(notify=("test:dead", "test:ana")))
        await engine.tick()
        assert [notice.target for notice in channel.sent] == ["ana"]
        failed = [entry.data for entry in await engine.trail(task.id) if entry.action == "notification_failed"]
        assert failed == [{"recipient": "test:dead", "reason": "no such mailbox"}]
        assert [one.failure for one in await engine.deliveries(task.id) if one.failure] == ["no such mailbox"]

    async def test_gives_up_after_three_days(self, clock):
        class Broken(RecordingChannel):
            async def send(self, notice):
                raise OSError("down")

        store = MemoryStore()
        async with Engine(store, channels=[Broken()], clock=clock).run() as engine:
            task = await engine.create(a_question(notify=("test:ana",), timeout_seconds=30 * 86_400))
        for _ in range(80):
            await engine.tick()
            await clock.advance(3 * 3_600)
        assert "notification_failed" in [entry.action for entry in await store.trail(task.id)]

    async def test_shows_no_channel_a_redacted_payload(self, clock):
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        await engine.create(a_question(notify=("test:ana",), redact_payload=True))
        await engine.tick()
        assert channel.sent[0].task.spec.payload == {}

    async def test_drops_a_receipt_that_cannot_be_kept_and_sends_once(self, clock, caplog):
        class Odd(RecordingChannel):
            async def send(self, notice):
                await super().send(notice)
                return {"ts": 1}

        channel = Odd()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        await clock.advance(100)
        await engine.tick()
        assert len(channel.sent) == 1
        assert "no usable receipt" in caplog.text

    async def test_redacts_only_when_everybody_has_been_told(self, clock):
        webhook = RecordingChannel("webhook", for_agents=True)
        people = RecordingChannel("test", failures=[None, DeliveryError("busy", retry_after=60)])
        engine = Engine(MemoryStore(), channels=[webhook, people], clock=clock, background=False)
        spec = a_question(callback_url="https://agent.example", notify=("test:ana",), redact_response_after_submit=True)
        task = await engine.create(spec)
        await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        assert (await engine.get(task.id)).response == YES
        await clock.advance(61)
        await engine.tick()
        assert [notice.event for notice in people.sent] == ["opened", "closed"]
        assert people.sent[-1].task.response == YES
        closed = await engine.get(task.id)
        assert (closed.response, closed.status) == (None, TaskStatus.COMPLETED)
        with pytest.raises(ResponseRedactedError):
            closed.result(Decision)

    async def test_erases_nothing_that_a_program_was_only_told_to_fetch(self, clock):
        queue = RecordingChannel("queue", for_agents=True)
        engine = Engine(MemoryStore(), channels=[queue], clock=clock, background=False)
        task = await answered(engine, a_question(callback_url="queue:refunds", redact_response_after_submit=True))
        await engine.tick()
        assert [notice.event for notice in queue.sent] == ["closed"]
        assert (await engine.get(task.id)).response == YES

    @pytest.mark.parametrize("routing", [{"callback_url": "queue+blue:refunds"}, {"notify": ("queue+blue:refunds",)}])
    async def test_a_program_hears_only_of_the_end_from_whichever_channel_is_for_programs(self, clock, routing):
        queue = RecordingChannel("queue", for_agents=True)
        engine = Engine(MemoryStore(), channels=[queue], clock=clock, background=False)
        task = await engine.create(a_question(**routing))
        await engine.tick()
        assert queue.tried == []
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        told = [(notice.event, notice.channel, notice.identity, notice.target) for notice in queue.sent]
        assert told == [("closed", "queue", "blue", "refunds")]

    async def test_is_done_by_another_process_when_the_first_dies(self, clock):
        store, channel = MemoryStore(), RecordingChannel()
        engine = Engine(store, channels=[channel], clock=clock, background=False)
        await engine.create(a_question(notify=("test:ana",)))
        leased = await store.lease(clock.now(), clock.now() + timedelta(seconds=60), 10)
        assert len(leased.deliveries) == 1
        await engine.tick()
        assert channel.sent == []
        await clock.advance(61)
        await engine.tick()
        assert [notice.id for notice in channel.sent] == [leased.deliveries[0].effect.id]


@pytest.mark.anyio
class TestVerification:
    async def test_pass_completes(self, clock):
        rules = Rules(Verdict(passed=True))
        engine = Engine(MemoryStore(), verifiers={"Rules": rules}, clock=clock)
        task = await answered(engine, a_question(verifier=CHECKED))
        assert task.status is TaskStatus.SUBMITTED
        await engine.tick()
        assert (await engine.get(task.id)).response == YES
        assert (rules.seen[0].attempt, rules.seen[0].response) == (1, YES)

    async def test_refusal_asks_again_and_then_exhausts(self, clock):
        rules = Rules(Verdict(passed=False, reason="vague"), Verdict(passed=False, reason="still vague"))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock)
        task = await answered(engine, a_question(verifier=CHECKED))
        await engine.tick()
        assert (await engine.get(task.id)).refused
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        closed = await engine.get(task.id)
        assert (closed.status, closed.attempt) == (TaskStatus.VERIFICATION_EXHAUSTED, 2)
        assert [context.previous_rejections for context in rules.seen] == [[], ["vague"]]

    async def test_is_told_of_all_refusals_and_of_what_they_took(self, clock):
        usage = Usage(input_tokens=10, output_tokens=5)
        rules = Rules(*[Verdict(passed=False, reason=reason, usage=usage) for reason in ("vague", "", "rude")])
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await engine.create(a_question(verifier=CHECKED.model_copy(update={"max_attempts": 3})))
        for _ in range(3):
            await engine.submit(task.id, YES, by=ANA)
            await engine.tick()
        assert [context.previous_rejections for context in rules.seen] == [[], ["vague"], ["vague", ""]]
        assert [context.tokens_used for context in rules.seen] == [0, 15, 30]

    async def test_reads_free_text(self, clock):
        rules = Rules(Verdict(passed=True, parsed_response=dict(YES)))
        rules.reads_text = True
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await engine.create(a_question(verifier=CHECKED))
        await engine.act(task.id, Submit(text="go ahead", by=ANA))
        await engine.tick()
        assert (await engine.get(task.id)).response == YES
        assert (rules.seen[0].response, rules.seen[0].raw_input) == (None, "go ahead")

    @pytest.mark.parametrize("parsed", [None, {"approved": {1, 2}}])
    async def test_free_text_that_is_passed_and_not_read_does_not_count(self, clock, parsed):
        rules = Rules(Verdict(passed=True, parsed_response=parsed))
        rules.reads_text = True
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await engine.create(a_question(verifier=CHECKED))
        await engine.act(task.id, Submit(text="go ahead", by=ANA))
        await engine.tick()
        assert (await engine.get(task.id)).status is TaskStatus.SUBMITTED

    async def test_free_text_whose_reading_does_not_fit_is_refused_and_not_read_for_ever(self, clock):
        usage = Usage(input_tokens=10, output_tokens=5)
        rules = Rules(Verdict(passed=True, parsed_response={"approved": "perhaps"}, usage=usage))
        rules.reads_text = True
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await engine.create(a_question(verifier=CHECKED))
        await engine.act(task.id, Submit(text="go ahead", by=ANA))
        await engine.tick()
        refused = await engine.get(task.id)
        assert (refused.refused, refused.attempt, refused.tokens_used, len(rules.seen)) == (True, 1, 15, 1)
        assert refused.verdict is not None
        assert refused.verdict.reason.startswith("This could not be understood as an answer.")
        assert (refused.verdict.passed, refused.verdict.parsed_response) == (False, None)

    @pytest.mark.parametrize("passed", [True, False])
    async def test_what_is_read_out_of_a_choice_is_neither_kept_nor_looked_at(self, clock, passed):
        rules = Rules(Verdict(passed=passed, parsed_response={"approved": {1, 2}}))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await answered(engine, a_question(verifier=CHECKED))
        await engine.tick()
        verdict = (await engine.get(task.id)).verdict
        assert verdict is not None
        assert (verdict.passed, verdict.parsed_response) == (passed, None)

    @pytest.mark.parametrize("tokens", [-1, "15", 1.5, True])
    async def test_usage_that_cannot_be_added_up_does_not_count(self, clock, tokens):
        rules = Rules(Verdict(passed=True, usage=Usage(input_tokens=tokens)))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await answered(engine, a_question(verifier=CHECKED))
        await engine.tick()
        assert (await engine.get(task.id)).status is TaskStatus.SUBMITTED

    async def test_a_form_starts_with_what_the_agent_gave_after_words_were_refused(self, clock):
        rules = Rules(Verdict(passed=False, reason="Say why."))
        rules.reads_text = True
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await engine.create(a_question(verifier=CHECKED, initial_response=dict(YES)))
        await engine.act(task.id, Submit(text="go ahead", by=ANA))
        await engine.tick()
        assert prefilled(await engine.get(task.id))[0] == YES

    @pytest.mark.parametrize(
        ("command", "place"),
        [
            (Submit(text="go ahead", by=ANA), "text"),
            (Submit(text=" ", by=ANA), "text"),
            (Submit(text="x" * 20_001, by=ANA), "text"),
            (Submit(text="yes", value=dict(YES), by=ANA), "text"),
            (Submit(text="yes", value={}, by=ANA), "text"),
            (Submit(by=ANA), "response"),
        ],
    )
    async def test_free_text_that_nobody_reads_is_refused(self, clock, command, place):
        engine = Engine(MemoryStore(), verifiers={"rules": Rules()}, clock=clock, background=False)
        task = await engine.create(a_question(verifier=CHECKED))
        with pytest.raises(InvalidInputError) as caught:
            await engine.act(task.id, command)
        assert list(caught.value.fields) == [place]
        assert (await engine.get(task.id)).status is TaskStatus.PENDING

    async def test_broken_verifier_costs_no_attempt_and_is_asked_again(self, clock):
        rules = Rules(OSError("down"), Verdict(passed=True))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock)
        task = await answered(engine, a_question(verifier=CHECKED))
        await engine.tick()
        assert (await engine.get(task.id)).status is TaskStatus.SUBMITTED
        await clock.advance(10)
        await engine.tick()
        closed = await engine.get(task.id)
        assert (closed.status, closed.attempt) == (TaskStatus.COMPLETED, 1)

    async def test_check_without_a_verdict_counts_what_it_took(self, clock):
        nonsense = VerifierError("nonsense", usage=Usage(model="m", input_tokens=60, output_tokens=3))
        rules = Rules(nonsense, OSError("down"), Verdict(passed=True, usage=Usage(input_tokens=30)))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await answered(engine, a_question(verifier=CHECKED))
        for _ in range(3):
            await engine.tick()
            await clock.advance(10)
        assert [context.tokens_used for context in rules.seen] == [0, 63, 63]
        assert (await engine.get(task.id)).tokens_used == 93
        failed = [entry.data for entry in await engine.trail(task.id) if entry.action == "check_failed"]
        assert failed == [{"verifier_model": "m", "verifier_input_tokens": 60, "verifier_output_tokens": 3}]

    async def test_verifier_that_works_again_just_before_the_grace_is_over_is_asked(self, clock):
        rules = Rules(*[OSError("down")] * 1_000)
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        day = 24 * 60 * 60
        task = await engine.create(a_question(verifier=CHECKED, timeout_seconds=day))
        await engine.submit(task.id, YES, by=ANA)
        for _ in range(day // 60):
            await engine.tick()
            await clock.advance(60)
        rules.verdicts = [Verdict(passed=True)]
        for _ in range(6):
            await engine.tick()
            await clock.advance(60)
        assert (await engine.get(task.id)).response == YES

    async def test_verifier_that_stays_broken_never_hangs_the_agent(self, clock):
        rules = Rules(*[OSError("down")] * 1_000)
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock)
        task = await answered(engine, a_question(verifier=CHECKED, timeout_seconds=60))
        for _ in range(40):
            await engine.tick()
            await clock.advance(60)
        assert (await engine.get(task.id)).status is TaskStatus.TIMED_OUT

    @pytest.mark.parametrize("passed", ["false", "true", 1, None])
    async def test_verdict_that_is_not_a_yes_or_no_does_not_count(self, clock, passed):
        rules = Rules(Verdict(passed=passed), Verdict(passed=False, reason="cut \ud83d"), Verdict(passed=True))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock)
        task = await answered(engine, a_question(verifier=CHECKED))
        await engine.tick()
        assert (await engine.get(task.id)).status is TaskStatus.SUBMITTED
        await clock.advance(10)
        await engine.tick()
        verdict = (await engine.get(task.id)).verdict
        assert verdict is not None
        assert verdict.reason == "cut ?"

    async def test_verdict_can_be_waited_for(self, clock):
        rules = Rules(Verdict(passed=False, reason="Say why."))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await answered(engine, a_question(verifier=CHECKED))
        assert (await engine.wait_for_verdict(task.id, timeout=0)).status is TaskStatus.SUBMITTED
        await engine.tick()
        assert (await engine.wait_for_verdict(task.id)).refused

    async def test_never_changes_what_was_chosen(self, clock):
        rules = Rules(Verdict(passed=True, parsed_response={"approve": False}))
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        task = await answered(engine, a_question(verifier=CHECKED))
        await engine.tick()
        assert (await engine.get(task.id)).response == YES, "what was chosen in a form stays"

    async def test_verifier_that_may_not_see_a_redacted_payload_is_refused_at_create(self, clock):
        rules = Rules()
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock)
        with pytest.raises(InvalidInputError, match="redact_payload"):
            await engine.create(a_question(verifier=CHECKED, redact_payload=True))
        rules.trusted = True
        await engine.create(a_question(verifier=CHECKED, redact_payload=True))

    async def test_unknown_verifier_is_refused_at_create(self, clock):
        with pytest.raises(VerifierUnknownError):
            await Engine(MemoryStore(), clock=clock).create(a_question(verifier=CHECKED))

    async def test_configuration_that_the_verifier_does_not_take_is_refused_at_create(self, clock):
        class Picky(Rules):
            def check(self, config: VerifierConfig) -> None:
                if config.api_key_env is not None:
                    raise VerifierConfigError("api_key_env", "is not for tasks")

        engine = Engine(MemoryStore(), verifiers={"rules": Picky()}, clock=clock, background=False)
        with pytest.raises(VerifierConfigError) as caught:
            await engine.create(a_question(verifier=CHECKED.model_copy(update={"api_key_env": "DATABASE_URL"})))
        assert caught.value.fields == {"verifier_config.api_key_env": "is not for tasks"}
        assert await engine.find(Query()) == []
        assert await engine.create(a_question(verifier=CHECKED))

    async def test_is_closed_with_the_engine(self, clock):
        class Connected(Rules):
            closed = 0

            async def aclose(self) -> None:
                self.closed += 1

        connected = Connected()
        await Engine(MemoryStore(), verifiers={"rules": connected, "other": Rules()}, clock=clock).aclose()
        assert connected.closed == 1

    async def test_sees_the_form(self, clock):
        rules = Rules(Verdict(passed=True))
        form: dict[str, object] = {"version": 1, "fields": [{"kind": "switch", "name": "approve"}]}
        engine = Engine(MemoryStore(), verifiers={"rules": rules}, clock=clock, background=False)
        await answered(engine, a_question(verifier=CHECKED, form=form))
        await engine.tick()
        assert rules.seen[0].form == form


@pytest.mark.anyio
class TestActingOnWhatWasSeen:
    async def test_spares_reading_it_again(self, clock, monkeypatch):
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            task = await engine.create(a_question())
            monkeypatch.setattr(engine.store, "get", None)
            completed = await engine.act_on(task, Submit(value=YES, by=ANA))
        assert completed.status is TaskStatus.COMPLETED

    async def test_is_decided_anew_where_it_has_changed_since(self, clock):
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            seen = await engine.create(a_question())
            claimed = await engine.claim(seen.id, by=ANA)
            after = await engine.act_on(seen, Submit(value=YES, by=ANA))
            assert (after.version, after.claimed_at) == (claimed.version + 1, claimed.claimed_at)
            with pytest.raises(TaskAlreadyTerminalError):
                await engine.act_on(seen, Submit(value={"approved": False}, by=ANA))

    async def test_says_that_nothing_is_to_be_done_of_what_is_there_now(self, clock):
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            task = await engine.create(a_question())
            seen = await engine.claim(task.id, by=ANA)
            await engine.release(task.id, by=ANA)
            await engine.claim(task.id, by=BEN)
            with pytest.raises(TaskAlreadyClaimedError):
                await engine.act_on(seen, Claim(by=ANA))

    async def test_refuses_nothing_for_what_is_over(self, clock):
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            task = await engine.create(a_question())
            seen = await engine.claim(task.id, by=BEN)
            await engine.release(task.id, by=BEN)
            await engine.act_on(seen, Claim(by=ANA))
            assert (await engine.act_on(seen, Submit(value=YES, by=ANA))).status is TaskStatus.COMPLETED


@pytest.mark.anyio
class TestDeleting:
    async def test_erases_everything_but_the_key(self, clock):
        engine = Engine(MemoryStore(), clock=clock)
        spec = a_question()
        task = await answered(engine, spec)
        await engine.delete(task.id, by=AGENT)
        with pytest.raises(TaskNotFoundError):
            await engine.get(task.id)
        with pytest.raises(TaskGoneError):
            await engine.create(spec)

    async def test_gives_the_key_of_one_call_free(self, clock):
        engine = Engine(MemoryStore(), clock=clock)
        spec = a_question(key_scope=KeyScope.CALL)
        task = await answered(engine, spec)
        await engine.delete(task.id, by=AGENT)
        assert (await engine.create(spec)).id != task.id

    async def test_waits_until_the_end_has_been_told(self, clock):
        channel = RecordingChannel(failures=[DeliveryError("busy", retry_after=60)])
        engine = Engine(MemoryStore(), channels=[channel], clock=clock)
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.delete(task.id, by=AGENT)
        assert (await engine.get(task.id)).status is TaskStatus.CANCELLED
        for _ in range(3):
            await engine.tick()
            await clock.advance(61)
        assert [notice.event for notice in channel.sent] == ["closed"]
        with pytest.raises(TaskNotFoundError):
            await engine.get(task.id)

    async def test_ends_the_waiting_for_it(self, clock):
        engine = Engine(MemoryStore(), clock=clock)
        task = await engine.create(a_question())
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(_expect_its_end, engine, task.id)
                await anyio.wait_all_tasks_blocked()
                await engine.delete(task.id, by=AGENT)


async def _expect_its_end(engine: Engine, task_id: str) -> None:
    """A waiter hears of the cancelling, or finds the task gone already."""
    with suppress(TaskNotFoundError):
        assert (await engine.wait(task_id)).status is TaskStatus.CANCELLED


@pytest.mark.anyio
class TestResponseModels:
    async def test_the_model_is_heard_beside_the_schema(self):
        """Whoever fills in a form sees everything that is wrong at once."""
        from pydantic import BaseModel, field_validator

        class Refund(BaseModel):
            amount: int
            reason: str

            @field_validator("amount")
            @classmethod
            def _bounded(cls, value: int) -> int:
                if value > 100:
                    raise ValueError("at most 100")
                return value

        engine = Engine(MemoryStore())
        task = await engine.create(a_question(response_schema=Refund.model_json_schema()), response_model=Refund)
        assert engine.misfits(task, {"amount": 500}).keys() == {"amount", "reason"}
        assert engine.misfits(task, {"amount": 50, "reason": "late"}) == {}

    async def test_of_this_process_check_more_than_their_json_schema(self, clock):
        from pydantic import model_validator

        class Refund(Decision):
            @model_validator(mode="after")
            def no_more_than_asked(self):
                if self.amount > 100:
                    raise ValueError("at most 100")
                return self

        engine = Engine(MemoryStore(), clock=clock)
        spec = a_question(response_schema=Refund.model_json_schema())
        task = await engine.create(spec, response_model=Refund)
        with pytest.raises(SchemaValidationError, match="at most 100"):
            await engine.submit(task.id, {"approved": True, "amount": 101}, by=ANA)


@pytest.mark.anyio
class TestBackgroundWork:
    async def test_starts_by_itself_at_the_first_verb(self):
        engine = Engine(MemoryStore())
        assert engine.home is None
        task = await engine.create(a_question(timeout_seconds=1))
        assert engine.home is not None
        with anyio.fail_after(10):
            assert (await engine.wait(task.id)).status is TaskStatus.TIMED_OUT

    async def test_is_started_once(self, clock):
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            await engine.create(a_question())
        assert engine.home is None
        assert clock._alarms == {}

    async def test_raises_what_the_block_raised_as_it_was(self):
        with pytest.raises(KeyError):
            async with Engine(MemoryStore()).run():
                raise KeyError("mine")

    async def test_survives_a_store_that_goes_away(self, clock, caplog):
        class Flaky(MemoryStore):
            down = True

            async def lease(self, now, until, limit):
                if self.down:
                    raise OSError("store away")
                return await super().lease(now, until, limit)

        store = Flaky()
        async with Engine(store, clock=clock).run() as engine:
            task = await engine.create(a_question(timeout_seconds=10))
            await clock.advance(30)
            store.down = False
            await clock.advance(10)
            assert (await engine.wait(task.id)).status is TaskStatus.TIMED_OUT
        assert "store away" in caplog.text

    async def test_says_when_due_work_is_late(self, clock, caplog):
        """As when the process that asked is gone, and no other runs an engine."""
        store = MemoryStore()
        async with Engine(store, clock=clock).run() as engine:
            await engine.create(a_question(timeout_seconds=10))
            assert (await engine.health()).ok
        await clock.advance(300)
        health = await engine.health()
        assert not health.ok
        assert health.lag.total_seconds() == 290
        await engine.tick()
        assert "290 s late" in caplog.text

    async def test_a_clock_that_steps_back_loses_no_expiry(self, clock):
        class SteppingBack(MemoryStore):
            async def get(self, task_id):
                clock._now -= timedelta(seconds=2)
                return await super().get(task_id)

        engine = Engine(SteppingBack(), clock=clock)
        task = await engine.create(a_question(timeout_seconds=10))
        await clock.advance(10)
        await engine.tick()
        assert (await engine.get(task.id)).status is TaskStatus.TIMED_OUT

    async def test_goes_on_when_the_loop_that_began_it_has_ended(self):
        """With sends in flight, and somebody waiting, at the end."""

        class Hanging(RecordingChannel):
            async def send(self, notice):
                await anyio.sleep_forever()

        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel, Hanging("hanging")])

        async def first_life() -> None:
            for _ in range(60):
                await engine.create(a_question(notify=("hanging:x",)))
            await anyio.sleep(0.05)

        await anyio.to_thread.run_sync(anyio.run, first_life)
        await engine.create(a_question(notify=("test:ana",)))
        with anyio.fail_after(10):
            while not channel.sent:
                await anyio.sleep(0.01)

    async def test_runs_again_and_again_beside_a_lazy_start(self, clock):
        engine = Engine(MemoryStore(), clock=clock)
        await engine.create(a_question())
        await clock.advance(0)
        for _ in range(3):
            async with engine.run():
                await engine.create(a_question())
        assert len(engine._background._homes) == 1

    async def test_store_clock_decides(self):
        ahead = VirtualClock()
        true_now = ahead.now() - timedelta(minutes=1)

        class RightStore(MemoryStore):
            async def now(self):
                return true_now

        engine = Engine(RightStore(), clock=CorrectedClock(ahead))
        task = await engine.create(a_question())
        assert task.created_at == true_now

    async def test_lost_hints_cost_only_time(self, clock, monkeypatch):
        async def deaf(_self: Background, _task_id: str) -> None:
            await checkpoint()

        monkeypatch.setattr(Background, "changed", deaf)
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            task = await engine.create(a_question())
            async with anyio.create_task_group() as group:
                group.start_soon(engine.wait, task.id)
                await anyio.wait_all_tasks_blocked()
                await engine.act(task.id, Submit(value=YES, by=ANA))
                with anyio.fail_after(10):
                    await clock.advance(31)

    async def test_logs_ids_and_never_content(self, clock, caplog):
        caplog.set_level(logging.DEBUG, "awaithumans")
        channel = RecordingChannel(failures=[DeliveryError("busy")])
        engine = Engine(MemoryStore(), channels=[channel], clock=clock)
        task = await engine.create(a_question(payload={"secret": "xyzzy"}, notify=("test:ana",)))
        await engine.tick()
        assert task.id in caplog.text
        assert "xyzzy" not in caplog.text
        assert "Approve the refund" not in caplog.text


@pytest.mark.anyio
class TestConfiguration:
    async def test_callbacks_need_a_channel(self, clock):
        with pytest.raises(InvalidRoutingError, match="webhook"):
            await Engine(MemoryStore(), clock=clock).create(a_question(callback_url="https://agent.example/cb"))

    @pytest.mark.parametrize(
        ("callback_url", "why"),
        [
            ("slack:#general", "talks to people"),
            ("slack+acme: #general", "talks to people"),
            ("sms:+4912345", "there is no channel 'sms'"),
            ("javascript:alert(1)", "there is no channel"),
            ("agent.example/cb", "is not <channel>:<target>"),
            ("queue:", "is not <channel>:<target>"),
            ("HTTPS://agent.example/cb", "there is no channel 'webhook'"),
        ],
    )
    async def test_a_callback_that_leads_to_no_program_is_refused(self, clock, callback_url, why):
        channels = [RecordingChannel("slack"), RecordingChannel("queue", for_agents=True)]
        engine = Engine(MemoryStore(), channels=channels, clock=clock)
        with pytest.raises(InvalidRoutingError, match=why) as caught:
            await engine.create(a_question(callback_url=callback_url))
        assert "callback_url" in caught.value.fields
        assert caught.value.hint
        assert await engine.find(Query()) == []

    async def test_a_channel_checks_the_target_that_a_callback_names(self, clock):
        class Queue(RecordingChannel):
            def check(self, target: str) -> None:
                if target != "refunds":
                    raise InvalidRoutingError("callback_url", f"{target!r} is no queue")

        engine = Engine(MemoryStore(), channels=[Queue("queue", for_agents=True)], clock=clock)
        await engine.create(a_question(callback_url="queue:refunds"))
        with pytest.raises(InvalidRoutingError, match="'payments' is no queue"):
            await engine.create(a_question(callback_url="queue:payments"))

    async def test_links_need_a_secret_and_an_address(self, clock):
        task = await Engine(MemoryStore(), clock=clock).create(a_question())
        with pytest.raises(ConfigurationError):
            Engine(MemoryStore(), secret=SECRET).link(task, ANA.human)
        with pytest.raises(ConfigurationError):
            Engine(MemoryStore(), public_url="https://app.example").link(task, ANA.human)
        engine = Engine(MemoryStore(), secret=SECRET, public_url="https://app.example/humans")
        assert engine.link(task, ANA.human).startswith("https://app.example/humans/l/")

    async def test_a_secret_added_later_breaks_no_waiting_agent(self, clock):
        store, spec = MemoryStore(), a_question()
        task = await Engine(store, clock=clock).create(spec)
        assert (await Engine(store, secret=SECRET, clock=clock).create(spec)).id == task.id
        assert (await Engine(store, secret=["t" * 32, SECRET], clock=clock).create(spec)).id == task.id

    async def test_a_secret_that_was_dropped_is_named_as_the_reason(self, clock):
        store, spec = MemoryStore(), a_question()
        await Engine(store, secret=SECRET, clock=clock).create(spec)
        for other in (None, "t" * 32):
            with pytest.raises(IdempotencyConflictError, match="another secret"):
                await Engine(store, secret=other, clock=clock).create(spec)

    async def test_an_answer_that_was_not_checked_answers_no_stricter_question(self, clock):
        """Nor one that another verifier was content with; and asking once more in the same way finds it."""
        verifiers = {"rules": Rules(*[Verdict(passed=True)] * 2), "others": Rules()}
        engine = Engine(MemoryStore(), verifiers=verifiers, clock=clock, background=False)
        for number, (first, second) in enumerate(
            [(None, CHECKED), (CHECKED, None), (CHECKED, CHECKED.model_copy(update={"provider": "others"}))]
        ):
            spec = a_question(idempotency_key=f"refund {number}", verifier=first)
            task = await answered(engine, spec)
            await engine.tick()
            assert (await engine.create(spec)).status is TaskStatus.COMPLETED
            with pytest.raises(IdempotencyConflictError, match="Use a new key to ask others") as caught:
                await engine.create(replace(spec, verifier=second))
            assert caught.value.task_id == task.id

    async def test_a_key_for_one_call_finds_its_task_whomever_it_asks(self, clock):
        """Such a key names a place in a graph: who is asked there may change while it waits."""
        engine = Engine(MemoryStore(), clock=clock, background=False)
        spec = a_question(key_scope=KeyScope.CALL, assign_to={"email": "ana@example.com"})
        task = await engine.create(spec)
        assert (await engine.create(replace(spec, assign_to={"email": "ben@example.com"}))).id == task.id

    async def test_what_leads_to_nobody_is_refused_even_if_the_key_has_expired(self, clock):
        """Only the same words are forgiven: whom they meant may have left since."""
        engine = Engine(MemoryStore(), clock=clock, background=False)
        task = await engine.create(spec := a_question())
        await clock.advance(spec.timeout_seconds + 1)
        await engine.tick()
        assert (await engine.get(task.id)).status is TaskStatus.TIMED_OUT
        with pytest.raises(InvalidRoutingError):
            await engine.create(replace(spec, assign_to={"nobody": 42}))

    async def test_a_reassigned_task_is_found_as_it_was_asked(self, clock):
        engine = Engine(MemoryStore(), clock=clock, background=False)
        spec = a_question(assign_to={"email": "ana@example.com"})
        task = await engine.create(spec)
        await engine.reassign(task.id, [Human(id="boss@example.com")], by=OPERATOR)
        assert (await engine.create(spec)).id == task.id

    async def test_the_same_people_in_another_order_are_the_same(self, clock):
        """The order of a set of addresses is another one after a restart."""
        engine = Engine(MemoryStore(), clock=clock, background=False)
        spec = a_question(assign_to={"emails": ["ana@example.com", "ben@example.com"]})
        task = await engine.create(spec)
        for same in (["ben@example.com", "ana@example.com"], ["Ana@Example.com", "ben@example.com"]):
            assert (await engine.create(replace(spec, assign_to={"emails": same}))).id == task.id
        for other in (["ana@example.com"], ["ana@example.com", "ben@example.com", "eve@example.com"]):
            with pytest.raises(IdempotencyConflictError):
                await engine.create(replace(spec, assign_to={"emails": other}))

    async def test_an_answer_may_not_have_the_names_that_a_page_needs_itself(self):
        schema = {"type": "object", "properties": {"_awaithumans_csrf": {"type": "string"}}}
        with pytest.raises(InvalidInputError, match="_awaithumans_csrf"):
            await Engine(MemoryStore()).create(a_question(response_schema=schema))

    async def test_two_channels_may_not_have_one_name(self):
        """The other one would silently tell nobody."""
        with pytest.raises(ConfigurationError, match="two channels 'test'"):
            Engine(MemoryStore(), channels=[RecordingChannel(), RecordingChannel()])

    async def test_two_verifiers_may_not_have_one_name(self):
        with pytest.raises(ConfigurationError, match="one name"):
            Engine(MemoryStore(), verifiers={"Rules": Rules(), " rules": Rules()})

    async def test_the_webhook_key_may_not_be_the_secret(self):
        from awaithumans.channels.webhook import WebhookChannel

        key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
        with pytest.raises(ConfigurationError, match="own secret"):
            Engine(MemoryStore(), channels=[WebhookChannel(key)], secret=key)


@pytest.mark.anyio
async def test_a_thousand_concurrent_creates_with_one_key_make_one_task(tmp_path):
    store = SQLAlchemyStore(f"sqlite:///{tmp_path}/tasks.db")
    spec, found = a_question(), set[str]()

    async def ask() -> None:
        found.add((await engine.create(spec)).id)

    async with Engine(store).run() as engine, anyio.create_task_group() as group:
        for _ in range(1_000):
            group.start_soon(ask)
    assert len(found) == 1
    assert len(await store.find(Query())) == 1
    await store.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"])
async def test_a_hundred_concurrent_answers_have_one_winner(database, database_url):
    store = SQLAlchemyStore(database_url(database))
    won, lost = list[float](), list[float]()

    async def answer(amount: float) -> None:
        try:
            await engine.submit(task.id, {"approved": True, "amount": amount}, by=ANA)
            won.append(amount)
        except TaskAlreadyTerminalError:
            lost.append(amount)

    async with Engine(store).run() as engine:
        task = await engine.create(a_question())
        async with anyio.create_task_group() as group:
            for amount in range(100):
                group.start_soon(answer, float(amount))
        closed = await engine.get(task.id)
    assert won == [closed.result(Decision).amount]
    assert len(lost) == 99
    await store.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"])
async def test_creates_racing_the_completion_of_their_key_make_one_task(database, database_url):
    store = SQLAlchemyStore(database_url(database))
    found = set[str]()

    async def ask(spec) -> None:
        found.add((await engine.create(spec)).id)

    async with Engine(store).run() as engine:
        for _ in range(5):
            spec = a_question()
            task = await engine.create(spec)
            async with anyio.create_task_group() as group:
                group.start_soon(engine.act, task.id, Submit(value=YES, by=ANA))
                for _ in range(20):
                    group.start_soon(ask, spec)
            assert found == {task.id}
            found.clear()
    await store.aclose()


class Mailbox(RecordingChannel):
    """A channel whose recipients are unknown until it is told of them."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()

    async def send(self, notice):
        if notice.target not in self.known:
            raise DeliveryError("no such mailbox", permanent=True)
        return await super().send(notice)


@pytest.mark.anyio
class TestRedelivery:
    async def test_tells_again_under_the_same_id_who_could_not_be_told(self, clock):
        channel = Mailbox()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await engine.create(a_question(notify=("test:ana", "test:ben"), timeout_seconds=30 * 86_400))
        await engine.tick()
        failed = await engine.failures()
        assert {one.effect.recipient for one in failed} == {"test:ana", "test:ben"}
        assert await engine.failures(limit=1) == failed[:1]
        channel.known = {"ana", "ben"}
        await clock.advance(7 * 86_400)
        await engine.redeliver(task.id, by=OPERATOR)
        assert await engine.failures() == []
        await engine.tick()
        assert {notice.target for notice in channel.sent} == {"ana", "ben"}
        assert {notice.id for notice in channel.sent} == {one.effect.id for one in failed}
        assert {notice.attempt for notice in channel.sent} == {1}
        [entry] = [line for line in await engine.trail(task.id) if line.action == "redelivery_requested"]
        assert (entry.by, entry.data) == (OPERATOR, {"recipients": ["test:ana", "test:ben"]})

    async def test_is_not_given_up_at_once_because_the_first_try_is_long_ago(self, clock):
        class Broken(RecordingChannel):
            async def send(self, notice):
                raise OSError("down")

        engine = Engine(MemoryStore(), channels=[Broken()], clock=clock, background=False)
        task = await engine.create(a_question(notify=("test:ana",), timeout_seconds=30 * 86_400))
        while not await engine.failures():
            await clock.advance(6 * 3_600)
            await engine.tick()
        await clock.advance(86_400)
        await engine.redeliver(task.id, by=OPERATOR)
        await engine.tick()
        assert await engine.failures() == []

    async def test_changes_nothing_where_nothing_failed(self, clock):
        engine = Engine(MemoryStore(), channels=[RecordingChannel()], clock=clock, background=False)
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        assert await engine.redeliver(task.id, by=OPERATOR) == task

    async def test_sends_what_was_delivered_again_if_it_is_named(self, clock):
        """A receiver that lost it gets the same notice, and nobody else is told."""
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await answered(engine, a_question(notify=("test:ana", "test:ben")))
        await engine.tick()
        before = list(channel.sent)
        [lost] = [notice for notice in before if (notice.target, notice.event) == ("ana", "closed")]
        for _ in range(2):
            await engine.redeliver(task.id, by=OPERATOR, notice=lost.id)
        await engine.tick()
        [again] = channel.sent[len(before) :]
        assert (again.id, again.event, again.task.response) == (lost.id, "closed", YES)
        assert [line.action for line in await engine.trail(task.id)].count("redelivery_requested") == 1

    async def test_of_another_tasks_notice_is_refused(self, clock):
        engine = Engine(MemoryStore(), channels=[RecordingChannel()], clock=clock, background=False)
        first, second = [await engine.create(a_question(notify=("test:ana",))) for _ in range(2)]
        told, _ = await engine.deliveries(first.id)
        timer = [one for one in await engine.deliveries(second.id) if one.effect.kind is EffectKind.EXPIRE]
        for stranger in (told, *timer):
            with pytest.raises(InvalidInputError) as caught:
                await engine.redeliver(second.id, by=OPERATOR, notice=stranger.effect.id)
            assert "id" in caught.value.fields

    async def test_does_not_ask_anybody_to_answer_a_closed_task(self, clock):
        channel = Mailbox()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        channel.known = {"ana"}
        await engine.redeliver(task.id, by=OPERATOR)
        await engine.tick()
        assert [notice.event for notice in channel.sent] == ["closed"]


@pytest.mark.anyio
class TestPurging:
    async def test_erases_what_was_closed_long_ago_and_keeps_the_keys(self, clock):
        engine = Engine(MemoryStore(), clock=clock, background=False)
        old = await answered(engine, a_question(idempotency_key="old"))
        waiting = await engine.create(a_question(idempotency_key="open", timeout_seconds=30 * 86_400))
        await clock.advance(86_400)
        new = await answered(engine, a_question(idempotency_key="new"))
        assert await engine.purge(before=clock.now()) == 1
        assert {task.id for task in await engine.find(Query())} == {waiting.id, new.id}
        with pytest.raises(TaskGoneError):
            await engine.create(a_question(idempotency_key="old"))
        assert old.id

    async def test_keeps_a_task_whose_end_is_still_being_told(self, clock):
        channel = RecordingChannel(failures=[OSError("down")])
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await answered(engine, a_question(notify=("test:ana",)))
        await engine.tick()
        later = clock.now() + timedelta(days=1)
        assert await engine.purge(before=later) == 0
        await clock.advance(60)
        await engine.tick()
        assert await engine.purge(before=later) == 1
        with pytest.raises(TaskNotFoundError):
            await engine.get(task.id)

    async def test_pages_through_any_number(self, clock, monkeypatch):
        monkeypatch.setattr("awaithumans.engine.PURGE_PAGE", 3)
        engine = Engine(MemoryStore(), clock=clock, background=False)
        for number in range(8):
            await answered(engine, a_question(idempotency_key=f"{number}"))
        assert await engine.purge(before=clock.now() + timedelta(seconds=1)) == 8


@pytest.mark.anyio
class TestWithoutBackgroundWork:
    async def test_no_verb_starts_any(self, clock):
        channel = RecordingChannel()
        engine = Engine(MemoryStore(), channels=[channel], clock=clock, background=False)
        task = await engine.create(a_question(notify=("test:ana",)))
        await clock.advance(0)
        assert engine.home is None
        assert channel.sent == []
        assert await engine.tick() == 1
        assert [notice.task.id for notice in channel.sent] == [task.id]

    async def test_other_processes_hear_at_once_all_the_same(self, clock):
        announced: list[str] = []

        class Announcing(MemoryStore):
            async def watch(self):
                yield ()

            async def announce(self, task_ids):
                announced.extend(task_ids)
                raise OSError("the line is dead, which is no reason to fail")

        engine = Engine(Announcing(), clock=clock, background=False)
        task = await answered(engine, a_question())
        assert announced == [task.id, task.id]


@pytest.mark.anyio
async def test_statistics_count_by_status_day_and_door(clock):
    engine = Engine(MemoryStore(), clock=clock, background=False)
    assert (await engine.statistics()).completion_rate is None
    await answered(engine, a_question(idempotency_key="long ago"))
    await clock.advance(10 * 86_400)
    task = await engine.create(a_question(idempotency_key="answered"))
    await clock.advance(90)
    await engine.submit(task.id, YES, by=replace(ANA, via="web"))
    await engine.cancel((await engine.create(a_question(idempotency_key="cancelled"))).id, by=OPERATOR)
    await engine.create(a_question(idempotency_key="open"))
    found = await engine.statistics(timedelta(days=2))
    assert dict(found.totals) == {TaskStatus.COMPLETED: 2, TaskStatus.CANCELLED: 1, TaskStatus.PENDING: 1}
    assert found.completion_rate == 2 / 3
    assert found.mean_time_to_completion == timedelta(seconds=90)
    assert [(day.created, day.completed) for day in found.by_day] == [(0, 0), (3, 1)]
    assert dict(found.by_channel) == {"web": 1}


@pytest.mark.anyio
class TestWhereNoLoopDoesTheWork:
    """Then a hint may be missed, and whoever waits looks for itself."""

    async def test_waiting_ends_all_the_same(self, clock):
        store = MemoryStore()
        here, elsewhere = (Engine(store, clock=clock, background=False) for _ in range(2))
        task = await here.create(a_question(timeout_seconds=86_400))
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(here.wait, task.id)
                await anyio.wait_all_tasks_blocked()
                await elsewhere.submit(task.id, YES, by=ANA)
                await clock.advance(31)

    async def test_so_does_following(self, clock):
        store = MemoryStore()
        here, elsewhere = (Engine(store, clock=clock, background=False) for _ in range(2))
        task = await here.create(a_question(timeout_seconds=86_400))
        seen: list[int] = []
        listed: list[str] = []

        async def follow_one():
            async with here.follow(task.id) as versions:
                seen.extend([version.version async for version in versions])

        async def follow_all():
            async with here.changes(Query()) as changes:
                async for changed in changes:
                    listed.append(changed.id)
                    return

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(follow_one)
                group.start_soon(follow_all)
                await anyio.wait_all_tasks_blocked()
                await elsewhere.submit(task.id, YES, by=ANA)
                await clock.advance(31)
                await clock.advance(31)
        assert (seen, listed) == ([1, 2], [task.id])

    async def test_the_work_of_a_loop_that_ended_is_taken_up(self, clock):
        engine = Engine(MemoryStore(), clock=clock)
        task = await engine.create(a_question(timeout_seconds=20))
        await anyio.wait_all_tasks_blocked()
        assert engine.home
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(engine.wait, task.id)
                await anyio.wait_all_tasks_blocked()
                engine.home.end()
                await anyio.wait_all_tasks_blocked()
                assert engine.home is None
                await clock.advance(31)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_closing_an_engine_ends_its_work(clock):
    engine = Engine(MemoryStore(), clock=clock)
    await engine.create(a_question())
    await anyio.wait_all_tasks_blocked()
    assert engine.home
    await engine.aclose()
    assert engine.home is None


@pytest.mark.anyio
async def test_a_purge_does_not_overtake_a_redelivery(clock):
    class Slow(MemoryStore):
        async def deliveries(self, task_id):
            found = await super().deliveries(task_id)
            if not channel.known:
                channel.known = {"ana"}
                await engine.redeliver(task_id, by=OPERATOR)
            return found

    channel = Mailbox()
    engine = Engine(Slow(), channels=[channel], clock=clock, background=False)
    channel.known = {"nobody"}
    task = await answered(engine, a_question(notify=("test:ana",)))
    await engine.tick()
    assert len(await engine.failures()) == 1
    channel.known = set()
    assert await engine.purge(before=clock.now() + timedelta(days=1)) == 0
    await engine.tick()
    assert [notice.event for notice in channel.sent] == ["closed"]
    assert await engine.get(task.id)


@pytest.mark.anyio
async def test_what_a_foreign_error_says_is_not_put_on_record(clock, caplog):
    class Leaky(RecordingChannel):
        async def send(self, notice):
            raise OSError("https://hooks.example/services/SECRET cannot be reached")

    engine = Engine(MemoryStore(), channels=[Leaky()], clock=clock, background=False)
    task = await engine.create(a_question(notify=("test:ana",), timeout_seconds=30 * 86_400))
    while not (failures := await engine.failures()):
        await clock.advance(6 * 3_600)
        await engine.tick()
    assert [one.failure for one in failures] == ["OSError"]
    assert "SECRET" not in str(await engine.trail(task.id))
    assert "SECRET" not in "".join(record.getMessage() for record in caplog.records)
