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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pexpect
import pytest
from pydantic import BaseModel

from awaithumans import BlockingEngine, Engine, TaskCancelledError, TaskTimeoutError, await_human, await_human_sync
from awaithumans.errors import ConfigurationError
from awaithumans.terminal import terminal_engine
from awaithumans.types import Query, Task, TaskStatus, VerifierConfig
from tests.typist import WITHIN, person_here, play, program, unstyled

ASKS = ("-m", "tests.programs.asks_here")
ANSWERS = [("Approved", "y\n"), ("Amount", "99.95\n"), ("[none]", "\n"), ("Send?", "y\n")]
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
            person.send("y\n")
            person.expect_exact('"amount":"5"')

    def test_sends_nothing_for_enter(self):
        with program(*ASKS, "blocking", "60") as person:
            play(person, [*ANSWERS[:3], ("Send?", "\n"), ("! y, e or c", ""), ("Send?", "\n\n\n"), ("! y", "")])
            play(person, [("Send?", "y\n")])
            person.expect_exact(DECISION)

    @pytest.mark.parametrize("rest", ["\n", "y\n", "y"])
    def test_sends_nothing_for_the_rest_of_a_paste(self, rest):
        """It comes in pieces, as over a slow line or from a key that is held."""
        with program(*ASKS, "where_a_paste_is_slow", "60") as person:
            play(person, [*ANSWERS[:2], ("[none]", "pasted\n")])
            for _ in range(50):
                with pytest.raises(pexpect.TIMEOUT):
                    person.expect_exact(["Send?", "Sent."], timeout=0.05)
                person.send(rest)
            person.expect_exact("Send? ")
            with pytest.raises(pexpect.TIMEOUT):
                person.expect_exact(["Sent.", "! y"], timeout=0.5)
            person.send("y\n")
            person.expect_exact('"note":"pasted"')


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

    def test_shows_it_on_standard_output_too(self):
        """Which is strict, where standard error writes escapes by itself."""
        command = f"{sys.executable} {' '.join(ASKS)} blocking 60 2> /dev/null"
        bash = f"import os; os.execvp('bash', ['bash', '-c', {command!r}])"
        with program("-c", bash, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C") as person:
            assert r"P\xe4rk" in play(person, ANSWERS)
            person.expect_exact(DECISION)

    def test_refuses_what_the_encoding_does_not_know(self):
        with program(*ASKS, "blocking", "60", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C") as person:
            play(person, [*ANSWERS[:2], ("[none]", "schön\n"), ("! has characters", "fine\n"), ("Send?", "y\n")])
            person.expect_exact('"note":"fine"')


class TestTwoProgramsAtOneTerminal:
    @contextmanager
    def two(self, seconds: int, redirection: str = "") -> Iterator[Any]:
        """Start a program that asks, and once it has asked, another one beside it."""
        asks = f"{sys.executable} {' '.join(ASKS)} blocking"
        command = f"exec 3<&0; trap : USR1; {asks} 60 <&3 & wait; {asks} {seconds} {redirection}; wait"
        with program("-c", f"import os; os.execvp('bash', ['bash', '-c', {command!r}])") as person:
            play(person, [("Approved", "")])
            person.kill(signal.SIGUSR1)
            play(person, [("Another program asks", "")])
            yield person

    def test_ask_one_after_the_other(self):
        """What is typed too often for one answers nothing of the other."""
        with self.two(60) as person:
            first = play(person, [("\n", "y\n"), *ANSWERS[1:3], ("Send?", "y\n\n\ny\n"), ("Sent.", "")])
            assert first.count("Approve this refund?") == 1
            play(person, [("Approved", "n\n"), *ANSWERS[1:]])
            person.expect_exact(DECISION.replace("true", "false"))
            person.expect(pexpect.EOF)

    def test_do_not_wait_longer_than_there_is_time(self):
        with self.two(1) as person:
            person.expect_exact("The time is up")
            person.expect_exact("TaskTimeoutError")
            play(person, [("", "y\n"), *ANSWERS[1:]])
            person.expect_exact(DECISION)

    def test_may_be_parent_and_fork(self):
        with program(*ASKS, "in_a_fork", "60") as person:
            play(person, [("Parent's?", ""), ("> ", "")])
            person.kill(signal.SIGUSR1)
            play(person, [("Another program asks", "y\n"), *ANSWERS[1:], ("Sent.", "")])
            play(person, [("Child's?", ""), ("Approved", "n\n"), *ANSWERS[1:], ("Sent.", "")])
            person.expect_exact(DECISION.replace("true", "false"))
            person.expect_exact(DECISION)
            person.expect(pexpect.EOF)

    def test_may_use_it_without_knowing_its_name(self):
        """As with `xargs -o`, which opens /dev/tty."""
        with self.two(60, "< /dev/tty") as person:
            play(person, [("\n", "y\n"), *ANSWERS[1:], ("Sent.", "")])
            play(person, [("Approved", "n\n"), *ANSWERS[1:]])
            person.expect_exact(DECISION.replace("true", "false"))


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
        with person_here(("Approved", "y\n"), ("Send?", "y\n")):
            assert (await await_human(**QUESTION)).approved

    def test_a_thread_is_answered(self):
        with person_here(("Approved", "n\n"), ("Send?", "y\n"), ("Sent", "")) as screen:
            assert not await_human_sync(**QUESTION).approved
        assert "A-1" in screen[0]

    def test_a_key_names_its_question_as_long_as_the_process_lives(self):
        with person_here(("Approved", "y\n"), ("Send?", "y\n")):
            answers = [await_human_sync(**QUESTION, idempotency_key="once") for _ in range(2)]
        assert answers[0] == answers[1]

    def test_a_terminal_left_raw_gives_lines_and_is_left_as_it_was(self):
        with person_here(("Approved", "y\n"), ("Send?", "y\n")):
            raw = termios.tcgetattr(sys.stdin)
            raw[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(sys.stdin, termios.TCSANOW, raw)
            before = termios.tcgetattr(sys.stdin)
            assert await_human_sync(**QUESTION).approved
            assert termios.tcgetattr(sys.stdin) == before

    def test_a_question_that_cannot_be_shown_is_not_asked(self, monkeypatch):
        with person_here(("", "y\ny\n")):
            unwritable = os.fdopen(os.open(os.ttyname(sys.stdin.fileno()), os.O_RDONLY | os.O_NOCTTY), "w")
            monkeypatch.setattr(sys, "stderr", unwritable)
            with pytest.raises(ConfigurationError, match="cannot be shown"):
                await_human_sync(**QUESTION)
            with pytest.raises(OSError, match="Bad file descriptor"):
                unwritable.close()
        assert not find_open(terminal_engine())

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("notify", ["email:ana@example.com"]),
            ("verifier", VerifierConfig(provider="claude", instructions="Is it polite?")),
            ("callback_url", "https://example.com/hook"),
        ],
    )
    def test_what_only_an_engine_has_is_not_skipped(self, name, value):
        with person_here(), pytest.raises(ConfigurationError, match=f"no {name}.*\n*.*engine="):
            await_human_sync(**QUESTION, **{name: value})

    def test_a_terminal_that_hangs_up_cancels(self):
        with person_here(("Approved", "\x04")), pytest.raises(TaskCancelledError):
            await_human_sync(**QUESTION)


class Typed(io.StringIO):
    """A console without a file, as IDLE has: `input()` is all there is."""

    def isatty(self) -> bool:
        return True


class Screen(io.TextIOWrapper):
    """A console that knows only some letters."""

    buffer: io.BytesIO

    def isatty(self) -> bool:
        return True


class Silent(Typed):
    """A console where nobody types; like IDLE's it looks again and again."""

    def __init__(self, asked: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._asked = asked

    def readline(self, *_: object) -> str:  # type: ignore[override]  # as TextIO has it
        self._asked()
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
        monkeypatch.setattr(sys, "stdin", Typed("perhaps\ny\n\ny\n"))
        monkeypatch.setattr(sys, "stderr", screen)
        assert ask(**QUESTION).approved
        assert "! choose one" in screen.getvalue()
        assert screen.getvalue().endswith("Sent.\n")

    def test_drops_what_was_typed_before_where_windows_can(self, ask, monkeypatch):
        """Windows' module is not here: this one has its functions, and a reply for when they are done."""
        typed = [*"\ny\n"]
        keyboard = SimpleNamespace(kbhit=lambda: bool(typed), getwch=typed.pop)
        monkeypatch.setitem(sys.modules, "msvcrt", keyboard)
        monkeypatch.setattr(sys, "stdin", Typed("y\ny\n"))
        monkeypatch.setattr(sys, "stderr", Typed())
        assert ask(**QUESTION).approved
        assert not typed

    def test_shows_what_its_encoding_does_not_know(self, ask, monkeypatch):
        screen = Screen(io.BytesIO(), encoding="ascii", write_through=True)
        monkeypatch.setattr(sys, "stdin", Typed("y\ny\n"))
        monkeypatch.setattr(sys, "stderr", screen)
        assert ask(**QUESTION | {"task": "Schön?"}).approved
        assert rb"Sch\xf6n?" in screen.buffer.getvalue()

    def test_is_left_when_the_time_is_up(self, ask, monkeypatch):
        monkeypatch.setattr(sys, "stdin", Silent())
        monkeypatch.setattr(sys, "stderr", Typed())
        with pytest.raises(TaskTimeoutError):
            ask(**QUESTION | {"timeout_seconds": 1})

    def test_can_be_interrupted(self, ask, monkeypatch):
        monkeypatch.setattr(sys, "stdin", Silent(asked=partial(os.kill, os.getpid(), signal.SIGINT)))
        monkeypatch.setattr(sys, "stderr", Typed())
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

    async def give_up(screen: list[str]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(await_human, **QUESTION))
            with anyio.fail_after(WITHIN):
                while not screen:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    with person_here(("Approved", "")) as screen:
        anyio.run(give_up, screen)
    with person_here(("Approved", "y\n"), ("Send?", "y\n")):
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
                ("Send?", "y\n"),
                ("Answer(approved=True)", ""),
                (prompt, f"{call}\n"),
                ("Approved", "\x03"),
                ("KeyboardInterrupt", ""),
                (prompt, "1 + 1\n"),
            ],
        )
        person.expect_exact("2")
