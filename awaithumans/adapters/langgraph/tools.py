"""Reviewing the calls of tools: LangChain's `HumanInTheLoopMiddleware` as tasks.

The middleware has two modes. "batched" stops once for all calls of a turn:

    {"action_requests": [{"name", "args", "description"}, …],
     "review_configs": [{"action_name", "allowed_decisions"}, …]}

and is resumed with `{"decisions": […]}`, by position. "per_call" stops for each
call by itself, is resumed with the one decision, and its interrupt's
`response_schema` says which are allowed:

    {"type": "tool_approval", "tool_call_id", "name", "args", "description"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, cast

from langgraph.types import Interrupt

from awaithumans import schemas
from awaithumans.adapters.langgraph.arguments import ANY, Arguments, Tools, arguments_of
from awaithumans.adapters.langgraph.interrupts import ANSWERED, Ask, OnInterrupt, Question
from awaithumans.adapters.langgraph.questions import as_drawn, free_names, is_json, readable, same, template, untouched
from awaithumans.documents import canonical, scrubbed
from awaithumans.errors import InvalidSchemaError, SchemaValidationError
from awaithumans.forms import (
    FormDefinition,
    FormField,
    SelectOption,
    check_form,
    form_from_schema,
    long_text,
    section,
    single_select,
)
from awaithumans.types import AssignTo, JsonObject, Task, TaskSpec, TaskStatus, VerifierConfig

_DECISIONS: Final = {
    "approve": SelectOption(value="approve", label="Approve", hint="make the call as it stands"),
    "edit": SelectOption(value="edit", label="Edit", hint="make the call with the arguments below"),
    "reject": SelectOption(value="reject", label="Reject", hint="do not make the call"),
    "respond": SelectOption(value="respond", label="Respond", hint="answer in place of the tool, which is not called"),
}
_MESSAGES: Final[Mapping[tuple[str, ...], tuple[str, str]]] = {
    ("reject",): ("Reason", "Goes with Reject, if you want to give one; the agent is told."),
    ("respond",): ("Answer", "Goes with Respond; the agent gets it as the tool's answer."),
    ("reject", "respond"): ("Message", "Goes with Reject, as the reason, and with Respond, as the tool's answer."),
}
_CHANGED: Final = "choose Edit to change it"
_ARGS: Final = "edited_action.args."
_MAX_BRIEF = 60
_MAX_CALL = 300


def tool_reviews(
    *,
    timeout_seconds: int,
    tools: Tools = (),
    assign_to: AssignTo | None = None,
    notify: Sequence[str] | None = None,
    verifier: VerifierConfig | None = None,
    redact_payload: bool = False,
    task_metadata: Mapping[str, str] | None = None,
    reject_on_timeout: bool = False,
) -> OnInterrupt:
    """Have people review the calls at which `HumanInTheLoopMiddleware` stops.

    Arguments:
        timeout_seconds: how long people have for each call.
        tools: the agent's tools, so that arguments are edited in fields of
            their types; or a mapping from a tool's name to a Pydantic model
            of its arguments, or to their JSON Schema. The arguments of other
            tools are edited as JSON, unless the middleware tells what they
            are, as it does with `interrupt_mode="per_call"`.
        assign_to: who is asked, as in `await_human`.
        notify: who is told, as in `await_human`.
        verifier: a second look at the answer, as in `await_human`.
        redact_payload: keep the arguments out of lists and notices, and out
            of the question itself.
        task_metadata: text the host attaches; people see it.
        reject_on_timeout: when nobody has answered in time, reject the call
            where that is allowed, and say so to the agent. Otherwise the
            timeout is raised to whoever drives the graph.

    Each call becomes a task that offers just the allowed decisions. Its
    answer has `decision`, one of approve, edit, reject and respond; `message`,
    the reason of a rejection or the answer of a response; and, with edit, all
    the arguments, by their names: one that is left out is not passed. An
    argument called like one of those two has a `_` behind its name. Where
    arguments are edited as JSON, they stand in `arguments`.

    What the tool is called with is what the person saw: an argument that was
    left alone is the very value that was proposed, an approval of changed
    arguments is refused, and an edit that changes nothing is an approval.
    Everything is checked before the graph is resumed. Any other interrupt is
    left to others.
    """
    routed = template(
        timeout_seconds=timeout_seconds,
        assign_to=assign_to,
        notify=notify,
        verifier=verifier,
        redact_payload=redact_payload,
        task_metadata=task_metadata,
    )
    known = arguments_of(tools)

    def ask(one: Interrupt) -> Question | None:
        if (calls := _batch(one.value, known)) is not None:
            asks = tuple(_ask(call, routed, reject_on_timeout=reject_on_timeout) for call in calls)
            return Question(asks=asks, resume=lambda decisions: {"decisions": list(decisions)})
        if (call := _single(one, known)) is not None:
            return Question(asks=(_ask(call, routed, reject_on_timeout=reject_on_timeout),))
        return None

    return ask


def is_tool_review(value: object) -> bool:
    """Tell whether an interrupt asks for the review of calls."""
    shown = _object(value)
    return "action_requests" in shown or shown.get("type") == "tool_approval"


# ── Reading the interrupt ─────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call to review."""

    name: str
    args: JsonObject
    description: str
    allowed: tuple[str, ...]
    arguments: Arguments
    enforced: JsonObject | None = None
    """The JSON Schema that LangGraph checks the decision against."""


