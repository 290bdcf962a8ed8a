"""One field of a form as blocks of a modal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal

from awaithumans.channels.slack.blocks import (
    MAX_URL,
    Block,
    context,
    divider,
    escaped,
    header,
    mrkdwn,
    paragraphs,
    plain,
    section,
)
from awaithumans.channels.slack.fields import Asked
from awaithumans.forms import Control, FormField, Widget
from awaithumans.forms.definition import (
    DateTime,
    DisplayText,
    Divider,
    FileUpload,
    Image,
    MultiSelect,
    OpinionScale,
    PictureChoice,
    RichText,
    Section,
    SectionCollapse,
    ShortText,
    Slider,
    StarRating,
)

MAX_OPTIONS = 100
MAX_OPTION_VALUE = 150
MAX_OPTION_LABEL = 75
MAX_NAME = 240
MAX_INPUT = 3_000
MAX_FILES = 10

_MAX_LABEL = 2_000
_MAX_PLACEHOLDER = 150
_RADIO_BUTTONS = 4
_CHECKBOXES = 10
_STARS_IN_A_ROW = 10
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_ADDRESSES = {"email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"), "url": re.compile(r"https?://[^\s/]+\.\S+")}
_EPOCHS = range(10**9, 10**10)  # Slack takes ten digits
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}", re.ASCII)


def drawn(asked: Asked) -> list[Block] | None:
    """Draw a field; None where Slack cannot without hiding or bending something."""
    if asked.control.widget == "display":
        return _display(asked)
    element = _element(asked)
    if element is None or len(asked.control.name) > MAX_NAME:
        return None
    return [*_fault(asked.control), _input(asked, element)]


def _input(asked: Asked, element: Block) -> Block:
    hint = _hint(asked, element)
    return {
        "type": "input",
        "block_id": asked.block_id,
        "label": plain(asked.label, _MAX_LABEL),
        "optional": _optional(asked),
        **({"hint": plain(hint, _MAX_LABEL)} if hint else {}),
        "element": {"action_id": asked.control.name, **element},
    }


def _optional(asked: Asked) -> bool:
    """Tell whether nothing may be given; an empty choice of several answers, too."""
    if asked.control.widget != "checkboxes":
        return not asked.control.required
    least = asked.field.min_count if isinstance(asked.field, MultiSelect) else None
    return not (least or asked.shape.schema.get("minItems"))


def _hint(asked: Asked, element: Block) -> str:
    """Give the line of help; Slack asks for moments in the reader's own time zone."""
    own = asked.field.hint if element["type"] == "datetimepicker" else asked.control.hint
    return (own or "").strip()


def _fault(control: Control) -> list[Block]:
    return [context(plain(f"⚠️ {control.error}", _MAX_LABEL))] if control.error else []


# ── What is only shown ────────────────────────────────────────────────────────


def _display(asked: Asked) -> list[Block] | None:
    match asked.field:
        case DisplayText():
            return [*_heading(asked), *paragraphs(asked.control.text), *_small(asked.control.hint)]
        case Section() | SectionCollapse():
            return [*_title(asked.control.label), *_small(asked.control.hint)]
        case Divider():
            return [divider()]
        case Image():
            return _image(asked.control)
        case _:
            return None


def _heading(asked: Asked) -> list[Block]:
    label = asked.control.label.strip()
    return [section(mrkdwn(f"*{escaped(label, _MAX_LABEL)}*"))] if label else []


def _title(text: str) -> list[Block]:
    return [header(text.strip())] if text.strip() else []


def _small(text: str) -> list[Block]:
    return [context(plain(text.strip(), _MAX_LABEL))] if text.strip() else []


def _image(control: Control) -> list[Block] | None:
    if not control.url or len(control.url) > MAX_URL:
        return None
    alt = control.text.strip() or control.label.strip() or "image"
    title: Block = {"title": plain(control.label.strip(), _MAX_LABEL)} if control.label.strip() else {}
    return [{"type": "image", "image_url": control.url, "alt_text": plain(alt, _MAX_LABEL)["text"], **title}]


# ── What is asked ─────────────────────────────────────────────────────────────


def _element(asked: Asked) -> Block | None:
    draw = _ELEMENTS.get(asked.control.widget)
    return draw(asked) if draw else None


