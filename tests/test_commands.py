"""`python -m awaithumans`, as an operator runs it: a process of its own, on a database."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from awaithumans import Actor, DeliveryError, Engine, Human, TaskStatus, wire
from awaithumans.background import RECHECK_EVERY
from awaithumans.stores.sqlalchemy import Encryption, SQLAlchemyStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import a_question
from awaithumans.types import EffectKind
from tests.typist import play, program

WITHIN = 60
ANA = Actor.of(Human(id="ana", email="ana@example.com", display_name="Ana Šimić"), auth="link", via="web")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m pay \u202egnp.exe\u2066\nline two\r\b " + "é\u0301" * 300 + "x" * 19_000
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@dataclass(frozen=True)
class Shop:
    """A database with the tasks of some host in it."""

    url: str
    refund: str = ""
    article: str = ""
    secret: str = ""

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return command(*words, AWAITHUMANS_DATABASE_URL=self.url, **environment)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.stderr == ""
        return json.loads(done.stdout)

    def said(self, *words: str, **environment: str) -> str:
        done = self.run(*words, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWAITHUMANS_", "LC_"))}
    return subprocess.run(
        [sys.executable, "-m", "awaithumans", *words],
        env={**inherited, "PYTHONUTF8": "1", "COLUMNS": "80", **environment},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=WITHIN,
    )


def mailbox(*failures: Exception) -> RecordingChannel:
    return RecordingChannel("mail", failures=failures)


def gone() -> DeliveryError:
    return DeliveryError("550 the mailbox is gone", permanent=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, database_url) -> Shop:
    """Give a database with tables and without tasks."""
    shop = Shop(database_url(request.param))
    anyio.run(make_tables, shop.url)
    return shop


async def make_tables(url: str) -> None:
    store = SQLAlchemyStore(url)
    await store.setup()
    await store.aclose()


on_sqlite = pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
"""For tests of what does not depend on the database."""


@pytest.fixture
def shop(empty) -> Shop:
    """Give three tasks: a refund and a secret that nobody could be told of, and an answered article."""
    return anyio.run(furnish, empty.url)


async def furnish(url: str) -> Shop:
    engine = Engine(SQLAlchemyStore(url), channels=[mailbox(gone(), gone())], background=False)
    refund = await engine.create(
        a_question(
            task="Approve the refund of 120.00 EUR?",
            payload={"order": "A-1", "customer": {"name": "Zoë"}},
            idempotency_key="refund:A-1",
            assign_to={"email": "ana@example.com"},
            notify=("mail:ana@example.com",),
        )
    )
    await engine.tick()
    article = await engine.create(a_question(task="Publish the article?", payload={"title": "On waiting"}))
    await engine.submit(article.id, {"approved": True}, by=ANA)
    secret = await engine.create(
        a_question(task="Open the vault?", payload={"code": "1234"}, redact_payload=True, notify=("mail:ben",))
    )
    await engine.tick()
    await engine.aclose()
    return Shop(url, refund.id, article.id, secret.id)


def stored(shop: Shop, task_id: str) -> Any:
    """Read a task, its trail and its notices as they are in the database."""

    async def read() -> Any:
        store = SQLAlchemyStore(shop.url)
        found = await store.get(task_id), await store.trail(task_id), await store.deliveries(task_id)
        await store.aclose()
        return found

    return anyio.run(read)


# ── Reading ───────────────────────────────────────────────────────────────────


def test_tasks_are_listed_newest_first(shop):
    lines = shop.said("list", COLUMNS="120").splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ID", "STATUS"],
        [shop.secret, "created"],
        [shop.article, "completed"],
        [shop.refund, "created"],
    ]
    assert lines[3].endswith("ana@example.com  Approve the refund of 120.00 EUR?")


@on_sqlite
def test_where_there_is_no_room_the_title_has_a_line_of_its_own(shop):
    lines = shop.said("list", COLUMNS="60").splitlines()
    assert lines[1].startswith(shop.secret)
    assert lines[2] == "  Open the vault?"


@on_sqlite
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--status", "open"], ["secret", "refund"]),
        (["--status", "completed"], ["article"]),
        (["--status", "rejected"], []),
        (["--key", "refund:A-1"], ["refund"]),
        (["--assigned-to", "ANA@example.com"], ["refund"]),
        (["--limit", "1"], ["secret"]),
    ],
)
def test_a_list_can_be_narrowed(shop, words, names):
    assert [task["id"] for task in shop.json("list", *words)] == [getattr(shop, name) for name in names]


def test_json_is_what_the_api_says(shop):
    task, trail, deliveries = stored(shop, shop.refund)
    assert shop.json("list", "--key", "refund:A-1") == [wire.task_to_wire(task, redact=True)]
    assert shop.json("show", shop.refund) == {
        "task": wire.task_to_wire(task, redact=True),
        "audit": wire.trail_to_wire(trail),
        "deliveries": [wire.delivery_to_wire(one) for one in deliveries if one.effect.kind is EffectKind.NOTIFY],
    }
    assert [one["status"] for one in shop.json("show", shop.refund)["deliveries"]] == ["failed"]


def test_an_empty_database_says_so(empty):
    assert empty.said("list") == "No tasks.\n"
    assert empty.said("failures") == "Nothing has failed.\n"
    assert empty.said("redeliver", "--all-failed") == "Nothing has failed.\n"
    assert empty.json("list") == []


@on_sqlite
def test_a_task_is_shown_with_all_that_happened_to_it(shop):
    refund = shop.said("show", shop.refund)
    for text in (
        "Approve the refund of 120.00 EUR?",
        shop.refund,
        "refund:A-1",
        "Order     A-1",
        "Name  Zoë",
        "ana@example.com",
        "by agent:engine",
        "notification failed: awaithumans",
        "opened to mail:ana@example.com: failed after 1 attempt",
        "550 the mailbox is gone",
    ):
        assert text in refund
    article = shop.said("show", shop.article)
    assert "Answer by Ana Šimić (web, link)\n  Approved  Yes" in article
    assert "completed: Ana Šimić (web, link)" in article


@on_sqlite
def test_a_redacted_payload_is_shown_only_when_asked_for(shop):
    assert "1234" not in shop.run("show", shop.secret).stdout + json.dumps(shop.json("show", shop.secret))
    assert "--reveal" in shop.said("show", shop.secret)
    assert "Code  1234" in shop.said("show", shop.secret, "--reveal")
    assert shop.json("show", shop.secret, "--reveal")["task"]["payload"] == {"code": "1234"}


def test_numbers(shop):
    text = shop.said("stats", "--days", "7")
    assert [line.split() for line in text.splitlines()[1:4]] == [
        ["created", "2"],
        ["completed", "1"],
        ["answered,", "of", "the", "closed", "100%"],
    ]
    found = shop.json("stats", "--days", "7")
    assert (found["window_days"], found["totals"], found["by_channel"]) == (
        7,
        {"created": 2, "completed": 1},
        {"web": 1},
    )
    assert 0 < found["p50_completion_seconds"] == found["p95_completion_seconds"]
    assert "95 of 100 within" in text


# ── Repairing ─────────────────────────────────────────────────────────────────


def test_a_task_is_cancelled_by_the_systems_user(shop):
    assert shop.said("cancel", shop.refund, "--reason", "asked twice").startswith("Cancelled: Approve")
    task, trail, _ = stored(shop, shop.refund)
    assert task.status is TaskStatus.CANCELLED
    by = trail[-1].by
    assert (by.kind, by.id, by.auth, by.via, by.operator, by.stated_by) == (
        "human",
        getpass.getuser(),
        "engine",
        "cli",
        True,
        None,
    )
    assert trail[-1].data == {"reason": "asked twice"}


@on_sqlite
def test_whom_the_user_names_is_recorded_as_named_by_the_user(shop):
    assert shop.json("cancel", shop.refund, "--as", "ana@example.com")["status"] == "cancelled"
    by = stored(shop, shop.refund)[1][-1].by
    assert (by.id, by.via, by.stated_by) == ("ana@example.com", "cli", f"human:{getpass.getuser()}")
    assert f"cancelled: ana@example.com (cli), so says {getpass.getuser()}" in shop.said("show", shop.refund)


@on_sqlite
@pytest.mark.parametrize("words", [["cancel"], ["show"], ["redeliver"], ["delete", "--yes"]])
def test_what_cannot_be_done_says_why_in_two_lines(empty, words):
    done = empty.run(*words, "no-such-task")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "there is no task 'no-such-task'"
    assert done.stderr.splitlines()[1].startswith("Check the id")
    assert len(done.stderr.splitlines()) == 2


@on_sqlite
def test_a_closed_task_is_not_cancelled(shop):
    done = shop.run("cancel", shop.article)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"task {shop.article} is already completed\n")


@pytest.mark.anyio
async def test_cancelling_wakes_who_waits_in_another_process(empty):
    """By a hint, and not only by the slow re-check."""
    async with Engine(SQLAlchemyStore(empty.url)).run() as engine:
        task = await engine.create(a_question())
        started = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, partial(empty.run, "cancel", task.id))
            with anyio.fail_after(WITHIN):
                assert (await engine.wait(task.id)).status is TaskStatus.CANCELLED
            assert time.monotonic() - started < RECHECK_EVERY / 2
    await engine.aclose()


def test_failures_are_listed_and_can_be_checked_for(shop):
    found = shop.json("failures")
    assert [(one["task_id"], one["recipient"], one["failure"]) for one in found] == [
        (shop.secret, "mail:ben", "550 the mailbox is gone"),
        (shop.refund, "mail:ana@example.com", "550 the mailbox is gone"),
    ]
    assert shop.refund in shop.said("failures")
    assert shop.run("failures", "--check").returncode == 1


@on_sqlite
def test_a_check_for_failures_passes_where_there_are_none(empty):
    assert empty.run("failures", "--check").returncode == 0


@on_sqlite
@pytest.mark.anyio
async def test_one_notice_is_sent_again_whatever_became_of_it(empty):
    shop = await furnish(empty.url)
    channel = mailbox()
    engine = Engine(SQLAlchemyStore(shop.url), channels=[channel], background=False)
    [failed] = [one for one in await engine.deliveries(shop.refund) if one.failure is not None]
    words = ("redeliver", shop.refund, "--notice", failed.effect.id)
    for _ in range(2):
        said = await anyio.to_thread.run_sync(partial(shop.said, *words))
        assert said == "To be sent again: 1 notice of 1 task.\n"
        await engine.tick()
    assert [notice.id for notice in channel.sent] == [failed.effect.id] * 2
    for wrong in (("redeliver", shop.refund, "--notice", "x"), ("redeliver", "--all-failed", "--notice", "x")):
        assert (await anyio.to_thread.run_sync(partial(shop.run, *wrong))).returncode == 1
    await engine.aclose()


@pytest.mark.parametrize("names", [["refund"], ["refund", "secret"]])
@pytest.mark.anyio
async def test_a_host_sends_again_what_is_to_be_redelivered(empty, names):
    """With the notices' ids, so that who has them already can tell."""
    shop = await furnish(empty.url)
    ids = {getattr(shop, name) for name in names}
    channel = mailbox()
    async with Engine(SQLAlchemyStore(shop.url), channels=[channel]).run() as host:
        failed = {one.effect.id for one in await host.failures() if one.effect.task_id in ids}
        words = ids if len(ids) == 1 else ["--all-failed"]
        said = await anyio.to_thread.run_sync(partial(shop.said, "redeliver", *words))
        assert said.startswith(f"To be sent again: {len(ids)} notice")
        with anyio.fail_after(WITHIN):
            while len(channel.sent) < len(ids):
                await anyio.sleep(0.05)
        assert {notice.id for notice in channel.sent} == failed
        last = (await host.trail(shop.refund))[-1]
        assert (last.action, last.by.via) == ("redelivery_requested", "cli")
    await host.aclose()


