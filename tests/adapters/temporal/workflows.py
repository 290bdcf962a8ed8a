"""Workflows that ask people, as users write them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from typing import Any

    import httpx2
    from pydantic import BaseModel, model_validator

    from awaithumans import TaskCancelledError, TaskTimeoutError, VerifierConfig
    from awaithumans.adapters.temporal import await_human


class Refund(BaseModel):
    """What is shown."""

    order: str


class Decision(BaseModel):
    """What is decided; its JSON Schema cannot say that a no needs a reason."""

    approved: bool
    note: str = ""

    @model_validator(mode="after")
    def _reasoned(self) -> Decision:
        if not self.approved and not self.note:
            raise ValueError("say why not")
        return self


async def ask(order: str, **options: Any) -> Decision:
    """Ask about one order."""
    defaults: dict[str, Any] = {"timeout_seconds": 3_600, "payload": Refund(order=order)}
    return await await_human(
        task=f"Refund {order}?",
        payload_schema=Refund,
        response_schema=Decision,
        **(defaults | options),
    )


@workflow.defn
class RefundWorkflow:
    """Ask about each order, one after another."""

    @workflow.run
    async def run(self, orders: list[str], options: dict[str, Any]) -> list[str]:
        if config := options.pop("verifier", None):
            options["verifier"] = VerifierConfig(**config)
        return [f"{order}: {(await ask(order, **options)).approved}" for order in orders]


@workflow.defn
class ParallelWorkflow:
    """Ask about all orders at once."""

    @workflow.run
    async def run(self, orders: list[str]) -> list[str]:
        decisions = await asyncio.gather(*(ask(order) for order in orders))
        return [f"{order}: {one.note}" for order, one in zip(orders, decisions, strict=True)]


@workflow.defn
class GroupWorkflow:
    """Ask about all orders at once, in task groups, when it starts and when it is told to."""

    @workflow.run
    async def run(self, orders: list[str]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ask_all(orders))

    @workflow.update
    async def also(self, orders: list[str]) -> None:
        await self.ask_all(orders)

    async def ask_all(self, orders: list[str]) -> None:
        async with asyncio.TaskGroup() as group:
            for order in orders:
                group.create_task(ask(order))


@workflow.defn
class CatchingWorkflow:
    """Go on without an answer."""

    @workflow.run
    async def run(self, seconds: int) -> str:
        try:
            await ask("A-1", timeout_seconds=seconds)
        except TaskTimeoutError as error:
            return f"nobody: {error.code}"
        except TaskCancelledError as error:
            return f"withdrawn: {error.code}"
        return "answered"


@workflow.defn
class ImpatientWorkflow:
    """Give a person some time by a clock of the workflow's own."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        try:
            await asyncio.wait_for(ask("A-1"), seconds)
        except TimeoutError:
            return "gone on"
        return "answered"


@workflow.defn
class AgainWorkflow:
    """Ask, then continue as new until it asked `rounds` times."""

    @workflow.run
    async def run(self, rounds: int) -> str:
        decision = await ask("A-1")
        if rounds > 1:
            workflow.continue_as_new(rounds - 1)
        return decision.note


@workflow.defn
class RetriedWorkflow:
    """Fail after the first answer, and be retried."""

    @workflow.run
    async def run(self) -> str:
        decision = await ask("A-1")
        if workflow.info().attempt == 1:
            raise ApplicationError("something else broke")
        return decision.note


@workflow.defn
class ParentWorkflow:
    """Have a child ask."""

    @workflow.run
    async def run(self, orders: list[str]) -> list[str]:
        return await workflow.execute_child_workflow(
            RefundWorkflow.run, args=[orders, {}], id=f"{workflow.info().workflow_id}-child"
        )


@workflow.defn
class LargeWorkflow:
    """Ask about something large, or about what cannot be written down."""

    @workflow.run
    async def run(self, size: int) -> str:
        order = "x" * size or "\ud800"
        return (await ask("A-1", payload={"order": order})).note


@workflow.defn
class TwinsWorkflow:
    """Ask the same twice at once; one of the two is impatient."""

    @workflow.run
    async def run(self, key: str, seconds: float) -> str:
        patient = asyncio.create_task(ask("A-1", idempotency_key=key))
        with suppress(TimeoutError):
            await asyncio.wait_for(ask("A-1", idempotency_key=key), seconds)
        return (await patient).note


@workflow.defn
class StubbornWorkflow:
    """Ask after a cancellation that was caught, and meanwhile give up on another question."""

    @workflow.run
    async def run(self) -> str:
        stubborn = asyncio.create_task(self.stubborn())
        await asyncio.sleep(0.01)
        stubborn.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(ask("A-2"), 1)
        return f"given up, and {'still waiting' if not stubborn.done() else 'answered'}"

    async def stubborn(self) -> Decision:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3_600)
        return await ask("A-1")


@activity.defn
async def post_task(server_url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a task as a client of the wire format does."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        reply = await http.post(f"{server_url}/api/tasks", json=body)
        reply.raise_for_status()
        created: dict[str, Any] = reply.json()
        return created


@workflow.defn
class WireFormatWorkflow:
    """Park and resume as the wire format says, without this library."""

    @workflow.run
    async def run(self, server_url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
        told: list[dict[str, Any]] = []
        workflow.set_signal_handler(f"awaithumans:{body['idempotency_key']}", told.append)
        await workflow.execute_activity(
            post_task,
            args=[server_url, token, body],
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        await workflow.wait_condition(lambda: bool(told), timeout=timedelta(seconds=body["timeout_seconds"]))
        return told[0]


@workflow.defn
class MixedWorkflow(WireFormatWorkflow):
    """Wait as the wire format says, beside a question by this library."""

    @workflow.run
    async def run(self, server_url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
        asking = asyncio.create_task(ask("A-1"))
        told = await super().run(server_url, token, body)
        asking.cancel()
        return told


@workflow.defn
class DynamicWorkflow(WireFormatWorkflow):
    """Wait as the wire format says, in a workflow that takes every update."""

    @workflow.run
    async def run(self, server_url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
        return await super().run(server_url, token, body)

    @workflow.update(dynamic=True)
    async def any_update(self, name: str, args: Sequence[RawValue]) -> str:
        return "taken"


WORKFLOWS = [
    LargeWorkflow,
    TwinsWorkflow,
    StubbornWorkflow,
    MixedWorkflow,
    DynamicWorkflow,
    RefundWorkflow,
    ParallelWorkflow,
    GroupWorkflow,
    CatchingWorkflow,
    ImpatientWorkflow,
    AgainWorkflow,
    RetriedWorkflow,
    ParentWorkflow,
    WireFormatWorkflow,
]
