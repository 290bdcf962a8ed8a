"""An adapter's `await_human` takes what the direct call takes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature

import pytest

from awaithumans import await_human, await_human_sync
from awaithumans.adapters import langgraph, temporal

WHOM_TO_ASK = {"engine", "server_url", "api_key"}
"""What a workflow cannot have: its worker's activities know the engine."""


def arguments(call: Callable[..., object]) -> list[Parameter]:
    return list(signature(call, eval_str=True).parameters.values())


@pytest.mark.parametrize("call", [await_human_sync, langgraph.await_human, langgraph.await_human_async])
def test_the_arguments_are_those_of_the_direct_call(call: Callable[..., object]):
    assert arguments(call) == arguments(await_human)


def test_a_workflow_gives_all_of_them_but_the_engine():
    direct = [one for one in arguments(await_human) if one.name not in WHOM_TO_ASK]
    assert arguments(temporal.await_human) == direct
