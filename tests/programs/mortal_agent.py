"""An agent that is killed at its nth store call, and born again.

Usage: python -m tests.programs.mortal_agent DATABASE_URL before|after OUTBOX

For n = 1, 2, 3, …: a life is started that dies by SIGKILL before (or after)
its nth store call; a second one then repeats the same call of `await_human`
undisturbed. Prints one JSON line per n and ends with the first n that a life
survives. Lives are forked from this process, which has done nothing but import.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from pydantic import BaseModel

from awaithumans import Actor, Engine, Human, Notice, Query, TaskAlreadyTerminalError, await_human
from awaithumans.stores.sqlalchemy import SQLAlchemyStore

LIFE_SECONDS = 60
DIED = -signal.SIGKILL
ANA = Actor.of(Human(id="ana"), auth="engine")


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool


class MortalStore:
    """A store that kills the process at one of its calls."""

    def __init__(self, store: SQLAlchemyStore, fatal_call: int, when: str) -> None:
        self._store = store
        self._fatal_call = fatal_call
        self._when = when
        self._calls = 0

    def __getattr__(self, name: str) -> object:
        member = getattr(self._store, name)
        return self._mortal(member) if name in _CALLS else member

    def _mortal(self, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def mortal(*args: object, **kwargs: object) -> object:
            self._calls += 1
            fatal = self._calls == self._fatal_call
            if fatal and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return await call(*args, **kwargs)
            finally:  # also when the life is over before a call of the background's returns
                if fatal:
                    os.kill(os.getpid(), signal.SIGKILL)

        return mortal


_CALLS = {"setup", "create", "get", "find", "apply", "lease", "settle", "purge", "trail", "deliveries", "now"}


class Outbox:
    """A channel that writes each notice to a file, on disk before it returns."""

    name = "outbox"

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, target: str) -> None:
        """Accept any target."""

    async def send(self, notice: Notice) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"id": notice.id, "event": notice.event, "task": notice.task.id}) + "\n")
            file.flush()
            os.fsync(file.fileno())


async def live(url: str, key: str, outbox: Path, fatal_call: int, when: str) -> None:
    """Ask, and be answered by a person in the same process."""
    store = MortalStore(SQLAlchemyStore(url), fatal_call, when)
    engine = Engine(store, channels=[Outbox(outbox)])  # type: ignore[arg-type]
    async with engine.run(), anyio.create_task_group() as group:
        group.start_soon(answer, engine, key)
        decision = await await_human(
            task="Approve the refund?",
            payload_schema=Refund,
            payload=Refund(order=key),
            response_schema=Decision,
            timeout_seconds=3_600,
            idempotency_key=key,
            notify=["outbox:ana"],
            engine=engine,
        )
        if not decision.approved:
            raise AssertionError("Ana approved")


async def answer(engine: Engine, key: str) -> None:
    """Be Ana: look for the question, and approve."""
    while not (asked := await engine.store.find(Query(idempotency_key=key))):
        await anyio.sleep(0.01)
    try:
        await engine.submit(asked[0].id, {"approved": True}, by=ANA)
    except TaskAlreadyTerminalError:
        return


def fork_life(url: str, key: str, outbox: Path, fatal_call: int, when: str) -> int:
    """Run one life in a child process; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(LIFE_SECONDS)
    try:
        anyio.run(live, url, key, outbox, fatal_call, when)
    except BaseException:  # noqa: BLE001 - the parent reports it
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


async def count_tasks(url: str, key: str) -> tuple[int, bool]:
    """Count the tasks of a key; tell whether the outcome was collected."""
    store = SQLAlchemyStore(url)
    tasks = await store.find(Query(idempotency_key=key))
    await store.aclose()
    return len(tasks), all(task.collected_at for task in tasks)


def report(url: str, when: str, outbox: Path, fatal_call: int) -> dict[str, object]:
    """Live twice, and say what came of it."""
    key = f"{when}-{fatal_call}"
    outbox.write_text("")
    first = fork_life(url, key, outbox, fatal_call, when)
    second = fork_life(url, key, outbox, 0, when)
    tasks = _in_child(url, key)
    notices = [json.loads(line) for line in outbox.read_text().splitlines()]
    opened = {one["id"] for one in notices if one["event"] == "opened"}
    return {"n": fatal_call, "first": first, "second": second, "opened": len(opened), **tasks}


def _in_child(url: str, key: str) -> dict[str, object]:
    """Count in a child too: drivers do not survive a fork."""
    reader, writer = os.pipe()
    if not os.fork():
        count, collected = anyio.run(count_tasks, url, key)
        os.write(writer, json.dumps({"tasks": count, "collected": collected}).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with os.fdopen(reader) as result:
        counted: dict[str, object] = json.loads(result.read())
        return counted


def import_what_lives_need() -> None:
    """Import once what each life would otherwise import for itself."""
    importlib.import_module("awaithumans.stores.migrations")
    anyio.run(anyio.sleep, 0)


def main() -> None:
    """Die at every call in turn."""
    url, when, outbox = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    import_what_lives_need()
    for fatal_call in range(1, 200):
        line = report(url, when, outbox, fatal_call)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if line["first"] != DIED:
            return


if __name__ == "__main__":
    main()
