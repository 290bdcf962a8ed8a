"""The engine's verbs for code that runs in threads, without an event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import anyio
import anyio.from_thread
from anyio.from_thread import BlockingPortal
from pydantic import BaseModel

from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import TaskEngine
from awaithumans.types import Actor, Command, Human, JsonObject, Query, Task, TaskSpec

ResultT = TypeVar("ResultT")


class BlockingEngine:
    """A task engine's verbs, as plain functions that block their thread.

    Safe to use from any number of threads. The calls run on the event loop
    that does the engine's background work; if there is none, on one that this
    process keeps in a thread of its own. Raises what the verbs of
    `TaskEngine` raise, and `ConfigurationError` when called on the very
    thread whose event loop would have to answer.
    """

    def __init__(self, engine: TaskEngine) -> None:
        self.engine = engine

    def create(self, spec: TaskSpec, *, response_model: type[BaseModel] | None = None) -> Task:
        """Ask; see `TaskEngine.create`."""
        return run_blocking(partial(self.engine.create, spec, response_model=response_model), self.engine)

    def get(self, task_id: str) -> Task:
        """Return the task as it stands; see `TaskEngine.get`."""
        return run_blocking(partial(self.engine.get, task_id), self.engine)

    def find(self, query: Query) -> list[Task]:
        """Return the tasks that fit; see `TaskEngine.find`."""
        return run_blocking(partial(self.engine.find, query), self.engine)

    def wait(self, task_id: str, *, timeout: float | None = None) -> Task:
        """Block until the task is closed; see `TaskEngine.wait`."""
        return run_blocking(partial(self.engine.wait, task_id, timeout=timeout), self.engine)

    def act(self, task_id: str, command: Command) -> Task:
        """Carry out one command; see `TaskEngine.act`."""
        return run_blocking(partial(self.engine.act, task_id, command), self.engine)

    def collect(self, task_id: str) -> Task:
        """Say that the outcome has been taken over; see `TaskEngine.collect`."""
        return run_blocking(partial(self.engine.collect, task_id), self.engine)

    def submit(self, task_id: str, value: JsonObject, *, by: Actor) -> Task:
        """Answer the task; see `TaskEngine.submit`."""
        return run_blocking(partial(self.engine.submit, task_id, value, by=by), self.engine)

    def claim(self, task_id: str, *, by: Actor) -> Task:
        """Take an unassigned task; see `TaskEngine.claim`."""
        return run_blocking(partial(self.engine.claim, task_id, by=by), self.engine)

    def release(self, task_id: str, *, by: Actor) -> Task:
        """Give a claimed task back; see `TaskEngine.release`."""
        return run_blocking(partial(self.engine.release, task_id, by=by), self.engine)

    def reassign(self, task_id: str, to: Sequence[Human], *, by: Actor) -> Task:
        """Hand the task to other people; see `TaskEngine.reassign`."""
        return run_blocking(partial(self.engine.reassign, task_id, to, by=by), self.engine)

    def cancel(self, task_id: str, *, by: Actor, reason: str = "") -> Task:
        """Close the task without an answer; see `TaskEngine.cancel`."""
        return run_blocking(partial(self.engine.cancel, task_id, by=by, reason=reason), self.engine)

    def aclose(self) -> None:
        """Close what the engine opened; see `Engine.aclose`."""
        close: Callable[[], Awaitable[None]] | None = getattr(self.engine, "aclose", None)
        if close is not None:
            run_blocking(close, self.engine)


def run_blocking(call: Callable[[], Awaitable[ResultT]], engine: TaskEngine | None) -> ResultT:
    """Run a coroutine function where its engine lives, and block for it.

    What is raised in the blocked thread meanwhile, such as KeyboardInterrupt,
    cancels the call.
    """
    if isinstance(engine, Engine) and engine.works_in_this_thread:
        raise ConfigurationError(
            "a blocking call on the engine's own event loop would never return",
            hint="Use the async twin here (await await_human(...)), or call from a worker thread.",
        )
    if isinstance(engine, Engine) and (home := engine.home) is not None:
        return _run_in(home.portal, call)
    if (engine is None or isinstance(engine, Engine)) and _in_worker_thread():
        return anyio.from_thread.run(_as_coroutine, call)
    return _run_in(_portal(), call)


def _run_in(portal: BlockingPortal, call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    future = portal.start_task_soon(_as_coroutine, call)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _as_coroutine(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    return await call()


def _in_worker_thread() -> bool:
    """Tell whether an event loop started this thread and can be called back."""
    try:
        anyio.from_thread.check_cancelled()
    except RuntimeError:
        return False
    return True


# ── The process's own event loop, in a thread ─────────────────────────────────

_lock = threading.Lock()
_portals: dict[int, BlockingPortal] = {}


def _portal() -> BlockingPortal:
    with _lock:
        if os.getpid() not in _portals:
            _portals.clear()
            _portals[os.getpid()] = _start_portal()
        return _portals[os.getpid()]


def _start_portal() -> BlockingPortal:
    """Start the loop's thread: a daemon, so that it never keeps a program alive."""
    ready: Future[BlockingPortal] = Future()
    threading.Thread(target=anyio.run, args=(_serve_portal, ready), name="awaithumans", daemon=True).start()
    return ready.result()


async def _serve_portal(ready: Future[BlockingPortal]) -> None:
    async with BlockingPortal() as portal:
        ready.set_result(portal)
        await portal.sleep_until_stopped()
