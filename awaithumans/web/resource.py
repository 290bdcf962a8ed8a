"""One address: a handler per method, and every error in its right shape."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, TypeVar

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from awaithumans.beside import beside
from awaithumans.errors import AwaitHumansError
from awaithumans.web.envelope import REQUEST_ID, MethodNotAllowedError, RouteNotFoundError, explained

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
ResultT = TypeVar("ResultT")
ErrorPage: TypeAlias = Callable[[Request, AwaitHumansError], Awaitable[Response]]

_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Resource:
    """An ASGI app for one address.

    Errors are answered here and never reach the host's own handlers, which
    could not know the shapes that clients of this library read.
    """

    def __init__(self, handlers: Mapping[str, Handler], *, on_error: ErrorPage) -> None:
        self._handlers = {**handlers, "HEAD": handlers["GET"]} if "GET" in handlers else dict(handlers)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        scope[REQUEST_ID] = _request_id(request)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        response.headers["X-Request-ID"] = scope[REQUEST_ID]
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            return await self._handler(request.method)(request)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: explained or logged
            response = await self._on_error(request, explained(error, request))
            return _in_the_hosts_words(response, error) if isinstance(error, HTTPException) else response

    def _handler(self, method: str) -> Handler:
        if not self._handlers:
            raise RouteNotFoundError("there is nothing at this address")
        if method not in self._handlers:
            raise MethodNotAllowedError(method, ", ".join(sorted(self._handlers)))
        return self._handlers[method]


async def until_disconnect(request: Request, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Do `work`, but not for a client that has gone.

    Raises `ClientDisconnect` as soon as it has.
    """
    with anyio.CancelScope() as scope:
        async with beside(_watch, request, scope):
            return await work()
    raise ClientDisconnect


async def _watch(request: Request, scope: anyio.CancelScope) -> None:
    complete = False
    while (message := await request.receive())["type"] != "http.disconnect":
        if complete:  # the host gives the body again and again, and will never tell
            await anyio.sleep_forever()
        complete = not message.get("more_body", False)
    scope.cancel()


def _in_the_hosts_words(response: Response, refusal: HTTPException) -> Response:
    """Let the host's log-in challenge the browser, or lead it to its own page."""
    response.headers.update(refusal.headers or {})
    return response


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID_FORM.fullmatch(given) else secrets.token_hex(8)
