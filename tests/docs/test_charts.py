"""The page of what was measured: its table and its charts say what the kept figures say."""

from __future__ import annotations

import re
from pathlib import Path

from scripts import charts
from tests.benchmarks.results import Row, at_most, measured, read

SERIES = [
    at_most(15, "first page", on, 2.0 + n / 1_000, "ms").among(n, "tasks")
    for on in ("SQLite", "PostgreSQL")
    for n in (1_000, 100_000)
]
ALONE: Row = measured("memory", "SQLite", 1, "KB")


def test_the_table_in_the_page_is_what_was_measured() -> None:
    (written,) = charts.TABLE.findall(charts.PAGE.read_text())
    assert written == charts.table(read(charts.FIGURES))


def test_every_chart_is_shown_in_light_and_dark_and_none_is_left_over() -> None:
    shown = set(re.findall(r'(?:srcset|src)="\.\./charts/([^"]+)"', charts.PAGE.read_text()))
    drawn = {things for things, _ in charts.charts(read(charts.FIGURES))}
    names = {charts.name(things, scheme) for things in drawn for scheme in charts.SCHEMES}
    assert shown == names == {path.name for path in charts.FOLDER.glob("*")}


def test_every_line_that_was_not_reached_is_explained() -> None:
    explained = charts.PAGE.read_text().partition("\n## What was not reached\n")[2].partition("\n## ")[0]
    missed = {row.line for row in read(charts.FIGURES) if row.reached is False}
    assert {line for line in missed if f"**{line}**" not in explained} == set()


def test_a_chart_has_a_panel_for_each_line_measured_with_more_and_more_of_something() -> None:
    ((things, panels),) = charts.charts([*SERIES, ALONE, ALONE.among(1_000, "tasks")])
    assert (things, panels) == ("tasks", [SERIES])


def test_the_same_figures_give_the_same_chart(tmp_path: Path) -> None:
    paths = [tmp_path / "1.svg", tmp_path / "2.svg"]
    for path in paths:
        charts.draw([SERIES], "tasks", "light", path)
    drawn = [path.read_text() for path in paths]
    assert drawn[0] == drawn[1]
    assert all(f">{words}<" in drawn[0] for words in ("first page", "tasks", "100,000", "SQLite", "PostgreSQL"))