def test_no_command_takes_work_that_it_could_not_do(empty):
    """It has none of the host's channels: a notice that it leased would fail."""

    async def ask() -> str:
        engine = Engine(SQLAlchemyStore(empty.url), channels=[mailbox()], background=False)
        task = await engine.create(a_question(notify=("mail:ana",)))
        await engine.aclose()
        return task.id

    task_id = anyio.run(ask)
    for words in (["list"], ["health"], ["failures"], ["stats"], ["show", task_id], ["redeliver", task_id]):
        empty.said(*words)
    empty.said("cancel", task_id)
    notices = [one for one in stored(empty, task_id)[2] if one.effect.kind is EffectKind.NOTIFY]
    assert [(one.effect.event, one.attempts, one.settled_at) for one in notices] == [
        ("opened", 0, None),
        ("closed", 0, None),
    ]


# ── Erasing ───────────────────────────────────────────────────────────────────


def test_purging_counts_asks_and_erases(shop):
    later = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert shop.json("purge", "--closed-before", "1d", "--yes")["erased"] == 0
    assert shop.said("purge", "--closed-before", later, "--dry-run").startswith("1 task closed and unchanged since")
    unasked = shop.run("purge", "--closed-before", later)
    assert (unasked.returncode, unasked.stderr) == (2, "Nobody is at a terminal to be asked: say --yes.\n")
    assert len(shop.json("list")) == 3
    assert shop.said("purge", "--closed-before", later, "--yes") == "Erased: 1 task.\n"
    assert {task["id"] for task in shop.json("list")} == {shop.refund, shop.secret}


