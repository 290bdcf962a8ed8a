"""The middleware of LangChain is real, its tools are called, and people decide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, tool
from langgraph.prebuilt import InjectedState
from langgraph.types import Interrupt
from pydantic import BaseModel, Field, field_validator

from awaithumans import Engine, SchemaValidationError, TaskStatus
from awaithumans.adapters.langgraph import tool_reviews
from awaithumans.errors import TimeoutRangeError
from awaithumans.forms import parse, render_fields
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import VirtualClock
from tests.adapters.langgraph.agents import ANA, MODES, THREAD, Agent, answered, asked, question_of
from tests.web.world import World, as_person, hidden_token

pytestmark = pytest.mark.anyio

called: list[dict[str, Any]] = []
"""What the tools have been called with."""


@pytest.fixture(autouse=True)
def nothing_called() -> Iterator[None]:
    called.clear()
    yield
    called.clear()


class Item(BaseModel):
    sku: str
    count: int


@tool
def refund(  # noqa: PLR0917 - as agents have them
    order: str,
    amount: float,
    runtime: ToolRuntime,
    times: int = 1,
    speed: Literal["fast", "slow"] = "slow",
    note: str | None = None,
    items: list[Item] | None = None,
    state: Annotated[Any, InjectedState] = None,
    call_id: Annotated[str, InjectedToolCallId] = "",
) -> str:
    """Pay back."""
    called.append({"order": order, "amount": amount, "times": times, "speed": speed, "note": note, "items": items})
    return "refunded"


@tool
def send(to: str, message: str, decision: bool = True) -> str:  # noqa: FBT001, FBT002 - as agents have them
    """Send a message."""
    called.append({"to": to, "message": message, "decision": decision})
    return "sent"


REFUND: tuple[str, dict[str, Any]] = ("refund", {"order": "A-1", "amount": 99.99})
PLAIN = {"order": "A-1", "amount": 99.99, "times": 1, "speed": "slow", "note": None, "items": None}


def refunding(mode: str = "batched", *calls: tuple[str, dict[str, Any]], allowed: list[str] | None = None) -> Agent:
    on = {"allowed_decisions": allowed} if allowed else True
    return Agent([refund, send], calls or [REFUND], {"refund": on, "send": on}, mode)


def reviews(**options: Any) -> Any:
    return tool_reviews(**{"timeout_seconds": 3_600, "tools": [refund, send], **options})


async def decide(agent: Agent, *answers: dict[str, Any], **options: Any) -> None:
    """Answer all that the agent waits for, and resume it."""
    left = list(answers)
    for one in agent.interrupts:
        question = question_of(reviews(**options), one)
        mine, left = left[: len(question.asks)], left[len(question.asks) :]
        agent.resume(one, await answered(question, *mine))


# ── Decisions ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tools", [(), [refund, send]], ids=["unknown-tools", "known-tools"])
async def test_an_approved_call_is_made_as_it_stands(mode: str, tools: Any):
    agent = refunding(mode)
    await decide(agent, {"decision": "approve"}, tools=tools)
    assert called == [PLAIN]
    assert agent.heard == [("success", "refunded")]


@pytest.mark.parametrize("mode", MODES)
async def test_an_edited_call_is_made_with_the_types_that_were_meant(mode: str):
    agent = refunding(mode)
    edited = {"order": "A-1", "amount": 50.5, "times": 2, "items": [{"sku": "x", "count": 3}]}
    await decide(agent, {"decision": "edit", **edited})
    assert called == [{**PLAIN, **edited, "items": [Item(sku="x", count=3)]}]
    assert [type(called[0][name]) for name in ("amount", "times")] == [float, int]
    assert "a human reviewer replaced this tool call" in agent.heard[0][1]


@pytest.mark.parametrize("mode", MODES)
async def test_a_rejected_call_is_not_made_and_the_agent_is_told_why(mode: str):
    agent = refunding(mode)
    await decide(agent, {"decision": "reject", "message": "Too much."})
    assert called == []
    [(status, text)] = agent.heard
    assert status == "error"
    assert text.endswith("with reason: Too much.")


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_may_be_rejected_without_a_reason(mode: str):
    agent = refunding(mode)
    await decide(agent, {"decision": "reject"})
    assert (called, agent.waiting) == ([], False)


@pytest.mark.parametrize("mode", MODES)
async def test_a_response_takes_the_place_of_the_tool(mode: str):
    agent = refunding(mode)
    await decide(agent, {"decision": "respond", "message": "It was paid back yesterday."})
    assert called == []
    assert agent.heard == [("success", "It was paid back yesterday.")]


@pytest.mark.parametrize("mode", MODES)
async def test_each_of_several_calls_gets_its_own_decision(mode: str):
    calls = [REFUND, ("refund", {"order": "A-2", "amount": 7}), ("send", {"to": "bob", "message": "Hello"})]
    agent = refunding(mode, *calls)
    await decide(
        agent,
        {"decision": "reject", "message": "no"},
        {"decision": "approve"},
        {"decision": "edit", "to": "eve", "message_": "Goodbye", "decision_": False},
    )
    assert sorted(called, key=str) == sorted(
        [{**PLAIN, "order": "A-2", "amount": 7.0}, {"to": "eve", "message": "Goodbye", "decision": False}], key=str
    )
    assert not agent.waiting


async def test_calls_that_need_no_review_are_not_asked_about():
    agent = Agent([refund, send], [("send", {"to": "bob", "message": "Hi"}), REFUND], {"refund": True})
    question = question_of(reviews(), agent.interrupt)
    assert [ask.spec.payload["tool"] for ask in question.asks] == ["refund"]
    agent.resume(agent.interrupt, await answered(question, {"decision": "approve"}))
    assert len(called) == 2


async def test_an_edit_that_changes_nothing_is_an_approval():
    question = question_of(reviews(), refunding().interrupt)
    assert await answered(question, {"decision": "edit", **REFUND[1]}) == {"decisions": [{"type": "approve"}]}


async def test_an_edit_that_changes_nothing_stays_one_where_approval_is_not_allowed():
    agent = refunding(allowed=["edit", "reject"])
    await decide(agent, {"decision": "edit", **REFUND[1]})
    assert called == [PLAIN]


async def test_an_argument_that_an_edit_leaves_out_is_not_passed():
    agent = refunding("batched", ("refund", {"order": "A-1", "amount": 1, "note": "loud", "times": 4}))
    await decide(agent, {"decision": "edit", "order": "A-1", "amount": 1, "times": 5})
    assert called == [{**PLAIN, "amount": 1.0, "times": 5}]


async def test_arguments_that_nobody_declared_outlive_an_edit():
    agent = refunding("batched", ("refund", {**REFUND[1], "trace": "t-1"}))
    question = question_of(reviews(), agent.interrupt)
    resumed: Any = await answered(question, {"decision": "edit", "order": "A-2", "amount": 99.99})
    assert resumed["decisions"][0]["edited_action"]["args"] == {"order": "A-2", "amount": 99.99, "trace": "t-1"}


# ── Answers that are refused ──────────────────────────────────────────────────

REFUSED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"decision"}),
    ({"decision": "maybe"}, {"decision"}),
    ({"decision": "respond"}, {"message"}),
    ({"decision": "respond", "message": ""}, {"message"}),
    ({"decision": "approve", "message": "but only once"}, {"message"}),
    ({"decision": "approve", "amount": 5}, {"amount"}),
    ({"decision": "approve", "note": "changed"}, {"note"}),
    ({"decision": "edit"}, {"order", "amount"}),
    ({"decision": "edit", "order": "A-1", "amount": "99.99"}, {"amount"}),
    ({"decision": "edit", "order": "A-1", "amount": 5, "times": True}, {"times"}),
    ({"decision": "edit", "order": "A-1", "amount": 5, "times": 1.5}, {"times"}),
    ({"decision": "edit", "order": 1, "amount": 5}, {"order"}),
    ({"decision": "edit", "order": "A-1", "amount": 5, "speed": "warp"}, {"speed"}),
    ({"decision": "edit", "order": "A-1", "amount": 5, "items": [{"sku": "x"}]}, {"items.0.count"}),
    ({"decision": "edit", "order": "A-1", "amonut": 5}, {"amonut", "amount"}),
    ({"decision": "edit", "order": "A-1", "amount": 5, "state": {}}, {"state"}),
    ({"decision": "edit", "order": "A-1", "amount": 5, "message": "cheaper"}, {"message"}),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("answer", "places"), REFUSED, ids=lambda value: json.dumps(value, default=sorted)[:50])
async def test_a_bad_answer_is_refused_at_its_fields_and_a_good_one_still_counts(
    mode: str, answer: dict[str, Any], places: set[str]
):
    agent = refunding(mode)
    question = question_of(reviews(), agent.interrupt)
    humans = Engine(MemoryStore())
    [task] = await asked(humans, question)
    with pytest.raises(SchemaValidationError) as refused:
        await humans.submit(task.id, answer, by=ANA)
    assert set(refused.value.fields) == places
    assert (called, (await humans.get(task.id)).status) == ([], TaskStatus.PENDING)
    closed = await humans.submit(task.id, {"decision": "approve"}, by=ANA)
    agent.resume(agent.interrupt, question.resume([question.asks[0].read(closed)]))
    assert called == [PLAIN]


@pytest.mark.parametrize("decision", ["edit", "reject", "respond"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_decision_that_is_not_allowed_is_refused(mode: str, decision: str):
    question = question_of(reviews(), refunding(mode, allowed=["approve"]).interrupt)
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"decision": decision})
    assert "decision" in refused.value.fields


class Transfer(BaseModel):
    iban: str
    cents: Annotated[int, Field(gt=0)]

    @field_validator("iban")
    @classmethod
    def _german(cls, value: str) -> str:
        if not value.startswith("DE"):
            raise ValueError("only German accounts")
        return value


@tool(args_schema=Transfer)
def transfer(iban: str, cents: int) -> str:
    """Send money."""
    called.append({"iban": iban, "cents": cents})
    return "sent"


@pytest.mark.parametrize("tools", [[transfer], {"transfer": Transfer}], ids=["tool", "model"])
async def test_what_only_the_tools_own_model_can_tell_is_refused_before_the_graph_is_resumed(tools: Any):
    agent = Agent([transfer], [("transfer", {"iban": "DE1", "cents": 5})], {"transfer": True})
    question = question_of(reviews(tools=tools), agent.interrupt)
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"decision": "edit", "iban": "FR1", "cents": 5})
    assert list(refused.value.fields) == ["iban"]
    agent.resume(agent.interrupt, await answered(question, {"decision": "edit", "iban": "DE2", "cents": 6}))
    assert called == [{"iban": "DE2", "cents": 6}]


async def test_an_edit_that_langgraph_would_refuse_is_refused_before():
    """A host may tell other arguments than the agent's tool has; in per_call mode that shows."""
    agent = refunding("per_call")
    question = question_of(reviews(tools={"refund": {"properties": {"amount": {}}}}), agent.interrupt)
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"decision": "edit", "amount": "lots"})
    assert refused.value.fields == {"amount": "must be a number"}
    assert agent.waiting


