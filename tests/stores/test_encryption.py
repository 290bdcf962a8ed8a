"""Encryption at rest: nothing readable in the database, and nothing lost by a new secret."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Connection, Executable, NullPool, create_engine, select, update

from awaithumans import Engine
from awaithumans.errors import ConfigurationError, EncryptionError, TaskGoneError
from awaithumans.protocols import Store
from awaithumans.stores.schema import digest_of, metadata, tasks, trail
from awaithumans.stores.sqlalchemy import Encryption, SQLAlchemyStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.engines import ANA, a_question
from awaithumans.testing.stores import StoreConformance, ids
from awaithumans.testing.tasks import (
    ANA as HUMAN,
)
from awaithumans.testing.tasks import (
    BEN,
    NOON,
    SECOND,
    answering,
    collecting,
    following,
    make_effect,
    make_spec,
    make_task,
    opening,
)
from awaithumans.types import AGENT, Human, KeyScope, Query, Record
from tests.databases import EACH_DATABASE

OLD, NEW = "an old secret of thirty-two bytes", "a new secret of thirty-two bytes!"
CANARIES = ("Canary", "canary", "CANARY")


@pytest.fixture(params=EACH_DATABASE, ids=" ".join)
def backend_and_driver(request) -> tuple[str, str]:
    backend, driver = request.param
    return backend, driver


@pytest.fixture
async def plain(store: SQLAlchemyStore, used_url: str) -> AsyncIterator[SQLAlchemyStore]:
    """Give a store that does not encrypt, on an empty database."""
    forget_key(used_url)
    yield store
    forget_key(used_url)


@pytest.fixture
async def encrypted(plain: SQLAlchemyStore, used_url: str) -> AsyncIterator[SQLAlchemyStore]:
    """Give a store that encrypts under the old secret, on an empty database."""
    store = SQLAlchemyStore(used_url, encryption=Encryption(OLD))
    yield store
    await store.aclose()


def forget_key(url: str) -> None:
    with connected(url) as connection:
        connection.execute(metadata.tables["awaithumans_keys"].delete())


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        yield connection


def dump(url: str) -> str:
    """Return all that stands in the tables."""
    with connected(url) as connection:
        return "\n".join(
            repr(tuple(row)) for table in metadata.sorted_tables for row in connection.execute(select(table)).all()
        )


class TestConformance(StoreConformance):
    """Every promise holds, but that parts of display names and of questions are found."""

    @pytest.fixture
    async def store(self, encrypted: SQLAlchemyStore) -> SQLAlchemyStore:
        return encrypted

    @pytest.mark.parametrize(
        ("name", "found"), [("u-1", "ana"), ("ana@example.COM", "ana"), ("u0ana", "ana"), ("ana š", None), ("u-", None)]
    )
    async def test_by_assignee(self, store: Store, name: str, found: str | None) -> None:
        await store.create(opening(make_task(id="ana", assignee=HUMAN)))
        await store.create(opening(make_task(id="ben", assignee=BEN)))
        assert ids(await store.find(Query(assigned_to=name))) == ([found] if found else [])

    @pytest.mark.parametrize(("search", "found"), [("Refund", set[str]()), ("order", set()), ("", set())])
    async def test_by_words(self, store: Store, search: str, found: set[str]) -> None:
        spec = make_spec(task="Refund?", idempotency_key="order-1047")
        await store.create(opening(make_task(spec=spec)))
        assert set(ids(await store.find(Query(search=search)))) == found


def canary_change():
    """Make a task that has the canary in every place of it."""
    human = Human(id="canary", email="canary@example.com", display_name="Canary", slack_user_id="CANARY")
    spec = make_spec(
        task="Feed the Canary?",
        payload={"canary": "Canary"},
        payload_schema={"title": "Canary"},
        idempotency_key="canary-key",
        notify=("test:canary@example.com",),
        metadata={"canary": "Canary"},
        callback_url="https://canary.example.com/CANARY",
        requested_by="agent:canary",
    )
    task = make_task(spec=spec, assignee=human, addressees=(human,))
    change = opening(
        task, make_effect(task, recipient="test:canary@example.com"), make_effect(task, recipient="test:b")
    )
    return replace(change, entries=tuple(replace(entry, data={"canary": "Canary"}) for entry in change.entries))


@pytest.mark.anyio
class TestAtRest:
    async def fill(self, store: SQLAlchemyStore) -> str:
        task = await store.create(canary_change())
        for delivery, said in zip((await store.lease(NOON, NOON + SECOND, 2)).deliveries, ("r", "f"), strict=True):
            receipt, failed = ("Canary", None) if said == "r" else (None, "Canary")
            assert await store.settle(delivery, NOON, receipt=receipt, failed=failed)
        assert await store.records.put(Record(kind="bird", id="1", document={"canary": "Canary"}))
        human = Human(id="canary2", email="canary2@example.com")
        await store.apply(answering(task, by=human, value={"canary": "Canary"}))
        return task.id

    async def test_nothing_of_it_can_be_read_in_the_tables(self, encrypted: SQLAlchemyStore, used_url: str) -> None:
        task_id = await self.fill(encrypted)
        found = dump(used_url)
        assert task_id in found
        assert not [canary for canary in CANARIES if canary in found]
        [task] = await encrypted.find(Query(idempotency_key="canary-key"))
        assert (task.id, task.spec.payload, task.response) == (task_id, {"canary": "Canary"}, {"canary": "Canary"})

    @pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite")], ids=["asyncio sqlite"])
    async def test_nor_in_the_file(self, encrypted: SQLAlchemyStore, used_url: str) -> None:
        await self.fill(encrypted)
        file = Path(used_url.removeprefix("sqlite:///"))
        raw = b"".join(path.read_bytes() for path in sorted(file.parent.glob(f"{file.name}*")))
        assert raw.startswith(b"SQLite format 3")
        assert not [canary for canary in CANARIES if canary.encode() in raw]

    @pytest.mark.parametrize("backend_and_driver", [("asyncio", "sqlite")], ids=["asyncio sqlite"])
    async def test_and_without_encryption_all_of_it_can(self, plain: SQLAlchemyStore, used_url: str) -> None:
        await self.fill(plain)
        found = dump(used_url)
        assert [canary for canary in CANARIES if canary in found] == list(CANARIES), found

    async def test_no_digest_confirms_a_guess(self, encrypted: SQLAlchemyStore, used_url: str) -> None:
        """Whoever guesses a key, an address or an effect cannot check it against the database."""
        change = canary_change()
        await encrypted.create(change)
        await encrypted.purge(answering(change.task).task)
        guesses = ["canary-key", "canary@example.com", *(effect.lane for effect in change.effects)]
        digests = [*map(digest_of, guesses), *(effect.id for effect in change.effects), change.entries[0].digest]
        found = dump(used_url)
        assert not [digest for digest in digests if digest in found]


@pytest.mark.anyio
class TestANewSecret:
    async def test_reads_what_the_old_one_wrote_and_replaces_it(
        self, encrypted: SQLAlchemyStore, used_url: str
    ) -> None:
        before = await populate(encrypted)
        both = SQLAlchemyStore(used_url, encryption=Encryption([NEW, OLD]))
        assert await snapshot(both) == before
        assert await both.reencrypt() == COUNT
        assert await both.reencrypt() == 0
        await both.aclose()
        alone = SQLAlchemyStore(used_url, encryption=Encryption(NEW))
        assert await snapshot(alone) == before
        await check_names(alone)
        await alone.aclose()
        late = SQLAlchemyStore(used_url, encryption=Encryption(OLD))
        with pytest.raises(EncryptionError, match="not known here"):
            await late.find(Query())
        await late.aclose()

    async def test_is_brought_in_while_others_work(self, encrypted: SQLAlchemyStore, used_url: str) -> None:
        """Nothing that is written meanwhile is lost."""
        both = SQLAlchemyStore(used_url, encryption=Encryption([NEW, OLD]))
        task = make_task()
        made = [make_effect(task, recipient=f"test:{number}") for number in range(20)]
        task = await both.create(opening(task, *made))

        async def work() -> None:
            nonlocal task
            settled = 0
            while settled < len(made):
                deliveries = (await both.lease(NOON, NOON + 60 * SECOND, 3)).deliveries
                settled += len(deliveries)
                for delivery in deliveries:
                    assert await both.settle(delivery, NOON, receipt=f"receipt of {delivery.effect.recipient}")
                task = (change := following(task, action="noted")).task
                assert await both.apply(change)

        async def rotate() -> None:
            for _ in range(5):
                await both.reencrypt()

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            group.start_soon(rotate)
        assert await both.get(task.id) == task
        assert {one.receipt for one in await both.deliveries(task.id)} == {f"receipt of {e.recipient}" for e in made}
        await both.aclose()


def some_records() -> list[Record]:
    return [Record(kind=kind, id=id_, document={"canary": id_}) for kind in "ab" for id_ in ("1", "2", "3")]


async def all_records(store: SQLAlchemyStore) -> list[Record]:
    return [record for kind in "ab" for record in await store.records.find(kind)]


@pytest.mark.anyio
class TestRecords:
    """They are encrypted, turned over to a new secret, and bound to their place, as tasks are."""

    async def test_a_new_secret_replaces_the_old_one(
        self, encrypted: SQLAlchemyStore, used_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("awaithumans.stores.reencryption._PAGE", 2)
        for record in some_records():
            assert await encrypted.records.put(record)
        both = SQLAlchemyStore(used_url, encryption=Encryption([NEW, OLD]))
        assert await both.reencrypt() == 0, "which counts tasks"
        alone = SQLAlchemyStore(used_url, encryption=Encryption(NEW))
        assert await all_records(alone) == await all_records(both) == some_records()
        written = dump(used_url)
        await both.reencrypt()
        assert dump(used_url) == written, "what is current is left alone"
        await both.aclose()
        await alone.aclose()

    async def test_turning_encryption_on_needs_a_decision(self, plain: SQLAlchemyStore, used_url: str) -> None:
        for record in some_records():
            assert await plain.records.put(record)
        store = SQLAlchemyStore(used_url, encryption=Encryption(OLD))
        with pytest.raises(ConfigurationError, match="not encrypted"):
            await store.records.find("a")
        await store.reencrypt()
        assert await all_records(store) == some_records()
        assert "canary" not in dump(used_url)
        await store.aclose()

    @pytest.mark.parametrize("column", ["kind", "id"])
    async def test_a_document_that_was_moved_is_noticed(
        self, encrypted: SQLAlchemyStore, used_url: str, column: str
    ) -> None:
        assert await encrypted.records.put(Record(kind="a", id="1", document={}))
        with connected(used_url) as connection:
            connection.execute(update(metadata.tables["awaithumans_records"]).values({column: "2"}))
        with pytest.raises(EncryptionError, match="belongs elsewhere"):
            await encrypted.records.get(*("2", "1") if column == "kind" else ("a", "2"))


@pytest.mark.anyio
class TestTurningItOn:
    async def test_on_a_database_with_tasks_needs_a_decision(self, plain: SQLAlchemyStore, used_url: str) -> None:
        await plain.create(opening(make_task()))
        store = SQLAlchemyStore(used_url, encryption=Encryption(OLD))
        with pytest.raises(ConfigurationError, match="not encrypted") as raised:
            await store.find(Query())
        await store.aclose()
        assert "reencrypt" in str(raised.value.hint)

    async def test_encrypts_all_that_was_there(self, plain: SQLAlchemyStore, used_url: str) -> None:
        before = await populate(plain)
        await plain.create(canary_change())
        store = SQLAlchemyStore(used_url, encryption=Encryption(OLD))
        assert await store.reencrypt() == COUNT + 1
        assert await store.reencrypt() == 0
        after = await snapshot(store)
        assert before.items() <= after.items()
        await check_names(store)
        assert not [canary for canary in CANARIES if canary in dump(used_url)]
        await store.aclose()

    async def test_goes_on_where_it_was_cut_short(self, plain: SQLAlchemyStore, used_url: str, monkeypatch) -> None:
        before = await populate(plain)
        store = SQLAlchemyStore(used_url, encryption=Encryption(OLD))
        monkeypatch.setattr("awaithumans.stores.reencryption._PAGE", 2)
        with monkeypatch.context() as patch:
            calls = iter([None, None])
            write = type(store._database).write

            async def breaking(self, operation, **options):
                next(calls)
                return await write(self, operation, **options)

            patch.setattr(type(store._database), "write", breaking)
            with pytest.raises(RuntimeError):  # StopIteration in a coroutine
                await store.reencrypt()
        assert await store.reencrypt() == COUNT - 1
        assert await snapshot(store) == before
        await check_names(store)
        await store.aclose()

    async def test_cannot_be_forgotten_later(self, encrypted: SQLAlchemyStore, used_url: str) -> None:
        await encrypted.create(opening(make_task()))
        plain = SQLAlchemyStore(used_url)
        for call in (plain.setup, partial(plain.find, Query()), partial(plain.create, opening(make_task()))):
            with pytest.raises(ConfigurationError, match="the database is encrypted"):
                await call()
        await plain.aclose()

    async def test_by_several_at_once_ends_in_one_index_key(self, plain: SQLAlchemyStore, used_url: str) -> None:
        stores = [SQLAlchemyStore(used_url, encryption=Encryption(OLD)) for _ in range(4)]
        spec = make_spec(idempotency_key="k")
        made: list[str] = []

        async def create(store: SQLAlchemyStore) -> None:
            made.append((await store.create(opening(make_task(spec=spec)))).id)

        async with anyio.create_task_group() as group:
            for store in stores:
                group.start_soon(create, store)
        assert len(set(made)) == 1
        for store in stores:
            await store.aclose()

    async def test_needs_a_secret_to_reencrypt_and_a_long_one(self, plain: SQLAlchemyStore) -> None:
        with pytest.raises(ConfigurationError, match="no secret to encrypt with"):
            await plain.reencrypt()
        with pytest.raises(ConfigurationError, match="32"):
            Encryption("short")
        assert OLD not in repr(Encryption(OLD))


@pytest.mark.anyio
class TestTampering:
    @pytest.fixture
    async def two(self, encrypted: SQLAlchemyStore) -> list[str]:
        return [(await encrypted.create(opening(make_task()))).id for _ in range(2)]

    def change(self, url: str, statement: Executable) -> None:
        with connected(url) as connection:
            connection.execute(statement)

    def read(self, url: str, column: object, task_id: str) -> str:
        with connected(url) as connection:
            value: str = connection.execute(select(column).where(tasks.c.id == task_id)).scalar_one()  # type: ignore[call-overload]
            return value

    async def test_a_text_cannot_be_moved_to_another_row_or_column(
        self, encrypted: SQLAlchemyStore, used_url: str, two: list[str]
    ) -> None:
        other = self.read(used_url, tasks.c.state, two[1])
        own = self.read(used_url, tasks.c.spec, two[0])
        for stolen in (other, own):
            self.change(used_url, update(tasks).where(tasks.c.id == two[0]).values(state=stolen))
            with pytest.raises(EncryptionError, match=f"tasks/{two[0]}/state was changed, or belongs elsewhere"):
                await encrypted.get(two[0])
        assert await encrypted.get(two[1])

    async def test_nor_changed_nor_put_there_in_the_clear(
        self, encrypted: SQLAlchemyStore, used_url: str, two: list[str]
    ) -> None:
        mine = trail.c.task_id == two[0]
        faults = {'{"action": "completed"}': "is not encrypted", "~1.x.y": "not known", "~1.": "not known"}
        for forged, fault in faults.items():
            self.change(used_url, update(trail).where(mine).values(document=forged))
            with pytest.raises(EncryptionError, match=fault):
                await encrypted.trail(two[0])


@pytest.mark.anyio
async def test_the_whole_way_with_an_engine(encrypted: SQLAlchemyStore, used_url: str) -> None:
    channel = RecordingChannel()
    async with Engine(encrypted, channels=[channel]).run() as engine:
        task = await engine.create(a_question(notify=("test:ana",)))
        await engine.submit(task.id, {"approved": True}, by=ANA)
        with anyio.fail_after(10):
            while "closed" not in [notice.event for notice in channel.sent]:
                await anyio.sleep(0.01)
        assert (await engine.wait(task.id)).response == {"approved": True}
        with connected(used_url) as connection:
            joined = await engine.using(connection).create(a_question(idempotency_key="joined"))
        assert await engine.cancel(joined.id, by=AGENT)


def test_freed_pages_are_what_vacuum_is_for(tmp_path) -> None:
    """What the page says of turning it on: the old text may stand in freed pages until then."""
    database = sqlite3.connect(tmp_path / "x.db")
    database.executescript("PRAGMA secure_delete=OFF; CREATE TABLE t (x); INSERT INTO t VALUES ('Canary');")
    database.executescript("UPDATE t SET x = '~'; VACUUM;")
    database.close()
    assert b"Canary" not in (tmp_path / "x.db").read_bytes()


# ── A database with one of everything ─────────────────────────────────────────

COUNT = 5


async def populate(store: SQLAlchemyStore) -> dict[str, object]:
    """Make tasks of every kind, one of them erased; return what can be read of them."""
    people = {"assignee": HUMAN, "addressees": (HUMAN, BEN)}
    first = make_task(id="t1", spec=make_spec(idempotency_key="k1"), **people)
    await store.create(
        opening(first, make_effect(first), make_effect(first, recipient="test:later", due=NOON + SECOND))
    )
    [delivery] = (await store.lease(NOON, NOON + SECOND, 9)).deliveries
    assert await store.settle(delivery, NOON, receipt="the receipt")
    await store.apply(answering(opening(first).task))
    call = make_spec(idempotency_key="k2", key_scope=KeyScope.CALL)
    second = await store.create(opening(make_task(id="t2", spec=call)))
    done = answering(second)
    await store.apply(done)
    await store.apply(collecting(done.task))
    await store.create(opening(make_task(id="t3", spec=call)))
    gone = answering(await store.create(opening(make_task(id="t4", spec=make_spec(idempotency_key="k4")))))
    await store.apply(gone)
    assert await store.purge(gone.task)
    await store.create(opening(make_task(id="t5")))
    return await snapshot(store)


async def snapshot(store: SQLAlchemyStore) -> dict[str, object]:
    """Return all that can be read of every task."""
    return {
        task.id: (task, await store.trail(task.id), await store.deliveries(task.id))
        for task in await store.find(Query())
    }


async def check_names(store: SQLAlchemyStore) -> None:
    """Find by key, by person, and what is still to do; and make nothing anew that is there."""
    again = await store.create(opening(make_task(spec=make_spec(idempotency_key="k1"))))
    assert again.id == "t1"
    third = await store.create(opening(make_task(spec=make_spec(idempotency_key="k2", key_scope=KeyScope.CALL))))
    assert third.id == "t3"
    with pytest.raises(TaskGoneError):
        await store.create(opening(make_task(spec=make_spec(idempotency_key="k4"))))
    assert set(ids(await store.find(Query(idempotency_key="k2")))) == {"t2", "t3"}
    assert ids(await store.find(Query(assigned_to="ana@example.com"))) == ["t1"]
    assert "t1" in ids(await store.find(Query(visible_to=BEN)))
    leased = (await store.lease(NOON + SECOND, NOON + 2 * SECOND, 9)).deliveries
    [delivery] = [one for one in leased if one.effect.task_id == "t1"]
    assert delivery.effect.recipient == "test:later"
    assert await store.settle(delivery, NOON, failed="nobody there")
    assert [one.failure for one in await store.failures()] == ["nobody there"]
