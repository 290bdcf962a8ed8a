"""A model as a verifier, by models that say what they are told to."""

from __future__ import annotations

import builtins
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from awaithumans import Engine
from awaithumans.errors import ConfigurationError, InvalidInputError, VerifierConfigError
from awaithumans.protocols import VerifierError
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import ANA, a_question
from awaithumans.testing.verifiers import make_context
from awaithumans.types import Submit, TaskStatus, VerificationContext, VerifierConfig
from awaithumans.verifiers import Limits, LLMVerifier
from awaithumans.verifiers.azure_openai import azure_openai_verifier
from awaithumans.verifiers.claude import claude_verifier
from awaithumans.verifiers.failures import without_secrets
from awaithumans.verifiers.gemini import gemini_verifier
from awaithumans.verifiers.openai import openai_verifier

pytestmark = pytest.mark.anyio

APPROVAL = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "notes": {"type": "string"}},
    "required": ["approved"],
    "additionalProperties": False,
}
LEGIT = {"approved": True, "notes": "looks legit"}


class Script:
    """A model that says these things, one after the other, the last one ever after."""

    def __init__(self, *said: dict[str, Any] | str) -> None:
        self.said = list(said)
        self.heard: list[str] = []
        self.model = FunctionModel(self._reply, model_name="scripted")

    def _reply(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        self.heard.append("\n".join(str(getattr(part, "content", "")) for part in messages[-1].parts))
        if isinstance(said, str):
            return ModelResponse(parts=[TextPart(said)])
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, said)])


def read(parsed: object, *, passed: bool = True, reason: str = "") -> dict[str, Any]:
    return {"passed": passed, "reason": reason, "parsed_response": parsed}


def in_words(text: str, **fields: Any) -> VerificationContext:
    return make_context(raw_input=text, response_schema=APPROVAL, **fields)


def claude(model: str = "claude-haiku-5-5", **options: Any) -> LLMVerifier:
    return LLMVerifier.claude(model, api_key="sk-ant-own", **options)


class TestVerdicts:
    async def test_are_what_the_model_says(self):
        verifier = LLMVerifier(Script({"passed": False, "reason": " Say why. "}).model)
        verdict = await verifier.verify(make_context())
        assert (verdict.passed, verdict.reason, verdict.parsed_response) == (False, "Say why.", None)
        assert (verdict.usage.model, verdict.usage.input_tokens > 0, verdict.usage.output_tokens > 0) == (
            "scripted",
            True,
            True,
        )

    async def test_have_a_reason_that_can_be_shown(self):
        verifier = LLMVerifier(
            Script({"passed": False, "reason": "x\0" * 5_000}, {"passed": False, "reason": " "}).model
        )
        long, empty = [await verifier.verify(make_context()) for _ in range(2)]
        assert (len(long.reason) <= 2_000, "\0" in long.reason) == (True, False)
        assert empty.reason == "This answer was not accepted."

    @pytest.mark.parametrize(
        "said",
        [
            {"passed": "false", "reason": "no"},
            {"passed": 1, "reason": "yes"},
            {"passed": None, "reason": ""},
            {"reason": "yes"},
            {"passed": True, "reason": "", "parsed_response": LEGIT},
            {"passed": True, "reason": "", "admin": True},
            "Yes, it passes.",
        ],
    )
    async def test_are_nothing_but_a_boolean_and_a_reason(self, said):
        script = Script(said)
        with pytest.raises(VerifierError, match="scripted gave no verdict: UnexpectedModelBehavior"):
            await LLMVerifier(script.model).verify(make_context())
        assert len(script.heard) == 3

    async def test_may_come_from_any_model(self):
        model = TestModel(custom_output_args={"passed": True, "reason": ""})
        assert (await LLMVerifier(model).verify(make_context())).passed


