"""Ask a task's answer to be checked by OpenAI."""

from __future__ import annotations

from awaithumans.types import VerifierConfig

PROVIDER = "openai"
MODEL = "gpt-4o"
KEY = "OPENAI_API_KEY"


def openai_verifier(
    instructions: str, *, model: str = MODEL, max_attempts: int = 3, api_key_env: str = KEY
) -> VerifierConfig:
    """Make what `await_human(verifier=…)` takes, for an engine that has `LLMVerifier.openai` as `openai`.

    Arguments:
        instructions: what an answer has to be like.
        model: one of those that the engine's verifier allows.
        max_attempts: how many answers may be refused, from 1 to 10, before the
            task closes without one.
        api_key_env: the name of a key that the engine's verifier allows.
    """
    return VerifierConfig(
        provider=PROVIDER,
        model=model,
        instructions=instructions,
        max_attempts=max_attempts,
        api_key_env=api_key_env,
    )
