"""Measure everything: `make bench`, or one group of lines: `make bench ARGS="lists"`.

`--short` only sees that everything runs. `--json FILE` keeps the figures.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.benchmarks.results import Row, table, write
from tests.benchmarks.scenarios import SCENARIOS

EXPLAINED = "docs/explanation/performance.md#what-was-not-reached"
STOOD_ON = ("awaithumans", "anyio", "psycopg", "sqlalchemy", "starlette", "uvicorn")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"some of: {', '.join(SCENARIOS)}")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.scenarios) - SCENARIOS.keys()):
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    rows = run(given.scenarios or list(SCENARIOS), short=given.short)
    print(f"\n{table(rows)}")
    if any(row.reached is False for row in rows):
        print(f"\nWhat is not reached, and why: {EXPLAINED}")
    if given.json:
        write(given.json, rows, about())


def run(names: Sequence[str], *, short: bool) -> list[Row]:
    """Run scenarios, and show each row once it is there."""
    rows: list[Row] = []
    with closing(Bench(short)) as bench:
        for name in names:
            print(f"-- {name}", flush=True)
            for row in SCENARIOS[name](bench):
                print(table([row]).splitlines()[1], flush=True)
                rows.append(row)
    return rows


def about() -> dict[str, object]:
    """Say on what it was measured."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **{name: version(name) for name in STOOD_ON},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
