"""The reference says what the docstrings say, of every name that readers meet."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import griffe
import pytest

import awaithumans
from scripts.reference import FOLDER, ROOT, Reference, anchor, methods

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = sorted((ROOT / "docs" / "examples").rglob("*.py"))
FILES = sorted({path.name for path in FOLDER.glob("*.md")} | {page.file for page in Reference().index})

HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.mark.parametrize("file", FILES)
def test_a_page_is_what_the_docstrings_say(reference: Reference, file: str) -> None:
    written = (FOLDER / file).read_text() if (FOLDER / file).exists() else ""
    assert written == reference.pages().get(file, ""), "run `make reference`"


def test_every_public_name_has_an_entry(reference: Reference) -> None:
    paths = {name: reference.find(f"awaithumans.{name}").path for name in awaithumans.__all__}
    assert [name for name, path in paths.items() if path not in reference.places] == []


@pytest.mark.parametrize("page", [*DOCS, *PROGRAMS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_name_that_a_page_imports_has_an_entry(reference: Reference, page: Path) -> None:
    paths = {path: reference.find(path).path for path in imported(page)}
    assert [path for path, found in paths.items() if found not in reference.places] == []


def imported(page: Path) -> Iterator[str]:
    """Yield the paths of the names that readers see imported from this package."""
    shown = HIDDEN.sub("", page.read_text())
    sources = (
        [shown]
        if page.suffix == ".py"
        else [source for language, source in BLOCK.findall(shown) if language == "python"]
    )
    for node in (node for source in sources for node in ast.walk(ast.parse(dedent(source)))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "awaithumans":
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_heading(page: Path) -> None:
    links = LINK.findall(BLOCK.sub("", page.read_text()))
    targets = [((page.parent / file).resolve() if file else page, fragment) for file, fragment in links]
    assert [target for target in targets if not leads_somewhere(*target)] == []


def leads_somewhere(file: Path, fragment: str) -> bool:
    return file.exists() and (not fragment or fragment in headings(file))


def headings(page: Path) -> Counter[str]:
    return Counter(map(anchor, HEADING.findall(BLOCK.sub("", page.read_text()))))


@pytest.mark.parametrize("file", FILES)
def test_no_two_headings_share_an_address(file: str) -> None:
    assert [heading for heading, times in headings(FOLDER / file).items() if times > 1] == []


def test_arguments_are_described_all_or_none(reference: Reference, caplog: pytest.LogCaptureFixture) -> None:
    """Where a docstring lists arguments, it lists those there are."""
    entries = [each for page in reference.index for entry in page.entries for each in (entry, *methods(entry))]
    described = {entry.path: (arguments(entry), names(entry)) for entry in entries if arguments(entry)}
    assert {path: both for path, both in described.items() if both[0] != both[1]} == {}
    assert caplog.text == "", "griffe has something to say"


def arguments(entry: griffe.Object) -> list[str]:
    sections = entry.docstring.parsed if entry.docstring else []
    return [
        argument.name
        for section in sections
        if isinstance(section, griffe.DocstringSectionParameters)
        for argument in section.value
    ]


def names(entry: griffe.Object) -> list[str]:
    taking = entry if isinstance(entry, griffe.Function) else entry.members["__init__"]
    assert isinstance(taking, griffe.Function)
    return [parameter.name for parameter in taking.parameters if parameter.name not in {"self", "cls"}]
