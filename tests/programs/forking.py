"""A process that uses its engine, forks, and uses it on: parent and child on one store.

Usage: python -W ignore::DeprecationWarning -m tests.programs.forking DATABASE_URL

The child answers what the parent asked before the fork, while the parent
waits for it; then both go on reading and writing.
"""

from __future__ import annotations

import os
import sys

from awaithumans import BlockingEngine, Engine
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.engines import a_question
from tests.programs.mortal_agent import ANA

ROUNDS = 20

engine = BlockingEngine(Engine(SQLAlchemyStore(sys.argv[1])))
asked = engine.create(a_question(idempotency_key="before the fork"))


def work(name: str) -> None:
    for number in range(ROUNDS):
        task = engine.create(a_question(idempotency_key=f"{name} {number}"))
        engine.submit(task.id, {"approved": True}, by=ANA)
        assert engine.get(task.id).closed


child = os.fork()
if child == 0:
    engine.submit(asked.id, {"approved": True}, by=ANA)
    work("child")
    sys.stdout.flush()
    os._exit(0)

assert engine.wait(asked.id, timeout=20).closed
work("parent")
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert engine.health().ok
