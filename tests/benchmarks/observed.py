"""The example application, with an address that tells what goes on inside it."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Engine, event

from docs.examples.fastapi_app import app, engine

counts: Counter[str] = Counter()


@event.listens_for(Engine, "before_cursor_execute")
def _count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    counts["looks" if statement == "PRAGMA data_version" else "queries"] += 1


@app.get("/observed")
async def observed() -> dict[str, int]:
    """Say how many statements there were, and how many tasks somebody waits for."""
    return {"queries": counts["queries"], "waiters": len(engine._hub.awaited())}
