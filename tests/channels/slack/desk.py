"""An engine with a Slack channel behind a router, and what Slack would post to it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlencode

import httpx2
from pydantic import BaseModel
from slack_sdk.signature import SignatureVerifier
from starlette.types import Receive, Scope, Send

from awaithumans import build_spec
from awaithumans.channels.slack import SlackApp, SlackChannel
from awaithumans.engine import Engine
from awaithumans.protocols import Channel, Verifier
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Human, JsonObject, Task, VerifierConfig
from awaithumans.web import Router
from tests.channels.slack.slack_api import TEAM, SlackApi
from tests.slack import Line

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SECRET = "0123456789" * 4
HOST = "https://app.example"
CHANNEL = "C0000FLOOR"

ANA = Human(id="ana", email="ana@example.com", display_name="Ana <b>", slack_user_id="U0000ANA", slack_team_id=TEAM)
BOB = Human(id="bob", email="bob@example.com", display_name="Bob", slack_user_id="U0000BOB", slack_team_id=TEAM)
OLGA = Human(
    id="olga",
    email="olga@example.com",
    display_name="Olga",
    slack_user_id="U0000OLGA",
    slack_team_id=TEAM,
    operator=True,
)


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool
    note: str = ""


@dataclass
class Staff:
    """A directory that can be changed."""

    people: list[Human] = field(default_factory=lambda: [ANA, BOB, OLGA])

    async def resolve(self, assign_to: JsonObject) -> Sequence[Human]:
        names = assign_to.get("emails") or [assign_to.get("email")]
        return [human for human in self.people if human.email in cast("list[str]", names)]

    async def find(self, address: str) -> Human | None:
        return next((human for human in self.people if address.lower() in human.addresses), None)

    def dismiss(self, human: Human) -> None:
        self.people.remove(human)


class Desk:
    """Everything a test of what comes in needs."""

    def __init__(
        self,
        api: SlackApi | Line,
        *,
        store: MemoryStore | None = None,
        verifier: Verifier | None = None,
        app: SlackApp | None = None,
        token: str = "xoxb-static",
        signing_secret: str | Sequence[str] = SIGNING_SECRET,
        public_url: str = HOST,
        link_by_email: Sequence[str] = (),
        channels: Sequence[Channel] = (),
    ) -> None:
        self.api = api
        self.staff = Staff()
        self.store = store or MemoryStore()
        self.slack = SlackChannel(
            token=None if app else token,
            app=app,
            signing_secret=signing_secret,
            link_by_email=link_by_email,
            api_url=api.api_url,
        )
        self.engine = Engine(
            self.store,
            channels=[self.slack, *channels],
            directory=self.staff,
            secret=SECRET,
            public_url=public_url,
            verifiers={"careful": verifier} if verifier else {},
            background=False,
        )
        self.router = Router(self.engine)

    # ── Tasks ─────────────────────────────────────────────────────────────────

    async def ask(self, key: str = "k", **options: Any) -> Task:
        spec = build_spec(
            task="Approve this refund?",
            payload=Refund(order="A-1"),
            payload_schema=Refund,
            response_schema=options.pop("response_schema", Decision),
            timeout_seconds=600,
            idempotency_key=key,
            **options,
        )
        return await self.engine.create(spec)

    async def ask_checked(self, max_attempts: int = 3) -> Task:
        config = VerifierConfig(provider="careful", instructions="Say please.", max_attempts=max_attempts)
        return await self.ask(verifier=config)

    async def task(self, task: Task) -> Task:
        return await self.engine.get(task.id)

    # ── What Slack posts ──────────────────────────────────────────────────────

    async def click(
        self, action: str, task: Task, by: Human = ANA, *, team: str = TEAM, home: str | None = None, **more: object
    ) -> httpx2.Response:
        return await self.post(interaction(clicked(self.api, action, task.id, by, team=team, home=home) | more))

    async def send_in(self, task: Task, by: Human = ANA, **answer: Any) -> httpx2.Response:
        return await self.post(interaction(sent_in(task, by, **answer)))

    async def retry(self, task: Task, by: Human = ANA, **answer: Any) -> httpx2.Response:
        return await self.post(interaction(sent_in(task, by, **answer)), headers={"X-Slack-Retry-Num": "1"})

    async def event(self, body: Mapping[str, object], *, retry: int | None = None) -> httpx2.Response:
        headers = {"X-Slack-Retry-Num": str(retry)} if retry else {}
        return await self.post(json.dumps(body), path="/events", kind="application/json", headers=headers)

    async def post(
        self,
        body: str,
        *,
        path: str = "/interactions",
        kind: str = "application/x-www-form-urlencoded",
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Post what Slack signed; returns once everything behind it is done."""
        signed = {**signature_headers(body), "Content-Type": kind, **(headers or {})}
        async with self.browser() as client:
            return await client.post(f"/api/channels/slack{path}", content=body, headers=signed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the router in a server, and end with it."""
        await self.router(scope, receive, send)
        if scope["type"] == "lifespan":
            await self.engine.aclose()

    def browser(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.router), base_url=HOST)


def signature_headers(body: str, secret: str = SIGNING_SECRET, *, at: float | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    assert signature is not None
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}


def interaction(payload: Mapping[str, object]) -> str:
    return urlencode({"payload": json.dumps(payload)})


def clicked(
    api: SlackApi | Line, action: str, value: str, by: Human = ANA, *, team: str = TEAM, home: str | None = None
) -> dict[str, object]:
    """Give a block_actions payload, as Slack documents it."""
    return {
        "type": "block_actions",
        "team": {"id": team, "domain": "acme"},
        "user": {"id": by.slack_user_id, "username": by.id, "team_id": home or team},
        "api_app_id": "A1",
        "container": {"type": "message", "message_ts": "1.1", "channel_id": CHANNEL},
        "trigger_id": f"trigger-{by.id}",
        "channel": {"id": CHANNEL, "name": "floor"},
        "response_url": getattr(api, "response_url", None),
        "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value, "action_ts": "1.2"}],
    }


def sent_in(task: Task, by: Human = ANA, *, approved: bool | None = True, note: str | None = None) -> dict[str, object]:
    """Give a view_submission payload of the decision's modal."""
    choice = None if approved is None else {"value": str(approved).lower(), "text": {"type": "plain_text", "text": "?"}}
    values = {
        "awaithumans:approved": {"approved": {"type": "radio_buttons", "selected_option": choice}},
        "awaithumans:note": {"note": {"type": "plain_text_input", "value": note}},
    }
    return {
        "type": "view_submission",
        "team": {"id": TEAM, "domain": "acme"},
        "user": {"id": by.slack_user_id, "username": by.id, "team_id": by.slack_team_id or TEAM},
        "view": {
            "id": "V1",
            "type": "modal",
            "callback_id": "awaithumans.review_modal",
            "private_metadata": task.id,
            "state": {"values": values},
        },
    }


def demoted(human: Human) -> Human:
    return replace(human, operator=False)
