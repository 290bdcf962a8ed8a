"""All there is of one task in one value, for stores that keep it in one piece.

A store in a document or key-value database reads a record, asks it what comes
next, and writes that in one transaction. What a `Store` promises of versions,
lanes, leases, receipts and retries is decided here, without I/O; what is left
to the store is to be atomic and durable, and to find things again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from awaithumans import documents
from awaithumans.types import Change, Delivery, Entry, JsonObject, Task, from_microseconds, microseconds


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """An effect as it is kept: what came of it, and when it may be leased next."""

    delivery: Delivery
    available_at: datetime


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task at its latest version, its trail, and its effects.

    `effects` are by id, in the order of writing.
    """

    task: Task
    trail: tuple[Entry, ...] = ()
    effects: Mapping[str, EffectRecord] = field(default_factory=dict[str, EffectRecord])

    @classmethod
    def opened(cls, change: Change) -> TaskRecord:
        """Make the record of a new task; see `Store.create`."""
        return _written(cls(change.task), change)

    def apply(self, change: Change) -> TaskRecord | None:
        """Give the record after a change; None if the version is not the next."""
        return _written(self, change) if change.task.version == self.task.version + 1 else None

    def lease(self, effect_id: str, until: datetime) -> tuple[TaskRecord, Delivery]:
        """Hand out an effect that is in `waiting`; see `Store.lease`."""
        kept = self.effects[effect_id].delivery
        delivery = replace(kept, token=uuid4().hex, attempts=kept.attempts + 1)
        leased = self._having(EffectRecord(delivery, until))
        return leased, replace(delivery, receipt=self._latest_receipt(kept.effect.lane))

    def settle(
        self,
        delivery: Delivery,
        at: datetime,
        *,
        receipt: str | None = None,
        retry_at: datetime | None = None,
        failed: str | None = None,
    ) -> TaskRecord | None:
        """Give the record after a lease; None if it is not the latest. See `Store.settle`."""
        kept = self.effects.get(delivery.effect.id)
        if kept is None or kept.delivery.settled_at or kept.delivery.token is None:
            return None
        if kept.delivery.token != delivery.token:
            return None
        if retry_at:
            return self._having(replace(kept, available_at=retry_at))
        receipt = receipt if failed is None else None
        settled = replace(kept.delivery, settled_at=at, receipt=receipt, failure=failed)
        return self._having(replace(kept, delivery=settled))

    @property
    def deliveries(self) -> list[Delivery]:
        """Give the effects by due time; of equals, the one written first."""
        return [kept.delivery for kept in self._by_due()]

    @property
    def waiting(self) -> Mapping[str, datetime]:
        """Give the effects at the head of their lanes, and when each may be leased."""
        unsettled = [kept for kept in self._by_due() if kept.delivery.settled_at is None]
        heads = {kept.delivery.effect.lane: kept for kept in reversed(unsettled)}
        return {kept.delivery.effect.id: kept.available_at for kept in heads.values()}

    @property
    def failed(self) -> Mapping[str, datetime]:
        """Give the effects that have failed for good, and when."""
        return {
            effect_id: kept.delivery.settled_at
            for effect_id, kept in self.effects.items()
            if kept.delivery.settled_at and kept.delivery.failure is not None
        }

    @property
    def settled(self) -> frozenset[str]:
        """Name the effects that are done or have failed for good."""
        return frozenset(effect_id for effect_id, kept in self.effects.items() if kept.delivery.settled_at)

    def document(self) -> dict[str, object]:
        """Write the record down as JSON, with the keys of newer releases."""
        return {
            "id": self.task.id,
            "spec": documents.spec_document(self.task),
            "state": documents.state_document(self.task),
            "trail": [{**documents.entry_document(entry), "previous": entry.previous} for entry in self.trail],
            "effects": [
                {**documents.delivery_document(kept.delivery), "available_at": microseconds(kept.available_at)}
                for kept in self.effects.values()
            ],
        }

    @classmethod
    def from_document(cls, document: JsonObject) -> TaskRecord:
        """Read a record back."""
        kept = cast("dict[str, Any]", document)
        effects = (
            EffectRecord(documents.delivery_from_document(effect), from_microseconds(effect["available_at"]))
            for effect in kept["effects"]
        )
        return cls(
            task=documents.task_from_documents(kept["id"], kept["spec"], kept["state"]),
            trail=tuple(
                documents.entry_from_document(kept["id"], seq, line["previous"], line)
                for seq, line in enumerate(kept["trail"], start=1)
            ),
            effects={effect.delivery.effect.id: effect for effect in effects},
        )

    def _having(self, kept: EffectRecord) -> TaskRecord:
        return replace(self, effects={**self.effects, kept.delivery.effect.id: kept})

    def _by_due(self) -> list[EffectRecord]:
        return sorted(self.effects.values(), key=lambda kept: kept.delivery.effect.due)

    def _latest_receipt(self, lane: str) -> str | None:
        receipts = [delivery.receipt for delivery in self.deliveries if delivery.effect.lane == lane]
        return next((receipt for receipt in reversed(receipts) if receipt is not None), None)


def _written(record: TaskRecord, change: Change) -> TaskRecord:
    retried = {effect.id: effect for effect in change.retried if effect.id in record.settled}
    effects = {effect_id: kept for effect_id, kept in record.effects.items() if effect_id not in retried}
    for effect in (*change.effects, *retried.values()):
        effects.setdefault(effect.id, EffectRecord(Delivery(effect=effect), effect.due))
    return TaskRecord(change.task, record.trail + change.entries, effects)
