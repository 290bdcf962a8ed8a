"""How the pages look: the host's logo, colour and templates, or ours."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined

from awaithumans.display import moment, short_span, span
from awaithumans.errors import ConfigurationError
from awaithumans.web.assets import CSS, Asset, Assets
from awaithumans.web.colours import accent_styles
from awaithumans.web.media import Media

LOOK = "awaithumans.look"
"""Where a request's ASGI scope has the look."""

OURS = "awaithumans"
"""How a host's template names the one it takes the place of: `awaithumans/base.html`."""

_IMAGES = {
    b"\x89PNG\r\n\x1a\n": ("png", "image/png"),
    b"\xff\xd8\xff": ("jpg", "image/jpeg"),
    b"GIF8": ("gif", "image/gif"),
    b"RIFF": ("webp", "image/webp"),
    b"<svg": ("svg", "image/svg+xml"),
    b"<?xml": ("svg", "image/svg+xml"),
}


class Look:
    """What a host makes of the pages; see `Router`."""

    def __init__(
        self,
        *,
        logo: str | bytes | None = None,
        accent: str | None = None,
        templates: str | PathLike[str] | None = None,
        media_origins: Sequence[str] = (),
    ) -> None:
        self.accented = accent is not None
        self.logo_file = _image(logo) if isinstance(logo, bytes) else None
        self.logo_url = _own_path(logo) if isinstance(logo, str) else None
        logos = [self.logo_file] if self.logo_file else []
        self.assets = Assets([*_accent(accent), *logos] if accent else logos)
        self.media = Media(media_origins)
        self.environment = _environment(templates)
        self.environment.globals["inline"] = self.media.inline


def _accent(accent: str) -> list[Asset]:
    light, dark = accent_styles(accent)
    return [Asset("accent.css", light.encode(), CSS), Asset("accent-dark.css", dark.encode(), CSS)]


def _image(body: bytes) -> Asset:
    for beginning, (ending, media_type) in _IMAGES.items():
        if body.lstrip().startswith(beginning):
            return Asset(f"logo.{ending}", body, media_type)
    raise ConfigurationError("the logo is of no known kind", hint="Give the bytes of an SVG, PNG, JPEG, GIF or WebP.")


def _own_path(address: str) -> str:
    if address.startswith("/") and not address.startswith(("//", "/\\")):
        return address
    raise ConfigurationError(
        f"the logo {address!r} is not of this site",
        hint='Give its path, as "/static/logo.svg", or its bytes. The pages load nothing from elsewhere.',
    )


def _environment(templates: str | PathLike[str] | None) -> Environment:
    ours = PackageLoader("awaithumans.web")
    theirs = [] if templates is None else [FileSystemLoader(_folder(templates))]
    environment = Environment(
        loader=ChoiceLoader([*theirs, ours, PrefixLoader({OURS: ours})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined] # by the extension
    environment.filters |= {"moment": moment, "short_span": short_span, "span": span}
    return environment


def _folder(path: str | PathLike[str]) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}", hint="templates= is where your own templates lie.")
    return folder
