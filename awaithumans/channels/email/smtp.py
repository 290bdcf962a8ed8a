"""Sending by SMTP, over a few connections that are kept open."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.lowlevel

from awaithumans.channels.email.transports import Envelope, quoted
from awaithumans.channels.turns import turn
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import DeliveryError

if TYPE_CHECKING:
    import aiosmtplib

PORTS = {"starttls": 587, "tls": 465, "none": 25}
MAILS_PER_CONNECTION = 100

_DELIVERY_SECONDS = 25.0
_LONGEST_TALK = 5.0
"""Seconds that a mail may take, beside the longest answer to it."""
_FAREWELL_SECONDS = 2.0
_FAILED_FOR_GOOD = 500
_EXCEEDED, _REJECTED = 552, 554


@dataclass(eq=False)
class _Connection:
    client: aiosmtplib.SMTP
    mails: int = 0


@dataclass(eq=False)
class _Pool:
    """One event loop's connections."""

    slots: anyio.CapacityLimiter
    idle: list[_Connection] = field(default_factory=list[_Connection])


class Smtp:
    """Hands mails to an SMTP server; needs asyncio, and `awaithumans[email]`.

    Arguments:
        host: the server's name; its certificate must be made out to it.
        port: by default 587, 465 with `security="tls"`, 25 with `"none"`.
        username: who logs in; None sends without a log-in.
        password: of this user.
        security: `starttls` and `tls` send nothing unless it is encrypted;
            `none` is for a server on this machine, and takes no password.
        connections: at most so many at a time, on each event loop.
        timeout: seconds that the server has for each of its answers; well below 25, which a mail may take in all.
        tls: replaces the system's certificate authorities.

    Connections are kept and reused; one that the server has closed is replaced.
    A mail is delivered when the server has said so. Where its last word is lost
    the mail is sent again, with the same `Message-ID`.

    A recipient or a content that the server refuses for good fails for good;
    all else that it refuses is tried again, a wrong password included.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        security: Literal["starttls", "tls", "none"] = "starttls",
        connections: int = 4,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if security not in PORTS:
            raise ConfigurationError(f"there is no security {security!r}", hint=f"There are {', '.join(PORTS)}.")
        if security == "none" and username is not None:
            raise ConfigurationError("a password is never sent in clear", hint="Use starttls or tls.")
        if (username is None) != (password is None):
            raise ConfigurationError("a log-in takes a user name and a password", hint="Pass both, or neither.")
        self._host = host
        self._port = PORTS[security] if port is None else port
        self._username = username
        self._password = password
        self._security = security
        self._connections = connections
        self._timeout = timeout
        self._tls = tls
        self._pool = anyio.lowlevel.RunVar["_Pool"]("pool")

    def __repr__(self) -> str:
        return f"Smtp({self._host!r}, {self._port}, security={self._security!r})"

    async def __call__(self, message: EmailMessage, envelope: Envelope, /) -> None:
        """Send the mail over a connection of its own for that time."""
        content = message.as_bytes(policy=SMTP)
        with _delivery_errors(), anyio.fail_after(_DELIVERY_SECONDS):
            async with self._connected() as client:
                await client.sendmail(envelope.sender, [envelope.recipient], content)

    async def aclose(self) -> None:
        """Close the running loop's idle connections; harmless when repeated."""
        idle = self._pooled().idle
        while idle:
            client = idle.pop().client
            try:
                with anyio.move_on_after(_FAREWELL_SECONDS), _forgiving():
                    await client.quit()
            finally:
                client.close()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[aiosmtplib.SMTP]:
        """Lend a connection; one on which anything went wrong is not used again."""
        pool = self._pooled()
        within = _DELIVERY_SECONDS - self._timeout - _LONGEST_TALK
        async with turn(pool.slots, within, of="the mail server"):
            connection = await self._reused(pool) or await self._opened()
            try:
                yield connection.client
            except BaseException:
                connection.client.close()
                raise
            connection.mails += 1
            if connection.mails < MAILS_PER_CONNECTION:
                pool.idle.append(connection)
            else:
                connection.client.close()

    def _pooled(self) -> _Pool:
        try:
            return self._pool.get()
        except LookupError:
            pool = _Pool(anyio.CapacityLimiter(self._connections))
            self._pool.set(pool)
            return pool

    async def _reused(self, pool: _Pool) -> _Connection | None:
        """Take an idle connection that the server still answers on."""
        while pool.idle:
            connection = pool.idle.pop()
            try:
                with _forgiving():
                    await connection.client.noop()
                    return connection
            except BaseException:
                connection.client.close()
                raise
            connection.client.close()
        return None

    async def _opened(self) -> _Connection:
        client = _library().SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._context(),
            timeout=self._timeout,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return _Connection(client)

    def _context(self) -> ssl.SSLContext | None:
        if self._security != "none" and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


@contextmanager
def _forgiving() -> Generator[None]:
    """Go on where a connection that is not needed turns out to be dead."""
    import aiosmtplib

    try:
        yield
    except (aiosmtplib.SMTPException, OSError):
        return


@contextmanager
def _delivery_errors() -> Generator[None]:
    """Say of every failure whether another attempt makes sense."""
    aiosmtplib = _library()
    try:
        yield
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        raise _refusal(refused, permanent=refused.code >= _FAILED_FOR_GOOD) from error
    except aiosmtplib.SMTPDataError as error:
        raise _refusal(error, permanent=error.code in {_EXCEEDED, _REJECTED}) from error
    except aiosmtplib.SMTPResponseException as error:
        raise _refusal(error) from error
    except TimeoutError as error:
        raise DeliveryError("the mail server did not answer in time") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"{type(error).__name__}: {quoted(str(error))}") from error


def _refusal(error: aiosmtplib.SMTPResponseException, *, permanent: bool = False) -> DeliveryError:
    return DeliveryError(f"SMTP {error.code} {quoted(error.message)}", permanent=permanent)


def _library() -> ModuleType:
    try:
        import aiosmtplib
    except ImportError as error:
        raise ConfigurationError("Smtp needs aiosmtplib", hint="pip install awaithumans[email]") from error
    return aiosmtplib