# ── What people see ───────────────────────────────────────────────────────────


async def test_the_question_and_what_it_is_about_read_well():
    [ask] = question_of(reviews(assign_to="ana@example.com", notify=["log:x"]), refunding().interrupt).asks
    assert ask.spec.task == "Call refund(order='A-1', amount=99.99)?"
    assert ask.spec.payload == {
        "tool": "refund",
        "arguments": {"order": "A-1", "amount": 99.99},
        "description": "Tool execution requires approval",
    }
    assert (ask.spec.assign_to, ask.spec.notify) == ({"email": "ana@example.com"}, ("log:x",))
    assert (ask.spec.timeout_seconds, ask.spec.idempotency_key) == (3_600, "")


async def test_the_hosts_own_description_is_shown():
    on = {"refund": {"allowed_decisions": ["approve"], "description": "More than 50 euros"}}
    [ask] = question_of(reviews(), Agent([refund], [REFUND], on).interrupt).asks
    assert ask.spec.payload["description"] == "More than 50 euros"


async def test_long_arguments_do_not_make_a_long_question():
    agent = refunding("batched", ("refund", {"order": "x" * 5_000, "amount": 1, "note": "y" * 5_000}))
    [ask] = question_of(reviews(), agent.interrupt).asks
    assert len(ask.spec.task) < 300
    crowded = StructuredTool.from_function(lambda **_: "", name="crowded", description="d", args_schema={})
    agent = Agent([crowded], [("crowded", {f"name-{n}": n for n in range(99)})], {"crowded": True})
    assert question_of(reviews(), agent.interrupt).asks[0].spec.task == "Call crowded(…)?"


