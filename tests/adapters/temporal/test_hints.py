"""Word of a decision on its way to the workflow: by the channel, or by a webhook."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from awaithumans import (
    ConfigurationError,
    DeliveryError,
    Engine,
    InvalidInputError,
    InvalidRoutingError,
    Notice,
    RemoteEngine,
)
from awaithumans.adapters.temporal import HumanActivities, TemporalChannel, dispatch_signal
from awaithumans.channels.webhook import WebhookChannel
from awaithumans.errors import InvalidSignatureError
from awaithumans.signing import sign_body
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.recording import RecordingChannel
from awaithumans.testing.tasks import make_spec, make_task
from awaithumans.types import Answer, Task, TaskStatus
from tests.adapters.temporal.conftest import ANA, PATIENCE, TOKEN, World, connected, world_on
from tests.adapters.temporal.workflows import DynamicWorkflow, MixedWorkflow, RefundWorkflow, WireFormatWorkflow
from tests.temporal import temporal_server

pytestmark = pytest.mark.anyio

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SCHEMA = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}


@pytest.fixture
async def world(client: Client) -> AsyncIterator[World]:
    async with world_on(client, channels=(WebhookChannel(KEY, allow_private=True),)) as world:
        yield world


def notice_of(task: Task, workflow_id: str) -> Notice:
    return Notice(id=uuid4().hex, event="closed", channel="temporal", target=workflow_id, task=task)


def a_closed_task() -> Task:
    return make_task(id=uuid4().hex, spec=make_spec(idempotency_key=uuid4().hex), status=TaskStatus.TIMED_OUT)


async def done(handle: WorkflowHandle[Any, Any]) -> Any:
    with anyio.fail_after(PATIENCE):
        return await handle.result()


def signed(body: object) -> tuple[bytes, str]:
    raw = json.dumps(body).encode()
    return raw, sign_body(raw, KEY)


class TestTheChannel:
    async def test_a_workflow_without_a_worker_finds_the_word_in_its_history(self, world: World):
        """Sending takes less than an effect's time, and is not left to retries."""
        channel = TemporalChannel(world.client)
        async with world.worker(callback=False):
            handle = await world.start(RefundWorkflow.run, ["A-1"], {})
            [task] = await world.open_tasks()
        await world.answer(task)
        began = time.monotonic()
        await channel.send(notice_of(await world.local.get(task.id), handle.id))
        assert time.monotonic() - began < 25
        resumed = time.monotonic()
        async with world.worker():
            assert await done(handle) == ["A-1: True"]
        assert time.monotonic() - resumed < 15, "before it would have looked for itself"

    async def test_a_closed_workflow_needs_no_word(self, world: World):
        async with world.worker():
            handle = await world.start(RefundWorkflow.run, ["A-1"], {"timeout_seconds": 0})
            with pytest.raises(Exception, match="failed"):
                await done(handle)
        await TemporalChannel(world.client).send(notice_of(a_closed_task(), handle.id))

    async def test_a_workflow_that_never_was_is_hopeless(self, world: World):
        with pytest.raises(DeliveryError, match="no workflow") as caught:
            await TemporalChannel(world.client).send(notice_of(a_closed_task(), "never"))
        assert caught.value.permanent

    async def test_a_server_that_is_away_is_tried_again(self, tmp_path, world: World):
        with temporal_server(tmp_path) as server:
            client = await connected(server)
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="Temporal cannot be told") as caught:
            await TemporalChannel(client).send(notice_of(a_closed_task(), "some"))
        assert not caught.value.permanent
        assert time.monotonic() - began < 25

    async def test_it_can_be_given_up(self, world: World):
        """A cancellation is not taken for a worker that does not reply."""
        async with world.worker(callback=False):
            handle = await world.start(RefundWorkflow.run, ["A-1"], {})
            [task] = await world.open_tasks()
        await world.answer(task)
        notice = notice_of(await world.local.get(task.id), handle.id)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(TemporalChannel(world.client).send(notice), 1)
        events = [event.event_type async for event in handle.fetch_history_events()]
        assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED not in events

    async def test_what_temporal_does_not_take_is_hopeless(self, world: World):
        """The wire format's signal has the whole response."""
        task = make_task(id=uuid4().hex, spec=make_spec(task="x" * 10), status=TaskStatus.COMPLETED)
        answer = Answer(by=ANA, at=task.created_at, attempt=1, value={"note": "x" * 2_500_000})
        async with world.worker():
            body = {"idempotency_key": uuid4().hex, "timeout_seconds": 60}
            handle = await world.start(WireFormatWorkflow.run, world.url, "wrong", body)
            with pytest.raises(DeliveryError, match="INVALID_ARGUMENT") as caught:
                await TemporalChannel(world.client).send(notice_of(replace(task, answers=(answer,)), handle.id))
        assert caught.value.permanent

    async def test_it_says_nothing_before_the_end(self, world: World):
        opened = Notice(id="1", event="opened", channel="temporal", target="never", task=make_task())
        await TemporalChannel(world.client).send(opened)

    async def test_it_takes_any_workflow_id(self, world: World):
        channel = TemporalChannel(world.client)
        channel.check("refund of A-1/2: ü")
        with pytest.raises(InvalidRoutingError):
            channel.check("x" * 1_001)


