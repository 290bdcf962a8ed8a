"""Sending through a provider's HTTP API."""

from __future__ import annotations

import ssl
from email.message import EmailMessage
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from awaithumans.channels.email.transports import Envelope, quoted
from awaithumans.channels.pauses import retry_after
from awaithumans.clock import SystemClock
from awaithumans.errors import ConfigurationError
from awaithumans.origins import is_private
from awaithumans.protocols import DeliveryError

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

_OWN_FIELDS = {"from", "to", "subject", "reply-to", "date", "mime-version", "content-type", "content-transfer-encoding"}
_SENT_BEFORE = (b"invalid_idempotent_request", b"idempotency_key_reused")
_KEY_USED = {409, 422}
_REFUSED_FOR_GOOD = {400, 413, 422}
_ASKING_TO_WAIT = {429, 503}


class HttpApi:
    """Posts mails to an HTTP API that is shaped like Resend's.

    Arguments:
        url: where mails are posted, such as `https://api.resend.com/emails`;
            http is for this machine only.
        key: goes along as `Authorization: Bearer <key>`.
        timeout: seconds that a delivery may take.
        tls: replaces the system's certificate authorities.

    The body is JSON with `from`, `to`, `subject`, `text`, `html`, `reply_to`
    and `headers`. `Idempotency-Key` is equal for every attempt at one mail, and
    the API's word that it has had this key before means delivered.

    Any status from 200 to 299 means delivered; 400, 413 and 422 fail for good,
    all else is tried again, and a 429 or 503 may name the pause before that.
    Redirects are not followed, and settings of the environment do not count.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        if not is_private(url):
            raise ConfigurationError(
                f"{url[:200]!r} is no URL that a key may be sent to",
                hint="Write it with https://; http:// is for an API on this machine, such as http://localhost:8025/emails.",
            )
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("the API's key has characters that no header can carry")
        self._url = url
        self._key = key
        self._timeout = timeout
        self._tls = tls
        self._client = anyio.lowlevel.RunVar["AsyncClient | None"]("client", None)

    def __repr__(self) -> str:
        return f"HttpApi({self._url!r})"

    async def __call__(self, message: EmailMessage, envelope: Envelope, /) -> None:
        """Post the mail."""
        from httpx2 import HTTPError

        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": envelope.id}
        try:
            with anyio.fail_after(self._timeout):
                response = await self._opened().post(self._url, json=_body(message, envelope), headers=headers)
        except TimeoutError as error:
            raise DeliveryError(f"the mail API did not answer within {self._timeout:g} s") from error
        except HTTPError as error:
            raise DeliveryError(f"{type(error).__name__} at the mail API") from error
        _judge(response)

    async def aclose(self) -> None:
        """Close the running loop's connections; harmless when repeated."""
        if client := self._client.get():
            self._client.set(None)
            await client.aclose()

    def _opened(self) -> AsyncClient:
        if client := self._client.get():
            return client
        from httpx2 import AsyncClient, create_ssl_context

        self._tls = self._tls or create_ssl_context(trust_env=False)
        client = AsyncClient(
            verify=self._tls, timeout=self._timeout, trust_env=False, headers={"User-Agent": "awaithumans"}
        )
        self._client.set(client)
        return client


def _body(message: EmailMessage, envelope: Envelope) -> dict[str, object]:
    """Write a mail as the API takes it; equal whenever the mail is."""
    body: dict[str, object] = {
        "from": str(message["From"]),
        "to": [envelope.recipient],
        "subject": str(message["Subject"]),
        "headers": {name: str(value) for name, value in message.items() if name.lower() not in _OWN_FIELDS},
    }
    if reply_to := message["Reply-To"]:
        body["reply_to"] = str(reply_to)
    return body | _texts(message)


def _texts(message: EmailMessage) -> dict[str, object]:
    parts = {"text": message.get_body(["plain"]), "html": message.get_body(["html"])}
    return {name: part.get_content() for name, part in parts.items() if isinstance(part, EmailMessage)}


def _judge(response: Response) -> None:
    status = response.status_code
    if response.is_success or (status in _KEY_USED and any(name in response.content for name in _SENT_BEFORE)):
        return
    pause = retry_after(response.headers.raw, SystemClock().now()) if status in _ASKING_TO_WAIT else None
    raise DeliveryError(
        f"mail API: HTTP {status} {quoted(response.text)}".rstrip(),
        permanent=status in _REFUSED_FOR_GOOD,
        retry_after=pause,
    )
