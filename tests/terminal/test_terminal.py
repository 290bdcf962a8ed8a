"""Programs in a real terminal, and a person who types."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from functools import partial
from typing import Any

import anyio
import pexpect
import pytest
from pydantic import BaseModel

from awaithumans import BlockingEngine, Engine, TaskCancelledError, TaskTimeoutError, await_human, await_human_sync
from awaithumans.errors import ConfigurationError
from awaithumans.terminal import terminal_engine
from awaithumans.types import Query, Task, TaskStatus
from tests.typist import person_here, play, program, unstyled

ASKS = ("-m", "tests.programs.asks_here")
ANSWERS = [("Approved", "y\n"), ("Amount", "99.95\n"), ("[none]", "\n"), ("Send?", "\n")]
DECISION = '{"approved":true,"amount":"99.95","note":"none"}'


class Question(BaseModel):
    order: str


class Answer(BaseModel):
    approved: bool


QUESTION: dict[str, Any] = {
    "task": "Approve?",
    "payload_schema": Question,
    "payload": Question(order="A-1"),
    "response_schema": Answer,
    "timeout_seconds": 60,
}


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch):
    monkeypatch.delenv("AWAITHUMANS_URL", raising=False)


class TestAScript:
    def test_asks_field_by_field_and_goes_on_with_the_answer(self):
        with program(*ASKS, "blocking", "60") as person:
            play(person, ANSWERS)
            person.expect_exact(DECISION)
            person.expect(pexpect.EOF)

    def test_says_what_is_wrong_and_asks_again(self):
        with program(*ASKS, "blocking", "60") as person:
            screen = play(
                person,
                [
                    ("Approved", "perhaps\n"),
                    ("! choose one", "yes\n"),
                    ("Amount", "1,000\n"),
                    ("! write a point for decimals", "1000\n"),
                    ("100", "100\n"),
                    ("[none]", "Thanks\n"),
                    ("Send?", "y\n"),
                ],
            )
            person.expect_exact('{"approved":true,"amount":"100","note":"Thanks"}')
        assert screen.count("! ") == 3

    def test_is_cancelled_by_a_word(self):
        with program(*ASKS, "blocking", "60") as person:
            play(person, [("Approved", "y\n"), ("Amount", ":q\n")])
            person.expect_exact("TaskCancelledError")

    def test_is_cancelled_by_the_end_of_the_input(self):
        with program(*ASKS, "blocking", "60") as person:
            play(person, [("Approved", "y\n"), ("Amount", "\x04")])
            person.expect_exact("TaskCancelledError")

    def test_is_interrupted_by_ctrl_c_as_ever(self):
        with program(*ASKS, "blocking", "60") as person:
            play(person, [("Approved", "\x03")])
            person.expect_exact("KeyboardInterrupt")
            person.expect(pexpect.EOF)
            person.wait()
            assert person.signalstatus == signal.SIGINT or person.exitstatus == 130

    def test_in_a_coroutine_is_interrupted_by_ctrl_c_as_ever(self):
        with program(*ASKS, "in_a_coroutine", "60") as person:
            play(person, [("Approved", "\x03")])
            person.expect_exact("KeyboardInterrupt")

    def test_goes_on_when_the_time_is_up(self):
        """Also with half a line typed, which answers nothing afterwards."""
        with program(*ASKS, "one_after_another", "60") as person:
            play(person, [("Too late?", ""), ("> ", "half a li")])
            person.expect_exact("The time is up")
            person.expect_exact("TaskTimeoutError")
            play(person, [("In time?", ""), *ANSWERS])
            person.expect_exact(DECISION)

    @pytest.mark.parametrize("backend", ["in_a_coroutine", "in_trio"])
    def test_with_two_questions_at_once_asks_one_after_the_other(self, backend):
        with program(*ASKS, backend, "60") as person:
            first = play(person, [("First question", ""), *ANSWERS])
            play(person, [("Second question", ""), ("Approved", "n\n"), *ANSWERS[1:]])
            person.expect_exact(DECISION)
            person.expect_exact(DECISION.replace("true", "false"))
        assert "Second" not in first

    def test_keeps_its_output_for_itself(self):
        """What goes on in `script.py | jq` stays out of the pipe."""
        command = f"{sys.executable} {' '.join(ASKS)} blocking 60 | {sys.executable} -m json.tool --compact"
        with program("-c", f"import os; os.execvp('bash', ['bash', '-c', {command!r}])") as person:
            play(person, ANSWERS)
            person.expect_exact(json.dumps(json.loads(DECISION), separators=(",", ":")))
            person.expect(pexpect.EOF)

    def test_sends_nothing_typed_before_the_summary_was_there(self):
        with program(*ASKS, "blocking", "60") as person:
            person.expect_exact("Approved")
            person.send("y\n5\n\n\n\n")
            person.expect_exact("Send? ")
            with pytest.raises(pexpect.TIMEOUT):
                person.expect_exact("Sent", timeout=0.5)
            person.send("\n")
            person.expect_exact('"amount":"5"')


class TestTheScreen:
    def screen(self, **kwargs):
        with program(*ASKS, "blocking", "60", **kwargs) as person:
            screen = play(person, ANSWERS)
            person.expect_exact(DECISION)
        return screen

    def test_is_not_at_the_mercy_of_what_is_shown(self):
        screen = unstyled(self.screen())
        assert r"Jo \x1b[2J\x1b]0;gone\x07 Pärk" in screen
        assert "\x1b" not in screen
        assert "\x07" not in screen

    @pytest.mark.parametrize("columns", [40, 80])
    def test_is_not_overrun(self, columns):
        lines = unstyled(self.screen(columns=columns)).splitlines()
        assert max(map(len, lines)) < columns

    def test_has_colour(self):
        assert "\x1b[1mApprove this refund?\x1b[0m" in self.screen()

    @pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": None}])
    def test_has_no_colour_where_none_is_wanted(self, plain):
        assert "\x1b" not in self.screen(**plain)

    def test_shows_what_another_encoding_can_show(self):
        assert r"P\xe4rk" in self.screen(PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")

    def test_refuses_what_the_encoding_does_not_know(self):
        with program(*ASKS, "blocking", "60", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C") as person:
            play(person, [*ANSWERS[:2], ("[none]", "schön\n"), ("! has characters", "fine\n"), ("Send?", "y\n")])
            person.expect_exact('"note":"fine"')


class TestAProgramWithoutATerminal:
    @pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE])
    def test_hears_what_to_do(self, stdin):
        done = subprocess.run(
            [sys.executable, *ASKS, "blocking", "60"],
            check=False,
            stdin=stdin if stdin == subprocess.DEVNULL else None,
            input="" if stdin == subprocess.PIPE else None,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )
        assert "ConfigurationError: there is no engine to ask" in done.stderr
        assert "a terminal" in done.stderr

    def test_hears_it_too_when_its_input_is_closed(self, monkeypatch):
        closed = io.StringIO()
        closed.close()
        for stdin in (closed, None):
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(ConfigurationError):
                await_human_sync(**QUESTION)


class TestInThisProcess:
    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
    async def test_a_coroutine_is_answered(self):
        with person_here(("Approved", "y\n"), ("Send?", "\n")):
            assert (await await_human(**QUESTION)).approved

    def test_a_thread_is_answered(self):
        with person_here(("Approved", "n\n"), ("Send?", "\n"), ("Sent", "")) as screen:
            assert not await_human_sync(**QUESTION).approved
        assert "A-1" in screen[0]

    def test_a_key_names_its_question_as_long_as_the_process_lives(self):
        with person_here(("Approved", "y\n"), ("Send?", "\n")):
            answers = [await_human_sync(**QUESTION, idempotency_key="once") for _ in range(2)]
        assert answers[0] == answers[1]

    def test_a_terminal_left_raw_gives_lines_and_is_left_as_it_was(self):
        with person_here(("Approved", "y\n"), ("Send?", "\n")):
            raw = termios.tcgetattr(sys.stdin)
            raw[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(sys.stdin, termios.TCSANOW, raw)
            before = termios.tcgetattr(sys.stdin)
            assert await_human_sync(**QUESTION).approved
            assert termios.tcgetattr(sys.stdin) == before

    def test_a_terminal_that_hangs_up_cancels(self):
        with person_here(("Approved", "\x04")), pytest.raises(TaskCancelledError):
            await_human_sync(**QUESTION)


class Typed(io.StringIO):
    """A console without a file, as IDLE has: `input()` is all there is."""

    def isatty(self) -> bool:
        return True


class Silent(Typed):
    """A console where nobody types; like IDLE's it looks again and again."""

    def readline(self, *_: object) -> str:  # type: ignore[override]  # as TextIO has it
        while True:
            time.sleep(0.01)


