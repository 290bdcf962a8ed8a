"""Several verifiers as one."""

from __future__ import annotations

from typing import cast

import pytest

from awaithumans.errors import ConfigurationError, VerifierConfigError
from awaithumans.protocols import VerifierError
from awaithumans.testing.verifiers import make_context
from awaithumans.types import Usage, Verdict, VerificationContext, VerifierConfig
from awaithumans.verifiers import CallableVerifier, chain

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Link:
    """Returns one verdict, and remembers what it saw."""

    def __init__(self, verdict: Verdict | Exception, *, trusted: bool = False, reads_text: bool = False) -> None:
        self.verdict = verdict
        self.trusted = trusted
        self.reads_text = reads_text
        self.seen: list[VerificationContext] = []
        self.closed = 0

    async def verify(self, context: VerificationContext) -> Verdict:
        self.seen.append(context)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def aclose(self) -> None:
        self.closed += 1


async def test_an_answer_passes_that_all_of_them_pass():
    links = [Link(Verdict(passed=True)) for _ in range(3)]
    assert await chain(*links).verify(make_context()) == Verdict(passed=True)
    assert [len(link.seen) for link in links] == [1, 1, 1]


async def test_the_first_refusal_is_the_verdict():
    links = [Link(Verdict(passed=True)), Link(Verdict(passed=False, reason="no")), Link(Verdict(passed=False))]
    assert await chain(*links).verify(make_context()) == Verdict(passed=False, reason="no")
    assert links[2].seen == []


async def test_what_was_read_out_of_free_text_is_what_those_behind_it_see():
    reader = Link(Verdict(passed=True, parsed_response={"approve": True}), reads_text=True)
    ruler = Link(Verdict(passed=True, parsed_response={"approve": False}))
    verdict = await chain(reader, ruler).verify(make_context(raw_input="yes"))
    assert [(one.response, one.raw_input) for one in ruler.seen] == [({"approve": True}, None)]
    assert verdict.parsed_response == {"approve": True}, "it was read once"


async def test_what_was_read_is_not_changed_by_those_behind_the_reader():
    def approve(context: VerificationContext) -> bool:
        cast("dict[str, object]", context.response)["approve"] = True
        return True

    reader = Link(Verdict(passed=True, parsed_response={"approve": False}), reads_text=True)
    verdict = await chain(reader, CallableVerifier(approve)).verify(make_context(raw_input="no"))
    assert verdict.parsed_response == {"approve": False}


async def test_what_was_chosen_in_a_form_is_not_read_anew():
    links = [Link(Verdict(passed=True, parsed_response={"approve": False})), Link(Verdict(passed=True))]
    verdict = await chain(*links).verify(make_context(response={"approve": True}))
    assert (links[1].seen[0].response, verdict.parsed_response) == ({"approve": True}, None)


@pytest.mark.parametrize("passed", [True, False])
async def test_what_they_took_adds_up(passed):
    one = Link(Verdict(passed=True, usage=Usage(model="small", input_tokens=10, output_tokens=1, seconds=0.5)))
    other = Link(Verdict(passed=passed, usage=Usage(model="large", input_tokens=20, output_tokens=2, seconds=1)))
    verdict = await chain(one, one, other).verify(make_context(tokens_used=100))
    assert verdict.usage == Usage(model="small, large", input_tokens=40, output_tokens=4, seconds=2)
    assert [context.tokens_used for context in (*one.seen, *other.seen)] == [100, 111, 122]


async def test_what_was_taken_before_a_failure_adds_up_too():
    one = Link(Verdict(passed=True, usage=Usage(model="small", input_tokens=10)))
    other = Link(VerifierError("away", usage=Usage(model="large", input_tokens=5)))
    with pytest.raises(VerifierError) as caught:
        await chain(one, other).verify(make_context())
    assert caught.value.usage == Usage(model="small, large", input_tokens=15)


async def test_it_is_trusted_if_all_are_and_reads_if_the_first_does():
    plain, reader = Link(Verdict(passed=True)), Link(Verdict(passed=True), trusted=True, reads_text=True)
    made = [chain(reader, reader), chain(reader, plain), chain(plain, reader)]
    assert [(one.trusted, one.reads_text) for one in made] == [(True, True), (False, True), (False, False)]


async def test_a_configuration_has_to_suit_each_of_them():
    class Picky(Link):
        def check(self, config: VerifierConfig) -> None:
            raise VerifierConfigError("model", "is not mine")

    config = VerifierConfig(provider="p", instructions="")
    chain(Link(Verdict(passed=True))).check(config)
    with pytest.raises(VerifierConfigError):
        chain(Link(Verdict(passed=True)), Picky(Verdict(passed=True))).check(config)


async def test_closing_it_closes_those_that_can_be_closed():
    link = Link(Verdict(passed=True))
    await chain(CallableVerifier(bool), link).aclose()
    assert link.closed == 1


def test_nothing_is_no_chain():
    with pytest.raises(ConfigurationError):
        chain()
