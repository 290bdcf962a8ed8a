"""Threads of a graph that a LangGraph API server runs: driving one, sweeping all that are parked."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
import httpx
from langgraph.types import Interrupt, StateSnapshot
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError
from langgraph_sdk.schema import Config, StreamMode, ThreadState, ThreadTask
from langgraph_sdk.schema import Thread as ServersThread
from pydantic import TypeAdapter

from awaithumans.adapters.langgraph.asking import SET_ASIDE
from awaithumans.adapters.langgraph.breakpoints import OnBreakpoint
from awaithumans.adapters.langgraph.driver import Driver, Options, drive_thread
from awaithumans.adapters.langgraph.interrupts import OnInterrupt, Question
from awaithumans.adapters.langgraph.threads import (
    INPUT,
    OUTCOME_ERROR,
    Begin,
    Continue,
    OnChunk,
    OvertakenError,
    Position,
    Resume,
    Step,
)
from awaithumans.client import chosen_engine
from awaithumans.documents import digest
from awaithumans.errors import ConfigurationError, GraphRunError
from awaithumans.protocols import TaskEngine
from awaithumans.types import TaskSpec

logger = logging.getLogger("awaithumans.adapters.langgraph")

ResultT = TypeVar("ResultT")

PATIENCE: Final = 30.0
"""Seconds for which a server that cannot be reached is asked again."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0

PAGE: Final = 100
"""Threads found at once."""
AT_ONCE: Final = 10
"""Threads swept at the same time."""

_UNNAMED: Final = "unnamed:"
"""How the ids begin that are given here to interrupts which have none at their server."""

_ANYTHING: Final[TypeAdapter[object]] = TypeAdapter(object)


