"""The OpenAPI document is true: generated requests find no other behaviour."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import HealthCheck, settings
from starlette.applications import Starlette

from awaithumans.engine import Engine
from awaithumans.stores.memory import MemoryStore
from awaithumans.web import ApiToken, Router

TOKEN = "token-for-fuzzing-0123456789"
EXAMPLES = int(os.environ.get("AWAITHUMANS_FUZZ_EXAMPLES", "15"))

app = Starlette()
app.mount(
    "/humans", Router(Engine(MemoryStore()), tokens=[ApiToken.admin(TOKEN, may_answer_own=True)], verdict_seconds=0.1)
)
schema = schemathesis.openapi.from_asgi("/humans/api/openapi.json", app)


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_operation_does_what_the_document_says(case: schemathesis.Case) -> None:
    if "timeout" in (case.query or {}):
        case.query["timeout"] = 1 if isinstance(case.query["timeout"], int) else case.query["timeout"]
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})
