"""Server-sent events: the format, and a response that stays open."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from functools import partial

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from awaithumans.beside import beside
from awaithumans.clock import sleep
from awaithumans.protocols import Clock
from awaithumans.web.departure import until_departure
from awaithumans.web.envelope import REQUEST_ID, written
from awaithumans.web.resource import until_disconnect
from awaithumans.web.seats import permitted_wait

logger = logging.getLogger("awaithumans.web")

LIFETIME = 300.0
HEARTBEAT = 15.0
RETRY_MILLISECONDS = (1_000, 3_000)
PARTING_SECONDS = 1.0

_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
_LINE_END = re.compile(r"\r\n|\r|\n")


def opening(event_id: int | None = None) -> bytes:
    """Write how a stream begins: when to come back, and from where to go on.

    Clients do not all come back at one moment. A browser takes this for no
    event, since it has no data, but remembers the id.
    """
    retry = f"retry: {random.randint(*RETRY_MILLISECONDS)}\n"  # noqa: S311 - spreads load, guards nothing
    return (retry + ("" if event_id is None else f"id: {event_id}\n") + "\n").encode()


def event(name: str, value: object, event_id: int) -> bytes:
    """Write an event with `value` as JSON."""
    data = b"".join(b"data: %b\n" % line.encode() for line in _LINE_END.split(written(value).decode()))
    return b"event: %b\nid: %d\n%b\n" % (name.encode(), event_id, data)


class EventStream(Response):
    """An answer that goes on until its events end, or its time has come.

    Streams end after `LIFETIME` seconds, so that whoever comes back has to be
    let in anew. A client that reads slowly holds its events up, and nothing
    piles up here.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes], *, clock: Clock) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._events = events
        self._clock = clock
        self._turn = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, to a client that is there."""
        started: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        async with aclosing(self._events):
            try:
                await self._send(send, started)
                if scope["method"] != "HEAD":
                    request = Request(scope, receive)
                    await until_disconnect(request, partial(self._stream, request, send))
                await self._part(send)
            except ClientDisconnect:
                pass
            except Exception:  # the edge: the client comes back
                logger.exception("the event stream of request %s failed", scope[REQUEST_ID])
                await self._part(send)

    async def _stream(self, request: Request, send: Send) -> None:
        with _may_stay(request, self._clock):
            async with beside(self._keep_alive, send):
                async for block in self._events:
                    await self._send_block(send, block)

    async def _keep_alive(self, send: Send) -> None:
        """Send comments, so that nobody on the way takes the line for dead."""
        with suppress(ClientDisconnect):
            while True:
                await sleep(self._clock, HEARTBEAT)
                await self._send_block(send, b":\n")

    async def _part(self, send: Send) -> None:
        """End the response, unless the client does not read any more."""
        with anyio.move_on_after(PARTING_SECONDS), suppress(ClientDisconnect):
            await self._send(send, {"type": "http.response.body", "body": b""})

    async def _send_block(self, send: Send, block: bytes) -> None:
        async with self._turn:
            await self._send(send, {"type": "http.response.body", "body": block, "more_body": True})

    async def _send(self, send: Send, message: Message) -> None:
        try:
            await send(message)
        except OSError as gone:
            raise ClientDisconnect from gone


@contextmanager
def _may_stay(request: Request, clock: Clock) -> Generator[None]:
    """Cancel the block, and go on behind it, when the stream has to end."""
    with permitted_wait(request, LIFETIME) as seconds, until_departure(), clock.move_on_after(seconds):
        yield
