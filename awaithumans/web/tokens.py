"""API tokens: what an agent or an administrator proves itself with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum

from awaithumans.errors import ConfigurationError
from awaithumans.types import Actor

_MIN_TOKEN_LENGTH = 16
_MAKE_ONE = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


class Scope(StrEnum):
    """One thing a token allows."""

    ASK = "ask"
    """Create tasks; read, poll, collect and cancel those it asked itself; lease."""
    READ = "read"
    """Read and list every task, its audit trail, and the statistics."""
    ANSWER = "answer"
    """Answer tasks that others asked."""
    ANSWER_OWN = "answer:own"
    """Answer what it asked itself; for tests."""
    ANSWER_AS = "answer:as"
    """Name the person who answers, also for a page in a frame; recorded as stated by the token."""
    OPERATE = "operate"
    """Cancel, collect, delete, release and reassign any task."""


class ApiToken:
    """A secret that stands for a program, and what that program may do.

    Arguments:
        name: who it is in audit trails, so give every agent its own.
        token: the secret, at least 16 characters; only its SHA-256 is kept.
        scopes: what it may do.

    Raises `ConfigurationError` for an empty name, a short secret, and a scope
    that there is not.
    """

    def __init__(self, name: str, token: str, scopes: Iterable[Scope | str]) -> None:
        if not name:
            raise ConfigurationError("an API token needs a name", hint="It is what audit trails show.")
        if len(token) < _MIN_TOKEN_LENGTH:
            raise ConfigurationError(
                f"the API token {name!r} has {len(token)} characters and needs at least {_MIN_TOKEN_LENGTH}",
                hint=_MAKE_ONE,
            )
        self.name = name
        self.scopes = frozenset(_scope(scope) for scope in scopes)
        self._digest = _digest(token)

    @classmethod
    def admin(cls, token: str, *, name: str = "admin", may_answer_own: bool = False) -> ApiToken:
        """Make a token that may do everything.

        Answering what it asked itself is only included with `may_answer_own`:
        an agent that holds the token could otherwise approve its own request.
        """
        without = frozenset[Scope]() if may_answer_own else {Scope.ANSWER_OWN}
        return cls(name, token, frozenset(Scope) - without)

    @property
    def actor(self) -> Actor:
        """Give the principal this token stands for."""
        return Actor(kind="agent", id=self.name, auth="token", via="api")

    def matches(self, credential: str) -> bool:
        """Tell, in constant time, whether `credential` is this token."""
        return hmac.compare_digest(self._digest, _digest(credential))

    def __repr__(self) -> str:
        return f"ApiToken({self.name!r}, scopes={sorted(self.scopes)})"


def token_of(tokens: Iterable[ApiToken], credential: str) -> ApiToken | None:
    """Return the token that `credential` is; every token is compared."""
    found = [token for token in tokens if token.matches(credential)]
    return found[0] if found else None


def _scope(name: Scope | str) -> Scope:
    try:
        return Scope(name)
    except ValueError:
        known = ", ".join(Scope)
        raise ConfigurationError(f"there is no scope {name!r}", hint=f"The scopes are: {known}.") from None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
