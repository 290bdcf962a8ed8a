"""The helpers that agents call: their signatures, and what goes over the wire."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from awaithumans.types import VerifierConfig
from awaithumans.verifiers.azure_openai import azure_openai_verifier
from awaithumans.verifiers.claude import claude_verifier
from awaithumans.verifiers.gemini import gemini_verifier
from awaithumans.verifiers.openai import openai_verifier

PLAIN = {"instructions": "Be kind.", "max_attempts": 3, "metadata": None}


@pytest.mark.parametrize(
    ("helper", "wire"),
    [
        (claude_verifier, ("claude", "claude-sonnet-4-20250514", "ANTHROPIC_API_KEY")),
        (openai_verifier, ("openai", "gpt-4o", "OPENAI_API_KEY")),
        (gemini_verifier, ("gemini", "gemini-2.5-flash", "GOOGLE_API_KEY")),
    ],
)
def test_a_helper_says_on_the_wire_what_it_always_said(helper, wire):
    provider, model, key = wire
    assert helper("Be kind.").model_dump() == {**PLAIN, "provider": provider, "model": model, "api_key_env": key}
    assert helper("x", model="m", max_attempts=5, api_key_env="K") == VerifierConfig(
        provider=provider, model="m", instructions="x", max_attempts=5, api_key_env="K"
    )


def test_the_one_of_azure_names_its_deployment_and_where_it_is():
    assert azure_openai_verifier("Be kind.").model_dump() == {
        **PLAIN,
        "provider": "azure_openai",
        "model": "gpt-4o",
        "api_key_env": "AZURE_OPENAI_API_KEY",
        "metadata": {"endpoint_env": "AZURE_OPENAI_ENDPOINT", "api_version": "2024-10-21"},
    }
    named = azure_openai_verifier("x", deployment_name="d", endpoint_env="E", api_version="v", max_attempts=1)
    assert (named.model, named.metadata) == ("d", {"endpoint_env": "E", "api_version": "v"})


@pytest.mark.parametrize("helper", [claude_verifier, openai_verifier, gemini_verifier, azure_openai_verifier])
def test_instructions_may_stand_without_their_name(helper):
    assert next(iter(inspect.signature(helper).parameters)) == "instructions"


def test_an_agent_that_names_a_verifier_imports_no_model():
    program = "import sys, awaithumans.verifiers.claude; print({'pydantic_ai', 'anthropic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"
