"""A process that tries to take some leases, all of them at once, as soon as it is told to.

Usage: python -m tests.programs.leasing DATABASE_URL HOLDER NAME...

Says `ready` when its engine is, waits for a line of input, and prints the
names of the leases that it got.
"""

from __future__ import annotations

import sys

import anyio

from awaithumans import Engine
from awaithumans.stores.sqlalchemy import SQLAlchemyStore


async def main(url: str, holder: str, names: list[str]) -> None:
    engine = Engine(SQLAlchemyStore(url), background=False)
    await engine.health()
    print("ready", flush=True)
    sys.stdin.readline()

    async def take(name: str) -> None:
        if await engine.lease(name, holder=holder, seconds=300):
            print(name)

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(take, name)
    await engine.aclose()


anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3:])
