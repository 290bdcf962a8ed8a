"""Spans and metrics for OpenTelemetry, through its API package alone.

What becomes of them is for the host to set up, as with any instrumented library.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from importlib.metadata import version
from time import perf_counter

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.version import __version__

from awaithumans.errors import AwaitHumansError
from awaithumans.routing import channel_of
from awaithumans.telemetry import Deed, Telemetry
from awaithumans.types import Actor, Change, Command, Delivery, Effect, EffectKind, Entry, Submit, Task, Verdict

SCOPE = "awaithumans"
SUPPORTED = tuple(map(int, __version__.split(".")[:2])) >= (1, 30)
"""Whether the installed API package knows all that is used of it."""

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
PATIENCE = (1, 5, 15, 30, _MINUTE, 300, 900, 1_800, _HOUR, 14_400, 28_800, _DAY, 172_800, 259_200, 604_800, 2_592_000)
"""Bucket boundaries for people, who answer in seconds or in days."""
PUNCTUALITY = (0.1, 0.5, 1, 2.5, 5, 10, 30, _MINUTE, 300, 900, _HOUR, _DAY)
SPEED = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_TASK_ID = "awaithumans.task.id"
_STATUS = "awaithumans.task.status"
_CHANNEL = "awaithumans.channel"
_EVENT = "awaithumans.event"
_ATTEMPT = "awaithumans.attempt"
_KIND = "awaithumans.effect.kind"
_PROVIDER = "awaithumans.verifier.provider"
_ERROR = "error.type"

_Attributes = dict[str, str | int | bool]


class OpenTelemetry(Telemetry):
    """Tells OpenTelemetry, in the instrumentation scope `awaithumans`.

    Arguments:
        tracer_provider: where spans go; by default the global provider, also
            one that is set later.
        meter_provider: where metrics go; likewise.

    Needs `pip install awaithumans[otel]`.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        release = version("awaithumans")
        meter = metrics.get_meter(SCOPE, release, meter_provider)
        self._tracer = trace.get_tracer(SCOPE, release, tracer_provider)
        self._created = meter.create_counter("awaithumans.tasks.created", "{task}", "Questions asked, each once.")
        self._closed = meter.create_counter("awaithumans.tasks.closed", "{task}", "Questions with an outcome.")
        self._refused = meter.create_counter("awaithumans.answers.refused", "{answer}", "Answers not taken.")
        self._rejected = meter.create_counter(
            "awaithumans.answers.rejected", "{answer}", "Answers a verifier rejected."
        )
        self._sent = meter.create_counter("awaithumans.deliveries.sent", "{delivery}", "Notices that channels took.")
        self._failed = meter.create_counter("awaithumans.deliveries.failed", "{delivery}", "Attempts that failed.")
        self._given_up = meter.create_counter("awaithumans.deliveries.given_up", "{delivery}", "Notices given up.")
        self._waiters = meter.create_up_down_counter("awaithumans.waiters", "{waiter}", "Callers waiting right now.")
        self._time_to_decision = _histogram(meter, "task.time_to_decision", "From question to outcome.", PATIENCE)
        self._delivery = _histogram(meter, "delivery.duration", "How long a channel takes over a notice.", SPEED)
        self._verification = _histogram(meter, "verification.duration", "How long a verdict takes.", SPEED)
        self._lateness = _histogram(meter, "due_work.lateness", "From due to first taken up.", PUNCTUALITY)

    # ── Deeds ─────────────────────────────────────────────────────────────────

    def asking(self, by: Actor | None) -> AbstractContextManager[Deed]:
        return self._doing("ask human", SpanKind.PRODUCER if by else SpanKind.CLIENT, _of_actor(by) if by else {})

    @contextmanager
    def waiting(self, task_id: str, *, remote: bool = False) -> Generator[Deed]:
        self._waiters.add(1)
        try:
            with self._doing("wait for human", _kind(remote), {_TASK_ID: task_id}) as deed:
                yield deed
        finally:
            self._waiters.add(-1)

    @contextmanager
    def acting(self, command: Command, *, remote: bool = False) -> Generator[Deed]:
        verb = "answer" if isinstance(command, Submit) else type(command).__name__.lower()
        with self._doing(f"{verb} task", _kind(remote), _of_actor(command.by)) as deed:
            try:
                yield deed
            except AwaitHumansError as error:
                if isinstance(command, Submit) and not remote:
                    self._refused.add(1, {_ERROR: _error_type(error), **_door(command.by)})
                raise

    @contextmanager
    def notifying(self, delivery: Delivery, task: Task) -> Generator[Deed]:
        about = _of_notice(delivery.effect)
        attributes = {**about, _ATTEMPT: delivery.attempts}
        with self._doing(f"notify {about[_CHANNEL]}", SpanKind.PRODUCER, attributes, task) as deed:
            with _timed(self._delivery, about):
                yield deed
            self._sent.add(1, about)

    @contextmanager
    def verifying(self, task: Task) -> Generator[Deed]:
        about = _of_verifier(task)
        attributes = {**about, _ATTEMPT: task.attempt + 1}
        doing = self._doing("verify answer", SpanKind.INTERNAL, attributes, task)
        with doing as deed, _timed(self._verification, about):
            yield deed

    @contextmanager
    def _doing(self, name: str, kind: SpanKind, attributes: _Attributes, task: Task | None = None) -> Generator[Deed]:
        """Keep a span as the current one; of an error it tells the type only."""
        started = self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes={**attributes, **({_TASK_ID: task.id} if task else {})},
            links=_links(task) if task else (),
            record_exception=False,
            set_status_on_exception=False,
        )
        with started as span:
            try:
                yield _Seen(span, linked=task is not None)
            except BaseException as error:
                span.set_attribute(_ERROR, _error_type(error))
                if isinstance(error, Exception):  # and not the end of a wait that somebody called off
                    span.set_status(StatusCode.ERROR)
                raise

    # ── Facts ─────────────────────────────────────────────────────────────────

    def changed(self, change: Change) -> None:
        for entry in change.entries:
            if entry.from_status is None:
                self._created.add(1)
            if entry.data.get("verifier_passed") is False:
                self._rejected.add(1, _of_verifier(change.task))
            if change.task.closed and entry.from_status != entry.to_status:
                self._decided(change.task, entry)

    def _decided(self, task: Task, entry: Entry) -> None:
        attributes: _Attributes = {_TASK_ID: task.id, _STATUS: task.status.value, **_of_actor(entry.by)}
        self._tracer.start_span("decide task", attributes=attributes, links=_links(task)).end()
        self._closed.add(1, {_STATUS: task.status.value, **_door(entry.by)})
        taken = (entry.at - task.created_at).total_seconds()
        self._time_to_decision.record(taken, {_STATUS: task.status.value})

    def begun(self, delivery: Delivery, now: datetime) -> None:
        if delivery.attempts == 1:  # later ones were put off on purpose
            late = max((now - delivery.effect.due).total_seconds(), 0.0)
            self._lateness.record(late, {_KIND: delivery.effect.kind.value})

    def failed(self, delivery: Delivery, error: Exception) -> None:
        if delivery.effect.kind is EffectKind.NOTIFY:
            self._failed.add(1, {**_of_notice(delivery.effect), _ERROR: _error_type(error)})

    def gave_up(self, delivery: Delivery) -> None:
        self._given_up.add(1, _of_notice(delivery.effect))

    # ── Traces across processes ───────────────────────────────────────────────

    def trace_context(self) -> dict[str, str]:
        """Give the current span as headers; the host's baggage stays here."""
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(trace.get_current_span(), _nowhere()))
        return headers

    @contextmanager
    def received(self, headers: Mapping[str, str]) -> Generator[None]:
        if trace.get_current_span().get_span_context().is_valid:
            yield
        else:
            token = attach(propagate.extract(headers))
            try:
                yield
            finally:
                detach(token)

    def leave_trace(self) -> None:
        attach(_nowhere())


