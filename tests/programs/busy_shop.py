"""The Flask example, whose engine is used and at work before a server forks."""

from __future__ import annotations

from awaithumans import Query
from docs.examples.flask_app import app, humans

__all__ = ["app"]

humans.find(Query())
