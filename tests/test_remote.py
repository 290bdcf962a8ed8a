"""`RemoteEngine`: the same promises over HTTP, and a line that breaks."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from awaithumans import Engine, RemoteEngine, await_human
from awaithumans.blocking import run_blocking
from awaithumans.errors import (
    NotAuthenticatedError,
    PollError,
    ServerUnreachableError,
    TaskCreateError,
    TaskNotFoundError,
)
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import ANA, Advance, Decision, EngineConformance, a_question
from awaithumans.types import Query
from awaithumans.web import ApiToken, Router

TOKEN = "an admin token for these tests"


@asynccontextmanager
async def served(engine: Engine, port: int = 0) -> AsyncIterator[str]:
    """Serve an engine from a host application, on this event loop."""
    router = Router(engine, tokens=[ApiToken.admin(TOKEN, may_answer_own=True)])
    app = Starlette(routes=[Mount("/humans", router)])
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}/humans"
            finally:
                server.should_exit = True


class OverHTTP(EngineConformance):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    async def local(self, clock: VirtualClock) -> AsyncIterator[Engine]:
        async with Engine(MemoryStore(), clock=clock).run() as engine:
            yield engine

    @pytest.fixture
    async def engine(self, local: Engine) -> AsyncIterator[RemoteEngine]:
        async with served(local) as url, RemoteEngine(url, TOKEN) as engine:
            yield engine

    @pytest.fixture
    def advance(self, local: Engine, clock: VirtualClock) -> Advance:
        async def advance(seconds: float) -> None:
            await clock.advance(seconds)
            await local.tick()

        return advance


class TestOverHTTP(OverHTTP):
    """On the JSON API of a mounted router."""


QUESTION: dict[str, Any] = {
    "task": "Approve the refund?",
    "payload_schema": Decision,
    "payload": Decision(approved=False),
    "response_schema": Decision,
    "timeout_seconds": 600,
}


async def answer(engine: Engine) -> None:
    while not (tasks := await engine.store.find(Query())):
        await anyio.sleep(0.01)
    await engine.submit(tasks[0].id, {"approved": True}, by=ANA)


@pytest.mark.anyio
class TestTheCallOverHTTP:
    async def test_returns_the_typed_answer(self):
        async with Engine(MemoryStore()).run() as engine, served(engine) as url, anyio.create_task_group() as group:
            group.start_soon(answer, engine)
            decision = await await_human(**QUESTION, server_url=url, api_key=TOKEN)
        assert decision == Decision(approved=True)

    async def test_finds_the_server_in_the_environment(self, monkeypatch):
        async with Engine(MemoryStore()).run() as engine, served(engine) as url, anyio.create_task_group() as group:
            monkeypatch.setenv("AWAITHUMANS_URL", url + "/")
            monkeypatch.setenv("AWAITHUMANS_ADMIN_API_TOKEN", TOKEN)
            group.start_soon(answer, engine)
            monkeypatch.setattr("awaithumans.client.AMBIENT_ENGINE", _Nothing())
            assert (await await_human(**QUESTION)).approved

    async def test_outlives_a_server_that_restarts(self, tmp_path):
        """The connection drops in the middle of the wait; the wait goes on."""
        url = f"sqlite:///{tmp_path}/t.db"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        decisions: list[Decision] = []

        async def ask() -> None:
            server = f"http://127.0.0.1:{port}/humans"
            decisions.append(await await_human(**QUESTION, server_url=server, api_key=TOKEN))

        async with anyio.create_task_group() as group:
            first = Engine(SQLAlchemyStore(url))
            async with first.run(), served(first, port):
                group.start_soon(ask)
                while not await first.find(Query()):
                    await anyio.sleep(0.01)
            await first.aclose()
            second = Engine(SQLAlchemyStore(url))
            async with second.run(), served(second, port):
                await answer(second)
                with anyio.fail_after(20):
                    while not decisions:
                        await anyio.sleep(0.01)
            await second.aclose()
        assert decisions == [Decision(approved=True)]

    async def test_a_wrong_token_is_said_to_be_wrong(self):
        async with Engine(MemoryStore()).run() as engine, served(engine) as url:
            with pytest.raises(NotAuthenticatedError):
                await await_human(**QUESTION, server_url=url, api_key="nonsense")


@pytest.mark.anyio
class TestServersThatAreNotOurs:
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    async def test_nobody_there(self, clock):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        async with RemoteEngine(f"http://127.0.0.1:{port}", clock=clock) as engine, anyio.create_task_group() as group:
            refused: list[Exception] = []

            async def ask() -> None:
                with pytest.raises(ServerUnreachableError) as caught:
                    await engine.create(a_question())
                refused.append(caught.value)

            group.start_soon(ask)
            with anyio.fail_after(20):
                while not refused:
                    await anyio.sleep(0.01)
                    await clock.advance(1)
        assert str(port) in str(refused[0])

    @pytest.mark.parametrize("verb", ["wait", "get"])
    async def test_a_proxys_own_reply_is_no_word_about_the_task(self, serve, verb):
        """As from a load balancer while the server behind it restarts."""
        replies = iter([(404, "<h1>no backend</h1>"), (302, ""), (521, "<h1>down</h1>"), (200, "<h1>hello</h1>")])

        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            status, text = next(replies, (404, '{"error": "TASK_NOT_FOUND", "message": "gone"}'))
            await PlainTextResponse(text, status)(scope, receive, send)

        async with RemoteEngine(serve(proxy), rng=_Hasty()) as engine:
            with pytest.raises(TaskNotFoundError):
                await getattr(engine, verb)("0" * 32)
        assert next(replies, None) is None

    async def test_something_else_there(self, serve):
        url = serve(Starlette())
        async with RemoteEngine(url) as engine:
            with pytest.raises(TaskCreateError, match="HTTP 404"):
                await engine.create(a_question())
            with pytest.raises(PollError):
                await engine.find(Query())


class _Hasty(Random):
    """Makes every pause short."""

    def uniform(self, a: float, b: float) -> float:
        return 0.01


class _Nothing:
    def get(self) -> None:
        return None


@pytest.mark.anyio
async def test_one_remote_engine_serves_several_event_loops():
    async with Engine(MemoryStore()).run() as local, served(local) as url, RemoteEngine(url, TOKEN) as engine:
        task = await engine.create(a_question())
        for _ in range(2):
            assert (await anyio.to_thread.run_sync(run_blocking, lambda: engine.get(task.id), engine)).id == task.id
            assert (await engine.get(task.id)).id == task.id
