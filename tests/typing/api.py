"""What type checkers make of the public names. Nobody runs this file."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel

from awaithumans import Actor, BlockingEngine, Engine, Entry, Query, RemoteEngine, Task, await_human
from awaithumans.stores.memory import MemoryStore


class Refund(BaseModel):
    order: str
    amount: int


class Decision(BaseModel):
    approved: bool


async def the_response_schema_is_the_return_type() -> None:
    decision = await await_human(
        task="Approve the refund?",
        payload_schema=Refund,
        payload=Refund(order="A-1", amount=120),
        response_schema=Decision,
        timeout_seconds=60,
    )
    assert_type(decision, Decision)
    assert_type(decision.approved, bool)


async def verbs_return_the_task_after_them(ana: Actor) -> None:
    engine = Engine(MemoryStore())
    async with engine.run():
        assert_type(await engine.find(Query()), list[Task])
        assert_type(await engine.submit("id", {"approved": True}, by=ana), Task)
        assert_type(await engine.wait("id", timeout=1), Task)


def blocking_verbs_are_those_of_the_engine_inside(ana: Actor) -> None:
    here = BlockingEngine(Engine(MemoryStore()))
    assert_type(here.find(Query()), list[Task])
    assert_type(here.trail("id"), list[Entry])
    there = BlockingEngine(RemoteEngine("https://app.example/humans"))
    assert_type(there.wait("id", timeout=1), Task)
    there.trail("id")  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    either: BlockingEngine = there if ana.operator else here
    assert_type(either.get("id"), Task)
