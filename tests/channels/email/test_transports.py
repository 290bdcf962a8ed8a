"""Files, an HTTP API, and a function of the host's."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from awaithumans.channels.email import EmailChannel, Files, HttpApi, Sender
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import DeliveryError
from awaithumans.testing.channels import ChannelConformance
from tests.channels.conftest import HOLD, Receiver
from tests.channels.email.mail import Inbox, parsed, told

pytestmark = pytest.mark.anyio

EVENTS = ("opened", "reminder", "claimed", "released", "reassigned", "rejected", "closed")


# ── Files ─────────────────────────────────────────────────────────────────────


class TestFiles(ChannelConformance):
    events = EVENTS

    @pytest.fixture
    def channel(self, tmp_path: Path) -> EmailChannel:
        return EmailChannel(Sender(address="approvals@example.com", transport=Files(tmp_path / "new" / "mails")))

    @pytest.fixture
    def target(self) -> str:
        return "ana@example.com"

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [
                str(parsed(path.read_bytes())["Message-ID"]) for path in sorted((tmp_path / "new/mails").glob("*.eml"))
            ]

        return ids


async def test_what_is_sent_again_replaces_the_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    channel = EmailChannel(Sender(address="approvals@example.com", transport=Files(tmp_path)))
    for attempt in (1, 2):
        await channel.send(told(id="../../etc/passwd", attempt=attempt))
    assert [path.name async for path in anyio.Path(tmp_path).iterdir()] == ["------etc-passwd.eml"]


# ── The host's own ────────────────────────────────────────────────────────────


class TestHostsFunction(ChannelConformance):
    events = EVENTS

    @pytest.fixture
    def channel(self, inbox: Inbox) -> EmailChannel:
        return inbox.channel()

    @pytest.fixture
    def target(self) -> str:
        return "ana@example.com"

    @pytest.fixture
    def arrived(self, inbox: Inbox) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [str(mail["Message-ID"]) for mail in inbox.mails]

        return ids


async def test_a_function_of_the_hosts_gets_the_mail_and_its_envelope(inbox: Inbox) -> None:
    await inbox.channel().send(told(id="a" * 32))
    (envelope,) = inbox.envelopes
    assert (envelope.id, envelope.sender, envelope.recipient) == ("a" * 32, "approvals@example.com", "ana@example.com")


# ── An HTTP API ───────────────────────────────────────────────────────────────


@asynccontextmanager
async def posting(url: str, **options: Any) -> AsyncIterator[EmailChannel]:
    sender = Sender(address="approvals@example.com", name="Zoë", transport=HttpApi(url, "re_secret", **options))
    channel = EmailChannel(sender)
    try:
        yield channel
    finally:
        await channel.aclose()


async def refusal(url: str, **options: Any) -> DeliveryError:
    async with posting(url, **options) as channel:
        with pytest.raises(DeliveryError) as caught:
            await channel.send(told())
        return caught.value


class TestHttpApi(ChannelConformance):
    events = EVENTS

    @pytest.fixture
    async def channel(self, receiver: Receiver) -> AsyncIterator[EmailChannel]:
        async with posting(receiver.url) as channel:
            yield channel

    @pytest.fixture
    def target(self) -> str:
        return "ana@example.com"

    @pytest.fixture
    def dead_target(self, receiver: Receiver) -> str:
        receiver.will_reply(422, body=b'{"name": "validation_error"}')
        return "nobody@example.com"

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [one.headers["idempotency-key"] for one in receiver.received]

        return ids


async def test_the_api_gets_the_whole_mail(receiver: Receiver) -> None:
    async with posting(receiver.url) as channel:
        await channel.send(told(id="a" * 32, receipt="<first@example.com>"))
    (request,) = receiver.received
    body = json.loads(request.body)
    assert (request.headers["authorization"], request.headers["idempotency-key"]) == ("Bearer re_secret", "a" * 32)
    assert (body["from"], body["to"]) == ("Zoë <approvals@example.com>", ["ana@example.com"])
    assert body["subject"] == "Re: Approve the refund?"
    assert "You are asked to decide." in body["text"]
    assert "You are asked to decide." in body["html"]
    assert body["headers"] == {
        "Message-ID": f"<{'a' * 32}@example.com>",
        "In-Reply-To": "<first@example.com>",
        "References": "<first@example.com>",
        "Auto-Submitted": "auto-generated",
    }


async def test_a_retry_posts_the_same_bytes(receiver: Receiver) -> None:
    """An API refuses a key that comes again with another body."""
    async with posting(receiver.url) as channel:
        for attempt in (1, 2):
            await channel.send(told(attempt=attempt))
    first, second = receiver.received
    assert first.body == second.body


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "pause"),
    [
        (400, [], True, None),
        (422, [], True, None),
        (401, [], False, None),
        (403, [], False, None),
        (404, [], False, None),
        (302, ["Location: /login"], False, None),
        (409, [], False, None),
        (429, ["Retry-After: 7"], False, 7),
        (503, ["Retry-After: 120"], False, 120),
        (500, ["Retry-After: 9"], False, None),
        (502, [], False, None),
    ],
)
async def test_a_status_says_whether_to_try_again(
    receiver: Receiver, status: int, headers: list[str], *, permanent: bool, pause: float | None
) -> None:
    receiver.will_reply(status, *headers, body=b'{"message": "why"}')
    error = await refusal(receiver.url)
    assert (error.permanent, error.retry_after) == (permanent, pause)
    assert f"HTTP {status}" in str(error)
    assert "re_secret" not in str(error)


@pytest.mark.parametrize(("status", "name"), [(409, "invalid_idempotent_request"), (422, "idempotency_key_reused")])
async def test_a_key_that_the_api_has_had_means_that_the_mail_was_sent(
    receiver: Receiver, status: int, name: str
) -> None:
    """The task was changed between the attempts, so the mail is another."""
    receiver.will_reply(status, body=json.dumps({"name": name}).encode())
    async with posting(receiver.url) as channel:
        assert await channel.send(told(attempt=2))


async def test_an_api_that_falls_silent_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.replies.append((HOLD,))
    assert not (await refusal(receiver.url, timeout=0.3)).permanent


async def test_an_api_that_cuts_the_connection_is_tried_again(receiver: Receiver) -> None:
    receiver.replies.append((b"HTTP/1.1 200 OK\r\nContent-Le",))
    receiver.replies.append((HOLD,))
    assert not (await refusal(receiver.url, timeout=0.5)).permanent


async def test_an_api_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not (await refusal(f"http://127.0.0.1:{port}/emails")).permanent


@pytest.mark.parametrize(("url", "key"), [("api.example/emails", "k"), ("https://api.example", "k\r\nX: y")])
def test_what_is_no_api_is_refused_at_once(url: str, key: str) -> None:
    with pytest.raises(ConfigurationError):
        HttpApi(url, key)


def test_the_key_is_not_sent_where_others_on_the_way_could_read_it() -> None:
    with pytest.raises(ConfigurationError, match="no URL that a key may be sent to"):
        HttpApi("http://api.example/emails", "k")
