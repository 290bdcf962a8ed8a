"""A channel that keeps what it was asked to send."""

from __future__ import annotations

from collections.abc import Iterable

import anyio.lowlevel

from awaithumans.errors import InvalidRoutingError
from awaithumans.types import Human, Notice


class RecordingChannel:
    """A channel that keeps what it was asked to send.

    `failures` are raised by the first sends, one by one; None stands for a
    send that succeeds. `sent` has the notices that got through, `tried` all.
    The receipt of each message is `receipt-<number>`. A target that is empty
    or begins with a space is refused by `check`. With `for_agents` it stands
    for a channel to programs.
    """

    def __init__(
        self, name: str = "test", *, failures: Iterable[Exception | None] = (), for_agents: bool = False
    ) -> None:
        self.name = name
        self.for_agents = for_agents
        self.tried: list[Notice] = []
        self.sent: list[Notice] = []
        self._failures = iter(tuple(failures))

    def check(self, target: str) -> None:
        """Refuse an empty target, and one that begins with a space."""
        if not target or target.startswith(" "):
            raise InvalidRoutingError("notify", f"{target!r} is not a target of this channel")

    def address_of(self, human: Human) -> str:
        """Reach everybody by the host's id."""
        return human.id

    async def send(self, notice: Notice) -> str | None:
        """Keep the notice, or raise the next failure."""
        await anyio.lowlevel.checkpoint()
        self.tried.append(notice)
        if failure := next(self._failures, None):
            raise failure
        self.sent.append(notice)
        return f"receipt-{len(self.sent)}"

    def events(self, task_id: str) -> list[str]:
        """Return what was said about a task, in order."""
        return [notice.event for notice in self.sent if notice.task.id == task_id]
