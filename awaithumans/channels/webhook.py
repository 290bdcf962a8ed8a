"""Telling the program that asked: a signed POST to its callback address."""

from __future__ import annotations

import json
import logging
import math
import re
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import SOCK_STREAM
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel
from anyio import CapacityLimiter

from awaithumans.channels.pauses import retry_after
from awaithumans.channels.turns import turn
from awaithumans.clock import SystemClock
from awaithumans.errors import ConfigurationError, InvalidRoutingError
from awaithumans.protocols import Clock, DeliveryError
from awaithumans.routing import WEBHOOK, shown_recipient
from awaithumans.signing import WebhookKey, ensure_standard_secret, standard_headers
from awaithumans.types import Notice, Task
from awaithumans.wire import outcome_to_wire

if TYPE_CHECKING:
    from httpcore2 import AsyncConnectionPool, AsyncNetworkBackend, AsyncNetworkStream, Response
    from httpx2 import URL
else:
    # The pool only calls it, so the library is imported when something is sent.
    AsyncNetworkBackend = object

MAX_URL_LENGTH = 2_048
MAX_RESPONSE_BYTES = 64 * 1024

_DRAIN_SECONDS = 1.0
_MAX_CONNECTIONS = 100
_MAX_IDLE = 20
"""Idle connections that are kept: whenever one is needed, the pool asks each of them whether it is still good."""
_MAX_AT_ONCE = 50
"""Deliveries to one receiver; one that does not answer leaves connections for the others."""
_TURN_WITHIN = 15.0
_DONE_WITHIN = 28.0
"""Seconds for a turn and the attempt: less than the runner gives a delivery, or it would end one that was posted."""
_MAX_ADDRESSES = 4
_MAX_PORT = 65_535
_HTTP_GONE = 410
_HTTP_ASKING_TO_WAIT = (429, 503)
_ABSOLUTE = re.compile(
    r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:[/?#].*)?", re.ASCII | re.IGNORECASE
)
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]|^\s|\s$")
_EXAMPLE = "Use an address like https://agent.example/callback; other characters in a host are written as xn--."

_log = logging.getLogger(__name__)

Address: TypeAlias = IPv4Address | IPv6Address

# ── The channel ───────────────────────────────────────────────────────────────


