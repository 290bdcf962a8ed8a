"""What is asked for at the same time, done by one of those who wait for it.

While one group is on its way, the next one gathers. There is no task of its
own for it: of those who wait, the first leads, and does the work of all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

LARGEST = 64


class _Member(Generic[T]):
    """One who waits: with something to be done, and what came of it."""

    def __init__(self, work: T) -> None:
        self.work = work
        self.result: object = None
        self.failure: BaseException | None = None
        self.over = False
        self._bell = anyio.Event()

    def end(self, result: object = None, failure: BaseException | None = None) -> None:
        """Note what came of the group."""
        self.result, self.failure, self.over = result, failure, True
        self.call()

    def call(self) -> None:
        """Wake it: the group is over, or it may lead the next one."""
        self._bell.set()

    async def called(self) -> None:
        """Return once it has been called since the last return."""
        await self._bell.wait()
        self._bell = anyio.Event()


class Line(Generic[T]):
    """Those who wait, on one event loop, for their work to be done in groups.

    `together` does the work of a group and gives each one's result, in order.
    Up to `leaders` groups are on their way at once. What `together` raises is
    nobody's own: each member then does its work by `alone`, itself, and raises
    what that raises.
    """

    def __init__(
        self,
        together: Callable[[Sequence[T]], Awaitable[Sequence[object]]],
        alone: Callable[[T, BaseException], Awaitable[object]],
        *,
        leaders: int,
    ) -> None:
        self._together = together
        self._alone = alone
        self._free = leaders
        self._waiting: list[_Member[T]] = []

    async def join(self, work: T) -> object:
        """Return what came of the work.

        Whoever is cancelled before its group has begun leaves, and nothing is
        done; afterwards, only once the group is over (by asyncio's own
        cancellation: if it comes once), and the work may be done.
        """
        member = _Member(work)
        self._waiting.append(member)
        try:
            while not member.over:
                if self._free and member in self._waiting:
                    await self._lead()
                else:
                    await member.called()
        except anyio.get_cancelled_exc_class():
            await self._leave(member)
            raise
        return member.result if member.failure is None else await self._alone(work, member.failure)

    async def _lead(self) -> None:
        """See a group through, to the end: a task group keeps out asyncio's own cancellation, too."""
        self._free -= 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._do_next)
        finally:
            self._free += 1
            self._call_next()

    async def _do_next(self) -> None:
        group = self._waiting[:LARGEST]
        del self._waiting[:LARGEST]
        self._call_next()
        if group:
            await self._do(group)

    async def _do(self, group: Sequence[_Member[T]]) -> None:
        try:
            with anyio.CancelScope(shield=True):
                results = await self._together([member.work for member in group])
                for member, result in zip(group, results, strict=True):
                    member.end(result)
        except BaseException as failure:  # all of them: a loop that ends cancels this task, too
            for member in group:
                member.end(failure=failure)
            if not isinstance(failure, Exception):
                raise

    async def _leave(self, member: _Member[T]) -> None:
        if member in self._waiting:
            self._waiting.remove(member)
        else:
            with anyio.CancelScope(shield=True):
                while not member.over:
                    await member.called()
        self._call_next()

    def _call_next(self) -> None:
        if self._waiting and self._free:
            self._waiting[0].call()
