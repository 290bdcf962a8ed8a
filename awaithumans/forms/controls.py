"""The controls of a page, and what one field makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from awaithumans.display import size as size_of
from awaithumans.forms.definition import (
    Date,
    DateTime,
    DisplayText,
    FileUpload,
    FormField,
    Html,
    Image,
    LongText,
    OpinionScale,
    PdfViewer,
    PictureChoice,
    Section,
    SectionCollapse,
    ShortText,
    Signature,
    Slider,
    StarRating,
    Switch,
    Time,
    Video,
)
from awaithumans.forms.files import Kept, kept_files
from awaithumans.forms.infer import humanised
from awaithumans.forms.shape import ANYTHING, Shape
from awaithumans.forms.signatures import Drawing, drawing_in
from awaithumans.forms.values import LEFT_OUT, SEVERAL, Typed, is_native, lines, number_text, options_of, preset, write
from awaithumans.forms.widgets import Widget
from awaithumans.words import counted, joined, words


class Choice(NamedTuple):
    """One thing to choose, as the page posts it and as it reads."""

    value: str
    label: str


MAX_STEPS_DRAWN = 12
"""How many steps a scale may have to be drawn step by step."""

_MANY_DIGITS = 10
_LINES = frozenset({"text", "number", "select", "date", "time", "datetime-local"})


class Entry(NamedTuple):
    """One entry of parts: the part itself, one of several, or a row."""

    value: str
    """What the entry's mark posts."""
    label: str
    chosen: bool
    """Whether it is there, or the one of several."""
    remove: str
    """What the button says that takes it away; "" for none."""
    controls: tuple[Control, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How a control can be drawn in parts instead.

    `mark` is the name under which the `value` of each entry that is there is
    posted, after an empty text that always is. Of a "choice" one entry is
    chosen, and the others are drawn all the same. `add` is what the button
    says that adds an entry; "" for none.
    """

    kind: Literal["group", "rows", "choice"]
    mark: str
    entries: tuple[Entry, ...] = ()
    add: str = ""
    limits: str = ""
    """How many rows there may be, in words."""
    error: str = ""
    """What is wrong that none of the controls inside shows."""

    @property
    def small(self) -> bool:
        """Tell whether each entry is a single line."""
        inside = [one for entry in self.entries for one in entry.controls]
        return len(inside) == len(self.entries) and all(one.parts is None and one.widget in _LINES for one in inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One field as a page draws it.

    `values` is what stands in it, as text. A "switch" posts "true" or "false"
    out of its two `options`. A "number" is drawn as a line of text with the
    `inputmode` among its `attributes` (of which "above" and "below", its open
    ends, are none of HTML), since a browser posts a number it
    cannot read as nothing at all; so is a date or time that the browser's own
    control cannot hold, as a "text". A "display" has `text`, a heading as `label`
    or the address of something to look at as `url`, and no value. What has
    `parts` may be drawn as those or, where it is a field of the form, as its
    `widget`; the parts of a part are all there is. `id` is unique among the
    controls. Everything here may come from strangers and has to be escaped.
    """

    name: str
    kind: str
    widget: Widget
    id: str = ""
    label: str = ""
    hint: str = ""
    required: bool = False
    values: tuple[str, ...] = ()
    options: tuple[Choice, ...] = ()
    error: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    text: str = ""
    url: str = ""
    source: str = ""
    """The address as it was given; only what a page may show by itself is to be fetched from there."""
    parts: Parts | None = None
    around: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands around the control: "before" and "after" a number, at the "low" and "high" end of a scale."""
    pictures: tuple[str, ...] = ()
    """Where the picture of each option is."""
    steps: tuple[Choice, ...] = ()
    """The numbers of a short scale, which may be drawn as options as long as one of them or nothing stands in it."""
    markdown: bool = False
    """Whether the text is Markdown."""
    within: int = 0
    """How many of the controls after a section are in it."""
    open: bool = True
    """Whether a section begins open."""

    @property
    def files(self) -> Sequence[Kept]:
        """List the files that were sent already."""
        found = kept_files(self.values) if self.widget == "files" else []
        return found if "multiple" in self.attributes else found[-1:]

    @property
    def drawing(self) -> Drawing | None:
        """Give the signature that was sent already."""
        return drawing_in(self.values) if self.widget == "signature" else None

    @property
    def signed(self) -> str:
        """Give the name that was typed as a signature."""
        return next((text for text in self.values if text and not text.startswith(("data:", "<svg", "{"))), "")

    @property
    def ranked(self) -> Sequence[Choice]:
        """Give the options in the order that stands in the control, the others after them."""
        places = {text: at for at, text in reversed(list(enumerate(self.values)))}
        return sorted(self.options, key=lambda option: places.get(option.value, len(places)))

    @property
    def left_out(self) -> bool:
        """Tell whether a ranking is not given."""
        return not self.values or LEFT_OUT in self.values

    @property
    def limits(self) -> str:
        """Say in words what may be filled in; "" where there is no limit to a number or a length."""
        if self.parts:
            return self.parts.limits
        if self.widget == "files":
            return self.around.get("limits", "")
        if self.steps:
            return ""
        step = self.attributes.get("step", "") if self.widget == "number" else ""
        steps = words("in steps of %(step)s", step=step) if step not in {"", "1"} else ""
        return joined(", ", filter(None, (self._span(), *self._open_ends(), steps)))

    def _span(self) -> str:
        if self.widget == "number":
            return between(self.attributes.get("min", ""), self.attributes.get("max", ""))
        least, most = self.attributes.get("minlength", ""), self.attributes.get("maxlength", "")
        said = between("" if least == "1" and self.required else least, most)
        limit = most or least
        number = int(limit) if limit.isdecimal() and len(limit) < _MANY_DIGITS else 0
        return said and counted("%(limits)s character", "%(limits)s characters", number, limits=said)

    def _open_ends(self) -> Iterator[str]:
        if above := self.attributes.get("above"):
            yield words("more than %(limit)s", limit=above)
        if below := self.attributes.get("below"):
            yield words("less than %(limit)s", limit=below)


def control_of(
    one: FormField, shape: Shape, widget: Widget, values: Sequence[str], *, name: str, at: str, error: str
) -> Control:
    """Draw the control that asks for a field, with these texts in it."""
    drawn = _drawn(widget, values)
    return Control(
        name=name,
        kind=one.kind,
        widget=drawn,
        id=at,
        label=one.label or humanised(one.name),
        hint=_hint(one),
        required=one.required,
        values=tuple(values),
        options=_choices(one, widget),
        error=error,
        attributes={key: str(limit) for key, limit in _attributes(one, shape, drawn).items() if limit is not None},
        around={key: word for key, word in _words(one).items() if word},
        pictures=tuple(option.image_url for option in one.options) if isinstance(one, PictureChoice) else (),
        steps=_steps(one, drawn, values),
    )


def _words(one: FormField) -> dict[str, str | None]:
    match one:
        case Slider():
            return {"before": one.prefix, "after": one.suffix}
        case ShortText():
            return {"after": one.currency_code}
        case OpinionScale():
            return {"low": one.min_label, "high": one.max_label}
        case FileUpload():
            limits = list(_file_limits(one))
            return {"limits": joined(", ", limits) if limits else None}
        case _:
            return {}


def _file_limits(one: FileUpload) -> Iterator[str]:
    if one.multiple and (count := between(str(one.min_count or ""), str(one.max_count or ""))):
        yield counted("%(limits)s file", "%(limits)s files", one.max_count or one.min_count or 0, limits=count)
    if one.accept:
        yield ", ".join(one.accept)
    if one.max_size_bytes is not None:
        size = size_of(one.max_size_bytes)
        yield words("at most %(size)s each", size=size) if one.multiple else words("at most %(size)s", size=size)


def _steps(one: FormField, widget: Widget, values: Sequence[str]) -> tuple[Choice, ...]:
    match one:
        case StarRating():
            numbers = range(1, one.max + 1)
        case OpinionScale():
            numbers = range(one.min, one.max + 1)
        case _:
            return ()
    texts = [str(number) for number in numbers]
    short = widget == "number" and len(texts) <= MAX_STEPS_DRAWN
    return tuple(Choice(text, text) for text in texts) if short and set(texts).issuperset(filter(None, values)) else ()


def _drawn(widget: Widget, current: Sequence[str]) -> Widget:
    """Choose a control that keeps what stands in it."""
    if widget == "text" and any("\n" in lines(text) for text in current):
        return "textarea"
    return widget if all(is_native(widget, text) for text in current) else "text"


def texts_in(one: FormField, shape: Shape, widget: Widget, values: Mapping[str, object]) -> tuple[str, ...]:
    """Give what stands in a field's control: its value as text, or its default."""
    if one.name not in values:
        start = preset(one, shape)
        return () if start is None else write(widget, start, one, shape)
    value = values[one.name]
    return tuple(value) if isinstance(value, Typed) else write(widget, value, one, shape)


def _hint(one: FormField) -> str:
    if not isinstance(one, DateTime):
        return one.hint or ""
    zone = words("Time zone: %(zone)s", zone=one.timezone or "UTC")
    return joined(". ", [one.hint.rstrip("."), zone]) if one.hint else zone


def _known(label: str) -> str:
    """Have a label translated that is what `Switch` says if it is told nothing else."""
    return {"Yes": words("Yes"), "No": words("No")}.get(label, label)


def switch_labels(one: Switch) -> Sequence[tuple[str, str]]:
    """Give what people read for yes and for no, by the text of each."""
    return ("true", _known(one.true_label)), ("false", _known(one.false_label))


def _choices(one: FormField, widget: Widget) -> tuple[Choice, ...]:
    if widget == "switch" and isinstance(one, Switch):
        return tuple(Choice(text, label) for text, label in switch_labels(one))
    if widget not in {"radio", "select", *SEVERAL}:
        return ()
    named = [(option.value, option.label, option.hint) for option in options_of(one)]
    return tuple(Choice(value, f"{label} – {hint}" if hint else label) for value, label, hint in named)


def walk(parts: Parts) -> Iterator[Control]:
    """Yield every control of parts, and of their parts."""
    for entry in parts.entries:
        for control in entry.controls:
            yield control
            if control.parts:
                yield from walk(control.parts)


def between(least: str, most: str) -> str:
    """Say in words what lies between two limits; either may be missing."""
    if least and least == most:
        return words("exactly %(limit)s", limit=most)
    if least and most:
        return words("%(least)s to %(most)s", least=least, most=most)
    if least:
        return words("at least %(limit)s", limit=least)
    return words("at most %(limit)s", limit=most) if most else ""


# ── Attributes of the control ─────────────────────────────────────────────────

_INPUT_TYPES = {"email": "email", "url": "url", "phone": "tel", "password": "password"}


def _attributes(one: FormField, shape: Shape, widget: Widget) -> dict[str, object]:
    give = _ATTRIBUTES.get(widget)
    return give(one, shape) if give else {}


def _number_attributes(one: FormField, shape: Shape) -> dict[str, object]:
    limits: dict[str, object] = {
        "inputmode": "numeric" if shape.whole else "decimal",
        "min": shape.schema.get("minimum"),
        "max": shape.schema.get("maximum"),
        "step": shape.schema.get("multipleOf"),
        "above": shape.schema.get("exclusiveMinimum"),
        "below": shape.schema.get("exclusiveMaximum"),
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


def _file_attributes(one: FormField, _shape: Shape) -> dict[str, object]:
    if not isinstance(one, FileUpload):
        return {}
    return {
        "accept": ",".join(one.accept) if one.accept else None,
        "multiple": "" if one.multiple else None,
        "data-most": one.max_count if one.multiple else None,
        "data-most-bytes": one.max_size_bytes,
    }


def _text_attributes(one: FormField, shape: Shape) -> dict[str, object]:
    return {
        "type": _INPUT_TYPES.get(one.subtype) if isinstance(one, ShortText) else None,
        "minlength": getattr(one, "min_length", None) or shape.schema.get("minLength"),
        "maxlength": getattr(one, "max_length", None) or shape.schema.get("maxLength"),
        "placeholder": getattr(one, "placeholder", None),
        "rows": getattr(one, "rows", None),
    }


def _calendar_attributes(one: FormField, _shape: Shape) -> dict[str, object]:
    match one:
        case Date():
            return {"min": one.min_date, "max": one.max_date}
        case Time():
            return {"min": one.min_time, "max": one.max_time, "step": 1}
        case DateTime():
            return {"min": _local(one, one.min_datetime), "max": _local(one, one.max_datetime), "step": 1}
        case _:
            return {}


def _json_attributes(one: FormField, _shape: Shape) -> dict[str, object]:
    return {"rows": one.rows if isinstance(one, LongText) else None, "spellcheck": "false"}


def _signature_attributes(one: FormField, _shape: Shape) -> dict[str, object]:
    return {"format": one.format} if isinstance(one, Signature) else {}


def _local(one: DateTime, limit: datetime | None) -> str | None:
    text = write("datetime-local", limit.isoformat(), one, ANYTHING)[0] if limit else ""
    return text if text and is_native("datetime-local", text) else None


_ATTRIBUTES: Mapping[Widget, Callable[[FormField, Shape], dict[str, object]]] = {
    "number": _number_attributes,
    "text": _text_attributes,
    "textarea": _text_attributes,
    "date": _calendar_attributes,
    "time": _calendar_attributes,
    "datetime-local": _calendar_attributes,
    "files": _file_attributes,
    "signature": _signature_attributes,
    "json": _json_attributes,
}


# ── What is only shown ────────────────────────────────────────────────────────


def display_of(one: FormField, at: str) -> Control:
    """Draw a field that is only there to be read."""
    label, hint, text, url = _showing(one)
    return Control(
        name=one.name,
        kind=one.kind,
        widget="display",
        id=at,
        label=label,
        hint=hint,
        text=text,
        url=_safe(url),
        source=url,
        attributes={key: str(given) for key, given in _extent(one).items() if given is not None},
        markdown=isinstance(one, DisplayText) and one.markdown,
        open=not isinstance(one, SectionCollapse) or one.default_open,
    )


def _extent(one: FormField) -> dict[str, object]:
    match one:
        case Image():
            return {"width": one.width, "height": one.height}
        case Video():
            return {"poster": one.poster_url, "autoplay": "" if one.autoplay else None}
        case PdfViewer():
            return {"height": one.height}
        case _:
            return {}


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
