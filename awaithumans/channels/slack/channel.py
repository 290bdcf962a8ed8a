"""Telling people in Slack of a task, and letting them answer it there."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from awaithumans.channels.slack import messages
from awaithumans.channels.slack.calls import SlackError, as_object, call, pages
from awaithumans.channels.slack.events import EVENT_TYPE
from awaithumans.channels.slack.people import People, Visitor
from awaithumans.channels.slack.reception import Reception
from awaithumans.channels.slack.targets import Accounts, Target
from awaithumans.channels.slack.workspaces import Installation, SlackApp, Workspaces
from awaithumans.clock import SystemClock
from awaithumans.errors import ConfigurationError, InvalidRoutingError
from awaithumans.protocols import Clock, DeliveryError
from awaithumans.types import Human, Inbound, JsonObject, Notice, Reply

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from awaithumans.engine import Engine

API_URL = "https://slack.com/api/"

_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})
_PAGES_LOOKED_THROUGH = 3
_BEFORE = 60.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a message stands."""

    channel: str
    ts: str
    team: str | None = None

    @classmethod
    def read(cls, text: str | None) -> Receipt | None:
        """Read what `send` returned; None if it is nothing of the kind."""
        try:
            kept = as_object(json.loads(text or ""))
        except ValueError:
            return None
        channel, ts, team = (str(kept.get(key) or "") for key in ("channel", "ts", "team"))
        return cls(channel, ts, team or None) if channel and ts else None

    def __str__(self) -> str:
        """Write it as it is kept."""
        return json.dumps({"channel": self.channel, "ts": self.ts, "team": self.team})