class WebhookChannel:
    """Posts a closed task's outcome to its `callback_url`.

    Arguments:
        key: what to sign with.
        endpoint_secrets: the Standard Webhooks secrets of endpoints that are
            not to have a derived one; several of one endpoint all sign. A
            secret is also that of the endpoints below, unless a longer one has
            another: `https://agent.example/hooks` covers
            `https://agent.example/hooks/7`.
        allow_private: post to loopback and private addresses, as well.
        clock: the time that is signed; by default this machine's.
        timeout: seconds that a delivery may take, from looking the host up to
            the response's status; less than 28, since the runner ends it then.
            A receiver gets 50 at once, and others that are for it wait for
            their turn before.
        tls: replaces the system's certificate authorities.

    The request carries `X-Awaithumans-Signature`, made with `key`, and the
    headers of Standard Webhooks, made with a secret of the endpoint's own: see
    `standard_secret`. `webhook-id` and the body are equal for every attempt.
    Any status from 200 to 299 means delivered, and no other: redirects are not
    followed. A 410 ends the attempts, a 429 or 503 may name the pause before
    the next.

    The address that is connected to is the one that was checked: it must be
    public, or with `allow_private` also loopback or private; link-local and
    cloud metadata addresses are always refused. Proxies and other settings of
    the environment do not count.

    Connections are kept per event loop and reused; `aclose` closes those of
    the running loop, after which the channel can still be used.
    """

    name = WEBHOOK
    for_agents = True

    def __init__(
        self,
        key: WebhookKey | str,
        *,
        endpoint_secrets: Mapping[str, str | Sequence[str]] | None = None,
        allow_private: bool = False,
        clock: Clock | None = None,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.key = WebhookKey(key) if isinstance(key, str) else key
        self._endpoint_secrets = dict(_read_secrets(url, given) for url, given in (endpoint_secrets or {}).items())
        self._allow_private = allow_private
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._tls = tls
        self._pool = anyio.lowlevel.RunVar["AsyncConnectionPool | None"]("pool", None)
        self._receivers = anyio.lowlevel.RunVar["WeakValueDictionary[bytes, CapacityLimiter] | None"]("receivers", None)

    def check(self, target: str) -> None:
        """Raise `InvalidRoutingError` unless `target` is a usable URL.

        That is: absolute, http or https, with a host written in ASCII, without
        credentials, of at most `MAX_URL_LENGTH` characters.
        """
        try:
            _destination(target)
        except ValueError as fault:
            raise InvalidRoutingError("callback_url", str(fault), hint=_EXAMPLE) from None

    def standard_secret(self, url: str) -> str:
        """Give the secret that the receiver at `url` checks `webhook-signature` with.

        It is the endpoint's: that of the URL without its query. Each scheme,
        host, port and path makes another endpoint. Whoever has the secret can
        forge messages for this endpoint, and for no other. Raises
        `InvalidRoutingError` as `check` does.
        """
        self.check(url)
        return self._secrets(_destination(url))[0]

    async def send(self, notice: Notice) -> None:
        """Post the outcome of a closed task."""
        if not notice.task.closed:
            raise DeliveryError("a webhook tells outcomes, and the task is still open", permanent=True)
        try:
            destination = _destination(notice.target)
        except ValueError as fault:
            raise DeliveryError(f"callback_url {fault}", permanent=True) from None
        async with turn(self._turns_of(destination), self._turn_within(), of="the receiver"):
            await self._deliver(notice, destination)

    async def aclose(self) -> None:
        """Close the running loop's connections; harmless when repeated."""
        if pool := self._pool.get():
            await pool.aclose()

    def _turn_within(self) -> float:
        """Say how many seconds to wait for a turn, so that a whole attempt still fits behind it."""
        return min(_TURN_WITHIN, _DONE_WITHIN - self._timeout)

    def _turns_of(self, to: URL) -> CapacityLimiter:
        """Give what lets `_MAX_AT_ONCE` deliveries go to this receiver."""
        receivers = self._receivers.get()
        if receivers is None:
            receivers = WeakValueDictionary[bytes, CapacityLimiter]()
            self._receivers.set(receivers)
        return receivers.setdefault(to.netloc, CapacityLimiter(_MAX_AT_ONCE))

    async def _deliver(self, notice: Notice, to: URL) -> None:
        async with _delivery_errors(self._timeout) as limit, self._posted(notice, to) as response:
            _log.debug("task %s: HTTP %d", notice.task.id, response.status)
            self._judge(response)
            limit.deadline = math.inf  # delivered: nothing that follows may undo that
            await _drain(response)

    def _posted(self, notice: Notice, to: URL) -> AbstractAsyncContextManager[Response]:
        from httpcore2 import URL

        body = _body(notice.task)
        return self._opened().stream(
            "POST",
            URL(scheme=to.raw_scheme, host=to.raw_host, port=to.port, target=to.raw_path),
            headers=[("Host", to.netloc.decode("ascii")), *self._headers(notice, to, body).items()],
            content=body,
            extensions={"timeout": {"connect": self._timeout}},
        )

    def _headers(self, notice: Notice, to: URL, body: bytes) -> dict[str, str]:
        timestamp = int(self._clock.now().timestamp())
        return {
            "Content-Type": "application/json",
            "User-Agent": "awaithumans",
            "X-Awaithumans-Signature": self.key.sign(body),
            "X-Awaithumans-Task-Id": notice.task.id,
            **standard_headers(self._secrets(to), message_id=notice.id, timestamp=timestamp, body=body),
        }

    def _secrets(self, to: URL) -> Sequence[str]:
        endpoint = _endpoint(to)
        above = [one for one in self._endpoint_secrets if _covers(one, endpoint)]
        return self._endpoint_secrets[max(above, key=len)] if above else self.key.standard_secrets(endpoint)

    def _judge(self, response: Response) -> None:
        status = response.status
        if status // 100 == 2:  # noqa: PLR2004 - the class of success
            return
        pause = retry_after(response.headers, self._clock.now()) if status in _HTTP_ASKING_TO_WAIT else None
        raise DeliveryError(f"HTTP {status}", permanent=status == _HTTP_GONE, retry_after=pause)

    def _opened(self) -> AsyncConnectionPool:
        if pool := self._pool.get():
            return pool
        pool = self._new_pool()
        self._pool.set(pool)
        return pool

    def _new_pool(self) -> AsyncConnectionPool:
        from httpcore2 import AsyncConnectionPool
        from httpx2 import create_ssl_context

        self._tls = self._tls or create_ssl_context(trust_env=False)
        return AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=5.0,
            network_backend=_CheckedNetwork(allow_private=self._allow_private),
        )


def _body(task: Task) -> bytes:
    """Write a closed task's outcome; the same bytes whenever it is asked."""
    return json.dumps(outcome_to_wire(task), separators=(",", ":")).encode()


@asynccontextmanager
async def _delivery_errors(timeout: float) -> AsyncGenerator[anyio.CancelScope]:
    """Bound a delivery in time, and say of every failure that it is one."""
    from httpcore2 import NetworkError, ProtocolError, TimeoutException

    try:
        with anyio.fail_after(timeout) as limit:
            yield limit
    except (TimeoutError, TimeoutException) as error:
        raise DeliveryError(f"no answer within {timeout:g} s") from error
    except (NetworkError, ProtocolError) as error:
        raise DeliveryError(f"{type(error).__name__}: {error}") from error


async def _drain(response: Response) -> None:
    """Read a short response to its end, so that its connection can be reused.

    The status has decided already; what happens to the rest changes nothing.
    """
    from httpcore2 import NetworkError, ProtocolError

    read = 0
    try:
        with anyio.move_on_after(_DRAIN_SECONDS):
            async with aclosing(response.aiter_stream()) as chunks:
                async for chunk in chunks:
                    read += len(chunk)
                    if read > MAX_RESPONSE_BYTES:
                        break
    except (NetworkError, ProtocolError) as error:
        _log.debug("the response was cut off: %s", error)


