"""One task on a page: what its template is told, and what its form sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from awaithumans import forms, lifecycle
from awaithumans.display import Shown, humanised, raw_json, shown
from awaithumans.engine import Engine
from awaithumans.errors import SchemaValidationError
from awaithumans.routing import shown_recipient
from awaithumans.types import Actor, Delivery, EffectKind, Entry, Human, Submit, Task, TaskStatus

STATUS_WORDS = {
    "created": "Open",
    "rejected": "Open again",
    TaskStatus.PENDING.value: "Open",
    TaskStatus.SUBMITTED.value: "Being checked",
    TaskStatus.COMPLETED.value: "Answered",
    TaskStatus.TIMED_OUT.value: "Expired",
    TaskStatus.CANCELLED.value: "Withdrawn",
    TaskStatus.VERIFICATION_EXHAUSTED.value: "Refused for good",
}
ACTION_WORDS = {
    "created": "asked",
    "submitted": "answered; the answer is being checked",
    "completed": "answered",
    "rejected": "answered, and the check refused the answer",
    "verification_exhausted": "answered, and the check refused the last allowed answer",
    "timed_out": "closed it: the time was up",
    "cancelled": "withdrew the question",
    "claimed": "took the task",
    "released": "gave the task back",
    "reassigned": "handed the task on",
    "collected": "took over the outcome",
    "deleted": "deleted the task",
    "redacted": "erased the answer",
    "reminded": "sent a reminder",
    "deadline_extended": "allowed more time for the check",
    "notification_failed": "could not tell a recipient",
    "redelivery_requested": "had the message sent again",
}


class FormRefusedError(Exception):
    """The form cannot be accepted as it is; `values` are what was typed."""

    def __init__(self, values: Mapping[str, object], errors: Mapping[str, str]) -> None:
        super().__init__("the form was refused")
        self.values = values
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the audit trail, in words."""

    at: datetime
    who: str
    deed: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Review:
    """What the page of one task shows to one person."""

    task: Task
    human: Human
    now: datetime
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    trail: Sequence[Line] = ()
    failures: Sequence[tuple[str, str]] = ()
    check_fails: bool = False
    """Whether the answer is being checked again, because the check did not work."""
    banner: str = ""

    @property
    def heading(self) -> str:
        """Give the first line of the question."""
        return self.task.spec.task.strip().partition("\n")[0] or "Untitled question"

    @property
    def text(self) -> str:
        """Give what the question says after its first line."""
        return self.task.spec.task.strip().partition("\n")[2].strip()

    @property
    def status(self) -> str:
        """Name the status for people."""
        return STATUS_WORDS["rejected" if self.task.refused else self.task.status.value]

    @property
    def left(self) -> timedelta:
        """Give the time left to answer."""
        return max(self.task.deadline - self.now, timedelta())

    @property
    def payload(self) -> Shown:
        """Give the payload, readable."""
        return shown(self.task.spec.payload, self.task.spec.payload_schema)

    @property
    def payload_json(self) -> str:
        """Give the payload as JSON."""
        return raw_json(self.task.spec.payload)

    @property
    def response(self) -> Shown | None:
        """Give the decided response, readable."""
        decided = self.task.response
        return None if decided is None else shown(decided, self.task.spec.response_schema)

    @property
    def asked_by(self) -> str:
        """Name the principal that asked."""
        return self.task.spec.requested_by.partition(":")[2] or self.task.spec.requested_by

    @property
    def mine(self) -> bool:
        """Tell whether this person has the task."""
        assignee = self.task.assignee
        return assignee is not None and bool(assignee.addresses & self.human.addresses)

    @property
    def answerer(self) -> str:
        """Name the one who answered last; "You" for whom the page is made."""
        answer = self.task.answer
        if answer is None:
            return "Nobody"
        if answer.by.kind == "human" and answer.by.human.addresses & self.human.addresses:
            return "You"
        return answer.by.human.label

    @property
    def may_answer(self) -> bool:
        """Tell whether the form is theirs to fill in now."""
        theirs = self.task.assignee is None or self.mine or self.human.operator
        return self.waiting and theirs and lifecycle.may_answer(self.task, self.human)

    @property
    def may_claim(self) -> bool:
        """Tell whether the task is there to be taken."""
        return self.waiting and self.task.assignee is None and lifecycle.may_answer(self.task, self.human)

    @property
    def may_release(self) -> bool:
        """Tell whether the task can be given back."""
        return self.waiting and self.task.assignee is not None and (self.mine or self.human.operator)

    @property
    def may_cancel(self) -> bool:
        """Tell whether the question can be withdrawn."""
        return not self.task.closed and self.human.operator

    @property
    def waiting(self) -> bool:
        """Tell whether the task waits for an answer."""
        return self.task.status is TaskStatus.PENDING and self.left > timedelta()

    @cached_property
    def fields(self) -> Sequence[forms.Control]:
        """Give the form's fields, filled in and marked."""
        spec = self.task.spec
        return forms.render_fields(spec.form, spec.response_schema, self.values, self.errors)

    @property
    def problems(self) -> Sequence[tuple[str, str]]:
        """Give what is wrong, and the element to go to; "" if there is none."""
        marked = [(place, f"{one.label}: {one.error}") for place, one in self._placed() if one.error]
        asked = [one.name for one in self.fields if one.widget != "display"]
        elsewhere = [(path, text) for path, text in self.errors.items() if not _belongs(path, asked)]
        return [*marked, *(("", f"{path}: {text}" if path else text) for path, text in elsewhere)]

    @property
    def first_fault(self) -> str:
        """Name the element to correct first; "" if there is none."""
        return next((place for place, one in self._placed() if one.error), "")

    def _placed(self) -> Iterator[tuple[str, forms.Control]]:
        for number, one in enumerate(self.fields, start=1):
            yield f"field-{number}", one


