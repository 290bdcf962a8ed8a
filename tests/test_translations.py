"""The catalogues agree with the texts in the code, and no text in a template was forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from scripts.translations import LOCALE, SOURCE, TEMPLATE, collected, places, read

TEMPLATES = sorted((SOURCE / "web" / "templates").glob("*.html"))
PLACEHOLDER = re.compile(r"%\(\w+\)s|%%|\{\w+\}|</?\w+>")
SPOKEN = {"aria-label", "title", "placeholder", "alt", "summary", "value"}
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"| (?:required|autofocus|checked|disabled)\b')
TO_COLLECT = "run: make translations"

each = pytest.mark.parametrize("place", places(), ids=lambda place: place.parts[-3])


def ids(catalogue: Catalog) -> set[object]:
    return {one.id for one in catalogue if one.id}


def forms(message: Message) -> list[tuple[str, str]]:
    """Pair what is said with what it says."""
    asked = message.id if isinstance(message.id, tuple) else (str(message.id),)
    given = message.string if isinstance(message.string, tuple) else (str(message.string),)
    return [(asked[min(at, len(asked) - 1)], said) for at, said in enumerate(given)]


def test_german_is_shipped() -> None:
    assert LOCALE / "de" / "LC_MESSAGES" / "awaithumans.po" in places()


def test_the_template_has_every_text() -> None:
    with TEMPLATE.open("rb") as file:
        assert ids(read_po(file)) == ids(collected()), TO_COLLECT


@each
def test_a_catalogue_says_every_text_and_no_other(place: Path) -> None:
    catalogue = read(place)
    assert ids(catalogue) == ids(collected()), TO_COLLECT
    assert not catalogue.obsolete
    assert [one.id for one in catalogue if one.id and (one.fuzzy or not all(said for _, said in forms(one)))] == []


@each
def test_a_translation_keeps_what_is_filled_in(place: Path) -> None:
    for message in read(place):
        for at, (asked, said) in enumerate(forms(message) if message.id else ()):
            wanted, found = set(PLACEHOLDER.findall(asked)), set(PLACEHOLDER.findall(said))
            unsaid = {"%(num)s", "%(count)s"} if isinstance(message.id, tuple) and at == 0 else set[str]()
            assert found <= wanted <= found | unsaid, (asked, said)


@each
def test_a_translation_ends_as_the_text_does(place: Path) -> None:
    """A sentence stays a sentence, and what is put together with more does not become one."""
    for message in read(place):
        for asked, said in forms(message) if message.id else ():
            assert (asked[-1:] in ".:") == (said[-1:] in ".:") or said in ABBREVIATED, (asked, said)


ABBREVIATED = {f"{month}." for month in ("Jan", "Feb", "Aug", "Sept", "Okt", "Nov", "Dez")} | {
    f"%(count)s {unit}." for unit in ("T", "Std", "Min", "Sek")
}


@each
def test_what_is_compiled_is_the_catalogue(place: Path) -> None:
    with place.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in read(place):
        if isinstance(message.id, tuple):
            one, many = message.id
            said = [compiled.ngettext(one, many, count) for count in (1, 2)]
        else:
            said = [compiled.gettext(str(message.id))]
        assert not message.id or said == [text for _, text in forms(message)], TO_COLLECT


class _Literals(HTMLParser):
    """Collects the words of a template that stand in it as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._of_machines = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._of_machines += tag == "kbd"
        self.found += [value or "" for name, value in attrs if name in SPOKEN and tag != "input"]

    def handle_endtag(self, tag: str) -> None:
        self._of_machines -= tag == "kbd"

    def handle_data(self, data: str) -> None:
        if not self._of_machines:  # a macro may write some attributes of a tag
            self.found += [value for name, value in ATTRIBUTE.findall(data) if name in SPOKEN]
            self.found.append(ATTRIBUTE.sub("", data))


def literal(source: str) -> Iterator[str]:
    """Yield a template as a page has it, without what is written by `_` or comes from elsewhere."""
    tree = Environment(extensions=["jinja2.ext.i18n"], autoescape=True).parse(source)
    for output in tree.find_all(nodes.Output):
        for one in output.nodes:
            yield one.data if isinstance(one, nodes.TemplateData) else "".join(_constants(one))


def _constants(expression: nodes.Expr) -> Iterator[str]:
    """Yield what an expression writes itself, not what it hands to a function."""
    if isinstance(expression, nodes.Const) and isinstance(expression.value, str):
        yield expression.value
    elif isinstance(expression, nodes.CondExpr):
        for part in (expression.expr1, expression.expr2):
            yield from _constants(part) if part else ()
    elif isinstance(expression, nodes.Concat):
        for part in expression.nodes:
            yield from _constants(part)
    elif isinstance(expression, nodes.Or):
        yield from _constants(expression.right)


def forgotten(source: str) -> list[str]:
    parser = _Literals()
    parser.feed("".join(literal(source)))
    return [word for text in parser.found for word in re.findall(r"[A-Za-z]{2,}", text)]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_no_text_stands_in_a_template_unmarked(template: Path) -> None:
    assert forgotten(template.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Text</p>",
        "<p>{{ x or 'none' }}</p>",
        "<p>{{ 'one' if x else _('many') }}</p>",
        "<p>{{ x ~ ' by ' ~ y }}</p>",
        '<a title="Text">{{ _("x") }}</a>',
        '<nav aria-label="{% if x %}Text{% endif %}"></nav>',
    ],
)
def test_the_search_for_unmarked_texts_finds_them(source: str) -> None:
    assert forgotten(source)
