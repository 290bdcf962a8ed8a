"""The engine over HTTP: a JSON API for agents, and pages for people."""

from awaithumans.web.router import Router
from awaithumans.web.tokens import ApiToken, Scope

__all__ = ["ApiToken", "Router", "Scope"]
