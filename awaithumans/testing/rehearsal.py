"""An engine whose clock moves when everybody waits, and only then."""

from __future__ import annotations

import math
import random
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint, current_token

from awaithumans.ambient import AMBIENT_ENGINE
from awaithumans.engine import Engine
from awaithumans.protocols import Channel, Directory, Verifier
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import SETTLING_STEPS, VirtualClock
from awaithumans.types import Change, Task
from awaithumans.wakeups import Bell

NEVER = datetime.max.replace(tzinfo=UTC)
LONGEST_WAIT = timedelta(days=10_000)
QUIET_WITHIN = 1.0
HELD_WITHIN = 10.0
STUCK_AFTER = 60.0
LOOK_AGAIN_AFTER = 0.005


class People(Protocol):
    """Who answers the questions of a rehearsal."""

    @abstractmethod
    def see(self, task: Task) -> None:
        """Hear of a task's new version, from whatever thread."""

    @abstractmethod
    def next_due(self) -> datetime:
        """Return when somebody wants to do something; `NEVER` if nobody does."""

    @abstractmethod
    async def act(self) -> bool:
        """Do one thing that is due; tell whether there was any."""

    @abstractmethod
    def ensure_unbroken(self) -> None:
        """Raise what has gone wrong so far, if anything."""


class RehearsalEngine(Engine):
    """An engine in memory, on a virtual clock, with people to answer.

    It does no background work: those who wait do what is due themselves, one
    of them at a time, be they coroutines, event loops or threads: deliveries,
    verification, timeouts, and whatever the people do. When nothing is due,
    and every task of the waiter's event loop waits for something, the clock
    jumps to what comes first. So a wait always ends, and takes no time.
    """

    def __init__(
        self,
        people: People,
        *,
        channels: Iterable[Channel] = (),
        verifiers: Mapping[str, Verifier] | None = None,
        directory: Directory | None = None,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        public_url: str | None = None,
    ) -> None:
        self._people = people
        self._time = VirtualClock(datetime.now(UTC))
        super().__init__(
            MemoryStore(),
            channels=channels,
            verifiers=verifiers,
            directory=directory,
            secret=secret,
            public_url=public_url,
            background=False,
            clock=self._time,
            rng=random.Random(0),  # noqa: S311 - the same jitter every time
        )
        self._turn = threading.Lock()
        self._turn_began = 0.0
        self._holds: list[float] = []
        self._waiters: list[_Waiter] = []

    @property
    def works_in_this_thread(self) -> bool:
        """Tell whether an event loop runs here: any may have to do the engine's work."""
        try:
            current_token()
        except RuntimeError:
            return False
        return True

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[Engine]:
        """Be the engine that `await_human` finds in the block; the waiters do the work."""
        with AMBIENT_ENGINE.surrounding(self):
            yield self

    async def wait_until(self, task_id: str, ready: Callable[[Task], bool], *, timeout: float | None = None) -> Task:
        """Like `Engine.wait_until`; meanwhile, see to what is due."""
        await self._background.ensure()
        until = NEVER if timeout is None else self._after(timeout)
        with self._waiting(task_id, until) as bell:
            while not ready(task := await self._read(task_id)) and self.clock.now() < until:
                if not await self._take_turn():
                    await self._wait_for(bell)
            return task

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and all that is due meanwhile happen."""
        await self._background.ensure()
        until = self._after(seconds)
        with self._waiting("", until) as bell:
            while self.clock.now() < until or await self._next_due() <= until or not await self._all_quiet(until):
                if not await self._take_turn():
                    await self._wait_for(bell)

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep the clock from jumping while the block runs.

        A wait that needs it to jump fails with an AssertionError after 10 s.
        """
        end = time.monotonic() + HELD_WITHIN
        self._holds.append(end)
        try:
            yield
        finally:
            self._holds.remove(end)

    # ── Taking turns ──────────────────────────────────────────────────────────

    async def _take_turn(self) -> bool:
        """Do what is due, or else jump; False if somebody else is at it."""
        if not self._turn.acquire(blocking=False):
            return False
        self._turn_began = time.monotonic()
        try:
            self._people.ensure_unbroken()
            if not await self._do_what_is_due():
                await self._jump()
        finally:
            self._turn.release()
        return True

    async def _wait_for(self, bell: Bell) -> None:
        with anyio.move_on_after(STUCK_AFTER):
            return await bell.rung()
        if self._turn.locked() and time.monotonic() - self._turn_began > STUCK_AFTER:
            raise AssertionError(
                f"Nothing has happened for {STUCK_AFTER:.0f} s: an event loop is blocked, "
                "or a verifier or a channel waits for a person itself."
            )
        return None

    async def _do_what_is_due(self) -> bool:
        """Deliver, verify and expire; then let somebody act, and see to what follows."""
        done = await self.tick()
        if await self._people.act():
            return bool(await self.tick()) or True
        return done > 0

    async def _jump(self) -> None:
        """Once all is quiet, move the clock to what comes first."""
        if self._holds:
            return await self._look_again()
        await _quiet()
        first = min([await self._next_due(), *(waiter.until for waiter in self._waiters)])
        if first != NEVER and not self._holds:
            self._time.jump(first)
            for waiter in tuple(self._waiters):
                waiter.look_up(self.clock.now())
        return None

    async def _look_again(self) -> None:
        """Give what holds the clock some real time, but not for ever."""
        if time.monotonic() > min(self._holds, default=math.inf):
            raise AssertionError(f"The clock was held for {HELD_WITHIN:.0f} s while somebody waited for it to go on.")
        await anyio.sleep(LOOK_AGAIN_AFTER)

    async def _next_due(self) -> datetime:
        now = self.clock.now()
        effect = (await self.store.lease(now, now, 0)).next_due or NEVER
        return min(effect, self._people.next_due())

    async def _all_quiet(self, until: datetime) -> bool:
        await _quiet()
        return await self._next_due() > until

    def _after(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))

    @contextmanager
    def _waiting(self, task_id: str, until: datetime) -> Generator[Bell]:
        """Give a bell that rings when the wait may be over, or the turn is free."""
        with self._hub.listen(task_id) as bell:
            waiter = _Waiter(bell, until)
            self._waiters.append(waiter)
            try:
                yield bell
            finally:
                self._waiters.remove(waiter)
                for successor in self._waiters[:1]:
                    successor.bell.ring()

    async def _publish(self, change: Change) -> None:
        self._people.see(change.task)
        await super()._publish(change)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """Somebody who waits, at most `until` then."""

    bell: Bell
    until: datetime

    def look_up(self, now: datetime) -> None:
        """Stop waiting, if the time has come."""
        if self.until <= now:
            self.bell.ring()


async def _quiet() -> None:
    """Return once every other task of this event loop waits for something.

    One that never does is waited for a second.
    """
    for _ in range(SETTLING_STEPS):
        await checkpoint()
    with anyio.move_on_after(QUIET_WITHIN):
        await anyio.wait_all_tasks_blocked()
