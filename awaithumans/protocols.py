"""The seams: what strangers implement, and what adapters may call.

A conformance suite in `awaithumans.testing` checks every promise made here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from awaithumans.types import (
    Actor,
    Cancel,
    Change,
    Claim,
    Command,
    Cursor,
    Delivery,
    Entry,
    Human,
    Inbound,
    JsonObject,
    Leased,
    Notice,
    Outcome,
    Query,
    Reassign,
    Record,
    Release,
    Reply,
    Submit,
    Task,
    TaskSpec,
    TaskStatus,
    Usage,
    Verdict,
    VerificationContext,
)

if TYPE_CHECKING:
    from pydantic import BaseModel


class Clock(Protocol):
    """The time, and giving up after some of it."""

    def now(self) -> datetime:
        """Return the present moment, timezone-aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment; nobody who sets the clock changes them."""
        ...

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[object]:
        """Return a context that ends its block after `seconds` on this clock.

        The block is cancelled at its next await, and execution goes on behind
        the context; None never ends it.
        """
        ...


class Store(Protocol):
    """Where tasks live. The truth: everything else is derived or a hint.

    Every method is safe to call from any number of coroutines, threads and
    processes at once. A method that returned has made its writes durable; one
    that raised, or whose caller was cancelled, has written all of them or none.
    Values come back equal to what was written, keys of newer releases included
    (`Task.unknown`).
    """

    async def setup(self) -> None:
        """Prepare the place where tasks are kept; harmless when it is ready.

        Any number of processes may call it at the same time. Raises
        `StoreSchemaError` if a newer, incompatible release has been here.
        """
        ...

    async def create(self, change: Change) -> Task:
        """Write a new task with its entries and effects, once per key.

        Returns the task that holds the idempotency key after the call: the one
        given, or, with nothing written, an earlier one. A key is held for ever
        with `KeyScope.FOREVER`, and until `collected_at` is set with
        `KeyScope.CALL`; both scopes share one name space. Of any number of
        concurrent creates with one key, all return the same task.

        Raises `TaskGoneError` if the key's task was purged.
        """
        ...

    async def get(self, task_id: str) -> Task | None:
        """Return the task at its latest version; None if unknown or purged."""
        ...

    async def find(self, query: Query) -> list[Task]:
        """Return the tasks that fit `query`, in its order."""
        ...

    async def count(self, query: Query) -> Mapping[TaskStatus, int]:
        """Count the tasks that fit `query` by status; none is no key.

        Its `limit` and `offset` do not count here.
        """
        ...

    async def outcomes(self, query: Query) -> list[Outcome]:
        """Return how the tasks fared that fit `query`, in its order.

        Cheap for pages of some thousand tasks: figures are made of them.
        """
        ...

    async def apply(self, change: Change) -> bool:
        """Write the next version of a task, if nobody was faster.

        Writes `change.task`, its entries and its effects in one transaction if
        the stored version is `change.task.version - 1`; else writes nothing
        and returns False. Effects whose id is already stored are left as they
        are; those of `change.retried` that are settled are waiting again, as
        if they were written now, without a receipt. Of any number of concurrent calls for one version, exactly one
        returns True. Setting `collected_at` gives a `KeyScope.CALL` key free.
        """
        ...

    async def trail(self, task_id: str) -> list[Entry]:
        """Return the task's audit trail by `seq`; empty if unknown or purged."""
        ...

    async def deliveries(self, task_id: str) -> list[Delivery]:
        """Return the task's effects by due time, settled ones included."""
        ...

    async def failures(self, *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        """Return the effects that have failed for good, latest first.

        Those settled at one moment come in an order that stays the same.
        `after` continues behind an effect: its `settled_at` and id.
        """
        ...

    async def lease(self, now: datetime, until: datetime, limit: int) -> Leased:
        """Hand out up to `limit` effects to perform before `until`.

        An effect qualifies if it is not settled, its due time (or the retry
        time set since) is at or before `now`, no lease on it runs past `now`,
        and no other unsettled effect of its lane has an earlier `due` (ties go
        by the order of writing). Earliest first. No effect is handed out twice
        under running leases. Each is returned with a fresh `token`, `attempts`
        counted up, and the lane's latest receipt. `limit` 0 only looks.
        """
        ...

    async def settle(
        self,
        delivery: Delivery,
        at: datetime,
        *,
        receipt: str | None = None,
        retry_at: datetime | None = None,
        failed: str | None = None,
    ) -> bool:
        """Say what came of a leased effect, and when.

        With `retry_at` it is given back, to be leased again from then on; with
        `failed` it has failed for good; else it is done, with the channel's
        `receipt`. Returns False, with nothing written, if `delivery.token` is
        no longer the effect's latest lease or the effect is settled.
        """
        ...

    async def purge(self, task: Task) -> bool:
        """Erase a closed task at this version, but not its key.

        Content, trail and effects go; a key held for ever stays taken, and
        creating with it raises `TaskGoneError`. A `KeyScope.CALL` key is given
        free. Returns False, with nothing erased, if the stored version is
        another or the task is gone.
        """
        ...

    async def now(self) -> datetime | None:
        """Return the time of the store's own clock; None if it has none.

        Where processes on several machines share a store, its clock decides
        deadlines.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what the store itself opened; harmless when repeated."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A store that hears what other processes change.

    Hints only: they may be late, doubled or lost. The engine re-reads tasks
    now and then, so a lost one costs latency and nothing else.
    """

    def watch(self) -> AsyncGenerator[Sequence[str], None]:
        """Yield the ids of tasks that changed, as it hears of them.

        The first item comes, perhaps empty, as soon as it listens.
        Ends when closed; raises when the connection is lost, and can then be
        called again.
        """
        ...

    async def announce(self, task_ids: Sequence[str]) -> None:
        """Tell the watchers in other processes that these tasks changed."""
        ...


@runtime_checkable
class Joinable(Protocol):
    """A store that can write inside a transaction of the host's."""

    def using(self, connection: Any, *, committing: Callable[[], None] | None = None) -> Store:
        """Give this store inside the transaction that is open on `connection`.

        What is written there commits or rolls back with the host's own rows,
        and nobody else sees it before. Each call writes all or nothing and
        leaves the transaction usable, unless the database itself ended it.
        Nothing is retried. `committing` is called, from any thread, whenever
        the host begins to commit. Use it from one task at a time, while the
        transaction is open. Raises `ConfigurationError` for a connection that
        cannot be joined.
        """
        ...


class Records(Protocol):
    """Documents by kind and id, for what features keep beside the tasks.

    They keep the general promises of `Store`: safe from anywhere at once,
    durable, all or nothing, and equal to what was written. Kinds and ids are
    text without NUL; letter case, accents and spaces count. They are not
    encrypted; documents are as tasks are.
    """

    async def get(self, kind: str, id: str) -> Record | None:  # noqa: A002 - as the field is called
        """Return the record at its latest version; None if there is none."""
        ...

    async def find(self, kind: str, *, after: str = "", limit: int = 50) -> list[Record]:
        """Return the records of a kind behind the id `after`, up to `limit`.

        By id, in the order of code points.
        """
        ...

    async def put(self, record: Record) -> bool:
        """Write the next version of a record, if nobody was faster.

        Writes it if the stored version is `record.version - 1`, and version 1
        if there is none; else writes nothing and returns False. Of any number
        of concurrent calls for one version, exactly one returns True.

        A record that is written anew after `delete` begins with version 1
        again: whoever read it before cannot tell the two apart.

        Raises `InvalidInputError`, with nothing written, for a kind, an id or
        a document that cannot be kept.
        """
        ...

    async def delete(self, record: Record) -> bool:
        """Erase the record at this version.

        Returns False, with nothing erased, if the stored version is another
        or there is none.
        """
        ...


@runtime_checkable
class KeepsRecords(Protocol):
    """A store that keeps records, too, in the same place as the tasks."""

    @property
    def records(self) -> Records:
        """Give the records; inside a host's transaction, as they are in it."""
        ...


class Channel(Protocol):
    """A way to reach people or programs.

    One that talks to programs says so with an attribute `for_agents = True`:
    it hears only that a task is closed, and `callback_url` may name it.

    One that reaches people where the directory knows them has a
    `def address_of(self, human: Human) -> str | None`: the target that is this
    person, or None. Then `notify` may name the channel alone.

    One with several senders has a `def check_identity(self, identity: str | None)`:
    it raises `InvalidRoutingError` for a `notify` entry with an identity (what
    stands behind the plus) that it does not have, or None for an entry without
    one where it needs one.

    One that needs the engine has a `def bind(self, engine)`, called by each
    `Engine` that is made with it. One to which something can be sent is also
    `Receiving`.

    One that keeps connections has an `async def aclose()`, too. Delivery is at least
    once: `Notice.id` is equal for every attempt at one message. Raise
    `DeliveryError` to say that, and when, a retry makes sense; anything else
    that is raised is retried with growing pauses. A return value is the
    message's receipt (text of at most 10 000 characters), handed back with the
    next notice to the same recipient about the same task.
    """

    @property
    def name(self) -> str:
        """Name the channel: what stands before the colon in `notify` and `callback_url`."""
        ...

    def check(self, target: str) -> None:
        """Raise `InvalidRoutingError` if `target` is not in its grammar."""
        ...

    async def send(self, notice: Notice) -> str | None:
        """Deliver one notice to one recipient; return its receipt, if any.

        Raises `DeliveryError`.
        """
        ...


@runtime_checkable
class Receiving(Protocol):
    """A channel with addresses of its own, below `{mount}/api/channels/{name}`.

    Anybody can send anything there: the channel itself finds out who it is.
    """

    async def receive(self, request: Inbound) -> Reply:
        """Answer one request. What is raised is answered as the API answers it."""
        ...


class DeliveryError(Exception):
    """A channel could not deliver; raised by `Channel.send`.

    Arguments:
        reason: why not, for the audit trail and the log.
        permanent: no retry can help.
        retry_after: seconds to wait at least before the next attempt.
    """

    def __init__(self, reason: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.retry_after = retry_after


class VerifierError(DeliveryError):
    """A verifier could not judge; raised by `Verifier.verify`, to be asked again later.

    Arguments:
        reason: why not, for the log.
        permanent: is not heeded, for the fault may be mended.
        retry_after: seconds to wait at least before it is asked again.
        usage: what it took of a model none the less; it counts as a verdict's does.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason, permanent=permanent, retry_after=retry_after)
        self.usage = usage or Usage()


class Verifier(Protocol):
    """A second look at an answer before the agent sees it.

    One that keeps what it sees in this process may say so with an attribute
    `trusted = True`; only then it is used for tasks with `redact_payload`.
    One that reads free text says so with `reads_text = True`; only then
    people may answer in their own words.

    One that does not take every configuration has a
    `def check(self, config: VerifierConfig)`, called before a task is made: it
    raises `VerifierConfigError` for what it will not do, such as use a model or
    a key that the host did not mean for tasks. One that keeps connections has
    an `async def aclose()`, too, harmless when repeated.
    """

    async def verify(self, context: VerificationContext) -> Verdict:
        """Judge one answer, `response` or `raw_input`.

        Of a `raw_input` that passes, the verdict has what it means as
        `parsed_response`. May be called again for the same answer, also at the
        same time by another process; the first verdict counts.

        Raise anything to be asked again later: it costs the person no attempt,
        the task says that the check does not work, and its deadline still
        holds. `VerifierError` says why, for the log, and how long to wait.
        """
        ...


class Directory(Protocol):
    """The host's people."""

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        """Return the people a wire `assign_to` object means.

        Any of them may answer. Of `OneOf(people)` the engine chooses one: who
        has the fewest open tasks, and of those whose turn is longest ago.
        Raises `InvalidRoutingError` if it means nobody.
        """
        ...

    async def find(self, address: str) -> Human | None:
        """Return the person with this id, e-mail or Slack id.

        None if unknown or no longer active: then links in their name end, and
        nobody is told in their name. Letter case does not count.
        """
        ...


class TaskEngine(ABC):
    """What agents and adapters call: in-process, or over HTTP.

    Verbs are safe under concurrency: every change goes through one
    compare-and-set, so of two that exclude each other exactly one wins.
    """

    @abstractmethod
    async def create(self, spec: TaskSpec, *, response_model: type[BaseModel] | None = None) -> Task:
        """Ask; return the task that the idempotency key names.

        The same key with the same content returns the same task, however often
        and however concurrently it is asked. Content is the task text, the
        payload, and the response schema without its words. A key for ever also
        stands for one authority: `assign_to` and `verifier` as they were
        given, unless the task has ended without an answer. Timeout, form,
        `notify` and `callback_url` are no part of it, and stay as they were.
        Who asks does not count in the engine's own process; over HTTP a key
        of a task that the caller may not read is taken. `response_model` is
        used to check answers, where the engine runs in this process.

        Raises `InvalidInputError` (with nothing stored), and
        `IdempotencyConflictError` or `TaskGoneError` for a key already taken.
        """

    @abstractmethod
    async def get(self, task_id: str) -> Task:
        """Return the task as it stands. Raises `TaskNotFoundError`."""

    @abstractmethod
    async def find(self, query: Query) -> list[Task]:
        """Return the tasks that fit `query`, in its order."""

    @abstractmethod
    async def wait(self, task_id: str, *, timeout: float | None = None) -> Task:
        """Return the task once it is closed, or as it stands after `timeout`.

        `timeout` is in seconds; None waits as long as the task takes. Waiting
        does not keep the task alive, and giving up does not end it. Raises
        `TaskNotFoundError`, also if the task is deleted meanwhile.
        """

    @abstractmethod
    async def act(self, task_id: str, command: Command) -> Task:
        """Carry out one command and return the task after it.

        Raises `TaskNotFoundError`, `ConflictError`, `AccessError`, or for a
        refused answer `SchemaValidationError` with a message per field; the
        task then stays as it was.
        """

    @abstractmethod
    async def collect(self, task_id: str, *, seen: Task | None = None) -> Task:
        """Say that the outcome has been taken over; harmless when repeated.

        From then on a `KeyScope.CALL` key asks anew. `seen` is the task as it
        was just read; an engine that runs in this process then does not read
        it again, unless it has changed since. Raises `TaskNotFoundError`, and
        `TaskStillOpenError` while it has no outcome.
        """

    @abstractmethod
    async def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take, or keep, a right for some time; tell whether `holder` has it.

        The right called `name` is `holder`'s for `seconds` from now, unless
        another has it. Calling again with the same holder renews it, and
        `seconds=0` gives it back, which returns False. Of any number of
        concurrent callers with different holders, at most one has it at a
        time. Where the store keeps no records, that holds in the engine's own
        process only. See `awaithumans.leases.holding`.

        Names are the deployment's, and not the caller's: over HTTP, whoever
        may ask may take any of them, and a holder that is not known to others
        is what keeps it from them.

        Raises `InvalidInputError` unless `name` has 1 to 512 characters and
        `holder` 1 to 128, and `seconds` is from 0 to 300.
        """

    @abstractmethod
    def page_url(self, task_id: str) -> str | None:
        """Return the address of the task's page, if there is one."""

    async def submit(self, task_id: str, value: JsonObject, *, by: Actor) -> Task:
        """Answer the task; see `act`."""
        return await self.act(task_id, Submit(value=value, by=by))

    async def claim(self, task_id: str, *, by: Actor) -> Task:
        """Take an unassigned task; see `act`."""
        return await self.act(task_id, Claim(by=by))

    async def release(self, task_id: str, *, by: Actor) -> Task:
        """Give a claimed task back; see `act`."""
        return await self.act(task_id, Release(by=by))

    async def reassign(self, task_id: str, to: Sequence[Human], *, by: Actor) -> Task:
        """Hand the task to other people; see `act`."""
        return await self.act(task_id, Reassign(to=tuple(to), by=by))

    async def cancel(self, task_id: str, *, by: Actor, reason: str = "") -> Task:
        """Close the task without an answer; see `act`."""
        return await self.act(task_id, Cancel(by=by, reason=reason))
