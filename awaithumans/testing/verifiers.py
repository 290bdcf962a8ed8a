"""What a `Verifier` promises, as tests anybody's verifier can be put to.

```python
class TestMyVerifier(VerifierConformance):
    @pytest.fixture
    def verifier(self):
        return MyVerifier(...)

    @pytest.fixture
    def good(self):
        return make_context(response={"approve": True})

    @pytest.fixture
    def bad(self):
        return make_context(response={"approve": False})
```

The tests run on the backends of the fixture `anyio_backend`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from awaithumans import schemas
from awaithumans.documents import ensure_object
from awaithumans.errors import VerifierConfigError
from awaithumans.protocols import Verifier, VerifierError
from awaithumans.testing.promises import Promises
from awaithumans.testing.tasks import make_spec
from awaithumans.types import Verdict, VerificationContext, VerifierConfig

__all__ = ["VerifierConformance", "make_context"]

MAX_REASON_LENGTH = 2_000

STRANGE = ("{instructions}", "{0}", "%s %(task)s", "</data>", "```", "\u2028\r\n\t", "ÄÖ🙂\u202e", "x" * 20_000)
"""What somebody may write into a question or an answer."""


def make_context(**fields: Any) -> VerificationContext:
    """Make what a verifier gets to see; `fields` are those of `VerificationContext`."""
    spec = make_spec()
    defaults: dict[str, Any] = {
        "task": spec.task,
        "payload": spec.payload,
        "payload_schema": spec.payload_schema,
        "response_schema": spec.response_schema,
        "response": {"approve": True} if fields.get("raw_input") is None else None,
        "config": VerifierConfig(provider="verifier", instructions="Approve nothing above 100."),
        "attempt": 1,
    }
    return VerificationContext(**{**defaults, **fields})


class VerifierConformance(Promises, of="Verifier"):
    """What every verifier must hold to; subclass it and override the fixtures.

    `verifier`, `good` and `bad` are needed. With `clear` and `unclear`, the
    suite also looks at free text; with `bad_configs`, at what tasks may not
    ask for; with `broken`, at failures.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def verifier(self) -> Verifier:
        """Give the verifier under test."""
        raise NotImplementedError("override the fixture `verifier`")

    @pytest.fixture
    def good(self) -> VerificationContext:
        """Give an answer that passes, by `response`."""
        raise NotImplementedError("override the fixture `good`")

    @pytest.fixture
    def bad(self) -> VerificationContext:
        """Give an answer that does not pass, by `response`."""
        raise NotImplementedError("override the fixture `bad`")

    @pytest.fixture
    def clear(self) -> VerificationContext | None:
        """Give an answer in free text that passes, by `raw_input`."""
        return None

    @pytest.fixture
    def unclear(self) -> VerificationContext | None:
        """Give an answer in free text that nobody can understand."""
        return None

    @pytest.fixture
    def bad_configs(self) -> Sequence[VerifierConfig]:
        """Give configurations that the verifier does not take."""
        return ()

    @pytest.fixture
    def broken(self) -> Verifier | None:
        """Give a verifier of the kind whose medium fails at every answer."""
        return None

    async def test_it_says_what_it_may_see_and_read(
        self, verifier: Verifier, clear: VerificationContext | None
    ) -> None:
        """`trusted` and `reads_text` are True or False; only True counts."""
        assert isinstance(getattr(verifier, "trusted", False), bool)
        assert getattr(verifier, "reads_text", False) is (clear is not None)

    async def test_a_good_answer_passes(self, verifier: Verifier, good: VerificationContext) -> None:
        """The verdict is a `Verdict`, and its `passed` a bool."""
        verdict = await verifier.verify(good)
        assert isinstance(verdict, Verdict)
        assert verdict.passed is True

    async def test_a_bad_answer_is_refused_with_a_reason(self, verifier: Verifier, bad: VerificationContext) -> None:
        """The reason is for the person who is to answer better: it is shown in full, so it has an end."""
        verdict = await verifier.verify(bad)
        assert verdict.passed is False
        assert verdict.reason.strip()
        assert len(verdict.reason) <= MAX_REASON_LENGTH

    async def test_it_says_what_it_took(self, verifier: Verifier, good: VerificationContext) -> None:
        """Tokens are counted, never taken back."""
        usage = (await verifier.verify(good)).usage
        assert isinstance(usage.model, str)
        assert min(usage.input_tokens, usage.output_tokens) >= 0

    async def test_free_text_that_passes_comes_with_what_it_means(
        self, verifier: Verifier, clear: VerificationContext | None
    ) -> None:
        """`parsed_response` is an object that fits the response schema."""
        if clear is None:
            return
        verdict = await verifier.verify(clear)
        assert verdict.passed is True
        assert verdict.parsed_response is not None
        ensure_object(verdict.parsed_response, "parsed_response")
        assert not schemas.validate(clear.response_schema, verdict.parsed_response)

    async def test_free_text_that_nobody_understands_is_refused(
        self, verifier: Verifier, unclear: VerificationContext | None
    ) -> None:
        """It is no fault of the verifier's, so it is a verdict, with a reason."""
        if unclear is None:
            return
        verdict = await verifier.verify(unclear)
        assert verdict.passed is False
        assert verdict.reason.strip()

    async def test_an_answer_may_be_judged_again(self, verifier: Verifier, good: VerificationContext) -> None:
        """A crash before the verdict was kept has it asked for once more."""
        await verifier.verify(good)
        assert (await verifier.verify(good)).passed is True

    async def test_answers_may_be_judged_at_the_same_time(
        self, verifier: Verifier, good: VerificationContext, bad: VerificationContext
    ) -> None:
        """The verdict on one is not that on another."""
        verdicts: dict[int, bool] = {}

        async def judge(number: int) -> None:
            verdicts[number] = (await verifier.verify(bad if number % 2 else good)).passed

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(judge, number)
        assert [verdicts[number] for number in range(8)] == [True, False] * 4

    async def test_what_it_is_given_stays_as_it_was(self, verifier: Verifier, good: VerificationContext) -> None:
        """The context has the task's own documents."""
        before = copy.deepcopy(good)
        await verifier.verify(good)
        assert good == before

    async def test_whatever_people_write_is_only_data(self, verifier: Verifier, bad: VerificationContext) -> None:
        """Braces, marks and long texts in a question do not break the verifier, and do not turn its verdict."""
        for text in STRANGE:
            strange = replace(bad, task=text, payload={**bad.payload, "note": text}, previous_rejections=[text])
            assert (await verifier.verify(strange)).passed is False

    async def test_a_configuration_that_it_takes_is_accepted(
        self, verifier: Verifier, good: VerificationContext
    ) -> None:
        """`check` is an ordinary method: the engine calls it within `create`."""
        check: Callable[[VerifierConfig], None] | None = getattr(verifier, "check", None)
        if check is not None:
            check(good.config)
            assert not inspect.iscoroutinefunction(check)

    async def test_a_configuration_that_it_does_not_take_is_refused(
        self, verifier: Verifier, bad_configs: Sequence[VerifierConfig]
    ) -> None:
        """`check` raises `VerifierConfigError`, so that creating the task fails."""
        check: Callable[[VerifierConfig], None] | None = getattr(verifier, "check", None)
        for config in bad_configs:
            assert check is not None
            with pytest.raises(VerifierConfigError):
                check(config)

    async def test_what_is_broken_lets_nothing_pass_and_refuses_nothing(
        self, broken: Verifier | None, good: VerificationContext
    ) -> None:
        """It raises, so that the person's answer costs no attempt and is judged later."""
        if broken is None:
            return
        with pytest.raises(Exception) as caught:  # noqa: PT011 - anything raised is retried
            await broken.verify(good)
        if isinstance(caught.value, VerifierError):
            assert str(caught.value)
            assert caught.value.retry_after is None or caught.value.retry_after >= 0

    async def test_closing_may_be_repeated(self, verifier: Verifier, good: VerificationContext) -> None:
        """`aclose` is called by each engine that has the verifier."""
        close: Callable[[], Awaitable[None]] | None = getattr(verifier, "aclose", None)
        if close is not None:
            await verifier.verify(good)
            await close()
            await close()
