"""From the agent's question to its typed answer, over HTTP and a Slack that others wrote."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import BaseModel

from awaithumans import await_human
from awaithumans.types import Human
from tests.channels.slack.desk import Decision, Desk, Refund, clicked, interaction, sent_in, signature_headers
from tests.slack import TOKEN, Line, Slack

pytestmark = pytest.mark.anyio

CLAIM, OPEN = "awaithumans.claim_task", "awaithumans.open_review"
NUMBERS = count(1)


class YesOrNo(BaseModel):
    approved: bool


@pytest.fixture
async def desk(slack_line: Line) -> AsyncIterator[Desk]:
    desk = Desk(slack_line, token=TOKEN)
    async with desk.engine.run():
        yield desk
    await desk.engine.aclose()


@pytest.fixture
def place(slack: Slack) -> str:
    return slack.channel(f"together-{next(NUMBERS)}")


@pytest.fixture
def ana(slack: Slack, desk: Desk) -> Human:
    team = slack.ask("auth.test")["team_id"]
    human = Human(id="ana", email="ana@example.com", slack_user_id=slack.member("ana"), slack_team_id=team)
    desk.staff.people = [human]
    return human


async def until(what: Callable[[], Any]) -> Any:
    with anyio.fail_after(10):
        while not (found := what()):
            await anyio.sleep(0.01)
        return found


async def ask(desk: Desk, answers: list[Any], schema: type[BaseModel], **options: Any) -> None:
    answer = await await_human(
        task="Approve this refund?",
        payload_schema=Refund,
        payload=Refund(order="A-1"),
        response_schema=schema,
        timeout_seconds=600,
        engine=desk.engine,
        **options,
    )
    answers.append(answer)


def button(message: Any, action_id: str) -> Any:
    elements = [one for block in message["blocks"] if block["type"] == "actions" for one in block["elements"]]
    return next(one for one in elements if one["action_id"] == action_id)


async def post(url: str, body: str) -> httpx2.Response:
    headers = {**signature_headers(body), "Content-Type": "application/x-www-form-urlencoded"}
    async with httpx2.AsyncClient(base_url=url) as client:
        return await client.post("/api/channels/slack/interactions", content=body, headers=headers)


async def test_claim_in_a_channel_answer_in_the_modal(
    desk: Desk, slack: Slack, slack_line: Line, *, ana: Human, place: str, serve: Callable[..., str]
) -> None:
    url, answers = serve(desk), list[Any]()
    async with anyio.create_task_group() as agents:
        agents.start_soon(lambda: ask(desk, answers, Decision, notify=[f"slack:{place}"]))
        (message,) = await until(lambda: slack.messages(place))
        click = clicked(slack_line, CLAIM, button(message, CLAIM)["value"], ana, team=str(ana.slack_team_id))
        click["trigger_id"] = slack.ask("views.generateTriggerId", user=ana.slack_user_id)["trigger_id"]
        assert (await post(url, interaction(click))).status_code == 200
        body = await until(lambda: next((body for method, body in slack_line.calls if method == "views.open"), None))
        task = await desk.engine.get(json.loads(body)["view"]["private_metadata"])
        await until(lambda: "Taken by" in slack.messages(place)[0]["blocks"][0]["text"]["text"])
        assert (await post(url, interaction(sent_in(task, ana, approved=False, note="too much")))).json() == {}
    assert answers == [Decision(approved=False, note="too much")]
    await until(lambda: "Completed" in slack.messages(place)[0]["blocks"][0]["text"]["text"])
    assert len(slack.messages(place)) == 1


async def test_a_word_in_the_thread_of_a_direct_message_answers(desk: Desk, slack: Slack, ana: Human) -> None:
    assert ana.slack_user_id
    direct, answers = slack.direct(ana.slack_user_id), list[Any]()
    before = len(slack.messages(direct))
    async with anyio.create_task_group() as agents:
        agents.start_soon(lambda: ask(desk, answers, YesOrNo, assign_to="ana@example.com", notify=["slack"]))
        message = (await until(lambda: slack.messages(direct)[before:]))[0]
        event = {
            "type": "message",
            "channel": direct,
            "channel_type": "im",
            "user": ana.slack_user_id,
            "text": "No.",
            "ts": "1.2",
            "thread_ts": message["ts"],
        }
        reply = await desk.event({"type": "event_callback", "team_id": ana.slack_team_id, "event": event})
        assert reply.status_code == 200
    assert answers == [YesOrNo(approved=False)]
    await until(lambda: "Completed" in slack.messages(direct)[before]["blocks"][0]["text"]["text"])
