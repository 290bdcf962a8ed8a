"""Slack's rules for blocks, by those who know them: its own Python models, and its own TypeScript types.

One rule neither of them has: in a message or view no id stands twice.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from tests.slack import MODULES, node

COMPILER = MODULES / "typescript" / "bin" / "tsc"
MAX_BLOCKS = {"modal": 100, "message": 50}
MAX_VIEW_BYTES = 250_000


def check_view(view: dict[str, Any]) -> None:
    """Fail unless Slack would open the view."""
    View(**view).validate_json()
    assert len(json.dumps(view).encode()) <= MAX_VIEW_BYTES
    assert view["private_metadata"] if "submit" in view else True
    check_blocks(view["blocks"], "modal")


def check_blocks(blocks: Sequence[dict[str, Any]], where: str = "message") -> None:
    """Fail unless Slack would take the blocks."""
    assert 0 < len(blocks) <= MAX_BLOCKS[where]
    parsed = Block.parse_all(list(blocks))
    assert [block.to_dict() for block in parsed] == list(blocks)
    for key in ("block_id", "action_id"):
        assert max(Counter(_all(blocks, key)).values(), default=1) == 1
    for text in _texts(blocks):
        assert text["text"].strip()
    for options in _all(blocks, "options"):
        values = [one["value"] for one in options]
        assert len(set(values)) == len(values)
        assert all(0 < len(one["value"]) <= 150 and len(one["text"]["text"]) <= 75 for one in options)


def _all(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from [value[key]] if key in value else []
        for child in value.values():
            yield from _all(child, key)
    elif isinstance(value, list):
        for child in value:
            yield from _all(child, key)


def _texts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") in {"plain_text", "mrkdwn"}:
            yield value
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)


def compiled(folder: Path, views: Sequence[Any], messages: Sequence[Any]) -> str:
    """Have TypeScript hold views and messages against Slack's types; return what it finds wrong."""
    (folder / "blocks.ts").write_text(
        'import type { KnownBlock, ModalView } from "@slack/types";\n'
        + "".join(f"export const view{n}: ModalView = {json.dumps(one)};\n" for n, one in enumerate(views))
        + "".join(f"export const blocks{n}: KnownBlock[] = {json.dumps(one)};\n" for n, one in enumerate(messages))
    )
    (folder / "node_modules").symlink_to(MODULES)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--moduleResolution", "node"]
    done = subprocess.run(
        [node(), str(COMPILER), *options, "blocks.ts"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
