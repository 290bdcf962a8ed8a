"""A process that checks one answer, and may be killed while it does.

Usage: python -m tests.programs.mortal_checker DATABASE_URL dies|lives MINUTES

It asks and answers once per database, does what is due MINUTES after a fixed
moment, and may die by SIGKILL while its verifier judges. Prints the task's
status, how many attempts were spent, and the response.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta

import anyio

from awaithumans import Actor, Engine, Human, Submit, VerifierConfig
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.clock import START, VirtualClock
from awaithumans.testing.tasks import make_spec
from awaithumans.types import TaskStatus, Verdict, VerificationContext
from awaithumans.verifiers import CallableVerifier

ANA = Actor.of(Human(id="ana@example.com"), auth="engine")


async def main() -> None:
    """Ask, answer, and do what is due."""
    url, fate, minutes = sys.argv[1:]

    async def judge(context: VerificationContext) -> Verdict:
        if fate == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return Verdict(passed=True, parsed_response={"approve": context.raw_input == "go ahead"})

    engine = Engine(
        SQLAlchemyStore(url),
        verifiers={"rule": CallableVerifier(judge, reads_text=True)},
        clock=VirtualClock(START + timedelta(minutes=int(minutes))),
        background=False,
    )
    config = VerifierConfig(provider="rule", instructions="Read it.", max_attempts=1)
    task = await engine.create(make_spec(idempotency_key="one", verifier=config, timeout_seconds=3_600))
    if task.status is TaskStatus.PENDING:
        await engine.act(task.id, Submit(text="go ahead", by=ANA))
    await engine.tick()
    task = await engine.get(task.id)
    sys.stdout.write(f"{task.status.value} {task.attempt} {task.response}\n")
    await engine.aclose()


anyio.run(main)
