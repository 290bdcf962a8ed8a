"""A Quart application with awaithumans at /humans.

    export SECRET="at least 32 bytes that only you know" PASSWORD="..." AGENT_TOKEN="..."
    hypercorn docs.examples.quart_app:app

Its agent asks before it refunds an order:

    curl -X POST -H "Authorization: Bearer $AGENT_TOKEN" http://127.0.0.1:8000/orders/A-1/refund

Log in at http://127.0.0.1:8000/login and answer; then ask for the outcome
with the same command. Agents elsewhere use `AGENT_TOKEN` (16 characters or
more) at http://127.0.0.1:8000/humans.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import BaseModel
from quart import Quart, abort, redirect, request, session
from quart.typing import ResponseReturnValue
from starlette.requests import Request

from awaithumans import Engine, Human, TaskSpec
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router

AGENT_TOKEN = os.environ["AGENT_TOKEN"]

app = Quart(__name__)
app.secret_key = os.environ["SECRET"]

engine = Engine(
    SQLAlchemyStore("sqlite:///approvals.db"),
    secret=app.secret_key,
    public_url=os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000/humans"),
)


class Decision(BaseModel):
    """What the agent wants to know; the form follows from it."""

    approved: bool
    note: str = ""


def is_agent(authorization: str) -> bool:
    """Tell whether this is the agent's token; your application may know it otherwise."""
    return secrets.compare_digest(authorization.encode(), f"Bearer {AGENT_TOKEN}".encode())


@app.post("/orders/<string(maxlength=100):order>/refund")
async def refund(order: str) -> ResponseReturnValue:
    """Ask, and return at once. Asked again, the same question says how it stands."""
    if not is_agent(request.headers.get("Authorization", "")):
        abort(401)
    question = TaskSpec(
        task=f"Refund order {order}?",
        payload={"order": order},
        payload_schema={"type": "object"},
        response_schema=Decision.model_json_schema(),
        timeout_seconds=7 * 24 * 60 * 60,
        idempotency_key=f"refund:{order}",
    )
    task = await engine.create(question)
    return {"status": task.status, "decision": task.response}, 200 if task.closed else 202


async def current_user(request: Request) -> Human | None:
    """Say who is logged in, by Quart's own session cookie."""
    session = await app.session_interface.open_session(app, request)  # type: ignore[arg-type] # it reads the cookies
    email = session.get("email") if session else None
    return Human(id=email, email=email) if email else None


@app.get("/login")
async def login_page() -> ResponseReturnValue:
    """Ask who it is."""
    return '<form method="post"><input name="email"><input name="password" type="password"><button>OK'


@app.post("/login")
async def login() -> ResponseReturnValue:
    """Log in. Yours looks people up; here everybody has the same password."""
    form = await request.form
    if not secrets.compare_digest(form["password"].encode(), os.environ["PASSWORD"].encode()):
        abort(403)
    session["email"] = form["email"].lower()
    return redirect(f"{request.root_path}/humans/", 303)


@app.while_serving
async def lifespan() -> AsyncGenerator[None]:
    """Do the engine's background work while the server runs."""
    async with engine.run():
        yield
    await engine.aclose()


agents = [ApiToken("refund-agent", AGENT_TOKEN, ["ask"])]
humans = Router(engine, auth=current_user, tokens=agents)
quart_app = app.asgi_app


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """Hand what is below /humans to awaithumans, and all the rest to Quart."""
    mount = scope.get("root_path", "") + "/humans"
    if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{mount}/"):
        await humans({**scope, "root_path": mount}, receive, send)
    else:
        await quart_app(scope, receive, send)


app.asgi_app = asgi_app  # type: ignore[method-assign] # Quart's place for middleware
