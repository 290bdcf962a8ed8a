"""The values everything else speaks in: frozen, and free of I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from awaithumans.errors import (
    ResponseRedactedError,
    SchemaValidationError,
    TaskCancelledError,
    TaskTimeoutError,
    VerificationExhaustedError,
)

if TYPE_CHECKING:
    from awaithumans.errors import AwaitHumansError, OutcomeError

JsonObject: TypeAlias = Mapping[str, object]
"""A JSON object: string keys, and values that `json.dumps` can write."""

ResponseT = TypeVar("ResponseT", bound=BaseModel)

MIN_TIMEOUT_SECONDS = 1
MAX_TIMEOUT_SECONDS = 366 * 24 * 60 * 60
MAX_TASK_LENGTH = 20_000
MAX_KEY_LENGTH = 512
MAX_TEXT_LENGTH = 2_048
"""Characters of a `notify` entry, a callback address, a metadata name or value."""


class TaskStatus(StrEnum):
    """Where a task stands; two states are open, four are closed for good."""

    PENDING = "pending"
    """Open: it waits for an answer, the first or a better one."""
    SUBMITTED = "submitted"
    """Open: an answer was given, and a verifier has it."""
    COMPLETED = "completed"
    """Closed: an answer decided."""
    TIMED_OUT = "timed_out"
    """Closed: the deadline passed without an answer."""
    CANCELLED = "cancelled"
    """Closed: somebody withdrew the question."""
    VERIFICATION_EXHAUSTED = "verification_exhausted"
    """Closed: the verifier refused every answer that was allowed."""

    @property
    def closed(self) -> bool:
        """Tell whether the outcome is final."""
        return self not in OPEN_STATUSES


OPEN_STATUSES = frozenset({TaskStatus.PENDING, TaskStatus.SUBMITTED})
CLOSED_STATUSES = frozenset(TaskStatus) - OPEN_STATUSES


class KeyScope(StrEnum):
    """How long an idempotency key names one task."""

    FOREVER = "forever"
    """For good."""
    CALL = "call"
    """Until the outcome is collected; the next create with the key asks anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """A person, as the host application or its directory knows them."""

    id: str
    """The host's own identifier."""
    email: str | None = None
    display_name: str | None = None
    """The name that pages and audit trails show."""
    slack_user_id: str | None = None
    slack_team_id: str | None = None
    """The Slack workspace that `slack_user_id` is of; None where the host has only one."""
    pools: tuple[str, ...] = ()
    """What a `PoolAssignment` can name."""
    roles: tuple[str, ...] = ()
    """What a `RoleAssignment` can name."""
    access_level: str | None = None
    """The host's own word for how much this person may decide; see `RoleAssignment`."""
    operator: bool = False
    """May see, answer and claim every task; everybody else only what is addressed to them or to nobody."""
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""

    @property
    def addresses(self) -> frozenset[str]:
        """Give every name this person can be asked under, lower-cased."""
        named = (self.id, self.email, self.slack_user_id)
        return frozenset(name.lower() for name in named if name)

    @property
    def label(self) -> str:
        """Give the name to show: display name, else e-mail, else id."""
        return self.display_name or self.email or self.id


