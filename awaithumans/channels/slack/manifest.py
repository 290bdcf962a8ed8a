"""The app as Slack is to set it up."""

from __future__ import annotations

from urllib.parse import urlsplit

from awaithumans.channels.slack.workspaces import SCOPES
from awaithumans.engine import Engine
from awaithumans.errors import ConfigurationError

MAX_NAME = 35
EVENTS = ("app_uninstalled", "message.channels", "message.groups", "message.im", "tokens_revoked")


def slack_manifest(at: Engine | str, *, name: str = "Approvals", replies: bool = True) -> dict[str, object]:
    """Make the manifest of a Slack app for this host, to be pasted at Slack as JSON.

    Arguments:
        at: the engine, or the address where its router is mounted as the world
            sees it (`public_url`); Slack wants https.
        name: what people see as the sender; 1 to 35 characters.
        replies: let people answer in a message's thread. Without it the app
            asks for no right to read messages, and hears of no events.

    Raises `ConfigurationError` for an address or a name that Slack would refuse.
    """
    public_url = at if isinstance(at, str) else at.public_url
    address = urlsplit(public_url or "")
    if address.scheme != "https" or not address.hostname or address.query or address.fragment:
        raise ConfigurationError(
            "a Slack app needs the host's https address",
            hint="Pass it as it is, 'https://…/humans', or an engine that has it as public_url.",
        )
    if not 1 <= len(name) <= MAX_NAME:
        raise ConfigurationError(f"the name of a Slack app has 1 to {MAX_NAME} characters")
    here = f"{(public_url or '').rstrip('/')}/api/channels/slack"
    scopes = [scope for scope in SCOPES if replies or not scope.endswith(":history")]
    settings: dict[str, object] = {
        "interactivity": {"is_enabled": True, "request_url": f"{here}/interactions"},
        "org_deploy_enabled": False,
        "socket_mode_enabled": False,
        "token_rotation_enabled": False,
    }
    if replies:
        settings["event_subscriptions"] = {"request_url": f"{here}/events", "bot_events": list(EVENTS)}
    return {
        "display_information": {"name": name, "description": "Asks people what a program may not decide alone."},
        "features": {
            "app_home": {
                "home_tab_enabled": False,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": not replies,
            },
            "bot_user": {"display_name": name, "always_online": True},
        },
        "oauth_config": {"redirect_urls": [f"{here}/oauth/callback"], "scopes": {"bot": scopes}},
        "settings": settings,
    }
