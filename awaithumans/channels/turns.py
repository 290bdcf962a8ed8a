"""Waiting for a turn at a server that takes so many at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio import CapacityLimiter

from awaithumans.protocols import DeliveryError

BUSY_SECONDS = 5.0
"""After which whoever got no turn comes again."""
LEAST_PATIENCE = 1.0


@asynccontextmanager
async def turn(turns: CapacityLimiter, within: float, *, of: str) -> AsyncGenerator[None]:
    """Have one of the turns while the block runs.

    Raises `DeliveryError` where none comes `within` so many seconds, at least
    `LEAST_PATIENCE`; then nothing was sent. What is left of the runner's time
    has to do for a whole attempt: one that is cut off after the other side has
    heard everything is repeated, and somebody is told twice.
    """
    with anyio.move_on_after(max(within, LEAST_PATIENCE)) as waiting:
        await turns.acquire()
    if waiting.cancelled_caught:
        raise DeliveryError(f"{of} is busy with others", retry_after=BUSY_SECONDS)
    try:
        yield
    finally:
        turns.release()
