"""Texts that others wrote, as HTML: nothing in them is obeyed, and nothing hides."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from awaithumans.display import Shown
from awaithumans.meaning import LINK
from awaithumans.words import Words

_HIDDEN = re.compile(
    r"([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f\U000e0100-\U000e01ef])\1*"
)
_TRAILING = ".,;:!?)]}"
_LONG_CHARACTERS = 1_500
_LONG_LINES = 20
_DIGITS = re.compile(r"(-?)(\d+)(.*)", re.ASCII | re.DOTALL)
_ELSEWHERE = 'rel="noopener noreferrer nofollow" target="_blank"'


def plain(text: str) -> Markup:
    """Write text; what cannot be seen, and changes how the rest is read, is named."""
    return Markup(_HIDDEN.sub(_named, str(escape(_lines(text)))))  # noqa: S704 - escaped


def linked(text: str) -> Markup:
    """Write text in which addresses of the web are links."""
    pieces: list[Markup] = []
    end = 0
    for found in LINK.finditer(text):
        address = _without_stops(found[0])
        pieces += [plain(text[end : found.start()]), anchor(address, address)]
        if not address.isascii():
            pieces.append(leads_to(address, address))
        end = found.start() + len(address)
    return Markup("").join([*pieces, plain(text[end:])])


def unless_ours(write: Callable[[str], Markup]) -> Callable[[str], str]:
    """Make a filter of `plain` or `linked` that leaves our own words to be translated."""
    return lambda text: text if isinstance(text, Words) else write(text)


def anchor(address: str, text: str) -> Markup:
    """Write a link to another site, that tells it nothing of ours."""
    return Markup('<a href="{}" ' + _ELSEWHERE + ">{}</a>").format(address, plain(text))  # noqa: S704 - formatted


def leads_to(address: str, text: str = "") -> Markup:
    """Say where a link leads, unless its text does."""
    target = target_of(address)
    return Markup("") if target in text.lower() else aside(target)


def aside(text: str) -> Markup:
    """Write a remark of ours, behind what somebody wrote."""
    return Markup(' <span class="quiet">({})</span>').format(plain(text))


def target_of(address: str) -> str:
    """Return whom a link leads to: its host, with letters that look like others spelled out, or whom it writes to."""
    if address.lower().startswith("mailto:"):
        return address[len("mailto:") :].lower()
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return address
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return ascii(host)[1:-1]


def file_name(address: str) -> str:
    """Return what a picture or document is called at its address."""
    if address.startswith("data:"):
        return ""
    return re.split(r"[?#]", address, maxsplit=1)[0].rpartition("/")[2]


def grouped(text: str) -> Markup:
    """Write a number with a gap at its thousands; its characters stay as they are."""
    found = _DIGITS.fullmatch(text)
    if found is None:
        return plain(text)
    sign, digits, rest = found.groups()
    first = len(digits) % 3 or 3
    groups = [digits[at : at + 3] for at in range(first, len(digits), 3)]
    gaps = Markup("").join(Markup('<span class="gap">{}</span>').format(group) for group in groups)
    return Markup('<span class="amount">{}{}{}{}</span>').format(sign, digits[:first], gaps, rest)


def diff_lines(text: str) -> list[tuple[str, str]]:
    """Give the lines of a diff, each with what it is: added, removed, place or nothing."""
    return [(_part_of_diff(line), line) for line in _lines(text).split("\n")]


def is_long(text: str) -> bool:
    """Tell whether text takes more room than a reader should have to scroll past."""
    return len(text) > _LONG_CHARACTERS or text.count("\n") > _LONG_LINES


def preview(value: Shown) -> str:
    """Name the first parts of an object that is folded."""
    return ", ".join(label for label, _ in value.pairs[:3])[:80]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _named(found: re.Match[str]) -> str:
    character, times = found[1], len(found[0])
    code = f"U+{ord(character):04X}" + (f" × {times}" if times > 1 else "")
    name = unicodedata.name(character, "control character").lower()
    return f'<span class="hidden-character" title="{name}">{code}</span>'


def _without_stops(address: str) -> str:
    """Cut off what ends a sentence; a bracket stays if it was opened in the address."""
    unopened, end = address.count(")") - address.count("("), len(address)
    while address[end - 1] in _TRAILING and not (address[end - 1] == ")" and unopened <= 0):
        unopened -= address[end - 1] == ")"
        end -= 1
    return address[:end]


def _part_of_diff(line: str) -> str:
    if line.startswith(("+++", "---", "diff ", "index ")):
        return "about"
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "")
