"""Figures for operators: how much is asked, how fast it is answered, by whom, and what expired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.display import short_span
from awaithumans.engine import Engine
from awaithumans.statistics import Day, Pace, Share, Statistics
from awaithumans.types import TaskStatus
from awaithumans.web import queries
from awaithumans.web.access import Access, ensure
from awaithumans.web.rendering import rendered
from awaithumans.web.resource import Handler
from awaithumans.words import words

WINDOWS = (7, 30, 90)
_MOST_SHARES = 12


@dataclass(frozen=True, slots=True)
class Mark:
    """A part of a chart; everything in per cent of its width and height, from the top left."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Columns over the days of a window."""

    marks: Sequence[Mark]
    top: str
    """What the upper edge stands for."""
    begin: date
    end: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A line of a chart of shares."""

    name: str
    pace: Pace
    width: float
    """In per cent of the longest."""


class FigurePages:
    """The handler of the figures, behind the host's log-in."""

    def __init__(self, engine: Engine, access: Access, *, name: str) -> None:
        self._engine = engine
        self._access = access
        self._name = name

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        return {"/figures": {"GET": self._figures}}

    async def _figures(self, request: Request) -> Response:
        """Show how tasks fare."""
        human = await self._access.visitor(request)
        ensure(
            human.operator,
            words("figures are for operators"),
            hint=words(
                "You are logged in as %(who)s. Ask whoever runs this service for an operator’s rights.", who=human.label
            ),
        )
        found = await self._engine.statistics(queries.window(request))
        context = {
            "name": self._name,
            "human": human,
            "found": found,
            "windows": WINDOWS,
            "open": sum(found.fates.get(status, 0) for status in (TaskStatus.PENDING, TaskStatus.SUBMITTED)),
            "answered": found.fates.get(TaskStatus.COMPLETED, 0),
            "asked": sum(found.fates.values()),
            "timed_out": found.fates.get(TaskStatus.TIMED_OUT, 0),
            "volume": volume_chart(found),
            "times": time_chart(found),
            "shares": {"door": _bars(found.doors), "person": _bars(found.people)},
        }
        return rendered(request, "figures.html", context)


def volume_chart(found: Statistics) -> Chart:
    """Draw, for each day, what was asked, answered and timed out."""
    top = max((max(day.created, day.completed, day.timed_out) for day in found.by_day), default=0) or 1
    columns = [
        (("asked", day.created / top), ("answered", day.completed / top), ("expired", day.timed_out / top))
        for day in found.by_day
    ]
    return _chart(found.by_day, columns, str(top))


def time_chart(found: Statistics) -> Chart:
    """Draw, for each day, how long half and 95 of 100 of its answers took."""
    top = max((day.pace.p95 for day in found.by_day if day.pace), default=timedelta()) or timedelta(seconds=1)
    columns = [
        (("half", day.pace.median / top), ("most", day.pace.p95 / top)) if day.pace else () for day in found.by_day
    ]
    return _chart(found.by_day, columns, short_span(top))


def _chart(days: Sequence[Day], columns: Sequence[Sequence[tuple[str, float]]], top: str) -> Chart:
    place = 100 / len(days)
    marks: list[Mark] = []
    for number, column in enumerate(columns):
        width = 0.8 * place / (len(column) or 1)
        for beside, (kind, share) in enumerate(column):
            left = (number + 0.1) * place + beside * width
            marks.append(
                Mark(kind, round(left, 2), round(100 - 100 * share, 2), round(width, 2), round(100 * share, 2))
            )
    return Chart(marks=[mark for mark in marks if mark.height], top=top, begin=days[0].date, end=days[-1].date)


def _bars(shares: Sequence[Share]) -> list[Bar]:
    most = max((share.pace.answered for share in shares), default=1)
    return [
        Bar(name=share.name, pace=share.pace, width=round(100 * share.pace.answered / most, 2))
        for share in shares[:_MOST_SHARES]
    ]
