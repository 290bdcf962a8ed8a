"""Write docs/reference/api from the docstrings: `make reference`.

griffe reads the package, without importing it; `reference.toml` names the
pages, and what is on each. Here is how an entry looks in Markdown.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import griffe

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference" / "api"
PAGES = ROOT / "scripts" / "reference.toml"
PACKAGE = "awaithumans"

WIDTH = 88
MADE = "<!-- Made by `make reference` from the docstrings: change those. -->"
SILENT = re.compile(r"abstractmethod|property|runtime_checkable|pytest\.mark|pytest\.hookimpl")
STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
NAME = re.compile(r"`([A-Za-z_][\w.]*)`")

Text = str | griffe.Expr | None


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for file, text in Reference().pages().items():
        (FOLDER / file).write_text(text)


def anchor(heading: str) -> str:
    """Give the fragment by which code hosts address a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Page:
    file: str
    title: str
    about: str
    sections: Mapping[str, Sequence[griffe.Object]]

    @property
    def entries(self) -> list[griffe.Object]:
        return [entry for entries in self.sections.values() for entry in entries]


class Reference:
    """The package as griffe sees it, and where each name is documented."""

    def __init__(self) -> None:
        self.package = griffe.load(PACKAGE, search_paths=[ROOT], docstring_parser="google", allow_inspection=False)
        self.index = [self._read(**page) for page in tomllib.loads(PAGES.read_text())["pages"]]
        self.places = dict(self._places())
        self.named = {path: [path] for path in self.places}
        for path in self.places:
            self.named.setdefault(path.removeprefix(f"{self._module(path)}."), []).append(path)

    def _read(self, file: str, title: str, about: str, names: Mapping[str, str]) -> Page:
        sections = {module: [self.find(f"{module}.{name}") for name in names[module].split()] for module in names}
        return Page(file, title, about.strip(), sections)

    def find(self, path: str) -> griffe.Object:
        """Return what is at a path, wherever it was imported from."""
        found = self.package.modules_collection[path]
        return found.final_target if isinstance(found, griffe.Alias) else cast("griffe.Object", found)

    def _places(self) -> Iterator[tuple[str, str]]:
        for page in self.index:
            for entry in page.entries:
                for each in (entry, *methods(entry)):
                    yield each.path, f"{page.file}#{anchor(title(each))}"

    def _module(self, path: str) -> str:
        return self.find(path).module.path

    def meant(self, name: str, entry: griffe.Object) -> str | None:
        """Return the path that a name in the docstring of `entry` stands for; None if it may be just a word."""
        if name.islower() and not {"_", "."} & set(name):
            return None
        with suppress(griffe.NameResolutionError):
            if not entry.resolve(name.partition(".")[0]).startswith(PACKAGE):
                return None
        found = self.named.get(name, self.named.get(name.rpartition(".")[0], []))
        nearby = [path for path in found if self._file(path) == self._file(entry.path)]
        return next(iter(nearby or found), None)

    def _file(self, path: str) -> str:
        return self.places.get(path, "").partition("#")[0]

    # ── Pages ─────────────────────────────────────────────────────────────────

    def pages(self) -> dict[str, str]:
        """Give the text of every page, by file."""
        return {"README.md": self._overview(), **{page.file: PageWriter(self, page).text() for page in self.index}}

    def _overview(self) -> str:
        lines = (f"| [{page.title}]({page.file}) | {self._names(page)} |" for page in self.index)
        about = "Every public name: what it takes, what it gives, and what it promises."
        return joined(["# API", MADE, about, "\n".join(["| Page | Names |", "|---|---|", *lines])])

    def _names(self, page: Page) -> str:
        return ", ".join(f"[{entry.name}]({self.places[entry.path]})" for entry in page.entries)


