"""Strict JSON, and documents that an old release hands on unharmed."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.documents import (
    LONGEST_REMEMBERED,
    MAX_DEPTH,
    REMEMBERED,
    canonical,
    dumps,
    ensure_json,
    entry_document,
    entry_from_document,
    loads,
    remembered,
    spec_document,
    state_document,
    task_from_documents,
)
from awaithumans.errors import InvalidInputError
from awaithumans.testing.tasks import ANA, BEN, NOON, answering, make_entry, make_spec, make_task
from awaithumans.types import Actor, Task, Verdict, VerifierConfig

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_back(value):
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        '"\\u0000"',
        '{"a\\u0000b": 1}',
        '"\\ud800"',
        '{"\\udfff": 1}',
        '{"a": 1, "a": 1}',
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 200 + "1" + "}" * 200,
        "9" * 5_000,
        "9" * 1_001,
        "",
        "{",
        "nonsense",
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
    ],
)
def test_what_readers_choke_on_is_refused(text):
    with pytest.raises(InvalidInputError):
        loads(text)


def test_doubled_keys_cost_no_quadratic_time():
    keys = ",".join(f'"{number}": 1' for number in range(100_000))
    with pytest.raises(InvalidInputError, match="stands twice"):
        loads("{" + keys + ', "99999": 1}')


@pytest.mark.parametrize("value", [object(), {1: 2}, (1,), {"a": {3}}, float("nan"), b"bytes"])
def test_python_values_that_are_not_json_are_refused(value):
    with pytest.raises(InvalidInputError):
        ensure_json(value)


def test_the_place_of_a_fault_is_named():
    with pytest.raises(InvalidInputError) as refused:
        ensure_json({"items": [1, {"amount": float("nan")}]}, "payload")
    assert list(refused.value.fields) == ["payload.items.1.amount"]


def test_nesting_up_to_the_limit_is_fine():
    assert loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), (1.0, 1), ([-0.0], [0]), ("é", "\u00e9"), (1e21, 10**21)],
)
def test_equal_content_has_one_canonical_form(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (True, 1), (None, False), ([], {}), ("e\u0301", "é"), (1.5, 1)])
def test_other_content_has_another(one, other):
    assert canonical(one) != canonical(other)


def rich_task() -> Task:
    spec = make_spec(
        verifier=VerifierConfig(provider="rules", instructions="x"),
        assign_to={"email": "a@x.org"},
        notify=("email:a@x.org",),
        initial_response={"approve": False},
        trace_context={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
    )
    task = make_task(spec=spec, addressees=(ANA, BEN), assignee=ANA, verdict=Verdict(passed=False, reason="vague"))
    return replace(answering(task).task, collected_at=NOON, claimed_at=NOON, grace_until=NOON)


def test_a_task_is_read_back_as_it_was_written():
    task = rich_task()
    spec, state = (json.loads(dumps(document)) for document in (spec_document(task), state_document(task)))
    assert task_from_documents(task.id, spec, state) == task


def test_a_question_from_no_trace_is_written_without_one():
    assert "trace_context" not in spec_document(make_task())


def test_an_entry_is_read_back_with_the_same_digest():
    entry = replace(make_entry(make_task(), data={"a": [1, {"b": None}]}), by=Actor.of(ANA, auth="link", via="web"))
    read = entry_from_document(entry.task_id, entry.seq, entry.previous, json.loads(dumps(entry_document(entry))))
    assert read == entry
    assert read.digest == entry.digest


def test_keys_of_a_newer_release_are_kept_and_written_back():
    task = rich_task()
    spec: dict[str, Any] = spec_document(task) | {"new": 1}
    state: dict[str, Any] = state_document(task) | {"newer": {"x": [1]}}
    state["answers"][0]["weight"] = 2
    state["answers"][0]["by"]["device"] = "phone"
    state["assignee"]["team"] = "ops"
    state["verdict"]["tokens"] = 7
    read = task_from_documents(task.id, json.loads(dumps(spec)), json.loads(dumps(state)))
    assert spec_document(read) == spec
    assert state_document(read) == state


def test_long_keys_over_many_values_cost_no_memory_of_their_own():
    """The place of a fault is written out only where there is a fault."""
    value = {"k" * 50_000: [0] * 50_000}
    tracemalloc.start()
    ensure_json(value)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000


@given(VALUES)
def test_the_canonical_form_is_that_of_the_same_value_with_plain_numbers(value):
    """Also where a text looks as a whole number does that is written as a float."""
    described = {"value": value, "1.0": "2.0", "e+": [1e16, 1.0, -0.0, 1.05]}
    plain = {"value": json.loads(canonical(value)), "1.0": "2.0", "e+": [10**16, 1, 0, 1.05]}
    assert canonical(described) == json.dumps(plain, sort_keys=True, separators=(",", ":"))


def test_what_follows_from_a_text_is_worked_out_once_and_few_and_short_texts_are_kept():
    made: list[str] = []

    @remembered
    def shouted(text: str) -> str:
        made.append(text)
        return text.upper()

    assert [shouted("a"), shouted("a")] == ["A", "A"]
    assert made == ["a"]
    for number in range(REMEMBERED):
        shouted(str(number))
    shouted("a")
    assert made.count("a") == 2
    long = "x" * (LONGEST_REMEMBERED + 1)
    assert shouted(long) == shouted(long)
    assert made.count(long) == 2