class TestWorkflowsOfTheWireFormat:
    """They know nothing of this library: a signal by key, with the webhook's body."""

    async def ask(
        self, world: World, callback_url: str, workflow_id: str, workflow: Any = WireFormatWorkflow
    ) -> WorkflowHandle[Any, Any]:
        body = {
            "task": "Refund?",
            "payload": {"order": "A-1"},
            "payload_schema": {"type": "object"},
            "response_schema": SCHEMA,
            "timeout_seconds": 600,
            "idempotency_key": f"temporal:{workflow_id}",
            "callback_url": callback_url,
        }
        return await world.start(workflow.run, world.url, TOKEN, body, id=workflow_id)

    async def answered(self, world: World, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
        [task] = await world.open_tasks()
        await world.local.submit(task.id, {"approved": True}, by=ANA)
        outcome: dict[str, Any] = await done(handle)
        assert outcome["task_id"] == task.id
        return outcome

    async def test_they_resume_by_the_channel(self, world: World):
        workflow_id = uuid4().hex
        async with world.worker():
            handle = await self.ask(world, f"temporal:{workflow_id}", workflow_id)
            outcome = await self.answered(world, handle)
        assert (outcome["status"], outcome["response"]) == ("completed", {"approved": True})

    async def test_they_resume_beside_handlers_that_take_every_update(self, world: World):
        workflow_id = uuid4().hex
        async with world.worker():
            handle = await self.ask(world, f"temporal:{workflow_id}", workflow_id, DynamicWorkflow)
            outcome = await self.answered(world, handle)
        assert outcome["status"] == "completed"

    async def test_they_resume_beside_a_question_of_ours(self, world: World):
        workflow_id = uuid4().hex
        async with world.worker():
            handle = await self.ask(world, f"temporal:{workflow_id}", workflow_id, MixedWorkflow)
            [theirs] = [task for task in await world.open_tasks(2) if task.spec.callback_url]
            await world.local.submit(theirs.id, {"approved": True}, by=ANA)
            assert (await done(handle))["task_id"] == theirs.id

    async def test_they_resume_by_a_webhook(self, world: World, serve, monkeypatch):
        monkeypatch.setenv("AWAITHUMANS_PAYLOAD_KEY", KEY)
        workflow_id = uuid4().hex
        async with world.worker():
            handle = await self.ask(world, f"{serve(receiver(world.client))}/decided?wf={workflow_id}", workflow_id)
            outcome = await self.answered(world, handle)
        assert (outcome["status"], outcome["completed_by_email"]) == ("completed", "ana@example.com")


class TestWorkflowsOfOurs:
    async def test_they_ask_though_their_name_makes_an_address_too_long(self, world: World):
        async with world.worker(callback="webhook:https://workers.example.com/decided/{workflow_id}"):
            handle = await world.start(RefundWorkflow.run, ["A-1"], {}, id="ü" * 400)
            [task] = await world.open_tasks()
            await handle.terminate()
        assert not any("webhook" in told.effect.recipient for told in await world.local.deliveries(task.id))

    async def test_they_ask_though_as_many_are_told_as_can_be(self, world: World):
        notify = [f"webhook:https://example.com/{number}" for number in range(100)]
        async with world.worker():
            handle = await world.start(RefundWorkflow.run, ["A-1"], {"notify": notify})
            [task] = await world.open_tasks()
            await handle.terminate()
        assert task.spec.notify == tuple(notify)

    async def test_they_resume_by_a_webhook_too(self, world: World, serve, monkeypatch):
        monkeypatch.setenv("AWAITHUMANS_PAYLOAD_KEY", KEY)
        callback = f"webhook:{serve(receiver(world.client))}/decided?wf={{workflow_id}}"
        async with world.worker(callback=callback):
            handle = await world.start(RefundWorkflow.run, ["A-1"], {}, id=f"refund of ü/{uuid4().hex}")
            [task] = await world.open_tasks()
            began = time.monotonic()
            await world.answer(task)
            assert await done(handle) == ["A-1: True"]
        assert time.monotonic() - began < 15, "before it would have looked for itself"


def receiver(client: Client) -> Starlette:
    """Be a web application that gets webhooks, on a loop of its own."""
    loop = asyncio.get_running_loop()

    async def decided(request: Request) -> Response:
        dispatch = dispatch_signal(
            temporal_client=client,
            workflow_id=request.query_params["wf"],
            body=await request.body(),
            signature_header=request.headers.get("x-awaithumans-signature"),
        )
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(dispatch, loop))
        return Response(status_code=204)

    return Starlette(routes=[Route("/decided", decided, methods=["POST"])])


