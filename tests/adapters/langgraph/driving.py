"""Drivers in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio


class Driven:
    """A drive in the background."""

    def __init__(self) -> None:
        self.state: Any = None
        self.error: BaseException | None = None
        self.done = anyio.Event()

    async def result(self) -> Any:
        with anyio.fail_after(20):
            await self.done.wait()
        if self.error:
            raise self.error
        return self.state


@asynccontextmanager
async def driving(*drives: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[Driven]]:
    """Drive in the background while the block runs; cut off behind it."""

    async def go(driven: Driven, drive: Callable[[], Awaitable[Any]]) -> None:
        try:
            driven.state = await drive()
        except Exception as error:  # noqa: BLE001 - raised by `result`
            driven.error = error
        finally:
            driven.done.set()

    async with anyio.create_task_group() as group:
        driven = [Driven() for _ in drives]
        for one, drive in zip(driven, drives, strict=True):
            group.start_soon(go, one, drive)
        try:
            yield driven
        finally:
            group.cancel_scope.cancel()
