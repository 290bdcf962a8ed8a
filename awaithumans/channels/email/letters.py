"""What a mail says: decided from the notice alone, before there is any markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Literal
from urllib.parse import quote

from awaithumans.display import Shown, clean, shown, span
from awaithumans.forms import QuickAnswer, quick_answers, readable_schema
from awaithumans.lifecycle import may_answer, may_see
from awaithumans.types import AGENT, Human, Notice, Task, TaskStatus

MAX_SUBJECT = 120
MAX_QUESTION = 300
MAX_LABEL = 60
MAX_TEXT = 4_000
MAX_VALUE = 1_000
MAX_REASON = 1_000
MAX_SHOWN = 15_000
"""Characters of payload that a mail shows: some programs cut mails off at 100 kB of HTML."""
_MAX_LABEL = 100

ON_THE_PAGE = "What it is about is kept out of mails. You see it on the page."
TOO_LONG = "What it is about is too long for a mail. You see it on the page."

_ENDED = {
    TaskStatus.TIMED_OUT: "Nobody answered in time",
    TaskStatus.CANCELLED: "This question was withdrawn",
    TaskStatus.VERIFICATION_EXHAUSTED: "No answer passed the check",
}
_READ = "Your reply was read and accepted."
OWN_WORDS = "Or reply to this mail in your own words. They are read, and you are told how they were understood."
_NOTHING_TO_DO = "You need not do anything."
_CONFIRM = "A link opens a page that asks once more; opening it answers nothing."
_PERSONAL = "The links are yours alone: whoever has this mail can answer in your name."


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A link to click on."""

    label: str
    url: str
    kind: Literal["answer", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail, in words."""

    subject: str
    lead: str
    """What the mail is, in one sentence."""
    question: str
    text: str = ""
    facts: Sequence[tuple[str, str]] = ()
    payload: Shown | None = None
    payload_note: str = ""
    """Why the payload is not in the mail."""
    response: Shown | None = None
    buttons: Sequence[Button] = ()
    words: Sequence[str] = ()
    """The words that a reply may consist of."""
    complete: bool = False
    """Whether there is something to answer, and the mail shows all that it is about."""
    notes: Sequence[str] = ()
    """What happens next."""


def letter_for(notice: Notice) -> Letter | None:
    """Decide what a notice says by mail; None if it needs no mail.

    Nobody is written to about the end of a question that they were never asked.
    """
    match notice.event:
        case "opened" | "reminder":
            return _asking(notice)
        case "rejected":
            return _refused(notice)
        case "reassigned":
            return _asking(notice) if notice.person and _concerned(notice) else _handed_on(notice)
        case "closed":
            return _ended(notice)
        case _:
            return None


def answering_back(task: Task, lead: str, *, link: str | None) -> Letter:
    """Decide what a mail says that answers a reply; `link` if there still is something to answer."""
    quick = _quick(task) if link else []
    return Letter(
        subject=subject_of(task),
        lead=lead,
        question=_question(task),
        facts=[("Answer by", deadline_of(task))] if link else [],
        buttons=_buttons(link, None, quick),
        words=_words(task) if link else [],
        complete=bool(link) and shows_all(task),
        notes=[_CONFIRM, _PERSONAL] if link else [_NOTHING_TO_DO],
    )


def answerable_by_word(task: Task) -> list[QuickAnswer]:
    """List the answers that a reply can be: those of a small choice, on what the mail shows in full."""
    return _quick(task) if shows_all(task) else []


def shows_all(task: Task) -> bool:
    """Tell whether a mail shows all that the task is about: nobody answers by a reply what they could not read."""
    _, kept_out = _payload(task)
    first, _, rest = clean(task.spec.task).strip().partition("\n")
    is_cut = len(first.strip()) > MAX_QUESTION or len(rest.strip()) > MAX_TEXT
    return not (kept_out or is_cut or _is_cut(shown(task.spec.payload, task.spec.payload_schema)))


def offering_replies(letter: Letter, *, own_words: bool) -> Letter:
    """Say that a reply can be the answer: where one word is enough, or where `own_words` are read."""
    if own_words and letter.complete:
        return replace(letter, notes=[OWN_WORDS, *letter.notes])
    if not letter.words:
        return letter
    *others, last = (f"“{word}”" for word in letter.words)
    choice = f"{', '.join(others)} or {last}" if others else last
    return replace(letter, notes=[f"Or reply to this mail with {choice} and nothing else.", *letter.notes])


def subject_of(task: Task) -> str:
    """Give the question's first line, as one short line."""
    return _cut(_line(_question(task)), MAX_SUBJECT)


def deadline_of(task: Task) -> str:
    """Say until when an answer counts; the same whenever it is said."""
    allowed = span(task.deadline - task.created_at)
    return f"{_moment(task)} ({allowed} after it was asked)"


def _moment(task: Task) -> str:
    at = task.deadline.astimezone(UTC)
    return f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

# ── By event ──────────────────────────────────────────────────────────────────


def _asking(notice: Notice) -> Letter | None:
    task = notice.task
    if notice.event == "reminder" and not _concerned(notice):
        return None
    leads = {
        "opened": "You are asked to decide." if _concerned(notice) else "Somebody is asked to decide.",
        "reminder": "This question still waits for an answer.",
        "reassigned": "This question was handed to you.",
    }
    return _full(notice, leads[notice.event], facts=_facts(task))


def _refused(notice: Notice) -> Letter | None:
    """Ask again, those who may still answer."""
    task = notice.task
    if not _concerned(notice):
        return None
    reason = "" if task.spec.confidential or task.verdict is None else _cut(clean(task.verdict.reason), MAX_REASON)
    whose = "Your answer" if _answered_by(task, notice.person) else f"{_answerer(task)}’s answer"
    facts = [("Reason", reason or "Given on the page."), *_facts(task)]
    return _full(notice, f"{whose} was refused, and the question is open again.", facts=facts)


def _handed_on(notice: Notice) -> Letter | None:
    if notice.receipt is None:
        return None
    people = [_line(one.label) for one in notice.task.addressees]
    lead = f"This question was handed to {_cut(', '.join(people), MAX_QUESTION) or 'others'}."
    return Letter(subject=subject_of(notice.task), lead=lead, question=_question(notice.task), notes=[_NOTHING_TO_DO])


def _ended(notice: Notice) -> Letter | None:
    """Tell the outcome: also to who answered by mail or link, if it had to be read out of their words."""
    task, person = notice.task, notice.person
    completed = task.status is TaskStatus.COMPLETED
    theirs = completed and _answered_by(task, person)
    in_words = theirs and task.answer is not None and task.answer.text is not None
    if notice.receipt is None or (theirs and _by_mail(task) and not in_words):
        return None
    may_read = not task.spec.confidential and (may_see(task, person) if person else not task.addressees)
    return Letter(
        subject=subject_of(task),
        lead=_READ if in_words else f"{_answerer(task)} answered." if completed else f"{_ENDED[task.status]}.",
        question=_question(task),
        response=_response(task) if may_read else None,
        buttons=_buttons(None, notice.url, []),
        notes=[_NOTHING_TO_DO],
    )


def _full(notice: Notice, lead: str, *, facts: Sequence[tuple[str, str]]) -> Letter:
    task = notice.task
    quick = _quick(task) if notice.link else []
    payload, note = _payload(task)
    return Letter(
        subject=subject_of(task),
        lead=lead,
        question=_question(task),
        text=_cut(clean(task.spec.task.strip().partition("\n")[2].strip()), MAX_TEXT),
        facts=facts,
        payload=payload,
        payload_note=note,
        buttons=_buttons(notice.link, notice.url, quick),
        words=_words(task) if notice.link else [],
        complete=bool(notice.link) and shows_all(task),
        notes=list(_what_next(notice, quick)),
    )


def _what_next(notice: Notice, quick: Sequence[QuickAnswer]) -> Sequence[str]:
    checked = " It is checked first; if it is refused, you get another mail." if notice.task.spec.verifier else ""
    confirm = [_CONFIRM] if quick else []
    personal = [_PERSONAL] if notice.link else []
    expiry = f"Your answer goes straight to the program that waits for it.{checked} Without one the question expires."
    return [*confirm, expiry, *personal]


# ── Who it is for ─────────────────────────────────────────────────────────────


def _concerned(notice: Notice) -> bool:
    """Tell whether there may be something for the reader to answer."""
    task, person = notice.task, notice.person
    if person is None:
        return True
    theirs = task.assignee is None or bool(task.assignee.addresses & person.addresses)
    return theirs and may_answer(task, replace(person, operator=False))


def _answered_by(task: Task, person: Human | None) -> bool:
    return bool(task.answer and person and task.answer.by.human.addresses & person.addresses)


def _by_mail(task: Task) -> bool:
    return bool(task.answer and (task.answer.by.auth == "link" or task.answer.by.via == "email"))


def _answerer(task: Task) -> str:
    return _cut(_line(task.answer.by.human.label), 100) if task.answer else "Somebody"


# ── Parts ─────────────────────────────────────────────────────────────────────


def _question(task: Task) -> str:
    first = clean(task.spec.task).strip().partition("\n")[0].strip()
    return _cut(first, MAX_QUESTION) or "Untitled question"


def _facts(task: Task) -> list[tuple[str, str]]:
    asked_by = task.spec.requested_by
    name = asked_by.partition(":")[2] or asked_by
    who = [] if asked_by == AGENT.principal else [("Asked by", _cut(_line(name), 100))]
    return [*who, ("Answer by", deadline_of(task))]


def _quick(task: Task) -> list[QuickAnswer]:
    return quick_answers(task.spec.form, task.spec.response_schema)


def _words(task: Task) -> list[str]:
    """Give what to reply with, each on one line; nothing where that is more than a few words."""
    words = [_line(one.label) for one in answerable_by_word(task)]
    return words if all(len(word) <= MAX_LABEL for word in words) else []


def _buttons(link: str | None, url: str | None, quick: Sequence[QuickAnswer]) -> list[Button]:
    answers = [
        Button(label=_cut(_line(one.label), MAX_LABEL), url=f"{link}?answer={quote(one.text, safe='')}", kind="answer")
        for one in quick
    ]
    page = link or url
    return [*answers, *([Button(label="Open the question", url=page, kind="open")] if page else [])]


def _payload(task: Task) -> tuple[Shown | None, str]:
    if task.spec.redact_payload:
        return None, ON_THE_PAGE
    whole = shown(task.spec.payload, task.spec.payload_schema)
    if whole.kind == "empty":
        return None, ""
    brief = _brief(whole)
    return (brief, "") if brief else (None, TOO_LONG)


def _response(task: Task) -> Shown | None:
    spec = task.spec
    return _brief(shown(task.response, readable_schema(spec.form, spec.response_schema))) if task.response else None


def _brief(value: Shown) -> Shown | None:
    """Make a value fit for a mail; None if it is too long for one."""
    return None if _length(value) > MAX_SHOWN else _cleaned(value)


def _cleaned(value: Shown) -> Shown:
    kind = "text" if value.kind == "link" and len(value.text) > MAX_VALUE else value.kind
    return replace(
        value,
        kind=kind,
        text=_cut(clean(value.text), MAX_VALUE),
        items=[_cleaned(one) for one in value.items],
        pairs=[(_cut(_line(label), _MAX_LABEL), _cleaned(one)) for label, one in value.pairs],
        columns=[_cut(_line(column), _MAX_LABEL) for column in value.columns],
        rows=[[_cleaned(cell) for cell in row] for row in value.rows],
    )


def _is_cut(value: Shown) -> bool:
    """Tell whether some text in a value is too long to be shown in full."""
    parts = [*value.items, *(one for _, one in value.pairs), *(cell for row in value.rows for cell in row)]
    labels = [*(label for label, _ in value.pairs), *value.columns]
    return len(value.text) > MAX_VALUE or any(len(label) > _MAX_LABEL for label in labels) or any(map(_is_cut, parts))


def _length(value: Shown) -> int:
    parts = [*value.items, *(one for _, one in value.pairs), *(cell for row in value.rows for cell in row)]
    labels = [*(label for label, _ in value.pairs), *value.columns]
    return (
        40
        + min(len(value.text), MAX_VALUE)
        + sum(min(len(label), _MAX_LABEL) for label in labels)
        + sum(map(_length, parts))
    )


def _line(text: str) -> str:
    return " ".join(clean(text).split())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
