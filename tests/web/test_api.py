"""The routes of the JSON API, as agents use them."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest

from awaithumans.protocols import DeliveryError
from awaithumans.testing.channels import RecordingChannel
from awaithumans.types import Notice, Task
from tests.web.world import ANA, SCHEMA, YES, World, as_person, as_program, body

pytestmark = pytest.mark.anyio

ASKER = as_program("asker")
ADMIN = as_program("admin")


async def test_creating_answers_201_and_the_task(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/tasks", json=body(), headers=ASKER)
    task = response.json()
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers
    assert task["status"] == "created"
    assert task["payload"] == {"order": "A-1", "amount": 120}
    assert task["requested_by"] == "agent:asker"


async def test_creating_again_answers_201_says_so_and_gives_the_same_task(client: httpx2.AsyncClient) -> None:
    first = await client.post("/api/tasks", json=body(), headers=ASKER)
    again = await client.post("/api/tasks", json=body(), headers=ASKER)
    assert again.status_code == 201
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


async def test_the_key_with_other_content_is_a_conflict(client: httpx2.AsyncClient) -> None:
    await client.post("/api/tasks", json=body(), headers=ASKER)
    other = await client.post("/api/tasks", json=body(payload={"order": "A-1", "amount": 99_999}), headers=ASKER)
    assert other.status_code == 409
    assert other.json()["error"] == "IDEMPOTENCY_CONFLICT"


async def test_replaying_what_another_principal_asked_gives_nothing_away(client: httpx2.AsyncClient) -> None:
    await client.post("/api/tasks", json=body(), headers=ASKER)
    replay = await client.post("/api/tasks", json=body(), headers=as_program("other"))
    assert (replay.status_code, replay.json()["error"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert (await client.post("/api/tasks", json=body(), headers=ADMIN)).status_code == 201


async def test_cancelling_may_say_why(client: httpx2.AsyncClient) -> None:
    task = (await client.post("/api/tasks", json=body(), headers=ASKER)).json()
    path = f"/api/tasks/{task['id']}"
    assert (await client.post(f"{path}/cancel", json={"reason": 7}, headers=ASKER)).status_code == 422
    assert (await client.post(f"{path}/cancel", json={"reason": "sold out"}, headers=ASKER)).status_code == 200
    trail = (await client.get(f"{path}/audit", headers=ASKER)).json()
    assert trail[-1]["extra_data"] == {"reason": "sold out"}
    assert [(line["from_status"], line["to_status"]) for line in trail] == [(None, "created"), ("created", "cancelled")]


async def test_old_clients_send_json_without_a_content_type(client: httpx2.AsyncClient) -> None:
    content = httpx2.Request("POST", "http://x", json=body()).content
    response = await client.post("/api/tasks", content=content, headers=ASKER)
    assert response.status_code == 201


async def test_x_admin_token_counts_where_there_is_no_bearer(client: httpx2.AsyncClient) -> None:
    token = ADMIN["Authorization"].removeprefix("Bearer ")
    assert (await client.get("/api/tasks", headers={"X-Admin-Token": token})).status_code == 200
    wrong = {"X-Admin-Token": token, "Authorization": "Bearer wrong"}
    assert (await client.get("/api/tasks", headers=wrong)).status_code == 401


async def test_a_task_can_be_read(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    response = await client.get(f"/api/tasks/{task_id}", headers=ASKER)
    assert response.status_code == 200
    assert response.json()["id"] == task_id


async def test_completing_answers_the_task(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    response = await client.post(
        f"/api/tasks/{task_id}/complete",
        json={"response": YES, "completed_by_email": "ana@example.com", "completed_via_channel": "teams"},
        headers=as_program("speaker"),
    )
    task = response.json()
    assert response.status_code == 200
    assert (task["status"], task["response"]) == ("completed", YES)
    assert (task["completed_by_email"], task["completed_via_channel"]) == ("ana@example.com", "teams")
    answer = (await world.task(task_id)).answer
    assert answer
    assert answer.by.stated_by == "agent:speaker"


async def test_a_response_that_does_not_fit_is_refused_with_its_fields(
    world: World, client: httpx2.AsyncClient
) -> None:
    task_id = await world.ask(client)
    response = await client.post(
        f"/api/tasks/{task_id}/complete", json={"response": {"approved": "yes"}}, headers=as_program("answerer")
    )
    assert response.status_code == 422
    assert response.json()["error"] == "SCHEMA_VALIDATION_FAILED"
    assert list(response.json()["fields"]) == ["approved"]
    assert (await world.task(task_id)).answers == ()


async def test_completing_reads_the_task_once(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await world.ask(client)
    get, read = world.store.get, list[str]()

    async def counted(task_id: str) -> Task | None:
        read.append(task_id)
        return await get(task_id)

    monkeypatch.setattr(world.store, "get", counted)
    reply = await client.post(f"/api/tasks/{task_id}/complete", json={"response": YES}, headers=as_program("answerer"))
    assert reply.json()["status"] == "completed"
    assert read == [task_id]


async def test_completing_waits_for_the_verdict(world: World, client: httpx2.AsyncClient) -> None:
    verifier = {"provider": "moody", "instructions": "Be polite.", "max_attempts": 3}
    task_id = await world.ask(client, verifier_config=verifier)
    path = f"/api/tasks/{task_id}/complete"
    rude = await client.post(path, json={"response": YES}, headers=as_program("answerer"))
    assert (rude.status_code, rude.json()["status"]) == (200, "rejected")
    assert rude.json()["verifier_result"]["reason"] == "Say please."
    polite = await client.post(path, json={"response": {**YES, "note": "please"}}, headers=as_program("answerer"))
    assert (polite.status_code, polite.json()["status"]) == (200, "completed")


async def test_the_second_answer_is_a_conflict(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    path = f"/api/tasks/{task_id}/complete"
    await client.post(path, json={"response": YES}, headers=as_program("answerer"))
    second = await client.post(path, json={"response": {"approved": False}}, headers=as_program("answerer"))
    assert (second.status_code, second.json()["error"]) == (409, "TASK_ALREADY_TERMINAL")
    assert (await world.task(task_id)).response == YES


async def test_cancelling_closes_and_a_second_time_is_a_conflict(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    first = await client.post(f"/api/tasks/{task_id}/cancel", headers=ASKER)
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert (await client.post(f"/api/tasks/{task_id}/cancel", headers=ASKER)).status_code == 409


async def test_collecting_needs_an_outcome_and_may_be_repeated(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, key_scope="call")
    path = f"/api/tasks/{task_id}/collect"
    assert (await client.post(path, headers=ASKER)).status_code == 409
    await client.post(f"/api/tasks/{task_id}/cancel", headers=ASKER)
    for _ in range(2):
        response = await client.post(path, headers=ASKER)
        assert response.status_code == 200
        assert response.json()["collected_at"]
    assert await world.ask(client, key_scope="call") != task_id


async def test_deleting_answers_204_and_the_task_is_gone(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    await client.post(f"/api/tasks/{task_id}/cancel", headers=ASKER)
    assert (await client.delete(f"/api/tasks/{task_id}", headers=ADMIN)).status_code == 204
    assert (await client.get(f"/api/tasks/{task_id}", headers=ADMIN)).status_code == 404
    assert (await client.delete(f"/api/tasks/{task_id}", headers=ADMIN)).status_code == 404
    again = await client.post("/api/tasks", json=body(), headers=ASKER)
    assert (again.status_code, again.json()["error"]) == (410, "TASK_GONE")


async def test_the_audit_trail_is_told_in_order(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    await client.post(f"/api/tasks/{task_id}/cancel", headers=ASKER)
    trail = (await client.get(f"/api/tasks/{task_id}/audit", headers=ASKER)).json()
    assert [(entry["action"], entry["actor_id"], entry["channel"]) for entry in trail] == [
        ("created", "asker", "api"),
        ("cancelled", "asker", "api"),
    ]


async def test_reassigning_hands_the_task_to_others(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, assign_to={"email": "ana@example.com"})
    response = await client.post(
        f"/api/tasks/{task_id}/reassign",
        json={"assign_to": {"email": "bob@example.com"}},
        headers=as_program("operator"),
    )
    assert response.status_code == 200
    assert response.json()["assigned_to_email"] == "bob@example.com"


async def test_people_claim_and_release_with_a_token_of_their_page(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    me = (await client.get("/api/me", headers=as_person("ana"))).json()
    headers = {**as_person("ana"), "X-CSRF-Token": me["csrf_token"]}
    claimed = await client.post(f"/api/tasks/{task_id}/claim", headers=headers)
    assert (claimed.status_code, claimed.json()["assigned_to_email"]) == (200, ANA.email)
    released = await client.post(f"/api/tasks/{task_id}/release", headers=headers)
    assert (released.status_code, released.json()["assigned_to_email"]) == (200, None)


async def test_a_lease_is_held_by_one_and_given_back(client: httpx2.AsyncClient) -> None:
    async def lease(holder: str, seconds: float) -> tuple[int, object]:
        asked = {"name": "thread-1", "holder": holder, "seconds": seconds}
        reply = await client.post("/api/leases", json=asked, headers=ADMIN)
        return reply.status_code, reply.json()

    yes, no = (200, {"held": True}), (200, {"held": False})
    assert [await lease("a", 30), await lease("b", 30), await lease("a", 0.5)] == [yes, no, yes]
    assert [await lease("a", 0), await lease("b", 30)] == [no, yes]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"holder": "h" * 129}, "holder"),
        ({"seconds": 3601}, "seconds"),
        ({"seconds": "30"}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"forever": True}, "forever"),
    ],
)
async def test_a_lease_that_cannot_be_names_its_fault(
    client: httpx2.AsyncClient, wrong: dict[str, object], field: str
) -> None:
    asked = {"name": "thread-1", "holder": "a", "seconds": 30, **wrong}
    reply = await client.post("/api/leases", json=asked, headers=ADMIN)
    assert reply.status_code == 422
    assert set(reply.json()["fields"]) == {field}


async def test_statistics_count(world: World, client: httpx2.AsyncClient) -> None:
    first = await world.ask(client)
    await world.ask(client, idempotency_key="key-2")
    await client.post(f"/api/tasks/{first}/complete", json={"response": YES}, headers=as_program("answerer"))
    found = (await client.get("/api/stats/tasks?window_days=7", headers=ADMIN)).json()
    assert found["totals"] == {"completed": 1, "created": 1}
    assert found["completion_rate"] == 1.0
    assert found["by_channel"] == {"api": 1}
    assert [len(found["by_day"]), found["by_day"][-1]["created"], found["by_day"][-1]["completed"]] == [7, 2, 1]
    assert datetime.fromisoformat(found["generated_at"]).utcoffset() == timedelta()


class Deaf:
    """A channel that nobody hears, until somebody does."""

    name = "horn"
    heard = False

    def check(self, target: str) -> None:
        pass

    async def send(self, notice: Notice) -> None:
        if not self.heard:
            raise DeliveryError("nobody is there", permanent=True)


class DeafAgent(Deaf):
    """A program that does not hear."""

    name = "agent"
    for_agents = True


async def test_what_failed_is_listed_and_redelivered() -> None:
    channel = Deaf()
    world = World(channels=[channel])
    async with world.client() as client:
        task_id = await world.ask(client, notify=["horn:ana", "horn:ben"])
        await world.ask(client, idempotency_key="key-2", notify=["horn:cleo"])
        with anyio.fail_after(10):
            while len(await world.engine.failures()) < 3:
                await anyio.sleep(0.01)
        first = await client.get("/api/deliveries/failed?limit=2", headers=as_program("operator"))
        assert [one["failure"] for one in first.json()] == ["nobody is there"] * 2
        rest = await client.get(first.links["next"]["url"], headers=as_program("operator"))
        recipients = [one["recipient"] for one in first.json() + rest.json()]
        assert sorted(recipients) == ["horn:ana", "horn:ben", "horn:cleo"]
        channel.heard = True
        again = await client.post(f"/api/tasks/{task_id}/redeliver", headers=as_program("operator"))
        assert again.status_code == 200
        deliveries = partial(client.get, f"/api/tasks/{task_id}/deliveries", headers=as_program("operator"))
        with anyio.fail_after(10):
            while {one["status"] for one in (await deliveries()).json()} != {"delivered"}:
                await anyio.sleep(0.01)
        assert [one["recipient"] for one in (await deliveries()).json()] == ["horn:ana", "horn:ben"]


async def test_what_was_delivered_is_sent_again_by_its_id() -> None:
    channel = RecordingChannel("horn")
    world = World(channels=[channel])
    async with world.client() as client:
        task_id = await world.ask(client, notify=["horn:ana", "horn:ben"])
        redeliver = partial(client.post, f"/api/tasks/{task_id}/redeliver", headers=as_program("operator"))
        with anyio.fail_after(10):
            while len(channel.sent) < 2:
                await anyio.sleep(0.01)
            [lost] = [notice for notice in channel.sent if notice.target == "ben"]
            while (again := await redeliver(json={"id": lost.id})).is_success and len(channel.sent) < 3:
                await anyio.sleep(0.01)
        assert again.status_code == 200
        assert channel.sent[2].id == lost.id
        unknown = await redeliver(json={"id": "f" * 32})
        assert (unknown.status_code, unknown.json()["fields"]) == (422, {"id": "is no notice of this task"})
        assert (await redeliver(json={"notice": lost.id})).status_code == 422


@pytest.mark.parametrize(
    "headers", [as_person("ana"), as_person("olga"), as_program("operator"), as_program("admin")], ids=str
)
async def test_nobody_is_shown_more_of_a_callback_than_its_host(headers: dict[str, str]) -> None:
    """What is behind the host may be all that somebody needs to post there."""
    world = World(channels=[DeafAgent(), Deaf()])
    async with world.client() as client:
        secrets: dict[str, Any] = {
            "callback_url": "agent:https://hooks.example/s3cret",
            "notify": ["horn:https://horn.example/s3cret"],
        }
        task_id = await world.ask(client, assign_to={"email": "ana@example.com"}, **secrets)
        path = f"/api/tasks/{task_id}"
        await client.post(f"{path}/cancel", json={}, headers=as_program("asker"))
        with anyio.fail_after(10):
            while len(await world.engine.failures()) < 2:
                await anyio.sleep(0.01)
        await client.post(f"{path}/redeliver", headers=as_program("operator"))
        below = ["", "/poll?timeout=1", "/audit", "/deliveries"]
        addresses = [*(path + more for more in below), "/api/tasks", "/api/deliveries/failed", "/", f"/tasks/{task_id}"]
        shown = "".join([(await client.get(address, headers=headers)).text for address in addresses])
    assert "Approve the refund?" in shown
    assert "hooks.example/…" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("name", ["reader", "asker", "answerer"])
async def test_deliveries_are_for_operators(world: World, client: httpx2.AsyncClient, name: str) -> None:
    task_id = await world.ask(client)
    headers = as_program(name)
    refused = [
        await client.get(f"/api/tasks/{task_id}/deliveries", headers=headers),
        await client.post(f"/api/tasks/{task_id}/redeliver", headers=headers),
        await client.get("/api/deliveries/failed", headers=headers),
    ]
    assert [reply.status_code for reply in refused] == [403, 403, 403]


async def test_health_and_version_are_public(client: httpx2.AsyncClient) -> None:
    health, version = await client.get("/api/health"), await client.get("/api/version")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert version.json()["name"] == "awaithumans"


class TestList:
    async def test_newest_first_and_redacted_where_asked_for(self, world: World, client: httpx2.AsyncClient) -> None:
        await world.ask(client, redact_payload=True)
        newest = await world.ask(client, idempotency_key="key-2")
        found = (await client.get("/api/tasks", headers=ADMIN)).json()
        assert next(task["id"] for task in found) == newest
        assert [task["payload"] for task in found] == [{"order": "A-1", "amount": 120}, {"_redacted": True}]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("status=created", {"open"}),
            ("status=pending", {"open"}),
            ("status=cancelled", {"closed"}),
            ("status=in_progress", set()),
            ("status=created&terminal=true", {"open"}),
            ("terminal=true", {"closed"}),
            ("unassigned=true", {"closed"}),
            ("assigned_to=ANA@example.com", {"open"}),
            ("assigned_to=bob@example.com&unassigned=true", {"closed"}),
            ("limit=200&offset=2", set()),
        ],
    )
    async def test_filters(self, world: World, client: httpx2.AsyncClient, query: str, expected: set[str]) -> None:
        closed = await world.ask(client)
        opened = await world.ask(client, idempotency_key="key-2", assign_to={"email": "ana@example.com"})
        await client.post(f"/api/tasks/{closed}/cancel", headers=ASKER)
        found = (await client.get(f"/api/tasks?{query}", headers=ADMIN)).json()
        names = {opened: "open", closed: "closed"}
        assert {names[task["id"]] for task in found} == expected

    async def test_the_link_header_leads_through_all_pages(self, world: World, client: httpx2.AsyncClient) -> None:
        asked = [await world.ask(client, idempotency_key=f"key-{number}") for number in range(5)]
        address, seen = "/api/tasks?limit=2", []
        while address:
            page = await client.get(address, headers=ADMIN)
            seen += [task["id"] for task in page.json()]
            address = page.links.get("next", {}).get("url", "")
        assert seen == list(reversed(asked))

    @pytest.mark.parametrize(
        "query",
        [
            *("limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e2", "offset=-1", f"offset={10**40}"),
            *("status=nonsense", "unassigned=perhaps", "terminal=2", "after=x", f"after={10**30}.x", "assigned_to=%00"),
            "limit=٣",
        ],
    )
    async def test_a_bad_query_names_its_fault(self, client: httpx2.AsyncClient, query: str) -> None:
        response = await client.get(f"/api/tasks?{query}", headers=ADMIN)
        assert response.status_code == 422
        assert list(response.json()["fields"]) == [query.partition("=")[0]]

    async def test_people_see_what_is_theirs_or_nobodys(self, world: World, client: httpx2.AsyncClient) -> None:
        anas = await world.ask(client, assign_to={"email": "ana@example.com"})
        await world.ask(client, idempotency_key="key-2", assign_to={"email": "bob@example.com"})
        found = (await client.get("/api/tasks", headers=as_person("ana"))).json()
        assert [task["id"] for task in found] == [anas]
        assert len((await client.get("/api/tasks", headers=as_person("olga"))).json()) == 2


async def test_schema_used_above_is_admitted_unchanged(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    assert (await world.task(task_id)).spec.response_schema == SCHEMA
