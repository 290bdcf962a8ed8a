"""Reply addresses: a token, fit for a mail address, that says what a reply answers.

An address has at most 64 characters before its `@`, and programs on the way
may change their letter case. So the token is base32 in lower case: a byte with
the attempt, the task's id (16 bytes, where it is 32 hex digits), and the first
80 bits of a MAC that binds these to the recipient. That is 27 bytes, or 44
characters, which leaves 19 for the mailbox before the plus. The recipient is
not in it: it is the one, among those who are told of the task, whom the MAC fits.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from awaithumans.channels.email.message import MAX_LOCAL_PART
from awaithumans.errors import ConfigurationError
from awaithumans.signing import KeyRing

_PURPOSE = "email-reply"
_MAC_BYTES = 10
_AS_TEXT = 0x80
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_TOKEN = re.compile(r"[a-z2-7]{20,62}")


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """What a reply address says; `recipient_of` tells whether it is true."""

    task_id: str
    attempt: int
    mac: bytes

    def recipient_of(self, addresses: Iterable[str], keys: KeyRing) -> str | None:
        """Return the address that the token was made for, if it is one of these."""
        for address in addresses:
            macs = [_mac(key, self.task_id, address, self.attempt) for key in keys.keys(_PURPOSE).values()]
            if any(hmac.compare_digest(mac, self.mac) for mac in macs):
                return address
        return None


def reply_address(mailbox: str, keys: KeyRing, *, task_id: str, address: str, attempt: int) -> str | None:
    """Make the address at which `address` answers this attempt; None if it would be too long.

    Equal arguments give an equal one. Raises `ConfigurationError` on a ring
    without secrets.
    """
    for key in keys.keys(_PURPOSE).values():
        token = base64.b32encode(_head(task_id, attempt) + _mac(key, task_id, address, attempt))
        local, _, domain = mailbox.rpartition("@")
        tagged = f"{local}+{token.decode().rstrip('=').lower()}"
        return f"{tagged}@{domain}" if len(tagged) <= MAX_LOCAL_PART else None
    raise ConfigurationError("replies by mail need a secret", hint="Pass Engine(secret=...).")


def read_reply_address(address: str) -> ReplyToken | None:
    """Return what a reply address says; None if it is none. Never raises, whatever the text."""
    token = address.rpartition("@")[0].rpartition("+")[2].lower()
    if not _TOKEN.fullmatch(token):
        return None
    try:
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        named = head[1:].decode() if head[0] & _AS_TEXT else head[1:].hex()
    except (binascii.Error, UnicodeDecodeError, IndexError):
        return None
    return ReplyToken(named, head[0] & ~_AS_TEXT, mac) if named and named.isprintable() else None


def _head(task_id: str, attempt: int) -> bytes:
    if _HEX_ID.fullmatch(task_id):
        return bytes([attempt]) + bytes.fromhex(task_id)
    return bytes([attempt | _AS_TEXT]) + task_id.encode()


def _mac(key: bytes, task_id: str, address: str, attempt: int) -> bytes:
    bound = json.dumps([task_id, address.lower(), attempt]).encode()
    return hmac.digest(key, bound, "sha256")[:_MAC_BYTES]
