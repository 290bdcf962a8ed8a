"""What the tests share: database servers, a web server, a browser."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, expect, sync_playwright
from starlette.types import ASGIApp

from tests.mariadb import MariaDBServer, mariadb_missing, mariadb_server
from tests.postgres import PostgresServer, postgres_missing, postgres_server
from tests.serving import serving
from tests.slack import Line, Slack, slack_missing, slack_server, troubled

ReportT = TypeVar("ReportT", pytest.TestReport, pytest.CollectReport)

# How long an example or a page takes says more about the machine than about the code.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")
expect.set_options(timeout=30_000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def _refuse_skip(report: ReportT) -> ReportT:
    """Make a skipped test a failed one in CI, where everything is installed."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"A test may not be skipped in CI. {reason}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio; parametrize a test with this name to add trio."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a PostgreSQL server, started when the first test asks for it."""
    if reason := postgres_missing():
        pytest.skip(reason)
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Give the address of a new, empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """Give a MariaDB server, started when the first test asks for it."""
    if reason := mariadb_missing():
        pytest.skip(reason)
    with mariadb_server() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb: MariaDBServer) -> Iterator[str]:
    """Give the address of a new, empty database."""
    with mariadb.database() as url:
        yield url


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Give a function from a kind of database, or a driver, to a new one's address."""

    def new(driver: str) -> str:
        kind = driver.partition("+")[0]
        if kind == "sqlite":
            return f"{driver}:///{tmp_path}/tasks.db"
        url: str = request.getfixturevalue("postgres_url" if kind == "postgresql" else "mariadb_url")
        return driver + url[url.index(":") :]

    return new


@pytest.fixture(scope="session")
def slack() -> Iterator[Slack]:
    """Give an emulator of Slack, started when the first test asks for it."""
    if reason := slack_missing():
        pytest.skip(reason)
    with slack_server() as server:
        yield server


@pytest.fixture
def slack_line(slack: Slack) -> Iterator[Line]:
    """Give a connection to the emulator that can go wrong."""
    with troubled(slack) as line:
        yield line


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[[ASGIApp], str]]:
    """Give a function that serves an ASGI app for the rest of the test.

    It returns the base URL, without a slash at its end. Pages are closed before
    their server stops, which would else wait for the streams they follow.
    """
    browser: Browser | None = request.getfixturevalue("browser") if "browser" in request.fixturenames else None
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))
        if browser:
            close_pages(browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Callable[[], AbstractContextManager[Browser]]]:
    """Give a function that lends the system's Chromium, started when the first test asks for it.

    It is lent with no history. Between its calls, Playwright marks its event loop
    as the one that runs in this thread; not when the browser is given back, since
    the next test may want to run its own.
    """
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not path:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        loop = asyncio.get_running_loop()
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)

        @contextmanager
        def lent() -> Iterator[Browser]:
            asyncio._set_running_loop(loop)
            try:
                yield browser
                close_pages(browser)
            finally:
                asyncio._set_running_loop(None)

        asyncio._set_running_loop(None)
        yield lent
        asyncio._set_running_loop(loop)
        browser.close()


@pytest.fixture
def browser(chromium: Callable[[], AbstractContextManager[Browser]]) -> Iterator[Browser]:
    """Give a browser with no history."""
    with chromium() as browser:
        yield browser


def close_pages(browser: Browser) -> None:
    """Close every page, and forget all that they stored."""
    for context in browser.contexts:
        context.close()


CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
