"""Who may import whom, and which room may name which library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "awaithumans"

# A module or package of awaithumans is a room. Imports go only downwards in this list, or sideways.
LAYERS = (
    {"types", "errors", "words"},
    {
        "protocols",
        "documents",
        "record",
        "records",
        "schemas",
        "lifecycle",
        "forms",
        "display",
        "meaning",
        "signing",
        "routing",
        "origins",
        "wire",
        "statistics",
    },
    {
        "engine",
        "assignment",
        "plugins",
        "admission",
        "ambient",
        "background",
        "runner",
        "wakeups",
        "following",
        "clock",
        "ids",
        "beside",
        "forks",
        "leases",
        "waiting",
        "client",
        "receiving",
        "remote",
        "blocking",
        "telemetry",
        "otel",
    },
    {"directory", "verifiers", "stores", "channels", "web", "adapters", "terminal"},
    {"testing", "commands"},
    {"__init__", "__main__"},
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Each of these rooms can be taken out of the house without the others noticing.
STRANGERS = {"stores", "channels", "adapters", "verifiers"}

# The rooms that may name a library. Any room may name those in EVERYWHERE.
EVERYWHERE = {"anyio", "pydantic", "pydantic_core", "typing_extensions"}
LIBRARIES = {
    "aiosmtplib": {"channels"},
    "a2wsgi": {"web"},
    "aiohttp": {"channels"},
    "alembic": {"stores"},
    "cryptography": {"signing", "stores"},
    "httpcore2": {"channels"},
    "httpx": {"adapters"},  # what langgraph_sdk raises
    "httpx2": {"client", "remote", "channels"},
    "hypothesis": {"testing"},
    "jinja2": {"channels", "web"},
    "jsonschema_rs": {"schemas"},
    "langchain_core": {"adapters"},
    "langgraph": {"adapters"},
    "langgraph_sdk": {"adapters"},
    "markdown_it": {"web"},
    "markupsafe": {"web"},
    "opentelemetry": {"otel"},
    "pydantic_ai": {"verifiers"},
    "pytest": {"testing"},
    "python_multipart": {"web"},
    "slack_sdk": {"channels"},
    "sqlalchemy": {"stores"},
    "starlette": {"web"},
    "temporalio": {"adapters"},
    "trio": {"background"},
    "yaml": {"directory"},
}

# Imports that go upwards all the same, inside a function, each with its reason.
UPWARDS: dict[tuple[str, str], str] = {
    ("client", "terminal"): "where no engine is given, the one of the terminal is made, as a host would make its own",
}

FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def modules_named(path: Path) -> Iterator[str]:
    """Yield the absolute name of each module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from origins(path, node)


def origins(path: Path, node: ast.ImportFrom) -> Iterator[str]:
    folder = path.relative_to(ROOT.parent).parent.parts
    above = folder[: len(folder) - node.level + 1] if node.level else ()
    module = ".".join([*above, *([node.module] if node.module else [])])
    if module == "awaithumans":
        yield from (f"awaithumans.{alias.name}" for alias in node.names)
    else:
        yield module


def rooms_named(path: Path) -> Iterator[str]:
    for module in modules_named(path):
        top, _, rest = module.partition(".")
        if top == "awaithumans":
            name = rest.partition(".")[0]
            yield name if name in LEVELS else "__init__"


@pytest.mark.parametrize("room", sorted({room_of(path) for path in FILES}))
def test_every_room_has_a_layer(room: str) -> None:
    assert room in LEVELS, f"awaithumans/{room} is in no layer: add it to LAYERS in {__file__}"


def test_imports_go_only_downwards() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {room}, which is above it"
        for path in FILES
        for room in rooms_named(path)
        if LEVELS[room] > LEVELS.get(room_of(path), len(LAYERS)) and (room_of(path), room) not in UPWARDS
    }
    assert not wrong


def test_rooms_that_strangers_may_replace_do_not_know_one_another() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {room}"
        for path in FILES
        for room in rooms_named(path)
        if {room, room_of(path)} <= STRANGERS and room != room_of(path)
    }
    assert not wrong


def test_each_library_is_named_only_in_its_rooms() -> None:
    allowed = sys.stdlib_module_names | EVERYWHERE | {"awaithumans"}
    wrong = {
        f"{path.relative_to(ROOT)} imports {library}: LIBRARIES gives it no place there"
        for path in FILES
        for library in {module.partition(".")[0] for module in modules_named(path)} - allowed
        if room_of(path) not in LIBRARIES.get(library, set())
    }
    assert not wrong
