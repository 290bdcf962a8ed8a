"""A Flask application with awaithumans mounted at /humans.

    flask --app docs.examples.flask_app run --port 8000
    gunicorn --preload --workers 2 --threads 4 docs.examples.flask_app:app
    waitress-serve --listen 127.0.0.1:8000 --threads 4 docs.examples.flask_app:app

Each runs as it is, on loopback. Open http://127.0.0.1:8000/ and log in as
ana@example.com with the password `only for trying this out`.

To run it for others, put your own log-in in its place and set all of these;
with a database of its own, a missing one is an error:

    SHOP_DATABASE_URL   where tasks live, e.g. postgresql+psycopg://…
    SHOP_SECRET         at least 32 bytes; signs sessions, links and forms
    SHOP_PASSWORD       what people log in with
    SHOP_AGENT_TOKEN    what agents send as their bearer token
    SHOP_PUBLIC_URL     e.g. https://shop.example/humans, for links

and if the server has more or fewer than 4 threads per process, SHOP_THREADS.
"""

from __future__ import annotations

import hmac
import os
from wsgiref.types import WSGIEnvironment

from flask import Flask, abort, redirect, render_template_string, request, session, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from awaithumans import AwaitHumansError, BlockingEngine, Engine, Human, TaskStatus, build_spec
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router
from awaithumans.web.wsgi import WSGIApp, wsgi_auth


def setting(name: str, here: str) -> str:
    """Return a setting from the environment; `here` is for trying this out."""
    if name not in os.environ and "SHOP_DATABASE_URL" in os.environ:
        raise SystemExit(f"Set {name}.")
    return os.environ.get(name, here)


SECRET = setting("SHOP_SECRET", "only for trying this out, on loopback")
PASSWORD = setting("SHOP_PASSWORD", "only for trying this out")
AGENT_TOKEN = setting("SHOP_AGENT_TOKEN", "only for agents that try this out")
PEOPLE = {"ana@example.com": "Ana", "bob@example.com": "Bob"}

app = Flask(__name__)
app.config.update(SECRET_KEY=SECRET, SESSION_COOKIE_SAMESITE="Lax")

engine = Engine(
    SQLAlchemyStore(os.environ.get("SHOP_DATABASE_URL", "sqlite:///shop.db")),
    secret=SECRET,
    public_url=setting("SHOP_PUBLIC_URL", "http://127.0.0.1:8000/humans"),
)
humans = BlockingEngine(engine)


# ── What your application has: people who log in ──────────────────────────────


@app.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    user = request.form.get("email", "")
    if user in PEOPLE and hmac.compare_digest(request.form.get("password", "").encode(), PASSWORD.encode()):
        session["user"] = user
        return redirect(url_for("shop"))
    return render_template_string(
        '<form method="post"><input name="email" placeholder="E-mail" autofocus>'
        '<input name="password" type="password" placeholder="Password"><button>Log in</button></form>'
    )


@app.get("/")
def shop() -> ResponseReturnValue:
    if "user" not in session:
        return redirect(url_for("login"))
    return render_template_string('<a href="{{ request.script_root }}/humans/">What is asked of you</a>')


# ── Asking a person, and reading the answer ───────────────────────────────────


class Refund(BaseModel):
    order: str
    amount: int


class Decision(BaseModel):
    approved: bool
    note: str = ""


@app.post("/refunds")
def ask_for_refund() -> ResponseReturnValue:
    try:
        refund = Refund.model_validate_json(request.data)
    except ValidationError as error:
        return {"error": str(error)}, 422
    task = humans.create(
        build_spec(
            task=f"Approve the refund of order {refund.order}?",
            payload_schema=Refund,
            payload=refund,
            response_schema=Decision,
            timeout_seconds=24 * 60 * 60,
            assign_to="ana@example.com",
            idempotency_key=f"refund:{refund.order}",
        )
    )
    return {"id": task.id, "page": humans.page_url(task.id)}, 202


@app.get("/refunds/<task_id>")
def refund(task_id: str) -> ResponseReturnValue:
    task = humans.get(task_id)
    if task.status is not TaskStatus.COMPLETED:
        return {"status": task.status}
    return {"status": task.status, "approved": task.result(Decision).approved}


@app.errorhandler(AwaitHumansError)
def explain(error: AwaitHumansError) -> ResponseReturnValue:
    return {"error": error.code, "message": error.message}, error.status


@app.before_request
def authenticate() -> None:
    """Let people in who are logged in, and the agent with its token."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    known = "user" in session or hmac.compare_digest(token.encode(), AGENT_TOKEN.encode())
    if request.path.startswith("/refunds") and not known:
        abort(401)


# ── The pages and the API below /humans ───────────────────────────────────────


def current_user(environ: WSGIEnvironment) -> Human | None:
    """Say who is logged in, from Flask's session."""
    with app.request_context(environ):
        if (user := session.get("user")) in PEOPLE:
            return Human(id=user, email=user, display_name=PEOPLE[user])
        raise HTTPException(303, headers={"Location": url_for("login")})


router = Router(
    engine,
    auth=wsgi_auth(current_user, mount="/humans"),
    tokens=[ApiToken("refund-agent", AGENT_TOKEN, ["ask"])],
)
threads = int(os.environ.get("SHOP_THREADS", "4"))
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/humans": WSGIApp(router, threads=threads)})  # type: ignore[method-assign]
