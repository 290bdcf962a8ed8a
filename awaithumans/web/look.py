"""How the pages look and read: the host's logo, colour, templates and languages, or ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from gettext import NullTranslations
from os import PathLike
from pathlib import Path
from typing import Any, cast

from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from awaithumans.display import day, day_of_year, moment, short_span, size, span
from awaithumans.errors import ConfigurationError
from awaithumans.meaning import data_size, is_markdown
from awaithumans.web import texts
from awaithumans.web.assets import CSS, Asset, Assets
from awaithumans.web.colours import accent_styles
from awaithumans.web.languages import Language, LanguageChoice, Languages
from awaithumans.web.markdown import Markdown, code
from awaithumans.web.media import Media
from awaithumans.words import filled, translated

LOOK = "awaithumans.look"
"""Where a request's ASGI scope has the look."""

OURS = "awaithumans"
"""How a host's template names the one it takes the place of: `awaithumans/base.html`."""

_FILTERS: Mapping[str, Callable[..., object]] = {
    "code": code,
    "data_size": data_size,
    "day": day,
    "day_of_year": day_of_year,
    "file_name": texts.file_name,
    "grouped": texts.grouped,
    "leads_to": texts.leads_to,
    "linked": texts.unless_ours(texts.linked),
    "moment": moment,
    "plain": texts.unless_ours(texts.plain),
    "preview": texts.preview,
    "short_span": short_span,
    "size": size,
    "span": span,
}
"""Those that are the same in every language, since what they make is translated where it is shown."""

_TESTS: Mapping[str, Any] = {"long": texts.is_long, "markdown": is_markdown}
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
        translations: str | PathLike[str] | None = None,
        language: LanguageChoice | str | None = None,
        media_origins: Sequence[str] = (),
    ) -> None:
        self.accented = accent is not None
        self.logo_file = _image(logo) if isinstance(logo, bytes) else None
        self.logo_url = _own_path(logo) if isinstance(logo, str) else None
        logos = [self.logo_file] if self.logo_file else []
        self.assets = Assets([*_accent(accent), *logos] if accent else logos)
        self.media = Media(media_origins)
        self.languages = Languages(translations, language)
        loader = _loader(templates)
        self._environments = {one.tag: _environment(loader, one, self.media) for one in self.languages}

    def render(self, template: str, language: Language, context: Mapping[str, object]) -> str:
        """Write a page in a language."""
        return self._environments[language.tag].get_template(template).render(context)


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


def _loader(templates: str | PathLike[str] | None) -> BaseLoader:
    ours = PackageLoader("awaithumans.web")
    theirs = [] if templates is None else [FileSystemLoader(_folder(templates))]
    return ChoiceLoader([*theirs, ours, PrefixLoader({OURS: ours})])


def _environment(loader: BaseLoader, language: Language, media: Media) -> Environment:
    """Prepare the templates for one language: what they import knows nothing of the request."""
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        finalize=partial(translated, translations=language.translations),
    )
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined] # by the extension
    environment.globals |= {**_gettext(language.translations), "inline": cast("Any", media.inline)}
    environment.tests |= _TESTS
    environment.filters |= {**_FILTERS, **_filters(language.translations), "markdown": Markdown(media)}
    return environment


def _filters(translations: NullTranslations) -> Mapping[str, Callable[[object], str]]:
    def isolated(text: object) -> Markup:
        """Keep a name's direction from changing that of the text around it."""
        return Markup("<bdi>{}</bdi>").format(translated(text, translations))

    def sentence(text: object) -> str:
        said = str(translated(text, translations))
        return f"{said[:1].upper()}{said[1:]}."

    return {"isolated": isolated, "sentence": sentence}


def _gettext(translations: NullTranslations) -> Mapping[str, Callable[..., str]]:
    """Give what `_` calls in templates; unlike Jinja's own it translates arguments, too."""

    def put(text: str, english: str, arguments: Mapping[str, object]) -> str:
        said = {name: translated(one, translations) for name, one in arguments.items()}
        return filled(_markup(text), _markup(english), said)

    def gettext(message: str, /, **arguments: object) -> str:
        return put(translations.gettext(message), message, arguments)

    def ngettext(one: str, many: str, num: int, /, **arguments: object) -> str:
        english = one if num == 1 else many
        return put(translations.ngettext(one, many, num), english, {"num": num, **arguments})

    return {"gettext": gettext, "ngettext": ngettext}


def _markup(text: str) -> Markup:
    """Take a catalogue's text as HTML; it may stand in an attribute, which quotation marks would end."""
    return Markup(text.replace('"', "&#34;"))  # noqa: S704 - from catalogues


def _folder(path: str | PathLike[str]) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}", hint="templates= is where your own templates lie.")
    return folder
