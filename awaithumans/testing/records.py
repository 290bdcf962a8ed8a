"""What `Records` promise, as tests anybody's can be put to.

```python
class TestMyRecords(RecordsConformance):
    @pytest.fixture
    async def records(self):
        store = MyStore(...)
        await store.setup()
        yield store.records
        await store.aclose()
```
"""
# ruff: noqa: PLR2004 - these are tests, with literal expectations

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import anyio
import pytest

from awaithumans.errors import InvalidInputError
from awaithumans.protocols import Records
from awaithumans.testing.promises import Promises
from awaithumans.testing.stores import AWKWARD_VALUES, gather
from awaithumans.types import Record

ALIKE = ("a", "A", "á", "a ", " a", "a%", "a_", "a'", 'a"', "a\\", "a/b", "a\nb", "ａ", "漢字", "🙂")
"""Names that one or another database takes for the same."""


def a_record(**fields: Any) -> Record:
    """Make the first version of a record; `fields` are those of `Record`."""
    defaults: dict[str, Any] = {"kind": "installation", "id": "T0001", "document": {"name": "Acme"}}
    return Record(**{**defaults, **fields})


async def kept(records: Records, **fields: Any) -> Record:
    """Put a record that nobody competes with."""
    record = a_record(**fields)
    assert await records.put(record), "put: the version is the next one, and nobody was faster"
    return record


async def ids(records: Records, **asked: Any) -> list[str]:
    """Find, and return the ids alone."""
    return [record.id for record in await records.find("installation", **asked)]


class RecordsTests(Promises):
    """The fixture that every part of the suite needs."""

    @pytest.fixture
    def records(self) -> Records:
        """Give the records: empty."""
        raise NotImplementedError


@pytest.mark.anyio
class KeepingTests(RecordsTests, of="Records"):
    """What comes back is what was written."""

    async def test_a_record_can_be_read(self, records: Records) -> None:
        """`put` wrote it, and `get` returns it."""
        record = await kept(records)
        assert await records.get(record.kind, record.id) == record

    async def test_get_returns_none_for_what_is_unknown(self, records: Records) -> None:
        """Another id, or the same of another kind."""
        await kept(records)
        assert await records.get("installation", "T0002") is None
        assert await records.get("identity", "T0001") is None

    async def test_awkward_json_values_come_back(self, records: Records) -> None:
        """Numbers keep their type and digits, text its characters."""
        record = await kept(records, document=AWKWARD_VALUES)
        found = await records.get(record.kind, record.id)
        assert found is not None
        assert repr(dict(sorted(found.document.items()))) == repr(dict(sorted(AWKWARD_VALUES.items())))

    async def test_names_that_look_alike_are_different(self, records: Records) -> None:
        """Letter case, accents and spaces count, in ids and in kinds."""
        for name in ALIKE:
            await kept(records, id=name, document={"name": name})
            await kept(records, kind=name, document={"name": name})
        for name in ALIKE:
            by_id, by_kind = await records.get("installation", name), await records.get(name, "T0001")
            assert by_id is not None
            assert by_kind is not None
            assert by_id.document == by_kind.document == {"name": name}

    async def test_the_longest_names_and_a_large_document_come_back(self, records: Records) -> None:
        """100 characters of a kind, 512 of an id, a megabyte of a document."""
        record = await kept(records, kind="🙂" * 100, id="🙂" * 512, document={"text": "x" * 1_000_000})
        assert await records.get(record.kind, record.id) == record

    async def test_what_the_caller_does_to_its_values_later_changes_nothing(self, records: Records) -> None:
        """Nothing inside is shared with callers."""
        document: dict[str, Any] = {"list": [1]}
        record = await kept(records, document=document)
        document["list"].append(2)
        found = await records.get(record.kind, record.id)
        assert found is not None
        assert found.document == {"list": [1]}
        cast("dict[str, Any]", found.document)["list"].append(3)
        again = await records.get(record.kind, record.id)
        assert again is not None
        assert again.document == {"list": [1]}


