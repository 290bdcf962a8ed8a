"""The wire format: read as deployed clients write it, and back again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from awaithumans.errors import InvalidInputError
from awaithumans.testing.tasks import ANA, NOON, answering, make_spec, make_task
from awaithumans.types import KeyScope, TaskStatus, Verdict
from awaithumans.wire import (
    outcome_to_wire,
    poll_to_wire,
    spec_from_wire,
    spec_to_wire,
    task_from_wire,
    task_to_wire,
    wire_status,
)

OLD_BODY: dict[str, Any] = {
    "task": "Approve?",
    "payload": {"amount": 1},
    "payload_schema": {},
    "response_schema": {"type": "object"},
    "form_definition": None,
    "timeout_seconds": 60,
    "idempotency_key": "8979cab904ed24c9ac31dcd8f1d0eefa",
    "assign_to": None,
    "notify": None,
    "verifier_config": None,
    "redact_payload": False,
}
TASK_KEYS = [
    "id",
    "idempotency_key",
    "task",
    "payload",
    "payload_schema",
    "response_schema",
    "form_definition",
    "task_metadata",
    "status",
    "assign_to",
    "assigned_to_email",
    "assigned_to_user_id",
    "assigned_to_display_name",
    "assigned_to_slack_user_id",
    "initial_response",
    "response",
    "response_redacted_at",
    "redact_response_after_submit",
    "verifier_result",
    "verification_attempt",
    "timeout_seconds",
    "redact_payload",
    "created_at",
    "updated_at",
    "completed_at",
    "timed_out_at",
    "completed_by_email",
    "completed_by_user_id",
    "completed_by_display_name",
    "completed_by_slack_user_id",
    "completed_via_channel",
]


@pytest.mark.parametrize(
    "more", [{}, {"task_metadata": {"a": "b"}}, {"callback_url": None}, {"verifier_config": {}}, {"assign_to": {}}]
)
def test_bodies_of_old_clients_are_read(more):
    spec = spec_from_wire(OLD_BODY | more, requested_by="agent:shop")
    assert spec.key_scope is KeyScope.FOREVER, "old clients' keys name a task for ever"
    assert (spec.verifier, spec.assign_to, spec.requested_by) == (None, None, "agent:shop")


def test_key_names_that_one_of_the_clients_sends_are_understood():
    for sent, read in (
        ({"role": "lead", "accessLevel": "senior"}, {"role": "lead", "access_level": "senior"}),
        ({"userId": "7"}, {"user_id": "7"}),
    ):
        assert spec_from_wire(OLD_BODY | {"assign_to": sent}, requested_by="x").assign_to == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", 7),
        ("payload", []),
        ("timeout_seconds", "60"),
        ("timeout_seconds", True),
        ("timeout_seconds", 1.5),
        ("redact_payload", "yes"),
        ("notify", "email:a@x.org"),
        ("task_metadata", {"a": 1}),
        ("key_scope", "sometimes"),
        ("verifier_config", {"provider": "claude", "instructions": "x", "max_attempts": 11}),
        ("redact_paylod", True),
    ],
)
def test_wrong_types_and_unknown_fields_are_refused_by_name(field, value):
    with pytest.raises(InvalidInputError) as refused:
        spec_from_wire(OLD_BODY | {field: value}, requested_by="x")
    assert refused.value.fields


def test_a_spec_survives_the_way_over_the_wire():
    spec = make_spec(notify=("email:a@x.org",), metadata={"a": "b"}, initial_errors={"x": "y"}, redact_payload=True)
    assert spec_from_wire(spec_to_wire(spec), requested_by=spec.requested_by) == spec


def test_the_keys_of_a_task_stand_in_the_formats_order():
    assert list(task_to_wire(make_task()))[: len(TASK_KEYS)] == TASK_KEYS


def test_times_are_utc_with_a_z():
    written = task_to_wire(make_task(created_at=NOON + timedelta(microseconds=5)))
    assert written["created_at"] == "2026-01-05T12:00:00.000005Z"


def test_statuses_have_the_formats_names():
    task = make_task()
    assert wire_status(task) == "created"
    assert wire_status(replace(task, attempt=1, verdict=Verdict(passed=False))) == "rejected"
    assert {wire_status(replace(task, status=status)) for status in TaskStatus} == {"created", *TaskStatus} - {
        "pending"
    }


def test_a_client_sees_the_outcome_it_was_sent():
    task = answering(make_task(addressees=(ANA,), assignee=ANA)).task
    read = task_from_wire(task_to_wire(task))
    assert (read.id, read.status, read.version, read.response) == (task.id, task.status, task.version, task.response)
    assert read.assignee is not None
    assert read.assignee.email == ANA.email
    assert read.answer is not None
    assert read.answer.by.email == ANA.email


def test_the_reply_of_a_poll_has_the_response_only_of_a_completed_task():
    task = make_task()
    assert poll_to_wire(task)["response"] is None
    assert poll_to_wire(answering(task).task)["response"] == {"approve": True}
    refused = replace(answering(task).task, status=TaskStatus.VERIFICATION_EXHAUSTED)
    assert poll_to_wire(refused)["response"] is None


def test_the_webhook_body_has_the_formats_keys_in_order():
    assert list(outcome_to_wire(answering(make_task()).task)) == [
        "task_id",
        "idempotency_key",
        "status",
        "response",
        "completed_at",
        "timed_out_at",
        "completed_by_email",
        "completed_via_channel",
        "verification_attempt",
    ]


def test_a_redacted_payload_is_left_out_of_lists():
    task = make_task(spec=make_spec(redact_payload=True))
    assert task_to_wire(task, redact=True)["payload"] == {"_redacted": True}
    assert task_to_wire(task)["payload"] == task.spec.payload


def test_a_reason_that_may_quote_a_redacted_payload_is_left_out_of_lists():
    verdict = Verdict(passed=False, reason="The refund of Ana Smith is too high.")
    task = make_task(spec=make_spec(redact_payload=True), verdict=verdict)
    listed, one = task_to_wire(task, redact=True)["verifier_result"], task_to_wire(task)["verifier_result"]
    assert listed == {"passed": False, "reason": "", "parsed_response": None}
    assert one == {"passed": False, "reason": verdict.reason, "parsed_response": None}


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.COMPLETED])
def test_a_client_sees_the_words_that_were_answered(status):
    task = answering(make_task(spec=make_spec(redact_payload=True))).task
    said = replace(task.answers[-1], text="Fine by me.")
    task = replace(task, status=status, attempt=1, answers=(said,))
    read = task_from_wire(task_to_wire(task)).answer
    assert read is not None
    assert read.text == "Fine by me."
    assert task_to_wire(task, redact=True)["response_text"] is None, "words may quote what is redacted"
    redacted = replace(task, answers=(replace(said, value={}, text=None),))
    assert task_to_wire(redacted)["response_text"] is None


def test_words_that_were_refused_are_no_empty_response():
    task = answering(make_task()).task
    said = replace(task.answers[-1], value={}, text="hm")
    refused = replace(task, status=TaskStatus.PENDING, attempt=1, answers=(said,), closed_at=None)
    assert task_to_wire(refused)["response"] is None
    assert task_to_wire(replace(refused, status=TaskStatus.COMPLETED))["response"] == {}
