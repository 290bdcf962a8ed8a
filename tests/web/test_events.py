"""Server-sent events, in a real server, read by a parser that is not ours."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import httpx2
import pytest
from httpx_sse import EventSource, ServerSentEvent
from starlette.types import ASGIApp, Message

from awaithumans import background
from awaithumans.testing.clock import VirtualClock
from awaithumans.types import JsonObject, Query
from awaithumans.web import events
from tests.test_following import counted, grows
from tests.web.test_departure import START_SECONDS, TOKEN, example_server, question
from tests.web.world import BOB, YES, World, as_person, as_program

pytestmark = pytest.mark.anyio

PATIENCE = 20
TO_ANA = {"email": "ana@example.com"}


@pytest.fixture
def world() -> World:
    """Give a world whose engine lives on the server's event loop, and not here."""
    return World()


@pytest.fixture
async def client(world: World, serve: Callable[[ASGIApp], str]) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=serve(world.router), timeout=PATIENCE) as client:
        yield client


# ── One task ──────────────────────────────────────────────────────────────────


async def test_a_task_is_told_of_as_it_stands_and_at_each_change_until_it_is_closed(
    world: World, client: httpx2.AsyncClient
) -> None:
    task_id = await world.ask(client, redact_payload=True)
    told: list[JsonObject] = []
    async with stream(client, f"/api/tasks/{task_id}/events", as_program("asker")) as told_events:
        async for event in told_events:
            told.append(event.json())
            assert (event.event, event.id) == ("task", str(told[-1]["version"]))
            if len(told) == 1:
                await client.post(f"/api/tasks/{task_id}/claim", headers=await as_script(client, "ana"))
            elif len(told) == 2:
                await complete(client, task_id)
    assert [task["status"] for task in told] == ["created", "created", "completed"]
    assert told[-1] == (await client.get(f"/api/tasks/{task_id}", headers=as_program("asker"))).json()


async def test_who_saw_the_end_is_told_not_to_come_back(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    await complete(client, task_id)
    path = f"/api/tasks/{task_id}/events"
    async with stream(client, path, as_program("asker")) as told:
        assert [event.id async for event in told] == ["2"]
    for again in ({"headers": {"Last-Event-ID": "2"}}, {"params": {"last_event_id": "2"}}):
        headers = {**as_program("asker"), **again.get("headers", {})}
        response = await client.get(path, headers=headers, params=again.get("params"))
        assert (response.status_code, response.content) == (204, b"")
    async with stream(client, path, {**as_program("asker"), "Last-Event-ID": "1"}) as told:
        assert [event.id async for event in told] == ["2"], "the end was not seen yet"


async def test_the_headers_keep_everybody_on_the_way_from_holding_it_back(
    world: World, client: httpx2.AsyncClient
) -> None:
    task_id = await world.ask(client)
    for path in (f"/api/tasks/{task_id}/events", "/api/events"):
        for method in ("GET", "HEAD"):
            async with client.stream(method, path, headers=as_program("admin")) as response:
                assert response.status_code == 200
                assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
                assert response.headers["cache-control"] == "no-cache, no-transform"
                assert response.headers["x-accel-buffering"] == "no"
                assert "content-length" not in response.headers
                assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    "text", ["one\ntwo", "one\r\nid: 9\r\nevent: evil\r\ndata: {}\r\n\r\n", "\n\ndata: x", "a\u2028b\u2029c\x85d\x0be"]
)
async def test_no_text_of_a_task_can_break_out_of_its_event(
    world: World, client: httpx2.AsyncClient, text: str
) -> None:
    task_id = await world.ask(client, task=text, payload={text: text})
    for path in (f"/api/tasks/{task_id}/events", "/api/events?last_event_id=0"):
        async with stream(client, path, as_program("admin")) as told:
            event = await anext(told)
        assert (event.event, event.json()["task"], event.json()["payload"]) == ("task", text, {text: text})


def test_the_format_takes_any_line_end_for_one() -> None:
    assert events.event("task", {"a": "\r\n"}, 1) == b'event: task\nid: 1\ndata: {"a":"\\r\\n"}\n\n'


# ── The queue ─────────────────────────────────────────────────────────────────


async def test_tasks_are_told_of_as_the_list_has_them(world: World, client: httpx2.AsyncClient) -> None:
    async with stream(client, "/api/events", as_program("reader")) as told:
        task_id = await world.ask(client, redact_payload=True)
        event = await anext(told)
        [listed] = (await client.get("/api/tasks", headers=as_program("reader"))).json()
        assert (event.event, event.json()) == ("task", listed)
        assert listed["payload"] == {"_redacted": True}
        await complete(client, task_id)
        assert (await anext(told)).json()["status"] == "completed"


