"""The line that a terminal shows while an agent waits there."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TextIO

import anyio

from awaithumans.beside import beside
from awaithumans.types import Task

_CLEAR = "\r\x1b[K"
MAX_TITLE = 200


@asynccontextmanager
async def waiting_line(task: Task, url: str | None, stream: TextIO | None = None) -> AsyncGenerator[None]:
    """Show task and link, and the time left as it goes, while the block runs.

    Only where `stream` (standard error by default) is a terminal; elsewhere
    this does nothing.
    """
    line: TextIO | None = stream or sys.stderr
    if line is None or not line.isatty():
        yield
        return
    _show(line, f"waiting: {_printable(task.spec.task)}\n{url or task.id}\n")
    try:
        async with beside(_tick, task, line):
            yield
    finally:
        if not _typing:
            _show(line, "")


_typing: set[object] = set()


@contextmanager
def somebody_types() -> Generator[None]:
    """Let no time left be shown while the block runs: it would overwrite what is typed."""
    mark = object()
    _typing.add(mark)
    try:
        yield
    finally:
        _typing.discard(mark)


async def _tick(task: Task, stream: TextIO) -> None:
    while True:
        if not _typing:
            _show(stream, f"{time_left(task, datetime.now(UTC))} left")
        await anyio.sleep(1)


def _show(stream: TextIO, line: str) -> None:
    with suppress(OSError, ValueError):  # a terminal that is gone ends no wait
        stream.write(_CLEAR + line)
        stream.flush()


def time_left(task: Task, now: datetime) -> str:
    """Say how long the task stays open, like `0:14:59` or `1 d 6 h`."""
    return _clock(max(task.deadline - now, timedelta()))


def _printable(text: str) -> str:
    """Leave out what would move the cursor, and cut what is no title any more."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= MAX_TITLE else f"{line[: MAX_TITLE - 1]}…"


def _clock(left: timedelta) -> str:
    hours, seconds = divmod(int(left.total_seconds()), 3_600)
    minutes, seconds = divmod(seconds, 60)
    if hours >= 24:  # noqa: PLR2004
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{seconds:02}"
