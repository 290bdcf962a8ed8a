"""The engine: every verb, and the one path by which a task changes."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from pydantic import BaseModel, ValidationError

from awaithumans import lifecycle
from awaithumans.admission import admit, admit_answer, admit_recipients, authority_of, content_of, same_people
from awaithumans.ambient import AMBIENT_ENGINE, ambient_telemetry
from awaithumans.assignment import Assignment
from awaithumans.background import Background, Home
from awaithumans.clock import CorrectedClock, SystemClock, sleep
from awaithumans.documents import canonical, dumps, ensure_json
from awaithumans.errors import (
    AwaitHumansError,
    ConfigurationError,
    IdempotencyConflictError,
    InvalidInputError,
    InvalidRoutingError,
    SchemaValidationError,
    TaskNotFoundError,
)
from awaithumans.following import GOOD_FOR, PAUSE, Course
from awaithumans.forms import validate_response
from awaithumans.ids import uuid7
from awaithumans.leases import Leases
from awaithumans.origins import read_origin
from awaithumans.protocols import (
    Channel,
    Clock,
    Directory,
    Joinable,
    KeepsRecords,
    Records,
    Store,
    TaskEngine,
    Verifier,
)
from awaithumans.records import MemoryRecords
from awaithumans.routing import AddressDirectory, addresses_of, entry_of, recipients_of
from awaithumans.runner import Runner
from awaithumans.signing import Embed, KeyRing
from awaithumans.statistics import Statistics, statistics
from awaithumans.telemetry import Deed, Telemetry
from awaithumans.types import (
    AGENT,
    CLOSED_STATUSES,
    Actor,
    Cancel,
    Change,
    ColorScheme,
    Command,
    Cursor,
    Delivery,
    EffectKind,
    EmbeddedPage,
    Entry,
    Human,
    JsonObject,
    KeyScope,
    OneOf,
    Query,
    Reassign,
    Submit,
    Task,
    TaskSpec,
    TaskStatus,
    from_microseconds,
    provider_name,
)
from awaithumans.wakeups import Bell, Feed, Hub

MAX_MODELS = 10_000
SHORTEST_EMBED = timedelta(minutes=1)
LONGEST_EMBED = timedelta(hours=1)
PURGE_PAGE = 500
_BEGINNING = from_microseconds(0)
ASKED_ELSEWHERE = (
    "The task was asked by an engine with another secret, so whether it is the same question cannot be told. "
    "Keep the old secret behind the new one: Engine(secret=[new, old])."
)
ASKED_OF_OTHERS = (
    "The task was asked of other people, or with another verifier, so its answer may be worth less or more than "
    "this one's. Use a new key to ask others."
)


@dataclass(frozen=True, slots=True)
class Health:
    """How an engine stands."""

    lag: timedelta
    """How late the oldest due effect is."""

    @property
    def ok(self) -> bool:
        """Tell whether due work is being done in time: less than a minute late."""
        return self.lag < timedelta(minutes=1)


class Engine(TaskEngine):
    """The task engine, embedded in your process, on your store.

    Arguments:
        store: where tasks live.
        channels: ways to tell people and programs; `notify` names them.
        verifiers: by provider name, who checks answers.
        directory: the host's people; without one, people are e-mail addresses.
        secret: at least 32 bytes of text that only this host knows, or several
            (the first signs, all are accepted). Signs links and forms; needed
            for the web pages. Engines on one store need the same.
        public_url: where the router is mounted, as people's browsers see it.
        setup: call `store.setup()` before first use; False where the host
            runs the migrations itself.
        reminders: after which parts of a task's time those who are told of it
            are told again that it still waits, such as (0.5, 0.9); by default
            never. Counts for the tasks that this engine asks.
        background: let the first verb start the background work; with False
            only `run()` and `tick()` do any: for cron jobs, and for programs
            without the channels that other processes on the store have.
        clock: the time; by default this machine's, corrected by the store's.
        rng: jitter for retries.
        new_id: makes task ids; by default UUIDs of version 7, as 32 hex digits.
        telemetry: who is told of spans and metrics; by default the process's
            global OpenTelemetry providers, where its API is installed.

    Every verb may be called from any event loop and, through
    `BlockingEngine`, from any thread. Nothing of the host's is configured,
    closed or started behind its back.
    """

    def __init__(
        self,
        store: Store,
        *,
        channels: Iterable[Channel] = (),
        verifiers: Mapping[str, Verifier] | None = None,
        directory: Directory | None = None,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        public_url: str | None = None,
        setup: bool = True,
        reminders: Sequence[float] = (),
        background: bool = True,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        new_id: Callable[[], str] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.store = store
        self.clock: Clock = clock or CorrectedClock(SystemClock())
        self.directory: Directory = directory or AddressDirectory()
        self.keys = KeyRing(secret) if secret else KeyRing.unkeyed()
        self.public_url = public_url.rstrip("/") if public_url else None
        self.channels = _by_name(channels, self.keys)
        self.verifiers = _by_provider(verifiers or {})
        self._held: list[Change] | None = None  # what is written in a transaction that is still open
        self._reminders = _checked_reminders(reminders)
        self.telemetry: Telemetry = telemetry or ambient_telemetry()
        self._new_id = new_id or (lambda: uuid7(self.clock.now()))
        self._models: OrderedDict[str, type[BaseModel]] = OrderedDict()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, and lots
        self._records_here = MemoryRecords()
        self._leases = Leases(self.records, self.clock)
        self._assignment = Assignment(store, self.records, self.clock, self._rng)
        self._hub = Hub()
        self._runner = Runner(
            store=store,
            clock=self.clock,
            channels=self.channels,
            verifiers=self.verifiers,
            transition=self._transition,
            misfits=self.misfits,
            directory=self.directory,
            page_url=self.page_url,
            link=self._link_if_theirs,
            rng=self._rng,
            telemetry=self.telemetry,
        )
        self._background = Background(
            store=store,
            clock=self.clock,
            hub=self._hub,
            runner=self._runner,
            setup=setup,
            lazy=background,
            telemetry=self.telemetry,
        )
        for channel in self.channels.values():
            if bind := getattr(channel, "bind", None):
                bind(self)

    # ── Background work ───────────────────────────────────────────────────────

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[Engine]:
        """Do the background work while the block runs.

        Inside, `await_human` finds this engine by itself. Without it, the
        first verb starts the work on its event loop. Leaving the block ends
        the work where it stands; what is unfinished is done later by any
        process that runs an engine on the same store.
        """
        self._refuse_in_transaction()
        async with self._background.run():
            with AMBIENT_ENGINE.surrounding(self):
                yield self

    @property
    def records(self) -> Records:
        """Give the store's records; where it keeps none, some in this process's memory."""
        return self.store.records if isinstance(self.store, KeepsRecords) else self._records_here

    @property
    def home(self) -> Home | None:
        """Give the event loop on which the background work runs, if any."""
        return self._background.home

    @property
    def works_in_this_thread(self) -> bool:
        """Tell whether blocking this thread would block the engine's work."""
        return self.home is not None and self.home.thread == threading.get_ident()

    async def tick(self) -> int:
        """Do all background work that is due now; return how many effects.

        For tests, cron jobs and hosts that cannot keep anything running.
        """
        self._refuse_in_transaction()
        await self._background.ensure_store()
        await self._background.catch_up()
        return await self._runner.tick()

    async def health(self) -> Health:
        """Look whether due work is being done in time; for a health check.

        Raises what the store raises, where it cannot be read.
        """
        await self._background.ensure()
        now = self.clock.now()
        oldest = (await self.store.lease(now, now, 0)).next_due
        return Health(lag=max(now - oldest, timedelta()) if oldest else timedelta())

    async def statistics(
        self, window: timedelta = timedelta(days=30), *, visible_to: Human | None = None
    ) -> Statistics:
        """Count tasks, in detail those created in the `window` before now.

        Only those that `visible_to` may see; all of them if None.
        """
        await self._background.ensure()
        return await statistics(self.store, self.clock.now(), window, visible_to=visible_to)

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        """Return the notices that could not be delivered, latest first.

        By the time when they were given up, then id; `after` continues behind
        such a place.
        """
        await self._background.ensure()
        return await self.store.failures(after=after, limit=limit)

    async def redeliver(self, task_id: str, *, by: Actor, notice: str | None = None) -> Task:
        """Tell those of a task again who could not be told before.

        With `notice`, the id of one (`Delivery.effect.id`), that one is sent
        again, also if it was delivered: for a receiver that lost it. Each
        keeps its id, so a receiver can know it. Harmless where nothing has
        failed, and while it still waits; what has become pointless, such as a
        request to answer a closed task, is not sent. Raises
        `TaskNotFoundError`, and `InvalidInputError` for what is no notice of
        the task.
        """
        notices = [one for one in await self.deliveries(task_id) if one.effect.kind is EffectKind.NOTIFY]
        if notice is None:
            chosen = [one for one in notices if one.failure is not None]
        elif not (chosen := [one for one in notices if one.effect.id == notice]):
            fault = "is no notice of this task"
            raise InvalidInputError(f"{notice[:100]!r} {fault}", fields={"id": fault})
        again = [one.effect for one in chosen if one.settled_at]
        return await self._transition(task_id, lambda task, now: lifecycle.redeliver(task, again, by, now))

    async def remind(self, task_id: str, recipient: str, *, by: Actor) -> Task:
        """Tell one recipient of a task again that it waits for an answer.

        `recipient` is one of `Task.recipients`. Nothing is sent to anybody
        else, to one for whom a notice of the task is on its way, who was
        reminded of it within ten minutes, or where there is nothing to answer
        any more; so of any number of concurrent calls one sends something.
        Raises `TaskNotFoundError`.
        """
        told = await self.deliveries(task_id)
        return await self._transition(task_id, lambda task, now: lifecycle.remind_one(task, recipient, told, by, now))

    async def purge(self, *, before: datetime) -> int:
        """Erase closed tasks that last changed `before` then; return how many.

        `before` is timezone-aware. Content, trail and effects go, but not the
        keys. A task whose end is still being told stays. An answer that nobody
        has collected goes, too: keep tasks for longer than any agent that waits
        may sleep. One that comes later gets `TaskNotFoundError`, or
        `TaskGoneError` for a key that is held for ever.
        """
        self._refuse_in_transaction()
        await self._background.ensure()
        closed = Query(statuses=CLOSED_STATUSES, changed_after=Cursor(at=_BEGINNING, id=""), limit=PURGE_PAGE)
        erased = 0
        while page := [task for task in await self.store.find(closed) if task.changed_at < before]:
            for task in page:
                erased += await self._runner.purge_if_told(task.id)
            closed = replace(closed, changed_after=Cursor(at=page[-1].changed_at, id=page[-1].id))
        return erased

    # ── In the host's transaction ─────────────────────────────────────────────

    def using(self, connection: object) -> Engine:
        """Give this engine inside the transaction that is open on `connection`.

        What its verbs write commits or rolls back with the host's own rows:
        the order and the question about it, or neither. People are told after
        the commit. `connection` is the store's kind, for `SQLAlchemyStore` a
        `Connection` or `AsyncConnection` to the same database.

        Waiting is for afterwards, and so is all that would not be part of the
        transaction: `run`, `tick`, `purge`, `lease`, `follow`, `changes`, `aclose`. Raises `ConfigurationError` if the
        store cannot join a transaction, or not this one.
        """
        if not isinstance(self.store, Joinable):
            raise ConfigurationError(
                f"{type(self.store).__name__} cannot write in a transaction of the host's",
                hint="Keep tasks in the host's own SQL database, by SQLAlchemyStore.",
            )
        held: list[Change] = []
        joined = copy(self)
        joined._held = held  # noqa: SLF001 - its own kind
        joined.store = self.store.using(connection, committing=lambda: self._background.committing(held))
        # A turn that is taken in a transaction would keep everybody else waiting for its commit.
        joined._assignment = Assignment(joined.store, None, self.clock, self._rng)  # noqa: SLF001 - as above
        return joined

    def _refuse_in_transaction(self) -> None:
        if self._held is not None:
            raise ConfigurationError(
                "this is not for inside a transaction of yours: it would keep it open, or not be part of it",
                hint="Commit, then call it on the engine itself.",
            )

    # ── Verbs ─────────────────────────────────────────────────────────────────

    async def create(self, spec: TaskSpec, *, response_model: type[BaseModel] | None = None) -> Task:
        """Ask; return the task that the idempotency key names."""
        task, _ = await self.ask(spec, by=AGENT, response_model=response_model)
        return task

    async def ask(
        self, spec: TaskSpec, *, by: Actor, response_model: type[BaseModel] | None = None
    ) -> tuple[Task, bool]:
        """Ask in somebody's name; tell also whether the task is new.

        Like `create`, for callers that know who asks; `by` is trusted.
        """
        with self.telemetry.asking(by) as deed:
            task, new = await self._ask(spec, by, response_model)
            deed.asked(task, new=new)
            return task, new

    async def _ask(self, spec: TaskSpec, by: Actor, response_model: type[BaseModel] | None) -> tuple[Task, bool]:
        asker = tuple(sorted(by.human.addresses)) if by.kind == "human" else ()
        trace = self.telemetry.trace_context() or None
        spec = replace(spec, requested_by=by.principal, asker_addresses=asker, trace_context=trace)
        admit(spec, channels=self.channels, verifiers=self.verifiers)
        await self._background.ensure()
        content = content_of(spec)
        people = await self._addressed(spec)
        if isinstance(people, Task):
            return self._same(people, spec, content, response_model), False
        change = lifecycle.open_task(
            spec,
            task_id=self._new_id(),
            fingerprint=self.keys.fingerprint(content),
            addressees=people,
            recipients=recipients_of(spec.notify, people, self.channels),
            reminders=self._reminders,
            by=by,
            now=self.clock.now(),
        )
        task = await self.store.create(change)
        if task.id == change.task.id:
            self._remember(task.id, response_model)
            await self._publish(change)
            return task, True
        return self._same(task, spec, content, response_model), False

    async def _addressed(self, spec: TaskSpec) -> Sequence[Human] | Task:
        """Return whom to ask; or the key's task, where it would need a turn, or people who have left since."""
        if not spec.assign_to:
            return ()
        try:
            people = await self._meant(spec.assign_to)
        except InvalidRoutingError:
            asked = await self._asked(spec)
            if asked and (spec.key_scope is KeyScope.CALL or same_people(asked.spec, spec)):
                return asked
            raise
        if not isinstance(people, OneOf):
            return people
        return await self._asked(spec) or await self._chosen(people, spec.assign_to)

    async def _asked(self, spec: TaskSpec) -> Task | None:
        """Return the task that has the key already."""
        for task in await self.store.find(Query(idempotency_key=spec.idempotency_key, limit=1)):
            if task.spec.key_scope is KeyScope.FOREVER or task.collected_at is None:
                return task
        return None

    def _same(self, task: Task, spec: TaskSpec, content: JsonObject, response_model: type[BaseModel] | None) -> Task:
        """Return the key's task. Raises `IdempotencyConflictError` if `spec` asks something else."""
        same_scope = task.spec.key_scope is spec.key_scope
        if not (same_scope and self.keys.fingerprint_matches(task.fingerprint, content)):
            hint = None if self.keys.made(task.fingerprint) else ASKED_ELSEWHERE
            raise IdempotencyConflictError(spec.idempotency_key, task.id, hint=hint)
        may_be_answered = task.status is TaskStatus.COMPLETED or not task.closed
        if spec.key_scope is KeyScope.FOREVER and may_be_answered and not _same_authority(task.spec, spec):
            raise IdempotencyConflictError(spec.idempotency_key, task.id, hint=ASKED_OF_OTHERS)
        self._remember(task.id, response_model)
        return task

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        """Return the people that a wire `assign_to` object means.

        Where that is one of several, it is their turn with this. Raises
        `InvalidRoutingError` if there are none.
        """
        people = await self._meant(assign_to)
        return await self._chosen(people, assign_to) if isinstance(people, OneOf) else people

    async def _meant(self, assign_to: JsonObject) -> Sequence[Human]:
        people = await self.directory.resolve(assign_to)
        if not people:  # a task addressed to nobody would be open to everybody
            raise InvalidRoutingError("assign_to", "leads to nobody")
        return people

    async def _chosen(self, people: OneOf, assign_to: JsonObject) -> Sequence[Human]:
        if len(people) == 1:
            return people
        return [await self._assignment.choose(people, self.keys.fingerprint(assign_to))]

    async def get(self, task_id: str) -> Task:
        """Return the task as it stands."""
        await self._background.ensure()
        return await self._read(task_id)

    async def find(self, query: Query) -> list[Task]:
        """Return the tasks that fit `query`, in its order."""
        await self._background.ensure()
        return await self.store.find(query)

    async def trail(self, task_id: str) -> list[Entry]:
        """Return the task's audit trail, oldest entry first. Raises `TaskNotFoundError`."""
        await self.get(task_id)
        return await self.store.trail(task_id)

    async def deliveries(self, task_id: str) -> list[Delivery]:
        """Return what was sent, is due or failed. Raises `TaskNotFoundError`."""
        await self.get(task_id)
        return await self.store.deliveries(task_id)

    async def wait(self, task_id: str, *, timeout: float | None = None) -> Task:
        """Return the task once it is closed, or as it stands after `timeout`."""
        with self.telemetry.waiting(task_id) as deed:
            task = await self.wait_until(task_id, lambda task: task.closed, timeout=timeout)
            deed.concerns(task)
            return task

    async def wait_until(self, task_id: str, ready: Callable[[Task], bool], *, timeout: float | None = None) -> Task:
        """Like `wait`, for any condition on the task.

        `ready` is asked of each version that is seen; it decides at once. Of
        changes in quick succession, only the latest is seen.
        """
        self._refuse_in_transaction()
        await self._background.ensure()
        with self._hub.listen(task_id) as bell:
            with self.clock.move_on_after(timeout):
                while not ready(task := await self._read(task_id)):
                    await self._background.rung(bell)
                return task
            return await self._read(task_id)

    async def wait_for_verdict(self, task_id: str, *, timeout: float | None = None) -> Task:
        """Like `wait`, until no answer is with the verifier: to tell its giver what came of it."""
        return await self.wait_until(task_id, lambda task: task.status is not TaskStatus.SUBMITTED, timeout=timeout)

    async def act(self, task_id: str, command: Command) -> Task:
        """Carry out one command and return the task after it."""
        return await self._act(task_id, command)

    async def act_on(self, seen: Task, command: Command) -> Task:
        """Like `act`, on a task that was just read.

        It is read again where it has changed since, and where there is nothing
        to change in `seen`, or what is wanted would be refused.
        """
        return await self._act(seen.id, command, seen)

    async def _act(self, task_id: str, command: Command, seen: Task | None = None) -> Task:
        await self._background.ensure()
        with self.telemetry.acting(command) as deed:
            if isinstance(command, Submit):
                admit_answer(command)
            if isinstance(command, Reassign):
                admit_recipients(command.notify, self.channels)
            if isinstance(command, Cancel):
                ensure_json(command.reason, "reason")
            task = await self._transition(task_id, partial(self._decide, command, deed), seen)
            deed.concerns(task)
            return task

    async def collect(self, task_id: str, *, by: Actor = AGENT) -> Task:
        """Say that the outcome has been taken over; harmless when repeated.

        Like `TaskEngine.collect`; `by` goes into the audit trail.
        """
        await self._background.ensure()
        return await self._transition(task_id, lambda task, now: lifecycle.collect(task, by, now))

    async def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take, or keep, a right for some time; tell whether `holder` has it."""
        self._refuse_in_transaction()
        await self._background.ensure()
        return await self._leases.lease(name, holder, seconds)

    async def delete(self, task_id: str, *, by: Actor) -> None:
        """Erase a task's content, trail and effects, but not its key.

        An open task is cancelled first, and is erased once everybody who is to
        hear of its end has heard. Raises `TaskNotFoundError`.
        """
        await self._background.ensure()
        await self._transition(task_id, lambda task, now: lifecycle.delete(task, by, now))
        if self._held is None:
            await self._runner.purge_if_told(task_id)
            await self._background.changed(task_id)

    def page_url(self, task_id: str) -> str | None:
        """Return the address of the task's page; None without `public_url`."""
        return f"{self.public_url}/tasks/{task_id}" if self.public_url else None

    def link(self, task: Task, human: Human, *, via: str = "web") -> str:
        """Make a capability link: this task, for this person, until answered.

        Whoever holds the link may see and answer this one task as `human`,
        once, while it is open and still addressed to them. Send it to that
        person alone. `via` is the door that the trail names, such as `email`.
        Raises `ConfigurationError` without `secret` or `public_url`.
        """
        if self.public_url is None:
            raise ConfigurationError("a link needs an address", hint="Pass Engine(public_url=...).")
        return f"{self.public_url}/l/{self.keys.link_token(task.id, human.email or human.id, task.attempt, via)}"

    def embed(
        self,
        task: Task,
        human: Human,
        *,
        origin: str,
        valid_for: timedelta = timedelta(minutes=5),
        stated_by: str | None = None,
        color_scheme: ColorScheme | None = None,
    ) -> EmbeddedPage:
        """Make an address of the task's page for a frame in the host's product.

        The page lets `human`, and nobody else, read and answer this one task,
        and only pages of `origin` can show it; whatever their rights are, it
        has none of an operator. It can be loaded within `valid_for`, one
        minute to one hour, and answered within an hour of that. Give the
        address to that person's browser alone. `stated_by` names the principal
        whose word it is that the person is `human`. `color_scheme` is `light` or
        `dark` where the pages around it are only that; without it the page
        follows the browser's setting. Raises `InvalidInputError` for
        what is no origin, and `ConfigurationError` without `secret` or
        `public_url`.
        """
        if self.public_url is None:
            raise ConfigurationError("a page in a frame needs an address", hint="Pass Engine(public_url=...).")
        until = self.clock.now() + min(max(valid_for, SHORTEST_EMBED), LONGEST_EMBED)
        embed = Embed(
            task_id=task.id,
            address=human.email or human.id,
            origin=read_origin(origin, "origin"),
            expires_at=int(until.timestamp()),
            stated_by=stated_by,
            color_scheme=color_scheme,
        )
        token = self.keys.embed_token(embed)
        return EmbeddedPage(url=f"{self.public_url}/embed/{token}", expires_at=until.replace(microsecond=0))

    def _link_if_theirs(self, task: Task, human: Human, via: str) -> str | None:
        """Make a link where one can be made, and would be good."""
        guest = replace(human, operator=False)
        if task.closed or self.public_url is None or not self.keys.keyed or not lifecycle.may_answer(task, guest):
            return None
        return self.link(task, human, via=via)

    def reads_text(self, task: Task) -> bool:
        """Tell whether people may answer the task in their own words: its verifier reads them."""
        config = task.spec.verifier
        verifier = config and self.verifiers.get(config.provider_name)
        return getattr(verifier, "reads_text", False) is True

    def misfits(self, task: Task, value: JsonObject) -> Mapping[str, str]:
        """Say, by field, why `value` does not answer the task; empty if it does."""
        spec = task.spec
        faults = validate_response(spec.form, spec.response_schema, value)
        faulty = {path.partition(".")[0] for path in faults}
        more = self._model_faults(task.id, value)
        return faults | {path: fault for path, fault in more.items() if path.partition(".")[0] not in faulty}

    async def aclose(self) -> None:
        """End the background work, and close what store, channels and verifiers opened themselves.

        Not what the host brought, such as its database engine.
        """
        self._refuse_in_transaction()
        await self._background.aclose()
        for one in (*self.channels.values(), *self.verifiers.values()):
            if close := getattr(one, "aclose", None):
                await close()
        await self.store.aclose()

    # ── Following ─────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def follow(self, task_id: str, *, seen: int | None = None) -> AsyncGenerator[AsyncIterator[Task]]:
        """Give a task as it stands, and again whenever it has changed.

        The iterator ends behind the closed task. Of changes in quick
        succession the latest counts; versions may be left out. The version
        `seen` is not given. Raises `TaskNotFoundError`, also if the task is
        deleted meanwhile.
        """
        self._refuse_in_transaction()
        await self._background.ensure()
        with self._hub.listen(task_id, closely=True) as bell:
            async with aclosing(self._versions(task_id, seen, bell)) as versions:
                yield versions

    @asynccontextmanager
    async def changes(self, query: Query) -> AsyncGenerator[AsyncIterator[Task]]:
        """Give the tasks that fit `query`, each whenever it has changed.

        Begins with what changes once the block is entered; with
        `changed_after`, with what has changed since then. Nothing behind that
        place is missed, whichever process changed it. What changed shortly
        before may come too, and come again: with `changed_after` the look goes
        back a minute further, since changes may become visible out of their
        order. Of changes in quick succession the latest counts, and a slow
        reader makes nothing pile up.

        A task that no longer fits is not given. `after`, `limit` and `offset`
        do not count.
        """
        self._refuse_in_transaction()
        await self._background.ensure()
        with self._hub.follow() as feed:
            async with aclosing(self._changed(Course(query, self.clock.now()), feed)) as tasks:
                yield tasks

    async def _versions(self, task_id: str, seen: int | None, bell: Bell) -> AsyncGenerator[Task]:
        while True:
            task = await self._read(task_id)
            if task.version != seen:
                yield task
            if task.closed:
                return
            seen = task.version
            await self._background.rung(bell)

    async def _changed(self, course: Course, feed: Feed) -> AsyncGenerator[Task]:
        while True:
            while query := course.query:
                read_at = self.clock.now()
                for task in course.fresh(await self.store.find(query)):
                    yield task
                    if self.clock.now() - read_at > GOOD_FOR:
                        course.query = query
                        break
            await sleep(self.clock, PAUSE)
            heard = await self._background.rung(feed)
            course.turn_to(feed.take() if heard else None, self.clock.now())

    # ── The one write path ────────────────────────────────────────────────────

    async def _transition(
        self, task_id: str, decide: Callable[[Task, datetime], Change | None], seen: Task | None = None
    ) -> Task:
        change = self._foreseen(seen, decide) if seen else None
        while change is None or not await self._apply(change):
            task = await self._read(task_id)
            change = decide(task, self.clock.now())
            if change is None:
                return task
        await self._publish(change)
        if change.refusal:
            raise change.refusal
        return change.task

    def _foreseen(self, seen: Task, decide: Callable[[Task, datetime], Change | None]) -> Change | None:
        """Decide on a task that may have changed since: what stands if it can be written, and else nothing."""
        with suppress(AwaitHumansError):
            return decide(seen, self.clock.now())
        return None

    def _decide(self, command: Command, deed: Deed, task: Task, now: datetime) -> Change | None:
        deed.concerns(task)
        if isinstance(command, Reassign):
            joining = recipients_of(command.notify, command.to, self.channels)
            command = replace(command, notify=(*joining, *self._reaching(task, command.to)))
        change = lifecycle.act(task, command, now)
        if not isinstance(command, Submit) or change is None or change.refusal:
            return change
        if command.text is not None:
            self._ensure_read(task)
        elif faults := self.misfits(task, command.value or {}):
            raise SchemaValidationError.of_fields("response", faults)
        return change

    def _ensure_read(self, task: Task) -> None:
        if not self.reads_text(task):
            raise InvalidInputError(
                "this task takes no answer in free text",
                hint="Answer by its form, or ask with a verifier that reads free text.",
                fields={"text": "nobody reads free text here"},
            )

    def _reaching(self, task: Task, people: Sequence[Human]) -> list[str]:
        """Name the people where the channels reach them that the task uses."""
        used = {entry.prefix: entry for entry in map(entry_of, (*task.spec.notify, *task.recipients))}
        return [address for entry in used.values() for address in addresses_of(entry, people, self.channels)]

    async def _apply(self, change: Change) -> bool:
        try:
            return await self.store.apply(change)
        except BaseException:  # who is cancelled, or fails, does not know whether it is written: whoever waits looks
            if self._held is None:
                self._background.hint(change)
            raise

    async def _publish(self, change: Change) -> None:
        if self._held is None:
            await self._background.publish(change)
        else:
            self._held.append(change)

    async def _read(self, task_id: str) -> Task:
        task = await self.store.get(task_id)
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    # ── Response models of this process ───────────────────────────────────────

    def _remember(self, task_id: str, model: type[BaseModel] | None) -> None:
        if model is None:
            return
        self._models.pop(task_id, None)
        self._models[task_id] = model
        if len(self._models) > MAX_MODELS:
            self._models.popitem(last=False)

    def _model_faults(self, task_id: str, value: JsonObject) -> Mapping[str, str]:
        model = self._models.get(task_id)
        if model is None:
            return {}
        try:
            model.model_validate_json(dumps(value))
        except ValidationError as error:
            return SchemaValidationError.of_model("response", error).fields
        return {}