def _batch(value: object, known: Mapping[str, Arguments]) -> list[_Call] | None:
    requests, configs = _records(value, "action_requests"), _records(value, "review_configs")
    allowed = {config.get("action_name"): _known_decisions(config.get("allowed_decisions")) for config in configs}
    calls = [_call(request, allowed.get(request.get("name"), ()), known) for request in requests]
    whole = [call for call in calls if call is not None]
    return whole if whole and len(whole) == len(calls) else None


def _single(one: Interrupt, known: Mapping[str, Arguments]) -> _Call | None:
    request, enforced = _object(one.value), _object(one.response_schema)
    if request.get("type") != "tool_approval":
        return None
    branches = _branches(enforced)
    call = _call(request, _known_decisions([*branches]), known)
    if call is None:
        return None
    if call.arguments is ANY and "edit" in branches:
        call = replace(call, arguments=_told_arguments(branches["edit"], enforced))
    return replace(call, enforced=enforced)


def _call(request: JsonObject, allowed: tuple[str, ...], known: Mapping[str, Arguments]) -> _Call | None:
    name, args, description = request.get("name"), request.get("args"), request.get("description")
    if not isinstance(name, str) or not isinstance(args, Mapping) or not allowed:
        return None
    args = cast("JsonObject", args)
    told = description if isinstance(description, str) else ""
    return _Call(
        name=name,
        args=args,
        description=told.removesuffix(f"Tool: {name}\nArgs: {args}").strip(),
        allowed=allowed,
        arguments=known.get(name, ANY),
    )


def _branches(schema: JsonObject) -> dict[str, JsonObject]:
    """Give the schema of each decision, by its type."""
    whole = _object(schemas.follow(schema, schema))
    alternatives = cast("list[object]", whole.get("oneOf") or whole.get("anyOf") or [whole])
    found = [_object(schemas.follow(each, schema)) for each in alternatives]
    return {str(_at(each, schema, "properties", "type").get("const")): each for each in found}


def _told_arguments(edit: JsonObject, root: JsonObject) -> Arguments:
    schema = _at(edit, root, "properties", "edited_action", "properties", "args")
    definitions = {**_object(root.get("$defs")), **_object(schema.get("$defs"))}
    return Arguments(schema={**schema, "$defs": definitions}) if schema else ANY


def _at(schema: JsonObject, root: JsonObject, *path: str) -> JsonObject:
    for step in path:
        schema = _object(schemas.follow(_object(schema).get(step), root))
    return schema


def _known_decisions(given: object) -> tuple[str, ...]:
    """Give the decisions that are known here, in the order in which they are offered."""
    allowed = cast("list[object]", given) if isinstance(given, list | tuple) else []
    return tuple(decision for decision in _DECISIONS if decision in allowed)


