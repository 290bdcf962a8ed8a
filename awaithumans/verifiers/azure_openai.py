"""Ask a task's answer to be checked by a model on Azure OpenAI."""

from __future__ import annotations

from awaithumans.types import VerifierConfig

PROVIDER = "azure_openai"
DEPLOYMENT = "gpt-4o"
KEY = "AZURE_OPENAI_API_KEY"
ENDPOINT = "AZURE_OPENAI_ENDPOINT"
API_VERSION = "2024-10-21"


def azure_openai_verifier(
    instructions: str,
    *,
    deployment_name: str = DEPLOYMENT,
    max_attempts: int = 3,
    api_key_env: str = KEY,
    endpoint_env: str = ENDPOINT,
    api_version: str = API_VERSION,
) -> VerifierConfig:
    """Make what `await_human(verifier=…)` takes, for an engine that has `LLMVerifier.azure_openai` as `azure_openai`.

    Arguments:
        instructions: what an answer has to be like.
        deployment_name: one of those that the engine's verifier allows.
        max_attempts: how many answers may be refused, from 1 to 10, before the
            task closes without one.
        api_key_env: the name of a key that the engine's verifier allows.
        endpoint_env: the variable that the engine's endpoint is known by; no
            other is ever read.
        api_version: that of the engine's verifier.
    """
    return VerifierConfig(
        provider=PROVIDER,
        model=deployment_name,
        instructions=instructions,
        max_attempts=max_attempts,
        api_key_env=api_key_env,
        metadata={"endpoint_env": endpoint_env, "api_version": api_version},
    )
