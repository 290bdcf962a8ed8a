"""A Litestar application with awaithumans mounted at /humans.

    export SECRET="at least 32 bytes that only you know" PASSWORD="..." AGENT_TOKEN="..."
    uvicorn docs.examples.litestar_app:app

Its agent asks before it refunds an order:

    curl -X POST -H "Authorization: Bearer $AGENT_TOKEN" http://127.0.0.1:8000/orders/A-1/refund

Log in at http://127.0.0.1:8000/login and answer; then ask for the outcome
with the same command. Agents elsewhere use `AGENT_TOKEN` (16 characters or
more) at http://127.0.0.1:8000/humans.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import litestar
from litestar import Litestar, Response, asgi, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.params import Body, Parameter
from litestar.response import Redirect
from pydantic import BaseModel
from starlette.requests import Request

from awaithumans import Engine, Human, TaskSpec
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router

SECRET = os.environ["SECRET"]
AGENT_TOKEN = os.environ["AGENT_TOKEN"]

engine = Engine(
    SQLAlchemyStore("sqlite:///approvals.db"),
    secret=SECRET,
    public_url=os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000/humans"),
)


class Decision(BaseModel):
    """What the agent wants to know; the form follows from it."""

    approved: bool
    note: str = ""


def is_agent(authorization: str) -> bool:
    """Tell whether this is the agent's token; your application may know it otherwise."""
    return secrets.compare_digest(authorization.encode(), f"Bearer {AGENT_TOKEN}".encode())


@post("/orders/{order:str}/refund")
async def refund(
    order: Annotated[str, Parameter(max_length=100)],
    authorization: Annotated[str, Parameter(header="Authorization")] = "",
) -> Response[dict[str, Any]]:
    """Ask, and return at once. Asked again, the same question says how it stands."""
    if not is_agent(authorization):
        raise NotAuthorizedException
    question = TaskSpec(
        task=f"Refund order {order}?",
        payload={"order": order},
        payload_schema={"type": "object"},
        response_schema=Decision.model_json_schema(),
        timeout_seconds=7 * 24 * 60 * 60,
        idempotency_key=f"refund:{order}",
    )
    task = await engine.create(question)
    return Response({"status": task.status, "decision": task.response}, status_code=200 if task.closed else 202)


def current_user(request: Request) -> Human | None:
    """Say who is logged in: Litestar's session is in the request."""
    email = request.session.get("email")
    return Human(id=email, email=email) if email else None


@dataclass
class Credentials:
    """What the log-in form sends."""

    email: str
    password: str


@get("/login", media_type="text/html")
async def login_page() -> str:
    """Ask who it is."""
    return '<form method="post"><input name="email"><input name="password" type="password"><button>OK'


@post("/login")
async def login(
    request: litestar.Request[Any, Any, Any],
    data: Annotated[Credentials, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Redirect:
    """Log in. Yours looks people up; here everybody has the same password."""
    if not secrets.compare_digest(data.password.encode(), os.environ["PASSWORD"].encode()):
        raise PermissionDeniedException("wrong password")
    request.set_session({"email": data.email.lower()})
    return Redirect(f"{request.scope.get('root_path', '')}/humans/", status_code=303)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncIterator[None]:
    """Do the engine's background work while the server runs."""
    async with engine.run():
        yield
    await engine.aclose()


agents = [ApiToken("refund-agent", AGENT_TOKEN, ["ask"])]
humans = asgi("/humans", is_mount=True, copy_scope=True)(Router(engine, auth=current_user, tokens=agents))

app = Litestar(
    [refund, login_page, login, humans],
    middleware=[CookieBackendConfig(secret=hashlib.sha256(SECRET.encode()).digest()).middleware],
    lifespan=[lifespan],
)
