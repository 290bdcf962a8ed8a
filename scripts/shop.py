"""A shop with questions in all their states, for the pictures of the documentation."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from awaithumans import Engine, Human, build_spec
from awaithumans.clock import SystemClock
from awaithumans.directory import StaticDirectory
from awaithumans.forms import UploadedFile, file_upload, opinion_scale, picture_choice, ranking, signature
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Actor, Submit, Task
from awaithumans.web import Router

NOW = datetime(2026, 3, 9, 9, 30, tzinfo=UTC)
SECRET = "of a shop that is only there for its pictures"  # noqa: S105
ACCENT = "#0f766e"
LOGO = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28"><path d="M2 24 14 3l12 21z" fill="{ACCENT}"/></svg>'
)

ANA = Human(id="ana", email="ana@nordlicht.example", display_name="Ana Ruiz")
BEN = Human(id="ben", email="ben@nordlicht.example", display_name="Ben Okafor")
OLGA = Human(id="olga", email="olga@nordlicht.example", display_name="Olga Lind", operator=True)
DOORS = ("web", "web", "slack", "slack", "email")
ANSWERED = 0.9
"""The share of the past questions that somebody answered."""
PEOPLE = {human.id: human for human in (ANA, BEN, OLGA)}

Deed: TypeAlias = tuple[datetime, Callable[[], Awaitable[None]]]
"""What somebody does, and when."""


class Clock(SystemClock):
    """Stands where it was set; only waits take time."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        """Return the moment it was set to."""
        return self.moment


class Anything(BaseModel, extra="allow"):
    """What an agent knows."""


class Approval(BaseModel):
    """A yes or no."""

    approved: Annotated[bool, Field(title="Approve")]
    note: str = ""


class Line(BaseModel):
    """A line of an invoice."""

    article: str = Field(min_length=1)
    pieces: int = Field(ge=1)
    price: Decimal = Field(ge=0)


class Invoice(BaseModel):
    """What was read from a scan, to be put right."""

    supplier: str
    due: date
    currency: Literal["EUR", "SEK", "USD"]
    lines: list[Line] = Field(min_length=1)


READ: dict[str, object] = {
    "supplier": "Lindqvist AB",
    "due": "2026-04-08",
    "currency": "SEK",
    "lines": [
        {"article": "Desk lamp “Lys”", "pieces": 40, "price": "312.50"},
        {"article": "Bulb E14, warm", "pieces": 0, "price": "24.00"},
    ],
}
"""What the agent read."""


def _drawn(shapes: str) -> str:
    """Return a small picture as an address."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 90" width="240" height="180">{shapes}</svg>'
    return f"data:image/svg+xml,{quote(svg)}"


_GROUND = '<rect width="120" height="90" fill="#e7e2d8"/><ellipse cx="60" cy="76" rx="26" ry="6" fill="#3f4a4a"/>'
_ARM = '<path d="M60 74 60 44 {}" fill="none" stroke="#3f4a4a" stroke-width="4"/>'
LAMP = _drawn(_GROUND + _ARM.format("84 26") + '<path d="M76 18 96 34 78 44z" fill="#0f766e"/>')
BROKEN = _drawn(_GROUND + _ARM.format("76 56") + '<path d="M70 50 78 72 94 58z" fill="#0f766e"/>')
VOUCHER = _drawn(
    '<rect width="120" height="90" fill="#dcebe8"/><rect x="22" y="24" width="76" height="42" rx="5" fill="#0f766e"/>'
)


class Complaint(BaseModel):
    """What to do about a complaint."""

    settle: Annotated[
        list[str],
        picture_choice(
            options=[
                {"value": "lamp", "label": "Another lamp", "image_url": LAMP},
                {"value": "voucher", "label": "A voucher", "image_url": VOUCHER},
            ]
        ),
    ]
    causes: Annotated[list[str], ranking(options=["The parcel", "The carrier", "The lamp itself"])]
    anger: Annotated[int, opinion_scale(min=1, max=5, min_label="calm", max_label="furious")]
    photos: Annotated[list[UploadedFile], file_upload(accept=[".jpg", ".png"], multiple=True)] = []
    signed: Annotated[str, signature(format="svg")]


REFUND: dict[str, object] = {
    "order": "A-1047",
    "customer": {"name": "Jürgen Groß", "since": "2019-04-02", "email": "juergen@example.com"},
    "amount": "129.90",
    "currency": "EUR",
    "items": [
        {"article": "Desk lamp “Lys”", "pieces": 1, "price": "89.90"},
        {"article": "Bulb E14, warm", "pieces": 4, "price": "10.00"},
    ],
    "letter": (
        "Hello,\n\nthe lamp arrived **broken**, for the second time:\n\n- the arm is bent\n- the shade has a crack\n\n"
        "I do not want a third one. Please send the money back.\n\nJürgen Groß"
    ),
    "photo": BROKEN,
    "paid_at": "2026-02-27T14:12:00Z",
    "invoice": "https://shop.example/invoices/A-1047.pdf",
}
"""What the agent knows of a refund."""


