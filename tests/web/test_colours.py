"""An accent colour is made readable, whatever it was."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.errors import ConfigurationError
from awaithumans.web.colours import BLACK, READABLE, WHITE, Colour, accent_styles, contrast

GROUNDS = (("#ffffff", "#f5f6f8"), ("#1b1f28", "#12151b"))
"""Of cards and pages; light, then dark."""

colours = st.tuples(*[st.integers(0, 255)] * 3).map(lambda parts: str(Colour(*parts)))


def schemes(accent: str) -> list[dict[str, Colour]]:
    return [
        {name: Colour.of(value) for name, value in re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", style)}
        for style in accent_styles(accent)
    ]


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast(BLACK, WHITE) == contrast(WHITE, BLACK) == 21
    assert contrast(WHITE, Colour.of("#777777")) == pytest.approx(4.48, abs=0.01)


@given(colours)
def test_every_colour_can_be_read_in_light_and_dark(colour: str) -> None:
    for scheme, grounds in zip(schemes(colour), GROUNDS, strict=True):
        behind = (scheme["accent-soft"], *map(Colour.of, grounds))
        assert min(contrast(scheme["accent"], one) for one in behind) >= READABLE
        assert contrast(scheme["accent-ink"], scheme["accent"]) >= READABLE


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    light, _ = schemes("#2450C8")
    assert str(light["accent"]) == "#2450c8"


@pytest.mark.parametrize("text", ["", "red", "#fff", "#12345g", "#1234567", "#2450c8; }"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no colour"):
        accent_styles(text)
