"""People answer what other code interrupts a graph with, and say at breakpoints whether it goes on."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START
from langgraph.types import Command, interrupt

from awaithumans import Engine, TaskCancelledError
from awaithumans.adapters.langgraph import (
    Ask,
    Continue,
    Question,
    breakpoint_questions,
    drive_human_loop,
    first_of,
    plain_questions,
    tool_reviews,
)
from awaithumans.client import build_spec
from awaithumans.types import AGENT
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import HOUR, Decision, Graphs, Refund, State, thread
from tests.adapters.langgraph.people import People

pytestmark = pytest.mark.anyio


async def test_a_bare_interrupt_is_answered(graphs: Graphs, people: People, engine: Engine):
    def ask(state: State) -> State:
        return {"log": [f"{interrupt('Approve?')!r}"]}

    graph = graphs.compiled({"ask": ask, "ours": graphs.asking("ours", "A")})
    drive = partial(
        drive_human_loop,
        graph,
        input_state={},
        config=thread(),
        engine=engine,
        on_interrupt=plain_questions(timeout_seconds=HOUR, answer=bool),
    )
    async with driving(drive) as [driven]:
        [bare] = [task for task in await people.asked(2) if task.spec.task == "Approve?"]
        await people.submit(bare.id, {"answer": False})
        await people.answer(order="A")
        assert sorted((await driven.result()).values["log"]) == ["A: True", "False"]


class Model(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


@pytest.mark.parametrize("mode", ["batched", "per_call"])
async def test_tool_calls_are_reviewed(mode: Any, people: People, engine: Engine):
    called = []

    @tool
    def refund(order: str, amount: float) -> str:
        """Refund an order."""
        called.append((order, amount))
        return "refunded"

    calls = [{"name": "refund", "args": {"order": one, "amount": 10.0}, "id": one} for one in "ABC"]
    model = Model(messages=iter([AIMessage("", tool_calls=calls), AIMessage("done")]))
    middleware = [HumanInTheLoopMiddleware(interrupt_on={"refund": True}, interrupt_mode=mode)]
    agent: Any = create_agent(model, [refund], middleware=middleware, checkpointer=InMemorySaver())
    drive = partial(
        drive_human_loop,
        agent,
        config=thread(),
        engine=engine,
        on_interrupt=tool_reviews(timeout_seconds=HOUR, tools=[refund], reject_on_timeout=True),
    )
    async with driving(partial(drive, input_state={"messages": [("user", "refund A, B, C")]})):
        tasks = await people.asked(3)
        by_order = {str(task.spec.initial_response and task.spec.initial_response["order"]): task for task in tasks}
        await people.submit(by_order["A"].id, {"decision": "edit", "order": "A", "amount": 99.99})
        await people.asked(2)
    async with driving(drive) as [driven]:
        await people.submit(by_order["B"].id, {"decision": "reject", "order": "B", "amount": 10.0, "message": "no"})
        await people.submit(by_order["C"].id, {"decision": "approve", "order": "C", "amount": 10.0})
        state = await driven.result()
    assert sorted(called) == [("A", 99.99), ("C", 10.0)]
    assert state.values["messages"][-1].content == "done"
    assert len(await people.all()) == 3


async def test_a_question_may_change_the_state_as_it_resumes(graphs: Graphs, people: People, engine: Engine):
    def ask(order: str) -> Any:
        return lambda state: {"log": [f"{interrupt(order)} to {order}"]}

    graph = graphs.compiled({"A": ask("A"), "B": ask("B")})

    def question(one: Any) -> Question:
        spec = build_spec(
            task="Refund?",
            payload_schema=Refund,
            payload={"order": one.value},
            response_schema=Decision,
            timeout_seconds=HOUR,
        )
        return Question(
            asks=(Ask(spec=spec, read=lambda task: task.response),),
            resume=lambda values: Command(resume="yes", update={"amount": 5.0}) if one.value == "A" else "no",
        )

    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, on_interrupt=question)
    state = await drive(input_state={"amount": 1.0}, wait=False)
    assert len(state.interrupts) == 2
    async with driving(drive) as [driven]:
        await people.asked(2)
        for order in "AB":
            await people.answer(order=order)
        state = await driven.result()
    assert (state.values["amount"], sorted(state.values["log"])) == (5.0, ["no to B", "yes to A"])


# ── Breakpoints ───────────────────────────────────────────────────────────────


@pytest.fixture(params=[{"interrupt_before": ["pay"]}, {"interrupt_after": ["plan"]}], ids=["before", "behind"])
def stopping(request: pytest.FixtureRequest, graphs: Graphs) -> Any:
    nodes = {name: graphs.saying(name) for name in ("plan", "pay", "tell")}
    edges = [(START, "plan"), ("plan", "pay"), ("pay", "tell"), ("tell", END)]
    return graphs.compiled(nodes, *edges, **request.param)


async def test_a_breakpoint_is_left_to_the_caller(stopping: Any, graphs: Graphs, engine: Engine):
    drive = partial(drive_human_loop, stopping, config=thread(), engine=engine)
    inputs: list[Any] = [{}, {}, None, None]
    for given in inputs:
        assert (await drive(input_state=given)).next == ("pay",), "nobody said that it may go on"
    state = await drive(on_breakpoint=lambda state: Continue())
    assert state.values["log"] == ["plan", "pay", "tell"]
    assert graphs.runs == {"plan": 1, "pay": 1, "tell": 1}


async def test_people_say_whether_it_goes_on(stopping: Any, graphs: Graphs, people: People, engine: Engine):
    drive = partial(
        drive_human_loop,
        stopping,
        input_state={},
        config=thread(),
        engine=engine,
        on_breakpoint=breakpoint_questions(timeout_seconds=HOUR),
    )
    async with driving(drive) as [driven]:
        [task] = await people.asked()
        assert task.spec.task == "Continue with pay?"
        await people.submit(task.id, {"go_on": False})
        assert (await driven.result()).next == ("pay",)
    async with driving(drive):
        await people.asked(1, total=2)
    async with driving(drive) as [driven]:
        [task] = await people.asked(1, total=2)
        await people.submit(task.id, {"go_on": True})
        assert (await driven.result()).values["log"] == ["plan", "pay", "tell"]
    assert (await drive()).next == ()
    assert len(await people.all()) == 2
    assert graphs.runs["pay"] == 1


async def test_what_was_decided_while_nobody_drove_is_done(stopping: Any, people: People, engine: Engine):
    drive = partial(
        drive_human_loop,
        stopping,
        config=thread(),
        engine=engine,
        on_breakpoint=breakpoint_questions(timeout_seconds=HOUR, edit_state=True, graph=stopping),
    )
    await drive(input_state={"amount": 1.0}, wait=False)
    [task] = await people.asked()
    await people.submit(task.id, {"go_on": True, "amount": 2.5, "log": ["edited"]})
    state = await drive()
    assert state.values == {"amount": 2.5, "log": ["edited", "pay", "tell"]}


async def test_a_stop_before_every_node(graphs: Graphs, people: People, engine: Engine):
    nodes = {name: graphs.saying(name) for name in ("plan", "pay")}
    graph = graphs.compiled(nodes, (START, "plan"), ("plan", "pay"), interrupt_before="*")
    drive = partial(
        drive_human_loop,
        graph,
        input_state={},
        config=thread(),
        engine=engine,
        on_breakpoint=breakpoint_questions(timeout_seconds=HOUR),
    )
    async with driving(drive) as [driven]:
        for total, node in enumerate(("plan", "pay"), start=1):
            [task] = await people.asked(1, total=total)
            assert task.spec.task == f"Continue with {node}?"
            await people.submit(task.id, {"go_on": True})
        assert (await driven.result()).values["log"] == ["plan", "pay"]


async def test_handlers_are_tried_in_order(graphs: Graphs, people: People, engine: Engine):
    def ask(state: State) -> State:
        return {"log": [interrupt("Which?")]}

    drive = partial(
        drive_human_loop,
        graphs.compiled({"ask": ask}),
        input_state={},
        config=thread(),
        engine=engine,
        on_interrupt=first_of(tool_reviews(timeout_seconds=HOUR), plain_questions(timeout_seconds=HOUR)),
    )
    async with driving(drive) as [driven]:
        [task] = await people.asked()
        await people.submit(task.id, {"answer": "this one"})
        assert (await driven.result()).values["log"] == ["this one"]


async def test_other_outcomes_of_such_questions_reach_the_caller(graphs: Graphs, people: People, engine: Engine):
    def ask(state: State) -> State:
        return {"log": [interrupt("Which?")]}

    drive = partial(
        drive_human_loop,
        graphs.compiled({"ask": ask}),
        config=thread(),
        engine=engine,
        on_interrupt=plain_questions(timeout_seconds=HOUR),
        raise_in_node=True,
    )
    async with driving(partial(drive, input_state={})) as [driven]:
        [task] = await people.asked()
        await engine.cancel(task.id, by=AGENT)
        with pytest.raises(TaskCancelledError):
            await driven.result()
    async with driving(drive) as [driven]:
        [task] = await people.asked(1, total=2)
        await people.submit(task.id, {"answer": "that"})
        assert (await driven.result()).values["log"] == ["that"]
