"""What people do with buttons and modals in Slack."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, cast

import anyio
import httpx2
import pytest
from pydantic import BaseModel

from awaithumans.beside import beside
from awaithumans.channels.slack import interactions
from awaithumans.errors import VerificationExhaustedError
from awaithumans.stores.memory import MemoryStore
from awaithumans.types import (
    AGENT,
    Actor,
    Change,
    Human,
    Submit,
    Task,
    TaskStatus,
    Verdict,
    VerificationContext,
)
from tests.channels.slack.desk import (
    ANA,
    BOB,
    CHANNEL,
    OLGA,
    SIGNING_SECRET,
    Decision,
    Desk,
    clicked,
    demoted,
    interaction,
    sent_in,
    signature_headers,
)
from tests.channels.slack.slack_api import TEAM, SlackApi
from tests.serving import serving

pytestmark = pytest.mark.anyio

CLAIM, OPEN, PAGE = "awaithumans.claim_task", "awaithumans.open_review", "awaithumans.open_dashboard"
PATIENCE = 20
SLACK_WAITS_SECONDS = 3
"""For a reply, and for a modal after a click."""


class Line(BaseModel):
    article: str
    amount: int


class Order(BaseModel):
    lines: list[Line]


class Gate(MemoryStore):
    """A store that lets nothing through while it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.open = anyio.Event()
        self.open.set()
        self.waiting = anyio.Event()

    def shut(self) -> None:
        self.open, self.waiting = anyio.Event(), anyio.Event()

    async def get(self, task_id: str) -> Task | None:
        await self._pass()
        return await super().get(task_id)

    async def apply(self, change: Change) -> bool:
        await self._pass()
        return await super().apply(change)

    async def _pass(self) -> None:
        self.waiting.set()
        await self.open.wait()


@pytest.fixture
async def slow(api: SlackApi) -> AsyncIterator[Desk]:
    desk = Desk(api, store=Gate())
    yield desk
    await desk.engine.aclose()


def gate(desk: Desk) -> Gate:
    return cast("Gate", desk.store)


def whispered(api: SlackApi) -> list[str]:
    """Return what was said to one person alone, either way."""
    told = [*api.given("response_url"), *api.given("chat.postEphemeral")]
    return [one["text"] for one in told]


def view(reply: httpx2.Response) -> Any:
    content = reply.json()
    assert content["response_action"] == "update", content
    return content["view"]


