"""The SQL store keeps every promise, on each database, driver and event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.stores import StoreConformance


class TestSQLAlchemyStore(StoreConformance):
    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[SQLAlchemyStore]:
        store = SQLAlchemyStore(url)
        await store.setup()
        yield store
        await store.aclose()