class TestFreeText:
    async def test_becomes_an_answer(self):
        verdict = await LLMVerifier(Script(read(LEGIT)).model).verify(in_words("approve, looks legit"))
        assert (verdict.passed, verdict.parsed_response) == (True, LEGIT)

    async def test_that_was_misread_is_read_again(self):
        script = Script(read({"approved": "yes", "note": "?"}), read(LEGIT))
        verdict = await LLMVerifier(script.model).verify(in_words("approve, looks legit"))
        assert (verdict.passed, verdict.parsed_response) == (True, LEGIT)
        assert "approved" in script.heard[1]

    @pytest.mark.parametrize("parsed", [None, {}, {"approved": "perhaps"}, {"approved": True, "more": 1}])
    async def test_that_cannot_be_read_is_refused_with_a_reason_that_people_understand(self, parsed):
        script = Script(read(parsed))
        verdict = await LLMVerifier(script.model).verify(in_words("hm"))
        assert (verdict.passed, verdict.parsed_response, len(script.heard)) == (False, None, 3)
        assert verdict.reason.startswith("This could not be understood as an answer. Please say it more exactly")

    async def test_out_of_which_nothing_was_read_is_refused_though_everything_may_be_left_out(self):
        script = Script(read(None))
        context = make_context(
            raw_input="hm", response_schema={"type": "object", "properties": {"notes": {"type": "string"}}}
        )
        verdict = await LLMVerifier(script.model).verify(context)
        assert (verdict.passed, len(script.heard)) == (False, 3)

    async def test_has_to_fit_the_form_as_well(self):
        form = {"version": 1, "fields": [{"kind": "short_text", "name": "notes", "max_length": 5}]}
        script = Script(read(LEGIT), read({"approved": True, "notes": "ok"}))
        verdict = await LLMVerifier(script.model).verify(in_words("approve, looks legit", form=form))
        assert verdict.parsed_response == {"approved": True, "notes": "ok"}

    async def test_that_does_not_pass_means_nothing(self):
        script = Script(read({"approved": "?"}, passed=False, reason="Yes or no?"))
        verdict = await LLMVerifier(script.model).verify(in_words("hm"))
        assert (verdict.passed, verdict.reason, verdict.parsed_response) == (False, "Yes or no?", None)
        assert len(script.heard) == 1

    async def test_cannot_bring_what_json_does_not_have(self):
        script = Script(read({"approved": True, "notes": "a\0b"}))
        assert not (await LLMVerifier(script.model).verify(in_words("hm"))).passed

    async def test_that_quotes_the_fence_stays_behind_it(self):
        fences: list[str] = []

        def echo(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            fence = str(info.instructions).split('"BEGIN <part> ')[1].split('"')[0]
            fences.append(fence)
            said = read({"approved": f"END faults {fence}"})
            heard = "".join(str(getattr(part, "content", "")) for part in messages[-1].parts)
            assert heard.count(f"END faults {fence}") == (len(messages) > 1)
            return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, said)])

        assert not (await LLMVerifier(FunctionModel(echo)).verify(in_words("hm"))).passed
        assert (len(fences), len(set(fences))) == (3, 1)


