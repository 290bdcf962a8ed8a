"""The clocks an engine runs by."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import anyio

from awaithumans.protocols import Clock


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        """Return the present moment."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[object]:
        """Return a context that ends its block after `seconds`."""
        return anyio.move_on_after(seconds)


class CorrectedClock:
    """Another clock, set right by the store's own.

    A process whose clock is a minute off must not time out answers that
    others, and the database, see as given in time.
    """

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._offset = timedelta()

    def correct(self, true_now: datetime, *, asked: datetime, answered: datetime) -> None:
        """Agree from here on with a clock that was read in between.

        `asked` and `answered` are on the base clock, before and after.
        """
        self._offset = true_now - (asked + (answered - asked) / 2)

    def uncorrected(self) -> datetime:
        """Return the present moment on the base clock."""
        return self._base.now()

    def now(self) -> datetime:
        """Return the present moment, corrected."""
        return self._base.now() + self._offset

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self._base.monotonic()

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[object]:
        """Return a context that ends its block after `seconds`."""
        return self._base.move_on_after(seconds)


async def sleep(clock: Clock, seconds: float) -> None:
    """Return after `seconds` have passed on `clock`."""
    with clock.move_on_after(seconds):
        await anyio.sleep_forever()
