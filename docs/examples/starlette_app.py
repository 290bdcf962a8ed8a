"""A Starlette application with awaithumans mounted at /humans.

    export SECRET="at least 32 bytes that only you know" PASSWORD="..." AGENT_TOKEN="..."
    uvicorn docs.examples.starlette_app:app

Its agent asks before it refunds an order:

    curl -X POST -H "Authorization: Bearer $AGENT_TOKEN" http://127.0.0.1:8000/orders/A-1/refund

Log in at http://127.0.0.1:8000/login and answer; then ask for the outcome
with the same command. Agents elsewhere use `AGENT_TOKEN` (16 characters or
more) at http://127.0.0.1:8000/humans.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from awaithumans import AwaitHumansError, Engine, Human, TaskSpec
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


async def refund(request: Request) -> Response:
    """Ask, and return at once. Asked again, the same question says how it stands."""
    if not is_agent(request.headers.get("Authorization", "")):
        raise HTTPException(401)
    order = request.path_params["order"]
    question = TaskSpec(
        task=f"Refund order {order}?",
        payload={"order": order},
        payload_schema={"type": "object"},
        response_schema=Decision.model_json_schema(),
        timeout_seconds=7 * 24 * 60 * 60,
        idempotency_key=f"refund:{order}",
    )
    task = await engine.create(question)
    return JSONResponse({"status": task.status, "decision": task.response}, 200 if task.closed else 202)


async def explain(_: Request, error: Exception) -> Response:
    """Say what is wrong with a question, such as an order name that is too long."""
    assert isinstance(error, AwaitHumansError)
    return JSONResponse({"error": error.code, "message": error.message}, error.status)


def current_user(request: Request) -> Human:
    """Say who is logged in, or lead to the log-in page."""
    email = request.session.get("email")
    if not email:
        raise HTTPException(303, headers={"Location": request.url_for("login").path})
    return Human(id=email, email=email)


async def login(request: Request) -> Response:
    """Log in. Yours looks people up; here everybody has the same password."""
    if request.method == "GET":
        return HTMLResponse('<form method="post"><input name="email"><input name="password" type="password"><button>OK')
    async with request.form() as form:
        email, password = str(form.get("email", "")), str(form.get("password", ""))
    if not secrets.compare_digest(password.encode(), os.environ["PASSWORD"].encode()):
        raise HTTPException(403, "wrong password")
    request.session["email"] = email.lower()
    return RedirectResponse(request.url_for("humans", path="/").path, 303)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Do the engine's background work while the server runs."""
    async with engine.run():
        yield
    await engine.aclose()


agents = [ApiToken("refund-agent", AGENT_TOKEN, ["ask"])]

app = Starlette(
    routes=[
        Route("/orders/{order}/refund", refund, methods=["POST"]),
        Route("/login", login, methods=["GET", "POST"]),
        Mount("/humans", Router(engine, auth=current_user, tokens=agents), name="humans"),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key=SECRET)],
    exception_handlers={AwaitHumansError: explain},
    lifespan=lifespan,
)
