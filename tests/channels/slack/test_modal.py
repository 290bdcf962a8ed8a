"""What people see in the modal, by the rules of Block Kit."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.channels.slack import modal
from awaithumans.channels.slack.details import lines_of
from awaithumans.channels.slack.messages import task_message
from awaithumans.forms import prefilled
from awaithumans.testing.tasks import ANA, make_spec, make_task
from awaithumans.types import Actor, Answer, Task, Verdict
from scripts.slack_modals import PAGE, page
from tests.channels.slack.block_kit import check_blocks, check_view, compiled
from tests.channels.slack.forms_of_all_kinds import FIELDS, forms_of_all_kinds
from tests.forms.test_submission import filled_in
from tests.slack import slack_missing

HOSTILE = "<!channel> & <https://evil.example|click> *bold*"


def asking(*fields: dict[str, Any], properties: Any = None, **spec: Any) -> Task:
    """Make a task with a form of these fields, each called `a` unless it says."""
    named = [{"name": "a", **field} for field in fields]
    schema = {"type": "object", "properties": properties or {}}
    return make_task(spec=make_spec(form={"version": 1, "fields": named}, response_schema=schema, **spec))


def view_of(task: Task, **more: Any) -> dict[str, Any]:
    values, errors = prefilled(task)
    view = modal.review_view(task, values=values, errors=errors, **more)
    check_view(view)
    return view


def element(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the element of the last block."""
    found: dict[str, Any] = view_of(asking(*fields, **more))["blocks"][-1]["element"]
    return found


def options(count: int) -> list[dict[str, str]]:
    return [{"value": f"v{n}", "label": f"Option {n}"} for n in range(count)]


def test_the_modal_has_the_ids_that_deployed_apps_know():
    task = asking({"kind": "short_text"})
    view = view_of(task)
    assert (view["type"], view["callback_id"], view["private_metadata"]) == (
        "modal",
        "awaithumans.review_modal",
        task.id,
    )
    assert (view["submit"]["text"], view["close"]["text"]) == ("Submit", "Cancel")
    block = view["blocks"][-1]
    assert (block["block_id"], block["element"]["action_id"]) == ("awaithumans:a", "a")


def test_the_question_comes_first_then_the_details_then_the_form():
    view = view_of(asking({"kind": "switch"}, payload={"amount": 99.99}))
    assert [block["type"] for block in view["blocks"]] == ["header", "section", "divider", "input"]
    assert view["blocks"][1]["text"]["text"] == "*Amount*: 99.99"


def test_redacted_details_are_nowhere():
    view = view_of(asking({"kind": "switch"}, payload={"amount": 99.99}, redact_payload=True))
    assert "99.99" not in json.dumps(view)
    assert "not shown in Slack" in json.dumps(view)


def test_what_strangers_wrote_can_mention_nobody_and_lead_nowhere():
    task = asking(
        {"kind": "display_text", "text": HOSTILE},
        {"kind": "short_text", "label": HOSTILE, "hint": HOSTILE, "name": "b"},
        task=HOSTILE,
        payload={HOSTILE: HOSTILE, "rows": [{"a": HOSTILE, "b": 1}, {"a": HOSTILE}]},
        metadata={HOSTILE: HOSTILE},
    )
    for block in view_of(task)["blocks"]:
        for text in [block.get("text"), *block.get("elements", [])]:
            assert not text or text["type"] == "plain_text" or "<" not in text["text"]


def test_the_whole_question_can_be_read_however_long():
    text = "Why? " * 2_000
    view = view_of(asking({"kind": "switch"}, task=text))
    read = "".join(block["text"]["text"] for block in view["blocks"][1:] if block["type"] == "section")
    assert text.strip() in read


def test_nested_details_are_laid_out_and_what_is_cut_is_said():
    payload = {
        "customer": {"name": "Zoë", "tags": ["new", "vip"]},
        "lines": [{"n": 1}, {"n": 2}],
        "link": "https://a.example/b",
    }
    text = json.dumps(view_of(asking({"kind": "switch"}, payload=payload)), ensure_ascii=False)
    for part in ("*Customer*:", "*Name*: Zoë", "• new", "• N: 1", "<https://a.example/b>"):
        assert part in text
    assert "cut here" not in text
    long = view_of(asking({"kind": "switch"}, payload={"log": "x" * 501}))
    assert "cut here" in json.dumps(long)
    many = view_of(asking({"kind": "switch"}, payload={f"key{n}": "x" * 400 for n in range(100)}))
    assert "cut here" in json.dumps(many)


