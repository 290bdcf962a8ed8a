"""Write docs/charts, and the table in docs/explanation/performance.md, from what `make bench` measured.

That is kept by `make bench ARGS="--json docs/explanation/performance.json"`. A
chart shows what it costs to have more of something; it has a panel for each
line that was measured so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tests.benchmarks.results import Row, figure_of, ratio_of, read

DOCS = Path(__file__).parent.parent / "docs"
FIGURES = DOCS / "explanation" / "performance.json"
PAGE = DOCS / "explanation" / "performance.md"
FOLDER = DOCS / "charts"
TABLE = re.compile(r"(?<=<!-- what was measured -->\n).*?(?=<!-- until here -->)", re.DOTALL)

SCHEMES = {"light": ("#1f2328", "#d1d9e0"), "dark": ("#f0f6fc", "#3d444d")}
"""The colours of words and of lines, beside the colours and marks of the databases."""
LOOKS = {"SQLite": ("#0b84a5", "o"), "PostgreSQL": ("#d1495b", "s")}
ACROSS = 3
WIDE, HIGH = 3.6, 2.6


def main() -> None:
    rows = read(FIGURES)
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for things, panels in charts(rows):
        for scheme in SCHEMES:
            draw(panels, things, scheme, FOLDER / name(things, scheme))
    PAGE.write_text(TABLE.sub(lambda _: table(rows), PAGE.read_text()))


def name(things: str, scheme: str) -> str:
    """Return the file name of a chart."""
    return f"{things.replace(' ', '-')}-{scheme}.svg"


def charts(rows: Iterable[Row]) -> Iterator[tuple[str, list[list[Row]]]]:
    """Give each kind of things that there were more and more of, and its panels' rows."""
    series = [row for row in rows if row.n is not None]
    for things in dict.fromkeys(row.things for row in series):
        lines = dict.fromkeys(row.line for row in series if row.things == things)
        panels = [[row for row in series if (row.line, row.things) == (line, things)] for line in lines]
        if grown := [panel for panel in panels if len({row.n for row in panel}) > 1]:
            yield things, grown


def table(rows: Sequence[Row]) -> str:
    """Write every line that was measured as a table of Markdown."""
    lines = ["| | on | figure | ratio to | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        said = {True: "reached", False: "**not reached**", None: ""}[row.reached]
        lines.append(f"| {row.name} | {row.on} | {figure_of(row)} | {ratio_of(row)} | {row.target} | {said} |")
    return "\n".join([*lines, ""])


def draw(panels: Sequence[Sequence[Row]], things: str, scheme: str, path: Path) -> None:
    """Draw a chart into a file; the same figures give the same bytes."""
    _style(*SCHEMES[scheme])
    columns = min(ACROSS, len(panels))
    down = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDE * columns, HIGH * down), layout="constrained")
    for number, rows in enumerate(panels, start=1):
        _panel(figure.add_subplot(down, columns, number), rows, things)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, transparent=True, metadata={"Date": None})


def _style(words: str, lines: str) -> None:
    mpl.rc("svg", hashsalt="awaithumans", fonttype="none")
    mpl.rc("font", family="sans-serif", size=9)
    mpl.rc("text", color=words)
    mpl.rc("axes", edgecolor=lines, labelcolor=words)
    mpl.rc("axes.spines", top=False, right=False)
    mpl.rc("grid", color=lines)
    for ticks in ("xtick", "ytick"):
        mpl.rc(ticks, color=lines, labelcolor=words)


def _panel(axes: Axes, rows: Sequence[Row], things: str) -> None:
    counts = sorted({row.n for row in rows if row.n is not None})
    for on, series in groupby(sorted(rows, key=lambda row: (row.on, row.n or 0)), key=lambda row: row.on):
        points = list(series)
        places = [counts.index(row.n) for row in points if row.n is not None]
        colour, mark = LOOKS[on]
        axes.plot(places, [row.figure for row in points], label=on, color=colour, marker=mark, clip_on=False)
    axes.set_title(rows[0].line, fontsize=9, loc="left")
    axes.set_xticks(range(len(counts)), [f"{count:,}" for count in counts])
    axes.set_xlabel(things)
    axes.set_ylabel(rows[0].unit)
    axes.set_ylim(0, 1.15 * max(row.figure for row in rows) or 1)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.grid(axis="y")


if __name__ == "__main__":
    main()
