"""The right to do something, which one holder has at a time."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import anyio

from awaithumans.beside import beside
from awaithumans.clock import SystemClock, sleep
from awaithumans.documents import ensure_text
from awaithumans.errors import ConfigurationError, InvalidInputError, LeaseLostError
from awaithumans.protocols import Clock, Records, TaskEngine
from awaithumans.types import Record, microseconds

logger = logging.getLogger("awaithumans.leases")

MAX_NAME = 512
MAX_HOLDER = 128
MAX_SECONDS = 300
"""How long a right may be held without being renewed; whoever needs it longer renews it."""

KIND = "lease"
KEPT_FOR = timedelta(hours=1)
"""How long a lapsed lease is kept, so that whoever read it cannot take it for one written anew since."""
SWEPT_AT_ONCE = 10

HELD_SECONDS = 30.0
SAFE_SECONDS = HELD_SECONDS - 1
"""Seconds that a holder counts on: a little less than the engine, by whose clock others get it."""
RENEWED_EVERY = HELD_SECONDS / 3
RENEWED_WITHIN = 4.0
"""Seconds after which a renewal without a reply is tried anew."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
GIVEN_BACK_WITHIN = 5.0

_HOLDING: set[tuple[int, str, int]] = set()
"""Which engine, which name, and by which task: what `holding` blocks of this process have or wait for."""


def ensure_lease(name: str, holder: str, seconds: float) -> None:
    """Raise `InvalidInputError` for what `TaskEngine.lease` does not take."""
    ensure_text(name, "name", longest=MAX_NAME)
    ensure_text(holder, "holder", longest=MAX_HOLDER)
    if not 0 <= seconds <= MAX_SECONDS:
        fault = f"must be a number from 0 to {MAX_SECONDS}"
        raise InvalidInputError(f"seconds {fault}", fields={"seconds": fault})


class Leases:
    """Who has which right, and until when: one record each."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._swept_to = ""

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take, keep or give back; see `TaskEngine.lease`.

        What is given back has lapsed, and stays for a while. Were it erased at
        once, one who has just read it could replace another's new one.
        """
        ensure_lease(name, holder, seconds)
        while True:
            now = self._clock.now()
            record = await self._records.get(KIND, name)
            running = record is not None and _until(record) > microseconds(now)
            theirs = record is not None and record.document["holder"] == holder
            if (running and not theirs) or (seconds == 0 and not running):
                return False
            until = now + timedelta(seconds=seconds)
            if await self._records.put(_next(record, name, holder, until)):
                if not running:
                    await self._sweep(now)
                return self._clock.now() < until

    async def _sweep(self, now: datetime) -> None:
        """Erase what lapsed long ago, among a few leases: each time the next ones."""
        page = await self._records.find(KIND, after=self._swept_to, limit=SWEPT_AT_ONCE)
        self._swept_to = page[-1].id if len(page) == SWEPT_AT_ONCE else ""
        for record in page:
            if _until(record) < microseconds(now - KEPT_FOR):
                await self._records.delete(record)


def _next(record: Record | None, name: str, holder: str, until: datetime) -> Record:
    document: dict[str, object] = {"holder": holder, "until": microseconds(until)}
    if record is None:
        return Record(kind=KIND, id=name, document=document)
    return replace(record, version=record.version + 1, document=document)


def _until(record: Record) -> int:
    until = record.document["until"]
    assert isinstance(until, int)  # noqa: S101 - written above
    return until


# ── Holding one for a while ───────────────────────────────────────────────────


@asynccontextmanager
async def holding(engine: TaskEngine, name: str, *, clock: Clock | None = None) -> AsyncGenerator[None]:
    """Have the right called `name` while the block runs.

    Waits until nobody else has it. It is renewed while the block runs, by
    this event loop, and given back at its end; if the process ends, it lapses
    within 30 seconds. `clock` is for its pauses.

    Cancels the block and raises `LeaseLostError` once somebody else may have
    it: the engine says so, or could not be asked until it lapsed. A shorter
    outage does nothing. Raises what `engine.lease` raises, as long as it waits;
    and `ConfigurationError` where the task that enters is in such a block
    already, since it would wait for itself. Another task waits, even one that
    the block has started: a block that waits for that one does so for ever.
    """
    mine = id(engine), name, anyio.get_current_task().id
    if mine in _HOLDING:
        raise ConfigurationError(
            f"this task holds {name!r} already, and would wait for itself",
            hint="Enter holding() once for a name, and do inside it all that needs the right.",
        )
    held = _Held(engine, name, clock or SystemClock())
    _HOLDING.add(mine)
    try:
        await held.take()
        with anyio.CancelScope() as block:
            async with beside(held.keep, block):
                yield
        if held.lost:
            raise LeaseLostError(name) from held.fault
    finally:
        _HOLDING.remove(mine)
        await held.give_back()


class _Held:
    """One holder of a right."""

    def __init__(self, engine: TaskEngine, name: str, clock: Clock) -> None:
        self._engine = engine
        self._name = name
        self._clock = clock
        self._holder = secrets.token_hex(16)
        self._left = 0.0
        self._news = anyio.Event()
        self.lost = False
        self.fault: Exception | None = None
        """Why the engine could not be asked last, if it could not."""

    async def take(self) -> None:
        """Return once the right is there."""
        pause = FIRST_PAUSE
        while not await self._lease():
            await sleep(self._clock, pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE)

    async def keep(self, block: anyio.CancelScope) -> None:
        """Renew the right; cancel the block once it is lost.

        Lapsing does not wait for a call to the engine that cannot be cut short.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._renew)
            await self._lapse()
            self.lost = True
            block.cancel()

    async def give_back(self) -> None:
        """Let others have it at once, if the engine can be told."""
        try:
            with anyio.move_on_after(GIVEN_BACK_WITHIN, shield=True):
                await self._engine.lease(self._name, holder=self._holder, seconds=0)
        except Exception:  # it lapses by itself
            logger.warning("the lease %r could not be given back", self._name, exc_info=True)

    async def _lapse(self) -> None:
        """Return once it was not renewed in time, or another has it."""
        while True:
            with self._clock.move_on_after(self._left):
                await self._news.wait()
                self._news = anyio.Event()
                continue
            return

    async def _renew(self) -> None:
        while True:
            await sleep(self._clock, LONGEST_PAUSE if self.fault else RENEWED_EVERY)
            self.fault = TimeoutError("the engine did not reply")
            with self._clock.move_on_after(RENEWED_WITHIN):
                try:
                    await self._lease()
                except Exception as fault:  # noqa: BLE001 - whatever it is, the lease has not lapsed yet
                    self.fault = fault
            if self.fault:
                logger.warning("the lease %r could not be renewed (%r); trying again", self._name, self.fault)

    async def _lease(self) -> bool:
        """Ask for it; whenever it was granted, it counts from before the call."""
        asked_at = self._clock.monotonic()
        held = await self._engine.lease(self._name, holder=self._holder, seconds=HELD_SECONDS)
        took = self._clock.monotonic() - asked_at
        self._left, self.fault = SAFE_SECONDS - took if held else 0.0, None
        self._news.set()
        return held
