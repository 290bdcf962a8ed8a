"""Everything about people in one `APIRouter`, which any FastAPI application includes.

    export SECRET="at least 32 bytes that only you know" PASSWORD="..." AGENT_TOKEN="..."
    uvicorn docs.examples.fastapi_router_app:app

Its agent asks before it refunds an order:

    curl -X POST -H "Authorization: Bearer $AGENT_TOKEN" http://127.0.0.1:8000/orders/A-1/refund

Log in at http://127.0.0.1:8000/login and answer; then ask for the outcome
with the same command. Agents elsewhere use `AGENT_TOKEN` (16 characters or
more) at http://127.0.0.1:8000/humans.

A router that is included brings its lifespan and, from FastAPI 0.137, what is
mounted in it. Before, `include_router` leaves mounts out without a word.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Header, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware

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


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Do the engine's background work while the server runs."""
    async with engine.run():
        yield
    await engine.aclose()


router = APIRouter(lifespan=lifespan)


class Decision(BaseModel):
    """What the agent wants to know; the form follows from it."""

    approved: bool
    note: str = ""


def is_agent(authorization: str) -> bool:
    """Tell whether this is the agent's token; your application may know it otherwise."""
    return secrets.compare_digest(authorization.encode(), f"Bearer {AGENT_TOKEN}".encode())


@router.post("/orders/{order}/refund")
async def refund(
    order: Annotated[str, Path(max_length=100)], response: Response, authorization: Annotated[str, Header()] = ""
) -> dict[str, Any]:
    """Ask, and return at once. Asked again, the same question says how it stands."""
    if not is_agent(authorization):
        raise HTTPException(401)
    question = TaskSpec(
        task=f"Refund order {order}?",
        payload={"order": order},
        payload_schema={"type": "object"},
        response_schema=Decision.model_json_schema(),
        timeout_seconds=7 * 24 * 60 * 60,
        idempotency_key=f"refund:{order}",
    )
    task = await engine.create(question)
    response.status_code = 200 if task.closed else 202
    return {"status": task.status, "decision": task.response}


def current_user(request: Request) -> Human:
    """Say who is logged in, or lead to the log-in page."""
    email = request.session.get("email")
    if not email:
        raise HTTPException(303, headers={"Location": request.url_for("login_page").path})
    return Human(id=email, email=email)


@router.get("/login", response_class=HTMLResponse)
async def login_page() -> str:
    """Ask who it is."""
    return '<form method="post"><input name="email"><input name="password" type="password"><button>OK'


@router.post("/login")
async def login(request: Request, email: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Log in. Yours looks people up; here everybody has the same password."""
    if not secrets.compare_digest(password.encode(), os.environ["PASSWORD"].encode()):
        raise HTTPException(403, "wrong password")
    request.session["email"] = email.lower()
    return RedirectResponse(request.url_for("humans", path="/").path, 303)


agents = [ApiToken("refund-agent", AGENT_TOKEN, ["ask"])]
router.mount("/humans", Router(engine, auth=current_user, tokens=agents), name="humans")

app = FastAPI(title="A shop")
app.add_middleware(SessionMiddleware, secret_key=SECRET)
app.include_router(router)