class TestWhoIsLetIn:
    @pytest.mark.parametrize(
        "signed",
        [
            dict,
            lambda: {"X-Slack-Request-Timestamp": str(int(time.time()))},
            lambda: {"X-Slack-Request-Timestamp": "now", "X-Slack-Signature": "v0=0"},
            lambda: signature_headers("payload=%7B%7D", "another secret"),
            lambda: signature_headers("payload=%7B%7D", at=time.time() - 301),
            lambda: signature_headers("payload=%7B%7D", at=time.time() + 400),
        ],
        ids=["unsigned", "only a time", "no time", "another secret", "too old", "too early"],
    )
    async def test_what_slack_did_not_sign_just_now_is_refused(
        self, desk: Desk, signed: Callable[[], dict[str, str]]
    ) -> None:
        headers = signed()
        async with desk.browser() as client:
            for path in ("interactions", "events"):
                reply = await client.post(f"/api/channels/slack/{path}", content=b"payload=%7B%7D", headers=headers)
                assert reply.status_code == 401

    async def test_without_a_signing_secret_nobody_is_let_in(self, api: SlackApi) -> None:
        desk = Desk(api, signing_secret="")
        reply = await desk.post(interaction({"type": "block_actions"}))
        assert reply.status_code == 503
        assert "signing_secret" in reply.text

    async def test_while_it_is_replaced_both_secrets_are_good(self, api: SlackApi) -> None:
        desk = Desk(api, signing_secret=["the new one", SIGNING_SECRET])
        assert (await desk.post(interaction({"type": "shortcut"}))).status_code == 200

    @pytest.mark.parametrize(
        "body", ["", "payload=", "other=1", "payload={", "payload=1", "payload=%FF", "payload={}&payload={}"]
    )
    async def test_what_is_no_interaction_is_refused(self, desk: Desk, body: str) -> None:
        assert (await desk.post(body)).status_code == 400

    @pytest.mark.parametrize(("method", "path"), [("GET", "interactions"), ("POST", "oauth/start"), ("GET", "x")])
    async def test_there_is_nothing_else(self, desk: Desk, method: str, path: str) -> None:
        async with desk.browser() as client:
            assert (await client.request(method, f"/api/channels/slack/{path}")).status_code == 404

    async def test_what_is_not_for_us_is_taken_note_of(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        other = sent_in(task)
        cast("dict[str, object]", other["view"])["callback_id"] = "the host's own modal"
        for payload in ({"type": "view_closed"}, clicked(api, PAGE, ""), clicked(api, "host.button", "x"), other):
            reply = await desk.post(interaction(payload))
            assert (reply.status_code, reply.content) == (200, b"")
        assert api.calls == []
        assert not (await desk.task(task)).closed


class TestOpening:
    async def test_a_click_opens_the_form(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        reply = await desk.click(OPEN, task)
        assert (reply.status_code, reply.content) == (200, b"")
        (opened,) = api.given("views.open")
        assert opened["trigger_id"] == "trigger-ana"
        assert opened["view"]["private_metadata"] == task.id
        assert "input" in {block["type"] for block in opened["view"]["blocks"]}
        assert (await desk.task(task)).assignee is None, "to look is not to claim"

    @pytest.mark.parametrize(
        ("team", "home", "who"),
        [
            ("T0000OTHER", None, ANA),
            (TEAM, "T0000OTHER", ANA),
            (TEAM, None, Human(id="eve", slack_user_id="U0000EVE")),
        ],
        ids=["another workspace", "a shared channel", "nobody we know"],
    )
    async def test_strangers_are_told_so_and_see_nothing(
        self, desk: Desk, api: SlackApi, team: str, home: str | None, who: Human
    ) -> None:
        task = await desk.ask()
        for action in (OPEN, CLAIM):
            assert (await desk.click(action, task, who, team=team, home=home)).status_code == 200
        assert "views.open" not in api.methods
        assert len(whispered(api)) == 2
        assert (await desk.task(task)).version == task.version

    async def test_who_left_is_a_stranger_from_then_on(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        desk.staff.dismiss(ANA)
        await desk.click(OPEN, task)
        reply = await desk.send_in(task)
        assert "do not know you" in str(view(reply)["blocks"])
        assert "views.open" not in api.methods
        assert not (await desk.task(task)).answers

    async def test_a_demoted_operator_answers_only_what_is_theirs(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(assign_to="ana@example.com")
        await desk.click(OPEN, task, OLGA)
        assert api.methods.count("views.open") == 1
        desk.staff.people = [ANA, BOB, demoted(OLGA)]
        await desk.click(OPEN, task, OLGA)
        assert api.methods.count("views.open") == 1
        assert whispered(api) == ["This question is not addressed to you."]
        assert "not addressed to you" in str(view(await desk.send_in(task, OLGA)))
        assert not (await desk.task(task)).answers

    async def test_who_is_not_asked_learns_nothing_else(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(assign_to="ana@example.com")
        await desk.send_in(task)
        await desk.click(OPEN, task, BOB)
        assert whispered(api) == ["This question is not addressed to you."]

    async def test_a_closed_task_says_who_closed_it_and_when(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        await desk.send_in(task)
        await desk.click(OPEN, task, BOB)
        await desk.click(OPEN, task, ANA)
        when = (await desk.task(task)).closed_at
        assert when is not None
        theirs, ours = whispered(api)
        assert theirs == f"Ana &lt;b&gt; answered this question on {when:%d %b %Y, %H:%M} UTC."
        assert ours.startswith("You answered this question on")

    async def test_a_task_that_is_gone_is_said_to_be(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        await desk.post(interaction(clicked(api, OPEN, "unknown")))
        await desk.post(interaction(clicked(api, CLAIM, "unknown")))
        assert whispered(api) == ["This question is not here any more."] * 2
        assert "not here any more" in str(view(await desk.send_in(replace(task, id="unknown"))))

    async def test_without_the_clicks_own_address_slack_is_asked_to_tell(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(assign_to="ana@example.com")
        api.fails("response_url", "expired_url")
        await desk.click(OPEN, task, BOB)
        (told,) = api.given("chat.postEphemeral")
        assert (told["channel"], told["user"]) == (CHANNEL, BOB.slack_user_id)

    async def test_when_slack_opens_no_modal_the_person_is_asked_to_click_again(
        self, desk: Desk, api: SlackApi
    ) -> None:
        task = await desk.ask()
        api.fails("views.open", "expired_trigger_id")
        assert (await desk.click(OPEN, task)).status_code == 200
        assert whispered(api) == ["That did not work. Please click again."]

    async def test_a_form_that_slack_cannot_draw_is_answered_in_the_browser(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(response_schema=Order)
        await desk.click(CLAIM, task)
        assert "views.open" not in api.methods
        (told,) = whispered(api)
        assert f"https://app.example/tasks/{task.id}" in told


class TestClaiming:
    async def test_the_first_has_it_and_can_answer(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(notify=[f"slack:{CHANNEL}"])
        await desk.click(CLAIM, task)
        after = await desk.task(task)
        assert after.assignee is not None
        assert after.assignee.id == "ana"
        claimed = (await desk.engine.trail(task.id))[-1]
        assert (claimed.action, claimed.by.auth, claimed.by.via) == ("claimed", "channel", "slack")
        assert api.methods == ["auth.test", "views.open"], "the message is edited by the engine's own work"
        await desk.engine.tick()
        assert "chat.postMessage" in api.methods

    async def test_the_next_is_told_who_has_it(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        await desk.click(CLAIM, task, ANA)
        await desk.click(CLAIM, task, BOB)
        assert api.methods.count("views.open") == 1
        (told,) = whispered(api)
        assert "Ana &lt;b&gt; already claimed this question" in told

    async def test_of_many_who_race_one_wins_and_each_other_is_told(self, desk: Desk, api: SlackApi) -> None:
        crowd = [replace(BOB, id=f"p{n}", email=f"p{n}@example.com", slack_user_id=f"U0000P{n}") for n in range(8)]
        desk.staff.people = [*crowd]
        task = await desk.ask()
        async with anyio.create_task_group() as group:
            for human in crowd:
                group.start_soon(desk.click, CLAIM, task, human)
        winner = (await desk.task(task)).assignee
        assert winner is not None
        assert [one["trigger_id"] for one in api.given("views.open")] == [f"trigger-{winner.id}"]
        assert len(whispered(api)) == 7

    async def test_who_has_it_opens_it_again(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        for _ in range(2):
            await desk.click(CLAIM, task)
        assert api.methods.count("views.open") == 2
        assert len([entry for entry in await desk.engine.trail(task.id) if entry.action == "claimed"]) == 1

    async def test_a_withdrawn_task_is_not_claimed(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask()
        await desk.engine.cancel(task.id, by=AGENT)
        await desk.click(CLAIM, task)
        assert "views.open" not in api.methods
        assert whispered(api)[0].startswith("This question was withdrawn on")


class TestWhileTheEngineIsSlow:
    def test_slack_waits_longer_than_the_replies_take(self) -> None:
        assert interactions.PATIENCE_SECONDS < interactions.REPLY_SECONDS < SLACK_WAITS_SECONDS

    async def test_slack_has_its_reply_before_anything_is_looked_up(self, slow: Desk, api: SlackApi) -> None:
        task = await slow.ask()
        gate(slow).shut()
        body = interaction(clicked(api, OPEN, task.id))
        with serving(slow) as url:
            async with httpx2.AsyncClient(base_url=url) as client:
                address = "/api/channels/slack/interactions"
                with anyio.fail_after(PATIENCE):
                    reply = await client.post(address, content=body, headers=signature_headers(body) | FORM)
                assert reply.status_code == 200
            gate(slow).open.set()

    async def test_a_modal_opens_in_time_and_is_filled_in_later(self, slow: Desk, api: SlackApi) -> None:
        task = await slow.ask()
        gate(slow).shut()
        async with anyio.create_task_group() as group:
            group.start_soon(slow.click, OPEN, task)
            with anyio.fail_after(PATIENCE):
                while "views.open" not in api.methods:
                    await anyio.sleep(0.01)
            gate(slow).open.set()
        assert "fetched" in str(api.given("views.open")[0]["view"])
        (update,) = api.given("views.update")
        assert update["view_id"] == "V1"
        assert update["view"]["private_metadata"] == task.id
        assert api.methods.count("views.open") == 1

    async def test_what_is_shown_is_not_emptied_again(
        self, desk: Desk, api: SlackApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interactions, "PATIENCE_SECONDS", 0.05)

        def late(given: object) -> dict[str, object]:
            time.sleep(0.3)
            return {"view": {"id": "V1"}}

        api.replies["views.open"] = late
        task = await desk.ask()
        await desk.click(OPEN, task)
        assert api.methods[-1] == "views.open", "no loading view replaces the form"
        assert api.given("views.open")[-1]["view"]["private_metadata"] == task.id
        assert "input" in str(api.given("views.open")[-1]["view"])

    async def test_a_refusal_then_stands_in_the_modal(self, slow: Desk, api: SlackApi) -> None:
        task = await slow.ask(assign_to="ana@example.com")
        gate(slow).shut()
        async with anyio.create_task_group() as group:
            group.start_soon(slow.click, OPEN, task, BOB)
            with anyio.fail_after(PATIENCE):
                while "views.open" not in api.methods:
                    await anyio.sleep(0.01)
            gate(slow).open.set()
        (update,) = api.given("views.update")
        assert "not addressed to you" in str(update["view"])
        assert whispered(api) == []

    async def test_no_answer_is_confirmed_before_it_is_stored_and_pressing_again_is_harmless(self, slow: Desk) -> None:
        task = await slow.ask()
        gate(slow).shut()
        replies: list[httpx2.Response] = []

        async def press() -> None:
            replies.append(await slow.send_in(task, note="ok"))

        async with anyio.create_task_group() as group:
            group.start_soon(press)
            await gate(slow).waiting.wait()
            group.start_soon(press)
            await anyio.wait_all_tasks_blocked()
            assert replies == []
            gate(slow).open.set()
        assert [reply.json() for reply in replies] == [{}, {}]
        after = await slow.task(task)
        assert [answer.value for answer in after.answers] == [{"approved": True, "note": "ok"}]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class TestAnswering:
    async def test_an_answer_is_stored_as_the_persons_own(self, desk: Desk) -> None:
        task = await desk.ask()
        reply = await desk.send_in(task, approved=False, note="too much")
        assert (reply.status_code, reply.json()) == (200, {})
        after = await desk.task(task)
        assert after.result(Decision) == Decision(approved=False, note="too much")
        entry = (await desk.engine.trail(task.id))[-1]
        assert (entry.by.id, entry.by.auth, entry.by.via) == ("ana", "channel", "slack")
        assert entry.by.stated_by is None

    async def test_from_question_to_typed_answer(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(notify=["slack:U0000ANA"])
        async with desk.engine.run():
            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    results: list[Decision] = []

                    async def agent() -> None:
                        results.append((await desk.engine.wait(task.id)).result(Decision))

                    group.start_soon(agent)
                    while not api.given("chat.postMessage"):
                        await anyio.sleep(0.01)
                    button = _button(api.given("chat.postMessage")[0], OPEN)
                    await desk.post(interaction(clicked(api, OPEN, button["value"])))
                    assert api.given("views.open")
                    await desk.send_in(task, note="fine")
                while not api.given("chat.update"):
                    await anyio.sleep(0.01)
        assert results == [Decision(approved=True, note="fine")]
        assert "Completed" in str(api.given("chat.update")[-1]["blocks"])

    async def test_what_is_wrong_is_said_at_the_field(self, desk: Desk) -> None:
        task = await desk.ask()
        reply = await desk.send_in(task, approved=None)
        assert reply.json() == {"response_action": "errors", "errors": {"awaithumans:approved": "choose one"}}
        assert not (await desk.task(task)).answers

    async def test_the_same_answer_twice_is_one(self, desk: Desk) -> None:
        task = await desk.ask()
        replies = [await desk.send_in(task, note="ok") for _ in range(2)]
        assert [reply.json() for reply in replies] == [{}, {}]
        assert len((await desk.task(task)).answers) == 1

    async def test_another_answer_afterwards_is_refused(self, desk: Desk) -> None:
        task = await desk.ask()
        await desk.send_in(task)
        changed = view(await desk.send_in(task, approved=False))
        assert "You answered this question on" in str(changed)
        theirs = view(await desk.send_in(task, BOB))
        assert "Ana <b> answered this question on" in str(theirs)
        assert (await desk.task(task)).response == {"approved": True}

    async def test_who_does_not_have_it_is_told_who_has(self, desk: Desk) -> None:
        task = await desk.ask()
        await desk.click(CLAIM, task, ANA)
        told = view(await desk.send_in(task, BOB))
        assert "Ana <b> already claimed this question" in str(told)
        assert not (await desk.task(task)).answers

    async def test_a_task_without_an_id_is_no_request_of_ours(self, desk: Desk) -> None:
        task = await desk.ask()
        payload = sent_in(task)
        cast("dict[str, object]", payload["view"])["private_metadata"] = ""
        assert (await desk.post(interaction(payload))).status_code == 400

    async def test_by_email_the_trail_says_how_the_person_was_found(self, api: SlackApi) -> None:
        desk = Desk(api, link_by_email=[TEAM])
        desk.staff.people = [replace(ANA, slack_user_id=None, slack_team_id=None)]
        api.replies["users.info"] = {
            "user": {
                "id": "U0000ANA",
                "team_id": TEAM,
                "is_email_confirmed": True,
                "profile": {"email": "ana@example.com"},
            }
        }
        task = await desk.ask(assign_to="ana@example.com")
        assert (await desk.send_in(task)).json() == {}
        by = (await desk.engine.trail(task.id))[-1].by
        assert (by.id, by.stated_by) == ("ana", f"slack:{TEAM}/U0000ANA by e-mail")
        await desk.engine.aclose()


class Polite:
    """A verifier that passes what says please, once it is allowed to speak."""

    def __init__(self) -> None:
        self.may_speak = anyio.Event()
        self.may_speak.set()

    async def verify(self, context: VerificationContext) -> Verdict:
        await self.may_speak.wait()
        passed = (context.response or {}).get("note") == "please"
        return Verdict(passed=passed, reason="" if passed else "Say please.")


class TestVerdicts:
    @pytest.fixture
    def verifier(self) -> Polite:
        return Polite()

    @pytest.fixture
    async def desk(self, api: SlackApi, verifier: Polite) -> AsyncIterator[Desk]:
        desk = Desk(api, verifier=verifier)
        async with desk.engine.run():
            yield desk
        await desk.engine.aclose()

    async def test_an_answer_that_passes_closes_the_modal(self, desk: Desk) -> None:
        task = await desk.ask_checked()
        assert (await desk.send_in(task, note="please")).json() == {}
        assert (await desk.task(task)).status is TaskStatus.COMPLETED

    async def test_a_refused_one_comes_back_as_it_was_with_the_reason_and_can_be_corrected(self, desk: Desk) -> None:
        task = await desk.ask_checked()
        again = view(await desk.send_in(task, approved=False, note="now"))
        assert again["private_metadata"] == task.id
        assert "Say please." in str(again["blocks"])
        inputs = {block["block_id"]: block["element"] for block in again["blocks"] if block["type"] == "input"}
        assert inputs["awaithumans:note"]["initial_value"] == "now"
        assert inputs["awaithumans:approved"]["initial_option"]["value"] == "false"
        assert (await desk.send_in(task, approved=False, note="please")).json() == {}
        assert (await desk.task(task)).response == {"approved": False, "note": "please"}

    async def test_the_last_refusal_says_that_it_is_over(self, desk: Desk) -> None:
        task = await desk.ask_checked(max_attempts=1)
        over = view(await desk.send_in(task, note="now"))
        assert "no answer passed the check" in str(over)
        with pytest.raises(VerificationExhaustedError):
            (await desk.task(task)).result(Decision)

    async def test_slack_sending_it_again_costs_no_attempt(self, desk: Desk) -> None:
        task = await desk.ask_checked()
        await desk.send_in(task, note="now")
        assert "Say please." in str(view(await desk.retry(task, note="now")))
        assert (await desk.task(task)).attempt == 1

    async def test_a_slow_verdict_is_shown_when_it_comes(
        self, desk: Desk, verifier: Polite, api: SlackApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interactions, "REPLY_SECONDS", 0.05)
        task = await desk.ask_checked()
        for note, shown in (("now", "Say please."), ("please", "Your answer was accepted.")):
            verifier.may_speak = anyio.Event()
            async with beside(self._speaks_once_it_is_late, desk, verifier, task):
                reply = await desk.send_in(task, note=note)
            assert "is being checked" in str(view(reply))
            update = api.given("views.update")[-1]
            assert update["view_id"] == "V1"
            assert shown in str(update["view"])

    @staticmethod
    async def _speaks_once_it_is_late(desk: Desk, verifier: Polite, task: Task) -> None:
        await desk.engine.wait_until(task.id, lambda task: task.status is TaskStatus.SUBMITTED)
        await anyio.sleep(0.2)
        verifier.may_speak.set()

    async def test_while_it_is_checked_others_are_told(self, desk: Desk, verifier: Polite, api: SlackApi) -> None:
        task = await desk.ask_checked()
        verifier.may_speak = anyio.Event()
        await desk.engine.act(task.id, Submit(value={"approved": True}, by=Actor.of(ANA, auth="channel")))
        await desk.click(OPEN, task, BOB)
        assert whispered(api) == ["Ana &lt;b&gt;'s answer is being checked."]
        assert "Ana <b>'s answer is being checked." in str(view(await desk.send_in(task, BOB)))
        verifier.may_speak.set()


def _button(message: Any, action_id: str) -> Any:
    elements = [one for block in message["blocks"] if block["type"] == "actions" for one in block["elements"]]
    return next(one for one in elements if one["action_id"] == action_id)
