"""A task inside a page of the host's own product, in a frame.

The host's server asks for the address of the page, for one task, one person
and one origin, and hands it to the browser it knows to be that person's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from awaithumans.engine import Engine
from awaithumans.errors import AccessError
from awaithumans.signing import Embed
from awaithumans.types import Actor, Task
from awaithumans.web.guests import Grant, guest_and_task
from awaithumans.web.rendering import Frame
from awaithumans.words import words

TIME_TO_ANSWER = timedelta(hours=1)
"""How long the form may be filled in, from when the page was loaded."""


class EmbedTokenError(AccessError):
    """The address of an embedded page was not made here, or its time is over."""

    code = "INVALID_EMBED_TOKEN"
    anchor = "embed-token-invalid"
    status = 401
    default_hint = words("Load the page around this one again: it has a new address made.")


class EmbedGrants:
    """Lets in who has an address that `Engine.embed` made."""

    path = "/embed/{token}"
    tells_of_others = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def grant(self, request: Request) -> Grant:
        """Return what the address grants now."""
        embed = self._read(request)
        if embed is None:
            raise EmbedTokenError(words("this address is not valid"))
        now = self._engine.clock.now()
        if datetime.fromtimestamp(embed.expires_at, UTC) <= now:
            raise EmbedTokenError(words("the time of this address is over"))
        human, task = await guest_and_task(self._engine, embed.address, embed.task_id)
        token = self._engine.keys.embed_token(embed if embed.loaded else _for_the_form(embed, now))
        actor = Actor.of(human, auth="link", via="embed", stated_by=embed.stated_by)
        return Grant(task=task, human=human, actor=actor, path=f"/embed/{token}")

    def path_after(self, grant: Grant, task: Task) -> str:  # noqa: ARG002 - it does not depend on the attempt
        """Return the address that the form was sent to."""
        return grant.path

    def frame(self, request: Request) -> Frame | None:
        """Return the origin that the address was made for."""
        embed = self._read(request)
        if embed is None:
            return None
        return Frame(origin=embed.origin, task_id=embed.task_id, color_scheme=embed.color_scheme)

    def _read(self, request: Request) -> Embed | None:
        return self._engine.keys.read_embed(request.path_params["token"])


def _for_the_form(embed: Embed, loaded_at: datetime) -> Embed:
    """Give what the form is sent with: it is good for longer, once and for all."""
    return replace(embed, loaded=True, expires_at=int((loaded_at + TIME_TO_ANSWER).timestamp()))