async def test_a_redacted_question_does_not_tell_the_arguments():
    [ask] = question_of(reviews(redact_payload=True), refunding().interrupt).asks
    assert (ask.spec.task, ask.spec.redact_payload) == ("Call refund?", True)


async def test_a_tool_that_people_only_answer_for_is_asked_about_like_that():
    on = {"refund": {"allowed_decisions": ["respond"]}}
    agent = Agent([refund], [REFUND], on)
    [ask] = question_of(reviews(), agent.interrupt).asks
    assert ask.spec.task == "What is the answer of refund(order='A-1', amount=99.99)?"
    assert fields_of(ask.spec)["decision"].values == ("respond",)


def fields_of(spec: Any) -> dict[str, Any]:
    drawn = render_fields(spec.form, spec.response_schema, spec.initial_response or {}, {})
    return {control.name: control for control in drawn if control.widget != "display"}


@pytest.mark.parametrize("mode", MODES)
async def test_only_the_allowed_decisions_are_offered(mode: str):
    for allowed in (["approve"], ["reject", "approve"], ["respond", "edit"]):
        spec = question_of(reviews(), refunding(mode, allowed=allowed).interrupt).asks[0].spec
        fields = fields_of(spec)
        assert {option.value for option in fields["decision"].options} == {*allowed}
        assert ("order" in fields) == ("edit" in allowed)
        assert ("message" in fields) == bool({"reject", "respond"} & {*allowed})


