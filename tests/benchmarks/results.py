"""What was measured: rows with a figure, a target, and the ratio to a limit of the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

SIGNIFICANT_FIGURES = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """What the same machine does at best, measured in turns with the figure."""

    name: str
    figure: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    line: str
    on: str
    figure: float
    unit: str
    limit: str
    """What the ratio is to."""
    ratio: float | None
    target: str = ""
    reached: bool | None = None
    """None where there is no target: a limit, or a figure that explains another."""
    n: int | None = None
    """How many `things` there were: figures of the same line show what it costs to grow."""
    things: str = ""

    def among(self, n: int, things: str) -> Self:
        """Return the row as one of a series, measured with `n` of something."""
        return replace(self, n=n, things=things)

    @property
    def name(self) -> str:
        """Say what was measured."""
        return self.line if self.n is None else f"{self.line}, {self.things}: {self.n:,}"


def measured(line: str, on: str, figure: float, unit: str, *, limit: Limit | None = None) -> Row:
    """Make a row without a target."""
    if limit is None:
        return Row(line, on, figure, unit, "", None)
    return Row(line, on, figure, unit, f"{limit.name}, {_number(limit.figure)} {unit}", figure / limit.figure)


def at_most(most: float, line: str, on: str, figure: float, unit: str, *, limit: Limit | None = None) -> Row:
    """Make a row whose figure shall not be greater."""
    row = measured(line, on, figure, unit, limit=limit)
    return replace(row, target=f"<= {_number(most)} {unit}", reached=figure <= most)


def at_least(least: float, line: str, on: str, figure: float, unit: str, *, limit: Limit | None = None) -> Row:
    """Make a row whose figure shall not be smaller."""
    row = measured(line, on, figure, unit, limit=limit)
    return replace(row, target=f">= {_number(least)} {unit}", reached=figure >= least)


def ratio_at_most(most: float, line: str, on: str, figure: float, unit: str, *, limit: Limit) -> Row:
    """Make a row whose ratio to the limit shall not be greater."""
    row = measured(line, on, figure, unit, limit=limit)
    return replace(row, target=f"ratio <= {most}", reached=figure <= most * limit.figure)


def ratio_at_least(least: float, line: str, on: str, figure: float, unit: str, *, limit: Limit) -> Row:
    """Make a row whose ratio to the limit shall not be smaller."""
    row = measured(line, on, figure, unit, limit=limit)
    return replace(row, target=f"ratio >= {least}", reached=figure >= least * limit.figure)


def table(rows: Sequence[Row]) -> str:
    """Write the rows in columns, for people."""
    heads = ("", "on", "figure", "ratio to", "target", "")
    cells = [heads, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def write(path: Path, rows: Sequence[Row], about: dict[str, object]) -> None:
    """Write the rows, and what they were measured on, as JSON."""
    path.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def read(path: Path) -> list[Row]:
    """Return the rows in a file of `write`."""
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def median(figures: Sequence[float]) -> float:
    """Return the middle one."""
    return quantile(figures, 0.5)


def quantile(figures: Sequence[float], part: float) -> float:
    """Return the figure that `part` of all do not exceed."""
    ordered = sorted(figures)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def figure_of(row: Row) -> str:
    """Write the figure of a row."""
    return f"{_number(row.figure)} {row.unit}"


def ratio_of(row: Row) -> str:
    """Write the ratio of a row, if it has one."""
    return "" if row.ratio is None else f"{_number(row.ratio)} of {row.limit}"


def _cells(row: Row) -> tuple[str, ...]:
    said = {True: "reached", False: "NOT REACHED", None: ""}[row.reached]
    return row.name, row.on, figure_of(row), ratio_of(row), row.target, said


def _number(figure: float) -> str:
    if abs(figure) >= 10**SIGNIFICANT_FIGURES:
        return f"{figure:,.0f}"
    return f"{figure:.{SIGNIFICANT_FIGURES}g}"
