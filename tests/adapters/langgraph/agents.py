"""A real agent with a scripted model, and what its tools are called with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Interrupt

from awaithumans import Actor, Engine, Human
from awaithumans.adapters.langgraph import OnInterrupt, Question
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Task

ANA = Actor.of(Human(id="ana@example.com", email="ana@example.com"), auth="host", via="web")
THREAD: Any = {"configurable": {"thread_id": "1"}}
MODES = ("batched", "per_call")


class Script(FakeMessagesListChatModel):
    """A model that says what stands in its script."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


@dataclass
class Agent:
    """An agent whose model makes these calls, and then is done."""

    tools: Sequence[Any]
    calls: Sequence[tuple[str, dict[str, Any]]]
    on: dict[str, Any]
    mode: Any = "batched"
    graph: Any = field(init=False)

    def __post_init__(self) -> None:
        calls = [{"name": name, "args": args, "id": f"call-{n}"} for n, (name, args) in enumerate(self.calls)]
        self.graph = create_agent(
            Script(responses=[AIMessage("", tool_calls=calls), AIMessage("done")]),
            self.tools,
            middleware=[HumanInTheLoopMiddleware(self.on, interrupt_mode=self.mode)],
            checkpointer=InMemorySaver(),
        )
        self.graph.invoke({"messages": [("user", "Go.")]}, THREAD)

    @property
    def interrupts(self) -> Sequence[Interrupt]:
        found: Sequence[Interrupt] = self.graph.get_state(THREAD).interrupts
        return found

    @property
    def interrupt(self) -> Interrupt:
        [one] = self.interrupts
        return one

    @property
    def waiting(self) -> bool:
        return bool(self.graph.get_state(THREAD).next)

    @property
    def heard(self) -> list[tuple[str, str]]:
        """What the model is told of its calls: the status and the text of each."""
        messages = self.graph.get_state(THREAD).values["messages"]
        return [(one.status, str(one.content)) for one in messages if isinstance(one, ToolMessage)]

    def resume(self, one: Interrupt, value: object) -> None:
        self.graph.invoke(Command(resume={one.id: value}), THREAD)


def engine() -> Engine:
    return Engine(MemoryStore())


def question_of(handler: OnInterrupt, one: Interrupt) -> Question:
    question = handler(one)
    assert question is not None
    return question


async def asked(humans: Engine, question: Question) -> list[Task]:
    """Ask, as whoever drives the graph does."""
    specs = [replace(ask.spec, idempotency_key=f"key-{n}") for n, ask in enumerate(question.asks)]
    return [await humans.create(spec) for spec in specs]


async def answered(question: Question, *answers: dict[str, Any]) -> object:
    """Have people answer; give what the graph is to be resumed with."""
    humans = engine()
    tasks = await asked(humans, question)
    closed = [await humans.submit(task.id, value, by=ANA) for task, value in zip(tasks, answers, strict=True)]
    return question.resume([ask.read(task) for ask, task in zip(question.asks, closed, strict=True)])
