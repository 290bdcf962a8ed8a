"""Verifiers that each break one promise, in a way in which real ones are broken.

`broken` is what the suite must say of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from anyio.lowlevel import checkpoint

from awaithumans.errors import InvalidInputError, VerifierConfigError
from awaithumans.types import Usage, Verdict, VerificationContext, VerifierConfig

YES: Mapping[str, object] = {"approve": True}


class GoodVerifier:
    """Approves what is small, and understands "yes"."""

    trusted: Any = True
    reads_text: Any = True
    away: ClassVar[bool] = False

    def check(self, config: VerifierConfig) -> None:
        if config.model is not None:
            raise VerifierConfigError("model", "is none of mine")

    async def verify(self, context: VerificationContext) -> Verdict:
        if self.away:
            raise OSError("away")
        if context.raw_input is not None:
            return self.read(context.raw_input)
        await checkpoint()
        passed = context.payload["amount"] <= 100  # type: ignore[operator]
        return Verdict(passed=passed, reason="" if passed else "Not above 100.")

    def read(self, text: str) -> Verdict:
        if text == "yes":
            return Verdict(passed=True, parsed_response=dict(YES))
        return Verdict(passed=False, reason="Yes or no?")

    async def aclose(self) -> None:
        pass


class BrokenVerifier(GoodVerifier):
    """A good one, but for one thing."""

    broken: ClassVar[str]


class SaysItIsTrustedInWords(BrokenVerifier):
    """Sets what every text is taken for."""

    broken = "it says what it may see and read."
    trusted = "false"


class ReadsTextWithoutSayingSo(BrokenVerifier):
    """Would understand people, and nobody lets them write."""

    broken = "it says what it may see and read."
    reads_text = False


class PassesInWords(BrokenVerifier):
    """Hands on what a model said, as text."""

    broken = "a good answer passes."

    async def verify(self, context: VerificationContext) -> Verdict:
        return replace(await super().verify(context), passed="true")  # type: ignore[arg-type]


class RefusesWithoutAReason(BrokenVerifier):
    """Leaves the person alone."""

    broken = "a bad answer is refused with a reason."

    async def verify(self, context: VerificationContext) -> Verdict:
        return replace(await super().verify(context), reason="")


class RefusesWithoutAnEnd(BrokenVerifier):
    """Hands on all that a model had to say."""

    broken = "a bad answer is refused with a reason."

    async def verify(self, context: VerificationContext) -> Verdict:
        verdict = await super().verify(context)
        return replace(verdict, reason=verdict.reason * 1_000)


class CountsBackwards(BrokenVerifier):
    """Takes what was cached off what was used."""

    broken = "it says what it took."

    async def verify(self, context: VerificationContext) -> Verdict:
        return replace(await super().verify(context), usage=Usage(input_tokens=-3))


class PassesFreeTextWithoutReadingIt(BrokenVerifier):
    """Says yes, and not to what."""

    broken = "free text that passes comes with what it means."

    def read(self, text: str) -> Verdict:
        return replace(super().read(text), parsed_response=None)


class ReadsWhatDoesNotFit(BrokenVerifier):
    """Makes of a boolean what the model called it."""

    broken = "free text that passes comes with what it means."

    def read(self, text: str) -> Verdict:
        return replace(super().read(text), parsed_response={"approve": "yes"})


class ChokesOnFreeText(BrokenVerifier):
    """Takes what it cannot read for a fault of its own."""

    broken = "free text that nobody understands is refused."

    def read(self, text: str) -> Verdict:
        if text != "yes":
            raise ValueError("cannot be parsed")
        return super().read(text)


class JudgesOnlyOnce(BrokenVerifier):
    """Takes a second look for an attack."""

    broken = "an answer may be judged again."

    def __init__(self) -> None:
        self._seen: set[int] = set()

    async def verify(self, context: VerificationContext) -> Verdict:
        if id(context) in self._seen:
            return Verdict(passed=False, reason="Again?")
        self._seen.add(id(context))
        return await super().verify(context)


class KeepsTheCaseInItself(BrokenVerifier):
    """Judges the latest that came in."""

    broken = "answers may be judged at the same time."

    async def verify(self, context: VerificationContext) -> Verdict:
        self._context = context
        await checkpoint()
        return await super().verify(self._context)


class WritesIntoTheTask(BrokenVerifier):
    """Makes itself at home."""

    broken = "what it is given stays as it was."

    async def verify(self, context: VerificationContext) -> Verdict:
        context.payload["checked"] = True  # type: ignore[index]
        return await super().verify(context)


class FormatsWhatPeopleWrite(BrokenVerifier):
    """Puts data into its own template, twice."""

    broken = "whatever people write is only data."

    async def verify(self, context: VerificationContext) -> Verdict:
        f"{context.task}: {{amount}}".format(**context.payload)
        return await super().verify(context)


class BelievesWhatPeopleWrite(BrokenVerifier):
    """Lets a template's marks in a question decide."""

    broken = "whatever people write is only data."

    async def verify(self, context: VerificationContext) -> Verdict:
        verdict = await super().verify(context)
        return replace(verdict, passed=verdict.passed or "</data>" in context.task)


class ChecksLater(BrokenVerifier):
    """Has a `check` that nobody waits for."""

    broken = "a configuration that it does not take is refused."

    async def check(self, config: VerifierConfig) -> None:  # type: ignore[override]
        super().check(config)


class TakesAnything(BrokenVerifier):
    """Uses the model that a task names."""

    broken = "a configuration that it does not take is refused."

    def check(self, config: VerifierConfig) -> None:
        pass


class RefusesItself(BrokenVerifier):
    """Wants a model, and has none."""

    broken = "a configuration that it takes is accepted."

    def check(self, config: VerifierConfig) -> None:
        raise VerifierConfigError("model", "is missing")


class RefusesWithAnythingElse(BrokenVerifier):
    """Raises what leads nobody to the field."""

    broken = "a configuration that it does not take is refused."

    def check(self, config: VerifierConfig) -> None:
        if config.model is not None:
            raise InvalidInputError("no")


class PassesWhileItIsAway(BrokenVerifier):
    """Fails open."""

    broken = "what is broken lets nothing pass and refuses nothing."

    async def verify(self, context: VerificationContext) -> Verdict:
        return Verdict(passed=True) if self.away else await super().verify(context)


class RefusesWhileItIsAway(BrokenVerifier):
    """Has people pay for its outage."""

    broken = "what is broken lets nothing pass and refuses nothing."

    async def verify(self, context: VerificationContext) -> Verdict:
        return Verdict(passed=False, reason="Try again.") if self.away else await super().verify(context)


class ClosesOnce(BrokenVerifier):
    """Closes what it has closed."""

    broken = "closing may be repeated."
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


BROKEN_VERIFIERS = BrokenVerifier.__subclasses__()
