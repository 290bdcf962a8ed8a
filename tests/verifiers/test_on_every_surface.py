"""A checked answer by every door: it passes, is corrected, or is refused for good; and what races and crashes do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from awaithumans.channels.email import EmailChannel
from awaithumans.errors import AnswerUnderReviewError
from awaithumans.types import Actor, Submit, Task, TaskStatus, VerifierConfig
from awaithumans.verifiers import LLMVerifier
from awaithumans.web import ApiToken, Router
from tests.channels.email.mail import Inbox, text_of
from tests.channels.slack.desk import ANA, BOB, HOST, Decision, Desk
from tests.channels.slack.slack_api import SlackApi, slack_api
from tests.channels.slack.test_events import message_about, reply
from tests.verifiers.test_llm import Script, read
from tests.web.world import hidden_token

pytestmark = pytest.mark.anyio

CHECK = VerifierConfig(provider="careful", instructions="A yes needs a reason.", max_attempts=2)
SAME = {"Sec-Fetch-Site": "same-origin"}
AS_PROGRAM = {"Authorization": "Bearer a-token-of-this-test"}
LEGIT = {"approved": True, "note": "looks legit"}
NO = {"passed": False, "reason": "Say why."}
YES = {"passed": True, "reason": ""}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio, as pydantic-ai and Slack's library do."""
    return "asyncio"


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as api:
        yield api


@dataclass
class House:
    """A question that is checked, and every door to answer it by."""

    desk: Desk
    api: SlackApi
    inbox: Inbox
    script: Script

    async def ask(self) -> Task:
        task = await self.desk.ask(
            response_schema=Decision,
            verifier=CHECK,
            assign_to=["ana@example.com", "bob@example.com"],
            notify=["email:ana@example.com"],
        )
        self.api.replies["conversations.replies"] = {"messages": [message_about(task)]}
        with anyio.fail_after(20):
            while not self.inbox.mails:
                await anyio.sleep(0.01)
        return task

    async def judged(self, task: Task) -> Task:
        """Return the task once its answer is judged."""
        with anyio.fail_after(20):
            return await self.desk.engine.wait_for_verdict(task.id)

    # ── Doors ─────────────────────────────────────────────────────────────────

    async def page(self, task: Task, note: str) -> None:
        place = urlsplit(self.desk.engine.link(await self.desk.task(task), ANA)).path
        async with self.desk.browser() as browser:
            form = {
                "_awaithumans_csrf": hidden_token((await browser.get(place)).text),
                "approved": "true",
                "note": note,
            }
            await browser.post(place, data=form, headers=SAME)

    async def modal(self, task: Task, note: str) -> None:
        await self.desk.send_in(task, approved=True, note=note)

    async def thread(self, task: Task, note: str) -> None:
        await self.desk.event(reply(f"approve, {note}"))

    async def mail(self, task: Task, note: str) -> None:
        asked = [mail for mail in self.inbox.mails if mail["Reply-To"]][-1]
        answer = EmailMessage()
        answer["From"], answer["To"] = "ana@example.com", asked["Reply-To"]
        answer["Message-ID"] = f"<{len(self.inbox.mails)}@ana.example>"
        answer.set_content(f"approve, {note}")
        channel = self.desk.engine.channels["email"]
        assert isinstance(channel, EmailChannel)
        await channel.receive_reply(answer.as_bytes())

    async def program(self, task: Task, note: str) -> None:
        await self.complete(task, {"response": {"approved": True, "note": note}})

    async def program_with_words(self, task: Task, note: str) -> None:
        await self.complete(task, {"text": f"approve, {note}"})

    async def complete(self, task: Task, answer: dict[str, object]) -> None:
        router = Router(self.desk.engine, tokens=[ApiToken("speaker", "a-token-of-this-test", ["answer", "answer:as"])])
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(router), base_url=HOST) as client:
            body = {**answer, "completed_by_email": "ana@example.com"}
            sent = await client.post(f"/api/tasks/{task.id}/complete", json=body, headers=AS_PROGRAM)
        assert sent.status_code == 200, sent.text