def _records(value: object, name: str) -> list[JsonObject]:
    found = _object(value).get(name)
    return [_object(each) for each in cast("list[object]", found)] if isinstance(found, list | tuple) else []


def _object(value: object) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, Mapping) else {}


# ── Asking ────────────────────────────────────────────────────────────────────


def _ask(call: _Call, routed: TaskSpec, *, reject_on_timeout: bool) -> Ask:
    editor = _editor(call)
    spec = _spec(call, editor, routed)
    rejects = reject_on_timeout and "reject" in call.allowed
    return Ask(
        spec=spec,
        read=partial(_decision, call, editor, spec),
        outcomes=ANSWERED | {TaskStatus.TIMED_OUT} if rejects else ANSWERED,
    )


def _spec(call: _Call, editor: _Editor, routed: TaskSpec) -> TaskSpec:
    drawn = replace(
        routed,
        task=_question(call, redacted=routed.redact_payload),
        payload=_payload(call),
        response_schema=_response_schema(call, editor),
        form=FormDefinition(fields=(*_decision_fields(call), *editor.fields)).model_dump(mode="json"),
        initial_response=editor.start or None,
    )
    left_alone = untouched(drawn)
    rules = [{"if": _chosen(decision), "then": then} for decision, then in _rules(call, editor, left_alone)]
    return replace(drawn, response_schema={**drawn.response_schema, **({"allOf": rules} if rules else {})})


def _question(call: _Call, *, redacted: bool) -> str:
    listed = ", ".join(f"{name}={_brief(value)}" for name, value in call.args.items())
    shown = f"{call.name}({listed})"
    called = call.name if redacted else shown if len(shown) <= _MAX_CALL else f"{call.name}(…)"
    answered_only = set(call.allowed) <= {"reject", "respond"}
    return scrubbed(f"What is the answer of {called}?" if answered_only else f"Call {called}?", _MAX_CALL * 2)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_BRIEF else f"{text[:_MAX_BRIEF]}…"


def _payload(call: _Call) -> JsonObject:
    told = {"description": call.description} if call.description else {}
    return cast("JsonObject", readable({"tool": call.name, "arguments": call.args, **told}))


def _decision_fields(call: _Call) -> Iterator[FormField]:
    options = [_DECISIONS[decision] for decision in call.allowed]
    only = options[0].value if len(options) == 1 else None
    yield single_select(options, label="Decision", default=only).model_copy(update={"name": "decision"})
    if with_message := tuple(decision for decision in call.allowed if decision in {"reject", "respond"}):
        label, hint = _MESSAGES[with_message]
        yield long_text(label=label, hint=hint).model_copy(update={"name": "message", "required": False})


def _response_schema(call: _Call, editor: _Editor) -> dict[str, object]:
    said = {"message": {"type": "string"}} if {"reject", "respond"} & {*call.allowed} else {}
    return {
        "type": "object",
        "properties": {"decision": {"type": "string", "enum": [*call.allowed]}, **said, **editor.properties},
        "required": ["decision"],
        "additionalProperties": False,
        **editor.definitions,
    }


def _chosen(decision: str) -> JsonObject:
    return {"properties": {"decision": {"const": decision}}, "required": ["decision"]}


