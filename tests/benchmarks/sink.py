"""Receivers of webhooks: one that takes everything, and one that never replies."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

_OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Sink:
    """What has arrived: the ids of the notices, and when."""

    url: str = ""
    ids: list[str] = field(default_factory=list[str])
    times: list[float] = field(default_factory=list[float])
    connections: list[asyncio.WriteTransport] = field(default_factory=list[asyncio.WriteTransport])

    async def until(self, count: int, *, patience: float) -> None:
        """Return once so many have arrived."""
        async with asyncio.timeout(patience):
            while len(self.ids) < count:
                await asyncio.sleep(0.01)


class _Receiver(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._read = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._sink.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = bytes(self._read).partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(headers.get(b"content-length", b"0"))
        if not found or len(body) < length:
            return
        self._sink.ids.append(headers[b"webhook-id"].decode())
        self._sink.times.append(time.perf_counter())
        self._read = bytearray(body[length:])
        self._transport.write(_OK)


@asynccontextmanager
async def receiving() -> AsyncGenerator[Sink]:
    """Give a receiver that takes everything."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: _Receiver(sink), "127.0.0.1", 0)
    sink.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield sink
        for connection in sink.connections:
            connection.close()


@contextmanager
def dead() -> Generator[str]:
    """Give the address of a receiver that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
