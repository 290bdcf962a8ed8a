"""Waiting over HTTP: woken at once, ended when nobody listens any more."""

from __future__ import annotations

import time

import anyio
import httpx2
import pytest
from starlette.types import Message

from awaithumans.types import AGENT, Cancel, JsonObject
from awaithumans.web import departure
from awaithumans.web.access import Principal
from tests.web.world import YES, World, as_program

pytestmark = pytest.mark.anyio

ASKER = as_program("asker")
PATIENCE = 20
"""Seconds within which a wait ends that is woken; the others take longer."""


async def test_an_answer_wakes_the_waiting_agent(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    seen: list[JsonObject] = []

    async def wait() -> None:
        seen.append((await client.get(f"/api/tasks/{task_id}/poll?timeout=30", headers=ASKER)).json())

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await waiting(world, task_id)
            await client.post(f"/api/tasks/{task_id}/complete", json={"response": YES}, headers=as_program("answerer"))
    [poll] = seen
    assert (poll["status"], poll["response"]) == ("completed", YES)
    assert list(poll)[:4] == ["status", "response", "completed_at", "timed_out_at"]


async def test_a_closed_task_answers_at_once(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    await client.post(f"/api/tasks/{task_id}/cancel", headers=ASKER)
    with anyio.fail_after(PATIENCE):
        reply = await client.get(f"/api/tasks/{task_id}/poll?timeout=30", headers=ASKER)
    assert reply.json()["status"] == "cancelled"


async def test_without_an_answer_it_tells_how_the_task_stands(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    poll = (await client.get(f"/api/tasks/{task_id}/poll?timeout=1", headers=ASKER)).json()
    assert (poll["status"], poll["response"]) == ("created", None)


@pytest.mark.parametrize("timeout", ["0", "31", "x", "1.5", "-1", "9" * 50])
async def test_the_timeout_is_between_1_and_30(world: World, client: httpx2.AsyncClient, timeout: str) -> None:
    task_id = await world.ask(client)
    response = await client.get(f"/api/tasks/{task_id}/poll?timeout={timeout}", headers=ASKER)
    assert response.status_code == 422


async def test_waiting_asks_the_store_nothing(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await world.ask(client)
    reads = 0
    get = world.store.get

    async def counted(wanted: str) -> object:
        nonlocal reads
        reads += 1
        return await get(wanted)

    monkeypatch.setattr(world.store, "get", counted)
    await client.get(f"/api/tasks/{task_id}/poll?timeout=2", headers=ASKER)
    assert reads <= 2  # how does it stand, how does it stand now


async def test_whoever_may_not_read_the_task_is_not_told_how_it_stands(
    world: World, client: httpx2.AsyncClient
) -> None:
    task_id = await world.ask(client)
    refusal = await client.get(f"/api/tasks/{task_id}/poll", headers=as_program("other"))
    assert refusal.status_code == 403
    assert world.engine._hub.awaited() == ()


@pytest.mark.parametrize("departing", [False, True])
async def test_nor_where_the_wait_is_cut_short_before_the_task_was_read(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, *, departing: bool
) -> None:
    task_id = await world.ask(client)
    get, reads = world.store.get, 0

    async def slow(wanted: str) -> object:
        nonlocal reads
        reads += 1
        if reads == 1:
            await anyio.sleep_forever()
        return await get(wanted)

    monkeypatch.setattr(world.store, "get", slow)
    if departing:
        monkeypatch.setattr(departure, "_last_told", time.monotonic())
    with anyio.fail_after(PATIENCE):
        reply = await client.get(f"/api/tasks/{task_id}/poll?timeout=1", headers=as_program("other"))
    assert (reply.status_code, reads) == (403, 2)


async def test_who_may_no_longer_read_the_task_is_not_told_its_end(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    may_read = True

    async def wait() -> None:
        replies.append(await client.get(f"/api/tasks/{task_id}/poll?timeout=30", headers=ASKER))

    replies: list[httpx2.Response] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Principal, "may_read", lambda *_: may_read)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await waiting(world, task_id)
                may_read = False
                await world.engine.act(task_id, Cancel(by=AGENT))
    assert replies[0].status_code == 403


async def test_a_deleted_task_ends_the_wait_with_404(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    statuses: list[int] = []

    async def wait() -> None:
        statuses.append((await client.get(f"/api/tasks/{task_id}/poll?timeout=30", headers=ASKER)).status_code)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await waiting(world, task_id)
            await client.delete(f"/api/tasks/{task_id}", headers=as_program("admin"))
    assert statuses[0] in {200, 404}  # cancelled, and erased right after


async def test_the_wait_ends_when_the_client_leaves(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    gone = anyio.Event()
    sent: list[Message] = []
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in asked:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/tasks/{task_id}/poll",
        "root_path": "",
        "query_string": b"timeout=30",
        "headers": [(b"authorization", ASKER["Authorization"].encode())],
    }
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(world.router, scope, receive, send)
            await waiting(world, task_id)
            gone.set()
    assert sent == []
    assert world.engine._hub.awaited() == ()


async def test_a_host_that_gives_the_body_again_and_again_does_not_stop_the_loop(world: World) -> None:
    """As a middleware does that has read the body, and replays it."""
    async with world.client() as client:
        task_id = await world.ask(client)
    given = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal given
        given += 1
        assert given < 1_000
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/tasks/{task_id}/poll",
        "root_path": "",
        "query_string": b"timeout=1",
        "headers": [(b"authorization", ASKER["Authorization"].encode())],
    }
    with anyio.fail_after(PATIENCE):
        await world.router(scope, receive, send)
    assert sent[0]["status"] == 200


async def waiting(world: World, task_id: str) -> None:
    """Return once somebody waits for the task."""
    while task_id not in world.engine._hub.awaited():
        await anyio.lowlevel.checkpoint()
