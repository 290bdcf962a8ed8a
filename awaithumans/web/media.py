"""Which pictures, videos and PDFs are part of a page; all others are links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from awaithumans.errors import InvalidInputError
from awaithumans.origins import is_among, read_origin

MediaKind = Literal["image", "video", "pdf"]

_DATA_TYPES: dict[MediaKind, frozenset[str]] = {
    "image": frozenset(f"image/{name}" for name in ("avif", "gif", "jpeg", "png", "svg+xml", "webp")),
    "video": frozenset(f"video/{name}" for name in ("mp4", "ogg", "webm")),
    "pdf": frozenset(),  # browsers do not show one
}
_DATA = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)(?:;[a-z0-9=-]+)*,[!-~]*", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/(?:[!-.0-\[\]-~][!-\[\]-~]*)?", re.ASCII)
_ADDRESS = re.compile(r"(https?://[a-z0-9.:-]+)[/?#][!-\[\]-~]*", re.ASCII | re.IGNORECASE)


class Media:
    """The rule of one router: nothing is fetched from where its host did not say so."""

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self._origins = [read_origin(origin, "media_origins", wildcard=True) for origin in origins]
        sources = " ".join(["'self'", *self._origins])
        self.policy = f"img-src {sources} data:; media-src {sources} data:"
        self.policy += f"; object-src {sources}; frame-src {sources}"  # browsers ask both for a PDF
        """What a Content Security Policy has of it."""

    def inline(self, address: str, kind: MediaKind) -> bool:
        """Tell whether what is at this address is shown as part of a page.

        It is if the address is a path of this site, one of an origin that the
        host named, or a `data:` URL of a type that a browser shows safely.
        """
        if data := _DATA.fullmatch(address):
            return data[1].lower() in _DATA_TYPES[kind]
        return _PATH.fullmatch(address) is not None or self._of_an_origin(address)

    def _of_an_origin(self, address: str) -> bool:
        found = _ADDRESS.fullmatch(address)
        try:
            return found is not None and is_among(read_origin(found[1], "address"), self._origins)
        except InvalidInputError:  # such as http, or a port of 0
            return False