@on_sqlite
def test_at_a_terminal_erasing_is_asked_about(shop):
    erasing = ("-m", "awaithumans", "delete", shop.article)
    with program(*erasing, AWAITHUMANS_DATABASE_URL=shop.url) as person:
        play(person, [("Erase 'Publish the article?' (completed)? [y/N] ", "\n")])
        person.expect_exact("Nothing was erased.")
        person.expect_exact("\n")
    assert stored(shop, shop.article)[0] is not None
    with program(*erasing, AWAITHUMANS_DATABASE_URL=shop.url) as person:
        play(person, [("[y/N] ", "y\n")])
        person.expect_exact("Erased: Publish the article?")
    assert stored(shop, shop.article)[0] is None


def test_an_open_task_is_erased_once_its_end_has_been_told(shop):
    assert shop.json("delete", shop.refund, "--yes") == {"id": shop.refund, "erased": False}
    assert stored(shop, shop.refund)[0].status is TaskStatus.CANCELLED

    async def work_until_erased() -> None:
        async with Engine(SQLAlchemyStore(shop.url), channels=[mailbox()]).run() as host:
            with anyio.fail_after(WITHIN):
                while await host.store.get(shop.refund):
                    await anyio.sleep(0.05)
        await host.aclose()

    anyio.run(work_until_erased)


