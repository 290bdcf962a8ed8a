"""Everything a worker needs, in one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from awaithumans.adapters.temporal.activities import HumanActivities
from awaithumans.errors import AwaitHumansError
from awaithumans.protocols import TaskEngine


class AwaitHumansPlugin(SimplePlugin):
    """Lets the workflows of a worker ask people: `Worker(plugins=[...])`.

    Arguments:
        engine: where questions are asked, in this process or over HTTP.
        callback: who is told how a question ended; False for nobody. See `HumanActivities`.

    Registers the activities, passes this library through the workflow
    sandbox, and lets its errors fail a workflow. Give it to a `Replayer`, too.
    """

    def __init__(self, engine: TaskEngine, *, callback: str | Literal[False] | None = None) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "awaithumans.AwaitHumansPlugin",
            activities=HumanActivities(engine, callback=callback).all,
            workflow_runner=_passing_through,
            workflow_failure_exception_types=[AwaitHumansError],
        )


def _passing_through(runner: WorkflowRunner | None) -> WorkflowRunner:
    if not isinstance(runner, SandboxedWorkflowRunner):
        return runner or _passing_through(SandboxedWorkflowRunner())
    return replace(runner, restrictions=runner.restrictions.with_passthrough_modules("awaithumans"))
