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
    caller's own task is not cancelled for it, nor is a cancellation taken
    through the group: anyio would take one by asyncio, such as Ctrl-C, that
    comes in the same moment as one of its own, or as a deadline in the block,
    for its own.
    """
    failure: BaseException | None = None
    ending = anyio.CancelScope()

    async def run() -> None:
        with ending:
            await work(*args)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            yield
        except (Exception, anyio.get_cancelled_exc_class()) as error:  # noqa: BLE001 - raised below, outside the group
            failure = error
        finally:
            ending.cancel()
    if failure is not None:
        raise failure
