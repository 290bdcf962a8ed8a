"""Webhooks against a real server: what is sent, what counts, where it may go."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from socket import SOCK_STREAM, AddressFamily

import anyio
import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from awaithumans.channels import turns, webhook
from awaithumans.channels.pauses import MAX_RETRY_AFTER_SECONDS
from awaithumans.channels.webhook import _MAX_CONNECTIONS, WebhookChannel
from awaithumans.errors import ConfigurationError, InvalidRoutingError
from awaithumans.protocols import Channel, DeliveryError
from awaithumans.runner import PERFORM_WITHIN
from awaithumans.signing import KeyRing, WebhookKey, verify_signature
from awaithumans.testing.channels import ChannelConformance, make_notice
from awaithumans.testing.tasks import NOON, make_spec, make_task
from awaithumans.types import Actor, Answer, Notice, Task, TaskStatus
from tests.channels.conftest import HOLD, Received, Receiver

pytestmark = pytest.mark.anyio

MANY = _MAX_CONNECTIONS + 10
ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in range(3)]
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
Resolve = Callable[..., None]


class StoppedClock:
    """A clock that shows one moment."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()

    def move_on_after(self, seconds: float | None) -> contextlib.AbstractContextManager[object]:
        return anyio.move_on_after(seconds)


@pytest.fixture
async def channel() -> AsyncIterator[WebhookChannel]:
    channel = WebhookChannel(ROOT, allow_private=True)
    yield channel
    await channel.aclose()


