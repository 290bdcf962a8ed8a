"""What comes back from a modal is what the page's form would have posted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.channels.slack import answers, modal
from awaithumans.forms import Control, parse, prefilled, render_fields
from awaithumans.testing.tasks import make_spec, make_task
from awaithumans.types import Task
from tests.channels.slack.forms_of_all_kinds import forms_of_all_kinds
from tests.forms.test_submission import filled_in

GIVEN = {
    "datepicker": ("initial_date", "selected_date"),
    "timepicker": ("initial_time", "selected_time"),
    "datetimepicker": ("initial_date_time", "selected_date_time"),
    "checkboxes": ("initial_options", "selected_options"),
    "multi_static_select": ("initial_options", "selected_options"),
    "radio_buttons": ("initial_option", "selected_option"),
    "static_select": ("initial_option", "selected_option"),
    "file_input": ("initial_files", "files"),
}


def asking(field: dict[str, Any], schema: Any = None, **spec: Any) -> Task:
    form = {"version": 1, "fields": [{"name": "a", **field}]}
    properties = {} if schema is None else {"a": schema}
    return make_task(spec=make_spec(form=form, response_schema={"type": "object", "properties": properties}, **spec))


def as_slack_sends(view: Mapping[str, Any]) -> dict[str, Any]:
    """Give the state of a view that nobody touched."""
    state: dict[str, Any] = {}
    for block in view["blocks"]:
        if block["type"] == "input":
            element = block["element"]
            initial, given_as = GIVEN.get(element["type"], ("initial_value", "value"))
            nothing: Any = [] if given_as in {"selected_options", "files"} else None
            value = {"type": element["type"], given_as: element.get(initial, nothing)}
            state[block["block_id"]] = {element["action_id"]: value}
    return state


def as_the_page_posts(controls: Sequence[Control]) -> dict[str, list[str]]:
    """Give what a browser posts for a page that nobody touched."""
    posted: dict[str, list[str]] = {}
    for control in controls:
        chosen = [option.value for option in control.options if option.value in control.values]
        texts = chosen if control.options else list(control.values)
        posted[control.name] = texts or ([] if control.widget in {"switch", "radio", "checkboxes"} else [""])
    return posted


def both_ways(task: Task) -> tuple[object, object]:
    """Send a task's form untouched, from Slack and from the page."""
    spec = task.spec
    values, errors = prefilled(task)
    view = modal.review_view(task, values=values, errors=errors)
    posts = (
        answers.submitted(task, as_slack_sends(view)),
        as_the_page_posts(render_fields(spec.form, spec.response_schema, values, errors)),
    )
    sent = [parse(spec.form, spec.response_schema, post, values) for post in posts]
    return (sent[0].value, sent[0].errors), (sent[1].value, sent[1].errors)


@given(forms_of_all_kinds())
def test_an_untouched_form_gives_the_same_from_slack_as_from_the_page(asked):
    form, schema, start = asked
    task = make_task(spec=make_spec(form=form, response_schema=schema, initial_response=start))
    if modal.drawable(task):
        from_slack, from_page = both_ways(task)
        assert from_slack == from_page


@pytest.mark.parametrize("start", ["", [], None])
def test_a_list_of_files_that_starts_empty_is_still_asked_for(start: object) -> None:
    task = asking({"kind": "file_upload"}, initial_response={"a": start})
    from_slack, from_page = both_ways(task)
    assert from_slack == from_page == ({}, {"a": "is required"})


@given(filled_in(), st.booleans())
def test_a_models_value_survives_the_way_through_slack(answer, is_prefilled):
    value = json.loads(answer.model_dump_json(exclude_none=True)) if is_prefilled else None
    task = make_task(spec=make_spec(response_schema=type(answer).model_json_schema(), initial_response=value))
    if modal.drawable(task):
        from_slack, from_page = both_ways(task)
        assert from_slack == from_page


def given_back(task: Task, element: dict[str, Any]) -> object:
    """Give the value that one element makes of a task's form."""
    state = {"awaithumans:a": {"a": element}}
    known = answers.began_with(task, state)
    sent = parse(task.spec.form, task.spec.response_schema, answers.submitted(task, state), known)
    return dict(sent.errors) or sent.value.get("a", "nothing")


NUMBER = {"kind": "short_text", "subtype": "number"}
MONEY = {"anyOf": [{"type": "number"}, {"type": "string"}]}


