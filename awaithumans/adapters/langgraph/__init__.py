"""LangGraph: questions inside graphs that are parked until a person has decided."""

try:
    import langgraph.graph  # pyright: ignore[reportUnusedImport]  # noqa: F401
except ImportError as error:
    raise ImportError("LangGraph is not installed: pip install 'awaithumans[langgraph]'") from error

from awaithumans.adapters.langgraph.asking import await_human, await_human_async
from awaithumans.adapters.langgraph.driver import drive_human_loop, drive_human_loop_sync
from awaithumans.adapters.langgraph.interrupts import Ask, OnInterrupt, Question
from awaithumans.adapters.langgraph.receiving import LangGraphChannel, dispatch_resume, dispatch_resume_sync

__all__ = [
    "Ask",
    "LangGraphChannel",
    "OnInterrupt",
    "Question",
    "await_human",
    "await_human_async",
    "dispatch_resume",
    "dispatch_resume_sync",
    "drive_human_loop",
    "drive_human_loop_sync",
]
