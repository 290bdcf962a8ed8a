"""A rule of the host's own: any function that looks at an answer."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio.to_thread

from awaithumans.protocols import VerifierError
from awaithumans.types import Verdict, VerificationContext

Judgement: TypeAlias = bool | str | Verdict
Rule: TypeAlias = Callable[[VerificationContext], Judgement | Awaitable[Judgement]]
"""What looks at an answer, plain or async."""

UNEXPLAINED = "This answer was not accepted."


class CallableVerifier:
    """A `Verifier` that is a function.

    Arguments:
        function: gets the `VerificationContext`, and returns True if the
            answer passes; why it does not, as text for the person who gave it;
            False, where there is no more to say; or a `Verdict`. A plain
            function is called in a worker thread, so it may read a database.
        trusted: it keeps what it sees in this process, and so may be used for
            tasks with `redact_payload`.
        reads_text: people may answer in their own words. Of such an answer
            that passes, the function returns a `Verdict` with
            `parsed_response`.

    What the function raises is raised, and so is `VerifierError` where it
    returns anything else, None and empty text included: forgetting to return
    lets nothing pass.
    """

    def __init__(self, function: Rule, *, trusted: bool = False, reads_text: bool = False) -> None:
        self._function = function
        self.trusted = trusted
        self.reads_text = reads_text

    async def verify(self, context: VerificationContext) -> Verdict:
        match await self._judgement(context):
            case Verdict() as verdict:
                return verdict
            case bool(passed):
                return Verdict(passed=passed, reason="" if passed else UNEXPLAINED)
            case str(reason) if reason.strip():
                return Verdict(passed=False, reason=reason)
            case nothing:
                raise VerifierError(f"{_name(self._function)} returned no verdict, but {type(nothing).__name__}")

    async def _judgement(self, context: VerificationContext) -> object:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(context)
        found = await anyio.to_thread.run_sync(self._called, context, abandon_on_cancel=True)
        return found[0] if found[1] is None else await found[1]

    def _called(self, context: VerificationContext) -> tuple[object, Awaitable[object] | None]:
        found = self._function(context)
        return (None, found) if isinstance(found, Awaitable) else (found, None)


def _name(function: Rule) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
