"""For those who write a channel, and for tests that need one."""
# ruff: noqa: S101 - asserting is this module's business

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest

from awaithumans.errors import InvalidRoutingError
from awaithumans.protocols import Channel, DeliveryError
from awaithumans.types import Actor, Answer, Human, Notice, Task, TaskSpec, TaskStatus

MAX_RECEIPT_LENGTH = 10_000

NoticeFactory: TypeAlias = Callable[..., Notice]
"""Makes a notice for the channel under test; keywords replace its fields."""

_CREATED = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
_ANA = Actor.of(Human(id="ana", email="ana@example.com"), auth="host", via="web")


def sample_task(status: TaskStatus = TaskStatus.PENDING, *, task_id: str = "task-1") -> Task:
    """Make a task for a channel to talk about; closed ones have an outcome."""
    spec = TaskSpec(
        task="Approve the refund? <b>&amp; *now*",
        payload={"amount": 99.99, "customer": "Zoë"},
        payload_schema={"type": "object"},
        response_schema={"type": "object", "properties": {"approved": {"type": "boolean"}}},
        timeout_seconds=3_600,
        idempotency_key=f"key-of-{task_id}",
    )
    task = Task(
        id=task_id,
        spec=spec,
        fingerprint="0:00",
        created_at=_CREATED,
        changed_at=_CREATED,
        deadline=_CREATED + timedelta(hours=1),
    )
    return _closed(task, status) if status.closed else replace(task, status=status)


def sample_notice(channel: str, target: str, *, event: str = "opened", task_id: str = "task-1") -> Notice:
    """Make a notice; its task stands as the event says."""
    status = TaskStatus.COMPLETED if event == "closed" else TaskStatus.PENDING
    return Notice(
        id=f"{task_id}-{event}",
        event=event,
        channel=channel,
        target=target,
        task=sample_task(status, task_id=task_id),
        url=f"https://app.example/humans/tasks/{task_id}",
    )


def _closed(task: Task, status: TaskStatus) -> Task:
    closed_at = _CREATED + timedelta(minutes=5)
    answer = Answer(by=_ANA, at=closed_at, attempt=0, value={"approved": True})
    answers = (answer,) if status is TaskStatus.COMPLETED else ()
    return replace(task, status=status, version=2, changed_at=closed_at, closed_at=closed_at, answers=answers)


class RecordingChannel:
    """A channel that keeps what it was asked to send.

    `failures` are raised by the first sends, one by one; None stands for a
    send that succeeds. `sent` has the notices that got through, `tried` all.
    The receipt of each message is `receipt-<number>`. A target that is empty
    or begins with a space is refused by `check`.
    """

    def __init__(self, name: str = "test", *, failures: Iterable[Exception | None] = ()) -> None:
        self.name = name
        self.tried: list[Notice] = []
        self.sent: list[Notice] = []
        self._failures = iter(tuple(failures))

    def check(self, target: str) -> None:
        """Refuse an empty target, and one that begins with a space."""
        if not target or target.startswith(" "):
            raise InvalidRoutingError("notify", f"{target!r} is not a target of this channel")

    async def send(self, notice: Notice) -> str | None:
        """Keep the notice, or raise the next failure."""
        await anyio.lowlevel.checkpoint()
        self.tried.append(notice)
        if failure := next(self._failures, None):
            raise failure
        self.sent.append(notice)
        return f"receipt-{len(self.sent)}"

    def events(self, task_id: str) -> list[str]:
        """Return what was said about a task, in order."""
        return [notice.event for notice in self.sent if notice.task.id == task_id]


class ChannelConformance:
    """What every channel must hold to; subclass it and override the fixtures.

    `channel` and `target` are needed, `bad_targets` should be given. With
    `arrived`, the suite also looks at what came out at the other end; with
    `dead_target`, at failures. Tests run under pytest's anyio plugin; override
    `anyio_backend` to choose among asyncio and trio.
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

        def make(*, event: str | None = None, task_id: str = "task-1", **fields: object) -> Notice:
            made = sample_notice(channel.name, target, event=event or self.events[0], task_id=task_id)
            return replace(made, **fields)  # type: ignore[arg-type]

        return make

    def test_the_name_can_stand_before_a_colon(self, channel: Channel) -> None:
        """`notify` reads `name:target`."""
        assert channel.name
        assert channel.name.isidentifier()
        assert channel.name == channel.name.lower()

    def test_a_target_in_the_grammar_is_accepted(self, channel: Channel, target: str) -> None:
        """`check` returns nothing, at once, without I/O of its own."""
        result: object = channel.check(target)
        assert result is None
        assert not inspect.iscoroutinefunction(channel.check)

    def test_a_target_outside_the_grammar_is_refused(self, channel: Channel, bad_targets: Sequence[str]) -> None:
        """`check` raises `InvalidRoutingError`, so that creating the task fails."""
        for bad in bad_targets:
            with pytest.raises(InvalidRoutingError):
                channel.check(bad)

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
