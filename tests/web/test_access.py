"""Who may do what: the table of scopes, and what people may."""

from __future__ import annotations

import httpx2
import pytest

from awaithumans.types import Human
from awaithumans.web import Router
from tests.web.world import ANA, TOKENS, YES, World, as_person, as_program, body

pytestmark = pytest.mark.anyio

OK, NO = "ok", "FORBIDDEN"
DEEDS = (
    *("create", "get", "poll", "list", "audit", "stats", "complete", "cancel", "collect", "delete", "reassign"),
    "lease",
)
ALLOWED = {
    "admin": set(DEEDS),
    "asker": {"create", "get", "poll", "audit", "cancel", "collect", "lease"},
    "other": {"create", "lease"},
    "reader": {"get", "poll", "list", "audit", "stats"},
    "answerer": {"complete"},
    "speaker": {"complete"},
    "tester": {"create", "lease"},
    "operator": {"get", "poll", "audit", "cancel", "collect", "delete", "reassign"},
}


async def attempt(client: httpx2.AsyncClient, deed: str, task_id: str, headers: dict[str, str]) -> httpx2.Response:
    task = f"/api/tasks/{task_id}"
    method, path, content = {
        "create": ("POST", "/api/tasks", body(idempotency_key="another")),
        "list": ("GET", "/api/tasks", None),
        "stats": ("GET", "/api/stats/tasks", None),
        "lease": ("POST", "/api/leases", {"name": "thread-1", "holder": "a", "seconds": 30}),
        "get": ("GET", task, None),
        "poll": ("GET", f"{task}/poll?timeout=1", None),
        "audit": ("GET", f"{task}/audit", None),
        "complete": ("POST", f"{task}/complete", {"response": YES}),
        "reassign": ("POST", f"{task}/reassign", {"assign_to": {"email": "bob@example.com"}}),
        "delete": ("DELETE", task, None),
    }.get(deed, ("POST", f"{task}/{deed}", None))
    return await client.request(method, path, json=content, headers=headers)


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("name", TOKENS)
async def test_the_table_of_scopes(world: World, client: httpx2.AsyncClient, name: str, deed: str) -> None:
    """Every token against every route, on a task that `asker` asked."""
    task_id = await world.ask(client)
    if deed in {"poll", "collect"}:
        await client.post(f"/api/tasks/{task_id}/cancel", headers=as_program("asker"))
    response = await attempt(client, deed, task_id, as_program(name))
    allowed = deed in ALLOWED[name]
    assert (response.status_code < 300) == allowed, response.text
    if not allowed:
        assert (response.status_code, response.json()["error"]) == (403, NO)


@pytest.mark.parametrize("deed", [deed for deed in DEEDS if deed not in {"create", "list", "stats", "lease"}])
async def test_without_any_right_an_unknown_task_looks_like_the_format_says(
    client: httpx2.AsyncClient, deed: str
) -> None:
    """Reading and answering decide 404 first; operating decides 403 first."""
    name = "answerer" if deed != "complete" else "reader"
    response = await attempt(client, deed, "0" * 32, as_program(name))
    assert response.status_code == (404 if deed in {"get", "poll", "audit", "complete"} else 403)


@pytest.mark.parametrize("deed", ["claim", "release"])
async def test_a_token_has_no_name_to_claim_with(world: World, client: httpx2.AsyncClient, deed: str) -> None:
    task_id = await world.ask(client)
    response = await attempt(client, deed, task_id, as_program("answerer"))
    assert response.status_code == 403


class TestAnsweringOnesOwnQuestion:
    async def test_is_refused(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client, by="admin")
        response = await attempt(client, "complete", task_id, as_program("admin"))
        assert (response.status_code, response.json()["error"]) == (403, "SELF_ANSWER")

    async def test_is_refused_in_somebody_elses_name_too(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client, by="admin")
        said = {"response": YES, "completed_by_email": "ana@example.com"}
        response = await client.post(f"/api/tasks/{task_id}/complete", json=said, headers=as_program("admin"))
        assert (response.status_code, response.json()["error"]) == (403, "SELF_ANSWER")

    async def test_is_allowed_by_its_scope_and_for_ones_own_only(
        self, world: World, client: httpx2.AsyncClient
    ) -> None:
        own = await world.ask(client, by="tester")
        others = await world.ask(client, idempotency_key="key-2")
        assert (await attempt(client, "complete", own, as_program("tester"))).status_code == 200
        assert (await attempt(client, "complete", others, as_program("tester"))).status_code == 403


