"""The Slack workspaces that the app is in, and the token for each."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import anyio.lowlevel

from awaithumans.channels.slack.calls import call
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError, EncryptionError
from awaithumans.origins import is_private
from awaithumans.protocols import DeliveryError, KeepsRecords, Records
from awaithumans.signing import KeyRing
from awaithumans.types import Record, from_microseconds, microseconds

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from slack_sdk.web.async_client import AsyncWebClient

logger = logging.getLogger("awaithumans.channels.slack")

KIND = "slack_installation"
PURPOSE = "slack token"
PAGE = 50

SCOPES = (
    "channels:history",
    "channels:read",
    "chat:write",
    "files:read",
    "groups:history",
    "groups:read",
    "im:history",
    "im:write",
    "users:read",
    "users:read.email",
)
"""What the app asks a workspace for. The three for history are for answers in a thread, `users:read.email` finds people
by their address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackApp:
    """A Slack app that several workspaces can install.

    `client_id` and `client_secret` are on the app's page at Slack, under
    *Basic Information*.
    """

    client_id: str
    client_secret: str = field(repr=False)
    scopes: Sequence[str] = SCOPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The app as it stands in one workspace."""

    team_id: str
    team_name: str
    bot_user_id: str
    """Who posts there: the app's own user."""
    scopes: tuple[str, ...]
    """What the workspace allowed."""
    installed_by: str | None
    """The Slack user who installed it."""
    installed_at: datetime


@dataclass(frozen=True, slots=True)
class Bot:
    """The app's own user in a workspace."""

    team_id: str
    user_id: str


