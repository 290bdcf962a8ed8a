"""Replies in threads, and the app being removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Any, Literal

import anyio
import pytest
from pydantic import BaseModel, field_validator

from awaithumans.channels.slack.events import HINT, TAKEN, answer_in, said_of_verdict
from awaithumans.channels.slack.workspaces import Installation, SlackApp
from awaithumans.testing.tasks import answering, make_task
from awaithumans.types import AGENT, Human, Task, TaskStatus, VerificationContext, VerifierConfig
from awaithumans.types import Verdict as JudgedVerdict
from tests.channels.reader import CHECK, Noted, Reader
from tests.channels.slack.desk import ANA, BOB, CHANNEL, Desk
from tests.channels.slack.slack_api import BOT, TEAM, SlackApi

pytestmark = pytest.mark.anyio

READ = VerifierConfig.model_validate({**CHECK, "provider": "careful"})
PARENT = "1700000000.000100"


class Verdict(BaseModel):
    approved: bool


class Cautious(BaseModel):
    approved: bool

    @field_validator("approved")
    @classmethod
    def never(cls, value: object) -> object:
        raise ValueError("not on a Friday")


class Strict:
    """A verifier that refuses everything."""

    async def verify(self, context: VerificationContext) -> JudgedVerdict:
        return JudgedVerdict(passed=False, reason="No.")


class Size(BaseModel):
    size: Literal["small", "medium & large"]


@pytest.fixture
async def task(desk: Desk, api: SlackApi) -> Task:
    task = await desk.ask(response_schema=Verdict)
    api.replies["conversations.replies"] = {"messages": [message_about(task)]}
    return task


def message_about(task: Task, **more: object) -> dict[str, object]:
    mark = {"event_type": "awaithumans_notice", "event_payload": {"id": "n", "task": task.id, "target": CHANNEL}}
    return {"type": "message", "user": BOT, "ts": PARENT, "thread_ts": PARENT, "metadata": mark, **more}


def reply(text: str, by: Human = ANA, *, kind: str = "im", **more: object) -> dict[str, Any]:
    """Give the envelope of a message event, as Slack documents it."""
    event = {
        "type": "message",
        "channel": CHANNEL,
        "channel_type": kind,
        "user": by.slack_user_id,
        "team": TEAM,
        "text": text,
        "ts": "1700000001.000100",
        "thread_ts": PARENT,
        "parent_user_id": BOT,
    }
    return {"type": "event_callback", "team_id": TEAM, "event_id": "Ev1", "event": {**event, **more}}


def whispered(api: SlackApi) -> list[str]:
    return [one["text"] for one in api.given("chat.postEphemeral")]


async def test_slack_gets_its_challenge_back(desk: Desk) -> None:
    answer = await desk.event({"type": "url_verification", "token": "t", "challenge": "3eZbrw1aB"})
    assert answer.json() == {"challenge": "3eZbrw1aB"}


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"type": "event_callback", "event": 1}'])
async def test_what_is_no_event_is_refused(desk: Desk, body: str) -> None:
    assert (await desk.post(body, path="/events", kind="application/json")).status_code == 400


class TestReplies:
    async def test_an_exact_word_in_the_thread_answers(self, desk: Desk, api: SlackApi, task: Task) -> None:
        answer = await desk.event(reply("yes."))
        assert (answer.status_code, answer.content) == (200, b"")
        after = await desk.task(task)
        assert after.response == {"approved": True}
        entry = (await desk.engine.trail(task.id))[-1]
        assert (entry.by.id, entry.by.auth, entry.by.via) == ("ana", "channel", "slack")
        assert whispered(api) == [TAKEN]
        (asked,) = api.given("conversations.replies")
        assert (asked["channel"], asked["ts"], asked["include_all_metadata"]) == (CHANNEL, PARENT, "true")

    async def test_the_same_event_again_changes_nothing(self, desk: Desk, api: SlackApi, task: Task) -> None:
        for _ in range(3):
            assert (await desk.event(reply("yes"))).status_code == 200
        assert len((await desk.task(task)).answers) == 1
        assert whispered(api) == [TAKEN]

    async def test_an_event_that_comes_again_after_a_refusal_is_no_second_answer(self, api: SlackApi) -> None:
        """Slack sends again what was not replied to in time, and a slow verifier is not the only reason."""
        desk = Desk(api, verifier=Strict())
        config = VerifierConfig(provider="careful", instructions="No.", max_attempts=2)
        task = await desk.ask(response_schema=Verdict, verifier=config)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        async with desk.engine.run():
            await desk.event(reply("yes"))
            assert (await desk.event(reply("yes"), retry=1)).status_code == 200
            after = await desk.task(task)
            assert (len(after.answers), after.status) == (1, TaskStatus.PENDING)
            await desk.event(reply("yes", ts="1700000009.000100"))
            assert len((await desk.task(task)).answers) == 2, "said once more by the person, it is another answer"
        await desk.engine.aclose()

    async def test_other_words_get_a_hint_once_for_each_person(self, desk: Desk, api: SlackApi, task: Task) -> None:
        for text in ("I would say so", "yes but not today", "Which order?"):
            await desk.event(reply(text))
        await desk.event(reply("Hm", BOB))
        assert whispered(api) == [HINT, HINT]
        assert [one["user"] for one in api.given("chat.postEphemeral")] == ["U0000ANA", "U0000BOB"]
        assert {one["thread_ts"] for one in api.given("chat.postEphemeral")} == {PARENT}
        assert not (await desk.task(task)).answers

    async def test_what_a_verifier_reads_out_of_other_words_is_the_answer(self, api: SlackApi) -> None:
        desk = Desk(api, verifier=Reader())
        task = await desk.ask(response_schema=Noted, verifier=READ)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        async with desk.engine.run():
            await desk.event(reply("approve, looks &lt;legit&gt;"))
        assert (await desk.task(task)).response == {"approved": True, "notes": "looks <legit>"}
        assert whispered(api) == ["Your words were taken as:\n*Approved*: Yes\n*Notes*: looks &lt;legit&gt;"]
        await desk.engine.aclose()

    async def test_words_that_a_verifier_refuses_can_be_corrected_and_do_not_count_twice(self, api: SlackApi) -> None:
        desk = Desk(api, verifier=Reader())
        task = await desk.ask(response_schema=Noted, verifier=READ)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        async with desk.engine.run():
            await desk.event(reply("hm"))
            await desk.event(reply("hm"), retry=1)
            (told,) = whispered(api)
            assert told.startswith("Your answer was refused: Say whether you approve, and why. Reply once more")
            assert (await desk.task(task)).attempt == 1
            await desk.event(reply("decline, too much"))
        assert (await desk.task(task)).response == {"approved": False, "notes": "too much"}
        await desk.engine.aclose()

    async def test_an_event_that_comes_again_behind_a_later_one_is_no_third_answer(self, api: SlackApi) -> None:
        """Slack's last repetition comes five minutes later: there was time to say more in between."""
        desk = Desk(api, verifier=Reader())
        task = await desk.ask(response_schema=Noted, verifier=READ)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        async with desk.engine.run():
            for words in ("hm", "well"):
                await desk.event(reply(words))
            await desk.event(reply("hm"), retry=3)
        after = await desk.task(task)
        assert (len(after.answers), after.status) == (2, TaskStatus.PENDING)
        await desk.engine.aclose()

    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            ("approve, ask <mailto:ben@acme.example|ben@acme.example>", "approve, ask ben@acme.example"),
            (
                "approve, see <https://acme.example/a?b=1&amp;c=2|acme.example>",
                "approve, see https://acme.example/a?b=1&c=2",
            ),
            ("approve, if a &lt;b|c&gt; d", "approve, if a <b|c> d"),
            ("approve, says <@U0000BOB>", "approve, says <@U0000BOB>"),
        ],
    )
    async def test_a_verifier_reads_addresses_as_they_were_written(self, api: SlackApi, sent: str, meant: str) -> None:
        verifier = Reader()
        desk = Desk(api, verifier=verifier)
        task = await desk.ask(response_schema=Noted, verifier=READ)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        async with desk.engine.run():
            await desk.event(reply(sent))
        assert [context.raw_input for context in verifier.seen] == [meant]
        await desk.engine.aclose()

    async def test_words_that_cannot_be_stored_are_refused_once(self, api: SlackApi) -> None:
        desk = Desk(api, verifier=Reader())
        task = await desk.ask(response_schema=Noted, verifier=READ)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        assert (await desk.event(reply("approve, \0"))).status_code == 200
        assert len(whispered(api)) == 1
        assert not (await desk.task(task)).answers
        await desk.engine.aclose()

    async def test_nobody_is_told_another_ones_answer_as_their_own(self) -> None:
        """A refusal can be followed by somebody else's answer before the first is told."""
        mine = answering(make_task(), ANA).task
        theirs = answering(make_task(), BOB, {"notes": "theirs"}).task
        (later,) = theirs.answers
        after = replace(theirs, attempt=2, answers=(*mine.answers, replace(later, attempt=2, text="theirs")))
        assert said_of_verdict(after, mine.answer) == "Your answer was refused, and another one was given since."
        assert "theirs" in said_of_verdict(after, after.answer)

    async def test_of_a_secret_task_nothing_is_quoted(self, api: SlackApi) -> None:
        desk = Desk(api, verifier=Reader(trusted=True))
        task = await desk.ask(response_schema=Noted, verifier=READ, redact_payload=True)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        async with desk.engine.run():
            for words in ("hm", "approve, why not"):
                await desk.event(reply(words))
        assert whispered(api) == [
            "Your answer was refused. Reply once more, or use the button of the message above.",
            "Your answer was accepted.",
        ]
        await desk.engine.aclose()

    async def test_among_others_only_what_is_said_to_the_app_counts(
        self, desk: Desk, api: SlackApi, task: Task
    ) -> None:
        for text in ("yes", "no", "what a pity"):
            await desk.event(reply(text, kind="channel"))
        assert api.calls == [] or api.methods == ["auth.test"]
        assert not (await desk.task(task)).answers
        await desk.event(reply(f"<@{BOT}> No", kind="channel"))
        assert (await desk.task(task)).response == {"approved": False}

    @pytest.mark.parametrize(
        "more",
        [
            {"bot_id": "B1"},
            {"subtype": "message_changed"},
            {"subtype": "bot_message"},
            {"thread_ts": ""},
            {"parent_user_id": "U0000EVE"},
            {"type": "reaction_added"},
        ],
        ids=str,
    )
    async def test_what_is_no_persons_reply_to_the_app_is_ignored(
        self, desk: Desk, api: SlackApi, task: Task, more: dict[str, Any]
    ) -> None:
        assert (await desk.event(reply("yes", **more))).status_code == 200
        assert "conversations.replies" not in api.methods
        assert not (await desk.task(task)).answers

    @pytest.mark.parametrize(
        "more",
        [
            {"user": "U0000EVE"},
            {"ts": "1.1"},
            {"metadata": None},
            {"metadata": {"event_type": "other", "event_payload": {"task": "t"}}},
            {"metadata": {"event_type": "awaithumans_notice", "event_payload": {"task": "unknown"}}},
        ],
        ids=str,
    )
    async def test_only_a_message_of_our_own_says_what_a_thread_is_about(
        self, desk: Desk, api: SlackApi, task: Task, more: dict[str, Any]
    ) -> None:
        api.replies["conversations.replies"] = {"messages": [message_about(task, **more)]}
        assert (await desk.event(reply("yes", parent_user_id=None))).status_code == 200
        assert not (await desk.task(task)).answers
        assert whispered(api) == []

    async def test_strangers_are_neither_heard_nor_told(self, desk: Desk, api: SlackApi, task: Task) -> None:
        await desk.event(reply("yes", Human(id="eve", slack_user_id="U0000EVE")))
        await desk.event(reply("yes", ANA, user_team="T0000OTHER"))
        desk.staff.dismiss(BOB)
        await desk.event(reply("yes", BOB))
        assert not (await desk.task(task)).answers
        assert whispered(api) == []

    async def test_who_is_not_asked_does_not_answer(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(response_schema=Verdict, assign_to="ana@example.com")
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        await desk.event(reply("yes", BOB))
        assert not (await desk.task(task)).answers

    async def test_a_closed_question_is_not_answered_again(self, desk: Desk, api: SlackApi, task: Task) -> None:
        await desk.engine.cancel(task.id, by=AGENT)
        await desk.event(reply("yes"))
        assert whispered(api) == []

    async def test_when_slack_does_not_say_what_it_is_about_the_event_comes_again(
        self, desk: Desk, api: SlackApi, task: Task
    ) -> None:
        api.fails("conversations.replies", "internal_error")
        assert (await desk.event(reply("yes"))).status_code == 503
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        await desk.event(reply("yes"))
        assert (await desk.task(task)).response == {"approved": True}

    async def test_when_the_app_may_not_read_messages_no_retry_helps(
        self, desk: Desk, api: SlackApi, task: Task
    ) -> None:
        api.fails("conversations.replies", "missing_scope")
        assert (await desk.event(reply("yes"))).status_code == 200

    async def test_of_two_words_one_counts_and_the_other_is_told(self, desk: Desk, api: SlackApi, task: Task) -> None:
        async with anyio.create_task_group() as group:
            for text, by in (("yes", ANA), ("no", BOB)):
                group.start_soon(lambda text, by: desk.event(reply(text, by)), text, by)
        (answer,) = (await desk.task(task)).answers
        told = {one["user"]: one["text"] for one in api.given("chat.postEphemeral")}
        assert told.pop(str(answer.by.slack_user_id)) == TAKEN
        assert all("answered this question on" in text for text in told.values())

    async def test_what_the_asking_program_refuses_is_said(self, desk: Desk, api: SlackApi) -> None:
        task = await desk.ask(response_schema=Verdict)
        desk.engine._remember(task.id, Cautious)
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        assert (await desk.event(reply("yes"))).status_code == 200
        (told,) = whispered(api)
        assert "not on a Friday" in told
        assert not (await desk.task(task)).answers

    async def test_a_form_with_more_than_one_question_is_not_answered_by_a_word(
        self, desk: Desk, api: SlackApi
    ) -> None:
        task = await desk.ask()
        api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        await desk.event(reply("yes"))
        assert whispered(api) == [HINT]
        assert not (await desk.task(task)).answers


class TestWords:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("small", "small"),
            (" SMALL!\n", "small"),
            ("medium &amp; large", "medium & large"),
            ("medium", None),
            ("not small", None),
            ("", None),
            (".", None),
        ],
    )
    async def test_a_choice_is_its_label_or_value_and_nothing_else(
        self, desk: Desk, text: str, size: str | None
    ) -> None:
        task = await desk.ask(response_schema=Size)
        assert answer_in(text, task) == (size and {"size": size})

    @pytest.mark.parametrize("blank", ["", "."])
    async def test_nothing_said_is_no_answer_though_a_choice_is_called_nothing(self, desk: Desk, blank: str) -> None:
        task = await desk.ask(response_schema=Size)
        schema = {"type": "object", "properties": {"size": {"enum": [blank, "small"]}}, "required": ["size"]}
        task = replace(task, spec=replace(task.spec, response_schema=schema, form=None))
        assert answer_in(" ", task) is None
        assert answer_in("small", task) == {"size": "small"}


