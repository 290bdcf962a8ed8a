"""What the tests of Slack share."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio: Slack's library knows no other."""
    return "asyncio"