class TestNamingWhoAnswered:
    async def test_needs_its_scope(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client)
        said = {"response": YES, "completed_by_email": "ana@example.com"}
        response = await client.post(f"/api/tasks/{task_id}/complete", json=said, headers=as_program("answerer"))
        assert response.status_code == 403
        assert (await world.task(task_id)).answers == ()

    async def test_must_name_somebody_it_is_addressed_to(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client, assign_to={"email": "ana@example.com"})
        for email in ("bob@example.com", "nobody@example.com"):
            said = {"response": YES, "completed_by_email": email}
            response = await client.post(f"/api/tasks/{task_id}/complete", json=said, headers=as_program("speaker"))
            assert response.status_code == 403

    async def test_is_not_for_people(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client)
        headers = await own_page(client, "ana")
        for email, status in (("bob@example.com", 403), ("ANA@example.com", 200)):
            said = {"response": YES, "completed_by_email": email, "completed_via_channel": "slack"}
            response = await client.post(f"/api/tasks/{task_id}/complete", json=said, headers=headers)
            assert response.status_code == status
        answer = (await world.task(task_id)).answer
        assert answer
        assert (answer.by.email, answer.by.auth, answer.by.via) == (ANA.email, "host", "api")


class TestPeople:
    async def test_a_stranger_reads_nothing(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client, assign_to={"email": "ana@example.com"})
        for deed in ("get", "poll", "audit"):
            response = await attempt(client, deed, task_id, as_person("eve"))
            assert response.status_code == 403
            assert "refund" not in response.text

    async def test_one_who_was_asked_reads_and_answers(self, world: World, client: httpx2.AsyncClient) -> None:
        task_id = await world.ask(client, assign_to={"email": "ana@example.com"})
        headers = await own_page(client, "ana")
        assert (await attempt(client, "get", task_id, headers)).status_code == 200
        assert (await attempt(client, "complete", task_id, headers)).status_code == 200

    async def test_only_operators_ask_cancel_reassign_and_delete(
        self, world: World, client: httpx2.AsyncClient
    ) -> None:
        task_id = await world.ask(client)
        for deed in ("create", "cancel", "reassign", "delete"):
            assert (await attempt(client, deed, task_id, await own_page(client, "ana"))).status_code == 403
        for deed in ("create", "reassign", "cancel", "delete"):
            response = await attempt(client, deed, task_id, await own_page(client, "olga"))
            assert response.status_code < 300, response.text

    async def test_leases_are_for_programs(self, client: httpx2.AsyncClient) -> None:
        for name in ("ana", "olga"):
            response = await attempt(client, "lease", "", await own_page(client, name))
            assert (response.status_code, response.json()["error"]) == (403, NO)

    async def test_statistics_are_of_what_they_see(self, world: World, client: httpx2.AsyncClient) -> None:
        await world.ask(client, assign_to={"email": "ana@example.com"})
        assert (await client.get("/api/stats/tasks", headers=as_person("eve"))).json()["totals"] == {}
        assert (await client.get("/api/stats/tasks", headers=as_person("ana"))).json()["totals"] == {"created": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer wrong", **as_person("olga")},
        {"Authorization": "Basic b2xnYTp4"},
        {"X-Admin-Token": ""},
        {"Cookie": "user=nobody"},
    ],
)
async def test_who_cannot_be_known_gets_401_and_a_challenge(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.get("/api/tasks", headers=headers)
    assert (response.status_code, response.json()["error"]) == (401, "NOT_AUTHENTICATED")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["Authorization", "X-Admin-Token"])
@pytest.mark.parametrize("credential", ["Bearer tökén".encode(), b"Bearer \xff\xfe\x80", "Bearer 令牌".encode()])
async def test_a_credential_outside_ascii_is_just_wrong(
    client: httpx2.AsyncClient, name: str, credential: bytes
) -> None:
    response = await client.get("/api/tasks", headers=[(name.encode(), credential)])
    assert response.status_code == 401


async def test_a_bearer_token_beats_the_log_in(world: World, client: httpx2.AsyncClient) -> None:
    headers = {**as_person("olga"), **as_program("asker")}
    await client.post("/api/tasks", json=body(), headers=headers)
    [task] = (await client.get("/api/tasks", headers=as_program("admin"))).json()
    assert task["requested_by"] == "agent:asker"
    refused = await client.get("/api/tasks", headers=headers)
    assert refused.status_code == 403
    assert "the scope read" in refused.json()["hint"]


async def test_auth_may_be_a_plain_function(world: World) -> None:
    router = Router(world.engine, auth=lambda _: Human(id="ana"))
    async with world.client(router) as client:
        assert (await client.get("/api/me")).json()["principal"] == "human:ana"


async def test_auth_that_answers_nonsense_is_an_error_and_lets_nobody_in(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    router = Router(world.engine, auth=lambda _: "olga")  # type: ignore[arg-type,return-value]
    async with world.client(router) as client:
        assert (await client.get("/api/tasks")).status_code == 500
    assert "auth returned str" in caplog.text


async def own_page(client: httpx2.AsyncClient, name: str) -> dict[str, str]:
    """Return the headers of a script on this person's page."""
    me = (await client.get("/api/me", headers=as_person(name))).json()
    return {**as_person(name), "X-CSRF-Token": me["csrf_token"]}
