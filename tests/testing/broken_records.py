"""Records that each break one promise, in a way in which real ones are broken.

`broken` is what the suite must say of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from anyio.lowlevel import checkpoint

from awaithumans.documents import dumps
from awaithumans.records import MemoryRecords, ensure_record
from awaithumans.types import Record


class BrokenRecords(MemoryRecords):
    """Records in memory, but for one thing."""

    broken: ClassVar[str]


class ComparesBeforeItWrites(BrokenRecords):
    """Asks for the version in one transaction, and writes in another."""

    broken = "Records.put: of many puts of one version exactly one wins."

    async def put(self, record: Record) -> bool:
        ensure_record(record)
        if self._version(record) != record.version - 1:
            return False
        await checkpoint()
        self._kept.setdefault(record.kind, {})[record.id] = (record.version, dumps(record.document))
        return True


class Upserts(BrokenRecords):
    """Writes version 1 over whatever is there."""

    broken = "Records.put: put at another version writes nothing."

    async def put(self, record: Record) -> bool:
        ensure_record(record)
        if record.version == 1:
            self._kept.get(record.kind, {}).pop(record.id, None)
        return await super().put(record)


class TakesWhatItIsGiven(BrokenRecords):
    """Lets its medium refuse what it cannot hold, or not."""

    broken = "Records.put: what cannot be kept is refused."

    async def put(self, record: Record) -> bool:
        self._kept.setdefault(record.kind, {}).setdefault(record.id, (record.version, "{}"))
        return await super().put(record)


class NamesWithoutCase(BrokenRecords):
    """Has a collation that takes letter case for nothing."""

    broken = "Records: names that look alike are different."

    async def put(self, record: Record) -> bool:
        return await super().put(replace(record, id=record.id.lower(), kind=record.kind.lower()))


class GivesWhatItKeeps(BrokenRecords):
    """Hands out its own documents."""

    broken = "Records: what the caller does to its values later changes nothing."

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[tuple[str, str, int], Record] = {}

    async def get(self, kind: str, id: str) -> Record | None:  # noqa: A002 - as the field is called
        found = await super().get(kind, id)
        return found and self._given.setdefault((kind, id, found.version), found)


class CountsPages(BrokenRecords):
    """Begins a page at the place of `after`, and not behind it."""

    broken = "Records.find: pages meet without gap or overlap."

    async def find(self, kind: str, *, after: str = "", limit: int = 50) -> list[Record]:
        everything = await super().find(kind, limit=10_000)
        return [record for record in everything if record.id >= after][:limit]


class FindsInTheOrderOfWriting(BrokenRecords):
    """Sorts by nothing."""

    broken = "Records.find: records come by id."

    async def find(self, kind: str, *, after: str = "", limit: int = 50) -> list[Record]:
        found = [await self.get(kind, id_) for id_ in self._kept.get(kind, {}) if id_ > after]
        return [record for record in found if record][:limit]


class DeletesWhateverIsThere(BrokenRecords):
    """Does not look at the version."""

    broken = "Records.delete: delete needs the present version."

    async def delete(self, record: Record) -> bool:
        return self._kept.get(record.kind, {}).pop(record.id, None) is not None


class OnlyMarks(BrokenRecords):
    """Marks as deleted what is to be erased, and keeps its number taken."""

    broken = "Records.delete: what was deleted can be written anew."

    def __init__(self) -> None:
        super().__init__()
        self._gone: set[tuple[str, str]] = set()

    async def delete(self, record: Record) -> bool:
        deleted = await super().delete(record)
        if deleted:
            self._gone.add((record.kind, record.id))
        return deleted

    async def put(self, record: Record) -> bool:
        return (record.kind, record.id) not in self._gone and await super().put(record)


BROKEN_RECORDS = BrokenRecords.__subclasses__()
