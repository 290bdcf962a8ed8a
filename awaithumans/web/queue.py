"""The queue: what waits for whom, filtered, searched, sorted, and page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.engine import Engine
from awaithumans.types import CLOSED_STATUSES, OPEN_STATUSES, Human, Order, Query, Task, TaskStatus, microseconds
from awaithumans.web import queries
from awaithumans.web.access import Access
from awaithumans.web.rendering import rendered
from awaithumans.web.resource import Handler
from awaithumans.web.review import STATUS_WORDS, Review
from awaithumans.words import words

PAGE = 30
_NEXT = 10

SHOWN = {"all": words("Everything"), "mine": words("Mine"), "unassigned": words("Up for grabs")}
STATUSES = {
    "open": OPEN_STATUSES,
    "closed": CLOSED_STATUSES,
    **{status.value: frozenset({status}) for status in sorted(CLOSED_STATUSES)},
}
STATUS_CHOICES = {
    "open": words("Open"),
    "closed": words("Closed"),
    **{status.value: STATUS_WORDS[status.value] for status in sorted(CLOSED_STATUSES)},
}
ORDERS = {
    Order.NEWEST: words("Newest first"),
    Order.OLDEST: words("Oldest first"),
    Order.DEADLINE: words("Most urgent first"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which part of the queue is looked at, and in which order."""

    show: str = "all"
    status: str = "open"
    order: Order = Order.NEWEST
    search: str = ""

    @classmethod
    def of(cls, request: Request) -> Filter:
        """Read the filter; what is unknown is as if not given. Raises `InvalidInputError` for unusable text."""
        given = {name: request.query_params.get(name, "") for name in ("show", "status", "sort")}
        return cls(
            show=given["show"] if given["show"] in SHOWN else "all",
            status=given["status"] if given["status"] in STATUSES else "open",
            order=Order(given["sort"]) if given["sort"] in ORDERS else Order.NEWEST,
            search=" ".join((queries.text(request, "q") or "").split()),
        )

    @property
    def parameters(self) -> dict[str, str]:
        """Give the filter as a query string has it: what differs from the plain queue."""
        given = {"show": self.show, "status": self.status, "sort": self.order.value, "q": self.search}
        plain = {"show": "all", "status": "open", "sort": Order.NEWEST.value, "q": ""}
        return {name: value for name, value in given.items() if value != plain[name]}

    def showing(self, show: str) -> dict[str, str]:
        """Give the parameters of the same filter, looking at another part."""
        return replace(self, show=show).parameters

    @property
    def without_search(self) -> dict[str, str]:
        """Give the parameters of the same filter, searching for nothing."""
        return replace(self, search="").parameters

    def query(self, request: Request, human: Human) -> Query:
        """Return what to look for; one more than a page, to see whether there is another."""
        return Query(
            statuses=STATUSES[self.status],
            held_by=human if self.show == "mine" else None,
            unassigned=True if self.show == "unassigned" else None,
            visible_to=replace(human, operator=False) if self.show == "mine" else human,
            search=self.search or None,
            order=self.order,
            after=queries.cursor(request),
            limit=PAGE + 1,
        )

    def after(self, task: Task) -> dict[str, str]:
        """Give the parameters of the page that goes on behind a task."""
        return {**self.parameters, "after": queries.cursor_behind(task, self.order)}


class QueuePages:
    """The handler of the queue, behind the host's log-in."""

    def __init__(self, engine: Engine, access: Access, *, name: str) -> None:
        self._engine = engine
        self._access = access
        self._name = name

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        return {"/": {"GET": self._queue}}

    async def _queue(self, request: Request) -> Response:
        """List the tasks that a person may see."""
        human = await self._access.visitor(request)
        chosen = Filter.of(request)
        now = self._engine.clock.now()
        found = await self._engine.find(chosen.query(request, human))
        context = {
            "name": self._name,
            "human": human,
            "rows": [Review(task=task, human=human, now=now) for task in found[:PAGE]],
            "chosen": chosen,
            "shown": SHOWN,
            "statuses": STATUS_CHOICES,
            "orders": ORDERS,
            "continued": "after" in request.query_params,
            "seen": microseconds(now),
            "more": chosen.after(found[PAGE - 1]) if len(found) > PAGE else None,
        }
        return rendered(request, "queue.html", context)


async def next_question(engine: Engine, human: Human) -> Review | None:
    """Return what this person should answer next: the most urgent of theirs, or else of what is up for grabs."""
    waiting = Query(
        statuses=frozenset({TaskStatus.PENDING}),
        visible_to=replace(human, operator=False),
        order=Order.DEADLINE,
        limit=_NEXT,
    )
    theirs = await engine.find(replace(waiting, held_by=human))
    free = await engine.find(replace(waiting, unassigned=True))
    now = engine.clock.now()
    reviews = (Review(task=task, human=human, now=now) for task in (*theirs, *free))
    answerable = [review for review in reviews if review.may_answer]
    return min(answerable, key=lambda review: (not review.mine, review.task.deadline), default=None)
