"""Who waits for which task, and how they are woken: hints, nothing more.

A waiter registers before it reads, and reads again whenever it is woken, so a
wake-up may be early, doubled or lost: that costs latency, never an answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import anyio
from anyio.lowlevel import current_token

from awaithumans.forks import forget_in_forks


class Bell:
    """Something one coroutine waits for and any thread may ring."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = current_token().native_token
        self._event = anyio.Event()

    async def rung(self) -> None:
        """Return once it has rung since the last return."""
        await self._event.wait()
        self._event = anyio.Event()

    def ring(self) -> None:
        """Wake the waiter, from whatever thread or loop; not from a fork."""
        if self._pid == os.getpid():
            call_soon(self._loop, self._set)

    def _set(self) -> None:
        self._event.set()


class Hub:
    """The waiters of one process, by task id."""

    def __init__(self) -> None:
        self.forget()
        forget_in_forks(self)

    def forget(self) -> None:
        """Have no waiters; those of the process this one was forked from are not here."""
        self._lock = threading.Lock()
        self._bells: dict[str, set[Bell]] = {}

    @contextmanager
    def listen(self, task_id: str) -> Generator[Bell]:
        """Give a bell that rings whenever the task may have changed."""
        bell = Bell()
        with self._lock:
            self._bells.setdefault(task_id, set()).add(bell)
        try:
            yield bell
        finally:
            with self._lock:
                bells = self._bells[task_id]
                bells.discard(bell)
                if not bells:
                    del self._bells[task_id]

    def ring(self, task_id: str) -> None:
        """Wake everybody who waits for this task."""
        with self._lock:
            bells = tuple(self._bells.get(task_id, ()))
        for bell in bells:
            bell.ring()

    def ring_all(self) -> None:
        """Wake everybody."""
        for task_id in self.awaited():
            self.ring(task_id)

    def awaited(self) -> tuple[str, ...]:
        """Return the ids of the tasks somebody waits for."""
        with self._lock:
            return tuple(self._bells)


def call_soon(loop: object, callback: Callable[[], None]) -> None:
    """Have an event loop, whose ever it is, call `callback`, if it still runs."""
    schedule = getattr(loop, "call_soon_threadsafe", None) or getattr(loop, "run_sync_soon")  # noqa: B009
    with suppress(RuntimeError):
        schedule(callback)
