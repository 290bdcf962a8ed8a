"""Asking from inside a node: what a node does with a question and its outcome."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt
from pydantic import BaseModel

from awaithumans.adapters.langgraph.interrupts import (
    RESUME_SCHEMA,
    Outcome,
    content_digest,
    created,
    read_resume,
    to_create,
)
from awaithumans.blocking import run_blocking
from awaithumans.client import ask_anew, build_spec, chosen_engine, once_more, refuse_lacking, surrounding_engine
from awaithumans.documents import digest
from awaithumans.errors import SchemaValidationError
from awaithumans.protocols import TaskEngine
from awaithumans.types import AssignTo, ResponseT, TaskSpec, VerifierConfig

logger = logging.getLogger("awaithumans.adapters.langgraph")

SET_ASIDE: Final = "awaithumans_set_aside"
"""The configurable that names tasks whose outcomes nodes are to ask again about."""


def await_human(
    *,
    task: str,
    payload_schema: type[BaseModel],
    payload: BaseModel | Mapping[str, object],
    response_schema: type[ResponseT],
    timeout_seconds: int,
    assign_to: AssignTo | None = None,
    notify: list[str] | None = None,
    verifier: VerifierConfig | None = None,
    idempotency_key: str | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
    callback_url: str | None = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
) -> ResponseT:
    """Ask a person from inside a node, and go on with the typed answer.

    The arguments mean what they mean in `awaithumans.await_human`. The graph
    is parked meanwhile, and whoever drives it (`drive_human_loop`) creates the
    task. With `callback_url`, or with an engine (`engine`, `server_url` and
    `api_key`), the node creates the task itself before it parks: then the
    callback can resume the graph, and no driver is needed.

    As LangGraph has it, the node runs from its beginning again when it is
    resumed, so what stands before this call is done again. The question has
    to be the same then: an answer to another one does not count, and it is
    asked again.

    Returns an instance of `response_schema`. An answer that the model refuses,
    though its JSON Schema allowed it, is asked for once more, with the errors
    at the fields. Raises `InvalidInputError` with nothing asked; other
    outcomes than an answer are raised to whoever drives the graph, and here
    only if that says `raise_in_node=True`, or the node created the task.
    """
    spec = _spec(
        task=task,
        payload_schema=payload_schema,
        payload=payload,
        response_schema=response_schema,
        timeout_seconds=timeout_seconds,
        assign_to=assign_to,
        notify=notify,
        verifier=verifier,
        idempotency_key=idempotency_key,
        redact_payload=redact_payload,
        task_metadata=task_metadata,
        callback_url=callback_url,
    )
    if _is_left_to_others(spec, engine, server_url):
        return _answer_of_others(spec, response_schema)
    engine = surrounding_engine(engine, server_url)
    return run_blocking(partial(_answer_asked_here, spec, response_schema, engine, server_url, api_key), engine)


async def await_human_async(
    *,
    task: str,
    payload_schema: type[BaseModel],
    payload: BaseModel | Mapping[str, object],
    response_schema: type[ResponseT],
    timeout_seconds: int,
    assign_to: AssignTo | None = None,
    notify: list[str] | None = None,
    verifier: VerifierConfig | None = None,
    idempotency_key: str | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
    callback_url: str | None = None,
    engine: TaskEngine | None = None,
    server_url: str | None = None,
    api_key: str | None = None,
) -> ResponseT:
    """Ask a person from inside an async node; otherwise like `await_human`."""
    spec = _spec(
        task=task,
        payload_schema=payload_schema,
        payload=payload,
        response_schema=response_schema,
        timeout_seconds=timeout_seconds,
        assign_to=assign_to,
        notify=notify,
        verifier=verifier,
        idempotency_key=idempotency_key,
        redact_payload=redact_payload,
        task_metadata=task_metadata,
        callback_url=callback_url,
    )
    if _is_left_to_others(spec, engine, server_url):
        return _answer_of_others(spec, response_schema)
    return await _answer_asked_here(spec, response_schema, engine, server_url, api_key)


def _spec(*, idempotency_key: str | None, **arguments: Any) -> TaskSpec:
    """Build the spec; without a key, it is named by where in the graph it is asked."""
    spec = build_spec(idempotency_key=idempotency_key, **arguments)
    return spec if idempotency_key is not None else replace(spec, idempotency_key="")


def _is_left_to_others(spec: TaskSpec, engine: TaskEngine | None, server_url: str | None) -> bool:
    return engine is None and server_url is None and spec.callback_url is None


# ── Whoever drives the graph creates the task ─────────────────────────────────


def _answer_of_others(spec: TaskSpec, response_schema: type[ResponseT]) -> ResponseT:
    """Park until the question is answered, by an answer to just this question."""
    set_aside = frozenset(cast("list[str]", _configurable().get(SET_ASIDE, [])))
    run, content, asked, after = _Run.of_node(), content_digest(spec), spec, list[str]()
    while True:
        outcome = run.outcome_of(content, partial(to_create, asked, tuple(after)))
        after.append(outcome.task_id)
        if outcome.task_id in set_aside:
            continue
        try:
            return outcome.result(spec, response_schema)
        except SchemaValidationError as misfit:
            asked = once_more(spec, misfit, task_id=outcome.task_id, response=outcome.response)
            if not spec.idempotency_key:
                asked = replace(asked, idempotency_key="", key_scope=spec.key_scope)


# ── The node creates the task ─────────────────────────────────────────────────


async def _answer_asked_here(
    spec: TaskSpec,
    response_schema: type[ResponseT],
    engine: TaskEngine | None,
    server_url: str | None,
    api_key: str | None,
) -> ResponseT:
    """Ask, and park until the task is closed; what the graph is resumed with does not count."""
    spec = spec if spec.idempotency_key else replace(spec, idempotency_key=_key_of_this_call(spec))
    async with chosen_engine(engine, server_url, api_key) as (chosen, at_terminal):
        if at_terminal is not None:
            refuse_lacking(spec)
        while True:
            task = await ask_anew(chosen, spec, response_model=response_schema)
            while not task.closed:
                interrupt(created(task, spec), response_schema=RESUME_SCHEMA)
                task = await chosen.get(task.id)
            try:
                return task.result(response_schema)
            except SchemaValidationError as misfit:
                spec = once_more(spec, misfit, task_id=task.id, response=task.response)


def _key_of_this_call(spec: TaskSpec) -> str:
    """Name a question by where it is asked: equal whenever the node runs again."""
    configurable = _configurable()
    content = content_digest(spec)
    place = (configurable.get("thread_id"), configurable.get("checkpoint_ns"), content)
    return f"langgraph:{digest([*place, _Run.of_node().earlier(content)])[:32]}"


# ── One run of a node ─────────────────────────────────────────────────────────


class _Run:
    """What the calls in one run of a node share; they may be in several threads.

    LangGraph hands out what a node was resumed with by the order of the calls.
    Tools that run at the same time call in any order, so each takes what
    answers its own content.
    """

    def __init__(self, resumed_with: list[object], pinned: object) -> None:
        self._lock = threading.Lock()
        self._outcomes = [outcome for value in resumed_with if (outcome := read_resume(value))]
        self._taken: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._pinned = pinned

    @classmethod
    def of_node(cls) -> _Run:
        """Give that of the node which is running."""
        scratchpad = _configurable()["__pregel_scratchpad"]
        counter = scratchpad.interrupt_counter  # one for each run; as long as it is held, no other has its id
        with _runs_lock:
            run = _runs.setdefault(id(counter), cls(list(scratchpad.resume), counter))
            _runs.move_to_end(id(counter))
            while len(_runs) > _MAX_RUNS:
                _runs.popitem(last=False)
        return run

    def earlier(self, content: str) -> int:
        """Count the equal questions asked before."""
        with self._lock:
            self._asked[content] += 1
            return self._asked[content] - 1

    def outcome_of(self, content: str, shown: Callable[[list[str]], object]) -> Outcome:
        """Give the next outcome for this content; park, showing the question, if there is none."""
        found = self._take(content)
        while True:
            try:
                value = interrupt(shown(self._strays()), response_schema=RESUME_SCHEMA)
            except GraphInterrupt:
                if found is None:
                    raise
                return found
            finally:
                _keep_resumes()
            found = found or self._take(content, value)
            if found is not None:
                return found
            logger.warning("a graph was resumed with what answers no question that it asks; it asks again")

    def _take(self, content: str, value: object = None) -> Outcome | None:
        with self._lock:
            if (new := read_resume(value)) and new.task_id not in {one.task_id for one in self._outcomes}:
                self._outcomes.append(new)
            for outcome in self._outcomes:
                if outcome.content == content and outcome.task_id not in self._taken:
                    self._taken.add(outcome.task_id)
                    return outcome
        return None

    def _strays(self) -> list[str]:
        with self._lock:
            return [outcome.task_id for outcome in self._outcomes if outcome.task_id not in self._taken]


def _keep_resumes() -> None:
    """Have all that the node was resumed with be saved.

    Of calls in several threads, the last one decides what is, and LangGraph
    leaves out what stands behind that call's place.
    """
    configurable = _configurable()
    if resumed_with := configurable["__pregel_scratchpad"].resume:
        configurable["__pregel_send"]([("__resume__", list(resumed_with))])


_MAX_RUNS = 10_000
_runs: OrderedDict[int, _Run] = OrderedDict()
_runs_lock = threading.Lock()


def _configurable() -> dict[str, Any]:
    return get_config().get("configurable", {})
