"""What agents already deployed send and expect, spoken byte by byte.

As those clients do it: plain HTTP, a new connection per call, and a webhook
receiver that derives its key with its own HKDF.
"""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import FastAPI, Request
from starlette.types import ASGIApp

from awaithumans import Engine
from awaithumans.channels.webhook import WebhookChannel
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router

ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
TOKEN = "the deployed agents' admin token"
ANA = "ana@example.com"

# The bodies as two of the existing clients write them.
PYTHON_BODY: dict[str, Any] = {
    "task": "Approve?",
    "payload": {"b": 1, "a": "x"},
    "payload_schema": {"properties": {"a": {"title": "A", "type": "string"}}, "title": "P", "type": "object"},
    "response_schema": {
        "properties": {"approved": {"title": "Approved", "type": "boolean"}},
        "required": ["approved"],
        "title": "R",
        "type": "object",
    },
    "form_definition": {
        "version": 1,
        "fields": [
            {
                "name": "approved",
                "kind": "switch",
                "label": "Approved",
                "hint": None,
                "required": True,
                "true_label": "Yes",
                "false_label": "No",
                "default": None,
            }
        ],
    },
    "timeout_seconds": 3600,
    "idempotency_key": "cf99cd8bc52f7933059b4e81230701ba",
    "assign_to": {"email": ANA},
    "notify": None,
    "verifier_config": None,
    "redact_payload": False,
    "task_metadata": None,
}
TYPESCRIPT_BODY: dict[str, Any] = {
    **{key: value for key, value in PYTHON_BODY.items() if key != "task_metadata"},
    "response_schema": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"approved": {"type": "boolean"}},
        "required": ["approved"],
        "additionalProperties": False,
    },
    "form_definition": {"fields": [{"kind": "switch", "name": "approved", "label": "Approved", "required": True}]},
    "idempotency_key": "langgraph:cf99cd8bc52f7933059b4e81230701ba",
    "assign_to": None,
    "callback_url": None,
}


class Receiver:
    """An agent's web application that takes webhooks."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.heard: list[tuple[str, bytes]] = []
        self.arrived = threading.Event()
        self.app.post("/cb")(self.receive)

    async def receive(self, request: Request) -> None:
        self.heard.append((request.headers["X-Awaithumans-Signature"], await request.body()))
        self.arrived.set()


def expected_signature(body: bytes) -> str:
    root = base64.b64decode(ROOT + "=")
    key = HKDF(algorithm=SHA256(), length=32, salt=b"awaithumans-webhook-v1", info=b"v1").derive(root)
    return "sha256=" + hmac.digest(key, body, "sha256").hex()


@pytest.fixture
def server(serve: Callable[[ASGIApp], str], tmp_path: Path) -> str:
    engine = Engine(
        SQLAlchemyStore(f"sqlite:///{tmp_path}/t.db"),
        channels=[WebhookChannel(ROOT, allow_private=True)],
        secret="s" * 32,
    )
    app = FastAPI()
    app.mount("/humans", Router(engine, tokens=[ApiToken.admin(TOKEN, may_answer_own=True)]))
    return serve(app) + "/humans"


def call(method: str, url: str, **options: Any) -> httpx2.Response:
    with httpx2.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=35) as client:
        return client.request(method, url, **options)


@pytest.mark.parametrize("body", [PYTHON_BODY, TYPESCRIPT_BODY], ids=["python", "typescript"])
def test_create_poll_and_answer(server, body):
    created = call("POST", f"{server}/api/tasks", json=body)
    assert created.status_code == 201
    task = created.json()
    assert (task["status"], task["idempotency_key"]) == ("created", body["idempotency_key"])
    polled: list[dict[str, Any]] = []
    address = f"{server}/api/tasks/{task['id']}"
    waiting = threading.Thread(target=lambda: polled.append(call("GET", f"{address}/poll?timeout=25").json()))
    waiting.start()
    refused = call("POST", f"{address}/complete", json={"response": {"approved": "perhaps"}})
    assert refused.status_code == 422
    done = call("POST", f"{address}/complete", json={"response": {"approved": True}, "completed_by_email": ANA})
    assert (done.status_code, done.json()["status"], done.json()["completed_by_email"]) == (
        200,
        "completed",
        ANA,
    )
    waiting.join(20)
    assert [(reply["status"], reply["response"]) for reply in polled] == [("completed", {"approved": True})]
    replay = call("POST", f"{server}/api/tasks", json=body)
    assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (201, "true")
    assert replay.json()["response"] == {"approved": True}


@pytest.mark.parametrize("outcome", ["completed", "cancelled"])
def test_the_webhook_arrives_with_the_signature_receivers_check(server, serve, outcome):
    receiver = Receiver()
    callback = serve(receiver.app) + "/cb?thread=t-1"
    body = PYTHON_BODY | {"callback_url": callback}
    task = call("POST", f"{server}/api/tasks", json=body).json()
    if outcome == "completed":
        call("POST", f"{server}/api/tasks/{task['id']}/complete", json={"response": {"approved": True}})
    else:
        call("POST", f"{server}/api/tasks/{task['id']}/cancel")
    assert receiver.arrived.wait(20)
    signature, heard = receiver.heard[0]
    assert signature == expected_signature(heard)
    told = json.loads(heard)
    assert (told["task_id"], told["status"]) == (task["id"], outcome)
    assert told["response"] == ({"approved": True} if outcome == "completed" else None)


def test_what_is_not_there_is_404_and_who_is_nobody_is_401(server):
    assert call("GET", f"{server}/api/tasks/{'0' * 32}/poll?timeout=25").status_code == 404
    assert httpx2.get(f"{server}/api/tasks/{'0' * 32}/poll?timeout=25").status_code == 401
    assert httpx2.get(f"{server}/api/health").json()["status"] == "ok"


def test_the_link_that_those_clients_print_leads_to_the_task(server):
    found = httpx2.get(f"{server}/task?id={'0' * 32}", follow_redirects=False)
    assert found.status_code in {303, 307, 308, 401, 404}
