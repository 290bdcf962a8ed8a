"""The work behind an engine in one process, and who owns it.

`Engine.run()` owns it where the host has a place for that. Elsewhere the first
verb starts one root task on its own event loop: the single exception to the
rule that every task has an owner. It is held strongly, at most one per
process, not inherited by forks, and ends with its loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from awaithumans.beside import beside
from awaithumans.clock import CorrectedClock, sleep
from awaithumans.protocols import Clock, Store, Watchable
from awaithumans.runner import Runner
from awaithumans.types import CLOSED_STATUSES, Query
from awaithumans.wakeups import Bell, Hub

logger = logging.getLogger("awaithumans.background")


@dataclass(frozen=True, slots=True)
class Home:
    """Where an engine's background work runs."""

    pid: int
    thread: int
    loop: EventLoopToken

    @classmethod
    def here(cls) -> Home:
        """Describe the running event loop."""
        return cls(os.getpid(), threading.get_ident(), current_token())

    @property
    def alive(self) -> bool:
        """Tell whether that loop still exists in this process."""
        is_closed: Callable[[], bool] | None = getattr(self.loop.native_token, "is_closed", None)
        return self.pid == os.getpid() and not (is_closed and is_closed())


RECHECK_EVERY = 30.0
RECHECK_CHUNK = 500
SET_CLOCK_EVERY = 60.0
RESTART_AFTER = 5.0
LAST_WORDS_WITHIN = 2.0


class Background:
    """Runs the runner, hears and tells other processes, and keeps time."""

    def __init__(self, *, store: Store, clock: Clock, hub: Hub, runner: Runner, setup: bool) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._runner = runner
        self._setup = setup
        self._prepared_in: int | None = None
        self._home: Home | None = None
        self._lazy_task: object = None
        self._unannounced: set[str] = set()
        self._announcer: Bell | None = None

    async def ensure(self) -> None:
        """See to it that the store is ready and the work is being done."""
        await self.ensure_store()
        if self.home is None:
            self._start_lazily()

    @property
    def home(self) -> Home | None:
        """Give the event loop on which the work is done; None if on none."""
        return self._home if self._home and self._home.alive else None

    async def ensure_store(self) -> None:
        """See to it that the store is ready."""
        if self._prepared_in != os.getpid():
            await self._prepare()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Do the work while the block runs."""
        await self.ensure_store()
        self._home = Home.here()
        async with beside(self._main):
            yield

    def changed(self, task_id: str) -> None:
        """Tell waiters here and in other processes that a task changed."""
        self._hub.ring(task_id)
        if self._announcer:
            self._unannounced.add(task_id)
            self._announcer.ring()

    # ── Starting ──────────────────────────────────────────────────────────────

    async def _prepare(self) -> None:
        if self._setup:
            await self._store.setup()
        await self._set_clock()
        self._prepared_in = os.getpid()

    def _start_lazily(self) -> None:
        self._home = Home.here()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            from trio.lowlevel import spawn_system_task

            self._lazy_task = spawn_system_task(self._main, name="awaithumans")
        else:
            self._lazy_task = loop.create_task(self._main(), name="awaithumans")

    async def _main(self) -> None:
        home = self._home = Home.here()
        try:
            async with anyio.create_task_group() as group:
                for work in (self._runner.run, self._listen, self._announce, self._recheck, self._keep_time):
                    group.start_soon(self._keep_doing, work)
        finally:
            if self._home is home:
                self._home = None

    async def _keep_doing(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` until it returns; after an error, again a little later."""
        while True:
            try:
                await work()
            except Exception:  # the edge: logged, and tried again
                logger.exception("background work stopped; it is taken up again in %.0f s", RESTART_AFTER)
                await sleep(self._clock, RESTART_AFTER)
            else:
                return

    # ── The work beside the runner's ──────────────────────────────────────────

    async def _listen(self) -> None:
        """Ring for what other processes changed."""
        if not isinstance(self._store, Watchable):
            return
        async with aclosing(self._store.watch()) as heard:
            await anext(heard)
            self._hub.ring_all()
            async for task_ids in heard:
                for task_id in task_ids:
                    self._hub.ring(task_id)

    async def _announce(self) -> None:
        """Tell other processes what changed here."""
        if not isinstance(self._store, Watchable):
            return
        self._announcer = Bell()
        try:
            while True:
                await self._announcer.rung()
                await self._announce_changes(self._store)
        finally:
            self._announcer = None
            with anyio.move_on_after(LAST_WORDS_WITHIN, shield=True):
                await self._announce_changes(self._store)

    async def _announce_changes(self, store: Watchable) -> None:
        task_ids, self._unannounced = self._unannounced, set()
        if not task_ids:
            return
        try:
            await store.announce(tuple(task_ids))
        except BaseException:
            self._unannounced |= task_ids
            raise

    async def _recheck(self) -> None:
        """Look after the awaited tasks now and then, hints or no hints."""
        while True:
            await sleep(self._clock, RECHECK_EVERY)
            awaited = self._hub.awaited()
            for start in range(0, len(awaited), RECHECK_CHUNK):
                chunk = awaited[start : start + RECHECK_CHUNK]
                for task in await self._store.find(Query(ids=chunk, statuses=CLOSED_STATUSES, limit=RECHECK_CHUNK)):
                    self._hub.ring(task.id)

    async def _keep_time(self) -> None:
        while True:
            await sleep(self._clock, SET_CLOCK_EVERY)
            await self._set_clock()

    async def _set_clock(self) -> None:
        if isinstance(self._clock, CorrectedClock) and (now := await self._store.now()):
            self._clock.correct(now)
