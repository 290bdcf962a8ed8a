"""LangGraph: questions inside graphs that are parked until a person has decided."""

try:
    import langgraph.graph  # pyright: ignore[reportUnusedImport]  # noqa: F401
except ImportError as error:
    raise ImportError("LangGraph is not installed: pip install 'awaithumans[langgraph]'") from error

from awaithumans.adapters.langgraph.asking import await_human, await_human_async
from awaithumans.adapters.langgraph.breakpoints import OnBreakpoint, breakpoint_questions
from awaithumans.adapters.langgraph.interrupts import Ask, OnInterrupt, Question
from awaithumans.adapters.langgraph.loops import drive_human_loop, drive_human_loop_sync
from awaithumans.adapters.langgraph.plain import plain_questions
from awaithumans.adapters.langgraph.questions import first_of
from awaithumans.adapters.langgraph.receiving import LangGraphChannel, dispatch_resume, dispatch_resume_sync
from awaithumans.adapters.langgraph.remote import Swept, drive_remote_loop, sweep_remote_threads
from awaithumans.adapters.langgraph.threads import Continue
from awaithumans.adapters.langgraph.tools import tool_reviews

__all__ = [
    "Ask",
    "Continue",
    "LangGraphChannel",
    "OnBreakpoint",
    "OnInterrupt",
    "Question",
    "Swept",
    "await_human",
    "await_human_async",
    "breakpoint_questions",
    "dispatch_resume",
    "dispatch_resume_sync",
    "drive_human_loop",
    "drive_human_loop_sync",
    "drive_remote_loop",
    "first_of",
    "plain_questions",
    "sweep_remote_threads",
    "tool_reviews",
]