def _rules(call: _Call, editor: _Editor, left_alone: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Say what has to go with each decision, and what must not."""
    silent = {"message": False} if {"reject", "respond"} & {*call.allowed} else {}
    for decision in call.allowed:
        match decision:
            case "approve" if silent or editor.names:
                yield decision, {"properties": {**silent, **editor.as_proposed(left_alone)}}
            case "edit":
                yield decision, {"properties": silent, "required": editor.needed(left_alone)}
            case "respond":
                yield decision, {"properties": {"message": {"minLength": 1}}, "required": ["message"]}
            case _:
                pass


# ── Editing the arguments ─────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Editor:
    """The fields in which arguments are edited: one for each, or one for all."""

    proposed: JsonObject
    """What the call has for each of them."""
    schema: JsonObject = field(default_factory=dict[str, object])
    """The JSON Schema of `proposed`."""
    whole: bool = False
    """Whether all arguments stand in one field."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the fields are called."""
    fields: tuple[FormField, ...] = ()
    unreadable: frozenset[str] = frozenset()
    """The fields that cannot show what was proposed so that it is read again."""

    @property
    def properties(self) -> dict[str, object]:
        """Give the schema of each field, by its name."""
        declared = _object(self.schema.get("properties"))
        return {self.names[name]: part for name, part in declared.items()}

    @property
    def definitions(self) -> JsonObject:
        """Give what the schemas of the fields refer to."""
        return {key: self.schema[key] for key in ("$defs", "definitions") if key in self.schema}

    @property
    def fitting(self) -> JsonObject:
        """Give what was proposed, where it fits its schema."""
        try:
            faults = schemas.validate(self.schema, readable(self.proposed))
        except InvalidSchemaError:
            faults = dict[str, str]()
        misfits = {path.partition(".")[0] for path in faults}
        misfits |= {name for name, named in self.names.items() if named in self.unreadable}
        return {name: value for name, value in self.proposed.items() if is_json(value) and name not in misfits}

    @property
    def start(self) -> dict[str, object]:
        """Give what the fields start with."""
        return {self.names[name]: value for name, value in self.fitting.items() if name in self.names}

    def as_proposed(self, left_alone: JsonObject) -> dict[str, object]:
        """Say, for the schema, that no field was changed."""
        return {
            name: {**_one_of(_values(name, self.start, left_alone)), "x-error": _CHANGED}
            for name in self.names.values()
        }

    def needed(self, left_alone: JsonObject) -> list[str]:
        """Name the fields that an edit must have.

        Not those that a form leaves out where nothing was changed, or where null is meant.
        """
        required = cast("list[str]", self.schema.get("required", []))
        blank = {name for name in self.start if name not in left_alone}
        return [self.names[name] for name in required if self.names[name] not in blank and not self.may_be_null(name)]

    def edited(self, answer: JsonObject, left_alone: JsonObject) -> dict[str, object]:
        """Give the arguments after an edit; what was left alone is what was proposed."""
        fitting = self.fitting
        result = {name: value for name, value in fitting.items() if name not in self.names}
        for name, named in self.names.items():
            if same(answer, left_alone, named) and (name in fitting or name not in self.proposed):
                result |= {name: fitting[name]} if name in fitting else {}
            elif named in answer:
                result[name] = answer[named]
            elif name in cast("list[str]", self.schema.get("required", [])) and self.may_be_null(name):
                result[name] = None
        return cast("dict[str, object]", result["arguments"]) if self.whole else result

    def places(self, faults: Mapping[str, str]) -> dict[str, str]:
        """Give faults of arguments at the fields that they were edited in."""
        if self.whole:
            return {f"arguments.{path}" if path else "arguments": fault for path, fault in faults.items()}
        split = [(path.partition("."), fault) for path, fault in faults.items()]
        return {self.names.get(name, name) + dot + rest: fault for (name, dot, rest), fault in split}

    def may_be_null(self, name: str) -> bool:
        """Tell whether null fits an argument."""
        part = _object(self.schema.get("properties")).get(name)
        try:
            return not schemas.validate({**self.definitions, **_object(part)}, None)
        except InvalidSchemaError:
            return False


def _values(name: str, *places: JsonObject) -> list[object]:
    return [place[name] for place in places if name in place]


def _one_of(values: Sequence[object]) -> JsonObject:
    distinct = [value for at, value in enumerate(values) if value not in values[:at]]
    match distinct:
        case []:
            return {"not": {}}
        case [value]:
            return {"const": value}
        case _:
            return {"enum": distinct}


def _editor(call: _Call) -> _Editor:
    if "edit" not in call.allowed:
        return _Editor(proposed=call.args)
    return _typed_editor(call) or _json_editor(call)


def _typed_editor(call: _Call) -> _Editor | None:
    """Make a field for each argument; None if the schema does not lend itself to that."""
    schema = call.arguments.schema
    declared = schema.get("properties")
    if not isinstance(declared, dict) or "" in declared or _refers_to_itself(schema):
        return None
    names = free_names(cast("dict[str, object]", declared), ("decision", "message"))
    editor = _Editor(proposed=call.args, schema=schema, names=names)
    form = form_from_schema(schema)
    try:
        schemas.check_schema(_response_schema(call, editor), "response_schema")
    except InvalidSchemaError:
        return None
    if form is None:
        return editor if not declared else None
    asking = check_form(form).fields
    drawn = FormDefinition(fields=tuple(_drawn(each, editor) for each in asking))
    faults = as_drawn(drawn, _response_schema(call, editor), editor.start).errors
    editor = replace(editor, unreadable=frozenset(path.partition(".")[0] for path in faults))
    return replace(editor, fields=_headed(_drawn(each, editor) for each in asking))


def _refers_to_itself(schema: JsonObject) -> bool:
    """Tell whether a schema may mean itself by `#`, which it is no more as part of another."""
    return '"$ref": "#"' in json.dumps(schema)


def _json_editor(call: _Call) -> _Editor:
    schema = {"properties": {"arguments": {"type": "object"}}, "required": ["arguments"]}
    field = long_text(label="Arguments", hint="JSON").model_copy(update={"name": "arguments"})
    proposed = {"arguments": dict(call.args)}
    return _Editor(
        proposed=proposed, schema=schema, whole=True, names={"arguments": "arguments"}, fields=_headed([field])
    )


def _headed(fields: Any) -> tuple[FormField, ...]:
    return (section("Arguments", subtitle="They count with Edit; with Approve leave them as they are."), *fields)


def _drawn(one: FormField, editor: _Editor) -> FormField:
    """Rename a field; it must be filled in where it starts so, unless that means null."""
    named = editor.names[one.name]
    filled = editor.start.get(named) not in (None, "") and not editor.may_be_null(one.name)
    return one.model_copy(update={"name": named, "required": one.required and filled})


# ── Reading the answer ────────────────────────────────────────────────────────


def _decision(call: _Call, editor: _Editor, spec: TaskSpec, task: Task) -> dict[str, object]:
    """Make the decision that the graph is resumed with, or refuse the answer."""
    if task.status is TaskStatus.TIMED_OUT:
        return {"type": "reject", "message": "Nobody has approved the call in time, so it was not made."}
    answer = task.response or {}
    _refuse(schemas.validate(spec.response_schema, answer))
    decision = _decided(call, editor, answer, untouched(spec))
    if call.enforced is not None:
        _refuse(_faults_to_langgraph(call.enforced, decision, editor))
    return decision


def _decided(call: _Call, editor: _Editor, answer: JsonObject, left_alone: JsonObject) -> dict[str, object]:
    message = answer.get("message")
    match answer["decision"]:
        case "approve":
            return {"type": "approve"}
        case "reject":
            return {"type": "reject", "message": message} if message else {"type": "reject"}
        case "respond":
            return {"type": "respond", "message": message}
        case _:
            return _edit(call, editor, answer, left_alone)


def _edit(call: _Call, editor: _Editor, answer: JsonObject, left_alone: JsonObject) -> dict[str, object]:
    args = editor.edited(answer, left_alone)
    if "approve" in call.allowed and canonical(args) == canonical(readable(call.args)):
        return {"type": "approve"}
    _refuse(editor.places(call.arguments.faults(args)))
    return {"type": "edit", "edited_action": {"name": call.name, "args": args}}


def _faults_to_langgraph(schema: JsonObject, decision: JsonObject, editor: _Editor) -> Mapping[str, str]:
    """Say what LangGraph would refuse, at the fields that it was edited in."""
    try:
        faults = schemas.validate(schema, decision)
    except InvalidSchemaError:
        return {}
    edited = {path.removeprefix(_ARGS): fault for path, fault in faults.items() if path.startswith(_ARGS)}
    return {path: fault for path, fault in faults.items() if not path.startswith(_ARGS)} | editor.places(edited)


def _refuse(faults: Mapping[str, str]) -> None:
    if faults:
        raise SchemaValidationError.of_fields("response", faults)
