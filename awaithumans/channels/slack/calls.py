"""One call of Slack's Web API, and what its errors mean for a delivery."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, cast

from awaithumans.protocols import DeliveryError
from awaithumans.types import JsonObject

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

MAX_PAUSE = 24 * 60 * 60.0

_TOO_MANY = 429
_PAGE = 200
_INVITE = "invite the app to the conversation, with /invite in Slack"
_REINSTALL = "give the channel a token that is valid, or install the app again"
_ADMIN = "an administrator of the workspace has to allow it"

ADVICE: Mapping[str, str] = {
    "account_inactive": _REINSTALL,
    "cannot_dm_bot": "name a person, not a bot",
    "cannot_reply_to_message": "Slack takes no reply to this kind of message",
    "channel_not_found": f"check the target, or {_INVITE}",
    "ekm_access_denied": _ADMIN,
    "enterprise_is_restricted": _ADMIN,
    "invalid_auth": _REINSTALL,
    "invalid_blocks": "the message breaks a rule of Slack's; please report this",
    "is_archived": "the conversation is archived: name another one",
    "is_inactive": "the conversation is frozen: name another one",
    "messages_tab_disabled": "turn the app's Messages Tab on, under App Home",
    "missing_scope": "add the scope to the app, and install it again",
    "no_permission": _ADMIN,
    "not_allowed_token_type": "use a bot token; it begins with xoxb-",
    "not_authed": _REINSTALL,
    "not_in_channel": _INVITE,
    "org_login_required": _ADMIN,
    "restricted_action": _ADMIN,
    "team_access_not_granted": _ADMIN,
    "team_not_found": _REINSTALL,
    "token_expired": _REINSTALL,
    "token_revoked": _REINSTALL,
    "two_factor_setup_required": _ADMIN,
    "user_disabled": "the account is deactivated: name another one",
    "user_not_found": "no account of the workspace has this id: check the target",
    "user_not_visible": "the app may not see this account: name another one",
    "users_not_found": "no account of the workspace has this e-mail address: check the target",
}
"""What to do about errors that no retry can help."""


class SlackError(DeliveryError):
    """Slack refused a call; `code` is its word for why."""

    def __init__(self, method: str, code: str, *, needed: str = "") -> None:
        advice = ADVICE.get(code, "")
        scope = f" ({needed})" if needed else ""
        super().__init__(f"{method}: {code}{scope}" + (f"; {advice}" if advice else ""), permanent=bool(advice))
        self.code = code


async def call(client: AsyncWebClient, method: str, arguments: JsonObject) -> JsonObject:
    """Call a method of the Web API.

    Raises `SlackError` where Slack refuses it, and `DeliveryError` where there
    is no answer, or one to wait for.
    """
    from aiohttp import ClientError
    from slack_sdk.errors import SlackApiError

    slack: Any = client  # its types leave out what its mappings hold
    try:
        if any(isinstance(value, dict | list) for value in arguments.values()):
            response = await slack.api_call(method, json=dict(arguments))
        else:  # methods that only read take no JSON
            response = await slack.api_call(method, data={name: _flag(value) for name, value in arguments.items()})
    except SlackApiError as error:
        raise _refusal(method, cast("object", error.response)) from error
    except TimeoutError as error:
        raise DeliveryError(f"{method}: no answer in time") from error
    except AttributeError as error:  # the library takes every text for an object
        raise DeliveryError(f"{method}: an answer that is not Slack's") from error
    except ClientError as error:
        raise DeliveryError(f"{method}: {type(error).__name__}") from error
    return as_object(response.data)


def as_object(value: object) -> JsonObject:
    """Give an object as it is, and an empty one for anything else."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _flag(value: object) -> object:
    """Write a boolean for a form, as Slack's documentation does."""
    return str(value).lower() if isinstance(value, bool) else value


def _refusal(method: str, response: object) -> DeliveryError:
    """Read a response that is no success: Slack's own, or that of something in between."""
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    data = as_object(getattr(response, "data", None))
    if status == _TOO_MANY or data.get("error") in {"ratelimited", "rate_limited"}:
        return DeliveryError(f"{method}: Slack asks to wait", retry_after=_pause(getattr(response, "headers", {})))
    code, needed = data.get("error"), data.get("needed")
    if isinstance(code, str):
        return SlackError(method, code, needed=needed if isinstance(needed, str) else "")
    return DeliveryError(f"{method}: HTTP {status}")


def _pause(headers: Mapping[str, str]) -> float | None:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return min(float(text), MAX_PAUSE) if text.isascii() and text.isdigit() else None


async def pages(
    client: AsyncWebClient, method: str, arguments: JsonObject, key: str, *, most: int | None = None
) -> AsyncGenerator[JsonObject]:
    """Yield the objects of a list that Slack gives page by page, of at most `most` pages."""
    cursor, seen = "", 0
    while most is None or seen < most:
        page = await call(client, method, {**arguments, "limit": _PAGE, **({"cursor": cursor} if cursor else {})})
        for one in cast("list[JsonObject]", page.get(key) or []):
            yield one
        cursor = str(as_object(page.get("response_metadata")).get("next_cursor") or "")
        seen += 1
        if not cursor:
            return
