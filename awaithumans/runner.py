"""The background work: lease what is due, perform it, settle it.

Effects are performed at least once. A crash in the middle lets the lease lapse,
and some process, perhaps another one, performs the effect again; each ends in
a compare-and-set or in a channel that can tell a repeated notice by its id.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from awaithumans import lifecycle
from awaithumans.errors import SchemaValidationError, TaskNotFoundError
from awaithumans.protocols import Channel, Clock, DeliveryError, Store, Verifier
from awaithumans.routing import CALLBACK, Recipient
from awaithumans.types import (
    Delivery,
    Effect,
    EffectKind,
    JsonObject,
    Leased,
    Notice,
    Task,
    TaskStatus,
    Verdict,
    VerificationContext,
)
from awaithumans.wakeups import Bell

if TYPE_CHECKING:
    from awaithumans.types import Change

logger = logging.getLogger("awaithumans.runner")

LEASE = timedelta(seconds=60)
PERFORM_WITHIN = LEASE / 2
CONCURRENCY = 20
IDLE = timedelta(seconds=5)
SHORTEST_REST = 0.05
LATE = timedelta(minutes=1)
GIVE_UP_AFTER = timedelta(days=3)
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 6 * 60 * 60.0

Decide = Callable[[Task, datetime], "Change | None"]
Transition = Callable[[str, Decide], Awaitable[Task]]


class Runner:
    """Performs a store's effects, up to `CONCURRENCY` at a time."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        verifiers: Mapping[str, Verifier],
        transition: Transition,
        misfits: Callable[[Task, JsonObject], Mapping[str, str]],
        page_url: Callable[[str], str | None],
        rng: random.Random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._verifiers = verifiers
        self._transition = transition
        self._misfits = misfits
        self._page_url = page_url
        self._rng = rng
        self._busy = 0
        self._wake_at: datetime | None = None
        self._bell: Bell | None = None

    def expect(self, due: datetime) -> None:
        """Hear that there is something to do at `due`."""
        if self._bell and (self._wake_at is None or due < self._wake_at):
            self._bell.ring()

    async def run(self) -> None:
        """Perform what is due, until cancelled."""
        self._bell = Bell()
        async with anyio.create_task_group() as group:
            while True:
                leased = await self._lease_if_possible(CONCURRENCY - self._busy)
                for delivery in leased.deliveries:
                    self._busy += 1
                    group.start_soon(self._perform_in_slot, delivery)
                await self._rest(leased)

    async def tick(self) -> int:
        """Perform all that is due now; return how many effects that was."""
        count = 0
        while deliveries := (await self._lease(CONCURRENCY)).deliveries:
            count += len(deliveries)
            async with anyio.create_task_group() as group:
                for delivery in deliveries:
                    group.start_soon(self._perform, delivery)
        return count

    # ── When to look ──────────────────────────────────────────────────────────

    async def _lease(self, limit: int) -> Leased:
        now = self._clock.now()
        leased = await self._store.lease(now, now + LEASE, limit)
        late = now - min(_first_due(leased), default=now)
        if late > LATE:
            logger.warning("due work is %.0f s late: no process with a running engine saw to it", late.total_seconds())
        return leased

    async def _lease_if_possible(self, limit: int) -> Leased:
        try:
            return await self._lease(limit)
        except Exception:  # the store is away; what is being performed goes on
            logger.exception("due work cannot be read; trying again in %.0f s", IDLE.total_seconds())
            return Leased()

    async def _rest(self, leased: Leased) -> None:
        """Wait until there may be something to do, or a slot to do it in."""
        if self._bell is None:
            return
        now = self._clock.now()
        idle = now + IDLE
        self._wake_at = min(leased.next_due or idle, idle) if self._busy < CONCURRENCY else idle
        pause = max((self._wake_at - now).total_seconds(), 0 if leased.deliveries else SHORTEST_REST)
        with self._clock.move_on_after(pause):
            await self._bell.rung()
        self._wake_at = now

    async def _perform_in_slot(self, delivery: Delivery) -> None:
        try:
            await self._perform(delivery)
        finally:
            self._busy -= 1
            if self._bell:
                self._bell.ring()

    # ── One effect ────────────────────────────────────────────────────────────

    async def _perform(self, delivery: Delivery) -> None:
        """Perform one effect and settle it; whatever goes wrong is retried."""
        effect = delivery.effect
        try:
            with anyio.fail_after(PERFORM_WITHIN.total_seconds()):
                receipt = await self._perform_by_kind(delivery)
            await self._store.settle(delivery, receipt=receipt)
        except Exception as error:  # noqa: BLE001 - the edge: logged, and retried
            logger.warning(
                "task %s: %s %s failed at attempt %d: %s",
                effect.task_id,
                effect.kind,
                effect.event,
                delivery.attempts,
                _reason(error),
            )
            await self._settle_failed(delivery, error)

    async def _perform_by_kind(self, delivery: Delivery) -> str | None:
        effect = delivery.effect
        match effect.kind:
            case EffectKind.EXPIRE:
                await self._transition(effect.task_id, lifecycle.expire)
            case EffectKind.VERIFY:
                await self._verify(effect.task_id, effect.generation)
            case EffectKind.NOTIFY:
                return await self._notify(delivery)
            case EffectKind.PURGE:
                await self._purge(effect.task_id)
        return None

    async def _verify(self, task_id: str, attempt: int) -> None:
        task = await self._store.get(task_id)
        if task is None or task.status is not TaskStatus.SUBMITTED or task.attempt + 1 != attempt:
            return
        context = _verification_context(task)
        verifier = self._verifiers[context.config.provider.strip().lower()]
        verdict = await verifier.verify(context)
        self._refuse_misread(task, verdict)
        await self._transition(task_id, lambda task, now: lifecycle.decide(task, attempt, verdict, now))

    def _refuse_misread(self, task: Task, verdict: Verdict) -> None:
        parsed = verdict.parsed_response
        if verdict.passed and parsed is not None and (faults := self._misfits(task, parsed)):
            raise SchemaValidationError.of_fields("response", faults)

    async def _notify(self, delivery: Delivery) -> str | None:
        effect = delivery.effect
        task = await self._store.get(effect.task_id)
        if task is None or _pointless(effect, task):
            return delivery.receipt
        recipient = Recipient.parse(effect.recipient)
        notice = Notice(
            id=effect.id,
            event=effect.event,
            channel=recipient.channel,
            target=recipient.target,
            identity=recipient.identity,
            task=_without_secrets(task),
            url=self._page_url(task.id),
            receipt=delivery.receipt,
            attempt=delivery.attempts,
        )
        receipt = await self._channels[recipient.channel].send(notice)
        if recipient.channel == CALLBACK and task.spec.redact_response_after_submit:
            await self._transition(task.id, lifecycle.redact_response)
        return receipt or delivery.receipt

    async def _purge(self, task_id: str) -> None:
        if not await self.purge_if_told(task_id):
            raise DeliveryError("its end is still being told", retry_after=FIRST_PAUSE)

    async def purge_if_told(self, task_id: str) -> bool:
        """Erase a closed task, if everybody has heard how it ended."""
        deliveries = await self._store.deliveries(task_id)
        if any(one.settled_at is None and one.effect.kind is EffectKind.NOTIFY for one in deliveries):
            return False
        while (task := await self._store.get(task_id)) and not await self._store.purge(task):
            pass
        return True

    # ── When it went wrong ────────────────────────────────────────────────────

    async def _settle_failed(self, delivery: Delivery, error: Exception) -> None:
        try:
            if self._hopeless(delivery, error):
                await self._give_up(delivery, _reason(error))
            else:
                await self._store.settle(delivery, retry_at=self._retry_at(delivery, error))
        except Exception:  # the store itself is away: the lease lapses, and somebody tries again
            logger.exception("task %s: an effect could not be settled", delivery.effect.task_id)

    def _hopeless(self, delivery: Delivery, error: Exception) -> bool:
        if delivery.effect.kind is not EffectKind.NOTIFY:
            return False
        too_old = self._clock.now() - delivery.effect.due > GIVE_UP_AFTER
        return too_old or (isinstance(error, DeliveryError) and error.permanent)

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        effect = delivery.effect
        logger.error("task %s: %s cannot be told of %s: %s", effect.task_id, _channel(effect), effect.event, reason)
        with suppress(TaskNotFoundError):
            await self._transition(
                effect.task_id,
                lambda task, now: lifecycle.record_failure(task, _shown(effect), reason, now),
            )
        await self._store.settle(delivery, failed=reason)

    def _retry_at(self, delivery: Delivery, error: Exception) -> datetime:
        pause = min(FIRST_PAUSE * 2.0 ** min(delivery.attempts - 1, 30), LONGEST_PAUSE)
        pause *= self._rng.uniform(0.5, 1.0)
        if isinstance(error, DeliveryError) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        return self._clock.now() + timedelta(seconds=pause)


