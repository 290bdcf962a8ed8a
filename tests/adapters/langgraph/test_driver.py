"""A graph is parked by a question, and goes on with its answer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest
from langgraph.types import Command

from awaithumans import SchemaValidationError, TaskCancelledError, TaskSpec
from awaithumans.adapters.langgraph import await_human, drive_human_loop
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import TaskEngine
from awaithumans.testing.humans import Humans, UnexpectedQuestionError
from awaithumans.types import AGENT
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import Graphs, State, question, thread
from tests.adapters.langgraph.people import ANA, NO, People

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["here", "over HTTP"])
def reached(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_graph_waits_for_its_answer(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    async with driving(lambda: drive_human_loop(graph, input_state={}, config=thread(), engine=engine)) as [drive]:
        [task] = await people.asked()
        assert task.spec.task == "Refund A?"
        await people.answer(NO, note="no receipt")
        state = await drive.result()
    assert state.values["log"] == ["A: False no receipt"]
    assert state.next == ()
    [task] = await people.all()
    assert task.collected_at
    assert graphs.runs["ask"] == 2


async def test_two_questions_of_a_node_are_two_tasks(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A", "A")})
    async with driving(lambda: drive_human_loop(graph, input_state={}, config=thread(), engine=engine)) as [drive]:
        await people.asked()
        await people.answer(NO)
        await people.asked(total=2)
        await people.answer()
        assert (await drive.result()).values["log"] == ["A: False", "A: True"]


async def test_branches_are_asked_together_and_resumed_as_answers_come(
    graphs: Graphs, people: People, engine: TaskEngine
):
    branches = {name: graphs.asking(name, name) for name in "ABC"}
    graph = graphs.compiled(branches)
    async with driving(lambda: drive_human_loop(graph, input_state={}, config=thread(), engine=engine)) as [drive]:
        await people.asked(3)
        await people.answer(order="B")
        with anyio.fail_after(10):
            while graphs.runs["B"] < 2:
                await anyio.sleep(0.01)
        await people.asked(2, total=3)
        await people.answer(order="C")
        await people.answer(NO, order="A")
        assert sorted((await drive.result()).values["log"]) == ["A: False", "B: True", "C: True"]
    assert len(await people.all()) == 3


async def test_a_driver_that_was_killed_is_followed_by_another(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    drive = lambda: drive_human_loop(graph, input_state={}, config=thread(), engine=engine)  # noqa: E731
    async with driving(drive):
        await people.asked()
    async with driving(drive) as [again]:
        await people.asked(total=1)
        await people.answer()
        assert (await again.result()).values["log"] == ["A: True"]
    assert (await drive()).values["log"] == ["A: True"], "a finished thread with the same input"
    assert len(await people.all()) == 1


async def test_an_answer_given_while_nobody_drives_is_found(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    async with driving(lambda: drive_human_loop(graph, input_state={}, config=thread(), engine=engine)):
        await people.asked()
    await people.answer()
    state = await drive_human_loop(graph, config=thread(), engine=engine)
    assert state.values["log"] == ["A: True"]


# ── What ended without an answer ──────────────────────────────────────────────


async def test_a_timeout_reaches_the_caller_and_driving_again_asks_somebody_else(
    graphs: Graphs, people: People, engine: TaskEngine
):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A"), "other": graphs.asking("other", "B")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    async with driving(partial(drive, input_state={})) as [first]:
        [a, b] = await people.asked(2)
        await people.answer(order="B")
        with anyio.fail_after(10):
            while graphs.runs["other"] < 2:
                await anyio.sleep(0.01)
        await engine.cancel(a.id if a.spec.payload["order"] == "A" else b.id, by=AGENT)
        with pytest.raises(TaskCancelledError):
            await first.result()
    state = await graph.aget_state(thread())
    assert [one.value["awaithumans"]["spec"]["payload"] for one in state.interrupts if one.value] == [
        {"order": "A", "amount": 10.0}
    ]

    def to_the_boss(spec: TaskSpec) -> TaskSpec:
        return replace(spec, assign_to={"email": "ana@example.com"})

    async with driving(partial(drive, reroute=to_the_boss)) as [again]:
        [task] = await people.asked(1, total=3)
        assert task.assignee
        assert task.assignee.email == "ana@example.com"
        await people.answer()
        assert sorted((await again.result()).values["log"]) == ["A: True", "B: True"]
    assert graphs.runs["other"] == 2


async def test_a_key_of_its_own_does_not_keep_its_first_outcome(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["idempotency_key"] = "refund-A"
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    async with driving(partial(drive, input_state={})) as [first]:
        [task] = await people.asked()
        await engine.cancel(task.id, by=AGENT)
        with pytest.raises(TaskCancelledError):
            await first.result()
    async with driving(drive) as [again]:
        [task] = await people.asked(1, total=2)
        assert task.spec.idempotency_key == "refund-A:retry-1"
        await people.answer()
        assert (await again.result()).values["log"] == ["A: True"]


async def test_a_node_may_catch_other_outcomes(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A", "B", caught=(TaskCancelledError,))})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, raise_in_node=True)
    async with driving(partial(drive, input_state={})) as [driven]:
        [task] = await people.asked()
        await engine.cancel(task.id, by=AGENT)
        await people.asked(1, total=2)
        await people.answer()
        assert (await driven.result()).values["log"] == ["A: TaskCancelledError", "B: True"]


async def test_an_outcome_raised_in_a_node_does_not_stick(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A"), "other": graphs.asking("other", "B")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, raise_in_node=True)
    for total in (2, 3):
        async with driving(partial(drive, input_state={})) as [driven]:
            tasks = await people.asked(2, total=total)
            [a] = [task for task in tasks if task.spec.payload["order"] == "A"]
            await engine.cancel(a.id, by=AGENT)
            with pytest.raises(TaskCancelledError):
                await driven.result()
    async with driving(drive) as [driven]:
        await people.asked(2, total=4)
        await people.answer(order="A")
        await people.asked(1, total=4)
        await people.answer(order="B")
        assert sorted((await driven.result()).values["log"]) == ["A: True", "B: True"]


async def test_a_node_that_fails_is_run_again_and_nobody_asked_again(
    graphs: Graphs, people: People, engine: TaskEngine
):
    broken = True

    def charge(state: State) -> State:
        graphs.runs["charge"] += 1
        decision = await_human(**question("A"))
        if broken:
            raise ConnectionError("the bank is away")
        return {"log": [f"charged: {decision.approved}"]}

    graph = graphs.compiled({"charge": charge})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await people.answer()
        with pytest.raises(ConnectionError):
            await driven.result()
    with pytest.raises(ConnectionError):
        await drive()
    broken = False
    assert (await drive()).values["log"] == ["charged: True"]
    assert len(await people.all()) == 1


async def test_an_answer_that_the_model_refuses_is_asked_for_once_more(
    graphs: Graphs, people: People, engine: TaskEngine
):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await people.answer(note="damn")
        [again] = await people.asked(1, total=2)
        assert again.spec.initial_response == {"approved": True, "note": "damn"}
        assert "mind your language" in again.spec.initial_errors["note"]
        await people.answer(note="damn you")
        with pytest.raises(SchemaValidationError, match="mind your language"):
            await driven.result()
    async with driving(drive) as [driven]:
        await people.asked(1, total=3)
        await people.answer(note="fine")
        assert (await driven.result()).values["log"] == ["A: True fine"]


async def test_what_fails_while_it_waits_comes_out_as_it_is(graphs: Graphs):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    with pytest.raises(UnexpectedQuestionError), Humans():
        await drive_human_loop(graph, input_state={}, config=thread())


# ── Nobody gets an answer to something else ───────────────────────────────────


async def test_an_answer_to_another_content_does_not_count(graphs: Graphs, people: People, engine: TaskEngine):
    price = 10.0

    def ask(state: State) -> State:
        decision = await_human(**question("A", payload={"order": "A", "amount": price}))
        return {"log": [f"{price}: {decision.approved}"]}

    graph = graphs.compiled({"ask": ask})
    async with driving(partial(drive_human_loop, graph, config=thread(), engine=engine, input_state={})) as [driven]:
        await people.asked()
        price = 10_000.0
        await people.answer()
        [task] = await people.asked(1, total=2)
        assert task.spec.payload["amount"] == 10_000.0
        await people.answer(NO)
        assert (await driven.result()).values["log"] == ["10000.0: False"]


async def test_a_question_that_never_stays_the_same_is_the_developers_error(
    graphs: Graphs, people: People, engine: TaskEngine
):
    def ask(state: State) -> State:
        graphs.runs["ask"] += 1
        await_human(**question("A", payload={"order": "A", "amount": graphs.runs["ask"]}))
        return {}

    graph = graphs.compiled({"ask": ask})
    async with driving(partial(drive_human_loop, graph, config=thread(), engine=engine, input_state={})) as [driven]:
        for total in range(1, 6):
            await people.asked(1, total=total)
            await people.answer()
        with pytest.raises(ConfigurationError, match="earlier node"):
            await driven.result()


async def test_sweeps_do_not_ask_for_ever_what_never_stays_the_same(graphs: Graphs, people: People, engine: TaskEngine):
    mended = False

    def ask(state: State) -> State:
        graphs.runs["ask"] += 1
        decision = await_human(**question("A", payload={"order": "A", "amount": 0 if mended else graphs.runs["ask"]}))
        return {"log": [f"A: {decision.approved}"]}

    graph = graphs.compiled({"ask": ask})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    await drive(input_state={}, wait=False)
    for _ in range(4):
        await people.answer()
        await drive(wait=False)
    await people.answer()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="earlier node"):
            await drive(wait=False)
    assert len(await people.all()) == 5
    mended = True
    async with driving(drive) as [driven]:
        for total in (6, 7):
            await people.asked(total=total)
            await people.answer()
        assert (await driven.result()).values["log"] == ["A: True"]


@pytest.mark.parametrize("forged", ["yes", None, {}, {"status": "completed", "response": {"approved": True}}])
async def test_a_forged_resume_approves_nothing(forged: Any, graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await drive_human_loop(graph, input_state={}, config=thread(), engine=engine, wait=False)
    [one] = (await graph.aget_state(thread())).interrupts
    await graph.ainvoke(Command(resume={one.id: forged}), thread())
    async with driving(partial(drive_human_loop, graph, config=thread(), engine=engine)) as [driven]:
        await people.asked(1)
        await people.answer(NO)
        with anyio.fail_after(20):
            while not driven.done.is_set():
                for task in await people.opened():
                    await people.engine.submit(task.id, NO, by=ANA)
                await anyio.sleep(0.01)
        assert (await driven.result()).values["log"] == ["A: False"]


async def test_an_answer_is_used_once_though_two_drive(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled(
        {"ask": graphs.asking("ask", "A"), "then": graphs.saying("then")}, ("__start__", "ask"), ("ask", "then")
    )
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, input_state={})
    async with driving(drive, drive, drive) as driven:
        await people.asked(1, total=1)
        await people.answer()
        for one in driven:
            assert (await one.result()).values["log"] == ["A: True", "then"]
    assert graphs.runs == {"ask": 2, "then": 1}


# ── Turns ─────────────────────────────────────────────────────────────────────


async def test_another_input_takes_another_turn(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    for turn in (1, 2):
        drive = partial(drive_human_loop, graph, config=thread(), engine=engine, input_state={"order": str(turn)})
        async with driving(drive) as [driven]:
            await people.asked(1, total=turn)
            await people.answer()
            assert len((await driven.result()).values["log"]) == turn
        assert len((await drive()).values["log"]) == turn


async def test_a_parked_thread_does_not_lose_its_question_to_another_input(
    graphs: Graphs, people: People, engine: TaskEngine
):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, wait=False)
    await drive(input_state={"order": "1"})
    with pytest.raises(ConfigurationError, match="has not finished with another input"):
        await drive(input_state={"order": "2"})
    await people.asked(1, total=1)


async def test_without_waiting_it_asks_and_resumes_and_returns(graphs: Graphs, people: People, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine, wait=False)
    assert (await drive(input_state={})).interrupts
    assert (await drive()).interrupts
    await people.answer()
    assert (await drive()).values["log"] == ["A: True"]
    assert len(await people.all()) == 1


@pytest.mark.parametrize(
    ("config", "saver", "message"),
    [
        ({}, None, "names no thread"),
        ({"configurable": {"thread_id": "t", "checkpoint_id": "x"}}, None, "names a checkpoint"),
        (thread(), False, "has no checkpointer"),
        (thread(), None, "has not begun"),
    ],
)
async def test_what_cannot_work_is_said(config: Any, saver: Any, message: str, graphs: Graphs, engine: TaskEngine):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")}, saver=saver)
    with pytest.raises(ConfigurationError, match=message):
        await drive_human_loop(graph, config=config, engine=engine)