@pytest.mark.anyio
class PutTests(RecordsTests, of="Records.put"):
    """One winner per version."""

    async def test_put_writes_the_next_version(self, records: Records) -> None:
        """Version and document are the new ones; the other records stay as they are."""
        first, other = await kept(records), await kept(records, id="T0002")
        second = await kept(records, version=2, document={"name": "Acme & Sons"})
        assert await records.get(first.kind, first.id) == second
        assert await records.get(other.kind, other.id) == other

    async def test_put_at_another_version_writes_nothing(self, records: Records) -> None:
        """Not for the present one, not for one further, not for what is not there."""
        record = await kept(records)
        for version in (0, 1, 3):
            assert await records.put(replace(record, version=version, document={})) is False
        assert await records.get(record.kind, record.id) == record
        assert await records.put(replace(record, id="T0002", version=2)) is False
        assert await records.get(record.kind, "T0002") is None

    @pytest.mark.parametrize("version", [1, 2])
    async def test_of_many_puts_of_one_version_exactly_one_wins(self, records: Records, version: int) -> None:
        """Its document is the one that is kept."""
        if version == 2:
            await kept(records)
        rivals = [a_record(version=version, document={"rival": number}) for number in range(20)]
        won = await gather(*(partial(records.put, rival) for rival in rivals))
        assert won.count(True) == 1
        assert await records.get("installation", "T0001") == rivals[won.index(True)]

    async def test_concurrent_changes_are_all_made_when_retried(self, records: Records) -> None:
        """Nothing is lost between reading and writing."""
        await kept(records, document={"count": 0})

        async def count_up() -> None:
            while True:
                found = await records.get("installation", "T0001")
                assert found is not None
                count: Any = found.document["count"]
                if await records.put(replace(found, version=found.version + 1, document={"count": count + 1})):
                    return

        with anyio.fail_after(60):
            await gather(*[count_up] * 10)
        assert await records.get("installation", "T0001") == a_record(version=11, document={"count": 10})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": ""},
            {"kind": "k" * 101},
            {"kind": "a\0b"},
            {"id": ""},
            {"id": "i" * 513},
            {"id": "a\0b"},
            {"id": "\ud800"},
            {"document": {"no JSON": object()}},
            {"document": {"nan": float("nan")}},
            {"document": {"text": "a\0b"}},
            {"document": ["no object"]},
        ],
    )
    async def test_what_cannot_be_kept_is_refused(self, records: Records, wrong: dict[str, Any]) -> None:
        """`InvalidInputError`, and nothing is written."""
        with pytest.raises(InvalidInputError):
            await records.put(a_record(**wrong))
        assert await records.find("installation") == []


@pytest.mark.anyio
class FindTests(RecordsTests, of="Records.find"):
    """Page by page, in one order."""

    async def test_records_come_by_id(self, records: Records) -> None:
        """In the order of code points, whatever the order of writing; those of one kind only."""
        for name in ALIKE:
            await kept(records, id=name)
        await kept(records, kind="identity", id="b")
        assert await ids(records) == sorted(ALIKE)
        assert await records.find("nothing") == []

    async def test_pages_meet_without_gap_or_overlap(self, records: Records) -> None:
        """`after` continues behind an id, also one that is gone."""
        written = [await kept(records, id=f"{number:02}", document={"number": number}) for number in range(7)]
        assert await records.find("installation", limit=3) == written[:3]
        assert await records.delete(written[2])
        assert await records.find("installation", after="02", limit=3) == written[3:6]
        assert await ids(records, after="05") == ["06"]
        assert await ids(records, after="06") == []

    async def test_found_records_are_at_their_latest_version(self, records: Records) -> None:
        """As `get` returns them."""
        await kept(records)
        latest = await kept(records, version=2, document={"name": "Acme & Sons"})
        assert await records.find("installation") == [latest]


@pytest.mark.anyio
class DeleteTests(RecordsTests, of="Records.delete"):
    """Gone, unless somebody was faster."""

    async def test_a_deleted_record_is_gone(self, records: Records) -> None:
        """From `get` and from every list; the others stay."""
        record, other = await kept(records), await kept(records, id="T0002")
        assert await records.delete(record)
        assert await records.get(record.kind, record.id) is None
        assert await records.find("installation") == [other]

    async def test_delete_needs_the_present_version(self, records: Records) -> None:
        """Else nothing is erased, and what is not there cannot be."""
        record = await kept(records)
        latest = await kept(records, version=2)
        for version in (0, 1, 3):
            assert await records.delete(replace(record, version=version)) is False
        assert await records.get(record.kind, record.id) == latest
        assert await records.delete(latest)
        for version in (0, 2):
            assert await records.delete(replace(record, version=version)) is False

    async def test_what_was_deleted_can_be_written_anew(self, records: Records) -> None:
        """It begins with version 1 again."""
        assert await records.delete(await kept(records))
        assert await records.put(a_record(version=2)) is False
        record = await kept(records, document={"anew": True})
        assert await records.get(record.kind, record.id) == record

    async def test_of_delete_and_put_one_wins(self, records: Records) -> None:
        """For the same version, whichever it is."""
        record = await kept(records)
        changed = replace(record, version=2)
        for _ in range(10):
            deleted, written = await gather(partial(records.delete, record), partial(records.put, changed))
            assert deleted != written
            if written:
                assert await records.delete(changed)
            await kept(records)


class RecordsConformance(KeepingTests, PutTests, FindTests, DeleteTests):
    """Every promise of `Records`: subclass it, and override `records`."""
