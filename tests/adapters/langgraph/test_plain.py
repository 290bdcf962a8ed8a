"""Interrupts of real graphs, asked as they are."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt, interrupt
from pydantic import BaseModel, field_validator
from typing_extensions import TypedDict

from awaithumans import SchemaValidationError
from awaithumans.adapters.langgraph import first_of, plain_questions, tool_reviews
from awaithumans.forms import long_text, render_fields, slider
from tests.adapters.langgraph.agents import MODES, THREAD, Agent, answered, question_of

pytestmark = pytest.mark.anyio


class State(TypedDict, total=False):
    got: Any


class Asking:
    """A graph with one node that asks, and what it got."""

    def __init__(self, value: object, **options: Any) -> None:
        def ask(state: State) -> State:
            return {"got": interrupt(value, **options)}

        builder = StateGraph(State)
        builder.add_node("ask", ask)
        builder.add_edge(START, "ask")
        self.graph = builder.compile(checkpointer=InMemorySaver())
        self.graph.invoke({}, THREAD)

    @property
    def interrupt(self) -> Interrupt:
        [one] = self.graph.get_state(THREAD).interrupts
        return one

    def resume(self, value: object) -> Any:
        return self.graph.invoke(Command(resume={self.interrupt.id: value}), THREAD)["got"]


def plain(**options: Any) -> Any:
    return plain_questions(**{"timeout_seconds": 60, **options})


async def got(value: object, response: dict[str, Any], schema: Any = None, **options: Any) -> Any:
    """Let a graph ask, people answer, and the graph go on; give what its node got."""
    asking = Asking(value, **({"response_schema": schema} if schema is not None else {}))
    return asking.resume(await answered(question_of(plain(**options), asking.interrupt), response))


def spec_of(value: object, **options: Any) -> Any:
    [ask] = question_of(plain(**options), Interrupt(value=value, id="1")).asks
    return ask.spec


def widget_of(spec: Any) -> str:
    [control] = render_fields(spec.form, spec.response_schema, {}, {})
    return control.widget


class Color(StrEnum):
    RED = "r"
    BLUE = "b"


class Verdict(BaseModel):
    approved: bool
    note: Annotated[str, long_text()] = ""

    @field_validator("note")
    @classmethod
    def _polite(cls, value: str) -> str:
        if value == "grr":
            raise ValueError("be polite")
        return value


# ── What is answered ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "widget", "answer"),
    [
        (str, "textarea", "Two\nlines."),
        (bool, "switch", True),
        (bool, "switch", False),
        (int, "number", 3),
        (float, "number", 99.99),
        (Literal["yes", "no"], "radio", "no"),
        (Color, "radio", "b"),
        (date, "date", "2026-01-31"),
        (list[str], "json", ["a", "b"]),
        (dict[str, int], "json", {"a": 1}),
        (Annotated[int, slider(min=1, max=5)], "number", 4),
    ],
    ids=str,
)
async def test_the_graph_gets_the_bare_answer(kind: Any, widget: str, answer: Any):
    assert widget_of(spec_of("Approve?", answer=kind)) == widget
    resumed = await got("Approve?", {"answer": answer}, answer=kind)
    assert resumed == answer
    assert type(resumed) is type(answer)


async def test_the_graph_gets_the_object_that_a_model_asks_for():
    answer = {"approved": True, "note": "fine"}
    assert await got("Approve?", answer, answer=Verdict) == answer
    controls = render_fields(spec_of("?", answer=Verdict).form, Verdict.model_json_schema(), {}, {})
    assert [(control.name, control.widget) for control in controls] == [("approved", "switch"), ("note", "textarea")]


async def test_the_graph_gets_the_object_that_a_typed_dict_asks_for():
    class Decision(TypedDict):
        approved: bool

    assert await got("Approve?", {"approved": False}, answer=Decision) == {"approved": False}


async def test_by_default_it_takes_a_text():
    assert await got("What now?", {"answer": "Go on."}) == "Go on."
    assert await got("Approve?", {"answer": "yes"}) == "yes"


@pytest.mark.parametrize(
    ("kind", "answer", "place"),
    [
        (bool, {"answer": "yes"}, "answer"),
        (str, {"answer": True}, "answer"),
        (str, {}, "answer"),
        (int, {"answer": "3"}, "answer"),
        (list[int], {"answer": [1, "2"]}, "answer.1"),
        (Verdict, {"approved": "yes"}, "approved"),
        (Verdict, {"approved": True, "note": "grr"}, "note"),
        (list[Verdict], {"answer": [{"approved": True, "note": "grr"}]}, "answer.0.note"),
    ],
)
async def test_an_answer_of_another_kind_is_refused_at_its_field(kind: Any, answer: dict[str, Any], place: str):
    asking = Asking("Approve?")
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question_of(plain(answer=kind), asking.interrupt), answer)
    assert list(refused.value.fields) == [place]


# ── The interrupt's own schema ────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "response", "expected"),
    [
        (bool, {"answer": True}, True),
        (Literal["a", "b"], {"answer": "a"}, "a"),
        ({"type": "integer", "minimum": 3}, {"answer": 3}, 3),
        (Verdict, {"approved": True}, Verdict(approved=True)),
        (list[Verdict], {"answer": [{"approved": True}]}, [Verdict(approved=True)]),
        (
            {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            {"n": 1},
            {"n": 1},
        ),
    ],
    ids=str,
)
async def test_the_schema_of_an_interrupt_decides_the_form(schema: Any, response: dict[str, Any], expected: Any):
    assert await got("Approve?", response, schema, answer=str) == expected


async def test_an_answer_that_the_interrupts_schema_refuses_does_not_reach_the_graph():
    asking = Asking("How many?", response_schema={"type": "integer", "minimum": 3})
    question = question_of(plain(), asking.interrupt)
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"answer": 2})
    assert refused.value.fields == {"answer": "must be at least 3"}
    assert asking.resume(await answered(question, {"answer": 4})) == 4


# ── What is asked ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "task", "payload"),
    [
        ("Approve?", "Approve?", {}),
        ({"question": "Approve?", "amount": 99.99}, "Approve?", {"amount": 99.99}),
        ({"task": "Approve?", "message": "Hello"}, "Approve?", {"message": "Hello"}),
        ({"question": "", "message": "Approve?"}, "Approve?", {"question": ""}),
        ({"question": {"text": "Approve?"}}, None, {"question": {"text": "Approve?"}}),
        ({"amount": 1}, None, {"amount": 1}),
        ({"on": date(2026, 1, 31), 5: {1}}, None, {"on": "2026-01-31", "5": [1]}),
        (Verdict(approved=True), None, {"approved": True, "note": ""}),
        (["a", 1], None, {"value": ["a", 1]}),
        ("  ", None, {"value": "  "}),
        (None, None, {"value": None}),
    ],
    ids=str,
)
def test_the_question_is_found_and_the_rest_is_shown(value: object, task: str | None, payload: dict[str, Any]):
    spec = spec_of(value)
    assert (spec.task, spec.payload) == (task or "The agent needs an answer to go on.", payload)


def test_the_host_may_say_what_is_asked():
    value = {"question": "Approve?", "amount": 5}
    assert spec_of(value, task="Is it right?").task == "Is it right?"
    spec = spec_of(value, task=lambda shown: f"Pay {shown['amount']}?")
    assert (spec.task, spec.payload) == ("Pay 5?", value)


async def test_what_no_task_can_hold_is_cut_or_shown_as_text():
    long = "x" * 30_000
    spec = spec_of(long)
    assert (len(spec.task), spec.payload) == (20_000, {"value": long})
    odd = {"question": "a\0b\ud800", "nan": float("nan"), "huge": 10**1_500, "deep": deep(100), "self": object}
    resumed = await answered(question_of(plain(), Interrupt(value=odd, id="1")), {"answer": "ok"})
    assert resumed == "ok"


def deep(levels: int) -> object:
    return [deep(levels - 1)] if levels else "bottom"


def test_who_is_asked_and_how_is_the_hosts_choice():
    spec = spec_of(
        "Approve?",
        assign_to=["ana@example.com", "bob@example.com"],
        notify=["log:x"],
        redact_payload=True,
        task_metadata={"team": "refunds"},
    )
    assert spec.assign_to == {"emails": ["ana@example.com", "bob@example.com"]}
    assert (spec.notify, spec.redact_payload, spec.metadata) == (("log:x",), True, {"team": "refunds"})
    assert (spec.timeout_seconds, spec.idempotency_key) == (60, "")


# ── Other handlers ────────────────────────────────────────────────────────────


def ping(n: int) -> str:
    """Ping."""
    return str(n)


@pytest.mark.parametrize("mode", MODES)
def test_the_review_of_a_call_is_left_to_those_who_know_it(mode: str):
    one = Agent([ping], [("ping", {"n": 1})], {"ping": True}, mode).interrupt
    assert plain()(one) is None
    handler = first_of(plain(), tool_reviews(timeout_seconds=60))
    assert question_of(handler, one).asks[0].spec.task == "Call ping(n=1)?"
    assert question_of(handler, Interrupt(value="Approve?", id="1")).asks[0].spec.task == "Approve?"


def test_the_first_that_makes_a_question_counts():
    one = Interrupt(value="Approve?", id="1")
    handler = first_of(lambda _: None, plain(task="first"), plain(task="second"))
    assert question_of(handler, one).asks[0].spec.task == "first"
    assert first_of()(one) is None
    assert first_of(lambda _: None)(one) is None
