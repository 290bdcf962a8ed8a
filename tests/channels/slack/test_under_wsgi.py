"""A Flask host in real servers: what Slack posts is taken as it came, and acknowledged at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest

from awaithumans.testing.tasks import make_spec, make_task
from awaithumans.types import Task
from tests.channels.email.mail import parsed
from tests.channels.slack.desk import clicked, interaction, sent_in, signature_headers
from tests.channels.slack.slack_api import BOT, SlackApi
from tests.channels.slack.test_events import message_about, reply
from tests.examples.test_flask_example import AGENT, ALONE, PATIENCE, SERVERS, Shop, running
from tests.web.world import SCHEMA, body

FoundT = TypeVar("FoundT")
OPEN = "awaithumans.open_review"
CHOICE = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
FORM = "application/x-www-form-urlencoded"
HOSTS = {
    "gunicorn, one thread": ALONE,
    "gunicorn, preloaded, threads": SERVERS["gunicorn, preloaded, threads"],
    "waitress": SERVERS["waitress"],
}
ACKNOWLEDGED_WITHIN = 3.0
"""Seconds that Slack waits."""


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, api: SlackApi, tmp_path: Path) -> Iterator[Shop]:
    environment = {"SLACK_API_URL": api.api_url}
    with running(HOSTS[request.param], tmp_path, app="tests.programs.slack_host:app", environment=environment) as host:
        yield host


def test_buttons_modals_threads_and_mails_answer(host: Shop, api: SlackApi, tmp_path: Path) -> None:
    in_a_modal = asked(host, "Refund 1?", response_schema=SCHEMA)
    in_a_thread, by_mail = asked(host, "Refund 2?"), asked(host, "Refund 3?")

    go_on = threading.Event()
    api.replies["views.open"] = lambda _: {"view": {"id": "V1"}} if go_on.wait(PATIENCE) else {}
    for _ in range(2):
        started = time.monotonic()
        acknowledged = post(host, interaction(clicked(api, OPEN, in_a_modal.id)))
        assert (acknowledged.status_code, acknowledged.content) == (200, b"")
        assert time.monotonic() - started < ACKNOWLEDGED_WITHIN, "what a click asks for is done behind the reply"
    go_on.set()
    until(lambda: len(api.given("views.open")) == 2)
    sent = post(host, interaction(sent_in(in_a_modal, note="jörg + 100 % & so")))
    assert (sent.status_code, sent.json()) == (200, {})
    assert response_to(host, in_a_modal) == {"approved": True, "note": "jörg + 100 % & so"}

    api.replies["conversations.replies"] = {"messages": [message_about(in_a_thread)]}
    assert post(host, json.dumps(reply(f"<@{BOT}> No")), "events", "application/json").status_code == 200
    assert response_to(host, in_a_thread) == {"approved": False}
    until(lambda: api.given("chat.postEphemeral"))

    mail = until(lambda: mail_about(by_mail, tmp_path / "mails"))
    answer = EmailMessage()
    answer["From"], answer["To"], answer["Message-ID"] = mail["To"], mail["Reply-To"], "<1@ana.example>"
    answer.set_content("Yes")
    with host.client() as provider:
        assert provider.post("/inbound-mail", content=answer.as_bytes()).text == "answered"
    assert response_to(host, by_mail) == {"approved": True}


def test_what_slack_did_not_sign_is_refused(host: Shop, api: SlackApi) -> None:
    payload = interaction(clicked(api, OPEN, "1"))
    assert post(host, payload, headers=signature_headers(payload, "another secret of somebody's")).status_code == 401
    assert post(host, payload + "&more=1", headers=signature_headers(payload)).status_code == 401


def asked(host: Shop, title: str, **changes: object) -> Task:
    """Ask through the JSON API; return what of the task Slack's helpers need."""
    given = {"assign_to": {"email": "ana@example.com"}, "notify": ["slack", "email"], "response_schema": CHOICE}
    with host.client() as agent:
        question = body(task=title, idempotency_key=title, **given | changes)
        created = agent.post("/humans/api/tasks", json=question, headers=AGENT)
    assert created.status_code == 201, created.text
    return make_task(id=created.json()["id"], spec=make_spec(task=title))


def response_to(host: Shop, task: Task) -> object:
    with host.client() as agent:
        return agent.get(f"/humans/api/tasks/{task.id}", headers=AGENT).json()["response"]


def mail_about(task: Task, folder: Path) -> EmailMessage | None:
    mails = [parsed(file.read_bytes()) for file in folder.glob("*.eml")]
    return next((mail for mail in mails if task.spec.task in mail["Subject"]), None)


def post(
    host: Shop, body: str, path: str = "interactions", kind: str = FORM, headers: Mapping[str, str] | None = None
) -> httpx2.Response:
    """Post what Slack signed."""
    signed = {**(headers or signature_headers(body)), "Content-Type": kind}
    with host.client() as client:
        return client.post(f"/humans/api/channels/slack/{path}", content=body, headers=signed)


def until(what: Callable[[], FoundT | None]) -> FoundT:
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)
    return found
