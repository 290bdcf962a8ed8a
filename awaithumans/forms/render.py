"""What a page draws for each field of a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from awaithumans.forms.definition import (
    Date,
    DateTime,
    DisplayText,
    FormDefinition,
    FormField,
    Html,
    Image,
    LongText,
    OpinionScale,
    PdfViewer,
    Section,
    SectionCollapse,
    ShortText,
    Slider,
    StarRating,
    Switch,
    Time,
    Video,
)
from awaithumans.forms.infer import form_for, humanised
from awaithumans.forms.shape import ANYTHING, Shape, shapes
from awaithumans.forms.values import Typed, is_native, number_text, options_of, preset, write
from awaithumans.forms.widgets import WHOLE_FIELD, Widget, asks_whole, laid_out
from awaithumans.types import JsonObject


class Choice(NamedTuple):
    """One thing to choose, as the page posts it and as it reads."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One field as a page draws it.

    `values` is what stands in it, as text. A "switch" posts "true" or "false"
    out of its two `options`. A "number" is drawn as a line of text with the
    `inputmode` among its `attributes`, since a browser posts a number it
    cannot read as nothing at all; so is a date or time that the browser's own
    control cannot hold, as a "text". A "display" has `text`, a heading as `label`
    or the address of something to look at as `url`, and no value. Everything
    here may come from strangers and has to be escaped.
    """

    name: str
    kind: str
    widget: Widget
    label: str = ""
    hint: str = ""
    required: bool = False
    values: tuple[str, ...] = ()
    options: tuple[Choice, ...] = ()
    error: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    text: str = ""
    url: str = ""


def render_fields(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    values: Mapping[str, object],
    errors: Mapping[str, str],
) -> list[Control]:
    """List what to draw, in order; the fields of a section follow it.

    `values` is a response, or the `typed` of a refused submission. A field
    without a value starts with its default. Errors inside a field's value
    ("items.0.amount") are shown at the field.
    """
    shown = form_for(form, response_schema)
    if asks_whole(shown, response_schema):
        start = values if WHOLE_FIELD.name in values else {WHOLE_FIELD.name: dict(values)}
        return [_control(WHOLE_FIELD, ANYTHING, "json", start, {WHOLE_FIELD.name: _joined(errors)})]
    return [
        _display(one) if widget == "display" else _control(one, shape, widget, values, errors)
        for one, shape, widget in laid_out(shown, shapes(response_schema))
    ]


def _control(
    one: FormField, shape: Shape, widget: Widget, values: Mapping[str, object], errors: Mapping[str, str]
) -> Control:
    current = _current(one, shape, widget, values)
    drawn = _drawn(widget, current)
    return Control(
        name=one.name,
        kind=one.kind,
        widget=drawn,
        label=one.label or humanised(one.name),
        hint=_hint(one),
        required=one.required,
        values=current,
        options=_choices(one, widget),
        error=_error(one.name, errors),
        attributes={key: str(limit) for key, limit in _attributes(one, shape, drawn).items() if limit is not None},
    )


def _drawn(widget: Widget, current: Sequence[str]) -> Widget:
    """Choose a control that keeps what stands in it."""
    if widget == "text" and any("\n" in text for text in current):
        return "textarea"
    return widget if all(is_native(widget, text) for text in current) else "text"


def _current(one: FormField, shape: Shape, widget: Widget, values: Mapping[str, object]) -> tuple[str, ...]:
    if one.name not in values:
        start = preset(one, shape)
        return () if start is None else write(widget, start, one, shape)
    value = values[one.name]
    return tuple(value) if isinstance(value, Typed) else write(widget, value, one, shape)


def _hint(one: FormField) -> str:
    zone = f"Time zone: {one.timezone or 'UTC'}" if isinstance(one, DateTime) else ""
    return ". ".join(part.rstrip(".") for part in (one.hint or "", zone) if part) if zone else one.hint or ""


def _choices(one: FormField, widget: Widget) -> tuple[Choice, ...]:
    if widget == "switch" and isinstance(one, Switch):
        return Choice("true", one.true_label), Choice("false", one.false_label)
    if widget not in {"radio", "select", "checkboxes"}:
        return ()
    named = [(option.value, option.label, option.hint) for option in options_of(one)]
    return tuple(Choice(value, f"{label} – {hint}" if hint else label) for value, label, hint in named)


# ── Errors ────────────────────────────────────────────────────────────────────


def _error(name: str, errors: Mapping[str, str]) -> str:
    inside = {path.removeprefix(f"{name}."): text for path, text in errors.items() if path.startswith(f"{name}.")}
    return errors.get(name) or _joined(inside)


def _joined(errors: Mapping[str, str]) -> str:
    own = (WHOLE_FIELD.name, "")
    return "; ".join(message if path in own else f"{path}: {message}" for path, message in errors.items())


# ── Attributes of the control ─────────────────────────────────────────────────

_INPUT_TYPES = {"email": "email", "url": "url", "phone": "tel", "password": "password"}


def _attributes(one: FormField, shape: Shape, widget: Widget) -> dict[str, object]:
    match widget:
        case "number":
            return _number_attributes(one, shape)
        case "text" | "textarea":
            return _text_attributes(one, shape)
        case "json":
            return {"rows": one.rows if isinstance(one, LongText) else None, "spellcheck": "false"}
        case "date" | "time" | "datetime-local":
            return _calendar_attributes(one)
        case _:
            return {}


def _number_attributes(one: FormField, shape: Shape) -> dict[str, object]:
    limits: dict[str, object] = {
        "inputmode": "numeric" if shape.whole else "decimal",
        "min": shape.schema.get("minimum"),
        "max": shape.schema.get("maximum"),
        "step": shape.schema.get("multipleOf"),
    }
    match one:
        case Slider():
            own: dict[str, object] = {key: number_text(getattr(one, key)) for key in ("min", "max", "step")}
        case StarRating():
            own = {"min": 1, "max": one.max, "step": 1}
        case OpinionScale():
            own = {"min": one.min, "max": one.max, "step": 1}
        case _:
            own = {"placeholder": getattr(one, "placeholder", None)}
    return {**limits, **own}


def _text_attributes(one: FormField, shape: Shape) -> dict[str, object]:
    return {
        "type": _INPUT_TYPES.get(one.subtype) if isinstance(one, ShortText) else None,
        "minlength": getattr(one, "min_length", None) or shape.schema.get("minLength"),
        "maxlength": getattr(one, "max_length", None) or shape.schema.get("maxLength"),
        "placeholder": getattr(one, "placeholder", None),
        "rows": getattr(one, "rows", None),
    }


def _calendar_attributes(one: FormField) -> dict[str, object]:
    match one:
        case Date():
            return {"min": one.min_date, "max": one.max_date}
        case Time():
            return {"min": one.min_time, "max": one.max_time, "step": 1}
        case DateTime():
            return {"min": _local(one, one.min_datetime), "max": _local(one, one.max_datetime), "step": 1}
        case _:
            return {}


def _local(one: DateTime, limit: datetime | None) -> str | None:
    text = write("datetime-local", limit.isoformat(), one, ANYTHING)[0] if limit else ""
    return text if text and is_native("datetime-local", text) else None


# ── What is only shown ────────────────────────────────────────────────────────


def _display(one: FormField) -> Control:
    label, hint, text, url = _showing(one)
    return Control(name=one.name, kind=one.kind, widget="display", label=label, hint=hint, text=text, url=_safe(url))


def _showing(one: FormField) -> Sequence[str]:
    """Give label, hint, text and address."""
    label, hint = one.label or "", one.hint or ""
    match one:
        case DisplayText():
            return label, hint, one.text, ""
        case Html():
            return label, hint, one.html, ""
        case Section() | SectionCollapse():
            return one.title, one.subtitle or hint, "", ""
        case Image():
            return label, hint, one.alt or "", one.url
        case Video() | PdfViewer():
            return label, hint, "", one.url
        case _:
            return label, hint, "", ""


def _safe(url: str) -> str:
    """Give only addresses that a link may lead to."""
    return url if url.lower().startswith(("https://", "http://")) else ""
