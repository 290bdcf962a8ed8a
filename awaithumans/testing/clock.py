"""A clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel

SETTLING_STEPS = 30

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


class VirtualClock:
    """A `Clock` for tests: hours pass in no time, and only when told to.

    For the tests of one event loop; waits that use this clock end when
    `advance` has moved it far enough.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = self._now = start
        self._alarms: dict[anyio.CancelScope, datetime] = {}

    def now(self) -> datetime:
        """Return the present moment on this clock."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since this clock was started."""
        return (self._now - self._start).total_seconds()

    @contextmanager
    def move_on_after(self, seconds: float | None) -> Generator[anyio.CancelScope]:
        """Return a context that ends its block after `seconds`."""
        with anyio.CancelScope() as scope:
            if seconds is not None:
                self._set_alarm(scope, seconds)
            try:
                yield scope
            finally:
                self._alarms.pop(scope, None)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, one alarm after another.

        After each, the rest of the event loop gets a while to run.
        """
        end = self._now + timedelta(seconds=seconds)
        await _settle()
        while due := [at for at in self._alarms.values() if at <= end]:
            self.jump(min(due))
            await _settle()
        self._now = end

    def jump(self, to: datetime) -> None:
        """Let it be that moment at once; the clock never goes back."""
        self._now = max(self._now, to)
        self._ring()

    def _set_alarm(self, scope: anyio.CancelScope, seconds: float) -> None:
        if seconds <= 0:
            scope.cancel()
        else:
            self._alarms[scope] = self._now + timedelta(seconds=seconds)

    def _ring(self) -> None:
        for scope, at in list(self._alarms.items()):
            if at <= self._now:
                del self._alarms[scope]
                scope.cancel()


async def _settle() -> None:
    for _ in range(SETTLING_STEPS):
        await anyio.lowlevel.checkpoint()