def _same_authority(one: TaskSpec, other: TaskSpec) -> bool:
    return canonical(authority_of(one)) == canonical(authority_of(other))


def _checked_reminders(parts: Sequence[float]) -> tuple[float, ...]:
    if not all(0 < part < 1 for part in parts):
        raise ConfigurationError(
            f"reminders={tuple(parts)!r} are no parts of a task's time",
            hint="Give numbers between 0 and 1: (0.5,) reminds at half the time.",
        )
    return tuple(sorted(set(parts)))


def _by_name(channels: Iterable[Channel], keys: KeyRing) -> dict[str, Channel]:
    named: dict[str, Channel] = {}
    for channel in channels:
        if named.setdefault(channel.name, channel) is not channel:
            raise ConfigurationError(
                f"there are two channels {channel.name!r}", hint="A name in `notify` leads to one: give each its own."
            )
        if keys.shares_secret_with(getattr(channel, "key", None)):
            raise ConfigurationError(
                f"the {channel.name} channel signs with the engine's own secret",
                hint="Every receiver holds the webhook key: make another one for it.",
            )
    return named


def _by_provider(verifiers: Mapping[str, Verifier]) -> dict[str, Verifier]:
    named = {provider_name(name): verifier for name, verifier in verifiers.items()}
    if len(named) < len(verifiers):
        raise ConfigurationError(
            f"two of the verifiers {', '.join(map(repr, verifiers))} have one name",
            hint="Letter case and spaces around a name do not count.",
        )
    return named
