"""Every group of lines, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.benchmarks.bench import Scenario
from tests.benchmarks.client import client
from tests.benchmarks.deadlines import deadlines
from tests.benchmarks.deliveries import deliveries
from tests.benchmarks.in_process import in_process
from tests.benchmarks.lists import lists
from tests.benchmarks.processes import processes
from tests.benchmarks.throughput import throughput
from tests.benchmarks.waiters import waiters
from tests.benchmarks.wakeups import round_trips, wakeups

SCENARIOS: Mapping[str, Scenario] = {
    "throughput": throughput,
    "wakeups": wakeups,
    "round-trips": round_trips,
    "waiters": waiters,
    "deadlines": deadlines,
    "lists": lists,
    "processes": processes,
    "deliveries": deliveries,
    "in-process": in_process,
    "client": client,
}
