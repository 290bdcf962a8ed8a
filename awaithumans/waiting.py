"""The line that a terminal shows while an agent waits there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TextIO

import anyio

from awaithumans.beside import beside
from awaithumans.types import Task

_CLEAR = "\r\x1b[K"


@asynccontextmanager
async def waiting_line(task: Task, url: str | None, stream: TextIO | None = None) -> AsyncGenerator[None]:
    """Show task, link and time left while the block runs.

    Only where `stream` (standard error by default) is a terminal; elsewhere
    this does nothing.
    """
    line: TextIO | None = stream or sys.stderr
    if line is None or not line.isatty():
        yield
        return
    try:
        async with beside(_tick, task, url, line):
            yield
    finally:
        _show(line, "")


async def _tick(task: Task, url: str | None, stream: TextIO) -> None:
    while True:
        line = describe(task, url, datetime.now(UTC), shutil.get_terminal_size().columns - 1)
        _show(stream, line)
        await anyio.sleep(1)


def _show(stream: TextIO, line: str) -> None:
    with suppress(OSError, ValueError):  # a terminal that is gone ends no wait
        stream.write(_CLEAR + line)
        stream.flush()


def describe(task: Task, url: str | None, now: datetime, width: int) -> str:
    """Write the line in at most `width` characters; the link is never cut."""
    left = max(task.deadline - now, timedelta())
    rest = f" · {url or task.id} · {_clock(left)} left"
    title = "".join(character if character.isprintable() else " " for character in task.spec.task)
    room = max(width - len(rest) - len("waiting: "), 0)
    return f"waiting: {title if len(title) <= room else title[: max(room - 1, 0)] + '…'}{rest}"


def _clock(left: timedelta) -> str:
    hours, seconds = divmod(int(left.total_seconds()), 3_600)
    minutes, seconds = divmod(seconds, 60)
    if hours >= 24:  # noqa: PLR2004
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{seconds:02}"
