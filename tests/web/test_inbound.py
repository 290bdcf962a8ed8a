"""The addresses of the channels themselves."""

from __future__ import annotations

import pytest

from awaithumans.errors import ForbiddenError
from awaithumans.testing.channels import RecordingChannel
from awaithumans.types import Inbound, Reply
from tests.web.world import World

pytestmark = pytest.mark.anyio


class Doorbell(RecordingChannel):
    def __init__(self) -> None:
        super().__init__("bell")
        self.heard: list[Inbound] = []
        self.done: list[str] = []

    async def receive(self, request: Inbound) -> Reply:
        self.heard.append(request)
        if request.path == "/forbidden":
            raise ForbiddenError("this signature is not right")

        async def afterwards() -> None:
            self.done.append(request.path)

        return Reply(
            status=202, headers={"content-type": "text/plain", "x-ours": "1"}, body=b"thanks", afterwards=afterwards
        )


async def test_a_channel_receives_what_is_sent_to_its_addresses_as_it_came() -> None:
    bell = Doorbell()
    world = World(channels=[bell])
    async with world.client() as client:
        reply = await client.post(
            "/api/channels/bell/a/b%20c?d=%C3%A9&e=", content=b"\x00 raw=1", headers={"X-Signature": "v0=1"}
        )
    assert (reply.status_code, reply.content, reply.headers["x-ours"]) == (202, b"thanks", "1")
    (heard,) = bell.heard
    assert (heard.method, heard.path, heard.query, heard.body) == ("POST", "/a/b c", {"d": "é", "e": ""}, b"\x00 raw=1")
    assert heard.headers["x-signature"] == "v0=1"
    assert bell.done == ["/a/b c"]


async def test_what_it_raises_is_answered_as_the_api_answers() -> None:
    world = World(channels=[Doorbell()])
    async with world.client() as client:
        reply = await client.get("/api/channels/bell/forbidden")
    assert (reply.status_code, reply.json()["error"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "path", ["/api/channels/test/x", "/api/channels/nobody/x", "/api/channels/bell", "/api/channels"]
)
async def test_nothing_else_is_at_these_addresses(path: str) -> None:
    world = World(channels=[RecordingChannel(), Doorbell()])
    async with world.client() as client:
        reply = await client.post(path)
    assert reply.status_code == 404


async def test_a_body_longer_than_the_limit_is_refused() -> None:
    bell = Doorbell()
    world = World(channels=[bell], max_body_bytes=100)
    async with world.client() as client:
        reply = await client.post("/api/channels/bell/x", content=b"a" * 101)
    assert reply.status_code == 413
    assert bell.heard == []
