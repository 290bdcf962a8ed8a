"""Which replies were answered by a mail: each once, and at one address only a few within the hour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from awaithumans.leases import holding
from awaithumans.types import Record, microseconds

if TYPE_CHECKING:
    from awaithumans.engine import Engine

KIND = "email-back"
MOST = 3
WITHIN = timedelta(hours=1)
SHELF_DIGITS = 2


@dataclass(frozen=True, slots=True)
class _Mail:
    """A mail that went back: where its reply had come to, its id, and when in microseconds."""

    name: str
    id: str
    at: int


class MailsBack:
    """Sends mails back, and keeps in mind which went.

    What is kept is a record for every 256th of all addresses. Each forgets
    what is older than `WITHIN` when it is written next, so there are never
    more than 256, and nobody has to clear up.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def send(self, name: str, mail_id: str, send: Callable[[], Awaitable[None]]) -> None:
        """Call `send`, unless this mail went already, or `MOST` others went within the hour.

        `name` is in hexadecimal digits, and stands for the address that was
        replied to. Callers in all processes on the store take turns. What
        raised, or was cut off, did not go: the next call sends it again, with
        the same id.
        """
        shelf = name[:SHELF_DIGITS]
        async with holding(self._engine, f"{KIND}/{shelf}"):
            record = await self._engine.records.get(KIND, shelf)
            mails = self._within_the_hour(record)
            theirs = {mail.id for mail in mails if mail.name == name}
            if mail_id in theirs or len(theirs) >= MOST:
                return
            await send()
            sent = _Mail(name, mail_id, microseconds(self._engine.clock.now()))
            await self._engine.records.put(_next(record, shelf, [*mails, sent]))

    def _within_the_hour(self, record: Record | None) -> list[_Mail]:
        if record is None:
            return []
        since = microseconds(self._engine.clock.now() - WITHIN)
        kept = cast("Sequence[tuple[str, str, int]]", record.document["mails"])
        return [mail for mail in (_Mail(*one) for one in kept) if mail.at > since]


def _next(record: Record | None, shelf: str, mails: Sequence[_Mail]) -> Record:
    document = {"mails": [list(astuple(mail)) for mail in mails]}
    if record is None:
        return Record(kind=KIND, id=shelf, document=document)
    return replace(record, version=record.version + 1, document=document)
