"""Collect the texts that people see, bring each catalogue up to date, and compile it.

The template and the catalogues lie in `awaithumans/web/locale`. A text that is
new has no translation yet: fill it in, and run this again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "awaithumans"
LOCALE = SOURCE / "web" / "locale"
TEMPLATE = LOCALE / "awaithumans.pot"

KEYWORDS = {"_": None, "ngettext": (1, 2), "words": None, "counted": (1, 2)}
_METHODS = {".py": "python", ".html": "jinja2.ext:babel_extract"}
_FOR_NOBODY = ("POT-Creation-Date", "PO-Revision-Date", "Last-Translator", "Language-Team", "Generated-By")
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)


def main() -> int:
    template = collected()
    _write(TEMPLATE, template)
    missing = 0
    for place in places():
        catalogue = updated(read(place), template)
        _write(place, catalogue)
        with place.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        empty = [one.id for one in catalogue if one.id and not (one.string and all(one.string))]
        missing += len(empty)
        print(f"{place.relative_to(ROOT)}: {len(catalogue)} texts, {len(empty)} to translate", *empty, sep="\n  ")
    return 1 if missing else 0


def collected() -> Catalog:
    """Return every text that is marked, with the files it stands in."""
    catalogue = _empty(None)
    for path, message in _marked():
        plural = isinstance(message, tuple)
        catalogue.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)], string=("", "") if plural else "")
    return catalogue


def places() -> list[Path]:
    """Return the catalogues there are."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/awaithumans.po"))


def read(place: Path) -> Catalog:
    """Read a catalogue."""
    with place.open("rb") as file:
        return read_po(file, locale=place.parts[-3])


def updated(catalogue: Catalog, template: Catalog) -> Catalog:
    """Add what is new, and leave out what is gone."""
    fresh = _empty(catalogue.locale_identifier)
    for one in template:
        known = catalogue.get(one.id)
        if one.id:
            fresh.add(one.id, known.string if known else "", locations=one.locations, flags=one.flags)
    return fresh


def _marked() -> Iterator[tuple[Path, str | tuple[str, ...]]]:
    for path in sorted(SOURCE.rglob("*")):
        if method := _METHODS.get(path.suffix):
            found = extract_from_file(method, path, KEYWORDS, options={"silent": "false"})
            yield from ((path, message) for _, message, _, _ in sorted(found, key=lambda one: one[0]))


def _empty(language: str | None) -> Catalog:
    made = Catalog(locale=language, project="awaithumans", creation_date=_ANY_DAY, revision_date=_ANY_DAY, fuzzy=False)
    made.header_comment = "# Texts of the pages. `make translations` keeps this file up to date."
    return made


def _write(place: Path, catalogue: Catalog) -> None:
    buffer = BytesIO()
    write_po(buffer, catalogue, width=100, include_lineno=False, sort_by_file=True)
    lines = buffer.getvalue().decode().splitlines(keepends=True)
    place.write_text("".join(line for line in lines if not line.startswith(tuple(f'"{name}' for name in _FOR_NOBODY))))


if __name__ == "__main__":
    sys.exit(main())
