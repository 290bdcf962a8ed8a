"""Doubles for the people whom agents ask: they answer as a test tells them.

```python
def test_a_refund_is_approved(humans):
    humans.answer({"approved": True})
    assert refund("A-1") == "refunded"
    assert humans.asked[0].payload == {"order": "A-1"}
```
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias, cast

from pydantic import BaseModel

from awaithumans.ambient import AMBIENT_ENGINE
from awaithumans.blocking import run_blocking
from awaithumans.errors import ConflictError, SchemaValidationError
from awaithumans.protocols import Channel, Directory, Verifier
from awaithumans.routing import AddressDirectory
from awaithumans.testing.recording import RecordingChannel
from awaithumans.testing.rehearsal import NEVER, RehearsalEngine
from awaithumans.types import Actor, Cancel, Human, JsonObject, Notice, Submit, Task, TaskSpec, TaskStatus

SOMEBODY = Human(id="somebody@example.com", email="somebody@example.com", display_name="Somebody")
"""Who answers what is addressed to nobody in particular."""

OPERATOR = Human(id="operator@example.com", email="operator@example.com", display_name="Operator", operator=True)
"""Who cancels questions."""

RECORDED = {"console": False, "email": False, "langgraph": True, "slack": False, "temporal": True, "webhook": True}
"""The channels whose notices are kept instead of sent, unless a test brings its own."""

MAX_DEEDS = 100
MAX_SHOWN = 1_000

Seconds: TypeAlias = float | timedelta
"""Some time: in seconds, or as a timedelta."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answering with `value`, `after` so much time, as the person `by`."""

    value: BaseModel | JsonObject
    after: Seconds = 0
    """How long after the question was asked, or was asked again because a verifier refused an answer."""
    by: Human | None = None
    """Who answers; by default the assignee, or the first addressee."""
    refused: bool = False
    """The answer is one that must not be let in: the same question then waits for another reply."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Never answering: the question times out."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Closing the question without an answer, as an operator may."""

    reason: str = ""
    after: Seconds = 0


Deed: TypeAlias = Reply | Silence | Cancellation
"""What a person does about a question."""
Says: TypeAlias = BaseModel | JsonObject | Deed
"""An answer, or anything else a person does."""
Rule: TypeAlias = Callable[[Task], Says | None]
"""Decides what to do about a question; None leaves it to what was told before."""
To: TypeAlias = str | type[BaseModel] | Callable[[Task], bool] | None
"""Which questions: those whose text contains a string, that ask for a model, or for which a function says so."""


class UnexpectedQuestionError(AssertionError):
    """The agent asked what the test gave nobody an answer to."""

    def __init__(self, task: Task) -> None:
        super().__init__(
            f"Nobody was told what to do with this question:\n\n{_shown(task)}\n\n"
            "Say so in the test: humans.answer(...), humans.ignore() or humans.cancel()."
        )
        self.task = task


class AnswerRefusedError(AssertionError):
    """The engine refused an answer that the test gave; `fields` says why."""

    def __init__(self, task: Task, value: JsonObject, fields: Mapping[str, str]) -> None:
        faults = "\n".join(f"  {place or '(the whole answer)'}: {fault}" for place, fault in fields.items())
        super().__init__(f"{value!r} does not answer this question:\n\n{_shown(task)}\n\nThe engine says:\n\n{faults}")
        self.task = task
        self.fields = fields


