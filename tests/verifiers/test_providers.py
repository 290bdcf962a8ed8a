"""The providers' own SDKs, against servers that speak their wire."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from awaithumans.protocols import VerifierError
from awaithumans.testing.verifiers import make_context
from awaithumans.types import VerifierConfig
from awaithumans.verifiers import Limits, LLMVerifier
from tests.models import INPUT, OUTPUT, Breaks, Declines, Provider, Reply, Says, model_provider

KEY = "sk-ant-very-secret-0123456789"
PASSED = Says({"passed": True, "reason": ""})
QUESTION = "Approve the refund of Zoë?"
Make = Callable[..., LLMVerifier]
QUICK = Limits(timeout=10)
KEYS = {"TEAM_B": "sk-team-b-key"}


def _claude(url: str, limits: Limits = QUICK) -> LLMVerifier:
    return LLMVerifier.claude("claude-haiku-5-5", api_key=KEY, base_url=url, keys=KEYS, limits=limits)


def _openai(url: str, limits: Limits = QUICK) -> LLMVerifier:
    return LLMVerifier.openai("gpt-6-luna", api_key=KEY, base_url=f"{url}/v1", keys=KEYS, limits=limits)


def _gemini(url: str, limits: Limits = QUICK) -> LLMVerifier:
    return LLMVerifier.gemini("gemini-2.5-flash", api_key=KEY, base_url=url, keys=KEYS, limits=limits)


def _azure(url: str, limits: Limits = QUICK) -> LLMVerifier:
    return LLMVerifier.azure_openai("checks", endpoint=url, api_key=KEY, keys=KEYS, limits=limits)


PROVIDERS = pytest.mark.parametrize("make", [_claude, _openai, _gemini, _azure], ids=lambda make: make.__name__[1:])


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with model_provider() as provider:
        yield provider


@pytest.fixture
def provider(server: Provider) -> Provider:
    server.asked.clear()
    return server


async def fails(verifier: LLMVerifier) -> VerifierError:
    """Have an answer judged; the failure says nothing of data or keys, wherever one may look."""
    with pytest.raises(VerifierError) as caught:
        await verifier.verify(make_context(task=QUESTION))
    said = str(caught.value) + repr(caught.value.__cause__)
    assert not [part for part in (KEY, "sk-", "Zoë", "refund") if part in said]
    assert caught.value.__suppress_context__
    assert len(str(caught.value)) <= 500
    await verifier.aclose()
    return caught.value


@PROVIDERS
@pytest.mark.anyio
class TestEveryProvider:
    async def test_judges_an_answer(self, make: Make, provider: Provider):
        provider.will(PASSED)
        verifier = make(provider.url)
        verdict = await verifier.verify(make_context(task=QUESTION))
        assert (verdict.passed, verdict.reason) == (True, "")
        assert (verdict.usage.input_tokens, verdict.usage.output_tokens) == (INPUT, OUTPUT)
        assert verdict.usage.model in {"claude-haiku-5-5", "gpt-6-luna", "gemini-2.5-flash", "checks"}
        assert "Zoë" in json.dumps(provider.asked[0].body, ensure_ascii=False)
        await verifier.aclose()

    async def test_refuses_one_with_a_reason(self, make: Make, provider: Provider):
        provider.will(Says({"passed": False, "reason": "Say why, please."}))
        verifier = make(provider.url)
        verdict = await verifier.verify(make_context())
        assert (verdict.passed, verdict.reason) == (False, "Say why, please.")
        await verifier.aclose()

    async def test_reads_free_text(self, make: Make, provider: Provider):
        provider.will(Says({"passed": True, "reason": "", "parsed_response": {"approve": True}}))
        verifier = make(provider.url)
        verdict = await verifier.verify(make_context(raw_input="go ahead"))
        assert (verdict.passed, verdict.parsed_response) == (True, {"approve": True})
        await verifier.aclose()

    async def test_is_asked_once_more_where_a_boolean_came_as_text(self, make: Make, provider: Provider):
        provider.will(Says({"passed": "false", "reason": "no"}), Says({"passed": False, "reason": "no"}))
        verifier = make(provider.url)
        verdict = await verifier.verify(make_context())
        assert verdict.passed is False
        assert (len(provider.asked), verdict.usage.input_tokens) == (2, 2 * INPUT)
        await verifier.aclose()

    async def test_uses_the_key_that_a_task_names(self, make: Make, provider: Provider):
        provider.will(PASSED)
        verifier = make(provider.url)
        for name in (None, "TEAM_B"):
            config = VerifierConfig(provider="p", instructions="", api_key_env=name)
            await verifier.verify(make_context(config=config))
        keys = [" ".join(asked.headers.values()) for asked in provider.asked]
        assert [(KEY in sent, "sk-team-b-key" in sent) for sent in keys] == [(True, False), (False, True)]
        await verifier.aclose()

    async def test_keeps_its_connection(self, make: Make, provider: Provider):
        provider.will(PASSED)
        verifier = make(provider.url)
        for _ in range(3):
            await verifier.verify(make_context())
        assert len({asked.peer for asked in provider.asked}) == 1
        await verifier.aclose()
        await verifier.verify(make_context())
        assert len({asked.peer for asked in provider.asked}) == 2, "a closed one goes on with another"
        await verifier.aclose()

    @pytest.mark.parametrize("status", [429, 529, 500, 503])
    async def test_waits_as_the_provider_says(self, make: Make, provider: Provider, status: int):
        body = {"error": {"type": "overloaded_error", "message": f"for {QUESTION} with {KEY}"}}
        provider.will(Breaks(status, json.dumps(body), {"retry-after": "17"}))
        error = await fails(make(provider.url))
        assert (str(status) in str(error), error.retry_after) == (True, 17)
        assert len(provider.asked) == 1, "it is the engine that tries again"

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    async def test_says_what_went_wrong_in_the_words_of_machines(self, make: Make, provider: Provider, status: int):
        body = {"error": {"type": "some_error", "status": "SOME_ERROR", "message": f"Incorrect key {KEY}: {QUESTION}"}}
        provider.will(Breaks(status, json.dumps(body)))
        error = await fails(make(provider.url))
        assert (f"HTTP {status}" in str(error), error.retry_after) == (True, None)

    @pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", "[]", '{"half": "an obj', "null"])
    async def test_takes_nonsense_for_no_verdict(self, make: Make, provider: Provider, body: str):
        provider.will(Breaks(200, body))
        await fails(make(provider.url))

    async def test_takes_a_model_that_keeps_talking_nonsense_for_no_verdict(self, make: Make, provider: Provider):
        provider.will(Says({"passed": "yes, Zoë", "verdict": KEY}))
        await fails(make(provider.url))
        assert len(provider.asked) == 3

    async def test_takes_output_that_was_cut_off_for_no_verdict(self, make: Make, provider: Provider):
        provider.will(Says('{"passed": true, "rea', cut=True))
        await fails(make(provider.url))

    async def test_takes_a_model_that_declines_for_no_verdict(self, make: Make, provider: Provider):
        provider.will(Declines())
        await fails(make(provider.url))

    async def test_does_not_wait_for_ever(self, make: Make, provider: Provider):
        provider.will(Says({"passed": True, "reason": ""}, after=1))
        error = await fails(make(provider.url, Limits(timeout=0.2)))
        assert "within 0.2 s" in str(error)

    async def test_that_is_away_is_no_verdict(self, make: Make, provider: Provider):
        await fails(make("http://127.0.0.1:9"))

    async def test_is_told_to_write_only_so_much(self, make: Make, provider: Provider):
        provider.will(PASSED)
        verifier = make(provider.url, Limits(max_output_tokens=321))
        await verifier.verify(make_context())
        assert "321" in json.dumps(provider.asked[0].body)
        await verifier.aclose()


@PROVIDERS
def test_one_verifier_serves_several_loops_at_once(make: Make, provider: Provider):
    provider.will(PASSED)
    verifier = make(provider.url)
    passed: list[bool] = []

    async def judge() -> None:
        passed.extend([(await verifier.verify(make_context())).passed for _ in range(3)])
        await verifier.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(judge(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert passed == [True] * 12
    assert len({asked.peer for asked in provider.asked}) == 4, "each loop keeps its own connection"


@pytest.mark.anyio
async def test_only_so_many_calls_are_made_at_once(provider: Provider):
    provider.will(Says({"passed": True, "reason": ""}, after=0.05))
    verifier = _openai(provider.url, Limits(concurrency=2))
    await asyncio.gather(*[verifier.verify(make_context()) for _ in range(8)])
    assert len({asked.peer for asked in provider.asked}) == 2
    await verifier.aclose()


@pytest.mark.anyio
async def test_azure_is_asked_by_deployment_and_version(provider: Provider):
    provider.will(PASSED)
    verifier = LLMVerifier.azure_openai("checks", endpoint=provider.url, api_key=KEY, api_version="2025-01-01")
    await verifier.verify(make_context())
    [asked] = provider.asked
    assert asked.path == "/openai/deployments/checks/chat/completions"
    assert dict(asked.query) == {"api-version": "2025-01-01"}
    await verifier.aclose()


@pytest.mark.anyio
async def test_any_other_provider_of_the_library_will_do(provider: Provider):
    provider.will(PASSED)
    verifier = LLMVerifier("ollama:qwen3", options={"base_url": f"{provider.url}/v1"}, trusted=True)
    assert (await verifier.verify(make_context())).passed
    assert provider.asked[0].body["model"] == "qwen3"
    await verifier.aclose()


@pytest.mark.anyio
class TestStreams:
    """Claude's replies come in pieces where it may write as much as it can."""

    limits = Limits(timeout=10, max_output_tokens=None)

    async def test_are_put_together(self, provider: Provider):
        provider.will(Says({"passed": False, "reason": "Too much for Zoë."}))
        verifier = _claude(provider.url, self.limits)
        verdict = await verifier.verify(make_context())
        assert provider.asked[0].body["stream"] is True
        assert (verdict.passed, verdict.reason) == (False, "Too much for Zoë.")
        assert verdict.usage.output_tokens == OUTPUT
        await verifier.aclose()

    @pytest.mark.parametrize(
        "reply",
        [
            Says('{"passed": true, "rea', cut=True),
            Says('{"passed": true'),
            Declines(),
            Breaks(200, "", {"content-type": "text/event-stream"}),
            Breaks(200, "event: message_start\ndata: {nonsense", {"content-type": "text/event-stream"}),
            Breaks(
                200,
                'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Zoë"}}\n\n',
                {"content-type": "text/event-stream"},
            ),
        ],
    )
    async def test_that_end_early_are_no_verdict(self, provider: Provider, reply: Reply):
        provider.will(reply)
        await fails(_claude(provider.url, self.limits))