# ── Watching ──────────────────────────────────────────────────────────────────


def test_health_fails_when_nobody_does_the_work(empty):
    assert empty.said("health") == "Due work is being done in time.\n"
    assert empty.json("health")["status"] == "ok"

    async def ask_an_hour_ago() -> None:
        clock = VirtualClock(datetime.now(UTC) - timedelta(hours=1))
        engine = Engine(SQLAlchemyStore(empty.url), channels=[mailbox()], clock=clock, background=False)
        await engine.create(a_question(notify=("mail:ana",), timeout_seconds=86_400))
        await engine.aclose()

    anyio.run(ask_an_hour_ago)
    late = empty.run("health")
    assert (late.returncode, late.stderr) == (1, "")
    assert late.stdout.startswith("Late: something has been due for 1h.\n")
    assert empty.json("health")["lag_seconds"] > 3_590


@pytest.mark.parametrize("driver", ["sqlite", "postgresql", "postgresql+asyncpg"])
def test_migrating(driver, database_url):
    shop = Shop(database_url(driver))
    if driver == "sqlite":
        Path(shop.url.removeprefix("sqlite:///")).touch()
    unready = shop.run("list")
    assert (unready.returncode, unready.stdout) == (3, "")
    assert "python -m awaithumans migrate" in unready.stderr
    assert shop.run("migrate", "--check").returncode == 1
    assert shop.json("migrate") == {"up_to_date": True, "migrated": True}
    assert shop.json("migrate") == {"up_to_date": True, "migrated": False}
    assert shop.run("migrate", "--check").returncode == 0
    assert shop.said("list") == "No tasks.\n"