class Humans:
    """The people of a test, and the engine that asks them.

    Arguments:
        channels: ways to tell people; notices for any other channel that this
            library knows are kept in `notices` instead of sent.
        verifiers: by provider name, who checks answers.
        directory: the host's people; without one, every assignment is to one
            person of that name.
        secret: see `Engine`; for tests of pages and links.
        public_url: likewise.

    While the context lasts, `await_human` and `await_human_sync` ask `engine`
    wherever neither `engine=` nor `server_url=` is given: in any thread, on
    any event loop, and whatever the environment says. Leaving it calls `check`.

    What a person does is told by `answer`, `ignore`, `cancel` and `script`. Of
    those that fit a question, the one told last counts. Everything goes through
    the engine's own verbs, so that answers are validated, verified and
    delivered as ever.

    Time is virtual: see `RehearsalEngine`.
    """

    def __init__(
        self,
        *,
        channels: Iterable[Channel] = (),
        verifiers: Mapping[str, Verifier] | None = None,
        directory: Directory | None = None,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        public_url: str | None = None,
    ) -> None:
        own = tuple(channels)
        brought = {channel.name for channel in own}
        self._recorders = [
            RecordingChannel(name, for_agents=for_agents)
            for name, for_agents in RECORDED.items()
            if name not in brought
        ]
        self.engine = RehearsalEngine(
            self,
            channels=(*own, *self._recorders),
            verifiers=verifiers,
            directory=directory or AnyDirectory(),
            secret=secret,
            public_url=public_url,
        )
        self.failures: list[Exception] = []
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._instructions: list[_Instruction] = []
        self._plans: dict[tuple[str, int], _Plan] = {}
        self._deeds: Counter[str] = Counter()
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._exits.enter_context(AMBIENT_ENGINE.replaced_by(self.engine))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()
        if error is None:
            self.check()
        else:
            self.explain(error)

    # ── What the people do ────────────────────────────────────────────────────

    def answer(
        self, answer: BaseModel | JsonObject | Rule, *, to: To = None, after: Seconds = 0, by: Human | None = None
    ) -> None:
        """Have every question answered.

        Arguments:
            answer: what to answer, as a model or as plain data; or a function
                from the task to that, to a `Reply`, `Silence` or
                `Cancellation`, or to None for a question it leaves to what was
                told before.
            to: which questions this is about: those whose text contains a
                string (letter case does not count), whose response schema is
                that of a model, or for which a function returns True.
            after: how long it takes, in seconds or as a timedelta. Behind the
                deadline, the question times out.
            by: who answers; by default the assignee, or the first addressee.
        """

        def decide(task: Task) -> Deed | None:
            said = answer(task) if callable(answer) else answer
            return None if said is None else _deed(said, after, by)

        self._tell(_Instruction(_fits(to), decide))

    def ignore(self, *, to: To = None) -> None:
        """Have questions answered by nobody, so that they time out."""
        self._tell(_Instruction(_fits(to), lambda _: Silence()))

    def cancel(self, reason: str = "", *, to: To = None, after: Seconds = 0) -> None:
        """Have questions closed without an answer."""
        self._tell(_Instruction(_fits(to), lambda _: Cancellation(reason, after)))

    def script(self, *deeds: Says, to: To = None) -> None:
        """Have questions answered one after the other, as they are asked.

        A question more is left to what was told before, or else fails the
        test; so does what is left over at its end.
        """
        left = deque(_deed(deed) for deed in deeds)
        self._tell(_Instruction(_fits(to), lambda _: left.popleft() if left else None, left))

    def _tell(self, instruction: _Instruction) -> None:
        with self._lock:
            self._instructions.append(instruction)

    # ── What came of it ───────────────────────────────────────────────────────

    @property
    def tasks(self) -> list[Task]:
        """Give the tasks as they stand, in the order they were asked."""
        return list(self._tasks.values())

    @property
    def asked(self) -> list[TaskSpec]:
        """Give what was asked, in order."""
        return [task.spec for task in self.tasks]

    @property
    def notices(self) -> list[Notice]:
        """Give what was said on channels that no test brought, by channel."""
        return [notice for recorder in self._recorders for notice in recorder.sent]

    def check(self) -> None:
        """Raise what went wrong, even if the agent caught it, and start afresh.

        That is a question nobody expected, an answer that was refused, a rule
        that failed, and what is left of a script.
        """
        __tracebackhide__ = True
        failures, instructions = self._start_afresh()
        if failures:
            raise failures[0]
        if left := [deed for instruction in instructions for deed in instruction.left]:
            said = "\n".join(f"  {deed}" for deed in left)
            raise AssertionError(f"The script has answers to questions that nobody asked:\n\n{said}")

    def explain(self, error: BaseException) -> None:
        """Note on a test's failure what went wrong with its people, and start afresh."""
        failures, _ = self._start_afresh()
        for failure in failures:
            if failure is not error:
                error.add_note(f"\n{type(failure).__name__}: {failure}")

    def _start_afresh(self) -> tuple[list[Exception], list[_Instruction]]:
        before = self.failures, self._instructions
        self.failures, self._instructions = [], []
        return before

    # ── Time ──────────────────────────────────────────────────────────────────

    async def advance(self, time: Seconds = 0) -> None:
        """Let time pass, and everything happen that is due until then.

        For agents that do not wait; those that wait need no help.
        """
        await self.engine.advance(_seconds(time))

    def advance_sync(self, time: Seconds = 0) -> None:
        """Let time pass, in a test without an event loop."""
        run_blocking(partial(self.advance, time), self.engine)

    def hold(self) -> AbstractContextManager[None]:
        """Keep the clock from jumping while the block runs.

        For what takes real time and must come before a deadline or a late
        answer to another question.
        """
        return self.engine.held()

    # ── For the engine ────────────────────────────────────────────────────────

    def see(self, task: Task) -> None:
        """Hear of a task's new version."""
        with self._lock:
            known = self._tasks.get(task.id)
            if known is None or known.version < task.version:
                self._tasks[task.id] = task

    def next_due(self) -> datetime:
        """Return when somebody wants to do something: now, where something is wrong."""
        first = min((plan.due for plan in self._planned()), default=NEVER)
        return self.engine.clock.now() if self.failures else first

    async def act(self) -> bool:
        """Do one thing that is due; tell whether there was any."""
        now = self.engine.clock.now()
        plan = min(self._planned(), key=lambda plan: plan.due, default=None)
        self.ensure_unbroken()
        if plan is None or plan.due > now:
            return False
        try:
            await self._carry_out(plan.task, plan.deed)
        except Exception as error:
            self.failures.append(error)
            raise
        del self._plans[_turn_of(plan.task)]  # whose act was cancelled still means to do it
        return True

    def ensure_unbroken(self) -> None:
        """Raise what has gone wrong so far."""
        if self.failures:
            raise self.failures[0]

    def _planned(self) -> list[_Plan]:
        """Make up each person's mind on each open question."""
        with self._lock:
            return [self._plan(task) for task in self._tasks.values() if task.status is TaskStatus.PENDING]

    def _plan(self, task: Task) -> _Plan:
        turn = _turn_of(task)
        if turn not in self._plans:
            asked = task.changed_at if task.attempt else task.created_at
            try:
                deed = self._decide(task)
            except Exception as error:  # noqa: BLE001 - raised in the agent's wait, and again at the end
                self.failures.append(error)
                deed = Silence()
            self._plans[turn] = _Plan(task, deed, asked)
        return self._plans[turn]

    def _decide(self, task: Task) -> Deed:
        self._ensure_sane(task)
        for instruction in reversed(self._instructions):
            if instruction.fits(task) and (deed := instruction.decide(task)) is not None:
                return deed
        raise UnexpectedQuestionError(task)

    async def _carry_out(self, task: Task, deed: Deed) -> None:
        match deed:
            case Reply():
                await self._reply(task, deed)
            case Cancellation():
                with suppress(ConflictError):  # closed meanwhile
                    await self.engine.act(task.id, Cancel(by=_actor(OPERATOR), reason=deed.reason))
            case Silence():
                pass

    async def _reply(self, task: Task, reply: Reply) -> None:
        value = _plain(reply.value)
        by = reply.by or task.assignee or next(iter(task.addressees), SOMEBODY)
        try:
            with suppress(ConflictError):  # closed meanwhile
                await self.engine.act(task.id, Submit(value=value, by=_actor(by)))
        except SchemaValidationError as error:
            if not reply.refused:
                raise AnswerRefusedError(task, value, error.fields) from error
        else:
            if reply.refused:
                raise AssertionError(f"{value!r} was to be refused, but answers this question:\n\n{_shown(task)}")

    def _ensure_sane(self, task: Task) -> None:
        """End what would go on for ever, such as a rule whose answers are all refused."""
        self._deeds[task.id] += 1
        if self._deeds[task.id] > MAX_DEEDS:
            raise AssertionError(f"Somebody acted {MAX_DEEDS} times on one question:\n\n{_shown(task)}")


