"""Static breakpoints: people say whether the graph goes on, and with what state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, cast

from langgraph.channels import BinaryOperatorAggregate
from langgraph.types import Overwrite, StateSnapshot

from awaithumans.adapters.langgraph.interrupts import Ask, Question
from awaithumans.adapters.langgraph.questions import free_names, is_json, readable, same, template, untouched
from awaithumans.adapters.langgraph.threads import Continue, Graph
from awaithumans.admission import MAX_CONTENT_LENGTH
from awaithumans.documents import canonical, scrubbed
from awaithumans.errors import ConfigurationError
from awaithumans.forms import FormDefinition, FormField, long_text, section, switch
from awaithumans.types import MAX_TASK_LENGTH, AssignTo, JsonObject, Task, TaskSpec, VerifierConfig

OnBreakpoint: TypeAlias = Callable[[StateSnapshot], "Question | Continue | None"]
"""Tells what people are asked where a graph stops at a breakpoint.

The question is resumed with `Continue`, or with None to stay there. `Continue`
instead of a question goes on at once; None leaves it to the caller.
"""


def breakpoint_questions(
    *,
    timeout_seconds: int,
    show_state: Collection[str] | None = None,
    edit_state: bool | Collection[str] = False,
    graph: Graph | None = None,
    assign_to: AssignTo | None = None,
    notify: Sequence[str] | None = None,
    verifier: VerifierConfig | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
) -> OnBreakpoint:
    """Ask people at breakpoints (`interrupt_before`, `interrupt_after`) whether to go on.

    Arguments:
        timeout_seconds: how long people have.
        show_state: the keys of the state that people see; by default all.
        edit_state: let them edit the state first: True for every key that
            holds JSON, or the keys.
        graph: the graph that is driven. An edited value takes the old one's
            place; with a key that has a reducer, it does so only if the graph
            is known. True for `edit_state` needs it.
        assign_to: who is asked, as in `await_human`.
        notify: who is told, as in `await_human`.
        verifier: a second look at the answer, as in `await_human`.
        redact_payload: keep the state out of lists and notices.
        task_metadata: text the host attaches; people see it.

    The task shows the state, or of it `show_state` and what may be edited.
    Its answer has `go_on`, and with `edit_state` each key as it is to be; one
    that is left out stays as it is, and a key called `go_on` has a `_` behind
    its name. After a no the graph stays where it is. Only keys that were
    changed are written.

    Raises `ConfigurationError` if `edit_state` is True and there is no graph.
    So does what is returned, to whoever drives the graph, for a state that is
    too large to be shown.
    """
    if edit_state is True and graph is None:
        raise ConfigurationError(
            "edit_state=True needs to know which keys have a reducer",
            hint="Pass graph=…, or name the keys: edit_state=['amount'].",
        )
    routed = template(
        timeout_seconds=timeout_seconds,
        assign_to=assign_to,
        notify=notify,
        verifier=verifier,
        redact_payload=redact_payload,
        task_metadata=task_metadata,
    )
    reduced = _reduced(graph)

    def ask(state: StateSnapshot) -> Question | None:
        if not state.next:
            return None
        kept = _editable(state.values, edit_state)
        names = free_names(kept, ("go_on",))
        payload = _payload(state, show_state, kept)
        spec = _spec(state.next, payload, {names[key]: value for key, value in kept.items()}, routed)
        left_alone = untouched(spec)

        def read(task: Task) -> Continue | None:
            answer = task.response or {}
            if not answer["go_on"]:
                return None
            changed = {
                key: answer[name]
                for key, name in names.items()
                if name in answer and not same(answer, left_alone, name)
            }
            update = {key: Overwrite(value) if key in reduced else value for key, value in changed.items()}
            return Continue(update=update or None)

        return Question(asks=(Ask(spec=spec, read=read),))

    return ask


def _reduced(graph: Graph | None) -> frozenset[str]:
    """Name the keys whose new values are combined with the old."""
    channels: Mapping[str, object] = getattr(graph, "channels", {})
    return frozenset(key for key, channel in channels.items() if isinstance(channel, BinaryOperatorAggregate))


def _editable(values: object, edit_state: bool | Collection[str]) -> dict[str, object]:  # noqa: FBT001 - or keys
    if not isinstance(values, Mapping) or not edit_state:
        return {}
    state = cast("Mapping[str, object]", values)
    return {key: value for key, value in state.items() if is_json(value) and (edit_state is True or key in edit_state)}


def _payload(state: StateSnapshot, show_state: Collection[str] | None, edited: Collection[str]) -> JsonObject:
    """Give what people see."""
    values: object = state.values
    if show_state is not None and isinstance(values, Mapping):
        visible = {*show_state, *edited}
        values = {key: value for key, value in cast("Mapping[str, object]", values).items() if key in visible}
    payload = {"next": list(state.next), "state": readable(values)}
    if (length := len(canonical(payload))) > MAX_CONTENT_LENGTH:
        raise ConfigurationError(
            f"the state at {' and '.join(state.next)} is too large to be shown: {length} characters of JSON",
            hint="Say which keys people see: breakpoint_questions(show_state=['amount']).",
        )
    return payload


def _spec(nodes: Sequence[str], payload: JsonObject, start: JsonObject, routed: TaskSpec) -> TaskSpec:
    return replace(
        routed,
        task=scrubbed(f"Continue with {' and '.join(nodes)}?", MAX_TASK_LENGTH),
        payload=payload,
        response_schema={
            "type": "object",
            "properties": {"go_on": {"type": "boolean"}, **{name: {"title": name} for name in start}},
            "required": ["go_on"],
            "additionalProperties": False,
        },
        form=FormDefinition(fields=_fields(start)).model_dump(mode="json"),
        initial_response=dict(start) or None,
    )


def _fields(start: JsonObject) -> tuple[FormField, ...]:
    go_on = switch(label="Continue?").model_copy(update={"name": "go_on"})
    if not start:
        return (go_on,)
    boxes = [long_text(hint="JSON").model_copy(update={"name": name, "label": name}) for name in start]
    return (go_on, section("State", subtitle="What is changed here is changed before the graph goes on."), *boxes)
