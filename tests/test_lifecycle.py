"""The state machine: rule by rule, and driven at random."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from awaithumans import lifecycle
from awaithumans.errors import (
    AnswerUnderReviewError,
    AwaitHumansError,
    ConflictError,
    ForbiddenError,
    InvalidRoutingError,
    SelfAnswerError,
    TaskAlreadyClaimedError,
    TaskAlreadyTerminalError,
    TaskStillOpenError,
)
from awaithumans.routing import MAX_RECIPIENTS
from awaithumans.testing.tasks import ANA, BEN, BOSS, NOON, make_spec
from awaithumans.types import (
    AGENT,
    Actor,
    Cancel,
    Change,
    Claim,
    Command,
    Effect,
    EffectKind,
    Entry,
    Human,
    Reassign,
    Release,
    Submit,
    Task,
    TaskStatus,
    Usage,
    Verdict,
    VerifierConfig,
)

CHECKED = VerifierConfig(provider="rules", instructions="Be strict.", max_attempts=2)
YES = {"approve": True}
TOKEN = Actor(kind="agent", id="shop", auth="token", via="api")


def person(human: Human) -> Actor:
    return Actor.of(human, auth="host", via="web")


def opened(*addressees: Human, **fields: object) -> Task:
    spec = make_spec(timeout_seconds=60, **fields)
    by = TOKEN if spec.requested_by == TOKEN.principal else AGENT
    change = lifecycle.open_task(spec, task_id="t1", fingerprint="f", addressees=addressees, by=by, now=NOON)
    return change.task


def after(task: Task, command: Command, at: datetime = NOON) -> Task:
    change = lifecycle.act(task, command, at)
    assert change is not None
    return change.task


def submitted(**fields: object) -> Task:
    return after(opened(verifier=CHECKED, **fields), Submit(value=YES, by=person(ANA)))


class TestOpening:
    def test_writes_its_timer_and_notices_with_it(self):
        spec = make_spec(timeout_seconds=60, notify=("email:a@x.org",), callback_url="https://agent.example/cb")
        change = lifecycle.open_task(spec, task_id="t1", fingerprint="f", addressees=[ANA], by=AGENT, now=NOON)
        kinds = [(effect.kind, effect.recipient, effect.due) for effect in change.effects]
        assert kinds == [
            (EffectKind.EXPIRE, "", NOON + timedelta(seconds=60)),
            (EffectKind.NOTIFY, "email:a@x.org", NOON),
        ]
        assert (change.task.version, change.task.assignee) == (1, ANA)
        assert [(entry.action, entry.from_status, entry.to_status) for entry in change.entries] == [
            ("created", None, "pending")
        ]

    def test_writes_its_reminders(self):
        change = lifecycle.open_task(
            make_spec(timeout_seconds=100),
            task_id="t1",
            fingerprint="f",
            addressees=[],
            by=AGENT,
            now=NOON,
            reminders=(0.5, 0.9),
        )
        moments = [(one.due - NOON, one.generation) for one in change.effects if one.kind is EffectKind.REMIND]
        assert moments == [(timedelta(seconds=50), 1), (timedelta(seconds=90), 2)]

    def test_leaves_a_task_for_several_people_unassigned(self):
        assert opened(ANA, BEN).assignee is None


class TestReminding:
    def test_reminds_one_recipient_who_is_told_of_the_task(self):
        task = opened(notify=("email:a@x.org", "slack:C1"))
        change = lifecycle.remind_one(task, "slack:C1", [], person(ANA), NOON)
        assert change is not None
        assert [(one.event, one.recipient) for one in change.effects] == [("reminder", "slack:C1")]
        assert change == lifecycle.remind_one(task, "slack:C1", [], person(ANA), NOON)
        assert lifecycle.remind_one(task, "slack:C2", [], person(ANA), NOON) is None
        assert lifecycle.remind_one(task, "slack:C1", [], person(ANA), task.deadline) is None

    def test_no_requested_reminder_is_taken_for_one_of_the_engines_own(self):
        task = opened(notify=("slack:C1",))
        requested = lifecycle.remind_one(task, "slack:C1", [], person(ANA), NOON)
        own = lifecycle.remind(task, 1, NOON)
        assert requested is not None
        assert own is not None
        assert {one.id for one in requested.effects}.isdisjoint(one.id for one in own.effects)

    def test_tells_all_recipients_once_for_each_reminder(self):
        task = opened(notify=("email:a@x.org", "slack:C1"), callback_url="https://agent.example/cb")
        change = lifecycle.remind(task, 1, NOON)
        assert change is not None
        assert [(one.event, one.recipient) for one in change.effects] == [
            ("reminder", "email:a@x.org"),
            ("reminder", "slack:C1"),
        ]
        assert change.entries[0].action == "reminded"
        assert lifecycle.remind(change.task, 1, NOON) is None, "performed again after a crash"
        again = lifecycle.remind(change.task, 2, NOON)
        assert again is not None
        assert not {one.id for one in change.effects} & {one.id for one in again.effects}

    @pytest.mark.parametrize(
        "task",
        [submitted(), after(opened(), Submit(value=YES, by=person(ANA))), after(opened(), Cancel(by=AGENT))],
        ids=["an answer is being checked", "answered", "cancelled"],
    )
    def test_nobody_is_reminded_of_what_does_not_wait_for_them(self, task):
        assert lifecycle.remind(task, 1, NOON) is None

    def test_nobody_is_reminded_when_it_is_too_late(self):
        assert lifecycle.remind(opened(), 1, NOON + timedelta(days=30)) is None


class TestAnswering:
    def test_completes_and_tells_everybody_once(self):
        task = opened(ANA, notify=("email:a@x.org",), callback_url="https://agent.example/cb")
        change = lifecycle.act(task, Submit(value=YES, by=person(ANA)), NOON)
        assert change is not None
        assert (change.task.status, change.task.response) == (TaskStatus.COMPLETED, YES)
        assert [(effect.event, effect.recipient) for effect in change.effects] == [
            ("closed", "email:a@x.org"),
            ("closed", "webhook:https://agent.example/cb"),
        ]

    def test_tells_a_program_through_the_channel_that_its_callback_names(self):
        change = lifecycle.act(opened(ANA, callback_url="temporal:refund-42"), Submit(value=YES, by=person(ANA)), NOON)
        assert change is not None
        assert [(effect.event, effect.recipient) for effect in change.effects] == [("closed", "temporal:refund-42")]

    @pytest.mark.parametrize("late_by", [0, 1, 10_000])
    def test_at_or_after_the_deadline_performs_the_timeout_and_is_refused(self, late_by: int):
        at = NOON + timedelta(seconds=60 + late_by)
        change = lifecycle.act(opened(), Submit(value=YES, by=person(ANA)), at)
        assert change is not None
        assert change.task.status is TaskStatus.TIMED_OUT
        assert isinstance(change.refusal, TaskAlreadyTerminalError)
        assert change.task.answers == ()

    def test_by_a_stranger_is_refused(self):
        with pytest.raises(ForbiddenError):
            after(opened(ANA), Submit(value=YES, by=person(BEN)))

    def test_by_an_operator_is_allowed(self):
        assert after(opened(ANA), Submit(value=YES, by=person(BOSS))).closed

    def test_goes_by_address_in_any_letter_case(self):
        upper = Human(id="somebody", email="ANA@EXAMPLE.COM")
        assert after(opened(ANA), Submit(value=YES, by=person(upper))).closed

    def test_of_a_task_somebody_else_claimed_is_refused(self):
        claimed = after(opened(ANA, BEN), Claim(by=person(ANA)))
        with pytest.raises(TaskAlreadyClaimedError):
            after(claimed, Submit(value=YES, by=person(BEN)))

    def test_by_the_principal_that_asked_is_refused_unless_it_may(self):
        task = opened(requested_by=TOKEN.principal)
        with pytest.raises(SelfAnswerError):
            after(task, Submit(value=YES, by=TOKEN))
        assert after(task, Submit(value=YES, by=TOKEN, own=True)).closed

    def test_in_the_name_of_a_person_by_the_principal_that_asked_is_refused_too(self):
        stated = Actor.of(ANA, auth="token", via="api", stated_by=TOKEN.principal)
        with pytest.raises(SelfAnswerError):
            after(opened(ANA, requested_by=TOKEN.principal), Submit(value=YES, by=stated))

    def test_by_the_person_who_asked_under_another_name_is_refused(self):
        """As by a link to the address of somebody who asked when logged in."""
        asked = opened(requested_by="human:42", asker_addresses=("42", "ana@example.com"))
        with pytest.raises(SelfAnswerError):
            after(asked, Submit(value=YES, by=Actor.of(Human(id="ANA@example.com"), auth="link")))

    def test_by_the_person_who_asked_is_refused(self):
        asker = person(ANA)
        with pytest.raises(SelfAnswerError):
            after(opened(requested_by=asker.principal), Submit(value=YES, by=asker))

    def test_with_a_verifier_waits_for_the_verdict(self):
        task = opened(verifier=CHECKED, notify=("email:a@x.org",))
        change = lifecycle.act(task, Submit(value=YES, by=person(ANA)), NOON)
        assert change is not None
        assert change.task.status is TaskStatus.SUBMITTED
        assert [(effect.kind, effect.event, effect.generation) for effect in change.effects] == [
            (EffectKind.VERIFY, "", 1),
            (EffectKind.NOTIFY, "submitted", 1),
        ]

    @pytest.mark.parametrize("command", [Submit(value=YES, by=person(BEN)), Claim(by=person(BEN))])
    def test_again_while_under_review_is_refused(self, command: Command):
        with pytest.raises(AnswerUnderReviewError):
            after(submitted(), command)

    def test_for_an_earlier_attempt_is_refused(self):
        again = after(opened(verifier=CHECKED), Submit(value=YES, by=person(ANA), attempt=0))
        change = lifecycle.decide(again, 1, Verdict(passed=False, reason="No."), NOON)
        assert change is not None
        with pytest.raises(ConflictError, match="refused since"):
            after(change.task, Submit(value=YES, by=person(ANA), attempt=0))
        assert after(change.task, Submit(value=YES, by=person(ANA), attempt=1)).status is TaskStatus.SUBMITTED


class TestVerdicts:
    def test_that_pass_complete_the_task(self):
        change = lifecycle.decide(submitted(), 1, Verdict(passed=True), NOON)
        assert change is not None
        assert (change.task.status, change.task.attempt) == (TaskStatus.COMPLETED, 1)

    def test_that_read_free_text_make_an_answer_of_it(self):
        task = after(opened(verifier=CHECKED), Submit(text="no, too much", by=person(ANA)))
        change = lifecycle.decide(task, 1, Verdict(passed=True, parsed_response={"approve": False}), NOON)
        assert change is not None
        assert change.task.response == {"approve": False}
        assert change.task.answer
        assert change.task.answer.text == "no, too much"

    def test_never_change_what_was_chosen_in_a_form(self):
        change = lifecycle.decide(submitted(), 1, Verdict(passed=True, parsed_response={"approve": False}), NOON)
        assert change is not None
        assert change.task.response == YES

    def test_tell_what_they_took(self):
        usage = Usage(model="small", input_tokens=100, output_tokens=20, seconds=0.12345)
        change = lifecycle.decide(submitted(), 1, Verdict(passed=True, usage=usage), NOON)
        assert change is not None
        assert change.task.tokens_used == 120
        told = {name: fact for name, fact in change.entries[0].data.items() if name.startswith("verifier_")}
        assert told == {
            "verifier_passed": True,
            "verifier_reason": "",
            "verifier_model": "small",
            "verifier_input_tokens": 100,
            "verifier_output_tokens": 20,
            "verifier_seconds": 0.123,
        }

    def test_that_refuse_open_the_task_again_and_then_exhaust_it(self):
        refusal = Verdict(passed=False, reason="too vague")
        first = lifecycle.decide(submitted(notify=("email:a@x.org",)), 1, refusal, NOON)
        assert first is not None
        assert (first.task.status, first.task.refused) == (TaskStatus.PENDING, True)
        assert [effect.event for effect in first.effects] == ["rejected"]
        second = lifecycle.decide(after(first.task, Submit(value=YES, by=person(ANA))), 2, refusal, NOON)
        assert second is not None
        assert second.task.status is TaskStatus.VERIFICATION_EXHAUSTED
        assert "too vague" in str(second.task.outcome_error)

    def test_that_refuse_at_the_deadline_close_the_task_in_the_same_step(self):
        late = NOON + timedelta(seconds=60)
        change = lifecycle.decide(submitted(), 1, Verdict(passed=False, reason="no"), late)
        assert change is not None
        assert change.task.status is TaskStatus.TIMED_OUT

    def test_that_pass_after_the_deadline_count_for_an_answer_given_in_time(self):
        change = lifecycle.decide(submitted(), 1, Verdict(passed=True), NOON + timedelta(hours=1))
        assert change is not None
        assert change.task.status is TaskStatus.COMPLETED

    @pytest.mark.parametrize("attempt", [0, 2])
    def test_on_another_attempt_change_nothing(self, attempt: int):
        assert lifecycle.decide(submitted(), attempt, Verdict(passed=True), NOON) is None

    def test_on_a_cancelled_task_change_nothing(self):
        cancelled = after(submitted(), Cancel(by=AGENT))
        assert lifecycle.decide(cancelled, 1, Verdict(passed=True), NOON) is None


class TestExpiry:
    def test_before_the_deadline_changes_nothing(self):
        assert lifecycle.expire(opened(), NOON + timedelta(seconds=59)) is None

    def test_waits_once_for_an_answer_under_review_and_then_closes(self):
        deadline = NOON + timedelta(seconds=60)
        extended = lifecycle.expire(submitted(), deadline)
        assert extended is not None
        assert extended.task.status is TaskStatus.SUBMITTED
        assert [effect.due for effect in extended.effects] == [deadline + lifecycle.GRACE]
        assert lifecycle.expire(extended.task, deadline) is None
        closed = lifecycle.expire(extended.task, deadline + lifecycle.GRACE)
        assert closed is not None
        assert closed.task.status is TaskStatus.TIMED_OUT
        assert closed.entries[0].data["unverified_answer"] == YES

    def test_keeps_a_redacted_answer_out_of_the_trail(self):
        deadline = NOON + timedelta(seconds=60)
        extended = lifecycle.expire(submitted(redact_payload=True), deadline)
        assert extended is not None
        closed = lifecycle.expire(extended.task, deadline + lifecycle.GRACE)
        assert closed is not None
        assert "unverified_answer" not in closed.entries[0].data

    def test_of_a_closed_task_changes_nothing(self):
        closed = after(opened(), Cancel(by=AGENT))
        assert lifecycle.expire(closed, NOON + timedelta(days=1)) is None


class TestClaiming:
    def test_is_for_people(self):
        with pytest.raises(ForbiddenError):
            after(opened(), Claim(by=TOKEN))

    def test_again_by_the_same_person_changes_nothing(self):
        claimed = after(opened(), Claim(by=person(ANA)))
        assert lifecycle.act(claimed, Claim(by=person(ANA)), NOON) is None

    def test_of_what_another_has_is_refused(self):
        claimed = after(opened(), Claim(by=person(ANA)))
        with pytest.raises(TaskAlreadyClaimedError):
            after(claimed, Claim(by=person(BEN)))

    def test_can_be_taken_back(self):
        claimed = after(opened(), Claim(by=person(ANA)))
        with pytest.raises(TaskAlreadyClaimedError):
            after(claimed, Release(by=person(BEN)))
        assert after(claimed, Release(by=person(ANA))).assignee is None

    def test_claiming_and_releasing_are_told_to_everybody(self):
        claimed = lifecycle.act(opened(ANA, BEN, notify=("email:a", "slack:#b")), Claim(by=person(ANA)), NOON)
        assert claimed is not None
        released = lifecycle.act(claimed.task, Release(by=person(ANA)), NOON)
        assert released is not None
        told = [(effect.event, effect.recipient) for effect in (*claimed.effects, *released.effects)]
        assert told == [(event, to) for event in ("claimed", "released") for to in ("email:a", "slack:#b")]

    def test_handing_on_tells_those_who_knew_and_opens_it_for_those_who_join(self):
        task = opened(ANA, notify=("email:ana",))
        handed = Reassign(to=(BEN,), by=person(BOSS), notify=("email:ana", "email:ben", "email:ben"))
        change = lifecycle.act(task, handed, NOON)
        assert change is not None
        assert [(effect.event, effect.recipient) for effect in change.effects] == [
            ("reassigned", "email:ana"),
            ("opened", "email:ben"),
        ]
        closed = lifecycle.act(change.task, Submit(value=YES, by=person(BEN)), NOON)
        assert closed is not None
        assert [effect.recipient for effect in closed.effects] == ["email:ana", "email:ben"]

    def test_reassigning_is_for_operators(self):
        task = opened(ANA)
        with pytest.raises(ForbiddenError):
            after(task, Reassign(to=(BEN,), by=person(ANA)))
        assert after(task, Reassign(to=(BEN,), by=person(BOSS))).assignee == BEN


class TestClocksThatStepBack:
    def test_undo_no_extension_of_a_deadline(self):
        deadline = NOON + timedelta(seconds=60)
        extended = lifecycle.expire(submitted(), deadline)
        assert extended is not None
        closed = lifecycle.decide(extended.task, 1, Verdict(passed=False), deadline - timedelta(seconds=1))
        assert closed is not None
        assert closed.task.status is TaskStatus.TIMED_OUT


class TestEffects:
    def test_keep_their_order_whatever_the_clock_of_the_process_says(self):
        task = opened(ANA, notify=("email:a@x.org",))
        change = lifecycle.act(task, Submit(value=YES, by=person(ANA)), NOON - timedelta(minutes=1))
        assert change is not None
        assert [effect.due for effect in change.effects] == [NOON]


class TestAfterwards:
    def test_only_an_outcome_can_be_collected_and_once(self):
        with pytest.raises(TaskStillOpenError):
            lifecycle.collect(opened(), AGENT, NOON)
        closed = after(opened(), Cancel(by=AGENT))
        collected = lifecycle.collect(closed, AGENT, NOON)
        assert collected is not None
        assert lifecycle.collect(collected.task, AGENT, NOON) is None

    def test_a_redacted_response_is_gone(self):
        closed = after(opened(redact_response_after_submit=True), Submit(value=YES, by=person(ANA)))
        change = lifecycle.redact_response(closed, NOON)
        assert change is not None
        assert change.task.response is None
        assert YES not in [answer.value for answer in change.task.answers]

    def test_a_redacted_response_leaves_nothing_in_the_verdict(self):
        verdict = Verdict(passed=True, reason="says 4711", parsed_response={"approve": True})
        closed = lifecycle.decide(submitted(redact_response_after_submit=True), 1, verdict, NOON)
        assert closed is not None
        change = lifecycle.redact_response(closed.task, NOON)
        assert change is not None
        assert change.task.verdict == Verdict(passed=True)

    def test_reassigning_adds_no_more_recipients_than_a_task_may_have(self):
        crowd = tuple(f"email:{number}" for number in range(MAX_RECIPIENTS))
        task = after(opened(ANA), Reassign(to=(BEN,), by=person(BOSS), notify=crowd))
        assert after(task, Reassign(to=(ANA,), by=person(BOSS), notify=crowd[:1])).recipients == crowd
        with pytest.raises(InvalidRoutingError, match="101 recipients"):
            after(task, Reassign(to=(ANA,), by=person(BOSS), notify=("email:one-more",)))

    def test_reassigning_to_nobody_does_not_open_a_task_to_everybody(self):
        with pytest.raises(InvalidRoutingError):
            after(opened(ANA), Reassign(to=(), by=person(BOSS)))

    def test_deleting_an_open_task_cancels_it_first(self):
        change = lifecycle.delete(opened(notify=("email:a@x.org",)), AGENT, NOON)
        assert change.task.status is TaskStatus.CANCELLED
        assert [effect.kind for effect in change.effects] == [EffectKind.NOTIFY, EffectKind.PURGE]

    def test_the_trail_is_a_chain(self):
        task = opened()
        change = lifecycle.act(task, Submit(value=YES, by=person(ANA)), NOON)
        assert change is not None
        entry = change.entries[0]
        assert (entry.seq, entry.previous) == (2, task.trail_digest)
        assert change.task.trail_digest == entry.digest != replace(entry, action="forged").digest


class Lifecycle(RuleBasedStateMachine):
    """Any commands by anybody at any time keep the rules of the house."""

    @initialize(
        verified=st.booleans(),
        people=st.sampled_from([(), (ANA,), (ANA, BEN)]),
        asked_by=st.sampled_from([AGENT, TOKEN, person(ANA)]),
    )
    def ask(self, *, verified: bool, people: tuple[Human, ...], asked_by: Actor) -> None:
        spec = make_spec(
            timeout_seconds=60,
            verifier=CHECKED if verified else None,
            notify=("email:a@x.org",),
            requested_by=asked_by.principal,
        )
        self.now = NOON
        self.entries: list[Entry] = []
        self.effects: dict[str, Effect] = {}
        self.outcome: object = None
        self._take(
            lifecycle.open_task(spec, task_id="t1", fingerprint="f", addressees=people, by=asked_by, now=NOON),
            before=None,
        )

    @rule(seconds=st.sampled_from([0, 1, 30, 60, 1_000]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        by=st.sampled_from([person(ANA), person(BEN), person(BOSS), TOKEN, AGENT]),
        make=st.sampled_from(
            [
                lambda by: Submit(value=YES, by=by),
                lambda by: Claim(by=by),
                lambda by: Release(by=by),
                lambda by: Reassign(to=(BEN,), by=by),
                lambda by: Cancel(by=by),
            ]
        ),
    )
    def command(self, by: Actor, make: object) -> None:
        assert callable(make)
        try:
            change = lifecycle.act(self.task, make(by), self.now)
        except AwaitHumansError:
            return
        self._take(change, before=self.task)

    @rule(attempt=st.integers(0, 3), passed=st.booleans())
    def judge(self, attempt: int, *, passed: bool) -> None:
        self._take(lifecycle.decide(self.task, attempt, Verdict(passed=passed), self.now), before=self.task)

    @rule()
    def perform_due_expiry(self) -> None:
        due = [one for one in self.effects.values() if one.kind is EffectKind.EXPIRE and one.due <= self.now]
        for effect in due:
            del self.effects[effect.id]
            self._take(lifecycle.expire(self.task, self.now), before=self.task)

    @precondition(lambda self: self.task.closed)
    @rule()
    def collect(self) -> None:
        self._take(lifecycle.collect(self.task, AGENT, self.now), before=self.task)

    def _take(self, change: Change | None, *, before: Task | None) -> None:
        if change is None:
            return
        assert change.task.version == (before.version if before else 0) + 1
        self.task = change.task
        self.entries += change.entries
        for effect in change.effects:
            self.effects.setdefault(effect.id, effect)

    @invariant()
    def an_open_task_has_one_expiry_ahead(self) -> None:
        if not self.task.closed:
            assert len([one for one in self.effects.values() if one.kind is EffectKind.EXPIRE]) == 1

    @invariant()
    def an_outcome_never_changes(self) -> None:
        outcome = (self.task.status, self.task.response, self.task.closed_at) if self.task.closed else None
        assert self.outcome is None or self.outcome == outcome
        self.outcome = outcome

    @invariant()
    def the_trail_is_whole(self) -> None:
        assert [entry.seq for entry in self.entries] == list(range(1, self.task.trail_length + 1))
        digests = ["", *(entry.digest for entry in self.entries)]
        assert [entry.previous for entry in self.entries] == digests[:-1]
        assert self.task.trail_digest == digests[-1]

    @invariant()
    def only_who_may_has_answered(self) -> None:
        for answer in self.task.answers:
            assert answer.by.principal != self.task.spec.requested_by or answer.by.auth == "engine"

    @invariant()
    def no_answer_is_later_than_the_deadline(self) -> None:
        assert all(answer.at < self.task.deadline for answer in self.task.answers)


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=150, stateful_step_count=40)
