"""The commands of `python -m awaithumans`: read and repair what is in a database.

No server, and none of the host's code: a command writes down what is to be
done, and the processes that run the host's engine do it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

import anyio

from awaithumans import plugins
from awaithumans.commands.arguments import DATABASE_VARIABLE, SECRET_VARIABLE, make_parser
from awaithumans.commands.verbs import Call, Report, UsageError, migrate
from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ConfigurationError
from awaithumans.protocols import Store
from awaithumans.terminal import system_user
from awaithumans.terminal.screen import Screen, wrapped
from awaithumans.types import Actor, Human

if TYPE_CHECKING:
    from awaithumans.stores.sqlalchemy import SQLAlchemyStore

__all__ = ["main"]

DONE, NO, MISUSED, UNUSABLE, INTERRUPTED = 0, 1, 2, 3, 130
PIPE_WIDTH = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    0: done; 1: refused, or what was asked for is not so; 2: wrong usage;
    3: the database cannot be used.
    """
    arguments = make_parser().parse_args(argv)
    arguments.database = arguments.database or os.environ.get(DATABASE_VARIABLE)
    if not arguments.database:
        return _misused(f"There is no database named: give --database URL, or set {DATABASE_VARIABLE}.")
    try:
        report = anyio.run(_carry_out, arguments)
    except UsageError as error:
        return _misused(str(error))
    except AwaitHumansError as error:
        return _refused(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    _write(sys.stdout, json.dumps(report.document, indent=2) if arguments.json else _laid_out(report))
    return DONE if report.ok else NO


async def _carry_out(arguments: Namespace) -> Report:
    scheme = arguments.database.partition(":")[0].lower()
    if scheme in plugins.names("stores"):
        return await _carry_out_in(plugins.load("stores", scheme)(arguments.database), arguments)
    return await _carry_out_in_sql(arguments)


async def _carry_out_in(store: Store, arguments: Namespace) -> Report:
    """Carry a command out on what another package keeps tasks in."""
    try:
        await store.setup()
        engine = Engine(store, setup=False, background=False)
        report: Report = await arguments.verb(Call(arguments, store, engine, _actor(arguments.acts_as)))
    finally:
        await store.aclose()
    return report


async def _carry_out_in_sql(arguments: Namespace) -> Report:
    from awaithumans.stores.addresses import faults_explained, read_address

    arguments.database = read_address(arguments.database, existing=arguments.verb is not migrate)
    with faults_explained(arguments.database):
        store = _open_store(arguments)
        try:
            await store.up_to_date()  # refuses what a newer release has made, before anything is written
            engine = Engine(store, setup=False, background=False)
            report: Report = await arguments.verb(Call(arguments, store, engine, _actor(arguments.acts_as)))
        finally:
            await store.aclose()
    return report


def _open_store(arguments: Namespace) -> SQLAlchemyStore:
    """Open the store that every command works on."""
    from awaithumans.stores.sqlalchemy import Encryption, SQLAlchemyStore

    secrets = [line.strip() for line in os.environ.get(SECRET_VARIABLE, "").splitlines() if line.strip()]
    return SQLAlchemyStore(arguments.database, encryption=Encryption(secrets) if secrets else None)


def _actor(named: str | None) -> Actor:
    """Return who acts: the system's user, or whom that user names."""
    user = Human(id=system_user(), operator=True)
    if named is None or named == user.id:
        return Actor.of(user, auth="engine", via="cli")
    return Actor.of(Human(id=named, operator=True), auth="engine", via="cli", stated_by=f"human:{user.id}")


# ── What is written ───────────────────────────────────────────────────────────


def _misused(why: str) -> int:
    _write(sys.stderr, why)
    return MISUSED


def _refused(error: AwaitHumansError) -> int:
    said = [line for part in (error.message, error.hint) for line in wrapped(part, PIPE_WIDTH) if line]
    _write(sys.stderr, "\n".join(said))
    return UNUSABLE if isinstance(error, ConfigurationError) else NO


def _laid_out(report: Report) -> str:
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    screen = Screen(width=shutil.get_terminal_size((PIPE_WIDTH, 0)).columns, colour=colour)
    return "\n".join(report.lines(screen))


def _write(stream: TextIO, text: str) -> None:
    """Write what the stream's encoding has, the rest as escapes; a reader that has gone is no error."""
    with suppress(AttributeError):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # for the flush at exit
