"""What agents ask and people answer, as requests and as values."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from uuid import uuid4

from tests.benchmarks.load import request

TOKEN = "the-token-of-the-benchmarks-and-of-nobody-else"
BEARER = f"Bearer {TOKEN}"
BASIC = "Basic " + base64.b64encode(f"ana@example.com:{TOKEN}".encode()).decode()
API = "/humans/api"

ANSWER = {"approved": True, "reason": "The parcel did arrive broken."}
QUESTION = {
    "task": "Approve the refund of 99.99 EUR to a customer whose parcel arrived broken?",
    "payload": {"order": "A-10293", "amount": 99.99, "currency": "EUR", "customer": "Ben Example", "days": 12},
    "payload_schema": {
        "type": "object",
        "properties": {
            "order": {"type": "string"},
            "amount": {"type": "number"},
            "currency": {"type": "string"},
            "customer": {"type": "string"},
            "days": {"type": "integer"},
        },
        "required": ["order", "amount", "currency", "customer", "days"],
    },
    "response_schema": {
        "type": "object",
        "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["approved", "reason"],
    },
    "timeout_seconds": 3_600,
}
DOCUMENT = {"id": "0" * 32, "idempotency_key": "0" * 32, "status": "created", **QUESTION}


def create(**fields: object) -> bytes:
    """Ask a new question."""
    document = {**QUESTION, "idempotency_key": uuid4().hex, **fields}
    return request("POST", f"{API}/tasks", document, authorization=BEARER)


def creates(**fields: object) -> Iterator[bytes]:
    """Ask new questions without end."""
    while True:
        yield create(**fields)


def complete(task_id: str) -> bytes:
    """Answer a question."""
    return request("POST", f"{API}/tasks/{task_id}/complete", {"response": ANSWER}, authorization=BEARER)


def get(task_id: str) -> bytes:
    """Read a task."""
    return request("GET", f"{API}/tasks/{task_id}", authorization=BEARER)


def poll(task_id: str) -> bytes:
    """Wait for a task's outcome."""
    return request("GET", f"{API}/tasks/{task_id}/poll?timeout=30", authorization=BEARER)


def listed(query: str = "") -> bytes:
    """List tasks over the API."""
    return request("GET", f"{API}/tasks{query}", authorization=BEARER)


def queue(query: str = "") -> bytes:
    """Open the page with the queue."""
    return request("GET", f"/humans/{query}", authorization=BASIC)
