"""Questions in a Discord channel, through its webhook; each message is edited as its question goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import httpx2

from awaithumans import DeliveryError, InvalidRoutingError, Notice, Task

GREY, BLUE, GREEN = 0x99AAB5, 0x5865F2, 0x57F287
UNKNOWN_MESSAGE = 10008
MARKUP = re.compile(r"([\\*_~`|>\[\]()<#@-])")


class DiscordChannel:
    """Tells Discord channels, as `discord:<name>`.

    `webhooks` has the address of each name's webhook. It is a secret, so it
    stands in no task.
    """

    name = "discord"

    def __init__(self, webhooks: Mapping[str, str]) -> None:
        self._webhooks = dict(webhooks)
        self._http = httpx2.AsyncClient(timeout=10)

    def check(self, target: str) -> None:
        if target not in self._webhooks:
            raise InvalidRoutingError("notify", f"{target[:100]!r} is no Discord channel that is set up here")

    async def send(self, notice: Notice) -> str | None:
        webhook = self._webhooks[notice.target]
        message = {"embeds": [embed(notice)], "allowed_mentions": {"parse": []}}
        if notice.receipt is None or notice.event == "reminder":
            sent = await self._http.post(webhook, params={"wait": "true"}, json=message)
        else:
            sent = await self._http.patch(f"{webhook}/messages/{notice.receipt}", json=message)
        if sent.is_success:  # edited is always the first message; a reminder has to be a new one to be noticed
            return notice.receipt or str(sent.json()["id"])
        return refused(sent, notice)

    async def aclose(self) -> None:
        await self._http.aclose()


def refused(sent: httpx2.Response, notice: Notice) -> str | None:
    """Raise what the runner goes by, in words that name no address."""
    said = sent.json() if sent.headers.get("content-type", "").startswith("application/json") else {}
    if sent.status_code == HTTPStatus.NOT_FOUND and said.get("code") == UNKNOWN_MESSAGE:
        return notice.receipt  # somebody deleted it: there is nothing left to edit
    if sent.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise DeliveryError("Discord asks for a pause", retry_after=float(said.get("retry_after", 5)))
    reason = f"Discord answered {sent.status_code}: {said.get('message', 'no reason')}"
    raise DeliveryError(reason, permanent=sent.is_client_error)


def embed(notice: Notice) -> dict[str, object]:
    """Give what is shown. Never `notice.link`: everybody in the channel reads it."""
    task = notice.task
    title = task.spec.task.strip().partition("\n")[0] or "Untitled question"
    shown: dict[str, object] = {
        "title": MARKUP.sub(r"\\\1", title[:120]),
        "description": MARKUP.sub(r"\\\1", status(task)),
        "color": GREEN if task.closed else GREY if task.assignee else BLUE,
        "footer": {"text": notice.id},
    }
    return shown | {"url": notice.url} if notice.url else shown


def status(task: Task) -> str:
    if task.closed:
        by = f" by {task.answer.by.human.label}" if task.response is not None and task.answer else ""
        return f"{task.status.value.replace('_', ' ').capitalize()}{by}"
    if task.refused:
        return "The answer was refused; it is open again"
    return f"{task.assignee.label} has it" if task.assignee else "Waits for an answer"
