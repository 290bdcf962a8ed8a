"""What each command does, and what it has to say."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from awaithumans import wire
from awaithumans.commands import views
from awaithumans.engine import Engine
from awaithumans.errors import InvalidInputError, TaskNotFoundError
from awaithumans.protocols import Store
from awaithumans.terminal.screen import Screen, cut
from awaithumans.types import (
    CLOSED_STATUSES,
    OPEN_STATUSES,
    Actor,
    Cursor,
    Delivery,
    EffectKind,
    Query,
    Task,
    TaskStatus,
    from_microseconds,
)

if TYPE_CHECKING:
    from awaithumans.stores.sqlalchemy import SQLAlchemyStore

STATUSES: Mapping[str, tuple[frozenset[TaskStatus], bool | None]] = {
    "open": (OPEN_STATUSES, None),
    "closed": (CLOSED_STATUSES, None),
    **{name: chosen for name, chosen in wire.WIRE_STATUSES.items() if chosen[0]},
}
"""What `list --status` selects."""

_PAGE = 500
_TITLE = 60

Lines: TypeAlias = Callable[[Screen], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: its arguments, what it works on, and who acts."""

    arguments: Namespace
    store: Store
    engine: Engine
    by: Actor

    @property
    def now(self) -> datetime:
        """Give the time, as the database's clock has it."""
        return self.engine.clock.now()


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found or did: a document for programs, lines for people."""

    document: object
    lines: Lines
    ok: bool = True


class UsageError(Exception):
    """A command cannot be carried out as it was written."""


# ── Reading ───────────────────────────────────────────────────────────────────


async def list_tasks(call: Call) -> Report:
    """List tasks, newest first."""
    given = call.arguments
    statuses, refused = STATUSES[given.status] if given.status else (None, None)
    query = Query(
        statuses=statuses,
        refused=refused,
        assigned_to=given.assigned_to,
        idempotency_key=given.key,
        limit=given.limit,
    )
    tasks = await call.engine.find(query)
    document = [wire.task_to_wire(task, redact=True) for task in tasks]
    return Report(document, partial(views.task_list, tasks, call.now, given.limit))


async def show(call: Call) -> Report:
    """Show all there is about one task."""
    task_id: str = call.arguments.task
    reveal: bool = call.arguments.reveal
    task = await call.engine.get(task_id)
    trail = await call.engine.trail(task_id)
    notices = [one for one in await call.engine.deliveries(task_id) if one.effect.kind is EffectKind.NOTIFY]
    document = {
        "task": wire.task_to_wire(task, redact=not reveal),
        "audit": wire.trail_to_wire(trail),
        "deliveries": [wire.delivery_to_wire(one) for one in notices],
    }
    return Report(document, partial(views.task_page, task, trail, notices, call.now, reveal=reveal))


async def list_failures(call: Call) -> Report:
    """List what could not be delivered, latest first."""
    failures = await call.engine.failures(limit=call.arguments.limit)
    document = [wire.delivery_to_wire(one) for one in failures]
    lines = partial(views.failure_list, failures, call.now, call.arguments.limit)
    return Report(document, lines, ok=not (failures and call.arguments.check))


# ── Repairing ─────────────────────────────────────────────────────────────────


async def cancel(call: Call) -> Report:
    """Close an open task without an answer."""
    task = await call.engine.cancel(call.arguments.task, by=call.by, reason=call.arguments.reason or "")
    return Report(wire.task_to_wire(task, redact=True), _said(f"Cancelled: {_title(task)}"))


async def redeliver(call: Call) -> Report:
    """Have failed notices sent again, of one task or of all; or one, whatever became of it."""
    if call.arguments.notice:
        return await _redeliver_one(call, call.arguments.task, call.arguments.notice)
    if call.arguments.all_failed:
        failed = await _all_failures(call.engine)
    else:
        failed = [one for one in await call.engine.deliveries(call.arguments.task) if one.failure is not None]
    task_ids = dict.fromkeys(one.effect.task_id for one in failed)
    tasks = [task for task_id in task_ids if (task := await _redelivered(call, task_id))]
    document = [wire.task_to_wire(task, redact=True) for task in tasks]
    words = f"To be sent again: {views.number(len(failed), 'notice')} of {views.number(len(tasks), 'task')}."
    return Report(document, _said(words if failed else "Nothing has failed."))


async def _redeliver_one(call: Call, task_id: str | None, notice: str) -> Report:
    if task_id is None:
        raise InvalidInputError("--notice is one of a task's notices", hint="Give the task's ID, too.")
    task = await call.engine.redeliver(task_id, by=call.by, notice=notice)
    return Report([wire.task_to_wire(task, redact=True)], _said("To be sent again: 1 notice of 1 task."))


async def _redelivered(call: Call, task_id: str) -> Task | None:
    try:
        return await call.engine.redeliver(task_id, by=call.by)
    except TaskNotFoundError:  # purged meanwhile
        return None


async def _all_failures(engine: Engine) -> list[Delivery]:
    failed: list[Delivery] = []
    after: Cursor | None = None
    while page := await engine.failures(after=after, limit=_PAGE):
        failed += page
        last = page[-1]
        after = Cursor(at=last.settled_at or last.effect.due, id=last.effect.id)
    return failed


# ── Erasing ───────────────────────────────────────────────────────────────────


async def delete(call: Call) -> Report:
    """Erase one task."""
    task = await call.engine.get(call.arguments.task)
    if not _confirmed(call, f"Erase '{_title(task)}' ({wire.wire_status(task)})?"):
        return _left_alone({"id": task.id, "erased": False})
    await call.engine.delete(task.id, by=call.by)
    erased = await call.store.get(task.id) is None
    later = "To be erased as soon as its end has been told; a process with a running engine does that."
    return Report({"id": task.id, "erased": erased}, _said(f"Erased: {_title(task)}" if erased else later))


async def purge(call: Call) -> Report:
    """Erase closed tasks that have not changed for long."""
    before: datetime = call.arguments.closed_before
    document: dict[str, object] = {"before": before.isoformat(), "erased": 0}
    since = f"closed and unchanged since {views.moment(before)} UTC"
    if call.arguments.dry_run:
        found = await _count_closed(call.engine, before)
        words = f"{views.number(found, 'task')} {since}: would be erased."
        return Report({**document, "found": found}, _said(words))
    if not call.arguments.yes:
        found = await _count_closed(call.engine, before)
        if not _confirmed(call, f"Erase {views.number(found, 'task')} {since}?"):
            return _left_alone(document)
    erased = await call.engine.purge(before=before)
    return Report({**document, "erased": erased}, _said(f"Erased: {views.number(erased, 'task')}."))


async def _count_closed(engine: Engine, before: datetime) -> int:
    """Count what `Engine.purge` would look at."""
    query = Query(statuses=CLOSED_STATUSES, changed_after=Cursor(at=from_microseconds(0), id=""), limit=_PAGE)
    found = 0
    while page := [task for task in await engine.find(query) if task.changed_at < before]:
        found += len(page)
        query = replace(query, changed_after=Cursor(at=page[-1].changed_at, id=page[-1].id))
    return found


def _confirmed(call: Call, question: str) -> bool:
    """Ask the person at the terminal, unless told not to."""
    if call.arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("Nobody is at a terminal to be asked: say --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _left_alone(document: object) -> Report:
    return Report(document, _said("Nothing was erased."), ok=False)


# ── Watching ──────────────────────────────────────────────────────────────────


async def count(call: Call) -> Report:
    """Count tasks, and say how fast they are answered."""
    found = await call.engine.statistics(timedelta(days=call.arguments.days))
    document = wire.statistics_to_wire(found)
    return Report(document, partial(views.numbers, found, document))


async def health(call: Call) -> Report:
    """Tell whether due work is done in time."""
    found = await call.engine.health()
    document = wire.health_to_wire(ok=found.ok, lag=found.lag)
    return Report(document, _said(*views.health(found)), ok=found.ok)


async def migrate(call: Call) -> Report:
    """Make the tables, or bring them up to date."""
    store = _sql_store(call, "migrate")
    ready = await store.up_to_date()
    if call.arguments.check or ready:
        words = (
            "The tables are up to date." if ready else "The tables are to be migrated: python -m awaithumans migrate"
        )
        return Report({"up_to_date": ready, "migrated": False}, _said(words), ok=ready)
    await store.setup()
    return Report({"up_to_date": True, "migrated": True}, _said("The tables were brought up to date."))


async def reencrypt(call: Call) -> Report:
    """Encrypt everything under the first secret."""
    number = await _sql_store(call, "reencrypt").reencrypt()
    return Report({"reencrypted": number}, _said(f"Encrypted under the first secret: {number} tasks."))


def _sql_store(call: Call, command: str) -> SQLAlchemyStore:
    from awaithumans.stores.sqlalchemy import SQLAlchemyStore

    if not isinstance(call.store, SQLAlchemyStore):
        raise UsageError(f"{command} is for SQL databases; ask the package that brought this store.")
    return call.store


# ── Words ─────────────────────────────────────────────────────────────────────


def _said(*lines: str) -> Lines:
    return lambda _screen: lines


def _title(task: Task) -> str:
    return cut(task.spec.task, _TITLE)
