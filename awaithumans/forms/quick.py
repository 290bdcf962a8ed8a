"""Answers that fit on a button: those of a form that asks for one small choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from awaithumans.forms.definition import FormDefinition
from awaithumans.forms.render import render_fields
from awaithumans.forms.submission import parse
from awaithumans.types import JsonObject

MAX_QUICK_ANSWERS = 4


class QuickAnswer(NamedTuple):
    """One answer to a form that asks for a single choice."""

    field: str
    """The name of the form's only control."""
    text: str
    """What the control posts."""
    label: str
    """What people read."""
    value: JsonObject
    """The response it makes."""


def quick_answers(form: FormDefinition | JsonObject | None, response_schema: JsonObject) -> list[QuickAnswer]:
    """List every answer there is, where the form asks for one choice of at most `MAX_QUICK_ANSWERS`.

    Empty for every other form, and where a choice would be refused.
    """
    controls = [one for one in render_fields(form, response_schema, {}, {}) if one.widget != "display"]
    if len(controls) != 1 or controls[0].kind not in {"switch", "single_select"}:
        return []
    (control,) = controls
    if not 1 <= len(control.options) <= MAX_QUICK_ANSWERS:
        return []
    sent = [(option, parse(form, response_schema, {control.name: [option.value]})) for option in control.options]
    if any(submission.errors for _, submission in sent):
        return []
    return [QuickAnswer(control.name, option.value, option.label, submission.value) for option, submission in sent]


def chosen_by_word(words: str, answers: Iterable[QuickAnswer], plain: Callable[[str], str]) -> JsonObject | None:
    """Return the response of the one answer whose very label or text `words` are; None if that is none, or several.

    `plain` leaves out of a text what does not count.
    """
    said = plain(words)
    meant = [one.value for one in answers if said and said in {plain(one.label), plain(one.text)}]
    return meant[0] if len(meant) == 1 else None
