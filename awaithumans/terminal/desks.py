"""Where a person sits: a terminal, or whatever answers `input()`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from getpass import getpass
from typing import Any, NoReturn, Protocol, TextIO, TypeVar

import anyio

from awaithumans.blocking import CALLER
from awaithumans.errors import ConfigurationError
from awaithumans.terminal.conversation import Ask
from awaithumans.terminal.screen import USUAL_WIDTH, Screen, encodable
from awaithumans.terminal.turns import TerminalLock

ResultT = TypeVar("ResultT")
QUIET = 0.3
"""Seconds without a key, after which what comes is no more of a paste or a held key."""
PAUSE = 0.1
"""Seconds between two looks at whether another program is done asking."""
_CHUNK = 4096


class Desk(Protocol):
    """A place to ask a person and to hear the reply."""

    @property
    def screen(self) -> Screen:
        """Give what there is to write on, as it is now."""
        ...

    async def ask(self, ask: Ask, seconds: float) -> str:
        """Return the line that is typed.

        Raises TimeoutError after `seconds`, EOFError if no more lines will
        come, and `ConfigurationError` if the question cannot be shown.
        """
        ...

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Keep other programs from asking here in the block; wait for one that does."""
        ...

    async def tell(self, text: str) -> None:
        """Show a line."""
        ...


def find_desk() -> Desk | None:
    """Find where this program has its person; None where it has none.

    A notebook's kernel is asked by `input()`, and so is a console that has no
    file to read from or cannot be waited for (IDLE, Windows): only the main
    thread can do that.
    """
    stream = sys.stdout if _in_notebook() else _terminal_stream()
    if stream is None:
        return None
    file = None if _in_notebook() else _file_of(sys.stdin)
    if file is not None and sys.platform != "win32":
        return Terminal(file, stream)
    return Console(stream) if _main_thread_listens() else None


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def _terminal_stream() -> TextIO | None:
    """Give where to write, if there is somebody to read it and to reply."""
    if not _is_terminal(sys.stdin):
        return None
    return next((stream for stream in (sys.stderr, sys.stdout) if _is_terminal(stream)), None)


def _is_terminal(stream: TextIO | None) -> bool:
    with suppress(ValueError):  # closed
        return stream is not None and stream.isatty()
    return False


def _file_of(stream: TextIO) -> int | None:
    with suppress(OSError, AttributeError):
        return stream.fileno()
    return None


# ── A terminal ────────────────────────────────────────────────────────────────


class Terminal:
    """A terminal of which whole lines are read, without blocking the event loop.

    Giving up a read leaves nothing behind: no thread that would swallow the
    next line, and no half-typed one.
    """

    def __init__(self, file: int, stream: TextIO) -> None:
        self._file = file
        self._stream = stream

    @property
    def screen(self) -> Screen:
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
        return Screen(width=self._width(), colour=not plain)

    def _width(self) -> int:
        with suppress(OSError, AttributeError):
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_WIDTH
        return USUAL_WIDTH

    async def ask(self, ask: Ask, seconds: float) -> str:
        with _set(self._file, lines=True, echo=not ask.hidden), anyio.fail_after(seconds):
            if ask.fresh:
                await self._silence()
            self._show(ask.said + ask.prompt)
            seen = False
            try:
                line = await self._line()
                seen = not ask.hidden
            finally:
                if not seen:  # nobody's Enter has ended the line on the screen
                    self._write("\n")
            return line

    async def tell(self, text: str) -> None:
        self._write(f"{text}\n")

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        shown_on = _file_of(self._stream)
        lock = TerminalLock(self._file, self._file if shown_on is None else shown_on)
        try:
            if not lock.take():
                self._write("\nAnother program asks at this terminal; the next question waits for it.\n")
                while not lock.take():  # noqa: ASYNC110 - another process rings no bell here
                    await anyio.sleep(PAUSE)
            yield
        finally:
            lock.release()

    async def _silence(self) -> None:
        """Drop what is typed until nothing is for a while, not even half a line."""
        with _set(self._file, lines=False, echo=False):
            while True:
                with anyio.move_on_after(QUIET) as silence:
                    await anyio.wait_readable(self._file)
                if silence.cancelled_caught:
                    return
                if self._read() == b"":
                    raise EOFError

    async def _line(self) -> str:
        typed = b""
        while not typed.endswith(b"\n"):
            await anyio.wait_readable(self._file)
            chunk = self._read()
            if chunk == b"":
                raise EOFError
            typed += chunk or b""
        return typed.decode(sys.stdin.encoding or "utf-8", errors="surrogateescape").rstrip("\r\n")

    def _read(self) -> bytes | None:
        """Read what is there: in cooked mode a whole line, which does not block."""
        try:
            return os.read(self._file, _CHUNK)
        except BlockingIOError:
            return None
        except OSError:  # a terminal that is gone
            return b""

    def _show(self, text: str) -> None:
        """Write what has to be seen. Raises `ConfigurationError` if it cannot be."""
        try:
            self._put(text)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                "the question cannot be shown at this terminal", hint="Pass engine=, or server_url= and api_key=."
            ) from error

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone ends no wait
            self._put(text)

    def _put(self, text: str) -> None:
        self._stream.write(encodable(text, self._stream.encoding))
        self._stream.flush()


