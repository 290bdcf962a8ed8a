"""What may become a task: every check before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from awaithumans import schemas
from awaithumans.documents import canonical, ensure_json, ensure_object, ensure_text
from awaithumans.errors import InvalidInputError, InvalidRoutingError, TimeoutRangeError, VerifierUnknownError
from awaithumans.forms import check_form
from awaithumans.forms.definition import RESERVED
from awaithumans.forms.shape import names
from awaithumans.protocols import Channel, Verifier
from awaithumans.routing import EVERYBODY, MAX_RECIPIENTS, Recipient, callback_recipient, entry_of, is_for_agents
from awaithumans.types import (
    MAX_KEY_LENGTH,
    MAX_TASK_LENGTH,
    MAX_TEXT_LENGTH,
    MAX_TIMEOUT_SECONDS,
    MIN_TIMEOUT_SECONDS,
    JsonObject,
    Submit,
    TaskSpec,
    VerifierConfig,
)

MAX_CONTENT_LENGTH = 4 * 1024 * 1024


def admit(spec: TaskSpec, *, channels: Mapping[str, Channel], verifiers: Mapping[str, Verifier]) -> None:
    """Raise `InvalidInputError` unless `spec` can be asked, shown and answered.

    What is admitted can be stored by any store, rendered by any page and
    delivered by the channels it names.
    """
    _admit_texts(spec)
    _admit_timeout(spec.timeout_seconds)
    for name, value in _contents(spec):
        _admit_object(name, value)
    schemas.check_schema(spec.payload_schema, "payload_schema")
    schemas.check_schema(spec.response_schema, "response_schema")
    _admit_names(spec.response_schema)
    if spec.form is not None:
        check_form(spec.form)
    admit_recipients(spec.notify, channels)
    if spec.callback_url is not None:
        _admit_callback(spec.callback_url, channels)
    _admit_verifier(spec, verifiers)


def content_of(spec: TaskSpec) -> dict[str, object]:
    """Give what makes two questions the same question.

    Task text, payload, and the response schema without titles, descriptions,
    defaults and examples, so that a reworded docstring changes nothing.
    """
    return {
        "task": spec.task,
        "payload": spec.payload,
        "response_schema": schemas.without_annotations(spec.response_schema),
    }


def authority_of(spec: TaskSpec) -> dict[str, object]:
    """Give whose answer counts: who is asked, and who checks what they answer.

    Neither the order of addresses counts, which a set has anew in each process, nor letter case where it means nothing.
    """
    verifier = {**dict(spec.verifier), "provider": spec.verifier.provider_name} if spec.verifier else None
    return {"assign_to": _people(spec.assign_to), "verifier": verifier}


def same_people(one: TaskSpec, other: TaskSpec) -> bool:
    """Tell whether both questions say the same of who is asked."""
    return canonical(_people(one.assign_to) or {}) == canonical(_people(other.assign_to) or {})


def _people(assign_to: JsonObject | None) -> JsonObject | None:
    people = dict(assign_to or {})
    if isinstance(address := people.get("email"), str):
        people["email"] = address.lower()
    if isinstance(addresses := people.get("emails"), list):
        people["emails"] = sorted({str(address).lower() for address in cast("list[object]", addresses)})
    return people or None


def _admit_texts(spec: TaskSpec) -> None:
    _admit_text("task", spec.task, MAX_TASK_LENGTH)
    _admit_text("idempotency_key", spec.idempotency_key, MAX_KEY_LENGTH)
    if not spec.idempotency_key:
        raise _invalid("idempotency_key", "must not be empty")
    for name, value in spec.metadata.items():
        _admit_text("task_metadata", name, MAX_TEXT_LENGTH)
        _admit_text(f"task_metadata.{name}", value, MAX_TEXT_LENGTH)
    for name, value in spec.initial_errors.items():
        _admit_text("initial_errors", name, MAX_TEXT_LENGTH)
        _admit_text(f"initial_errors.{name}", value, MAX_TEXT_LENGTH)


def _admit_text(name: str, value: object, limit: int) -> None:
    if not isinstance(value, str):
        raise _invalid(name, f"must be text, not {type(value).__name__}")
    if len(value) > limit:
        raise _invalid(name, f"must have at most {limit} characters")
    ensure_json(value, name)


def _admit_timeout(seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise TimeoutRangeError(seconds)
    if not MIN_TIMEOUT_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
        raise TimeoutRangeError(seconds)


def _contents(spec: TaskSpec) -> Iterator[tuple[str, JsonObject]]:
    yield "payload", spec.payload
    yield "payload_schema", spec.payload_schema
    yield "response_schema", spec.response_schema
    optional = {"form_definition": spec.form, "assign_to": spec.assign_to, "initial_response": spec.initial_response}
    for name, value in optional.items():
        if value is not None:
            yield name, value


def _admit_object(name: str, value: object) -> None:
    ensure_object(value, name)
    if len(canonical(value)) > MAX_CONTENT_LENGTH:
        raise _invalid(name, f"must have at most {MAX_CONTENT_LENGTH} characters")


def _admit_names(response_schema: JsonObject) -> None:
    for name in names(response_schema):
        if name.startswith(RESERVED):
            raise _invalid("response_schema", f"has a property {name!r}, which no answer can have")


def admit_recipients(notify: Sequence[str], channels: Mapping[str, Channel]) -> None:
    """Raise `InvalidRoutingError` unless each entry of `notify` is one of a channel's."""
    if len(notify) > MAX_RECIPIENTS:
        raise InvalidRoutingError("notify", f"has more than {MAX_RECIPIENTS} entries")
    for entry in notify:
        _admit_text("notify", entry, MAX_TEXT_LENGTH)
        recipient = entry_of(entry)
        channel = _channel("notify", recipient.channel, channels)
        _admit_identity(channel, recipient.identity)
        if recipient.target != EVERYBODY:
            channel.check(recipient.target)


