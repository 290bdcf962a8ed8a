"""The router as a WSGI app: for Flask and other hosts without an event loop.

Each request keeps its thread; the work is done on the event loop that this
process has in a thread of its own (`awaithumans.blocking`), the same on which
`BlockingEngine` and the engine's background work run. It is started by the
first request in each process, so an app that was made before a server forked
is as good as one made after.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import TypeAlias, cast
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from awaithumans.blocking import own_home
from awaithumans.errors import ConfigurationError
from awaithumans.types import Human
from awaithumans.wakeups import call_soon
from awaithumans.web.access import Auth
from awaithumans.web.inbound import AFTERWARDS, Afterwards
from awaithumans.web.router import Router
from awaithumans.web.seats import SEATS, Seats

logger = logging.getLogger("awaithumans.web")

LogIn: TypeAlias = Callable[[WSGIEnvironment], Human | None]
"""A host's log-in under WSGI: who makes this request, or None."""

_Served: TypeAlias = Callable[[WSGIEnvironment, StartResponse], Iterator[bytes]]
_ENVIRON = "wsgi_environ"
_PORT = re.compile(r"[0-9]{1,5}")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class WSGIApp:
    """A WSGI app over a router.

    Mount it below a Flask app:
    `app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/humans": WSGIApp(router)})`.
    Making it starts nothing; it serves in any process, also a forked one.

    Arguments:
        router: what it serves.
        threads: how many threads the server has in each process. At most half
            of them wait for answers at a time, so that people get their pages.
            Where the server says that it has one thread (`wsgi.multithread`),
            nobody waits. The default fits every server with more than one.

    Raises `ConfigurationError` if a2wsgi is not installed.
    """

    def __init__(self, router: Router, *, threads: int = 2) -> None:
        self._router = router
        self._seats = Seats(threads // 2)
        self._no_seats = Seats(0)
        self._middleware = _middleware()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        """Serve one request in the thread that calls."""
        seats = self._seats if environ["wsgi.multithread"] else self._no_seats
        call = _Call(self._router, seats)
        home = own_home()
        serve = self._middleware(call, loop=cast("asyncio.AbstractEventLoop", home.loop))
        try:
            yield from serve(_legible(environ), start_response)
        finally:
            call_soon(home.loop, call.end)
            for afterwards in call.afterwards:
                home.portal.start_task_soon(_done, afterwards)


class _Call:
    """One request on the event loop: it ends when its thread has left.

    Left to itself, a2wsgi waits for ever for the rest of a reply, and lets a
    call go on for ever when its client is gone.
    """

    def __init__(self, router: Router, seats: Seats) -> None:
        self._router = router
        self._seats = seats
        self._scope: anyio.CancelScope | None = None
        self._started = False
        self._ended = False
        self.afterwards: list[Afterwards] = []
        """What is to be done behind the reply: on the event loop, while the thread is free for the next request."""

    def end(self) -> None:
        """Cancel what goes on. Call it on the event loop."""
        if self._scope is not None:
            self._scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            self._started = True
            self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        with anyio.CancelScope() as self._scope:
            inside = {**scope, SEATS: self._seats, AFTERWARDS: self.afterwards}
            await self._router(inside, partial(_receive, receive), sending)
            if not self._started:
                await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"0")]})
            if not self._ended:
                await send({"type": "http.response.body"})


async def _done(afterwards: Afterwards) -> None:
    try:
        await afterwards()
    except Exception:  # the reply is sent: nobody else hears of it
        logger.exception("what a channel does behind its reply failed")


async def _receive(receive: Receive) -> Message:
    """Take a body that ends too early for a client that has left."""
    message = await receive()
    cut_off = message["type"] == "http.request" and message["more_body"] and not message["body"]
    return {"type": "http.disconnect"} if cut_off else message


def wsgi_auth(log_in: LogIn, *, mount: str = "") -> Auth:
    """Make a router's `auth` of a function of the WSGI environ.

    Arguments:
        log_in: tells who makes a request; None for nobody.
        mount: where the host app has the router, such as `/humans`.

    `log_in` runs in a worker thread, where it may block. The environ it gets
    is a copy without the body. Its `SCRIPT_NAME` and `PATH_INFO` are those of
    the host app that the router is mounted in at `mount`, so that the host's
    own sessions and addresses (`url_for`) are right:

        def current_user(environ):
            with app.request_context(environ):
                return person(session.get("user"))

        router = Router(engine, auth=wsgi_auth(current_user, mount="/humans"))
    """

    async def auth(request: Request) -> Human | None:
        environ = cast("WSGIEnvironment", request.scope[_ENVIRON])
        return await to_thread.run_sync(log_in, _as_the_host_sees_it(environ, mount))

    return auth


def _as_the_host_sees_it(environ: WSGIEnvironment, mount: str) -> WSGIEnvironment:
    outside: str = environ.get("SCRIPT_NAME", "")
    inside: str = environ.get("PATH_INFO", "")
    host = outside.removesuffix(mount)
    return {
        **environ,
        "SCRIPT_NAME": host,
        "PATH_INFO": outside.removeprefix(host) + inside,
        "CONTENT_LENGTH": "0",
        "wsgi.input": BytesIO(),
    }


def _legible(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Mend addresses that are not UTF-8 and ports that are no number, which a2wsgi does not survive."""
    port: str = environ.get("SERVER_PORT", "")  # on a unix socket, gunicorn takes it from the client's Host
    usual_port = "443" if environ["wsgi.url_scheme"] == "https" else "80"
    query: str = environ.get("QUERY_STRING", "")
    return {
        **environ,
        "SERVER_PORT": port if _PORT.fullmatch(port) else usual_port,
        "SCRIPT_NAME": _as_utf8(environ.get("SCRIPT_NAME", "")),
        "PATH_INFO": _as_utf8(environ.get("PATH_INFO", "")),
        "QUERY_STRING": quote(query.encode("latin-1"), safe=_ASCII),
    }


def _as_utf8(path: str) -> str:
    return path.encode("latin-1").decode(errors="replace").encode().decode("latin-1")


def _middleware() -> Callable[..., _Served]:
    try:
        from a2wsgi import ASGIMiddleware
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "WSGIApp needs the package a2wsgi, which is not installed", hint="Run: pip install 'awaithumans[wsgi]'"
        ) from error
    return cast("Callable[..., _Served]", ASGIMiddleware)
