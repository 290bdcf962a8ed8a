"""Values and rows: how tasks stand in the tables, and are read from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, TypeAlias
from uuid import uuid4

from sqlalchemy import RowMapping

from awaithumans import documents
from awaithumans.stores.encryption import Codec
from awaithumans.stores.schema import ANYBODY
from awaithumans.types import (
    Change,
    Delivery,
    Effect,
    EffectKind,
    Entry,
    Human,
    JsonObject,
    KeyScope,
    Outcome,
    Record,
    Task,
    TaskStatus,
    from_microseconds,
    microseconds,
    words_of,
)

Row: TypeAlias = dict[str, Any]

_EFFECTS_PER_CHANGE = 1_000_000
_AFRESH: Row = dict.fromkeys(("token", "receipt", "failure", "settled_at", "failed_at"))


@dataclass(frozen=True, eq=False)
class Written:
    """What a change writes, made ready before the transaction begins."""

    id: str
    task: Row
    """The whole of a new task, or what is written anew of one that changes."""
    addresses: frozenset[str]
    words: list[Row]
    trail: list[Row]
    effects: list[Row]
    retried: list[Row]

    def addressees(self, addresses: Iterable[str]) -> list[Row]:
        """Make the rows that say that it concerns these."""
        return [{"task_id": self.id, "address": address} for address in addresses]


@dataclass(frozen=True, eq=False)
class Settled:
    """What is said of an effect under its lease, made ready before the transaction begins."""

    id: str
    token: str | None
    values: Row


class Rows:
    """Makes rows of values, and values of rows, with one codec."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    # ── To write ──────────────────────────────────────────────────────────────

    def opened(self, change: Change) -> Written:
        """Make the rows of a change that opens a task."""
        return self._written(change, self.of_task(change.task), self.words(change.task))

    def changed(self, change: Change) -> Written:
        """Make the rows of a change to a task that is there."""
        return self._written(change, self._of_state(change.task), [])

    def _written(self, change: Change, task: Row, words: list[Row]) -> Written:
        stamp = uuid4().hex
        seq = count(change.task.version * _EFFECTS_PER_CHANGE)
        return Written(
            id=change.task.id,
            task=task,
            addresses=self.addresses(change.task),
            words=words,
            trail=[self.of_entry(entry, stamp) for entry in change.entries],
            effects=[self.of_effect(effect, next(seq)) for effect in change.effects],
            retried=[self.of_effect(effect, next(seq)) | _AFRESH for effect in change.retried],
        )

    def of_task(self, task: Task) -> Row:
        """Make the row of a task."""
        return {
            "id": task.id,
            "created_at": microseconds(task.created_at),
            "key_digest": self.codec.digest(task.spec.idempotency_key),
            "spec": self._sealed(documents.spec_document(task), "tasks", task.id, "spec"),
            **self._of_state(task),
        }

    def _of_state(self, task: Task) -> Row:
        """Make what may differ from one version of a task to the next."""
        held = task.spec.key_scope is KeyScope.FOREVER or task.collected_at is None
        return {
            "status": task.status.value,
            "version": task.version,
            "refused": task.refused,
            "changed_at": microseconds(task.changed_at),
            "deadline": microseconds(task.deadline),
            "held_key": self.codec.digest(task.spec.idempotency_key) if held else None,
            **self._of_assignee(task.assignee),
            "outcome": self._sealed(_of_outcome(Outcome.of(task)), "tasks", task.id, "outcome"),
            "state": self._sealed(documents.state_document(task), "tasks", task.id, "state"),
        }

    def of_erased(self, task: Task) -> Row:
        """Make what is left of a task: its id, its times, its outcome, and its key."""
        nothing = dict.fromkeys(("outcome", "state"))
        row: Row = {**self._of_assignee(None), **nothing, "spec": self.codec.tombstone(task.id)}
        return {**row, "held_key": None} if task.spec.key_scope is KeyScope.CALL else row

    def addresses(self, task: Task) -> frozenset[str]:
        """Give the addresses of everybody whom the task concerns."""
        people = [*task.addressees, *(answer.by.human for answer in task.answers)]
        if task.assignee:
            people.append(task.assignee)
        named = frozenset(self.codec.address(address) for person in people for address in person.addresses)
        return named if task.addressees else named | {ANYBODY}

    def words(self, task: Task) -> list[Row]:
        """Make the row of what a task is searched in; none where that may not be read."""
        text = self.codec.searchable(words_of(task))
        return [] if text is None else [{"task_id": task.id, "words": text}]

    def of_entry(self, entry: Entry, stamp: str) -> Row:
        """Make the row of a line of the trail; `stamp` names the write it comes with."""
        place = ("trail", entry.task_id, str(entry.seq))
        return {
            "task_id": entry.task_id,
            "seq": entry.seq,
            "previous": self.codec.seal(entry.previous, *place, "previous"),
            "stamp": stamp,
            "document": self._sealed(documents.entry_document(entry), *place, "document"),
        }

    def of_effect(self, effect: Effect, seq: int) -> Row:
        """Make the row of an effect that waits; `seq` is its place among those of one due time."""
        due, row_id = microseconds(effect.due), self.codec.effect_id(effect.id)
        return {
            "id": row_id,
            "task_id": effect.task_id,
            "kind": effect.kind.value,
            "lane": self.codec.digest(effect.lane),
            "recipient": self.codec.seal(effect.recipient, "effects", row_id, "recipient"),
            "event": effect.event,
            "generation": effect.generation,
            "due": due,
            "seq": seq,
            "available_at": due,
            "attempts": 0,
        }

    def settled(
        self, delivery: Delivery, at: datetime, *, receipt: str | None, retry_at: datetime | None, failed: str | None
    ) -> Settled:
        """Make what is written of an effect; see `Store.settle`."""
        effect, done = delivery.effect, retry_at is None
        values: Row = {
            "available_at": microseconds(retry_at or at),
            "settled_at": microseconds(at) if done else None,
            "failed_at": microseconds(at) if done and failed is not None else None,
            "receipt": self.of_word(effect, "receipt", receipt if done and failed is None else None),
            "failure": self.of_word(effect, "failure", failed if done else None),
        }
        return Settled(self.codec.effect_id(effect.id), delivery.token, values)

    def of_word(self, effect: Effect, column: str, text: str | None) -> str | None:
        """Make what stands in an effect's `receipt` or `failure`."""
        return text and self.codec.seal(text, "effects", self.codec.effect_id(effect.id), column)

    def of_record(self, record: Record) -> Row:
        """Make the row of a record."""
        return {
            "kind": record.kind,
            "id": record.id,
            "version": record.version,
            "stamp": uuid4().hex,
            "document": self._sealed(record.document, "records", record.kind, record.id, "document"),
        }

    def _of_assignee(self, assignee: Human | None) -> Row:
        names = (assignee.id, assignee.email, assignee.slack_user_id) if assignee else (None, None, None)
        known_as = [self.codec.address(name.lower()) if name else None for name in names]
        shown = self.codec.searchable((assignee.display_name or "").lower()) if assignee else None
        columns = ("assignee_id", "assignee_email", "assignee_slack", "assignee_name")
        return dict(zip(columns, (*known_as, shown), strict=True))

    def _sealed(self, document: JsonObject, *place: str) -> str:
        return self.codec.seal(documents.dumps(document), *place)

    # ── To read ───────────────────────────────────────────────────────────────

    def task(self, row: RowMapping | Row) -> Task:
        """Read a task."""
        task_id: str = row["id"]
        spec, state = (json.loads(self.codec.open(row[name], "tasks", task_id, name)) for name in ("spec", "state"))
        return documents.task_from_documents(task_id, spec, state)

    def outcomes(self, rows: Sequence[Sequence[Any]]) -> list[Outcome]:
        """Read how tasks fared: from their id, creation, status and outcome."""
        texts = [self.codec.open(text, "tasks", task_id, "outcome") for task_id, _, _, text in rows]
        said = json.loads(f"[{','.join(texts)}]")  # at once, since there may be thousands
        return [_outcome(row, one) for row, one in zip(rows, said, strict=True)]

    def entry(self, row: RowMapping) -> Entry:
        """Read a line of the trail."""
        place = ("trail", row["task_id"], str(row["seq"]))
        previous = self.codec.open(row["previous"], *place, "previous")
        document = json.loads(self.codec.open(row["document"], *place, "document"))
        return documents.entry_from_document(row["task_id"], row["seq"], previous, document)

    def delivery(self, row: RowMapping, receipt: str | None) -> Delivery:
        """Read an effect and what came of it; `receipt` is the one to hand on."""
        settled_at = row["settled_at"]
        return Delivery(
            effect=self.effect(row),
            token=row["token"],
            attempts=row["attempts"],
            receipt=receipt,
            settled_at=None if settled_at is None else from_microseconds(settled_at),
            failure=self.word(row, "failure"),
        )

    def effect(self, row: RowMapping) -> Effect:
        """Read an effect."""
        return Effect(
            task_id=row["task_id"],
            kind=EffectKind(row["kind"]),
            due=from_microseconds(row["due"]),
            recipient=self.codec.open(row["recipient"], "effects", row["id"], "recipient"),
            event=row["event"],
            generation=row["generation"],
        )

    def record(self, row: RowMapping) -> Record:
        """Read a record."""
        text = self.codec.open(row["document"], "records", row["kind"], row["id"], "document")
        return Record(kind=row["kind"], id=row["id"], version=row["version"], document=json.loads(text))

    def word(self, row: RowMapping, column: str) -> str | None:
        """Read an effect's `receipt` or `failure`."""
        text: str | None = row[column]
        return text and self.codec.open(text, "effects", row["id"], column)


def _of_outcome(outcome: Outcome) -> JsonObject:
    """Write what of an outcome is in no column of its own."""
    closed_at = None if outcome.closed_at is None else microseconds(outcome.closed_at)
    said = {"via": outcome.via, "answered_by": outcome.answered_by, "answerer": outcome.answerer}
    return {name: value for name, value in {"closed_at": closed_at, **said}.items() if value is not None}


def _outcome(row: Sequence[Any], said: Row) -> Outcome:
    task_id, created_at, status, _ = row
    closed_at = said.pop("closed_at", None)
    return Outcome(
        task_id=task_id,
        created_at=from_microseconds(created_at),
        status=TaskStatus(status),
        closed_at=None if closed_at is None else from_microseconds(closed_at),
        **said,
    )
