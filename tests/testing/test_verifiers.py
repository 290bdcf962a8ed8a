"""The suite for verifiers passes a good one, and says of a bad one which promise it breaks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest

from awaithumans.testing.verifiers import VerifierConformance
from tests.testing.broken_verifiers import BROKEN_VERIFIERS, BrokenVerifier
from tests.testing.suites import said_of

SUITES = """
import pytest
from awaithumans.testing.verifiers import VerifierConformance, make_context
from awaithumans.types import VerifierConfig
from tests.testing.broken_verifiers import BROKEN_VERIFIERS, GoodVerifier

@pytest.fixture
def anyio_backend():
    return "asyncio"

class Suite(VerifierConformance):
    @pytest.fixture
    def good(self):
        return make_context(payload={"amount": 99})

    @pytest.fixture
    def bad(self):
        return make_context(payload={"amount": 101})

    @pytest.fixture
    def clear(self):
        return make_context(raw_input="yes")

    @pytest.fixture
    def unclear(self):
        return make_context(raw_input="hm")

    @pytest.fixture
    def bad_configs(self):
        return [VerifierConfig(provider="p", instructions="", model="another")]

for kind in (GoodVerifier, *BROKEN_VERIFIERS):
    test = f"Test{kind.__name__}"
    verifier = pytest.fixture(name="verifier")(lambda self, kind=kind: kind())
    away = type(f"Away{kind.__name__}", (kind,), {"away": True})
    broken = pytest.fixture(name="broken")(lambda self, away=away: away())
    globals()[test] = type(test, (Suite,), {"verifier": verifier, "broken": broken})
"""


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Give what the suite says of each verifier, in a run without our plugin."""
    return said_of(SUITES, tmp_path_factory.mktemp("suites"))


def test_a_verifier_that_keeps_its_promises_passes(said: Mapping[str, str]) -> None:
    assert said["GoodVerifier"] == ""


@pytest.mark.parametrize("broken", BROKEN_VERIFIERS, ids=lambda broken: broken.__name__)
def test_a_broken_promise_is_named(said: Mapping[str, str], broken: type[BrokenVerifier]) -> None:
    assert said[broken.__name__], "the suite passes it"
    assert f"Broken promise of Verifier: {broken.broken}" in said[broken.__name__]


def test_every_promise_is_broken_by_one_of_them() -> None:
    tests = [name for name, _ in inspect.getmembers(VerifierConformance) if name.startswith("test_")]
    promises = {name.removeprefix("test_").replace("_", " ") + "." for name in tests}
    assert promises == {broken.broken for broken in BROKEN_VERIFIERS}
