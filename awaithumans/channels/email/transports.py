"""What takes a finished mail away: the seam, and a folder of files behind it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio.to_thread

MAX_SAID = 200
_LONGEST_SAID = 2_000

_ADDRESS = re.compile(r"(?:\w+://|\bwww\.)\S*|\S*/l/\S*", re.IGNORECASE)
_UNFIT_FOR_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a mail server is told of a mail, whatever stands in its headers."""

    id: str
    """Equal for every attempt at one mail: `Notice.id`."""
    sender: str
    """The address that bounces go to."""
    recipient: str
    """The address that the mail goes to."""


class Transport(Protocol):
    """What takes a mail away; an async function of yours is one.

    One that keeps connections has an `async def aclose()`, too.
    """

    async def __call__(self, message: EmailMessage, envelope: Envelope, /) -> None:
        """Send `message` as `envelope` says; return once it is somebody else's.

        Raises `DeliveryError`, or anything else to be called again later, then
        with an equal `envelope` and `Message-ID`.
        """
        ...


def quoted(said: str) -> str:
    """Give what a server said, for people: on one line, and without addresses, of which a mail's links are some."""
    return " ".join(_ADDRESS.sub("…", said[:_LONGEST_SAID]).split())[:MAX_SAID]


class Files:
    """Puts each mail into a folder, as an `.eml` file; for development.

    Arguments:
        folder: is made when the first mail comes.

    The name of the file is the mail's id: what is sent again replaces it. A
    file is complete as soon as it is there.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    async def __call__(self, message: EmailMessage, envelope: Envelope, /) -> None:
        """Write the file."""
        name = _UNFIT_FOR_A_NAME.sub("-", envelope.id)
        await anyio.to_thread.run_sync(partial(self._write, f"{name}.eml", message.as_bytes(policy=SMTP)))

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}.{os.urandom(8).hex()}"
        unfinished.write_bytes(content)
        unfinished.replace(self._folder / name)