def _options(control: Control) -> list[Block] | None:
    """Draw what there is to choose from; None where it could not be told apart."""
    labels = {one.value: one.label.strip() or one.value for one in control.options}
    texts = {value: cut_label(label) for value, label in labels.items()}
    fits = 0 < len(control.options) <= MAX_OPTIONS and len(labels) == len(control.options)
    readable = all(value.strip() and len(value) <= MAX_OPTION_VALUE for value in labels)
    if not (fits and readable) or len(set(texts.values())) < len(set(labels.values())):
        return None
    return [_option(value, text) for value, text in texts.items()]


def cut_label(label: str) -> str:
    """Shorten the label of an option."""
    return str(plain(label, MAX_OPTION_LABEL)["text"])


def _option(value: str, label: str) -> Block:
    return {"text": plain(label, MAX_OPTION_LABEL), "value": value}


def _chosen(asked: Asked, options: Sequence[Block]) -> list[Block]:
    return [one for one in options if one["value"] in asked.control.values]


def _one_of(asked: Asked) -> Block | None:
    options = _options(asked.control)
    chosen = _chosen(asked, options or [])
    if not options or len(chosen) > 1:
        return None
    pictures = isinstance(asked.field, PictureChoice)
    kind: Block = {"type": "radio_buttons"}
    if pictures or len(options) > _RADIO_BUTTONS:
        kind = {"type": "static_select", "placeholder": plain("Choose one", _MAX_PLACEHOLDER)}
    return {**kind, "options": options, **({"initial_option": chosen[0]} if chosen else {})}


def _several_of(asked: Asked) -> Block | None:
    options = _options(asked.control)
    if not options:
        return None
    pictures = isinstance(asked.field, PictureChoice)
    kind: Block = {"type": "checkboxes"}
    if pictures or len(options) > _CHECKBOXES:
        kind = {"type": "multi_static_select", "placeholder": plain("Choose any", _MAX_PLACEHOLDER)}
    chosen = _chosen(asked, options)
    return {**kind, "options": options, **({"initial_options": chosen} if chosen else {})}


def _amount(asked: Asked) -> Block:
    return _scale(asked) or _number(asked)


def _scale(asked: Asked) -> Block | None:
    """Draw a scale as a list of its steps, if it is short and a step of it is chosen."""
    steps = _steps(asked.field)
    if not 0 < len(steps) <= MAX_OPTIONS or (asked.initial and asked.initial not in steps):
        return None
    options = [_option(value, label) for value, label in steps.items()]
    chosen = _chosen(asked, options)
    return {
        "type": "static_select",
        "placeholder": plain("Choose one", _MAX_PLACEHOLDER),
        "options": options,
        **({"initial_option": chosen[0]} if chosen else {}),
    }


def _steps(field: FormField) -> dict[str, str]:
    """Label the steps of a scale by their numbers; none where the field is none."""
    match field:
        case StarRating():
            return {str(stars): _stars(stars, field.max) for stars in range(1, field.max + 1)}
        case OpinionScale():
            labels = {str(step): str(step) for step in range(field.min, field.max + 1)}
            ends = {str(field.max): field.max_label, str(field.min): field.min_label}
            return labels | {step: cut_label(f"{step} – {name}") for step, name in ends.items() if name}
        case _:
            return {}


def _stars(stars: int, most: int) -> str:
    return "★" * stars + "☆" * (most - stars) if most <= _STARS_IN_A_ROW else f"{stars} ★"


# ── Numbers ───────────────────────────────────────────────────────────────────


def _number(asked: Asked) -> Block:
    text, attributes = asked.initial, asked.control.attributes
    whole = attributes.get("inputmode") == "numeric" or _has_whole_steps(asked)
    written = _WHOLE if whole else _DECIMAL
    if text and not written.fullmatch(text):
        return _line(text)
    low, high = (_limit(attributes.get(end), written) for end in ("min", "max"))
    within = sorted(map(Decimal, filter(None, (low, text, high)))) == [*map(Decimal, filter(None, (low, text, high)))]
    return {
        "type": "number_input",
        "is_decimal_allowed": not whole,
        **({"initial_value": text} if text else {}),
        **({"min_value": low} if low and within else {}),
        **({"max_value": high} if high and within else {}),
        **_placeholder(asked.control),
    }


