"""Every benchmark runs; what it says is for `make bench`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.benchmarks.__main__ import about
from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Reply
from tests.benchmarks.results import Limit, at_least, at_most, measured, quantile, ratio_at_least, table, write
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.wakeups import woken
from tests.postgres import PostgresServer


@pytest.fixture
def bench(postgres: PostgresServer) -> Iterator[Bench]:
    bench = Bench(short=True, _postgres=postgres)
    yield bench
    bench.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_short_form_of_each_scenario_gives_its_rows(name: str, bench: Bench) -> None:
    rows = list(SCENARIOS[name](bench))
    assert rows
    assert len({(row.name, row.on) for row in rows}) == len(rows)
    assert any(row.target for row in rows)


def test_a_poll_that_ran_out_is_no_wake_up() -> None:
    assert woken(Reply(200, b'{"status":"completed"}', 1.0)).at == 1.0
    with pytest.raises(RuntimeError, match="nobody was woken"):
        woken(Reply(200, b'{"status":"created"}', 1.0))


def test_a_target_is_met_on_its_edge() -> None:
    assert at_most(4, "create", "SQLite", 4.0, "ms").reached
    assert not at_least(150, "trips", "SQLite", 149.9, "/s").reached
    assert ratio_at_least(0.2, "create", "SQLite", 200, "/s", limit=Limit("a bare POST", 1_000)).reached
    assert measured("a limit", "SQLite", 1, "ms").reached is None


def test_the_table_says_figure_ratio_target_and_verdict() -> None:
    row = ratio_at_least(0.2, "create", "SQLite", 150, "/s", limit=Limit("a bare POST", 1_000))
    assert table([row]).splitlines()[1].split("  ") == [
        "create",
        "SQLite",
        "150 /s",
        "0.15 of a bare POST, 1,000 /s",
        "ratio >= 0.2",
        "NOT REACHED",
    ]


def test_the_99th_percentile_of_a_hundred_figures_is_the_last_but_none() -> None:
    assert quantile(range(100), 0.5) == 50
    assert quantile(range(100), 0.99) == 99


def test_the_figures_are_kept_as_json(tmp_path) -> None:
    write(tmp_path / "figures.json", [measured("a commit", "SQLite", 1.5, "ms")], about())
    kept = json.loads((tmp_path / "figures.json").read_text())
    assert kept["rows"][0]["figure"] == 1.5
    assert kept["about"]["python"]