class SlackChannel:
    """Tells people of tasks in Slack, and takes their answers there.

    Arguments:
        token: the bot token (`xoxb-…`) of the one workspace the app is in.
        signing_secret: what Slack signs with what it sends; several while it
            is being replaced.
        app: instead of `token`, an app that several workspaces can install.
        link_by_email: the ids of workspaces whose word is taken for their
            members' e-mail addresses. There, a full member whom the directory
            does not know by Slack id is the person with their confirmed
            address, and no operator. Whoever runs the workspace decides who
            has which address.
        api_url: where Slack's Web API is; http is for this machine only.
        clock: the time; by default this machine's.
        timeout: seconds that one call of the API may take.

    A target is a channel (`#approvals`, or its id), a member's id, an e-mail
    address, or `@name`: an account's own name, never the display name or real
    name, which people can set themselves. Before the colon may stand the
    workspace, as in `slack+T0123ABCD:#approvals`.

    There is one message per task and recipient. It shows the task as it
    stands, without its payload, and is edited whenever that changes. A message
    that several people read has a button to claim the task and no personal
    link; one to a single account has it where an answer from that account would
    be the person's. A reminder is a reply under the message.

    Delivery is at least once. A message is marked with the task, and before a
    second attempt the channel looks for it; where the app may not read the
    conversation's history, a crash between Slack's answer and the store's can
    leave a message twice, of which the older is not edited any more.

    Of what people do in Slack only that counts which Slack has signed, and of
    people only those whom the directory knows by user id and workspace
    (`Human.slack_user_id`, `slack_team_id`); it is asked each time. A click is
    replied to at once. An answer is stored before the modal says so.

    It runs on asyncio only. Connections are kept per event loop and reused;
    `aclose` closes those of the running loop.
    """

    name = "slack"

    def __init__(
        self,
        *,
        token: str | None = None,
        signing_secret: str | Sequence[str] = (),
        app: SlackApp | None = None,
        link_by_email: Collection[str] = (),
        api_url: str = API_URL,
        clock: Clock | None = None,
        timeout: float = 10.0,
    ) -> None:
        if not (find_spec("slack_sdk") and find_spec("aiohttp")):
            raise ConfigurationError(
                "SlackChannel needs slack_sdk and aiohttp", hint='Install them: pip install "awaithumans[slack]".'
            )
        self._clock = clock or SystemClock()
        self._signing_secret = signing_secret
        self._link_by_email = link_by_email
        self._workspaces = Workspaces(token=token, app=app, api_url=api_url, timeout=timeout)
        self._accounts = Accounts(self._clock)
        self._people: People | None = None
        self._bound: Reception | None = None

    def bind(self, engine: Engine) -> None:
        """Use this engine, which has the tasks and the people."""
        self._workspaces.bind(engine)
        self._people = People(engine.directory, self._workspaces, by_email=self._link_by_email)
        self._bound = Reception(engine, self._workspaces, self._people, self._signing_secret, self._clock)

    def check(self, target: str) -> None:
        """Raise `InvalidRoutingError` unless `target` is in the grammar."""
        Target.parse(target)

    def address_of(self, human: Human) -> str | None:
        """Give a person's Slack id, else their e-mail address; the workspace is that of `Human.slack_team_id`."""
        return human.slack_user_id or human.email

    async def send(self, notice: Notice) -> str | None:
        """Post the task's message, bring it up to date, or remind of it."""
        try:
            target = Target.parse(notice.target)
        except InvalidRoutingError as fault:
            raise DeliveryError(str(fault.message), permanent=True) from None
        team = notice.identity or (notice.person.slack_team_id if notice.person else None)
        client = await self._workspaces.client(team)
        notice = replace(notice, person=_reader(notice.person, target, team))
        if notice.link and not await self._reaches(notice.person, client, target, team):
            notice = replace(notice, link=None)
        told = _Telling(client, self._accounts, notice, target, team)
        receipt = Receipt.read(notice.receipt) or await told.found()
        if receipt is None:
            return None if notice.task.closed else await told.post()
        if notice.event == "reminder":
            return await told.remind(receipt)
        return await told.edit(receipt)

    async def _reaches(self, person: Human | None, client: AsyncWebClient, target: Target, team: str | None) -> bool:
        """Tell whether the account that a target means is this person's, as it would be if it answered."""
        if person is None or self._people is None:
            return False
        try:
            account = await self._accounts.address(client, team, target)
            home = (await self._workspaces.bot(team)).team_id
        except DeliveryError as error:
            if error.permanent:
                return False
            raise
        actor = await self._people.actor(Visitor(home, account, home))
        return actor is not None and bool(actor.human.addresses & person.addresses)

    async def receive(self, request: Inbound) -> Reply:
        """Answer what Slack, or an operator's browser, sends."""
        return await self._reception.receive(request)

    async def aclose(self) -> None:
        """Close the running loop's connections; harmless when repeated."""
        await self._workspaces.aclose()

    # ── Installations of an app ───────────────────────────────────────────────

    def install_link(self) -> str:
        """Make an address at which somebody installs the app in their workspace.

        Whoever has it within ten minutes can: give it to people you trust with
        that. Raises `ConfigurationError` without `app`, or where the engine
        has no `public_url`.
        """
        return self._reception.installer.link()

    async def installations(self) -> list[Installation]:
        """Return where the app is installed. Raises `ConfigurationError` without `app`."""
        return await self._workspaces.installations()

    async def uninstall(self, team_id: str) -> bool:
        """Erase a workspace's token; tell whether there was one.

        The app is removed from the workspace, too, if Slack can be reached.
        Raises `ConfigurationError` without `app`.
        """
        return await self._workspaces.uninstall(team_id)

    @property
    def _reception(self) -> Reception:
        if self._bound is None:
            raise ConfigurationError(
                "this Slack channel belongs to no engine", hint="Pass it on: Engine(channels=[channel])."
            )
        return self._bound


def _reader(person: Human | None, target: Target, team: str | None) -> Human | None:
    """Return whom the directory found by the target, if Slack means the same person by it.

    Elsewhere an id can be somebody's who has nothing to do with them: a name in
    Slack can be the id of another person in the directory.
    """
    if person is None or target.kind == "email":
        return person
    same = target.kind == "person" and (person.slack_user_id or "").upper() == target.value
    return person if same and person.slack_team_id in {None, team} else None


