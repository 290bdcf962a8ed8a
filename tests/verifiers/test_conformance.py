"""Each verifier of the house keeps the promises of `Verifier`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from awaithumans.protocols import Verifier
from awaithumans.testing.verifiers import VerifierConformance, make_context
from awaithumans.types import Verdict, VerificationContext, VerifierConfig
from awaithumans.verifiers import CallableVerifier, LLMVerifier, chain

YES = {"approve": True}
LIMITED = "Not above 100."


def rule(context: VerificationContext) -> bool | str | Verdict:
    """Approve what is small, and understand "yes"."""
    response = context.response
    if context.raw_input is not None:
        response = YES if context.raw_input == "yes" else None
    if response is None:
        return "Say yes or no."
    if response == YES and context.payload["amount"] == 101:
        return LIMITED
    return Verdict(passed=True, parsed_response=response)


class OurConformance(VerifierConformance):
    @pytest.fixture
    def good(self) -> VerificationContext:
        return make_context(response=YES)

    @pytest.fixture
    def bad(self) -> VerificationContext:
        return make_context(response=YES, payload={"amount": 101})


class ReadsText(OurConformance):
    @pytest.fixture
    def clear(self) -> VerificationContext:
        return make_context(raw_input="yes")

    @pytest.fixture
    def unclear(self) -> VerificationContext:
        return make_context(raw_input="hm")


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestAFunction(ReadsText):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return CallableVerifier(rule, reads_text=True)

    @pytest.fixture
    def broken(self) -> Verifier:
        return CallableVerifier(lambda context: bool(context.payload["nothing"]), trusted=True)


class TestAFunctionForForms(OurConformance):
    @pytest.fixture
    def verifier(self) -> Verifier:
        async def judge(context: VerificationContext) -> bool | str | Verdict:
            return rule(context)

        return CallableVerifier(judge, trusted=True)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestAChain(ReadsText):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return chain(CallableVerifier(rule, reads_text=True), CallableVerifier(lambda context: bool(context.response)))

    @pytest.fixture
    def broken(self) -> Verifier:
        return chain(CallableVerifier(rule), CallableVerifier(lambda _: None))  # type: ignore[arg-type,return-value]


def spoken(context_of: VerificationContext) -> FunctionModel:
    """Make a model that applies the rule to what it is told."""

    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        told = "".join(str(getattr(part, "content", "")) for part in messages[0].parts)
        seen = replace(context_of, payload={"amount": 101 if '"amount":101' in told else 99})
        reads = "answer_in_own_words" in told
        if reads:
            seen = replace(seen, response=None, raw_input="yes" if '\n"yes"\n' in told else "hm")
        judged = rule(seen)
        said: dict[str, Any] = {
            "passed": isinstance(judged, Verdict),
            "reason": judged if isinstance(judged, str) else "",
        }
        if reads:
            said["parsed_response"] = judged.parsed_response if isinstance(judged, Verdict) else None
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, said)])

    return FunctionModel(reply, model_name="scripted")


def away(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise ModelHTTPError(529, "scripted", headers={"retry-after": "3"})


class TestAModel(ReadsText):
    @pytest.fixture
    async def verifier(self, good: VerificationContext) -> AsyncIterator[Verifier]:
        verifier = LLMVerifier(spoken(good))
        yield verifier
        await verifier.aclose()

    @pytest.fixture
    def broken(self) -> Verifier:
        return LLMVerifier(FunctionModel(away))

    @pytest.fixture
    def bad_configs(self) -> list[VerifierConfig]:
        return [
            VerifierConfig(provider="p", instructions="", model="another"),
            VerifierConfig(provider="p", instructions="", api_key_env="DATABASE_URL"),
        ]
