"""The shapes in docs/reference/langgraph-interrupts.md are those that are written, and read."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from anyio import to_thread
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt
from pydantic import BaseModel

from awaithumans import Engine, Task
from awaithumans.adapters.langgraph import await_human
from awaithumans.adapters.langgraph.interrupts import RESUME_SCHEMA, read_parked, to_resume
from awaithumans.channels.webhook import WebhookChannel
from awaithumans.errors import ConfigurationError
from awaithumans.stores.memory import MemoryStore
from tests.adapters.langgraph.graphs import State, thread
from tests.adapters.langgraph.people import ANA, YES
from tests.running import ROOT

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "reference" / "langgraph-interrupts.md").read_text()
LEFT, CREATED, PYTHON, TYPESCRIPT, RESUME = (
    json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
)
TASK_ID = CREATED["task_id"]
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool


def parked(**fields: Any) -> tuple[Any, Interrupt]:
    """Park a graph; give it and what it shows."""

    def ask(state: State) -> State:
        decision = await_human(
            task="Approve this refund?",
            payload_schema=Refund,
            payload=Refund(order="A-1"),
            response_schema=Decision,
            timeout_seconds=86_400,
            **fields,
        )
        return {"log": [str(decision.approved)]}

    graph: Any = StateGraph(State).add_node(ask).add_edge(START, "ask").compile(checkpointer=InMemorySaver())
    graph.invoke({}, thread())
    [shown] = graph.get_state(thread()).interrupts
    return graph, shown


def named_alike(value: dict[str, Any], task: Task) -> Any:
    """Write the page's id and time for those of a task."""
    closed_at = {"completed_at": RESUME["completed_at"]} if value.get("completed_at") else {}
    return json.loads(json.dumps({**value, **closed_at}).replace(task.id, TASK_ID))


def test_what_a_node_shows_that_leaves_the_task_to_the_driver():
    _, shown = parked()
    assert shown.value == LEFT
    assert shown.response_schema == RESUME_SCHEMA


@pytest.fixture
async def created() -> AsyncIterator[Engine]:
    engine = Engine(MemoryStore(), channels=[WebhookChannel(KEY)])
    async with engine.run():
        yield engine
    await engine.aclose()


async def test_what_a_node_shows_and_is_resumed_with_that_creates_the_task(created: Engine):
    ask = partial(parked, idempotency_key="refund:A-1", callback_url=CREATED["callback_url"], engine=created)
    _, shown = await to_thread.run_sync(ask)
    task = await created.get(shown.value["task_id"])
    assert named_alike(shown.value, task) == CREATED
    task = await created.submit(task.id, YES, by=ANA)
    left = read_parked(LEFT)
    assert left
    assert named_alike(to_resume(task, left.spec), task) == RESUME


def test_a_graph_that_was_parked_is_resumed_by_what_stands_on_the_page():
    graph, shown = parked()
    graph.invoke(Command(resume={shown.id: RESUME}), thread())
    assert graph.get_state(thread()).values["log"] == ["True"]


@pytest.mark.parametrize("value", [CREATED, PYTHON, TYPESCRIPT])
def test_a_task_that_exists_is_found_in_what_is_shown(value: dict[str, Any]):
    read = read_parked(value)
    assert read
    assert read.task_id == TASK_ID


def test_what_a_newer_release_shows_is_refused():
    with pytest.raises(ConfigurationError, match="version 2"):
        read_parked({"awaithumans": {**LEFT["awaithumans"], "v": 2}})