class TestAConsoleWithoutAFile:
    @pytest.fixture(params=["blocking", "async"])
    def ask(self, request):
        if request.param == "blocking":
            return await_human_sync
        return lambda **question: anyio.run(partial(await_human, **question))

    def test_is_asked_by_input(self, ask, monkeypatch, capsys):
        screen = Typed()
        monkeypatch.setattr(sys, "stdin", Typed("perhaps\ny\n\n"))
        monkeypatch.setattr(sys, "stderr", screen)
        assert ask(**QUESTION).approved
        assert "! choose one" in screen.getvalue()
        assert screen.getvalue().endswith("Sent.\n")

    def test_is_left_when_the_time_is_up(self, ask, monkeypatch):
        monkeypatch.setattr(sys, "stdin", Silent())
        monkeypatch.setattr(sys, "stderr", Typed())
        with pytest.raises(TaskTimeoutError):
            ask(**QUESTION | {"timeout_seconds": 1})

    def test_can_be_interrupted(self, ask, monkeypatch):
        monkeypatch.setattr(sys, "stdin", Silent())
        monkeypatch.setattr(sys, "stderr", Typed())
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            ask(**QUESTION)

    def test_ends_with_its_input(self, ask, monkeypatch):
        monkeypatch.setattr(sys, "stdin", Typed(""))
        monkeypatch.setattr(sys, "stderr", Typed())
        with pytest.raises(TaskCancelledError):
            ask(**QUESTION)

    @pytest.mark.anyio
    async def test_is_not_asked_from_another_thread(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", Typed("y\n\n"))
        monkeypatch.setattr(sys, "stderr", Typed())
        with pytest.raises(ConfigurationError):
            await asyncio.to_thread(lambda: await_human_sync(**QUESTION))


def test_a_cancelled_call_takes_its_question_along():
    """Nobody else could answer it, and the next call is to ask anew."""

    async def give_up() -> None:
        with anyio.move_on_after(0.1):
            await await_human(**QUESTION)

    with person_here(("Approved", ""), ("Approved", "y\n"), ("Send?", "\n")):
        anyio.run(give_up)
        assert anyio.run(partial(await_human, **QUESTION)).approved
    assert not find_open(terminal_engine())


def find_open(engine: Engine) -> list[Task]:
    return BlockingEngine(engine).find(Query(statuses=frozenset({TaskStatus.PENDING})))


REPL = """
from pydantic import BaseModel
from awaithumans import await_human, await_human_sync
class Answer(BaseModel): approved: bool

payload = dict(payload_schema=Answer, payload=Answer(approved=False))
ask = dict(task="Approve?", **payload, response_schema=Answer, timeout_seconds=60)
""".lstrip()
CONSOLES = {
    "python": (["-q"], ">>> ", "await_human_sync(**ask)"),
    "python -m asyncio": (["-m", "asyncio"], ">>> ", "await await_human(**ask)"),
    "ipython": (["-m", "IPython", "--simple-prompt", "--colors=NoColor"], "In [", "await_human_sync(**ask)"),
    "ipython, async": (["-m", "IPython", "--simple-prompt", "--colors=NoColor"], "In [", "await await_human(**ask)"),
}


@pytest.mark.parametrize("console", CONSOLES)
def test_a_console_asks_and_goes_on(console, tmp_path):
    arguments, prompt, call = CONSOLES[console]
    startup = tmp_path / "startup.py"
    startup.write_text(REPL)
    with program(*arguments, columns=120, IPYTHONDIR=str(tmp_path), HOME=str(tmp_path)) as person:
        play(
            person,
            [
                (prompt, f"exec(open({str(startup)!r}).read())\n"),
                (prompt, f"{call}\n"),
                ("Approved", "y\n"),
                ("Send?", "\n"),
                ("Answer(approved=True)", ""),
                (prompt, f"{call}\n"),
                ("Approved", "\x03"),
                ("KeyboardInterrupt", ""),
                (prompt, "1 + 1\n"),
            ],
        )
        person.expect_exact("2")
