"""The values everything else speaks in: frozen, and free of I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
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
    from awaithumans.errors import AwaitHumansError

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
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    VERIFICATION_EXHAUSTED = "verification_exhausted"

    @property
    def closed(self) -> bool:
        """Tell whether the outcome is final."""
        return self not in OPEN_STATUSES


OPEN_STATUSES = frozenset({TaskStatus.PENDING, TaskStatus.SUBMITTED})
CLOSED_STATUSES = frozenset(TaskStatus) - OPEN_STATUSES


class KeyScope(StrEnum):
    """How long an idempotency key names one task.

    `FOREVER`: the key names that task for good. `CALL`: until the outcome is
    collected; the next create with the key asks anew.
    """

    FOREVER = "forever"
    CALL = "call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """A person, as the host application or its directory knows them.

    `id` is the host's own identifier. `operator` may see, answer and claim
    every task; everybody else only what is addressed to them or to nobody.
    """

    id: str
    email: str | None = None
    display_name: str | None = None
    slack_user_id: str | None = None
    roles: tuple[str, ...] = ()
    access_level: str | None = None
    operator: bool = False
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, how that was established, and through which door.

    `auth` is how the identity was established: `engine` (in-process code, which
    is trusted), `token`, `host` (the host's own log-in), `link` (a capability
    link), `channel` (a channel that checked the sender) or `system`. `via` is
    the door: `api`, `web`, `slack`, `email`, … or None. `stated_by` is the
    principal that named this person, where the person did not come in person.
    """

    kind: Literal["agent", "human", "system"]
    id: str
    auth: Literal["engine", "token", "host", "link", "channel", "system"]
    via: str | None = None
    email: str | None = None
    display_name: str | None = None
    slack_user_id: str | None = None
    operator: bool = False
    stated_by: str | None = None
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
AGENT = Actor(kind="agent", id="engine", auth="engine")


