"""A second look at answers: by rules of yours, or by a model."""

from awaithumans.verifiers.callables import CallableVerifier
from awaithumans.verifiers.chains import chain
from awaithumans.verifiers.llm import Limits, LLMVerifier

__all__ = ["CallableVerifier", "LLMVerifier", "Limits", "chain"]
