"""What is said back to Slack: in the reply, and to one person alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from awaithumans.channels.slack.blocks import escaped
from awaithumans.channels.slack.calls import call
from awaithumans.channels.slack.workspaces import Workspaces
from awaithumans.protocols import DeliveryError
from awaithumans.types import JsonObject, Reply

logger = logging.getLogger("awaithumans.channels.slack")

HTTP_OK = 200


def json_reply(content: JsonObject) -> Reply:
    """Reply with JSON."""
    return Reply(headers={"content-type": "application/json"}, body=json.dumps(content).encode())


def text_reply(status: int, text: str) -> Reply:
    """Reply with a line for whoever looks into it."""
    return Reply(status=status, headers={"content-type": "text/plain; charset=utf-8"}, body=f"{text}\n".encode())


async def whisper(
    workspaces: Workspaces,
    text: str,
    *,
    team_id: str,
    channel: str | None,
    user_id: str,
    response_url: str | None = None,
    thread_ts: str | None = None,
    is_markup: bool = False,
) -> None:
    """Say something in a channel that only this person sees, if Slack can be reached.

    `text` is shown as it is, unless it is Slack's markup, in which all else is escaped.

    By the address that came with a click, where there is one of Slack's: it
    needs no membership in the channel.
    """
    text = text if is_markup else escaped(text)
    try:
        if response_url and workspaces.is_slacks(response_url) and await _responded(workspaces, response_url, text):
            return
        if channel:
            thread = {"thread_ts": thread_ts} if thread_ts else {}
            said = {"channel": channel, "user": user_id, "text": text, **thread}
            await call(await workspaces.client(team_id), "chat.postEphemeral", said)
    except DeliveryError as error:
        logger.warning("%s in %s could not be told: %s", user_id, team_id, error)


async def _responded(workspaces: Workspaces, response_url: str, text: str) -> bool:
    from aiohttp import ClientError

    said: Mapping[str, object] = {"response_type": "ephemeral", "replace_original": False, "text": text}
    try:
        async with workspaces.session().post(response_url, json=said, allow_redirects=False) as response:
            return response.status == HTTP_OK
    except (ClientError, TimeoutError):
        return False
