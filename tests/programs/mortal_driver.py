"""A driver of a graph that is killed at its nth write, and born again.

Usage: python -m tests.programs.mortal_driver DATABASE_URL FOLDER

The graph asks about two orders at the same time, then pays. For n = 1, 2, 3, …:
a life drives it that dies by SIGKILL before its nth write, whether to the task
store or to the checkpointer (what is read changes nothing, so a kill there is
the kill before the next write); a second life repeats the same call
undisturbed. Prints one JSON line per n and ends with the first n that a life
survives.
"""

from __future__ import annotations

import json
import operator
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import anyio
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from awaithumans import Actor, Engine, Human, Query, TaskAlreadyTerminalError, leases
from awaithumans.adapters.langgraph import await_human, drive_human_loop
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from tests.programs.mortal_agent import import_what_lives_need

LIFE_SECONDS = 60
DIED = -signal.SIGKILL
ANA = Actor.of(Human(id="ana"), auth="engine")

leases.RENEWED_EVERY = 0.1  # a life may die at that, too


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool


class State(TypedDict, total=False):
    orders: Annotated[list[str], operator.add]


class Death:
    """Comes before the nth write."""

    def __init__(self, fatal_write: int) -> None:
        self._left = fatal_write

    def of(self, thing: Any, *writes: str) -> Any:
        """Have it come at these methods of a thing."""
        for name in writes:
            setattr(thing, name, self._mortal(getattr(thing, name)))
        return thing

    def _mortal(self, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def mortal(*args: object, **kwargs: object) -> object:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return await call(*args, **kwargs)

        return mortal


def graph_of(saver: Any, sink: Path) -> Any:
    def ask(order: str) -> Any:
        def node(state: State) -> State:
            decision = await_human(
                task=f"Refund {order}?",
                payload_schema=Refund,
                payload=Refund(order=order),
                response_schema=Decision,
                timeout_seconds=3_600,
            )
            return {"orders": [f"{order}: {decision.approved}"]}

        return node

    def pay(state: State) -> State:
        """Pay under a key, by which the receiver knows a payment that comes twice."""
        with sink.open("a") as file:
            file.write(f"payment of {sorted(state['orders'])}\n")
        return {}

    builder = StateGraph(State)
    for order in "AB":
        builder.add_node(order, ask(order))
        builder.add_edge(START, order)
    builder.add_node("pay", pay)
    builder.add_edge(["A", "B"], "pay")
    builder.add_edge("pay", END)
    return builder.compile(checkpointer=saver)


@asynccontextmanager
async def checkpointer(url: str, folder: Path) -> AsyncIterator[Any]:
    if url.startswith("postgresql"):
        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield saver
    else:
        async with AsyncSqliteSaver.from_conn_string(str(folder / "graphs.db")) as saver:
            yield saver


async def live(url: str, folder: Path, name: str, fatal_write: int) -> None:
    """Drive, and be answered by a person in the same process."""
    death = Death(fatal_write)
    store = SQLAlchemyStore(url)
    await store.setup()
    await free_leases(store)
    death.of(store, "create", "apply", "settle")
    death.of(store.records, "put", "delete")
    engine = Engine(store)
    async with checkpointer(url, folder) as saver, engine.run(), anyio.create_task_group() as group:
        graph = graph_of(death.of(saver, "aput", "aput_writes"), folder / name)
        group.start_soon(answer, engine, name)
        config: Any = {"configurable": {"thread_id": name}}
        state = await drive_human_loop(graph, input_state={}, config=config, engine=engine)
        if sorted(state.values["orders"]) != ["A: True", "B: False"]:
            raise AssertionError(state.values)
        group.cancel_scope.cancel()


async def free_leases(store: SQLAlchemyStore) -> None:
    """Let the half minute pass for which a life that was killed still has its lease."""
    for record in await store.records.find(leases.KIND):
        await store.records.delete(record)


async def answer(engine: Engine, name: str) -> None:
    """Be Ana: approve A, and refuse B."""
    while True:
        for task in await engine.store.find(Query()):
            if not task.closed:
                try:
                    await engine.submit(task.id, {"approved": task.spec.payload["order"] == "A"}, by=ANA)
                except TaskAlreadyTerminalError:
                    continue
        await anyio.sleep(0.01)


def fork_life(url: str, folder: Path, name: str, fatal_write: int) -> int:
    """Run one life in a child process; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(LIFE_SECONDS)
    try:
        anyio.run(live, url, folder, name, fatal_write)
    except BaseException:  # noqa: BLE001 - the parent reports it
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


async def count_tasks(url: str) -> int:
    store = SQLAlchemyStore(url)
    tasks = await store.find(Query(limit=100_000))
    await store.aclose()
    return len(tasks)


def count_in_child(url: str) -> int:
    """Count in a child: drivers do not survive a fork."""
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, str(anyio.run(count_tasks, url)).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with os.fdopen(reader) as counted:
        return int(counted.read())


def main() -> None:
    """Die at every write in turn."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    import_what_lives_need()
    asked = 0
    for fatal_write in range(1, 200):
        name = f"thread-{fatal_write}"
        first = fork_life(url, folder, name, fatal_write)
        second = fork_life(url, folder, name, 0)
        before, asked = asked, count_in_child(url)
        sink = folder / name
        payments = sink.read_text().splitlines() if sink.exists() else []
        line = {
            "n": fatal_write,
            "first": first,
            "second": second,
            "asked": asked - before,
            "payments": len(payments),
            "keys": len(set(payments)),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if first != DIED:
            return


if __name__ == "__main__":
    main()