@contextmanager
def _set(file: int, *, lines: bool, echo: bool) -> Generator[None]:
    """Have the terminal give whole lines, or each key, and put it back as it was.

    Keys that nobody took are dropped, and so is what was typed in a block that
    is given up.
    """
    import termios

    try:
        before = termios.tcgetattr(file)
    except termios.error:  # a terminal that is gone: reading will tell
        yield
        return
    now: list[Any] = [*before[:6], [*before[6]]]
    now[0] |= termios.ICRNL
    now[3] |= termios.ICANON | termios.ISIG | termios.ECHO
    now[3] &= ~((0 if lines else termios.ICANON) | (0 if echo else termios.ECHO))
    if not lines:
        now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
    drop = True
    with suppress(termios.error):
        termios.tcsetattr(file, termios.TCSANOW, now)
    try:
        yield
        drop = not lines
    finally:
        with suppress(termios.error):
            termios.tcsetattr(file, termios.TCSANOW, before)
            if drop:
                termios.tcflush(file, termios.TCIFLUSH)


# ── input() ───────────────────────────────────────────────────────────────────


class Console:
    """Whatever answers `input()`, which blocks the main thread.

    At the deadline, and only then, that thread is interrupted.
    """

    screen = Screen()

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def ask(self, ask: Ask, seconds: float) -> str:
        return await _in_main_thread(partial(_input_within, seconds, ask, self._stream))

    async def tell(self, text: str) -> None:
        await _in_main_thread(partial(print, encodable(text, self._stream.encoding), file=self._stream, flush=True))

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        yield  # what answers `input()` is this program's own, or cannot be locked


def _main_thread_listens() -> bool:
    caller = CALLER.get()
    here = caller.thread if caller else threading.get_ident()
    return here == threading.main_thread().ident


async def _in_main_thread(job: Callable[[], ResultT]) -> ResultT:
    if caller := CALLER.get():
        return await caller.run(job)
    try:
        with _interrupts_raised():
            return job()
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGINT)  # for whoever cancels the running coroutine
    while True:
        await anyio.sleep_forever()


@contextmanager
def _interrupts_raised() -> Generator[None]:
    """Have Ctrl-C raise KeyboardInterrupt here, where an event loop may have other plans."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _input_within(seconds: float, ask: Ask, stream: TextIO) -> str:
    """Return what is typed. Raises TimeoutError once `seconds` have passed."""
    if ask.fresh:
        _drop_typed()
    print(encodable(ask.said, stream.encoding), end="", file=stream, flush=True)
    prompt = encodable(ask.prompt, sys.stdout.encoding if sys.stdout else None)
    alarm = _Alarm()
    timer = threading.Timer(seconds, alarm.ring)
    timer.daemon = True
    timer.start()
    try:
        line = getpass(prompt) if ask.hidden else input(prompt)
        alarm.silence()
    except KeyboardInterrupt:
        if not alarm.rang:
            raise
        raise TimeoutError from None
    except NotImplementedError:
        _refuse()
    finally:
        timer.cancel()
    return line


def _drop_typed() -> None:
    """Drop what was typed so far; only Windows' own console lets go of it."""
    with suppress(ImportError):
        import msvcrt

        keyboard: Any = msvcrt  # its functions are known on Windows alone
        while keyboard.kbhit():
            keyboard.getwch()


def _refuse() -> NoReturn:
    raise ConfigurationError(
        "there is no engine to ask, and this notebook runs where nobody can type",
        hint="Pass engine=, or server_url= and api_key=.",
    ) from None


class _Alarm:
    """Interrupts the main thread, unless it is silenced first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silenced = False
        self.rang = False

    def ring(self) -> None:
        with self._lock:
            if not self._silenced:
                self.rang = True
                interrupt_main()

    def silence(self) -> None:
        """Return if it did not ring and never will; else wait for its interrupt."""
        with self._lock:
            self._silenced = True
        if self.rang:
            threading.Event().wait()