# ── Where it may go ───────────────────────────────────────────────────────────


def _destination(url: str) -> URL:
    """Read a callback address; the `ValueError` raised says what is wrong."""
    from httpx2 import URL, InvalidURL

    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"is longer than {MAX_URL_LENGTH} characters")
    if _FORBIDDEN.search(url):
        raise ValueError("contains control characters, backslashes or space at an end")
    if not _ABSOLUTE.fullmatch(url):
        raise ValueError("is not http:// or https:// with an ASCII host and without credentials")
    scheme, _, rest = url.partition(":")
    try:
        parsed = URL(f"{scheme.lower()}:{rest}")  # the library drops the port of https, but not that of HTTPS
    except InvalidURL as error:
        raise ValueError(f"is not a valid URL: {error}") from None
    if parsed.port is not None and not 0 < parsed.port <= _MAX_PORT:
        raise ValueError("has a port that does not exist")
    return parsed


def _endpoint(to: URL) -> str:
    """Name the receiver at an address, as the request does: without the query."""
    path, _, _ = to.raw_path.partition(b"?")
    return b"".join([to.raw_scheme, b"://", to.netloc, path]).decode("ascii")


def _covers(above: str, endpoint: str) -> bool:
    return endpoint == above or endpoint.startswith(above.rstrip("/") + "/")


def _read_secrets(url: str, given: str | Sequence[str]) -> tuple[str, tuple[str, ...]]:
    secrets = (given,) if isinstance(given, str) else tuple(given)
    try:
        to = _destination(url)
    except ValueError as fault:
        raise ConfigurationError(f"the endpoint {shown_recipient(f'{WEBHOOK}:{url}')} {fault}", hint=_EXAMPLE) from None
    if to.query or not secrets:
        raise ConfigurationError(f"the endpoint {_endpoint(to)} has a query, or no secret", hint=_EXAMPLE)
    for secret in secrets:
        ensure_standard_secret(secret)
    return _endpoint(to), secrets


class _CheckedNetwork(AsyncNetworkBackend):
    """Opens connections to addresses that may be reached, and to no other."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the library's signature
        socket_options: object = None,  # noqa: ARG002
    ) -> AsyncNetworkStream:
        """Look the host up once and connect to what was found and checked."""
        addresses = await _resolved(host, port)
        permitted = [address for address in addresses if _permitted(address, allow_private=self._allow_private)]
        if not permitted:
            raise DeliveryError(self._refusal(host), permanent=True)
        return await _connected(permitted[:_MAX_ADDRESSES], port, timeout)

    def _refusal(self, host: str) -> str:
        if self._allow_private:
            return f"{host} leads to an address that webhooks never go to"
        return f"{host} does not lead to a public address; WebhookChannel(allow_private=True) permits private ones"


async def _resolved(host: str, port: int) -> list[Address]:
    """Look up every address of a host name or literal, best first."""
    from httpcore2 import ConnectError

    try:
        found = await anyio.getaddrinfo(host, port, type=SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"{host} cannot be resolved: {error}") from error
    return [ip_address(sockaddr[0]) for *_, sockaddr in found]


async def _connected(addresses: Sequence[Address], port: int, timeout: float | None) -> AsyncNetworkStream:
    """Connect to the first address that answers within its share of time."""
    from httpcore2 import AnyIOBackend, ConnectError, ConnectTimeout

    share = timeout / len(addresses) if timeout else None
    *others, last = addresses
    for address in others:
        with suppress(ConnectError, ConnectTimeout):
            return await AnyIOBackend().connect_tcp(str(address), port, timeout=share)
    return await AnyIOBackend().connect_tcp(str(last), port, timeout=share)


def _permitted(address: Address, *, allow_private: bool) -> bool:
    address = _embedded(address) or address
    if _within(address, _NEVER):
        return False
    if _within(address, _PRIVATE):
        return allow_private
    return isinstance(address, IPv4Address) or _within(address, _PUBLIC_IPV6)


def _embedded(address: Address) -> IPv4Address | None:
    """Give the IPv4 address that packets to an IPv6 address end up at."""
    if _within(address, _WITH_IPV4_LAST):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour if isinstance(address, IPv6Address) else None


def _within(address: Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, text.split()))


_PRIVATE = _networks("127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 ::1/128 fc00::/7")
_LINK_LOCAL = _networks("169.254.0.0/16 fe80::/10")
_METADATA = _networks("100.100.100.200/32 168.63.129.16/32 fd00:ec2::/32 fd20:ce::254/128 fd00:42::42/128")
_NOT_UNICAST = _networks("0.0.0.0/8 224.0.0.0/4 240.0.0.0/4 ::/128 ff00::/8")
_SPECIAL_USE = _networks(
    "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24"
    " 2001::/23 2001:db8::/32 3fff::/20"
)
_NEVER = (*_LINK_LOCAL, *_METADATA, *_NOT_UNICAST, *_SPECIAL_USE)
_PUBLIC_IPV6 = _networks("2000::/3")
_WITH_IPV4_LAST = _networks("::ffff:0:0/96 64:ff9b::/96")
