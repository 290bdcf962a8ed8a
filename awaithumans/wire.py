"""The JSON API's wire format: both ends read and write it here.

The shapes are those that deployed clients of the existing format send and
accept (`docs/reference/wire-format.md`); keys added by this library follow
after theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from awaithumans.errors import InvalidInputError
from awaithumans.routing import in_snake_case, shown_recipient
from awaithumans.statistics import Statistics
from awaithumans.types import (
    MAX_KEY_LENGTH,
    MAX_TASK_LENGTH,
    MAX_TEXT_LENGTH,
    Actor,
    Answer,
    Delivery,
    Entry,
    Human,
    JsonObject,
    KeyScope,
    Task,
    TaskSpec,
    TaskStatus,
    Verdict,
    VerifierConfig,
)

_ShortText = Annotated[StrictStr, Field(max_length=MAX_TEXT_LENGTH)]
_Object = dict[str, object]


def whole(value: object) -> object:
    """Take `60.0` for `60`: to JSON Schema, and to some writers of JSON, they are one number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Whole = Annotated[StrictInt, BeforeValidator(whole)]


class CreateBody(BaseModel):
    """What `POST /tasks` takes."""

    model_config = ConfigDict(extra="forbid")

    task: Annotated[StrictStr, Field(max_length=MAX_TASK_LENGTH)]
    payload: _Object
    payload_schema: _Object
    response_schema: _Object
    form_definition: _Object | None = None
    timeout_seconds: _Whole
    idempotency_key: Annotated[StrictStr, Field(min_length=1, max_length=MAX_KEY_LENGTH)]
    assign_to: _Object | None = None
    notify: Annotated[list[_ShortText], Field(max_length=100)] | None = None
    verifier_config: _Object | None = None
    redact_payload: StrictBool = False
    callback_url: _ShortText | None = None
    task_metadata: dict[_ShortText, _ShortText] | None = None
    initial_response: _Object | None = None
    redact_response_after_submit: StrictBool = False
    key_scope: KeyScope = KeyScope.FOREVER
    initial_errors: dict[_ShortText, _ShortText] | None = None


class CancelBody(BaseModel):
    """What `POST /tasks/{id}/cancel` may take."""

    model_config = ConfigDict(extra="forbid")

    reason: _ShortText = ""


class CompleteBody(BaseModel):
    """What `POST /tasks/{id}/complete` takes: a response, or the person's own words."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": ["response"]}, {"required": ["text"]}]}
    )

    response: _Object | SkipJsonSchema[None] = None
    text: Annotated[StrictStr, Field(min_length=1, max_length=MAX_TASK_LENGTH)] | SkipJsonSchema[None] = None
    completed_by_email: Annotated[StrictStr, Field(max_length=320)] | None = None
    completed_via_channel: Annotated[StrictStr, Field(max_length=100)] | None = None
    verification_attempt: _Whole | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.response is None) is (self.text is None):
            raise ValueError("give a response, or text")
        return self


BodyT = TypeVar("BodyT", bound=BaseModel)


def read_body(model: type[BodyT], document: object) -> BodyT:
    """Read a request body. Raises `InvalidInputError` with a message per field."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        fields = {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors(include_input=False)}
        named = "; ".join(f"{place}: {message}" if place else message for place, message in fields.items())
        raise InvalidInputError(f"the request body is not valid: {named[:2_000]}", fields=fields) from None


def spec_from_wire(document: object, *, requested_by: str) -> TaskSpec:
    """Read the body of `POST /tasks`. Raises `InvalidInputError`."""
    body = read_body(CreateBody, document)
    return TaskSpec(
        task=body.task,
        payload=body.payload,
        payload_schema=body.payload_schema,
        response_schema=body.response_schema,
        form=body.form_definition,
        timeout_seconds=body.timeout_seconds,
        idempotency_key=body.idempotency_key,
        key_scope=body.key_scope,
        assign_to=_read_assignment(body.assign_to),
        notify=tuple(body.notify or ()),
        verifier=read_body(VerifierConfig, body.verifier_config) if body.verifier_config else None,
        redact_payload=body.redact_payload,
        redact_response_after_submit=body.redact_response_after_submit,
        metadata=body.task_metadata or {},
        callback_url=body.callback_url or None,
        initial_response=body.initial_response,
        initial_errors=body.initial_errors or {},
        requested_by=requested_by,
    )


def _read_assignment(assign_to: _Object | None) -> JsonObject | None:
    return in_snake_case(assign_to) if assign_to else None


