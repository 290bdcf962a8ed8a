"""Which codec a database is written with, and bringing it under a new secret."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, RowMapping, and_, delete, select, tuple_, update

from awaithumans.errors import ConfigurationError
from awaithumans.stores.database import Database
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.encryption import Codec, ConvertingCodec, EncryptingCodec, Encryption, is_encrypted
from awaithumans.stores.rows import Row, Rows
from awaithumans.stores.schema import addressees, effects, keys, records, tasks, trail, words
from awaithumans.types import Task

_INDEX = "index"
_PAGE = 200

TO_DECRYPT = (
    "Pass SQLAlchemyStore(..., encryption=Encryption(secret)); "
    "for python -m awaithumans, set AWAITHUMANS_ENCRYPTION_SECRET."
)


async def codec_of(database: Database, encryption: Encryption | None) -> Codec:
    """Return the codec of a database; an empty one is encrypted from here on.

    Raises `ConfigurationError` if it is encrypted and there is no secret, or
    the other way round.
    """
    index_key = await database.read(_index_key)
    if encryption is None:
        _refuse_encrypted(index_key)
        return Codec()
    if index_key is None:
        index_key = await database.write(partial(_begin, index_key=encryption.new_index_key()))
    return EncryptingCodec(encryption, encryption.opened(index_key))


async def reencrypt(database: Database, encryption: Encryption) -> int:
    """Encrypt everything under the first secret; see `SQLAlchemyStore.reencrypt`."""
    index_key = await database.write(partial(_renew, encryption=encryption))
    codec = ConvertingCodec(encryption, encryption.opened(index_key))
    await _reencrypt_records(database, encryption, Rows(codec))
    rewritten, last = 0, ""
    while page := await database.read(partial(_behind, last=last)):
        for last in page:
            rewritten += await database.write(partial(_rewrite, task_id=last, codec=codec, encryption=encryption))
    return rewritten


# ── The index key ─────────────────────────────────────────────────────────────


def _index_key(connection: Connection) -> str | None:
    found: str | None = connection.scalar(select(keys.c.encrypted).where(keys.c.name == _INDEX))
    return found


def _begin(connection: Connection, *, index_key: str) -> str:
    used = any(connection.scalar(select(table.c.id).limit(1)) is not None for table in (tasks, records))
    if used and _index_key(connection) is None:
        raise ConfigurationError(
            "what is in the database is not encrypted",
            hint="Stop every process that uses it, and run: python -m awaithumans reencrypt",
        )
    return _kept(connection, index_key)


def _kept(connection: Connection, index_key: str) -> str:
    """Write the index key, unless somebody was faster; return the one that is there."""
    dialect_of(connection).insert_missing(connection, keys, [{"name": _INDEX, "encrypted": index_key}])
    return _index_key(connection) or index_key


def _renew(connection: Connection, *, encryption: Encryption) -> str:
    index_key = _kept(connection, encryption.new_index_key())
    if not encryption.is_current(index_key):
        index_key = encryption.renewed(index_key)
        connection.execute(update(keys).where(keys.c.name == _INDEX).values(encrypted=index_key))
    return index_key


def _refuse_encrypted(index_key: str | None) -> None:
    if index_key is not None:
        raise ConfigurationError(
            "the database is encrypted, and no secret was given",
            hint=TO_DECRYPT,
        )


# ── Task by task ──────────────────────────────────────────────────────────────


def _behind(connection: Connection, *, last: str) -> list[str]:
    return list(connection.scalars(select(tasks.c.id).where(tasks.c.id > last).order_by(tasks.c.id).limit(_PAGE)))


def _rewrite(connection: Connection, *, task_id: str, codec: ConvertingCodec, encryption: Encryption) -> bool:
    """Write a task and all that belongs to it anew; tell whether it was necessary."""
    stored = connection.execute(select(tasks).where(tasks.c.id == task_id).with_for_update()).mappings().one_or_none()
    if stored is None:
        return False
    lines = connection.execute(select(trail).where(trail.c.task_id == task_id)).mappings().all()
    mine = select(effects).where(effects.c.task_id == task_id).with_for_update()
    deeds = connection.execute(mine).mappings().all()
    if all(map(encryption.is_current, _texts(stored, lines, deeds))):
        return False
    rows = Rows(codec)
    for line in lines:
        place = and_(trail.c.task_id == task_id, trail.c.seq == line["seq"])
        fresh = rows.of_entry(rows.entry(line), line["stamp"])
        connection.execute(update(trail).where(place).values(fresh))
    for deed in deeds:
        connection.execute(update(effects).where(effects.c.id == deed["id"]).values(_fresh_texts(rows, deed)))
    if stored["state"] is not None:
        _readdress(connection, rows, rows.task(stored))
    connection.execute(delete(words).where(words.c.task_id == task_id))
    connection.execute(update(tasks).where(tasks.c.id == task_id).values(_fresh_task(rows, codec, stored)))
    return True


def _texts(stored: RowMapping, lines: Sequence[RowMapping], deeds: Sequence[RowMapping]) -> list[str]:
    words = [deed[column] for deed in deeds for column in ("recipient", "receipt", "failure")]
    documents = [line[column] for line in lines for column in ("previous", "document")]
    return [stored["spec"] or "", *filter(None, (stored["state"], *words)), *documents]


def _fresh_texts(rows: Rows, deed: RowMapping) -> Row:
    effect = rows.effect(deed)
    fresh = rows.of_effect(effect, deed["seq"])
    words = {column: rows.of_word(effect, column, rows.word(deed, column)) for column in ("receipt", "failure")}
    return {**{name: fresh[name] for name in ("id", "lane", "recipient")}, **words}


def _readdress(connection: Connection, rows: Rows, task: Task) -> None:
    connection.execute(delete(addressees).where(addressees.c.task_id == task.id))
    people = [{"task_id": task.id, "address": address} for address in rows.addresses(task)]
    dialect_of(connection).insert_missing(connection, addressees, people)


def _fresh_task(rows: Rows, codec: ConvertingCodec, stored: RowMapping) -> Row:
    """Make a task's row anew; of an erased one, nothing but the digest of its key is left."""
    if stored["state"] is None:
        fresh: Row = {"spec": codec.tombstone(stored["id"])}
    else:
        fresh = rows.of_task(rows.task(stored))
    digests = {name: stored[name] for name in ("key_digest", "held_key")}
    if not is_encrypted(stored["spec"] or ""):
        digests = {name: digest and codec.keyed(digest) for name, digest in digests.items()}
    return {**fresh, **digests}


# ── Record by record ──────────────────────────────────────────────────────────


async def _reencrypt_records(database: Database, encryption: Encryption, rows: Rows) -> None:
    last = ("", "")
    while page := await database.read(partial(_records_behind, last=last)):
        for last in page:
            await database.write(partial(_rewrite_record, place=last, encryption=encryption, rows=rows))


def _records_behind(connection: Connection, *, last: tuple[str, str]) -> list[tuple[str, str]]:
    place = tuple_(records.c.kind, records.c.id)
    page = select(records.c.kind, records.c.id).where(place > tuple_(*last)).order_by(records.c.kind, records.c.id)
    return [(row.kind, row.id) for row in connection.execute(page.limit(_PAGE))]


def _rewrite_record(connection: Connection, *, place: tuple[str, str], encryption: Encryption, rows: Rows) -> None:
    here = and_(records.c.kind == place[0], records.c.id == place[1])
    stored = connection.execute(select(records).where(here).with_for_update()).mappings().one_or_none()
    if stored is not None and not encryption.is_current(stored["document"]):
        fresh = rows.of_record(rows.record(stored))["document"]
        connection.execute(update(records).where(here).values(document=fresh))
