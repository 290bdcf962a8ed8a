"""Questions while people have them, and their outcomes as these come in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import anyio

from awaithumans.adapters.langgraph.interrupts import Question
from awaithumans.admission import content_of
from awaithumans.beside import beside
from awaithumans.client import Meanwhile
from awaithumans.documents import digest
from awaithumans.protocols import TaskEngine
from awaithumans.types import Task
from awaithumans.wakeups import Bell


@dataclass(slots=True)
class Asked:
    """A question while people have it."""

    question: Question
    after: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()
    created: Task | None = None
    """The task, where a node has created it and shows nothing else."""
    in_node: bool = False
    """Whether the node creates its tasks itself."""
    tasks: list[Task] = field(default_factory=list[Task])
    """The latest of each of `asks`, in their order."""
    values: dict[int, object] = field(default_factory=dict[int, object])
    corrected: list[Task] = field(default_factory=list[Task])
    """Those that were answered with what cannot be used."""

    @property
    def content(self) -> str:
        """Digest what is asked, to notice that the graph asks something else."""
        return digest([content_of(ask.spec) for ask in self.question.asks])

    @property
    def answered(self) -> bool:
        """Tell whether each of `asks` has its value."""
        return len(self.values) == len(self.question.asks)

    def resumption(self) -> object:
        """Give what the graph is resumed with."""
        return self.question.resume([self.values[index] for index in range(len(self.question.asks))])


class Outcomes:
    """Waits for any number of tasks at once."""

    def __init__(self, engine: TaskEngine, meanwhile: Meanwhile) -> None:
        self._engine = engine
        self._meanwhile = meanwhile
        self._known: dict[str, Task | Exception] = {}
        self._wanted, self._watched = anyio.create_memory_object_stream[Task](inf)
        self._bell = Bell()

    @asynccontextmanager
    async def coming_in(self) -> AsyncGenerator[None]:
        """Wait for the tasks while the block runs."""
        with self._wanted, self._watched:
            async with beside(self._watch_all):
                yield

    async def expect(self, task: Task) -> None:
        """Wait for this one, too."""
        if task.closed:
            self._known[task.id] = task
        else:
            await self._wanted.send(task)

    def of(self, task_id: str) -> Task | Exception | None:
        """Give the closed task, or what made waiting for it fail; None as long as there is neither."""
        return self._known.get(task_id)

    async def another(self, *, within: float) -> None:
        """Return when another has come in, or after so many seconds."""
        with anyio.move_on_after(within):
            await self._bell.rung()

    async def _watch_all(self) -> None:
        async with anyio.create_task_group() as group:
            async for task in self._watched:
                group.start_soon(self._watch, task)

    async def _watch(self, task: Task) -> None:
        try:
            async with self._meanwhile(task):
                self._known[task.id] = await self._engine.wait(task.id)
        except Exception as error:  # noqa: BLE001 - raised by the drive, not by the group that watches
            self._known[task.id] = error
        self._bell.ring()
