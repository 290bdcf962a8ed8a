"""The channel of docs/how-to/write-a-channel.md, against a server that speaks Discord's webhook API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from awaithumans import Engine
from awaithumans.protocols import DeliveryError
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.channels import ChannelConformance, make_notice
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import a_question
from awaithumans.types import AGENT, Actor, Human
from docs.examples import discord_channel
from docs.examples.discord_channel import DiscordChannel

ANA = Human(id="ana@example.com", email="ana@example.com", display_name="Ana [click](https://evil.example)")


class Discord:
    """Discord's webhooks: messages are kept, and can be edited; what it would refuse is refused."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.edits: list[str] = []
        self.busy = 0
        self.app = Starlette(
            routes=[
                Route("/api/webhooks/{id}/{token}", self.execute, methods=["POST"]),
                Route("/api/webhooks/{id}/{token}/messages/{message}", self.edit, methods=["PATCH"]),
            ]
        )

    async def execute(self, request: Request) -> Response:
        if refusal := await self.refusal(request):
            return refusal
        message_id = str(1_000 + len(self.messages))
        self.messages[message_id] = await request.json()
        if request.query_params.get("wait") != "true":
            return Response(status_code=204)
        return JSONResponse({"id": message_id})

    async def edit(self, request: Request) -> Response:
        if refusal := await self.refusal(request):
            return refusal
        message_id = request.path_params["message"]
        if message_id not in self.messages:
            return JSONResponse({"message": "Unknown Message", "code": 10008}, 404)
        self.messages[message_id] = await request.json()
        self.edits.append(message_id)
        return JSONResponse({"id": message_id})

    async def refusal(self, request: Request) -> Response | None:
        if request.path_params["token"] != "s3cret":
            return JSONResponse({"message": "Unknown Webhook", "code": 10015}, 404)
        if self.busy:
            self.busy -= 1
            return JSONResponse({"message": "You are being rate limited.", "retry_after": 0.75, "global": False}, 429)
        (embed,) = (await request.json())["embeds"]
        if not 0 < len(embed["title"]) <= 256 or len(embed["description"]) > 4096:
            return JSONResponse({"message": "Invalid Form Body", "code": 50035}, 400)
        return None


@pytest.fixture
def discord() -> Discord:
    return Discord()


@pytest.fixture
async def made(discord: Discord, serve: Callable[[Any], str]) -> AsyncIterator[DiscordChannel]:
    url = serve(discord.app)
    webhooks = {"approvals": f"{url}/api/webhooks/1/s3cret", "gone": f"{url}/api/webhooks/2/deleted"}
    channel = DiscordChannel(webhooks)
    yield channel
    await channel.aclose()


class TestDiscordChannel(ChannelConformance):
    events = ("opened", "reminder", "claimed", "released", "reassigned", "rejected", "closed")

    @pytest.fixture
    def channel(self, made: DiscordChannel) -> DiscordChannel:
        return made

    @pytest.fixture
    def target(self) -> str:
        return "approvals"

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        return ["", "#approvals", "https://discord.example/api/webhooks/1/s3cret"]

    @pytest.fixture
    def dead_target(self) -> str:
        return "gone"

    @pytest.fixture
    def arrived(self, discord: Discord) -> Callable[[], Awaitable[Sequence[str]]]:
        async def ids() -> Sequence[str]:
            return [message["embeds"][0]["footer"]["text"] for message in discord.messages.values()]

        return ids


pytestmark = pytest.mark.anyio


async def test_one_message_follows_its_question(discord: Discord, made: DiscordChannel) -> None:
    clock = VirtualClock()
    engine = Engine(MemoryStore(), channels=[made], clock=clock, public_url="https://app.example", background=False)
    task = await engine.create(a_question(notify=("discord:approvals",), task="Approve *this* @everyone?\nMore."))
    await engine.tick()
    (message,) = discord.messages.values()
    (embed,) = message["embeds"]
    assert embed["title"] == r"Approve \*this\* \@everyone?"
    assert (embed["description"], embed["url"]) == ("Waits for an answer", f"https://app.example/tasks/{task.id}")
    assert message["allowed_mentions"] == {"parse": []}
    await engine.claim(task.id, by=Actor.of(ANA, auth="host"))
    await engine.tick()
    (message,) = discord.messages.values()
    assert message["embeds"][0]["description"] == r"Ana \[click\]\(https://evil.example\) has it"
    await engine.submit(task.id, {"approved": True}, by=AGENT)
    await engine.tick()
    (message,) = discord.messages.values()
    assert message["embeds"][0]["description"].startswith("Completed by")
    assert len(discord.edits) == 2
    await engine.aclose()


async def test_a_reminder_is_a_message_of_its_own_and_the_first_one_is_still_edited(
    discord: Discord, made: DiscordChannel
) -> None:
    first = await made.send(make_notice("discord", "approvals"))
    reminded = await made.send(make_notice("discord", "approvals", event="reminder", receipt=first))
    assert (len(discord.messages), reminded) == (2, first)
    await made.send(make_notice("discord", "approvals", event="closed", receipt=first))
    assert discord.edits == [first]


async def test_a_pause_is_kept(discord: Discord, made: DiscordChannel) -> None:
    discord.busy = 1
    with pytest.raises(DeliveryError) as caught:
        await made.send(make_notice("discord", "approvals"))
    assert (caught.value.permanent, caught.value.retry_after) == (False, 0.75)


async def test_a_webhook_that_was_deleted_is_given_up_without_telling_its_address(made: DiscordChannel) -> None:
    with pytest.raises(DeliveryError, match="Discord answered 404: Unknown Webhook") as caught:
        await made.send(make_notice("discord", "gone"))
    assert caught.value.permanent
    assert "deleted" not in str(caught.value)


async def test_a_message_that_somebody_deleted_needs_no_edit(discord: Discord, made: DiscordChannel) -> None:
    receipt = await made.send(make_notice("discord", "approvals"))
    discord.messages.clear()
    assert await made.send(make_notice("discord", "approvals", event="closed", receipt=receipt)) == receipt


async def test_a_personal_link_is_not_shown_to_everybody(discord: Discord, made: DiscordChannel) -> None:
    await made.send(make_notice("discord", "approvals", link="https://app.example/l/secret"))
    assert "secret" not in str(discord.messages)


def test_it_is_short_enough_to_be_read() -> None:
    assert len(Path(discord_channel.__file__).read_text().splitlines()) < 100