async def test_arguments_are_edited_in_fields_of_their_types_that_start_as_proposed():
    agent = refunding("batched", ("refund", {**REFUND[1], "times": 3, "speed": "fast", "items": [{"sku": "x"}]}))
    fields = fields_of(question_of(reviews(), agent.interrupt).asks[0].spec)
    shown = {name: (control.widget, control.values) for name, control in fields.items()}
    assert shown == {
        "decision": ("radio", ()),
        "message": ("textarea", ()),
        "order": ("text", ("A-1",)),
        "amount": ("number", ("99.99",)),
        "times": ("number", ("3",)),
        "speed": ("radio", ("fast",)),
        "note": ("text", ()),
        "items": ("json", ()),  # what was proposed does not fit
    }


async def test_the_arguments_of_an_unknown_tool_are_edited_as_json():
    agent = refunding()
    question = question_of(reviews(tools=()), agent.interrupt)
    assert fields_of(question.asks[0].spec)["arguments"].widget == "json"
    with pytest.raises(SchemaValidationError):
        await answered(question, {"decision": "edit", "arguments": [1]})
    with pytest.raises(SchemaValidationError):
        await answered(question, {"decision": "approve", "arguments": {"order": "A-1", "amount": 1}})
    edited = {"order": "A-1", "amount": 12.25}
    agent.resume(agent.interrupt, await answered(question, {"decision": "edit", "arguments": edited}))
    assert called == [{**PLAIN, "amount": 12.25}]


async def test_in_per_call_mode_the_arguments_are_known_without_the_tools():
    spec = question_of(reviews(tools=()), refunding("per_call").interrupt).asks[0].spec
    assert fields_of(spec)["amount"].widget == "number"
    assert not {"state", "call_id", "runtime"} & {*fields_of(spec)}


ODD_SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}},
    {"type": "object", "properties": {"n": {"type": "integer"}, "": {}}},
    {"type": "object", "properties": {"n": {"type": "integer"}, "code": {"type": "string", "pattern": r"(a)\1"}}},
    {"$ref": "#/$defs/all", "$defs": {"all": {"type": "object", "properties": {"n": {"type": "integer"}}}}},
    {"type": "object", "properties": {f"p{n}": {} for n in range(501)}},
]


