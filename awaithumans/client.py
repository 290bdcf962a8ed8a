"""The one call: ask a person, and go on with a typed answer."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from typing import TypeAlias

import anyio
from pydantic import BaseModel, ValidationError

from awaithumans.admission import authority_of, content_of
from awaithumans.ambient import AMBIENT_ENGINE
from awaithumans.blocking import run_blocking
from awaithumans.documents import digest, dumps, ensure_json, scrubbed
from awaithumans.errors import (
    ConfigurationError,
    MarketplaceNotAvailableError,
    OutcomeError,
    SchemaValidationError,
    TaskNotFoundError,
    TimeoutRangeError,
)
from awaithumans.forms import form_from_model, schema_of
from awaithumans.protocols import TaskEngine
from awaithumans.remote import RemoteEngine
from awaithumans.types import (
    MAX_TEXT_LENGTH,
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    AssignTo,
    Human,
    JsonObject,
    KeyScope,
    MarketplaceAssignment,
    ResponseT,
    Task,
    TaskSpec,
    TaskStatus,
    VerifierConfig,
)
from awaithumans.waiting import waiting_line

MAX_SHOWN_ERRORS = 50
MAX_FORMS = 256
"""How many forms of models are kept, each as text."""
URL_VARIABLE = "AWAITHUMANS_URL"
TOKEN_VARIABLE = "AWAITHUMANS_ADMIN_API_TOKEN"  # noqa: S105 - a name, not a secret


async def await_human(
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
    """Ask a person and wait, durably, for the typed answer.

    Arguments:
        task: the question, in words for the person.
        payload_schema: the model of what is shown to decide on.
        payload: an instance of it, or the plain data of one.
        response_schema: the model of the answer; its fields become a form.
        timeout_seconds: how long the person has; 1 second to 366 days.
        assign_to: who is asked; nobody in particular if None.
        notify: who is told, as `<channel>:<target>`.
        verifier: a second look at the answer before it counts.
        idempotency_key: names this question for ever: the same key never asks
            twice. It stands for one content (`task`, `payload`, and the shape
            of `response_schema`) and one authority (`assign_to`, `verifier`).
            Without one, the question is named by just these until its outcome
            is returned here; a later call with the same asks anew.
        redact_payload: keep the payload out of lists and notices.
        task_metadata: text the host attaches; people see it.
        callback_url: which program is told of the outcome: an http(s) address
            gets a signed webhook, `<channel>:<target>` a notice through an
            agent channel of the engine, such as `temporal:refund-42`.
        engine: the engine to ask; without it, and without `server_url`, the
            engine whose `run()` surrounds the call.
        server_url: where another process has the router mounted; without any
            of these, the environment's AWAITHUMANS_URL; without that, too, the
            question is asked at the program's terminal, if it has one.
        api_key: an API token of that router; by default the environment's
            AWAITHUMANS_ADMIN_API_TOKEN.

    Returns an instance of `response_schema`. If this process dies while
    waiting, the same call finds the same question, answered or not: nothing is
    asked twice, and no answer is lost. Cancelling the call leaves the question
    open. An answer that the model refuses, though its JSON Schema allowed it,
    is asked for once more, with the errors at the fields.

    Raises `TaskTimeoutError`, `TaskCancelledError` or
    `VerificationExhaustedError` for those outcomes; `InvalidInputError` (such
    as `SchemaValidationError`, `TimeoutRangeError`) with nothing asked;
    `IdempotencyConflictError` if the key names another question;
    `ConfigurationError` if there is no engine and no terminal, or a terminal
    only and `notify`, `verifier` or `callback_url`;
    `ServerUnreachableError`.
    """
    spec = build_spec(
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
    async with chosen_engine(engine, server_url, api_key) as (chosen, meanwhile):
        if meanwhile is not None:
            refuse_lacking(spec)
        return await ask_and_wait(chosen, spec, response_schema, meanwhile)


def await_human_sync(
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
    """Ask a person and block until the typed answer is there.

    The blocking twin of `await_human`, for scripts, threads, and workers
    inside a running event loop; arguments, promises and errors are the same.
    Besides, raises `ConfigurationError` on the thread of the event loop that
    runs the engine: it would wait for itself.
    """
    engine = surrounding_engine(engine, server_url)
    call = partial(
        await_human,
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
        engine=engine,
        server_url=server_url,
        api_key=api_key,
    )
    return run_blocking(call, engine)


def build_spec(
    *,
    task: str,
    payload_schema: type[BaseModel],
    payload: BaseModel | Mapping[str, object],
    response_schema: type[BaseModel],
    timeout_seconds: int,
    assign_to: AssignTo | None = None,
    notify: list[str] | None = None,
    verifier: VerifierConfig | None = None,
    idempotency_key: str | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
    callback_url: str | None = None,
) -> TaskSpec:
    """Turn the arguments of `await_human` into a spec, to ask now and read later.

    Give it to `TaskEngine.create`, which returns without waiting, and later
    read the answer by `Task.result`. The arguments mean what they mean there.
    Without `idempotency_key` the spec has a key made of its content, `assign_to`
    and `verifier`, of `KeyScope.CALL`: equal questions are one task until its outcome is
    collected (`TaskEngine.collect`), which is then the caller's to do.

    Raises `TimeoutRangeError`, `SchemaValidationError` for a payload that does
    not fit, `InvalidInputError` for a model whose schema is no JSON, and
    `MarketplaceNotAvailableError`.
    """
    if not MIN_TIMEOUT_SECONDS <= timeout_seconds <= MAX_TIMEOUT_SECONDS:
        raise TimeoutRangeError(timeout_seconds)
    spec = TaskSpec(
        task=task,
        payload=_payload(payload_schema, payload),
        payload_schema=payload_schema.model_json_schema(),
        response_schema=(answers := schema_of(response_schema)),
        form=_form_of(response_schema, answers),
        timeout_seconds=timeout_seconds,
        idempotency_key=idempotency_key or "",
        key_scope=KeyScope.CALL if idempotency_key is None else KeyScope.FOREVER,
        assign_to=_assignment(assign_to),
        notify=tuple(notify or ()),
        verifier=verifier,
        redact_payload=redact_payload,
        metadata=dict(task_metadata or {}),
        callback_url=callback_url,
    )
    if idempotency_key is None:
        return replace(spec, idempotency_key=derived_key(spec))
    return spec


async def ask_anew(engine: TaskEngine, spec: TaskSpec, *, response_model: type[BaseModel] | None = None) -> Task:
    """Ask; again where the key's task has ended without an answer, and that was taken over.

    Then the question is asked under the key `<key>:retry-1`, `:retry-2` and so
    on, so that a key held for ever does not keep its first outcome for ever.
    Otherwise like `TaskEngine.create`.
    """
    for key in retry_keys(spec.idempotency_key):
        task = await engine.create(replace(spec, idempotency_key=key), response_model=response_model)
        if task.status is TaskStatus.COMPLETED or not task.collected_at:
            return task
    raise AssertionError("keys do not end")


def retry_keys(key: str) -> Iterator[str]:
    """Give the keys that `ask_anew` asks under, in its order; without end."""
    yield key
    yield from (f"{key}:retry-{retry}" for retry in count(1))


def derived_key(spec: TaskSpec) -> str:
    """Name a question by its content and by whose answer counts: 32 hex digits."""
    return digest([content_of(spec), authority_of(spec)])[:32]


Meanwhile: TypeAlias = Callable[[Task], AbstractAsyncContextManager[None]]
"""What goes on in this process while a task waits for its answer."""


async def ask_and_wait(
    engine: TaskEngine, spec: TaskSpec, response_schema: type[ResponseT], meanwhile: Meanwhile | None = None
) -> ResponseT:
    """Ask, wait, validate, collect, and return or raise the outcome.

    `meanwhile` is what goes on while it waits; by default, a line says so on a
    terminal. Nothing is collected before the outcome stands, so that whoever repeats the
    call after a crash finds the same tasks.
    """
    meanwhile = meanwhile or partial(waiting_at, engine)
    first = last = await _closed(engine, spec, response_schema, meanwhile)
    if misfit := _misfit(first, response_schema):
        better = once_more(spec, misfit, task_id=first.id, response=first.response)
        better = replace(better, key_scope=KeyScope.FOREVER)  # a crash between the two collects finds both
        last = await _closed(engine, better, response_schema, meanwhile)
    with anyio.CancelScope(shield=True):  # once collecting has begun, the outcome is on its way to the caller
        for task_id in dict.fromkeys((last.id, first.id)):
            with suppress(TaskNotFoundError):  # deleted meanwhile: nothing is left to collect
                await engine.collect(task_id)
    return last.result(response_schema)


async def _closed(engine: TaskEngine, spec: TaskSpec, response_schema: type[BaseModel], meanwhile: Meanwhile) -> Task:
    asked = await engine.create(spec, response_model=response_schema)
    async with meanwhile(asked):
        return await engine.wait(asked.id)


def waiting_at(engine: TaskEngine, task: Task) -> AbstractAsyncContextManager[None]:
    """Show on a terminal, if there is one, that a task of this engine waits."""
    return waiting_line(task, engine.page_url(task.id))


def _misfit(task: Task, response_schema: type[BaseModel]) -> SchemaValidationError | None:
    try:
        task.result(response_schema)
    except SchemaValidationError as error:
        return error
    except OutcomeError:
        return None
    return None


def once_more(spec: TaskSpec, misfit: SchemaValidationError, *, task_id: str, response: JsonObject | None) -> TaskSpec:
    """Make the question that returns an answer the model refused.

    Its key follows from the task that was answered so, hence it too is asked
    once only, as long as the scope of `spec` says.
    """
    return replace(
        spec,
        idempotency_key=f"{task_id}:again",
        initial_response=response,
        initial_errors={
            scrubbed(place, MAX_TEXT_LENGTH): scrubbed(message, MAX_TEXT_LENGTH)
            for place, message in list(misfit.fields.items())[:MAX_SHOWN_ERRORS]
        },
    )


# ── Reading the arguments ─────────────────────────────────────────────────────


def _form_of(model: type[BaseModel], schema: JsonObject) -> JsonObject | None:
    """Give a copy of one's own of the form that asks for a model, which has this schema now."""
    ensure_json(schema, model.__name__)
    form: JsonObject | None = json.loads(_form_made(model, model.__pydantic_validator__, dumps(schema)))
    return form


