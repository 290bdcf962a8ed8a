"""What a page draws for each field of a form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple, cast

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
from awaithumans.forms.nodes import (
    KEY,
    MARK,
    MAX_ROWS,
    VALUE,
    Composed,
    Group,
    Leaf,
    Node,
    OneOf,
    Rows,
    is_shown,
    nodes_of,
    whole_node,
)
from awaithumans.forms.posting import ABSENT, HERE, KEY_NODE, NOTHING, Filled, fill, fill_anew
from awaithumans.forms.shape import ANYTHING, Shape
from awaithumans.forms.values import Typed, is_native, number_text, options_of, preset, write
from awaithumans.forms.widgets import WHOLE_FIELD, Widget, asks_whole
from awaithumans.types import JsonObject


class Choice(NamedTuple):
    """One thing to choose, as the page posts it and as it reads."""

    value: str
    label: str


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
    entries: tuple[Entry, ...]
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
    `inputmode` among its `attributes`, since a browser posts a number it
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
    parts: Parts | None = None


def render_fields(
    form: FormDefinition | JsonObject | None,
    response_schema: JsonObject,
    values: Mapping[str, object],
    errors: Mapping[str, str],
) -> list[Control]:
    """List what to draw, in order; the fields of a section follow it.

    `values` is a response, or the `typed` of a refused submission. A field
    without a value starts with its default. Errors inside a field's value
    ("items.0.amount") are shown at the part, or at the field where it has none.
    """
    shown = form_for(form, response_schema)
    if asks_whole(shown, response_schema):
        return [_whole(whole_node(response_schema), values, errors)]
    nodes = nodes_of(shown, response_schema)
    return [_field(node, f"field-{number}", values, errors) for number, node in enumerate(nodes, start=1)]


def _whole(node: Node, values: Mapping[str, object], errors: Mapping[str, str]) -> Control:
    name = WHOLE_FIELD.name
    typed = any(isinstance(value, Typed) for value in values.values())
    start = values if typed else {name: dict(values)}
    below = {path if path == name else f"{name}.{path}".rstrip("."): text for path, text in errors.items()}
    drawn = _field(node, "field-1", start, below)
    return drawn if drawn.parts else replace(drawn, error=_joined(errors))


def _field(node: Node, place: str, values: Mapping[str, object], errors: Mapping[str, str]) -> Control:
    if is_shown(node):
        return _display(node.field, place)
    one, shape, name = node.field, node.shape, node.field.name
    widget = node.widget if isinstance(node, Leaf) else "json"
    current = () if f"{name}.{MARK}" in values else _current(one, shape, widget, values)
    control = _control(one, shape, widget, name, place, current, _error(name, errors))
    filled = None if isinstance(node, Leaf) else _filling(node, values)
    if isinstance(node, Leaf) or filled is None:
        return control
    return Drawing(filled, errors).whole(node, control)


def _filling(node: Composed, values: Mapping[str, object]) -> Filled | None:
    """Give what the parts hold; None where they are asked for as one."""
    name = node.field.name
    if f"{name}.{MARK}" in values:
        return {key: texts for key, texts in values.items() if isinstance(texts, Typed)}
    return None if isinstance(values.get(name), Typed) else fill(node, values.get(name, ABSENT))


def _control(
    one: FormField, shape: Shape, widget: Widget, name: str, place: str, current: Sequence[str], error: str
) -> Control:
    drawn = _drawn(widget, current)
    return Control(
        name=name,
        kind=one.kind,
        widget=drawn,
        id=place,
        label=one.label or humanised(one.name),
        hint=_hint(one),
        required=one.required,
        values=tuple(current),
        options=_choices(one, widget),
        error=error,
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


# ── Parts ─────────────────────────────────────────────────────────────────────


class Drawing:
    """Draws the parts of one field, as they are `filled` in."""

    def __init__(self, filled: Filled, errors: Mapping[str, str]) -> None:
        self._filled = filled
        self._errors = errors

    def whole(self, node: Composed, control: Control) -> Control:
        """Draw a field in parts."""
        return self._composed(node, control, control.name)

    def _node(self, node: Node, name: str, path: str, place: str) -> Control:
        one, shape = node.field, node.shape
        if not isinstance(node, Leaf):
            shell = _control(one, shape, "json", name, place, (), _error(path, self._errors))
            return self._composed(node, shell, path)
        if node.widget == "display":
            return _display(one, place)
        current = self._filled[name] if name in self._filled else _current(one, shape, node.widget, {})
        return _control(one, shape, node.widget, name, place, current, _error(path, self._errors))

    def _composed(self, node: Composed, shell: Control, path: str) -> Control:
        mark = f"{shell.name}.{MARK}"
        known = self._filled if mark in self._filled else fill_anew(node, shell.name)
        marks = [text for text in known[mark] if text]
        match node:
            case Group():
                parts = self._group(node, shell, path, marks)
            case Rows():
                parts = self._rows(node, shell, path, marks)
            case OneOf():
                parts = self._choice(node, shell, path, marks)
        error = self._errors.get(path) or _joined(self._loose(path, parts))
        return replace(shell, parts=replace(parts, error=error))

    def _group(self, node: Group, shell: Control, path: str, marks: Sequence[str]) -> Parts:
        there = not node.optional or HERE in marks
        controls = self._members(node, shell.name, path, shell.id) if there else ()
        remove = "Remove" if node.optional else ""
        entries = (Entry(HERE, shell.label, True, remove, controls),) if there else ()
        return Parts(kind="group", mark=f"{shell.name}.{MARK}", entries=entries, add="" if there else "Add")

    def _members(self, node: Group, name: str, path: str, place: str) -> tuple[Control, ...]:
        return tuple(
            self._node(part, f"{name}.{key}", f"{path}.{key}", f"{place}-{number}")
            for number, (key, part) in enumerate(node.parts.items(), start=1)
        )

    def _rows(self, node: Rows, shell: Control, path: str, marks: Sequence[str]) -> Parts:
        entry = node.entry() if marks else None
        entries = [
            self._row(node, cast("Node", entry), shell, f"{path}.{at}", number, at) for at, number in enumerate(marks)
        ]
        more = len(marks) < node.most
        return Parts(
            kind="rows",
            mark=f"{shell.name}.{MARK}",
            entries=tuple(entries),
            add=node.add if more else "",
            limits=_extent(node),
        )

    def _row(self, node: Rows, entry: Node, shell: Control, path: str, number: str, at: int) -> Entry:
        name, place = f"{shell.name}.{number}", f"{shell.id}-{number}"
        if isinstance(entry, Group) and not entry.optional:
            controls = self._members(entry, name, path, place)
        elif node.keyed:
            path = f"{path.rpartition('.')[0]}.{MARK}{number}"
            key = self._node(KEY_NODE, f"{name}.{KEY}", f"{path}.{KEY}", f"{place}-1")
            controls = (key, self._node(entry, f"{name}.{VALUE}", path, f"{place}-2"))
        else:
            controls = (self._node(entry, name, path, f"{place}-1"),)
        return Entry(number, f"{at + 1}", True, node.remove, controls)

    def _choice(self, node: OneOf, shell: Control, path: str, marks: Sequence[str]) -> Parts:
        entries = [
            self._alternative(choice, label, shell, path, at, marks) for at, (label, choice) in enumerate(node.choices)
        ]
        if node.none:
            entries.append(Entry(NOTHING, "None", marks == [NOTHING], "", ()))
        return Parts(kind="choice", mark=f"{shell.name}.{MARK}", entries=tuple(entries))

    def _alternative(
        self, choice: Node, label: str, shell: Control, path: str, at: int, marks: Sequence[str]
    ) -> Entry:
        name, place = f"{shell.name}.{MARK}{at}", f"{shell.id}-{at + 1}"
        chosen = marks == [str(at)]
        drawing = self if chosen else Drawing(self._filled, {})
        if isinstance(choice, Group) and not choice.optional:
            controls = drawing._members(choice, name, path, place)  # noqa: SLF001 - another of the same kind
        else:
            controls = (drawing._node(choice, name, path, f"{place}-1"),)  # noqa: SLF001
        return Entry(str(at), label, chosen, "", controls)

    def _loose(self, path: str, parts: Parts) -> dict[str, str]:
        """Give the errors below a path that none of the parts shows."""
        shown = [text for one in walk(parts) if (text := one.parts.error if one.parts else one.error)]
        below = _inside(path, self._errors)
        return {one: text for one, text in below.items() if not any(text in error for error in shown)}


def walk(parts: Parts) -> Iterator[Control]:
    """Yield every control of parts, and of their parts."""
    for entry in parts.entries:
        for control in entry.controls:
            yield control
            if control.parts:
                yield from walk(control.parts)


def _extent(node: Rows) -> str:
    if not node.add:
        return ""
    most = node.most if node.most < MAX_ROWS else None
    if node.least and most:
        return f"{node.least} to {most}" if node.least < most else f"exactly {most}"
    return f"at least {node.least}" if node.least else f"at most {most}" if most else ""


# ── Errors ────────────────────────────────────────────────────────────────────


def _error(name: str, errors: Mapping[str, str]) -> str:
    return errors.get(name) or _joined(_inside(name, errors))


def _inside(name: str, errors: Mapping[str, str]) -> dict[str, str]:
    return {path.removeprefix(f"{name}."): text for path, text in errors.items() if path.startswith(f"{name}.")}


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


def _display(one: FormField, place: str) -> Control:
    label, hint, text, url = _showing(one)
    return Control(
        name=one.name, kind=one.kind, widget="display", id=place, label=label, hint=hint, text=text, url=_safe(url)
    )


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
