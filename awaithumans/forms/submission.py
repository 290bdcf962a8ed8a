"""What a person filled in, and the response it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from awaithumans import schemas
from awaithumans.errors import InvalidInputError
from awaithumans.forms.constraints import validate_response
from awaithumans.forms.definition import FileUpload, FormDefinition, FormField, SectionCollapse, Subform
from awaithumans.forms.files import BROKEN, has_content
from awaithumans.forms.infer import form_for
from awaithumans.forms.nodes import MARK, is_shown, nodes_of, whole_node
from awaithumans.forms.posting import ABSENT, Filled, Reading, moved, with_entry, without_entry
from awaithumans.forms.shape import as_list
from awaithumans.forms.values import Typed, preset
from awaithumans.forms.widgets import WHOLE_FIELD, asks_whole
from awaithumans.types import JsonObject, Task
from awaithumans.words import words

MAX_MARKED = 2_000
"""How many rows, groups and chosen alternatives a posted form may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A form that was sent in."""

    value: JsonObject
    """The response it makes, fit to be an answer if there are no `errors`."""
    errors: Mapping[str, str]
    """What is wrong, by dotted path."""
    typed: Mapping[str, Typed]
    """What stood in each control, so that a refused form comes back as it was filled in."""


def parse(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    submitted: Mapping[str, Sequence[str]],
    start: Mapping[str, object] | None = None,
) -> Submission:
    """Turn the values of an HTML form's controls into a response.

    Each control is read as what its field and the response schema say it is,
    and what cannot be read without guessing is an error of its field. A blank
    field that is not required is left out, unless the schema needs it: then it
    is the schema's default, or null. Names that the form does not have are
    ignored. A nested value may come in parts, as `render_fields` names them, or
    as JSON under the name of its field. A date or time that came back as it was
    drawn for `start`, the values the form began with, is the very value. The
    whole is then checked as `validate_response` does. Raises `InvalidInputError`
    for more than `MAX_MARKED` parts of nested values.
    """
    _ensure_few(submitted)
    shown = form_for(form, response_schema)
    if asks_whole(shown, response_schema):
        return _whole(response_schema, submitted, start)
    reading = Reading(submitted)
    value: dict[str, object] = {}
    for node in filter(lambda one: not is_shown(one), nodes_of(shown, response_schema)):
        name = node.field.name
        part = reading.field(node, (start or {}).get(name, preset(node.field, node.shape)))
        value |= {} if part is ABSENT else {name: part}
    errors = {**_strange_files(shown.fields, value, start or {}), **reading.errors}
    faults = _elsewhere(validate_response(shown, response_schema, value), errors)
    return Submission(value=value, errors={**faults, **errors}, typed=reading.typed)


def _strange_files(fields: Iterable[FormField], value: JsonObject, start: Mapping[str, object]) -> dict[str, str]:
    """Find files that did not come along, also those inside of JSON: whoever posts may not say where one is."""
    known = [file for _, file in _files_in(fields, start)]
    strange = [path for path, file in _files_in(fields, value) if not has_content(file) and file not in known]
    return dict.fromkeys(strange, BROKEN)


def _files_in(
    fields: Iterable[FormField], value: Mapping[str, object], below: str = ""
) -> Iterator[tuple[str, object]]:
    for field in fields:
        part, path = value.get(field.name), f"{below}{field.name}"
        match field:
            case SectionCollapse():
                yield from _files_in(field.fields, value, below)
            case FileUpload() if part not in (None, []):
                yield from ((path, file) for file in as_list(part) or [part])
            case Subform():
                for number, row in enumerate(as_list(part)):
                    if isinstance(row, dict):
                        yield from _files_in(field.fields, cast("JsonObject", row), f"{path}.{number}.")
            case _:
                continue


def _ensure_few(submitted: Mapping[str, Sequence[str]]) -> None:
    """Refuse what no page posts: each row that is only named has many parts to be read, and drawn again."""
    marked = sum(1 for name, texts in submitted.items() if name.endswith(f".{MARK}") for text in texts if text)
    if marked > MAX_MARKED:
        raise InvalidInputError(words("the form has more than %(count)s entries", count=MAX_MARKED))


def edited(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    submitted: Mapping[str, Sequence[str]],
    *,
    add: str = "",
    remove: str = "",
    up: str = "",
    down: str = "",
) -> Mapping[str, Typed]:
    """Give what a form holds once an entry is added to its rows, taken away, or moved.

    Arguments:
        form: the client's form, if it sent one.
        response_schema: the JSON Schema of the answer.
        submitted: what stands in the form's controls, by name.
        add: the name of the rows to add an entry to, or of the group to bring.
        remove: the name of the entry to take away: that of the rows, a dot, and what its mark posts.
        up: the option of a ranking to move towards the beginning: the ranking's name, a dot, and the option's place.
        down: the one to move towards the end.

    The rest is as it was filled in. Nothing is checked; names that there are not change nothing.
    """
    typed: Filled = parse(form, response_schema, submitted).typed
    typed = with_entry(typed, add) if add else typed
    typed = without_entry(typed, remove) if remove else typed
    typed = moved(typed, up, -1) if up else typed
    typed = moved(typed, down, 1) if down else typed
    return {name: Typed(texts) for name, texts in typed.items()}


def prefilled(task: Task) -> tuple[Mapping[str, object], Mapping[str, str]]:
    """Return what a task's form starts with: the refused answer, or what the agent gave.

    That is the values, and messages at them.
    """
    if task.refused and task.answer is not None and task.answer.text is None:
        return task.answer.value, {}
    return task.spec.initial_response or {}, task.spec.initial_errors


def _elsewhere(faults: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, str]:
    """Leave out the faults that only follow from what could not be read inside."""
    unread = {"", *errors} if errors else set[str]()
    return {path: text for path, text in faults.items() if not any(f"{one}.".startswith(f"{path}.") for one in unread)}


def _whole(
    schema: JsonObject, submitted: Mapping[str, Sequence[str]], start: Mapping[str, object] | None
) -> Submission:
    reading = Reading(submitted)
    value = reading.field(whole_node(schema), start)
    below = {path.removeprefix(f"{WHOLE_FIELD.name}."): text for path, text in reading.errors.items()}
    if not below and not isinstance(value, dict):
        below = {WHOLE_FIELD.name: words("must be an object, in { }")}
    if not isinstance(value, dict):
        return Submission(value={}, errors=below, typed=reading.typed)
    faults = schemas.validate(schema, cast("object", value))
    errors = {path or WHOLE_FIELD.name: text for path, text in _elsewhere(faults, below).items()}
    return Submission(value=cast("JsonObject", value), errors={**errors, **below}, typed=reading.typed)
