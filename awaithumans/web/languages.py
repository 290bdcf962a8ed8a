"""In which language a page is: ours, and those that the host brings."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from gettext import GNUTranslations, NullTranslations
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias

from starlette.requests import Request

from awaithumans.errors import ConfigurationError

logger = logging.getLogger("awaithumans.web")

LanguageChoice: TypeAlias = Callable[[Request], str | None]
"""The host's knowledge of what somebody reads: `de`, `pt-BR`; None if it has none."""

DOMAIN = "awaithumans"
ENGLISH = "en"
OURS = Path(__file__).parent / "locale"

_TAG = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8}){0,7}", re.IGNORECASE | re.ASCII)
_QUALITY = re.compile(r"q=([01](?:\.\d{0,3})?)", re.ASCII)
_RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"})
_SCRIPTS = {"adlm": "rtl", "arab": "rtl", "hebr": "rtl", "cyrl": "ltr", "deva": "ltr", "latn": "ltr"}
_MAX_WANTED = 20


@dataclass(frozen=True)
class Language:
    """A language that the pages are there in."""

    tag: str
    translations: NullTranslations

    @cached_property
    def direction(self) -> Literal["ltr", "rtl"]:
        """Tell how it is written."""
        language, *rest = self.tag.lower().split("-")
        written = next((_SCRIPTS[part] for part in rest if part in _SCRIPTS), None)
        return "rtl" if written == "rtl" or (written is None and language in _RIGHT_TO_LEFT) else "ltr"


class Languages:
    """The languages of a router, and the choice among them."""

    def __init__(self, folder: str | PathLike[str] | None = None, choice: LanguageChoice | str | None = None) -> None:
        self._ours = _catalogues(OURS)
        self._theirs: Mapping[str, Path] = {} if folder is None else _theirs(Path(folder))
        tags = {ENGLISH, *self._ours, *self._theirs}
        self._by_tag = {tag.lower(): Language(tag, self._translations(tag)) for tag in sorted(tags)}
        self._choice: LanguageChoice = _always(self._known(choice)) if isinstance(choice, str) else choice or _nothing

    def __iter__(self) -> Iterator[Language]:
        return iter(self._by_tag.values())

    def of(self, request: Request) -> Language:
        """Choose for a request: what the host says, else what the browser asks for, else English."""
        wanted = [self._chosen(request) or "", *_accepted(request.headers.get("accept-language", ""))]
        tags = (tag.replace("_", "-") for tag in wanted)
        found = (self._nearest(tag.lower()) for tag in tags if _TAG.fullmatch(tag))
        return next(filter(None, found), self._by_tag[ENGLISH])

    def _chosen(self, request: Request) -> str | None:
        try:
            return self._choice(request)
        except Exception:  # the host's code; a page in another language is better than none, also for errors
            logger.exception("the router's language could not choose; the browser's choice counts")
            return None

    def _nearest(self, tag: str) -> Language | None:
        """Find the language itself, a wider one, or a narrower one."""
        for known in _widening(tag):
            if known in self._by_tag:
                return self._by_tag[known]
        main = tag.partition("-")[0]
        return next((one for known, one in self._by_tag.items() if known.startswith(f"{main}-")), None)

    def _known(self, tag: str) -> str:
        if self._nearest(tag.replace("_", "-").lower()) is None:
            raise ConfigurationError(
                f"the pages are not there in {tag!r}",
                hint=f"Known are {', '.join(sorted(self._by_tag))}; Router(translations=...) adds more.",
            )
        return tag

    def _translations(self, tag: str) -> NullTranslations:
        """Put the catalogues in a row: the host's words before ours, and its English before our English."""
        found = NullTranslations()
        tags = list(_widening(tag))
        places = [(self._theirs, one) for one in tags] + [(self._ours, one) for one in tags]
        files = [catalogues[one] for catalogues, one in [*places, (self._theirs, ENGLISH)] if one in catalogues]
        for file in dict.fromkeys(reversed(files)):
            catalogue = _read(file)
            catalogue.add_fallback(found)
            found = catalogue
        return found


def _theirs(folder: Path) -> Mapping[str, Path]:
    found = _catalogues(folder)
    if not found:
        raise ConfigurationError(
            f"there is no {DOMAIN}.mo below {folder}",
            hint=f"Compile your catalogues, with msgfmt or pybabel, to <language>/LC_MESSAGES/{DOMAIN}.mo.",
        )
    return found


def _catalogues(folder: Path) -> Mapping[str, Path]:
    found = {file.parts[-3].replace("_", "-"): file for file in sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))}
    for tag, file in found.items():
        if not _TAG.fullmatch(tag):
            raise ConfigurationError(
                f"{file.parts[-3]!r} is no language", hint="Name the folder as in de, pt_BR or zh_Hant."
            )
    return found


def _read(file: Path) -> GNUTranslations:
    try:
        with file.open("rb") as opened:
            return GNUTranslations(opened)
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise ConfigurationError(f"{file} cannot be read", hint=f"Compile it again: {error}") from error


def _widening(tag: str) -> Iterator[str]:
    """Yield a tag, and the wider ones: `zh-hant-tw`, `zh-hant`, `zh`."""
    parts = tag.split("-")
    yield from ("-".join(parts[:end]) for end in range(len(parts), 0, -1))


def _accepted(header: str) -> list[str]:
    """List what a browser asks for, the best first."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",")[:_MAX_WANTED]:
        tag, _, rest = part.strip().partition(";")
        quality = _QUALITY.fullmatch(rest.strip())
        wanted.append((float(quality[1]) if quality else 1.0, tag.strip()))
    return [tag for quality, tag in sorted(wanted, key=lambda one: -one[0]) if quality and _TAG.fullmatch(tag)]


def _always(tag: str) -> LanguageChoice:
    return lambda _: tag


def _nothing(_: Request) -> None:
    return None