def test_what_a_newer_release_has_made_is_left_alone(shop):
    import sqlalchemy

    from awaithumans.stores.schema import schema
    from tests.databases import plain

    engine = sqlalchemy.create_engine(plain(shop.url))
    with engine.begin() as connection:
        connection.execute(schema.update().values(epoch=99))
    engine.dispose()
    done = shop.run("cancel", shop.refund)
    assert done.returncode == 3
    assert "pip install --upgrade awaithumans" in done.stderr
    assert stored(shop, shop.refund)[0].status is TaskStatus.PENDING


# ── The database that is not there ────────────────────────────────────────────


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+asyncpg", "mariadb", "mariadb+asyncmy"])
@pytest.mark.parametrize("option", ["", "?ssl_mod=hunter2"])
def test_a_server_that_is_down_is_named_without_the_password(driver, option):
    done = command("--database", f"{driver}://bob:hunter2@127.0.0.1:1/db{option}", "list")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"{driver}://bob:***@127.0.0.1:1/db cannot be used: ")
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "oracle://bob:hunter2@h/db",
        "postgresql://bob:pa@hunter2@127.0.0.1:1/db",
        "postgresql://bob:x:y@h:hunter2/db",
        "sqlite://",
        "sqlite:////no/such/folder/tasks.db",
    ],
)
@pytest.mark.parametrize("verb", ["list", "migrate"])
def test_an_address_that_leads_nowhere_is_explained(url, verb):
    done = command(verb, "--database", url)
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "hunter2" not in done.stderr


def test_a_wrong_password_is_explained(postgres_url):
    """The server trusts everybody, but knows no such person."""
    done = command("list", "--database", postgres_url.replace("postgres@", "nobody:hunter2@"))
    assert done.returncode == 3
    assert 'role "nobody" does not exist' in done.stderr
    assert "hunter2" not in done.stderr


def test_a_mistyped_file_is_not_made(tmp_path):
    done = command("list", "--database", f"sqlite:///{tmp_path}/typo.db")
    assert (done.returncode, list(tmp_path.iterdir())) == (3, [])
    (tmp_path / "letter.txt").write_text("Dear database,\n" * 100)
    done = command("list", "--database", f"sqlite:///{tmp_path}/letter.txt")
    assert done.returncode == 3
    assert "file is not a database" in done.stderr


