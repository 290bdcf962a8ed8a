"""A web server that does as it is told, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOLD = b"<hold>"


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int


@dataclass
class Receiver:
    """What is behind `url`.

    `replies` are the raw replies to the next requests, in order; each part of
    one is sent at once, and `HOLD` holds the connection open until the end of
    the test. Without one it says 200.
    """

    url: str = ""
    port: int = 0
    received: list[Received] = field(default_factory=list)
    replies: deque[tuple[bytes, ...]] = field(default_factory=deque)
    bytes_sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def will_reply(self, status: int, *headers: str, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} Status", *headers]
        if status != 204:
            lines.append(f"Content-Length: {len(body)}")
        self.replies.append(("\r\n".join(lines).encode() + b"\r\n\r\n" + body,))


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 0

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.command, self.path, headers, body, self.client_address[1]))
            try:
                self._reply(receiver.replies.popleft() if receiver.replies else (OK,))
            except OSError:
                self.close_connection = True

        do_GET = do_POST  # noqa: N815 - the base class looks for this name

        def _reply(self, parts: tuple[bytes, ...]) -> None:
            for part in parts:
                if part == HOLD:
                    receiver.over.wait()
                    self.close_connection = True
                    return
                self.wfile.write(part)
                receiver.bytes_sent += len(part)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet when a client goes away, or refuses the certificate."""


@contextmanager
def receiving(tls: SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver on a free loopback port."""
    receiver = Receiver()
    with _Server(("127.0.0.1", 0), _handler(receiver)) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver.port = server.server_address[1]
        receiver.url = f"http://127.0.0.1:{receiver.port}/callback"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Give a receiver of webhooks."""
    with receiving() as running:
        yield running


@pytest.fixture
def secure_receiver() -> Iterator[Callable[[SSLContext], Receiver]]:
    """Give a function that runs a receiver with TLS for the rest of the test."""
    with ExitStack() as stack:
        yield lambda tls: stack.enter_context(receiving(tls))


@pytest.fixture(scope="session", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run everything on both."""
    backend: str = request.param
    return backend
