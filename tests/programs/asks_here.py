"""Programs that have no engine, and ask the person at their terminal.

    python -m tests.programs.asks_here WAY TIMEOUT_SECONDS

The answer goes to standard output as JSON, an outcome's error as its name.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from decimal import Decimal
from functools import partial

import anyio
from pydantic import BaseModel, Field

from awaithumans import await_human, await_human_sync
from awaithumans.errors import OutcomeError
from awaithumans.terminal import desks


class Refund(BaseModel):
    """What is shown."""

    customer: str = "Jo \x1b[2J\x1b]0;gone\x07 Pärk"
    reason: str = "Arrived broken. The box was wet, and one of the two cups had no handle any more."


class Decision(BaseModel):
    """What is asked."""

    approved: bool
    amount: Decimal = Field(ge=0, le=100)
    note: str = "none"


ask = partial(
    await_human_sync,
    payload_schema=Refund,
    payload=Refund(),
    response_schema=Decision,
)


def blocking(timeout: int) -> list[Decision]:
    """Ask from a plain script."""
    return [ask(task="Approve this refund?", timeout_seconds=timeout)]


def where_a_paste_is_slow(timeout: int) -> list[Decision]:
    """Ask where only a longer silence is taken for the end of what is pasted."""
    desks.QUIET = 2.0
    return blocking(timeout)


def in_a_coroutine(timeout: int, backend: str = "asyncio") -> list[Decision]:
    """Ask two questions at once."""
    answers: dict[str, Decision] = {}

    async def one(name: str) -> None:
        answers[name] = await await_human(
            task=f"{name} question",
            payload_schema=Refund,
            payload=Refund(),
            response_schema=Decision,
            timeout_seconds=timeout,
        )

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one, "First")
            await anyio.wait_all_tasks_blocked()
            group.start_soon(one, "Second")

    anyio.run(both, backend=backend)
    return [answers["First"], answers["Second"]]


def in_trio(timeout: int) -> list[Decision]:
    """Ask two questions at once, on trio."""
    return in_a_coroutine(timeout, "trio")


def one_after_another(timeout: int) -> list[Decision]:
    """Ask again after the time was up."""
    try:
        ask(task="Too late?", timeout_seconds=3)
    except OutcomeError as error:
        print(type(error).__name__, flush=True)
    return [ask(task="In time?", timeout_seconds=timeout)]


def in_a_fork(timeout: int) -> list[Decision]:
    """Ask in a thread and, once there is a signal, in a process that is forked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    answers: list[Decision] = []
    asked = threading.Thread(target=lambda: answers.append(ask(task="Parent's?", timeout_seconds=timeout)))
    asked.start()
    signal.sigwait({signal.SIGUSR1})
    child = os.fork()
    if not child:
        return [ask(task="Child's?", timeout_seconds=timeout)]
    asked.join()
    os.waitpid(child, 0)
    return answers


def main() -> None:
    """Ask in the way that is named."""
    way, timeout = sys.argv[1], int(sys.argv[2])
    try:
        for decision in globals()[way](timeout):
            print(decision.model_dump_json(), flush=True)
    except OutcomeError as error:
        print(type(error).__name__, flush=True)


if __name__ == "__main__":
    main()
