"""A thread of a graph: where it stands, and how it runs on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast

from anyio import from_thread, to_thread
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt, PregelTask, StateSnapshot

from awaithumans.adapters.langgraph.asking import SET_ASIDE
from awaithumans.errors import ConfigurationError

Graph: TypeAlias = Pregel[Any, Any, Any, Any]
OnChunk: TypeAlias = Callable[[object], object]

INPUT: Final = "awaithumans_input"
"""The checkpoint metadata that names the input of the latest turn."""

_STRICT_RESUME: Final = "__pregel_strict_resume"
"""Has LangGraph refuse a resume whose interrupt does not wait; releases that do not know it ignore it."""

OUTCOME_ERROR: Final = re.compile(r"^\W?(TaskTimeoutError|TaskCancelledError|VerificationExhaustedError)\b")
"""What LangGraph keeps of an error that a node raised begins so, for those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a thread stands, between two runs."""

    state: Any
    """As LangGraph has it: what the driver's caller gets."""
    started: bool
    checkpoint: str
    """The id of the latest checkpoint."""
    input: str | None = None
    """The digest of the input that the latest turn began with; None if it is not known."""
    pending: tuple[Interrupt, ...] = ()
    """The interrupts that wait to be resumed; after a failure, perhaps one that has been."""
    failed: bool = False
    """A node has failed or was cut off in this step: now, or before it was parked again."""
    failed_at: tuple[Interrupt, ...] = ()
    """The interrupts of the nodes that have."""
    outcome_at: tuple[Interrupt, ...] = ()
    """Those of them where what was raised is another outcome than an answer."""
    next: tuple[str, ...] = ()
    """The nodes of the step that comes next or is under way; empty when the turn is finished.

    Unlike what LangGraph calls so, it counts those that have run: a process that ends when all of them have, and
    before the step itself is saved, leaves a turn that is not finished.
    """
    before: tuple[str, ...] = ()
    """Those of them that the graph has a breakpoint before, if none has begun; or in a subgraph, if unfinished."""
    behind: tuple[str, ...] = ()
    """The nodes of the step before that the graph has a breakpoint behind, if the next step has not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin a turn with an input."""

    input: object
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Resume interrupts, by their id; `update` changes the state first."""

    values: Mapping[str, object]
    update: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Go on where the thread stands; `update` changes the state first."""

    update: object = None


Step: TypeAlias = Begin | Resume | Continue


class OvertakenError(Exception):
    """Somebody else runs the thread, or has run it; nothing was run."""


class Thread(Protocol):
    """One thread of a graph, here or on a server."""

    @property
    def id(self) -> str:
        """Name the thread, as LangGraph does."""
        ...

    async def read(self) -> Position:
        """Tell where the thread stands."""
        ...

    async def run(self, step: Step, *, set_aside: Sequence[str] = ()) -> None:
        """Run on to where the graph stops; what its nodes raise is raised.

        `set_aside` names tasks whose outcomes the nodes are to ask again about.
        Raises `OvertakenError` if the thread no longer stands where it was read.
        """
        ...

    def digest(self, value: object) -> str:
        """Name an input: equal for equal ones."""
        ...


