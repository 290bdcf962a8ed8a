"""SMTP against a real server: encryption, log-in, reuse, and everything that goes wrong."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from awaithumans.channels import turns
from awaithumans.channels.email import EmailChannel, Sender, Smtp, smtp
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import DeliveryError
from awaithumans.testing.channels import ChannelConformance
from tests.channels.email.mail import CUT, HANG, LINK, Authority, Server, parsed, smtp_server, told

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio: aiosmtplib knows nothing else."""
    return "asyncio"


@asynccontextmanager
async def sending(port: int, **options: Any) -> AsyncIterator[EmailChannel]:
    given = {"security": "none", "timeout": 5, **options}
    channel = EmailChannel(Sender(address="approvals@example.com", transport=Smtp("127.0.0.1", port, **given)))
    try:
        yield channel
    finally:
        await channel.aclose()


async def refusal(server: Server, **options: Any) -> DeliveryError:
    async with sending(server.port, **options) as channel:
        with pytest.raises(DeliveryError) as caught:
            await channel.send(told())
        return caught.value


class TestSmtp(ChannelConformance):
    events = ("opened", "reminder", "claimed", "released", "reassigned", "rejected", "closed")

    @pytest.fixture
    async def channel(self, server: Server) -> AsyncIterator[EmailChannel]:
        async with sending(server.port) as channel:
            yield channel

    @pytest.fixture
    def target(self) -> str:
        return "ana@example.com"

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        return ["", "ana", "a@b\r\nBcc: c@d", "Ana <ana@example.com>", "zoë@example.com", f"{'a' * 65}@example.com"]

    @pytest.fixture
    def bad_identities(self) -> Sequence[str | None]:
        return ["acme", "", "ACME"]

    @pytest.fixture
    def dead_target(self, server: Server) -> str:
        server.will_say("RCPT", "550 5.1.1 nobody here")
        return "nobody@example.com"

    @pytest.fixture
    def arrived(self, server: Server) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [str(parsed(raw)["Message-ID"]) for raw in server.mails]

        return ids


# ── Encryption and log-in ─────────────────────────────────────────────────────


async def test_with_starttls_it_logs_in_once_the_line_is_encrypted(authority: Authority) -> None:
    with smtp_server(starttls=authority.server()) as server:
        options = {"security": "starttls", "username": "acme", "password": "secret", "tls": authority.client()}
        async with sending(server.port, **options) as channel:
            await channel.send(told())
        assert (server.encrypted, server.users) == ([True], ["acme"])


async def test_with_tls_the_line_is_encrypted_from_the_start(authority: Authority) -> None:
    with smtp_server(tls=authority.server()) as server:
        async with sending(server.port, security="tls", tls=authority.client()) as channel:
            await channel.send(told())
        assert server.encrypted == [True]


async def test_a_wrong_password_is_tried_again_and_not_told(authority: Authority) -> None:
    """Somebody will correct it; that takes less than three days."""
    with smtp_server(starttls=authority.server()) as server:
        options = {"security": "starttls", "username": "acme", "password": "hunter2", "tls": authority.client()}
        error = await refusal(server, **options)
    assert not error.permanent
    assert "535" in str(error)
    assert "hunter2" not in str(error)


async def test_nothing_is_sent_to_a_server_that_does_not_encrypt(server: Server) -> None:
    error = await refusal(server, security="starttls", username="acme", password="secret")
    assert not error.permanent
    assert server.mails == []


async def test_nothing_is_sent_to_a_server_with_a_strangers_certificate(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="mail.log")
    with smtp_server(starttls=authority.server()) as server:
        error = await refusal(server, security="starttls", tls=Authority().client())
        assert not error.permanent
        assert server.mails == []


@pytest.mark.parametrize("half", [{"username": "acme"}, {"password": "secret"}])
def test_half_a_log_in_is_refused_at_once(half: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="user name and a password"):
        Smtp("mail.example", **half)  # type: ignore[arg-type]


def test_a_password_without_encryption_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError):
        Smtp("mail.example", security="none", username="acme", password="secret")


# ── Connections ───────────────────────────────────────────────────────────────


async def test_one_connection_serves_many_mails(server: Server) -> None:
    async with sending(server.port) as channel:
        for number in range(5):
            await channel.send(told(task_id=f"task-{number}"))
    assert (len(server.mails), server.connections) == (5, 1)