async def send_answer(
    engine: Engine, task: Task, actor: Actor, submitted: Mapping[str, Sequence[str]], *, verdict_seconds: float
) -> Task:
    """Answer with a posted form; return the task as it stands soon after.

    Raises `FormRefusedError`, and what `act` raises.
    """
    sent = forms.parse(task.spec.form, task.spec.response_schema, submitted, forms.prefilled(task)[0])
    if sent.errors:
        raise FormRefusedError(sent.typed, sent.errors)
    try:
        await engine.act(task.id, Submit(value=sent.value, by=actor, attempt=task.attempt))
    except SchemaValidationError as error:
        raise FormRefusedError(sent.typed, error.fields) from error
    return await engine.wait_for_verdict(task.id, timeout=verdict_seconds)


def line_of(entry: Entry) -> Line:
    """Put a line of the trail into words."""
    by = entry.by
    who = {"human": by.human.label, "agent": by.id, "system": "The system"}[by.kind]
    stated = f" (so says {by.stated_by.partition(':')[2]})" if by.stated_by else ""
    notes = [str(entry.data[name]) for name in ("recipient", "reason", "verifier_reason") if entry.data.get(name)]
    door = [f"via {by.via}"] if by.via else []
    return Line(
        at=entry.at,
        who=who + stated,
        deed=ACTION_WORDS.get(entry.action, humanised(entry.action).lower()),
        note=" · ".join([*notes, *door]),
    )


def check_fails(deliveries: Sequence[Delivery]) -> bool:
    """Tell whether a check has been tried in vain, and is tried again."""
    checks = [one for one in deliveries if one.effect.kind is EffectKind.VERIFY and not one.settled_at]
    return any(one.attempts > 1 for one in checks)


def failures_of(deliveries: Sequence[Delivery]) -> list[tuple[str, str]]:
    """Return who could not be told, and why."""
    return [
        (shown_recipient(one.effect.recipient) or one.effect.kind.value, one.failure)
        for one in deliveries
        if one.failure
    ]


def _belongs(path: str, names: Sequence[str]) -> bool:
    """Tell whether an error is shown at one of these fields."""
    return any(path == name or path.startswith(f"{name}.") for name in names)
