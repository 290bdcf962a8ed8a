"""Errors of ours as failures of Temporal's, and back."""

from __future__ import annotations

from typing import NoReturn

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.testing import ActivityEnvironment

from awaithumans import (
    AwaitHumansError,
    InvalidInputError,
    RemoteEngine,
    SchemaValidationError,
    ServerUnreachableError,
    TaskTimeoutError,
    VerificationExhaustedError,
)
from awaithumans.adapters.temporal import HumanActivities, error_of
from awaithumans.adapters.temporal.failures import failure_of, out_of_groups
from awaithumans.errors import ERRORS_BY_CODE

ERRORS = sorted(ERRORS_BY_CODE.values(), key=lambda cls: cls.__name__)


async def sent(error: BaseException) -> BaseException:
    """Send an error through what Temporal keeps of it."""
    failure = Failure()
    await DataConverter.default.encode_failure(error, failure)
    return await DataConverter.default.decode_failure(Failure.FromString(failure.SerializeToString()))


@pytest.mark.anyio
class TestTheWayThroughAHistory:
    @pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
    async def test_every_error_comes_back_as_itself(self, cls: type[AwaitHumansError]):
        error = cls.described("what happened", "what to do")
        failure = failure_of(error)
        assert isinstance(failure, cls)
        assert isinstance(failure, FailureError), "it fails the workflow instead of wedging it"
        back = error_of(await sent(failure))
        assert type(back) is cls
        assert (str(back), back and back.code) == (str(error), error.code)

    async def test_it_brings_its_facts(self):
        exhausted = failure_of(VerificationExhaustedError("Refund?", 3, reason="too vague"))
        back = error_of(await sent(exhausted))
        assert isinstance(back, VerificationExhaustedError)
        assert (back.attempts, back.reason) == (3, "too vague")
        unfit = failure_of(SchemaValidationError.of_fields("response", {"amount": "must be positive"}))
        back = error_of(await sent(unfit))
        assert isinstance(back, InvalidInputError)
        assert back.fields == {"amount": "must be positive"}

    async def test_what_it_was_caused_by_stays_out(self):
        """It may quote an answer, or an address."""
        error = ServerUnreachableError("https://app.example", "refused")
        error.__cause__ = ValueError("a secret")
        assert (await sent(failure_of(error))).__cause__ is None

    async def test_of_much_it_keeps_the_beginning(self):
        """A failure that is too large for a history, or is no text, would be tried without end."""
        many = failure_of(
            SchemaValidationError.of_fields("payload", {f"rows.{n}\ud800": "x" * 10_000 for n in range(500)})
        )
        back = error_of(await sent(many))
        assert isinstance(back, SchemaValidationError)
        assert back.message.startswith("the payload does not fit its schema: rows.0?: xxx")
        assert (len(back.message), len(back.fields)) == (2_000, 20)

    async def test_other_failures_are_none_of_ours(self):
        for other in (
            ApplicationError("x"),
            ApplicationError("x", {"code": 1}),
            ApplicationError("x", {"code": "TIMEOUT_EXCEEDED"}),
            TimeoutError(),
            ValueError("x"),
        ):
            assert error_of(await sent(other)) is None

    async def test_an_error_of_a_newer_release_is_an_error_still(self):
        newer = ApplicationError("x", {"code": "NEW", "message": "it is new", "hint": "update"})
        back = error_of(await sent(newer))
        assert (type(back), back and back.message) == (AwaitHumansError, "it is new")


def test_a_failure_is_made_once():
    failure = failure_of(TaskTimeoutError("Refund?", 60))
    assert isinstance(failure, TaskTimeoutError)
    assert type(failure_of(failure)) is type(failure)
    assert failure.non_retryable
    assert not failure_of(TaskTimeoutError("Refund?", 60), retryable=True).non_retryable


class Away(RemoteEngine):
    """A server that cannot be reached, whose address nobody is to read in a history."""

    async def get(self, task_id: str) -> NoReturn:
        raise ServerUnreachableError(self.server_url, ConnectionError("refused by hunter2"))


@pytest.mark.anyio
async def test_a_history_gets_neither_address_nor_secret():
    activities = HumanActivities(Away("http://svc:hunter2@humans.internal:8080"))
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(activities.read, "0" * 32, 60.0)
    assert "ServerUnreachableError" in str(failed.value)
    assert "hunter2" not in str(vars(failed.value)) + str(failed.value)
    assert not failed.value.non_retryable


class TestGroups:
    """A group stays one if it has a fault of the code, which Temporal shall run again, or nothing of ours."""

    def test_ours_comes_out(self):
        ours: Exception = failure_of(TaskTimeoutError("Refund?", 60))
        with pytest.raises(TaskTimeoutError) as caught, out_of_groups():
            raise ExceptionGroup("", [ApplicationError("theirs"), ExceptionGroup("", [ours])])
        assert caught.value is ours

    @pytest.mark.parametrize(
        "members",
        [
            [LookupError("a fault"), failure_of(TaskTimeoutError("Refund?", 60))],
            [ExceptionGroup("", [LookupError("a fault")]), failure_of(TaskTimeoutError("Refund?", 60))],
            [ApplicationError("theirs")],
        ],
    )
    def test_another_stays(self, members: list[Exception]):
        group = ExceptionGroup("", members)
        with pytest.raises(ExceptionGroup) as caught, out_of_groups():
            raise group
        assert caught.value is group
