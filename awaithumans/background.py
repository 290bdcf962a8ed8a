"""The work behind an engine in one process, and who owns it.

`Engine.run()` owns it where the host has a place for that. Elsewhere the first
verb starts one root task on its own event loop: the single exception to the
rule that every task has an owner. It is held strongly, started only where no
loop of this process does the work, not inherited by forks, and ends with its
loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import anyio
import anyio.lowlevel
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import current_token

from awaithumans.beside import beside
from awaithumans.clock import CorrectedClock, sleep
from awaithumans.forks import forget_in_forks
from awaithumans.protocols import Clock, Store, Watchable
from awaithumans.runner import Runner
from awaithumans.telemetry import Telemetry
from awaithumans.types import OPEN_STATUSES, Change, Cursor, Query
from awaithumans.wakeups import Bell, Hub, call_soon

logger = logging.getLogger("awaithumans.background")


@dataclass(frozen=True, slots=True, eq=False)
class Home:
    """An event loop on which an engine's background work runs.

    `portal` lets other threads call into it.
    """

    pid: int
    thread: int
    loop: object
    portal: BlockingPortal
    end: Callable[[], None]
    """Ends the work there, from whatever thread."""

    @property
    def alive(self) -> bool:
        """Tell whether that loop runs, in this process."""
        is_running: Callable[[], bool] | None = getattr(self.loop, "is_running", None)
        return self.pid == os.getpid() and (is_running is None or is_running())


RECHECK_EVERY = 30.0
RECHECK_CHUNK = 500
VISIBLE_WITHIN = timedelta(seconds=10)
"""How long after its `changed_at` a change may become visible to others."""

SET_CLOCK_EVERY = 60.0
SLOWEST_SAMPLE = timedelta(seconds=0.5)
RESTART_AFTER = 5.0
LAST_WORDS_WITHIN = 2.0
MAX_COMMITTING = 1_000
COMMITTED_WITHIN = (0.005, 0.05, 0.5, 5.0)
"""Pauses after which it is looked for what a host is committing."""


class Background:
    """Runs the runner, hears and tells other processes, and keeps time."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        runner: Runner,
        setup: bool,
        lazy: bool,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._watchable = store if isinstance(store, Watchable) else None
        self._clock = clock
        self._hub = hub
        self._runner = runner
        self._setup = setup
        self._lazy = lazy
        self._telemetry = telemetry
        self._prepared_in: int | None = None
        self._homes: list[Home] = []
        self._starting: asyncio.Task[None] | object | None = None
        self._unannounced: set[str] = set()
        self._announcers: set[Bell] = set()
        self._committing: list[Change] = []
        self._commit_bells: set[Bell] = set()
        forget_in_forks(self)

    def forget(self) -> None:
        """Have no loops and nobody to tell, in a process that was forked."""
        self._homes.clear()
        self._unannounced.clear()
        self._announcers.clear()
        self._committing.clear()
        self._commit_bells.clear()

    async def aclose(self) -> None:
        """End the work, on whatever loops it was started by itself."""
        for home in self._homes:
            home.end()
        with anyio.move_on_after(LAST_WORDS_WITHIN, shield=True):
            while any(home.alive for home in self._homes):  # noqa: ASYNC110 - another loop rings no event of this one
                await anyio.sleep(0.005)

    async def ensure(self) -> None:
        """See to it that the store is ready and the work is being done."""
        await self.ensure_store()
        if self._lazy and self.home is None and not self._is_starting():
            self._start_lazily()
        await self.catch_up()

    async def catch_up(self) -> None:
        """Publish what hosts have committed, where no loop of this process does it."""
        if self._committing and not self._commit_bells:
            changes, self._committing = self._committing, []
            for change in changes:
                await self._publish_if_visible(change)

    async def rung(self, bell: Bell) -> bool:
        """Return once it has rung: True; or False if hints may have been missed.

        They are where no event loop does the work: the one that did may have
        ended. Then look again, and the work is taken up here.
        """
        while True:
            with self._clock.move_on_after(RECHECK_EVERY):
                await bell.rung()
                return True
            if self.home is None:
                await self.ensure()
                return False

    @property
    def home(self) -> Home | None:
        """Give the event loop on which the work is done; None if on none."""
        return next((home for home in reversed(self._homes) if home.alive), None)

    async def ensure_store(self) -> None:
        """See to it that the store is ready."""
        if self._prepared_in != os.getpid():
            await self._prepare()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Do the work while the block runs."""
        await self.ensure_store()
        async with beside(self._main):
            await self._begun()
            yield

    async def publish(self, change: Change) -> None:
        """Tell everybody whom a written change concerns."""
        self._telemetry.changed(change)
        self._expect_effects(change)
        await self.changed(change.task.id)

    def hint(self, change: Change) -> None:
        """Have everybody look whom a change concerns that may be written, or not."""
        self._expect_effects(change)
        self._ring(change.task.id)

    def _expect_effects(self, change: Change) -> None:
        if effects := (*change.effects, *change.retried):
            self._runner.expect(min(effect.due for effect in effects))

    def committing(self, changes: list[Change]) -> None:
        """Hear, from any thread, that a host's transaction is being committed.

        Takes the `changes` written in it, to publish once they can be seen.
        """
        self._committing.extend(changes)
        del self._committing[:-MAX_COMMITTING]
        changes.clear()
        for bell in tuple(self._commit_bells):
            bell.ring()

    async def changed(self, task_id: str) -> None:
        """Tell waiters here and in other processes that a task changed."""
        self._ring(task_id)
        if not self._announcers:
            await self._announce_at_once(task_id)

    def _ring(self, task_id: str) -> None:
        self._hub.ring(task_id)
        if self._announcers:
            self._unannounced.add(task_id)
            for announcer in tuple(self._announcers):
                announcer.ring()

    # ── Starting ──────────────────────────────────────────────────────────────

    async def _prepare(self) -> None:
        if self._setup:
            await self._store.setup()
        await self._set_clock()
        self._prepared_in = os.getpid()

    def _is_starting(self) -> bool:
        """Tell whether a lazy start is under way on the running loop."""
        starting = self._starting
        if not isinstance(starting, asyncio.Task):
            return starting is not None and starting == (os.getpid(), current_token().native_token)
        return not starting.done() and starting.get_loop() is current_token().native_token

    def _start_lazily(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            from trio.lowlevel import spawn_system_task

            self._starting = (os.getpid(), current_token().native_token)
            spawn_system_task(self._main, name="awaithumans")
        else:
            self._starting = loop.create_task(self._main(), name="awaithumans")

    async def _begun(self) -> None:
        """Return once the work has begun on the running loop."""
        here = current_token().native_token
        while not any(home.loop is here for home in self._homes):
            await anyio.lowlevel.checkpoint()

    async def _main(self) -> None:
        self._telemetry.leave_trace()
        with anyio.CancelScope() as scope:
            await self._work(partial(call_soon, current_token().native_token, scope.cancel))

    async def _work(self, end: Callable[[], None]) -> None:
        async with BlockingPortal() as portal:
            home = Home(os.getpid(), threading.get_ident(), current_token().native_token, portal, end)
            self._homes.append(home)
            try:
                async with anyio.create_task_group() as group:
                    for work in (
                        self._runner.run,
                        self._listen,
                        self._announce,
                        self._heed_commits,
                        self._recheck,
                        self._keep_time,
                    ):
                        group.start_soon(self._keep_doing, work)
            finally:
                self._homes.remove(home)
                self._starting = None if self._starting == (home.pid, home.loop) else self._starting

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
        if self._watchable is None:
            return
        async with aclosing(self._watchable.watch()) as heard:
            await anext(heard)
            self._hub.ring_all()
            async for task_ids in heard:
                for task_id in task_ids:
                    self._hub.ring(task_id)

    async def _announce(self) -> None:
        """Tell other processes what changed here."""
        if self._watchable is None:
            return
        announcer = Bell()
        self._announcers.add(announcer)
        try:
            while True:
                await announcer.rung()
                await self._announce_changes(self._watchable)
        finally:
            self._announcers.discard(announcer)
            with anyio.move_on_after(LAST_WORDS_WITHIN, shield=True):
                await self._announce_changes(self._watchable)

    async def _announce_at_once(self, task_id: str) -> None:
        """Tell other processes without an announcer; a hint that is lost is no error."""
        if self._watchable is None:
            return
        try:
            await self._watchable.announce((task_id,))
        except Exception:  # the change itself is written
            logger.warning("task %s: other processes could not be told that it changed", task_id, exc_info=True)

    async def _announce_changes(self, store: Watchable) -> None:
        task_ids, self._unannounced = self._unannounced, set()
        if not task_ids:
            return
        try:
            await store.announce(tuple(task_ids))
        except BaseException:
            self._unannounced |= task_ids
            raise

    async def _heed_commits(self) -> None:
        """Publish what hosts commit, as soon as it can be seen."""
        bell = Bell()
        self._commit_bells.add(bell)
        try:
            async with anyio.create_task_group() as group:
                while True:
                    await bell.rung()
                    changes, self._committing = self._committing, []
                    group.start_soon(self._publish_committed, changes)
        finally:
            self._commit_bells.discard(bell)

    async def _publish_committed(self, changes: Sequence[Change]) -> None:
        for pause in COMMITTED_WITHIN:
            await sleep(self._clock, pause)
            changes = [change for change in changes if not await self._publish_if_visible(change)]
            if not changes:
                return

    async def _publish_if_visible(self, change: Change) -> bool:
        try:
            visible = await self._is_visible(change)
            if visible:
                await self.publish(change)
        except Exception:  # a hint is lost; the change is not
            logger.exception("task %s: it could not be told that it changed", change.task.id)
            return False
        return visible

    async def _is_visible(self, change: Change) -> bool:
        """Tell whether this very change was committed, and not another in its place."""
        task = await self._store.get(change.task.id)
        if task is None or task.version < change.task.version:
            return False
        if task.trail_digest == change.task.trail_digest:
            return True
        return change.task.trail_digest in {entry.digest for entry in await self._store.trail(task.id)}

    async def _recheck(self) -> None:
        """Look after what is awaited and followed now and then, hints or no hints."""
        looked_at = self._clock.now()
        while True:
            await sleep(self._clock, RECHECK_EVERY)
            await self._ring_for_no_longer_open()
            since, looked_at = looked_at, self._clock.now()
            if self._hub.followed:
                await self._ring_for_changed(since - VISIBLE_WITHIN)

    async def _ring_for_no_longer_open(self) -> None:
        """Ring for what was closed, and for what was erased."""
        awaited = self._hub.awaited()
        for start in range(0, len(awaited), RECHECK_CHUNK):
            chunk = awaited[start : start + RECHECK_CHUNK]
            found = await self._store.outcomes(Query(ids=chunk, statuses=OPEN_STATUSES, limit=RECHECK_CHUNK))
            for task_id in set(chunk) - {outcome.task_id for outcome in found}:
                self._hub.ring(task_id)

    async def _ring_for_changed(self, since: datetime) -> None:
        query = Query(changed_after=Cursor(at=since, id=""), limit=RECHECK_CHUNK)
        while changed := await self._store.find(query):
            for task in changed:
                self._hub.ring(task.id)
            query = replace(query, changed_after=Cursor(at=changed[-1].changed_at, id=changed[-1].id))

    async def _keep_time(self) -> None:
        while True:
            await sleep(self._clock, SET_CLOCK_EVERY)
            await self._set_clock()

    async def _set_clock(self) -> None:
        if not isinstance(self._clock, CorrectedClock):
            return
        asked = self._clock.uncorrected()
        now = await self._store.now()
        answered = self._clock.uncorrected()
        first = self._prepared_in != os.getpid()
        if now and (first or answered - asked < SLOWEST_SAMPLE):
            self._clock.correct(now, asked=asked, answered=answered)
