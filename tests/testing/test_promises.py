"""A failing test of a suite says which promise is broken; the stranger's own tests are left alone."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from awaithumans.testing.channels import ChannelConformance, RecordingChannel
from awaithumans.testing.engines import EngineConformance
from awaithumans.testing.promises import Promises
from awaithumans.testing.records import RecordsConformance
from awaithumans.testing.stores import JoinableConformance, StoreConformance, WatchableConformance
from awaithumans.testing.verifiers import VerifierConformance

SUITES = (
    StoreConformance,
    WatchableConformance,
    JoinableConformance,
    RecordsConformance,
    ChannelConformance,
    EngineConformance,
    VerifierConformance,
)


def test_a_failure_carries_the_promise_as_a_note() -> None:
    suite = ChannelConformance()
    with pytest.raises(AssertionError) as found:
        anyio.run(partial(suite.test_the_name_can_stand_before_a_colon, RecordingChannel("my:channel")))
    [promise] = found.value.__notes__
    assert promise.startswith("Broken promise of Channel: the name can stand before a colon. `notify` reads")


@pytest.mark.parametrize("suite", SUITES)
def test_every_promise_is_explained(suite: type[Promises]) -> None:
    tests = [test for name in dir(suite) if name.startswith("test_") and (test := getattr(suite, name))]
    assert tests
    for test in tests:
        assert test.__doc__
        assert test.__wrapped__, "a failure of it says nothing"


def test_the_strangers_own_tests_are_left_alone() -> None:
    class TestMine(ChannelConformance):
        async def test_mine(self) -> None:
            """Say nothing of a channel."""

    assert not hasattr(TestMine.test_mine, "__wrapped__")
