"""The smallest parts of Slack's Block Kit, and foreign text made fit for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from awaithumans.display import clean
from awaithumans.types import Human

Block: TypeAlias = dict[str, object]
"""A Block Kit object, as Slack's API takes it."""

MAX_SECTION = 3_000
MAX_HEADER = 150
MAX_CONTEXT = 2_000
MAX_URL = 3_000


def cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters; "…" at its end shows it."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escaped(text: str, limit: int = MAX_SECTION) -> str:
    """Write foreign text for mrkdwn, in at most `limit` characters.

    It can then mention nobody and lead nowhere, and reads as it is written.
    """
    text, keep = clean(text), limit
    while len(shown := _escaped(cut(text, keep))) > limit:
        keep -= (len(shown) - limit + 4) // 5  # "&amp;" has five characters
    return shown


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def one_line(text: str) -> str:
    """Put a text on one line."""
    return " ".join(text.split())


def named(human: Human, team: str | None = None) -> str:
    """Name a person for mrkdwn: as a mention only where Slack surely knows them."""
    slack_id = human.slack_user_id or ""
    if human.slack_team_id == team and slack_id.isascii() and slack_id.isalnum():
        return f"<@{slack_id}>"
    return escaped(one_line(human.label), 80)


def plain(text: str, limit: int) -> Block:
    """Make a text without markup, which reads as it is written."""
    return {"type": "plain_text", "text": cut(clean(text), limit) or "–"}


def mrkdwn(text: str) -> Block:
    """Make a text with markup; what is foreign in it has been `escaped`."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def section(text: Block) -> Block:
    """Make a paragraph."""
    return {"type": "section", "text": text}


def header(text: str) -> Block:
    """Make a heading."""
    return {"type": "header", "text": plain(text, MAX_HEADER)}


def context(text: Block) -> Block:
    """Make a line of small print."""
    return {"type": "context", "elements": [text]}


def divider() -> Block:
    """Make a line between blocks."""
    return {"type": "divider"}


def paragraphs(text: str) -> list[Block]:
    """Make as many paragraphs as a long text needs; none for a blank one."""
    parts = [text[start : start + MAX_SECTION] for start in range(0, len(text), MAX_SECTION)]
    return [section(plain(part, MAX_SECTION)) for part in parts if part.strip()]


def metadata_line(metadata: Sequence[tuple[str, str]]) -> list[Block]:
    """Make the line of small print that shows what the host attached."""
    if not metadata:
        return []
    shown = [f"*{escaped(one_line(key), 80)}*: {escaped(one_line(value), 80)}" for key, value in metadata[:_METADATA]]
    more = [f"_+{len(metadata) - _METADATA} more_"] if len(metadata) > _METADATA else []
    return [context(mrkdwn(" · ".join([*shown, *more])))]


_METADATA = 5
