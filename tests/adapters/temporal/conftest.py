"""A worker and the people, on Temporal's development server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.worker import Worker

from awaithumans import (
    Actor,
    Channel,
    Engine,
    Human,
    Query,
    RemoteEngine,
    Task,
    TaskEngine,
    Verdict,
    VerificationContext,
)
from awaithumans.adapters.temporal import AwaitHumansPlugin, TemporalChannel
from awaithumans.adapters.temporal.activities import READ
from awaithumans.stores.memory import MemoryStore
from awaithumans.web import ApiToken, Router
from tests.adapters.temporal.workflows import WORKFLOWS, post_task
from tests.temporal import TemporalServer, temporal_missing, temporal_server

TOKEN = "a-token-that-stays-out-of-histories"
SECRET = "a secret of the engine that stays out of histories"
ANA = Actor.of(Human(id="ana@example.com", email="ana@example.com"), auth="engine")
PATIENCE = 20


class Strict:
    """A verifier that likes nothing."""

    async def verify(self, context: VerificationContext) -> Verdict:
        return Verdict(passed=False, reason="not good enough")


@dataclass
class World:
    """An engine where people answer, and a worker whose workflows ask."""

    client: Client
    local: Engine
    """Where people answer."""
    engine: TaskEngine
    """What the worker sees of it."""
    url: str
    queue: str = field(default_factory=lambda: uuid4().hex)

    @asynccontextmanager
    async def worker(self, **options: Any) -> AsyncIterator[Worker]:
        plugin = AwaitHumansPlugin(self.engine, callback=options.pop("callback", "temporal:{workflow_id}"))
        async with Worker(
            self.client,
            task_queue=self.queue,
            workflows=WORKFLOWS,
            activities=[post_task],
            plugins=[plugin],
            **options,
        ) as worker:
            yield worker

    async def start(self, workflow: Any, *args: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        options = {"id": f"refund of {uuid4().hex}", "task_queue": self.queue, **options}
        return await self.client.start_workflow(workflow, args=args, **options)

    async def open_tasks(self, count: int = 1) -> list[Task]:
        """Give the open tasks, oldest first, once there are so many."""
        with anyio.fail_after(PATIENCE):
            while True:
                tasks = [task for task in await self.tasks() if not task.closed]
                if len(tasks) >= count:
                    return tasks
                await anyio.sleep(0.01)

    async def tasks(self) -> list[Task]:
        return sorted(await self.local.find(Query()), key=lambda task: task.created_at)

    async def answer(self, task: Task, *, approved: bool = True, note: str = "") -> None:
        await self.local.submit(task.id, {"approved": approved, "note": note}, by=ANA)


async def looked(handle: WorkflowHandle[Any, Any]) -> timedelta:
    """Wait until a workflow has looked once whether its task is closed; give how long it will not again."""
    with anyio.fail_after(PATIENCE):
        while True:
            for pending in (await handle.describe()).raw_description.pending_activities:
                if pending.activity_type.name == READ and pending.attempt > 1:
                    next_at, last_at = pending.next_attempt_schedule_time, pending.last_attempt_complete_time
                    return next_at.ToDatetime() - last_at.ToDatetime()
            await anyio.sleep(0.02)


@asynccontextmanager
async def world_on(
    client: Client, *, remote: bool = False, channels: tuple[Channel, ...] = (), store: Any = None
) -> AsyncIterator[World]:
    """Give a world whose worker sees its engine directly, or over HTTP."""
    local = Engine(
        store or MemoryStore(),
        channels=[TemporalChannel(client), *channels],
        secret=SECRET,
        verifiers={"strict": Strict()},
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(local.run())
        url = await stack.enter_async_context(served(local))
        engine = await stack.enter_async_context(RemoteEngine(url, TOKEN)) if remote else local
        yield World(client, local, engine, url)


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[str]:
    """Serve the engine's router below `/humans`; give its address."""
    router = Router(engine, tokens=[ApiToken("worker", TOKEN, ["ask", "operate"])])
    app = Starlette(routes=[Mount("/humans", router)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}/humans"
            finally:
                server.should_exit = True


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """Give Temporal's server, shared by all tests."""
    if reason := temporal_missing():
        pytest.skip(reason)
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest.fixture
async def client(temporal: TemporalServer) -> Client:
    return await connected(temporal)


async def connected(server: TemporalServer, converter: DataConverter = DataConverter.default) -> Client:
    """Connect, once the server is ready."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                return await Client.connect(server.address, data_converter=converter)
            except RuntimeError:
                await anyio.sleep(0.05)


@pytest.fixture(params=["in-process, plain JSON", "over HTTP, Pydantic's JSON"])
async def world(temporal: TemporalServer, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Give a world with its worker, in both ways."""
    remote = request.param.startswith("over HTTP")
    client = await connected(temporal, pydantic_data_converter if remote else DataConverter.default)
    async with world_on(client, remote=remote) as world, world.worker():
        yield world
