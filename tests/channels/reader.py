"""A verifier that reads free text, by rules simple enough to foretell."""

from __future__ import annotations

from pydantic import BaseModel

from awaithumans.types import Verdict, VerificationContext

CHECK = {"provider": "reader", "instructions": "Say whether it is approved, and why.", "max_attempts": 3}


class Noted(BaseModel):
    approved: bool
    notes: str = ""


class Reader:
    """Reads "approve, why not" and "decline, too much"; other words, and answers by a form, it refuses."""

    reads_text = True

    def __init__(self, *, trusted: bool = False) -> None:
        self.trusted = trusted
        self.seen: list[VerificationContext] = []

    async def verify(self, context: VerificationContext) -> Verdict:
        self.seen.append(context)
        word, _, notes = (context.raw_input or "").partition(",")
        if word.strip().lower() not in {"approve", "decline"}:
            return Verdict(passed=False, reason="Say whether you approve, and why.")
        return Verdict(
            passed=True, parsed_response={"approved": word.strip().lower() == "approve", "notes": notes.strip()}
        )