class Workspaces:
    """Which token speaks in which workspace: the one given, or the one from its installation.

    Installations are records of the engine's store; their tokens are encrypted
    with the engine's secret. Raises `ConfigurationError` unless exactly one of
    `token` and `app` is given, and for an `api_url` on the way to which others
    could read them.
    """

    def __init__(self, *, token: str | None, app: SlackApp | None, api_url: str, timeout: float) -> None:
        if bool(token) == bool(app):
            raise ConfigurationError(
                "a Slack channel needs the token of one workspace, or an app that several can install",
                hint="Pass SlackChannel(token='xoxb-…'), or SlackChannel(app=SlackApp(...)), and not both.",
            )
        if not is_private(api_url):
            raise ConfigurationError(
                f"{api_url[:200]!r} is no URL that a token may be sent to",
                hint="Write it with https://; http:// is for a stand-in on this machine, such as http://localhost:8080/api/.",
            )
        self.app = app
        self._token = token
        self._api_url = api_url
        self._timeout = timeout
        self._engine: Engine | None = None
        self._bot: Bot | None = None
        self._session = anyio.lowlevel.RunVar["ClientSession | None"]("slack session", None)

    def bind(self, engine: Engine) -> None:
        """Keep installations in this engine's store. Raises `ConfigurationError` where that cannot be."""
        self._engine = engine
        if self.app and not (isinstance(engine.store, KeepsRecords) and engine.keys.keyed):
            raise ConfigurationError(
                "installations of a Slack app need a store that keeps records, and a secret to encrypt tokens with",
                hint="Pass Engine(secret=...), and a store such as SQLAlchemyStore.",
            )

    # ── Clients ───────────────────────────────────────────────────────────────

    async def client(self, team_id: str | None) -> AsyncWebClient:
        """Return what speaks in a workspace; None is the only one there is.

        Raises `DeliveryError`, for good, where the app is not installed there,
        or where it is not clear which workspace is meant.
        """
        if self._token is None:
            return self.speaking(self._decrypted(await self._installed(team_id)))
        if team_id is not None and (await self.bot(team_id)).team_id != team_id:
            raise DeliveryError(f"the Slack token is not one of workspace {team_id}", permanent=True)
        return self.speaking(self._token)

    async def bot(self, team_id: str | None) -> Bot:
        """Return who the app is in a workspace. Raises `DeliveryError`."""
        if self._token is None:
            installation = _read(await self._installed(team_id))
            return Bot(installation.team_id, installation.bot_user_id)
        if self._bot is None:
            told = await call(self.speaking(self._token), "auth.test", {})
            self._bot = Bot(str(told["team_id"]), str(told["user_id"]))
        return self._bot

    async def is_only(self, team_id: str) -> bool:
        """Tell whether this is the workspace whose token was given."""
        return self._token is not None and (await self.bot(None)).team_id == team_id

    def speaking(self, token: str | None) -> AsyncWebClient:
        """Return a client with this token, on the running loop's connections."""
        from slack_sdk.web.async_client import AsyncWebClient

        return AsyncWebClient(token, base_url=self._api_url, session=self.session(), retry_handlers=[])

    def session(self) -> ClientSession:
        """Return the running loop's connections."""
        from aiohttp import ClientSession, ClientTimeout

        session = self._session.get()
        if session is None or session.closed:
            session = ClientSession(timeout=ClientTimeout(total=self._timeout))
            self._session.set(session)
        return session

    def is_slacks(self, address: str) -> bool:
        """Tell whether an address is on the Web API's host, or one below it, such as hooks.slack.com."""
        try:
            given, ours = urlsplit(address), urlsplit(self._api_url)
        except ValueError:
            return False
        host = ours.hostname or ""
        return given.scheme == ours.scheme and bool(host) and f".{given.hostname}".endswith(f".{host}")

    async def aclose(self) -> None:
        """Close the running loop's connections; harmless when repeated."""
        if session := self._session.get():
            await session.close()

    # ── Installations ─────────────────────────────────────────────────────────

    async def installations(self) -> list[Installation]:
        """Return where the app is installed, by workspace."""
        found: list[Record] = []
        while page := await self._records.find(KIND, after=found[-1].id if found else "", limit=PAGE):
            found += page
        return [_read(record) for record in found]

    async def has(self, team_id: str) -> bool:
        """Tell whether the app is installed in a workspace."""
        return await self._records.get(KIND, team_id) is not None

    async def install(self, installation: Installation, token: str) -> None:
        """Keep an installation, in place of an earlier one of the same workspace."""
        document = _document(installation) | {"token": self._keys.encrypt(PURPOSE, token, installation.team_id)}
        new = Record(kind=KIND, id=installation.team_id, document=document)
        while True:
            earlier = await self._records.get(KIND, new.id)
            if await self._records.put(replace(new, version=earlier.version + 1 if earlier else 1)):
                return

    async def uninstall(self, team_id: str) -> bool:
        """Take the app out of a workspace, as far as Slack can be reached; tell whether it was installed."""
        if self.app and await self.has(team_id):
            credentials = {"client_id": self.app.client_id, "client_secret": self.app.client_secret}
            try:
                await call(await self.client(team_id), "apps.uninstall", credentials)
            except (DeliveryError, EncryptionError) as error:
                logger.warning("the Slack app may still be in workspace %s: %s", team_id, error)
        return await self.forget(team_id)

    async def forget_if(self, team_id: str, dead: Callable[[AsyncWebClient], Awaitable[bool]]) -> bool:
        """Erase an installation if its token is `dead`, and not one that took its place since; tell whether it was."""
        record = await self._records.get(KIND, team_id)
        if record is None or not await dead(self.speaking(self._decrypted(record))):
            return False
        return await self._records.delete(record)

    async def forget(self, team_id: str) -> bool:
        """Erase an installation and its token; tell whether there was one."""
        while record := await self._records.get(KIND, team_id):
            if await self._records.delete(record):
                return True
        return False

    async def _installed(self, team_id: str | None) -> Record:
        if team_id is not None:
            record = await self._records.get(KIND, team_id)
            if record is None:
                raise DeliveryError(f"the Slack app is not installed in workspace {team_id}", permanent=True)
            return record
        found = await self._records.find(KIND, limit=2)
        if len(found) != 1:
            where = "in several workspaces" if found else "nowhere"
            raise DeliveryError(
                f"the Slack app is installed {where}: name the one that is meant, as in slack+T0123ABCD:#channel",
                permanent=True,
            )
        return found[0]

    def _decrypted(self, record: Record) -> str:
        token = self._keys.decrypt(PURPOSE, str(record.document["token"]), record.id)
        if token is None:
            raise EncryptionError(
                (KIND, record.id, "token"),
                "was encrypted under another secret",
                hint="Keep the old secret behind the new one: Engine(secret=[new, old]); or install the app again.",
            )
        return token

    @property
    def _records(self) -> Records:
        return self._bound.records

    @property
    def _keys(self) -> KeyRing:
        return self._bound.keys

    @property
    def _bound(self) -> Engine:
        if self._engine is None or self.app is None:
            raise ConfigurationError(
                "there are installations only of a Slack app whose channel an engine has",
                hint="Pass SlackChannel(app=SlackApp(...)), and the channel to Engine(channels=[...]).",
            )
        return self._engine


def _document(installation: Installation) -> dict[str, object]:
    return {
        "team_name": installation.team_name,
        "bot_user_id": installation.bot_user_id,
        "scopes": list(installation.scopes),
        "installed_by": installation.installed_by,
        "installed_at": microseconds(installation.installed_at),
    }


def _read(record: Record) -> Installation:
    kept = cast("Mapping[str, str]", record.document)
    return Installation(
        team_id=record.id,
        team_name=kept["team_name"],
        bot_user_id=kept["bot_user_id"],
        scopes=tuple(kept["scopes"]),
        installed_by=kept["installed_by"],
        installed_at=from_microseconds(int(kept["installed_at"])),
    )
