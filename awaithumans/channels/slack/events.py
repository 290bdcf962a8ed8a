"""What Slack tells of by itself: replies in threads, and that the app was removed.

An event that is not replied to within three seconds comes again, up to three
times. It is handled before the reply; one that comes again finds the task as
the first left it, and an answer that a verifier has refused since is not given
again by it.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from contextlib import suppress
from html import unescape
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ValidationError

from awaithumans import forms
from awaithumans.channels.slack.blocks import escaped, one_line
from awaithumans.channels.slack.calls import SlackError, as_object, call
from awaithumans.channels.slack.details import lines_of
from awaithumans.channels.slack.messages import MAX_REASON
from awaithumans.channels.slack.people import People, Visitor
from awaithumans.channels.slack.refusals import refusal, was_ever_given
from awaithumans.channels.slack.replies import json_reply, text_reply, whisper
from awaithumans.channels.slack.signatures import is_repeated
from awaithumans.channels.slack.workspaces import Bot, Workspaces
from awaithumans.engine import Engine
from awaithumans.errors import AccessError, ConflictError, InvalidInputError, TaskNotFoundError
from awaithumans.protocols import DeliveryError
from awaithumans.types import MAX_TASK_LENGTH, Actor, Answer, Inbound, JsonObject, Reply, Submit, Task, TaskStatus

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

logger = logging.getLogger("awaithumans.channels.slack")

EVENT_TYPE = "awaithumans_notice"
"""The type of the metadata that the app's own messages carry."""
HINT = "A reply is not read as an answer to this question. Please use the button of the message above."
TAKEN = "Your answer is stored."
VERDICT_SECONDS = 30.0
"""How long a verdict is waited for, to be told in the thread; the message itself is edited in any case."""
MAX_HINTS = 1_000

_DEAD = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_revoked", "app_uninstalled"})
_SUBTYPES = frozenset({None, "thread_broadcast"})
_LINK = re.compile(r"<(?:mailto:|tel:)?([^|<>@#!][^|<>]*)(?:\|[^<>]*)?>")
"""What Slack makes of an address: the address, and what is shown for it."""
_END = re.compile(r"[.!\s]*\Z")


class _Event(BaseModel):
    type: str = ""
    subtype: str | None = None
    channel: str = ""
    channel_type: str = ""
    user: str = ""
    user_team: str | None = None
    bot_id: str | None = None
    text: str = ""
    thread_ts: str = ""
    parent_user_id: str | None = None


class _Envelope(BaseModel):
    type: str
    challenge: str = ""
    team_id: str = ""
    event: _Event = _Event()


