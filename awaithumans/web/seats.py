"""How long a request may wait, where each one that waits holds a thread.

Under WSGI, agents that wait could hold every thread, and the person whose
answer would free them would get no page. So there are fewer seats than
threads: who finds one waits a while, everybody else is told soon how things
stand, and asks again. Never with an error, on which deployed clients give up,
and never at once: those clients make no pause of their own.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from starlette.requests import Request

SEATS = "awaithumans.seats"
"""Where a request's ASGI scope has the seats; without them, all may wait."""

LONGEST_WAIT = 5.0
"""Seconds after which a seat is given up: nobody hears whether its client has left."""

BRIEF = 0.25
"""Seconds that whoever may not wait is kept: a pause for clients that make none, a moment for people in line."""


class Seats:
    """The seats of one process, counted on one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count

    @contextmanager
    def taken(self) -> Generator[bool]:
        """Take a seat while the block runs; tell whether there was one."""
        found = self._free > 0
        self._free -= found
        try:
            yield found
        finally:
            self._free += found


@contextmanager
def permitted_wait(request: Request, seconds: float) -> Generator[float]:
    """Give how many of these `seconds` the request may wait in the block.

    All of them in an ASGI server. Under WSGI up to `LONGEST_WAIT` of them, or
    up to `BRIEF` where no seat is free.
    """
    seats: Seats | None = request.scope.get(SEATS)
    if seats is None:
        yield seconds
        return
    with seats.taken() as seated:
        yield min(seconds, LONGEST_WAIT if seated else BRIEF)
