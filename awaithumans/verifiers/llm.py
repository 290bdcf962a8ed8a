"""A verifier that asks a large language model, of any provider that pydantic-ai knows."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import anyio.lowlevel
from pydantic import BaseModel, ConfigDict, Field

from awaithumans.documents import ensure_object, scrubbed
from awaithumans.errors import ConfigurationError, InvalidInputError, VerifierConfigError
from awaithumans.forms import not_understood, validate_response
from awaithumans.protocols import VerifierError
from awaithumans.runner import PERFORM_WITHIN
from awaithumans.types import JsonObject, Usage, Verdict, VerificationContext, VerifierConfig
from awaithumans.verifiers import azure_openai, claude, gemini, openai
from awaithumans.verifiers.callables import UNEXPLAINED
from awaithumans.verifiers.failures import explained
from awaithumans.verifiers.models import Connections, ModelNames, meanings, models_of
from awaithumans.verifiers.prompts import Prompt, prompt_of

if TYPE_CHECKING:
    from pydantic_ai import Agent, RunContext
    from pydantic_ai.agent import AgentRunResult
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

MAX_REASON = 2_000
_CORRECTIONS = 2
"""How often a model may correct what it said, within one call."""
_SPENT = "This question has used up what checking its answers may cost. Please tell whoever asked it."
_GEMINI_KEYS = (gemini.KEY, "GEMINI_API_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a verifier may take of its provider. Raises `ConfigurationError` for what no verdict could be had by."""

    timeout: float = 20.0
    """Seconds for one verdict, from waiting for a turn to the last correction: less than the 30 that the engine gives
    a verifier."""
    concurrency: int = 8
    """How many verdicts may be asked for at the same time, in each event loop."""
    max_tokens_per_task: int = 100_000
    """Once the checks of one task have taken that many, as far as the provider said, its answers are refused without
    asking the model."""
    max_output_tokens: int | None = 4_096
    """How much the model may write at a time, its thinking included; None leaves it to the provider."""

    def __post_init__(self) -> None:
        least = {"timeout": self.timeout, "concurrency": self.concurrency, "max_output_tokens": self.max_output_tokens}
        for name, value in least.items():
            if value is not None and not value > 0:
                raise ConfigurationError(f"a verifier's {name} must be more than 0, not {value!r}")
        if self.timeout >= (given := PERFORM_WITHIN.total_seconds()):
            raise ConfigurationError(
                f"a verifier's timeout must be less than {given:g} seconds, not {self.timeout!r}",
                hint="The engine itself gives up after that time, and asks again.",
            )


