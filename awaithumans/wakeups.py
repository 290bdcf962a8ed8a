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

MAX_NOTED = 1_000


class Bell:
    """Something one coroutine waits for and any thread may ring."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = current_token().native_token
        self._event = anyio.Event()
        self._ringing = False

    async def rung(self) -> None:
        """Return once it has rung since the last return."""
        await self._event.wait()
        self._event = anyio.Event()
        self._ringing = False

    def ring(self) -> None:
        """Wake the waiter, from whatever thread or loop; not from a fork.

        While it rings already, the waiter is yet to look, and will see what
        this ring is about.
        """
        if self._pid == os.getpid() and not self._ringing:
            self._ringing = True
            call_soon(self._loop, self._set)

    def _set(self) -> None:
        self._event.set()


class Feed(Bell):
    """A bell that notes for which tasks it rang, up to `MAX_NOTED` of them."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._noted: set[str] | None = set()

    def note(self, task_id: str) -> None:
        """Note that this task may have changed, and ring."""
        with self._lock:
            if self._noted is None:
                return
            silent = not self._noted
            self._noted.add(task_id)
            if len(self._noted) > MAX_NOTED:
                self._noted = None
        if silent:
            self.ring()

    def note_all(self) -> None:
        """Note that any task may have changed, and ring."""
        with self._lock:
            self._noted = None
        self.ring()

    def take(self) -> frozenset[str] | None:
        """Return what was noted since the last call; None if it may be any task."""
        with self._lock:
            noted, self._noted = self._noted, set()
        return None if noted is None else frozenset(noted)


class Hub:
    """The waiters of one process, by task id, and the followers of all tasks."""

    def __init__(self) -> None:
        self.forget()
        forget_in_forks(self)

    def forget(self) -> None:
        """Have no waiters; those of the process this one was forked from are not here."""
        self._lock = threading.Lock()
        self._bells: dict[str, set[Bell]] = {}
        self._feeds: set[Feed] = set()
        self._close_listeners = 0

    @contextmanager
    def listen(self, task_id: str, *, closely: bool = False) -> Generator[Bell]:
        """Give a bell that rings whenever the task may have changed.

        `closely` says that every change counts, and not the closing alone.
        """
        bell = Bell()
        with self._lock:
            self._bells.setdefault(task_id, set()).add(bell)
            self._close_listeners += closely
        try:
            yield bell
        finally:
            with self._lock:
                self._close_listeners -= closely
                bells = self._bells[task_id]
                bells.discard(bell)
                if not bells:
                    del self._bells[task_id]

    @contextmanager
    def follow(self) -> Generator[Feed]:
        """Give a feed of the changes of all tasks."""
        feed = Feed()
        with self._lock:
            self._feeds.add(feed)
        try:
            yield feed
        finally:
            with self._lock:
                self._feeds.discard(feed)

    def ring(self, task_id: str) -> None:
        """Wake everybody who waits for this task."""
        with self._lock:
            bells, feeds = tuple(self._bells.get(task_id, ())), tuple(self._feeds)
        for bell in bells:
            bell.ring()
        for feed in feeds:
            feed.note(task_id)

    def ring_all(self) -> None:
        """Wake everybody."""
        with self._lock:
            bells = [bell for waiting in self._bells.values() for bell in waiting]
            feeds = tuple(self._feeds)
        for bell in bells:
            bell.ring()
        for feed in feeds:
            feed.note_all()

    def awaited(self) -> tuple[str, ...]:
        """Return the ids of the tasks somebody waits for."""
        with self._lock:
            return tuple(self._bells)

    @property
    def followed(self) -> bool:
        """Tell whether somebody wants to hear of every change."""
        return bool(self._feeds or self._close_listeners)


def call_soon(loop: object, callback: Callable[[], None]) -> None:
    """Have an event loop, whose ever it is, call `callback`, if it still runs."""
    schedule = getattr(loop, "call_soon_threadsafe", None) or getattr(loop, "run_sync_soon")  # noqa: B009
    with suppress(RuntimeError):
        schedule(callback)
