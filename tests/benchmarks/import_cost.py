"""Measure what `import awaithumans` adds to the libraries it stands on.

Run it with `python -m tests.benchmarks.import_cost`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
OURS = "import awaithumans"
BASES = (
    "import pydantic, anyio",
    "from pydantic import BaseModel; import anyio",  # pydantic puts most of its work off until then
)


def seconds(statement: str) -> float:
    """Time one fresh process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def main() -> None:
    """Take turns, so that a busy moment of the machine falls on all."""
    rounds = [[seconds(statement) for statement in (OURS, *BASES)] for _ in range(ROUNDS + 1)][1:]
    ours, *bases = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{OURS}: {ours:.3f} s (medians of {ROUNDS} fresh processes)")
    for statement, base in zip(BASES, bases, strict=True):
        print(f"{statement}: {base:.3f} s, ratio {ours / base:.2f}")


if __name__ == "__main__":
    main()
