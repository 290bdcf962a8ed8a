"""The background work: lease what is due, perform it, settle it.

Effects are performed at least once. A crash in the middle lets the lease lapse,
and some process, perhaps another one, performs the effect again; each ends in
a compare-and-set or in a channel that can tell a repeated notice by its id.
"""

from __future__ import annotations

import logging
import random
from bisect import bisect_right, insort
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING

import anyio

from awaithumans import lifecycle
from awaithumans.documents import ensure_object, scrubbed
from awaithumans.errors import TaskNotFoundError
from awaithumans.forms import not_understood
from awaithumans.protocols import Channel, Clock, DeliveryError, Directory, Store, Verifier, VerifierError
from awaithumans.routing import Recipient, addresses_of, carries_response, channel_of, is_for_agents, shown_recipient
from awaithumans.telemetry import Telemetry
from awaithumans.types import (
    Delivery,
    Effect,
    EffectKind,
    Human,
    JsonObject,
    Leased,
    Notice,
    Task,
    TaskStatus,
    Usage,
    Verdict,
    VerificationContext,
)
from awaithumans.wakeups import Bell

if TYPE_CHECKING:
    from awaithumans.types import Change

logger = logging.getLogger("awaithumans.runner")

LEASE = timedelta(seconds=60)
PERFORM_WITHIN = LEASE / 2
CONCURRENCY = 250
"""How many effects are performed at once, if none of them waits for long."""
BATCH = CONCURRENCY // 2
"""As many slots have to be free before due work is looked for: a look costs as much for one effect as for many."""
SLOW = timedelta(seconds=2)
"""An effect that takes longer waits for somebody else, and gives its slot back: no channel holds up the others."""
MAX_IN_FLIGHT = 1_000
IDLE = timedelta(seconds=5)
SHORTEST_REST = 0.05
LATE = timedelta(minutes=1)
GIVE_UP_AFTER = timedelta(days=3)
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 6 * 60 * 60.0
LONGEST_CHECK_PAUSE = lifecycle.GRACE.total_seconds() / 3
"""An answer may be checked until the grace is over, so a verifier that works again is asked again before."""
MAX_REASON = 2_000
MAX_RECEIPT = 10_000
MAX_MODEL = 200

_ASKING = frozenset({"opened", "reminder", "submitted", "rejected", "claimed", "released"})
"""Events of which nobody is told who was asked, and has left."""

Decide = Callable[[Task, datetime], "Change | None"]
Transition = Callable[[str, Decide], Awaitable[Task]]


@dataclass(eq=False)
class _Shift:
    """One loop's share of the work: how busy it is, and when it looks again."""

    bell: Bell = field(default_factory=Bell)
    begun: list[datetime] = field(default_factory=list[datetime])
    """When each effect that is being performed was begun, in order."""
    wake_at: datetime | None = None

    def slots(self, now: datetime) -> int:
        """Count how many more effects may be begun; 0 while they are fewer than a batch."""
        free = min(CONCURRENCY - len(self._quick(now)), MAX_IN_FLIGHT - len(self.begun))
        return free if free >= BATCH else 0

    def next_slots(self, now: datetime) -> datetime | None:
        """Tell when enough effects will have given their slots back, if none of them ends before."""
        quick = self._quick(now)
        lacking = BATCH - (CONCURRENCY - len(quick))
        return quick[lacking - 1] + SLOW if lacking > 0 else None

    def begin(self, now: datetime) -> None:
        """Note that an effect is begun."""
        insort(self.begun, now)

    def end(self, begun: datetime, now: datetime) -> None:
        """Note that an effect has ended, and look again if there may be something to begin."""
        self.begun.remove(begun)
        if self.slots(now):
            self.bell.ring()

    def _quick(self, now: datetime) -> Sequence[datetime]:
        return self.begun[bisect_right(self.begun, now - SLOW) :]


