"""An engine, its people, and graphs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from awaithumans import Engine, RemoteEngine
from awaithumans.protocols import TaskEngine
from awaithumans.stores.memory import MemoryStore
from tests.adapters.langgraph.graphs import Graphs
from tests.adapters.langgraph.people import People
from tests.test_remote import TOKEN, served


@pytest.fixture
async def home() -> AsyncIterator[Engine]:
    """Give the engine that the people use."""
    async with Engine(MemoryStore()).run() as engine:
        yield engine


@pytest.fixture
def reached() -> str:
    """Say how the graphs reach the engine: `here`, or `over HTTP` where a test asks for both."""
    return "here"


@pytest.fixture
async def engine(home: Engine, reached: str) -> AsyncIterator[TaskEngine]:
    """Give the engine that the graphs use."""
    if reached == "here":
        yield home
        return
    async with served(home) as url, RemoteEngine(url, TOKEN) as remote:
        yield remote


@pytest.fixture
def people(home: Engine) -> People:
    return People(home)


@pytest.fixture
def graphs() -> Graphs:
    return Graphs()
