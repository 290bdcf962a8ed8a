"""The Flask example, in which who has a seat keeps it for longer than any test waits for the rest."""

from __future__ import annotations

from awaithumans.web import seats
from docs.examples.flask_app import app

__all__ = ["app"]

seats.LONGEST_WAIT = 60.0
