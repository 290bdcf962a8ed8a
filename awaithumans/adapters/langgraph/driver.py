"""Driving a parked graph: ask what it asks, wait, resume it, until it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, cast

import anyio
from langgraph.types import Command, Interrupt

from awaithumans.adapters.langgraph.asked import Asked, Outcomes
from awaithumans.adapters.langgraph.interrupts import (
    ANSWERED,
    Ask,
    OnInterrupt,
    Parked,
    Question,
    read_parked,
    to_resume,
)
from awaithumans.adapters.langgraph.threads import (
    Begin,
    Continue,
    OvertakenError,
    Position,
    Resume,
    Step,
    Thread,
)
from awaithumans.admission import content_of
from awaithumans.client import (
    Meanwhile,
    ask_anew,
    once_more,
    refuse_lacking,
    retry_keys,
    waiting_at,
)
from awaithumans.documents import digest
from awaithumans.errors import (
    ConfigurationError,
    ConflictError,
    OutcomeError,
    SchemaValidationError,
    TaskNotFoundError,
)
from awaithumans.leases import holding
from awaithumans.protocols import TaskEngine
from awaithumans.types import AGENT, CLOSED_STATUSES, KeyScope, Query, Task, TaskSpec

logger = logging.getLogger("awaithumans.adapters.langgraph")

FIRST_LOOK = 30.0
LONGEST_LOOK = 3_600.0
"""Seconds after which a waiting driver looks whether somebody else went on with the thread; growing."""
MAX_STRAYS = 5
"""How many answers may be to other questions than the node asks."""
MAX_NAMED = 400


ChooseEngine: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[TaskEngine, Meanwhile | None]]]
"""Finds the engine: `chosen_engine`, with its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a thread is driven; see `drive_human_loop`."""

    on_interrupt: OnInterrupt | None = None
    on_breakpoint: Callable[[Any], Question | Continue | None] | None = None
    """Is given the state as the thread's kind has it."""
    reroute: Callable[[TaskSpec], TaskSpec] | None = None
    raise_in_node: bool = False
    wait: bool = True


