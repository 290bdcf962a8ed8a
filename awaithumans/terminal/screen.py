"""How text, values and questions are laid out on a screen of some width.

Task, payload and form come from strangers. What could move the cursor, set
colours or turn the direction of writing is shown as an escape, never sent.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from awaithumans.display import Shown

USUAL_WIDTH = 80
MIN_WIDTH = 20
MAX_WIDTH = 100
_JOINERS = "\u200c\u200d"
_EMPTY = "-"
_MARKS_PER_COLUMN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What there is to write on: so many columns, with or without colour."""

    width: int = USUAL_WIDTH
    colour: bool = False

    @property
    def columns(self) -> int:
        """Give how long a line may be and still read well."""
        return max(MIN_WIDTH, min(self.width - 1, MAX_WIDTH))

    def strong(self, text: str) -> str:
        """Make text stand out."""
        return self._styled("1", text)

    def quiet(self, text: str) -> str:
        """Make text stand back."""
        return self._styled("2", text)

    def wrong(self, text: str) -> str:
        """Mark text as an error."""
        return self._styled("31", text)

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def printable(text: str) -> str:
    r"""Write what is no letter, sign or space as an escape, like `\x1b`."""
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def encodable(text: str, encoding: str | None) -> str:
    """Write what an encoding does not know as an escape, so that all can be shown."""
    known = encoding or "utf-8"
    return text.encode(known, "backslashreplace").decode(known)


def wrapped(text: str, columns: int) -> list[str]:
    """Break text into lines; its own line breaks and indentation stay."""
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        safe = printable(line)
        indent = safe[: len(safe) - len(safe.lstrip())][: columns // 2]
        lines += textwrap.wrap(safe, columns, subsequent_indent=indent) or [""]
    return lines


def indented(lines: Sequence[str], by: str = "  ") -> list[str]:
    """Move lines to the right."""
    return [f"{by}{line}".rstrip() for line in lines]


def value_lines(value: Shown, columns: int) -> list[str]:
    """Lay out a value, readable."""
    columns = max(columns, MIN_WIDTH // 2)
    match value.kind:
        case "empty":
            return [_EMPTY]
        case "pairs":
            return _pairs(value.pairs, columns)
        case "list":
            return [line for marked in value.marked("-") for line in _bullet(*marked, columns)]
        case "table":
            return _table(value, columns)
        case _:
            return wrapped(value.text, columns)


# ── Pairs and lists ───────────────────────────────────────────────────────────


def _pairs(pairs: Sequence[tuple[str, Shown]], columns: int) -> list[str]:
    named = [(" ".join(wrapped(label, columns)), value) for label, value in pairs]
    short = [cells(label) for label, _ in named if cells(label) <= columns // 3]
    margin = max(short, default=0) + 2
    return [line for label, value in named for line in _pair(label, value, margin, columns)]


def _pair(label: str, value: Shown, margin: int, columns: int) -> Iterator[str]:
    if value.kind in {"pairs", "list", "table"} or cells(label) > margin - 2:
        yield from wrapped(label, columns)
        yield from indented(value_lines(value, columns - 2))
        return
    first, *rest = value_lines(value, columns - margin)
    yield f"{filled(label, margin)}{first}"
    yield from indented(rest, " " * margin)


def _bullet(mark: str, item: Shown, columns: int) -> Iterator[str]:
    margin = len(mark) + 1
    first, *rest = value_lines(item, columns - margin)
    yield f"{mark} {first}"
    yield from indented(rest, " " * margin)


# ── Tables ────────────────────────────────────────────────────────────────────


def _table(table: Shown, columns: int) -> list[str]:
    """Lay out rows under their headings, or one after another where they are too wide."""
    grid = [[printable(name) for name in table.columns], *([_cell(cell) for cell in row] for row in table.rows)]
    widths = [max(map(cells, column)) for column in zip(*grid, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= columns:
        return [
            "  ".join(filled(text, width) for text, width in zip(row, widths, strict=True)).rstrip() for row in grid
        ]
    records = [Shown(kind="pairs", pairs=list(zip(table.columns, row, strict=True))) for row in table.rows]
    return value_lines(Shown(kind="list", items=records), columns)


def _cell(value: Shown) -> str:
    return _EMPTY if value.kind == "empty" else " ".join(printable(line) for line in value.text.splitlines())


# ── Columns ───────────────────────────────────────────────────────────────────


def cut(text: str, columns: int) -> str:
    """Make text one line that takes so many columns at most."""
    most = _MARKS_PER_COLUMN * columns  # of marks that take none, there could be any number
    line = " ".join(printable(text[:most]).split())
    if len(text) <= most and cells(line) <= columns:
        return line
    kept = sum(1 for taken in accumulate(map(_width, line)) if taken < columns)
    return f"{line[:kept].rstrip()}…"


def filled(text: str, width: int) -> str:
    """Fill text up with blanks to a width."""
    return text + " " * (width - cells(text))


def cells(text: str) -> int:
    """Count the columns that text takes: two for a wide letter, none for what joins or combines."""
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if character in _JOINERS or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
