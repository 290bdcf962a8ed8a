"""What is sent to the channels' own addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from awaithumans.engine import Engine
from awaithumans.protocols import Receiving
from awaithumans.types import Inbound
from awaithumans.web.bodies import read_bytes
from awaithumans.web.envelope import RouteNotFoundError
from awaithumans.web.resource import Handler

HERE = "/channels/{channel}/{path:path}"

Afterwards: TypeAlias = Callable[[], Awaitable[None]]
AFTERWARDS = "awaithumans.afterwards"
"""Where a request's ASGI scope takes what is to be done behind the reply; without it, the request goes on with it."""


class ChannelDoor:
    """The handlers below `/channels/{name}`: each channel is the judge of who comes."""

    def __init__(self, engine: Engine, *, max_body_bytes: int) -> None:
        self._engine = engine
        self._limit = max_body_bytes

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        return {HERE: {"GET": self._receive, "POST": self._receive}}

    async def _receive(self, request: Request) -> Response:
        """Hand a request to its channel."""
        channel = self._engine.channels.get(request.path_params["channel"])
        if not isinstance(channel, Receiving):
            raise RouteNotFoundError("no channel receives anything at this address")
        inbound = Inbound(
            method=request.method,
            path="/" + request.path_params["path"],
            query=dict(request.query_params),
            headers=dict(request.headers),
            body=await read_bytes(request, self._limit),
        )
        reply = await channel.receive(inbound)
        response = Response(reply.body, reply.status, headers=dict(reply.headers))
        if reply.afterwards:
            later: list[Afterwards] | None = request.scope.get(AFTERWARDS)
            if later is None:
                response.background = BackgroundTask(_awaited, reply.afterwards)
            else:
                later.append(reply.afterwards)
        return response


async def _awaited(deed: Afterwards) -> None:
    """Do it on the event loop, whatever kind of function it is."""
    await deed()
