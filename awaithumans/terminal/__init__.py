"""The question is asked right here, of the person at the program's terminal.

An engine of this process holds the task, as any engine does: what is typed is
one more answer to it, checked and written the one way there is.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from getpass import getuser

import anyio

from awaithumans.beside import beside
from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ConflictError, TaskNotFoundError
from awaithumans.forks import forget_in_forks
from awaithumans.stores.memory import MemoryStore
from awaithumans.terminal.conversation import Ask, Conversation
from awaithumans.terminal.desks import Desk, find_desk
from awaithumans.terminal.turns import Turns
from awaithumans.types import AGENT, Actor, JsonObject, KeyScope, Task, TaskStatus
from awaithumans.waiting import somebody_types

__all__ = ["Desk", "answer_at", "asking", "find_desk", "system_user", "terminal_engine"]


class _OwnEngine:
    """Makes the engine when it is first needed, once in each process."""

    def __init__(self) -> None:
        self.forget()
        forget_in_forks(self)

    def forget(self) -> None:
        """Have no engine; the parent's questions are the parent's."""
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def __call__(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine(MemoryStore())
            return self._engine


terminal_engine = _OwnEngine()
"""Give the engine of the questions asked at this process's terminal.

There is one, so that a key names a question as long as the process lives.
"""

_turns = Turns()


@asynccontextmanager
async def asking(desk: Desk, engine: Engine, task: Task) -> AsyncGenerator[None]:
    """Ask the person at `desk` for an answer while the block waits for it.

    A block that is cancelled takes the question along, unless it has a key of
    its own: nobody else could answer it.
    """
    waited = False
    try:
        async with beside(_ask, desk, engine, task.id):
            yield
        waited = True
    except ExceptionGroup as group:  # the asking failed, not the block
        raise group.exceptions[0] from None
    finally:
        if not waited and task.spec.key_scope is KeyScope.CALL:
            await _withdraw(engine, task.id)
    if (await engine.get(task.id)).status is TaskStatus.TIMED_OUT:
        await desk.tell("The time is up; nothing was sent.")


async def _withdraw(engine: Engine, task_id: str) -> None:
    with anyio.CancelScope(shield=True):
        with suppress(ConflictError):
            await engine.cancel(task_id, by=AGENT, reason="the call was cancelled")
        await engine.collect(task_id)


async def answer_at(desk: Desk, engine: Engine, task_id: str, by: Actor) -> None:
    """Offer the person at `desk` to answer as `by`, until the task is closed.

    Whoever has enough of it leaves the task open for others.
    """
    async with anyio.create_task_group() as group:
        group.start_soon(_end_with, engine, task_id, group.cancel_scope)
        async with _turns.take(), desk.alone():
            with somebody_types():
                await _offer(desk, engine, await engine.get(task_id), by)
        group.cancel_scope.cancel()


async def _end_with(engine: Engine, task_id: str, asking: anyio.CancelScope) -> None:
    with suppress(TaskNotFoundError):
        await engine.wait(task_id)
    asking.cancel()


async def _offer(desk: Desk, engine: Engine, task: Task, by: Actor) -> None:
    misfits = partial(engine.misfits, task)
    conversation = Conversation(task, desk.screen, misfits, engine.clock.now(), quitting="leaves it open")
    value = await _held(conversation.talk(), desk, engine, task)
    if value is None:
        await desk.tell("Left open.")
        return
    try:
        await engine.submit(task.id, value, by=by)
    except AwaitHumansError as refusal:
        await desk.tell(f"Not sent: {refusal.message}.")
    else:
        await desk.tell("Sent.")


async def _ask(desk: Desk, engine: Engine, task_id: str) -> None:
    async with _turns.take(), desk.alone():
        task = await engine.get(task_id)
        if task.closed:
            return
        conversation = Conversation(task, desk.screen, partial(engine.misfits, task), engine.clock.now())
        value = await _held(conversation.talk(), desk, engine, task)
        with suppress(ConflictError):  # it closed meanwhile, and whoever waits knows how
            if value is None:
                await engine.cancel(task_id, by=_person(), reason="cancelled at the terminal")
            else:
                await engine.submit(task_id, value, by=_person())
            await desk.tell("Cancelled." if value is None else "Sent.")


async def _held(
    talk: Generator[Ask, str, JsonObject | None], desk: Desk, engine: Engine, task: Task
) -> JsonObject | None:
    """Carry a conversation between the person and its script."""
    with closing(talk):
        try:
            ask = next(talk)
            while True:
                try:
                    line = await desk.ask(ask, (task.deadline - engine.clock.now()).total_seconds())
                except EOFError as end:
                    ask = talk.throw(end)
                except TimeoutError:
                    await anyio.sleep_forever()  # the engine closes the task, and whoever waits ends this
                else:
                    ask = talk.send(line)
        except StopIteration as end:
            value: JsonObject | None = end.value
            return value


def _person() -> Actor:
    return Actor(kind="human", id=system_user(), auth="engine", via="terminal")


def system_user() -> str:
    """Name whoever runs this process, as the system knows them."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"
