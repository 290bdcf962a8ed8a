"""Who is it, and may they."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request

from awaithumans import lifecycle
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError, ForbiddenError, NotAuthenticatedError
from awaithumans.types import Actor, Human, Task
from awaithumans.web import csrf
from awaithumans.web.mount import mount_of
from awaithumans.web.tokens import ApiToken, Scope, token_of

Auth: TypeAlias = Callable[[Request], Human | Awaitable[Human | None] | None]
"""The host's log-in: who makes this request, or None."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who makes a request: a program with a token, or a person of the host's."""

    actor: Actor
    human: Human | None = None
    scopes: frozenset[Scope] = frozenset()

    @property
    def commands(self) -> bool:
        """Tell whether every task may be operated on."""
        return Scope.OPERATE in self.scopes or self.actor.operator

    @property
    def sees_all(self) -> bool:
        """Tell whether every task may be read."""
        return Scope.READ in self.scopes or self.actor.operator

    @property
    def may_ask(self) -> bool:
        """Tell whether tasks may be created."""
        return Scope.ASK in self.scopes or self.actor.operator

    @property
    def may_lease(self) -> bool:
        """Tell whether rights may be leased: by programs that ask, never by people."""
        return self.human is None and self.may_ask

    @property
    def may_list(self) -> bool:
        """Tell whether tasks may be listed, even if only some."""
        return self.human is not None or self.sees_all

    def asked(self, task: Task) -> bool:
        """Tell whether this principal asked the task, and may look after it."""
        return self.may_ask and task.spec.requested_by == self.actor.principal

    def may_see(self, task: Task) -> bool:
        """Tell whether the task may be read."""
        theirs = self.human is not None and lifecycle.may_see(task, self.human)
        return self.sees_all or self.asked(task) or theirs

    def may_read(self, task: Task) -> bool:
        """Tell whether the task may be read, be it only to operate on it."""
        return self.may_see(task) or self.commands

    @property
    def may_answer_for_others(self) -> bool:
        """Tell whether it may name the person who answers."""
        return Scope.ANSWER_AS in self.scopes

    @property
    def may_answer_own(self) -> bool:
        """Tell whether it may answer what it asked itself."""
        return Scope.ANSWER_OWN in self.scopes

    def may_complete(self, task: Task) -> bool:
        """Tell whether the door is open; whose turn it is, the task decides."""
        if self.human is not None:
            return self.may_see(task)
        own = self.may_answer_own and task.spec.requested_by == self.actor.principal
        return own or Scope.ANSWER in self.scopes


class Access:
    """Finds out who makes a request."""

    def __init__(self, engine: Engine, *, auth: Auth | None, tokens: Sequence[ApiToken]) -> None:
        self._engine = engine
        self._auth = auth
        self._tokens = tuple(tokens)

    async def principal(self, request: Request) -> Principal:
        """Return who calls the API. Raises `NotAuthenticatedError`.

        A bearer token counts before the host's log-in, and a wrong one is not
        made good by it. Without a token, everything but reading also needs
        proof that one of this site's own pages asks.
        """
        credential = _credential(request)
        if credential is not None:
            return self._program(credential)
        try:
            human = await self.person(request)
        except HTTPException as refusal:  # a log-in page, or a browser's log-in box: nothing for a program
            raise NotAuthenticatedError from refusal
        if human is None:
            raise NotAuthenticatedError
        if request.method not in _SAFE:
            self.ensure_own_page(request, human, request.headers.get(csrf.HEADER, ""))
        return Principal(actor=Actor.of(human, auth="host", via="api"), human=human)

    async def visitor(self, request: Request) -> Human:
        """Return who visits a page. Raises `NotAuthenticatedError`."""
        human = await self.person(request)
        if human is None:
            raise NotAuthenticatedError
        return human

    async def person(self, request: Request) -> Human | None:
        """Return whom the host's log-in knows this to be."""
        if self._auth is None:
            return None
        found = self._auth(request)
        human = await found if inspect.isawaitable(found) else found
        if human is not None and not isinstance(human, Human):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"auth returned {type(human).__name__} instead of Human or None",
                hint="Return awaithumans.Human(id=..., email=...), or None for nobody.",
            )
        return human

    def ensure_own_page(self, request: Request, human: Human, token: str) -> None:
        """Raise `CrossSiteError` unless a page made for this person posts."""
        csrf.ensure_same_origin(request, self._engine.public_url)
        csrf.ensure_token(self._engine.keys, token, human.id, mount_of(request))

    def form_token(self, request: Request, human: Human) -> str:
        """Make the hidden token of this person's forms."""
        return self._engine.keys.form_token(human.id, mount_of(request))

    def _program(self, credential: str) -> Principal:
        token = token_of(self._tokens, credential)
        if token is None:
            raise NotAuthenticatedError("the token is not valid here")
        return Principal(actor=token.actor, scopes=token.scopes)


async def answering_actor(engine: Engine, principal: Principal, email: str | None, channel: str | None) -> Actor:
    """Return who answers, if the request says that it was `email`.

    Raises `ForbiddenError` where the principal may not speak for others.
    """
    states = principal.may_answer_for_others
    via = channel if channel and states else "api"
    if email is None or (principal.human and email.lower() in principal.human.addresses):
        return replace(principal.actor, via=via)
    if not states:
        raise ForbiddenError(
            "completed_by_email names somebody else",
            hint="Leave it out, or give the token the scope answer:as.",
        )
    human = await engine.directory.find(email)
    if human is None:
        raise ForbiddenError("completed_by_email names nobody in the directory")
    return Actor.of(human, auth="token", via=via, stated_by=principal.actor.principal)


def ensure(allowed: object, message: str, *, hint: str | None = None) -> None:
    """Raise `ForbiddenError` unless `allowed`."""
    if not allowed:
        raise ForbiddenError(message, hint=hint)


def _credential(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-admin-token")
