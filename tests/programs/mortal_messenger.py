"""Tell Slack of a question, in a process that may end between Slack's answer and the store's.

Arguments: the store's path, the address of Slack's API, the target, how often
it dies: `once` (right after the first message was posted) or `never`, and
whether the question is then `open` or `closed`. A process that does not die
lives five minutes later, when leases are over.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime, timedelta

import anyio

from awaithumans import Engine
from awaithumans.channels.slack import SlackChannel
from awaithumans.clock import SystemClock
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.tasks import make_spec
from awaithumans.types import AGENT, Delivery, EffectKind, Notice
from tests.slack import TOKEN


class LaterClock(SystemClock):
    """This machine's clock, some minutes ahead."""

    def __init__(self, minutes: float) -> None:
        self._ahead = timedelta(minutes=minutes)

    def now(self) -> datetime:
        """Return the present moment."""
        return super().now() + self._ahead


class MortalSlackChannel(SlackChannel):
    """Takes its process with it once Slack has the message."""

    async def send(self, notice: Notice) -> str | None:
        """Send it, and die."""
        await super().send(notice)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


async def main(path: str, api_url: str, target: str, dies: str, then: str) -> None:
    """Ask, and do what is due."""
    channel = (MortalSlackChannel if dies == "once" else SlackChannel)(token=TOKEN, api_url=api_url)
    clock = LaterClock(0 if dies == "once" else 5)
    store = SQLAlchemyStore(f"sqlite:///{path}")
    engine = Engine(store, channels=[channel], clock=clock)
    async with engine.run():
        task = await engine.create(make_spec(idempotency_key="refund", notify=(f"slack:{target}",)))
        if dies == "never" and then == "closed":
            await engine.cancel(task.id, by=AGENT)
        while any(one.settled_at is None for one in await _told(store, task.id)):
            await anyio.sleep(0.05)
    await channel.aclose()


async def _told(store: SQLAlchemyStore, task_id: str) -> list[Delivery]:
    return [one for one in await store.deliveries(task_id) if one.effect.kind is EffectKind.NOTIFY]


if __name__ == "__main__":
    path, api_url, target, dies, then = sys.argv[1:]
    anyio.run(main, path, api_url, target, dies, then)
