"""The fields of a task's form, as the page draws them, for Slack to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from awaithumans import forms
from awaithumans.forms.shape import ANYTHING, Shape, shapes
from awaithumans.forms.values import preset
from awaithumans.forms.widgets import WHOLE_FIELD, asks_whole, laid_out
from awaithumans.types import Task

BLOCK_PREFIX = "awaithumans:"


class Asked(NamedTuple):
    """One field, and the control that a page has for it."""

    control: forms.Control
    field: forms.FormField
    shape: Shape
    start: object
    """The value that the field starts with; None for none."""

    @property
    def block_id(self) -> str:
        """Name the field's block in a modal."""
        return f"{BLOCK_PREFIX}{self.control.name}"

    @property
    def label(self) -> str:
        """Give what the field is called; the kind, where it has no name."""
        return self.control.label.strip() or self.control.name.strip() or self.control.kind

    @property
    def initial(self) -> str:
        """Give the text that stands in the control; "" for none."""
        return next(iter(self.control.values), "")


def asked_in(task: Task, values: Mapping[str, object], errors: Mapping[str, str]) -> list[Asked]:
    """List the fields of a task's form in order, those that are only shown included."""
    spec = task.spec
    shown = forms.form_for(spec.form, spec.response_schema)
    controls = forms.render_fields(spec.form, spec.response_schema, values, errors)
    if asks_whole(shown, spec.response_schema):
        return [Asked(control, WHOLE_FIELD, ANYTHING, None) for control in controls]
    laid = laid_out(shown, shapes(spec.response_schema))
    return [
        Asked(control, field, shape, values.get(field.name, preset(field, shape)))
        for control, (field, shape, _) in zip(controls, laid, strict=True)
    ]
