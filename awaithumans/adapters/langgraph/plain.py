"""Any other interrupt: what `interrupt("…")` shows is asked as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Final, cast

from langgraph.types import Interrupt
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from awaithumans.adapters.langgraph.interrupts import Ask, OnInterrupt, Question
from awaithumans.adapters.langgraph.questions import readable, template
from awaithumans.adapters.langgraph.tools import is_tool_review
from awaithumans.documents import scrubbed
from awaithumans.errors import SchemaValidationError
from awaithumans.forms import form_from_model, form_from_schema, long_text
from awaithumans.types import MAX_TASK_LENGTH, AssignTo, JsonObject, Task, VerifierConfig

QUESTION_KEYS: Final = ("question", "task", "message", "query", "prompt", "title", "text")
"""Where a question is looked for in an interrupt that shows an object; the first that has a text counts."""

_NO_QUESTION = "The agent needs an answer to go on."
_ELSEWHERE = frozenset({"$defs", "definitions", "$schema"})


def plain_questions(
    *,
    timeout_seconds: int,
    answer: Any = str,
    task: str | Callable[[object], str] | None = None,
    assign_to: AssignTo | None = None,
    notify: Sequence[str] | None = None,
    verifier: VerifierConfig | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
) -> OnInterrupt:
    """Have people answer what nodes ask by LangGraph's own `interrupt`.

    Arguments:
        timeout_seconds: how long people have.
        answer: what kind of answer it takes: `str` is a text, `bool` yes or
            no, a Pydantic model a form; or any other type that Pydantic can
            read from JSON, also `Annotated` with a helper of the forms. An
            interrupt that has a `response_schema` says so itself, and that
            counts.
        task: the question, or what makes it of the interrupt's value. By
            default it is the value itself if that is a text, else its text
            under the first of `QUESTION_KEYS` that has one: question, task,
            message, query, prompt, title, text.
        assign_to: who is asked, as in `await_human`.
        notify: who is told, as in `await_human`.
        verifier: a second look at the answer, as in `await_human`.
        redact_payload: keep the payload out of lists and notices.
        task_metadata: text the host attaches; people see it.

    What else the interrupt shows is the task's payload. The graph is resumed
    with JSON: the bare value, such as `True` or a text, or an object where a
    model or schema asks for one. The review of a tool's calls is left to
    `tool_reviews`, since it takes no such answer.
    """
    routed = template(
        timeout_seconds=timeout_seconds,
        assign_to=assign_to,
        notify=notify,
        verifier=verifier,
        redact_payload=redact_payload,
        task_metadata=task_metadata,
    )
    wanted = _of_type(answer)

    def ask(one: Interrupt) -> Question | None:
        if is_tool_review(one.value):
            return None
        kind = _of_schema(cast("JsonObject", one.response_schema)) if one.response_schema else wanted
        text, payload = _shown(one.value, task)
        spec = replace(routed, task=text, payload=payload, response_schema=kind.schema, form=kind.form)
        return Question(asks=(Ask(spec=spec, read=partial(_value, kind)),))

    return ask


# ── What is asked ─────────────────────────────────────────────────────────────


def _shown(value: object, task: str | Callable[[object], str] | None) -> tuple[str, JsonObject]:
    """Give the question, and what is shown beside it."""
    if task is not None:
        return task(value) if callable(task) else task, _payload(value)
    for key, part in _questions_in(value):
        if isinstance(part, str) and part.strip():
            text = scrubbed(part, MAX_TASK_LENGTH)
            return text, _payload(_without(value, key) if text == part else value)
    return _NO_QUESTION, _payload(value)


def _questions_in(value: object) -> Iterator[tuple[str | None, object]]:
    """Yield what may be the question, and the key it stands under."""
    if isinstance(value, Mapping):
        given = cast("Mapping[object, object]", value)
        yield from ((key, given.get(key)) for key in QUESTION_KEYS)
    else:
        yield None, value


def _without(value: object, key: str | None) -> dict[object, object]:
    if key is None:
        return {}
    return {name: part for name, part in cast("Mapping[object, object]", value).items() if name != key}


def _payload(value: object) -> JsonObject:
    shown = readable(value)
    return cast("JsonObject", shown) if isinstance(shown, dict) else {"value": shown}


# ── What is answered ──────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of answer."""

    schema: JsonObject
    """The JSON Schema of the task's response."""
    bare: bool
    """Whether the answer stands in the response as `answer`, or is the response."""
    form: JsonObject | None = None
    check: TypeAdapter[Any] | None = None
    """Checks more than the schema can say."""


def _of_schema(schema: JsonObject) -> _Kind:
    """Ask for an object by its properties, and for anything else in one field."""
    if "properties" in schema and form_from_schema(schema):
        return _Kind(schema=schema, bare=False)
    own = {key: part for key, part in schema.items() if key not in _ELSEWHERE}
    return _Kind(
        schema={
            "type": "object",
            "properties": {"answer": {"title": "Answer", **own}},
            "required": ["answer"],
            **{key: part for key, part in schema.items() if key in _ELSEWHERE},
        },
        bare=True,
    )


def _of_type(answer: Any) -> _Kind:
    adapter = TypeAdapter[Any](answer)
    kind = replace(_of_schema(adapter.json_schema()), check=adapter)
    if kind.bare:
        typed: Any = Annotated[str, long_text()] if answer is str else answer
        return replace(kind, form=form_from_model(create_model("Answer", answer=(typed, ...))))
    model = cast("type[object]", answer) if isinstance(answer, type) else object
    return replace(kind, form=form_from_model(model)) if issubclass(model, BaseModel) else kind


def _value(kind: _Kind, task: Task) -> object:
    response = task.response or {}
    value = response["answer"] if kind.bare else response
    if kind.check is not None:
        try:
            kind.check.validate_json(json.dumps(value))
        except ValidationError as error:
            faults = SchemaValidationError.of_model("response", error).fields
            raise SchemaValidationError.of_fields("response", _placed(kind, faults)) from error
    return value


def _placed(kind: _Kind, faults: Mapping[str, str]) -> Mapping[str, str]:
    if not kind.bare:
        return faults
    return {f"answer.{path}" if path else "answer": fault for path, fault in faults.items()}
