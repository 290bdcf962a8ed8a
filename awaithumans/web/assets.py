"""The pages' own files, each under an address that changes with its content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.web.envelope import RouteNotFoundError

CSS = "text/css; charset=utf-8"
_JS = "text/javascript; charset=utf-8"
_TYPES = {
    "style.css": CSS,
    "dark.css": CSS,
    "page.js": _JS,
    "frame.js": _JS,
    "fields.js": _JS,
    "keys.js": _JS,
    "live.js": _JS,
    "sign.js": _JS,
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",  # an image opened by itself
}


@dataclass(frozen=True)
class Asset:
    """A static file."""

    name: str
    body: bytes
    media_type: str

    @cached_property
    def path(self) -> str:
        """Give its address below the mount."""
        return f"/static/{hashlib.sha256(self.body).hexdigest()[:16]}/{self.name}"


class Assets:
    """The files of one router: those of the pages, and those of its host."""

    def __init__(self, of_host: Iterable[Asset] = ()) -> None:
        self._by_name = {asset.name: asset for asset in (*_OWN, *of_host)}
        self._by_path = {asset.path: asset for asset in self._by_name.values()}

    def path(self, name: str) -> str:
        """Return the address of a file, below the mount."""
        return self._by_name[name].path

    async def answer(self, request: Request) -> Response:
        """Answer with a file, to be kept for ever."""
        parts: Mapping[str, str] = request.path_params
        asset = self._by_path.get(f"/static/{parts['fingerprint']}/{parts['name']}")
        if asset is None:
            raise RouteNotFoundError("there is no such file")
        return Response(asset.body, headers=_HEADERS, media_type=asset.media_type)


def _load() -> list[Asset]:
    folder = files("awaithumans.web") / "static"
    return [Asset(name, _lean((folder / name).read_bytes()), kind) for name, kind in _TYPES.items()]


def _lean(body: bytes) -> bytes:
    """Leave out what only their authors need: indentation, and comments between `/*` and `*/`.

    No text in our files goes over several lines, or has such a mark in it.
    """
    return re.sub(rb"/\*.*?\*/\n?|^[ \t]+", b"", body, flags=re.DOTALL | re.MULTILINE)


_OWN = _load()