@pytest.mark.parametrize("schema", ODD_SCHEMAS, ids=range(len(ODD_SCHEMAS)))
async def test_a_schema_that_makes_no_fields_is_edited_as_json(schema: dict[str, Any]):
    def odd(**args: Any) -> str:
        called.append(args)
        return "done"

    taking = StructuredTool.from_function(odd, name="odd", description="odd", args_schema=schema)
    agent = Agent([taking], [("odd", {"n": 1})], {"odd": True})
    question = question_of(reviews(tools=[taking]), agent.interrupt)
    resumed: Any = await answered(question, {"decision": "edit", "arguments": {"n": 2}})
    assert resumed["decisions"][0]["edited_action"] == {"name": "odd", "args": {"n": 2}}


async def test_json_arguments_are_checked_against_the_schema_all_the_same():
    recursive = {"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}}
    taking = StructuredTool.from_function(lambda **_: "", name="odd", description="odd", args_schema=recursive)
    agent = Agent([taking], [("odd", {"n": 1})], {"odd": True})
    question = question_of(reviews(tools=[taking]), agent.interrupt)
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"decision": "edit", "arguments": {"child": {"n": "2"}}})
    assert list(refused.value.fields) == ["arguments.child.n"]


async def test_a_tool_without_arguments_is_approved_or_rejected():
    def ping() -> str:
        """Ping."""
        called.append({})
        return "pong"

    for mode in MODES:
        agent = Agent([ping], [("ping", {})], {"ping": True}, mode)
        question = question_of(reviews(tools=[ping]), agent.interrupt)
        agent.resume(agent.interrupt, await answered(question, {"decision": "edit"}))
    assert called == [{}, {}]


async def test_a_nullable_argument_that_is_required_can_be_emptied():
    def book(seat: int | None, name: str) -> str:
        """Book a seat."""
        called.append({"seat": seat, "name": name})
        return "booked"

    agent = Agent([book], [("book", {"seat": 4, "name": ""})], {"book": True})
    question = question_of(reviews(tools=[book]), agent.interrupt)
    agent.resume(agent.interrupt, await answered(question, {"decision": "edit"}))
    assert called == [{"seat": None, "name": ""}]


# ── Time ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", MODES)
async def test_a_timeout_can_be_a_rejection(mode: str):
    agent = refunding(mode)
    question = question_of(reviews(reject_on_timeout=True), agent.interrupt)
    agent.resume(agent.interrupt, question.resume([question.asks[0].read(await timed_out(question))]))
    assert called == []
    [(status, text)] = agent.heard
    assert (status, "in time" in text) == ("error", True)


async def timed_out(question: Any) -> Any:
    clock = VirtualClock()
    async with Engine(MemoryStore(), clock=clock).run() as humans:
        [task] = await asked(humans, question)
        await clock.advance(2 * 3_600)
        task = await humans.get(task.id)
    assert task.status is TaskStatus.TIMED_OUT
    return task


async def test_a_timeout_is_a_rejection_only_where_that_is_asked_for_and_allowed():
    rejecting = question_of(reviews(reject_on_timeout=True), refunding().interrupt)
    assert rejecting.asks[0].outcomes == {TaskStatus.COMPLETED, TaskStatus.TIMED_OUT}
    assert question_of(reviews(), refunding().interrupt).asks[0].outcomes == {TaskStatus.COMPLETED}
    asking = question_of(reviews(reject_on_timeout=True), refunding(allowed=["approve"]).interrupt)
    assert asking.asks[0].outcomes == {TaskStatus.COMPLETED}


def test_a_timeout_out_of_range_is_refused_at_once():
    with pytest.raises(TimeoutRangeError):
        tool_reviews(timeout_seconds=0)


