"""A Django project in one file, with awaithumans at /humans.

    export SECRET="at least 32 bytes that only you know" AGENT_TOKEN="..."
    python docs/examples/django_app.py migrate
    python docs/examples/django_app.py createsuperuser
    uvicorn docs.examples.django_app:application

Its agent asks before it refunds an order:

    curl -X POST -H "Authorization: Bearer $AGENT_TOKEN" http://127.0.0.1:8000/orders/A-1/refund

Log in at http://127.0.0.1:8000/login/ and answer; then ask for the outcome
with the same command. Agents elsewhere use `AGENT_TOKEN` (16 characters or
more) at http://127.0.0.1:8000/humans.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.db import close_old_connections
from django.http import HttpRequest, JsonResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

from awaithumans import Engine, Human, TaskSpec
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router

SECRET = os.environ["SECRET"]
AGENT_TOKEN = os.environ["AGENT_TOKEN"]
LOGIN_FORM = '<form method="post">{% csrf_token %}{{ form }}<button>OK'

settings.configure(
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "127.0.0.1").split(","),
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "django.db"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    LOGIN_REDIRECT_URL="/humans/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=SECRET,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN_FORM}),
                ]
            },
        }
    ],
)
django.setup()

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


@csrf_exempt
@require_POST
async def refund(request: HttpRequest, order: str) -> JsonResponse:
    """Ask, and return at once. Asked again, the same question says how it stands."""
    if not is_agent(request.headers.get("Authorization", "")):
        return JsonResponse({"error": "not the agent"}, status=401)
    question = TaskSpec(
        task=f"Refund order {order}?",
        payload={"order": order},
        payload_schema={"type": "object"},
        response_schema=Decision.model_json_schema(),
        timeout_seconds=7 * 24 * 60 * 60,
        idempotency_key=f"refund:{order}",
    )
    task = await engine.create(question)
    return JsonResponse({"status": task.status, "decision": task.response}, status=200 if task.closed else 202)


urlpatterns = [
    re_path("^orders/(?P<order>[^/]{1,100})/refund$", refund),
    path("", include("django.contrib.auth.urls")),
]


@sync_to_async
def current_user(request: Request) -> Human:
    """Say whom Django knows by its session cookie, or lead to its log-in page."""
    close_old_connections()  # Django does this for its own requests only
    asking = HttpRequest()
    asking.session = SessionStore(request.cookies.get(settings.SESSION_COOKIE_NAME))
    user: Any = get_user(asking)
    if not user.is_authenticated:
        raise HTTPException(303, headers={"Location": f"{request.scope['app_root_path']}/login/"})
    return Human(id=str(user.pk), email=user.email, display_name=user.get_username(), operator=user.is_superuser)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Do the engine's background work while the server runs; Django has no place for it."""
    async with engine.run():
        yield
    await engine.aclose()


agents = [ApiToken("refund-agent", AGENT_TOKEN, ["ask"])]

application = Starlette(
    routes=[
        Mount("/humans", Router(engine, auth=current_user, tokens=agents)),
        Mount("/", get_asgi_application()),  # type: ignore[arg-type] # it writes dict where Starlette takes any mapping
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
