"""The state machine of a task: pure functions from task and command to change.

Nothing here reads a clock, a store or the network. A function returns the
`Change` to write, or None where there is nothing to change, and raises the
error the command deserves where it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from awaithumans.errors import (
    AnswerUnderReviewError,
    ConflictError,
    ForbiddenError,
    InvalidRoutingError,
    SelfAnswerError,
    TaskAlreadyClaimedError,
    TaskAlreadyTerminalError,
    TaskStillOpenError,
)
from awaithumans.routing import MAX_RECIPIENTS, callback_recipient, shown_recipient
from awaithumans.types import (
    SYSTEM,
    Actor,
    Answer,
    Cancel,
    Change,
    Claim,
    Command,
    Delivery,
    Effect,
    EffectKind,
    Entry,
    Human,
    JsonObject,
    Reassign,
    Release,
    Submit,
    Task,
    TaskSpec,
    TaskStatus,
    Usage,
    Verdict,
    may_see,
)
from awaithumans.words import words

GRACE = timedelta(minutes=15)
"""How long past the deadline an answer given in time may still be checked."""
REMINDED_ONCE_WITHIN = timedelta(minutes=10)
"""How often somebody is reminded of a task at most, where reminders are asked for."""
_ASKED_FOR = 1_000
"""Reminders that are asked for count from here, so that none is taken for one of the engine's own."""


def open_task(
    spec: TaskSpec,
    *,
    task_id: str,
    fingerprint: str,
    addressees: Sequence[Human],
    by: Actor,
    now: datetime,
    recipients: Sequence[str] | None = None,
    reminders: Sequence[float] = (),
) -> Change:
    """Make the first version of a task, its timers and its first notices.

    `recipients` are told; by default the entries of the spec's `notify`.
    `reminders` are the parts of its time, between 0 and 1 and in order, after
    which they are told again.
    """
    task = Task(
        id=task_id,
        spec=spec,
        fingerprint=fingerprint,
        created_at=now,
        changed_at=now,
        deadline=now + timedelta(seconds=spec.timeout_seconds),
        version=0,
        addressees=tuple(addressees),
        assignee=_only(addressees),
        recipients=tuple(dict.fromkeys(spec.notify if recipients is None else recipients)),
    )
    timers = (_expiry(task, task.deadline, generation=1), *_reminders(task, reminders))
    return _next(task, now, "created", by, effects=(*timers, *_tell(task, "opened", now)))


def act(task: Task, command: Command, now: datetime) -> Change | None:
    """Carry out one command on a task as it stands."""
    now = _no_earlier(task, now)
    match command:
        case Submit():
            return _submit(task, command, now)
        case Claim():
            return _claim(task, command.by, now)
        case Release():
            return _release(task, command.by, now)
        case Reassign():
            return _reassign(task, command, now)
        case Cancel():
            return _cancel(task, command, now)
        case _:
            assert_never(command)


def may_answer(task: Task, human: Human) -> bool:
    """Tell whether this person is among those the task is addressed to."""
    return human.operator or not task.addressees or any(human.addresses & one.addresses for one in task.addressees)


# ── What time and the runner bring about ──────────────────────────────────────


def expire(task: Task, now: datetime) -> Change | None:
    """Close a task whose deadline has come.

    While an answer is being checked, the expiry is put off once, by `GRACE`;
    the answer then stays in the trail unless the task is redacted.
    """
    now = _no_earlier(task, now)
    if task.closed or now < (task.grace_until or task.deadline):
        return None
    if task.status is TaskStatus.SUBMITTED and task.grace_until is None:
        until = task.deadline + GRACE
        effects = (_expiry(task, until, generation=2),)
        return _next(task, now, "deadline_extended", SYSTEM, effects=effects, grace_until=until)
    data: dict[str, object] = {"timeout_seconds": task.spec.timeout_seconds}
    if task.status is TaskStatus.SUBMITTED and task.answer and not task.spec.confidential:
        data["unverified_answer"] = task.answer.value if task.answer.text is None else task.answer.text
    return _close(task, now, TaskStatus.TIMED_OUT, SYSTEM, data=data)


def remind(task: Task, which: int, now: datetime) -> Change | None:
    """Tell all recipients that the task still waits for an answer: once for `which` reminder, counted from 1."""
    if task.status is not TaskStatus.PENDING or task.reminded >= which or now >= task.deadline:
        return None
    effects = _tell(task, "reminder", now, generation=which)
    return _next(task, now, "reminded", SYSTEM, effects=effects, reminded=which)


