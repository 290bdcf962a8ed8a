"""What may be written after `python -m awaithumans`."""

from __future__ import annotations

import re
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol, TypeAlias

from awaithumans.commands import verbs
from awaithumans.documents import ensure_json
from awaithumans.errors import InvalidInputError
from awaithumans.types import MAX_TEXT_LENGTH

DATABASE_VARIABLE = "AWAITHUMANS_DATABASE_URL"
SECRET_VARIABLE = "AWAITHUMANS_ENCRYPTION_SECRET"  # noqa: S105 - a name, not a secret
MAX_LISTED = 10_000
MAX_DAYS = 365
_AGE = re.compile(r"(?P<number>[0-9]{1,5})(?P<unit>[hd])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}
_DESCRIPTION = "Read and repair the questions to people that are kept in a database."
_EPILOG = f"""\
The database is --database, or else the environment's {DATABASE_VARIABLE},
like postgresql://user@host/database or sqlite:////var/lib/app/tasks.db.
Other packages may bring other schemes ("awaithumans.stores").
If it is encrypted, {SECRET_VARIABLE} has the secrets, one a line,
the current one first.

exit codes: 0 done; 1 refused, late, or found by --check; 2 wrong usage;
3 the database cannot be used.
"""

Verb: TypeAlias = Callable[[verbs.Call], Awaitable[verbs.Report]]


class _Add(Protocol):
    """Adds a command: its name, what it does, and its help."""

    def __call__(self, name: str, verb: Verb, words: str) -> ArgumentParser: ...


def make_parser() -> ArgumentParser:
    """Make the parser; the arguments it gives have a `verb` to call."""
    parser = ArgumentParser(
        prog="python -m awaithumans",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        parents=[_shared()],
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(database=None, json=False, acts_as=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, verb: Verb, words: str) -> ArgumentParser:
        described = f"{words[:1].upper()}{words[1:]}."
        added = commands.add_parser(name, help=words, description=described, parents=[_shared()], allow_abbrev=False)
        added.set_defaults(verb=verb)
        return added

    _add_reading(add)
    _add_repairing(add)
    _add_erasing(add)
    _add_watching(add)
    return parser


def _shared() -> ArgumentParser:
    """Make the options that may stand before the command and behind it.

    Each parser has its own: what is not given behind the command takes nothing back that stands before.
    """
    shared = ArgumentParser(add_help=False, argument_default=SUPPRESS, allow_abbrev=False)
    shared.add_argument("--database", metavar="URL", help="where the tasks are")
    shared.add_argument("--json", action="store_true", help="write one JSON document, in the shapes of the HTTP API")
    shared.add_argument(
        "--as",
        dest="acts_as",
        metavar="NAME",
        type=_text,
        help="who acts, for the audit trail (default: the system's user)",
    )
    return shared


def _add_reading(add: _Add) -> None:
    listing = add("list", verbs.list_tasks, "list tasks, newest first")
    listing.add_argument("--status", choices=verbs.STATUSES, metavar="STATUS", help=", ".join(verbs.STATUSES))
    listing.add_argument("--assigned-to", metavar="WHO", type=_text, help="id, e-mail, or part of the name")
    listing.add_argument("--key", type=_text, help="the idempotency key")
    _add_limit(listing)
    shown = add("show", verbs.show, "show all there is about one task")
    shown.add_argument("task", metavar="ID", type=_text)
    shown.add_argument("--reveal", action="store_true", help="show the payload even if the task redacts it")


def _add_repairing(add: _Add) -> None:
    cancelling = add("cancel", verbs.cancel, "close an open task without an answer")
    cancelling.add_argument("task", metavar="ID", type=_text)
    cancelling.add_argument("--reason", type=_text, help="stands in the audit trail")
    failures = add("failures", verbs.list_failures, "list notices that could not be delivered, latest first")
    failures.add_argument("--check", action="store_true", help="exit with 1 if there are any")
    _add_limit(failures)
    redelivering = add("redeliver", verbs.redeliver, "have notices sent again")
    which = redelivering.add_mutually_exclusive_group(required=True)
    which.add_argument("task", metavar="ID", type=_text, nargs="?")
    which.add_argument("--all-failed", action="store_true", help="those of every task")
    redelivering.add_argument(
        "--notice",
        metavar="ID",
        type=_text,
        help="only this one, also if it was delivered; `show --json` has ids",
    )


def _add_erasing(add: _Add) -> None:
    deleting = add("delete", verbs.delete, "erase one task, cancelling it first if it is open")
    deleting.add_argument("task", metavar="ID", type=_text)
    purging = add("purge", verbs.purge, "erase closed tasks that have not changed for long")
    purging.add_argument(
        "--closed-before",
        metavar="WHEN",
        type=_moment,
        required=True,
        help="30d or 12h ago, or a date like 2026-01-31 (UTC)",
    )
    purging.add_argument("--dry-run", action="store_true", help="only count them")
    for erasing in (deleting, purging):
        erasing.add_argument("--yes", action="store_true", help="do not ask")


def _add_watching(add: _Add) -> None:
    statistics = add("stats", verbs.count, "count tasks, and say how fast they are answered")
    days = partial(_whole, most=MAX_DAYS)
    statistics.add_argument("--days", type=days, default=30, help="how far back to look in detail (default: 30)")
    add("health", verbs.health, "tell whether due work is done in time; exit with 1 if it is not")
    migrating = add("migrate", verbs.migrate, "make the tables, or bring them up to date")
    migrating.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if there is something to do"
    )
    add("reencrypt", verbs.reencrypt, f"encrypt everything under the first secret in {SECRET_VARIABLE}")


def _add_limit(parser: ArgumentParser) -> None:
    limit = partial(_whole, most=MAX_LISTED)
    parser.add_argument("--limit", type=limit, default=50, metavar="NUMBER", help="how many at most (default: 50)")


# ── Values ────────────────────────────────────────────────────────────────────


def _text(given: str) -> str:
    try:
        ensure_json(given)
    except InvalidInputError as error:
        raise ArgumentTypeError(error.message) from None
    if not 0 < len(given) <= MAX_TEXT_LENGTH:
        raise ArgumentTypeError(f"must have from 1 to {MAX_TEXT_LENGTH} characters")
    return given


def _whole(given: str, *, most: int) -> int:
    usable = given.isascii() and given.isdecimal() and len(given) <= len(str(most))
    if not usable or not 1 <= int(given) <= most:
        raise ArgumentTypeError(f"must be a whole number from 1 to {most}")
    return int(given)


def _moment(given: str) -> datetime:
    """Read a length of time, counted back from now, or a date, in UTC unless it says otherwise."""
    if age := _AGE.fullmatch(given):
        return datetime.now(UTC) - int(age["number"]) * _UNITS[age["unit"]]
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ArgumentTypeError("must be like 30d, 12h or 2026-01-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
