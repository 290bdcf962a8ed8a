"""Installing the app in a workspace: OAuth, from the operator's link to the token.

A link is made in this process for somebody whom the host trusts with it, and
leads through Slack's consent page back here. What comes back counts only in
the browser that set out: its cookie and the `state` it brings belong together.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit

from awaithumans.channels.slack.calls import as_object, call
from awaithumans.channels.slack.workspaces import Installation, SlackApp, Workspaces
from awaithumans.protocols import Clock, DeliveryError
from awaithumans.signing import KeyRing
from awaithumans.types import Inbound, Reply

logger = logging.getLogger("awaithumans.channels.slack")

GOOD_FOR = timedelta(minutes=10)
COOKIE = "awaithumans_slack_install"
AUTHORIZE = "https://slack.com/oauth/v2/authorize"

_LINK, _STATE = "slack install link", "slack install state"
_CODE = re.compile(r"[a-z_]{1,100}")
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class _NotInstalledError(Exception):
    """Slack gave no token that can be used; the text says why, to the person."""


@dataclass(frozen=True, slots=True)
class Installer:
    """Takes browsers to Slack and back.

    `address` is where the channel receives, as browsers see it.
    """

    app: SlackApp
    address: str
    keys: KeyRing
    workspaces: Workspaces
    clock: Clock

    def link(self) -> str:
        """Make an address that begins an installation; good for ten minutes."""
        return f"{self.address}/oauth/start?{urlencode({'token': self._sealed(_LINK)})}"

    def start(self, request: Inbound) -> Reply:
        """Send a browser with a fresh link to Slack's consent page."""
        if not self._fresh(_LINK, request.query.get("token", "")):
            return _page(403, "This link is not valid any more", "Ask for a new one.")
        browser = secrets.token_urlsafe(32)
        question = {
            "client_id": self.app.client_id,
            "scope": ",".join(self.app.scopes),
            "redirect_uri": self._back,
            "state": self._sealed(_STATE, browser),
        }
        headers = {"location": f"{AUTHORIZE}?{urlencode(question)}", "set-cookie": self._cookie(browser, GOOD_FOR)}
        return Reply(status=302, headers={"cache-control": "no-store", "referrer-policy": "no-referrer", **headers})

    async def callback(self, request: Inbound) -> Reply:
        """Take what Slack sends a browser back with, and keep the token."""
        if not self._fresh(_STATE, request.query.get("state", ""), _browser(request)):
            return self._end(401, "This did not begin here", "Begin again with a new link, in one browser.")
        try:
            installation = await self._installed(request.query)
        except _NotInstalledError as reason:
            return self._end(400, "The app is not installed", str(reason))
        logger.info("the Slack app is installed in workspace %s", installation.team_id)
        return self._end(200, "The app is installed", f"It can ask people in {installation.team_name} from now on.")

    async def _installed(self, query: Mapping[str, str]) -> Installation:
        """Exchange the code for a token and keep it. Raises `_NotInstalledError`."""
        if "code" not in query:
            error = query.get("error", "")
            raise _NotInstalledError(f"Slack says: {error}." if _CODE.fullmatch(error) else "Slack sent no code.")
        try:
            told = await call(
                self.workspaces.speaking(None),
                "oauth.v2.access",
                {
                    "client_id": self.app.client_id,
                    "client_secret": self.app.client_secret,
                    "code": query["code"],
                    "redirect_uri": self._back,
                },
            )
        except DeliveryError as error:
            logger.warning("Slack gives no token: %s", error)
            raise _NotInstalledError("Slack gave no token. Begin again with a new link.") from error
        installation, token = _granted(told, self.clock.now())
        await self.workspaces.install(installation, token)
        return installation

    @property
    def _back(self) -> str:
        return f"{self.address}/oauth/callback"

    def _sealed(self, purpose: str, bound: str = "") -> str:
        until = (self.clock.now() + GOOD_FOR).timestamp()
        return self.keys.encrypt(purpose, str(int(until)), bound)

    def _fresh(self, purpose: str, token: str, bound: str = "") -> bool:
        until = self.keys.decrypt(purpose, token, bound)
        return until is not None and self.clock.now().timestamp() < int(until)

    def _cookie(self, value: str, kept: timedelta) -> str:
        address = urlsplit(self._back)
        secure = "; Secure" if address.scheme == "https" else ""
        path = address.path.removesuffix("/callback")
        return f"{COOKIE}={value}; Path={path}; Max-Age={int(kept.total_seconds())}; HttpOnly; SameSite=Lax{secure}"

    def _end(self, status: int, title: str, text: str) -> Reply:
        return _page(status, title, text, {"set-cookie": self._cookie("", timedelta())})


def _browser(request: Inbound) -> str:
    """Return what the cookie says; text that no cookie has, if there is none."""
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        found = None
    return found.value if found else "\0"


def _granted(told: Mapping[str, object], now: datetime) -> tuple[Installation, str]:
    """Read what Slack gives for a code. Raises `_NotInstalledError`."""
    team, user = as_object(told.get("team")), as_object(told.get("authed_user"))
    if told.get("is_enterprise_install"):
        raise _NotInstalledError("Install it in one workspace, not in the whole organisation.")
    if "expires_in" in told:
        raise _NotInstalledError("Turn off token rotation in the app's settings at Slack.")
    token, team_id, bot = told.get("access_token"), team.get("id"), told.get("bot_user_id")
    if not (isinstance(token, str) and isinstance(team_id, str) and isinstance(bot, str)):
        raise _NotInstalledError("Slack's answer lacks the workspace, the bot or its token.")
    installed_by = user.get("id")
    installation = Installation(
        team_id=team_id,
        team_name=str(team.get("name") or team_id),
        bot_user_id=bot,
        scopes=tuple(str(told.get("scope") or "").split(",")),
        installed_by=str(installed_by) if installed_by else None,
        installed_at=now,
    )
    return installation, token


def _page(status: int, title: str, text: str, headers: Mapping[str, str] | None = None) -> Reply:
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<h1>{escape(title)}</h1><p>{escape(text)}</p></html>\n"
    )
    return Reply(status=status, headers={**_HEADERS, **(headers or {})}, body=body.encode())
