"""One question at a time, of all that want to be asked at one terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from awaithumans.forks import forget_in_forks
from awaithumans.wakeups import Bell

_ANYBODYS = "/dev/tty"
"""Means another terminal to each process."""


class Turns:
    """The questions of this process, in the order they came."""

    def __init__(self) -> None:
        self.forget()
        forget_in_forks(self)

    def forget(self) -> None:
        """Have no questions; the parent's are asked by the parent."""
        self._lock = threading.Lock()
        self._queue: list[Bell] = []

    @asynccontextmanager
    async def take(self) -> AsyncGenerator[None]:
        """Let one in after another, from whatever thread or loop."""
        bell = Bell()
        with self._lock:
            self._queue.append(bell)
        try:
            while self._queue[0] is not bell:
                await bell.rung()
            yield
        finally:
            with self._lock:
                self._queue.remove(bell)
                if self._queue:
                    self._queue[0].ring()


class TerminalLock:
    """What one process at a time can hold of a terminal.

    A process that ends lets go of it. Where there is no such lock (a terminal
    without a name, or of another user), nobody is kept out.
    """

    def __init__(self, *files: int) -> None:
        self._file = _opened(files)
        forget_in_forks(self)

    def forget(self) -> None:
        """Leave it to the parent; a lock is held until its last copy is closed."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def take(self) -> bool:
        """Return whether it is held now."""
        import fcntl

        with suppress(OSError):
            if self._file is not None:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
        return True

    def release(self) -> None:
        """Let the next process have it, also where a copy is open."""
        import fcntl

        with suppress(OSError):
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self.forget()


def _opened(files: tuple[int, ...]) -> int | None:
    """Open anew the terminal that the files are, so that closing it releases only this lock."""
    for name in sorted(_names(files), key=_ANYBODYS.__eq__):
        with suppress(OSError):
            return os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    return None


def _names(files: tuple[int, ...]) -> list[str]:
    names: list[str] = []
    for file in files:
        with suppress(OSError):
            names.append(os.ttyname(file))
    return names
