"""Records keep their promises, in memory and in each database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from awaithumans.protocols import KeepsRecords, Records
from awaithumans.stores.memory import MemoryStore
from awaithumans.stores.sqlalchemy import Encryption, SQLAlchemyStore
from awaithumans.testing.records import RecordsConformance
from awaithumans.types import Record
from tests.databases import EACH_DATABASE
from tests.stores.accidents import lost_once
from tests.stores.test_using import Host

pytestmark = pytest.mark.anyio

RECORD = Record(kind="k", id="1", document={"a": 1})


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestInMemory(RecordsConformance):
    @pytest.fixture
    def records(self) -> Records:
        return MemoryStore().records


class TestInADatabase(RecordsConformance):
    @pytest.fixture
    def records(self, store: SQLAlchemyStore) -> Records:
        assert isinstance(store, KeepsRecords)
        return store.records


@pytest.mark.parametrize("backend_and_driver", EACH_DATABASE, ids=" ".join)
class TestEncrypted(RecordsConformance):
    @pytest.fixture
    async def records(self, url: str) -> AsyncIterator[Records]:
        store = SQLAlchemyStore(url, encryption=Encryption("a secret of at least thirty-two bytes"))
        await store.setup()
        yield store.records
        await store.aclose()


@pytest.mark.parametrize(
    "backend_and_driver",
    [("asyncio", "sqlite"), ("asyncio", "postgresql+psycopg_async"), ("asyncio", "mariadb+pymysql")],
    ids=" ".join,
)
class TestInAHostsTransaction(RecordsConformance):
    @pytest.fixture
    async def records(self, store: SQLAlchemyStore, used_url: str) -> AsyncIterator[Records]:
        host = Host(used_url)
        async with host.begin() as connection:
            joined = store.using(connection)
            assert isinstance(joined, KeepsRecords)
            yield joined.records
        await host.aclose()


@pytest.mark.parametrize("before_commit", [True, False])
async def test_a_write_survives_a_lost_connection(store: SQLAlchemyStore, *, before_commit: bool) -> None:
    """Whoever wrote is told so, whether or not the commit was heard of; whoever lost is not."""
    changed = replace(RECORD, version=2)
    with lost_once(store, before_commit=before_commit):
        assert await store.records.put(RECORD)
    with lost_once(store, before_commit=before_commit):
        assert await store.records.put(RECORD) is False
    with lost_once(store, before_commit=before_commit):
        assert await store.records.put(changed)
    with lost_once(store, before_commit=before_commit):
        assert await store.records.delete(RECORD) is False
    with lost_once(store, before_commit=before_commit):
        assert await store.records.delete(changed)
    assert await store.records.find("k") == []
