"""A person at a terminal, for tests: waits for a text on the screen, and types."""

from __future__ import annotations

import os
import re
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import pexpect
import pexpect.fdpexpect

WITHIN = 30
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def play(person: Any, script: Sequence[tuple[str, str]]) -> str:
    """Wait for each text and type what belongs to it; return what was on the screen."""
    seen: list[str] = []
    for text, typed in script:
        person.expect_exact(text)
        seen += [person.before, person.after]
        person.send(typed)
    return "".join(seen)


def unstyled(screen: str) -> str:
    """Take away colours."""
    return _STYLE.sub("", screen)


@contextmanager
def program(*arguments: str, columns: int = 80, **environment: str | None) -> Iterator[Any]:
    """Start a program of these tests in a terminal of its own."""
    changed = {"TERM": "xterm", **environment}
    env = {name: value for name, value in {**os.environ, **changed}.items() if value is not None}
    env.pop("AWAITHUMANS_URL", None)
    child = pexpect.spawn(
        sys.executable, list(arguments), env=env, dimensions=(50, columns), timeout=WITHIN, encoding="utf-8"
    )
    try:
        yield child
    finally:
        child.close(force=True)


@contextmanager
def person_here(*script: tuple[str, str]) -> Iterator[list[str]]:
    """Give this very process a terminal, and somebody there who follows `script`.

    The list has, after the block, what was on the screen.
    """
    master, slave = os.openpty()
    termios.tcsetwinsize(master, (50, 80))
    screen: list[str] = []
    person = pexpect.fdpexpect.fdspawn(master, timeout=WITHIN, encoding="utf-8")
    typing = threading.Thread(target=lambda: screen.append(play(person, script)))
    with ExitStack() as stack:
        stack.callback(os.close, master)
        stdin = stack.enter_context(os.fdopen(slave, closefd=False))
        stderr = stack.enter_context(os.fdopen(slave, "w"))
        stack.enter_context(patch.multiple(sys, stdin=stdin, stderr=stderr))
        typing.start()
        try:
            yield screen
        finally:
            typing.join(WITHIN)