@lru_cache(maxsize=MAX_FORMS)
def _form_made(model: type[BaseModel], _validator: object, _schema: str) -> str:
    """Make it once: a model that is rebuilt has another validator, and choices may be found when asked for."""
    return dumps(form_from_model(model))


def _payload(schema: type[BaseModel], payload: BaseModel | Mapping[str, object]) -> JsonObject:
    given = payload.model_dump() if isinstance(payload, BaseModel) else payload
    try:
        checked = schema.model_validate(given)
    except ValidationError as error:
        raise SchemaValidationError.of_model("payload", error) from error
    shown = payload if isinstance(payload, BaseModel) else checked
    return shown.model_dump(mode="json")


def _assignment(assign_to: AssignTo | None) -> JsonObject | None:
    match assign_to:
        case None:
            return None
        case str():
            return {"email": assign_to}
        case Human():
            return {"email": assign_to.email} if assign_to.email else {"user_id": assign_to.id}
        case MarketplaceAssignment():
            raise MarketplaceNotAvailableError
        case BaseModel():
            return assign_to.model_dump(mode="json", exclude_none=True)
        case Mapping():
            return dict(assign_to)
        case _:
            return {"emails": list(assign_to)}


# ── Finding the engine ────────────────────────────────────────────────────────


def surrounding_engine(engine: TaskEngine | None, server_url: str | None) -> TaskEngine | None:
    """Return the engine that is given or surrounds the caller; None where a server, or nothing, is to be asked.

    For blocking calls, which go on in another thread, where nothing surrounds them.
    """
    return engine or (None if server_url else AMBIENT_ENGINE.get())


