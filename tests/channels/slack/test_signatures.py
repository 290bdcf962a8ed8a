"""Whether a request came from Slack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from slack_sdk.signature import SignatureVerifier

from awaithumans.channels.slack.signatures import genuine, usable
from awaithumans.types import Inbound

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS, OLD, THEIRS = "8f742231b10e8888abcd99yyyzzz85a5", "0" * 32, "1" * 32
BODY = "payload=%7B%22name%22%3A%22Zoë%22%7D".encode()


def signed(secret: str = OURS, at: datetime = NOW, body: bytes = BODY) -> Inbound:
    timestamp = str(int(at.timestamp()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    assert signature is not None
    return request(timestamp, signature, body)


def request(timestamp: str | None, signature: str | None, body: bytes = BODY) -> Inbound:
    headers = {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}
    given = {name: value for name, value in headers.items() if value is not None}
    return Inbound(method="POST", path="/interactions", headers=given, body=body)


def test_what_slack_signed_is_genuine() -> None:
    assert genuine(signed(), [OURS], NOW)


def test_while_the_secret_is_rotated_either_is_good() -> None:
    for secret in (OURS, OLD):
        assert genuine(signed(secret), [OURS, OLD], NOW)
    assert not genuine(signed(THEIRS), [OURS, OLD], NOW)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_five_minutes_either_way_are_allowed(seconds: int) -> None:
    assert genuine(signed(at=NOW + timedelta(seconds=seconds)), [OURS], NOW)


@pytest.mark.parametrize("seconds", [-301, 301, -86_400])
def test_what_is_older_or_from_the_future_is_not(seconds: int) -> None:
    assert not genuine(signed(at=NOW + timedelta(seconds=seconds)), [OURS], NOW)


def test_a_changed_byte_shows() -> None:
    good = signed()
    changed = request(good.headers["x-slack-request-timestamp"], good.headers["x-slack-signature"], BODY + b" ")
    assert not genuine(changed, [OURS], NOW)


@pytest.mark.parametrize("timestamp", [None, "", "now", "1e9", "-1", "١٢٣", "9" * 400, "1767323045.5", "\ud800"])
@pytest.mark.parametrize("signature", [None, "", "v0=", "v0=é", "v1=" + "0" * 64, "\ud800"])
def test_garbage_is_refused_without_a_fuss(timestamp: str | None, signature: str | None) -> None:
    assert not genuine(request(timestamp, signature), [OURS], NOW)


def test_without_a_secret_nothing_is_genuine() -> None:
    assert usable(["", " ", "\n"]) == ()
    assert usable(" a ") == ("a",)
    assert not genuine(signed(), [], NOW)
