"""The pages' own files, each under an address that changes with its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.web.envelope import RouteNotFoundError

_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "dark.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "frame.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file."""

    name: str
    body: bytes
    media_type: str

    @property
    def path(self) -> str:
        """Give its address below the mount."""
        return f"/static/{hashlib.sha256(self.body).hexdigest()[:16]}/{self.name}"


def _load() -> Mapping[str, Asset]:
    folder = files("awaithumans.web") / "static"
    return {name: Asset(name, (folder / name).read_bytes(), kind) for name, kind in _TYPES.items()}


ASSETS = _load()
_BY_PATH = {asset.path: asset for asset in ASSETS.values()}


async def static_file(request: Request) -> Response:
    """Answer with a file, to be kept for ever."""
    asset = _BY_PATH.get(f"/static/{request.path_params['fingerprint']}/{request.path_params['name']}")
    if asset is None:
        raise RouteNotFoundError("there is no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(asset.body, headers=headers, media_type=asset.media_type)