class AnyDirectory(AddressDirectory):
    """A directory in which every assignment leads to one person of that name."""

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        """Return a person per address, or the one that a name stands for."""
        if {"email", "emails", "marketplace"} & assign_to.keys():
            return await super().resolve(assign_to)
        name = str(next(iter(assign_to.values())))
        return [Human(id=name, display_name=name)]

    async def find(self, address: str) -> Human | None:
        """Return a person with this name; everybody exists."""
        return await super().find(address) or Human(id=address)


@dataclass(frozen=True, slots=True)
class _Instruction:
    """Something a test told the people: for which questions, and what to do."""

    fits: Callable[[Task], bool]
    decide: Callable[[Task], Deed | None]
    left: Collection[Deed] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What somebody means to do with a question that came to them at `asked`."""

    task: Task
    deed: Deed
    asked: datetime

    @property
    def due(self) -> datetime:
        """Give when they will do it."""
        if isinstance(self.deed, Silence):
            return NEVER
        return self.asked + timedelta(seconds=_seconds(self.deed.after))


def _turn_of(task: Task) -> tuple[str, int]:
    """Name one asking of a question: a verifier's refusal asks it again."""
    return task.id, task.attempt


def _fits(to: To) -> Callable[[Task], bool]:
    if to is None:
        return lambda _: True
    if isinstance(to, str):
        return lambda task: to.lower() in task.spec.task.lower()
    if isinstance(to, type):
        schema = cast("type[BaseModel]", to).model_json_schema()
        return lambda task: task.spec.response_schema == schema
    return to


def _deed(said: object, after: Seconds = 0, by: Human | None = None) -> Deed:
    """Take what a test says for what it means."""
    match said:
        case Reply() | Silence() | Cancellation():
            return said
        case BaseModel() | Mapping():
            return Reply(cast("BaseModel | JsonObject", said), after, by)
        case _:
            raise TypeError(f"{said!r} is no answer: give a model, a dict, a Reply, a Silence or a Cancellation")


def _plain(value: BaseModel | JsonObject) -> JsonObject:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    return value


def _actor(human: Human) -> Actor:
    return Actor.of(human, auth="engine", via="test")


def _seconds(time: Seconds) -> float:
    return time.total_seconds() if isinstance(time, timedelta) else time


def _shown(task: Task) -> str:
    """Show a question to whoever writes the test."""
    payload = json.dumps(task.spec.payload, ensure_ascii=False)
    answer = _described(task.spec.response_schema)
    return f"  {_cut(task.spec.task)}\n  payload: {_cut(payload)}\n  answer: {_cut(answer)}"


def _described(schema: JsonObject) -> str:
    """Name the fields of a response schema, like `approved (boolean), note (string, optional)`."""
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
    required = cast("Sequence[str]", schema.get("required", ()))
    return ", ".join(
        f"{name} ({field.get('type', 'see its schema')}{'' if name in required else ', optional'})"
        for name, field in properties.items()
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