def test_an_answer_is_told_in_the_words_of_its_form():
    options = [{"value": "pine", "label": "Scots <Pine>"}, {"value": "oak", "label": "Oak"}]
    fields = [{"name": "fell", "kind": "switch", "true_label": "Fell"}, {"name": "order", "kind": "ranking"}]
    form: dict[str, object] = {"fields": [fields[0], {**fields[1], "options": options}]}
    spec = make_spec(form=form, response_schema={"type": "object"})
    lines = lines_of({"order": ["pine", "oak"], "fell": True}, spec)
    assert [line.strip() for line in lines] == ["*Fell*: Fell", "*Order*:", "1. Scots &lt;Pine&gt;", "2. Oak"]


def test_why_an_answer_was_refused_is_kept_from_slack_with_the_details():
    """A verifier that may see redacted details can quote them."""
    answer = Answer(by=Actor.of(ANA, auth="host"), at=datetime.now(UTC), attempt=1, value={"a": "no"})
    spec = asking({"kind": "short_text"}, payload={"amount": 99.99}, redact_payload=True).spec
    verdict = Verdict(passed=False, reason="Not for 99.99")
    text = json.dumps(view_of(make_task(spec=spec, attempt=1, answers=(answer,), verdict=verdict)))
    assert "99.99" not in text
    assert "The last answer was refused." in text


def test_text_cannot_be_made_to_read_otherwise_than_it_is_written():
    hostile = "Pay \u202e000,1\u202c \u2066\u200b\u061cnow"
    view = view_of(asking({"kind": "short_text", "label": hostile}, payload={"note": hostile}, metadata={"a": hostile}))
    assert not set("\u202e\u202c\u2066\u200b\u061c") & set(json.dumps(view, ensure_ascii=False))


def test_a_refusal_a_notice_and_the_first_errors_are_said():
    answer = Answer(by=Actor.of(ANA, auth="host"), at=datetime.now(UTC), attempt=1, value={"a": "no"})
    refused = make_task(
        spec=asking({"kind": "short_text"}).spec,
        attempt=1,
        answers=(answer,),
        verdict=Verdict(passed=False, reason="Too short"),
    )
    view = view_of(refused, notice="You have the task now.", url="https://app.example/tasks/1")
    text = json.dumps(view)
    for part in ("Too short", "You have the task now.", "<https://app.example/tasks/1|Open in the browser>"):
        assert part in text
    assert view["blocks"][-2]["element"]["initial_value"] == "no"
    task = asking({"kind": "short_text"}, initial_response={"a": "x"}, initial_errors={"a.b": "is wrong", "c": "too"})
    marked = [block["elements"][0]["text"] for block in view_of(task)["blocks"] if block["type"] == "context"]
    assert marked == ["⚠️ c: too", "⚠️ b: is wrong"]


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ({"kind": "switch"}, "radio_buttons"),
        ({"kind": "single_select", "options": options(2)}, "radio_buttons"),
        ({"kind": "single_select", "options": options(5)}, "static_select"),
        ({"kind": "multi_select", "options": options(2)}, "checkboxes"),
        ({"kind": "multi_select", "options": options(11)}, "multi_static_select"),
        ({"kind": "short_text"}, "plain_text_input"),
        ({"kind": "short_text", "subtype": "phone"}, "plain_text_input"),
        ({"kind": "short_text", "subtype": "email"}, "email_text_input"),
        ({"kind": "short_text", "subtype": "url"}, "url_text_input"),
        ({"kind": "short_text", "subtype": "number"}, "number_input"),
        ({"kind": "short_text", "subtype": "currency"}, "number_input"),
        ({"kind": "long_text"}, "plain_text_input"),
        ({"kind": "date"}, "datepicker"),
        ({"kind": "time"}, "timepicker"),
        ({"kind": "datetime"}, "datetimepicker"),
        ({"kind": "slider"}, "number_input"),
        ({"kind": "star_rating"}, "static_select"),
        ({"kind": "opinion_scale"}, "static_select"),
        ({"kind": "opinion_scale", "min": 0, "max": 100}, "number_input"),
        ({"kind": "file_upload"}, "file_input"),
    ],
)
def test_each_kind_has_its_element(field, kind):
    assert element(field)["type"] == kind


def test_pictures_are_chosen_by_their_labels():
    pictures = [{**one, "image_url": "https://a.example/p.png"} for one in options(2)]
    assert element({"kind": "picture_choice", "options": pictures})["type"] == "static_select"
    assert element({"kind": "picture_choice", "options": pictures, "multiple": True})["type"] == "multi_static_select"


