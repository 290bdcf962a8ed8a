"""The engine's verbs for code that runs in threads, without an event loop."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import Generic

import anyio
import anyio.from_thread
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import current_token
from pydantic import BaseModel
from typing_extensions import TypeVar

from awaithumans.background import LAST_WORDS_WITHIN, Home
from awaithumans.engine import Engine, Health
from awaithumans.errors import ConfigurationError
from awaithumans.forks import forget_in_forks
from awaithumans.protocols import TaskEngine
from awaithumans.statistics import Statistics
from awaithumans.types import (
    Actor,
    ColorScheme,
    Command,
    Cursor,
    Delivery,
    EmbeddedPage,
    Entry,
    Human,
    JsonObject,
    Query,
    Task,
    TaskSpec,
)
from awaithumans.wakeups import call_soon

ResultT = TypeVar("ResultT")
EngineT_co = TypeVar("EngineT_co", bound=TaskEngine, default=TaskEngine, covariant=True)
CANCELLED_WITHIN = 2.0
"""Seconds that an interrupted call has to put right what it has to, such as a terminal."""


class BlockingEngine(Generic[EngineT_co]):
    """A task engine's verbs, as plain functions that block their thread.

    Arguments:
        engine: the engine that does the work.

    Safe to use from any number of threads, and in forks. The calls run on the
    event loop that does the engine's background work; if there is none, on one
    that this process keeps in a thread of its own. Raises what the engine's
    verbs raise, and `ConfigurationError` when called on the very thread whose
    event loop would have to answer.

    It has every verb of the engine it is made around: around an `Engine` also
    what a `RemoteEngine` cannot do, which type checkers know.
    """

    def __init__(self, engine: EngineT_co) -> None:
        self.engine = engine

    # ── The verbs of every task engine ────────────────────────────────────────

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

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take, or keep, a right for some time; see `TaskEngine.lease`."""
        return run_blocking(partial(self.engine.lease, name, holder=holder, seconds=seconds), self.engine)

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

    def page_url(self, task_id: str) -> str | None:
        """Return the address of the task's page; see `TaskEngine.page_url`."""
        return self.engine.page_url(task_id)

    # ── What takes an engine in this process ──────────────────────────────────

    def act_on(self: BlockingEngine[Engine], seen: Task, command: Command) -> Task:
        """Carry out one command on a task that was just read; see `Engine.act_on`."""
        return run_blocking(partial(self.engine.act_on, seen, command), self.engine)

    def ask(
        self: BlockingEngine[Engine], spec: TaskSpec, *, by: Actor, response_model: type[BaseModel] | None = None
    ) -> tuple[Task, bool]:
        """Ask in somebody's name; see `Engine.ask`."""
        return run_blocking(partial(self.engine.ask, spec, by=by, response_model=response_model), self.engine)

    def resolve(self: BlockingEngine[Engine], assign_to: JsonObject) -> Sequence[Human]:
        """Return the people `assign_to` means; see `Engine.resolve`."""
        return run_blocking(partial(self.engine.resolve, assign_to), self.engine)

    def wait_until(
        self: BlockingEngine[Engine], task_id: str, ready: Callable[[Task], bool], *, timeout: float | None = None
    ) -> Task:
        """Block until the task is as `ready` wants it; see `Engine.wait_until`."""
        return run_blocking(partial(self.engine.wait_until, task_id, ready, timeout=timeout), self.engine)

    def wait_for_verdict(self: BlockingEngine[Engine], task_id: str, *, timeout: float | None = None) -> Task:
        """Block until no answer is with the verifier; see `Engine.wait_for_verdict`."""
        return run_blocking(partial(self.engine.wait_for_verdict, task_id, timeout=timeout), self.engine)

    def trail(self: BlockingEngine[Engine], task_id: str) -> list[Entry]:
        """Return the task's audit trail; see `Engine.trail`."""
        return run_blocking(partial(self.engine.trail, task_id), self.engine)

    def deliveries(self: BlockingEngine[Engine], task_id: str) -> list[Delivery]:
        """Return what was sent, is due or failed; see `Engine.deliveries`."""
        return run_blocking(partial(self.engine.deliveries, task_id), self.engine)

    def delete(self: BlockingEngine[Engine], task_id: str, *, by: Actor) -> None:
        """Erase the task's content; see `Engine.delete`."""
        run_blocking(partial(self.engine.delete, task_id, by=by), self.engine)

    def link(self: BlockingEngine[Engine], task: Task, human: Human, *, via: str = "web") -> str:
        """Make a capability link; see `Engine.link`."""
        return self.engine.link(task, human, via=via)

    def embed(
        self: BlockingEngine[Engine],
        task: Task,
        human: Human,
        *,
        origin: str,
        valid_for: timedelta = timedelta(minutes=5),
        stated_by: str | None = None,
        color_scheme: ColorScheme | None = None,
    ) -> EmbeddedPage:
        """Make an address of the task's page for a frame; see `Engine.embed`."""
        return self.engine.embed(
            task, human, origin=origin, valid_for=valid_for, stated_by=stated_by, color_scheme=color_scheme
        )

    def misfits(self: BlockingEngine[Engine], task: Task, value: JsonObject) -> Mapping[str, str]:
        """Say, by field, why `value` is no answer; see `Engine.misfits`."""
        return self.engine.misfits(task, value)

    def reads_text(self: BlockingEngine[Engine], task: Task) -> bool:
        """Tell whether people may answer in their own words; see `Engine.reads_text`."""
        return self.engine.reads_text(task)

    def health(self: BlockingEngine[Engine]) -> Health:
        """Look whether due work is being done in time; see `Engine.health`."""
        return run_blocking(self.engine.health, self.engine)

    def statistics(
        self: BlockingEngine[Engine], window: timedelta = timedelta(days=30), *, visible_to: Human | None = None
    ) -> Statistics:
        """Count tasks; see `Engine.statistics`."""
        return run_blocking(partial(self.engine.statistics, window, visible_to=visible_to), self.engine)

    def failures(self: BlockingEngine[Engine], *, after: Cursor | None = None, limit: int = 50) -> list[Delivery]:
        """Return the notices that could not be delivered; see `Engine.failures`."""
        return run_blocking(partial(self.engine.failures, after=after, limit=limit), self.engine)

    def redeliver(self: BlockingEngine[Engine], task_id: str, *, by: Actor, notice: str | None = None) -> Task:
        """Tell those again who could not be told; see `Engine.redeliver`."""
        return run_blocking(partial(self.engine.redeliver, task_id, by=by, notice=notice), self.engine)

    def remind(self: BlockingEngine[Engine], task_id: str, recipient: str, *, by: Actor) -> Task:
        """Tell one recipient again that the task waits; see `Engine.remind`."""
        return run_blocking(partial(self.engine.remind, task_id, recipient, by=by), self.engine)

    def purge(self: BlockingEngine[Engine], *, before: datetime) -> int:
        """Erase what was closed long ago; see `Engine.purge`."""
        return run_blocking(partial(self.engine.purge, before=before), self.engine)

    def tick(self: BlockingEngine[Engine]) -> int:
        """Do all background work that is due now; see `Engine.tick`."""
        return run_blocking(self.engine.tick, self.engine)

    # ── At the end ────────────────────────────────────────────────────────────

    def aclose(self) -> None:
        """Close what the engine opened; see `Engine.aclose`."""
        close: Callable[[], Awaitable[None]] | None = getattr(self.engine, "aclose", None)
        if close is not None:
            run_blocking(close, self.engine)


