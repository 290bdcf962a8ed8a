"""What people do with buttons and modals.

Slack waits three seconds for a reply. A click is replied to at once, and what
it asks for is done afterwards: nothing of it matters if it is lost, since the
person can click again. A modal that was sent in is replied to once its answer
is stored, however long that takes: past the three seconds Slack itself tells
the person that it did not work, and keeps the modal as it was filled in. Sent
once more, the same answer of the same person is recognised.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs

import anyio
from pydantic import BaseModel, ValidationError

from awaithumans import forms
from awaithumans.beside import beside
from awaithumans.channels.slack import answers, modal
from awaithumans.channels.slack.calls import as_object, call
from awaithumans.channels.slack.messages import CLAIM, OPEN
from awaithumans.channels.slack.people import People, Visitor
from awaithumans.channels.slack.refusals import GONE, UNKNOWN, refusal, was_given
from awaithumans.channels.slack.replies import json_reply, text_reply, whisper
from awaithumans.channels.slack.signatures import is_repeated
from awaithumans.channels.slack.workspaces import Workspaces
from awaithumans.clock import sleep
from awaithumans.engine import Engine
from awaithumans.errors import AccessError, ConflictError, SchemaValidationError, TaskNotFoundError
from awaithumans.protocols import Clock, DeliveryError
from awaithumans.types import Actor, Claim, Inbound, JsonObject, Reply, Submit, Task, TaskStatus

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

logger = logging.getLogger("awaithumans.channels.slack")

PATIENCE_SECONDS = 0.7
"""How long a click may go without anything to see; what opens a modal is good for three seconds."""
REPLY_SECONDS = 2.0
"""How long after it was sent in an answer may wait for its verdict, before the modal says that it is being checked."""
VERDICT_SECONDS = 30.0
"""How long a modal that says so is then brought up to date."""


class _Ref(BaseModel):
    id: str


class _User(_Ref):
    team_id: str | None = None


class _Sent(BaseModel):
    team: _Ref | None = None
    user: _User

    @property
    def visitor(self) -> Visitor:
        """Give who sent it; without a workspace it is done in their own."""
        home = self.user.team_id or (self.team.id if self.team else "")
        return Visitor(self.team.id if self.team else home, self.user.id, home)


class _Action(BaseModel):
    action_id: str
    value: str = ""


class _Click(_Sent):
    type: Literal["block_actions"]
    actions: list[_Action] = []
    trigger_id: str = ""
    response_url: str | None = None
    channel: _Ref | None = None


class _State(BaseModel):
    values: dict[str, dict[str, dict[str, object]]] = {}


class _View(_Ref):
    callback_id: str = ""
    private_metadata: str = ""
    state: _State = _State()


class _Submission(_Sent):
    type: Literal["view_submission"]
    view: _View


class _RefusedError(Exception):
    """What was asked for cannot be had; the text says why, to the person."""


class _FaultyError(Exception):
    """What was filled in is no answer; `errors` says what is wrong, by field."""

    def __init__(self, task: Task, typed: Mapping[str, Sequence[str]], errors: Mapping[str, str]) -> None:
        super().__init__("the form was refused")
        self.task = task
        self.typed = typed
        self.errors = errors


class Interactions:
    """Receives what Slack posts when somebody clicks, or sends a modal in."""

    def __init__(self, engine: Engine, workspaces: Workspaces, people: People, clock: Clock) -> None:
        self._engine = engine
        self._workspaces = workspaces
        self._people = people
        self._clock = clock

    async def receive(self, request: Inbound) -> Reply:
        """Answer one request that Slack has signed."""
        try:
            (payload,) = parse_qs(request.body.decode(), strict_parsing=True)["payload"]
            sent = _read(payload)
        except (ValueError, KeyError, ValidationError):
            return text_reply(400, "this is no interaction of Slack's")
        match sent:
            case _Click():
                return self._clicked(sent)
            case _Submission() if sent.view.callback_id == modal.CALLBACK_ID:
                return await self._sent_in(sent, retried=is_repeated(request))
            case _:
                return Reply()

    # ── Buttons ───────────────────────────────────────────────────────────────

    def _clicked(self, click: _Click) -> Reply:
        actions = {action.action_id: action.value for action in click.actions if action.value}
        task_id = actions.get(CLAIM) or actions.get(OPEN)
        if not (task_id and click.trigger_id):
            return Reply()

        async def afterwards() -> None:
            await self._show(click, task_id, claiming=CLAIM in actions)

        return Reply(afterwards=afterwards)

    async def _show(self, click: _Click, task_id: str, *, claiming: bool) -> None:
        """Open the task in a modal, or tell the person why not."""
        window = None
        try:
            client = await self._workspaces.client(click.visitor.team_id)
            window = _Window(client, click.trigger_id, task_id, self._clock)
            async with beside(window.open_in_time):
                view = await self._view(click.visitor, task_id, claiming=claiming)
                await window.show(view)
        except _RefusedError as refused:
            await self._refuse(click, window, str(refused))
        except Exception:  # nobody else hears of it
            logger.exception("task %s could not be opened in Slack", task_id)
            await self._refuse(click, window, "That did not work. Please click again.")

    async def _refuse(self, click: _Click, window: _Window | None, text: str) -> None:
        if window and await window.say(text):
            return
        await whisper(
            self._workspaces,
            text,
            team_id=click.visitor.team_id,
            channel=click.channel.id if click.channel else None,
            user_id=click.user.id,
            response_url=click.response_url,
        )

    async def _view(self, visitor: Visitor, task_id: str, *, claiming: bool) -> JsonObject:
        """Give the modal in which this person answers the task. Raises `_RefusedError`."""
        actor = await self._known(visitor)
        if claiming:
            await self._claim(task_id, actor)
        task = await self._found(task_id)
        if why := refusal(task, actor.human):
            raise _RefusedError(why)
        if not modal.drawable(task):
            url = self._engine.page_url(task.id)
            raise _RefusedError("Slack cannot show this form." + (f" Answer it here: {url}" if url else ""))
        return self._review(task)

    def _review(self, task: Task) -> JsonObject:
        values, errors = forms.prefilled(task)
        return modal.review_view(task, values=values, errors=errors, url=self._engine.page_url(task.id))

    async def _claim(self, task_id: str, actor: Actor) -> None:
        """Claim a task, if it is to be had; how it then stands says whether it was."""
        with suppress(ConflictError, AccessError, TaskNotFoundError):
            await self._engine.act(task_id, Claim(by=actor))

    async def _known(self, visitor: Visitor) -> Actor:
        actor = await self._people.actor(visitor)
        if actor is None:
            raise _RefusedError(UNKNOWN)
        return actor

    async def _found(self, task_id: str) -> Task:
        try:
            return await self._engine.get(task_id)
        except TaskNotFoundError:
            raise _RefusedError(GONE) from None

    # ── Modals ────────────────────────────────────────────────────────────────

    async def _sent_in(self, sent: _Submission, *, retried: bool) -> Reply:
        """Store an answer, and reply with what came of it."""
        came_at = self._clock.now()
        if not sent.view.private_metadata:
            return text_reply(400, "this modal does not say which task it is about")
        try:
            actor = await self._known(sent.visitor)
            task = await self._stored(await self._found(sent.view.private_metadata), actor, sent, retried=retried)
        except _FaultyError as faulty:
            return _corrected(faulty)
        except _RefusedError as refused:
            return _updated(modal.said_view("Not stored", str(refused)))
        if task.status is TaskStatus.SUBMITTED:
            elapsed = (self._clock.now() - came_at).total_seconds()
            task = await self._engine.wait_for_verdict(task.id, timeout=max(REPLY_SECONDS - elapsed, 0))
        return self._came_of(task, sent, actor)

    async def _stored(self, task: Task, actor: Actor, sent: _Submission, *, retried: bool) -> Task:
        """Give the answer that is in a modal, unless it has been given already.

        Raises `_FaultyError`, and `_RefusedError`.
        """
        spec = task.spec
        filled_in = answers.submitted(task, sent.view.state.values)
        known = answers.began_with(task, sent.view.state.values)
        form = forms.parse(spec.form, spec.response_schema, filled_in, known)
        if form.errors:
            raise _FaultyError(task, form.typed, form.errors)
        answer = Submit(value=form.value, by=actor, attempt=task.attempt)
        if retried and was_given(task, answer):
            return task
        try:
            return await self._engine.act(task.id, answer)
        except SchemaValidationError as error:
            raise _FaultyError(task, form.typed, error.fields) from error
        except (ConflictError, AccessError) as error:
            task = await self._engine.get(task.id)
            if not was_given(task, answer):
                raise _RefusedError(refusal(task, actor.human) or str(error)) from error
            return task

    def _came_of(self, task: Task, sent: _Submission, actor: Actor) -> Reply:
        view = self._after(task, actor)
        if view is None:
            return json_reply({})
        reply = _updated(view)
        if task.status is not TaskStatus.SUBMITTED:
            return reply

        async def afterwards() -> None:
            await self._tell_verdict(task, sent, actor)

        return replace(reply, afterwards=afterwards)

    def _after(self, task: Task, actor: Actor) -> JsonObject | None:
        """Give the modal for a task behind an answer to it; None closes it."""
        if task.status is TaskStatus.COMPLETED:
            return None
        if task.refused:
            return self._review(task)
        if task.status is TaskStatus.SUBMITTED:
            return modal.said_view("Stored", "Your answer is stored, and is being checked.")
        return modal.said_view("Closed", refusal(task, actor.human) or "")

    async def _tell_verdict(self, task: Task, sent: _Submission, actor: Actor) -> None:
        """Bring the modal up to date; its message is edited in any case."""
        with suppress(TaskNotFoundError):
            task = await self._engine.wait_for_verdict(task.id, timeout=VERDICT_SECONDS)
            view = self._after(task, actor) or modal.said_view("Thank you", "Your answer was accepted.")
            try:
                client = await self._workspaces.client(sent.visitor.team_id)
                await call(client, "views.update", {"view_id": sent.view.id, "view": view})
            except DeliveryError as error:  # the person has closed it
                logger.info("task %s: its modal in Slack stays as it is: %s", task.id, error)


class _Window:
    """A modal that opens in time, whatever takes long: if need be, without its content."""

    def __init__(self, client: AsyncWebClient, trigger_id: str, task_id: str, clock: Clock) -> None:
        self._client = client
        self._trigger_id = trigger_id
        self._task_id = task_id
        self._clock = clock
        self._calling = anyio.Lock()
        self._filled = False
        self._view_id: str | None = None

    async def open_in_time(self) -> None:
        """Open it empty, unless its content is there within `PATIENCE_SECONDS`."""
        await sleep(self._clock, PATIENCE_SECONDS)
        async with self._calling:
            if self._filled:
                return
            try:
                await self._put(modal.loading_view(self._task_id))
            except DeliveryError as error:
                logger.warning("task %s: Slack opens no modal: %s", self._task_id, error)

    async def show(self, view: JsonObject) -> None:
        """Show its content. Raises `DeliveryError`."""
        async with self._calling:
            self._filled = True
            await self._put(view)

    async def _put(self, view: JsonObject) -> None:
        with anyio.CancelScope(shield=True):  # once it is open, its id must be known
            if self._view_id:
                await call(self._client, "views.update", {"view_id": self._view_id, "view": view})
            else:
                opened = await call(self._client, "views.open", {"trigger_id": self._trigger_id, "view": view})
                self._view_id = str(as_object(opened["view"])["id"])

    async def say(self, text: str) -> bool:
        """Show a sentence in place of the form; tell whether there was a modal to show it in."""
        if self._view_id is None:
            return False
        try:
            await self.show(modal.said_view("Not open", text))
        except DeliveryError:
            return False
        return True


def _read(payload: str) -> _Click | _Submission | None:
    kinds: Mapping[str, type[_Click | _Submission]] = {"block_actions": _Click, "view_submission": _Submission}
    kind = kinds.get(_Typed.model_validate_json(payload).type)
    return kind.model_validate_json(payload) if kind else None


class _Typed(BaseModel):
    type: str


def _corrected(faulty: _FaultyError) -> Reply:
    """Show what is wrong at the fields; where there are none, above the form."""
    at_blocks = answers.block_errors(faulty.task, faulty.errors)
    if at_blocks:
        return json_reply({"response_action": "errors", "errors": at_blocks})
    return _updated(modal.review_view(faulty.task, values=faulty.typed, errors=faulty.errors))


def _updated(view: JsonObject) -> Reply:
    return json_reply({"response_action": "update", "view": view})