@pytest.mark.parametrize(
    "field",
    [
        {"kind": "rich_text"},
        {"kind": "ranking", "options": options(2)},
        {"kind": "date_range"},
        {"kind": "signature"},
        {"kind": "video", "url": "https://a.example/v"},
        {"kind": "pdf_viewer", "url": "https://a.example/p"},
        {"kind": "html", "html": "<b>"},
        {"kind": "table", "columns": [{"name": "c", "label": "C"}]},
        {"kind": "subform", "fields": []},
        {"kind": "short_text", "subtype": "password"},
        {"kind": "image", "url": "javascript:alert(1)"},
        {"kind": "single_select", "options": options(101)},
        {"kind": "single_select", "options": [{"value": "x" * 151, "label": "X"}]},
        {"kind": "single_select", "options": [{"value": "", "label": "None"}, *options(2)]},
        {"kind": "single_select", "options": [{"value": n, "label": "x" * 80 + n} for n in "ab"]},
        {"kind": "short_text", "min_length": 3001},
        {"kind": "short_text", "name": "x" * 250},
        {"kind": "file_upload", "multiple": True, "min_count": 11},
    ],
)
def test_what_slack_cannot_show_whole_is_left_to_the_browser(field):
    task = asking({"name": "a", **field}, {"kind": "switch", "name": "b"})
    assert not modal.drawable(task)
    assert modal.unsupported_fields(task) == [field.get("name", "a")]
    with pytest.raises(ValueError, match="cannot draw"):
        view_of(task)


@pytest.mark.parametrize("kind", ["object", "array"])
def test_values_that_a_page_asks_for_as_json_are_left_to_the_browser(kind):
    task = make_task(spec=make_spec(response_schema={"type": "object", "properties": {"a": {"type": kind}}}))
    assert modal.unsupported_fields(task) == ["a"]


def test_fields_of_a_section_stand_under_its_heading():
    task = asking(
        {"kind": "section_collapse", "title": "More", "name": "", "fields": [{"kind": "switch", "name": "b"}]}
    )
    assert [block["type"] for block in view_of(task)["blocks"][-2:]] == ["header", "input"]
    hidden = asking({"kind": "section_collapse", "title": "More", "fields": [{"kind": "signature", "name": "b"}]})
    assert modal.unsupported_fields(hidden) == ["b"]


def test_a_form_of_too_many_blocks_is_left_to_the_browser():
    assert modal.drawable(asking(*({"kind": "switch", "name": f"f{n}"} for n in range(90))))
    assert not modal.drawable(asking(*({"kind": "switch", "name": f"f{n}"} for n in range(98))))
    heavy = [{"value": f"{n:0150}", "label": f"{n:075}"} for n in range(100)]
    assert not modal.drawable(
        asking(*({"kind": "single_select", "options": heavy, "name": f"f{n}"} for n in range(20)))
    )


def test_decimals_are_taken_wherever_the_schema_takes_them():
    number = {"kind": "short_text", "subtype": "number"}
    assert element(number, properties={"a": {"type": "number"}})["is_decimal_allowed"] is True
    assert element(number)["is_decimal_allowed"] is True
    assert element(number, properties={"a": {"type": "integer"}})["is_decimal_allowed"] is False
    assert element({"kind": "slider", "step": 0.5})["is_decimal_allowed"] is True
    assert element({"kind": "slider"})["is_decimal_allowed"] is False


def test_limits_of_numbers_are_texts_and_left_out_where_slack_would_refuse_the_view():
    drawn = element({"kind": "slider", "min": -5, "max": 25, "default": 1})
    assert (drawn["min_value"], drawn["max_value"], drawn["initial_value"]) == ("-5", "25", "1")
    assert "min_value" not in element({"kind": "slider", "min": 5, "max": 1})
    assert "max_value" not in element({"kind": "slider", "default": 500})
    huge = element({"kind": "short_text"}, properties={"a": {"type": "number", "default": 1e300}})
    assert (huge["type"], huge["initial_value"]) == ("plain_text_input", "1e+300")


def test_scales_have_their_steps():
    stars = element({"kind": "star_rating", "default": 2})
    assert [one["value"] for one in stars["options"]] == ["1", "2", "3", "4", "5"]
    assert stars["initial_option"]["text"]["text"] == "★★☆☆☆"
    scale = element({"kind": "opinion_scale", "max": 3, "min_label": "bad", "max_label": "good"})
    assert [one["text"]["text"] for one in scale["options"]] == ["1 – bad", "2", "3 – good"]