class OneOf(tuple[Human, ...]):
    """People of whom one is to be asked: the engine chooses, fairly."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, how that was established, and through which door."""

    kind: Literal["agent", "human", "system"]
    id: str
    """A person's id in the host, or the name of a token."""
    auth: Literal["engine", "token", "host", "link", "channel", "system"]
    """How the identity was established: `engine` is in-process code, which is trusted; `host` the host's own
    log-in; `link` a capability link; `channel` a channel that checked the sender."""
    via: str | None = None
    """The door: `api`, `web`, `slack`, `email`, … or None."""
    email: str | None = None
    display_name: str | None = None
    slack_user_id: str | None = None
    operator: bool = False
    """May see, answer and claim every task."""
    stated_by: str | None = None
    """The principal that named this person, where the person did not come in person."""
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""

    @classmethod
    def of(
        cls,
        human: Human,
        *,
        auth: Literal["engine", "token", "host", "link", "channel", "system"],
        via: str | None = None,
        stated_by: str | None = None,
    ) -> Actor:
        """Make the actor for a person who acts."""
        return cls(
            kind="human",
            id=human.id,
            auth=auth,
            via=via,
            email=human.email,
            display_name=human.display_name,
            slack_user_id=human.slack_user_id,
            operator=human.operator,
            stated_by=stated_by,
        )

    @property
    def principal(self) -> str:
        """Give the name that rules compare: kind and id."""
        return f"{self.kind}:{self.id}"

    @property
    def human(self) -> Human:
        """Give the person this actor is."""
        return Human(
            id=self.id,
            email=self.email,
            display_name=self.display_name,
            slack_user_id=self.slack_user_id,
            operator=self.operator,
        )


SYSTEM = Actor(kind="system", id="awaithumans", auth="system")
"""The engine itself, such as when it closes a task at its deadline."""
AGENT = Actor(kind="agent", id="engine", auth="engine")
"""The program that has the engine in its process, where nobody else is named."""


class VerifierConfig(BaseModel):
    """Which verifier checks an answer, and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    provider: str = Field(min_length=1, max_length=100)
    """Which verifier: its name in `Engine(verifiers=…)`; letter case does not count."""
    model: str | None = Field(default=None, max_length=200)
    """Which model a verifier that has several should use."""
    instructions: str = Field(max_length=100_000)
    """What an answer has to be like, in words for the verifier."""
    max_attempts: int = Field(default=3, ge=1, le=10)
    """How many answers may be refused before the task closes without one."""
    api_key_env: str | None = Field(default=None, max_length=200)
    """The environment variable, on the engine's side, that has the key of the verifier's provider."""
    metadata: dict[str, str | int | float | bool | None] | None = None
    """What else the verifier should know."""

    @property
    def provider_name(self) -> str:
        """Give the provider's name as it is compared: in lower case, without spaces around it."""
        return provider_name(self.provider)


def provider_name(provider: str) -> str:
    """Write the name of a verifier's provider as it is compared."""
    return provider.strip().lower()