class Events:
    """Receives what Slack posts to the app's event address."""

    def __init__(self, engine: Engine, workspaces: Workspaces, people: People) -> None:
        self._engine = engine
        self._workspaces = workspaces
        self._people = people
        self._hinted: OrderedDict[tuple[str, ...], None] = OrderedDict()

    async def receive(self, request: Inbound) -> Reply:
        """Answer one request that Slack has signed."""
        try:
            told = _Envelope.model_validate_json(request.body)
        except ValidationError:
            return text_reply(400, "this is no event of Slack's")
        try:
            return await self._heard(told, repeated=is_repeated(request))
        except DeliveryError as error:
            logger.warning("an event of Slack workspace %s: %s", told.team_id, error)
            return Reply() if error.permanent else text_reply(503, "Slack did not answer; send it again")

    async def _heard(self, told: _Envelope, *, repeated: bool) -> Reply:
        match told.type, told.event.type:
            case "url_verification", _:
                return json_reply({"challenge": told.challenge})
            case "event_callback", "app_uninstalled" | "tokens_revoked":
                await self._forget_if_dead(told.team_id)
            case "event_callback", "message" if _may_answer(told.event):
                return await self._replied(told.team_id, told.event, repeated=repeated)
            case _:
                pass
        return Reply()

    # ── The app was removed ───────────────────────────────────────────────────

    async def _forget_if_dead(self, team_id: str) -> None:
        """Erase an installation whose token is none any more.

        The event may be late, and the app installed again since.
        """
        if self._workspaces.app and await self._workspaces.forget_if(team_id, _is_dead):
            logger.info("the Slack app was removed from workspace %s", team_id)

    # ── Replies in a thread ───────────────────────────────────────────────────

    async def _replied(self, team_id: str, event: _Event, *, repeated: bool) -> Reply:
        bot = await self._workspaces.bot(team_id)
        if event.parent_user_id not in {None, bot.user_id} or not _is_meant(event, bot):
            return Reply()
        task = await self._task(bot, event)
        home = event.user_team or team_id
        actor = await self._people.actor(Visitor(team_id, event.user, home))
        if task is None or actor is None or refusal(task, actor.human):
            return Reply()
        answer = self._meant(task, event.text.replace(f"<@{bot.user_id}>", ""), actor)
        if answer is None:
            return self._hint(team_id, event)
        if repeated and was_ever_given(task, answer):
            return Reply()
        return await self._answered(team_id, event, task, answer)

    async def _answered(self, team_id: str, event: _Event, task: Task, answer: Submit) -> Reply:
        """Give an answer, and say to its writer what came of it."""
        human = answer.by.human
        try:
            task = await self._engine.act(task.id, answer)
        except InvalidInputError as error:
            return self._whispering(team_id, event, "; ".join(error.fields.values()))
        except (ConflictError, AccessError) as error:  # somebody was faster
            task = await self._engine.get(task.id)
            return self._whispering(team_id, event, refusal(task, human) or str(error))
        if task.status is TaskStatus.SUBMITTED:
            return self._whispering_verdict(team_id, event, task)
        return self._whispering(team_id, event, TAKEN)

    def _meant(self, task: Task, text: str, by: Actor) -> Submit | None:
        """Make an answer of a reply: the very word of a choice, or words for the verifier to read."""
        if (value := answer_in(text, task)) is not None:
            return Submit(value=value, by=by, attempt=task.attempt)
        words = unescape(_LINK.sub(r"\1", text)).strip()
        if not 0 < len(words) <= MAX_TASK_LENGTH or not self._engine.reads_text(task):
            return None
        return Submit(text=words, by=by, attempt=task.attempt)

    async def _task(self, bot: Bot, event: _Event) -> Task | None:
        """Return the task that the thread is about: its first message, which is ours, says so."""
        client = await self._workspaces.client(bot.team_id)
        place = {"channel": event.channel, "ts": event.thread_ts, "limit": 1, "include_all_metadata": True}
        thread = await call(client, "conversations.replies", place)
        messages = cast("list[object]", thread.get("messages") or [None])
        first = as_object(messages[0])
        mark = as_object(first.get("metadata"))
        ours = first.get("user") == bot.user_id and first.get("ts") == event.thread_ts
        if not ours or mark.get("event_type") != EVENT_TYPE:
            return None
        try:
            return await self._engine.get(str(as_object(mark.get("event_payload")).get("task")))
        except TaskNotFoundError:
            return None

    def _hint(self, team_id: str, event: _Event) -> Reply:
        """Say, once to each person in a thread, how to answer."""
        key = (team_id, event.channel, event.thread_ts, event.user)
        if key in self._hinted:
            return Reply()
        self._hinted[key] = None
        if len(self._hinted) > MAX_HINTS:
            self._hinted.popitem(last=False)
        return self._whispering(team_id, event, HINT)

    def _whispering(self, team_id: str, event: _Event, text: str) -> Reply:
        return Reply(afterwards=lambda: self._whisper(team_id, event, text))

    def _whispering_verdict(self, team_id: str, event: _Event, task: Task) -> Reply:
        async def afterwards() -> None:
            with suppress(TaskNotFoundError):
                judged = await self._engine.wait_for_verdict(task.id, timeout=VERDICT_SECONDS)
                await self._whisper(team_id, event, said_of_verdict(judged, task.answer), is_markup=True)

        return Reply(afterwards=afterwards)

    async def _whisper(self, team_id: str, event: _Event, text: str, *, is_markup: bool = False) -> None:
        await whisper(
            self._workspaces,
            text,
            team_id=team_id,
            channel=event.channel,
            user_id=event.user,
            thread_ts=event.thread_ts,
            is_markup=is_markup,
        )


async def _is_dead(client: AsyncWebClient) -> bool:
    """Tell whether Slack takes the client's token no more. Raises `DeliveryError` where it does not say."""
    try:
        await call(client, "auth.test", {})
    except SlackError as error:
        if error.code not in _DEAD:
            raise
        return True
    return False


def answer_in(text: str, task: Task) -> JsonObject | None:
    """Return the answer that a reply in words gives; None if it gives none.

    It does where the task asks for one small choice, and the reply is one of
    its labels or values and nothing else. Letter case and a full stop do not
    count.
    """
    choices = forms.quick_answers(task.spec.form, task.spec.response_schema)
    return forms.chosen_by_word(unescape(text), choices, _plain)


def said_of_verdict(task: Task, given: Answer | None) -> str:
    """Say in Slack's markup what came of an answer, to the one who gave it: also how their words were read."""
    if given is None or task.answer is None or task.answer.attempt != given.attempt:
        return "Your answer was refused, and another one was given since."
    if task.refused:
        reason = one_line(task.verdict.reason) if task.verdict else ""
        why = f": {escaped(reason, MAX_REASON)}" if reason and not task.spec.confidential else "."
        return f"Your answer was refused{why} Reply once more, or use the button of the message above."
    if task.status is TaskStatus.SUBMITTED:
        return "Your answer is stored, and is being checked."
    if task.status is not TaskStatus.COMPLETED:
        return escaped(refusal(task, given.by.human) or "")
    if task.response is None or task.answer.text is None or task.spec.confidential:
        return "Your answer was accepted."
    return "\n".join(["Your words were taken as:", *lines_of(task.response, task.spec)])


def _plain(text: str) -> str:
    return _END.sub("", text.strip()).casefold()


def _may_answer(event: _Event) -> bool:
    return bool(event.thread_ts and event.user and not event.bot_id and event.subtype in _SUBTYPES)


def _is_meant(event: _Event, bot: Bot) -> bool:
    """Tell whether the app is spoken to: among others, only where it is named."""
    return event.channel_type == "im" or f"<@{bot.user_id}>" in event.text
