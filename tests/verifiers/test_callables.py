"""A function as a verifier."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from awaithumans.protocols import VerifierError
from awaithumans.testing.verifiers import make_context
from awaithumans.types import Usage, Verdict, VerificationContext
from awaithumans.verifiers import CallableVerifier

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.mark.parametrize(
    ("returned", "verdict"),
    [
        (True, Verdict(passed=True)),
        (False, Verdict(passed=False, reason="This answer was not accepted.")),
        ("Say why.", Verdict(passed=False, reason="Say why.")),
        (Verdict(passed=True, usage=Usage(model="mine")), Verdict(passed=True, usage=Usage(model="mine"))),
    ],
)
async def test_what_it_returns_is_the_verdict(returned, verdict):
    assert await CallableVerifier(lambda _: returned).verify(make_context()) == verdict


@pytest.mark.parametrize("returned", [None, "", "  ", 1, 0, [], {"passed": True}])
async def test_anything_else_is_no_verdict(returned):
    with pytest.raises(VerifierError, match=r"returned no verdict, but"):
        await CallableVerifier(lambda _: returned).verify(make_context())


async def test_a_plain_function_does_not_hold_the_loop():
    seen = []

    def rule(context: VerificationContext) -> bool:
        seen.append(threading.current_thread())
        return context.response == {"approve": True}

    assert (await CallableVerifier(rule).verify(make_context())).passed
    assert seen != [threading.current_thread()]


async def test_an_async_function_runs_on_it():
    seen = []

    async def rule(context: VerificationContext) -> bool:
        seen.append(threading.current_thread())
        return True

    class Rule:
        async def __call__(self, context: VerificationContext) -> bool:
            return await rule(context)

    for one in (rule, Rule(), partial(rule)):
        assert (await CallableVerifier(one).verify(make_context())).passed
    assert seen == [threading.current_thread()] * 3


async def test_what_it_raises_is_raised():
    def rule(context: VerificationContext) -> bool:
        raise LookupError("no such order")

    with pytest.raises(LookupError, match="no such order"):
        await CallableVerifier(rule).verify(make_context())


async def test_it_is_neither_trusted_nor_a_reader_unless_it_says_so():
    quiet, open_ = CallableVerifier(bool), CallableVerifier(bool, trusted=True, reads_text=True)
    assert [(one.trusted, one.reads_text) for one in (quiet, open_)] == [(False, False), (True, True)]