class Driver:
    """Drives one thread to where nothing is left to do but for its caller."""

    def __init__(
        self,
        thread: Thread,
        engine: TaskEngine,
        options: Options,
        *,
        meanwhile: Meanwhile | None = None,
    ) -> None:
        self._thread = thread
        self._engine = engine
        self._options = options
        self._at_terminal = meanwhile is not None
        self._asked: dict[str, Asked] = {}
        self._outcomes = Outcomes(engine, meanwhile or partial(waiting_at, engine))
        self._ran = False
        self._stopped_at = ""
        """The checkpoint at which this driver's last run ended, with no interrupt."""
        self._resumed: set[str] = set()
        """Tasks whose answers this driver has resumed nodes with."""
        self._given_up: set[str] = set()
        """Tasks whose outcomes a node had raised before this driver began."""

    async def drive(self, given: object) -> Any:
        """Drive the thread; return its state, raise what ended it."""
        async with self._outcomes.coming_in():
            return await self._drive(given)

    async def _drive(self, given: object) -> Any:
        pause = FIRST_LOOK
        while True:
            position = await self._advance(given)
            await self._hear()
            if declined := self._declined(position):
                for task in declined.tasks:
                    await self._collect(task)
                return position.state
            if any(asked.answered for asked in self._asked.values()):
                continue
            await self._raise_failed()
            if not (self._options.wait and self._asked):
                return position.state
            await self._outcomes.another(within=pause)
            pause = min(pause * 2, LONGEST_LOOK)
            await self._hear()

    # ── Running the graph ─────────────────────────────────────────────────────

    async def _advance(self, given: object) -> Position:
        """Run whatever can run now, and ask what waits, while nobody else drives the thread."""
        position = await self._thread.read()
        questions = await self._questions(position)
        if self._next_step(position, given, questions) is None and self._all_asked(questions):
            return position
        async with holding(self._engine, lease_name(self._thread)):
            position = await self._thread.read()
            questions = await self._questions(position)
            while (step := self._next_step(position, given, questions)) is not None:
                position = await self._take(step, position)
                questions = await self._questions(position)
            await self._ask(questions)
        return position

    async def _take(self, step: Step, position: Position) -> Position:
        set_aside = await self._set_aside(step, position)
        ran, self._ran = self._ran, True
        try:
            await self._thread.run(step, set_aside=set_aside)
        except OvertakenError:
            self._ran = ran
            return await self._thread.read()
        except Exception as error:
            with suppress(Exception):  # what the node raised says more
                after = await self._thread.read()
                await self._take_over(after)
                if isinstance(error, OutcomeError):
                    await collect_raised(self._engine, after, error)
            raise
        position = await self._thread.read()
        self._stopped_at = "" if position.pending else position.checkpoint
        await self._take_over(position)
        if position.failed and position.next and not position.pending:
            raise ConfigurationError(
                f"a question of {', '.join(position.next)} was lost: LangGraph keeps no interrupt of an error handler",
                hint="Have the error handler go to a node, by Command(goto=…), and ask there.",
            )
        if isinstance(step, Resume) and (deaf := step.values.keys() & {one.id for one in position.pending}):
            raise RuntimeError(f"LangGraph did not resume the interrupts {', '.join(sorted(deaf))}")
        return position

    async def _set_aside(self, step: Step, position: Position) -> list[str]:
        """Name the outcomes that nodes are to ask again about, instead of raising them again."""
        if not self._ran:
            for one in position.outcome_at if self._options.raise_in_node else position.failed_at:
                self._given_up |= await self._without_answer(one)
        parked = [read_parked(one.value) for one in position.pending]
        given_up = self._given_up.union(*(one.after for one in parked if one))
        if isinstance(step, Resume):
            given_up -= {task.id for name in step.values for task in self._asked[name].tasks}
        return sorted(given_up)

    async def _take_over(self, position: Position) -> None:
        """Collect what the graph has saved the answers of."""
        waiting = {one.id for one in position.pending} | {_breakpoint(position)}
        for name in [name for name, asked in self._asked.items() if asked.answered and name not in waiting]:
            asked = self._asked.pop(name)
            for task in (*asked.tasks, *asked.corrected):
                self._resumed.add(task.id)
                if not asked.in_node or position.failed:
                    await self._collect(task)

    def _next_step(self, position: Position, given: object, questions: Mapping[str, Asked]) -> Step | None:
        if not position.started:
            return self._beginning(given)
        if not self._ran and given is not None and self._thread.digest(given) != position.input:
            return self._next_turn(position, given)
        if position.failed and not self._ran:
            return Continue()
        if ready := self._ready(position, questions):
            return _resumption(ready)
        if position.next and not position.pending:
            return self._continuation(position)
        return None

    def _ready(self, position: Position, questions: Mapping[str, Asked]) -> dict[str, Asked]:
        """Give what is answered and asked still, with the same content."""
        pending = {one.id for one in position.pending} & questions.keys()
        return {
            name: asked
            for name, asked in self._asked.items()
            if asked.answered and name in pending and asked.content == questions[name].content
        }

    def _all_asked(self, questions: Mapping[str, Asked]) -> bool:
        contents = {name: asked.content for name, asked in questions.items()}
        return contents == {name: asked.content for name, asked in self._asked.items()}

    def _beginning(self, given: object) -> Step:
        if given is None:
            raise ConfigurationError(
                f"thread {self._thread.id} has not begun, and there is no input to begin with",
                hint="Pass input_state=…, or the thread_id of a thread that was begun.",
            )
        return Begin(input=given, digest=self._thread.digest(given))

    def _next_turn(self, position: Position, given: object) -> Step:
        """Begin another turn, if the last one is over."""
        if position.next:
            raise ConfigurationError(
                f"thread {self._thread.id} has not finished with another input, at {', '.join(position.next)}",
                hint="Pass input_state=None to finish that first; or use another thread_id.",
            )
        return self._beginning(given)

    # ── Breakpoints ───────────────────────────────────────────────────────────

    def _continuation(self, position: Position) -> Step | None:
        """Go on after a run that was cut off; at a breakpoint, only if told to."""
        if not self._at_breakpoint(position):
            return Continue()
        if self._options.on_breakpoint and isinstance(told := self._options.on_breakpoint(position.state), Continue):
            return told
        asked = self._asked.get(_breakpoint(position))
        return cast("Step | None", asked.resumption()) if asked and asked.answered else None

    def _at_breakpoint(self, position: Position) -> bool:
        stopped_here = position.checkpoint == self._stopped_at
        return bool(stopped_here or position.before or position.behind)

    def _declined(self, position: Position) -> Asked | None:
        """Give the question by which people had the graph stay at its breakpoint."""
        asked = self._asked.get(_breakpoint(position))
        return asked if asked and asked.answered and asked.resumption() is None else None

    # ── Asking ────────────────────────────────────────────────────────────────

    async def _ask(self, questions: Mapping[str, Asked]) -> None:
        """Ask what waits and has not been asked; withdraw what waits no more."""
        for name in [name for name in self._asked if name not in questions]:
            logger.info("thread %s: somebody else went on with what was asked here", self._thread.id)
            await self._withdraw(self._asked.pop(name))
        for name, asked in questions.items():
            known = self._asked.get(name)
            if known is not None and known.content == asked.content:
                continue
            if known is not None:
                await self._withdraw(known)
            self._refuse_endless(asked)
            self._asked[name] = asked
            for index, ask in enumerate(asked.question.asks):
                spec = ask.spec if asked.in_node else self._named(ask.spec, name, index)
                asked.tasks.append(asked.created or await self._created(spec))
                await self._outcomes.expect(asked.tasks[index])

    async def _questions(self, position: Position) -> dict[str, Asked]:
        """Tell what is to be asked where the thread stands, by interrupt or breakpoint."""
        found: dict[str, Asked] = {}
        for one in position.pending:
            if parked := read_parked(one.value):
                found[one.id] = await self._own_question(parked)
            elif self._options.on_interrupt and (question := self._options.on_interrupt(one)):
                found[one.id] = Asked(question)
        stopped = position.next and not position.pending and self._at_breakpoint(position)
        if stopped and self._options.on_breakpoint:
            told = self._options.on_breakpoint(position.state)
            if isinstance(told, Question):
                found[_breakpoint(position)] = Asked(told)
        return found

    async def _own_question(self, parked: Parked) -> Asked:
        created = None
        if (spec := parked.spec) is None:
            created = await self._engine.get(cast(str, parked.task_id))
            spec = created.spec
        ask = Ask(
            spec=spec,
            read=partial(to_resume, spec=parked.spec),
            outcomes=CLOSED_STATUSES if self._options.raise_in_node else ANSWERED,
        )
        in_node = parked.task_id is not None
        return Asked(Question(asks=(ask,)), parked.after, parked.stray, created, in_node=in_node)

    def _named(self, spec: TaskSpec, name: str, index: int) -> TaskSpec:
        """Name a question that has no key of its own by where it is asked, and not by its content alone."""
        if spec.idempotency_key and spec.key_scope is KeyScope.FOREVER:
            return spec
        key = digest([self._thread.id, name, index, content_of(spec)])[:32]
        return replace(spec, idempotency_key=f"langgraph:{key}", key_scope=KeyScope.CALL)

    async def _created(self, spec: TaskSpec) -> Task:
        if self._options.reroute:
            spec = self._options.reroute(spec)
        if self._at_terminal:
            refuse_lacking(spec)
        return await ask_anew(self._engine, spec)

    def _refuse_endless(self, asked: Asked) -> None:
        """Raise where a node was answered again and again, and still is not content.

        What counts is what this driver has resumed; but every answer where
        none waits, as each sweep is another driver.
        """
        spec = asked.question.asks[0].spec
        if spec.initial_errors and len(self._resumed.intersection(asked.after)) > 1:
            raise SchemaValidationError.of_fields("response", spec.initial_errors)
        strays = self._resumed.intersection(asked.stray) if self._options.wait else asked.stray
        if len(strays) < MAX_STRAYS:
            return
        raise ConfigurationError(
            f"the question {spec.task[:200]!r} is another one each time its node runs, so no answer fits",
            hint="Compute what is shown in an earlier node, or in a @task: a resumed node runs from its beginning. "
            "Then drive the thread once and wait; with wait=False it is refused.",
        )

    async def _withdraw(self, asked: Asked) -> None:
        """Close the tasks of a question that nobody waits for any more."""
        for task in asked.tasks:
            if task.spec.key_scope is KeyScope.CALL and self._outcomes.of(task.id) is None:
                with suppress(ConflictError, LookupError):
                    await self._engine.cancel(task.id, by=AGENT, reason="the graph has moved on")

    async def _without_answer(self, failed_at: Interrupt) -> set[str]:
        """Find the tasks whose outcome, other than an answer, a node has raised."""
        parked = read_parked(failed_at.value)
        if parked is None or parked.spec is None or parked.task_id is not None:
            return set()
        spec, found = self._named(parked.spec, failed_at.id, 0), set[str]()
        for key in retry_keys(spec.idempotency_key):
            tasks = await self._engine.find(Query(idempotency_key=key))
            found |= {task.id for task in tasks if task.closed and task.status not in ANSWERED}
            if not tasks:
                break
        return found

    # ── Hearing answers ───────────────────────────────────────────────────────

    async def _hear(self) -> None:
        """Take what has been answered for a value; ask again about what cannot be used."""
        for asked in self._asked.values():
            for index in range(len(asked.question.asks)):
                while index not in asked.values and await self._hear_one(asked, index):
                    pass

    async def _hear_one(self, asked: Asked, index: int) -> bool:
        """Read one outcome, if there is one; tell whether that took the question a step further."""
        ask, outcome = asked.question.asks[index], self._outcomes.of(asked.tasks[index].id)
        if not isinstance(outcome, Task) or not _is_taken(ask, outcome):
            return False
        try:
            asked.values[index] = ask.read(outcome)
        except SchemaValidationError as misfit:
            again = bool(asked.corrected) and not outcome.collected_at
            asked.corrected.append(outcome)
            if again:
                for task in asked.corrected:
                    await self._collect(task)
                raise
            better = once_more(ask.spec, misfit, task_id=outcome.id, response=outcome.response)
            asked.tasks[index] = await self._created(better)
            await self._outcomes.expect(asked.tasks[index])
        return True

    async def _raise_failed(self) -> None:
        """Raise the first outcome that the graph cannot go on with."""
        for asked in self._asked.values():
            for ask, task in zip(asked.question.asks, asked.tasks, strict=True):
                outcome = self._outcomes.of(task.id)
                if isinstance(outcome, Exception):
                    raise outcome
                if outcome is not None and not _is_taken(ask, outcome):
                    await self._collect(outcome)
                    raise outcome.outcome_error or AssertionError(f"task {outcome.id} has no outcome")

    async def _collect(self, task: Task) -> None:
        with anyio.CancelScope(shield=True), suppress(TaskNotFoundError):  # deleted: nothing is left to collect
            await self._engine.collect(task.id)


