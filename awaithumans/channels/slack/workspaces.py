"""The Slack workspaces that the app is in, and the token for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio.lowlevel

from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from slack_sdk.web.async_client import AsyncWebClient


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackApp:
    """A Slack app that several workspaces can install."""

    client_id: str
    client_secret: str = field(repr=False)


class Workspaces:
    """Which token speaks in which workspace."""

    def __init__(self, *, token: str | None, app: SlackApp | None, api_url: str, timeout: float) -> None:
        if bool(token) == bool(app):
            raise ConfigurationError(
                "a Slack channel needs the token of one workspace, or an app that several can install",
                hint="Pass SlackChannel(token='xoxb-…'), or SlackChannel(app=SlackApp(...)), and not both.",
            )
        self._token = token
        self._api_url = api_url
        self._timeout = timeout
        self._session = anyio.lowlevel.RunVar["ClientSession | None"]("slack session", None)

    def bind(self, engine: Engine) -> None:
        """Keep installations in this engine's store."""

    async def client(self, team_id: str | None) -> AsyncWebClient:  # noqa: ARG002 - there is one
        """Return what speaks in a workspace; None is the only one there is."""
        from slack_sdk.web.async_client import AsyncWebClient

        return AsyncWebClient(self._token, base_url=self._api_url, session=self.session(), retry_handlers=[])

    def session(self) -> ClientSession:
        """Return the running loop's connections."""
        from aiohttp import ClientSession, ClientTimeout

        session = self._session.get()
        if session is None or session.closed:
            session = ClientSession(timeout=ClientTimeout(total=self._timeout))
            self._session.set(session)
        return session

    async def aclose(self) -> None:
        """Close the running loop's connections; harmless when repeated."""
        if session := self._session.get():
            await session.close()