@dataclass(slots=True)
class LocalThread:
    """A thread of a compiled graph in this process.

    With `blocking`, or where its checkpointer has no async methods, the graph
    runs in worker threads by its synchronous ones.
    """

    graph: Graph
    config: Mapping[str, Any]
    context: object = None
    stream_mode: Any = "updates"
    on_chunk: OnChunk | None = None
    blocking: bool = False
    id: str = field(init=False)
    _graph: Any = field(init=False)
    """The same, for what LangGraph leaves untyped."""

    def __post_init__(self) -> None:
        """Check what cannot work."""
        configurable = cast("Mapping[str, object]", self.config.get("configurable", {}))
        thread_id = configurable.get("thread_id")
        if thread_id is None or thread_id == "":
            raise ConfigurationError(
                "the graph's config names no thread", hint='Pass config={"configurable": {"thread_id": "…"}}.'
            )
        if configurable.get("checkpoint_id"):
            raise ConfigurationError(
                "the graph's config names a checkpoint, and a thread goes on from its latest",
                hint="Fork it first: graph.update_state(config, None); then drive the thread.",
            )
        self._graph = self.graph
        if not isinstance(self._graph.checkpointer, BaseCheckpointSaver):
            raise ConfigurationError(
                "the graph has no checkpointer, so it cannot be parked: what a person answers would be lost",
                hint="Compile it with one that lasts: builder.compile(checkpointer=…).",
            )
        self.id = str(thread_id)

    async def read(self) -> Position:
        """Tell where the thread stands."""
        state = await self._state(self._reading)
        if state.created_at is None:
            return Position(state=state, started=False, checkpoint="")
        failed = [task for task in state.tasks if task.error is not None]
        begun = any(task.error or task.interrupts or task.result is not None for task in state.tasks)
        return Position(
            state=state,
            started=True,
            checkpoint=str(cast("Any", state.config)["configurable"]["checkpoint_id"]),
            input=await self._input_of(state),
            pending=_distinct(task for task in state.tasks if task.result is None),
            failed=bool(failed),
            failed_at=_distinct(failed),
            outcome_at=_distinct(task for task in failed if OUTCOME_ERROR.search(str(task.error))),
            next=tuple(task.name for task in state.tasks),
            before=self._before(state, begun=begun),
            behind=() if begun else await self._behind(state),
        )

    async def run(self, step: Step, *, set_aside: Sequence[str] = ()) -> None:
        """Run on to where the graph stops."""
        config = self._config(
            {_STRICT_RESUME: True, SET_ASIDE: list(set_aside)},
            {INPUT: step.digest if isinstance(step, Begin) else await self._input_of(await self._state(self._reading))},
        )
        if self.blocking:
            await to_thread.run_sync(partial(self._stream_in_thread, _given(step), config))
        else:
            await self._stream(_given(step), config)

    def digest(self, value: object) -> str:
        """Name an input by how a checkpoint has it, whatever the order of keys and sets."""
        return hashlib.sha256(_written(value)).hexdigest()

    # ── Reading ───────────────────────────────────────────────────────────────

    @property
    def _reading(self) -> dict[str, Any]:
        return self._config({}, {})

    def _config(self, configurable: Mapping[str, object], metadata: Mapping[str, object]) -> dict[str, Any]:
        return {
            **self.config,
            "configurable": {**self.config.get("configurable", {}), **configurable},
            "metadata": {**self.config.get("metadata", {}), **metadata},
        }

    async def _state(self, config: Any) -> StateSnapshot:
        if not self.blocking:
            try:
                return cast(StateSnapshot, await self._graph.aget_state(config))
            except NotImplementedError:  # by a checkpointer without async methods
                self.blocking = True
        return await to_thread.run_sync(partial(self._graph.get_state, config))

    async def _input_of(self, state: StateSnapshot) -> str | None:
        """Find the digest that the turn began with, if it was begun by a driver."""
        metadata = cast("Mapping[str, Any]", state.metadata or {})
        if found := metadata.get(INPUT):
            return str(found)
        for begun in await self._history({"source": "input"}):
            return cast("Mapping[str, Any]", begun.metadata or {}).get(INPUT)
        return None

    async def _history(self, only: dict[str, Any]) -> list[StateSnapshot]:
        if self.blocking:
            return await to_thread.run_sync(
                lambda: list(self._graph.get_state_history(self._reading, filter=only, limit=1))
            )
        found = self._graph.aget_state_history(self._reading, filter=only, limit=1)
        return [state async for state in found]

    def _before(self, state: StateSnapshot, *, begun: bool) -> tuple[str, ...]:
        inner = {
            name.partition("|")[0]
            for name, subgraph in self._graph.get_subgraphs(recurse=True)
            if subgraph.interrupt_before_nodes or subgraph.interrupt_after_nodes
        }
        marked = () if begun else _named(state.next, self.graph.interrupt_before_nodes)
        return tuple(node for node in state.next if node in marked or node in inner)

    async def _behind(self, state: StateSnapshot) -> tuple[str, ...]:
        """Name the nodes of the last step, before whatever was edited since."""
        if not self.graph.interrupt_after_nodes or not state.next:
            return ()
        while state.parent_config is not None:
            edited = cast("Mapping[str, Any]", state.metadata or {}).get("source") in {"update", "fork"}
            state = await self._state(state.parent_config)
            if not edited:
                return _named(tuple(task.name for task in state.tasks), self.graph.interrupt_after_nodes)
        return ()

    # ── Running ───────────────────────────────────────────────────────────────

    async def _stream(self, given: Any, config: Any) -> None:
        chunks: AsyncGenerator[object] = self._graph.astream(
            given, config, context=self.context, stream_mode=self.stream_mode, durability="sync"
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                if self.on_chunk:
                    self.on_chunk(chunk)

    def _stream_in_thread(self, given: Any, config: Any) -> None:
        for chunk in self._graph.stream(
            given, config, context=self.context, stream_mode=self.stream_mode, durability="sync"
        ):
            from_thread.check_cancelled()
            if self.on_chunk:
                self.on_chunk(chunk)


_SERDE: Final = JsonPlusSerializer(pickle_fallback=True)


def _written(value: object) -> bytes:
    kind, written = _SERDE.dumps_typed(_ordered(value))
    return kind.encode() + b"\0" + written


def _ordered(value: object) -> object:
    match value:
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return sorted(([_ordered(key), _ordered(part)] for key, part in pairs), key=_written_pair)
        case set() | frozenset():
            return sorted(map(_ordered, cast("set[object]", value)), key=_written)
        case list() | tuple():
            return [_ordered(part) for part in cast("list[object]", value)]
        case _:
            return value


def _written_pair(pair: list[object]) -> bytes:
    return _written(pair[0])


def _given(step: Step) -> Any:
    match step:
        case Begin(input=given):
            return given
        case Resume(values=values, update=update):
            return Command(resume=dict(values), update=update)
        case Continue(update=update):
            return None if update is None else Command(update=update)


def _named(nodes: Sequence[str], breakpoints: Sequence[str]) -> tuple[str, ...]:
    everywhere = breakpoints == "*" or "*" in breakpoints
    return tuple(node for node in nodes if everywhere or node in breakpoints)


def _distinct(tasks: Any) -> tuple[Interrupt, ...]:
    found: list[PregelTask] = list(tasks)
    return tuple({one.id: one for task in found for one in task.interrupts}.values())
