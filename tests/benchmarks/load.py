"""Load from outside: HTTP/1.1 over kept connections, on asyncio's bare protocols.

There are two cores, and the server that is measured wants one. A client
library takes longer over a request than the server does; this takes some
thirty microseconds, since all it reads of a reply is where it ends. Servers
run in processes of their own, so the load comes from another process.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Self
from urllib.parse import urlsplit

from tests.benchmarks.results import quantile

PATIENCE = 60.0
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, and when it was there."""

    status: int
    body: bytes
    at: float


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._reply: asyncio.Future[Reply] | None = None
        self._transport: asyncio.WriteTransport

    @classmethod
    async def open(cls, url: str) -> Self:
        address = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, str(address.hostname), address.port or 80)
        return connection

    async def ask(self, request: bytes) -> Reply:
        """Send a request and return its reply, whatever it is."""
        if self._transport.is_closing():  # servers close a connection that is not used for some seconds
            raise ConnectionResetError("the server closed the connection")
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def send(self, request: bytes) -> None:
        """Send a request whose reply nobody reads."""
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head = self._read.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._read.lower().find(b"content-length:", 0, head) + len(b"content-length:")
        end = head + 4 + int(self._read[at : self._read.find(b"\r\n", at)])
        if len(self._read) < end:
            return
        reply = Reply(int(self._read[9:12]), bytes(self._read[head + 4 : end]), time.perf_counter())
        del self._read[:end]
        if self._reply and not self._reply.done():
            self._reply.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("the server closed the connection"))


@dataclass
class Load:
    """What came back, and how long it took."""

    replies: list[Reply] = field(default_factory=list[Reply])
    latencies: list[float] = field(default_factory=list[float])
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Give how many were answered per second."""
        return len(self.replies) / self.seconds

    def milliseconds(self, part: float) -> float:
        """Give the latency that `part` of the requests did not exceed."""
        return 1_000 * quantile(self.latencies, part)


async def drive(url: str | Sequence[str], requests: Iterable[bytes], *, connections: int, seconds: float) -> Load:
    """Send requests on so many connections at once, until the time is over or none is left.

    With several URLs, each gets as many of the connections.

    Raises `RuntimeError` for a reply that is an error.
    """
    load, waiting = Load(), iter(requests)
    urls = cycle([url] if isinstance(url, str) else url)
    opened = await asyncio.gather(*(Connection.open(next(urls)) for _ in range(connections)))
    began = time.perf_counter()
    async with asyncio.timeout(seconds + PATIENCE):
        await asyncio.gather(*(_keep_asking(one, waiting, began + seconds, load) for one in opened))
    load.seconds = time.perf_counter() - began
    for connection in opened:
        connection.close()
    return load


async def _keep_asking(connection: Connection, requests: Iterator[bytes], until: float, load: Load) -> None:
    while (began := time.perf_counter()) < until and (request := next(requests, None)):
        reply = accepted(await connection.ask(request))
        load.latencies.append(reply.at - began)
        load.replies.append(reply)


def accepted(reply: Reply) -> Reply:
    """Return the reply, unless it is an error."""
    if reply.status >= _REFUSED:
        raise RuntimeError(f"{reply.status}: {reply.body.decode()}")
    return reply


def ids_in(replies: Sequence[Reply]) -> list[str]:
    """Return the ids of the tasks in the replies."""
    return [json.loads(reply.body)["id"] for reply in replies]


def request(method: str, path: str, document: object = None, *, authorization: str = "") -> bytes:
    """Write a request."""
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    if authorization:
        lines.append(f"Authorization: {authorization}")
    return "\r\n".join([*lines, "", ""]).encode() + body
