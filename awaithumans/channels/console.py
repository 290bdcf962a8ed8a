"""Questions on the program's own standard error, for whoever develops it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

import anyio.to_thread

from awaithumans.engine import Engine
from awaithumans.errors import InvalidRoutingError
from awaithumans.terminal import answer_at, find_desk, system_user
from awaithumans.terminal.desks import Terminal
from awaithumans.terminal.screen import encodable, printable
from awaithumans.types import Actor, Human, Notice, Task

_TO_ANSWER = frozenset({"opened", "released", "reassigned", "rejected"})
_ENDS = {
    "timed_out": "the time was up",
    "cancelled": "withdrawn",
    "verification_exhausted": "every answer was refused",
}


class ConsoleChannel:
    """A channel for development: it writes what it is told, as `console:<anything>`.

    Where the process has a terminal, the question can be answered right there,
    beside other output, while `engine.run()` or the first verb does the
    background work. Whoever types is trusted as the program is, and the trail
    names whom the notice was for, else the system's user. The links that it
    writes are good for whoever reads them.

    Arguments:
        stream: where to write; by default standard error.
        answers: False only writes.
    """

    name = "console"

    def __init__(self, *, stream: TextIO | None = None, answers: bool = True) -> None:
        self._stream = stream
        self._answers = answers
        self._engine: Engine | None = None
        self._offered: set[str] = set()

    def bind(self, engine: Engine) -> None:
        """Take the engine to which answers go."""
        self._engine = engine

    def check(self, target: str) -> None:
        if not target.strip() or not target.isprintable():
            raise InvalidRoutingError("notify", f"{target[:200]!r} is no name", hint="Write console:me.")

    def address_of(self, human: Human) -> str:
        """Reach everybody: there is one console."""
        return human.id

    async def send(self, notice: Notice) -> None:
        self._write(_lines(notice))
        if self._answers and notice.event in _TO_ANSWER:
            await self._offer(notice)

    async def _offer(self, notice: Notice) -> None:
        """Start asking at the terminal, if there is one; the engine's background work owns it."""
        engine, desk, task_id = self._engine, find_desk(), notice.task.id
        if engine is None or engine.home is None or not isinstance(desk, Terminal) or task_id in self._offered:
            return
        self._offered.add(task_id)
        person = notice.person or Human(id=system_user())
        by = Actor.of(person, auth="engine", via=self.name)
        await anyio.to_thread.run_sync(engine.home.portal.start_task_soon, self._ask, engine, desk, task_id, by)

    async def _ask(self, engine: Engine, desk: Terminal, task_id: str, by: Actor) -> None:
        try:
            await answer_at(desk, engine, task_id, by)
        finally:
            self._offered.discard(task_id)

    def _write(self, lines: list[str]) -> None:
        stream = self._stream or sys.stderr
        if self._offered:
            lines = ["", *lines]  # behind what is being typed
        with suppress(OSError, ValueError, AttributeError):  # nobody reads it
            stream.write(encodable("".join(f"{line}\n" for line in lines), stream.encoding))
            stream.flush()


def _lines(notice: Notice) -> list[str]:
    """Say what happened; the first line is whole in itself."""
    question, _, text = notice.task.spec.task.strip().partition("\n")
    more = text.strip().splitlines() if notice.event == "opened" else []
    if notice.event in _TO_ANSWER | {"reminder"}:
        more += filter(None, [notice.link or notice.url])
    said = [f"awaithumans: {_news(notice)}: {question}", *(f"  {line}" for line in more)]
    return [printable(line) for line in said]


def _news(notice: Notice) -> str:
    task = notice.task
    asked = ", ".join(human.label for human in task.addressees)
    reason = f" ({task.verdict.reason})" if task.verdict and not task.spec.confidential else ""
    return {
        "opened": f"asked of {notice.target}",
        "reminder": f"{notice.target} is still asked",
        "claimed": f"{_name(task.assignee)} has it",
        "released": "given back",
        "reassigned": f"now asked of {asked}",
        "submitted": "an answer is being checked",
        "rejected": f"the answer was refused{reason}",
    }.get(notice.event) or _end(task)


def _end(task: Task) -> str:
    answered = _name(task.answer.by.human) if task.answer else "nobody"
    return _ENDS.get(task.status.value, f"answered by {answered}")


def _name(human: Human | None) -> str:
    return human.label if human else "nobody"
