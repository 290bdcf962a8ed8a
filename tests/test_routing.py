"""How recipients are named to people."""

from __future__ import annotations

import pytest

from awaithumans.routing import callback_recipient, shown_recipient


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
