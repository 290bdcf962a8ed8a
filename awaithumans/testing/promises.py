"""How a suite says which promise is broken, wherever and however it is run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Test: TypeAlias = Callable[..., Awaitable[None]]


class Promises:
    """The base of the suites: a test that fails says which promise is broken.

    A part of a suite names what it is `of`; each of its tests is one promise,
    whose words are the test's name and docstring. They stand below the failure
    as a note of the exception, which pytest shows without any plugin.
    """

    def __init_subclass__(cls, *, of: str | None = None, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if of:
            for name, test in vars(cls).copy().items():
                if name.startswith("test_"):
                    setattr(cls, name, _explained(test, _promise(of, test)))


def _promise(of: str, test: Test) -> str:
    sentence = test.__name__.removeprefix("test_").replace("_", " ")
    explanation = " ".join((inspect.getdoc(test) or "").split())
    return f"Broken promise of {of}: {sentence}. {explanation}".rstrip()


def _explained(test: Test, promise: str) -> Test:
    @functools.wraps(test)
    async def explained(*arguments: Any, **keywords: Any) -> None:
        __tracebackhide__ = True
        try:
            await test(*arguments, **keywords)
        except BaseException as failure:
            failure.add_note(promise)
            raise

    return explained
