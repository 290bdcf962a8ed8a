"""The OpenAPI document is true: generated requests find no other behaviour."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from awaithumans.engine import Engine
from awaithumans.errors import InvalidInputError
from awaithumans.schemas import check_schema
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.web import ApiToken, Router, events
from awaithumans.web.openapi import openapi_document

TOKEN = "token-for-fuzzing-0123456789"
EXAMPLES = int(os.environ.get("AWAITHUMANS_FUZZ_EXAMPLES", "20"))

engine = Engine(MemoryStore())
router = Router(engine, tokens=[ApiToken.admin(TOKEN, may_answer_own=True)], verdict_seconds=0.1)


async def without_forms(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the router; its document without forms, whose rules go beyond a schema and have their own tests."""
    if scope["path"] != "/api/openapi.json":
        await router(scope, receive, send)
        return
    document = openapi_document(engine, "/api")
    document["components"]["schemas"]["CreateBody"]["properties"]["form_definition"] = {"type": "null"}  # type: ignore[index]
    await JSONResponse(document)(scope, receive, send)


# JSON Schema cannot say of nested values that no text in them may hold NUL.
config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}})
schema = schemathesis.openapi.from_asgi("/api/openapi.json", without_forms, config=config)


@schema.hook
def filter_body(_: schemathesis.HookContext, body: Any) -> bool:
    """Pass by what looks like a JSON Schema and is none: what is one, the document cannot say."""
    given = body if isinstance(body, dict) else {}
    return all(_is_usable(given.get(name)) for name in ("payload_schema", "response_schema"))


def _is_usable(given: object) -> bool:
    try:
        if isinstance(given, dict):
            check_schema(given, "schema")
    except InvalidInputError:
        return False
    return True


@pytest.fixture(autouse=True, scope="module")
def short_streams() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "LIFETIME", 0.05)
        yield


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_operation_does_what_the_document_says(case: schemathesis.Case[Any]) -> None:
    if isinstance((case.query or {}).get("timeout"), int):
        case.query["timeout"] = min(case.query["timeout"], 1)
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})


def test_where_a_callback_may_lead_depends_on_the_channels() -> None:
    people, agents = RecordingChannel("slack"), RecordingChannel("queue", for_agents=True)
    assert _callback_in(Engine(MemoryStore(), channels=[people])) == {"enum": [None, ""]}
    assert "of one of these: queue." in _callback_in(Engine(MemoryStore(), channels=[people, agents]))["description"]


def _callback_in(engine: Engine) -> dict[str, Any]:
    document: dict[str, Any] = openapi_document(engine, "/api")
    described: dict[str, Any] = document["components"]["schemas"]["CreateBody"]["properties"]["callback_url"]
    return described


def test_every_route_but_the_document_itself_is_described() -> None:
    from awaithumans.web.api import Api

    described = {(path, method) for path, item in schema.raw_schema["paths"].items() for method in item} - {
        (path, "parameters") for path in schema.raw_schema["paths"]
    }
    api = Api(Engine(MemoryStore()), access=None, embed_origins=(), max_body_bytes=1, verdict_seconds=1)  # type: ignore[arg-type]
    routed = {(path, method.lower()) for path, methods in api.routes().items() for method in methods}
    assert described == routed - {("/openapi.json", "get")}
