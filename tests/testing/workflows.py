"""A refund as a Temporal workflow, whose activity asks a person."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from tests.testing.questions import ask, ask_sync

DAY = 24 * 60 * 60
ONCE = RetryPolicy(maximum_attempts=1)


@activity.defn
async def decide(order: str) -> bool:
    return bool((await ask(order, timeout_seconds=DAY)).approved)


@activity.defn
def decide_sync(order: str) -> bool:
    return bool(ask_sync(order, timeout_seconds=DAY).approved)


@workflow.defn
class RefundWorkflow:
    """Decide on some orders at the same time, then let a day pass."""

    @workflow.run
    async def run(self, orders: list[str], way: str) -> list[str]:
        outcomes = await asyncio.gather(*(self._decide(order, way) for order in orders))
        await workflow.sleep(timedelta(days=1))
        return outcomes

    async def _decide(self, order: str, way: str) -> str:
        try:
            approved: bool = await workflow.execute_activity(
                way, order, start_to_close_timeout=timedelta(days=2), retry_policy=ONCE, result_type=bool
            )
        except ActivityError as error:
            cause = error.cause
            return f"{order}: {getattr(cause, 'type', cause)}"
        return f"{order}: {approved}"


@workflow.defn
class ImpatientWorkflow:
    """Give a person an hour, on Temporal's clock; say how much of it passed."""

    @workflow.run
    async def run(self, order: str) -> float:
        started = workflow.now()
        answer = workflow.execute_activity(decide, order, start_to_close_timeout=timedelta(days=2), retry_policy=ONCE)
        await asyncio.wait_for(answer, timeout=timedelta(hours=1).total_seconds())
        return (workflow.now() - started).total_seconds()