@dataclass(slots=True)
class RemoteThread:
    """A thread of a graph on a LangGraph API server.

    Runs are started in the background and followed, so that neither a lost
    connection nor the end of this process ends them, and they never run
    beside another one of the thread.
    """

    client: LangGraphClient
    assistant_id: str
    id: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stream_mode: StreamMode | Sequence[StreamMode] = "updates"
    on_chunk: OnChunk | None = None

    # ── Reading ───────────────────────────────────────────────────────────────

    async def read(self) -> Position:
        """Tell where the thread stands, once no run of it is active."""
        try:
            await self._idle()
            state = await _patiently(partial(self.client.threads.get_state, self.id))
        except NotFoundError:
            return Position(state=None, started=False, checkpoint="")
        if state["created_at"] is None:
            return Position(state=state, started=False, checkpoint="")
        return await self._position(state)

    async def _position(self, state: ThreadState) -> Position:
        failed = [task for task in state["tasks"] if task.get("error")]
        pending = _interrupts([task for task in state["tasks"] if task.get("result") is None])
        self._refuse_ambiguous(pending)
        left = () if pending or failed else tuple(state["next"])
        return Position(
            state=state,
            started=True,
            checkpoint=str(state["checkpoint"]["checkpoint_id"]),
            input=await self._input_of(state),
            pending=pending,
            failed=bool(failed),
            failed_at=_interrupts(failed),
            outcome_at=_interrupts([task for task in failed if OUTCOME_ERROR.search(str(task["error"]))]),
            next=tuple(task["name"] for task in state["tasks"]),
            before=left if left and await self._stopped_by_itself() else (),
        )

    def digest(self, value: object) -> str:
        """Name an input by its JSON."""
        return digest(_ANYTHING.dump_python(value, mode="json"))

    async def _idle(self) -> None:
        pause = FIRST_PAUSE
        while (await _patiently(partial(self.client.threads.get, self.id)))["status"] == "busy":
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _refuse_ambiguous(self, pending: Sequence[Interrupt]) -> None:
        if len(pending) > 1 and any(one.id.startswith(_UNNAMED) for one in pending):
            raise ConfigurationError(
                f"{len(pending)} interrupts of thread {self.id} wait, and their server gives them no ids, "
                "so an answer could resume another one than it is for",
                hint="Have the server run a newer release of LangGraph; or resume this thread without awaithumans.",
            )

    async def _input_of(self, state: ThreadState) -> str | None:
        """Find the digest that the turn began with, if it was begun by a driver."""
        if found := (state["metadata"] or {}).get(INPUT):
            return str(found)
        threads = self.client.threads
        begun = await _patiently(partial(threads.get_history, self.id, limit=1, metadata={"source": "input"}))
        return (begun[0]["metadata"] or {}).get(INPUT) if begun else None

    async def _stopped_by_itself(self) -> bool:
        """Tell a breakpoint from a run that was cut off, as the server does not say which breakpoints there are."""
        runs = await _patiently(partial(self.client.runs.list, self.id, limit=1))
        return not runs or runs[0]["status"] == "success"

    # ── Running ───────────────────────────────────────────────────────────────

    async def run(self, step: Step, *, set_aside: Sequence[str] = ()) -> None:
        """Run on to where the graph stops.

        Most servers take a resume whose interrupt does not wait any more for
        an answer to the next question, so that is looked up right before.
        """
        position = await self.read()
        if isinstance(step, Resume) and not step.values.keys() <= {one.id for one in position.pending}:
            raise OvertakenError
        begun_with = step.digest if isinstance(step, Begin) else position.input
        try:
            run = await self.client.runs.create(
                self.id,
                self.assistant_id,
                input=cast("Mapping[str, Any]", step.input) if isinstance(step, Begin) else None,
                command=cast("Any", _command(step)),
                config=self._config(set_aside),
                metadata={INPUT: begun_with} if begun_with else None,
                stream_mode=self.stream_mode,
                stream_resumable=self.on_chunk is not None,
                multitask_strategy="reject",
                if_not_exists="create" if isinstance(step, Begin) else "reject",
                durability="sync",
                strict_resume=True,
            )
        except ConflictError as busy:
            raise OvertakenError from busy
        await self._follow(run["run_id"])

    def _config(self, set_aside: Sequence[str]) -> Config:
        """Give the runs' config; the context is in it, as a server takes one of the two, and makes the other of it."""
        configurable = {**self.config.get("configurable", {}), **self.context, SET_ASIDE: list(set_aside)}
        return cast("Config", {**self.config, "configurable": configurable})

    async def _follow(self, run_id: str) -> None:
        """Return once a run has ended well."""
        if self.on_chunk:
            await self._stream(run_id, self.on_chunk)
        while True:
            told: object = await _patiently(partial(cast("Any", self.client.runs).join, self.id, run_id))
            run = await _patiently(partial(self.client.runs.get, self.id, run_id))
            if run["status"] not in {"pending", "running"}:
                break
            await anyio.sleep(FIRST_PAUSE)
        if run["status"] != "success":
            await self._raise_failed(run_id, run["status"], told)

    async def _stream(self, run_id: str, on_chunk: OnChunk) -> None:
        parts = cast("Any", self.client.runs.join_stream(self.id, run_id, last_event_id="0"))
        async with aclosing(parts):
            try:
                async for part in parts:
                    on_chunk(part)
            except httpx.HTTPError as fault:
                logger.warning("the stream of run %s broke off (%r); the run goes on", run_id, fault)

    async def _raise_failed(self, run_id: str, status: str, told: object) -> None:
        state = await _patiently(partial(self.client.threads.get_state, self.id))
        faults = [str(task["error"]) for task in state["tasks"] if task.get("error")]
        parked = _interrupts(state["tasks"])
        if status == "interrupted" and parked and not faults:
            return
        raise GraphRunError(self.id, run_id, status, "; ".join(faults) or _error_in(told))


def _interrupts(tasks: Sequence[ThreadTask]) -> tuple[Interrupt, ...]:
    found = [_interrupt(task["id"], one) for task in tasks for one in task.get("interrupts") or ()]
    return tuple({one.id: one for one in found}.values())


def _interrupt(task_id: str, shown: Mapping[str, Any]) -> Interrupt:
    """Read an interrupt; one without an id, as older releases write it, is named by its place and content."""
    name = shown.get("id") or _UNNAMED + digest([task_id, shown.get("ns"), shown["value"]])
    return Interrupt(value=shown["value"], id=name, response_schema=shown.get("response_schema"))