def remind_one(task: Task, recipient: str, told: Sequence[Delivery], by: Actor, now: datetime) -> Change | None:
    """Tell one recipient again, unless a notice is on its way to them or a reminder was just sent.

    `told` is what the task's recipients were told so far. With equal ones it
    is the same notice: asked for several times at once, it goes once.
    """
    theirs = [one for one in told if one.effect.recipient == recipient]
    reminders = [one.effect for one in theirs if one.effect.event == "reminder"]
    on_its_way = any(one.settled_at is None for one in theirs)
    if on_its_way or any(now - one.due < REMINDED_ONCE_WITHIN for one in reminders):
        return None
    if task.status is not TaskStatus.PENDING or now >= task.deadline or recipient not in task.recipients:
        return None
    generation = max([_ASKED_FOR, *(one.generation for one in reminders)]) + 1
    effects = _tell(replace(task, recipients=(recipient,)), "reminder", now, generation=generation)
    return _next(task, now, "reminder_requested", by, data={"recipient": shown_recipient(recipient)}, effects=effects)


def decide(task: Task, attempt: int, verdict: Verdict, now: datetime) -> Change | None:
    """Take a verifier's verdict on the answer of that attempt.

    A verdict on anything but the answer under review changes nothing.
    """
    now = _no_earlier(task, now)
    answer = task.answer
    if task.status is not TaskStatus.SUBMITTED or answer is None or answer.attempt != attempt:
        return None
    if verdict.passed:
        value = answer.value if answer.text is None else verdict.parsed_response or {}
        judged = _judged(task, replace(answer, value=value), verdict)
        return _close(judged, now, TaskStatus.COMPLETED, answer.by, data=_answer_data(judged, verdict))
    judged = _judged(task, replace(answer, refusal=verdict.reason), verdict)
    data = _answer_data(judged, verdict)
    if now >= task.deadline:
        return _close(judged, now, TaskStatus.TIMED_OUT, SYSTEM, data=data)
    if task.spec.verifier is None or attempt >= task.spec.verifier.max_attempts:
        return _close(judged, now, TaskStatus.VERIFICATION_EXHAUSTED, answer.by, data=data)
    effects = _tell(judged, "rejected", now, generation=attempt)
    return _next(judged, now, "rejected", answer.by, data=data, effects=effects, status=TaskStatus.PENDING)


def charge(task: Task, attempt: int, usage: Usage, now: datetime) -> Change | None:
    """Put on record what a check of that attempt's answer took, and gave no verdict."""
    answer = task.answer
    if not usage.tokens or task.status is not TaskStatus.SUBMITTED or answer is None or answer.attempt != attempt:
        return None
    used = task.tokens_used + usage.tokens
    return _next(task, now, "check_failed", SYSTEM, data=_facts(usage), tokens_used=used)


def collect(task: Task, by: Actor, now: datetime) -> Change | None:
    """Note that the outcome has been taken over by whoever asked."""
    if not task.closed:
        raise TaskStillOpenError(task.id, task.status)
    if task.collected_at is not None:
        return None
    return _next(task, now, "collected", by, collected_at=now)


def redact_response(task: Task, now: datetime) -> Change | None:
    """Erase the response of a closed task, as its spec asks for."""
    if not task.closed or task.response_redacted_at is not None:
        return None
    answers = tuple(replace(answer, value={}, text=None, refusal=None) for answer in task.answers)
    verdict = task.verdict and replace(task.verdict, reason="", parsed_response=None)
    return _next(task, now, "redacted", SYSTEM, answers=answers, verdict=verdict, response_redacted_at=now)


def delete(task: Task, by: Actor, now: datetime) -> Change:
    """Have a task erased, once everybody who is to hear its end has heard.

    An open task is cancelled by it.
    """
    purge = Effect(task_id=task.id, kind=EffectKind.PURGE, due=now, generation=task.version + 1)
    if task.closed:
        return _next(task, now, "deleted", by, effects=(purge,))
    cancelled = _cancel(task, Cancel(by=by, reason="deleted"), now)
    return replace(cancelled, effects=(*cancelled.effects, purge), refusal=None)


def record_failure(task: Task, recipient: str, reason: str, now: datetime) -> Change:
    """Put on record that a recipient could not be told."""
    data = {"recipient": recipient, "reason": reason}
    return _next(task, now, "notification_failed", SYSTEM, data=data)


def redeliver(task: Task, notices: Sequence[Effect], by: Actor, now: datetime) -> Change | None:
    """Have recipients told again."""
    if not notices:
        return None
    now = _no_earlier(task, now)
    data = {"recipients": sorted({shown_recipient(effect.recipient) for effect in notices})}
    retried = tuple(replace(effect, due=now) for effect in notices)
    return replace(_next(task, now, "redelivery_requested", by, data=data), retried=retried)


# ── The commands ──────────────────────────────────────────────────────────────