def _is_taken(ask: Ask, outcome: Task) -> bool:
    return outcome.status in ask.outcomes and outcome.response_redacted_at is None


def _resumption(ready: Mapping[str, Asked]) -> Step:
    """Resume what is answered: together, but for what changes the state, too."""
    values: dict[str, object] = {}
    for name, asked in ready.items():
        value = asked.resumption()
        if not isinstance(value, Command):
            values[name] = value
        elif cast("object", value.goto) or value.graph:  # pyright: ignore[reportUnknownMemberType]
            raise ConfigurationError("a question resumes with Command(resume=…, update=…), and cannot say where to go")
        elif not values:
            return Resume(values={name: value.resume}, update=value.update)
    return Resume(values=values)


async def collect_raised(engine: TaskEngine, position: Position, error: OutcomeError) -> None:
    """Collect what nodes that create their tasks have raised, so that they ask anew when they run again."""
    parked = [read_parked(one.value) for one in position.outcome_at]
    raised = {error.task_id, *(one.task_id for one in parked if one)} - {None}
    for task_id in raised:
        with anyio.CancelScope(shield=True), suppress(TaskNotFoundError):
            task = await engine.get(str(task_id))
            if task.closed and task.status not in ANSWERED:
                await engine.collect(task.id)


async def drive_thread(thread: Thread, given: object, options: Options, choose: ChooseEngine) -> Any:
    """Find the engine, and drive a thread of whatever kind."""
    async with choose() as (engine, meanwhile):
        return await Driver(thread, engine, options, meanwhile=meanwhile).drive(given)


def lease_name(thread: Thread) -> str:
    """Name the right to run a thread."""
    short = len(thread.id) <= MAX_NAMED and thread.id.isprintable()
    return f"langgraph:{thread.id if short else digest(thread.id)}"


def _breakpoint(position: Position) -> str:
    return f"{position.checkpoint}:{','.join(position.next)}"
