"""Every error leads to a section about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from awaithumans.errors import DOCS, ERRORS_BY_CODE, AwaitHumansError

PAGE = Path(__file__).parents[2] / DOCS
SECTIONS = set(re.findall(r"^## (\S+)$", PAGE.read_text(), re.MULTILINE))


@pytest.mark.parametrize("error", ERRORS_BY_CODE.values(), ids=lambda error: error.__name__)
def test_an_errors_address_is_that_of_a_section(error: type[AwaitHumansError]) -> None:
    assert error.described("…").docs_url.partition("#")[2] in SECTIONS


@pytest.mark.parametrize("error", ERRORS_BY_CODE.values(), ids=lambda error: error.__name__)
def test_an_error_survives_being_pickled(error: type[AwaitHumansError]) -> None:
    import pickle

    made = error.described("what happened", "what to do")
    copy = pickle.loads(pickle.dumps(made))
    assert (type(copy), str(copy)) == (error, str(made))