# ── Other interrupts ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [
        "Approve?",
        None,
        7,
        ["action_requests"],
        {"question": "Approve?"},
        {"action_requests": [], "review_configs": []},
        {"action_requests": [{"name": "refund", "args": {}}], "review_configs": []},
        {"action_requests": [{"name": "refund"}], "review_configs": [{"action_name": "refund"}]},
        {"action_requests": "refund", "review_configs": None},
        {"type": "tool_approval", "name": "refund", "args": {}},
    ],
)
def test_other_interrupts_are_left_to_others(value: object):
    assert reviews()(Interrupt(value=value, id="1")) is None


def test_a_decision_that_is_not_known_is_not_offered():
    value = {
        "action_requests": [{"name": "refund", "args": {}}],
        "review_configs": [{"action_name": "refund", "allowed_decisions": ["approve", "delegate"]}],
    }
    spec = question_of(reviews(), Interrupt(value=value, id="1")).asks[0].spec
    assert [option.value for option in fields_of(spec)["decision"].options] == ["approve"]


# ── Through the form ──────────────────────────────────────────────────────────


async def on_the_page(world: World, question: Any, **changes: str) -> Any:
    """Open the page, change some fields, send it; give the response."""
    [ask] = question.asks
    task = await world.engine.create(replace(ask.spec, idempotency_key="key"))
    async with world.client() as client:
        page = await client.get(f"/tasks/{task.id}", headers=as_person("ana"))
        sent = {"_awaithumans_csrf": hidden_token(page.text), **standing_in(page.text), **changes}
        response = await client.post(f"/tasks/{task.id}", data=sent, headers=as_person("ana"))
    return response, await world.engine.get(task.id)


def standing_in(page: str) -> dict[str, str | list[str]]:
    """Read what stands in the fields of a page's answer, as a browser would send it."""
    form = page.partition('class="answer"')[2].partition("</form>")[0]
    found: dict[str, str | list[str]] = {}
    for one in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', one), re.search(r'value="([^"]*)"', one)
        if name and value and ('type="radio"' not in one or " checked" in one):
            found[name[1]] = [*found.get(name[1], []), unescape(value[1])]
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        found[name] = unescape(text).removeprefix("\n").replace("\r\n", "\n").replace("\n", "\r\n")
    return found


@pytest.mark.parametrize("mode", MODES)
async def test_an_edit_on_the_page_reaches_the_tool(mode: str):
    agent = refunding(mode, ("refund", {**REFUND[1], "note": "two\nlines", "items": [{"sku": "x", "count": 1}]}))
    question = question_of(reviews(), agent.interrupt)
    response, task = await on_the_page(World(), question, decision="edit", amount="49.90")
    assert response.status_code == 303
    agent.resume(agent.interrupt, question.resume([question.asks[0].read(task)]))
    assert called == [{**PLAIN, "amount": 49.9, "note": "two\nlines", "items": [Item(sku="x", count=1)]}]


async def test_an_approval_on_the_page_counts_though_the_form_sends_all_fields():
    agent = refunding("batched", ("refund", {"order": "A-1\r\n", "amount": 7.0, "note": ""}))
    question = question_of(reviews(), agent.interrupt)
    response, task = await on_the_page(World(), question, decision="approve")
    assert response.status_code == 303
    assert question.asks[0].read(task) == {"type": "approve"}


async def test_an_approval_of_changed_arguments_comes_back_with_the_fault_at_the_field():
    question = question_of(reviews(), refunding().interrupt)
    response, task = await on_the_page(World(), question, decision="approve", amount="49.90")
    assert (response.status_code, task.status) == (422, TaskStatus.PENDING)
    assert "choose Edit to change it" in response.text


@pytest.mark.parametrize("changed", [{"amount": 5}, {"note": "new"}, {"times": 2}, {"items": []}])
@pytest.mark.parametrize("tools", [(), [refund]], ids=["unknown-tools", "known-tools"])
async def test_an_approval_of_changed_arguments_says_what_to_choose(tools: Any, changed: dict[str, Any]):
    question = question_of(reviews(tools=tools), refunding().interrupt)
    answer = changed if tools else {"arguments": {**REFUND[1], **changed}}
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"decision": "approve", **answer})
    assert refused.value.fields == dict.fromkeys(answer, "choose Edit to change it")


