"""What a task is about, as paragraphs of a modal: its payload, readable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from awaithumans.channels.slack.blocks import MAX_SECTION, Block, context, divider, escaped, mrkdwn, one_line, section
from awaithumans.display import Shown, shown
from awaithumans.forms import readable_schema
from awaithumans.types import JsonObject, Task, TaskSpec

MAX_VALUE = 500
MAX_PARAGRAPHS = 8
_MAX_LINES = 40

_INDENT = "      "
_HIDDEN = "The details are not shown in Slack."
_CUT = "Some of this is cut here. The task's page in the browser has all of it."


def details(task: Task) -> list[Block]:
    """Lay a payload out; a note says where something is left out."""
    if task.spec.redact_payload:
        return [context(mrkdwn(_HIDDEN)), divider()]
    if not task.spec.payload:
        return []
    lines = list(_lines(shown(task.spec.payload, task.spec.payload_schema), 0))
    parts = _packed([line for line, _ in lines])
    is_cut = len(parts) > MAX_PARAGRAPHS or any(shortened for _, shortened in lines)
    note = [context(mrkdwn(_CUT))] if is_cut else []
    return [*(section(mrkdwn(part)) for part in parts[:MAX_PARAGRAPHS]), *note, divider()]


def lines_of(value: JsonObject, spec: TaskSpec) -> list[str]:
    """Lay an answer out in the words of its form, a line for each part."""
    schema = readable_schema(spec.form, spec.response_schema)
    return [line for line, _ in _lines(shown(value, schema), 0)][:_MAX_LINES]


def _packed(lines: Sequence[str]) -> list[str]:
    """Put lines together to texts that fit into a paragraph."""
    texts: list[str] = []
    for line in lines:
        if texts and len(texts[-1]) + 1 + len(line) <= MAX_SECTION:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return texts


def _lines(value: Shown, depth: int) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a value, and whether each was shortened."""
    match value.kind:
        case "pairs":
            for label, part in value.pairs:
                yield from _labelled(f"*{escaped(one_line(label), 200)}*:", part, depth)
        case "list":
            for mark, part in value.marked("•"):
                yield from _labelled(mark, part, depth)
        case "table":
            for row in value.rows:
                yield _row(value.columns, row, depth)
        case _:
            yield _indented(_text(value), depth)


def _labelled(label: str, part: Shown, depth: int) -> Iterator[tuple[str, bool]]:
    if part.kind in {"pairs", "list", "table"}:
        yield _indented((label, False), depth)
        yield from _lines(part, depth + 1)
    else:
        text, shortened = _text(part)
        yield _indented((f"{label} {text}", shortened), depth)


def _row(columns: Sequence[str], cells: Sequence[Shown], depth: int) -> tuple[str, bool]:
    read = [_text(cell, MAX_VALUE // 5) for cell in cells]
    parts = [f"{escaped(one_line(name), 50)}: {text}" for name, (text, _) in zip(columns, read, strict=True)]
    return _indented(("• " + " · ".join(parts), any(shortened for _, shortened in read)), depth)


def _indented(line: tuple[str, bool], depth: int) -> tuple[str, bool]:
    return _INDENT * depth + line[0], line[1]


def _text(value: Shown, limit: int = MAX_VALUE) -> tuple[str, bool]:
    if value.kind == "empty":
        return "–", False
    if value.kind == "link" and len(value.text) <= limit:
        return f"<{escaped(value.text)}>", False
    return escaped(value.text, limit), len(value.text) > limit