def test_without_a_database_it_says_how_to_name_one():
    done = command("list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--database" in done.stderr
    assert "AWAITHUMANS_DATABASE_URL" in done.stderr


@on_sqlite
def test_the_option_beats_the_environment_before_the_command_and_behind(empty, tmp_path):
    """Of two databases, a command that erases takes the one it was told."""
    other = f"sqlite:///{tmp_path}/other.db"
    for words in (["--database", other, "list"], ["list", "--database", other]):
        assert empty.run(*words).returncode == 3


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["list", "--status", "weird"],
        ["list", "--limit", "0"],
        ["stats", "--days", "366"],
        ["purge"],
        ["purge", "--closed-before", "tomorrow"],
        ["purge", "--closed-before", "99999999999d"],
        ["redeliver"],
        ["redeliver", "x", "--all-failed"],
        ["cancel", "x", "--reason", "y" * 2_049],
        ["cancel", "x", "--as", ""],
        ["cancel", os.fsdecode(b"\xff")],
    ],
)
def test_wrong_usage_ends_with_2(words, tmp_path):
    done = command(*words, AWAITHUMANS_DATABASE_URL=f"sqlite:///{tmp_path}/none.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


# ── What comes out ────────────────────────────────────────────────────────────


@pytest.fixture
def hostile(empty) -> Shop:
    """Give a task whose every text comes from somebody with bad intentions."""

    async def ask() -> str:
        engine = Engine(SQLAlchemyStore(empty.url), channels=[mailbox(gone())], background=False)
        human = Human(id="\x1b[2J", display_name="\x1b[8mghost\u202e")
        engine.directory = _Knows(human)
        task = await engine.create(
            a_question(
                task=HOSTILE,
                payload={HOSTILE[:50]: HOSTILE[:500]},
                metadata={"\x1b[1m": "\x07"},
                assign_to={"user_id": "ghost"},
                notify=("mail:\x1b[5m",),
                idempotency_key="\x1b[0m",
            )
        )
        await engine.tick()
        await engine.aclose()
        return task.id

    return Shop(empty.url, refund=anyio.run(ask))


class _Knows:
    def __init__(self, human: Human) -> None:
        self._human = human

    async def resolve(self, assign_to: Mapping[str, object]) -> list[Human]:
        return [self._human]

    async def find(self, address: str) -> Human | None:
        return self._human


@on_sqlite
@pytest.mark.parametrize("columns", [60, 120])
def test_text_of_strangers_neither_controls_the_terminal_nor_overflows_it(hostile, columns):
    for words in (["list"], ["failures"], ["show", hostile.refund], ["redeliver", hostile.refund]):
        lines = hostile.said(*words, COLUMNS=str(columns)).rstrip("\n").split("\n")
        assert {sign for line in lines for sign in line if unicodedata.category(sign)[0] == "C"} == set()
        assert max(map(_cells, lines)) <= columns


def _cells(line: str) -> int:
    narrow = [character for character in line if not unicodedata.combining(character)]
    return sum(2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1 for character in narrow)


@on_sqlite
def test_an_ascii_terminal_gets_escapes(shop):
    for words in (["show", shop.refund], ["show", shop.article], ["list"]):
        assert shop.said(*words, **ASCII).isascii()
    assert r"Zo\xeb" in shop.said("show", shop.refund, **ASCII)


@on_sqlite
def test_a_reader_that_leaves_early_is_no_error(hostile):
    """More than a pipe holds, so that the program writes to a closed one."""
    anyio.run(ask_many, hostile.url)
    listing = f"{sys.executable} -m awaithumans list --json --database {hostile.url}"
    piped = ["bash", "-c", f"{listing} | head -1"]
    done = subprocess.run(piped, check=False, capture_output=True, text=True, timeout=WITHIN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


async def ask_many(url: str) -> None:
    engine = Engine(SQLAlchemyStore(url), background=False)
    for _ in range(10):
        await engine.create(a_question(task="y" * 20_000))
    await engine.aclose()


@on_sqlite
def test_only_a_terminal_gets_emphasis_and_not_if_it_wants_none(shop):
    def screen(**environment: str) -> str:
        settings = {"AWAITHUMANS_DATABASE_URL": shop.url, "NO_COLOR": None, **environment}
        with program("-m", "awaithumans", "list", **settings) as person:
            person.expect_exact("Approve the refund")
            return str(person.before)

    assert "\x1b[1mID" in screen()
    assert "\x1b" not in screen(NO_COLOR="1")
    assert "\x1b" not in shop.said("list")


def test_an_encrypted_database_is_read_and_brought_under_a_new_secret(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    old, new = "an old secret, thirty-two bytes long", "a new secret, thirty-two bytes long!"

    async def ask() -> str:
        store = SQLAlchemyStore(url, encryption=Encryption(old))
        task = await Engine(store, background=False).create(a_question(task="Feed the canary?"))
        await store.aclose()
        return task.id

    task_id = anyio.run(ask)
    shop = Shop(url)
    assert "the database is encrypted" in shop.run("list").stderr
    assert shop.run("list").returncode == 3
    assert "Feed the canary?" in shop.said("show", task_id, AWAITHUMANS_ENCRYPTION_SECRET=old)
    both = f"{new}\n{old}\n"
    assert "secret: 1 tasks" in shop.said("reencrypt", AWAITHUMANS_ENCRYPTION_SECRET=both)
    assert "secret: 0 tasks" in shop.said("reencrypt", AWAITHUMANS_ENCRYPTION_SECRET=both)
    assert "Feed the canary?" in shop.said("show", task_id, AWAITHUMANS_ENCRYPTION_SECRET=new)
    assert shop.run("reencrypt").returncode == 3