def _has_whole_steps(asked: Asked) -> bool:
    field = asked.field
    if not isinstance(field, Slider):
        return isinstance(field, StarRating | OpinionScale) and not asked.initial.count(".")
    return float(field.step).is_integer() and float(field.min).is_integer() and "." not in asked.initial


def _limit(text: str | None, written: re.Pattern[str]) -> str | None:
    return text if text and written.fullmatch(text) else None


# ── Dates and times ───────────────────────────────────────────────────────────


def _picker(kind: str, key: str, initial: object) -> Block:
    return {"type": kind, **({key: initial} if initial else {})}


def _date(asked: Asked) -> Block:
    return _picker("datepicker", "initial_date", asked.initial)


def _time(asked: Asked) -> Block:
    """Draw a time; Slack's picker has no seconds."""
    if asked.initial and (time.fromisoformat(asked.initial).second):
        return _line(asked.initial)
    return _picker("timepicker", "initial_time", asked.initial[:5])


def _moment(asked: Asked) -> Block:
    """Draw a moment; Slack's picker has no seconds, and shows the reader's own clock."""
    initial = initial_epoch(asked)
    if asked.initial and (initial is None or initial % 60 or initial not in _EPOCHS):
        return _line(asked.initial)
    return _picker("datetimepicker", "initial_date_time", initial)


def initial_epoch(asked: Asked) -> int | None:
    """Give the moment a field starts with, in seconds since 1970; None for one without a zone."""
    field = asked.field
    if not isinstance(field, DateTime) or not asked.initial or _floats(asked.start, field):
        return None
    return int(field.aware(datetime.fromisoformat(asked.initial)).timestamp())


def _floats(start: object, field: DateTime) -> bool:
    return isinstance(start, str) and not field.timezone and datetime.fromisoformat(start).tzinfo is None


# ── Text and files ────────────────────────────────────────────────────────────


def _text(asked: Asked) -> Block | None:
    control, field = asked.control, asked.field
    subtype = field.subtype if isinstance(field, ShortText) else None
    if isinstance(field, RichText) or subtype == "password" or len(asked.initial) > MAX_INPUT:
        return None
    pattern = _ADDRESSES.get(subtype or "")
    if pattern and (not asked.initial or pattern.fullmatch(asked.initial)):
        return {"type": f"{subtype}_text_input", **_start(asked.initial), **_placeholder(control)}
    limits = _lengths(asked)
    if limits is None:
        return None
    return {**_line(asked.initial, multiline=control.widget == "textarea"), **limits, **_placeholder(control)}


def _line(text: str, *, multiline: bool = False) -> Block:
    return {"type": "plain_text_input", **({"multiline": True} if multiline else {}), **_start(text)}


def _start(text: str) -> Block:
    return {"initial_value": text} if text else {}


def _placeholder(control: Control) -> Block:
    text = control.attributes.get("placeholder", "").strip()
    return {"placeholder": plain(text, _MAX_PLACEHOLDER)} if text else {}


def _lengths(asked: Asked) -> Block | None:
    """Give what Slack is to check of a text's length; None for a text longer than it takes."""
    least, most = (int(float(asked.control.attributes.get(key, 0))) for key in ("minlength", "maxlength"))
    if least > MAX_INPUT:
        return None
    length = len(asked.initial) or least
    if (most and not least <= length <= most) or length < least:
        return {}
    return {**({"min_length": least} if least else {}), **({"max_length": min(most, MAX_INPUT)} if most else {})}


def _files(asked: Asked) -> Block | None:
    field, types = asked.field, asked.shape.types
    if not isinstance(field, FileUpload) or asked.start or (types and "array" not in types):
        return None
    most = (field.max_count or MAX_FILES) if field.multiple else 1
    if (field.min_count or 0) > MAX_FILES:
        return None
    accepted = field.accept or ()
    known = accepted and all(_EXTENSION.fullmatch(one) for one in accepted)
    return {
        "type": "file_input",
        "max_files": min(most, MAX_FILES),
        **({"filetypes": [one.removeprefix(".").lower() for one in accepted]} if known else {}),
    }


_ELEMENTS: Mapping[Widget, Callable[[Asked], Block | None]] = {
    "switch": _one_of,
    "radio": _one_of,
    "select": _one_of,
    "checkboxes": _several_of,
    "number": _amount,
    "date": _date,
    "time": _time,
    "datetime-local": _moment,
    "text": _text,
    "textarea": _text,
    "files": _files,
}
