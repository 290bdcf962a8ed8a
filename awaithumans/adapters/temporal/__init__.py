"""Wait for a person in a Temporal workflow.

In workflow code, `await_human`; on the worker, `AwaitHumansPlugin`; where
decisions come from, `TemporalChannel` or `dispatch_signal`.

Needs `pip install awaithumans[temporal]`.
"""

from temporalio import workflow

if workflow.unsafe.in_sandbox() and not workflow.unsafe.is_imports_passed_through():
    raise ImportError(
        "awaithumans must be passed through the workflow sandbox: give the worker AwaitHumansPlugin, "
        "or import it inside `with workflow.unsafe.imports_passed_through():`"
    )

from awaithumans.adapters.temporal.activities import HumanActivities
from awaithumans.adapters.temporal.failures import error_of
from awaithumans.adapters.temporal.hints import TemporalChannel, dispatch_signal
from awaithumans.adapters.temporal.plugin import AwaitHumansPlugin
from awaithumans.adapters.temporal.waiting import await_human

__all__ = ["AwaitHumansPlugin", "HumanActivities", "TemporalChannel", "await_human", "dispatch_signal", "error_of"]
