"""Several verifiers, one after the other."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from awaithumans.errors import ConfigurationError
from awaithumans.protocols import Verifier, VerifierError
from awaithumans.types import Usage, Verdict, VerificationContext, VerifierConfig


def chain(*verifiers: Verifier) -> Chain:
    """Make one verifier of several: an answer passes that all of them pass.

    They are asked in this order, and the first refusal is the verdict: put
    rules that cost nothing before a model. Of free text, what the first reader
    makes of it is what those behind it see, as `response`. What they took of
    models adds up. The chain is `trusted` if all are, and reads free text if
    the first does; a configuration has to suit each of them.

    Raises `ConfigurationError` if there is none.
    """
    if not verifiers:
        raise ConfigurationError("a chain of no verifiers lets everything pass", hint="Name at least one.")
    return Chain(verifiers)


class Chain:
    """What `chain` makes."""

    def __init__(self, verifiers: tuple[Verifier, ...]) -> None:
        self._verifiers = verifiers
        self.trusted = all(getattr(one, "trusted", False) is True for one in verifiers)
        self.reads_text: bool = getattr(verifiers[0], "reads_text", False) is True

    def check(self, config: VerifierConfig) -> None:
        for verifier in self._verifiers:
            if check := getattr(verifier, "check", None):
                check(config)

    async def verify(self, context: VerificationContext) -> Verdict:
        usage, parsed = Usage(), None
        for verifier in self._verifiers:
            try:
                verdict = await verifier.verify(context)
            except VerifierError as error:
                error.usage = _sum(usage, error.usage)
                raise
            usage = _sum(usage, verdict.usage)
            if verdict.passed is not True:
                return replace(verdict, usage=usage)
            if context.raw_input is not None and verdict.parsed_response is not None:
                parsed = verdict.parsed_response
                context = replace(context, response=deepcopy(parsed), raw_input=None)
            context = replace(context, tokens_used=context.tokens_used + verdict.usage.tokens)
        return Verdict(passed=True, parsed_response=parsed, usage=usage)

    async def aclose(self) -> None:
        """Close what they opened; harmless when repeated."""
        for verifier in self._verifiers:
            if close := getattr(verifier, "aclose", None):
                await close()


def _sum(one: Usage, other: Usage) -> Usage:
    models = dict.fromkeys(filter(None, (*one.model.split(", "), other.model)))
    return Usage(
        model=", ".join(models),
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        seconds=one.seconds + other.seconds,
    )