def run_blocking(call: Callable[[], Awaitable[ResultT]], engine: TaskEngine | None) -> ResultT:
    """Run a coroutine function where its engine lives, and block for it.

    Arguments:
        call: what to run, a function without arguments.
        engine: the engine that it uses; None for one that has no event loop
            of its own.

    Returns what the call returns and raises what it raises; and
    `ConfigurationError` on the thread whose event loop would have to run it.
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
    return _run_in(own_home().portal, call)


def _run_in(portal: BlockingPortal, call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    caller = Caller()
    future = portal.start_task_soon(caller.attend, call)
    try:
        return caller.serve(future)
    except BaseException:
        if future.cancel():
            caller.ended.wait(CANCELLED_WITHIN)
        raise


class Caller:
    """The thread that blocks for a call: it can do what only that thread may."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.ended = threading.Event()
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    async def attend(self, call: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Make the call, with this as its `CALLER`."""
        CALLER.set(self)
        try:
            return await call()
        finally:
            self.ended.set()

    def serve(self, future: Future[ResultT]) -> ResultT:
        """Do the jobs until the call has ended, and return what it returns.

        What a job raises that is no `Exception`, such as KeyboardInterrupt, is
        raised here.
        """
        future.add_done_callback(lambda _: self._jobs.put(None))
        while job := self._jobs.get():
            job()
        return future.result()

    async def run(self, job: Callable[[], ResultT]) -> ResultT:
        """Have the blocked thread do a job, and return what comes of it."""
        done = anyio.Event()
        loop = current_token().native_token
        outcome: Future[ResultT] = Future()
        outcome.add_done_callback(lambda _: call_soon(loop, done.set))
        self._jobs.put(partial(_fulfil, outcome, job))
        await done.wait()
        return outcome.result()


def _fulfil(outcome: Future[ResultT], job: Callable[[], ResultT]) -> None:
    try:
        outcome.set_result(job())
    except Exception as error:  # noqa: BLE001 - raised where the job was given
        outcome.set_exception(error)


CALLER: ContextVar[Caller | None] = ContextVar("awaithumans_caller", default=None)
"""Who blocks for the running call; None in a coroutine that nobody blocks for."""


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


class _OwnHome:
    """Starts the loop when it is first needed, once in each process."""

    def __init__(self) -> None:
        self.forget()
        forget_in_forks(self)

    def forget(self) -> None:
        """Have no loop; the parent's runs in the parent."""
        self._lock = threading.Lock()
        self._home: Home | None = None

    def __call__(self) -> Home:
        with self._lock:
            if self._home is None:
                self._home = _start_home()
            return self._home

    def end(self) -> None:
        """Let the loop say what it has to say, and end."""
        home, self._home = self._home, None
        if home is not None and home.alive:
            home.end()


own_home = _OwnHome()
atexit.register(own_home.end)
"""Give the asyncio loop that this process keeps in a thread of its own."""


def _start_home() -> Home:
    """Start the loop's thread: a daemon, so that it never keeps a program alive."""
    ready: Future[BlockingPortal] = Future()
    thread = threading.Thread(target=anyio.run, args=(_serve, ready), name="awaithumans", daemon=True)
    thread.start()
    portal = ready.result()

    def end() -> None:
        portal.start_task_soon(portal.stop, True)
        thread.join(LAST_WORDS_WITHIN)

    return Home(os.getpid(), thread.ident or 0, portal.call(_running_loop), portal, end)


async def _serve(ready: Future[BlockingPortal]) -> None:
    async with BlockingPortal() as portal:
        ready.set_result(portal)
        await portal.sleep_until_stopped()


async def _running_loop() -> object:
    return current_token().native_token