def _command(step: Step) -> dict[str, object] | None:
    match step:
        case Resume(values=values, update=update):
            [first, *others] = values
            unnamed = not others and first.startswith(_UNNAMED)
            return {"resume": values[first] if unnamed else dict(values), "update": update}
        case Continue(update=update) if update is not None:
            return {"update": update}
        case _:
            return None


def _error_in(told: object) -> str:
    error = cast("Mapping[str, Mapping[str, object]]", told or {}).get("__error__")
    return f"{error.get('error')}: {error.get('message')}" if error else "no reason is told"


async def _patiently(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Ask a server, again and again while it cannot be reached, for half a minute."""
    give_up_at, pause = anyio.current_time() + PATIENCE, FIRST_PAUSE
    while True:
        try:
            return await call()
        except httpx.HTTPError as fault:
            if not _will_pass(fault) or anyio.current_time() + pause > give_up_at:
                raise
            logger.warning("the LangGraph server could not be asked (%r); trying again", fault)
        await anyio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _will_pass(fault: httpx.HTTPError) -> bool:
    if not isinstance(fault, httpx.HTTPStatusError):
        return True
    return fault.response.status_code in {429, *range(500, 600)}


# ── What hosts call ───────────────────────────────────────────────────────────


async def drive_remote_loop(
    client: LangGraphClient,
    *,
    assistant_id: str,
    thread_id: str,
    input_state: object = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    on_breakpoint: OnBreakpoint | None = None,
    reroute: Callable[[TaskSpec], TaskSpec] | None = None,
    raise_in_node: bool = False,
    wait: bool = True,
    config: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    stream_mode: StreamMode | Sequence[StreamMode] = "updates",
    on_chunk: OnChunk | None = None,
) -> ThreadState:
    """Run a graph on a LangGraph API server and have people answer what it asks, until it ends.

    What `drive_human_loop` is for a graph in this process: questions, turns,
    other outcomes than an answer, and several drivers of one thread are
    treated alike.

    Arguments:
        client: `langgraph_sdk.get_client(url=…)`, on this event loop.
        assistant_id: the assistant, or the name of its graph.
        thread_id: the thread, a UUID; a turn of one that does not exist makes it.
        input_state: what the turn begins with, as JSON or what pydantic makes
            JSON of; None to go on with a thread that has begun.
        engine: the engine to ask; found as `await_human` finds it.
        server_url: where another process has the router mounted, instead; not
            the LangGraph server's address.
        api_key: an API token of that router.
        on_interrupt: tells what people are asked in place of an interrupt
            that is not made by `await_human`.
        on_breakpoint: tells what they are asked at a static breakpoint, which
            is where a run ended with nodes left and no interrupt.
        reroute: changes a question before it is asked.
        raise_in_node: hand other outcomes than an answer to the node.
        wait: with False, ask what is to be asked, resume what is answered,
            and return.
        config: what the runs get: `configurable`, `tags`, `recursion_limit`.
        context: the graph's runtime context, if the assistant's is not enough.
        stream_mode: as in `client.runs.stream`.
        on_chunk: is called with each part that a run streams. Parts may be
            lost or doubled where a connection is.

    Returns the state as the server tells it when the turn has ended, or when
    all that is left to do is the caller's.

    A run goes on at its server, whatever becomes of this process, and never
    beside another run of the thread: while there is one, by whomever, this
    waits for its end and looks again. An interrupt without an id, as older
    releases write it, is resumed while it is the only one.

    Raises what `drive_human_loop` raises, but `GraphRunError` for what a node
    raises and for a run that was cancelled; `ConfigurationError` where several
    interrupts wait that have no ids; and the SDK's errors, once the server
    could not be reached for half a minute.
    """
    thread = RemoteThread(client, assistant_id, thread_id, config or {}, context or {}, stream_mode, on_chunk)
    options = Options(
        on_interrupt=on_interrupt,
        on_breakpoint=partial(_at_breakpoint, on_breakpoint) if on_breakpoint else None,
        reroute=reroute,
        raise_in_node=raise_in_node,
        wait=wait,
    )
    choose = partial(chosen_engine, engine, server_url, api_key)
    return cast("ThreadState", await drive_thread(thread, input_state, options, choose))


def _at_breakpoint(on_breakpoint: OnBreakpoint, state: ThreadState) -> Question | Continue | None:
    """Show a state as LangGraph does, so that the same function serves for both."""
    snapshot = StateSnapshot(
        values=cast("dict[str, Any]", state["values"]),
        next=tuple(state["next"]),
        config={"configurable": dict(state["checkpoint"])},
        metadata=cast("Any", state["metadata"]),
        created_at=state["created_at"],
        parent_config=None,
        tasks=(),
        interrupts=(),
    )
    return on_breakpoint(snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep has done with one thread: where it stands now, or why it could not go on."""

    thread_id: str
    state: ThreadState | None = None
    error: Exception | None = None


async def sweep_remote_threads(
    client: LangGraphClient,
    *,
    metadata: Mapping[str, Any] | None = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
    on_interrupt: OnInterrupt | None = None,
    reroute: Callable[[TaskSpec], TaskSpec] | None = None,
    raise_in_node: bool = False,
    config: Mapping[str, Any] | None = None,
    context: Callable[[ServersThread], Mapping[str, Any]] | None = None,
) -> list[Swept]:
    """Ask what the parked threads of a deployment ask, and resume what is answered.

    For a service that calls it again and again: it waits for nobody. Whatever
    was asked before is found, not asked again. Several may sweep at the same
    time. Each thread is run on by the assistant that ran it last.

    Its own arguments; the others are those of `drive_remote_loop`:
        metadata: which threads, by their metadata: `{"graph_id": "refunds"}`,
            `{"assistant_id": "…"}`, or what they were created with.
        context: gives the runtime context that a thread's runs need besides
            its assistant's; a resumed run does not know what the last one got.

    Returns one `Swept` for each thread that waits with interrupts. One's
    failure touches no other: its `error` is what `drive_remote_loop` would
    have raised, such as `TaskTimeoutError`, after which the next sweep asks
    again. Threads at a static breakpoint, and those whose node has failed or
    whose run was cancelled, are not swept: whether they go on is for somebody
    to decide. Raises only what keeps the threads from being found, and
    `ConfigurationError` if there is no engine.
    """
    parked = await _parked(client, metadata)
    limiter, swept = anyio.CapacityLimiter(AT_ONCE), dict[str, Swept]()
    options = Options(
        on_interrupt=on_interrupt, on_breakpoint=_stay, reroute=reroute, raise_in_node=raise_in_node, wait=False
    )
    async with chosen_engine(engine, server_url, api_key) as (chosen, meanwhile), anyio.create_task_group() as group:

        async def sweep(thread: ServersThread) -> None:
            name = thread["thread_id"]
            async with limiter:
                try:
                    given: Mapping[str, Any] = context(thread) if context else {}
                    remote = RemoteThread(client, _assistant(thread), name, config or {}, given)
                    driver = Driver(remote, chosen, options, meanwhile=meanwhile)
                    swept[name] = Swept(thread_id=name, state=await driver.drive(None))
                except Exception as error:  # noqa: BLE001 - the caller is told which thread's it is
                    swept[name] = Swept(thread_id=name, error=error)

        for thread in parked:
            group.start_soon(sweep, thread)
    return [swept[thread["thread_id"]] for thread in parked]


async def _parked(client: LangGraphClient, metadata: Mapping[str, Any] | None) -> list[ServersThread]:
    """Find the threads that wait with interrupts; each once, though some may move between pages."""
    found: dict[str, ServersThread] = {}
    for offset in range(0, 2**63, PAGE):
        page = await _patiently(
            partial(
                client.threads.search,
                status="interrupted",
                metadata=dict(metadata) if metadata else None,
                sort_by="created_at",
                sort_order="asc",
                limit=PAGE,
                offset=offset,
            )
        )
        found.update({thread["thread_id"]: thread for thread in page if thread["interrupts"]})
        if len(page) < PAGE:
            break
    return list(found.values())


def _assistant(thread: ServersThread) -> str:
    if found := (thread["metadata"] or {}).get("assistant_id"):
        return str(found)
    raise ConfigurationError(
        f"the metadata of thread {thread['thread_id']} names no assistant that it could be resumed by",
        hint="Drive it with drive_remote_loop(assistant_id=…).",
    )


def _stay(_: object) -> None:
    """Ask nobody whether to go on behind a breakpoint."""
