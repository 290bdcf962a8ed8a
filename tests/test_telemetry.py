"""Spans that join across processes, metrics that count once, and no secrets in either."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from awaithumans import Actor, BlockingEngine, Engine, Human, RemoteEngine, Task, TaskSpec, Verdict, VerifierConfig
from awaithumans.admission import content_of
from awaithumans.ambient import ambient_telemetry
from awaithumans.errors import ForbiddenError, SchemaValidationError, TaskAlreadyTerminalError
from awaithumans.otel import PATIENCE, OpenTelemetry
from awaithumans.protocols import DeliveryError
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import ANA, a_question
from awaithumans.types import AGENT, Leased, VerificationContext
from awaithumans.web import ApiToken, Router

PATIENCE_SECONDS = 30
TOKEN, PERSONS_TOKEN = "t" * 32, "p" * 32
TOKENS = [ApiToken("agent", TOKEN, ["ask"]), ApiToken.admin(PERSONS_TOKEN)]
AS_PERSON = {"Authorization": f"Bearer {PERSONS_TOKEN}"}
YES = {"approved": True}
CHECKED = VerifierConfig(provider="rules", instructions="Be strict.", max_attempts=2)


@dataclass
class Observer:
    """A host's OpenTelemetry SDK, and what has arrived there."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer: trace.Tracer
    telemetry: OpenTelemetry

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return [
            point for metric in metrics if metric.name == f"awaithumans.{name}" for point in metric.data.data_points
        ]

    def counted(self, name: str) -> dict[tuple[object, ...], int]:
        """Give a counter's values, by the values of its attributes in the order of their names."""
        return {tuple(value for _, value in sorted(p.attributes.items())): p.value for p in self.points(name)}


def observe() -> Observer:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = OpenTelemetry(tracer_provider=tracers, meter_provider=MeterProvider([reader]))
    return Observer(exporter, reader, tracers.get_tracer("the-host"), telemetry)


@pytest.fixture
def seen() -> Observer:
    return observe()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class Rules:
    """A verifier that says, or raises, one thing after another."""

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self._verdicts = iter(verdicts)

    async def verify(self, context: VerificationContext) -> Verdict:
        verdict = next(self._verdicts)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


