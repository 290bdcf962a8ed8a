"""Every block of code in the README and in docs/ does what it says.

- `python` is executed, block after block, as one program per page. `await` may
  stand outside functions. `<!-- skip: reason -->` on the line above a block
  leaves it at a syntax check. `<!-- from: examples/app.py -->` there says that
  the block, be it only a method, stands word for word in that program, which has
  tests of its own.
- `bash` is parsed by bash, and its commands must be ones whose words can be
  checked here: targets, files and extras that exist.
- `json` and `toml` are parsed.
- A fence in any other language must be listed as prose.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from awaithumans.commands.arguments import make_parser

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = {"text", "html", "po", "http", "mermaid", "sql", "diff"}

SKIP = re.compile(r"<!--\s*skip:?(?P<reason>[^\n]*?)-->\s*\Z")
QUOTED = re.compile(r"<!--\s*from:\s*(?P<program>\S+)\s*-->\s*\Z")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.chdir(tmp_path)
    with asyncio.Runner() as runner:
        document = Sybil(parsers=[blocks]).parse(page)
        document.namespace.update(module=module, runner=runner)
        for example in document:
            example.evaluate()


def blocks(document: Document) -> Iterator[Region]:
    """Give each fenced block the evaluator of its language."""
    lexer = FencedCodeBlockLexer(language=r"[^\s{]*", mapping={"language": "language", "source": "source"})
    for region in lexer(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = LANGUAGES.get(region.lexemes["language"], refuse)
        yield region


def refuse(example: Example) -> None:
    language = example.region.lexemes["language"]
    if language not in PROSE:
        pytest.fail(f"{example.path}:{example.line}: a block in {language!r} is checked by nobody")


def skip_reason(example: Example) -> str | None:
    """Return why a block is not executed; None if it is."""
    found = SKIP.search(example.document.text[: example.start])
    if found is None:
        return None
    reason = found["reason"].strip()
    if not reason:
        pytest.fail(f"{example.path}:{example.line}: say why: <!-- skip: reason -->")
    return reason


def evaluate_python(example: Example) -> None:
    """Execute a block with its own line numbers, so that failures point at it."""
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if quoted := QUOTED.search(example.document.text[: example.start]):
        program = (ROOT / "docs" / quoted["program"]).read_text()
        assert words(example.parsed) in words(program), f"{quoted['program']} says otherwise"
        return
    if skip_reason(example):
        return
    outcome = eval(code, vars(example.namespace["module"]))
    if inspect.iscoroutine(outcome):
        example.namespace["runner"].run(outcome)


def words(code: str) -> str:
    """Forget how code is laid out: a method may be quoted without its class."""
    return " ".join(code.split())


def evaluate_bash(example: Example) -> None:
    subprocess.run(["bash", "-n", "-c", example.parsed], check=True)
    if skip_reason(example):
        return
    for line in example.parsed.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words and not known(words):
            pytest.fail(f"{example.path}:{example.line}: cannot check `{line}`, or it names what does not exist")


def known(words: list[str]) -> bool:  # noqa: PLR0911 - one for each kind of command
    """Tell whether a command names only what exists."""
    match words:
        case ["make", target, *_]:
            return re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None
        case ["python" | "python3", "-m", "pip", *rest] | ["pip", *rest] | ["uv", "pip", *rest]:
            return all(extras_exist(word) for word in rest)
        case ["python" | "python3", "-m", "awaithumans", *arguments]:
            return is_a_command(arguments)
        case ["python" | "python3", "-c", code]:
            return bool(compile(code, "-c", "exec"))
        case ["python" | "python3", program, *_]:
            return (ROOT / program).is_file()
        case ["uvicorn" | "hypercorn" | "gunicorn", application, *_]:
            program = application.partition(":")[0].removeprefix("docs.examples.").replace(".", "/")
            return (ROOT / "docs" / "examples" / f"{program}.py").is_file()
        case _:
            return words[:2] == ["git", "clone"] or words[0] in {"cd", "export"}


def is_a_command(arguments: list[str]) -> bool:
    try:
        make_parser().parse_args(arguments)
    except SystemExit:
        return False
    return True


def extras_exist(requirement: str) -> bool:
    found = re.fullmatch(r"awaithumans\[(.*)\].*", requirement)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {name.strip() for name in found[1].split(",")} if found else set()
    return wanted <= set(project["optional-dependencies"])


def evaluate_json(example: Example) -> None:
    json.loads(example.parsed)


def evaluate_toml(example: Example) -> None:
    tomllib.loads(example.parsed)


LANGUAGES = {"python": evaluate_python, "bash": evaluate_bash, "json": evaluate_json, "toml": evaluate_toml}
