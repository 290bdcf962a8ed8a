"""Reading query strings: what is asked for, or exactly what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from starlette.requests import Request

from awaithumans.documents import ensure_json
from awaithumans.errors import InvalidInputError, TaskNotFoundError
from awaithumans.types import CLOSED_STATUSES, Cursor, Order, Query, Task, TaskStatus, from_microseconds, microseconds
from awaithumans.wire import WIRE_STATUSES
from awaithumans.words import words

MAX_PAGE = 200
MAX_OFFSET = 1_000_000
MAX_TEXT = 512
MAX_IDS = 8_192
MAX_TASK_ID = 200

_MAX_CURSOR_DIGITS = 17
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def task_id_of(request: Request) -> str:
    """Return the task id in the path. Raises `TaskNotFoundError` if none can be."""
    task_id: str = request.path_params["task_id"]
    if len(task_id) > MAX_TASK_ID or not task_id.isprintable():
        raise TaskNotFoundError(task_id[:MAX_TASK_ID].encode("ascii", "backslashreplace").decode())
    return task_id


def task_query(request: Request) -> Query:
    """Read the query string of the task list. Raises `InvalidInputError`."""
    statuses, refused = _statuses(request)
    unassigned, assigned_to = boolean(request, "unassigned"), text(request, "assigned_to")
    ids = text(request, "id", most=MAX_IDS)
    return Query(
        ids=None if ids is None else tuple(ids.split(",")),
        idempotency_key=text(request, "idempotency_key"),
        statuses=statuses,
        refused=refused,
        unassigned=unassigned or None,
        assigned_to=None if unassigned else assigned_to,
        search=text(request, "search"),
        order=order(request),
        after=cursor(request, "after"),
        changed_after=cursor(request, "changed_after"),
        limit=whole(request, "limit", default=50, least=1, most=MAX_PAGE),
        offset=whole(request, "offset", default=0, least=0, most=MAX_OFFSET),
    )


def changes_query(request: Request) -> Query:
    """Read the query string of the stream of changes: the filters of the list."""
    seen = last_event_id(request)
    place = None if seen is None else Cursor(at=from_microseconds(seen), id="")
    return replace(task_query(request), changed_after=place)


def last_event_id(request: Request) -> int | None:
    """Return behind which event a stream goes on; None if it begins.

    Browsers say so in a header; it beats the query string, which stays as it
    was when they come back.
    """
    given = request.headers.get("last-event-id"), request.query_params.get("last_event_id")
    return next(iter([_event_id(one) for one in given if one]), None)


def _event_id(given: str) -> int:
    if not (given.isascii() and given.isdecimal() and len(given) <= _MAX_CURSOR_DIGITS):
        raise _invalid("last_event_id", "must be the id of an event of this stream")
    return int(given)


def whole(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    given = request.query_params.get(name)
    if given is None:
        return default
    usable = given.isascii() and given.isdecimal() and len(given) <= len(str(most))
    if not usable or not least <= int(given) <= most:
        raise _invalid(name, words("must be a whole number from %(least)s to %(most)s", least=least, most=most))
    return int(given)


def boolean(request: Request, name: str) -> bool:
    """Return a yes or no; no if it is not given."""
    given = request.query_params.get(name, "false").lower()
    if given not in _BOOLEANS:
        raise _invalid(name, "must be true or false")
    return _BOOLEANS[given]


def text(request: Request, name: str, *, most: int = MAX_TEXT) -> str | None:
    """Return some text that any store can look for."""
    given = request.query_params.get(name) or None
    if given is not None and len(given) > most:
        raise _invalid(name, words("must have at most %(count)s characters", count=most))
    ensure_json(given, name)
    return given


def cursor(request: Request, name: str = "after") -> Cursor | None:
    """Return the place behind which the list goes on."""
    if name not in request.query_params:
        return None
    given = text(request, name) or ""
    at, _, task_id = given.partition(".")
    if not (at.isascii() and at.isdecimal() and len(at) <= _MAX_CURSOR_DIGITS and task_id):
        raise _invalid(name, words("must be a time in microseconds since 1970, a full stop and a task id"))
    return Cursor(at=from_microseconds(int(at)), id=task_id)


def order(request: Request) -> Order:
    """Return in which order tasks are listed; the newest first if it is not given."""
    given = request.query_params.get("order", Order.NEWEST)
    if given not in set(Order):
        raise _invalid("order", f"must be one of {', '.join(Order)}")
    return Order(given)


def cursor_behind(task: Task, listed: Order = Order.NEWEST, *, by_change: bool = False) -> str:
    """Write the cursor that goes on behind `task`, in this order or in that of the latest changes."""
    place = Cursor(at=task.changed_at, id=task.id) if by_change else listed.place(task)
    return cursor_text(place.at, place.id)


def cursor_text(at: datetime, identity: str) -> str:
    """Write a cursor; the inverse of `cursor`."""
    return f"{microseconds(at)}.{identity}"


def window(request: Request) -> timedelta:
    """Return how far back statistics look in detail."""
    return timedelta(days=whole(request, "window_days", default=30, least=1, most=365))


def _statuses(request: Request) -> tuple[frozenset[TaskStatus] | None, bool | None]:
    terminal = boolean(request, "terminal")
    given = request.query_params.get("status")
    if given is None:
        return (CLOSED_STATUSES if terminal else None), None
    if given in WIRE_STATUSES:
        return WIRE_STATUSES[given]
    names = given.split(",")
    if not set(names) <= set(TaskStatus):
        raise _invalid(
            "status", f"must be one of {', '.join(WIRE_STATUSES)}, or several, by commas, of {', '.join(TaskStatus)}"
        )
    return frozenset(map(TaskStatus, names)), None


def _invalid(name: str, fault: str) -> InvalidInputError:
    return InvalidInputError(words("%(field)s %(fault)s", field=name, fault=fault), fields={name: fault})
