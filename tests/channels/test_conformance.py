"""The suite for channels passes good ones and finds out bad ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from awaithumans.errors import InvalidRoutingError
from awaithumans.protocols import Channel, DeliveryError
from awaithumans.testing.channels import ChannelConformance, NoticeFactory, RecordingChannel, make_notice
from awaithumans.types import Notice

pytestmark = pytest.mark.anyio

SUITE = ChannelConformance()


class TestRecordingChannel(ChannelConformance):
    events = ("opened", "rejected", "claimed", "reminder", "closed")

    @pytest.fixture
    def channel(self) -> RecordingChannel:
        return RecordingChannel()

    @pytest.fixture
    def target(self) -> str:
        return "ana"

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        return ["", " ana"]

    @pytest.fixture
    def arrived(self, channel: RecordingChannel) -> Callable[[], Awaitable[Sequence[str]]]:
        return arrivals(channel)


def arrivals(channel: RecordingChannel) -> Callable[[], Awaitable[Sequence[str]]]:
    async def ids() -> Sequence[str]:
        return [notice.id for notice in channel.sent]

    return ids


def noticing(channel: Channel) -> NoticeFactory:
    def make(**fields: object) -> Notice:
        return make_notice(channel.name, **{"target": "ana", **fields})  # type: ignore[arg-type]

    return make


async def test_the_double_keeps_what_got_through_and_fails_as_told() -> None:
    channel = RecordingChannel("pager", failures=[DeliveryError("busy", retry_after=5), None, OSError("cut")])
    opened, closed = (make_notice("pager", "ana", event=event) for event in ("opened", "closed"))
    with pytest.raises(DeliveryError):
        await channel.send(opened)
    assert await channel.send(opened) == "receipt-1"
    with pytest.raises(OSError, match="cut"):
        await channel.send(closed)
    assert await channel.send(closed) == "receipt-2"
    assert channel.sent == [opened, closed]
    assert len(channel.tried) == 4
    assert channel.events("task-1") == ["opened", "closed"]
    assert channel.events("task-2") == []


async def test_a_name_with_a_colon_is_found() -> None:
    with pytest.raises(AssertionError):
        await SUITE.test_the_name_can_stand_before_a_colon(RecordingChannel("my:channel"))


async def test_a_channel_that_takes_any_target_is_found() -> None:
    with pytest.raises(pytest.fail.Exception):
        await SUITE.test_a_target_outside_the_grammar_is_refused(RecordingChannel(), ["fine after all"])


async def test_a_channel_that_refuses_its_own_target_is_found() -> None:
    with pytest.raises(InvalidRoutingError):
        await SUITE.test_a_target_in_the_grammar_is_accepted(RecordingChannel(), " ana")


async def test_a_channel_that_swallows_failures_is_found() -> None:
    channel = RecordingChannel()
    with pytest.raises(pytest.fail.Exception):
        await SUITE.test_what_cannot_be_delivered_is_not_passed_off_as_delivered(channel, noticing(channel), "dead")


async def test_a_channel_that_asks_for_a_pause_in_the_past_is_found() -> None:
    channel = RecordingChannel(failures=[DeliveryError("busy", retry_after=-1)])
    with pytest.raises(AssertionError):
        await SUITE.test_what_cannot_be_delivered_is_not_passed_off_as_delivered(channel, noticing(channel), "dead")


async def test_a_channel_that_breaks_after_a_failure_is_found() -> None:
    channel = RecordingChannel(failures=[OSError(), OSError()])
    with pytest.raises(OSError):  # noqa: PT011 - made above
        await SUITE.test_one_recipients_failure_leaves_the_next_alone(channel, noticing(channel), "dead")


class Forgetful(RecordingChannel):
    """Loses every second message, and tells nobody."""

    async def send(self, notice: Notice) -> str | None:
        receipt = await super().send(notice)
        if len(self.tried) % 2:
            self.sent.pop()
        return receipt


class Restless(RecordingChannel):
    """Makes a new id for every attempt."""

    async def send(self, notice: Notice) -> str | None:
        return await super().send(make_notice(notice.channel, notice.target, id=f"{notice.id}/{notice.attempt}"))


class Garrulous(RecordingChannel):
    """Gives back a receipt that no store has room for."""

    async def send(self, notice: Notice) -> str | None:
        return 10_001 * (await super().send(notice) or "x")


async def test_a_channel_that_loses_messages_is_found() -> None:
    channel = Forgetful()
    with pytest.raises(AssertionError):
        await SUITE.test_notices_may_be_sent_at_the_same_time(channel, noticing(channel), arrivals(channel))


async def test_a_channel_that_makes_up_ids_is_found() -> None:
    channel = Restless()
    with pytest.raises(AssertionError):
        await SUITE.test_a_repeated_notice_is_recognised_by_its_id(channel, noticing(channel), arrivals(channel))


async def test_a_receipt_that_is_too_long_is_found() -> None:
    channel = Garrulous()
    with pytest.raises(AssertionError):
        await SUITE.test_every_event_can_be_told_and_answers_with_a_receipt(channel, noticing(channel))