@pytest.fixture
def make_engine(seen: Observer, clock: VirtualClock) -> Callable[..., Engine]:
    """Give a function that makes an engine whose due work waits for `tick`."""

    def make(**arguments: Any) -> Engine:
        engine = Engine(
            arguments.pop("store", None) or MemoryStore(), clock=clock, telemetry=seen.telemetry, **arguments
        )
        engine._background._start_lazily = lambda: None  # type: ignore[method-assign]
        return engine

    return make


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def place(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and (span.parent.trace_id, span.parent.span_id) == place(parent)


def attributes(span: ReadableSpan) -> dict[str, object]:
    return {name.removeprefix("awaithumans."): value for name, value in (span.attributes or {}).items()}


# ── Spans ─────────────────────────────────────────────────────────────────────


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestTraces:
    async def test_every_step_leads_back_to_the_question(self, seen, make_engine):
        engine = make_engine(channels=[RecordingChannel()], verifiers={"rules": Rules(Verdict(passed=True))})
        with seen.tracer.start_as_current_span("agent"):
            task = await engine.create(a_question(notify=("test:ana",), verifier=CHECKED))
        await engine.tick()
        with seen.tracer.start_as_current_span("request"):
            await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        with seen.tracer.start_as_current_span("agent again"):
            await engine.wait(task.id)

        asked = seen.span("ask human")
        assert is_child(asked, seen.span("agent"))
        assert asked.kind is SpanKind.PRODUCER
        assert asked.links == ()
        opened, *checked, closed = seen.named("notify test")
        answered, verified = seen.span("answer task"), seen.span("verify answer")
        decided, waited = seen.span("decide task"), seen.span("wait for human")
        for later in (opened, answered, *checked, verified, decided, closed, waited):
            assert links(later) == [place(asked)], later.name
            assert attributes(later)["task.id"] == task.id
        assert is_child(answered, seen.span("request"))
        assert is_child(decided, verified)
        assert is_child(waited, seen.span("agent again"))
        assert {span.parent for span in (opened, *checked, verified, closed)} == {None}
        assert all(span.status.status_code is StatusCode.UNSET for span in seen.spans)

    async def test_attributes_say_how_it_went(self, seen, make_engine):
        engine = make_engine(channels=[RecordingChannel()])
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        await engine.submit(task.id, YES, by=Actor.of(ANA.human, auth="host", via="web"))
        assert attributes(seen.span("ask human")) == {
            "actor.auth": "engine",
            "actor.kind": "agent",
            "task.id": task.id,
            "task.new": True,
            "task.status": "pending",
        }
        assert attributes(seen.span("notify test")) == {
            "attempt": 1,
            "channel": "test",
            "event": "opened",
            "task.id": task.id,
        }
        by_ana = {"actor.auth": "host", "actor.kind": "human", "actor.via": "web"}
        done = {"task.id": task.id, "task.status": "completed", **by_ana}
        assert attributes(seen.span("answer task")) == done
        assert attributes(seen.span("decide task")) == done

    async def test_the_scope_names_the_package_and_its_version(self, seen, make_engine):
        await make_engine().create(a_question())
        scope = seen.span("ask human").instrumentation_scope
        assert scope is not None
        assert scope.name == "awaithumans"
        assert scope.version

    async def test_a_repeated_question_keeps_the_first_askers_trace_and_links_to_it(self, seen, make_engine):
        engine = make_engine()
        question = a_question()
        first = await engine.create(question)
        again = await engine.create(question)
        asked, repeated = seen.named("ask human")
        assert again.spec.trace_context == first.spec.trace_context
        assert links(repeated) == [place(asked)]
        assert attributes(repeated)["task.new"] is False

    async def test_a_refused_answer_is_linked_and_named_by_its_code(self, seen, make_engine):
        engine = make_engine()
        task = await engine.create(a_question())
        with pytest.raises(SchemaValidationError):
            await engine.submit(task.id, {"approved": "no idea"}, by=ANA)
        answered = seen.span("answer task")
        assert links(answered) == [place(seen.span("ask human"))]
        assert answered.status.status_code is StatusCode.ERROR
        assert answered.status.description is None
        assert attributes(answered)["error.type"] == SchemaValidationError.code
        assert answered.events == ()

    async def test_a_failed_delivery_says_only_what_kind_of_error_it_was(self, seen, make_engine):
        engine = make_engine(channels=[RecordingChannel(failures=[DeliveryError("ana@example.com is unknown")])])
        await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        notified = seen.span("notify test")
        assert notified.status.status_code is StatusCode.ERROR
        assert notified.status.description is None
        assert attributes(notified)["error.type"] == "DeliveryError"

    async def test_a_wait_that_is_called_off_is_no_error(self, seen, make_engine):
        engine = make_engine()
        task = await engine.create(a_question())
        with anyio.CancelScope() as scope:
            scope.cancel()
            await engine.wait(task.id)
        waited = seen.span("wait for human")
        assert waited.status.status_code is StatusCode.UNSET
        assert str(attributes(waited)["error.type"]).startswith("Cancelled")

    async def test_a_deadline_is_decided_in_a_trace_of_its_own(self, seen, make_engine, clock):
        engine = make_engine()
        await engine.create(a_question(timeout_seconds=60))
        await clock.advance(61)
        await engine.tick()
        decided = seen.span("decide task")
        assert decided.parent is None
        assert links(decided) == [place(seen.span("ask human"))]
        assert attributes(decided)["task.status"] == "timed_out"
        assert attributes(decided)["actor.kind"] == "system"

    async def test_commands_have_spans_by_name(self, seen, make_engine):
        engine = make_engine()
        task = await engine.create(a_question())
        await engine.claim(task.id, by=ANA)
        await engine.release(task.id, by=ANA)
        await engine.reassign(task.id, [ANA.human], by=ANA)
        await engine.cancel(task.id, by=ANA)
        names = [span.name for span in seen.spans if span.name.endswith(" task")]
        assert names == ["claim task", "release task", "reassign task", "decide task", "cancel task"]

    async def test_looking_for_work_where_there_is_none_is_no_span(self, seen, make_engine):
        engine = make_engine()
        await engine.tick()
        await engine.health()
        assert seen.spans == []


@pytest.mark.anyio
async def test_background_work_does_not_join_the_trace_of_whoever_started_it(seen):
    channel = RecordingChannel()
    engine = Engine(MemoryStore(), channels=[channel], telemetry=seen.telemetry)
    with seen.tracer.start_as_current_span("request"):
        token = context.attach(baggage.set_baggage("user", "ana"))
        await engine.create(a_question(notify=("test:ana",)))
        context.detach(token)
    with anyio.fail_after(PATIENCE_SECONDS):
        while not seen.named("notify test"):
            await anyio.sleep(0.01)
    assert seen.span("notify test").parent is None


@pytest.mark.anyio
async def test_the_hosts_baggage_is_not_stored(seen, make_engine):
    token = context.attach(baggage.set_baggage("user", "ana"))
    task = await make_engine().create(a_question())
    context.detach(token)
    assert set(task.spec.trace_context) == {"traceparent"}


def test_a_blocking_caller_asks_in_its_own_trace(seen):
    engine = Engine(MemoryStore(), telemetry=seen.telemetry)
    with seen.tracer.start_as_current_span("script"):
        BlockingEngine(engine).create(a_question())
    assert is_child(seen.span("ask human"), seen.span("script"))


def test_where_the_question_came_from_does_not_make_it_another_question():
    spec = a_question()
    traced = TaskSpec(**{**_fields(spec), "trace_context": {"traceparent": "00-1-2-01"}})
    assert content_of(traced) == content_of(spec)


def _fields(spec: TaskSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in TaskSpec.__dataclass_fields__}


# ── Over HTTP ─────────────────────────────────────────────────────────────────


@pytest.mark.anyio
async def test_a_remote_asker_and_the_server_share_one_trace(seen, make_engine, serve):
    engine, agent = make_engine(), observe()
    url = serve(Router(engine, tokens=TOKENS))
    async with RemoteEngine(url, TOKEN, telemetry=agent.telemetry) as remote:
        with agent.tracer.start_as_current_span("agent"):
            task = await remote.create(a_question())
            async with RemoteEngine(url, PERSONS_TOKEN, telemetry=agent.telemetry) as person:
                await person.submit(task.id, YES, by=AGENT)
            await remote.wait(task.id)
    sent, received = agent.span("ask human"), seen.span("ask human")
    assert sent.kind is SpanKind.CLIENT
    assert is_child(sent, agent.span("agent"))
    assert is_child(received, sent)
    assert is_child(seen.span("answer task"), agent.span("answer task"))
    assert seen.named("wait for human") == [], "each poll would be one"
    assert attributes(agent.span("wait for human"))["task.status"] == "completed"


@pytest.mark.anyio
async def test_the_wire_does_not_show_where_a_question_came_from(make_engine, serve):
    url = serve(Router(make_engine(), tokens=TOKENS))
    async with RemoteEngine(url, TOKEN) as remote:
        task = await remote.create(a_question())
    async with httpx2.AsyncClient(headers=AS_PERSON) as client:
        assert "traceparent" not in (await client.get(f"{url}/api/tasks/{task.id}")).text


@pytest.mark.anyio
async def test_the_hosts_own_instrumentation_of_requests_comes_first(seen, make_engine, serve):
    """The span that it made stays the parent; what the sender sent is its business."""
    router = Router(make_engine(), tokens=TOKENS)

    async def instrumented(scope, receive, send):
        with seen.tracer.start_as_current_span("POST /api/tasks"):
            await router(scope, receive, send)

    async with RemoteEngine(serve(instrumented), TOKEN, telemetry=observe().telemetry) as remote:
        await remote.create(a_question())
    with anyio.fail_after(PATIENCE_SECONDS):
        while not seen.named("POST /api/tasks"):  # it ends behind the reply
            await anyio.sleep(0.01)
    assert is_child(seen.span("ask human"), seen.span("POST /api/tasks"))


def test_three_processes_draw_one_picture(tmp_path):
    """An agent asks a server over HTTP; a worker on its database notifies and verifies."""
    database = f"sqlite:///{tmp_path}/tasks.db"
    with ExitStack() as stack:
        start = partial(_start, stack, tmp_path)
        server, worker = start("serve", database), start("work", database)
        url, _ = _line(server), _line(worker)
        agent = start("agent", url)
        task_id = _line(agent)
        assert _line(worker) == "opened"
        with httpx2.Client(headers=AS_PERSON, timeout=PATIENCE_SECONDS) as person:
            reply = person.post(f"{url}/api/tasks/{task_id}/complete", json={"response": YES})
        assert reply.is_success, reply.text
        assert agent.wait(PATIENCE_SECONDS) == 0
        for process in (server, worker):
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE_SECONDS) == 0

    at_agent, at_server, at_worker = (_spans(tmp_path / role) for role in ("agent", "serve", "work"))
    sent, asked = at_agent["ask human"], at_server["ask human"]
    assert asked["context"]["trace_id"] == sent["context"]["trace_id"] == at_agent["agent"]["context"]["trace_id"]
    assert asked["parent_id"] == sent["context"]["span_id"]
    assert at_agent["wait for human"]["context"]["trace_id"] == sent["context"]["trace_id"]

    origin = (asked["context"]["trace_id"], asked["context"]["span_id"])
    later = [at_server["answer task"], at_worker["notify test"], at_worker["verify answer"], at_worker["decide task"]]
    for span in later:
        assert [(link["context"]["trace_id"], link["context"]["span_id"]) for link in span["links"]] == [origin]
        assert span["attributes"]["awaithumans.task.id"] == task_id
        assert span["context"]["trace_id"] != origin[0]
    assert at_worker["decide task"]["parent_id"] == at_worker["verify answer"]["context"]["span_id"]
    assert at_worker["notify test"]["parent_id"] is at_server["answer task"]["parent_id"] is None