def _admit_identity(channel: Channel, identity: str | None) -> None:
    check: Callable[[str | None], None] | None = getattr(channel, "check_identity", None)
    if check is not None:
        check(identity)


def _admit_callback(callback_url: str, channels: Mapping[str, Channel]) -> None:
    _admit_text("callback_url", callback_url, MAX_TEXT_LENGTH)
    recipient = Recipient.parse(callback_recipient(callback_url), "callback_url")
    channel = _channel("callback_url", recipient.channel, channels)
    if not is_for_agents(channel):
        agents = ", ".join(sorted(name for name, one in channels.items() if is_for_agents(one))) or "none"
        raise InvalidRoutingError(
            "callback_url",
            f"the channel {recipient.channel!r} talks to people, and a callback is for programs",
            hint=f"Name people in notify. This engine has these channels for programs: {agents}.",
        )
    channel.check(recipient.target)


def admit_answer(command: Submit) -> None:
    """Refuse what is no answer of any task: neither a value nor words, or both."""
    if command.text is None:
        ensure_object(command.value, "response")
        return
    ensure_text(command.text.strip(), "text", longest=MAX_TASK_LENGTH)
    if command.value is not None:
        raise _invalid("text", "goes without a response")


def _admit_verifier(spec: TaskSpec, verifiers: Mapping[str, Verifier]) -> None:
    if spec.verifier is None:
        return
    ensure_json(dict(spec.verifier), "verifier_config")
    verifier = verifiers.get(spec.verifier.provider_name)
    if verifier is None:
        raise VerifierUnknownError(spec.verifier.provider)
    if spec.redact_payload and not getattr(verifier, "trusted", False):
        raise InvalidInputError(
            "redact_payload keeps the payload from the verifier, which cannot judge without it",
            hint="Ask without a verifier, or use one that stays in this process and says `trusted = True`.",
            fields={"redact_payload": "not together with this verifier"},
        )
    check: Callable[[VerifierConfig], None] | None = getattr(verifier, "check", None)
    if check is not None:
        check(spec.verifier)


def _channel(field: str, name: str, channels: Mapping[str, Channel]) -> Channel:
    if name not in channels:
        known = ", ".join(sorted(channels)) or "none"
        raise InvalidRoutingError(
            field,
            f"there is no channel {name[:100]!r}",
            hint=f"This engine has these channels: {known}. Pass Engine(channels=[...]) to add one.",
        )
    return channels[name]


def _invalid(name: str, fault: str) -> InvalidInputError:
    return InvalidInputError(f"{name} {fault}", fields={name: fault})