@pytest.fixture
async def house(api: SlackApi) -> AsyncIterator[House]:
    script, inbox = Script(YES), Inbox()
    desk = Desk(api, verifier=LLMVerifier(script.model), channels=[inbox.channel(replies="reply@example.com")])
    async with desk.engine.run():
        yield House(desk, api, inbox, script)
    await desk.engine.aclose()


FORMS = [House.page, House.modal, House.program]
WORDS = [House.thread, House.mail, House.program_with_words]
Door = Callable[[House, Task, str], Awaitable[None]]


@pytest.mark.parametrize("door", [*FORMS, *WORDS], ids=lambda door: door.__name__)
class TestEveryDoor:
    async def test_what_passes_is_the_answer(self, house: House, door: Door) -> None:
        house.script.said = [read(LEGIT) if door in WORDS else YES]
        task = await house.ask()
        await door(house, task, "looks legit")
        judged = await house.judged(task)
        assert judged.result(Decision) == Decision(approved=True, note="looks legit")
        assert judged.answer
        assert judged.answer.by.human.email == "ana@example.com"

    async def test_what_is_refused_can_be_corrected(self, house: House, door: Door) -> None:
        passed = read(LEGIT) if door in WORDS else YES
        house.script.said = [read(None, passed=False, reason="Say why.") if door in WORDS else NO, passed]
        task = await house.ask()
        await door(house, task, "hm")
        refused = await house.judged(task)
        assert (refused.refused, refused.attempt) == (True, 1)
        assert refused.verdict
        assert refused.verdict.reason == "Say why."
        await self.mailed(house, "Say why.")
        await door(house, task, "looks legit")
        assert (await house.judged(task)).result(Decision) == Decision(approved=True, note="looks legit")
        assert "Say why." in house.script.heard[-1], "the model is told what it said before"

    async def test_what_is_refused_too_often_ends_it(self, house: House, door: Door) -> None:
        house.script.said = [read(None, passed=False, reason="Say why.") if door in WORDS else NO]
        task = await house.ask()
        for note in ("hm", "well"):
            await door(house, task, note)
            task = await house.judged(task)
            if not task.closed:
                await self.mailed(house, "Say why.")
        assert (task.status, task.attempt) == (TaskStatus.VERIFICATION_EXHAUSTED, 2)
        assert task.outcome_error
        assert "Say why." in task.outcome_error.message

    async def mailed(self, house: House, words: str) -> None:
        """Wait until Ana's mail says so: its reply address is the next attempt's."""
        with anyio.fail_after(20):
            while not any(words in text_of(mail) for mail in house.inbox.mails):
                await anyio.sleep(0.01)


async def test_words_in_a_thread_become_the_typed_answer(house: House) -> None:
    house.script.said = [read(LEGIT)]
    task = await house.ask()
    await house.desk.event(reply("approve, looks legit"))
    assert (await house.judged(task)).response == {"approved": True, "note": "looks legit"}
    told = [one["text"] for one in house.api.given("chat.postEphemeral")]
    assert told == ["Your words were taken as:\n*Approved*: Yes\n*Note*: looks legit"]


async def test_of_two_answers_at_once_one_is_checked(house: House) -> None:
    house.script.said = [read(LEGIT)]
    task = await house.ask()
    faults: list[Exception] = []

    async def answer(by: Actor) -> None:
        try:
            await house.desk.engine.act(task.id, Submit(text="approve, looks legit", by=by))
        except AnswerUnderReviewError as error:
            faults.append(error)

    async with anyio.create_task_group() as group:
        for person in (ANA, BOB):
            group.start_soon(answer, Actor.of(person, auth="host"))
    assert (await house.judged(task)).response == LEGIT
    assert len(faults) == len(house.script.heard) == 1


async def test_what_it_took_is_in_the_trail(house: House) -> None:
    house.script.said = [read(LEGIT)]
    task = await house.ask()
    await house.thread(task, "looks legit")
    await house.judged(task)
    (line,) = [entry for entry in await house.desk.engine.trail(task.id) if entry.action == "completed"]
    assert line.data["verifier_model"] == "scripted"
    assert all(line.data[f"verifier_{name}_tokens"] for name in ("input", "output"))
