"""Fixtures of the tests of the pages and the API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.web.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with world.engine.run():
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with world.client() as client:
        yield client