class PageWriter:
    """One page: a list of contents, and an entry for each name."""

    def __init__(self, reference: Reference, page: Page) -> None:
        self._reference = reference
        self._page = page

    def text(self) -> str:
        """Give the whole page."""
        return joined(self._parts())

    def _parts(self) -> Iterator[str]:
        yield f"# {self._page.title}"
        yield MADE
        yield self._page.about
        yield "\n".join(line for entry in self._page.entries for line in self._contents(entry))
        for module, entries in self._page.sections.items():
            for entry in entries:
                yield f"## {title(entry)}"
                yield "" if is_fixture(entry) else f"`from {module} import {entry.name}`"
                yield from self._entry(entry)

    def _contents(self, entry: griffe.Object) -> Iterator[str]:
        yield f"- {self._link(f'`{entry.name}`', entry.path)}: {self._prose(summary(entry), entry)}"
        if own := methods(entry):
            yield f"  <br>{self._links(own)}"

    def _entry(self, entry: griffe.Object) -> Iterator[str]:
        yield f"<!-- skip: a signature -->\n```python\n{signature(entry)}\n```"
        for section in docstring(entry):
            yield from self._section(section, entry)
        yield advice(entry)
        yield "\n".join(map(self._field, fields(entry)))
        yield from self._inherited(entry)
        for method in methods(entry):
            yield f"### {title(method)}"
            yield from self._entry(method)

    def _inherited(self, entry: griffe.Object) -> Iterator[str]:
        """Point to what base classes have, where it is not told of again."""
        own = {each.name for each in (*methods(entry), *fields(entry))}
        for base in entry.mro() if isinstance(entry, griffe.Class) and not is_error(entry) else ():
            others = [each for each in (*fields(base), *methods(base)) if each.name not in own]
            if others and base.path in self._reference.places:
                yield f"As every {self._link(f'`{base.name}`', base.path)} it has {self._links(others)}."

    def _section(self, section: griffe.DocstringSection, entry: griffe.Object) -> Iterator[str]:
        match section:
            case griffe.DocstringSectionText(value=text):
                yield self._prose(text, entry)
            case griffe.DocstringSectionParameters(value=arguments):
                yield "\n".join(self._argument(argument, entry) for argument in arguments)
            case _:
                raise ValueError(f"a docstring has a section that is not known here: {section.kind.value}")

    def _argument(self, argument: griffe.DocstringParameter, entry: griffe.Object) -> str:
        told = self._prose(line(argument.description), entry)
        return f"- **`{argument.name}`** {self._type(argument.annotation)}: {told}"

    def _field(self, field: griffe.Attribute) -> str:
        typed = self._type(field.annotation) or f"`{shown(field.value)}`"
        default = f" = `{default_of(field)}`" if field.annotation and field.value else ""
        told = f": {self._prose(line(field.docstring.value), field)}" if field.docstring else ""
        return f"- **`{field.name}`** {typed}{default}{told}"

    # ── Links ─────────────────────────────────────────────────────────────────

    def _links(self, members: Sequence[griffe.Object]) -> str:
        return ", ".join(self._link(member.name, member.path) for member in members)

    def _prose(self, text: str, entry: griffe.Object) -> str:
        """Link the names of entries that the docstring of `entry` has in backticks."""
        return NAME.sub(lambda found: self._link(found[0], self._reference.meant(found[1], entry)), text)

    def _type(self, annotation: Text) -> str:
        """Show a type as code in which known names are links."""
        if annotation is None:
            return ""
        return f"<code>{''.join(self._link(part, path) for part, path in words(annotation))}</code>"

    def _link(self, text: str, path: str | None) -> str:
        place = self._reference.places.get(path or "")
        return f"[{text}]({place.removeprefix(self._page.file)})" if place else text


# ── What there is to show of an object ────────────────────────────────────────


def docstring(entry: griffe.Object) -> Sequence[griffe.DocstringSection]:
    return entry.docstring.parsed if entry.docstring else ()


def summary(entry: griffe.Object) -> str:
    return line(entry.docstring.value.partition("\n\n")[0]) if entry.docstring else ""


def methods(entry: griffe.Object) -> list[griffe.Function]:
    """Return the methods of a class that have something to say; the others keep what another class promises."""
    if not isinstance(entry, griffe.Class):
        return []
    functions = (member for member in entry.members.values() if isinstance(member, griffe.Function))
    told = (each for each in functions if each.docstring and not each.name.startswith(("_", "test_")))
    return [each for each in told if not any(repeats(each, base) for base in entry.mro())]


def repeats(method: griffe.Function, base: griffe.Class) -> bool:
    """Tell whether a method only says in brief what it says in full on a base class."""
    original = base.members.get(method.name)
    same = isinstance(original, griffe.Function) and parameters(original) == parameters(method)
    return same and method.docstring is not None and "\n" not in method.docstring.value


def fields(entry: griffe.Object) -> list[griffe.Attribute]:
    """Return what a value consists of; of other classes, what has a docstring."""
    if not isinstance(entry, griffe.Class):
        return []
    attributes = (member for member in entry.members.values() if isinstance(member, griffe.Attribute))
    public = (each for each in attributes if each.is_public and each.name != "model_config")
    return [each for each in public if each.docstring or is_value(entry)]


def is_value(entry: griffe.Class) -> bool:
    ancestors = {str(base) for each in (entry, *entry.mro()) for base in each.bases}
    return "dataclass" in entry.labels or not ancestors.isdisjoint({"StrEnum", "BaseModel"})


