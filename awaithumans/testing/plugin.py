"""The pytest plugin: it is there wherever this package is installed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from awaithumans.testing.humans import Humans


@pytest.fixture
def humans() -> Generator[Humans]:
    """Give the people whom the code under test asks, and tell them what to do.

    See `awaithumans.testing.humans.Humans`. To pass arguments to it, make a
    fixture of the same name.
    """
    from awaithumans.testing.humans import Humans

    with Humans() as humans:
        yield humans


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose people have something to say against it."""
    __tracebackhide__ = True
    people = _people_of(item)
    try:
        result = yield
    except BaseException as error:
        if people:
            people.explain(error)
        raise
    if people:
        people.check()
    return result


def _people_of(item: pytest.Item) -> Humans | None:
    given = getattr(item, "funcargs", {}).get("humans")
    if given is None:
        return None
    from awaithumans.testing.humans import Humans

    return given if isinstance(given, Humans) else None
