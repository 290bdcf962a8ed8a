"""What was filled in in a modal, as a page's form would have posted it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast
from zoneinfo import ZoneInfo

from awaithumans import forms
from awaithumans.channels.slack.blocks import cut
from awaithumans.channels.slack.calls import as_object
from awaithumans.channels.slack.elements import initial_epoch
from awaithumans.channels.slack.fields import Asked, asked_in
from awaithumans.forms.definition import DateTime
from awaithumans.types import JsonObject, Task

MAX_ERROR = 500

_CHOSEN = frozenset({"switch", "radio", "checkboxes"})
_PLAIN = {"datepicker": "selected_date", "timepicker": "selected_time"}


def submitted(task: Task, state_values: JsonObject) -> dict[str, Sequence[str]]:
    """Turn a view's `state.values` into what `forms.parse` reads.

    Blocks that the form does not have are ignored; a field without a block, or
    with one that cannot be read, is blank.
    """
    return {one.control.name: _posted(one, _element(state_values, one)) for one in _asked(task)}


def began_with(task: Task, state_values: JsonObject) -> dict[str, object]:
    """Give the values that the form knew: those it began with, and the files that Slack has of it."""
    values, _ = forms.prefilled(task)
    uploads = {
        one.control.name: files
        for one in _asked(task)
        if (files := _described(_element(state_values, one).get("files")))
    }
    return {**values, **uploads}


def block_errors(task: Task, errors: Mapping[str, str]) -> dict[str, str]:
    """Map messages by field path to the blocks they are shown at.

    What belongs to no field is shown at the first one. Empty where the view
    has no field at all, or nothing is wrong.
    """
    blocks = {one.control.name: one.block_id for one in _asked(task)}
    if not blocks:
        return {}
    texts: dict[str, list[str]] = {}
    for path, message in errors.items():
        name = max((one for one in blocks if path == one or path.startswith(f"{one}.")), key=len, default="")
        block = blocks.get(name) or next(iter(blocks.values()))
        inside = path.removeprefix(name).removeprefix(".")
        texts.setdefault(block, []).append(f"{inside}: {message}" if inside else message)
    return {block: cut("; ".join(parts), MAX_ERROR) for block, parts in texts.items()}


def _asked(task: Task) -> Iterator[Asked]:
    values, errors = forms.prefilled(task)
    return (one for one in asked_in(task, values, errors) if one.control.widget != "display")


def _element(state_values: JsonObject, asked: Asked) -> JsonObject:
    return as_object(as_object(state_values.get(asked.block_id)).get(asked.control.name))


def _posted(asked: Asked, element: JsonObject) -> list[str]:
    """Give the texts of one control; an HTML control that is empty posts one empty text, or, to choose, none."""
    texts = _texts(asked, element)
    return texts or ([] if asked.control.widget in _CHOSEN else [""])


def _texts(asked: Asked, element: JsonObject) -> list[str]:
    match element.get("type"):
        case "checkboxes" | "multi_static_select":
            return [_option(one) for one in _list(element.get("selected_options"))]
        case "radio_buttons" | "static_select":
            return _text(_option(element.get("selected_option")))
        case "datetimepicker":
            return _moment(asked, element.get("selected_date_time"))
        case "file_input":
            files = _described(element.get("files"))
            return [json.dumps(files)] if files else list(asked.control.values)  # left alone, it is as it was drawn
        case kind:
            return _text(element.get(_PLAIN.get(str(kind), "value")))


def _moment(asked: Asked, epoch: object) -> list[str]:
    """Write a moment with its zone; one that was left alone, as it was drawn."""
    if type(epoch) is not int or not isinstance(asked.field, DateTime):
        return []
    if epoch == initial_epoch(asked):
        return list(asked.control.values)
    zone = ZoneInfo(asked.field.timezone) if asked.field.timezone else UTC
    try:
        return [datetime.fromtimestamp(epoch, zone).isoformat()]
    except (ValueError, OverflowError, OSError):
        return []


def _described(files: object) -> list[dict[str, object]]:
    """Describe files as an answer has them."""
    return [
        {
            "id": one.get("id"),
            "name": one.get("name"),
            "mime": one.get("mimetype"),
            "url": one.get("url_private"),
            "size": one.get("size"),
        }
        for one in map(as_object, _list(files))
    ]


def _option(option: object) -> str:
    return "".join(_text(as_object(option).get("value")))


def _text(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else []


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []
