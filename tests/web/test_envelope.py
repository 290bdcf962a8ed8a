"""Everything that goes wrong: one shape, nothing stored, nothing leaked."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from awaithumans.types import Query
from awaithumans.web import Router
from tests.web.world import YES, World, as_person, as_program, body, log_in

pytestmark = pytest.mark.anyio

ASKER = as_program("asker")


def ensure_envelope(response: httpx2.Response) -> dict[str, object]:
    document: dict[str, object] = response.json()
    assert set(document) - {"fields"} == {"error", "message", "hint", "docs"}
    assert re.fullmatch(r"[A-Z_]+", str(document["error"]))
    assert str(document["docs"]).rpartition("#")[2]
    assert response.headers["X-Request-ID"]
    return document


def with_schema(schema: object) -> bytes:
    return json.dumps(body(response_schema=schema)).encode()


def raw(field: str, text: str) -> bytes:
    """Write a create body with JSON of our own for one field."""
    return json.dumps(body(**{field: "@@"})).replace('"@@"', text).encode()


BAD = {
    "empty": b"",
    "not json": b"{task: 1}",
    "not utf-8": b'{"task": "\xff"}',
    "null": b"null",
    "array": b"[]",
    "text": b'"x"',
    "missing fields": b"{}",
    "unknown field": json.dumps(body(colour="red")).encode(),
    "duplicate key": b'{"task": "a", ' + json.dumps(body()).encode()[1:],
    "duplicate key inside": raw("payload", '{"amount": 1, "amount": 99999}'),
    "NaN": raw("payload", '{"amount": NaN}'),
    "Infinity": raw("payload", '{"amount": -Infinity}'),
    "overflowing float": raw("payload", '{"amount": 1e999}'),
    "NUL": raw("payload", r'{"note": "a\u0000b"}'),
    "NUL in a key": raw("payload", r'{"a\u0000b": 1}'),
    "lone surrogate": raw("payload", r'{"note": "\ud800"}'),
    "lone surrogate in the task": raw("task", r'"\udfff"'),
    "lone surrogate in the key": raw("idempotency_key", r'"\udfff"'),
    "10 000 deep": raw("payload", '{"a":' * 10_000 + "1" + "}" * 10_000),
    "10 000 deep list": raw("payload", "[" * 10_000 + "]" * 10_000),
    "100 deep": raw("payload", '{"a":' * 100 + "1" + "}" * 100),
    "integer of 5 000 digits": raw("payload", '{"amount": ' + "9" * 5_000 + "}"),
    "integer of 2 000 digits": raw("payload", '{"amount": ' + "9" * 2_000 + "}"),
    "integer of 2 000 digits as timeout": raw("timeout_seconds", "9" * 2_000),
    "payload array": raw("payload", "[1]"),
    "payload null": raw("payload", "null"),
    "task number": raw("task", "1"),
    "task too long": json.dumps(body(task="x" * 20_001)).encode(),
    "timeout text": raw("timeout_seconds", '"3600"'),
    "timeout true": raw("timeout_seconds", "true"),
    "timeout float": raw("timeout_seconds", "3600.5"),
    "timeout zero": raw("timeout_seconds", "0"),
    "timeout negative": raw("timeout_seconds", "-5"),
    "timeout too long": raw("timeout_seconds", "31622401"),
    "key empty": raw("idempotency_key", '""'),
    "key huge": json.dumps(body(idempotency_key="k" * 100_000)).encode(),
    "redact text": raw("redact_payload", '"false"'),
    "metadata number": raw("task_metadata", '{"a": 1}'),
    "notify text": raw("notify", '"email:a@example.com"'),
    "notify unknown channel": raw("notify", '["pigeon:coop"]'),
    "notify malformed": raw("notify", '["nonsense"]'),
    "assign to nobody": raw("assign_to", '{"marketplace": true}'),
    "callback without channel": raw("callback_url", '"https://agent.example/cb"'),
    "verifier unknown": raw("verifier_config", '{"provider": "oracle", "instructions": "x"}'),
    "verifier attempts": raw("verifier_config", '{"provider": "moody", "instructions": "x", "max_attempts": 99}'),
    "schema invalid": with_schema({"type": "nonsense"}),
    "schema remote ref": with_schema({"$ref": "https://evil.example/schema.json"}),
    "schema file ref": with_schema({"$ref": "file:///etc/passwd"}),
    "schema dangling ref": with_schema({"$ref": "#/$defs/missing"}),
    "schema catastrophic regex": with_schema(
        {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^(?=(a+)+$)\1"}}}
    ),
    "key scope unknown": raw("key_scope", '"weekly"'),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
async def test_a_bad_create_is_refused_and_nothing_is_stored(
    world: World, client: httpx2.AsyncClient, content: bytes
) -> None:
    response = await client.post("/api/tasks", content=content, headers=ASKER)
    assert 400 <= response.status_code < 500, response.text
    ensure_envelope(response)
    assert await world.engine.find(Query()) == []


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"null", b"[]", b"{}", b'{"response": null}', b'{"response": []}', b'{"response": {"approved": NaN}}'),
        *(b'{"response": {"approved": true}, "colour": 1}', b'{"response": {"approved": true, "approved": false}}'),
        b'{"response": {"approved": true}, "completed_by_email": 7}',
        b'{"response": {"approved": true, "note": "\\ud800"}}',
        b'{"response": {"approved": true, "note": ' + b"[" * 9_000 + b"]" * 9_000 + b"}}",
    ],
)
async def test_a_bad_answer_is_refused_and_nothing_is_stored(
    world: World, client: httpx2.AsyncClient, content: bytes
) -> None:
    task_id = await world.ask(client)
    response = await client.post(f"/api/tasks/{task_id}/complete", content=content, headers=as_program("answerer"))
    assert response.status_code == 422, response.text
    ensure_envelope(response)
    assert (await world.task(task_id)).version == 1


class TestSize:
    async def test_a_body_that_says_it_is_too_large_is_not_read(self, client: httpx2.AsyncClient) -> None:
        read = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(50):
                read += 1
                yield b" " * 1_000_000

        headers = {**ASKER, "Content-Length": "50000000"}
        response = await client.post("/api/tasks", content=chunks(), headers=headers)
        assert response.status_code == 413
        ensure_envelope(response)
        assert read <= 2

    async def test_a_body_that_does_not_say_is_read_up_to_the_limit(self, client: httpx2.AsyncClient) -> None:
        read = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(50):
                read += 1
                yield b" " * 1_000_000

        response = await client.post("/api/tasks", content=chunks(), headers=ASKER)
        assert response.status_code == 413
        assert read <= 3

    @pytest.mark.parametrize("announced", ["9" * 400, "-1", "x"])
    async def test_a_nonsensical_length_is_no_error_of_ours(self, client: httpx2.AsyncClient, announced: str) -> None:
        headers = {**ASKER, "Content-Length": announced}
        response = await client.post("/api/tasks", content=json.dumps(body()).encode(), headers=headers)
        assert response.status_code in {201, 413}

    async def test_the_limit_can_be_set(self) -> None:
        world = World(max_body_bytes=100)
        async with world.engine.run(), world.client() as client:
            assert (await client.post("/api/tasks", json=body(), headers=ASKER)).status_code == 413


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/xml"]
)
async def test_another_content_type_is_415(client: httpx2.AsyncClient, kind: str) -> None:
    response = await client.post(
        "/api/tasks", content=json.dumps(body()).encode(), headers={**ASKER, "Content-Type": kind}
    )
    assert response.status_code == 415
    assert ensure_envelope(response)["error"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nope", "/api/tasks/a/b/c", "/api/TASKS"])
async def test_an_unknown_address_is_404_in_the_envelope(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path, headers=ASKER)
    assert response.status_code == 404
    assert ensure_envelope(response)["error"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/tasks", "GET, HEAD, POST"),
        ("GET", "/api/tasks/x/complete", "POST"),
        ("GET", "/api/tasks/x/cancel", "POST"),
        ("POST", "/api/tasks/x/poll", "GET, HEAD"),
        ("OPTIONS", "/api/health", "GET, HEAD"),
        ("BREW", "/api/health", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_says_which(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path, headers=ASKER)
    assert (response.status_code, response.headers["Allow"]) == (405, allowed)
    assert ensure_envelope(response)["error"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("task_id", ["nope", "%00", "a%0Ab", "x" * 5_000, "%F0%9F%92%A5", "%ED%A0%80", "..", "'--"])
async def test_a_task_id_that_cannot_be_is_404(client: httpx2.AsyncClient, task_id: str) -> None:
    for path in ("", "/poll", "/audit"):
        response = await client.get(f"/api/tasks/{task_id}{path}", headers=as_program("admin"))
        assert response.status_code in {200, 404} if task_id == ".." else response.status_code == 404


async def test_what_breaks_is_logged_with_its_task_and_not_told(
    world: World, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await world.ask(client)

    async def broken(_: str) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(world.store, "get", broken)
    with caplog.at_level(logging.ERROR, "awaithumans.web"):
        response = await client.get(f"/api/tasks/{task_id}", headers=as_program("admin"))
        page = await client.get(f"/tasks/{task_id}", headers=as_person("ana"))
    assert ensure_envelope(response)["error"] == "INTERNAL_ERROR"
    assert (response.status_code, page.status_code) == (500, 500)
    assert "hunter2" not in response.text + page.text
    assert task_id in caplog.text
    assert response.headers["X-Request-ID"] in caplog.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(("given", "echoed"), [("abc-123.X_z", True), ("a b", False), ("x" * 129, False), ("é", False)])
async def test_a_request_id_is_echoed_if_it_is_harmless(
    client: httpx2.AsyncClient,
    given: str,
    echoed: bool,  # noqa: FBT001
) -> None:
    headers = [(b"x-request-id", given.encode())]
    answered = (await client.get("/api/health", headers=headers)).headers["X-Request-ID"]
    assert answered == given if echoed else re.fullmatch(r"[0-9a-f]{16}", answered)


async def test_the_hosts_own_error_handlers_are_left_out_of_it(world: World) -> None:
    """A host that handles ValueError must not answer for us: ours often is one."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse

    app = Starlette(
        exception_handlers={
            ValueError: lambda *_: PlainTextResponse("host", 418),
            404: lambda *_: PlainTextResponse("host", 418),
        }
    )
    app.mount("/humans", Router(world.engine, auth=log_in))
    async with world.client(app) as client:
        response = await client.get("/humans/api/tasks?limit=0", headers=as_person("olga"))
        assert response.status_code == 422
        assert (await client.get("/humans/api/nope")).json()["error"] == "NOT_FOUND"


async def test_answers_are_for_nobody_to_keep(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    for response in (
        await client.get(f"/api/tasks/{task_id}", headers=ASKER),
        await client.post(f"/api/tasks/{task_id}/complete", json={"response": YES}, headers=ASKER),
    ):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