async def test_there_are_never_more_connections_than_allowed(server: Server) -> None:
    async with sending(server.port, connections=2) as channel, anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(channel.send, told(task_id=f"task-{number}"))
    assert len(server.mails) == 10
    assert server.connections <= 2


async def test_whoever_gets_no_turn_in_time_has_sent_nothing_and_comes_again_soon(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that begins late would be cut off when it is sent, and be sent twice."""
    monkeypatch.setattr(turns, "LEAST_PATIENCE", 0.1)
    server.will_say("MAIL", HANG)
    async with sending(server.port, connections=1, timeout=smtp._DELIVERY_SECONDS) as channel:
        async with anyio.create_task_group() as group:
            group.start_soon(channel.send, told(task_id="task-1"))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(DeliveryError) as caught:
                await channel.send(told(task_id="task-2"))
            group.cancel_scope.cancel()
        assert (caught.value.permanent, caught.value.retry_after) == (False, turns.BUSY_SECONDS)
        assert server.mails == []
        await channel.send(told(task_id="task-2"))
    assert len(server.mails) == 1


async def test_a_connection_that_the_server_has_closed_is_replaced(server: Server) -> None:
    async with sending(server.port) as channel:
        await channel.send(told(task_id="task-1"))
        server.will_say("NOOP", CUT)
        await channel.send(told(task_id="task-2"))
    assert (len(server.mails), server.connections) == (2, 2)


async def test_the_channel_works_on_after_it_was_closed(server: Server) -> None:
    async with sending(server.port) as channel:
        await channel.send(told(task_id="task-1"))
        await channel.aclose()
        await channel.send(told(task_id="task-2"))
    assert len(server.mails) == 2


def test_each_event_loop_has_connections_of_its_own(server: Server) -> None:
    transport = Smtp("127.0.0.1", server.port, security="none", timeout=5)
    channel = EmailChannel(Sender(address="approvals@example.com", transport=transport))

    async def once(number: int) -> None:
        await channel.send(told(task_id=f"task-{number}"))
        await channel.aclose()

    for number in range(3):
        anyio.run(once, number)
    assert len(server.mails) == 3


# ── What goes wrong ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "reply", "permanent"),
    [
        ("RCPT", "550 5.1.1 no such user", True),
        ("RCPT", "553 not here", True),
        ("RCPT", "450 4.2.1 try later", False),
        ("RCPT", "451 greylisted", False),
        ("RCPT", "421 going away", False),
        ("MAIL", "550 you may not send as that", False),
        ("MAIL", "451 later", False),
        ("DATA", "554 this is spam", True),
        ("DATA", "451 disk full", False),
        ("AFTER", "421 going away", False),
    ],
)
async def test_a_refusal_is_final_only_where_no_retry_can_help(
    server: Server, command: str, reply: str, *, permanent: bool
) -> None:
    server.will_say(command, reply)
    error = await refusal(server)
    assert error.permanent is permanent
    assert reply[:3] in str(error) or "Disconnected" in str(error)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "AFTER"])
async def test_a_connection_cut_at_any_moment_is_tried_again_with_the_same_id(server: Server, command: str) -> None:
    """Where the answer to DATA got lost the mail comes twice, and programs can tell."""
    server.will_say(command, CUT)
    async with sending(server.port) as channel:
        with pytest.raises(DeliveryError) as caught:
            await channel.send(told())
        assert not caught.value.permanent
        await channel.send(told(attempt=2))
    ids = {str(parsed(raw)["Message-ID"]) for raw in server.mails}
    assert len(ids) == 1
    assert len(server.mails) == (2 if command in {"DATA", "AFTER"} else 1)


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_a_server_that_falls_silent_is_given_up_in_time(server: Server, command: str) -> None:
    server.will_say(command, HANG)
    error = await refusal(server, timeout=0.3)
    assert not error.permanent


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = await refusal(Server(port=port))
    assert not error.permanent


async def test_no_link_of_a_mail_gets_into_what_people_read_of_its_refusal(server: Server) -> None:
    server.will_say("DATA", f"554 5.7.1 spam: <{LINK}> and www.app.example/x are listed")
    said = str(await refusal(server))
    assert said == "SMTP 554 5.7.1 spam: … and … are listed"


async def test_what_the_server_says_is_cut_and_put_on_one_line(server: Server) -> None:
    server.will_say("RCPT", "550 " + "x" * 400)
    assert len(str(await refusal(server))) < 250
