"""The pytest plugin, in runs of pytest that are tested themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "awaithumans.testing.plugin"
AGENT = """
from awaithumans import TaskTimeoutError, await_human, await_human_sync
from pydantic import BaseModel


class Refund(BaseModel):
    order: str


class Decision(BaseModel):
    approved: bool


QUESTION = {
    "task": "Approve this refund?",
    "payload_schema": Refund,
    "payload": {"order": "A-1"},
    "response_schema": Decision,
    "timeout_seconds": 3600,
}


async def refund():
    try:
        return (await await_human(**QUESTION)).approved
    except TaskTimeoutError:
        return None


def refund_sync():
    try:
        return await_human_sync(**QUESTION).approved
    except TaskTimeoutError:
        return None
"""

ASYNC_TESTS = """
import asyncio
import pytest
from agent import refund

{mark}

@pytest.fixture(autouse=True)
async def other_fixtures_of_the_loop():
    yield

async def test_approved(humans):
    humans.answer({{"approved": True}})
    assert await refund() is True

async def test_ignored(humans):
    humans.ignore()
    assert await refund() is None

async def test_in_a_task_of_its_own(humans):
    humans.answer({{"approved": False}})
    {task}

@pytest.mark.parametrize("number", range(3))
async def test_again_and_again(humans, number):
    humans.script({{"approved": True}}, {{"approved": False}})
    assert [await refund(), await refund()] == [True, False]
"""
IN_ASYNCIO = "assert await asyncio.create_task(refund()) is False"
IN_TRIO = "assert await refund() is False"
LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs tests of the agent above, with every warning an error."""
    pytester.makepyfile(agent=AGENT)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the others that are installed take their time
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))

    def run(source: str, *arguments: str, runner: str = "anyio.pytest_plugin") -> pytest.RunResult:
        pytester.makepyfile(test_agent=source)
        plugins = [word for plugin in ("no:cacheprovider", PLUGIN, runner) for word in ("-p", plugin)]
        return pytester.runpytest_subprocess("-W", "error", *plugins, *arguments)

    return run


class TestEveryRunner:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_anyio(self, run: Run, backend: str):
        fixture = f"\n@pytest.fixture\ndef anyio_backend():\n    return {backend!r}\n"
        tests = ASYNC_TESTS.format(
            mark="pytestmark = pytest.mark.anyio" + fixture, task=IN_ASYNCIO if backend == "asyncio" else IN_TRIO
        )
        run(tests).assert_outcomes(passed=6)

    @pytest.mark.parametrize("scope", ["function", "session"])
    def test_pytest_asyncio_in_strict_mode(self, run: Run, scope: str):
        pytest.importorskip("pytest_asyncio")
        mark = f"import pytest_asyncio\npytestmark = pytest.mark.asyncio(loop_scope={scope!r})"
        tests = ASYNC_TESTS.format(mark=mark, task=IN_ASYNCIO).replace(
            "@pytest.fixture(autouse=True)", f"@pytest_asyncio.fixture(autouse=True, loop_scope={scope!r})"
        )
        run(tests, *LOOPS, runner="pytest_asyncio.plugin").assert_outcomes(passed=6)

    def test_pytest_asyncio_in_auto_mode(self, run: Run):
        pytest.importorskip("pytest_asyncio")
        tests = ASYNC_TESTS.format(mark="", task=IN_ASYNCIO)
        run(tests, *LOOPS, "-o", "asyncio_mode=auto", runner="pytest_asyncio.plugin").assert_outcomes(passed=6)

    def test_no_runner(self, run: Run):
        tests = """
            import asyncio, threading
            from agent import refund, refund_sync

            def test_approved(humans):
                humans.answer({"approved": True})
                assert refund_sync() is True

            def test_ignored(humans):
                humans.ignore()
                assert refund_sync() is None

            def test_in_a_thread(humans):
                humans.answer({"approved": True})
                said = []
                thread = threading.Thread(target=lambda: said.append(refund_sync()))
                thread.start()
                thread.join()
                assert said == [True]

            def test_in_a_loop_of_the_agents_own(humans):
                humans.answer({"approved": True})
                assert asyncio.run(refund()) is True
            """
        run(tests).assert_outcomes(passed=4)

    def test_unittest_beside_it(self, run: Run):
        tests = """
            import unittest
            from awaithumans.testing.humans import Humans
            from agent import refund_sync

            class TestRefund(unittest.TestCase):
                def test_approved(self):
                    with Humans() as humans:
                        humans.answer({"approved": True})
                        self.assertTrue(refund_sync())
            """
        run(tests).assert_outcomes(passed=1)


