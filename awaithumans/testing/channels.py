"""What a `Channel` promises, as tests anybody's channel can be put to.

```python
class TestMyChannel(ChannelConformance):
    @pytest.fixture
    def channel(self):
        return MyChannel(...)

    @pytest.fixture
    def target(self):
        return "#approvals"
```

The tests run on the backends of the fixture `anyio_backend`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import anyio
import pytest

from awaithumans.errors import InvalidRoutingError
from awaithumans.protocols import Channel, DeliveryError
from awaithumans.testing.promises import Promises
from awaithumans.testing.recording import RecordingChannel
from awaithumans.testing.tasks import ANA, NOON, make_spec, make_task
from awaithumans.types import Actor, Answer, Notice, TaskStatus

__all__ = ["ChannelConformance", "NoticeFactory", "RecordingChannel", "make_notice"]

MAX_RECEIPT_LENGTH = 10_000

NoticeFactory: TypeAlias = Callable[..., Notice]
"""Makes a notice for the channel under test; keywords replace its fields."""


def make_notice(channel: str, target: str, *, event: str = "opened", task_id: str = "task-1", **fields: Any) -> Notice:
    """Make a notice; its task stands as the event says.

    `fields` are those of `Notice`.
    """
    spec = make_spec(task="Approve the <b>refund</b> of *Zoë* & co?", idempotency_key=f"key of {task_id}")
    task = make_task(spec=spec, id=task_id, **(_OUTCOME if event == "closed" else {}))
    defaults: dict[str, Any] = {
        "id": f"{task_id}-{event}",
        "task": task,
        "url": f"https://app.example/humans/tasks/{task_id}",
    }
    return Notice(event=event, channel=channel, target=target, **{**defaults, **fields})


_CLOSED_AT = NOON + timedelta(minutes=5)
_OUTCOME: dict[str, Any] = {
    "status": TaskStatus.COMPLETED,
    "version": 2,
    "changed_at": _CLOSED_AT,
    "closed_at": _CLOSED_AT,
    "answers": (Answer(by=Actor.of(ANA, auth="host", via="web"), at=_CLOSED_AT, attempt=0, value={"approve": True}),),
}


def _let_pass(identity: str | None) -> None:
    """Do what a channel does that has no `check_identity`."""


class ChannelConformance(Promises, of="Channel"):
    """What every channel must hold to; subclass it and override the fixtures.

    `channel` and `target` are needed, `bad_targets` should be given. With
    `arrived`, the suite also looks at what came out at the other end; with
    `dead_target`, at failures.
    """

    pytestmark = pytest.mark.anyio

    events: Sequence[str] = ("opened", "closed")
    """The events this channel hears of, in the order they happen."""

    @pytest.fixture
    def channel(self) -> Channel:
        """Give the channel under test."""
        raise NotImplementedError("override the fixture `channel`")

    @pytest.fixture
    def target(self) -> str:
        """Give a target at which messages arrive."""
        raise NotImplementedError("override the fixture `target`")

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        """Give targets outside the channel's grammar."""
        return ()

    @pytest.fixture
    def bad_identities(self) -> Sequence[str | None]:
        """Give senders that the channel does not have; None where one has to be named."""
        return ()

    @pytest.fixture
    def dead_target(self) -> str | None:
        """Give a target in the grammar at which nothing can be delivered."""
        return None

    @pytest.fixture
    def arrived(self) -> Callable[[], Awaitable[Sequence[str]]] | None:
        """Give a function that returns each arrived message's id, in order.

        The id is what the channel makes of `Notice.id`: equal for equal ones.
        """
        return None

    @pytest.fixture
    def notice(self, channel: Channel, target: str) -> NoticeFactory:
        """Give a function that makes a notice; keywords replace its fields."""

        def make(**fields: Any) -> Notice:
            return make_notice(channel.name, **{"target": target, "event": self.events[0], **fields})

        return make

    async def test_the_name_can_stand_before_a_colon(self, channel: Channel) -> None:
        """`notify` reads `name:target` or `name+identity:target`."""
        assert channel.name
        assert channel.name == channel.name.strip()
        assert not {":", "+"}.intersection(channel.name)

    async def test_a_target_in_the_grammar_is_accepted(self, channel: Channel, target: str) -> None:
        """`check` is an ordinary method: the engine calls it within `create`."""
        channel.check(target)
        assert not inspect.iscoroutinefunction(channel.check)

    async def test_a_target_outside_the_grammar_is_refused(self, channel: Channel, bad_targets: Sequence[str]) -> None:
        """`check` raises `InvalidRoutingError`, so that creating the task fails."""
        for bad in bad_targets:
            with pytest.raises(InvalidRoutingError):
                channel.check(bad)

    async def test_a_sender_that_there_is_not_is_refused(
        self, channel: Channel, bad_identities: Sequence[str | None]
    ) -> None:
        """`check_identity` raises `InvalidRoutingError`, so that creating the task fails."""
        check: Callable[[str | None], None] = getattr(channel, "check_identity", _let_pass)
        for bad in bad_identities:
            with pytest.raises(InvalidRoutingError):
                check(bad)

    async def test_a_channel_for_programs_says_so_and_hears_only_of_the_end(self, channel: Channel) -> None:
        """`for_agents` is what lets `callback_url` name it, and keeps all else from it."""
        for_agents = getattr(channel, "for_agents", False)
        assert for_agents is (tuple(self.events) == ("closed",))

    async def test_every_event_can_be_told_and_answers_with_a_receipt(
        self, channel: Channel, notice: NoticeFactory
    ) -> None:
        """The receipt of one message is handed back with the next."""
        receipt = None
        for event in self.events:
            receipt = await channel.send(notice(event=event, receipt=receipt))
            assert receipt is None or 0 < len(receipt) <= MAX_RECEIPT_LENGTH

    async def test_a_notice_without_a_page_can_be_told(self, channel: Channel, notice: NoticeFactory) -> None:
        """An engine without a public address has no `url`."""
        await channel.send(notice(url=None))

    async def test_a_repeated_notice_is_recognised_by_its_id(
        self,
        channel: Channel,
        notice: NoticeFactory,
        arrived: Callable[[], Awaitable[Sequence[str]]] | None,
    ) -> None:
        """Delivery is at least once: a retry is accepted, and has the same id."""
        await channel.send(notice())
        await channel.send(notice(attempt=2))
        if arrived:
            ids = await arrived()
            assert ids
            assert len(set(ids)) == 1

    async def test_notices_may_be_sent_at_the_same_time(
        self,
        channel: Channel,
        notice: NoticeFactory,
        arrived: Callable[[], Awaitable[Sequence[str]]] | None,
    ) -> None:
        """The runner sends to many recipients at once; none gets lost."""
        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(channel.send, notice(task_id=f"task-{number}"))
        if arrived:
            assert len(set(await arrived())) == 8  # noqa: PLR2004 - as many as were sent

    async def test_what_cannot_be_delivered_is_not_passed_off_as_delivered(
        self, channel: Channel, notice: NoticeFactory, dead_target: str | None
    ) -> None:
        """A failure is raised; a `DeliveryError` says whether a retry can help."""
        if dead_target is None:
            return
        channel.check(dead_target)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - anything raised is retried
            await channel.send(notice(target=dead_target))
        if isinstance(caught.value, DeliveryError):
            assert str(caught.value)
            assert caught.value.retry_after is None or caught.value.retry_after >= 0

    async def test_one_recipients_failure_leaves_the_next_alone(
        self, channel: Channel, notice: NoticeFactory, dead_target: str | None
    ) -> None:
        """After a failure the channel goes on working."""
        if dead_target is not None:
            with pytest.raises(Exception):  # noqa: B017, PT011 - anything raised is retried
                await channel.send(notice(target=dead_target))
        await channel.send(notice(task_id="task-2"))