class Runner:
    """Performs a store's effects, on each loop up to `CONCURRENCY` quick ones at a time."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        verifiers: Mapping[str, Verifier],
        transition: Transition,
        misfits: Callable[[Task, JsonObject], Mapping[str, str]],
        directory: Directory,
        page_url: Callable[[str], str | None],
        link: Callable[[Task, Human, str], str | None],
        rng: random.Random,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._verifiers = verifiers
        self._transition = transition
        self._misfits = misfits
        self._directory = directory
        self._page_url = page_url
        self._link = link
        self._rng = rng
        self._telemetry = telemetry
        self._shifts: set[_Shift] = set()

    def expect(self, due: datetime) -> None:
        """Hear that there is something to do at `due`."""
        for shift in tuple(self._shifts):
            if shift.wake_at is None or due < shift.wake_at:
                shift.bell.ring()

    async def run(self) -> None:
        """Perform what is due, until cancelled."""
        shift = _Shift()
        self._shifts.add(shift)
        try:
            async with anyio.create_task_group() as group:
                while True:
                    leased = await self._lease_for(shift)
                    for delivery in leased.deliveries:
                        shift.begin(begun := self._clock.now())
                        group.start_soon(self._perform_in_slot, delivery, shift, begun)
                    await self._rest(leased, shift)
        finally:
            self._shifts.discard(shift)

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

    async def _lease_for(self, shift: _Shift) -> Leased:
        """Lease as much as there are slots for, if any; while the store is away, what is being performed goes on."""
        now = self._clock.now()
        slots = shift.slots(now)
        if not slots:
            return Leased(next_due=shift.next_slots(now))
        try:
            return await self._lease(slots)
        except Exception:
            logger.exception("due work cannot be read; trying again in %.0f s", IDLE.total_seconds())
            return Leased()

    async def _rest(self, leased: Leased, shift: _Shift) -> None:
        """Wait until there may be something to do, or slots to do it in."""
        now = self._clock.now()
        idle = now + IDLE
        shift.wake_at = min(leased.next_due or idle, idle)
        pause = max((shift.wake_at - now).total_seconds(), 0 if leased.deliveries else SHORTEST_REST)
        with self._clock.move_on_after(pause):
            await shift.bell.rung()
        shift.wake_at = None

    async def _perform_in_slot(self, delivery: Delivery, shift: _Shift, begun: datetime) -> None:
        try:
            await self._perform(delivery)
        finally:
            shift.end(begun, self._clock.now())

    # ── One effect ────────────────────────────────────────────────────────────

    async def _perform(self, delivery: Delivery) -> None:
        """Perform one effect and settle it; whatever goes wrong is retried."""
        effect = delivery.effect
        self._telemetry.begun(delivery, self._clock.now())
        try:
            with anyio.fail_after(PERFORM_WITHIN.total_seconds()):
                receipt = _storable(await self._perform_by_kind(delivery), effect)
            await self._store.settle(delivery, self._clock.now(), receipt=receipt)
        except Exception as error:
            logger.warning(
                "task %s: %s %s failed at attempt %d: %s",
                effect.task_id,
                effect.kind,
                effect.event,
                delivery.attempts,
                _reason(error),
            )
            logger.debug("task %s: what went wrong", effect.task_id, exc_info=error)
            await self._settle_failed(delivery, error)

    async def _perform_by_kind(self, delivery: Delivery) -> str | None:
        effect = delivery.effect
        match effect.kind:
            case EffectKind.EXPIRE:
                await self._transition(effect.task_id, lambda task, now: lifecycle.expire(task, max(now, effect.due)))
            case EffectKind.REMIND:
                await self._transition(
                    effect.task_id, lambda task, now: lifecycle.remind(task, effect.generation, max(now, effect.due))
                )
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
        with self._telemetry.verifying(task) as deed:
            verifier = self._verifiers[context.config.provider_name]
            began = self._clock.monotonic()
            try:
                verdict = self._checked(task, await verifier.verify(context))
            except VerifierError as error:
                spent = _counted(error.usage)
                await self._transition(task_id, lambda task, now: lifecycle.charge(task, attempt, spent, now))
                raise
            usage = replace(verdict.usage, seconds=self._clock.monotonic() - began)
            verdict = replace(verdict, usage=usage)
            deed.judged(verdict)
            await self._transition(task_id, lambda task, now: lifecycle.decide(task, attempt, verdict, now))

    def _checked(self, task: Task, verdict: Verdict) -> Verdict:
        """Take a verdict for what it says, or raise, to be told again later.

        What was read out of free text, and does not fit, is refused: the same
        words would be read the same way again, at the same cost.
        """
        if type(verdict.passed) is not bool:
            raise TypeError(f"a verdict's `passed` must be a bool, not {type(verdict.passed).__name__}")
        in_words = task.answer is not None and task.answer.text is not None
        parsed = verdict.parsed_response if verdict.passed and in_words else None
        reason = scrubbed(str(verdict.reason), MAX_REASON)
        verdict = replace(verdict, reason=reason, parsed_response=parsed, usage=_counted(verdict.usage))
        if not (verdict.passed and in_words):
            return verdict
        if parsed is None:
            raise VerifierError("the verifier passed free text, and did not say what it means", usage=verdict.usage)
        ensure_object(parsed, "parsed_response")
        if faults := self._misfits(task, parsed):
            return replace(
                verdict, passed=False, parsed_response=None, reason=scrubbed(not_understood(faults), MAX_REASON)
            )
        return verdict

    async def _notify(self, delivery: Delivery) -> str | None:
        effect = delivery.effect
        task = await self._store.get(effect.task_id)
        if task is None or _pointless(effect, task):
            return delivery.receipt
        recipient = Recipient.parse(effect.recipient)
        channel = self._channels[recipient.channel]
        if effect.event != "closed" and is_for_agents(channel):
            return delivery.receipt
        person = None if is_for_agents(channel) else await self._directory.find(recipient.target)
        if person is None and effect.event in _ASKING and await self._has_left(recipient, task):
            return delivery.receipt
        notice = Notice(
            id=effect.id,
            event=effect.event,
            channel=recipient.channel,
            target=recipient.target,
            identity=recipient.identity,
            task=_without_secrets(task),
            url=self._page_url(task.id),
            person=person,
            link=self._link(task, person, recipient.channel) if person else None,
            receipt=delivery.receipt,
            attempt=delivery.attempts,
        )
        with self._telemetry.notifying(delivery, task):
            receipt = await channel.send(notice)
        if effect.event == "closed" and task.spec.redact_response_after_submit:
            await self._redact_if_told(effect, delivered=True)
        return receipt or delivery.receipt

    async def _has_left(self, recipient: Recipient, task: Task) -> bool:
        """Tell whether the recipient is somebody who was asked, and whom the directory does not know any more."""
        asked = [
            human for human in task.addressees if recipient.is_among(addresses_of(recipient, [human], self._channels))
        ]
        return bool(asked) and not any([await self._directory.find(human.id) for human in asked])

    async def _redact_if_told(self, effect: Effect, *, delivered: bool) -> None:
        """Erase the response once its webhook got it and nobody else waits for it."""
        told = [
            one
            for one in await self._store.deliveries(effect.task_id)
            if one.effect.event == "closed" and one.effect.id != effect.id
        ]
        by_webhook = [one.effect for one in told if one.settled_at and not one.failure]
        by_webhook += [effect] if delivered else []
        if all(one.settled_at for one in told) and any(carries_response(one.recipient) for one in by_webhook):
            await self._transition(effect.task_id, lifecycle.redact_response)

    async def _purge(self, task_id: str) -> None:
        if not await self.purge_if_told(task_id) and await self._store.get(task_id):
            raise DeliveryError("its end is still being told", retry_after=FIRST_PAUSE)

    async def purge_if_told(self, task_id: str) -> bool:
        """Erase a closed task, if everybody has heard how it ended; tell whether that was done here."""
        while (task := await self._store.get(task_id)) and task.closed:
            deliveries = await self._store.deliveries(task_id)
            if any(one.settled_at is None and one.effect.kind is EffectKind.NOTIFY for one in deliveries):
                return False
            if await self._store.purge(task):
                return True
        return False

    # ── When it went wrong ────────────────────────────────────────────────────

    async def _settle_failed(self, delivery: Delivery, error: Exception) -> None:
        try:
            if self._hopeless(delivery, error):
                settled = await self._give_up(delivery, _reason(error))
            else:
                settled = await self._store.settle(
                    delivery, self._clock.now(), retry_at=self._retry_at(delivery, error)
                )
            if settled:
                self._telemetry.failed(delivery, error)
        except Exception:  # the store itself is away: the lease lapses, and somebody tries again
            logger.exception("task %s: an effect could not be settled", delivery.effect.task_id)

    def _hopeless(self, delivery: Delivery, error: Exception) -> bool:
        if delivery.effect.kind is not EffectKind.NOTIFY:
            return False
        too_old = self._clock.now() - delivery.effect.due > GIVE_UP_AFTER
        return too_old or (isinstance(error, DeliveryError) and error.permanent)

    async def _give_up(self, delivery: Delivery, reason: str) -> bool:
        effect = delivery.effect
        logger.error(
            "task %s: %s cannot be told of %s: %s", effect.task_id, channel_of(effect.recipient), effect.event, reason
        )
        with suppress(TaskNotFoundError):
            task = await self._transition(
                effect.task_id,
                lambda task, now: lifecycle.record_failure(task, shown_recipient(effect.recipient), reason, now),
            )
            if effect.event == "closed" and task.spec.redact_response_after_submit:
                await self._redact_if_told(effect, delivered=False)
        settled = await self._store.settle(delivery, self._clock.now(), failed=reason)
        if settled:
            self._telemetry.gave_up(delivery)
        return settled

    def _retry_at(self, delivery: Delivery, error: Exception) -> datetime:
        longest = LONGEST_CHECK_PAUSE if delivery.effect.kind is EffectKind.VERIFY else LONGEST_PAUSE
        pause = min(FIRST_PAUSE * 2.0 ** min(delivery.attempts - 1, 30), longest)
        pause *= self._rng.uniform(0.5, 1.0)
        if isinstance(error, DeliveryError) and error.retry_after is not None and isfinite(error.retry_after):
            pause = min(max(pause, error.retry_after), GIVE_UP_AFTER.total_seconds())
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
        response=answer.value if answer.text is None else None,
        raw_input=answer.text,
        config=config,
        attempt=answer.attempt,
        previous_rejections=[one.refusal for one in task.answers if one.refusal is not None],
        tokens_used=task.tokens_used,
        form=task.spec.form,
    )


def _counted(usage: Usage) -> Usage:
    """Take what a verdict took, if it can be added up."""
    for tokens in (usage.input_tokens, usage.output_tokens):
        if type(tokens) is not int or tokens < 0:
            raise TypeError("a verdict's usage must count tokens by whole numbers from 0")
    return replace(usage, model=scrubbed(str(usage.model), MAX_MODEL))


def _pointless(effect: Effect, task: Task) -> bool:
    if effect.event == "closed":
        return task.response_redacted_at is not None
    if effect.event == "reminder":
        return task.status is not TaskStatus.PENDING or effect.generation < task.reminded
    if effect.event == "submitted":
        return task.status is not TaskStatus.SUBMITTED
    return task.closed


def _without_secrets(task: Task) -> Task:
    """Leave out what the task's spec keeps from channels."""
    return replace(task, spec=replace(task.spec, payload={})) if task.spec.redact_payload else task


def _reason(error: Exception) -> str:
    """Say what went wrong where people read it: other errors than ours may quote addresses and secrets."""
    return scrubbed(str(error), MAX_REASON) if isinstance(error, DeliveryError) else type(error).__name__


def _storable(receipt: object, effect: Effect) -> str | None:
    """Keep what a channel gave back; what it may not give back is dropped."""
    if receipt is None or (isinstance(receipt, str) and scrubbed(receipt, MAX_RECEIPT) == receipt):
        return receipt
    logger.error("task %s: channel %s gave back no usable receipt", effect.task_id, channel_of(effect.recipient))
    return None
