"""What the agents in these tests ask."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from awaithumans import await_human, await_human_sync

HOUR = 3_600


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool
    note: str = ""


def question(order: str = "A-1", **fields: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "task": "Approve this refund?",
        "payload_schema": Refund,
        "payload": Refund(order=order),
        "response_schema": Decision,
        "timeout_seconds": HOUR,
    }
    return {**defaults, **fields}


async def ask(order: str = "A-1", **fields: Any) -> Any:
    return await await_human(**question(order, **fields))


def ask_sync(order: str = "A-1", **fields: Any) -> Any:
    return await_human_sync(**question(order, **fields))
