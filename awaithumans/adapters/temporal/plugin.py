"""Everything a worker needs, in one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from awaithumans.adapters.temporal.activities import HumanActivities
from awaithumans.adapters.temporal.failures import out_of_groups
from awaithumans.errors import AwaitHumansError
from awaithumans.protocols import TaskEngine


class AwaitHumansPlugin(SimplePlugin):
    """Lets the workflows of a worker ask people: `Worker(plugins=[...])`.

    Arguments:
        engine: where questions are asked, in this process or over HTTP.
        callback: who is told how a question ended; False for nobody. See `HumanActivities`.

    Registers the activities, passes this library through the workflow
    sandbox, and lets its errors fail a workflow, also out of the exception
    group of an `asyncio.TaskGroup`. Give it to a `Replayer`, too.
    """

    def __init__(self, engine: TaskEngine, *, callback: str | Literal[False] | None = None) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "awaithumans.AwaitHumansPlugin",
            activities=HumanActivities(engine, callback=callback).all,
            workflow_runner=_passing_through,
            workflow_failure_exception_types=[AwaitHumansError],
            interceptors=[_Interceptor()],
        )


class _Interceptor(Interceptor):
    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002
        return _OutOfGroups


class _OutOfGroups(WorkflowInboundInterceptor):
    """Lets no exception group stand between a question without an answer and the end of what asked it."""

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        with out_of_groups():
            return await self.next.execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        with out_of_groups():
            await self.next.handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        with out_of_groups():
            return await self.next.handle_update_handler(input)


def _passing_through(runner: WorkflowRunner | None) -> WorkflowRunner:
    if not isinstance(runner, SandboxedWorkflowRunner):
        return runner or _passing_through(SandboxedWorkflowRunner())
    return replace(runner, restrictions=runner.restrictions.with_passthrough_modules("awaithumans"))