def _start(stack: ExitStack, folder: Path, role: str, url: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "tests.programs.traced", role, url, TOKEN, PERSONS_TOKEN, str(folder / role)]
    return stack.enter_context(subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _spans(file: Path) -> dict[str, Any]:
    return {span["name"]: span for span in map(json.loads, file.read_text().splitlines())}


# ── Metrics ───────────────────────────────────────────────────────────────────


class OftenBeaten(MemoryStore):
    """A store where somebody else is faster the first few times."""

    def __init__(self, beaten: int) -> None:
        super().__init__()
        self._beaten = beaten

    async def apply(self, change):
        self._beaten -= 1
        return False if self._beaten >= 0 else await super().apply(change)


@pytest.mark.anyio
class TestMetrics:
    async def test_a_task_counts_once_however_often_it_is_asked_and_raced_for(self, seen, make_engine):
        engine = make_engine(store=OftenBeaten(3))
        question = a_question()
        for _ in range(3):
            task = await engine.create(question)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(_try_to_answer, engine, task)
        assert seen.counted("tasks.created") == {(): 1}
        assert seen.counted("tasks.closed") == {("completed",): 1}
        assert len(seen.named("decide task")) == 1
        assert seen.counted("answers.refused") == {(TaskAlreadyTerminalError.code,): 4}

    async def test_two_engines_on_one_store_count_a_race_once(self, make_engine, seen, tmp_path):
        engines = [make_engine(store=SQLAlchemyStore(f"sqlite:///{tmp_path}/t.db")) for _ in range(2)]
        task = await engines[0].create(a_question())
        async with anyio.create_task_group() as group:
            for engine in engines:
                group.start_soon(_try_to_answer, engine, task)
        assert seen.counted("tasks.closed") == {("completed",): 1}
        assert [point.count for point in seen.points("task.time_to_decision")] == [1]
        for engine in engines:
            await engine.aclose()

    async def test_time_to_decision_is_measured_in_peoples_time(self, seen, make_engine, clock):
        engine = make_engine()
        task = await engine.create(a_question(timeout_seconds=100_000))
        await clock.advance(5_000)
        await engine.submit(task.id, YES, by=ANA)
        (point,) = seen.points("task.time_to_decision")
        assert point.attributes == {"awaithumans.task.status": "completed"}
        assert point.sum == 5_000
        assert point.explicit_bounds == PATIENCE

    async def test_deliveries_are_counted_by_what_came_of_them(self, seen, make_engine, clock):
        failures = [ConnectionError(), None, DeliveryError("no such person", permanent=True)]
        engine = make_engine(channels=[RecordingChannel(failures=failures)])
        task = await engine.create(a_question(notify=("test:ana",)))
        for _ in range(3):
            await clock.advance(10)
            await engine.tick()
        await engine.cancel(task.id, by=ANA)
        await engine.tick()
        assert seen.counted("deliveries.sent") == {("test", "opened"): 1}
        assert seen.counted("deliveries.failed") == {
            ("test", "opened", "ConnectionError"): 1,
            ("test", "closed", "DeliveryError"): 1,
        }
        assert seen.counted("deliveries.given_up") == {("test", "closed"): 1}
        assert sum(point.count for point in seen.points("delivery.duration")) == 3

    async def test_an_attempt_whose_lease_was_lost_is_not_counted_as_failed_twice(self, seen, make_engine):
        engine = make_engine(channels=[RecordingChannel(failures=[OSError()])])
        await engine.create(a_question(notify=("test:ana",)))
        now = engine.clock.now()
        leased: Leased = await engine.store.lease(now, now + timedelta(seconds=1), 10)
        later = now + timedelta(seconds=2)
        await engine.store.lease(later, later + timedelta(seconds=60), 10)
        for delivery in leased.deliveries:
            await engine._runner._perform(delivery)
        assert seen.counted("deliveries.failed") == {}

    async def test_lateness_is_from_due_to_begun(self, seen, make_engine, clock):
        engine = make_engine(channels=[RecordingChannel(failures=[OSError()])])
        await engine.create(a_question(notify=("test:ana",), timeout_seconds=60))
        await clock.advance(45)
        await engine.tick()
        await clock.advance(20)
        await engine.tick()
        late = {
            point.attributes["awaithumans.effect.kind"]: (point.count, point.sum) for point in seen.points(LATENESS)
        }
        assert late == {"notify": (2, 45), "expire": (1, 5)}, "of the two, word of the end was in time"

    async def test_verdicts_are_timed_and_rejections_counted(self, seen, make_engine, clock):
        rules = Rules(RuntimeError("the model is away"), Verdict(passed=False, reason="vague"), Verdict(passed=True))
        engine = make_engine(verifiers={"Rules": rules})
        task = await engine.create(a_question(verifier=CHECKED))
        await engine.submit(task.id, YES, by=ANA)
        for _ in range(2):
            await clock.advance(10)
            await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        await engine.tick()
        assert seen.counted("answers.rejected") == {("rules",): 1}
        timed = {point.attributes.get("error.type"): point.count for point in seen.points("verification.duration")}
        assert timed == {"RuntimeError": 1, None: 2}
        verdicts = [attributes(span).get("verdict.passed") for span in seen.named("verify answer")]
        assert verdicts == [None, False, True]

    async def test_those_who_wait_are_counted_while_they_wait(self, seen, make_engine):
        engine = make_engine()
        task = await engine.create(a_question())
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(engine.wait, task.id)
            await anyio.wait_all_tasks_blocked()
            assert seen.counted("waiters") == {(): 3}
            await engine.submit(task.id, YES, by=ANA)
        assert seen.counted("waiters") == {(): 0}

    async def test_names_and_units_follow_the_conventions(self, seen, make_engine):
        engine = make_engine(channels=[RecordingChannel()])
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.tick()
        await engine.submit(task.id, YES, by=ANA)
        data = seen.reader.get_metrics_data()
        assert data is not None
        (scope,) = data.resource_metrics[0].scope_metrics
        assert {metric.name: metric.unit for metric in scope.metrics} == {
            "awaithumans.tasks.created": "{task}",
            "awaithumans.tasks.closed": "{task}",
            "awaithumans.task.time_to_decision": "s",
            "awaithumans.deliveries.sent": "{delivery}",
            "awaithumans.delivery.duration": "s",
            "awaithumans.due_work.lateness": "s",
        }


LATENESS = "due_work.lateness"


async def _try_to_answer(engine: Engine, task: Task) -> None:
    with suppress(TaskAlreadyTerminalError):
        await engine.submit(task.id, YES, by=ANA)


# ── What must not get out ─────────────────────────────────────────────────────


@pytest.mark.anyio
async def test_no_personal_data_is_exported(seen, make_engine, clock, serve):
    """Each canary stands where a host puts what is nobody's business, in errors too."""
    failures = [DeliveryError("canary-reason"), OSError("canary-os"), None, DeliveryError("canary-no", permanent=True)]
    rules = Rules(RuntimeError("canary-model"), Verdict(passed=False, reason="canary-verdict"), Verdict(passed=True))
    engine = make_engine(channels=[RecordingChannel(failures=failures)], verifiers={"rules": rules})
    url = serve(Router(engine, tokens=TOKENS, verdict_seconds=0))
    question = a_question(
        task="canary-title",
        payload={"canary-field": "canary-value"},
        idempotency_key="canary-key",
        notify=("test+canary-identity:canary-address@example.com",),
        assign_to={"email": "canary-ana@example.com"},
        metadata={"canary-name": "canary-metadata"},
        verifier=VerifierConfig(provider="rules", instructions="canary-instructions"),
        response_schema={"type": "object", "properties": {"canary-answer": {"type": "string", "enum": ["canary-yes"]}}},
    )
    ana = Actor.of(Human(id="canary-id", email="canary-ana@example.com", display_name="canary-name"), auth="host")
    async with RemoteEngine(url, TOKEN, telemetry=seen.telemetry) as remote:
        token = context.attach(baggage.set_baggage("user", "canary-baggage"))
        task = await remote.create(question)
        context.detach(token)
        async with RemoteEngine(url, PERSONS_TOKEN, telemetry=seen.telemetry) as person:
            for tell in (person, engine):
                with pytest.raises(SchemaValidationError):
                    await tell.submit(task.id, {"canary-answer": "canary-no"}, by=ana)
        answer = {"response": {"canary-answer": "canary-yes"}, "completed_via_channel": "canary-channel"}
        async with httpx2.AsyncClient(headers=AS_PERSON, timeout=PATIENCE_SECONDS) as client:
            page = f"{url}/api/tasks/{task.id}"
            await client.post(f"{page}/complete", json=answer)
            await _work_for(engine, clock, seconds=60)
            reply = await client.post(f"{page}/complete", json=answer)
        assert reply.status_code == 200, reply.text
        await _work_for(engine, clock, seconds=60)
        assert (await remote.wait(task.id)).status == "completed"
        with pytest.raises(ForbiddenError):
            await engine.cancel(task.id, by=ana, reason="canary-cancelled")

    exported = [span.to_json() for span in seen.spans]
    metrics = seen.reader.get_metrics_data()
    assert metrics is not None
    everything = "\n".join([*exported, metrics.to_json()])
    assert "canary" not in everything
    steps = {"ask human", "notify test", "answer task", "verify answer", "decide task", "wait for human", "cancel task"}
    assert {span.name for span in seen.spans} == steps
    assert seen.counted("deliveries.given_up")


async def _work_for(engine: Engine, clock: VirtualClock, *, seconds: int) -> None:
    for _ in range(seconds // 10):
        await engine.tick()
        await clock.advance(10)


# ── With little or nothing of OpenTelemetry there ─────────────────────────────

ASK_AND_ANSWER = """
import anyio
from awaithumans import Engine
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.engines import ANA, a_question
from awaithumans.web import ApiToken, Router

async def main():
    channel = RecordingChannel()
    engine = Engine(MemoryStore(), channels=[channel])
    Router(engine, tokens=[ApiToken.admin("t" * 32)])
    async with engine.run():
        task = await engine.create(a_question(notify=("test:ana",)))
        with anyio.fail_after(30):
            while not channel.sent:
                await anyio.sleep(0.01)
        await engine.submit(task.id, {"approved": True}, by=ANA)
        closed = await engine.wait(task.id)
    print(type(engine.telemetry).__name__, closed.status, closed.spec.trace_context)

anyio.run(main)
"""


def run(*lines: str) -> str:
    program = [sys.executable, "-W", "error", "-c", "\n".join([*lines, ASK_AND_ANSWER])]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).strip()


def test_without_the_api_package_everything_works():
    blocked = "import sys; sys.modules['opentelemetry'] = None"
    assert run(blocked) == "Telemetry completed None"


def test_with_an_api_package_that_is_too_old_everything_works_and_a_line_says_so():
    old = "import opentelemetry.version; opentelemetry.version.__version__ = '1.20.0'"
    said, outcome = run(old).splitlines()[::-1]
    assert outcome == "Telemetry completed None"
    assert "too old" in said


def test_with_the_api_package_alone_everything_works():
    assert run("") == "OpenTelemetry completed None"


def test_providers_that_the_host_sets_later_are_found():
    late = (
        "from awaithumans.ambient import ambient_telemetry; ambient_telemetry()",
        "from opentelemetry import trace, metrics",
        "from opentelemetry.sdk.trace import TracerProvider",
        "from opentelemetry.sdk.metrics import MeterProvider",
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader",
        "trace.set_tracer_provider(TracerProvider())",
        "metrics.set_meter_provider(MeterProvider([reader := InMemoryMetricReader()]))",
        "import atexit",
        "atexit.register(lambda: print('awaithumans.tasks.closed' in reader.get_metrics_data().to_json()))",
    )
    traced, counted = run(*late).splitlines()
    assert "'traceparent': '00-" in traced
    assert counted == "True"


def test_engines_share_what_tells_the_global_providers():
    assert Engine(MemoryStore()).telemetry is Engine(MemoryStore()).telemetry is ambient_telemetry()
