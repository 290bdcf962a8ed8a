"""A mail server that does as it is told, and what a person finds in their inbox."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import anyio
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from awaithumans.channels.email import EmailChannel, Envelope, Sender
from awaithumans.testing.channels import make_notice
from awaithumans.testing.tasks import ANA, make_spec, make_task
from awaithumans.types import Notice, Task

CUT = "<cut>"
HANG = "<hang>"
LINK = "https://app.example/humans/l/token"
CHOICE = {"type": "object", "properties": {"approve": {"type": "boolean"}}, "required": ["approve"]}


def parsed(raw: bytes) -> EmailMessage:
    """Read a mail as the standard library does."""
    return message_from_bytes(raw, policy=default)


def text_of(mail: EmailMessage) -> str:
    return _part(mail, "plain")


def html_of(mail: EmailMessage) -> str:
    return _part(mail, "html")


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body([kind])
    assert part is not None
    return str(part.get_content())


# ── What the engine would say ─────────────────────────────────────────────────


def asked(**fields: Any) -> Task:
    """Make a task that Ana alone is asked."""
    spec = make_spec(**{"response_schema": CHOICE, **fields.pop("spec", {})})
    return make_task(spec=spec, **{"addressees": (ANA,), "assignee": ANA, **fields})


def told(event: str = "opened", **fields: Any) -> Notice:
    """Make a notice to Ana, as the runner would."""
    task = fields.pop("task", None) or asked()
    given = {"person": ANA, "link": None if task.closed else LINK, **fields}
    return replace(make_notice("email", "ana@example.com", event=event, **given), task=task)


# ── A transport of the host's ─────────────────────────────────────────────────


@dataclass
class Inbox:
    """An async function of the host's, which keeps what it is given."""

    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    failures: deque[Exception] = field(default_factory=deque)
    hangs: anyio.Event | None = None
    """Where there is one, mails get stuck, and it is set once one did."""

    async def __call__(self, message: EmailMessage, envelope: Envelope, /) -> None:
        if self.hangs:
            self.hangs.set()
            await anyio.sleep_forever()
        if self.failures:
            raise self.failures.popleft()
        self.mails.append(parsed(message.as_bytes()))
        self.envelopes.append(envelope)

    def sender(self, **fields: Any) -> Sender:
        given = {"address": "approvals@example.com", "name": "Acme", **fields}
        return Sender(transport=self.__call__, **given)

    def channel(self, **fields: Any) -> EmailChannel:
        return EmailChannel(self.sender(**fields))


# ── An SMTP server ────────────────────────────────────────────────────────────


@dataclass
class Server:
    """What is behind `port`.

    `said` has the replies to the next commands of a name, in order: text, `CUT`
    to close the connection, `HANG` to say nothing. Without one it agrees.
    """

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    said: dict[str, deque[str]] = field(default_factory=dict)
    connections: int = 0
    encrypted: list[bool] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    def will_say(self, command: str, *replies: str) -> None:
        self.said.setdefault(command, deque()).extend(replies)


class _Handler:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, said: list[str]) -> Any:  # noqa: N802 - aiosmtpd looks for this name
        if not getattr(session, "counted", False):
            session.counted = True
            self._server.connections += 1
        session.host_name = name
        return said

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str) -> str:  # noqa: N802 - aiosmtpd looks for this name
        return await self._next("NOOP", server) or "250 OK"

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd looks for this name
        if reply := await self._next("MAIL", server):
            return reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd looks for this name
        if reply := await self._next("RCPT", server):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd looks for this name
        reply = await self._next("DATA", server)
        if reply and reply[0] in "45":
            return reply
        self._server.mails.append(envelope.content)
        self._server.recipients += envelope.rcpt_tos
        self._server.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        reply = await self._next("AFTER", server) or reply
        return reply or "250 OK"

    async def _next(self, command: str, server: Any) -> str | None:
        replies = self._server.said.get(command)
        reply = replies.popleft() if replies else None
        if reply == CUT:
            server.transport.abort()
        while reply == HANG and not server.transport.is_closing():
            await asyncio.sleep(0.01)
        return reply


@contextmanager
def smtp_server(*, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server on a free loopback port; with `starttls` it wants encryption and a log-in."""
    server = Server()

    def authenticate(smtp: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        server.users.append(data.login.decode())
        return AuthResult(success=data.password == b"secret", handled=False)

    with socket.create_server(("127.0.0.1", 0)) as free:
        server.port = free.getsockname()[1]
    options: dict[str, Any] = (
        {"tls_context": starttls, "require_starttls": True, "auth_required": True} if starttls else {}
    )
    if starttls:
        options["authenticator"] = authenticate
    controller = Controller(
        _Handler(server), hostname="127.0.0.1", port=server.port, ssl_context=tls, ready_timeout=20, **options
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@dataclass
class Authority:
    """A certificate authority for this test run."""

    ca: trustme.CA = field(default_factory=trustme.CA)

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context