async def test_the_filters_are_those_of_the_list(world: World, client: httpx2.AsyncClient) -> None:
    async with stream(client, "/api/events?status=completed", as_program("reader")) as told:
        open_one = await world.ask(client)
        closed_one = await world.ask(client, idempotency_key="key-2")
        await complete(client, closed_one)
        event = await anext(told)
        assert (event.json()["id"], event.json()["status"]) == (closed_one, "completed")
    refused = await client.get("/api/events?status=nonsense", headers=as_program("reader"))
    assert (refused.status_code, refused.json()["error"]) == (422, "INVALID_REQUEST")
    assert open_one != closed_one


async def test_nothing_is_lost_between_two_visits(world: World, client: httpx2.AsyncClient) -> None:
    asked: list[str] = []
    told: set[str] = set()
    last_seen = ""
    for visit in range(5):
        asked += [await world.ask(client, idempotency_key=f"away-{visit}-{n}") for n in range(3)]
        headers = {**as_program("reader"), **({"Last-Event-ID": last_seen} if last_seen else {})}
        async with stream(client, "/api/events", headers, everything=True) as heard:
            opening = await anext(heard)
            assert (opening.event, opening.data) == ("message", ""), "a browser takes it for no event"
            last_seen = opening.id
            asked.append(await world.ask(client, idempotency_key=f"here-{visit}"))
            while visit and not told >= set(asked[3:]):
                event = await anext(heard)
                told.add(event.json()["id"])
                last_seen = event.id
    assert told >= set(asked[3:]), "all but what was asked before the first visit"


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 18, "１２", "1\x00"])
async def test_an_id_that_is_none_is_refused(world: World, client: httpx2.AsyncClient, given: str) -> None:
    task_id = await world.ask(client)
    for path in ("/api/events", f"/api/tasks/{task_id}/events"):
        for header in ({}, {"Last-Event-ID": "1"}):
            response = await client.get(path, params={"last_event_id": given}, headers=as_program("admin") | header)
            assert (response.status_code, list(response.json()["fields"])) == (422, ["last_event_id"])


# ── Who may ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("who", "task", "queue"),
    [
        ({}, 401, 401),
        (as_program("asker"), 200, 403),
        (as_program("other"), 403, 403),
        (as_program("operator"), 200, 403),
        (as_program("reader"), 200, 200),
        (as_person("ana"), 200, 200),
        (as_person("bob"), 403, 200),
        (as_person("olga"), 200, 200),
    ],
    ids=str,
)
async def test_who_may_read_may_follow(
    world: World, client: httpx2.AsyncClient, who: dict[str, str], task: int, queue: int
) -> None:
    task_id = await world.ask(client, assign_to=TO_ANA)
    for path, status in ((f"/api/tasks/{task_id}", task), ("/api/tasks", queue)):
        assert (await client.get(path, headers=who)).status_code == status
    for path, status in ((f"/api/tasks/{task_id}/events", task), ("/api/events", queue)):
        for method in ("GET", "HEAD"):
            async with client.stream(method, path, headers=who) as response:
                assert response.status_code == status


async def test_people_are_told_of_what_they_may_see_and_no_more(world: World, client: httpx2.AsyncClient) -> None:
    async with (
        stream(client, "/api/events", as_person("ana")) as to_ana,
        stream(client, "/api/events", as_person("bob")) as to_bob,
    ):
        first = await world.ask(client, assign_to=TO_ANA, idempotency_key="1")
        assert (await anext(to_ana)).json()["id"] == first
        await reassign(client, first, "bob@example.com")
        assert (await anext(to_bob)).json()["id"] == first
        await complete(client, first, completed_by_email=cast(str, BOB.email))
        assert (await anext(to_bob)).json()["status"] == "completed"
        second = await world.ask(client, assign_to=TO_ANA, idempotency_key="2")
        assert (await anext(to_ana)).json()["id"] == second, "and not the first one again"


async def test_a_stream_ends_when_its_reader_may_not_see_the_task_any_more(
    world: World, client: httpx2.AsyncClient
) -> None:
    task_id = await world.ask(client, assign_to=TO_ANA)
    path = f"/api/tasks/{task_id}/events"
    async with stream(client, path, as_person("ana")) as told:
        assert (await anext(told)).id == "1"
        await reassign(client, task_id, "bob@example.com")
        assert [event async for event in told] == []
    again = await client.get(path, headers={**as_person("ana"), "Last-Event-ID": "1"})
    assert again.status_code == 403, "a browser does not come back after that"


