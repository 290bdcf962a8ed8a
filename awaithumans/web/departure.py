"""When the server is told to stop, long-polls and event streams end at once.

A server first waits for its open requests, and only then tells the application
that it stops; without this, each deploy would wait for the longest of them. The
one early sign there is is the signal itself, so the handler that the server
has set is chained, never replaced: it is called as before.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import current_token

from awaithumans.wakeups import call_soon
from awaithumans.web.seats import BRIEF

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_DEPARTS_WITHIN = 60.0
"""Seconds after a signal in which what begins ends soon; later, the process has evidently stayed."""
_LOOKS_EVERY = 1.0
"""Seconds between looks at who hears of signals: a server sets its handlers before it takes requests."""

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]

# A process has one set of signal handlers, so there is one of these.
_waits: dict[anyio.CancelScope, object] = {}
_last_told = -math.inf
_looked_at = -math.inf


@contextmanager
def until_departure() -> Generator[None]:
    """Cancel the block, and go on behind it, when the process is to stop.

    A block that begins soon after the signal has `BRIEF` seconds: the process
    may survive it, and clients that are answered at once ask again at once.
    Only where the server's signal handlers run on this thread, the main one;
    elsewhere the block just runs.
    """
    listen()
    with anyio.CancelScope() as scope:
        _waits[scope] = current_token().native_token
        if time.monotonic() < _last_told + _DEPARTS_WITHIN:  # the server reads no more, but it had read this one
            scope.deadline = anyio.current_time() + BRIEF
        try:
            yield
        finally:
            del _waits[scope]


def overhear() -> None:
    """Listen now and then; called at each request, so that the first poll is no later than the signals.

    Looking takes as long as a small request does, so it is done once a second.
    """
    if time.monotonic() >= _looked_at + _LOOKS_EVERY:
        listen()


def listen() -> None:
    """Hear of signals from now on, whoever else hears of them."""
    global _looked_at  # noqa: PLW0603
    if threading.current_thread() is not threading.main_thread():
        return
    _looked_at = time.monotonic()
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and getattr(handler, "func", None) is not _depart:
            signal.signal(number, partial(_depart, handler))


def _depart(before: _Handler, number: int, frame: FrameType | None) -> None:
    global _last_told  # noqa: PLW0603
    _last_told = time.monotonic()
    for scope, loop in list(_waits.items()):
        call_soon(loop, scope.cancel)
    before(number, frame)