@pytest.mark.parametrize(
    ("field", "schema", "element", "value"),
    [
        (NUMBER, {"type": "number"}, {"type": "number_input", "value": "99.99"}, 99.99),
        (NUMBER, MONEY, {"type": "number_input", "value": "99999999999999999.99"}, "99999999999999999.99"),
        (NUMBER, {"type": "integer"}, {"type": "number_input", "value": "7"}, 7),
        (NUMBER, {"type": "integer"}, {"type": "number_input", "value": "7.5"}, {"a": "must be a whole number"}),
        ({"kind": "switch"}, None, {"type": "radio_buttons", "selected_option": {"value": "false"}}, False),
        ({"kind": "switch"}, None, {"type": "radio_buttons", "selected_option": None}, {"a": "choose one"}),
        ({"kind": "switch", "required": False}, None, {"type": "radio_buttons", "selected_option": None}, "nothing"),
        ({"kind": "date"}, None, {"type": "datepicker", "selected_date": "2026-02-28"}, "2026-02-28"),
        ({"kind": "time"}, None, {"type": "timepicker", "selected_time": "09:30"}, "09:30:00"),
        (
            {"kind": "datetime"},
            None,
            {"type": "datetimepicker", "selected_date_time": 1782900000},
            "2026-07-01T10:00:00+00:00",
        ),
        (
            {"kind": "datetime", "timezone": "Europe/Berlin"},
            None,
            {"type": "datetimepicker", "selected_date_time": 1782900000},
            "2026-07-01T12:00:00+02:00",
        ),
        ({"kind": "star_rating"}, None, {"type": "static_select", "selected_option": {"value": "4"}}, 4),
        ({"kind": "slider", "step": 0.5}, None, {"type": "number_input", "value": "12.5"}, 12.5),
        ({"kind": "short_text"}, None, {"type": "plain_text_input", "value": None}, {"a": "is required"}),
    ],
)
def test_each_element_gives_its_value(field, schema, element, value):
    assert given_back(asking(field, schema), element) == value


def test_several_choices_come_back_as_a_list_none_as_an_empty_one():
    task = asking({"kind": "multi_select", "options": [{"value": one, "label": one} for one in "abc"]})
    chosen = [{"value": "c"}, {"value": "a"}]
    assert given_back(task, {"type": "checkboxes", "selected_options": chosen}) == ["c", "a"]
    assert given_back(task, {"type": "checkboxes", "selected_options": []}) == []
    assert given_back(task, {"type": "checkboxes", "selected_options": [{"value": "z"}]}) != ["z"]


def test_a_moment_that_was_left_alone_is_the_very_value():
    start = "2026-07-01T12:00:00+02:00"
    task = asking({"kind": "datetime"}, initial_response={"a": start})
    assert given_back(task, {"type": "datetimepicker", "selected_date_time": 1782900000}) == start
    assert given_back(task, {"type": "datetimepicker", "selected_date_time": 1782900060}) == "2026-07-01T10:01:00+00:00"


def test_files_are_named_by_where_slack_keeps_them():
    kept = {
        "id": "F1",
        "name": "a.pdf",
        "mimetype": "application/pdf",
        "url_private": "https://s/F1",
        "size": 3,
        "x": 1,
    }
    file = {"id": "F1", "name": "a.pdf", "mime": "application/pdf", "url": "https://s/F1", "size": 3}
    task = asking({"kind": "file_upload", "required": False})
    assert given_back(task, {"type": "file_input", "files": [kept]}) == [file]
    assert given_back(task, {"type": "file_input", "files": []}) == "nothing"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "awaithumans:a", "type", "value", "selected_option", "selected_date_time", "files"])
            | st.text(max_size=3),
            inner | st.sampled_from(["datetimepicker", "file_input", "checkboxes"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["awaithumans:a", "b"]), JUNK), st.sampled_from(["datetime", "switch", "date"]))
def test_whatever_is_sent_makes_texts_and_no_trouble(state, kind):
    task = asking({"kind": kind})
    posted = answers.submitted(task, state)
    assert set(posted) == {"a"}
    assert all(isinstance(text, str) for text in posted["a"])
    parse(task.spec.form, task.spec.response_schema, posted, None)


def test_errors_stand_at_the_blocks_of_their_fields():
    fields = [{"kind": "section", "title": "A"}, *({"kind": "switch", "name": name} for name in ("a", "a.b", "c"))]
    task = make_task(spec=make_spec(form={"version": 1, "fields": fields}, response_schema={"type": "object"}))
    found = answers.block_errors(task, {"a.b.c": "deep", "c": "plain", "": "whole", "z": "none", "a": "own"})
    assert found == {"awaithumans:a.b": "c: deep", "awaithumans:c": "plain", "awaithumans:a": "whole; z: none; own"}
    assert answers.block_errors(task, {"c": "x" * 900})["awaithumans:c"].endswith("…")
    assert answers.block_errors(task, {}) == {}


def test_a_form_without_questions_has_no_place_for_errors():
    spec = make_spec(form={"version": 1, "fields": [{"kind": "divider"}]}, response_schema={"type": "object"})
    assert answers.block_errors(make_task(spec=spec), {"": "wrong"}) == {}