class LLMVerifier:
    """A `Verifier` that asks a model whether an answer is as it should be, or what free text means.

    Arguments:
        model: a model's name with its provider, as pydantic-ai writes it
            (`anthropic:claude-…`, `ollama:qwen3`), or a model of pydantic-ai,
            which is used as it is, on whichever event loop.
        api_key: the provider's key; by default the SDK looks for it as it
            always does.
        models: the names of other models of this provider that a task may ask
            for, without its provider's name; or a mapping from names to the
            models that are meant by them, for those that are retired.
        keys: what a task's `api_key_env` may say, and the key that is meant by
            it. No variable is ever looked up because a task names it.
        facts: what a task's `metadata` may say of the provider; with any other
            value of the same name the task is refused.
        options: what else the provider's class in pydantic-ai takes, such as
            `base_url`.
        trusted: the host lets the provider see what tasks with
            `redact_payload` keep from others: it is the host's own.
        limits: of time, tokens and calls at once.
        rng: draws the fence around the data of each call; it has to be
            unguessable.

    The instructions of the task's `VerifierConfig` go into the system prompt.
    Question, payload, schemas, answer and earlier refusals are data: each call
    fences them with a mark that nobody could know who wrote them.

    A model answers by a schema: `passed` is a boolean. What it reads out of
    free text has to fit form and response schema; it may correct itself twice,
    and where it still does not fit the person is asked to say it otherwise.

    Raises `VerifierError` if there is no verdict, with the pause the provider
    asks for; it quotes neither the provider, who may quote the data, nor keys.
    What a call took that gave no verdict counts, too, where the provider said.

    Runs on asyncio, as pydantic-ai does. Connections are kept per event loop
    and reused; `aclose` closes those of the running loop, after which the
    verifier can still be used. Raises `ConfigurationError` if the provider's
    SDK is not installed, or has no key.
    """

    reads_text = True

    def __init__(
        self,
        model: Model | str,
        *,
        api_key: str | None = None,
        models: ModelNames = (),
        keys: Mapping[str, str | None] | None = None,
        facts: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        trusted: bool = False,
        limits: Limits | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.trusted = trusted
        self._models = models_of(model, api_key=api_key, models=models, keys=keys or {}, options=options or {})
        self._facts = dict(facts or {})
        self._limits = limits or Limits()
        self._rng = rng or secrets.SystemRandom()
        self._judge = _agent(_Judgement, self._limits)
        self._reader = _agent(_Reading, self._limits)
        self._reader.output_validator(_fitting)
        self._here = anyio.lowlevel.RunVar["Connections | None"]("connections", None)

    # ── By provider ───────────────────────────────────────────────────────────

    @classmethod
    def claude(
        cls,
        model: str,
        *,
        api_key: str | None = None,
        models: ModelNames = (),
        keys: Mapping[str, str] | None = None,
        base_url: str | None = None,
        trusted: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Make one that asks Claude.

        A task's `api_key_env` may be `ANTHROPIC_API_KEY`, which means `api_key`. What
        `claude_verifier` says where its caller names no model means `model`.
        """
        return cls(
            f"anthropic:{model}",
            api_key=api_key,
            models={claude.MODEL: model, **meanings(models)},
            keys={claude.KEY: api_key, **(keys or {})},
            options=_given(base_url=base_url),
            trusted=trusted,
            limits=limits,
        )

    @classmethod
    def openai(
        cls,
        model: str,
        *,
        api_key: str | None = None,
        models: ModelNames = (),
        keys: Mapping[str, str] | None = None,
        base_url: str | None = None,
        trusted: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Make one that asks OpenAI.

        A task's `api_key_env` may be `OPENAI_API_KEY`, which means `api_key`. What
        `openai_verifier` says where its caller names no model means `model`.
        """
        return cls(
            f"openai:{model}",
            api_key=api_key,
            models={openai.MODEL: model, **meanings(models)},
            keys={openai.KEY: api_key, **(keys or {})},
            options=_given(base_url=base_url),
            trusted=trusted,
            limits=limits,
        )

    @classmethod
    def gemini(
        cls,
        model: str,
        *,
        api_key: str | None = None,
        models: ModelNames = (),
        keys: Mapping[str, str] | None = None,
        base_url: str | None = None,
        trusted: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Make one that asks Gemini.

        A task's `api_key_env` may be `GOOGLE_API_KEY` or `GEMINI_API_KEY`: both
        mean `api_key`. What `gemini_verifier` says where its caller names no
        model means `model`.
        """
        return cls(
            f"google:{model}",
            api_key=api_key,
            models={gemini.MODEL: model, **meanings(models)},
            keys={**dict.fromkeys(_GEMINI_KEYS, api_key), **(keys or {})},
            options=_given(base_url=base_url),
            trusted=trusted,
            limits=limits,
        )

    @classmethod
    def azure_openai(
        cls,
        deployment: str,
        *,
        endpoint: str | None = None,
        api_key: str | None = None,
        api_version: str = azure_openai.API_VERSION,
        deployments: ModelNames = (),
        keys: Mapping[str, str] | None = None,
        trusted: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Make one that asks a deployment on Azure OpenAI.

        A task's `api_key_env` may be `AZURE_OPENAI_API_KEY`, and its
        `endpoint_env` `AZURE_OPENAI_ENDPOINT`: they mean `api_key` and
        `endpoint`. Its `api_version` has to be this one. What
        `azure_openai_verifier` says where its caller names no deployment means
        `deployment`.
        """
        return cls(
            f"azure:{deployment}",
            api_key=api_key,
            models={azure_openai.DEPLOYMENT: deployment, **meanings(deployments)},
            keys={azure_openai.KEY: api_key, **(keys or {})},
            facts={"endpoint_env": azure_openai.ENDPOINT, "api_version": api_version, "deployment": deployment},
            options=_given(azure_endpoint=endpoint, api_version=api_version),
            trusted=trusted,
            limits=limits,
        )

    # ── As a verifier ─────────────────────────────────────────────────────────

    def check(self, config: VerifierConfig) -> None:
        """Raise `VerifierConfigError` unless the host lets tasks ask for that."""
        self._models.check(config)
        for name, wanted in (config.metadata or {}).items():
            if wanted is not None and wanted != self._facts.get(name, wanted):
                hint = f"Leave it out, or say {self._facts[name]!r}."
                raise VerifierConfigError(f"metadata.{name}", "is not what this verifier uses", hint=hint)

    async def verify(self, context: VerificationContext) -> Verdict:
        try:
            self.check(context.config)
        except VerifierConfigError as fault:  # the host allowed it when the task was made
            raise VerifierError(str(fault)) from fault
        if context.tokens_used >= self._limits.max_tokens_per_task:
            return Verdict(passed=False, reason=_SPENT)
        prompt = prompt_of(context, lambda: f"{self._rng.getrandbits(128):032x}")
        used = _nothing_yet()
        with explained(self._models.name_for(context.config), self._limits.timeout, used):
            async with self._model(context.config) as model:
                return await self._verdict(model, context, prompt, used)

    async def aclose(self) -> None:
        """Close the running loop's connections; harmless when repeated."""
        if connections := self._here.get():
            self._here.set(None)
            await connections.open.aclose()

    @asynccontextmanager
    async def _model(self, config: VerifierConfig) -> AsyncGenerator[Model]:
        connections = self._here.get()
        if connections is None:
            self._here.set(connections := Connections(anyio.CapacityLimiter(self._limits.concurrency)))
        async with connections.turns:
            yield await self._models.opened(config, connections)

    async def _verdict(self, model: Model, context: VerificationContext, prompt: Prompt, used: RunUsage) -> Verdict:
        """Ask for a verdict, and add to what was `used`."""
        if context.raw_input is None:
            judged = await self._judge.run(prompt.user, model=model, instructions=prompt.system, usage=used)
            return _verdict(judged, judged.output, None)
        case = _Case(context, prompt)
        read = await self._reader.run(prompt.user, model=model, instructions=prompt.system, deps=case, usage=used)
        faults = case.faults_of(read.output)
        finding = _Judgement(passed=False, reason=not_understood(faults)) if faults else read.output
        return _verdict(read, finding, read.output.parsed_response if finding.passed else None)


# ── What a model says ─────────────────────────────────────────────────────────


class _Judgement(BaseModel):
    """Say whether the answer passes."""

    model_config = ConfigDict(strict=True, extra="forbid")

    passed: bool
    reason: str = Field(description="If it does not pass: what the person should correct. Else empty.")


class _Reading(_Judgement):
    """Say whether the answer passes, and what it means."""

    parsed_response: dict[str, Any] | None = Field(
        description="What the person answered, as an object that fits response_schema; null if it does not pass."
    )


FindingT = TypeVar("FindingT", bound=_Judgement)


@dataclass(frozen=True, slots=True)
class _Case:
    """What an answer in free text has to fit."""

    context: VerificationContext
    prompt: Prompt

    def faults_of(self, reading: _Reading) -> Mapping[str, str]:
        """Say by field why what was read is no answer; nothing is expected of what does not pass."""
        if not reading.passed:
            return {}
        if (parsed := reading.parsed_response) is None:
            return {"": "nothing could be read out of it"}
        try:
            ensure_object(parsed, "parsed_response")
        except InvalidInputError as fault:
            return fault.fields
        return validate_response(self.context.form, self.context.response_schema, parsed)


def _fitting(call: RunContext[_Case], reading: _Reading) -> _Reading:
    """Have the model correct what does not fit, as often as it may."""
    faults = call.deps.faults_of(reading)
    if faults and not call.last_attempt:
        from pydantic_ai import ModelRetry

        raise ModelRetry(
            "parsed_response does not fit. Correct it, or do not pass the answer. What is wrong, as data:\n"
            + call.deps.prompt.fenced("faults", dict(faults))
        )
    return reading


def _verdict(run: AgentRunResult[FindingT], finding: _Judgement, parsed: JsonObject | None) -> Verdict:
    reason = "" if finding.passed else scrubbed(finding.reason.strip() or UNEXPLAINED, MAX_REASON)
    usage = Usage(
        model=scrubbed(run.response.model_name or "", 200),
        input_tokens=run.usage.input_tokens,
        output_tokens=run.usage.output_tokens,
    )
    return Verdict(passed=finding.passed, reason=reason, parsed_response=parsed, usage=usage)


def _nothing_yet() -> RunUsage:
    from pydantic_ai.usage import RunUsage

    return RunUsage()


def _agent(finding: type[FindingT], limits: Limits) -> Agent[Any, FindingT]:
    from pydantic_ai import Agent, ToolOutput
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings(timeout=limits.timeout, max_retries=0)  # it is the engine that tries again
    if limits.max_output_tokens is not None:
        settings["max_tokens"] = limits.max_output_tokens
    return Agent(
        output_type=ToolOutput(finding, name="submit_verdict", description=finding.__doc__),
        retries={"output": _CORRECTIONS},
        model_settings=settings,
    )


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}