class _Assignment(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UserAssignment(_Assignment):
    """Assign to one person of the directory, by the host's id."""

    user_id: str
    """The person's `Human.id`."""


class PoolAssignment(_Assignment):
    """Assign to somebody of a pool; the directory chooses fairly."""

    pool: str


class RoleAssignment(_Assignment):
    """Assign to somebody with a role, at an access level if given."""

    role: str
    access_level: str | None = None


class MarketplaceAssignment(_Assignment):
    """Assign to a marketplace of people; refused, there is none."""

    marketplace: bool = True


AssignTo: TypeAlias = str | Sequence[str] | Human | BaseModel | JsonObject
"""Whom to ask: an e-mail address, a list of them, a person, an assignment
model, or a wire `assign_to` object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What is asked: written once, never changed. `build_spec` makes one of models."""

    task: str
    """The question, in words for the person."""
    payload: JsonObject
    """What is shown to decide on."""
    payload_schema: JsonObject
    """The JSON Schema of `payload`, from which it gets its labels."""
    response_schema: JsonObject
    """The JSON Schema that every answer is checked against."""
    timeout_seconds: int
    """How long the person has, from creation; 1 to 31 622 400 (366 days)."""
    idempotency_key: str
    """Names the task, as long as `key_scope` says."""
    key_scope: KeyScope = KeyScope.FOREVER
    form: JsonObject | None = None
    """A form definition (`docs/reference/forms.md`); without one the engine builds it from `response_schema`."""
    assign_to: JsonObject | None = None
    """Whom to ask, as `assign_to` is on the wire; nobody in particular if None."""
    notify: tuple[str, ...] = ()
    """Who is told, each as `<channel>:<target>`; a `<channel>` alone tells everybody whom the task is addressed to."""
    verifier: VerifierConfig | None = None
    """A second look at every answer before it counts."""
    redact_payload: bool = False
    """Keep the payload out of lists and notices."""
    redact_response_after_submit: bool = False
    """Erase the response here once its webhook was delivered and everybody else has been told."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """Text that the host attaches; people see it."""
    callback_url: str | None = None
    """Which program is told of the outcome: an http(s) address gets a signed webhook, `<channel>:<target>` a notice
    through an agent channel."""
    initial_response: JsonObject | None = None
    """What the form is filled in with at first."""
    initial_errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Messages at the fields of the form, by field path."""
    requested_by: str = AGENT.principal
    """The principal that asked (`Actor.principal`); set by the engine, from who called."""
    asker_addresses: tuple[str, ...] = ()
    """Every name of the person who asked, where it was a person; set by the engine."""
    trace_context: Mapping[str, str] | None = None
    """The asker's span, as propagation headers; set by the engine, from OpenTelemetry."""

    @property
    def confidential(self) -> bool:
        """Tell whether it is redacted: trail and notices then quote neither an answer nor why one was refused."""
        return self.redact_payload or self.redact_response_after_submit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One person's answer; the outcome is decided over all of them."""

    by: Actor
    at: datetime
    attempt: int
    """Which attempt it is, from 1; an answer that a verifier refuses is followed by another attempt."""
    value: JsonObject
    """What was answered; it fits the task's `response_schema`. Empty as long as only `text` is known."""
    text: str | None = None
    """The person's own words, where the answer came as free text for the verifier to read."""
    refusal: str | None = None
    """Why the verifier refused it; None if it did not."""
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a verdict took."""

    model: str = ""
    """Which model judged; empty where none did."""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """How long it took; the engine measures that."""
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""

    @property
    def tokens(self) -> int:
        """Give the tokens of both directions together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verifier says of an answer."""

    passed: bool
    reason: str = ""
    """Why not, in words for the person who is to answer better."""
    parsed_response: JsonObject | None = None
    """What it read out of free text. It counts only for free text, with `passed`, and if form and response schema
    take it: what a person chose in a form is never changed."""
    usage: Usage = field(default_factory=Usage)
    """What it took."""
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its spec, and its state at one `version`."""

    id: str
    spec: TaskSpec
    """What is asked."""
    fingerprint: str
    """A digest of what the idempotency key stands for, under the engine's secret."""
    created_at: datetime
    changed_at: datetime
    """When this version came to be."""
    deadline: datetime
    """When it times out, if nobody has answered."""
    grace_until: datetime | None = None
    """Set when the deadline passed while an answer was being checked."""
    status: TaskStatus = TaskStatus.PENDING
    version: int = 1
    """Grows by one with every change."""
    addressees: tuple[Human, ...] = ()
    """The people it was addressed to; empty means anybody the host lets in."""
    assignee: Human | None = None
    """The one who has it."""
    recipients: tuple[str, ...] = ()
    """Everybody who is told of it, as `<channel>:<target>`; those whom it is handed on to join them."""
    claimed_at: datetime | None = None
    reminded: int = 0
    """Which of the engine's reminders was the latest; 0 for none yet."""
    answers: tuple[Answer, ...] = ()
    """Oldest first, refused ones included."""
    attempt: int = 0
    """How many answers a verifier has judged."""
    verdict: Verdict | None = None
    """What the verifier said of the latest answer it judged."""
    tokens_used: int = 0
    """What all checks together took of a model, those without a verdict included, as far as it is known."""
    closed_at: datetime | None = None
    collected_at: datetime | None = None
    """When the caller took the outcome over; see `KeyScope.CALL`."""
    response_redacted_at: datetime | None = None
    """When the response was erased; see `TaskSpec.redact_response_after_submit`."""
    trail_length: int = 0
    """How many entries the audit trail has."""
    trail_digest: str = ""
    """The digest of the trail's last entry."""
    unknown: JsonObject = field(default_factory=dict[str, object])
    """State keys written by a newer release, kept and written back."""
    unknown_spec: JsonObject = field(default_factory=dict[str, object])
    """Spec keys written by a newer release, kept and written back."""

    @property
    def closed(self) -> bool:
        """Tell whether the outcome is final."""
        return self.status.closed

    @property
    def refused(self) -> bool:
        """Tell whether the task waits for a better answer than the last."""
        return self.status is TaskStatus.PENDING and self.attempt > 0

    @property
    def answer(self) -> Answer | None:
        """Give the answer that decided, or the latest one so far."""
        return self.answers[-1] if self.answers else None

    @property
    def response(self) -> JsonObject | None:
        """Give the decided response; None unless the task is completed."""
        if self.status is not TaskStatus.COMPLETED or self.response_redacted_at:
            return None
        return self.answer.value if self.answer else None

    @property
    def outcome_error(self) -> OutcomeError | None:
        """Give the error that a closed task without a response stands for."""
        reason = self.verdict.reason if self.verdict else ""
        error = outcome_error_of(self.status, self.spec, attempt=self.attempt, reason=reason)
        if self.response_redacted_at and self.status is TaskStatus.COMPLETED:
            error = ResponseRedactedError(self.id)
        if error:
            error.task_id = self.id
        return error

    def result(self, schema: type[ResponseT]) -> ResponseT:
        """Return the typed response, or raise the outcome's error.

        Raises `TaskTimeoutError`, `TaskCancelledError`,
        `VerificationExhaustedError` or `ResponseRedactedError` for those
        outcomes, `SchemaValidationError` if the response does not fit `schema`, and
        `ValueError` while the task is open.
        """
        if not self.closed:
            raise ValueError(f"task {self.id} is still {self.status}")
        if error := self.outcome_error:
            raise error
        return typed_response(self.response, schema)


def outcome_error_of(status: TaskStatus, spec: TaskSpec, *, attempt: int, reason: str) -> OutcomeError | None:
    """Give the error that a status stands for; None for those that stand for none.

    `attempt` counts the answers that were judged, `reason` is why the last was refused.
    """
    match status:
        case TaskStatus.TIMED_OUT:
            return TaskTimeoutError(spec.task, spec.timeout_seconds)
        case TaskStatus.CANCELLED:
            return TaskCancelledError(spec.task)
        case TaskStatus.VERIFICATION_EXHAUSTED:
            return VerificationExhaustedError(spec.task, attempt, reason=reason)
        case _:
            return None


def typed_response(response: JsonObject | None, schema: type[ResponseT]) -> ResponseT:
    """Read a response as an instance of `schema`. Raises `SchemaValidationError`."""
    try:
        return schema.model_validate_json(json.dumps(response))
    except ValidationError as fault:
        raise SchemaValidationError.of_model("response", fault) from fault


# ── Commands: what can be done to a task ──────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Answer the task."""

    value: JsonObject | None = None
    """What is answered."""
    text: str | None = None
    """In place of a value, the person's own words, for a verifier that reads free text."""
    by: Actor
    own: bool = False
    """Let a principal answer what it asked itself."""
    attempt: int | None = None
    """How many answers had been refused when this one was given (`Task.attempt`): it is refused, and does not count as
    the next, if there are more by now. None for any number."""

    def says_the_same(self, answer: Answer) -> bool:
        """Tell whether `answer` has the same words, or the same value, whoever gave it."""
        return answer.value == self.value if self.text is None else answer.text == self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Take an unassigned task."""

    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give a claimed task back."""

    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reassign:
    """Hand the task to other people."""

    to: tuple[Human, ...]
    by: Actor
    notify: tuple[str, ...] = ()
    """Who is told from now on, too, as in `TaskSpec.notify`; the channels that the task uses tell `to` anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Close the task without an answer."""

    by: Actor
    reason: str = ""


Command: TypeAlias = Submit | Claim | Release | Reassign | Cancel
"""What can be done to a task; each is done `by` somebody."""


# ── What a transition writes ──────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a task's audit trail; never rewritten."""

    task_id: str
    seq: int
    """Its place in the trail, from 1."""
    at: datetime
    action: str
    """What happened, in the past tense, such as `created` or `completed`."""
    by: Actor
    from_status: str | None
    """The status before; None for the entry that begins the trail."""
    to_status: str
    data: JsonObject
    """What else there is to say, such as a reason."""
    previous: str
    """The digest of the entry before ("" for the first), so that a changed or missing line shows."""

    @property
    def digest(self) -> str:
        """Give the SHA-256 of this entry's content and `previous`, in hex."""
        by = self.by
        facts = (
            self.task_id,
            self.seq,
            microseconds(self.at),
            self.action,
            (by.kind, by.id, by.auth, by.via, by.email, by.stated_by),
            self.from_status,
            self.to_status,
            self.data,
            self.previous,
        )
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class EffectKind(StrEnum):
    """What the runner does with an effect."""

    NOTIFY = "notify"
    """Tell a recipient through a channel."""
    VERIFY = "verify"
    """Have the answer judged."""
    EXPIRE = "expire"
    """Close the task, if it is still open."""
    REMIND = "remind"
    """Tell all recipients that the task still waits, if it does."""
    PURGE = "purge"
    """Erase the task's content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something to do outside the task, once it is `due`.

    Its `id` follows from what it is, so writing it twice writes it once.
    Effects of one `lane` are performed one after another, by `due`.
    """

    task_id: str
    kind: EffectKind
    due: datetime
    recipient: str = ""
    """Who is told, as `<channel>:<target>`; empty for what is no notice."""
    event: str = ""
    """What is told; see `Notice`."""
    generation: int = 1
    """Tells effects apart that are otherwise equal, such as the notices of two attempts."""

    @property
    def lane(self) -> str:
        """Name the queue this effect waits in."""
        return f"{self.task_id}/{self.kind}/{self.recipient}"

    @property
    def id(self) -> str:
        """Give the effect's stable identity: 32 hex digits."""
        facts = (self.task_id, self.kind, self.recipient, self.event, self.generation)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The next version of a task, and everything to write with it."""

    task: Task
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    retried: tuple[Effect, ...] = ()
    """Effects written earlier that are settled, and are to be performed anew at their `due`."""
    refusal: AwaitHumansError | None = None
    """Raised to whoever gave the command, after the change is stored: an answer that comes too late performs
    the timeout and is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An effect as the store holds it: what was tried, and what came of it."""

    effect: Effect
    token: str | None = None
    """Names the lease under which it was handed out."""
    attempts: int = 0
    """Counts leases, the present one included."""
    receipt: str | None = None
    """What the channel gave back; on a leased effect, what it gave back last in the same lane."""
    settled_at: datetime | None = None
    """When it was done or given up."""
    failure: str | None = None
    """Why it was given up; None unless it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """What a lease handed out, and when there may be more."""

    deliveries: tuple[Delivery, ...] = ()
    next_due: datetime | None = None
    """The earliest time at which an effect not in `deliveries` becomes leasable, as far as the store knows now;
    None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something a feature keeps beside the tasks, at one `version`."""

    kind: str
    """What it is: 1 to 100 characters, the same for all records of a feature."""
    id: str
    """Which one: 1 to 512 characters. Neither is ever encrypted."""
    version: int = 1
    """Counts from 1; grows by one with every change."""
    document: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in a list of tasks: after this time and id."""

    at: datetime
    id: str


class Order(StrEnum):
    """In which order tasks are listed."""

    NEWEST = "newest"
    """By (created_at, id), descending."""
    OLDEST = "oldest"
    """By (created_at, id)."""
    DEADLINE = "deadline"
    """By (deadline, id): what has to be answered first comes first."""

    def place(self, task: Task) -> Cursor:
        """Give the place of a task in a list of this order."""
        return Cursor(at=task.deadline if self is Order.DEADLINE else task.created_at, id=task.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which tasks to list; conditions given together must all hold.

    In the given `order`; with `changed_after`, by (changed_at, id) ascending
    instead. `after` and `changed_after` continue behind a cursor in that
    order; `offset` skips so many more.
    """

    ids: tuple[str, ...] | None = None
    """Any of these."""
    statuses: frozenset[TaskStatus] | None = None
    """Any of these."""
    refused: bool | None = None
    """Whether the last answer was refused."""
    idempotency_key: str | None = None
    """Exactly this one."""
    assigned_to: str | None = None
    """An assignee's exact id, e-mail or Slack id, or part of the display name; letter case does not count."""
    assignee_id: str | None = None
    """An assignee's exact id; letter case does not count."""
    held_by: Human | None = None
    """Assigned to this person, by whichever of their addresses."""
    unassigned: bool | None = None
    """Whether nobody has it."""
    visible_to: Human | None = None
    """Addressed to, assigned to or answered by this person, or addressed to nobody; an operator sees all."""
    search: str | None = None
    """Words, each of which is part of the task's words; see `words_of`. Letter case does not count. Where the store
    keeps no readable words, it is the exact id or key of the task."""
    order: Order = Order.NEWEST
    after: Cursor | None = None
    changed_after: Cursor | None = None
    limit: int = 50
    """At most so many."""
    offset: int = 0

    def select(self, tasks: Iterable[Task]) -> list[Task]:
        """Return those of `tasks` that fit: in order, behind `offset`, up to `limit`.

        For a store that cannot ask its medium for them.
        """
        fitting = [task for task in tasks if self.fits(task)]
        if self.changed_after:
            fitting.sort(key=lambda task: (task.changed_at, task.id))
        else:
            fitting.sort(key=self._place, reverse=self.order is Order.NEWEST)
        return fitting[self.offset : self.offset + self.limit]

    def fits(self, task: Task) -> bool:
        """Tell whether every condition holds for `task`."""
        return all(self._conditions(task))

    def _conditions(self, task: Task) -> Iterator[bool]:
        yield self.ids is None or task.id in self.ids
        yield self.statuses is None or task.status in self.statuses
        yield self.refused is None or task.refused == self.refused
        yield self.idempotency_key is None or task.spec.idempotency_key == self.idempotency_key
        yield self.unassigned is None or (task.assignee is None) == self.unassigned
        yield self.assigned_to is None or _is_with(task.assignee, self.assigned_to.lower())
        yield self.held_by is None or _is_one_of(task.assignee, self.held_by.addresses)
        yield self.assignee_id is None or _is_called(task.assignee, self.assignee_id.lower())
        yield self.after is None or self._is_behind(task, self.after)
        since = self.changed_after
        yield since is None or (task.changed_at, task.id) > (since.at, since.id)
        yield self.visible_to is None or may_see(task, self.visible_to)
        yield self.search is None or _says(task, self.search)

    def _place(self, task: Task) -> tuple[datetime, str]:
        place = self.order.place(task)
        return place.at, place.id

    def _is_behind(self, task: Task, cursor: Cursor) -> bool:
        place, after = self._place(task), (cursor.at, cursor.id)
        return place < after if self.order is Order.NEWEST else place > after


MAX_WORDS = 4_000


def words_of(task: Task) -> str:
    """Give what a task is searched in: its id, key, question, metadata, and whom it was for, as in `pool:finance`.

    In small letters, and not more than the first `MAX_WORDS` characters.
    """
    spec = task.spec
    routed = (f"{name}:{value}" for name, value in (spec.assign_to or {}).items() if isinstance(value, str))
    parts = (task.id, spec.idempotency_key, *routed, spec.task, *spec.metadata.values())
    return "\n".join(parts)[:MAX_WORDS].lower()


def _says(task: Task, search: str) -> bool:
    words = words_of(task)
    return all(word in words for word in search.lower().split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task fared: what figures are made of."""

    task_id: str
    created_at: datetime
    status: TaskStatus
    closed_at: datetime | None = None
    via: str | None = None
    """Through which door it was answered, if it was and that is known."""
    answered_by: str | None = None
    """The id of who answered it last."""
    answerer: str | None = None
    """What people call them."""

    @classmethod
    def of(cls, task: Task) -> Outcome:
        """Say how a task stands."""
        by = task.answer.by if task.answer else None
        return cls(
            task_id=task.id,
            created_at=task.created_at,
            status=task.status,
            closed_at=task.closed_at,
            via=by.via if by else None,
            answered_by=by.human.id if by else None,
            answerer=by.human.label if by else None,
        )


def _is_with(assignee: Human | None, name: str) -> bool:
    if assignee is None:
        return False
    return name in assignee.addresses or name in (assignee.display_name or "").lower()


def _is_one_of(assignee: Human | None, addresses: frozenset[str]) -> bool:
    return assignee is not None and bool(assignee.addresses & addresses)


def _is_called(assignee: Human | None, id_: str) -> bool:
    return assignee is not None and assignee.id.lower() == id_


def may_see(task: Task, human: Human) -> bool:
    """Tell whether the task is this person's business."""
    if human.operator or not task.addressees:
        return True
    people = (
        *task.addressees,
        *([task.assignee] if task.assignee else []),
        *(answer.by.human for answer in task.answers),
    )
    return any(human.addresses & person.addresses for person in people)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a channel is asked to say to one recipient."""

    id: str
    """The same for every retry, for message ids and de-duplication."""
    event: str
    """`opened`, `reminder`, `claimed`, `released`, `reassigned`, `submitted`, `rejected` or `closed`."""
    channel: str
    target: str
    """The recipient, as the channel's own grammar has it."""
    task: Task
    """The task as it stands when it is sent."""
    identity: str | None = None
    """The sender to use, where the channel has several."""
    url: str | None = None
    """Opens the task's page, behind the host's log-in; None where the engine has no public address."""
    person: Human | None = None
    """Whom the directory finds under `target`, if anybody."""
    link: str | None = None
    """Lets `person` answer without a log-in, once; None where there is nothing for them to answer. Whoever has it is
    taken for `person`: it is for a message that nobody else can read."""
    receipt: str | None = None
    """What the channel gave back last for this task and recipient."""
    attempt: int = 1
    """Which try this is, from 1."""


ColorScheme: TypeAlias = Literal["light", "dark"]
"""The colours that a page in a frame is shown in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPage:
    """The page of a task, to be shown in a frame of the host's product."""

    url: str
    """The frame's `src`. Whoever has it is taken for the person it was made for."""
    expires_at: datetime
    """Until when it can be loaded."""

    @property
    def token(self) -> str:
        """Give the last part of the address, which grants it."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """What somebody sent to a channel's own addresses, below `{mount}/api/channels/{name}`."""

    method: str
    """`GET` or `POST`."""
    path: str
    """The rest of the address, such as `/interactions`."""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """By lower-cased name."""
    body: bytes = b""
    """As it came; signatures are over these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a channel answers with."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    afterwards: Callable[[], Awaitable[None]] | None = None
    """Is done once the reply is sent. It may be lost with the process: nothing that matters belongs here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationContext:
    """What a verifier gets to see of an answer."""

    task: str
    payload: JsonObject
    payload_schema: JsonObject
    response_schema: JsonObject
    response: JsonObject | None
    """What was answered, as data; None where it came as free text."""
    config: VerifierConfig
    attempt: int
    """Which answer this is, from 1."""
    raw_input: str | None = None
    """The person's own words, where the answer came as free text."""
    previous_rejections: Sequence[str] = ()
    """Why each of the answers before this one was refused, oldest first."""
    tokens_used: int = 0
    """What the checks so far took of a model, those without a verdict included, as far as it is known."""
    form: JsonObject | None = None
    """The task's form, where it has one of its own: it may ask for more than `response_schema` does."""


def microseconds(moment: datetime) -> int:
    """Convert an aware datetime to whole microseconds since 1970, UTC."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_microseconds(value: int) -> datetime:
    """Convert whole microseconds since 1970 to a UTC datetime."""
    return _EPOCH + timedelta(microseconds=value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
