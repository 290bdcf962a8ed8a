"""An accent colour that can be read: on light ground, on dark ground, and under the text of a button."""

from __future__ import annotations

import re
from typing import NamedTuple

from awaithumans.errors import ConfigurationError

READABLE = 4.5
"""The contrast that WCAG 2.2 asks for, between text and what is behind it."""

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_STEP = 0.02
_LINEAR_BELOW = 0.04045


class Colour(NamedTuple):
    """A colour; each part from 0 to 255."""

    red: int
    green: int
    blue: int

    @classmethod
    def of(cls, text: str) -> Colour:
        """Read `#rrggbb`. Raises `ConfigurationError`."""
        if not _HEX.fullmatch(text):
            raise ConfigurationError(f"{text!r} is no colour", hint='Write it as "#2450c8": six hexadecimal digits.')
        return cls(*bytes.fromhex(text[1:]))

    @property
    def luminance(self) -> float:
        """Give the relative luminance, as WCAG 2.2 defines it."""
        red, green, blue = (_linear(part / 255) for part in self)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def mixed(self, other: Colour, share: float) -> Colour:
        """Return this colour with a share of another one in it."""
        return Colour(*(round(mine + (theirs - mine) * share) for mine, theirs in zip(self, other, strict=True)))

    def __str__(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self)


BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)
_LIGHT_GROUND, _DARK_GROUND, _DARK_CARD = Colour.of("#f5f6f8"), Colour.of("#12151b"), Colour.of("#1b1f28")


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    darker, lighter = sorted((one.luminance, other.luminance))
    return (lighter + 0.05) / (darker + 0.05)


def accent_styles(accent: str) -> tuple[str, str]:
    """Write the style sheets for an accent colour: on light ground, and on dark ground.

    The colour is darkened on light ground, and lightened on dark ground, as
    far as its contrast needs. Raises `ConfigurationError` if it is no colour.
    """
    given = Colour.of(accent)
    light = _properties(given, soft=WHITE.mixed(given, 0.1), behind=(WHITE, _LIGHT_GROUND), towards=BLACK)
    dark = _properties(given, soft=_DARK_CARD.mixed(given, 0.2), behind=(_DARK_CARD, _DARK_GROUND), towards=WHITE)
    return f":root {{ {light} }}\n", f":root {{ {dark} }}\n"


def _properties(given: Colour, *, soft: Colour, behind: tuple[Colour, ...], towards: Colour) -> str:
    accent = _readable(given, (soft, *behind), towards)
    ink = max((WHITE, BLACK), key=lambda colour: contrast(colour, accent))
    return f"--accent: {accent}; --accent-ink: {ink}; --accent-soft: {soft};"


def _readable(given: Colour, behind: tuple[Colour, ...], towards: Colour) -> Colour:
    """Return the first colour on the way to black or white that can be read on all of these."""
    steps = (given.mixed(towards, step * _STEP) for step in range(int(1 / _STEP)))
    return next((one for one in steps if all(contrast(one, other) >= READABLE for other in behind)), towards)


def _linear(part: float) -> float:
    return part / 12.92 if part <= _LINEAR_BELOW else ((part + 0.055) / 1.055) ** 2.4
