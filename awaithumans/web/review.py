"""One task on a page: what its template is told, and what its form sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from starlette.requests import Request

from awaithumans import forms, lifecycle
from awaithumans.display import PAGE, Shown, humanised, short_json, shown
from awaithumans.engine import Engine
from awaithumans.errors import SchemaValidationError
from awaithumans.forms.definition import SectionCollapse, Subform
from awaithumans.routing import shown_recipient
from awaithumans.types import Actor, Delivery, EffectKind, Entry, Human, Submit, Task, TaskStatus
from awaithumans.words import joined, placed, words

STATUS_WORDS = {
    "created": words("Open"),
    "rejected": words("Open again"),
    TaskStatus.PENDING.value: words("Open"),
    TaskStatus.SUBMITTED.value: words("Being checked"),
    TaskStatus.COMPLETED.value: words("Answered"),
    TaskStatus.TIMED_OUT.value: words("Expired"),
    TaskStatus.CANCELLED.value: words("Withdrawn"),
    TaskStatus.VERIFICATION_EXHAUSTED.value: words("Refused for good"),
}
ACTION_WORDS = {
    "created": words("%(who)s asked"),
    "submitted": words("%(who)s answered; the answer is being checked"),
    "completed": words("%(who)s answered"),
    "rejected": words("%(who)s answered, and the check refused the answer"),
    "verification_exhausted": words("%(who)s answered, and the check refused the last allowed answer"),
    "timed_out": words("%(who)s closed it: the time was up"),
    "cancelled": words("%(who)s withdrew the question"),
    "claimed": words("%(who)s took the task"),
    "released": words("%(who)s gave the task back"),
    "reassigned": words("%(who)s handed the task on"),
    "collected": words("%(who)s took over the outcome"),
    "deleted": words("%(who)s deleted the task"),
    "redacted": words("%(who)s erased the answer"),
    "reminded": words("%(who)s sent a reminder"),
    "reminder_requested": words("%(who)s had a reminder sent"),
    "deadline_extended": words("%(who)s allowed more time for the check"),
    "notification_failed": words("%(who)s could not tell a recipient"),
    "redelivery_requested": words("%(who)s had the message sent again"),
    "check_failed": words("%(who)s could not check the answer"),
}
NOTICE_WORDS = {
    "opened": words("the question"),
    "submitted": words("that an answer is being checked"),
    "rejected": words("that an answer was refused"),
    "claimed": words("that somebody took it"),
    "released": words("that it was given back"),
    "reassigned": words("that it was handed on"),
    "reminder": words("a reminder"),
    "closed": words("how it ended"),
}
_RECORDED = {
    "recipients": words("Recipients"),
    "response_keys": words("Fields of the answer"),
    "timeout_seconds": words("Seconds to answer"),
    "to": words("Handed to"),
    "unverified_answer": words("Unchecked answer"),
    "verification_attempt": words("Attempt"),
    "verifier_input_tokens": words("Tokens read by the check"),
    "verifier_model": words("Model of the check"),
    "verifier_output_tokens": words("Tokens written by the check"),
    "verifier_passed": words("Passed the check"),
    "verifier_seconds": words("Seconds of the check"),
}
"""What the facts of an entry of the trail are called."""

_DIGITS = 6
_MOST_JSON = 20_000
MOST_LINES = 40
"""So many lines of a trail are on a page, the latest."""
_LITTLE_TIME = timedelta(hours=1)
_LITTLE_PART = 4
_NOTED = ("recipient", "reason", "verifier_reason")
ADD = "_awaithumans_add"
"""Names the button that adds an entry to the rows that are its value."""
REMOVE = "_awaithumans_remove"
"""Names the button that takes away the entry that is its value."""
UP = "_awaithumans_up"
DOWN = "_awaithumans_down"
"""Name the buttons that move the option of a ranking that is their value."""
UPLOADING = frozenset({"file_upload", "signature"})
"""The kinds of field whose form may carry files."""
ASSISTED = frozenset({"file_upload", "slider", "ranking", "rich_text"})
"""The kinds of field that are better with a script."""


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
    """A message that has places for who did it, and for the action."""
    action: str
    note: str
    details: Shown
    """What else is on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Somebody who could not be told."""

    notice: str
    """The id of what was to be sent."""
    recipient: str
    about: str
    """What they were to be told."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Review:
    """What the page of one task shows to one person."""

    task: Task
    human: Human
    now: datetime
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    trail: Sequence[Line] = ()
    earlier: int = 0
    """Counts the lines of the trail before these."""
    failures: Sequence[Failure] = ()
    check_fails: bool = False
    """Whether the answer is being checked again, because the check did not work."""
    banner: str = ""
    edited: str = ""
    """The rows that an entry was just added to, or taken from."""

    @property
    def heading(self) -> str:
        """Give the first line of the question."""
        return self.task.spec.task.strip().partition("\n")[0] or words("Untitled question")

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
        return self.waiting and self.left < self.little_time

    @property
    def little_time(self) -> timedelta:
        """Give how much time is little: an hour, or the last quarter of all there was."""
        return min(_LITTLE_TIME, (self.task.deadline - self.task.created_at) / _LITTLE_PART)

    @property
    def payload(self) -> Shown:
        """Give the payload, readable."""
        return shown(self.task.spec.payload, self.task.spec.payload_schema, limits=PAGE)

    @property
    def payload_json(self) -> str | None:
        """Give the payload as JSON; None if that is too long for the page."""
        return short_json(self.task.spec.payload, _MOST_JSON)

    @property
    def response(self) -> Shown | None:
        """Give the decided response, in the words of its form."""
        decided, spec = self.task.response, self.task.spec
        schema = forms.readable_schema(spec.form, spec.response_schema)
        return None if decided is None else shown(decided, schema, limits=PAGE)

    @property
    def response_json(self) -> str | None:
        """Give the decided response as JSON; None if that is too long for the page."""
        return short_json(self.task.response, _MOST_JSON)

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
        """Name the one who answered last."""
        answer = self.task.answer
        return words("Nobody") if answer is None else answer.by.human.label

    @property
    def answered_by_you(self) -> bool:
        """Tell whether the last answer is of the person the page is made for."""
        answer = self.task.answer
        return answer is not None and bool(answer.by.human.addresses & self.human.addresses)

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

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Give the kinds of field that the form has, or may come to have."""
        spec = self.task.spec
        return frozenset(_kinds(forms.form_for(spec.form, spec.response_schema).fields))

    @property
    def scripts(self) -> Sequence[str]:
        """Name the scripts that only some forms are better with."""
        drawing = ["sign.js"] if "signature" in self.kinds else []
        return ["fields.js", *drawing] if self.kinds & (ASSISTED | {"signature"}) else drawing

    @property
    def uploads(self) -> bool:
        """Tell whether the form may carry files."""
        return bool(self.kinds & UPLOADING)

    @property
    def problems(self) -> Sequence[tuple[str, str]]:
        """Give what is wrong, and the element to go to; "" if there is none."""
        marked = [(one.id, placed(label, fault)) for label, one, fault in _faults(self.fields)]
        asked = [one.name for one in self.fields if one.widget != "display"]
        elsewhere = [(path, text) for path, text in self.errors.items() if not _belongs(path, asked)]
        return [*marked, *(("", placed(path, text)) for path, text in elsewhere)]

    @property
    def focus(self) -> str:
        """Name the element to go on at; "" if there is none."""
        if self.edited:
            return _after_edit(self.fields, self.edited)
        return next((one.id for _, one, _ in _faults(self.fields)), "")


def _kinds(fields: Sequence[forms.FormField]) -> Iterator[str]:
    for one in fields:
        yield one.kind
        if isinstance(one, SectionCollapse | Subform):
            yield from _kinds(one.fields)


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
        if one.widget == "ranking" and one.name == rows:
            return _button_at(one, number)
        if one.parts and one.parts.mark == f"{edited}.?":
            return _beginning(one.parts) or one.id
        if one.parts and number and one.parts.mark == f"{rows}.?":
            return f"{one.id}-add" if one.parts.add else one.id
    return ""


def _beginning(parts: forms.Parts) -> str:
    """Name the first control of the last entry."""
    return next((one.id for entry in parts.entries[-1:] for one in entry.controls), "")


def _button_at(ranking: forms.Control, moved: str) -> str:
    place, _, button = moved.partition("-")
    if not place.isdecimal():
        return ranking.id
    return f"{ranking.id}-{min(int(place), len(ranking.options) - 1)}-{button}"


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
    return await engine.wait_for_verdict(task.id, timeout=verdict_seconds)


def _give_back_edited(task: Task, submitted: Mapping[str, Sequence[str]]) -> None:
    add, remove, up, down = ("".join(submitted.get(button, ())) for button in (ADD, REMOVE, UP, DOWN))
    edited = add or remove or _moved(up, -1, "up") or _moved(down, 1, "down")
    if edited:
        spec = task.spec
        typed = forms.edited(spec.form, spec.response_schema, submitted, add=add, remove=remove, up=up, down=down)
        raise FormReturnedError(typed, {}, edited=edited)


def _moved(name: str, steps: int, button: str) -> str:
    """Name the button that goes with an option to its new place."""
    several, _, number = name.rpartition(".")
    known = number.isdecimal() and len(number) < _DIGITS
    return f"{several}.{max(int(number) + steps, 0)}-{button}" if known else ""


def quick_answer(task: Task, request: Request) -> forms.QuickAnswer | None:
    """Return the answer that the address names; it is given once the page is sent."""
    text = request.query_params.get("answer")
    answers = forms.quick_answers(task.spec.form, task.spec.response_schema) if text else []
    return next((answer for answer in answers if answer.text == text), None)


def line_of(entry: Entry) -> Line:
    """Put a line of the trail into words."""
    by = entry.by
    who = {"human": by.human.label, "agent": by.id, "system": words("The system")}[by.kind]
    if by.stated_by:
        who = words("%(who)s (so says %(principal)s)", who=who, principal=by.stated_by.partition(":")[2])
    notes = [str(entry.data[name]) for name in _NOTED if entry.data.get(name)]
    door = [words("via %(door)s", door=by.via)] if by.via else []
    return Line(
        at=entry.at,
        who=who,
        deed=ACTION_WORDS.get(entry.action, words("%(who)s: %(action)s")),
        action=humanised(entry.action),
        note=joined(" · ", [*notes, *door]),
        details=_details(entry),
    )


def _details(entry: Entry) -> Shown:
    statuses = [STATUS_WORDS.get(one, one) for one in dict.fromkeys((entry.from_status, entry.to_status)) if one]
    facts = [
        (words("Status"), joined(" → ", statuses)),
        (words("Identified by"), entry.by.auth),
        (words("Identity"), entry.by.id),
    ]
    data = {name: fact for name, fact in entry.data.items() if name not in _NOTED}
    found = [
        (_RECORDED.get(name, label), one)
        for name, (label, one) in zip(data, shown(data, limits=PAGE).pairs, strict=False)
    ]
    entered = [(words("Entry"), str(entry.seq)), (words("Digest"), entry.digest)]
    return Shown(kind="pairs", pairs=[*map(_fact, facts), *found, *map(_fact, entered)])


def _fact(named: tuple[str, str]) -> tuple[str, Shown]:
    label, text = named
    return label, Shown(kind="text", text=text)


def check_fails(deliveries: Sequence[Delivery]) -> bool:
    """Tell whether a check has been tried in vain, and is tried again."""
    checks = [one for one in deliveries if one.effect.kind is EffectKind.VERIFY and not one.settled_at]
    return any(one.attempts > 1 for one in checks)


def failures_of(deliveries: Sequence[Delivery]) -> list[Failure]:
    """Return who could not be told, and why."""
    return [
        Failure(
            notice=one.effect.id,
            recipient=shown_recipient(one.effect.recipient) or one.effect.kind.value,
            about=NOTICE_WORDS.get(one.effect.event, one.effect.event),
            reason=one.failure,
        )
        for one in deliveries
        if one.failure
    ]


def _belongs(path: str, names: Sequence[str]) -> bool:
    """Tell whether an error is shown at one of these fields."""
    return any(path == name or path.startswith(f"{name}.") for name in names)
