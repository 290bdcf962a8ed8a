"""A Temporal worker that is killed at one of its steps, and born again.

Usage: python -m tests.programs.mortal_worker TEMPORAL_ADDRESS FOLDER before|after|waiting

A step is a call of the engine by an activity. For n = 1, 2, 3, …: a worker is
started that dies by SIGKILL before (or after) its nth step; a second one then
goes on undisturbed. In a third process people are told and answer, once. With
`waiting`, the worker dies once the question is asked, and the answer comes
while there is none. Prints one JSON line per n and ends with the first n that
a worker survives. All are forked from this process, which has done nothing but
import.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from temporalio.client import Client
from temporalio.worker import Worker

from awaithumans import Engine, Query, Task
from awaithumans.adapters.temporal import AwaitHumansPlugin, TemporalChannel, activities, waiting
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from tests.adapters.temporal.workflows import RefundWorkflow
from tests.programs.mortal_agent import ANA, DIED, Outbox

LIFE_SECONDS = 60
SOON = timedelta(seconds=1)

waiting.ATTEMPT = SOON  # after it an activity of a dead worker is done by another
activities.FIRST_PAUSE = 2 * SOON


class Mortal:
    """Counts steps, and kills the process at one of them."""

    def __init__(self, fatal_step: int, when: str) -> None:
        self._fatal_step = fatal_step
        self._when = when
        self._steps = 0

    async def step(self, deed: Callable[[], Awaitable[Any]]) -> Any:
        """Do what the step is, unless death comes before."""
        self._steps += 1
        fatal = self._steps == self._fatal_step
        if fatal and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await deed()
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class MortalEngine:
    """An engine whose verbs are steps."""

    def __init__(self, engine: Engine, mortal: Mortal) -> None:
        self._engine = engine
        self._mortal = mortal
        self.channels = engine.channels

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._engine, name)
        return lambda *args: self._mortal.step(lambda: verb(*args))


def engine_of(folder: Path, client: Client, *, background: bool) -> Engine:
    store = SQLAlchemyStore(f"sqlite:///{folder}/tasks.db")
    return Engine(store, channels=[Outbox(folder / "outbox"), TemporalChannel(client)], background=background)


async def work(address: str, folder: Path, queue: str, fatal_step: int, when: str) -> None:
    """Be a worker until the file of this queue is there."""
    client = await Client.connect(address)
    engine: Any = MortalEngine(engine_of(folder, client, background=False), Mortal(fatal_step, when))
    plugin = AwaitHumansPlugin(engine)
    async with Worker(client, task_queue=queue, workflows=[RefundWorkflow], plugins=[plugin], max_cached_workflows=0):
        while not (folder / queue).exists():
            await anyio.sleep(0.02)


async def ask_and_answer(address: str, folder: Path, queue: str, worker: int) -> None:
    """Start the workflow, be its person, and wait for what comes of it."""
    client = await Client.connect(address)
    async with engine_of(folder, client, background=True).run() as engine:
        handle = await client.start_workflow(
            RefundWorkflow.run,
            args=[[queue], {"notify": ["outbox:ana"]}],
            id=queue,
            task_queue=queue,
            task_timeout=SOON,
        )
        while not (asked := await tasks_about(queue, engine)):
            await anyio.sleep(0.02)
        if worker:
            os.kill(worker, signal.SIGKILL)
        await engine.submit(asked[0].id, {"approved": True, "note": "by Ana"}, by=ANA)
        result = await handle.result()
        tasks = await tasks_about(queue, engine)
    (folder / queue).touch()
    facts = {"result": result, "tasks": len(tasks)}
    (folder / f"{queue}.json").write_text(json.dumps(facts))


async def tasks_about(order: str, engine: Engine) -> list[Task]:
    return [task for task in await engine.find(Query()) if task.spec.payload["order"] == order]


def forked(life: Callable[..., Awaitable[None]], *args: object) -> int:
    """Live in a child process; return its id."""
    child = os.fork()
    if child:
        return child
    signal.alarm(LIFE_SECONDS)
    try:
        anyio.run(life, *args)
    except BaseException:  # noqa: BLE001 - the parent reports it
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)  # not through the interpreter's end, where temporalio's threads may crash it


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def report(address: str, folder: Path, fatal_step: int, when: str) -> dict[str, object]:
    """Have a worker die and another one go on, and say what came of it."""
    queue = f"{when}-{fatal_step}"
    outbox = folder / "outbox"
    outbox.write_text("")
    first = forked(work, address, folder, queue, 0 if when == "waiting" else fatal_step, when)
    person = forked(ask_and_answer, address, folder, queue, first if when == "waiting" else 0)
    died = ended(first)
    second = forked(work, address, folder, queue, 0, when)
    statuses = [died, ended(person), ended(second)]
    facts: dict[str, object] = json.loads((folder / f"{queue}.json").read_text())
    opened = {json.loads(line)["id"] for line in outbox.read_text().splitlines() if '"opened"' in line}
    return {"n": fatal_step, "statuses": statuses, "opened": len(opened), **facts}


def main() -> None:
    """Die at every step in turn."""
    address, folder, when = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    for fatal_step in range(1, 50):
        line = report(address, folder, fatal_step, when)
        print(json.dumps(line), flush=True)
        if when == "waiting" or line["statuses"][0] != DIED:  # type: ignore[index]
            return


if __name__ == "__main__":
    main()
