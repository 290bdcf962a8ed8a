"""A FastAPI application with awaithumans mounted at /humans.

    uvicorn docs.examples.fastapi_app:app

runs as it is: it listens on loopback, keeps its tasks in `.awaithumans/`, and
makes the secrets that are missing, once, as files there; the admin token is
in `.awaithumans/admin_api_token`. Open http://127.0.0.1:8000/humans/ and log
in with any e-mail address as the name and that token as the password.

To run it for others, set all of these; with a database of its own, nothing is
made up and a missing one is an error:

    AWAITHUMANS_DATABASE_URL      where tasks live, e.g. postgresql+psycopg://…
    AWAITHUMANS_SECRET            at least 32 bytes; signs links and forms
    AWAITHUMANS_ADMIN_API_TOKEN   what agents send as their bearer token
    AWAITHUMANS_PUBLIC_URL        e.g. https://app.example/humans, for links
    AWAITHUMANS_PAYLOAD_KEY       base64 of 32 bytes; signs webhooks. Without
                                  it, a task with a callback_url is refused

and for trying things out only:

    AWAITHUMANS_ADMIN_MAY_ANSWER=1          the token may answer its own tasks
    AWAITHUMANS_ALLOW_PRIVATE_CALLBACKS=1   webhooks may go to private addresses
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request

from awaithumans import Engine, Human
from awaithumans.channels.webhook import WebhookChannel
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router

LOCAL = Path(".awaithumans")


def database_url() -> str:
    """Return where tasks live; by default a file in the local folder."""
    if url := os.environ.get("AWAITHUMANS_DATABASE_URL"):
        return url
    LOCAL.mkdir(mode=0o700, exist_ok=True)
    return f"sqlite:///{LOCAL / 'tasks.db'}"


def secret(name: str) -> str:
    """Return a secret from the environment; in a local run, one made once."""
    if given := os.environ.get(f"AWAITHUMANS_{name.upper()}"):
        return given
    if "AWAITHUMANS_DATABASE_URL" in os.environ:
        raise SystemExit(f"Set AWAITHUMANS_{name.upper()}: one that is made up would be another in each process.")
    file = LOCAL / name
    if not file.exists():
        LOCAL.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text()


def webhooks() -> list[WebhookChannel]:
    """Return the channel that delivers `callback_url`, if it has a key."""
    key = os.environ.get("AWAITHUMANS_PAYLOAD_KEY")
    allow_private = os.environ.get("AWAITHUMANS_ALLOW_PRIVATE_CALLBACKS") == "1"
    return [WebhookChannel(key, allow_private=allow_private)] if key else []


ADMIN_TOKEN = secret("admin_api_token")

engine = Engine(
    SQLAlchemyStore(database_url()),
    channels=webhooks(),
    secret=secret("secret"),
    public_url=os.environ.get("AWAITHUMANS_PUBLIC_URL", "http://127.0.0.1:8000/humans"),
)


async def current_user(request: Request) -> Human | None:
    """Say who is logged in: your application knows, this one asks the browser.

    Replace it by what your application has: a session, a header of your proxy.
    Everybody who is let in here sees and answers everything.
    """
    name, password = basic_credentials(request.headers.get("authorization", ""))
    if not (name and secrets.compare_digest(password.encode(), ADMIN_TOKEN.encode())):
        raise HTTPException(401, "log in", headers={"WWW-Authenticate": 'Basic realm="awaithumans", charset="UTF-8"'})
    return Human(id=name.lower(), email=name.lower(), operator=True)


def basic_credentials(header: str) -> tuple[str, str]:
    """Return the name and password of HTTP Basic; empty if there are none."""
    scheme, _, credentials = header.partition(" ")
    try:
        name, _, password = base64.b64decode(credentials).decode().partition(":")
    except ValueError:
        return "", ""
    return (name, password) if scheme.lower() == "basic" else ("", "")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.run():
        yield
    await engine.aclose()


app = FastAPI(title="A shop", lifespan=lifespan)
admin = ApiToken.admin(ADMIN_TOKEN, may_answer_own=os.environ.get("AWAITHUMANS_ADMIN_MAY_ANSWER") == "1")
app.mount("/humans", Router(engine, auth=current_user, tokens=[admin]))


@app.get("/")
async def shop() -> dict[str, str]:
    """Answer for the application's own part."""
    return {"shop": "open", "questions": "/humans/"}
