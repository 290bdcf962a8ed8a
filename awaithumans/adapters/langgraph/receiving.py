"""Resuming a graph without a driver: by a callback from the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, cast

from langgraph.types import Interrupt, StateSnapshot

from awaithumans.adapters.langgraph.driver import ChooseEngine, collect_raised, lease_name
from awaithumans.adapters.langgraph.interrupts import read_parked, to_resume
from awaithumans.adapters.langgraph.threads import Continue, Graph, LocalThread, Position, Resume, Step, Thread
from awaithumans.blocking import run_blocking
from awaithumans.client import chosen_engine, surrounding_engine
from awaithumans.errors import (
    ConfigurationError,
    InvalidRoutingError,
    OutcomeError,
    TaskNotFoundError,
)
from awaithumans.leases import holding
from awaithumans.protocols import DeliveryError, TaskEngine
from awaithumans.receiving import received_outcome
from awaithumans.signing import WebhookKey
from awaithumans.types import Notice, Task, TaskStatus

logger = logging.getLogger("awaithumans.adapters.langgraph")

SEND_WITHIN = 15.0
"""Seconds for which a delivery looks on while the graph runs."""
LOOK_AGAIN_AFTER = 15.0
EARLY_ATTEMPTS = 5
"""How often a delivery comes again that was, perhaps, faster than the node which asked."""


# ── In the engine's process ───────────────────────────────────────────────────


class LangGraphChannel:
    """Resumes the graph whose node asked: `langgraph:<thread id>`.

    Arguments:
        graphs: the compiled graph; or several by name, and then callbacks
            are `langgraph:<name>/<thread id>`.
        context: the runtime context that the graphs run with.

    For an engine in the process that has the graph: `await_human(…,
    callback_url="langgraph:<thread id>")` in a node. The delivery is done when
    the graph has run on to where it stops next; if the process dies before,
    another delivers again, and the graph goes on from its latest checkpoint.
    A node that raises an error is tried again with growing pauses, for three
    days; one that lets through another outcome than an answer is not. Nothing
    happens where the thread does not wait for this task any more.
    """

    name = "langgraph"
    for_agents = True

    def __init__(self, graphs: Graph | Mapping[str, Graph], *, context: object = None) -> None:
        self._graphs: Mapping[str, Graph] | None = graphs if isinstance(graphs, Mapping) else None
        self._graph: Graph | None = None if isinstance(graphs, Mapping) else graphs
        self._context = context
        self._engine: TaskEngine | None = None
        self._runs: dict[str, asyncio.Task[Position | None]] = {}

    def bind(self, engine: TaskEngine) -> None:
        """Hear which engine it belongs to."""
        self._engine = engine

    def check(self, target: str) -> None:
        """Raise `InvalidRoutingError` unless `target` names a graph there is."""
        self._named(target)

    async def send(self, notice: Notice) -> None:
        """Resume the graph, and look on until it stops."""
        run = self._runs.get(notice.id)
        if run is None or not _is_here(run):
            run = self._runs[notice.id] = asyncio.create_task(self._resume(notice))
        await asyncio.wait([run], timeout=SEND_WITHIN)
        if not run.done():
            raise DeliveryError("the graph is still running", retry_after=LOOK_AGAIN_AFTER)
        self._runs.pop(notice.id, None)
        self._judge(run, notice.task)
        if run.result() is None and notice.attempt <= EARLY_ATTEMPTS and await self._may_be_early(notice):
            raise DeliveryError("the graph does not wait for the task, perhaps not yet")

    async def _may_be_early(self, notice: Notice) -> bool:
        """Tell whether the node that asked may still be running, before it is parked."""
        graph, thread_id = self._named(notice.target)
        position = await LocalThread(graph, _thread_config(thread_id, None), self._context).read()
        return bool(not position.started or position.next)

    async def aclose(self) -> None:
        """Cut off the graphs that run on this event loop; their callbacks are delivered again."""
        runs, self._runs = [run for run in self._runs.values() if _is_here(run)], {}
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def _resume(self, notice: Notice) -> Position | None:
        if self._engine is None:
            raise ConfigurationError("the channel belongs to no engine", hint="Pass it in Engine(channels=[…]).")
        graph, thread_id = self._named(notice.target)
        thread = LocalThread(graph, _thread_config(thread_id, None), self._context)
        return await resume_thread(thread, self._engine, await self._engine.get(notice.task.id))

    def _judge(self, run: asyncio.Task[Position | None], task: Task) -> None:
        if run.cancelled():
            raise DeliveryError("the run of the graph was cut off")
        error = run.exception()
        if error is not None:
            logger.error("task %s: its graph failed", task.id, exc_info=error)
            final = isinstance(error, OutcomeError) and task.status is not TaskStatus.COMPLETED
            raise DeliveryError(f"the graph failed: {type(error).__name__}", permanent=final) from error

    def _named(self, target: str) -> tuple[Graph, str]:
        name, slash, thread_id = target.partition("/") if self._graphs is not None else ("", "/", target)
        graph = self._graphs.get(name) if self._graphs is not None else self._graph
        if graph is None or not slash or not thread_id:
            known = ", ".join(f"langgraph:{one}/<thread id>" for one in self._graphs or ()) or "langgraph:<thread id>"
            raise InvalidRoutingError("callback_url", f"{target[:200]!r} names no graph", hint=f"Write {known}.")
        return graph, thread_id


def _is_here(run: asyncio.Task[Any]) -> bool:
    """Tell whether it runs on this event loop: none can wait for what ran on another."""
    return run.get_loop() is asyncio.get_running_loop()


# ── In a web app that receives webhooks ───────────────────────────────────────


async def dispatch_resume(
    *,
    graph: Graph,
    thread_id: str,
    body: bytes,
    signature_header: str | None,
    webhook_key: WebhookKey | str | None = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
    config: Mapping[str, Any] | None = None,
    context: object = None,
) -> asyncio.Task[StateSnapshot | None] | None:
    """Resume the graph that a received webhook is for; return while it runs.

    Arguments:
        graph: the compiled graph.
        thread_id: which thread; from the address that the webhook came to.
        body: the raw request body.
        signature_header: its `X-Awaithumans-Signature`; None if it is missing.
        webhook_key: what webhooks are signed with; by default the
            environment's AWAITHUMANS_PAYLOAD_KEY.
        engine: where the task is looked up; found as `await_human` finds it.
        server_url: where another process has the router mounted, instead.
        api_key: an API token of that router.
        config: what else the graph's config has.
        context: the graph's runtime context.

    The task is looked up: what the webhook says of its outcome does not count.
    Only the interrupt that waits for this very task is resumed, and only one
    process runs the thread at a time. Returns None, with nothing done, where
    none waits for it: the callback is a duplicate, late, or a stranger's. Else
    the rest of the graph runs on in the returned `asyncio.Task`, which is kept
    alive and whose errors are logged. Await it where a process ends with its
    request, as in a serverless function; it gives the state in which the graph
    stops, or None if another one was faster. If this process dies meanwhile,
    driving the thread (`drive_human_loop` without an input) goes on with it.

    Raises `InvalidSignatureError`, a `PermissionError`, for what was not signed
    with the key; `InvalidInputError`, a `ValueError`, for a body that tells of
    no task; and `ConfigurationError` without a key or an engine.
    """
    task_id = str(received_outcome(body, signature_header, webhook_key)["task_id"])
    thread = LocalThread(graph, _thread_config(thread_id, config), context)
    return await _dispatch(thread, task_id, partial(chosen_engine, engine, server_url, api_key))


def dispatch_resume_sync(
    *,
    graph: Graph,
    thread_id: str,
    body: bytes,
    signature_header: str | None,
    webhook_key: WebhookKey | str | None = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
    config: Mapping[str, Any] | None = None,
    context: object = None,
) -> Future[StateSnapshot | None] | None:
    """Resume the graph that a received webhook is for, from a thread.

    The blocking twin of `dispatch_resume`, for Flask and Django. The graph
    runs on, by its synchronous methods, in worker threads; `result()` of the
    returned future blocks until it stops.
    """
    task_id = str(received_outcome(body, signature_header, webhook_key)["task_id"])
    thread = LocalThread(graph, _thread_config(thread_id, config), context, blocking=True)
    engine = surrounding_engine(engine, server_url)
    choose = partial(chosen_engine, engine, server_url, api_key)

    async def dispatch() -> Future[StateSnapshot | None] | None:
        run = await _dispatch(thread, task_id, choose)
        return _for_threads(run) if run else None

    return run_blocking(dispatch, engine)


async def _dispatch(
    thread: LocalThread, task_id: str, choose: ChooseEngine
) -> asyncio.Task[StateSnapshot | None] | None:
    async with choose() as (engine, _):
        try:
            task = await engine.get(task_id)
        except TaskNotFoundError:
            return None
    if not task.closed or not _goes_on(task, await thread.read()):
        return None
    return _kept(_resume(thread, task, choose), f"task {task_id}")


async def _resume(thread: LocalThread, task: Task, choose: ChooseEngine) -> StateSnapshot | None:
    async with choose() as (engine, _):
        position = await resume_thread(thread, engine, task)
        return cast(StateSnapshot, position.state) if position else None


_running: set[asyncio.Task[Any]] = set()
"""What goes on after a request; the event loop itself holds its tasks weakly."""


def _kept(work: Coroutine[Any, Any, StateSnapshot | None], name: str) -> asyncio.Task[StateSnapshot | None]:
    run = asyncio.create_task(work, name=name)
    _running.add(run)
    run.add_done_callback(_log_failure)
    return run


def _log_failure(run: asyncio.Task[Any]) -> None:
    _running.discard(run)
    if not run.cancelled() and (error := run.exception()):
        logger.error("%s: its graph failed", run.get_name(), exc_info=error)


def _for_threads(run: asyncio.Task[StateSnapshot | None]) -> Future[StateSnapshot | None]:
    """Give what other threads can wait for; it ends as the run does."""
    ended: Future[StateSnapshot | None] = Future()
    ended.set_running_or_notify_cancel()  # cancelling it would not end the run

    def tell(run: asyncio.Task[StateSnapshot | None]) -> None:
        if run.cancelled():
            ended.set_exception(CancelledError())
        elif error := run.exception():
            ended.set_exception(error)
        else:
            ended.set_result(run.result())

    run.add_done_callback(tell)
    return ended


# ── Both ──────────────────────────────────────────────────────────────────────


async def resume_thread(thread: Thread, engine: TaskEngine, task: Task) -> Position | None:
    """Run the thread on from where it waits for this closed task, or was cut off.

    Returns where it stops next; None, with nothing done, if it waits for
    something else, or has ended. Of any number of callers, one runs it at a
    time.
    """
    async with holding(engine, lease_name(thread)):
        position = await thread.read()
        if not _goes_on(task, position):
            return None
        if position.failed or not position.pending:
            position = await _run(thread, Continue(), engine)
        if one := _waiting_for(task, position):
            position = await _run(thread, Resume(values={one.id: to_resume(task, None)}), engine)
        return position


async def _run(thread: Thread, step: Step, engine: TaskEngine) -> Position:
    try:
        await thread.run(step)
    except OutcomeError as error:
        await collect_raised(engine, await thread.read(), error)
        raise
    return await thread.read()


def _goes_on(task: Task, position: Position) -> bool:
    """Tell whether the thread runs on now: with the task's outcome, or with what it was cut off at behind it."""
    at_breakpoint = position.before or position.behind
    cut_off = position.next and not (position.pending or position.outcome_at or at_breakpoint)
    return task.collected_at is None and (bool(cut_off) or _waiting_for(task, position) is not None)


def _waiting_for(task: Task, position: Position) -> Interrupt | None:
    for one in position.pending:
        if (parked := read_parked(one.value)) and parked.task_id == task.id:
            return one
    return None


def _thread_config(thread_id: str, config: Mapping[str, Any] | None) -> dict[str, Any]:
    given = config or {}
    return {**given, "configurable": {**given.get("configurable", {}), "thread_id": thread_id}}
