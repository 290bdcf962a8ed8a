"""Capability links: one task, for one person, for one attempt."""

from __future__ import annotations

from starlette.requests import Request

from awaithumans.engine import Engine
from awaithumans.types import Actor, Task
from awaithumans.web.guests import Grant, LinkEndedError, LinkUnknownError, guest_and_task
from awaithumans.web.rendering import Frame
from awaithumans.words import words


class LinkGrants:
    """Lets in who has a link that `Engine.link` made."""

    path = "/l/{token}"
    tells_of_others = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def grant(self, request: Request) -> Grant:
        """Return what the link still grants."""
        token: str = request.path_params["token"]
        link = self._engine.keys.read_link(token)
        if link is None:
            raise LinkUnknownError(words("this link is not valid"))
        human, task = await guest_and_task(self._engine, link.address, link.task_id)
        if link.attempt != task.attempt and not task.closed:
            raise LinkEndedError(
                words("this link was for an earlier answer"),
                hint=words("An answer was refused, and a newer message has the link to try again."),
            )
        return Grant(task=task, human=human, actor=Actor.of(human, auth="link", via=link.via), path=f"/l/{token}")

    def path_after(self, grant: Grant, task: Task) -> str:
        """Return the same link, or after a refused answer the next one's."""
        if not task.refused:
            return grant.path
        address = grant.human.email or grant.human.id
        return f"/l/{self._engine.keys.link_token(task.id, address, task.attempt, grant.actor.via or 'web')}"

    def frame(self, request: Request) -> Frame | None:  # noqa: ARG002 - a link is opened by itself
        """Return None: no other page may show this one inside it."""
        return None
