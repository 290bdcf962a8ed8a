"""The store of docs/how-to/write-a-store.md: the page puts it to the suite, and this to several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio

from awaithumans.protocols import Store
from awaithumans.types import Query
from docs.examples.lmdb_store import LMDBStore

ROOT = Path(__file__).parents[2]
WORKER = """
import sys, anyio
from awaithumans.testing.tasks import NOON, SECOND, following, make_effect, make_spec, make_task, opening
from docs.examples.lmdb_store import LMDBStore

async def main():
    store = LMDBStore(sys.argv[1])
    await store.setup()
    for number in range(20):
        task = make_task(spec=make_spec(idempotency_key=f"key {number}"))
        task = await store.create(opening(task, make_effect(task)))
        while not await store.apply(following(task, attempt=task.attempt + 1)):
            task = await store.get(task.id)
        for delivery in (await store.lease(NOON, NOON + SECOND, 3)).deliveries:
            print(delivery.effect.id)

anyio.run(main)
"""


def test_processes_share_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    handed = [line for worker in workers for line in worker.communicate(timeout=60)[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    store: Store = LMDBStore(str(tmp_path))
    tasks = anyio.run(store.find, Query())
    assert len(tasks) == 20, "one task for each key, whoever asked first"
    assert {(task.attempt, task.version) for task in tasks} == {(3, 4)}, "no change was lost"
    assert len(handed) == len(set(handed)) == 20, "each effect was handed out once"
    anyio.run(store.aclose)
