"""What many write at the same time: new tasks, their changes, what came of effects.

Each is a batch: several of them take as many statements as one. They lock
rows in one order, by key or by id, so that no two groups lock each other out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    RowMapping,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from awaithumans.errors import BusyError
from awaithumans.stores.database import Batch
from awaithumans.stores.dialects import dialect_of
from awaithumans.stores.rows import Row, Settled, Written
from awaithumans.stores.schema import addressees, effects, tasks, trail, words

_CREATE_ROUNDS = 10

# ── Statements ────────────────────────────────────────────────────────────────
# They are made once: making one takes longer than running it.

_ID: BindParameter[str] = bindparam("of_id")
_IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)

_HOLDERS = select(tasks.c.id, tasks.c.held_key, tasks.c.status, tasks.c.spec, tasks.c.state).where(
    or_(tasks.c.id.in_(_IDS), tasks.c.held_key.in_(bindparam("keys", expanding=True)))
)

_VERSIONS = select(tasks.c.id, tasks.c.version).where(tasks.c.id.in_(_IDS), tasks.c.state.is_not(None))
_CHANGED = update(tasks).where(tasks.c.id == _ID, tasks.c.version == bindparam("of_stand"), tasks.c.state.is_not(None))

_LEASES = select(effects.c.id, effects.c.token).where(
    effects.c.id.in_(_IDS), effects.c.token.is_not(None), effects.c.settled_at.is_(None)
)
_SETTLED = update(effects).where(
    effects.c.id == _ID, effects.c.token == bindparam("of_stand"), effects.c.settled_at.is_(None)
)
_RETRIED = update(effects).where(effects.c.id == _ID, effects.c.settled_at.is_not(None))

_ADDRESSES = select(addressees.c.task_id, addressees.c.address).where(addressees.c.task_id.in_(_IDS))
_UNADDRESSED = delete(addressees).where(addressees.c.task_id == _ID, addressees.c.address == bindparam("of_address"))


# ── Creating ──────────────────────────────────────────────────────────────────


def create(connection: Connection, changes: Sequence[Written]) -> list[RowMapping | None]:
    """Write new tasks; give for each the row that has its key, or None where that is its own."""
    holders: dict[Written, RowMapping | None] = {}
    asking = sorted(changes, key=lambda change: change.task["held_key"] or "")
    for _ in range(_CREATE_ROUNDS):
        new = _insert(connection, asking)
        asking = [change for change in asking if change not in new]
        holders |= dict.fromkeys(new) | _holders(connection, asking)
        asking = [change for change in asking if change not in holders]
        if not asking:
            return [holders[change] for change in changes]
    raise BusyError("the idempotency key keeps changing hands")


def _insert(connection: Connection, changes: Sequence[Written]) -> list[Written]:
    """Write the tasks whose ids and keys are free, and give those."""
    free = set(dialect_of(connection).insert_new(connection, tasks, [change.task for change in changes]))
    new = [change for change in changes if _taken(free, (change.id,))]
    _add(connection, addressees, [row for change in new for row in change.addressees(change.addresses)])
    _add(connection, words, [row for change in new for row in change.words])
    _add_the_rest(connection, new)
    return new


def _holders(connection: Connection, changes: Sequence[Written]) -> dict[Written, RowMapping]:
    """Find what each of these very changes wrote earlier, or else its key's task."""
    if not changes:
        return {}
    wanted = {"ids": [change.id for change in changes], "keys": [change.task["held_key"] for change in changes]}
    found = connection.execute(dialect_of(connection).latest(_HOLDERS), wanted).mappings().all()
    by_id, by_key = {row["id"]: row for row in found}, {row["held_key"]: row for row in found}
    holders = ((change, by_id.get(change.id) or by_key.get(change.task["held_key"])) for change in changes)
    return {change: holder for change, holder in holders if holder}


def _add_the_rest(connection: Connection, changes: Sequence[Written]) -> None:
    if lines := [line for change in changes for line in change.trail]:
        connection.execute(trail.insert(), lines)
    _add(connection, effects, [effect for change in changes for effect in change.effects])
    if retried := [effect for change in changes for effect in change.retried]:
        connection.execute(_RETRIED, [{"of_id": effect["id"], **effect} for effect in retried])


