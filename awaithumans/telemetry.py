"""What an engine tells of its work, to whoever the host lets listen.

Task ids, channels, outcomes and times; never what is asked and answered, nor of
whom: no titles, payloads, answers, addresses, keys or error messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from awaithumans.types import Actor, Change, Command, Delivery, Task, Verdict


class Deed:
    """Something the engine is doing, for as long as its `with` block runs."""

    def concerns(self, task: Task) -> None:
        """Say which task it is about, and how that stands now."""

    def asked(self, task: Task, *, new: bool) -> None:
        """Say which task it was that was asked, and whether for the first time."""

    def judged(self, verdict: Verdict) -> None:
        """Say what the verifier said."""


class Telemetry:
    """What an engine has to tell; this one tells nobody.

    `awaithumans.otel.OpenTelemetry` tells OpenTelemetry. Nothing here waits.
    """

    def asking(self, by: Actor | None) -> AbstractContextManager[Deed]:
        """Ask; by None where a server is to say who asks."""
        return nullcontext(_UNSEEN)

    def waiting(self, task_id: str, *, remote: bool = False) -> AbstractContextManager[Deed]:
        """Wait for a task to close."""
        return nullcontext(_UNSEEN)

    def acting(self, command: Command, *, remote: bool = False) -> AbstractContextManager[Deed]:
        """Carry out a command."""
        return nullcontext(_UNSEEN)

    def notifying(self, delivery: Delivery, task: Task) -> AbstractContextManager[Deed]:
        """Hand a notice to its channel."""
        return nullcontext(_UNSEEN)

    def verifying(self, task: Task) -> AbstractContextManager[Deed]:
        """Have an answer judged, and take the verdict over."""
        return nullcontext(_UNSEEN)

    def changed(self, change: Change) -> None:
        """Tell of a change that the store has taken."""

    def begun(self, delivery: Delivery, now: datetime) -> None:
        """Tell that due work is taken up."""

    def failed(self, delivery: Delivery, error: Exception) -> None:
        """Tell that an effect failed and is to be tried again, or given up."""

    def gave_up(self, delivery: Delivery) -> None:
        """Tell that somebody will never hear of something."""

    def trace_context(self) -> dict[str, str]:
        """Give the current span as headers; empty if there is none."""
        return {}

    def received(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """Continue the sender's trace, unless the host continues it already."""
        return nullcontext()

    def leave_trace(self) -> None:
        """Do nothing more, in the running coroutine, for the sake of the current trace."""


_UNSEEN = Deed()
