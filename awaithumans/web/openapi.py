"""The OpenAPI document: what the JSON API does, for tools to read and fuzz."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import cast

from pydantic import BaseModel

from awaithumans.engine import Engine
from awaithumans.forms import FormDefinition
from awaithumans.routing import AddressDirectory, is_for_agents
from awaithumans.types import MAX_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS, Order, VerifierConfig
from awaithumans.web.queries import MAX_IDS, MAX_OFFSET, MAX_PAGE, MAX_TASK_ID, MAX_TEXT
from awaithumans.web.shapes import EmbedBody, LeaseBody, ReassignBody, RedeliverBody
from awaithumans.wire import WIRE_STATUSES, CancelBody, CompleteBody, CreateBody

Json = dict[str, object]

_CURSOR = r"^[0-9]{1,17}\.[!-~]{1,200}$"
_WITHOUT_NUL = r"^[^\x00]*$"
_ADDRESS_PART = r"[^@\s\x00-\x1f\x7f\x85<>,;:\"]"
_ADDRESS = f"^{_ADDRESS_PART}{{1,64}}@{_ADDRESS_PART}{{1,253}}$"
_TASK_STATUSES = ["created", "rejected", "submitted", "completed", "timed_out", "cancelled", "verification_exhausted"]
_MODELS: Mapping[str, type[BaseModel]] = {
    "CreateBody": CreateBody,
    "CancelBody": CancelBody,
    "CompleteBody": CompleteBody,
    "EmbedBody": EmbedBody,
    "ReassignBody": ReassignBody,
    "RedeliverBody": RedeliverBody,
    "LeaseBody": LeaseBody,
    "FormDefinition": FormDefinition,
}
_REASONS = {
    "400": "Pages of this origin may not show tasks.",
    "401": "No valid token, and nobody logged in.",
    "403": "Known, and not allowed.",
    "404": "There is no such task.",
    "409": "The task does not stand where this needs it.",
    "410": "The key names a task that was deleted.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "Something in the request cannot be accepted; `fields` says what.",
}


def openapi_document(engine: Engine, server: str) -> Json:
    """Describe the API of this engine as found at `server`."""
    return {
        "servers": [{"url": server}],
        "openapi": "3.1.0",
        "info": {
            "title": "awaithumans",
            "version": version("awaithumans"),
            "description": "Agents ask, people answer. Every error has one shape, the schema `Error`.",
        },
        "security": [{"bearer": []}, {"adminToken": []}],
        "paths": {
            **_task_paths(),
            **_stream_paths(),
            **_verb_paths(),
            **_delivery_paths(),
            **_service_paths(),
        },
        "components": {
            "schemas": _schemas(engine),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "adminToken": {"type": "apiKey", "in": "header", "name": "X-Admin-Token"},
            },
        },
    }


def _task_paths() -> Json:
    return {
        "/tasks": {
            "post": _operation(
                "createTask",
                "Ask. The same key with the same content returns the same task.",
                body="CreateBody",
                success={"201": _created()},
                errors="401 403 409 410 413 415 422",
            ),
            "get": _operation(
                "listTasks",
                "List tasks, newest first. Redacted payloads are left out.",
                parameters=_list_parameters(),
                success=_ok({"type": "array", "items": _ref("Task")}),
                errors="401 403 422",
            ),
        },
        "/tasks/{task_id}": {
            "parameters": [_task_id()],
            "get": _operation("getTask", "Read a task.", success=_ok(_ref("Task")), errors="401 403 404"),
            "delete": _operation(
                "deleteTask",
                "Erase a task's content; an open task is cancelled first.",
                success={"204": {"description": "Erased, or about to be."}},
                errors="401 403 404 413",
            ),
        },
        "/tasks/{task_id}/poll": {
            "parameters": [_task_id()],
            "get": _operation(
                "pollTask",
                "Wait until the task is closed, or for `timeout` seconds.",
                parameters=[_query("timeout", {"type": "integer", "minimum": 1, "maximum": 30, "default": 25})],
                success=_ok(_ref("Poll")),
                errors="401 403 404 422",
            ),
        },
        "/tasks/{task_id}/audit": {
            "parameters": [_task_id()],
            "get": _operation(
                "auditTask",
                "Read a task's audit trail.",
                success=_ok({"type": "array", "items": _ref("AuditEntry")}),
                errors="401 403 404",
            ),
        },
    }


def _delivery_paths() -> Json:
    deliveries = _ok({"type": "array", "items": _ref("Delivery")})
    after = _query("after", {"type": "string", "pattern": _CURSOR})
    limit = _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 50})
    return {
        "/tasks/{task_id}/deliveries": {
            "parameters": [_task_id()],
            "get": _operation(
                "listDeliveries",
                "List the notices of a task: waiting, delivered or failed.",
                success=deliveries,
                errors="401 403 404",
            ),
        },
        "/tasks/{task_id}/redeliver": _verb(
            "redeliver",
            "Tell those again who could not be told; or one, by the id of the delivery, who was told.",
            body="RedeliverBody",
            needed=False,
        ),
        "/deliveries/failed": {
            "get": _operation(
                "listFailedDeliveries",
                "List the notices of all tasks that were given up, latest first.",
                parameters=[after, limit],
                success=deliveries,
                errors="401 403 422",
            )
        },
    }


def _stream_paths() -> Json:
    return {
        "/tasks/{task_id}/events": {
            "parameters": [_task_id()],
            "get": _operation(
                "followTask",
                "Follow a task: server-sent events `task` until it is closed.",
                parameters=_stream_parameters(),
                success={
                    **_stream(),
                    "204": {"description": "The task is closed, and the last event was seen. Do not come back."},
                },
                errors="401 403 404 422",
            ),
        },
        "/events": {
            "get": _operation(
                "followTasks",
                "Follow the tasks that fit: a server-sent event `task` for each that changed.",
                parameters=[*_filters(), *_stream_parameters()],
                success=_stream(),
                errors="401 403 422",
            )
        },
    }


def _verb_paths() -> Json:
    return {
        "/tasks/{task_id}/complete": _verb(
            "completeTask", "Answer. Waits a few seconds for a verifier's verdict.", body="CompleteBody"
        ),
        "/tasks/{task_id}/reassign": _verb("reassignTask", "Hand the task to other people.", body="ReassignBody"),
        "/tasks/{task_id}/claim": _verb("claimTask", "Take an unassigned task."),
        "/tasks/{task_id}/release": _verb("releaseTask", "Give a claimed task back."),
        "/tasks/{task_id}/cancel": _verb(
            "cancelTask", "Close the task without an answer.", body="CancelBody", needed=False
        ),
        "/tasks/{task_id}/collect": _verb("collectTask", "Say that the outcome has been taken over."),
    }


def _service_paths() -> Json:
    days = _query("window_days", {"type": "integer", "minimum": 1, "maximum": 365, "default": 30})
    return {
        "/embed/tokens": {
            "post": _operation(
                "embedTask",
                "Make an address of a task's page for a frame in the host's product.",
                body="EmbedBody",
                success=_ok(_ref("EmbeddedPage")),
                errors="400 401 403 404 413 415 422",
            )
        },
        "/leases": {
            "post": _operation(
                "lease",
                "Take, keep or give back a right, which one holder has at a time.",
                body="LeaseBody",
                success=_ok(_ref("Lease")),
                errors="401 403 413 415 422",
            )
        },
        "/stats/tasks": {
            "get": _operation(
                "taskStatistics",
                "Count tasks, and measure how long answers take.",
                parameters=[days],
                success=_ok(_ref("Statistics")),
                errors="401 403 422",
            )
        },
        "/me": {"get": _operation("whoAmI", "Say who asks.", success=_ok(_ref("Me")), errors="401")},
        "/health": {"get": _public("health", "Say whether due work is done in time.", "Health")},
        "/version": {"get": _public("version", "Say which release this is.", "Version")},
    }


# ── Operations ────────────────────────────────────────────────────────────────


def _operation(
    name: str,
    summary: str,
    *,
    success: Mapping[str, object],
    errors: str,
    body: str | None = None,
    needed: bool = True,
    parameters: list[Json] | None = None,
) -> Json:
    refused = {status: {"description": _REASONS[status], "content": _json(_ref("Error"))} for status in errors.split()}
    described: Json = {"operationId": name, "summary": summary, "responses": {**success, **refused}}
    if body:
        described["requestBody"] = {"required": needed, "content": _json(_ref(body))}
    if parameters:
        described["parameters"] = parameters
    return described


def _verb(name: str, summary: str, *, body: str | None = None, needed: bool = True) -> Json:
    errors = "401 403 404 409 413" + (" 415 422" if body else "")
    verb = _operation(name, summary, body=body, needed=needed, success=_ok(_ref("Task")), errors=errors)
    return {"parameters": [_task_id()], "post": verb}


def _public(name: str, summary: str, shape: str) -> Json:
    return {**_operation(name, summary, success=_ok(_ref(shape)), errors=""), "security": []}


def _ok(schema: Json) -> Json:
    return {"200": {"description": "Done.", "content": _json(schema)}}


def _created() -> Json:
    replayed = {"description": "`true` if the task was already there.", "schema": {"const": "true"}}
    return {
        "description": "The task that the key names.",
        "headers": {"Idempotent-Replayed": replayed},
        "content": _json(_ref("Task")),
    }


def _stream() -> Json:
    content: Json = {"text/event-stream": {}}
    return {"200": {"description": "Events; each has a `Task` as its data, in JSON.", "content": content}}


def _stream_parameters() -> list[Json]:
    event_id: Json = {"type": "string", "pattern": r"^[0-9]{0,17}$"}
    return [
        _query("last_event_id", event_id),
        {"name": "Last-Event-ID", "in": "header", "schema": event_id, "description": "Beats `last_event_id`."},
    ]


def _list_parameters() -> list[Json]:
    return [
        *_filters(),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 50}),
        _query("offset", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}),
        _query("order", {"type": "string", "enum": [order.value for order in Order], "default": Order.NEWEST.value}),
        _query("after", {"type": "string", "pattern": _CURSOR}),
        _query("changed_after", {"type": "string", "pattern": _CURSOR}),
    ]


def _filters() -> list[Json]:
    return [
        _query("status", {"type": "string", "enum": list(WIRE_STATUSES)}),
        _query("assigned_to", {"type": "string", "maxLength": MAX_TEXT}),
        _query("search", {"type": "string", "maxLength": MAX_TEXT}),
        _query("unassigned", {"type": "boolean", "default": False}),
        _query("terminal", {"type": "boolean", "default": False}),
        _query("idempotency_key", {"type": "string", "maxLength": MAX_TEXT}),
        _query("id", {"type": "string", "maxLength": MAX_IDS, "description": "One id, or several by commas."}),
    ]


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _task_id() -> Json:
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_TASK_ID}
    return {"name": "task_id", "in": "path", "required": True, "schema": schema}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


# ── Shapes ────────────────────────────────────────────────────────────────────


def _schemas(engine: Engine) -> Json:
    found: Json = dict(_RESPONSES)
    for name, model in _MODELS.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[name] = schema
    _narrow(cast("dict[str, dict[str, Json]]", found["CreateBody"])["properties"], engine)
    lease = cast("dict[str, dict[str, Json]]", found["LeaseBody"])["properties"]
    for name in ("name", "holder"):
        lease[name]["pattern"] = _WITHOUT_NUL
    reassign = cast("dict[str, dict[str, Json]]", found["ReassignBody"])["properties"]
    reassign["assign_to"] = _assignment(engine)
    return found


def _narrow(create: dict[str, Json], engine: Engine) -> None:
    """Say what this engine, with its channels and verifiers, can take."""
    create["timeout_seconds"] |= {"minimum": MIN_TIMEOUT_SECONDS, "maximum": MAX_TIMEOUT_SECONDS}
    for name in ("task", "idempotency_key"):
        create[name]["pattern"] = _WITHOUT_NUL
    for name in ("payload_schema", "response_schema"):
        create[name]["description"] = "A JSON Schema that needs no other document; 2020-12 where it names none."
    create["assign_to"] = {"anyOf": [_assignment(engine), *_NOTHING]}
    create["form_definition"] = _optional(_ref("FormDefinition"))
    create["verifier_config"] = {"anyOf": [*([_verifier(engine)] if engine.verifiers else []), *_NOTHING]}
    create["callback_url"] = _callback(engine, create["callback_url"])
    if not engine.channels:
        create["notify"] = {"type": ["array", "null"], "maxItems": 0}


def _callback(engine: Engine, schema: Json) -> Json:
    agents = sorted(name for name, channel in engine.channels.items() if is_for_agents(channel))
    if not agents:
        return {"enum": [None, ""]}
    return schema | {
        "description": f"An http or https address, or <channel>:<target> of one of these: {', '.join(agents)}."
    }


def _assignment(engine: Engine) -> Json:
    if not isinstance(engine.directory, AddressDirectory):
        return {"type": "object", "minProperties": 1, "description": "What the host's directory understands."}
    address: Json = {"type": "string", "pattern": _ADDRESS}
    addresses: Json = {"type": "array", "items": address, "minItems": 1}
    return {"anyOf": [_object({"email": address}), _object({"emails": addresses})]}


def _verifier(engine: Engine) -> Json:
    schema = VerifierConfig.model_json_schema()
    schema["properties"]["provider"] = {"type": "string", "enum": sorted(engine.verifiers)}
    return schema


def _object(required: Mapping[str, object]) -> Json:
    return {"type": "object", "properties": dict(required), "required": list(required)}


_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_NOTHING: list[Json] = [{"type": "object", "maxProperties": 0}, {"type": "null"}]
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "string", "format": "date-time"}
_ANY_OBJECT: Json = {"type": "object"}


def _optional(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_MAYBE_TEXT, _MAYBE_TIME, _MAYBE_OBJECT = _optional(_TEXT), _optional(_TIME), _optional(_ANY_OBJECT)
_STATUS: Json = {"type": "string", "enum": _TASK_STATUSES}
_TASK: Json = {
    **dict.fromkeys(("id", "idempotency_key", "task", "requested_by"), _TEXT),
    **dict.fromkeys(("payload", "payload_schema", "response_schema"), _ANY_OBJECT),
    **dict.fromkeys(
        (
            *("form_definition", "task_metadata", "assign_to", "initial_response", "response"),
            *("verifier_result", "initial_errors"),
        ),
        _MAYBE_OBJECT,
    ),
    "status": _STATUS,
    **dict.fromkeys(
        (
            *("assigned_to_email", "assigned_to_user_id", "assigned_to_display_name", "assigned_to_slack_user_id"),
            *("completed_by_email", "completed_by_user_id", "completed_by_display_name"),
            *("completed_by_slack_user_id", "completed_via_channel", "response_text"),
        ),
        _MAYBE_TEXT,
    ),
    **dict.fromkeys(("redact_payload", "redact_response_after_submit"), _FLAG),
    **dict.fromkeys(("verification_attempt", "timeout_seconds", "version"), _COUNT),
    **dict.fromkeys(("created_at", "updated_at", "timeout_at"), _TIME),
    **dict.fromkeys(("response_redacted_at", "completed_at", "timed_out_at", "closed_at", "collected_at"), _MAYBE_TIME),
    "key_scope": {"type": "string", "enum": ["forever", "call"]},
    "addressees": {"type": "array", "items": _ANY_OBJECT},
}
_RESPONSES: Mapping[str, Json] = {
    "Task": _object(_TASK),
    "Poll": _object(
        {
            "status": _STATUS,
            "response": _MAYBE_OBJECT,
            "completed_at": _MAYBE_TIME,
            "timed_out_at": _MAYBE_TIME,
            "verification_attempt": _COUNT,
            "version": _COUNT,
        }
    ),
    "AuditEntry": _object(
        {
            **dict.fromkeys(("id", "task_id", "to_status", "action", "actor_id", "actor_auth"), _TEXT),
            **dict.fromkeys(("from_status", "actor_email", "channel", "actor_stated_by"), _MAYBE_TEXT),
            "actor_type": {"type": "string", "enum": ["agent", "human", "system"]},
            "extra_data": _MAYBE_OBJECT,
            "created_at": _TIME,
            "seq": _COUNT,
            "previous": _TEXT,
            "digest": _TEXT,
        }
    ),
    "Delivery": _object(
        {
            **dict.fromkeys(("id", "task_id", "event", "recipient"), _TEXT),
            "status": {"type": "string", "enum": ["waiting", "delivered", "failed"]},
            "attempts": _COUNT,
            "due_at": _TIME,
            "settled_at": _MAYBE_TIME,
            "failure": _MAYBE_TEXT,
        }
    ),
    "Statistics": _object(
        {
            "window_days": _COUNT,
            "generated_at": _TIME,
            "totals": {"type": "object", "additionalProperties": _COUNT},
            "completion_rate": _optional({"type": "number"}),
            **dict.fromkeys(
                ("avg_completion_seconds", "p50_completion_seconds", "p95_completion_seconds"),
                _optional({"type": "number"}),
            ),
            "by_day": {
                "type": "array",
                "items": _object(
                    {"date": {"type": "string", "format": "date"}, "created": _COUNT, "completed": _COUNT}
                ),
            },
            "by_channel": {"type": "object", "additionalProperties": _COUNT},
        }
    ),
    "EmbeddedPage": _object({"embed_token": _TEXT, "embed_url": _TEXT, "expires_at": _TIME}),
    "Lease": _object({"held": _FLAG}),
    "Me": _object(
        {
            "principal": _TEXT,
            **dict.fromkeys(("email", "display_name", "csrf_token"), _MAYBE_TEXT),
            "is_operator": _FLAG,
            "scopes": {"type": "array", "items": _TEXT},
        }
    ),
    "Health": _object({"status": {"enum": ["ok", "late"]}, "version": _TEXT, "lag_seconds": {"type": "number"}}),
    "Version": _object({"name": _TEXT, "version": _TEXT}),
    "Error": {
        "type": "object",
        "properties": {
            **dict.fromkeys(("error", "message", "hint", "docs"), _TEXT),
            "fields": {"type": "object", "additionalProperties": _TEXT},
        },
        "required": ["error", "message", "hint", "docs"],
    },
}
