"""The tables, for every database alike.

Times are microseconds since 1970, UTC. Documents are JSON text. Names that
people or programs choose, and that may be long, are indexed by digest.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT

EPOCH = 1
"""Grows when an older release could no longer work with the tables."""

REVISION = 1
"""Grows with every change of the tables."""

metadata = MetaData()
"""For hosts that run their own migrations."""

_Id = String(64).with_variant(String(64, collation="C"), "postgresql")
_Digest = String(64)
_Address = String(255)
_Text = Text().with_variant(LONGTEXT(), "mysql", "mariadb")

# On MariaDB texts are equal only if every character is, with its case, accents and spaces at the end.
_EXACT = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}
_ON_MARIADB: dict[str, Any] = {
    f"{name}_{option}": value for name in ("mariadb", "mysql") for option, value in _EXACT.items()
}

tasks = Table(
    "awaithumans_tasks",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("status", String(32), nullable=False),
    Column("version", Integer, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("key_digest", _Digest, nullable=False),
    Column("held_key", _Digest, unique=True),  # the digest while the key is held
    Column("assignee_id", _Text),
    Column("assignee_email", _Text),
    Column("assignee_slack", _Text),
    Column("assignee_name", _Text),
    Column("outcome", _Text),  # what figures are made of
    Column("spec", _Text),  # none once purged, nor a state
    Column("state", _Text),
    Index("awaithumans_tasks_newest", "created_at", "id"),
    Index("awaithumans_tasks_by_status", "status", "created_at", "id"),
    Index("awaithumans_tasks_by_deadline", "status", "deadline", "id"),
    Index("awaithumans_tasks_changes", "changed_at", "id"),
    Index("awaithumans_tasks_by_key", "key_digest"),
    **_ON_MARIADB,
)

addressees = Table(
    "awaithumans_addressees",
    metadata,
    Column("task_id", _Id, primary_key=True),
    Column("address", _Address, primary_key=True),  # see `address_of`
    Index("awaithumans_addressees_by_address", "address", "task_id"),
    **_ON_MARIADB,
)

words = Table(
    "awaithumans_words",
    metadata,
    Column("task_id", _Id, primary_key=True),
    Column("words", _Text, nullable=False),  # what is searched, apart from all that would be in the way
    **_ON_MARIADB,
)

trail = Table(
    "awaithumans_trail",
    metadata,
    Column("task_id", _Id, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("previous", _Text, nullable=False),
    Column("stamp", String(32), nullable=False),  # names the write it came with
    Column("document", _Text, nullable=False),
    **_ON_MARIADB,
)

effects = Table(
    "awaithumans_effects",
    metadata,
    Column("id", _Digest, primary_key=True),
    Column("task_id", _Id, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("lane", _Digest, nullable=False),
    Column("recipient", _Text, nullable=False),
    Column("event", _Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),  # the order of writing, within a task
    Column("available_at", BigInteger, nullable=False),  # due, retry time, end of the lease, or when it was settled
    Column("token", String(32)),
    Column("attempts", Integer, nullable=False),
    Column("receipt", _Text),
    Column("failure", _Text),
    Column("settled_at", BigInteger),
    Column("failed_at", BigInteger),  # the same, if it has failed for good
    Index("awaithumans_effects_of_task", "task_id", "due", "seq"),
    Index("awaithumans_effects_in_lane", "lane", "due", "seq"),
    Index("awaithumans_effects_by_token", "token"),
    **_ON_MARIADB,
)
Index(
    "awaithumans_effects_to_do",
    effects.c.settled_at,  # for MariaDB, whose indexes hold every row
    effects.c.available_at,
    effects.c.due,
    effects.c.seq,
    sqlite_where=effects.c.settled_at.is_(None),
    postgresql_where=effects.c.settled_at.is_(None),
)
Index(
    "awaithumans_effects_failed",
    effects.c.failed_at,
    effects.c.id,
    sqlite_where=effects.c.failed_at.is_not(None),
    postgresql_where=effects.c.failed_at.is_not(None),
)

records = Table(
    "awaithumans_records",
    metadata,
    Column("kind", String(100).with_variant(String(100, collation="C"), "postgresql"), primary_key=True),
    Column("id", String(512).with_variant(String(512, collation="C"), "postgresql"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("stamp", String(32), nullable=False),  # names the write it comes from
    Column("document", _Text, nullable=False),
    **_ON_MARIADB,
)

keys = Table(
    "awaithumans_keys",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("encrypted", _Text, nullable=False),  # none where nothing is encrypted
    **_ON_MARIADB,
)

schema = Table(
    "awaithumans_schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    **_ON_MARIADB,
)

ANYBODY = ""
"""The address of a task that is addressed to nobody in particular."""


def digest_of(name: str) -> str:
    """Give the digest under which a name is stored."""
    return hashlib.sha256(name.encode()).hexdigest()


def address_of(name: str) -> str:
    """Give the text under which a lower-cased address is stored."""
    return name if len(name) <= _LONGEST_ADDRESS else digest_of(name)


_LONGEST_ADDRESS = 255
