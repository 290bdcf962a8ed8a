"""What Slack, and operators' browsers, send to the channel's addresses."""

from __future__ import annotations

from collections.abc import Sequence

from awaithumans.channels.slack.events import Events
from awaithumans.channels.slack.install import Installer
from awaithumans.channels.slack.interactions import Interactions
from awaithumans.channels.slack.people import People
from awaithumans.channels.slack.replies import text_reply
from awaithumans.channels.slack.signatures import genuine, usable
from awaithumans.channels.slack.workspaces import Workspaces
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError
from awaithumans.protocols import Clock
from awaithumans.types import Inbound, Reply


class Reception:
    """Lets in what Slack has signed, and what belongs to an installation."""

    def __init__(
        self, engine: Engine, workspaces: Workspaces, people: People, secrets: str | Sequence[str], clock: Clock
    ) -> None:
        self._engine = engine
        self._workspaces = workspaces
        self._secrets = usable(secrets)
        self._clock = clock
        self._interactions = Interactions(engine, workspaces, people, clock)
        self._events = Events(engine, workspaces, people)

    async def receive(self, request: Inbound) -> Reply:
        """Answer one request."""
        match request.method, request.path:
            case "POST", "/interactions" | "/events":
                return await self._signed(request)
            case "GET", "/oauth/start" if self._workspaces.app:
                return self.installer.start(request)
            case "GET", "/oauth/callback" if self._workspaces.app:
                return await self.installer.callback(request)
            case _:
                return text_reply(404, "there is nothing at this address")

    @property
    def installer(self) -> Installer:
        """Give what installs the app. Raises `ConfigurationError` where there is none."""
        app, public_url = self._workspaces.app, self._engine.public_url
        if app is None or public_url is None:
            raise ConfigurationError(
                "installing a Slack app needs the app, and the address where its people's browsers find it",
                hint="Pass SlackChannel(app=SlackApp(...)) and Engine(public_url=...).",
            )
        address = f"{public_url}/api/channels/slack"
        return Installer(app, address, self._engine.keys, self._workspaces, self._clock)

    async def _signed(self, request: Inbound) -> Reply:
        if not self._secrets:
            return text_reply(503, "this channel has no signing secret: SlackChannel(signing_secret=...)")
        if not genuine(request, self._secrets, self._clock.now()):
            return text_reply(401, "this is not signed by Slack, or too old")
        inside = self._interactions if request.path == "/interactions" else self._events
        return await inside.receive(request)