class VerifierConfig(BaseModel):
    """Which verifier checks an answer, and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    provider: str = Field(min_length=1, max_length=100)
    model: str | None = Field(default=None, max_length=200)
    instructions: str = Field(max_length=100_000)
    max_attempts: int = Field(default=3, ge=1, le=10)
    api_key_env: str | None = Field(default=None, max_length=200)
    metadata: dict[str, str | int | float | bool | None] | None = None


class _Assignment(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UserAssignment(_Assignment):
    """Assign to one person of the directory, by the host's id."""

    user_id: str


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
    """What is asked: written once, never changed.

    `timeout_seconds` runs from creation. `requested_by` is the principal that
    asked (`Actor.principal`); it is set from the authenticated caller.
    `form` is a form definition (`docs/reference/forms.md`); without one the
    engine builds it from `response_schema`. `initial_response` pre-fills the
    form and `initial_errors` (field path to message) marks its fields.
    `trace_context` names the asker's span, as propagation headers; it is set
    by the engine, from OpenTelemetry.
    """

    task: str
    payload: JsonObject
    payload_schema: JsonObject
    response_schema: JsonObject
    timeout_seconds: int
    idempotency_key: str
    key_scope: KeyScope = KeyScope.FOREVER
    form: JsonObject | None = None
    assign_to: JsonObject | None = None
    notify: tuple[str, ...] = ()
    verifier: VerifierConfig | None = None
    redact_payload: bool = False
    redact_response_after_submit: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    callback_url: str | None = None
    initial_response: JsonObject | None = None
    initial_errors: Mapping[str, str] = field(default_factory=dict[str, str])
    requested_by: str = AGENT.principal
    asker_addresses: tuple[str, ...] = ()
    """Every name of the person who asked, where it was a person."""
    trace_context: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One person's answer; the outcome is decided over all of them."""

    by: Actor
    at: datetime
    attempt: int
    value: JsonObject
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verifier says of an answer.

    `parsed_response` is what it read out of free text; it counts only with
    `passed`, and after it passed the response schema.
    """

    passed: bool
    reason: str = ""
    parsed_response: JsonObject | None = None
    unknown: JsonObject = field(default_factory=dict[str, object], repr=False, hash=False)
    """Keys written by a newer release, kept and written back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its spec, and its state at one `version`.

    `version` grows by one with every change. `attempt` counts the answers a
    verifier has judged. `deadline` is when an unanswered task times out.
    `addressees` are the people it was addressed to; empty means anybody the
    host lets in. `assignee` is the one who has it.
    """

    id: str
    spec: TaskSpec
    fingerprint: str
    created_at: datetime
    changed_at: datetime
    deadline: datetime
    grace_until: datetime | None = None
    """Set when the deadline passed while an answer was being checked."""
    status: TaskStatus = TaskStatus.PENDING
    version: int = 1
    addressees: tuple[Human, ...] = ()
    assignee: Human | None = None
    claimed_at: datetime | None = None
    answers: tuple[Answer, ...] = ()
    attempt: int = 0
    verdict: Verdict | None = None
    closed_at: datetime | None = None
    collected_at: datetime | None = None
    response_redacted_at: datetime | None = None
    trail_length: int = 0
    trail_digest: str = ""
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
    def outcome_error(self) -> AwaitHumansError | None:
        """Give the error that a closed task without a response stands for."""
        match self.status:
            case TaskStatus.COMPLETED if self.response_redacted_at:
                return ResponseRedactedError(self.id)
            case TaskStatus.TIMED_OUT:
                return TaskTimeoutError(self.spec.task, self.spec.timeout_seconds)
            case TaskStatus.CANCELLED:
                return TaskCancelledError(self.spec.task)
            case TaskStatus.VERIFICATION_EXHAUSTED:
                reason = self.verdict.reason if self.verdict else ""
                return VerificationExhaustedError(self.spec.task, self.attempt, reason=reason)
            case _:
                return None

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
        try:
            return schema.model_validate_json(json.dumps(self.response))
        except ValidationError as fault:
            raise SchemaValidationError.of_model("response", fault) from fault


# ── Commands: what can be done to a task ──────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Answer the task. `own` lets a principal answer what it asked itself."""

    value: JsonObject
    by: Actor
    own: bool = False


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Close the task without an answer."""

    by: Actor
    reason: str = ""


Command: TypeAlias = Submit | Claim | Release | Reassign | Cancel


# ── What a transition writes ──────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a task's audit trail; never rewritten.

    `previous` is the digest of the entry before ("" for the first), so that a
    changed or missing line shows.
    """

    task_id: str
    seq: int
    at: datetime
    action: str
    by: Actor
    from_status: str | None
    to_status: str
    data: JsonObject
    previous: str

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
    VERIFY = "verify"
    EXPIRE = "expire"
    PURGE = "purge"


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
    event: str = ""
    generation: int = 1

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
    """The next version of a task, and everything to write with it.

    `retried` are effects written earlier that have failed for good, and are to
    be tried anew at their `due`. `refusal` is raised to whoever gave the
    command, after the change is stored: an answer that comes too late performs
    the timeout and is refused.
    """

    task: Task
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    retried: tuple[Effect, ...] = ()
    refusal: AwaitHumansError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An effect as the store holds it: what was tried, and what came of it.

    `token` names the lease under which it was handed out. `receipt` is what
    the channel gave back; on a leased effect, what it gave back last in the
    same lane. `attempts` counts leases, the present one included.
    """

    effect: Effect
    token: str | None = None
    attempts: int = 0
    receipt: str | None = None
    settled_at: datetime | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """What a lease handed out, and when there may be more.

    `next_due` is the earliest time at which an effect not in `deliveries`
    becomes leasable as far as the store knows now; None if there is none.
    """

    deliveries: tuple[Delivery, ...] = ()
    next_due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in a list of tasks: after this time and id."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which tasks to list; conditions given together must all hold.

    Newest first, by (created_at, id) descending; with `changed_after`, by
    (changed_at, id) ascending instead. `after` and `changed_after` continue
    behind a cursor in that order; `offset` skips so many more.

    `statuses`: any of them. `refused`: whether the last answer was refused.
    `assigned_to`: an assignee's exact id, e-mail or Slack id, or part of the
    display name; letter case does not count. `unassigned`: nobody has it.
    `visible_to`: addressed to, assigned to or answered by this person, or addressed to
    nobody; an operator sees all.
    """

    ids: tuple[str, ...] | None = None
    statuses: frozenset[TaskStatus] | None = None
    refused: bool | None = None
    idempotency_key: str | None = None
    assigned_to: str | None = None
    unassigned: bool | None = None
    visible_to: Human | None = None
    after: Cursor | None = None
    changed_after: Cursor | None = None
    limit: int = 50
    offset: int = 0

    def select(self, tasks: Iterable[Task]) -> list[Task]:
        """Return those of `tasks` that fit: in order, behind `offset`, up to `limit`.

        For a store that cannot ask its medium for them.
        """
        fitting = [task for task in tasks if self.fits(task)]
        if self.changed_after:
            fitting.sort(key=lambda task: (task.changed_at, task.id))
        else:
            fitting.sort(key=lambda task: (task.created_at, task.id), reverse=True)
        return fitting[self.offset : self.offset + self.limit]

    def fits(self, task: Task) -> bool:
        """Tell whether every condition holds for `task`."""
        return all(
            (
                self.ids is None or task.id in self.ids,
                self.statuses is None or task.status in self.statuses,
                self.refused is None or task.refused == self.refused,
                self.idempotency_key is None or task.spec.idempotency_key == self.idempotency_key,
                self.unassigned is None or (task.assignee is None) == self.unassigned,
                self.assigned_to is None or _is_with(task.assignee, self.assigned_to.lower()),
                self.visible_to is None or _may_see(self.visible_to, task),
                self.after is None or (task.created_at, task.id) < (self.after.at, self.after.id),
                self.changed_after is None
                or (task.changed_at, task.id) > (self.changed_after.at, self.changed_after.id),
            )
        )


def _is_with(assignee: Human | None, name: str) -> bool:
    if assignee is None:
        return False
    return name in assignee.addresses or name in (assignee.display_name or "").lower()


def _may_see(human: Human, task: Task) -> bool:
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
    """What a channel is asked to say to one recipient.

    `id` is the same for every retry, for message ids and de-duplication.
    `event` is `opened`, `rejected`, `claimed`, `reminder` or `closed`.
    `target` is the recipient as the channel's own grammar has it, `identity`
    the sender to use where the channel has several. `receipt`
    is what the channel gave back last for this task and recipient. `url` opens
    the task's page; None where the engine has no public address.
    """

    id: str
    event: str
    channel: str
    target: str
    task: Task
    identity: str | None = None
    url: str | None = None
    receipt: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationContext:
    """What a verifier gets to see of an answer; `attempt` counts from 1."""

    task: str
    payload: JsonObject
    payload_schema: JsonObject
    response_schema: JsonObject
    response: JsonObject | None
    config: VerifierConfig
    attempt: int
    raw_input: str | None = None
    previous_rejections: Sequence[str] = ()


def microseconds(moment: datetime) -> int:
    """Convert an aware datetime to whole microseconds since 1970, UTC."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_microseconds(value: int) -> datetime:
    """Convert whole microseconds since 1970 to a UTC datetime."""
    return _EPOCH + timedelta(microseconds=value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
