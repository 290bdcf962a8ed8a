"""Web origins: scheme, host and port, and nothing behind them; and whether the way to one is safe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from awaithumans.errors import InvalidInputError

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(rf"(https?)://((?:\*\.)?{_LABEL}(?:\.{_LABEL})*)(?::([1-9]\d{{0,4}}))?", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LOCAL = frozenset({"localhost", "127.0.0.1"})


def read_origin(text: str, given_as: str, *, wildcard: bool = False) -> str:
    """Return an origin as browsers write it.

    https only, but for localhost; the default port is left out. With
    `wildcard`, the first label may be `*`. Raises `InvalidInputError`, which
    names the argument or field that it was `given_as`.
    """
    found = _ORIGIN.fullmatch(text.lower())
    if not found or ("*" in text and not wildcard) or (found[1] == "http" and found[2] not in _LOCAL):
        raise InvalidInputError(
            f"{text[:200]!r} is not an origin like https://app.example.com",
            hint="Write scheme and host, and nothing behind them; http is for localhost.",
            fields={given_as: "must be an origin like https://app.example.com"},
        )
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")


def is_among(origin: str, allowed: Iterable[str]) -> bool:
    """Tell whether one of `allowed` is this origin; a leading `*` there is any one label."""
    return any(origin == one or _fits(origin, one) for one in allowed)


def _fits(origin: str, pattern: str) -> bool:
    return "*" in pattern and re.fullmatch(re.escape(pattern).replace(r"\*", _LABEL), origin) is not None


def is_private(url: str) -> bool:
    """Tell whether nobody on the way can read what is sent to `url`: it is https, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))
    except ValueError:
        return False


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
