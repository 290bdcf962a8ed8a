"""Mail servers and inboxes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.channels.email.mail import Authority, Inbox, Server, smtp_server


@pytest.fixture
def inbox() -> Inbox:
    """Give a transport that keeps its mails."""
    return Inbox()


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Give an authority that nobody else knows."""
    return Authority()


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server on this machine, without encryption."""
    with smtp_server() as running:
        yield running
