"""The pictures of the documentation: each is shown somewhere, and each that is shown is there."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
PICTURE = re.compile(r'(?:srcset|src)="([^"]+\.png)"')


def test_every_picture_is_shown_and_every_picture_shown_is_there() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    shown = {(page.parent / place).resolve() for page in pages for place in PICTURE.findall(page.read_text())}
    assert shown == {picture.resolve() for picture in (DOCS / "pictures").glob("*.png")}


def test_every_picture_says_what_is_on_it() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    assert all(
        re.search(r'alt="[^"]+"', image) for page in pages for image in re.findall("<img src=[^>]*>", page.read_text())
    )
