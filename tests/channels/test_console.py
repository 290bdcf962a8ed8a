"""Questions on the program's own console, and answers typed there."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence

import httpx2
import pexpect
import pytest

from awaithumans import Engine
from awaithumans.channels.console import ConsoleChannel
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.channels import ChannelConformance, make_notice
from awaithumans.testing.clock import VirtualClock
from awaithumans.testing.engines import a_question
from awaithumans.types import AGENT, Actor, Human, Verdict, VerificationContext, VerifierConfig
from tests.daemons import free_port
from tests.programs.console_app import TOKEN
from tests.typist import play, program
from tests.web.world import body

APP = ("-m", "tests.programs.console_app")
ANSWER = [("Approved", "y\n"), ("Send?", "y\n")]


class TestConsoleChannel(ChannelConformance):
    events = ("opened", "reminder", "claimed", "released", "reassigned", "rejected", "closed")

    @pytest.fixture
    def stream(self) -> io.StringIO:
        return io.StringIO()

    @pytest.fixture
    def channel(self, stream: io.StringIO) -> ConsoleChannel:
        return ConsoleChannel(stream=stream)

    @pytest.fixture
    def target(self) -> str:
        return "me"

    @pytest.fixture
    def bad_targets(self) -> Sequence[str]:
        return ["", " ", "\x1b[2J"]


class Rules:
    async def verify(self, context: VerificationContext) -> Verdict:
        return Verdict(passed=bool(context.previous_rejections), reason="be \x1b[31mkind")


@pytest.mark.anyio
async def test_it_says_what_becomes_of_a_question() -> None:
    stream, clock = io.StringIO(), VirtualClock()
    engine = Engine(
        MemoryStore(),
        channels=[ConsoleChannel(stream=stream)],
        verifiers={"rules": Rules()},
        clock=clock,
        public_url="https://app.example/humans",
        background=False,
    )
    ana, ben = (Human(id=f"{name}@example.com", display_name=name.title()) for name in ("ana", "ben"))
    both = {"emails": [ana.id, ben.id]}
    checked = VerifierConfig(provider="rules", instructions="Be kind.", max_attempts=3)
    spec = a_question(task="Refund?\nIt is \x1b]0;late.", notify=("console:me",), assign_to=both, verifier=checked)
    task = await engine.create(spec)
    await engine.tick()
    by = Actor.of(ana, auth="engine")
    await engine.claim(task.id, by=by)
    await engine.tick()
    await engine.release(task.id, by=by)
    await engine.tick()
    for _ in range(2):
        await engine.submit(task.id, {"approved": True}, by=Actor.of(ben, auth="engine"))
        await engine.tick()
    url = f"  https://app.example/humans/tasks/{task.id}"
    assert stream.getvalue().splitlines() == [
        "awaithumans: asked of me: Refund?",
        r"  It is \x1b]0;late.",
        url,
        "awaithumans: Ana has it: Refund?",
        "awaithumans: given back: Refund?",
        url,
        "awaithumans: an answer is being checked: Refund?",
        r"awaithumans: the answer was refused (be \x1b[31mkind): Refund?",
        url,
        "awaithumans: an answer is being checked: Refund?",
        "awaithumans: answered by Ben: Refund?",
    ]
    await engine.aclose()


@pytest.mark.anyio
async def test_of_a_secret_answer_it_does_not_quote_what_the_check_said() -> None:
    stream = io.StringIO()
    engine = Engine(
        MemoryStore(), channels=[ConsoleChannel(stream=stream)], verifiers={"rules": Rules()}, background=False
    )
    checked = VerifierConfig(provider="rules", instructions="Be kind.", max_attempts=3)
    spec = a_question(notify=("console:me",), verifier=checked, redact_response_after_submit=True)
    task = await engine.create(spec)
    await engine.submit(task.id, {"approved": True}, by=Actor.of(Human(id="ana"), auth="engine"))
    await engine.tick()
    said = stream.getvalue()
    assert ("the answer was refused: " in said, "kind" in said) == (True, False)
    await engine.aclose()


@pytest.mark.anyio
async def test_it_says_who_is_asked_now() -> None:
    stream = io.StringIO()
    engine = Engine(MemoryStore(), channels=[ConsoleChannel(stream=stream)], background=False)
    task = await engine.create(a_question(task="Refund?", notify=("console",), assign_to={"email": "ana@example.com"}))
    await engine.reassign(task.id, [Human(id="ben@example.com", display_name="Ben")], by=AGENT)
    await engine.tick()
    said = stream.getvalue()
    assert "now asked of Ben: Refund?" in said
    assert "asked of ben@example.com: Refund?" in said
    await engine.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["cancel", "deadline"])
async def test_it_says_how_a_question_ends_without_an_answer(ending: str) -> None:
    stream, clock = io.StringIO(), VirtualClock()
    engine = Engine(MemoryStore(), channels=[ConsoleChannel(stream=stream)], clock=clock, background=False)
    task = await engine.create(a_question(notify=("console:me",)))
    if ending == "cancel":
        await engine.cancel(task.id, by=AGENT)
    else:
        await clock.advance(601)
    for _ in range(2):
        await engine.tick()
    assert ("withdrawn" if ending == "cancel" else "the time was up") in stream.getvalue()
    await engine.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [None, "closed"])
async def test_a_console_that_is_gone_fails_no_delivery(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    """Programs without a window have none; nobody is missed by a message that nobody can read."""
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone if stream else None)
    await ConsoleChannel().send(make_notice("console", "me"))


@pytest.mark.anyio
async def test_the_link_is_shown_where_there_is_one() -> None:
    stream = io.StringIO()
    await ConsoleChannel(stream=stream).send(make_notice("console", "me", link="https://app.example/l/abc"))
    assert "https://app.example/l/abc" in stream.getvalue()
    assert "/tasks/" not in stream.getvalue()


class TestInATerminal:
    @pytest.mark.parametrize("way", ["in_a_coroutine", "in_threads"])
    def test_the_question_is_answered_right_there(self, way: str) -> None:
        with program(*APP, way) as person:
            screen = play(
                person, [("awaithumans: asked of", ""), ("/l/" if way == "in_a_coroutine" else "/tasks/", "")]
            )
            play(person, ANSWER)
            person.expect_exact('{"approved":true}')
            person.expect(pexpect.EOF)
            assert "Approve the refund?" in screen

    def test_what_is_typed_slowly_is_not_overwritten(self) -> None:
        """The line that counts down while an agent waits leaves the prompt alone."""
        with program(*APP, "in_a_coroutine") as person:
            play(person, [("Approved", "n")])
            with pytest.raises(pexpect.TIMEOUT):
                person.expect_exact("left\r", timeout=2.5)
            assert "\x1b[K" not in person.before
            play(person, [("", "o\n"), ("Send?", "y\n")])
            person.expect_exact('{"approved":false}')

    def test_beside_a_server(self) -> None:
        """And an answer that comes another way ends the asking."""
        port = free_port()
        api = httpx2.Client(base_url=f"http://127.0.0.1:{port}/api", headers={"Authorization": f"Bearer {TOKEN}"})
        one_choice = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
        question = body(notify=["console"], assign_to={"userId": "ana"}, response_schema=one_choice)
        with program(*APP, "in_a_server", str(port)) as person, api:
            person.expect_exact("Uvicorn running on")
            first = api.post("/tasks", json=question).json()["id"]
            play(person, [("asked of ana", ""), *ANSWER, ("Sent.", ""), ("answered by Ana", "")])
            shown = api.get(f"/tasks/{first}").json()
            assert (shown["status"], shown["response"]) == ("completed", {"approved": True})
            assert (shown["completed_by_email"], shown["completed_via_channel"]) == ("ana@example.com", "console")
            second = api.post("/tasks", json={**question, "idempotency_key": "key-2"}).json()["id"]
            play(person, [("asked of ana", ""), ("Approved", "")])
            done = api.post(f"/tasks/{second}/complete", json={"response": {"approved": False}})
            assert done.status_code == 200, done.text
            person.expect_exact("answered by")
            third = api.post("/tasks", json={**question, "idempotency_key": "key-3"}).json()["id"]
            play(person, [("asked of ana", ""), ("Approved", ":q\n"), ("Left open.", "")])
            assert api.get(f"/tasks/{third}").json()["status"] == "created"
            began = time.monotonic()
            fourth = api.post("/tasks", json={**question, "idempotency_key": "key-4"})
            assert fourth.status_code == 201
            play(person, [("asked of ana", ""), ("Approved", "\x03"), ("Finished server process", "")])
            person.expect(pexpect.EOF)
            assert time.monotonic() - began < 10