async def test_a_deleted_task_ends_its_stream(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    path = f"/api/tasks/{task_id}/events"
    async with stream(client, path, as_program("asker")) as told:
        assert (await anext(told)).id == "1"
        await client.delete(f"/api/tasks/{task_id}", headers=as_program("admin"))
        assert {event.json()["status"] async for event in told} <= {"cancelled"}
    assert (await client.get(path, headers=as_program("asker"))).status_code == 404


async def test_streams_end_now_and_then_so_that_people_are_let_in_anew() -> None:
    clock = VirtualClock()
    world = World()
    world.engine.clock = clock
    visitor = Visitor()
    async with anyio.create_task_group() as group:
        group.start_soon(world.router, visitor.scope("/api/events", as_person("ana")), visitor.receive, visitor.send)
        await visitor.blocks(1)
        await clock.advance(events.HEARTBEAT)
        await visitor.blocks(2)
        assert visitor.received[1] == b":\n", "so that nobody takes the line for dead"
        await clock.advance(events.LIFETIME - events.HEARTBEAT)
    assert visitor.ended
    assert set(visitor.received[1:-1]) == {b":\n"}
    assert len(visitor.received) == events.LIFETIME // events.HEARTBEAT


# ── What it costs, and how it ends ────────────────────────────────────────────


async def test_two_hundred_streams_cost_nothing_while_nothing_happens(
    world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RECHECK_EVERY", 3_600.0)
    task_id = await world.ask(client)
    reads = counted(world.engine, "find", "get")
    paths = ["/api/events", f"/api/tasks/{task_id}/events?last_event_id=1"] * 100
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=client.base_url, timeout=PATIENCE, limits=limits) as many:
        opened, told = anyio.Semaphore(0), anyio.Semaphore(0)

        async def follow(path: str) -> None:
            async with stream(many, path, as_program("admin"), everything=True) as heard:
                await anext(heard)
                opened.release()
                event = await anext(heard)
                assert event.json()["version"] == 2
                told.release()

        async with anyio.create_task_group() as group:
            with anyio.fail_after(60):
                for path in paths:
                    group.start_soon(follow, path)
                for _ in paths:
                    await opened.acquire()
                while len(reads) < 200:  # of each task stream: may they, how does it stand
                    await anyio.sleep(0.01)
                reads.clear()
                await anyio.sleep(2)
                assert reads == []
                await complete(client, task_id)
                for _ in paths:
                    await told.acquire()
        assert 200 <= len(reads) <= 210
    await everybody_gone(world)


async def test_a_client_that_leaves_leaves_nothing_behind(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    for path in (f"/api/tasks/{task_id}/events", "/api/events"):
        async with stream(client, path, as_program("admin"), everything=True) as told:
            await anext(told)
            while not world.engine._hub.followed:
                await anyio.sleep(0.01)
        await everybody_gone(world)


async def test_a_client_that_does_not_read_makes_nothing_pile_up() -> None:
    """It gets each task's latest state when it reads again."""
    world = World()
    visitor = Visitor()
    tasks = 40
    async with world.engine.run(), anyio.create_task_group() as group, world.client() as client:
        group.start_soon(
            world.router, visitor.scope("/api/events", as_program("reader")), visitor.receive, visitor.send
        )
        await visitor.blocks(1)
        visitor.stall()
        task_ids = [await world.ask(client, idempotency_key=str(n)) for n in range(tasks)]
        reads = counted(world.engine, "find")
        for task_id in task_ids:
            await complete(client, task_id)
        await anyio.sleep(1)
        assert len(reads) <= 1, "it is not read on for who does not read"
        visitor.read_on()
        with anyio.fail_after(PATIENCE):
            while {task["id"] for task in visitor.tasks() if task["status"] == "completed"} != set(task_ids):
                await anyio.sleep(0.01)
        assert len(visitor.tasks()) <= 2 * tasks
        visitor.leave()
    assert not world.engine._hub.followed


async def test_a_stalled_client_of_a_real_server_is_held_up_by_the_socket(
    world: World, client: httpx2.AsyncClient
) -> None:
    """What is under way to it is bounded by the buffers, whatever happens meanwhile."""
    task_ids = [await world.ask(client, payload={"x": "x" * 500_000}, idempotency_key=str(n)) for n in range(20)]
    url = httpx2.URL(str(client.base_url))
    with socket.create_connection((url.host, cast(int, url.port))) as stalled:
        request = "GET /api/events?last_event_id=0 HTTP/1.1\r\nHost: x\r\nAuthorization: {Authorization}\r\n\r\n"
        stalled.sendall(request.format(**as_program("reader")).encode())
        while not world.engine._hub.followed:
            await anyio.sleep(0.01)
        reads = counted(world.engine, "find")
        while await grows(reads, within=1):
            pass  # until the buffers are full
        before = len(reads)
        for task_id in task_ids:
            await complete(client, task_id)
        assert not await grows(reads, within=1)
        assert len(reads) == before
    await everybody_gone(world)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_server_ends_its_streams(number: signal.Signals, tmp_path: Path) -> None:
    with example_server(f"sqlite:///{tmp_path}/t.db", tmp_path) as (server, api):
        api.post("/tasks", json=question()).raise_for_status()
        with api.stream("GET", "/events") as response:
            lines = response.iter_lines()
            assert next(lines).startswith("retry: ")
            server.process.send_signal(number)
            assert [line for line in lines if line.startswith("data:")] == []
        assert server.process.wait(PATIENCE) is not None


async def test_a_broken_store_ends_the_stream_and_the_client_may_come_back(
    world: World, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    find = world.store.find

    async def broken(query: Query) -> object:
        world.store.find = find  # type: ignore[method-assign]
        raise OSError("the disk is gone")

    async with stream(client, "/api/events", as_program("reader"), everything=True) as told:
        opening = await anext(told)
        world.store.find = broken  # type: ignore[assignment, method-assign]
        task_id = await world.ask(client)
        assert [event async for event in told] == []
    assert "the event stream of request" in caplog.text
    async with stream(client, f"/api/events?last_event_id={opening.id}", as_program("reader")) as told:
        assert (await anext(told)).json()["id"] == task_id


# ── Several processes ─────────────────────────────────────────────────────────


async def test_a_change_made_in_another_process_arrives(postgres_url: str, tmp_path: Path) -> None:
    with (
        example_server(postgres_url, tmp_path / "here") as (_, here),
        example_server(postgres_url, tmp_path / "there") as (_, there),
    ):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx2.AsyncClient(base_url=here.base_url, timeout=START_SECONDS) as client,
            stream(client, "events", headers, everything=True) as queue,
        ):
            await anext(queue)
            task_id = there.post("/tasks", json=question()).json()["id"]
            assert (await anext(queue)).json()["id"] == task_id
            async with stream(client, f"tasks/{task_id}/events", headers) as told:
                assert (await anext(told)).id == "1"
                there.post(f"/tasks/{task_id}/cancel").raise_for_status()
                assert [event.json()["status"] async for event in told] == ["cancelled"]
            assert (await anext(queue)).json()["status"] == "cancelled"


# ── Parts ─────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def stream(
    client: httpx2.AsyncClient, path: str, headers: dict[str, str], *, everything: bool = False
) -> AsyncGenerator[AsyncIterator[ServerSentEvent]]:
    """Give the events that are told; with `everything`, also how the stream begins."""
    with anyio.fail_after(PATIENCE):
        async with client.stream("GET", path, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            source = EventSource(response)  # type: ignore[arg-type] # all that it uses is there
            async with aclosing(source.aiter_sse()) as found:
                yield (event async for event in found if event.data or everything)


async def as_script(client: httpx2.AsyncClient, who: str) -> dict[str, str]:
    """Return the headers with which a page's script posts."""
    me = (await client.get("/api/me", headers=as_person(who))).json()
    return {**as_person(who), "X-CSRF-Token": me["csrf_token"]}


async def complete(client: httpx2.AsyncClient, task_id: str, **more: str) -> None:
    answer = {"response": YES, **more}
    done = await client.post(f"/api/tasks/{task_id}/complete", json=answer, headers=as_program("speaker"))
    assert done.status_code == 200, done.text


async def reassign(client: httpx2.AsyncClient, task_id: str, email: str) -> None:
    body = {"assign_to": {"email": email}}
    done = await client.post(f"/api/tasks/{task_id}/reassign", json=body, headers=as_program("operator"))
    assert done.status_code == 200, done.text


async def everybody_gone(world: World) -> None:
    with anyio.fail_after(PATIENCE):
        while world.engine._hub.followed or world.engine._hub.awaited():
            await anyio.sleep(0.01)


class Visitor:
    """A client at the ASGI interface, which reads when it likes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended = False
        self._reads = anyio.Event()
        self._reads.set()
        self._gone = anyio.Event()

    def scope(self, path: str, headers: dict[str, str]) -> dict[str, object]:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        return {
            "type": "http",
            "method": "GET",
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": raw,
        }

    async def receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self._reads.wait()
        if block := message.get("body"):
            self.received.append(block)
        self.ended = message["type"] == "http.response.body" and not message.get("more_body")

    def stall(self) -> None:
        self._reads = anyio.Event()

    def read_on(self) -> None:
        self._reads.set()

    def leave(self) -> None:
        self._gone.set()

    async def blocks(self, count: int) -> None:
        with anyio.fail_after(PATIENCE):
            while len(self.received) < count:
                await anyio.lowlevel.checkpoint()

    def tasks(self) -> list[JsonObject]:
        found = [re.search(rb"^data: (.*)$", block, re.MULTILINE) for block in self.received]
        return [json.loads(match[1]) for match in found if match]
