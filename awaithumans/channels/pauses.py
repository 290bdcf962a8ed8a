"""How long another server asks to be left alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60


def retry_after(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> float | None:
    """Return the seconds that `Retry-After` names; None if it names none."""
    found = [value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"]
    if not found:
        return None
    try:
        seconds = float(found[0]) if found[0].isdigit() else (_http_date(found[0]) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _http_date(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