def _submit(task: Task, command: Submit, now: datetime) -> Change:
    by = command.by
    _refuse_unless_may_answer(task, by, own=command.own)
    _refuse_unless_pending(task)
    if command.attempt not in {None, task.attempt}:
        raise ConflictError(
            words("an answer was refused since this one was given"),
            hint=words("Look at the reason, and answer anew."),
        )
    if now >= task.deadline:
        return _too_late(task, now)
    answer = Answer(by=by, at=now, attempt=task.attempt + 1, value=command.value or {}, text=command.text)
    answered = replace(task, answers=(*task.answers, answer))
    if task.spec.verifier is None:
        return _close(answered, now, TaskStatus.COMPLETED, by, data=_answer_data(answered, None))
    check = Effect(task_id=task.id, kind=EffectKind.VERIFY, due=now, generation=answer.attempt)
    data = _answer_data(answered, None)
    effects = (check, *_tell(answered, "submitted", now, generation=answer.attempt))
    return _next(answered, now, "submitted", by, data=data, effects=effects, status=TaskStatus.SUBMITTED)


def _judged(task: Task, answer: Answer, verdict: Verdict) -> Task:
    answers = (*task.answers[:-1], answer)
    used = task.tokens_used + verdict.usage.tokens
    return replace(task, answers=answers, attempt=answer.attempt, verdict=verdict, tokens_used=used)


def _too_late(task: Task, now: datetime) -> Change:
    late = expire(task, now)
    if late is None:
        raise AssertionError("an open task past its deadline expires")
    return replace(late, refusal=TaskAlreadyTerminalError(task.id, TaskStatus.TIMED_OUT))


def _claim(task: Task, by: Actor, now: datetime) -> Change | None:
    _refuse_unless_person(by, "claim a task")
    _refuse_unless_addressed(task, by)
    _refuse_unless_pending(task)
    if now >= task.deadline:
        return _too_late(task, now)
    if task.assignee is not None:
        if _is(by, task.assignee):
            return None
        raise TaskAlreadyClaimedError(task.id, task.assignee.label)
    effects = _tell(task, "claimed", now, generation=task.version + 1)
    return _next(task, now, "claimed", by, effects=effects, assignee=by.human, claimed_at=now)


def _release(task: Task, by: Actor, now: datetime) -> Change | None:
    _refuse_unless_pending(task)
    if task.assignee is None:
        return None
    if not (_is(by, task.assignee) or _commands(by)):
        raise TaskAlreadyClaimedError(task.id, task.assignee.label)
    effects = _tell(task, "released", now, generation=task.version + 1)
    return _next(task, now, "released", by, effects=effects, assignee=None, claimed_at=None)


def _reassign(task: Task, command: Reassign, now: datetime) -> Change:
    if not _commands(command.by):
        raise ForbiddenError("only an operator may reassign a task")
    if not command.to:
        raise InvalidRoutingError("to", "names nobody", hint="Name the people who are to answer.")
    _refuse_unless_pending(task)
    recipients = tuple(dict.fromkeys((*task.recipients, *command.notify)))
    if len(recipients) > MAX_RECIPIENTS:
        raise InvalidRoutingError("to", f"would have {len(recipients)} recipients told, more than {MAX_RECIPIENTS}")
    joining = recipients[len(task.recipients) :]
    effects = _tell(task, "reassigned", now, generation=task.version + 1)
    effects += _tell(replace(task, recipients=joining), "opened", now)
    return _next(
        task,
        now,
        "reassigned",
        command.by,
        data={"to": [human.id for human in command.to]},
        effects=effects,
        addressees=command.to,
        assignee=_only(command.to),
        claimed_at=None,
        recipients=recipients,
    )


def _cancel(task: Task, command: Cancel, now: datetime) -> Change:
    if not _commands(command.by):
        raise ForbiddenError(words("only an operator, or the one who asked, may cancel a task"))
    if task.closed:
        raise TaskAlreadyTerminalError(task.id, task.status)
    if task.status is TaskStatus.PENDING and now >= task.deadline:
        return _too_late(task, now)
    data = {"reason": command.reason} if command.reason else {}
    return _close(task, now, TaskStatus.CANCELLED, command.by, data=data)


# ── Rules ─────────────────────────────────────────────────────────────────────


def _refuse_unless_pending(task: Task) -> None:
    if task.closed:
        raise TaskAlreadyTerminalError(task.id, task.status)
    if task.status is TaskStatus.SUBMITTED:
        raise AnswerUnderReviewError(task.id)


