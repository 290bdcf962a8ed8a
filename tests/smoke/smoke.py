"""Ask and answer once, as a stranger with the installed package would."""

from __future__ import annotations

from importlib.metadata import entry_points

import anyio
from pydantic import BaseModel

from awaithumans import Actor, Engine, Query, await_human
from awaithumans.stores.memory import MemoryStore


class Refund(BaseModel):
    """What the person decides about."""

    order: str
    amount: int


class Decision(BaseModel):
    """What the person answers."""

    approved: bool


async def answer(engine: Engine) -> None:
    """Approve the first task that turns up."""
    while not (tasks := await engine.find(Query())):
        await anyio.lowlevel.checkpoint()
    await engine.submit(tasks[0].id, {"approved": True}, by=Actor(kind="human", id="ana", auth="engine"))


async def main() -> None:
    """Fail unless the answer arrives where it was awaited."""
    engine = Engine(MemoryStore())
    with anyio.fail_after(30):
        async with engine.run(), anyio.create_task_group() as group:
            group.start_soon(answer, engine)
            decision = await await_human(
                task="Approve the refund?",
                payload_schema=Refund,
                payload=Refund(order="A-1", amount=120),
                response_schema=Decision,
                timeout_seconds=60,
                engine=engine,
            )
    if decision != Decision(approved=True):
        raise SystemExit(f"expected an approval, got {decision!r}")
    if "awaithumans.testing.plugin" not in {plugin.value for plugin in entry_points(group="pytest11")}:
        raise SystemExit("pytest does not find the plugin")


if __name__ == "__main__":
    anyio.run(main)