class _Seen(Deed):
    """A deed with a span."""

    def __init__(self, span: trace.Span, *, linked: bool) -> None:
        self._span = span
        self._linked = linked

    def concerns(self, task: Task) -> None:
        if not self._span.is_recording():
            return
        self._span.set_attributes({_TASK_ID: task.id, _STATUS: task.status.value})
        for link in () if self._linked else _links(task):
            if link.context.span_id != self._span.get_span_context().span_id:
                self._span.add_link(link.context)
        self._linked = True

    def asked(self, task: Task, *, new: bool) -> None:
        self.concerns(task)
        self._span.set_attribute("awaithumans.task.new", new)

    def judged(self, verdict: Verdict) -> None:
        self._span.set_attribute("awaithumans.verdict.passed", verdict.passed)


# ── Parts ─────────────────────────────────────────────────────────────────────


def _nowhere() -> Context:
    """Make a context in no trace, without baggage."""
    return Context()


def _histogram(meter: metrics.Meter, name: str, description: str, boundaries: Sequence[float]) -> metrics.Histogram:
    return meter.create_histogram(f"{SCOPE}.{name}", "s", description, explicit_bucket_boundaries_advisory=boundaries)


def _links(task: Task) -> tuple[Link, ...]:
    """Link to where the task was asked, in whichever process and trace that was."""
    if not task.spec.trace_context:
        return ()
    asker = trace.get_current_span(propagate.extract(task.spec.trace_context, _nowhere())).get_span_context()
    return (trace.Link(asker),) if asker.is_valid else ()


@contextmanager
def _timed(histogram: metrics.Histogram, attributes: _Attributes) -> Generator[None]:
    began = perf_counter()
    failure: _Attributes = {}
    try:
        yield
    except BaseException as error:
        failure = {_ERROR: _error_type(error)}
        raise
    finally:
        histogram.record(perf_counter() - began, {**attributes, **failure})


def _of_actor(by: Actor) -> _Attributes:
    return {"awaithumans.actor.kind": by.kind, "awaithumans.actor.auth": by.auth, **_door(by)}


def _door(by: Actor) -> _Attributes:
    """Name the door somebody came through; what a program states itself is not passed on."""
    via = "api" if by.auth == "token" else by.via
    return {"awaithumans.actor.via": via} if via else {}


def _of_notice(effect: Effect) -> _Attributes:
    return {_CHANNEL: channel_of(effect.recipient), _EVENT: effect.event}


def _of_verifier(task: Task) -> _Attributes:
    config = task.spec.verifier
    return {_PROVIDER: config.provider_name} if config else {}


def _kind(remote: bool) -> SpanKind:  # noqa: FBT001 - the verbs name it
    return SpanKind.CLIENT if remote else SpanKind.INTERNAL


def _error_type(error: BaseException) -> str:
    """Name an error; its message may quote what is nobody's business."""
    return error.code if isinstance(error, AwaitHumansError) else type(error).__qualname__