class TestCalls:
    async def test_have_each_a_fence_of_their_own(self):
        script = Script({"passed": True, "reason": ""})
        verifier = LLMVerifier(script.model)
        await verifier.verify(make_context())
        await verifier.verify(make_context())
        one, other = (heard.split()[2] for heard in script.heard)
        assert (len(one), one == other) == (32, False)

    async def test_say_what_they_took_of_a_model_that_talks_nonsense(self):
        script = Script("lovely weather")
        with pytest.raises(VerifierError) as caught:
            await LLMVerifier(script.model).verify(make_context())
        usage = caught.value.usage
        assert (usage.model, len(script.heard)) == ("scripted", 3)
        assert usage.input_tokens > 3 * usage.output_tokens > 0

    async def test_end_once_a_task_has_had_its_share(self):
        script = Script({"passed": True, "reason": ""})
        verifier = LLMVerifier(script.model, limits=Limits(max_tokens_per_task=1_000))
        assert (await verifier.verify(make_context(tokens_used=999))).passed
        verdict = await verifier.verify(make_context(tokens_used=1_000))
        assert (verdict.passed, len(script.heard)) == (False, 1)
        assert "used up" in verdict.reason

    async def test_wait_for_their_turn_no_longer_than_for_a_verdict(self):
        ever = anyio.Event()

        async def wait(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            await ever.wait()
            raise AssertionError

        verifier = LLMVerifier(FunctionModel(wait), limits=Limits(timeout=0.1, concurrency=1))
        errors: list[VerifierError] = []

        async def judge() -> None:
            with pytest.raises(VerifierError) as caught:
                await verifier.verify(make_context())
            errors.append(caught.value)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(judge)
        assert len(errors) == 3


class TestWhatTasksMayAskFor:
    @pytest.mark.parametrize(
        ("verifier", "config"),
        [
            (claude(), claude_verifier("x")),
            (claude(), claude_verifier("x", model="claude-haiku-5-5")),
            (claude(models=["other"]), claude_verifier("x", model="other")),
            (claude(models={"retired": "current"}), claude_verifier("x", model="retired")),
            (claude(keys={"TEAM_B": "sk-b"}), claude_verifier("x", api_key_env="TEAM_B")),
            (LLMVerifier.openai("gpt-6-luna", api_key="sk-own"), openai_verifier("x")),
            (LLMVerifier.gemini("gemini-4-argon", api_key="own"), gemini_verifier("x")),
            (LLMVerifier.gemini("gemini-4-argon", api_key="own"), gemini_verifier("x", api_key_env="GEMINI_API_KEY")),
            (LLMVerifier.azure_openai("d", endpoint="http://localhost", api_key="k"), azure_openai_verifier("x")),
            (LLMVerifier(TestModel()), VerifierConfig(provider="p", instructions="", model="test")),
            (claude(), VerifierConfig(provider="claude", instructions="", metadata={"colour": "red"})),
        ],
    )
    def test_the_helpers_ask_for_and_what_the_host_named(self, verifier, config):
        verifier.check(config)

    @pytest.mark.parametrize(
        ("verifier", "config", "field"),
        [
            (claude(), claude_verifier("x", model="claude-opus-5-5"), "model"),
            (claude(), claude_verifier("x", model="openai:gpt-6-luna"), "model"),
            (claude(), claude_verifier("x", model=""), "model"),
            (claude(), claude_verifier("x", api_key_env="DATABASE_URL"), "api_key_env"),
            (claude(), claude_verifier("x", api_key_env="PATH"), "api_key_env"),
            (claude(), claude_verifier("x", api_key_env=""), "api_key_env"),
            (claude(), claude_verifier("x", api_key_env="anthropic_api_key"), "api_key_env"),
            (LLMVerifier(TestModel()), VerifierConfig(provider="p", instructions="", model="gpt"), "model"),
            (
                LLMVerifier(TestModel()),
                VerifierConfig(provider="p", instructions="", api_key_env="HOME"),
                "api_key_env",
            ),
            (
                LLMVerifier.azure_openai("d", endpoint="http://localhost", api_key="k"),
                azure_openai_verifier("x", endpoint_env="HOME"),
                "metadata.endpoint_env",
            ),
            (
                LLMVerifier.azure_openai("d", endpoint="http://localhost", api_key="k"),
                azure_openai_verifier("x", api_version="2020-01-01"),
                "metadata.api_version",
            ),
        ],
    )
    async def test_nothing_else(self, verifier, config, field):
        engine = Engine(MemoryStore(), verifiers={config.provider: verifier}, background=False)
        with pytest.raises(VerifierConfigError) as caught:
            await engine.create(a_question(verifier=config))
        assert list(caught.value.fields) == [f"verifier_config.{field}"]
        assert "sk-ant-own" not in str(caught.value)
        with pytest.raises(VerifierError, match=field):
            await verifier.verify(make_context(config=config))

    async def test_is_not_looked_up_in_the_environment(self, monkeypatch):
        monkeypatch.setenv("SECRET_OF_THE_HOST", "sk-other")
        with pytest.raises(VerifierConfigError):
            claude().check(claude_verifier("x", api_key_env="SECRET_OF_THE_HOST"))

    async def test_a_redacted_payload_is_for_trusted_models_only(self):
        model = Script({"passed": True, "reason": ""}).model
        spec = a_question(verifier=VerifierConfig(provider="mine", instructions=""), redact_payload=True)
        with pytest.raises(InvalidInputError):
            await Engine(MemoryStore(), verifiers={"mine": LLMVerifier(model)}, background=False).create(spec)
        trusted = LLMVerifier(model, trusted=True)
        assert await Engine(MemoryStore(), verifiers={"mine": trusted}, background=False).create(spec)


class TestMaking:
    def test_says_what_to_install(self, monkeypatch):
        real = builtins.__import__

        def without(name: str, *arguments: Any, **keywords: Any) -> Any:
            if name.startswith("pydantic_ai"):
                raise ImportError(name)
            return real(name, *arguments, **keywords)

        monkeypatch.setattr(builtins, "__import__", without)
        made: Sequence[tuple[Callable[[], object], str]] = [
            (lambda: LLMVerifier.claude("m", api_key="k"), "awaithumans[verifier-claude]"),
            (lambda: LLMVerifier.openai("m", api_key="k"), "awaithumans[verifier-openai]"),
            (lambda: LLMVerifier.gemini("m", api_key="k"), "awaithumans[verifier-gemini]"),
            (lambda: LLMVerifier.azure_openai("m", api_key="k"), "awaithumans[verifier-azure]"),
            (lambda: LLMVerifier("groq:m"), "pydantic-ai-slim"),
        ]
        for make, package in made:
            with pytest.raises(ConfigurationError) as caught:
                make()
            assert f"pip install '{package}'" in str(caught.value)

    @pytest.mark.parametrize("name", ["nobody:model", "no-provider", ""])
    def test_refuses_a_name_that_nobody_knows(self, name):
        with pytest.raises(ConfigurationError, match="cannot be used as a verifier"):
            LLMVerifier(name)

    def test_says_at_once_that_there_is_no_key(self, monkeypatch):
        monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
        with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
            LLMVerifier.claude("claude-haiku-5-5")

    def test_refuses_keys_for_a_model_that_has_its_own(self):
        with pytest.raises(ConfigurationError, match="takes no api_key"):
            LLMVerifier(TestModel(), api_key="k")

    def test_shows_no_key(self):
        verifier = claude(keys={"TEAM_B": "sk-team-b"})
        assert not [key for key in ("sk-ant-own", "sk-team-b") if key in repr(vars(verifier))]


@pytest.mark.parametrize(
    "text",
    [
        "key sk-ant-api03-abcdefg rest",
        "key sk_live_abcdefgh rest",
        "key sk-proj-abc_def-ghi rest",
        "Authorization: Bearer abc.def rest",
        "?api_key=abcdef rest",
        "x-api-key: abcdef rest",
        "X-API-Key=abcdef rest",
        "api-key: abcdef rest",
        "key AIzaSyAbcdefghij rest",
    ],
)
def test_what_looks_like_a_key_is_left_out(text):
    cleaned = without_secrets(text)
    assert "abc" not in cleaned.lower()
    assert cleaned.endswith(" rest")


def test_what_is_said_of_a_failure_has_an_end():
    assert len(without_secrets("x" * 5_000)) == 500


async def test_providers_words_are_only_in_the_debug_log_and_without_keys(caplog):
    from pydantic_ai.exceptions import ModelHTTPError

    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(401, "m", {"message": "no such key: sk-ant-abcdefgh"})

    with caplog.at_level(logging.DEBUG, "awaithumans.verifiers"), pytest.raises(VerifierError, match="HTTP 401"):
        await LLMVerifier(FunctionModel(fail)).verify(make_context())
    assert [(record.levelname, "[secret]" in record.message, "sk-ant" in caplog.text) for record in caplog.records] == [
        ("DEBUG", True, False)
    ]


async def test_what_an_sdk_says_in_the_debug_log_has_no_keys(caplog):
    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ValueError("Illegal header value b'sk-ant-abcdefgh\\n'")

    with caplog.at_level(logging.DEBUG, "awaithumans.verifiers"), pytest.raises(VerifierError, match="ValueError"):
        await LLMVerifier(FunctionModel(fail)).verify(make_context())
    assert "Illegal header value b'[secret]" in caplog.text
    assert "sk-ant" not in caplog.text


@pytest.mark.parametrize(
    "limit", [{"timeout": 0}, {"timeout": -1}, {"timeout": 30}, {"concurrency": 0}, {"max_output_tokens": 0}]
)
def test_limits_that_leave_no_verdict_are_refused_at_once(limit):
    with pytest.raises(ConfigurationError, match=next(iter(limit))):
        Limits(**limit)


async def test_words_become_an_answer_through_an_engine():
    script = Script(read({"approved": "?"}, passed=False, reason="Yes or no?"), read(LEGIT))
    clock = VirtualClock()
    engine = Engine(MemoryStore(), verifiers={"m": LLMVerifier(script.model)}, clock=clock, background=False)
    config = VerifierConfig(provider="m", instructions="Approve only what is legit.")
    task = await engine.create(a_question(verifier=config, response_schema=APPROVAL))
    await engine.act(task.id, Submit(text="hm", by=ANA))
    await engine.tick()
    refused = await engine.get(task.id)
    assert refused.verdict
    assert (refused.status, refused.verdict.reason) == (TaskStatus.PENDING, "Yes or no?")
    await engine.act(task.id, Submit(text="approve, looks legit", by=ANA))
    await engine.tick()
    closed = await engine.get(task.id)
    assert (closed.status, closed.response) == (TaskStatus.COMPLETED, LEGIT)
    assert closed.tokens_used > 0
    assert json.dumps("Yes or no?") in script.heard[1], "it is told of the refusal"


async def test_an_engine_closes_its_verifiers():
    closed: list[str] = []

    class Closing(LLMVerifier):
        async def aclose(self) -> None:
            closed.append("closed")
            await super().aclose()

    engine = Engine(MemoryStore(), verifiers={"m": Closing(TestModel())}, background=False)
    await engine.aclose()
    assert closed == ["closed"]
