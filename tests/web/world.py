"""A router over a memory store, and who comes to it: shared by the tests of the pages and the API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import urlsplit

import httpx2
from starlette.requests import Request
from starlette.types import ASGIApp

from awaithumans.engine import Engine
from awaithumans.protocols import Channel
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import Human, Task, Verdict, VerificationContext
from awaithumans.web import ApiToken, Router, Scope

SECRET = "0123456789" * 4
HOST = "http://app.example"

ANA = Human(id="ana@example.com", email="ana@example.com", display_name="Ana")
BOB = Human(id="bob@example.com", email="bob@example.com", display_name="Bob")
EVE = Human(id="eve@example.com", email="eve@example.com", display_name="Eve")
OLGA = Human(id="olga@example.com", email="olga@example.com", display_name="Olga", operator=True)
PEOPLE = {human.id.partition("@")[0]: human for human in (ANA, BOB, EVE, OLGA)}

TOKENS = {
    "admin": frozenset(Scope) - {Scope.ANSWER_OWN},
    "asker": {Scope.ASK},
    "other": {Scope.ASK},
    "reader": {Scope.READ},
    "answerer": {Scope.ANSWER},
    "speaker": {Scope.ANSWER, Scope.ANSWER_AS},
    "tester": {Scope.ASK, Scope.ANSWER_OWN},
    "operator": {Scope.OPERATE},
}

SCHEMA = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "note": {"type": "string"}},
    "required": ["approved"],
}
YES: Mapping[str, object] = {"approved": True}


def secret_of(name: str) -> str:
    return f"token-of-{name}-0123456789"


def as_program(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret_of(name)}"}


def as_person(name: str) -> dict[str, str]:
    """Give the headers a browser sends where this person is logged in."""
    return {"Cookie": f"user={name}", "Sec-Fetch-Site": "same-origin"}


def body(**changes: object) -> dict[str, object]:
    return {
        "task": "Approve the refund?",
        "payload": {"order": "A-1", "amount": 120},
        "payload_schema": {"type": "object"},
        "response_schema": SCHEMA,
        "timeout_seconds": 3_600,
        "idempotency_key": "key-1",
        **changes,
    }


class Moody:
    """A verifier that passes what says please."""

    async def verify(self, context: VerificationContext) -> Verdict:
        polite = (context.response or {}).get("note") == "please"
        return Verdict(passed=polite, reason="" if polite else "Say please.")


class Broken:
    """A verifier that never gets to a verdict."""

    async def verify(self, context: VerificationContext) -> Verdict:
        raise RuntimeError("the model is away")


async def log_in(request: Request) -> Human | None:
    return PEOPLE.get(request.cookies.get("user", ""))


@dataclass
class People:
    """A directory that can be changed."""

    gone: set[str]

    async def resolve(self, assign_to: Mapping[str, object]) -> list[Human]:
        names = assign_to.get("emails") or [assign_to.get("email")]
        return [human for human in PEOPLE.values() if human.email in cast("list[str]", names)]

    async def find(self, address: str) -> Human | None:
        known = {human.email: human for human in PEOPLE.values()}
        return None if address in self.gone else known.get(address.lower())


class World:
    """An engine, its router, and a client at the address it is mounted at."""

    def __init__(self, *, mount: str = "", channels: Sequence[Channel] = (), **options: object) -> None:
        self.directory = People(gone=set())
        self.store = MemoryStore()
        self.engine = Engine(
            self.store,
            channels=channels,
            secret=SECRET,
            public_url=f"{HOST}{mount}",
            directory=self.directory,
            verifiers={"moody": Moody(), "broken": Broken()},
        )
        tokens = [ApiToken(name, secret_of(name), scopes) for name, scopes in TOKENS.items()]
        self.router = Router(self.engine, auth=log_in, tokens=tokens, **options)  # type: ignore[arg-type]
        self.mount = mount

    def client(self, app: ASGIApp | None = None, headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app or self.router)
        return httpx2.AsyncClient(transport=transport, base_url=f"{HOST}{self.mount}", headers=headers)

    async def ask(self, client: httpx2.AsyncClient, *, by: str = "asker", **changes: object) -> str:
        response = await client.post("/api/tasks", json=body(**changes), headers=as_program(by))
        assert response.status_code == 201, response.text
        return cast(str, response.json()["id"])

    async def task(self, task_id: str) -> Task:
        return await self.engine.get(task_id)

    def link(self, task: Task, human: Human = ANA) -> str:
        """Give the path of a capability link, below the mount."""
        return urlsplit(self.engine.link(task, replace(human))).path.removeprefix(self.mount)


def hidden_token(page: str) -> str:
    """Return what the page's form carries along."""
    found = re.search(r'name="_awaithumans_csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


async def form(client: httpx2.AsyncClient, path: str, who: str | None, **fields: str) -> dict[str, str]:
    """Return what a browser would post from the page at `path`."""
    page = await client.get(path, headers=as_person(who) if who else {})
    return {"_awaithumans_csrf": hidden_token(page.text), **fields}
