"""The message that tells of a task: derived from the task as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from awaithumans.channels.slack.blocks import (
    MAX_URL,
    Block,
    escaped,
    metadata_line,
    mrkdwn,
    named,
    one_line,
    plain,
    section,
)
from awaithumans.channels.slack.modal import drawable, unsupported_fields
from awaithumans.lifecycle import may_answer
from awaithumans.types import Human, Task, TaskStatus

CLAIM = "awaithumans.claim_task"
OPEN = "awaithumans.open_review"
PAGE = "awaithumans.open_dashboard"

MAX_TITLE = 200
MAX_REASON = 300

_OUTCOMES = {
    TaskStatus.COMPLETED: ("✅", "Completed"),
    TaskStatus.CANCELLED: ("🚫", "Cancelled"),
    TaskStatus.TIMED_OUT: ("⌛", "Timed out"),
    TaskStatus.VERIFICATION_EXHAUSTED: ("❌", "Verifier rejected"),
}
_CLOSED = ("🔒", "Closed")


def task_message(
    task: Task,
    *,
    broadcast: bool,
    url: str | None = None,
    link: str | None = None,
    person: Human | None = None,
    team: str | None = None,
) -> tuple[str, list[Block]]:
    """Write the message for a task as it stands: its short text, and its blocks.

    Arguments:
        task: the task. Nothing of its payload is in the message.
        broadcast: whether several people read it. Then it has a button to
            claim the task, and never `link`.
        url: the task's page, behind the host's log-in.
        link: the personal page of the one who reads it.
        person: who that is, where the directory knows them.
        team: the Slack workspace; people of another are not mentioned.
    """
    lead, note = _standing(task, None if broadcast else person, team)
    title = escaped(one_line(task.spec.task) or "Untitled question", MAX_TITLE)
    open_here = may_act(task, person, broadcast=broadcast)
    undrawn = _undrawn(task) if open_here else ""
    blocks = [
        section(mrkdwn("\n".join(filter(None, [f"{lead} {title}", note, undrawn])))),
        *metadata_line([*task.spec.metadata.items()]),
        *_buttons(task, broadcast=broadcast, acts=open_here, drawn=not undrawn, page=_page(url, link, broadcast)),
    ]
    return f"{lead.replace('*', '')} {title}", blocks


def reminder(task: Task, *, broadcast: bool, team: str | None = None) -> str:
    """Write the reply under a message that reminds people of a task; where several read it, who has the task."""
    title = escaped(one_line(task.spec.task) or "Untitled question", MAX_TITLE)
    who = f"{named(task.assignee, team)}: " if broadcast and task.assignee else ""
    return f"⏰ {who}This still waits for an answer. {title}"


def may_act(task: Task, person: Human | None, *, broadcast: bool) -> bool:
    """Tell whether those who read the message can answer the task, or claim it, now."""
    if task.status is not TaskStatus.PENDING:
        return False
    if broadcast:
        return task.assignee is None
    theirs = task.assignee is None or person is None or _same(person, task.assignee)
    return theirs and (person is None or may_answer(task, person))


# ── In words ──────────────────────────────────────────────────────────────────


def _standing(task: Task, person: Human | None, team: str | None) -> tuple[str, str]:
    """Give the bold lead, and a second line or nothing."""
    if task.closed:
        return _ending(task, team), ""
    if task.status is TaskStatus.SUBMITTED:
        return f"🔎 *Being checked{_by(task, team)}:*", ""
    holder = named(task.assignee, team) if task.assignee else ""
    if person and not may_answer(task, person):
        now_with = f" to {holder}" if holder else ""
        return f"➡️ *Handed on{now_with}:*", "_There is nothing left for you to do._"
    if task.assignee and not (person and _same(person, task.assignee)):
        return (f"🙋 *Taken by {holder}:*" if task.claimed_at else f"📥 *Waits for {holder}:*"), ""
    if task.refused:
        return "🔁 *Needs a better answer:*", _refusal(task, person)
    return "📥 *Needs an answer:*", ""


def _ending(task: Task, team: str | None) -> str:
    sign, label = _OUTCOMES.get(task.status, _CLOSED)
    by = _by(task, team) if task.status is not TaskStatus.TIMED_OUT else ""
    return f"{sign} *{label}{by}:*"


def _by(task: Task, team: str | None) -> str:
    answered = task.status in {TaskStatus.COMPLETED, TaskStatus.SUBMITTED, TaskStatus.VERIFICATION_EXHAUSTED}
    if not answered or not task.answer or task.answer.by.kind != "human":
        return ""
    return f" by {named(task.answer.by.human, team)}"


def _refusal(task: Task, person: Human | None) -> str:
    """Say why an answer was refused, to those who may give a better one."""
    reason = one_line(task.verdict.reason) if task.verdict else ""
    if not reason or person is None or task.spec.confidential:
        return ""
    return f"_The last answer was refused:_ {escaped(reason, MAX_REASON)}"


def _undrawn(task: Task) -> str:
    """Say what of the form Slack cannot draw; "" if it can all of it."""
    if count := len(unsupported_fields(task)):
        return f"_{count} {'field needs' if count == 1 else 'fields need'} the browser._"
    return "" if drawable(task) else "_The form is too long for Slack._"


# ── Buttons ───────────────────────────────────────────────────────────────────


def _same(one: Human, other: Human) -> bool:
    return bool(one.addresses & other.addresses)


def _page(url: str | None, link: str | None, broadcast: bool) -> str | None:  # noqa: FBT001 - said by its callers
    page = url if broadcast else link or url
    return page if page and len(page) <= MAX_URL else None


def _buttons(task: Task, *, broadcast: bool, acts: bool, drawn: bool, page: str | None) -> Sequence[Block]:
    buttons: list[Block] = []
    if acts and broadcast:
        buttons.append(_button("Claim", CLAIM, value=task.id, style="primary"))
    elif acts and drawn:
        buttons.append(_button("Answer", OPEN, value=task.id, style="primary"))
    if page:
        buttons.append(_button("Open in the browser", PAGE, url=page))
    return [{"type": "actions", "elements": buttons}] if buttons else []


def _button(label: str, action_id: str, **more: str) -> Block:
    return {"type": "button", "text": plain(label, 75), "action_id": action_id, **more}
