"""What the tests of Slack share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.channels.slack.desk import Desk
from tests.channels.slack.slack_api import SlackApi, slack_api


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio: Slack's library knows no other."""
    return "asyncio"


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as api:
        yield api


@pytest.fixture
async def desk(api: SlackApi) -> AsyncIterator[Desk]:
    desk = Desk(api)
    yield desk
    await desk.engine.aclose()
