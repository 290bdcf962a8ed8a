"""Driving a graph of this process until it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from langgraph.types import StateSnapshot

from awaithumans.adapters.langgraph.breakpoints import OnBreakpoint
from awaithumans.adapters.langgraph.driver import Options, drive_thread
from awaithumans.adapters.langgraph.interrupts import OnInterrupt
from awaithumans.adapters.langgraph.threads import Graph, LocalThread, OnChunk
from awaithumans.blocking import run_blocking
from awaithumans.client import chosen_engine, surrounding_engine
from awaithumans.protocols import TaskEngine
from awaithumans.types import TaskSpec


async def drive_human_loop(
    graph: Graph,
    *,
    config: Mapping[str, Any],
    input_state: object = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    on_breakpoint: OnBreakpoint | None = None,
    reroute: Callable[[TaskSpec], TaskSpec] | None = None,
    raise_in_node: bool = False,
    wait: bool = True,
    context: object = None,
    stream_mode: Any = "updates",
    on_chunk: OnChunk | None = None,
) -> StateSnapshot:
    """Run a graph and have people answer what it asks, until it ends.

    Arguments:
        graph: a compiled graph with a checkpointer.
        config: as the graph's own; it names the thread.
        input_state: what the turn begins with; None to go on with a thread
            that has begun.
        engine: the engine to ask; found as `await_human` finds it.
        server_url: where another process has the router mounted, instead.
        api_key: an API token of that router.
        on_interrupt: tells what people are asked in place of an interrupt
            that is not made by `await_human`; such as `tool_reviews(…)`.
        on_breakpoint: tells what they are asked at a static breakpoint.
        reroute: changes a question before it is asked, such as who is asked.
        raise_in_node: hand other outcomes than an answer to the node, where
            `await_human` raises them, instead of raising them here.
        wait: with False, ask what is to be asked, resume what is answered,
            and return.
        context: the graph's runtime context.
        stream_mode: as in `graph.stream`; what is streamed goes to `on_chunk`.
        on_chunk: is called with each chunk.

    Returns the state when the turn has ended, or when all that is left to do
    is the caller's: interrupts of other kinds, and breakpoints.

    Parallel questions are asked at the same time, and each answer resumes its
    own interrupt as it comes. If this process dies, the same call goes on
    where the thread is parked and finds the same tasks: nothing is asked
    twice, and no answer is lost. Of several that drive one thread, one runs
    it at a time. With an input that the last turn began with, a finished
    thread returns its state; with another input it begins another turn.

    Raises `TaskTimeoutError`, `TaskCancelledError` or
    `VerificationExhaustedError` for those outcomes, and
    `SchemaValidationError` for an answer that a model has refused twice. The
    graph then stays parked, and driving it again asks again. Raises
    `ConfigurationError` for a graph without a checkpointer, a config without
    a thread, and a thread that has not finished with another input. What a
    node raises, comes out as it is. Raises `LeaseLostError` where the engine
    could not be asked for half a minute while the graph ran: somebody else may
    run it then.
    """
    thread = LocalThread(graph, config, context, stream_mode, on_chunk)
    options = Options(
        on_interrupt=on_interrupt,
        on_breakpoint=on_breakpoint,
        reroute=reroute,
        raise_in_node=raise_in_node,
        wait=wait,
    )
    choose = partial(chosen_engine, engine, server_url, api_key)
    return cast(StateSnapshot, await drive_thread(thread, input_state, options, choose))


def drive_human_loop_sync(
    graph: Graph,
    *,
    config: Mapping[str, Any],
    input_state: object = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    on_breakpoint: OnBreakpoint | None = None,
    reroute: Callable[[TaskSpec], TaskSpec] | None = None,
    raise_in_node: bool = False,
    wait: bool = True,
    context: object = None,
    stream_mode: Any = "updates",
    on_chunk: OnChunk | None = None,
) -> StateSnapshot:
    """Run a graph and have people answer what it asks; block until it ends.

    The blocking twin of `drive_human_loop`, for scripts and threads. The graph
    runs by its synchronous methods, in worker threads. Besides, raises
    `ConfigurationError` on the thread of the event loop that runs the engine:
    it would wait for itself.
    """
    thread = LocalThread(graph, config, context, stream_mode, on_chunk, blocking=True)
    options = Options(
        on_interrupt=on_interrupt,
        on_breakpoint=on_breakpoint,
        reroute=reroute,
        raise_in_node=raise_in_node,
        wait=wait,
    )
    engine = surrounding_engine(engine, server_url)
    choose = partial(chosen_engine, engine, server_url, api_key)
    return cast(StateSnapshot, run_blocking(partial(drive_thread, thread, input_state, options, choose), engine))
