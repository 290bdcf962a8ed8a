"""Tasks, deliveries and numbers as an operator reads them.

All of it is laid out by `terminal.screen`: text from strangers moves no cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from awaithumans.display import Shown, shown
from awaithumans.documents import dumps
from awaithumans.engine import Health
from awaithumans.forms import readable_schema
from awaithumans.routing import callback_recipient, shown_recipient
from awaithumans.statistics import Statistics
from awaithumans.terminal.screen import Screen, cells, cut, filled, indented, value_lines, wrapped
from awaithumans.types import Actor, Delivery, Entry, Human, Task, TaskStatus
from awaithumans.wire import wire_status

_LEAST_LAST = 24
"""Columns below which the last column stands on a line of its own."""

_LEAST = 6
_WIDEST = 32
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def number(count: int, noun: str) -> str:
    """Say how many there are, like `1 task` or `2 tasks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def moment(at: datetime) -> str:
    """Write a time to the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(time: timedelta) -> str:
    """Say how long, roughly: `3d`, `12m`."""
    seconds = max(int(time.total_seconds()), 0)
    return next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds >= size), "0s")


# ── Lists ─────────────────────────────────────────────────────────────────────


def task_list(tasks: Sequence[Task], now: datetime, limit: int, screen: Screen) -> list[str]:
    """Lay out tasks, one after another."""
    if not tasks:
        return ["No tasks."]
    rows = [
        (task.id, wire_status(task), span(now - task.created_at), _time_left(task, now), _with(task), task.spec.task)
        for task in tasks
    ]
    return _columns(("ID", "STATUS", "AGE", "LEFT", "WITH", "TASK"), rows, screen) + _end(len(tasks), limit)


def failure_list(failures: Sequence[Delivery], now: datetime, limit: int, screen: Screen) -> list[str]:
    """Lay out failed deliveries, one after another."""
    if not failures:
        return ["Nothing has failed."]
    rows = [
        (
            one.effect.task_id,
            span(now - (one.settled_at or now)),
            str(one.attempts),
            one.effect.event,
            shown_recipient(one.effect.recipient),
            one.failure or "",
        )
        for one in failures
    ]
    headings = ("TASK", "AGE", "TRIED", "EVENT", "TO", "REASON")
    return _columns(headings, rows, screen) + _end(len(failures), limit)


def _end(count: int, limit: int) -> list[str]:
    return ["", f"The first {limit}; --limit shows more."] if count == limit else []


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]], screen: Screen) -> list[str]:
    """Lay out rows under their headings.

    The first cell is whole. The last gets the room that is left, or else a
    line of its own; then the one before it gives way, too.
    """
    before = [[row[0], *(cut(cell, _WIDEST) for cell in row[1:-1])] for row in rows]
    widths = [max(map(cells, column)) for column in zip(headings[:-1], *before, strict=True)]
    room = screen.width - sum(widths) - 2 * len(widths)
    if room >= _LEAST_LAST:
        lines = [[_row(row, widths) + cut(last[-1], room)] for row, last in zip(before, rows, strict=True)]
        heading = _row(headings[:-1], widths) + headings[-1]
    else:
        widths[-1] = max(_LEAST, min(widths[-1], widths[-1] + room + 2))
        own = screen.columns - 2
        lines = [[_row(row, widths), f"  {cut(last[-1], own)}"] for row, last in zip(before, rows, strict=True)]
        heading = _row(headings[:-1], widths)
    return [screen.strong(heading.rstrip()), *(line.rstrip() for task in lines for line in task)]


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{filled(cut(cell, width), width)}  " for cell, width in zip(row, widths, strict=True))


def _time_left(task: Task, now: datetime) -> str:
    if task.closed:
        return "-"
    return span(task.deadline - now) if now < task.deadline else "over"


def _with(task: Task) -> str:
    if task.assignee:
        return task.assignee.label
    first, *others = task.addressees or (None,)
    if first is None:
        return "anybody"
    return f"{first.label} +{len(others)}" if others else first.label


# ── One task ──────────────────────────────────────────────────────────────────


def task_page(
    task: Task, trail: Sequence[Entry], notices: Sequence[Delivery], now: datetime, screen: Screen, *, reveal: bool
) -> list[str]:
    """Lay out all there is about one task."""
    spec = task.spec
    title = cut(spec.task, screen.columns)
    hidden = Shown(kind="text", text="not shown: the task redacts it; --reveal shows it")
    payload = hidden if spec.redact_payload and not reveal else shown(spec.payload, spec.payload_schema)
    return [
        screen.strong(title),
        *_section("", _pairs(dict(_facts(task, now))), screen),
        *(_section("Task", _text(spec.task), screen) if title != spec.task.strip() else ()),
        *_section("Payload", payload, screen),
        *_section("Metadata", shown(dict(spec.metadata)), screen),
        *_answer(task, screen),
        *_titled("Trail", [line for entry in trail for line in _entry(entry, screen.columns - 2)], screen),
        *_titled("Deliveries", [line for one in notices for line in _notice(one, now, screen.columns - 2)], screen),
    ]


def _section(title: str, content: Shown, screen: Screen) -> list[str]:
    return _titled(title, [] if content.kind == "empty" else value_lines(content, screen.columns - 2), screen)


def _titled(title: str, lines: Sequence[str], screen: Screen) -> list[str]:
    if not lines:
        return []
    return ["", *([screen.strong(title)] if title else []), *indented(lines)]


def _facts(task: Task, now: datetime) -> Iterator[tuple[str, str]]:
    yield "Id", task.id
    yield "Status", wire_status(task)
    yield "Key", task.spec.idempotency_key
    yield "Asked", f"{moment(task.created_at)} UTC, {span(now - task.created_at)} ago, by {task.spec.requested_by}"
    if task.closed_at:
        yield "Closed", f"{moment(task.closed_at)} UTC, {span(now - task.closed_at)} ago"
    else:
        left = "it is over" if now >= task.deadline else f"{span(task.deadline - now)} left"
        yield "Deadline", f"{moment(task.deadline)} UTC, {left}"
    yield "Asked of", ", ".join(map(_person, task.addressees)) or "anybody"
    yield "With", _person(task.assignee) if task.assignee else ""
    yield "Callback", shown_recipient(callback_recipient(task.spec.callback_url)) if task.spec.callback_url else ""
    if task.spec.verifier:
        yield "Verifier", f"{task.spec.verifier.provider}, {task.attempt} of {task.spec.verifier.max_attempts} attempts"
    if task.verdict:
        yield "Verdict", ": ".join(filter(None, ["passed" if task.verdict.passed else "refused", task.verdict.reason]))


def _answer(task: Task, screen: Screen) -> list[str]:
    """Lay out the answer, where the API gives it out, too."""
    answer = task.answer if task.refused or task.status is TaskStatus.COMPLETED else None
    if answer is None:
        return []
    title = f"{'Refused answer' if task.refused else 'Answer'} by {_actor(answer.by)}"
    if task.response_redacted_at:
        return _titled(title, [f"erased {moment(task.response_redacted_at)} UTC, as the task asks"], screen)
    schema = readable_schema(task.spec.form, task.spec.response_schema)
    return _section(cut(title, screen.columns), shown(answer.value, schema), screen)


def _entry(entry: Entry, columns: int) -> list[str]:
    time = f"{moment(entry.at)}  "
    room = columns - len(time)
    details = [
        line
        for name, value in entry.data.items()
        for line in wrapped(f"{name.replace('_', ' ')}: {value if isinstance(value, str) else dumps(value)}", room)
    ]
    deed = cut(f"{entry.action.replace('_', ' ')}: {_actor(entry.by)}", room)
    return [f"{time}{deed}", *indented(details, " " * len(time))]


def _notice(one: Delivery, now: datetime, columns: int) -> list[str]:
    line = f"{one.effect.event} to {shown_recipient(one.effect.recipient)}: {_state(one, now)}"
    return [cut(line, columns), *(indented(value_lines(_text(one.failure), columns - 2)) if one.failure else ())]


def _state(one: Delivery, now: datetime) -> str:
    tries = f"after {number(one.attempts, 'attempt')}"
    if one.settled_at is None:
        return f"waiting, {tries}" if one.attempts else "waiting"
    deed = "delivered" if one.failure is None else f"failed {tries},"
    return f"{deed} {span(now - one.settled_at)} ago"


def _actor(by: Actor) -> str:
    name = by.human.label if by.kind == "human" else by.id if by.kind == "system" else f"agent {by.id}"
    door = [word for word in (by.via, by.auth) if word and word not in {"engine", "system"}]
    stated = f", so says {by.stated_by.partition(':')[2]}" if by.stated_by else ""
    return f"{name} ({', '.join(door)}){stated}" if door else f"{name}{stated}"


def _person(human: Human) -> str:
    address = human.email or human.id
    return f"{human.display_name} <{address}>" if human.display_name else address


def _text(value: str) -> Shown:
    return Shown(kind="text", text=value)


# ── Numbers ───────────────────────────────────────────────────────────────────


def health(found: Health) -> list[str]:
    """Say whether due work is done in time."""
    if found.ok:
        return ["Due work is being done in time."]
    return [
        f"Late: something has been due for {span(found.lag)}.",
        "Is a process with a running engine up, and not stuck?",
    ]


def numbers(found: Statistics, document: Mapping[str, object], screen: Screen) -> list[str]:
    """Lay out statistics; `document` is what the API says."""
    rate, pace = found.completion_rate, found.pace
    totals = {
        **cast("Mapping[str, int]", document["totals"]),
        "answered, of the closed": None if rate is None else f"{rate:.0%}",
    }
    recent = {
        "asked": sum(day.created for day in found.by_day),
        "answered": sum(day.completed for day in found.by_day),
        "average time": pace and span(pace.mean),
        "half within": pace and span(pace.median),
        "95 of 100 within": pace and span(pace.p95),
        **{f"answered by {door}": count for door, count in found.by_channel.items()},
    }
    return [
        *_section("All tasks", _pairs(totals), screen)[1:],
        *_section(f"Asked in the last {number(found.window.days, 'day')}", _pairs(recent), screen),
    ]


def _pairs(values: Mapping[str, object]) -> Shown:
    pairs = [(name, _text(str(value))) for name, value in values.items() if value not in {None, ""}]
    return Shown(kind="pairs", pairs=pairs)
