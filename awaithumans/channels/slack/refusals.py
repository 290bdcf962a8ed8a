"""Why somebody cannot answer a task now, in words for them."""

from __future__ import annotations

from datetime import UTC, datetime

from awaithumans.channels.slack.blocks import cut, one_line
from awaithumans.lifecycle import may_answer
from awaithumans.types import Answer, Human, Submit, Task, TaskStatus

MAX_NAME = 80

UNKNOWN = "Slack and this service do not know you as the same person. Ask whoever runs it to add your Slack account."
GONE = "This question is not here any more."


def refusal(task: Task, human: Human) -> str | None:
    """Say why this person cannot answer the task as it stands; None if they can.

    Somebody whom it is not addressed to learns nothing else of it.
    """
    if not may_answer(task, human):
        return "This question is not addressed to you."
    if task.closed:
        return _ended(task, human)
    if task.status is TaskStatus.SUBMITTED:
        return f"{_answerer(task, human, possessive=True)} answer is being checked."
    holder = task.assignee
    if holder is None or holder.addresses & human.addresses or human.operator:
        return None
    if task.claimed_at is None:
        return f"This question is with {_name(holder)}."
    return f"{_name(holder)} already claimed this question on {moment(task.claimed_at)}."


def was_given(task: Task, answer: Submit) -> bool:
    """Tell whether the latest answer is this one, of this person."""
    return task.answer is not None and _is_same(task.answer, answer)


def was_ever_given(task: Task, answer: Submit) -> bool:
    """Tell whether one of the answers is this one, of this person."""
    return any(_is_same(one, answer) for one in task.answers)


def _is_same(one: Answer, answer: Submit) -> bool:
    return one.by.principal == answer.by.principal and answer.says_the_same(one)


def moment(at: datetime) -> str:
    """Write a moment for people, in UTC."""
    return f"{at.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _ended(task: Task, human: Human) -> str:
    when = moment(task.closed_at or task.changed_at)
    match task.status:
        case TaskStatus.COMPLETED:
            return f"{_answerer(task, human)} answered this question on {when}."
        case TaskStatus.TIMED_OUT:
            return f"This question expired on {when}."
        case TaskStatus.CANCELLED:
            return f"This question was withdrawn on {when}."
        case _:
            return f"This question was closed on {when}: no answer passed the check."


def _answerer(task: Task, human: Human, *, possessive: bool = False) -> str:
    by = task.answer.by if task.answer else None
    if by and by.kind == "human" and by.human.addresses & human.addresses:
        return "Your" if possessive else "You"
    name = _name(by.human) if by and by.kind == "human" else "Somebody"
    return f"{name}'s" if possessive else name


def _name(human: Human) -> str:
    """Name a person, as they may have named themselves, on one short line."""
    return cut(one_line(human.label), MAX_NAME)
