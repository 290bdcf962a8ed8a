"""People to ask, also where the plugin is not installed."""

from __future__ import annotations

from awaithumans.testing.plugin import humans as humans  # noqa: PLC0414 - the fixture