def test_required_fields_are_not_optional_but_choosing_nothing_of_several_is_an_answer():
    def optional(field: dict[str, Any], **more: Any) -> bool:
        found: bool = view_of(asking(field, **more))["blocks"][-1]["optional"]
        return found

    assert optional({"kind": "short_text"}) is False
    assert optional({"kind": "short_text", "required": False}) is True
    several = {"kind": "multi_select", "options": options(2)}
    assert optional(several) is True
    assert optional({**several, "min_count": 1}) is False
    least = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    assert optional(several, properties={"a": least}) is False


def test_files_are_limited_to_what_is_accepted():
    assert element({"kind": "file_upload", "accept": [".pdf", ".PNG"]})["filetypes"] == ["pdf", "png"]
    assert element({"kind": "file_upload"})["max_files"] == 1
    assert element({"kind": "file_upload", "multiple": True, "max_count": 3})["max_files"] == 3
    assert element({"kind": "file_upload", "multiple": True, "max_count": 30})["max_files"] == 10
    assert "filetypes" not in element({"kind": "file_upload", "accept": [".pdf", "image/*"]})


def test_a_moment_is_asked_for_in_the_readers_own_zone_and_one_without_a_zone_as_text():
    zoned = {"kind": "datetime", "timezone": "Europe/Berlin", "default": "2026-07-01T10:00:00+00:00"}
    assert element(zoned)["initial_date_time"] == 1782900000
    assert "hint" not in view_of(asking(zoned))["blocks"][-1]
    floating = asking({"kind": "datetime", "default": "2026-07-01T10:00:00"})
    block = view_of(floating)["blocks"][-1]
    assert (block["element"]["type"], block["hint"]["text"]) == ("plain_text_input", "Time zone: UTC")
    assert element({"kind": "datetime", "default": "2026-07-01T10:00:07Z"})["type"] == "plain_text_input"
    assert element({"kind": "time", "default": "10:00:00"})["initial_time"] == "10:00"
    assert element({"kind": "time", "default": "10:00:07"})["type"] == "plain_text_input"


def test_lengths_are_limits_only_as_far_as_slack_knows_them():
    assert element({"kind": "long_text", "min_length": 2, "max_length": 9000})["max_length"] == 3000
    assert "max_length" not in element({"kind": "short_text", "min_length": 9, "max_length": 3})


def test_a_long_text_to_correct_is_left_to_the_browser():
    assert not modal.drawable(asking({"kind": "long_text"}, initial_response={"a": "x" * 3001}))


@pytest.mark.parametrize(
    "view", [modal.loading_view("t1"), modal.said_view("", ""), modal.said_view("x" * 99, "y" * 9000)]
)
def test_other_modals_are_modals(view):
    check_view(view)


@given(forms_of_all_kinds())
def test_any_form_is_drawn_by_the_rules_or_not_at_all(asked):
    form, schema, start = asked
    task = make_task(spec=make_spec(form=form, response_schema=schema, initial_response=start))
    if modal.drawable(task):
        view_of(task)
    for broadcast in (True, False):
        text, blocks = task_message(task, broadcast=broadcast, url="https://app.example/t")
        check_blocks(blocks)
        assert text.strip()


@given(filled_in(), st.booleans())
def test_any_model_is_drawn_by_the_rules_or_not_at_all(answer, is_prefilled):
    value = json.loads(answer.model_dump_json(exclude_none=True)) if is_prefilled else None
    task = make_task(spec=make_spec(response_schema=type(answer).model_json_schema(), initial_response=value))
    if modal.drawable(task):
        view_of(task)


def test_the_reference_shows_what_is_drawn():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m scripts.slack_modals"


def test_slacks_own_types_agree(tmp_path: Path):
    if reason := slack_missing():
        pytest.skip(reason)
    tasks = [asking({"name": "a", **field}) for field in FIELDS]
    views = [view_of(task) for task in tasks if modal.drawable(task)]
    assert len(views) > 15
    views += [modal.said_view("A", "b"), modal.loading_view("t")]
    messages = [task_message(task, broadcast=broadcast)[1] for task in tasks for broadcast in (True, False)]
    assert compiled(tmp_path, views, messages) == ""


def test_the_judges_find_what_is_wrong(tmp_path: Path):
    if reason := slack_missing():
        pytest.skip(reason)
    wrong = {**modal.said_view("A", "b"), "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "*a*"}}]}
    assert "mrkdwn" in compiled(tmp_path, [wrong], [])
    twice = [
        {
            "type": "actions",
            "elements": [{"type": "button", "text": {"type": "plain_text", "text": "A"}, "action_id": "a"}] * 2,
        }
    ]
    with pytest.raises(AssertionError):
        check_blocks(twice)