class TestFailing:
    def test_what_nobody_expected_is_one_failure_that_names_the_question(self, run: Run):
        tests = """
            from agent import refund_sync

            def test_refund(humans):
                refund_sync()
            """
        result = run(tests)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*UnexpectedQuestionError: Nobody was told*", "*Approve this refund?*"])

    def test_what_the_agent_caught_fails_the_test(self, run: Run):
        tests = """
            from agent import refund_sync

            def test_refund(humans):
                humans.answer({"approved": "perhaps"})
                try:
                    refund_sync()
                except Exception:
                    pass
            """
        result = run(tests)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*approved: must be true or false*"])

    def test_what_the_agent_caught_explains_another_failure(self, run: Run):
        tests = """
            from agent import refund_sync

            def test_refund(humans):
                try:
                    said = refund_sync()
                except Exception:
                    said = "error"
                assert said == "refunded"
            """
        result = run(tests)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*AssertionError: assert 'error' == 'refunded'*", "*Nobody was told*"])

    def test_what_is_left_of_a_script_fails_the_test(self, run: Run):
        tests = """
            from agent import refund_sync

            def test_refund(humans):
                humans.script({"approved": True}, {"approved": False})
                refund_sync()
            """
        result = run(tests)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*nobody asked*", "*'approved': False*"])

    def test_a_test_that_fails_by_itself_is_not_blamed_for_its_script(self, run: Run):
        tests = """
            def test_refund(humans):
                humans.script({"approved": True})
                assert not "broken"
            """
        result = run(tests)
        result.assert_outcomes(failed=1)
        result.stdout.no_fnmatch_line("*nobody asked*")

    def test_one_test_leaves_nothing_to_the_next(self, run: Run):
        tests = """
            import pytest
            from awaithumans import ConfigurationError
            from agent import refund_sync

            def test_first(humans):
                humans.answer({"approved": True})
                assert refund_sync()

            def test_second(humans):
                assert humans.asked == []
                refund_sync()

            def test_third():
                with pytest.raises(ConfigurationError):
                    refund_sync()
            """
        run(tests).assert_outcomes(passed=2, failed=1)


class TestManners:
    def test_a_fixture_of_the_same_name_takes_its_place(self, run: Run):
        tests = """
            import pytest
            from awaithumans.testing.humans import Humans
            from agent import refund_sync

            @pytest.fixture
            def humans():
                with Humans(public_url="https://app.example/humans") as humans:
                    humans.answer({"approved": True})
                    yield humans

            def test_own(humans):
                assert refund_sync()
                assert humans.engine.public_url

            def test_own_is_checked(humans):
                humans.script({"approved": True})
            """
        result = run(tests)
        result.assert_outcomes(passed=1, failed=1)

    def test_a_foreign_fixture_of_that_name_is_left_alone(self, run: Run):
        tests = """
            import pytest

            @pytest.fixture
            def humans():
                return ["Ana", "Ben"]

            def test_foreign(humans):
                assert len(humans) == 2
            """
        run(tests).assert_outcomes(passed=1)

    def test_who_does_not_use_it_does_not_pay_for_it(self):
        program = f"import pytest, sys, {PLUGIN}; print(sorted(m for m in sys.modules if m.startswith('awaithumans')))"
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == f"['awaithumans', 'awaithumans.testing', '{PLUGIN}']"

    def test_it_is_declared_where_pytest_looks(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert project["entry-points"]["pytest11"] == {"awaithumans": PLUGIN}
        assert import_module(PLUGIN).humans


def test_a_thousand_tests_take_seconds(run: Run):
    """Half of them wait for an hour on the clock of the engine."""
    tests = """
        import pytest
        from agent import refund

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.parametrize("number", range(500))
        async def test_approved(humans, number):
            humans.answer({"approved": True})
            assert await refund()

        @pytest.mark.parametrize("number", range(500))
        async def test_ignored(humans, number):
            humans.ignore()
            assert await refund() is None
        """
    started = time.monotonic()
    run(tests, "-q").assert_outcomes(passed=1_000)
    assert time.monotonic() - started < 120, "measured: 7 s on two busy cores"