@dataclass
class Shop:
    """An engine, its application, and its questions by name."""

    mount = "/humans"
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.engine = Engine(
            MemoryStore(),
            secret=SECRET,
            public_url=f"https://nordlicht.example{self.mount}",
            directory=StaticDirectory(PEOPLE.values()),
            clock=self.clock,
            background=False,
        )
        router = Router(self.engine, auth=_log_in, name="Nordlicht", logo=LOGO.encode(), accent=ACCENT)
        self.app = Starlette(routes=[Mount(self.mount, router)], lifespan=self._opened)

    def path(self, name: str) -> str:
        """Give the path of a question's page, below the mount."""
        return f"/tasks/{self.tasks[name].id}"

    def link(self, name: str) -> str:
        """Give the path of Ana's personal link to a question, below the mount."""
        return urlsplit(self.engine.link(self.tasks[name], ANA)).path.removeprefix(self.mount)

    @asynccontextmanager
    async def _opened(self, _: Starlette) -> AsyncGenerator[None]:
        deeds = [*self._past(), *self._today()]
        for moment, deed in sorted(deeds, key=lambda one: one[0]):
            self.clock.moment = moment
            await self.engine.tick()
            await deed()
        self.clock.moment = NOW
        await self.engine.tick()
        yield
        await self.engine.aclose()

    def _past(self) -> Iterator[Deed]:
        """Ask and answer for a month."""
        chance = random.Random(7)
        for number in range(240):
            asked = NOW - timedelta(days=chance.uniform(1.1, 29))
            name = f"past {number}"
            yield asked, self._question(name, f"Refund order A-{700 + number}?")
            if chance.random() < ANSWERED:
                taken = timedelta(minutes=min(chance.lognormvariate(3.2, 1), 1_000))
                human, via = chance.choice([ANA, ANA, BEN, OLGA]), chance.choice(DOORS)
                yield asked + taken, self._answer(name, human, via=via)

    def _today(self) -> Iterator[Deed]:
        """Ask what the pictures show."""
        yield _ago(hours=5), self._question("expired", "Send the newsletter today?", hours=2)
        yield _ago(hours=3), self._question("answered", "Refund 40.00 EUR for order A-1031?")
        yield _ago(hours=2.8), self._answer("answered", ANA, note="The second parcel was lost, too.")
        yield (
            _ago(hours=2),
            self._question("branches", "Delete 14 stale branches in nordlicht/website?", hours=70, to=BEN),
        )
        yield _ago(hours=1), self._question("article", "Publish “Onboarding in two days instead of nine”?", hours=30)
        text = "How do we settle the complaint about order A-1047?"
        yield _ago(minutes=55), self._question("complaint", text, wanted=Complaint, hours=20)
        text = "Is this what the invoice of Lindqvist AB says?"
        yield _ago(minutes=50), self._question("invoice", text, wanted=Invoice, draft=READ, hours=6, to=ANA)
        yield (
            _ago(minutes=12),
            self._question("refund", "Refund 129.90 EUR to Jürgen Groß?", payload=REFUND, hours=1, to=ANA),
        )

    def _question(
        self,
        name: str,
        text: str,
        *,
        hours: int = 24,
        to: Human | None = None,
        payload: Mapping[str, object] | None = None,
        wanted: type[BaseModel] = Approval,
        draft: Mapping[str, object] | None = None,
    ) -> Callable[[], Awaitable[None]]:
        spec = build_spec(
            task=text,
            payload_schema=Anything,
            payload=payload or {},
            response_schema=wanted,
            timeout_seconds=hours * 3_600,
            assign_to=to.email if to else None,
            idempotency_key=name,
        )

        async def ask() -> None:
            self.tasks[name] = await self.engine.create(replace(spec, initial_response=draft))

        return ask

    def _answer(self, name: str, human: Human, *, via: str = "web", note: str = "") -> Callable[[], Awaitable[None]]:
        actor = Actor.of(human, auth="host", via=via)

        async def answer() -> None:
            await self.engine.act(self.tasks[name].id, Submit(value={"approved": True, "note": note}, by=actor))

        return answer


def _ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


async def _log_in(request: Request) -> Human | None:
    return PEOPLE.get(request.cookies.get("user", ""))
