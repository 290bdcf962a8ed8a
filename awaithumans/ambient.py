"""What is there where nothing was passed in: the engine to ask, and who is told of the work."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from awaithumans.protocols import TaskEngine
from awaithumans.telemetry import Telemetry

logger = logging.getLogger("awaithumans.telemetry")


class AmbientEngine:
    """Which engine `await_human` asks where none is given.

    The one whose `run()` surrounds the call; or, while a test has replaced it,
    the test's own, in every thread and on every event loop of the process.
    """

    def __init__(self) -> None:
        self._surrounding: ContextVar[TaskEngine | None] = ContextVar("awaithumans_engine", default=None)
        self._replacement: TaskEngine | None = None

    def get(self) -> TaskEngine | None:
        """Return the engine to ask; None if there is none."""
        return self._replacement or self._surrounding.get()

    @contextmanager
    def surrounding(self, engine: TaskEngine) -> Generator[None]:
        """Have the code inside the block ask `engine`."""
        before = self._surrounding.get()
        self._surrounding.set(engine)
        try:
            yield
        finally:
            self._surrounding.set(before)

    @contextmanager
    def replaced_by(self, engine: TaskEngine) -> Generator[None]:
        """Have the whole process ask `engine` while the block runs."""
        before, self._replacement = self._replacement, engine
        try:
            yield
        finally:
            self._replacement = before


AMBIENT_ENGINE = AmbientEngine()


@cache
def ambient_telemetry() -> Telemetry:
    """Return what tells the process's global OpenTelemetry providers.

    Without the package `opentelemetry-api`, or with an old one that came with
    something else, it tells nobody.
    """
    try:
        from awaithumans.otel import SUPPORTED, OpenTelemetry
    except ImportError:
        return Telemetry()
    if not SUPPORTED:
        logger.warning("opentelemetry-api is too old: no spans, no metrics; pip install 'awaithumans[otel]'")
        return Telemetry()
    return OpenTelemetry()