async def test_a_call_with_bad_arguments_can_be_rejected_on_the_page():
    agent = refunding("batched", ("refund", {"order": 5, "amount": "lots"}))
    question = question_of(reviews(), agent.interrupt)
    response, task = await on_the_page(World(), question, decision="reject")
    assert response.status_code == 303
    assert question.asks[0].read(task) == {"type": "reject"}


# ── Any arguments ─────────────────────────────────────────────────────────────

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text.strip())
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15)


@tool
def everything(  # noqa: PLR0917 - as agents have them
    text: str,
    number: float,
    whole: int,
    yes: bool,  # noqa: FBT001
    maybe: int | None,
    choice: Literal["a", "b", 3],
    several: list[Literal["x", "y"]],
    anything: dict[str, Any],
) -> str:
    """Take everything."""
    called.append(
        {
            "text": text,
            "number": number,
            "whole": whole,
            "yes": yes,
            "maybe": maybe,
            "choice": choice,
            "several": several,
            "anything": anything,
        }
    )
    return "taken"


SOME = st.fixed_dictionaries(
    {
        "text": TEXT,
        "number": NUMBER,
        "whole": st.integers(-(10**18), 10**18),
        "yes": st.booleans(),
        "maybe": st.none() | st.integers(-99, 99),
        "choice": st.sampled_from(["a", "b", 3]),
        "several": st.lists(st.sampled_from(["x", "y"]), unique=True).map(sorted),
        "anything": st.dictionaries(TEXT, st.none() | st.booleans() | NUMBER | TEXT | st.lists(NUMBER), max_size=3),
    }
)


def typed_in(question: Any, args: dict[str, Any]) -> dict[str, list[str]]:
    """Write arguments into the fields of the form, as a person would."""
    spec = question.asks[0].spec
    drawn = render_fields(spec.form, spec.response_schema, args, {})
    return {control.name: list(control.values) for control in drawn} | {"decision": ["edit"]}


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(proposed=SOME, wanted=SOME)
async def test_any_arguments_pass_from_the_form_to_the_tool_as_they_are(
    mode: str, proposed: dict[str, Any], wanted: dict[str, Any]
):
    called.clear()
    agent = Agent([everything], [("everything", proposed)], {"everything": True}, mode)
    question = question_of(reviews(tools=[everything]), agent.interrupt)
    spec = question.asks[0].spec
    sent = parse(spec.form, spec.response_schema, typed_in(question, wanted), spec.initial_response)
    assert sent.errors == {}
    agent.resume(agent.interrupt, await answered(question, dict(sent.value)))
    assert called == [wanted]
    assert {name: type(value) for name, value in called[0].items()} == {
        **{name: type(value) for name, value in wanted.items()},
        "number": float,
    }


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(proposed=st.dictionaries(st.sampled_from([*everything.args]), NUMBER | TEXT | st.none() | st.lists(TEXT)))
async def test_any_call_can_be_approved_or_rejected_by_a_form_that_is_sent_as_it_was_drawn(proposed: dict[str, Any]):
    value = {
        "action_requests": [{"name": "everything", "args": proposed}],
        "review_configs": [{"action_name": "everything", "allowed_decisions": ["approve", "edit", "reject"]}],
    }
    question = question_of(reviews(tools=[everything]), Interrupt(value=value, id="1"))
    spec = question.asks[0].spec
    start = spec.initial_response or {}
    for decision in ("approve", "reject"):
        drawn = {**typed_in(question, dict(start)), "decision": [decision]}
        sent = parse(spec.form, spec.response_schema, drawn, start)
        assert sent.errors == {}
        assert await answered(question, dict(sent.value)) == {"decisions": [{"type": decision}]}


def test_a_tool_is_known_by_the_name_that_the_model_calls_it_by():
    def unnamed(n: int) -> str:
        """Do it."""
        return str(n)

    named: BaseTool = tool("renamed")(unnamed)
    agent = Agent([named], [("renamed", {"n": 1})], {"renamed": True})
    assert "n" in fields_of(question_of(reviews(tools=[named]), agent.interrupt).asks[0].spec)
    assert agent.graph.get_state(THREAD).next