class TestWebhooks:
    """What was not signed with the key, or says nothing, reaches no workflow."""

    async def test_a_wrong_signature_is_refused(self, client: Client):
        body, signature = signed({"task_id": "1", "idempotency_key": "k"})
        for wrong in (None, "", "sha256=00", signature[:-1] + "0", "ü"):
            with pytest.raises(PermissionError) as caught:
                await dispatch_signal(
                    temporal_client=client, workflow_id="w", body=body, signature_header=wrong, webhook_key=KEY
                )
            assert isinstance(caught.value, InvalidSignatureError)

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"task_id": 1, "idempotency_key": "k"}', b"\xff"])
    async def test_a_body_that_tells_of_no_task_is_refused(self, client: Client, body):
        with pytest.raises(InvalidInputError):
            await dispatch_signal(
                temporal_client=client,
                workflow_id="w",
                body=body,
                signature_header=sign_body(body, KEY),
                webhook_key=KEY,
            )

    async def test_a_workflow_that_never_was_ends_the_matter(self, client: Client, caplog):
        body, signature = signed({"task_id": "t-1", "idempotency_key": "k"})
        await dispatch_signal(
            temporal_client=client, workflow_id="never", body=body, signature_header=signature, webhook_key=KEY
        )
        assert "no workflow 'never'" in caplog.text

    async def test_the_key_must_be_somewhere(self, client: Client, monkeypatch):
        monkeypatch.delenv("AWAITHUMANS_PAYLOAD_KEY", raising=False)
        with pytest.raises(ConfigurationError, match="no key"):
            await dispatch_signal(temporal_client=client, workflow_id="w", body=b"{}", signature_header=None)


async def test_word_outlives_a_server_that_is_killed(tmp_path):
    """The question, the wait and the answer are on disk, on both sides."""
    with temporal_server(tmp_path, database=True) as server:
        client = await connected(server)
        async with world_on(client) as world, world.worker():
            handle = await world.start(RefundWorkflow.run, ["A-1"], {})
            [task] = await world.open_tasks()
            server.kill()
            await world.answer(task)
            server.start()
            assert await done(handle) == ["A-1: True"]


class TestCallbacks:
    """A mistake in who is told shows when the worker is made."""

    @pytest.mark.parametrize(
        "wrong", ["", "temporal", "temporal:{workflow-id}", "temporal:refund", "webhook:x/{a}/{workflow_id}"]
    )
    def test_it_names_the_workflow(self, wrong):
        with pytest.raises((InvalidRoutingError, ConfigurationError)):
            HumanActivities(RemoteEngine("https://app.example"), callback=wrong)

    @pytest.mark.parametrize("wrong", ["temporl:{workflow_id}", "people:{workflow_id}"])
    async def test_it_goes_by_a_channel_for_programs(self, client: Client, wrong):
        engine = Engine(MemoryStore(), channels=[TemporalChannel(client), RecordingChannel("people")])
        with pytest.raises(ConfigurationError, match="that tells programs"):
            HumanActivities(engine, callback=wrong)
        HumanActivities(engine, callback="temporal:{workflow_id}")

    async def test_it_can_be_left_out(self, world: World):
        async with world.worker(callback=False):
            handle = await world.start(RefundWorkflow.run, ["A-1"], {})
            [task] = await world.open_tasks()
            await handle.terminate()
        assert task.spec.notify == ()
