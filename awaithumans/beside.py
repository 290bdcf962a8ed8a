"""Work that runs beside a block of code, and ends with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVarTuple, Unpack

import anyio

ArgsT = TypeVarTuple("ArgsT")


@asynccontextmanager
async def beside(work: Callable[[Unpack[ArgsT]], Coroutine[Any, Any, object]], *args: *ArgsT) -> AsyncGenerator[None]:
    """Run `work` while the block runs, and cancel it behind the block.

    What the block raises comes out as it is, not wrapped in a group. The
    caller's own task is not cancelled for it: anyio would take a cancellation
    by asyncio, such as Ctrl-C, that comes in the same moment for its own.
    """
    failure: Exception | None = None
    ending = anyio.CancelScope()

    async def run() -> None:
        with ending:
            await work(*args)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, outside the group that would wrap it
            failure = error
        finally:
            ending.cancel()
    if failure is not None:
        raise failure