def spec_to_wire(spec: TaskSpec) -> dict[str, object]:
    """Write the body of `POST /tasks`."""
    return {
        "task": spec.task,
        "payload": spec.payload,
        "payload_schema": spec.payload_schema,
        "response_schema": spec.response_schema,
        "form_definition": spec.form,
        "timeout_seconds": spec.timeout_seconds,
        "idempotency_key": spec.idempotency_key,
        "key_scope": spec.key_scope.value,
        "assign_to": spec.assign_to,
        "notify": list(spec.notify) or None,
        "verifier_config": spec.verifier.model_dump(mode="json") if spec.verifier else None,
        "redact_payload": spec.redact_payload,
        "redact_response_after_submit": spec.redact_response_after_submit,
        "task_metadata": dict(spec.metadata) or None,
        "callback_url": spec.callback_url,
        "initial_response": spec.initial_response,
        "initial_errors": dict(spec.initial_errors) or None,
    }


# ── Tasks ─────────────────────────────────────────────────────────────────────


WIRE_STATUSES: Mapping[str, tuple[frozenset[TaskStatus], bool | None]] = {
    "created": (frozenset({TaskStatus.PENDING}), False),
    "rejected": (frozenset({TaskStatus.PENDING}), True),
    **dict.fromkeys(("notified", "assigned", "in_progress", "verified"), (frozenset[TaskStatus](), None)),
    **{status.value: (frozenset({status}), None) for status in TaskStatus},
}
"""What each status name of the wire format selects; the four middle ones, nothing."""


def wire_status(task: Task) -> str:
    """Name the task's status as the format does."""
    if task.status is TaskStatus.PENDING:
        return "rejected" if task.refused else "created"
    return task.status.value


def task_to_wire(task: Task, *, redact: bool = False) -> dict[str, object]:
    """Write a task; `redact` leaves the payload out where its spec says so, and what may quote it."""
    spec = task.spec
    hidden = redact and spec.redact_payload
    shown = task.answer if task.refused or task.status is TaskStatus.COMPLETED else None
    assignee = task.assignee
    return {
        "id": task.id,
        "idempotency_key": spec.idempotency_key,
        "task": spec.task,
        "payload": {"_redacted": True} if hidden else spec.payload,
        "payload_schema": spec.payload_schema,
        "response_schema": spec.response_schema,
        "form_definition": spec.form,
        "task_metadata": dict(spec.metadata) or None,
        "status": wire_status(task),
        "assign_to": spec.assign_to,
        "assigned_to_email": assignee and assignee.email,
        "assigned_to_user_id": assignee and assignee.id,
        "assigned_to_display_name": assignee and assignee.label,
        "assigned_to_slack_user_id": assignee and assignee.slack_user_id,
        "initial_response": None if hidden else spec.initial_response,
        "response": None if shown is None or task.response_redacted_at else _value(task, shown),
        "response_redacted_at": _stamp(task.response_redacted_at),
        "redact_response_after_submit": spec.redact_response_after_submit,
        "verifier_result": _verdict_to_wire(task.verdict, hidden=hidden),
        "verification_attempt": task.attempt,
        "timeout_seconds": spec.timeout_seconds,
        "redact_payload": spec.redact_payload,
        "created_at": _stamp(task.created_at),
        "updated_at": _stamp(task.changed_at),
        "completed_at": _closed_at(task, TaskStatus.COMPLETED),
        "timed_out_at": _closed_at(task, TaskStatus.TIMED_OUT),
        **_answered_by(shown),
        "version": task.version,
        "key_scope": spec.key_scope.value,
        "timeout_at": _stamp(task.deadline),
        "closed_at": _stamp(task.closed_at),
        "collected_at": _stamp(task.collected_at),
        "addressees": [_human_to_wire(human) for human in task.addressees],
        "initial_errors": None if hidden else dict(spec.initial_errors) or None,
        "requested_by": spec.requested_by,
        "response_text": shown.text if shown and not hidden else None,
    }


def poll_to_wire(task: Task) -> dict[str, object]:
    """Write the reply of a long-poll."""
    return {
        "status": wire_status(task),
        "response": task.response,
        "completed_at": _closed_at(task, TaskStatus.COMPLETED),
        "timed_out_at": _closed_at(task, TaskStatus.TIMED_OUT),
        "verification_attempt": task.attempt,
        "version": task.version,
    }


def outcome_to_wire(task: Task) -> dict[str, object]:
    """Write the body of the webhook that tells a task's outcome."""
    answer = task.answer if task.status is TaskStatus.COMPLETED else None
    by = answer.by if answer else None
    return {
        "task_id": task.id,
        "idempotency_key": task.spec.idempotency_key,
        "status": task.status.value,
        "response": task.response,
        "completed_at": _closed_at(task, TaskStatus.COMPLETED),
        "timed_out_at": _closed_at(task, TaskStatus.TIMED_OUT),
        "completed_by_email": by.email if by else None,
        "completed_via_channel": by.via if by else None,
        "verification_attempt": task.attempt,
    }


