"""Threads of graphs that LangGraph's own API server runs."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from langgraph.types import Interrupt, StateSnapshot
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from awaithumans import Actor, Engine, RemoteEngine, Task, TaskCancelledError, TaskSpec
from awaithumans.adapters.langgraph import (
    Ask,
    Question,
    drive_remote_loop,
    sweep_remote_threads,
    tool_reviews,
)
from awaithumans.adapters.langgraph.threads import Continue
from awaithumans.client import build_spec
from awaithumans.errors import ConfigurationError, GraphRunError
from awaithumans.types import AGENT
from tests.adapters.langgraph.driving import driving
from tests.adapters.langgraph.graphs import question
from tests.adapters.langgraph.people import NO, YES, People
from tests.langgraph_server import LangGraphServer, installed
from tests.test_remote import TOKEN, served

pytestmark = pytest.mark.anyio

ARGUMENTS = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "amount": {"type": "number"}},
    "required": ["order", "amount"],
}
SERVED = Path(__file__).with_name("served")


@pytest.fixture(scope="module")
def server() -> Iterator[LangGraphServer]:
    with installed(SERVED) as server:
        yield server


@pytest.fixture
async def client(server: LangGraphServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=server.url) as client:
        yield client


@pytest.fixture
def thread_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def drive(client: LangGraphClient, thread_id: str, engine: Engine) -> Any:
    return partial(drive_remote_loop, client, thread_id=thread_id, engine=engine)


def runs(server: LangGraphServer, thread_id: str) -> list[str]:
    """Tell which nodes of a thread have run, in their order."""
    return (server.folder / thread_id).read_text().split()


# ── Questions and answers ─────────────────────────────────────────────────────


@pytest.mark.parametrize("over_http", [False, True], ids=["Engine", "RemoteEngine"])
async def test_a_graph_waits_for_its_answer(
    over_http: bool,  # noqa: FBT001 - a parameter
    drive: Any,
    people: People,
    server: LangGraphServer,
    thread_id: str,
):
    async with served(people.engine) as url, RemoteEngine(url, TOKEN) as remote:
        chosen = remote if over_http else people.engine
        async with driving(partial(drive, assistant_id="one", input_state={"order": "A"}, engine=chosen)) as [driven]:
            [task] = await people.asked()
            assert task.spec.task == "Refund A?"
            await people.answer(NO, note="no receipt")
            state = await driven.result()
    assert state["values"]["log"] == ["A: False no receipt", "then"]
    assert state["next"] == []
    assert runs(server, thread_id) == ["ask", "ask", "then"]
    [task] = await people.all()
    assert task.collected_at


async def test_two_questions_of_a_node_are_two_tasks(drive: Any, people: People):
    async with driving(partial(drive, assistant_id="two", input_state={})) as [driven]:
        await people.asked()
        await people.answer(NO)
        await people.asked(total=2)
        await people.answer()
        assert (await driven.result())["values"]["log"] == ["A: False", "A: True"]


async def test_branches_are_asked_together_and_resumed_as_answers_come(
    drive: Any, people: People, server: LangGraphServer, thread_id: str
):
    async with driving(partial(drive, assistant_id="branches", input_state={})) as [driven]:
        await people.asked(3)
        await people.answer(order="B")
        with anyio.fail_after(10):
            while runs(server, thread_id).count("B") < 2:
                await anyio.sleep(0.05)
        await people.asked(2, total=3)
        await people.answer(order="C")
        await people.answer(NO, order="A")
        assert sorted((await driven.result())["values"]["log"]) == ["A: False", "B: True", "C: True"]
    assert len(await people.all()) == 3


async def test_a_driver_that_was_killed_is_followed_by_another(drive: Any, people: People):
    drive = partial(drive, assistant_id="one", input_state={"order": "A"})
    async with driving(drive):
        await people.asked()
    await people.answer()
    assert (await drive())["values"]["log"] == ["A: True", "then"]
    assert (await drive())["values"]["log"] == ["A: True", "then"], "a finished thread with the same input"
    assert len(await people.all()) == 1


async def test_an_answer_is_used_once_though_two_drive(
    drive: Any, people: People, server: LangGraphServer, thread_id: str
):
    drive = partial(drive, assistant_id="one", input_state={"order": "A"})
    async with driving(drive, drive) as driven:
        await people.asked(1, total=1)
        await people.answer()
        for one in driven:
            assert (await one.result())["values"]["log"] == ["A: True", "then"]
    assert runs(server, thread_id) == ["ask", "ask", "then"]


async def test_another_input_takes_another_turn_but_not_before_the_last_is_finished(drive: Any, people: People):
    for turn in (1, 2):
        with_input = partial(drive, assistant_id="one", input_state={"order": str(turn)})
        async with driving(with_input) as [driven]:
            await people.asked(1, total=turn)
            if turn == 1:
                with pytest.raises(ConfigurationError, match="has not finished with another input"):
                    await drive(assistant_id="one", input_state={"order": "2"}, wait=False)
            await people.answer()
            assert len((await driven.result())["values"]["log"]) == 2 * turn
    assert len((await with_input())["values"]["log"]) == 4, "the same input takes no turn"


async def test_an_answer_that_the_model_refuses_is_asked_for_once_more(drive: Any, people: People):
    async with driving(partial(drive, assistant_id="one", input_state={"order": "A"})) as [driven]:
        await people.asked()
        await people.answer(note="damn")
        [again] = await people.asked(1, total=2)
        assert "mind your language" in again.spec.initial_errors["note"]
        await people.answer(note="fine")
        assert (await driven.result())["values"]["log"] == ["A: True fine", "then"]


async def test_the_context_reaches_the_nodes_and_the_stream_its_reader(drive: Any, people: People):
    parts: list[Any] = []
    drive = partial(drive, assistant_id="contextual", context={"shop": "here"}, on_chunk=parts.append)
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await people.answer()
        assert (await driven.result())["values"]["log"] == ["here: True"]
    updates = [part.data for part in parts if part.event == "updates"]
    assert [next(iter(one)) for one in updates] == ["__interrupt__", "shop"]


# ── Calls of tools ────────────────────────────────────────────────────────────


def call_of(task: Task) -> Any:
    return task.spec.payload["arguments"]


@pytest.mark.parametrize(
    ("assistant", "tools", "as_json"),
    [
        ("reviewed_in_a_batch", {}, True),
        ("reviewed_in_a_batch", {"refund": ARGUMENTS}, False),
        ("reviewed_per_call", {}, False),
    ],
)
async def test_people_review_the_calls_of_tools(assistant: str, tools: Any, as_json: Any, drive: Any, people: People):
    drive = partial(drive, assistant_id=assistant, on_interrupt=tool_reviews(timeout_seconds=60, tools=tools))
    given = {"messages": [{"role": "user", "content": "A B C"}]}
    async with driving(partial(drive, input_state=given)) as [driven]:
        tasks = {call_of(task)["order"]: task for task in await people.asked(3)}
        edited = {"order": "B", "amount": 5.5}
        await people.submit(tasks["A"].id, {"decision": "approve"})
        await people.submit(tasks["B"].id, {"decision": "edit", **({"arguments": edited} if as_json else edited)})
        await people.submit(tasks["C"].id, {"decision": "reject", "message": "Not our order."})
        messages = (await driven.result())["values"]["messages"]
    told = {one["tool_call_id"]: one["content"] for one in messages if one["type"] == "tool"}
    assert told["A"] == "paid 9.99 for A"
    assert told["B"].endswith("paid 5.5 for B")
    assert "Not our order." in told["C"]


# ── What ended without an answer, or failed ───────────────────────────────────


async def test_a_cancelled_question_reaches_the_caller_and_driving_again_asks_somebody_else(
    drive: Any, people: People, engine: Engine
):
    drive = partial(drive, assistant_id="one")
    async with driving(partial(drive, input_state={"order": "A"})) as [first]:
        [task] = await people.asked()
        await engine.cancel(task.id, by=AGENT)
        with pytest.raises(TaskCancelledError):
            await first.result()

    def to_the_boss(spec: TaskSpec) -> TaskSpec:
        return replace(spec, assign_to={"email": "ana@example.com"})

    async with driving(partial(drive, reroute=to_the_boss)) as [again]:
        [task] = await people.asked(1, total=2)
        assert task.assignee
        assert task.assignee.email == "ana@example.com"
        await people.answer()
        assert (await again.result())["values"]["log"] == ["A: True", "then"]


async def test_a_node_may_catch_other_outcomes_and_one_it_does_not_catch_does_not_stick(
    drive: Any, people: People, engine: Engine
):
    catching = partial(drive, assistant_id="catching", raise_in_node=True)
    async with driving(partial(catching, input_state={})) as [driven]:
        [task] = await people.asked()
        await engine.cancel(task.id, by=AGENT)
        await people.asked(1, total=2)
        await people.answer()
        assert (await driven.result())["values"]["log"] == ["A: TaskCancelledError", "B: True"]

    raising = partial(drive, thread_id=str(uuid.uuid4()), assistant_id="one", raise_in_node=True)
    async with driving(partial(raising, input_state={"order": "A"})) as [driven]:
        [task] = await people.asked(1, total=3)
        await engine.cancel(task.id, by=AGENT)
        with pytest.raises(GraphRunError, match="TaskCancelledError"):
            await driven.result()
    async with driving(raising) as [driven]:
        await people.asked(1, total=4)
        await people.answer()
        assert (await driven.result())["values"]["log"] == ["A: True", "then"]


async def test_a_node_that_fails_is_told_and_run_again_and_nobody_asked_again(
    drive: Any, people: People, server: LangGraphServer, thread_id: str
):
    drive = partial(drive, assistant_id="failing")
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await people.answer()
        with pytest.raises(GraphRunError, match="the bank is away") as told:
            await driven.result()
    assert (told.value.thread_id, told.value.run_status) == (thread_id, "error")
    (server.folder / f"{thread_id}.mended").touch()
    assert (await drive())["values"]["log"] == ["A: True", "charge"]
    assert len(await people.all()) == 1
    assert runs(server, thread_id) == ["ask", "ask", "charge", "charge"]


# ── Others who run the thread ─────────────────────────────────────────────────


async def test_a_run_of_somebody_else_is_waited_for(
    drive: Any, people: People, client: LangGraphClient, server: LangGraphServer, thread_id: str
):
    await client.threads.create(thread_id=thread_id)
    await client.runs.create(thread_id, "gated", input={})
    async with driving(partial(drive, assistant_id="gated")) as [driven]:
        with anyio.fail_after(10):
            while not (server.folder / thread_id).exists():
                await anyio.sleep(0.05)
        (server.folder / f"{thread_id}.opened").touch()
        await people.asked()
        await people.answer()
        assert (await driven.result())["values"]["log"] == ["opened", "A: True"]
    assert runs(server, thread_id).count("gate") == 1


async def test_a_cancelled_run_is_raised_and_gone_on_with_when_driven_again(
    drive: Any, people: People, client: LangGraphClient, server: LangGraphServer, thread_id: str
):
    drive = partial(drive, assistant_id="gated")
    async with driving(partial(drive, input_state={})) as [driven]:
        with anyio.fail_after(10):
            while not (server.folder / thread_id).exists():
                await anyio.sleep(0.05)
        [run] = await client.runs.list(thread_id)
        await client.runs.cancel(thread_id, run["run_id"])
        (server.folder / f"{thread_id}.opened").touch()
        with pytest.raises(GraphRunError, match="interrupted"):
            await driven.result()
    assert await sweep_remote_threads(client, engine=people.engine, metadata={"graph_id": "gated"}) == []
    async with driving(drive) as [driven]:
        await people.asked()


async def test_what_somebody_else_has_resumed_is_withdrawn(
    drive: Any, people: People, client: LangGraphClient, thread_id: str
):
    drive = partial(drive, assistant_id="one", wait=False)
    [one] = (await drive(input_state={"order": "A"}))["interrupts"]
    task = await people.answer()
    resume = {"task_id": task.id, "status": "completed", "response": {"approved": False}, "content": None}
    await client.runs.wait(thread_id, "one", command={"resume": {one["id"]: resume}})
    state = await drive()
    assert state["next"] == ["ask"], "it is not an answer to this question, so the node asks again"
    assert len(await people.asked(1, total=2)) == 1


async def test_other_interrupts_are_left_to_the_caller_or_asked_about(
    drive: Any, people: People, client: LangGraphClient, thread_id: str
):
    drive = partial(drive, assistant_id="mixed")
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await people.answer()
        [one] = (await driven.result())["interrupts"]
    assert one["value"] == "a bare one"

    def ask(one: Interrupt) -> Question:
        spec = build_spec(**question(str(one.value)))
        return Question(asks=(Ask(spec=spec, read=lambda task: f"said {(task.response or {})['approved']}"),))

    async with driving(partial(drive, on_interrupt=ask)) as [driven]:
        [task] = await people.asked(1, total=2)
        assert task.spec.payload["order"] == "a bare one"
        await people.answer()
        assert sorted((await driven.result())["values"]["log"]) == ["A: True", "said True"]


async def test_a_breakpoint_is_left_to_the_caller_and_never_swept(
    drive: Any, people: People, client: LangGraphClient, thread_id: str
):
    drive = partial(drive, assistant_id="stopping")
    async with driving(partial(drive, input_state={})) as [driven]:
        await people.asked()
        await people.answer()
        assert (await driven.result())["next"] == ["last"]
    assert (await drive(input_state={}))["next"] == ["last"]
    assert await sweep_remote_threads(client, engine=people.engine, metadata={"graph_id": "stopping"}) == []
    assert (await drive())["next"] == ["last"], "nobody said that it may go on"
    assert (await drive(on_breakpoint=lambda state: Continue()))["values"]["log"] == ["A: True", "last"]


async def test_a_gate_inside_a_subgraph_holds_beside_a_branch_that_has_run(
    drive: Any, server: LangGraphServer, thread_id: str
):
    drive = partial(drive, assistant_id="holding_inside")
    assert (await drive(input_state={}))["next"] == ["inner"]
    assert (await drive(input_state={}))["next"] == ["inner"]
    assert sorted(runs(server, thread_id)) == ["beside", "plan"]
    await drive(on_breakpoint=lambda state: Continue())
    assert sorted(runs(server, thread_id)) == ["beside", "pay", "plan"]


async def test_people_may_be_asked_at_a_breakpoint(drive: Any, people: People):
    drive = partial(drive, assistant_id="stopping")

    def ask(state: StateSnapshot) -> Question:
        spec = build_spec(**question(f"{state.values['log']}, then {state.next[0]}"))
        return Question(asks=(Ask(spec=spec, read=lambda task: Continue(update={"log": ["edited"]})),))

    async with driving(partial(drive, input_state={}, on_breakpoint=ask)) as [driven]:
        await people.asked()
        await people.answer()
        [task] = await people.asked(1, total=2)
        assert task.spec.payload["order"] == "['A: True'], then last"
        await people.answer()
        assert (await driven.result())["values"]["log"] == ["A: True", "edited", "last"]


# ── Sweeping ──────────────────────────────────────────────────────────────────


async def test_a_sweep_asks_for_all_threads_and_resumes_what_is_answered(
    people: People, engine: Engine, client: LangGraphClient
):
    started = {}
    for order in ("A", "B", "C"):
        thread = await client.threads.create(metadata={"swept": "yes"})
        await client.runs.create(thread["thread_id"], "one", input={"order": order})
        started[order] = thread["thread_id"]
    with anyio.fail_after(20):
        while len(await client.threads.search(status="interrupted", metadata={"swept": "yes"})) < 3:
            await anyio.sleep(0.05)

    def reroute(spec: TaskSpec) -> TaskSpec:
        return replace(spec, assign_to={"email": f"{str(spec.payload['order']).lower()}@example.com"})

    async def answer_as_asked(value: dict[str, Any], order: str) -> None:
        [task] = [task for task in await people.opened() if task.spec.payload["order"] == order]
        assert task.assignee
        await engine.submit(task.id, value, by=Actor.of(task.assignee, auth="host", via="web"))

    sweep = partial(sweep_remote_threads, client, engine=engine, metadata={"swept": "yes"}, reroute=reroute)
    for _ in range(2):
        swept = await sweep()
        assert {one.thread_id for one in swept} == set(started.values())
        assert [one.error for one in swept] == [None] * 3
    tasks = await people.asked(3, total=3)
    assert {task.assignee.email for task in tasks if task.assignee} == {f"{name}@example.com" for name in "abc"}

    await answer_as_asked(NO, "A")
    [b] = [task for task in tasks if task.spec.payload["order"] == "B"]
    await engine.cancel(b.id, by=AGENT)
    told = {one.thread_id: one for one in await sweep()}
    states: dict[str, Any] = {name: one.state for name, one in told.items()}
    assert states[started["A"]]["values"]["log"] == ["A: False", "then"]
    assert isinstance(told[started["B"]].error, TaskCancelledError)
    assert states[started["C"]]["next"] == ["ask"]

    assert {one.thread_id for one in await sweep()} == {started["B"], started["C"]}
    await people.asked(2, total=4)
    for order in "BC":
        await answer_as_asked(YES, order)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(sweep)
    assert await sweep() == []
    for order, thread_id in started.items():
        state: Any = await client.threads.get_state(thread_id)
        assert state["values"]["log"] == [f"{order}: {order != 'A'}", "then"]


# ── A server that goes away ───────────────────────────────────────────────────


async def test_a_server_that_is_restarted_between_question_and_answer(people: People, engine: Engine):
    with installed(SERVED) as server:
        thread_id = str(uuid.uuid4())
        async with get_client(url=server.url) as client:
            drive = partial(drive_remote_loop, client, assistant_id="one", thread_id=thread_id, engine=engine)
            async with driving(partial(drive, input_state={"order": "A"})) as [driven]:
                await people.asked()
                server.stop()
                await people.answer()
                await anyio.to_thread.run_sync(server.start)
                assert (await driven.result())["values"]["log"] == ["A: True", "then"]
            assert runs(server, thread_id) == ["ask", "ask", "then"]


# ── A server of older releases ────────────────────────────────────────────────


class OldServer:
    """Speaks as much of the API as the driver uses, as servers did whose interrupts had no ids.

    It stands for what cannot be installed beside today's releases. Its graph
    has one step, which ends when all its interrupts are resumed.
    """

    def __init__(self, *questions: str) -> None:
        self.pending = list(questions)
        self.resumed: list[object] = []
        self.refusals: list[int] = []
        """The statuses that the next requests to run are refused with."""
        self.unwell: list[int] = []
        """The statuses that the next reads of the state are answered with."""

    def reply(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        match method, path.strip("/").split("?")[0].split("/")[2:]:
            case "POST", ["runs"]:
                return self._run(body)
            case "GET", ["runs"]:
                return 200, [{"run_id": "r", "status": "success"}]
            case "GET", ["runs", _] | ["runs", _, "join"]:
                return 200, {"run_id": "r", "status": "success"}
            case "POST", ["history"]:
                return 200, []
            case "GET", ["state"]:
                return (self.unwell.pop(0), {"detail": "later"}) if self.unwell else (200, self._state())
            case _:
                return 200, {"thread_id": "t", "status": "interrupted" if self.pending else "idle"}

    def _run(self, body: Any) -> tuple[int, Any]:
        if self.refusals:
            return self.refusals.pop(0), {"detail": "Thread is already running a task."}
        assert body["multitask_strategy"] == "reject"
        self.resumed.append(body["command"]["resume"])
        self.pending.pop(0)
        return 200, {"run_id": "r", "status": "pending"}

    def _state(self) -> dict[str, Any]:
        shown = [{"value": one, "resumable": True, "ns": ["ask:1"], "when": "during"} for one in self.pending]
        task = {"id": "1", "name": "ask", "error": None, "interrupts": shown}
        return {
            "values": {"resumed": self.resumed},
            "next": ["ask"] if shown else [],
            "tasks": [task] if shown else [],
            "metadata": {},
            "created_at": "2025-01-01T00:00:00Z",
            "checkpoint": {"checkpoint_id": "c"},
        }


@contextmanager
def speaking(old: OldServer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "null")
            status, reply = old.reply(self.command, self.path, body)
            sent = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_POST = do_GET  # noqa: N815 - the name that it is called by

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()


def about(one: Interrupt) -> Question:
    """Ask for a refund of what an interrupt names."""
    return Question(asks=(Ask(spec=build_spec(**question(str(one.value))), read=lambda task: task.response),))


async def test_interrupts_without_ids_are_resumed_one_at_a_time(people: People, engine: Engine):
    old = OldServer("A")
    with speaking(old) as url:
        async with get_client(url=url) as client:
            drive = partial(drive_remote_loop, client, assistant_id="old", thread_id="t", engine=engine)
            async with driving(partial(drive, on_interrupt=about)) as [driven]:
                await people.asked()
                await people.answer()
                assert (await driven.result())["values"] == {"resumed": [{"approved": True}]}


async def test_several_interrupts_without_ids_are_never_resumed(people: People, engine: Engine):
    old = OldServer("A", "B")
    with speaking(old) as url:
        async with get_client(url=url) as client:
            with pytest.raises(ConfigurationError, match="2 interrupts of thread t wait"):
                await drive_remote_loop(client, assistant_id="old", thread_id="t", engine=engine, on_interrupt=about)
    assert not old.resumed
    assert not await people.all()


async def test_a_server_that_is_unwell_or_busy_is_asked_again(people: People, engine: Engine):
    old = OldServer("A")
    old.unwell, old.refusals = [503, 429], [409, 409]
    with speaking(old) as url:
        async with get_client(url=url) as client:
            drive = partial(drive_remote_loop, client, assistant_id="old", thread_id="t", engine=engine)
            async with driving(partial(drive, on_interrupt=about)) as [driven]:
                await people.asked()
                await people.answer()
                await driven.result()
    assert old.resumed == [{"approved": True}]
    assert not old.refusals
