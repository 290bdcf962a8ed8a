"""A Flask host whose people are asked in Slack and by mail, and answer there; `SLACK_API_URL` is its Slack."""

from __future__ import annotations

import os
from functools import partial

from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from awaithumans import Engine, StaticDirectory
from awaithumans.blocking import run_blocking
from awaithumans.channels.email import EmailChannel, Files, Sender
from awaithumans.channels.slack import SlackChannel
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import ApiToken, Router
from awaithumans.web.wsgi import WSGIApp
from tests.channels.slack.desk import ANA, SIGNING_SECRET

slack = SlackChannel(token="xoxb-static", signing_secret=SIGNING_SECRET, api_url=os.environ["SLACK_API_URL"])
email = EmailChannel(Sender(address="approvals@example.com", transport=Files("mails"), replies="reply@example.com"))
engine = Engine(
    SQLAlchemyStore(os.environ["SHOP_DATABASE_URL"]),
    channels=[slack, email],
    directory=StaticDirectory([ANA]),
    secret=os.environ["SHOP_SECRET"],
    public_url=os.environ["SHOP_PUBLIC_URL"],
)
router = Router(engine, tokens=[ApiToken("agent", os.environ["SHOP_AGENT_TOKEN"], ["ask"])])
app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/humans": WSGIApp(router)})  # type: ignore[method-assign]


@app.post("/inbound-mail")
def inbound_mail() -> str:
    return run_blocking(partial(email.receive_reply, request.get_data()), engine)
