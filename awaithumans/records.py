"""What can be a record, and records in this process's memory."""

from __future__ import annotations

import json
import threading

from anyio.lowlevel import checkpoint

from awaithumans.documents import dumps, ensure_object, ensure_text
from awaithumans.types import Record

MAX_KIND = 100
MAX_ID = 512


def ensure_record(record: Record) -> None:
    """Raise `InvalidInputError` for what no store has to keep."""
    ensure_text(record.kind, "kind", longest=MAX_KIND)
    ensure_text(record.id, "id", longest=MAX_ID)
    ensure_object(record.document, "document")


class MemoryRecords:
    """`Records` for one process; every promise but durability holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, tuple[int, str]]] = {}  # kind -> id -> version, document

    async def get(self, kind: str, id: str) -> Record | None:  # noqa: A002 - as the field is called
        await checkpoint()
        with self._lock:
            kept = self._kept.get(kind, {}).get(id)
        return _record(kind, id, *kept) if kept else None

    async def find(self, kind: str, *, after: str = "", limit: int = 50) -> list[Record]:
        await checkpoint()
        with self._lock:
            found = sorted((id_, *kept) for id_, kept in self._kept.get(kind, {}).items() if id_ > after)
        return [_record(kind, *row) for row in found[:limit]]

    async def put(self, record: Record) -> bool:
        await checkpoint()
        ensure_record(record)
        document = dumps(record.document)
        with self._lock:
            if self._version(record) != record.version - 1:
                return False
            self._kept.setdefault(record.kind, {})[record.id] = (record.version, document)
            return True

    async def delete(self, record: Record) -> bool:
        await checkpoint()
        with self._lock:
            if not 0 < record.version == self._version(record):
                return False
            del self._kept[record.kind][record.id]
            return True

    def _version(self, record: Record) -> int:
        """Return the stored version; 0 if there is none."""
        version, _ = self._kept.get(record.kind, {}).get(record.id, (0, ""))
        return version


def _record(kind: str, id_: str, version: int, document: str) -> Record:
    return Record(kind=kind, id=id_, version=version, document=json.loads(document))
