"""What plain values are to people: money, a moment, a link, code.

Only what is certain is told. A number may be cents, an id or a year: it is
money beside a currency alone, and its digits are never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Literal
from urllib.parse import unquote_to_bytes

from awaithumans.types import JsonObject

Sense = Literal[
    "",
    "number",
    "money",
    "size",
    "moment",
    "day",
    "markdown",
    "code",
    "diff",
    "image",
    "video",
    "pdf",
    "email",
    "phone",
]

LINK = re.compile(r"https?://[^\s\"'<>\\^`{|}@/?#]{1,300}(?:[/?#][^\s\"'<>\\^`{|}]{0,1700})?", re.IGNORECASE | re.ASCII)
"""An address of the web; none that names a user, since `https://bank.example@evil.example` leads to the latter."""

_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CURRENCIES = ("currency", "currency_code", "currencyCode")
_AMOUNTS = frozenset({"amount", "price"})
_MEDIA_TYPES = ("mime", "mime_type", "media_type", "content_type")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EMAIL = re.compile(r"[a-z0-9_.+-]{1,64}@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", re.ASCII | re.IGNORECASE)
_PHONE = re.compile(r"\+\d([ ().-]{0,2}\d){6,16}", re.ASCII)
_DATA = re.compile(r"data:(image|video|application)/([a-z0-9.+-]+)[;,]", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/[a-z0-9][!-~]{0,2000}", re.ASCII | re.IGNORECASE)
_ENDINGS: Mapping[str, Sense] = {
    **dict.fromkeys(("avif", "gif", "jpeg", "jpg", "png", "svg", "webp"), "image"),
    **dict.fromkeys(("mp4", "ogv", "webm"), "video"),
    "pdf": "pdf",
}

_MARKDOWN_KEYS = frozenset({"markdown", "md"})
_CODE_KEYS = frozenset(
    {
        *("command", "css", "diff", "html", "log", "logs", "patch", "regex", "script", "shell", "snippet", "sql"),
        *("stderr", "stdout", "traceback", "xml", "yaml"),
    }
)
_SOURCE_KEYS = frozenset({"code", "source", "trace"})
"""Keys whose value is code if it has several lines: a code may be a number of a voucher."""
_DIFF = re.compile(r"^@@ -\d+(,\d+)? \+\d+(,\d+)? @@", re.ASCII | re.MULTILINE)
_CERTAIN = re.compile(
    r"^ {0,3}```[\w+-]*$"  # a fenced block
    r"|^ {0,3}\|?[ :]*-{3,}[ :]*\|[ :|-]*$"  # the line below a table's head
    r"|\[[^\[\]\n]{1,200}\]\(https?://[^\s)]{1,2000}\)"
    r"|(?<![\w*])\*\*[^\s*](?:[^*\n]{0,300}[^\s*])?\*\*(?![\w*])",
    re.MULTILINE,
)
_SIGNS = (
    re.compile(r"^#{1,6} \S.*\n\n", re.MULTILINE),
    re.compile(r"^ {0,3}[-*+] \S.*\n(?:.*\n)?? {0,3}[-*+] \S", re.MULTILINE),
    re.compile(r"^ {0,3}\d{1,3}[.)] \S.*\n(?:.*\n)?? {0,3}\d{1,3}[.)] \S", re.MULTILINE),
    re.compile(r"^> \S", re.MULTILINE),
    re.compile(r"(?<![\w`])`[^`\n]{1,200}`(?![\w`])"),
)
_EXAMINED = 20_000
_MOST_BYTES = 10**18


def sense_of(text: str, name: str, schema: JsonObject) -> Sense:
    """Tell what a text is, by what it says, its key and its JSON Schema."""
    hint = schema.get("contentMediaType")
    if isinstance(hint, str):
        return _by_media_type(hint)
    if "\n" in text:
        return _of_lines(text[:_EXAMINED], last_word(name))
    return _of_a_line(text, last_word(name))


def moment_of(text: str) -> datetime | None:
    """Read a date and time that say their zone."""
    return _in_utc(text) if _MOMENT.fullmatch(text) else None


def day_of(text: str) -> date | None:
    """Read a date without a time."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def money_of(record: Mapping[str, object]) -> str | None:
    """Write an object that is an amount and its currency, and nothing else: `12.50 EUR`."""
    currency = currency_of(record)
    others = [name for name in record if name not in _CURRENCIES]
    if not currency or others not in (["amount"], ["value"]):
        return None
    return amount_in(currency, record[others[0]])


