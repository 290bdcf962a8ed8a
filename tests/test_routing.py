"""How recipients are named to people."""

from __future__ import annotations

import pytest

from awaithumans.errors import InvalidRoutingError
from awaithumans.routing import MAX_RECIPIENTS, callback_recipient, recipients_of, shown_recipient
from awaithumans.testing.channels import RecordingChannel
from awaithumans.types import Human


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("webhook:https://hooks.example/services/T0/s3cret", "webhook:https://hooks.example/…"),
        ("webhook:https://hooks.example?token=s3cret", "webhook:https://hooks.example/…"),
        ("webhook:https://hooks.example#s3cret", "webhook:https://hooks.example/…"),
        ("teams+night: HTTPS://ana:s3cret@hooks.example:8443/in", "teams+night: HTTPS://hooks.example:8443/…"),
        ("langgraph:https://graph.example/", "langgraph:https://graph.example"),
        ("webhook:https://hooks.example", "webhook:https://hooks.example"),
        ("email:ana@example.com", "email:ana@example.com"),
        ("temporal:refund-42", "temporal:refund-42"),
        ("slack:#payments", "slack:#payments"),
        ("", ""),
    ],
)
def test_of_a_url_only_scheme_and_host_are_shown(recipient: str, shown: str) -> None:
    """What is behind them may be all that somebody needs to post there."""
    assert shown_recipient(recipient) == shown


@pytest.mark.parametrize(
    ("callback_url", "recipient"),
    [
        ("https://agent.example/cb?a=b", "webhook:https://agent.example/cb?a=b"),
        ("HTTP://agent.example", "webhook:HTTP://agent.example"),
        ("webhook:https://agent.example", "webhook:https://agent.example"),
        ("temporal:refund-42", "temporal:refund-42"),
        ("langgraph+eu:https://graph.example", "langgraph+eu:https://graph.example"),
    ],
)
def test_a_callback_is_a_web_address_or_names_its_channel(callback_url: str, recipient: str) -> None:
    assert callback_recipient(callback_url) == recipient


ANA = Human(id="ana", email="ana@example.com")
BEN = Human(id="ben")


class Mail(RecordingChannel):
    def address_of(self, human: Human) -> str | None:  # type: ignore[override]
        return human.email


CHANNELS = {"mail": Mail("mail"), "pager": RecordingChannel("pager"), "deaf": object()}


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        (["pager:night"], ["pager:night"]),
        (["pager"], ["pager:ana", "pager:ben"]),
        (["mail"], ["mail:ana@example.com"]),
        (["mail+acme"], ["mail+acme:ana@example.com"]),
        (["pager:ana", "pager", "pager:ana"], ["pager:ana", "pager:ben"]),
    ],
)
def test_a_channel_alone_tells_everybody_whom_it_reaches(notify: list[str], told: list[str]) -> None:
    assert recipients_of(notify, [ANA, BEN], CHANNELS) == told  # type: ignore[arg-type]


@pytest.mark.parametrize("people", [[], [BEN]])
def test_a_channel_that_reaches_nobody_is_refused(people: list[Human]) -> None:
    """Silence would leave the task waiting for people who never hear of it."""
    with pytest.raises(InvalidRoutingError, match="reaches nobody"):
        recipients_of(["mail"], people, CHANNELS)  # type: ignore[arg-type]


def test_a_crowd_is_not_told_one_by_one() -> None:
    crowd = [Human(id=str(number)) for number in range(MAX_RECIPIENTS + 1)]
    with pytest.raises(InvalidRoutingError, match="more than"):
        recipients_of(["pager"], crowd, CHANNELS)  # type: ignore[arg-type]
