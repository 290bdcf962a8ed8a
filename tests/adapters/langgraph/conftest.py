"""An engine, its people, and graphs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from awaithumans import Engine
from awaithumans.stores.memory import MemoryStore
from tests.adapters.langgraph.graphs import Graphs
from tests.adapters.langgraph.people import People


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(MemoryStore())
    async with engine.run():
        yield engine


@pytest.fixture
def people(engine: Engine) -> People:
    return People(engine)


@pytest.fixture
def graphs() -> Graphs:
    return Graphs()
