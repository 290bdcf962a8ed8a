"""Real graphs that stop at breakpoints, and people who let them go on."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Command

from awaithumans import ConfigurationError, SchemaValidationError
from awaithumans.adapters.langgraph import Continue, breakpoint_questions
from awaithumans.admission import MAX_CONTENT_LENGTH
from awaithumans.forms import render_fields
from tests.adapters.langgraph.agents import THREAD, answered

pytestmark = pytest.mark.anyio


@dataclass
class Customer:
    name: str


class State(TypedDict, total=False):
    order: str
    amount: float
    limits: dict[str, int]
    go_on: str
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]
    customer: Customer


START_STATE: Any = {
    "order": "A-1",
    "amount": 99.99,
    "limits": {"day": 3},
    "go_on": "x",
    "log": ["begun"],
    "messages": [HumanMessage("Pay back.")],
    "customer": Customer("Ana"),
}


class Shop:
    """A graph that stops before it pays."""

    def __init__(self, **breakpoints: Any) -> None:
        builder = StateGraph(State)
        builder.add_node("look", lambda state: {"log": ["looked"], "messages": [AIMessage("I will.")]})
        builder.add_node("pay", lambda state: {"log": [f"paid {state['amount']} for {state['order']}"]})
        builder.add_node("tell", lambda state: {"log": ["told"]})
        builder.add_edge(START, "look")
        builder.add_edge("look", "pay")
        builder.add_edge("look", "tell")
        builder.add_edge("pay", END)
        self.graph = builder.compile(checkpointer=InMemorySaver(), **breakpoints)
        self.graph.invoke(START_STATE, THREAD)

    def question(self, **options: Any) -> Any:
        ask = breakpoint_questions(**{"timeout_seconds": 60, "graph": self.graph, **options})
        return ask(self.graph.get_state(THREAD))

    def go_on(self, step: Any) -> Any:
        assert isinstance(step, Continue)
        return self.graph.invoke(None if step.update is None else Command(update=step.update), THREAD)


@pytest.fixture
def shop() -> Shop:
    return Shop(interrupt_before=["pay"])


async def test_the_question_shows_where_the_graph_stands(shop: Shop):
    spec = shop.question(assign_to="ana@example.com").asks[0].spec
    assert spec.task == "Continue with pay and tell?"
    assert spec.payload == {
        "next": ["pay", "tell"],
        "state": {
            "order": "A-1",
            "amount": 99.99,
            "limits": {"day": 3},
            "go_on": "x",
            "log": ["begun", "looked"],
            "messages": [{"type": "human", "content": "Pay back."}, {"type": "ai", "content": "I will."}],
            "customer": {"name": "Ana"},
        },
    }
    assert spec.assign_to == {"email": "ana@example.com"}
    assert [control.name for control in render_fields(spec.form, spec.response_schema, {}, {})] == ["go_on"]


@pytest.mark.parametrize("breakpoints", [{"interrupt_before": ["pay"]}, {"interrupt_after": ["look"]}])
async def test_a_yes_lets_the_graph_go_on(breakpoints: Any):
    shop = Shop(**breakpoints)
    step = await answered(shop.question(), {"go_on": True})
    assert step == Continue()
    assert "paid 99.99 for A-1" in shop.go_on(step)["log"]


async def test_a_no_lets_it_stay(shop: Shop):
    assert await answered(shop.question(), {"go_on": False}) is None
    assert await answered(shop.question(edit_state=True), {"go_on": False, "amount": 1}) is None


async def test_what_was_changed_is_changed_before_it_goes_on(shop: Shop):
    question = shop.question(edit_state=True)
    step: Any = await answered(question, {"go_on": True, "amount": 50.5, "order": "A-1", "limits": {"day": 4}})
    assert step == Continue(update={"amount": 50.5, "limits": {"day": 4}})
    state = shop.go_on(step)
    assert "paid 50.5 for A-1" in state["log"]
    assert state["limits"] == {"day": 4}


async def test_a_key_with_a_reducer_is_replaced_too(shop: Shop):
    step = await answered(shop.question(edit_state=True), {"go_on": True, "log": ["begun anew"]})
    log = shop.go_on(step)["log"]
    assert log[0] == "begun anew"
    assert sorted(log[1:]) == ["paid 99.99 for A-1", "told"]


async def test_only_what_is_json_can_be_edited_and_starts_as_it_is(shop: Shop):
    spec = shop.question(edit_state=True).asks[0].spec
    drawn = render_fields(spec.form, spec.response_schema, spec.initial_response, {})
    fields = {control.name: (control.widget, control.values) for control in drawn if control.widget != "display"}
    assert fields == {
        "go_on": ("switch", ()),
        "order": ("json", ('"A-1"',)),
        "amount": ("json", ("99.99",)),
        "limits": ("json", ('{\n  "day": 3\n}',)),
        "go_on_": ("json", ('"x"',)),
        "log": ("json", ('[\n  "begun",\n  "looked"\n]',)),
    }


async def test_a_key_called_like_the_question_is_edited_under_another_name(shop: Shop):
    step: Any = await answered(shop.question(edit_state=True), {"go_on": True, "go_on_": "y"})
    assert step.update == {"go_on": "y"}


async def test_only_named_keys_are_edited(shop: Shop):
    question = shop.question(edit_state=["amount"], graph=None)
    with pytest.raises(SchemaValidationError) as refused:
        await answered(question, {"go_on": True, "order": "A-2"})
    assert list(refused.value.fields) == ["order"]
    step = await answered(question, {"go_on": True, "amount": 1})
    assert "paid 1 for A-1" in shop.go_on(step)["log"]


async def test_only_named_keys_are_shown_and_those_that_may_be_edited(shop: Shop):
    spec = shop.question(show_state=["order"], edit_state=["amount"]).asks[0].spec
    assert spec.payload["state"] == {"order": "A-1", "amount": 99.99}


async def test_a_state_too_large_to_be_shown_says_what_to_do(shop: Shop):
    shop.graph.update_state(THREAD, {"order": "x" * MAX_CONTENT_LENGTH})
    with pytest.raises(ConfigurationError, match="too large to be shown") as refused:
        shop.question()
    assert "show_state=" in (refused.value.hint or "")
    spec = shop.question(show_state=["amount"]).asks[0].spec
    assert spec.payload["state"] == {"amount": 99.99}


async def test_an_answer_without_a_decision_is_refused(shop: Shop):
    for answer in ({}, {"go_on": "yes"}, {"go_on": None}):
        with pytest.raises(SchemaValidationError) as refused:
            await answered(shop.question(), answer)
        assert list(refused.value.fields) == ["go_on"]


def test_a_graph_that_has_finished_is_not_asked_about():
    shop = Shop()
    assert shop.question() is None


def test_editing_all_of_the_state_needs_to_know_the_graph():
    with pytest.raises(ConfigurationError, match="reducer"):
        breakpoint_questions(timeout_seconds=60, edit_state=True)
