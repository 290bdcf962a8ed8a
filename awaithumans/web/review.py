"""One task on a page: what its template is told, and what its form sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from starlette.requests import Request

from awaithumans import forms, lifecycle
from awaithumans.display import Shown, humanised, raw_json, shown
from awaithumans.engine import Engine
from awaithumans.errors import SchemaValidationError
from awaithumans.routing import shown_recipient
from awaithumans.types import Actor, Delivery, EffectKind, Entry, Human, Submit, Task, TaskStatus
from awaithumans.web.api import settled

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
    "reminder_requested": "had a reminder sent",
    "deadline_extended": "allowed more time for the check",
    "notification_failed": "could not tell a recipient",
    "redelivery_requested": "had the message sent again",
}

_LITTLE_TIME = timedelta(hours=1)
ADD = "_awaithumans_add"
"""Names the button that adds an entry to the rows that are its value."""
REMOVE = "_awaithumans_remove"
"""Names the button that takes away the entry that is its value."""


class FormReturnedError(Exception):
    """The form goes back to the person: refused, or with a row more or less.

    `values` are what was typed, and `edited` names the entry that was asked for.
    """

    def __init__(self, values: Mapping[str, object], errors: Mapping[str, str], *, edited: str = "") -> None:
        super().__init__("the form goes back")
        self.values = values
        self.errors = errors
        self.edited = edited

    @property
    def status(self) -> int:
        """Give the status of the page with the form."""
        return 200 if self.edited else 422


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
    edited: str = ""
    """The rows that an entry was just added to, or taken from."""

    @property
    def heading(self) -> str:
        """Give the first line of the question."""
        return self.task.spec.task.strip().partition("\n")[0] or "Untitled question"

    @property
    def text(self) -> str:
        """Give what the question says after its first line."""
        return self.task.spec.task.strip().partition("\n")[2].strip()

    @property
    def pools(self) -> Sequence[tuple[str, str]]:
        """Give the groups that the question was for, each with the words that find its other questions."""
        groups = ((kind, (self.task.spec.assign_to or {}).get(kind)) for kind in ("pool", "role", "access_level"))
        return [(name, f"{kind}:{name}") for kind, name in groups if isinstance(name, str)]

    @property
    def status(self) -> str:
        """Name the status for people."""
        return STATUS_WORDS["rejected" if self.task.refused else self.task.status.value]

    @property
    def left(self) -> timedelta:
        """Give the time left to answer."""
        return max(self.task.deadline - self.now, timedelta())

    @property
    def urgent(self) -> bool:
        """Tell whether there is little time left to answer."""
        return self.waiting and self.left < _LITTLE_TIME

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
        marked = [(one.id, f"{label}: {fault}") for label, one, fault in _faults(self.fields)]
        asked = [one.name for one in self.fields if one.widget != "display"]
        elsewhere = [(path, text) for path, text in self.errors.items() if not _belongs(path, asked)]
        return [*marked, *(("", f"{path}: {text}" if path else text) for path, text in elsewhere)]

    @property
    def focus(self) -> str:
        """Name the element to go on at; "" if there is none."""
        if self.edited:
            return _after_edit(self.fields, self.edited)
        return next((one.id for _, one, _ in _faults(self.fields)), "")


def _faults(controls: Sequence[forms.Control], trail: str = "") -> Iterator[tuple[str, forms.Control, str]]:
    """Yield what is wrong, with what it is called and where it is."""
    for one in controls:
        label = f"{trail}{one.label}"
        if fault := one.parts.error if one.parts else one.error:
            yield label, one, fault
        for entry in one.parts.entries if one.parts else ():
            named = f"{label} {entry.label}" if one.parts and one.parts.kind == "rows" else label
            yield from _faults(entry.controls, f"{named} › ")


def _after_edit(controls: Sequence[forms.Control], edited: str) -> str:
    """Name the first control of a new entry, or the button to add another one."""
    everything = [*controls, *(inner for one in controls if one.parts for inner in forms.walk(one.parts))]
    rows, _, number = edited.rpartition(".")
    for one in everything:
        if one.parts and one.parts.mark == f"{edited}.?":
            return one.parts.entries[-1].controls[0].id if one.parts.entries else one.id
        if one.parts and number and one.parts.mark == f"{rows}.?":
            return f"{one.id}-add" if one.parts.add else one.id
    return ""


async def send_answer(
    engine: Engine, task: Task, actor: Actor, submitted: Mapping[str, Sequence[str]], *, verdict_seconds: float
) -> Task:
    """Answer with a posted form; return the task as it stands soon after.

    Raises `FormReturnedError`, and what `act` raises. A form that was sent by a
    button for rows is not an answer, whatever else it has.
    """
    _give_back_edited(task, submitted)
    sent = forms.parse(task.spec.form, task.spec.response_schema, submitted, forms.prefilled(task)[0])
    if sent.errors:
        raise FormReturnedError(sent.typed, sent.errors)
    try:
        await engine.act(task.id, Submit(value=sent.value, by=actor, attempt=task.attempt))
    except SchemaValidationError as error:
        raise FormReturnedError(sent.typed, error.fields) from error
    return await settled(engine, task.id, verdict_seconds)


def _give_back_edited(task: Task, submitted: Mapping[str, Sequence[str]]) -> None:
    add, remove = "".join(submitted.get(ADD, ())), "".join(submitted.get(REMOVE, ()))
    if add or remove:
        typed = forms.edited(task.spec.form, task.spec.response_schema, submitted, add=add, remove=remove)
        raise FormReturnedError(typed, {}, edited=add or remove)


def quick_answer(task: Task, request: Request) -> forms.QuickAnswer | None:
    """Return the answer that the address names; it is given once the page is sent."""
    text = request.query_params.get("answer")
    answers = forms.quick_answers(task.spec.form, task.spec.response_schema) if text else []
    return next((answer for answer in answers if answer.text == text), None)


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