def trail_to_wire(trail: Sequence[Entry]) -> list[dict[str, object]]:
    """Write an audit trail, its statuses as the format names them."""
    lines: list[dict[str, object]] = []
    pending = "created"
    for entry in trail:
        before = pending if entry.from_status == "pending" else entry.from_status
        pending = "rejected" if entry.action == "rejected" else pending
        after = pending if entry.to_status == "pending" else entry.to_status
        lines.append(_entry_to_wire(entry) | {"from_status": before, "to_status": after})
    return lines


def statistics_to_wire(found: Statistics) -> dict[str, object]:
    """Write the reply of `GET /stats/tasks`."""
    totals: dict[str, int] = {status.value: number for status, number in found.totals.items()}
    pending = totals.pop(TaskStatus.PENDING.value, 0)
    by_state = {"created": pending - found.refused, "rejected": found.refused, **totals}
    pace = found.pace
    return {
        "window_days": found.window.days,
        "generated_at": found.at.isoformat(),
        "totals": {status: number for status, number in by_state.items() if number},
        "completion_rate": found.completion_rate,
        "avg_completion_seconds": pace.mean.total_seconds() if pace else None,
        "p50_completion_seconds": pace.median.total_seconds() if pace else None,
        "p95_completion_seconds": pace.p95.total_seconds() if pace else None,
        "by_day": [
            {"date": day.date.isoformat(), "created": day.created, "completed": day.completed} for day in found.by_day
        ],
        "by_channel": dict(found.by_channel),
    }


def health_to_wire(*, ok: bool, lag: timedelta) -> dict[str, object]:
    """Write the reply of `GET /health`."""
    from importlib.metadata import version

    status = "ok" if ok else "late"
    return {"status": status, "version": version("awaithumans"), "lag_seconds": round(lag.total_seconds(), 3)}


def delivery_to_wire(delivery: Delivery) -> dict[str, object]:
    """Write one line of `GET /tasks/{id}/deliveries` and `GET /deliveries/failed`."""
    effect = delivery.effect
    return {
        "id": effect.id,
        "task_id": effect.task_id,
        "event": effect.event,
        "recipient": shown_recipient(effect.recipient),
        "status": _delivery_status(delivery),
        "attempts": delivery.attempts,
        "due_at": _stamp(effect.due),
        "settled_at": _stamp(delivery.settled_at),
        "failure": delivery.failure,
    }


def _delivery_status(delivery: Delivery) -> str:
    if delivery.settled_at is None:
        return "waiting"
    return "delivered" if delivery.failure is None else "failed"


def _entry_to_wire(entry: Entry) -> dict[str, object]:
    return {
        "id": f"{entry.task_id}-{entry.seq}",
        "task_id": entry.task_id,
        "from_status": entry.from_status,
        "to_status": entry.to_status,
        "action": entry.action,
        "actor_type": entry.by.kind,
        "actor_email": entry.by.email,
        "channel": entry.by.via,
        "extra_data": dict(entry.data) or None,
        "created_at": _stamp(entry.at),
        "actor_id": entry.by.id,
        "actor_auth": entry.by.auth,
        "actor_stated_by": entry.by.stated_by,
        "seq": entry.seq,
        "previous": entry.previous,
        "digest": entry.digest,
    }


def task_from_wire(document: JsonObject) -> Task:
    """Read a task as a client sees it.

    What the format does not carry (`notify`, the verifier, the callback, the
    trail) is left at its default.
    """
    read = document
    created = _read_stamp(read["created_at"])
    timeout = cast(int, read["timeout_seconds"])
    deadline = read.get("timeout_at")
    return Task(
        id=cast(str, read["id"]),
        spec=_spec_of_task(read),
        fingerprint="",
        created_at=created,
        changed_at=_read_stamp(read["updated_at"]),
        deadline=_read_stamp(deadline) if deadline else created + timedelta(seconds=timeout),
        status=_read_status(cast(str, read["status"])),
        version=cast(int, read.get("version", 1)),
        attempt=cast(int, read.get("verification_attempt") or 0),
        addressees=tuple(_human_from_wire(one) for one in cast("list[JsonObject]", read.get("addressees") or [])),
        assignee=_assignee_from_wire(read),
        answers=_answers_from_wire(read),
        verdict=_verdict_from_wire(cast("JsonObject | None", read.get("verifier_result"))),
        closed_at=_read_optional(read.get("closed_at") or read.get("completed_at") or read.get("timed_out_at")),
        collected_at=_read_optional(read.get("collected_at")),
        response_redacted_at=_read_optional(read.get("response_redacted_at")),
    )


