"""Following many tasks: what to read next, and what was read before.

A change has its `changed_at` before others can see it, so the order in which
changes become visible is another than that of their times. Hence a look back
wherever reading begins at a time. While it goes on, tasks are read by id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from awaithumans.types import Cursor, Query, Task

LOOK_BACK = timedelta(seconds=60)
"""Longer than it takes until the last process has heard of a change.

That is the time until it is visible, and, if the hint is lost, until the next
re-check; see `background`.
"""

GOOD_FOR = timedelta(seconds=1)
"""How long what was read may be given; a slow reader's rights may change meanwhile."""

PAUSE = 0.25
PAGE = 50
MAX_REMEMBERED = 1_000

_BEGINNING = Cursor(at=datetime(1970, 1, 1, tzinfo=UTC), id="")


class Course:
    """The way of one follower through the tasks that fit a query.

    Every reading is by `changed_at`, ascending: then whoever saw a task, and
    goes on `LOOK_BACK` before that task's time, misses nothing.
    """

    def __init__(self, query: Query, now: datetime) -> None:
        self._all = replace(query, after=None, changed_after=_BEGINNING, limit=PAGE, offset=0)
        self._looked_at = now
        self._versions: OrderedDict[str, int] = OrderedDict()
        self.query = self._since(query.changed_after.at) if query.changed_after else None
        """What to read next; None if there is nothing to read."""

    def turn_to(self, task_ids: frozenset[str] | None, now: datetime) -> None:
        """Read these tasks next; with None, all that changed since the last turn."""
        looked_at, self._looked_at = self._looked_at, now
        self.query = self._since(looked_at) if task_ids is None else self._among(task_ids)

    def fresh(self, page: Sequence[Task]) -> Iterator[Task]:
        """Take in what `query` found; yield what was not there before."""
        full = self.query is not None and len(page) >= self.query.limit
        self.query = replace(self.query, changed_after=_behind(page[-1])) if self.query and full else None
        return filter(self._is_fresh, page)

    def _since(self, at: datetime) -> Query:
        return replace(self._all, changed_after=Cursor(at=at - LOOK_BACK, id=""))

    def _among(self, task_ids: frozenset[str]) -> Query | None:
        wanted = task_ids if self._all.ids is None else task_ids & frozenset(self._all.ids)
        return replace(self._all, ids=tuple(wanted)) if wanted else None

    def _is_fresh(self, task: Task) -> bool:
        if self._versions.get(task.id) == task.version:
            return False
        self._versions[task.id] = task.version
        self._versions.move_to_end(task.id)
        if len(self._versions) > MAX_REMEMBERED:
            self._versions.popitem(last=False)
        return True


def _behind(task: Task) -> Cursor:
    return Cursor(at=task.changed_at, id=task.id)
