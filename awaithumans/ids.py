"""The names of new tasks."""

from __future__ import annotations

import secrets
from datetime import datetime

from awaithumans.types import microseconds


def uuid7(now: datetime) -> str:
    """Make a UUID of version 7, as 32 hex digits: 48 bits of time and 74 random ones (RFC 9562, section 5.7).

    What was asked at about the same time stands together in a database's
    indexes, so that a new task touches few of their pages, however many there are.
    """
    milliseconds = microseconds(now) // 1_000 & 0xFFFF_FFFF_FFFF
    return f"{milliseconds:012x}7{secrets.randbits(12):03x}{0b10 << 62 | secrets.randbits(62):016x}"