@pytest.fixture
async def public_channel() -> AsyncIterator[WebhookChannel]:
    channel = WebhookChannel(ROOT)
    yield channel
    await channel.aclose()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Give a function that sets what each look-up in turn finds."""

    def set_answers(*answers: list[str]) -> None:
        left = list(answers)

        async def getaddrinfo(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
            found = left.pop(0) if len(left) > 1 else left[0]
            return [(AddressFamily.AF_INET, SOCK_STREAM, 6, "", (address, port)) for address in found]

        monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)

    return set_answers


def closed_notice(target: str, *, task_id: str = "task-1", **fields: object) -> Notice:
    return make_notice("webhook", target, event="closed", task_id=task_id, **fields)


async def failure_of(channel: WebhookChannel, notice: Notice) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel.send(notice)
    return caught.value


class TestConformance(ChannelConformance):
    events = ("closed",)

    @pytest.fixture
    def channel(self, channel: WebhookChannel) -> Channel:
        return channel

    @pytest.fixture
    def target(self, receiver: Receiver) -> str:
        return receiver.url

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        return ["", "agent.example", "ftp://agent.example/", "#channel", "ana@example.com"]

    @pytest.fixture
    def dead_target(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as closed_soon:
            return f"http://127.0.0.1:{closed_soon.getsockname()[1]}/"

    @pytest.fixture
    def arrived(self, receiver: Receiver) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [request.headers["webhook-id"] for request in receiver.received]

        return ids


class TestWhatIsSent:
    async def test_the_body_is_the_formats_to_the_byte(self, channel: WebhookChannel, receiver: Receiver) -> None:
        by = Actor(kind="human", id="ana", auth="host", via="email", email="ana@example.com")
        answer = Answer(by=by, at=NOON, attempt=2, value={"note": "Zoë ✓", "amount": 1.5})
        task = make_task(
            id="t1",
            spec=make_spec(idempotency_key="k1"),
            status=TaskStatus.COMPLETED,
            answers=(answer,),
            attempt=2,
            closed_at=datetime(2026, 1, 5, 14, 0, 0, 120, tzinfo=timezone(timedelta(hours=2))),
        )
        await channel.send(closed_notice(receiver.url, task=task))
        assert receiver.received[0].body == (
            b'{"task_id":"t1","idempotency_key":"k1","status":"completed",'
            b'"response":{"note":"Zo\\u00eb \\u2713","amount":1.5},'
            b'"completed_at":"2026-01-05T12:00:00.000120Z","timed_out_at":null,'
            b'"completed_by_email":"ana@example.com","completed_via_channel":"email","verification_attempt":2}'
        )

    @pytest.mark.parametrize("status", ["timed_out", "cancelled", "verification_exhausted"])
    async def test_without_an_answer_there_are_nulls(
        self, channel: WebhookChannel, receiver: Receiver, status: str
    ) -> None:
        task = make_task(status=TaskStatus(status), closed_at=NOON)
        await channel.send(closed_notice(receiver.url, task=task))
        body = json.loads(receiver.received[0].body)
        assert list(body) == [
            "task_id",
            "idempotency_key",
            "status",
            "response",
            "completed_at",
            "timed_out_at",
            "completed_by_email",
            "completed_via_channel",
            "verification_attempt",
        ]
        assert (body["status"], body["response"], body["completed_at"]) == (status, None, None)
        assert body["timed_out_at"] == ("2026-01-05T12:00:00Z" if status == "timed_out" else None)

    async def test_receivers_of_both_kinds_can_verify_it(self, channel: WebhookChannel, receiver: Receiver) -> None:
        await channel.send(closed_notice(f"{receiver.url}?wf=my+flow&x=1"))
        [request] = receiver.received
        assert (request.method, request.path) == ("POST", "/callback?wf=my+flow&x=1")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-awaithumans-task-id"] == "task-1"
        assert request.headers["webhook-id"] == "task-1-closed"
        signature = request.headers["x-awaithumans-signature"]
        assert verify_signature(body=request.body, signature=signature, key=ROOT)
        assert Webhook(channel.standard_secret(receiver.url)).verify(request.body, request.headers)

    async def test_a_retry_has_the_same_body_and_id_and_its_own_time(self, receiver: Receiver) -> None:
        clock = StoppedClock()
        channel = WebhookChannel(ROOT, allow_private=True, clock=clock)
        receiver.will_reply(500)
        assert str(await failure_of(channel, closed_notice(receiver.url))) == "HTTP 500"
        clock.moment += timedelta(minutes=1)
        await channel.send(closed_notice(receiver.url, attempt=2))
        await channel.aclose()
        first, second = receiver.received
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.headers["x-awaithumans-signature"] == second.headers["x-awaithumans-signature"]
        assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 60

    async def test_an_open_task_is_never_told(self, channel: WebhookChannel, receiver: Receiver) -> None:
        failure = await failure_of(channel, make_notice("webhook", receiver.url, event="opened"))
        assert failure.permanent
        assert receiver.received == []

    async def test_the_log_has_the_task_and_neither_query_nor_body(
        self, channel: WebhookChannel, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="awaithumans")
        await channel.send(closed_notice(f"{receiver.url}?token=hush"))
        said = [record.getMessage() for record in caplog.records if record.name == "awaithumans.channels.webhook"]
        assert any("task-1" in line for line in said)
        assert not any("hush" in line or "approve" in line for line in said)

    async def test_the_host_header_of_an_ipv6_address_has_brackets(
        self, channel: WebhookChannel, receiver: Receiver
    ) -> None:
        await channel.send(closed_notice(f"http://[::ffff:127.0.0.1]:{receiver.port}/"))
        assert receiver.received[0].headers["host"] == f"[::ffff:127.0.0.1]:{receiver.port}"

    def test_a_bad_key_is_refused_at_once(self) -> None:
        with pytest.raises(ConfigurationError):
            WebhookChannel("not a key")

    def test_the_engine_can_see_that_the_key_is_its_own_secret(self) -> None:
        assert KeyRing(ROOT).shares_secret_with(WebhookChannel(ROOT).key)


class TestSecretsOfEndpoints:
    """What is sent is checked as receivers do, by the library for that."""

    async def test_a_receiver_cannot_check_what_is_for_another(
        self, channel: WebhookChannel, receiver: Receiver
    ) -> None:
        ours, theirs = f"http://127.0.0.1:{receiver.port}/ours", f"http://127.0.0.1:{receiver.port}/theirs"
        await channel.send(closed_notice(f"{ours}?flow=1"))
        [request] = receiver.received
        assert accepts(channel.standard_secret(ours), request)
        assert not accepts(channel.standard_secret(theirs), request)

    @pytest.mark.parametrize(
        ("url", "endpoint"),
        [
            ("https://agent.example/hooks", "https://agent.example/hooks"),
            ("HTTPS://Agent.Example:443/hooks?flow=1#top", "https://agent.example/hooks"),
            ("https://agent.example/x/../hooks", "https://agent.example/hooks"),
            ("http://agent.example/hooks", "http://agent.example/hooks"),
            ("https://agent.example:8443/hooks", "https://agent.example:8443/hooks"),
            ("https://agent.example/hooks/", "https://agent.example/hooks/"),
            ("https://agent.example/Hooks", "https://agent.example/Hooks"),
            ("https://agent.example/ü", "https://agent.example/%C3%BC"),
            ("https://agent.example?flow=1", "https://agent.example/"),
            ("http://[::1]:8443/hooks", "http://[::1]:8443/hooks"),
        ],
    )
    def test_an_endpoint_is_scheme_host_port_and_path(self, url: str, endpoint: str) -> None:
        assert WebhookChannel(ROOT).standard_secret(url) == WebhookKey(ROOT).standard_secrets(endpoint)[0]

    @pytest.mark.parametrize(
        ("url", "secret"),
        [
            ("https://agent.example/", SECRETS[0]),
            ("https://agent.example/elsewhere", SECRETS[0]),
            ("https://agent.example/hooks", SECRETS[1]),
            ("https://agent.example/hooks/7?flow=1", SECRETS[1]),
            ("https://agent.example/hooksters", SECRETS[0]),
        ],
    )
    def test_the_host_may_give_secrets_and_the_longest_endpoint_counts(self, url: str, secret: str) -> None:
        given = {"https://agent.example": SECRETS[0], "https://AGENT.example/hooks": [SECRETS[1], SECRETS[2]]}
        channel = WebhookChannel(ROOT, endpoint_secrets=given)
        assert channel.standard_secret(url) == secret

    def test_of_endpoints_without_a_given_secret_it_is_derived(self) -> None:
        channel = WebhookChannel(ROOT, endpoint_secrets={"https://agent.example": SECRETS[0]})
        url = "https://agent.example.evil.example/"
        assert channel.standard_secret(url) == WebhookKey(ROOT).standard_secrets(url)[0]

    @pytest.mark.parametrize("held", SECRETS[:2])
    async def test_while_a_secret_is_changed_receivers_with_either_accept(self, receiver: Receiver, held: str) -> None:
        given = {receiver.url: SECRETS[:2]}
        channel = WebhookChannel(ROOT, allow_private=True, endpoint_secrets=given)
        await channel.send(closed_notice(receiver.url))
        await channel.aclose()
        assert accepts(held, receiver.received[0])
        assert not accepts(SECRETS[2], receiver.received[0])

    @pytest.mark.parametrize(
        "given",
        [
            {"agent.example": SECRETS[0]},
            {"https://ana:pw@agent.example": SECRETS[0]},
            {"https://agent.example/hooks?flow=1": SECRETS[0]},
            {"https://agent.example": []},
            {"https://agent.example": "hush"},
            {"https://agent.example": [SECRETS[0], "whsec_"]},
        ],
    )
    def test_what_is_no_endpoint_or_no_secret_is_refused_at_once(self, given: dict[str, str | Sequence[str]]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            WebhookChannel(ROOT, endpoint_secrets=given)
        assert "pw" not in str(caught.value) or "agent.example" not in given
        assert "pw" not in str(caught.value)
        assert SECRETS[0] not in str(caught.value)

    def test_of_what_is_no_address_there_is_no_secret(self) -> None:
        with pytest.raises(InvalidRoutingError):
            WebhookChannel(ROOT).standard_secret("agent.example/hooks")


def accepts(secret: str, request: Received) -> bool:
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


class TestWhatCountsAsDelivered:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    async def test_any_2xx(self, channel: WebhookChannel, receiver: Receiver, status: int) -> None:
        receiver.will_reply(status)
        await channel.send(closed_notice(receiver.url))

    @pytest.mark.parametrize("status", [304, 400, 401, 404, 408, 429, 500, 502, 503])
    async def test_no_other_status(self, channel: WebhookChannel, receiver: Receiver, status: int) -> None:
        receiver.will_reply(status)
        failure = await failure_of(channel, closed_notice(receiver.url))
        assert str(failure) == f"HTTP {status}"
        assert not failure.permanent

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_to_a_login_page_is_a_failure_and_not_followed(
        self, channel: WebhookChannel, receiver: Receiver, status: int
    ) -> None:
        receiver.will_reply(status, f"Location: http://127.0.0.1:{receiver.port}/login")
        failure = await failure_of(channel, closed_notice(receiver.url))
        assert str(failure) == f"HTTP {status}"
        assert [request.path for request in receiver.received] == ["/callback"]

    async def test_gone_is_for_good(self, channel: WebhookChannel, receiver: Receiver) -> None:
        receiver.will_reply(410)
        assert (await failure_of(channel, closed_notice(receiver.url))).permanent

    @pytest.mark.parametrize(
        ("status", "value", "expected"),
        [
            (503, "120", 120),
            (429, "0", 0),
            (429, " 7 ", 7),
            (503, "Mon, 05 Jan 2026 12:00:30 GMT", 30),
            (503, "Mon, 05 Jan 2026 11:00:00 GMT", 0),
            (503, "Mon, 05 Jan 2099 12:00:00 GMT", MAX_RETRY_AFTER_SECONDS),
            (503, "9" * 400, MAX_RETRY_AFTER_SECONDS),
            (503, "-5", None),
            (503, "1.5", None),
            (503, "soon", None),
            (503, "\xb2", None),
            (503, "", None),
            (503, "Mon, 99 Jan 2026 12:00:00 GMT", None),
            (503, "Mon, 05 Jan 99999999999999999999 12:00:00 GMT", None),
            (500, "120", None),
        ],
    )
    async def test_retry_after_is_honoured_within_bounds(
        self, receiver: Receiver, status: int, value: str, expected: float | None
    ) -> None:
        channel = WebhookChannel(ROOT, allow_private=True, clock=StoppedClock())
        reply = f"HTTP/1.1 {status} Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        receiver.replies.append((reply.encode("latin-1"),))
        assert (await failure_of(channel, closed_notice(receiver.url))).retry_after == expected
        await channel.aclose()

    @pytest.mark.parametrize("reply", [(HOLD,), (OK_HEAD, HOLD)])
    async def test_a_server_that_does_not_answer_is_given_up(
        self, receiver: Receiver, reply: tuple[bytes, ...]
    ) -> None:
        channel = WebhookChannel(ROOT, allow_private=True, timeout=0.1)
        receiver.replies.append(reply)
        failure = await failure_of(channel, closed_notice(receiver.url))
        assert str(failure) == "no answer within 0.1 s"
        assert not failure.permanent
        channel._timeout = 10
        receiver.replies.clear()
        await channel.send(closed_notice(receiver.url))
        await channel.aclose()

    async def test_a_receiver_that_does_not_answer_leaves_connections_for_the_others(
        self, channel: WebhookChannel, receiver: Receiver
    ) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=MANY) as dead:
            async with anyio.create_task_group() as group:
                for number in range(MANY):
                    notice = closed_notice(f"http://127.0.0.1:{dead.getsockname()[1]}/", task_id=f"task-{number}")
                    group.start_soon(channel.send, notice)
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(channel._timeout / 2):
                    await channel.send(closed_notice(receiver.url))
                group.cancel_scope.cancel()
        assert len(receiver.received) == 1

    async def test_whoever_gets_no_turn_in_time_has_posted_nothing_and_comes_again_soon(
        self, channel: WebhookChannel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "_MAX_AT_ONCE", 1)
        monkeypatch.setattr(turns, "LEAST_PATIENCE", 0.1)
        monkeypatch.setattr(webhook, "_TURN_WITHIN", 0.1)
        receiver.replies.append((HOLD,))
        async with anyio.create_task_group() as group:
            group.start_soon(channel.send, closed_notice(receiver.url))
            with anyio.fail_after(20):
                while not receiver.received:
                    await anyio.sleep(0.01)
            failure = await failure_of(channel, closed_notice(receiver.url))
            group.cancel_scope.cancel()
        assert (failure.permanent, failure.retry_after) == (False, turns.BUSY_SECONDS)
        assert len(receiver.received) == 1
        receiver.replies.clear()
        await channel.send(closed_notice(receiver.url))

    @pytest.mark.parametrize("timeout", [1, 10, 20, 27])
    async def test_a_turn_and_an_attempt_take_less_than_the_runner_gives(self, timeout: float) -> None:
        channel = WebhookChannel(ROOT, timeout=timeout)
        within = max(channel._turn_within(), turns.LEAST_PATIENCE)
        assert within + timeout + webhook._DRAIN_SECONDS < PERFORM_WITHIN.total_seconds()

    @pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000])
    async def test_a_server_that_talks_nonsense_is_a_failure(
        self, channel: WebhookChannel, receiver: Receiver, reply: bytes
    ) -> None:
        receiver.replies.append((reply, HOLD))
        receiver.over.set()
        assert not (await failure_of(channel, closed_notice(receiver.url))).permanent

    async def test_a_name_that_does_not_resolve_is_retried(
        self, public_channel: WebhookChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def getaddrinfo(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
        failure = await failure_of(public_channel, closed_notice("https://agent.example/?token=hush"))
        assert not failure.permanent
        assert "agent.example cannot be resolved" in str(failure)
        assert "hush" not in str(failure)

    @pytest.mark.parametrize("host", ["a..example", f"{'a' * 64}.example", ".example"])
    async def test_a_name_that_cannot_exist_is_a_failure(self, public_channel: WebhookChannel, host: str) -> None:
        await failure_of(public_channel, closed_notice(f"http://{host}/"))

    async def test_a_stuck_or_cut_body_after_a_2xx_changes_nothing(
        self, channel: WebhookChannel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook, "_DRAIN_SECONDS", 0.05)
        receiver.replies.append((OK_HEAD + b"Content-Length: 10\r\n\r\nhalf", HOLD))
        await channel.send(closed_notice(receiver.url))
        receiver.over.set()
        receiver.replies.append((OK_HEAD + b"Content-Length: 10\r\n\r\nhalf", HOLD))
        await channel.send(closed_notice(receiver.url))

    async def test_an_endless_body_is_not_read_to_its_end(self, channel: WebhookChannel, receiver: Receiver) -> None:
        chunk = b"x" * 65_536
        receiver.replies.append((OK_HEAD + b"Content-Length: 1073741824\r\n\r\n", *[chunk] * 1_000))
        await channel.send(closed_notice(receiver.url))
        assert receiver.bytes_sent < 1_000 * len(chunk)


class TestConnections:
    async def test_one_is_reused(self, channel: WebhookChannel, receiver: Receiver) -> None:
        chunked = OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        receiver.replies.append((chunked,))
        for number in range(3):
            await channel.send(closed_notice(receiver.url, task_id=f"task-{number}"))
        assert len({request.client_port for request in receiver.received}) == 1

    async def test_cookies_are_not_kept(self, channel: WebhookChannel, receiver: Receiver) -> None:
        receiver.will_reply(200, "Set-Cookie: session=1")
        await channel.send(closed_notice(receiver.url))
        await channel.send(closed_notice(receiver.url))
        assert "cookie" not in receiver.received[1].headers

    async def test_it_can_be_used_after_closing(self, channel: WebhookChannel, receiver: Receiver) -> None:
        await channel.aclose()
        await channel.send(closed_notice(receiver.url))
        await channel.aclose()
        await channel.aclose()
        await channel.send(closed_notice(receiver.url))
        assert len({request.client_port for request in receiver.received}) == 2

    async def test_a_proxy_of_the_environment_is_not_used(
        self, channel: WebhookChannel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
        await channel.send(closed_notice(receiver.url))
        assert len(receiver.received) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_channel_serves_several_event_loops(receiver: Receiver, backend: str) -> None:
    channel = WebhookChannel(ROOT, allow_private=True)

    async def deliver() -> None:
        await channel.send(closed_notice(receiver.url))
        await channel.send(closed_notice(receiver.url))
        await channel.aclose()

    for _ in range(2):
        anyio.run(deliver, backend=backend)
    assert len({request.client_port for request in receiver.received}) == 2


PUBLIC = [
    "8.8.8.8",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
]
FORBIDDEN = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "fec0::1",
    "100::1",
    "4000::1",
]


class TestWhereItMayGo:
    @pytest.mark.parametrize("address", PUBLIC)
    def test_public_addresses_always(self, address: str) -> None:
        assert webhook._permitted(ip_address(address), allow_private=False)
        assert webhook._permitted(ip_address(address), allow_private=True)

    @pytest.mark.parametrize("address", PRIVATE)
    def test_private_addresses_where_allowed(self, address: str) -> None:
        assert not webhook._permitted(ip_address(address), allow_private=False)
        assert webhook._permitted(ip_address(address), allow_private=True)

    @pytest.mark.parametrize("address", FORBIDDEN)
    def test_metadata_and_the_like_never(self, address: str) -> None:
        assert not webhook._permitted(ip_address(address), allow_private=False)
        assert not webhook._permitted(ip_address(address), allow_private=True)

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "017700000001",
            "127.1",
            "0",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::1]",
            "[::]",
        ],
    )
    async def test_loopback_is_refused_however_it_is_written(
        self, public_channel: WebhookChannel, receiver: Receiver, host: str
    ) -> None:
        failure = await failure_of(public_channel, closed_notice(f"http://{host}:{receiver.port}/"))
        assert failure.permanent
        assert "allow_private" in str(failure)
        assert receiver.received == []

    async def test_metadata_is_refused_even_where_private_is_allowed(self, channel: WebhookChannel) -> None:
        failure = await failure_of(channel, closed_notice("http://169.254.169.254/latest/meta-data"))
        assert failure.permanent
        assert "never" in str(failure)

    @pytest.mark.parametrize("name", ["agent.example", "agent.example.", "AGENT"])
    async def test_a_name_that_leads_to_loopback_is_refused(
        self, public_channel: WebhookChannel, receiver: Receiver, resolve: Resolve, name: str
    ) -> None:
        resolve(["127.0.0.1", "::1"])
        failure = await failure_of(public_channel, closed_notice(f"http://{name}:{receiver.port}/"))
        assert failure.permanent
        assert receiver.received == []

    async def test_a_name_that_changes_after_the_check_wins_nothing(
        self, public_channel: WebhookChannel, receiver: Receiver, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connected: list[str] = []

        async def connect_tcp(_: object, host: str, *__: object, **___: object) -> None:
            connected.append(host)
            raise httpcore2.ConnectError("nobody there")

        monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
        resolve(["8.8.8.8"], ["127.0.0.1"])
        failure = await failure_of(public_channel, closed_notice(f"http://agent.example:{receiver.port}/"))
        assert not failure.permanent
        assert connected == ["8.8.8.8"]

    async def test_of_several_addresses_only_permitted_ones_are_tried(
        self, channel: WebhookChannel, receiver: Receiver, resolve: Resolve
    ) -> None:
        resolve(["169.254.169.254", "127.0.0.1"])
        await channel.send(closed_notice(f"http://agent.example:{receiver.port}/"))
        assert receiver.received[0].headers["host"] == f"agent.example:{receiver.port}"

    async def test_the_next_address_is_tried_when_one_does_not_answer(
        self, channel: WebhookChannel, receiver: Receiver, resolve: Resolve
    ) -> None:
        resolve(["127.0.0.2", "127.0.0.1"])
        await channel.send(closed_notice(f"http://agent.example:{receiver.port}/"))
        assert len(receiver.received) == 1

    async def test_an_address_that_is_no_longer_in_the_grammar_is_refused_for_good(
        self, channel: WebhookChannel
    ) -> None:
        assert (await failure_of(channel, closed_notice("ftp://agent.example/"))).permanent


class TestTls:
    """A checked address does not loosen the check of the certificate's name."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        return self_signed("agent.example", tmp_path / "agent.pem")

    @pytest.fixture
    def served(
        self, certificate: Path, secure_receiver: Callable[[ssl.SSLContext], Receiver], resolve: Resolve
    ) -> Receiver:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate)
        resolve(["127.0.0.1"])
        return secure_receiver(server)

    @pytest.fixture
    async def trusting(self, certificate: Path) -> AsyncIterator[WebhookChannel]:
        trust = ssl.create_default_context(cafile=certificate)
        channel = WebhookChannel(ROOT, allow_private=True, tls=trust)
        yield channel
        await channel.aclose()

    async def test_the_host_names_certificate_is_accepted(self, trusting: WebhookChannel, served: Receiver) -> None:
        await trusting.send(closed_notice(f"https://agent.example:{served.port}/"))
        assert len(served.received) == 1

    async def test_another_names_certificate_is_not(self, trusting: WebhookChannel, served: Receiver) -> None:
        failure = await failure_of(trusting, closed_notice(f"https://other.example:{served.port}/"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(failure)
        assert served.received == []

    async def test_an_unknown_authoritys_certificate_is_not(self, channel: WebhookChannel, served: Receiver) -> None:
        failure = await failure_of(channel, closed_notice(f"https://agent.example:{served.port}/"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(failure)


def self_signed(host: str, path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


class TestGrammar:
    @pytest.mark.parametrize(
        "target",
        [
            "https://agent.example",
            "HTTPS://Agent.Example:8443/callback?wf=a b&x=é#part",
            "http://my_service:8000/",
            "http://xn--9ca.example/",
            "http://[2606:4700::1111]:80/",
            "http://127.0.0.1/",
            "http://agent.example./",
            "http://agent.example?x=@:/",
        ],
    )
    def test_addresses_it_takes(self, target: str) -> None:
        WebhookChannel(ROOT).check(target)

    @pytest.mark.parametrize(
        "target",
        [
            "",
            "agent.example/callback",
            "//agent.example/",
            "https:agent.example",
            "https:///callback",
            "https://:443/",
            "https://ana:pw@agent.example/",
            "https://token@agent.example/",
            "https://agent.example\\@127.0.0.1/",
            "https://agent.example\r\nX-Evil: 1/",
            "https://agent.example/\x00",
            "https://agent.example/\n",
            "https://agent.example/\x7f",
            "https://agent.example/\ud800",
            " https://agent.example/",
            "https://agent.example/ ",
            "https://é.example/",
            "https://１２７.0.0.1/",
            "https://agent。example/",
            "https://agent.example%2f/",
            "https://[::1/",
            "https://0177.0.0.1/",
            "https://[1:2]/",
            "https://[fe80::1%25eth0]/",
            "https://agent.example:0/",
            "https://agent.example:65536/",
            "https://agent.example:port/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            f"https://agent.example/{'a' * 2_048}",
            f"https://{'a' * 254}/",
        ],
    )
    def test_addresses_it_refuses(self, target: str) -> None:
        with pytest.raises(InvalidRoutingError) as caught:
            WebhookChannel(ROOT).check(target)
        assert "callback_url" in caught.value.fields


def test_the_body_does_not_depend_on_the_attempt_or_later_bookkeeping() -> None:
    """Collecting the outcome changes the task, and not what was decided."""
    task: Task = closed_notice("https://agent.example/").task
    collected = replace(task, version=9, collected_at=NOON, changed_at=NOON + timedelta(hours=1))
    assert webhook._body(task) == webhook._body(collected)
