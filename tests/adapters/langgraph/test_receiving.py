"""A graph without a driver: its node creates the task, and a callback resumes it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest
from langgraph.types import Command

from awaithumans import Engine, Task, TaskCancelledError
from awaithumans.adapters.langgraph import (
    LangGraphChannel,
    await_human,
    await_human_async,
    dispatch_resume,
    dispatch_resume_sync,
    drive_human_loop,
)
from awaithumans.errors import ConfigurationError, InvalidInputError, InvalidRoutingError, InvalidSignatureError
from awaithumans.protocols import TaskEngine
from awaithumans.signing import sign_body
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import AGENT, Notice
from awaithumans.wire import outcome_to_wire
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import Graphs, State, question, thread
from tests.adapters.langgraph.people import ANA, NO, YES, People

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["here", "over HTTP"])
def reached(request: pytest.FixtureRequest) -> str:
    return str(request.param)


KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def webhook(task: Task) -> dict[str, Any]:
    body = json.dumps(outcome_to_wire(task)).encode()
    return {"body": body, "signature_header": sign_body(body, KEY), "webhook_key": KEY}


async def resumed(graph: Any, engine: TaskEngine, task: Task) -> Any:
    """Dispatch the task's webhook as a web app does; give the graph's state once it stops, or None."""
    run = await dispatch_resume(graph=graph, thread_id="t", engine=engine, **webhook(task))
    return await run if run else None


# ── By a webhook ──────────────────────────────────────────────────────────────


async def test_a_webhook_resumes_the_graph(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    parked = await graph.ainvoke({}, thread())
    [task] = await people.asked()
    [one] = parked["__interrupt__"]
    assert {name: one.value[name] for name in ("task_id", "idempotency_key", "task", "payload", "callback_url")} == {
        "task_id": task.id,
        "idempotency_key": task.spec.idempotency_key,
        "task": "Refund A?",
        "payload": {"order": "A", "amount": 10.0},
        "callback_url": None,
    }
    state = await resumed(graph, engine, await people.answer(NO))
    assert state.values["log"] == ["A: False"]


async def test_equal_questions_of_a_node_are_two(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A", "A")})
    await graph.ainvoke({}, thread())
    assert (await resumed(graph, engine, await people.answer(NO))).next == ("ask",)
    await people.asked(1, total=2)
    assert (await resumed(graph, engine, await people.answer())).values["log"] == ["A: False", "A: True"]


async def test_duplicates_and_late_callbacks_answer_nothing_else(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A", "B")})
    await graph.ainvoke({}, thread())
    first = await people.answer()
    await resumed(graph, engine, first)
    assert await resumed(graph, engine, first) is None
    [one] = (await graph.aget_state(thread())).interrupts
    await graph.ainvoke(Command(resume={one.id: outcome_to_wire(first)}), thread())
    await people.asked(1, total=2)
    [one] = (await graph.aget_state(thread())).interrupts
    assert one.value["payload"]["order"] == "B", "even one that was resumed by hand with another's outcome"
    second = await people.answer(NO)
    state = await resumed(graph, engine, second)
    assert state.values["log"] == ["A: True", "B: False"]
    assert await resumed(graph, engine, second) is None


async def test_two_callbacks_at_once_run_the_node_once(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await graph.ainvoke({}, thread())
    task = await people.answer()
    states: list[Any] = []

    async def dispatch() -> None:
        states.append(await resumed(graph, engine, task))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(dispatch)
    assert graphs.runs["ask"] == 2
    assert [state.values["log"] for state in states if state] == [["A: True"]]


async def test_branches_resumed_at_the_same_time(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({name: graphs.asking(name, name) for name in "ABC"})
    await graph.ainvoke({}, thread())
    await people.asked(3)
    async with anyio.create_task_group() as group:
        for order in "ABC":
            group.start_soon(resumed, graph, engine, await people.answer(order=order))
    assert sorted((await graph.aget_state(thread())).values["log"]) == ["A: True", "B: True", "C: True"]


async def test_what_is_not_genuine_is_refused(graphs: Graphs, people: People, engine: TaskEngine, monkeypatch: Any):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await graph.ainvoke({}, thread())
    genuine = webhook(await people.answer())
    dispatch = partial(dispatch_resume, graph=graph, thread_id="t", engine=engine)
    for forged in (
        {"signature_header": None},
        {"signature_header": "sha256=00"},
        {"body": genuine["body"].replace(b"true", b"false")},
    ):
        with pytest.raises(InvalidSignatureError):
            await dispatch(**{**genuine, **forged})
    for body in (b"[]", b"{", b'{"task_id": 7}'):
        with pytest.raises(InvalidInputError):
            await dispatch(body=body, signature_header=sign_body(body, KEY), webhook_key=KEY)
    with pytest.raises(ConfigurationError, match="AWAITHUMANS_PAYLOAD_KEY"):
        await dispatch(**{**genuine, "webhook_key": None})
    assert graphs.runs["ask"] == 1
    monkeypatch.setenv("AWAITHUMANS_PAYLOAD_KEY", KEY)
    run = await dispatch(**{**genuine, "webhook_key": None})
    assert run
    state = await run
    assert state
    assert state.values["log"] == ["A: True"]


async def test_strangers_callbacks_do_nothing(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await graph.ainvoke({}, thread())
    [task] = await people.asked()
    stranger = await engine.create(replace(task.spec, idempotency_key="another"))
    other = await engine.submit(stranger.id, YES, by=ANA)
    assert await resumed(graph, engine, other) is None
    elsewhere = Engine(MemoryStore())
    async with elsewhere.run():
        assert await resumed(graph, elsewhere, other) is None
    open_still = (await people.asked())[0]
    assert await resumed(graph, engine, open_still) is None
    assert graphs.runs["ask"] == 1


async def test_a_node_hears_of_other_outcomes_and_running_it_again_asks_again(
    graphs: Graphs, people: People, engine: TaskEngine
):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await graph.ainvoke({}, thread())
    [task] = await people.asked()
    cancelled = await engine.cancel(task.id, by=AGENT)
    with pytest.raises(TaskCancelledError):
        await resumed(graph, engine, cancelled)
    assert await resumed(graph, engine, cancelled) is None
    await graph.ainvoke(None, thread())
    await people.asked(1, total=2)
    assert (await resumed(graph, engine, await people.answer())).values["log"] == ["A: True"]


async def test_a_misfit_is_asked_for_again_until_it_fits(
    graphs: Graphs, people: People, home: Engine, engine: TaskEngine
):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await graph.ainvoke({}, thread())
    for total in (1, 2):
        [task] = await people.asked(1, total=total)
        home._models.clear()  # as in another process, which does not know the model
        await resumed(graph, engine, await people.answer(note="damn"))
    [task] = await people.asked(1, total=3)
    assert "mind your language" in task.spec.initial_errors["note"]
    state = await resumed(graph, engine, await people.answer(note="fine"))
    assert state.values["log"] == ["A: True fine"]


async def test_async_nodes_create_their_tasks_too(graphs: Graphs, people: People, engine: TaskEngine):
    async def ask(state: State) -> State:
        return {"log": [str((await await_human_async(**question("A"), engine=engine)).approved)]}

    graph = graphs.compiled({"ask": ask})
    await graph.ainvoke({}, thread())
    assert (await resumed(graph, engine, await people.answer())).values["log"] == ["True"]


async def test_a_driver_drives_such_a_node_as_well(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A", "A"), "other": graphs.asking("other", "B")})
    drive = partial(drive_human_loop, graph, config=thread(), engine=engine)
    async with driving(partial(drive, input_state={})) as [first]:
        tasks = await people.asked(2)
        [a] = [task for task in tasks if task.spec.payload["order"] == "A"]
        await engine.cancel(a.id, by=AGENT)
        with pytest.raises(TaskCancelledError):
            await first.result()
    async with driving(drive) as [again]:
        await people.asked(2, total=3)
        await people.answer(NO, order="A")
        await people.asked(2, total=4)
        await people.answer(order="A")
        await people.answer(order="B")
        assert sorted((await again.result()).values["log"]) == ["A: False", "A: True", "B: True"]
    assert len(await people.all()) == 4


async def test_flask_and_django_dispatch_from_their_threads(graphs: Graphs, people: People, engine: TaskEngine):
    graphs.fields["engine"] = engine
    graph = graphs.compiled({"ask": graphs.asking("ask", "A")})
    await graph.ainvoke({}, thread())
    task = await people.answer()
    dispatch = partial(dispatch_resume_sync, graph=graph, thread_id="t", engine=engine, **webhook(task))

    def resume() -> Any:
        run = dispatch()
        return run.result(10) if run else None

    assert (await anyio.to_thread.run_sync(resume)).values["log"] == ["A: True"]
    assert await anyio.to_thread.run_sync(resume) is None


async def test_what_fails_in_the_resumed_graph_is_raised_to_whoever_waits_for_it(
    graphs: Graphs, people: People, engine: TaskEngine
):
    def broken(state: State) -> State:
        raise ConnectionError("the bank is away")

    graphs.fields["engine"] = engine
    nodes = {"ask": graphs.asking("ask", "A"), "pay": broken}
    graph = graphs.compiled(nodes, ("__start__", "ask"), ("ask", "pay"))
    await graph.ainvoke({}, thread())
    task = await people.answer()
    dispatch = partial(dispatch_resume_sync, graph=graph, thread_id="t", engine=engine, **webhook(task))
    run = await anyio.to_thread.run_sync(dispatch)
    assert run
    with pytest.raises(ConnectionError):
        await anyio.to_thread.run_sync(run.result, 10)


# ── In the engine's process ───────────────────────────────────────────────────


async def test_a_callback_in_the_engines_process(graphs: Graphs):
    graph = graphs.compiled({"ask": graphs.asking("ask", "A", "B")})
    engine = Engine(MemoryStore(), channels=[LangGraphChannel(graph)])
    people = People(engine)
    graphs.fields |= {"engine": engine, "callback_url": "langgraph:t"}
    async with engine.run():
        await graph.ainvoke({}, thread())
        for order in "AB":
            await people.asked()
            await people.answer(order=order)
        with anyio.fail_after(10):
            while not (await graph.aget_state(thread())).values.get("log"):
                await anyio.sleep(0.01)
    assert (await graph.aget_state(thread())).values["log"] == ["A: True", "B: True"]


async def test_a_graph_that_fails_is_run_again(graphs: Graphs):
    broken = True

    def charge(state: State) -> State:
        graphs.runs["charge"] += 1
        decision = await_human(**question("A"), engine=engine, callback_url="langgraph:shop/t")
        if broken:
            raise ConnectionError("the bank is away")
        return {"log": [f"charged: {decision.approved}"]}

    graph = graphs.compiled({"charge": charge})
    engine = Engine(MemoryStore(), channels=[LangGraphChannel({"shop": graph})])
    people = People(engine)
    async with engine.run():
        await graph.ainvoke({}, thread())
        await people.answer()
        with anyio.fail_after(10):
            while graphs.runs["charge"] < 2:
                await anyio.sleep(0.01)
        broken = False
        with anyio.fail_after(10):
            while not (await graph.aget_state(thread())).values.get("log"):
                await anyio.sleep(0.01)
    assert len(await people.all()) == 1


async def test_a_later_node_that_fails_is_run_again_too(graphs: Graphs):
    def pay(state: State) -> State:
        graphs.runs["pay"] += 1
        if graphs.runs["pay"] == 1:
            raise ConnectionError("the bank is away")
        return {"log": ["paid"]}

    nodes = {"ask": graphs.asking("ask", "A"), "pay": pay}
    graph = graphs.compiled(nodes, ("__start__", "ask"), ("ask", "pay"))
    engine = Engine(MemoryStore(), channels=[LangGraphChannel(graph)])
    graphs.fields |= {"engine": engine, "callback_url": "langgraph:t"}
    async with engine.run():
        await graph.ainvoke({}, thread())
        await People(engine).answer()
        with anyio.fail_after(10):
            while (await graph.aget_state(thread())).next:
                await anyio.sleep(0.01)
    assert (await graph.aget_state(thread())).values["log"] == ["A: True", "paid"]
    assert graphs.runs == {"ask": 2, "pay": 2}


async def test_a_run_that_was_cut_off_behind_the_answer_goes_on(graphs: Graphs, people: People, engine: Engine):
    hangs = anyio.Event()

    async def pay(state: State) -> State:
        graphs.runs["pay"] += 1
        if graphs.runs["pay"] == 1:
            hangs.set()
            await anyio.sleep_forever()
        return {"log": ["paid"]}

    graphs.fields["engine"] = engine
    nodes = {"ask": graphs.asking("ask", "A"), "pay": pay}
    graph = graphs.compiled(nodes, ("__start__", "ask"), ("ask", "pay"))
    await graph.ainvoke({}, thread())
    task = await people.answer()
    run = await dispatch_resume(graph=graph, thread_id="t", engine=engine, **webhook(task))
    assert run
    with anyio.fail_after(10):
        await hangs.wait()
    run.cancel()
    await asyncio.wait([run])
    states = [await resumed(graph, engine, task) for _ in range(2)]
    assert [state and state.values["log"] for state in states] == [["A: True", "paid"], None]
    assert graphs.runs == {"ask": 2, "pay": 2}


def test_a_run_that_ended_with_its_event_loop_is_begun_anew_on_another(graphs: Graphs):
    hanging = asyncio.Event()

    async def pay(state: State) -> State:
        graphs.runs["pay"] += 1
        if graphs.runs["pay"] == 1:
            hanging.set()
            await asyncio.Event().wait()
        return {"log": ["paid"]}

    nodes = {"ask": graphs.asking("ask", "A"), "pay": pay}
    graph = graphs.compiled(nodes, ("__start__", "ask"), ("ask", "pay"))
    channel = LangGraphChannel(graph)
    engine = Engine(MemoryStore(), channels=[channel], background=False)
    graphs.fields |= {"engine": engine, "callback_url": "langgraph:t"}

    async def answered() -> Notice:
        await graph.ainvoke({}, thread())
        task = await People(engine).answer()
        notice = Notice(id="n", event="closed", channel="langgraph", target="t", task=task)
        sending = asyncio.create_task(channel.send(notice))
        async with asyncio.timeout(10):
            await hanging.wait()
        assert not sending.done()
        return notice

    notice = asyncio.run(answered())
    asyncio.run(channel.send(notice))
    assert graph.get_state(thread()).values["log"] == ["A: True", "paid"]


@pytest.mark.parametrize("target", ["nowhere/t", "t", "shop/", "/t"])
async def test_a_callback_to_no_graph_is_refused(target: str, graphs: Graphs):
    with pytest.raises(InvalidRoutingError, match="names no graph"):
        LangGraphChannel({"shop": graphs.compiled({"ask": graphs.asking("ask")})}).check(target)