@asynccontextmanager
async def chosen_engine(
    engine: TaskEngine | None, server_url: str | None, api_key: str | None
) -> AsyncGenerator[tuple[TaskEngine, Meanwhile | None]]:
    """Give the engine to ask, found in the order that `await_human` names.

    With it, for the engine of the terminal only, what asks there while a task
    waits; see `refuse_lacking`. Raises `ConfigurationError` if there is none.
    """
    if engine is not None:
        yield engine, None
    elif server_url is None and (ambient := AMBIENT_ENGINE.get()) is not None:
        yield ambient, None
    elif url := server_url or os.environ.get(URL_VARIABLE):
        async with RemoteEngine(url, api_key or os.environ.get(TOKEN_VARIABLE)) as remote:
            yield remote, None
    else:
        yield _at_the_terminal()


def _at_the_terminal() -> tuple[TaskEngine, Meanwhile]:
    from awaithumans.terminal import asking, find_desk, terminal_engine

    desk = find_desk()
    if desk is None:
        raise ConfigurationError(
            "there is no engine to ask",
            hint=(
                "Pass engine=, or server_url= and api_key=; or call from inside `async with engine.run():`; "
                f"or set {URL_VARIABLE} and {TOKEN_VARIABLE}; "
                "or run this at a terminal: standard input, and standard error or output."
            ),
        )
    engine = terminal_engine()
    return engine, partial(asking, desk, engine)


def refuse_lacking(spec: TaskSpec) -> None:
    """Raise `ConfigurationError` if the spec wants what a terminal does not have."""
    given = {"notify": spec.notify, "verifier": spec.verifier, "callback_url": spec.callback_url}
    if lacking := [name for name, value in given.items() if value]:
        raise ConfigurationError(
            f"there is no engine to ask, and at the terminal there is no {' and no '.join(lacking)}",
            hint=f"Pass engine= with what they need, or server_url= and api_key=; or leave out {', '.join(lacking)}.",
        )
