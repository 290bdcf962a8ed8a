"""A process that mails one question, and may be killed around the sending.

Usage: python -m tests.programs.mortal_mailer DATABASE_URL smtp:PORT|URL before|after|never MINUTES

It asks once per database, does what is due MINUTES after a fixed moment, and
dies by SIGKILL just before or after the mail is handed over.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from email.message import EmailMessage

import anyio

from awaithumans import Engine
from awaithumans.channels.email import EmailChannel, Envelope, HttpApi, Sender, Smtp
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.clock import START, VirtualClock
from awaithumans.testing.tasks import make_spec


class Mortal:
    """A transport that kills the process."""

    def __init__(self, transport: Smtp | HttpApi, when: str) -> None:
        self._transport = transport
        self._when = when

    async def __call__(self, message: EmailMessage, envelope: Envelope, /) -> None:
        if self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await self._transport(message, envelope)
        if self._when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    async def aclose(self) -> None:
        await self._transport.aclose()


def transport_to(place: str) -> Smtp | HttpApi:
    scheme, _, port = place.partition(":")
    return Smtp("127.0.0.1", int(port), security="none") if scheme == "smtp" else HttpApi(place, "key")


async def main() -> None:
    """Ask, and do what is due."""
    url, place, when, minutes = sys.argv[1:]
    sender = Sender(
        address="approvals@example.com", transport=Mortal(transport_to(place), when), replies="reply@example.com"
    )
    engine = Engine(
        SQLAlchemyStore(url),
        channels=[EmailChannel(sender)],
        clock=VirtualClock(START + timedelta(minutes=int(minutes))),
        secret="0123456789" * 4,
        public_url="https://app.example/humans",
        background=False,
    )
    await engine.create(make_spec(idempotency_key="the one", notify=("email:ana@example.com",)))
    await engine.tick()
    await engine.aclose()


if __name__ == "__main__":
    anyio.run(main)
