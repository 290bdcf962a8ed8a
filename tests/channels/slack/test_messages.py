"""The message is derived from the task as it stands, and from who reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from awaithumans.channels.slack.messages import reminder, task_message
from awaithumans.testing.tasks import ANA, BEN, BOSS, NOON, make_spec, make_task
from awaithumans.types import Actor, Answer, Human, Task, TaskStatus, Verdict
from tests.channels.slack.block_kit import check_blocks

URL = "https://app.example/humans/tasks/1"
LINK = "https://app.example/humans/l/secret"
ANSWER = Answer(by=Actor.of(ANA, auth="host"), at=NOON, attempt=1, value={"approve": False})
SIGNATURE = {"version": 1, "fields": [{"kind": "signature", "name": "s"}, {"kind": "switch", "name": "ok"}]}


def written(task: Task, *, broadcast: bool = True, url: str | None = URL, **more: Any) -> tuple[str, list[str]]:
    """Return the first paragraph, and the ids of the buttons."""
    text, blocks = task_message(task, broadcast=broadcast, url=url, **more)
    check_blocks(blocks)
    read: Any = blocks
    assert text
    buttons = read[-1]["elements"] if read[-1]["type"] == "actions" else []
    for one in buttons:
        assert ("url" in one) != ("value" in one)
        assert one.get("value", task.id) == task.id
    return read[0]["text"]["text"], [one["action_id"].removeprefix("awaithumans.") for one in buttons]


def at(status: TaskStatus, **fields: Any) -> Task:
    return make_task(status=status, **fields)


@pytest.mark.parametrize(
    ("task", "start", "buttons"),
    [
        (make_task(), "📥 *Needs an answer:*", ["claim_task", "open_dashboard"]),
        (make_task(assignee=ANA), "📥 *Waits for <@U0ANA>:*", ["open_dashboard"]),
        (make_task(assignee=ANA, claimed_at=NOON), "🙋 *Taken by <@U0ANA>:*", ["open_dashboard"]),
        (make_task(assignee=BEN, claimed_at=NOON), "🙋 *Taken by Ben 100%_Sure:*", ["open_dashboard"]),
        (
            make_task(status=TaskStatus.SUBMITTED, answers=(ANSWER,)),
            "🔎 *Being checked by <@U0ANA>:*",
            ["open_dashboard"],
        ),
        (make_task(attempt=1, answers=(ANSWER,)), "🔁 *Needs a better answer:*", ["claim_task", "open_dashboard"]),
        (at(TaskStatus.COMPLETED, answers=(ANSWER,)), "✅ *Completed by <@U0ANA>:*", ["open_dashboard"]),
        (at(TaskStatus.CANCELLED, answers=(ANSWER,)), "🚫 *Cancelled:*", ["open_dashboard"]),
        (at(TaskStatus.TIMED_OUT, answers=(ANSWER,)), "⌛ *Timed out:*", ["open_dashboard"]),
        (at(TaskStatus.VERIFICATION_EXHAUSTED), "❌ *Verifier rejected:*", ["open_dashboard"]),
    ],
)
def test_what_everybody_in_a_channel_reads(task, start, buttons):
    found = written(task)
    assert found == (f"{start} Approve the refund?", buttons)
    assert written(task, url=None)[1] == [one for one in buttons if one == "claim_task"]


def test_nobody_elses_mention_is_guessed():
    other = replace(ANA, slack_team_id="T2")
    assert "Ana Šimić" in written(make_task(assignee=other), team="T1")[0]
    assert "<@U0ANA>" in written(make_task(assignee=other), team="T2")[0]
    forged = replace(ANA, slack_user_id="U1>!channel", display_name="<!here>")
    assert "*Waits for &lt;!here&gt;:*" in written(make_task(assignee=forged))[0]


def test_a_personal_link_is_only_in_a_message_for_one():
    for broadcast, address in ((True, URL), (False, LINK)):
        _, blocks = task_message(make_task(), broadcast=broadcast, url=URL, link=LINK)
        found: Any = blocks[-1]["elements"]
        assert found[1]["url"] == address
    assert LINK not in json.dumps(task_message(make_task(), broadcast=True, link=LINK))


@pytest.mark.parametrize(
    ("task", "person", "start", "buttons"),
    [
        (make_task(), None, "📥 *Needs an answer:*", ["open_review", "open_dashboard"]),
        (make_task(assignee=ANA), ANA, "📥 *Needs an answer:*", ["open_review", "open_dashboard"]),
        (make_task(addressees=(ANA, BEN), assignee=BEN, claimed_at=NOON), ANA, "🙋 *Taken by Ben", ["open_dashboard"]),
        (make_task(addressees=(BEN,), assignee=BEN), ANA, "➡️ *Handed on to Ben 100%_Sure:*", ["open_dashboard"]),
        (make_task(addressees=(BEN,)), ANA, "➡️ *Handed on:*", ["open_dashboard"]),
        (make_task(addressees=(BEN,)), BOSS, "📥 *Needs an answer:*", ["open_review", "open_dashboard"]),
    ],
)
def test_what_one_person_reads(task, person, start, buttons):
    text, found = written(task, broadcast=False, person=person)
    assert text.startswith(start)
    assert found == buttons
    assert ("nothing left for you" in text) is ("Handed on" in start)


def test_why_an_answer_was_refused_is_told_to_the_one_who_may_give_a_better_one():
    task = make_task(attempt=1, answers=(ANSWER,), verdict=Verdict(passed=False, reason="Say <why>"))
    assert "_The last answer was refused:_ Say &lt;why&gt;" in written(task, broadcast=False, person=ANA)[0]
    assert "why" not in written(task)[0]
    for spec in (replace(task.spec, redact_payload=True), replace(task.spec, redact_response_after_submit=True)):
        secret = replace(task, spec=spec)
        assert "why" not in written(secret, broadcast=False, person=ANA)[0]


def test_a_form_that_slack_cannot_draw_is_answered_in_the_browser():
    task = make_task(spec=make_spec(form=SIGNATURE))
    text, buttons = written(task, broadcast=False)
    assert "_1 field needs the browser._" in text
    assert buttons == ["open_dashboard"]
    assert written(task)[1] == ["claim_task", "open_dashboard"]
    long = [{"kind": "switch", "name": f"f{n}"} for n in range(120)]
    heavy = make_task(spec=make_spec(form={"version": 1, "fields": long}))
    assert "too long for Slack" in written(heavy, broadcast=False)[0]


def test_what_strangers_wrote_can_mention_nobody_and_lead_nowhere():
    spec = make_spec(task="<!channel>\n" + "& x" * 200, metadata={f"<{n}>": "<@U1>" * 99 for n in range(9)})
    text, blocks = task_message(make_task(spec=spec), broadcast=True, url=URL)
    check_blocks(blocks)
    assert "<" not in text
    assert "<" not in json.dumps(blocks)
    assert len(text) < 260
    assert "_+4 more_" in json.dumps(blocks)


def test_nothing_of_the_payload_is_in_a_message():
    assert "99.99" not in json.dumps(task_message(make_task(), broadcast=False, person=ANA))


def test_an_address_too_long_for_a_button_is_left_out():
    assert written(make_task(), url="https://a.example/" + "x" * 3_000)[1] == ["claim_task"]


def test_a_reminder_in_a_channel_calls_the_one_who_has_the_task():
    task = make_task(assignee=ANA)
    assert reminder(task, broadcast=True).startswith("⏰ <@U0ANA>: ")
    assert "U0ANA" not in reminder(task, broadcast=False)
    hostile = make_task(assignee=Human(id="<!x>"), spec=make_spec(task="<!channel>"))
    assert "<" not in reminder(hostile, broadcast=True)