class TestRemoval:
    @pytest.fixture
    async def desk(self, api: SlackApi) -> AsyncIterator[Desk]:
        desk = Desk(api, app=SlackApp(client_id="1.2", client_secret="hush"))
        here = Installation(
            team_id=TEAM,
            team_name="Acme",
            bot_user_id=BOT,
            scopes=(),
            installed_by=None,
            installed_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
        await desk.slack._workspaces.install(here, "xoxb-acme")
        await desk.slack._workspaces.install(replace(here, team_id="T0000OTHER"), "xoxb-other")
        yield desk
        await desk.engine.aclose()

    @pytest.mark.parametrize("kind", ["app_uninstalled", "tokens_revoked"])
    async def test_a_dead_token_is_erased(
        self, desk: Desk, api: SlackApi, kind: Literal["app_uninstalled", "tokens_revoked"]
    ) -> None:
        api.fails("auth.test", "token_revoked")
        for _ in range(2):
            body = {"type": "event_callback", "team_id": TEAM, "event": {"type": kind}}
            assert (await desk.event(body)).status_code == 200
        assert [one.team_id for one in await desk.slack.installations()] == ["T0000OTHER"]

    async def test_one_that_works_is_kept_since_the_event_may_be_late(self, desk: Desk, api: SlackApi) -> None:
        body = {"type": "event_callback", "team_id": TEAM, "event": {"type": "app_uninstalled"}}
        assert (await desk.event(body)).status_code == 200
        assert len(await desk.slack.installations()) == 2

    async def test_an_app_that_is_installed_again_while_slack_is_asked_is_kept(self, desk: Desk, api: SlackApi) -> None:
        here = next(one for one in await desk.slack.installations() if one.team_id == TEAM)
        again = partial(anyio.run, desk.slack._workspaces.install, here, "xoxb-new")

        def asked(given: object) -> dict[str, object]:
            installing = Thread(target=again)
            installing.start()
            installing.join()
            return {"ok": False, "error": "token_revoked"}

        api.replies["auth.test"] = asked
        body = {"type": "event_callback", "team_id": TEAM, "event": {"type": "app_uninstalled"}}
        assert (await desk.event(body)).status_code == 200
        assert len(await desk.slack.installations()) == 2
        assert (await desk.slack._workspaces.client(TEAM)).token == "xoxb-new"

    async def test_while_slack_cannot_be_asked_nothing_is_erased(self, desk: Desk, api: SlackApi) -> None:
        api.fails("auth.test", "internal_error")
        body = {"type": "event_callback", "team_id": TEAM, "event": {"type": "app_uninstalled"}}
        assert (await desk.event(body)).status_code == 503
        assert len(await desk.slack.installations()) == 2

    async def test_with_a_token_of_ones_own_there_is_nothing_to_erase(self, api: SlackApi) -> None:
        desk = Desk(api)
        body = {"type": "event_callback", "team_id": TEAM, "event": {"type": "app_uninstalled"}}
        assert (await desk.event(body)).status_code == 200
        assert api.calls == []