def bases(entry: griffe.Class) -> Iterator[Text]:
    """Yield what a class inherits from, instead of private classes what those do."""
    for base in entry.bases:
        if not str(base).startswith("_"):
            yield base
        elif isinstance(private := entry.module.members[str(base).partition("[")[0]], griffe.Class):
            yield from (each for each in bases(private) if not str(each).startswith("Generic"))


def default_of(field: griffe.Attribute) -> str:
    """Give a field's default, as a stub has it where it is made anew each time."""
    return "..." if str(field.value).startswith("field(") else shown(field.value)


def is_error(entry: griffe.Object) -> bool:
    return entry.name.endswith("Error")


def title(entry: griffe.Object) -> str:
    owner = f"{entry.parent.name}." if isinstance(entry.parent, griffe.Class) else ""
    return f"`{owner}{entry.name}`{' (fixture)' if is_fixture(entry) else ''}"


def is_fixture(entry: griffe.Object) -> bool:
    return "@pytest.fixture" in decorators(entry)


def advice(entry: griffe.Object) -> str:
    """Point to what an error means, where it has a section of its own."""
    section = entry.members.get("anchor")
    if not isinstance(section, griffe.Attribute):
        return ""
    return f"[What happened, and what to do](../errors.md#{ast.literal_eval(str(section.value))})"


# ── Signatures ────────────────────────────────────────────────────────────────


def signature(entry: griffe.Object) -> str:
    """Write an entry as a stub has it."""
    match entry:
        case griffe.Function():
            return function_signature(entry)
        case griffe.Class():
            return class_signature(entry)
        case griffe.Attribute(annotation=None):
            return f"{entry.name} = {shown(entry.value)}"
        case griffe.Attribute():
            value = shown(entry.value)
            return f"{entry.name}: {shown(entry.annotation)} = {value if len(value) < WIDTH else '...'}"
        case _:
            raise TypeError(f"{entry.path} is {entry.kind.value}")


def class_signature(entry: griffe.Class) -> str:
    inherited = ", ".join(map(shown, bases(entry)))
    head = "\n".join([*decorators(entry), f"class {entry.name}({inherited}):" if inherited else f"class {entry.name}:"])
    made_by = entry.members.get("__init__")
    if not isinstance(made_by, griffe.Function) or is_value(entry):
        return f"{head} ..."
    return f"{head}\n{indent(function_signature(made_by))}"


def function_signature(function: griffe.Function) -> str:
    start = f"{'async ' if 'async' in function.labels else ''}def {function.name}("
    end = f") -> {shown(function.returns)}: ..."
    parts = parameters(function)
    whole = f"{start}{', '.join(parts)}{end}"
    if len(whole) > WIDTH:
        whole = "\n".join([start, *(indent(f"{part},") for part in parts), end])
    return "\n".join([*decorators(function), whole])


def parameters(function: griffe.Function) -> list[str]:
    parts: list[str] = []
    for parameter in function.parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and not any(part.startswith("*") for part in parts):
            parts.append("*")
        typed = f": {shown(parameter.annotation)}" if parameter.annotation else ""
        fallback = f" = {shown(parameter.default)}" if parameter.default and parameter.kind not in STARS else ""
        parts.append(f"{STARS.get(parameter.kind, '')}{parameter.name}{typed}{fallback}")
    return parts


def decorators(entry: griffe.Object) -> list[str]:
    found = entry.decorators if isinstance(entry, griffe.Function | griffe.Class) else []
    return [f"@{each.value}" for each in found if not SILENT.match(str(each.value))]


def shown(expression: Text) -> str:
    return "".join(part for part, _ in words(expression))


def words(expression: Text) -> Iterator[tuple[str, str | None]]:
    """Take code apart: into names, with the paths they stand for, and what is between."""
    match expression:
        case None:
            return
        case str():
            yield requoted(expression), None
        case griffe.ExprName():
            yield expression.name, expression.canonical_path
        case griffe.ExprAttribute() if is_in_a_module_of_ours(expression):
            yield expression.canonical_name, expression.canonical_path
        case _:
            for part in expression.iterate(flat=False):
                yield from words(part)


def is_in_a_module_of_ours(expression: griffe.ExprAttribute) -> bool:
    """Tell whether this is a name behind the module that it is imported with."""
    return expression.canonical_path.startswith(f"{PACKAGE}.") and str(expression)[0].islower()


# ── Text ──────────────────────────────────────────────────────────────────────


def joined(parts: Iterable[str]) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


def requoted(code: str) -> str:
    """Write a string as the formatter does; griffe has the other quotes."""
    return json.dumps(ast.literal_eval(code), ensure_ascii=False) if code.startswith("'") else code


def line(text: str) -> str:
    return " ".join(text.split())


def indent(text: str) -> str:
    return textwrap.indent(text, "    ")


if __name__ == "__main__":
    main()