class _Telling:
    """One notice on its way to one conversation."""

    def __init__(
        self, client: AsyncWebClient, accounts: Accounts, notice: Notice, target: Target, team: str | None
    ) -> None:
        self._client = client
        self._accounts = accounts
        self._notice = notice
        self._target = target
        self._team = team

    async def post(self) -> str:
        address = await self._address()
        arguments = {"channel": address, **self._message(), "metadata": self._mark(), "unfurl_links": False}
        posted = await call(self._client, "chat.postMessage", arguments)
        return str(Receipt(str(posted["channel"]), str(posted["ts"]), self._team))

    async def edit(self, receipt: Receipt) -> str:
        """Bring a message up to date; one that is gone is posted anew while there is something to answer."""
        place = {"channel": receipt.channel, "ts": receipt.ts}
        try:
            await call(self._client, "chat.update", {**place, **self._message()})
        except SlackError as error:
            return await self._anew(receipt, error)
        return str(receipt)

    async def remind(self, receipt: Receipt) -> str:
        """Reply under the message, which Slack tells people of, as it does not of an edit."""
        notice, broadcast = self._notice, self._target.broadcast
        acts = messages.may_act(notice.task, notice.person, broadcast=False)
        if not (broadcast or acts) or await self._reminded(receipt):
            return str(receipt)
        text = messages.reminder(notice.task, broadcast=broadcast, team=self._team)
        place = {"channel": receipt.channel, "thread_ts": receipt.ts, "reply_broadcast": broadcast}
        try:
            await call(self._client, "chat.postMessage", {**place, "text": text, "metadata": self._mark()})
        except SlackError as error:
            return await self._anew(receipt, error)
        return str(receipt)

    async def found(self) -> Receipt | None:
        """Look for a message whose receipt was lost, if there may be one."""
        if self._notice.event == "opened" and self._notice.attempt == 1:
            return None
        task = self._notice.task

        def is_it(payload: JsonObject) -> bool:
            return (payload.get("task"), payload.get("target")) == (task.id, self._notice.target)

        try:
            conversation = await self._conversation()
            ts = await self._marked("conversations.history", {"channel": conversation}, is_it)
        except DeliveryError as error:
            if error.permanent:  # without the right to look, or with nowhere to look, nothing is found
                return None
            raise
        return Receipt(conversation, ts, self._team) if ts else None

    async def _anew(self, receipt: Receipt, error: SlackError) -> str:
        if error.code not in _GONE:
            raise error
        return str(receipt) if self._notice.task.closed else await self.post()

    async def _reminded(self, receipt: Receipt) -> bool:
        if self._notice.attempt == 1:
            return False
        place = {"channel": receipt.channel, "ts": receipt.ts}
        try:
            ts = await self._marked(
                "conversations.replies", place, lambda payload: payload.get("id") == self._notice.id
            )
        except SlackError as error:
            if error.permanent or error.code in _GONE:
                return False
            raise
        return bool(ts)

    async def _marked(self, method: str, place: JsonObject, wanted: Callable[[JsonObject], bool]) -> str:
        """Return the `ts` of the latest message whose mark is wanted; "" if there is none."""
        since = self._notice.task.created_at.timestamp() - _BEFORE
        arguments = {**place, "include_all_metadata": True, "oldest": f"{since:.6f}"}
        async with aclosing(
            pages(self._client, method, arguments, "messages", most=_PAGES_LOOKED_THROUGH)
        ) as candidates:
            async for message in candidates:
                mark = as_object(message.get("metadata"))
                if mark.get("event_type") == EVENT_TYPE and wanted(as_object(mark.get("event_payload"))):
                    return str(message["ts"])
        return ""

    async def _address(self) -> str:
        return await self._accounts.address(self._client, self._team, self._target)

    async def _conversation(self) -> str:
        """Return the id of the conversation that messages to the target stand in."""
        address = await self._address()
        if address.startswith("#"):
            return await self._channel_named(address[1:])
        if self._target.kind == "conversation":
            return address
        opened = await call(self._client, "conversations.open", {"users": address})
        return str(as_object(opened.get("channel"))["id"])

    async def _channel_named(self, name: str) -> str:
        kinds = {"types": "public_channel,private_channel", "exclude_archived": True}
        async with aclosing(pages(self._client, "conversations.list", kinds, "channels")) as channels:
            async for channel in channels:
                if channel.get("name") == name:
                    return str(channel["id"])
        raise SlackError("conversations.list", "channel_not_found")

    def _message(self) -> dict[str, object]:
        text, blocks = messages.task_message(
            self._notice.task,
            broadcast=self._target.broadcast,
            url=self._notice.url,
            link=self._notice.link,
            person=self._notice.person,
            team=self._team,
        )
        return {"text": text, "blocks": blocks}

    def _mark(self) -> dict[str, object]:
        """Mark a message, so that it is known again."""
        notice = self._notice
        payload = {"id": notice.id, "task": notice.task.id, "target": notice.target}
        return {"event_type": EVENT_TYPE, "event_payload": payload}
