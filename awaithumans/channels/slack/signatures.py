"""Whether a request came from Slack."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import datetime

from awaithumans.types import Inbound

TOLERANCE_SECONDS = 300
"""How far the time that was signed may be from now; an older request may have been recorded and sent again."""

_SECONDS = re.compile(r"[0-9]{1,15}")


def usable(secrets: str | Sequence[str]) -> tuple[str, ...]:
    """Give the signing secrets there are; a blank one would be anybody's."""
    several = (secrets,) if isinstance(secrets, str) else secrets
    return tuple(secret.strip() for secret in several if secret.strip())


def genuine(request: Inbound, secrets: Sequence[str], now: datetime) -> bool:
    """Tell, in constant time, whether one of `secrets` signed this request just now.

    Never raises, whatever was sent.
    """
    timestamp = request.headers.get("x-slack-request-timestamp", "")
    if not _SECONDS.fullmatch(timestamp) or abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = b"v0:%s:%s" % (timestamp.encode(), request.body)
    given = request.headers.get("x-slack-signature", "").encode(errors="surrogatepass")
    return any(hmac.compare_digest(_signature(secret, signed), given) for secret in secrets)


def is_repeated(request: Inbound) -> bool:
    """Tell whether Slack says that it sent this before, and heard nothing in time."""
    return "x-slack-retry-num" in request.headers


def _signature(secret: str, signed: bytes) -> bytes:
    return b"v0=" + hmac.digest(secret.encode(), signed, "sha256").hex().encode()