def _refuse_unless_may_answer(task: Task, by: Actor, *, own: bool) -> None:
    asked = task.spec.requested_by
    themselves = by.kind == "human" and not by.human.addresses.isdisjoint(task.spec.asker_addresses)
    if by.auth != "engine" and not own and (themselves or asked in {by.principal, by.stated_by}):
        raise SelfAnswerError(task.id)
    if by.kind != "human":
        return
    _refuse_unless_addressed(task, by)
    if task.assignee is not None and not (_is(by, task.assignee) or _commands(by)):
        raise TaskAlreadyClaimedError(task.id, task.assignee.label)


def _refuse_unless_addressed(task: Task, by: Actor) -> None:
    if by.auth != "engine" and not may_answer(task, by.human):
        raise ForbiddenError(
            words("task %(id)s is not addressed to you", id=task.id), hint=words("Ask an operator to reassign it.")
        )


def _refuse_unless_person(by: Actor, deed: str) -> None:
    if by.kind != "human":
        raise ForbiddenError(f"only a person can {deed}", hint="Log in as a person; a token has no name to claim with.")


def _commands(by: Actor) -> bool:
    return by.operator or by.kind != "human" or by.auth == "engine"


def _is(by: Actor, human: Human) -> bool:
    return bool(by.human.addresses & human.addresses)


def _only(people: Sequence[Human]) -> Human | None:
    return people[0] if len(people) == 1 else None


def _no_earlier(task: Task, now: datetime) -> datetime:
    """Let no clock that was set back undo what time has done to a task."""
    return max(now, task.changed_at)


# ── Building a change ─────────────────────────────────────────────────────────


def _next(
    task: Task,
    now: datetime,
    action: str,
    by: Actor,
    *,
    data: JsonObject | None = None,
    effects: Iterable[Effect] = (),
    status: TaskStatus | None = None,
    **changes: object,
) -> Change:
    at = _no_earlier(task, now)
    status = status or task.status
    entry = Entry(
        task_id=task.id,
        seq=task.trail_length + 1,
        at=at,
        action=action,
        by=by,
        from_status=task.status.value if task.version else None,
        to_status=status.value,
        data=data or {},
        previous=task.trail_digest,
    )
    after: Task = replace(
        task,
        status=status,
        version=task.version + 1,
        changed_at=at,
        trail_length=entry.seq,
        trail_digest=entry.digest,
        **changes,  # type: ignore[arg-type]
    )
    return Change(task=after, entries=(entry,), effects=tuple(effects))


def _close(task: Task, now: datetime, status: TaskStatus, by: Actor, *, data: JsonObject) -> Change:
    effects = _tell(task, "closed", now)
    return _next(task, now, status.value, by, data=data, effects=effects, status=status, closed_at=now)


def _expiry(task: Task, due: datetime, *, generation: int) -> Effect:
    return Effect(task_id=task.id, kind=EffectKind.EXPIRE, due=due, generation=generation)


def _reminders(task: Task, parts: Sequence[float]) -> list[Effect]:
    moments = [task.created_at + part * (task.deadline - task.created_at) for part in parts]
    return [
        Effect(task_id=task.id, kind=EffectKind.REMIND, due=due, generation=which)
        for which, due in enumerate(moments, start=1)
    ]


def _tell(task: Task, event: str, now: datetime, *, generation: int = 1) -> list[Effect]:
    return [
        Effect(
            task_id=task.id,
            kind=EffectKind.NOTIFY,
            due=_no_earlier(task, now),
            recipient=recipient,
            event=event,
            generation=generation,
        )
        for recipient in _recipients(task, event)
    ]


def _recipients(task: Task, event: str) -> list[str]:
    callback_url = task.spec.callback_url if event == "closed" else None
    callback = [callback_recipient(callback_url)] if callback_url else []
    return list(dict.fromkeys([*task.recipients, *callback]))


def _facts(usage: Usage) -> dict[str, object]:
    facts = {
        "verifier_model": usage.model,
        "verifier_input_tokens": usage.input_tokens,
        "verifier_output_tokens": usage.output_tokens,
        "verifier_seconds": round(usage.seconds, 3),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _answer_data(task: Task, verdict: Verdict | None) -> dict[str, object]:
    data: dict[str, object] = {}
    if task.answer and not task.spec.confidential:
        data["response_keys"] = sorted(task.answer.value)
    if verdict is None:
        return data
    data |= {"verifier_passed": verdict.passed, "verification_attempt": task.attempt, **_facts(verdict.usage)}
    if not task.spec.confidential:
        data["verifier_reason"] = verdict.reason
    return data


__all__ = [
    "GRACE",
    "REMINDED_ONCE_WITHIN",
    "act",
    "charge",
    "collect",
    "decide",
    "delete",
    "expire",
    "may_answer",
    "may_see",
    "open_task",
    "record_failure",
    "redact_response",
    "redeliver",
    "remind",
    "remind_one",
]
