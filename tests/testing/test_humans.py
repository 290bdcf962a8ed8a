"""The double for the person: what it does when it is told so."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, Field, model_validator

from awaithumans import (
    Human,
    IdempotencyConflictError,
    InvalidRoutingError,
    PoolAssignment,
    RoleAssignment,
    TaskCancelledError,
    TaskStatus,
    TaskTimeoutError,
    UserAssignment,
    Verdict,
    VerificationContext,
    VerificationExhaustedError,
    VerifierConfig,
    VerifierUnknownError,
)
from awaithumans.testing.humans import (
    AnswerRefusedError,
    Cancellation,
    Humans,
    Reply,
    Silence,
    UnexpectedQuestionError,
)
from awaithumans.testing.recording import RecordingChannel
from tests.testing.questions import HOUR, Decision, Refund, ask, ask_sync

pytestmark = pytest.mark.anyio

YES: dict[str, Any] = {"approved": True}
NO: dict[str, Any] = {"approved": False}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Strict:
    """A verifier that wants a note."""

    async def verify(self, context: VerificationContext) -> Verdict:
        noted = bool((context.response or {}).get("note"))
        return Verdict(passed=noted, reason="" if noted else "say why")


class TestAnswering:
    async def test_with_plain_data(self, humans: Humans):
        humans.answer(YES)
        assert await ask() == Decision(approved=True)

    async def test_with_a_model(self, humans: Humans):
        humans.answer(Decision(approved=False, note="no"))
        assert await ask() == Decision(approved=False, note="no")

    async def test_with_a_model_whose_fields_have_other_names_on_the_wire(self, humans: Humans):
        class Aliased(BaseModel):
            granted: bool = Field(alias="isGranted")

        humans.answer(Aliased(isGranted=True))
        assert (await ask(response_schema=Aliased)).granted

    async def test_by_a_rule(self, humans: Humans):
        humans.answer(lambda task: {"approved": task.spec.payload["order"] == "A-1"})
        assert [(await ask(order)).approved for order in ("A-1", "A-2")] == [True, False]

    async def test_every_question_and_every_time(self, humans: Humans):
        humans.answer(YES)
        assert [(await ask()).approved for _ in range(3)] == [True] * 3
        assert len(humans.asked) == 3

    async def test_in_an_async_test_or_a_sync_one(self, humans: Humans):
        humans.answer(YES)
        assert (await ask()).approved

    def test_in_a_sync_test_or_an_async_one(self, humans: Humans):
        humans.answer(YES)
        assert ask_sync().approved

    async def test_keeps_what_was_asked(self, humans: Humans):
        humans.answer(YES)
        await ask("A-1", assign_to="ana@example.com")
        await ask("A-2", timeout_seconds=60)
        assert [asked.payload for asked in humans.asked] == [{"order": "A-1"}, {"order": "A-2"}]
        assert humans.asked[0].assign_to == {"email": "ana@example.com"}
        assert humans.asked[1].timeout_seconds == 60

    async def test_keeps_what_became_of_it(self, humans: Humans):
        humans.answer(YES)
        humans.ignore(to="wire")
        await ask()
        with pytest.raises(TaskTimeoutError):
            await ask(task="Wire the money?")
        assert [task.status for task in humans.tasks] == [TaskStatus.COMPLETED, TaskStatus.TIMED_OUT]
        assert humans.tasks[0].response == YES

    async def test_is_done_by_a_person_as_the_trail_shows(self, humans: Humans):
        humans.answer(YES)
        await ask(assign_to="ana@example.com")
        [_, completed, _] = await humans.engine.trail(humans.tasks[0].id)
        assert (completed.by.kind, completed.by.id, completed.by.via) == ("human", "ana@example.com", "test")

    async def test_is_done_by_whom_the_test_says(self, humans: Humans):
        humans.answer(YES, by=Human(id="u-7", display_name="Ben"))
        await ask(assign_to=["ana@example.com", "ben@example.com"])
        answer = humans.tasks[0].answer
        assert answer
        assert answer.by.id == "u-7"

    async def test_is_validated_by_the_agents_own_model(self, humans: Humans):
        class Careful(Decision):
            @model_validator(mode="after")
            def _noted(self) -> Careful:
                if self.approved and not self.note:
                    raise ValueError("an approval needs a note")
                return self

        humans.answer(YES)
        with pytest.raises(AnswerRefusedError, match="an approval needs a note"):
            await ask(response_schema=Careful)
        humans.failures.clear()


class TestWhichQuestions:
    async def test_by_words_of_the_question(self, humans: Humans):
        humans.answer(NO)
        humans.answer(YES, to="REFUND")
        assert (await ask()).approved
        assert not (await ask(task="Wire the money?")).approved

    async def test_by_response_model(self, humans: Humans):
        class Amount(BaseModel):
            amount: int

        humans.answer(Amount(amount=5), to=Amount)
        humans.answer(Decision(approved=True), to=Decision)
        assert (await ask(response_schema=Amount)).amount == 5
        assert (await ask()).approved

    async def test_by_a_function(self, humans: Humans):
        humans.answer(NO)
        humans.answer(YES, to=lambda task: task.spec.payload["order"] == "A-2")
        assert [(await ask(order)).approved for order in ("A-1", "A-2")] == [False, True]

    async def test_what_was_told_last_counts(self, humans: Humans):
        humans.answer(NO)
        humans.answer(YES)
        assert (await ask()).approved

    async def test_a_rule_leaves_a_question_to_what_was_told_before(self, humans: Humans):
        humans.answer(NO)
        humans.answer(lambda task: YES if task.spec.payload["order"] == "A-2" else None)
        assert [(await ask(order)).approved for order in ("A-1", "A-2")] == [False, True]


class TestScripts:
    async def test_are_played_in_order(self, humans: Humans):
        humans.script(YES, Decision(approved=False), Silence(), Cancellation("enough"), Reply(YES, after=60))
        assert (await ask()).approved
        assert not (await ask()).approved
        with pytest.raises(TaskTimeoutError):
            await ask()
        with pytest.raises(TaskCancelledError):
            await ask()
        assert (await ask()).approved

    async def test_one_question_too_many_fails_and_does_not_hang(self, humans: Humans):
        humans.script(YES)
        await ask("A-1")
        with pytest.raises(UnexpectedQuestionError) as failed:
            await ask("A-2")
        message = str(failed.value)
        assert "Approve this refund?" in message
        assert '"order": "A-2"' in message
        assert "approved (boolean), note (string, optional)" in message
        humans.failures.clear()

    async def test_one_question_too_many_is_left_to_what_was_told_before(self, humans: Humans):
        humans.answer(NO)
        humans.script(YES)
        assert [(await ask()).approved for _ in range(3)] == [True, False, False]

    async def test_one_question_too_few_fails(self):
        humans = Humans()
        humans.script(YES, NO)
        await ask(engine=humans.engine)
        with pytest.raises(AssertionError, match=r"(?s)nobody asked.*'approved': False"):
            humans.check()

    async def test_lose_nothing_to_an_agent_that_is_cancelled(self, humans: Humans, monkeypatch: pytest.MonkeyPatch):
        """The next call finds the same question, and the same answer to it."""
        humans.script(YES)
        with monkeypatch.context() as patched:
            patched.setattr(humans.engine, "act", lambda *_: anyio.sleep_forever())
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        assert (await ask()).approved
        assert len(humans.asked) == 1

    async def test_of_several_questions_each_have_their_own(self, humans: Humans):
        humans.script(YES, NO, to="refund")
        humans.script(NO, YES, to="wire")
        answers = [(await ask(task=task)).approved for task in ("Refund?", "Wire?", "Refund?", "Wire?")]
        assert answers == [True, False, False, True]


class TestWhatGoesWrong:
    async def test_a_question_nobody_expected(self, humans: Humans):
        with pytest.raises(UnexpectedQuestionError, match=r"humans\.answer"):
            await ask()
        humans.failures.clear()

    async def test_an_answer_that_does_not_fit(self, humans: Humans):
        humans.answer({"approved": "perhaps", "note": 5})
        with pytest.raises(AnswerRefusedError) as failed:
            await ask()
        assert set(failed.value.fields) == {"approved", "note"}
        assert "approved: must be true or false" in str(failed.value)
        humans.failures.clear()

    async def test_is_raised_at_the_end_though_the_agent_caught_it(self):
        with pytest.raises(UnexpectedQuestionError), Humans(), suppress(UnexpectedQuestionError):
            await ask()

    async def test_is_raised_by_every_wait_from_then_on(self, humans: Humans):
        with pytest.raises(UnexpectedQuestionError):
            await ask()
        humans.answer(YES)
        with pytest.raises(UnexpectedQuestionError):
            await ask("A-2")
        humans.failures.clear()

    async def test_is_noted_on_another_failure(self):
        async def agent() -> None:
            with suppress(UnexpectedQuestionError):
                await ask()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as failed, Humans():
            await agent()
        assert "Nobody was told" in failed.value.__notes__[0]

    async def test_a_rule_that_fails(self, humans: Humans):
        humans.answer(lambda task: {"approved": task.spec.payload["no such field"]})
        with pytest.raises(KeyError, match="no such field"):
            await ask()
        humans.failures.clear()

    @pytest.mark.parametrize("nonsense", [True, "yes", ["approved"]])
    async def test_a_rule_that_says_nonsense(self, humans: Humans, nonsense: Any):
        humans.answer(lambda task: nonsense)
        with pytest.raises(TypeError, match="is no answer"):
            await ask()
        humans.failures.clear()

    async def test_an_answer_that_is_to_be_refused_is_followed_by_another(self, humans: Humans):
        humans.script(Reply({"approved": "perhaps"}, refused=True), YES)
        assert (await ask()).approved
        assert len(humans.asked) == 1

    async def test_an_answer_that_is_to_be_refused_and_is_not(self, humans: Humans):
        humans.script(Reply(YES, refused=True))
        with suppress(AssertionError):  # the answer itself went through
            await ask("A-1")
        with pytest.raises(AssertionError, match="was to be refused"):
            await ask("A-2")
        humans.failures.clear()

    async def test_a_rule_whose_answers_are_refused_for_ever(self, humans: Humans):
        humans.answer(lambda task: Reply({}, refused=True))
        with pytest.raises(AssertionError, match="100 times"):
            await ask()
        humans.failures.clear()

    async def test_what_the_engine_refuses_to_ask_is_refused_as_ever(self, humans: Humans):
        humans.answer(YES)
        await ask("A-1", idempotency_key="k")
        with pytest.raises(IdempotencyConflictError):
            await ask("A-2", idempotency_key="k")


class TestCancelling:
    async def test_closes_the_question(self, humans: Humans):
        humans.cancel("not any more")
        with pytest.raises(TaskCancelledError):
            await ask()
        entry = (await humans.engine.trail(humans.tasks[0].id))[1]
        assert entry.data == {"reason": "not any more"}

    async def test_may_take_its_time(self, humans: Humans):
        humans.cancel(after=timedelta(minutes=5))
        with pytest.raises(TaskCancelledError):
            await ask()
        [task] = humans.tasks
        assert task.closed_at
        assert task.closed_at - task.created_at == timedelta(minutes=5)


class TestTheHostsParts:
    async def test_verifiers_are_the_real_ones(self):
        config = VerifierConfig(provider="strict", instructions="", max_attempts=2)
        with Humans(verifiers={"strict": Strict()}) as humans:
            humans.script(YES, {"approved": True, "note": "fine"})
            assert (await ask(verifier=config)).note == "fine"
            humans.answer(YES)
            with pytest.raises(VerificationExhaustedError):
                await ask(verifier=config)
        assert [task.attempt for task in humans.tasks] == [2, 2]

    async def test_a_rule_sees_why_an_answer_was_refused(self):
        config = VerifierConfig(provider="strict", instructions="")
        with Humans(verifiers={"strict": Strict()}) as humans:
            humans.answer(lambda task: {**YES, "note": task.verdict.reason if task.verdict else ""})
            assert (await ask(verifier=config)).note == "say why"

    async def test_a_verifier_that_breaks_down_costs_no_test_its_time(self):
        class Broken:
            async def verify(self, context: VerificationContext) -> Verdict:
                raise ConnectionError

        with Humans(verifiers={"broken": Broken()}) as humans:
            humans.answer(YES)
            with pytest.raises(TaskTimeoutError):
                await ask(verifier=VerifierConfig(provider="broken", instructions=""))

    async def test_a_verifier_nobody_gave_is_unknown(self, humans: Humans):
        with pytest.raises(VerifierUnknownError):
            await ask(verifier=VerifierConfig(provider="claude", instructions=""))

    async def test_what_is_sent_is_kept(self, humans: Humans):
        humans.answer(YES, after=60)
        await ask(notify=["slack:#refunds", "email:ana@example.com"], callback_url="https://example.com/hook")
        said = [(notice.channel, notice.target, notice.event) for notice in humans.notices]
        assert said == [
            ("email", "ana@example.com", "opened"),
            ("email", "ana@example.com", "closed"),
            ("slack", "#refunds", "opened"),
            ("slack", "#refunds", "closed"),
            ("webhook", "https://example.com/hook", "closed"),
        ]

    async def test_what_wakes_an_agent_is_kept(self, humans: Humans):
        humans.answer(YES)
        await ask(callback_url="temporal:refund-42")
        said = [(notice.channel, notice.target, notice.event) for notice in humans.notices]
        assert said == [("temporal", "refund-42", "closed")]

    async def test_channels_are_the_tests_own_where_it_brings_them(self):
        pager = RecordingChannel("pager")
        with Humans(channels=[pager]) as humans:
            humans.answer(YES)
            await ask(notify=["pager:team"])
        assert [notice.event for notice in pager.sent] == ["opened", "closed"]
        assert humans.notices == []

    async def test_a_channel_that_does_not_exist_is_refused(self, humans: Humans):
        with pytest.raises(InvalidRoutingError):
            await ask(notify=["slak:#refunds"])

    @pytest.mark.parametrize(
        ("assign_to", "name"),
        [
            (PoolAssignment(pool="ops"), "ops"),
            (RoleAssignment(role="lead", access_level="gold"), "lead"),
            (UserAssignment(user_id="u-1"), "u-1"),
            ("Ana@example.com", "ana@example.com"),
        ],
    )
    async def test_every_assignment_leads_to_somebody(self, humans: Humans, assign_to: Any, name: str):
        humans.answer(YES)
        await ask(assign_to=assign_to)
        [task] = humans.tasks
        assert task.assignee
        assert task.assignee.id == name
        assert task.answer
        assert task.answer.by.id == name


def test_people_may_be_told_more_than_once_where_they_are_made_by_hand():
    """Without pytest's plugin, as in unittest or a notebook."""
    with Humans() as outer, Humans() as inner:
        outer.answer(YES)
        inner.answer(NO)
        assert not ask_sync().approved
    assert (len(outer.asked), len(inner.asked)) == (0, 1)


def test_the_long_text_of_a_question_is_cut(humans: Humans):
    with pytest.raises(UnexpectedQuestionError) as failed:
        ask_sync(task="x" * 10_000, payload=Refund(order="y" * 10_000), timeout_seconds=HOUR)
    assert len(str(failed.value)) < 3_000
    humans.failures.clear()
