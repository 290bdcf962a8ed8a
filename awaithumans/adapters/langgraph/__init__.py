"""LangGraph: questions inside graphs that are parked until a person has decided."""

try:
    import langgraph.graph  # pyright: ignore[reportUnusedImport]  # noqa: F401
except ImportError as error:
    raise ImportError("LangGraph is not installed: pip install 'awaithumans[langgraph]'") from error

from awaithumans.adapters.langgraph.asking import await_human, await_human_async
from awaithumans.adapters.langgraph.driver import drive_human_loop, drive_human_loop_sync
from awaithumans.adapters.langgraph.interrupts import Ask, Question

__all__ = ["Ask", "Question", "await_human", "await_human_async", "drive_human_loop", "drive_human_loop_sync"]