def currency_of(record: Mapping[str, object]) -> str:
    """Return the code of the currency that an object names, or ""; "" too if it names several."""
    named = [record[name] for name in _CURRENCIES if name in record]
    first = named[0] if named else ""
    known = isinstance(first, str) and _CURRENCY.fullmatch(first) and all(one == first for one in named)
    return str(first) if known else ""


def is_amount(name: str) -> bool:
    """Tell whether a key stands for an amount of its object's currency."""
    return last_word(name) in _AMOUNTS


def amount_in(currency: str, value: object) -> str | None:
    """Write an amount with its currency, digit for digit; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text} {currency}" if _NUMBER.fullmatch(text) else None


def is_size(name: str, value: object, record: Mapping[str, object]) -> bool:
    """Tell whether a number counts bytes: its key says so, or it is the size of a file."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST_BYTES:
        return False
    return last_word(name) == "bytes" or (name == "size" and any(key in record for key in _MEDIA_TYPES))


def data_size(address: str) -> int:
    """Count the bytes of the file that a `data:` URL is."""
    head, _, content = address.partition(",")
    if head.lower().endswith(";base64"):
        return len(content.rstrip("=")) * 3 // 4
    return len(unquote_to_bytes(content.encode(errors="replace")))


def is_markdown(text: str) -> bool:
    """Tell whether a text is Markdown beyond doubt.

    One certain sign is enough, such as a link or bold words; of signs that
    other texts have, too, such as two lines that begin with a hyphen, it
    takes two kinds.
    """
    examined = text[:_EXAMINED]
    return bool(_CERTAIN.search(examined)) or sum(bool(sign.search(examined)) for sign in _SIGNS) > 1


def last_word(name: str) -> str:
    """Return the last word of a key, in lower case: `md` of `body_md` and of `bodyMd`."""
    return re.split(r"[_\-\s.]|(?<=[a-z0-9])(?=[A-Z])", name)[-1].lower()


def _by_media_type(media_type: str) -> Sense:
    match media_type.partition(";")[0].strip().lower():
        case "text/plain":
            return ""
        case "text/markdown":
            return "markdown"
        case "text/x-diff" | "text/x-patch":
            return "diff"
        case _:
            return "code"


def _of_lines(text: str, word: str) -> Sense:
    if _DIFF.search(text):
        return "diff"
    if word in _MARKDOWN_KEYS:
        return "markdown"
    if word in _CODE_KEYS or word in _SOURCE_KEYS:
        return "code"
    return "markdown" if is_markdown(text) else ""


def _of_a_line(text: str, word: str) -> Sense:
    if data := _DATA.match(text):
        return _by_data_type(data[1].lower(), data[2].lower())
    if LINK.fullmatch(text) or _PATH.fullmatch(text):
        return _by_ending(text)
    return _of_a_form(text) or _of_a_key(text, word)


def _of_a_form(text: str) -> Sense:
    forms: dict[Sense, object] = {
        "email": _EMAIL.fullmatch(text),
        "phone": _PHONE.fullmatch(text),
        "moment": moment_of(text),
        "day": day_of(text),
    }
    found: list[Sense] = [sense for sense, form in forms.items() if form]
    return found[0] if found else ""


def _of_a_key(text: str, word: str) -> Sense:
    if word in _CODE_KEYS:
        return "code"
    return "markdown" if word in _MARKDOWN_KEYS or is_markdown(text) else ""


def _by_data_type(kind: str, name: str) -> Sense:
    if kind == "application":
        return "pdf" if name == "pdf" else ""
    return "image" if kind == "image" else "video"


def _by_ending(address: str) -> Sense:
    path = re.split(r"[?#]", address, maxsplit=1)[0]
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    return _ENDINGS.get(ending.lower(), "") if dot else ""


def _in_utc(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
