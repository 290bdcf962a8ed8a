"""A letter as HTML, and as plain text that says the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from awaithumans.channels.email.letters import Button, Letter
from awaithumans.display import Shown

if TYPE_CHECKING:
    from jinja2 import Environment

INDENT = "  "


def as_html(letter: Letter, *, name: str) -> str:
    """Write a letter for programs that show HTML; `name` stands at its head."""
    return _environment().get_template("mail.html").render(letter=letter, name=name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("awaithumans.channels.email"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def as_text(letter: Letter) -> str:
    """Write a letter as plain text.

    What others wrote is set in, so that it cannot pass for a line of ours.
    """
    return "\n\n".join("\n".join(block) for block in _blocks(letter) if block) + "\n"


def _blocks(letter: Letter) -> Iterator[list[str]]:
    yield [letter.lead]
    yield _set_in(letter.question)
    yield _set_in(letter.text)
    yield [line for name, value in letter.facts for line in _labelled(name, value)]
    yield [letter.payload_note] if letter.payload_note else []
    yield ["What it is about:", *_value(letter.payload)] if letter.payload else []
    yield ["The answer:", *_value(letter.response)] if letter.response else []
    yield [_link(button) for button in letter.buttons]
    yield list(letter.notes)


def _link(button: Button) -> str:
    return f"Answer “{button.label}”: {button.url}" if button.kind == "answer" else f"{button.label}: {button.url}"


def _labelled(name: str, value: str) -> list[str]:
    first, *rest = value.splitlines() or [""]
    return [f"{name}: {first}", *(INDENT + line for line in rest)]


def _set_in(text: str) -> list[str]:
    return [f"{INDENT}{line}".rstrip() for line in text.splitlines()]


def _value(value: Shown) -> list[str]:
    match value.kind:
        case "pairs":
            lines = [line for label, one in value.pairs for line in _pair(label, one)]
        case "list":
            lines = [line for mark, one in value.marked("-") for line in _item(_value(one), mark)]
        case "table":
            rows = (zip(value.columns, row, strict=True) for row in value.rows)
            lines = [line for row in rows for line in _item([text for cell in row for text in _pair(*cell)])]
        case "empty":
            lines = ["none"]
        case _:
            lines = value.text.splitlines()
    return [INDENT + line for line in lines]


def _pair(label: str, value: Shown) -> list[str]:
    lines = _value(value)
    nested = value.kind in {"pairs", "list", "table"} or len(lines) != 1
    return [f"{label}:", *lines] if nested else [f"{label}: {lines[0].strip()}"]


def _item(lines: list[str], mark: str = "-") -> list[str]:
    first, *rest = lines or [""]
    return [f"{mark} {first.strip()}", *(INDENT + line for line in rest)]