# ── Parts ─────────────────────────────────────────────────────────────────────


def _spec_of_task(read: Mapping[str, object]) -> TaskSpec:
    return TaskSpec(
        task=cast(str, read["task"]),
        payload=cast(JsonObject, read.get("payload") or {}),
        payload_schema=cast(JsonObject, read["payload_schema"]),
        response_schema=cast(JsonObject, read["response_schema"]),
        form=cast("JsonObject | None", read.get("form_definition")),
        timeout_seconds=cast(int, read["timeout_seconds"]),
        idempotency_key=cast(str, read["idempotency_key"]),
        key_scope=KeyScope(cast(str, read.get("key_scope", "forever"))),
        assign_to=cast("JsonObject | None", read.get("assign_to")),
        redact_payload=cast(bool, read.get("redact_payload", False)),
        redact_response_after_submit=cast(bool, read.get("redact_response_after_submit", False)),
        metadata=cast("Mapping[str, str]", read.get("task_metadata") or {}),
        initial_response=cast("JsonObject | None", read.get("initial_response")),
        initial_errors=cast("Mapping[str, str]", read.get("initial_errors") or {}),
        requested_by=cast(str, read.get("requested_by", "")),
    )


def _read_status(name: str) -> TaskStatus:
    return TaskStatus(name) if name in set(TaskStatus) else TaskStatus.PENDING


def _stamp(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def _read_stamp(text: object) -> datetime:
    moment = datetime.fromisoformat(cast(str, text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_optional(text: object) -> datetime | None:
    return _read_stamp(text) if text else None


def _closed_at(task: Task, status: TaskStatus) -> str | None:
    return _stamp(task.closed_at) if task.status is status else None


def _answered_by(answer: Answer | None) -> dict[str, object]:
    human = answer.by if answer and answer.by.kind == "human" else None
    return {
        "completed_by_email": human and human.email,
        "completed_by_user_id": human and human.id,
        "completed_by_display_name": human and human.human.label,
        "completed_by_slack_user_id": human and human.slack_user_id,
        "completed_via_channel": answer and answer.by.via,
    }


def _answers_from_wire(read: Mapping[str, object]) -> tuple[Answer, ...]:
    value, text = cast("JsonObject | None", read.get("response")), cast("str | None", read.get("response_text"))
    if value is None and text is None:
        return ()
    by = Actor(
        kind="human" if read.get("completed_by_user_id") else "agent",
        id=cast(str, read.get("completed_by_user_id") or "unknown"),
        auth="channel",
        via=cast("str | None", read.get("completed_via_channel")),
        email=cast("str | None", read.get("completed_by_email")),
        display_name=cast("str | None", read.get("completed_by_display_name")),
        slack_user_id=cast("str | None", read.get("completed_by_slack_user_id")),
    )
    at = _read_stamp(read.get("completed_at") or read["updated_at"])
    attempt = cast(int, read.get("verification_attempt") or 1)
    return (Answer(by=by, at=at, attempt=attempt, value=value or {}, text=text),)


def _human_to_wire(human: Human) -> dict[str, object]:
    return {"id": human.id, "email": human.email, "display_name": human.display_name}


def _human_from_wire(document: JsonObject) -> Human:
    return Human(
        id=cast(str, document["id"]),
        email=cast("str | None", document.get("email")),
        display_name=cast("str | None", document.get("display_name")),
    )


def _assignee_from_wire(read: Mapping[str, object]) -> Human | None:
    identity = read.get("assigned_to_user_id") or read.get("assigned_to_email")
    if not identity:
        return None
    return Human(
        id=cast(str, identity),
        email=cast("str | None", read.get("assigned_to_email")),
        display_name=cast("str | None", read.get("assigned_to_display_name")),
        slack_user_id=cast("str | None", read.get("assigned_to_slack_user_id")),
    )


def _value(task: Task, shown: Answer) -> JsonObject | None:
    """Give what was answered; None for words that were refused, which nobody knows the meaning of."""
    return None if shown.text is not None and task.refused else shown.value


def _verdict_to_wire(verdict: Verdict | None, *, hidden: bool) -> dict[str, object] | None:
    if verdict is None:
        return None
    reason = "" if hidden else verdict.reason
    return {"passed": verdict.passed, "reason": reason, "parsed_response": verdict.parsed_response}


def _verdict_from_wire(document: JsonObject | None) -> Verdict | None:
    if document is None:
        return None
    return Verdict(
        passed=document.get("passed") is True,
        reason=cast(str, document.get("reason") or ""),
        parsed_response=cast("JsonObject | None", document.get("parsed_response")),
    )
