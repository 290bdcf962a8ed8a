"""Importing the library must not cost what the program does not use."""

from __future__ import annotations

import json
import subprocess
import sys

# Each of these is wanted only by one room, or only by an extra.
HEAVY = {
    "aiohttp",
    "alembic",
    "anthropic",
    "fastapi",
    "httpx2",
    "jinja2",
    "jsonschema_rs",
    "langgraph",
    "openai",
    "opentelemetry",
    "pydantic_ai",
    "slack_sdk",
    "sqlalchemy",
    "starlette",
    "temporalio",
    "uvicorn",
}


def test_importing_awaithumans_imports_nothing_heavy() -> None:
    program = "import sys, json, awaithumans; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert HEAVY.intersection(json.loads(done.stdout)) == set()
