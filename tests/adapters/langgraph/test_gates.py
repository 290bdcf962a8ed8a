"""What would let a node run without an approval, or lose one; each was seen to happen."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import anyio
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from awaithumans import Engine, SchemaValidationError, TaskCancelledError
from awaithumans.adapters.langgraph import (
    Ask,
    LangGraphChannel,
    Question,
    await_human,
    breakpoint_questions,
    drive_human_loop,
    plain_questions,
)
from awaithumans.adapters.langgraph.threads import LocalThread
from awaithumans.client import build_spec
from awaithumans.errors import ConfigurationError
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import AGENT
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import HOUR, Decision, Graphs, Refund, State, question, thread
from tests.adapters.langgraph.people import People

pytestmark = pytest.mark.anyio

ASKING = breakpoint_questions(timeout_seconds=HOUR)


def gated(graphs: Graphs, **options: Any) -> Any:
    nodes = {name: graphs.saying(name) for name in ("plan", "pay")}
    return graphs.compiled(nodes, (START, "plan"), ("plan", "pay"), ("pay", END), **options)


# ── Breakpoints ───────────────────────────────────────────────────────────────


async def test_a_state_edited_meanwhile_opens_no_gate(graphs: Graphs, people: People, engine: Engine):
    graph = gated(graphs, interrupt_after=["plan"])
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, on_breakpoint=ASKING)
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await graph.aupdate_state(thread(), {"order": "edited"})
        while not driven.done.is_set():
            for task in await people.opened():
                await people.submit(task.id, {"go_on": False})
            await anyio.sleep(0.01)
        assert (await driven.result()).next == ("pay",)
    assert graphs.runs["pay"] == 0


async def test_a_gate_inside_a_subgraph_holds(graphs: Graphs, people: People, engine: Engine):
    inner = gated(graphs, saver=True, interrupt_before=["pay"])
    graph = graphs.compiled({"inner": inner})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, on_breakpoint=ASKING)
    async with driving(partial(drive, input_state={}), partial(drive, input_state={})):
        await people.asked()
    async with driving(partial(drive, input_state={})) as [driven]:
        [task] = await people.asked(1, total=1)
        await people.submit(task.id, {"go_on": False})
        await driven.result()
    assert graphs.runs["pay"] == 0
    async with driving(drive) as [driven]:
        [task] = await people.asked()
        await people.submit(task.id, {"go_on": True})
        assert (await driven.result()).values["log"] == ["plan", "pay"]


async def test_a_gate_inside_a_subgraph_holds_beside_a_branch_that_has_run(graphs: Graphs, engine: Engine):
    graph = graphs.compiled(
        {"inner": gated(graphs, saver=True, interrupt_before=["pay"]), "beside": graphs.saying("beside")}
    )
    for _ in range(2):
        assert (await drive_human_loop(graph, config=thread(), input_state={}, engine=engine)).next == ("inner",)
    assert graphs.runs == {"plan": 1, "beside": 1}


async def test_a_sweep_passes_no_gate(graphs: Graphs, people: People, engine: Engine):
    drive = partial(drive_human_loop, gated(graphs, interrupt_before=["pay"]), config=thread(), engine=engine)
    async with driving(partial(drive, input_state={}, on_breakpoint=ASKING)):
        await people.asked()
        assert (await drive(wait=False)).next == ("pay",)
    assert graphs.runs["pay"] == 0


# ── Another content ───────────────────────────────────────────────────────────


async def test_an_interrupt_that_shows_something_else_by_now_is_asked_about_anew(
    graphs: Graphs, people: People, engine: Engine
):
    amount = 10

    def ask(state: State) -> State:
        return {"log": [f"{amount}: {interrupt({'question': 'Pay?', 'amount': amount})}"]}

    def other(state: State) -> State:
        return {"log": [str(interrupt("mine"))]}

    def asks(one: Any) -> Question | None:
        return plain_questions(timeout_seconds=HOUR, answer=bool)(one) if isinstance(one.value, dict) else None

    graph = graphs.compiled({"ask": ask, "other": other})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, on_interrupt=asks)
    async with driving(partial(drive, input_state={})) as [driven]:
        [task] = await people.asked()
        amount = 10_000
        [mine] = [one for one in (await graph.aget_state(thread())).interrupts if one.value == "mine"]
        await graph.ainvoke(Command(resume={mine.id: "done"}), thread())
        await people.submit(task.id, {"answer": True})
        [again] = await people.asked(1, total=2)
        assert again.spec.payload["amount"] == 10_000
        await people.submit(again.id, {"answer": False})
        assert sorted((await driven.result()).values["log"]) == ["10000: False", "done"]


# ── Answers that cannot be used ───────────────────────────────────────────────


def why(one: Any) -> Question:
    def read(task: Any) -> object:
        if task.response["note"] == "no":
            raise SchemaValidationError.of_fields("response", {"note": "say why"})
        return task.response["note"]

    spec = build_spec(
        task="Why?", payload_schema=Refund, payload={"order": "A"}, response_schema=Decision, timeout_seconds=HOUR
    )
    return Question(asks=(Ask(spec=spec, read=read),))


@pytest.fixture
def asking_why(graphs: Graphs, engine: Engine) -> Any:
    graph = graphs.compiled({"ask": lambda state: {"log": [interrupt("why")]}})
    return partial(drive_human_loop, graph, config=thread(), engine=engine, on_interrupt=why)


async def test_a_better_answer_given_while_nobody_drives_is_used(asking_why: Any, people: People):
    async with driving(partial(asking_why, input_state={})):
        await people.asked()
        await people.answer(note="no")
        await people.asked(1, total=2)
    await people.answer(note="broken")
    async with driving(asking_why) as [driven]:
        assert (await driven.result()).values["log"] == ["broken"]


async def test_two_bad_answers_are_not_held_against_the_next(asking_why: Any, people: People):
    async with driving(partial(asking_why, input_state={})) as [driven]:
        for total in (1, 2):
            await people.asked(1, total=total)
            await people.answer(note="no")
        with pytest.raises(SchemaValidationError, match="say why"):
            await driven.result()
    async with driving(asking_why) as [driven]:
        await people.asked(1, total=3)
        await people.answer(note="broken")
        assert (await driven.result()).values["log"] == ["broken"]


# ── Nodes that create their tasks, in parallel branches ───────────────────────


async def test_an_outcome_of_one_branch_does_not_come_back_for_ever(graphs: Graphs, people: People, engine: Engine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"X": graphs.asking("X", "A"), "Y": graphs.asking("Y", "B")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    async with driving(partial(drive, input_state={})):
        tasks = await people.asked(2)
    [x] = [task for task in tasks if task.spec.payload["order"] == "A"]
    await engine.cancel(x.id, by=AGENT)
    await people.answer(order="B")
    with pytest.raises(TaskCancelledError):
        await drive()
    async with driving(drive) as [driven]:
        await people.asked(1, total=3)
        await people.answer(order="A")
        assert sorted((await driven.result()).values["log"]) == ["A: True", "B: True"]


async def test_a_callback_takes_over_no_other_branchs_answer(graphs: Graphs):
    graph = graphs.compiled({"X": graphs.asking("X", "A"), "Y": graphs.asking("Y", "B")})
    engine = Engine(MemoryStore(), channels=[LangGraphChannel(graph)])
    people = People(engine)
    graphs.fields |= {"engine": engine, "callback_url": "langgraph:t"}
    async with engine.run():
        await drive_human_loop(graph, input_state={}, config=thread(), engine=engine, wait=False)
        [x] = [task for task in await people.asked(2) if task.spec.payload["order"] == "A"]
        await people.answer(order="B")
        await engine.cancel(x.id, by=AGENT)
        await people.asked(1, total=3)
        await people.answer(order="A")
        with anyio.fail_after(20):
            while len((await graph.aget_state(thread())).values.get("log", [])) < 2:
                await anyio.sleep(0.02)
    assert sorted((await graph.aget_state(thread())).values["log"]) == ["A: True", "B: True"]
    assert len(await people.all()) == 3, "nobody was asked again about B"


@pytest.mark.parametrize("seed", range(4))
async def test_tools_that_run_at_the_same_time_get_their_own_answers(seed: int, people: People, engine: Engine):
    @tool
    def refund(order: str) -> str:
        """Refund an order."""
        called.append(order)
        time.sleep(0.01 * ((ord(order) + seed + len(called)) % 3))  # each run in another order
        return str(await_human(**question(order)).approved)

    def model(state: MessagesState) -> Any:
        return {
            "messages": [AIMessage("", tool_calls=[{"name": "refund", "args": {"order": o}, "id": o} for o in "ABC"])]
        }

    called: list[str] = []
    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tools", ToolNode([refund]))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("tools", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    async with driving(
        partial(drive_human_loop, graph, input_state={"messages": []}, config=thread(), engine=engine)
    ) as [driven]:
        for total in (1, 2, 3):
            [task] = await people.asked(1, total=total)
            await people.answer({"approved": task.spec.payload["order"] == "A"})
        messages = (await driven.result()).values["messages"]
    told = {one.tool_call_id: one.content for one in messages if isinstance(one, ToolMessage)}
    assert told == {"A": "True", "B": "False", "C": "False"}


# ── Inputs ────────────────────────────────────────────────────────────────────


async def test_another_input_is_not_lost_behind_a_failure(graphs: Graphs, engine: Engine):
    def fail(state: State) -> State:
        raise ConnectionError(state["order"])

    drive = partial(drive_human_loop, graphs.compiled({"fail": fail}), config=thread(), engine=engine)
    with pytest.raises(ConnectionError, match="1"):
        await drive(input_state={"order": "1"})
    with pytest.raises(ConfigurationError, match="has not finished with another input"):
        await drive(input_state={"order": "2"})


def test_an_input_is_the_same_in_whatever_order_it_is_written(graphs: Graphs):
    one = LocalThread(graphs.compiled({"ask": graphs.asking("ask")}), thread())
    assert one.digest({"a": {"x", "y", "z"}, "b": 1}) == one.digest({"b": 1, "a": {"z", "y", "x"}})
    assert one.digest({"a": 1}) != one.digest({"a": 2})


async def test_a_question_of_an_error_handler_is_not_lost_in_silence(engine: Engine):
    def fail(state: State) -> State:
        raise ConnectionError

    def handle(state: State) -> Any:
        return {"log": [str(await_human(**question("A")).approved)]}

    builder = StateGraph(State)
    builder.add_node("fail", fail, error_handler=handle)
    builder.add_edge(START, "fail")
    graph = builder.compile(checkpointer=InMemorySaver())
    with pytest.raises(ConfigurationError, match="error handler"):
        await drive_human_loop(graph, input_state={}, config=thread(), engine=engine, wait=False)
