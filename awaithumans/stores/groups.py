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


class Member(Generic[T]):
    """Something to be done, and what came of it."""

    def __init__(self, work: T, order: str = "") -> None:
        self.work = work
        self.order = order
        self.done = False
        self._result: object = None
        self._error: BaseException | None = None
        self._bell = anyio.Event()

    def succeed(self, result: object) -> None:
        """Note what is to be returned."""
        self._result, self.done = result, True
        self.call()

    def fail(self, error: BaseException) -> None:
        """Note what is to be raised."""
        self._error, self.done = error, True
        self.call()

    def result(self) -> object:
        """Return, or raise, what came of it."""
        if self._error is not None:
            raise self._error
        return self._result

    def call(self) -> None:
        """Wake whoever waits for it: it is done, or theirs to lead."""
        self._bell.set()

    async def called(self) -> None:
        """Return once it has been called since the last return."""
        await self._bell.wait()
        self._bell = anyio.Event()


class Line(Generic[T]):
    """Those who wait, on one event loop, for `do` to do their work in groups.

    Up to `leaders` groups are on their way at once. `do` sees to it that each
    member succeeds or fails.
    """

    def __init__(self, do: Callable[[Sequence[Member[T]]], Awaitable[None]], *, leaders: int) -> None:
        self._do = do
        self._leaders = leaders
        self._waiting: list[Member[T]] = []

    async def join(self, member: Member[T]) -> object:
        """Return, or raise, what came of the member's work.

        Whoever is cancelled before the work has begun leaves, and nothing is
        done; afterwards, only once it is over.
        """
        self._waiting.append(member)
        try:
            while not member.done:
                if self._leaders:
                    await self._lead()
                else:
                    await member.called()
        except anyio.get_cancelled_exc_class():
            await self._leave(member)
            raise
        return member.result()

    async def _lead(self) -> None:
        """Do the work of those who wait, to the end: a task group keeps out asyncio's own cancellation, too."""
        group = sorted(self._waiting[:LARGEST], key=lambda member: member.order)
        del self._waiting[:LARGEST]
        self._leaders -= 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._do_all, group)
        finally:
            self._leaders += 1
            self._call_next()

    async def _do_all(self, group: Sequence[Member[T]]) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await self._do(group)
        except BaseException as error:  # a loop that ends
            for member in group:
                if not member.done:
                    member.fail(error)
            raise

    async def _leave(self, member: Member[T]) -> None:
        if member in self._waiting:
            self._waiting.remove(member)
        else:
            with anyio.CancelScope(shield=True):
                while not member.done:
                    await member.called()
        self._call_next()

    def _call_next(self) -> None:
        if self._waiting:
            self._waiting[0].call()
