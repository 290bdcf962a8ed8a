"""The suites for stores and records pass a good one, and say of a bad one which promise it breaks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest

from awaithumans.testing.records import RecordsConformance
from awaithumans.testing.stores import StoreConformance
from tests.testing.broken_records import BROKEN_RECORDS, BrokenRecords
from tests.testing.broken_stores import BROKEN_STORES, BrokenStore
from tests.testing.suites import said_of

SUITES = """
import pytest
from awaithumans.records import MemoryRecords
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.records import RecordsConformance
from awaithumans.testing.stores import StoreConformance
from tests.testing.broken_records import BROKEN_RECORDS
from tests.testing.broken_stores import BROKEN_STORES

@pytest.fixture
def anyio_backend():
    return "asyncio"

def put_to(suite, name, *kinds):
    for kind in kinds:
        test = f"Test{kind.__name__}"
        fixture = pytest.fixture(name=name)(lambda self, kind=kind: kind())
        globals()[test] = type(test, (suite,), {name: fixture})

put_to(StoreConformance, "store", MemoryStore, *BROKEN_STORES)
put_to(RecordsConformance, "records", MemoryRecords, *BROKEN_RECORDS)
"""


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Give what the suite says of each store: everything, in a run without our plugin."""
    return said_of(SUITES, tmp_path_factory.mktemp("suites"))


@pytest.mark.parametrize("kept", ["MemoryStore", "MemoryRecords"])
def test_a_store_that_keeps_its_promises_passes(said: Mapping[str, str], kept: str) -> None:
    assert said[kept] == ""


@pytest.mark.parametrize("broken", [*BROKEN_STORES, *BROKEN_RECORDS], ids=lambda broken: broken.__name__)
def test_a_broken_promise_is_named(said: Mapping[str, str], broken: type[BrokenStore | BrokenRecords]) -> None:
    assert said[broken.__name__], "the suite passes it"
    assert f"Broken promise of {broken.broken}" in said[broken.__name__]


def test_every_broken_store_is_asked_for_every_promise(said: Mapping[str, str]) -> None:
    assert len(said) == len(BROKEN_STORES) + 1 + len(BROKEN_RECORDS) + 1


@pytest.mark.parametrize(("suite", "number"), [(StoreConformance, 89), (RecordsConformance, 18)])
def test_every_promise_has_words(suite: type, number: int) -> None:
    tests = [test for name, test in inspect.getmembers(suite) if name.startswith("test_")]
    assert len(tests) == number
    assert [test.__name__ for test in tests if not inspect.getdoc(test)] == []