def _add(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Insert the rows that are not there yet."""
    if rows:
        dialect_of(connection).insert_missing(connection, table, rows)


# ── Changing ──────────────────────────────────────────────────────────────────


def apply(connection: Connection, changes: Sequence[Written]) -> list[bool]:
    """Write the next versions of tasks; tell of each whether nobody was faster."""
    made = _change(
        connection,
        _CHANGED,
        _VERSIONS,
        [_place(change.id, change.task["version"] - 1) | change.task for change in changes],
    )
    if won := list(compress(changes, made)):
        _readdress(connection, won)
        _add_the_rest(connection, won)
    return made


def _applied(connection: Connection, written: Written) -> bool | None:
    """Tell whether this very change was written before its connection was lost.

    The row is locked first: the lost transaction may still be ending.
    """
    row = connection.execute(
        select(tasks.c.version, tasks.c.state).where(tasks.c.id == written.id).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    if not written.trail:
        return True if (row.version, row.state) == (written.task["version"], written.task["state"]) else None
    last = written.trail[-1]
    line = and_(trail.c.task_id == written.id, trail.c.seq == last["seq"], trail.c.stamp == last["stamp"])
    return True if connection.scalar(select(trail.c.seq).where(line)) is not None else None


def _readdress(connection: Connection, changes: Sequence[Written]) -> None:
    """Write down whom the tasks concern now, where that is not whom they did."""
    before: dict[str, set[str]] = {change.id: set() for change in changes}
    for task_id, address in connection.execute(_ADDRESSES, {"ids": list(before)}):
        before[task_id].add(address)
    gone = [row for change in changes for row in change.addressees(before[change.id] - change.addresses)]
    if gone:
        connection.execute(_UNADDRESSED, [{"of_id": row["task_id"], "of_address": row["address"]} for row in gone])
    come = [row for change in changes for row in change.addressees(change.addresses - before[change.id])]
    _add(connection, addressees, come)


# ── Settling ──────────────────────────────────────────────────────────────────


def settle(connection: Connection, said: Sequence[Settled]) -> list[bool]:
    """Write what came of effects; tell of each whether its lease still was the latest."""
    return _change(connection, _SETTLED, _LEASES, [_place(one.id, one.token) | one.values for one in said])


def _settled(connection: Connection, said: Settled) -> bool | None:
    """Tell whether this very word was written before its connection was lost.

    The row is locked before it is looked at: the lost transaction may still be ending.
    """
    if said.token is None:
        return None
    words = select(*(effects.c[name] for name in said.values))
    leased = words.where(effects.c.id == said.id, effects.c.token == said.token)
    row = connection.execute(leased.with_for_update()).mappings().one_or_none()
    return True if row is not None and dict(row) == said.values else None


# ── First come ────────────────────────────────────────────────────────────────


def _change(connection: Connection, guarded: Update, standing: Select[Any, Any], changes: Sequence[Row]) -> list[bool]:
    """Change each row that stands as it has to, and tell of each whether it did.

    Of one, the count of changed rows tells. Of several, only a look before
    does, which locks them; of two changes of one row, the first is made.
    """
    if len(changes) == 1:
        return [connection.execute(guarded, changes).rowcount == 1]
    rows = standing.order_by(standing.selected_columns.id).with_for_update()
    now = {tuple(row) for row in connection.execute(rows, {"ids": [change["of_id"] for change in changes]})}
    made = [_taken(now, (change["of_id"], change["of_stand"])) for change in changes]
    if any(made):
        connection.execute(guarded, list(compress(changes, made)))
    return made


def _place(row_id: str, stand: object) -> Row:
    """Say which row is meant, and the version or token that it has to have."""
    return {"of_id": row_id, "of_stand": stand}


def _taken(free: set[Any], place: object) -> bool:
    """Take a place, and tell whether it was free."""
    was_free = place in free
    free.discard(place)
    return was_free


CREATE = Batch(create, place=1)
APPLY = Batch(apply, _applied, place=2)
SETTLE = Batch(settle, _settled, place=3)
"""Other writes, too, lock effects behind their task."""
