"""Workers come to an end."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import anyio
import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from tests.adapters.temporal.conftest import PATIENCE
from tests.adapters.temporal.workflows import WireFormatWorkflow

pytestmark = pytest.mark.anyio


async def test_an_activity_that_ends_while_it_is_being_cancelled_holds_up_no_shutdown(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    """The worker warns of it, where a warning must not become an error: see pyproject.toml."""
    begun, cancelled = anyio.Event(), anyio.Event()

    @activity.defn(name="post_task")
    async def ending(url: str, token: str, body: dict[str, Any]) -> None:
        begun.set()
        await cancelled.wait()

    queue = uuid4().hex
    worker = Worker(client, task_queue=queue, workflows=[WireFormatWorkflow], activities=[ending])
    assert worker._activity_worker
    running = worker._activity_worker._running_activities
    poll = worker._bridge_worker.poll_activity_task

    async def poll_late() -> Any:
        task = await poll()
        if task.HasField("cancel"):
            cancelled.set()
            while running:
                await anyio.sleep(0.01)
        return task

    monkeypatch.setattr(worker._bridge_worker, "poll_activity_task", poll_late)
    body = {"idempotency_key": "A-1", "timeout_seconds": 60}
    with anyio.fail_after(PATIENCE):
        async with worker:
            await client.start_workflow(WireFormatWorkflow.run, args=["", "", body], id=queue, task_queue=queue)
            await begun.wait()
    assert cancelled.is_set()