def _first_due(leased: Leased) -> Iterator[datetime]:
    """Give the due times of what nobody has tried yet."""
    yield from (one.effect.due for one in leased.deliveries if one.attempts == 1)
    if leased.next_due:
        yield leased.next_due


def _verification_context(task: Task) -> VerificationContext:
    answer, config = task.answer, task.spec.verifier
    if answer is None or config is None:
        raise AssertionError("a submitted task has an answer and a verifier")
    return VerificationContext(
        task=task.spec.task,
        payload=task.spec.payload,
        payload_schema=task.spec.payload_schema,
        response_schema=task.spec.response_schema,
        response=answer.value,
        config=config,
        attempt=answer.attempt,
        previous_rejections=(task.verdict.reason,) if task.verdict else (),
    )


def _pointless(effect: Effect, task: Task) -> bool:
    if effect.event == "closed":
        return task.response_redacted_at is not None
    return task.closed


def _without_secrets(task: Task) -> Task:
    """Leave out what the task's spec keeps from channels."""
    return replace(task, spec=replace(task.spec, payload={})) if task.spec.redact_payload else task


def _channel(effect: Effect) -> str:
    return effect.recipient.partition(":")[0]


def _shown(effect: Effect) -> str:
    """Name a recipient in the trail, without a callback's query string."""
    return effect.recipient.partition("?")[0] if _channel(effect) == CALLBACK else effect.recipient


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500] if not isinstance(error, DeliveryError) else str(error)[:500]
