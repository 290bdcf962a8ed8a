"""The pages, as people and their browsers use them."""

from __future__ import annotations

import base64
import re

import anyio
import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from awaithumans.errors import ConfigurationError
from awaithumans.protocols import DeliveryError, VerifierError
from awaithumans.testing.channels import RecordingChannel
from awaithumans.types import Actor, Claim, Notice, Release, Submit, TaskStatus, Verdict, VerificationContext
from awaithumans.web import ApiToken, Router, Scope
from tests.web.world import ANA, BOB, OLGA, YES, World, as_person, as_program, form, secret_of

pytestmark = pytest.mark.anyio

FOR_ANA = {"email": "ana@example.com"}
FOR_BOTH = {"emails": ["ana@example.com", "bob@example.com"]}
VERIFIER = {"provider": "moody", "instructions": "Be polite."}


async def test_from_the_queue_to_the_answer(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    queue = await client.get("/", headers=as_person("ana"))
    assert f'href="/tasks/{task_id}"' in queue.text
    fields = await form(client, f"/tasks/{task_id}", "ana", approved="true", note="fine")
    sent = await client.post(f"/tasks/{task_id}", data=fields, headers=as_person("ana"))
    assert (sent.status_code, sent.headers["Location"]) == (303, f"/tasks/{task_id}/done")
    assert "that is answered" in (await client.get(sent.headers["Location"], headers=as_person("ana"))).text
    answer = (await world.task(task_id)).answer
    assert answer
    assert answer.value == {"approved": True, "note": "fine"}
    assert (answer.by.id, answer.by.auth, answer.by.via) == (ANA.id, "host", "web")


async def test_a_long_trail_has_its_end_on_the_page_and_the_rest_behind_a_link(
    world: World, client: httpx2.AsyncClient
) -> None:
    task_id, ana = await world.ask(client), Actor.of(ANA, auth="host")
    for _ in range(30):
        await world.engine.act(task_id, Claim(by=ana))
        await world.engine.act(task_id, Release(by=ana))
    page = (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
    assert page.count("gave the task back") == 20
    assert "21 earlier entries" in page
    rest = await client.get(f"/api/tasks/{task_id}/audit", headers=as_person("ana"))
    assert f'href="{rest.url.path}"' in page
    assert len(rest.json()) == 61


async def test_every_page_has_the_headers_that_keep_it_safe(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    for path in ("/", f"/tasks/{task_id}", "/nope", "/tasks/nope", "/l/x"):
        headers = (await client.get(path, headers=as_person("ana"))).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] in {"no-referrer", "same-origin"}


async def test_static_files_change_their_address_with_their_content(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/", headers=as_person("ana"))).text
    addresses = re.findall(r'"(/static/[^"]+)"', page)
    assert {address.rpartition("/")[2] for address in addresses} == {
        *("style.css", "dark.css", "icon.svg", "page.js", "keys.js", "live.js"),
    }
    for address in addresses:
        response = await client.get(address)
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (await client.get("/static/0000000000000000/style.css")).status_code == 404


async def test_no_page_has_inline_script_or_style(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, payload={"html": "<script>alert(1)</script>", "style": "<style>*{}</style>"})
    page = (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert not re.search(r"<style|\son[a-z]+=| style=", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


HOSTILE = [
    "<b>x</b>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 71911 * 3 }}",
    "</textarea>",
    "\u202eevil",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_agents_send_is_shown_and_never_obeyed(world: World, client: httpx2.AsyncClient, text: str) -> None:
    schema = {
        "type": "object",
        "properties": {"note": {"type": "string", "title": text, "description": text}},
        "required": ["note"],
    }
    task_id = await world.ask(
        client,
        task=f"{text}\n{text}",
        payload={text: text, "list": [{text: text, "b": 1}, {text: text, "b": 2}]},
        response_schema=schema,
        initial_response={"note": text},
        assign_to=FOR_ANA,
    )
    for path in ("/", f"/tasks/{task_id}", world.link(await world.task(task_id))):
        page = (await client.get(path, headers=as_person("ana"))).text
        assert "<b>x" not in page
        assert "<img" not in page
        assert 'href="javascript' not in page
        assert "215733" not in page


async def test_a_bad_form_comes_back_filled_in_with_its_faults(world: World, client: httpx2.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
    task_id = await world.ask(client, response_schema=schema)
    fields = await form(client, f"/tasks/{task_id}", "ana", amount="twelve")
    response = await client.post(f"/tasks/{task_id}", data=fields, headers=as_person("ana"))
    assert response.status_code == 422
    [control] = re.findall(r"<input[^>]*name=\"amount\"[^>]*>", response.text)
    assert 'value="twelve"' in control
    assert 'aria-invalid="true"' in control
    assert "autofocus" in control
    [described] = re.findall(r'aria-describedby="([^"]*)"', control)
    for element in described.split():
        assert f'id="{element}"' in response.text
    assert (await world.task(task_id)).version == 1


async def test_a_refused_answer_is_explained_and_prefilled(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, verifier_config=VERIFIER)
    fields = await form(client, f"/tasks/{task_id}", "ana", approved="true", note="now!")
    sent = await client.post(f"/tasks/{task_id}", data=fields, headers=as_person("ana"))
    assert sent.headers["Location"] == f"/tasks/{task_id}"
    page = (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
    assert "Say please." in page
    assert "Attempts used: 1 of 3." in page
    assert "now!" in page


async def test_the_first_form_shows_what_the_agent_gave(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(
        client, initial_response={"approved": True, "note": "draft"}, initial_errors={"note": "was too short"}
    )
    page = (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
    assert "draft" in page
    assert "was too short" in page


async def test_whoever_comes_second_is_told_who_was_first(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    fields = await form(client, f"/tasks/{task_id}", "ana", approved="true")
    await world.engine.submit(task_id, YES, by=Actor.of(BOB, auth="host"))
    late = await client.post(f"/tasks/{task_id}", data=fields, headers=as_person("ana"))
    assert late.status_code == 409
    assert "Bob</bdi> answered on" in late.text
    assert "Your answer was not taken" in late.text


async def test_claiming_and_releasing(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, assign_to=FOR_BOTH)
    fields = await form(client, f"/tasks/{task_id}", "ana")
    taken = await client.post(f"/tasks/{task_id}/claim", data=fields, headers=as_person("ana"))
    assert (taken.status_code, taken.headers["Location"]) == (303, f"/tasks/{task_id}")
    assert (await world.task(task_id)).assignee == ANA
    bobs = (await client.get(f"/tasks/{task_id}", headers=as_person("bob"))).text
    assert "Ana</bdi> has this question" in bobs
    assert "Send the answer" not in bobs
    await client.post(f"/tasks/{task_id}/release", data=fields, headers=as_person("ana"))
    assert (await world.task(task_id)).assignee is None


async def test_withdrawing_is_for_operators(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    fields = await form(client, f"/tasks/{task_id}", "ana")
    assert "Withdraw" not in (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
    assert (await client.post(f"/tasks/{task_id}/cancel", data=fields, headers=as_person("ana"))).status_code == 403
    fields = await form(client, f"/tasks/{task_id}", "olga", reason="asked twice")
    await client.post(f"/tasks/{task_id}/cancel", data=fields, headers=as_person("olga"))
    assert (await world.task(task_id)).status is TaskStatus.CANCELLED
    page = (await client.get(f"/tasks/{task_id}", headers=as_person("olga"))).text
    assert "asked twice" in page


async def test_a_stranger_sees_nothing_of_a_task(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, assign_to=FOR_ANA)
    assert task_id not in (await client.get("/", headers=as_person("eve"))).text
    for path in (f"/tasks/{task_id}", f"/tasks/{task_id}/done"):
        page = await client.get(path, headers=as_person("eve"))
        assert page.status_code == 403
        assert "refund" not in page.text
        assert "logged in as Eve" in page.text


async def test_who_is_not_logged_in_is_told_to(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    for path in ("/", f"/tasks/{task_id}"):
        page = await client.get(path)
        assert page.status_code == 401
        assert "Please log in" in page.text
        assert "WWW-Authenticate" not in page.headers


async def test_the_host_may_lead_to_its_log_in_page(world: World) -> None:
    def auth(_: Request) -> None:
        raise HTTPException(303, headers={"Location": "/login"})

    async with world.client(Router(world.engine, auth=auth)) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["Location"]) == (303, "/login")
        assert (await client.get("/api/tasks")).status_code == 401


async def test_payloads_are_hidden_in_lists_and_shown_to_who_decides(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, payload={"iban": "DE02"}, redact_payload=True)
    assert "DE02" not in (await client.get("/", headers=as_person("ana"))).text
    assert "DE02" in (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text


class TestQueue:
    async def test_tabs_and_statuses(self, world: World, client: httpx2.AsyncClient) -> None:
        mine = await world.ask(client, idempotency_key="mine", assign_to=FOR_ANA)
        free = await world.ask(client, idempotency_key="free", assign_to=FOR_BOTH)
        bobs = await world.ask(client, idempotency_key="bobs", assign_to={"email": "bob@example.com"})
        closed = await world.ask(client, idempotency_key="closed")
        await world.engine.cancel(closed, by=Actor.of(OLGA, auth="host"))
        names = {mine: "mine", free: "free", bobs: "bobs", closed: "closed"}
        expected = {
            "": {"mine", "free"},
            "?show=mine": {"mine"},
            "?show=unassigned": {"free"},
            "?status=closed": {"closed"},
            "?status=cancelled": {"closed"},
            "?status=completed": set(),
            "?show=nonsense&status=nonsense": {"mine", "free"},
        }
        for query, wanted in expected.items():
            page = (await client.get(f"/{query}", headers=as_person("ana"))).text
            assert {names[task_id] for task_id in re.findall(r"/tasks/([0-9a-f]{32})", page)} == wanted, query
        everything = (await client.get("/", headers=as_person("olga"))).text
        assert set(re.findall(r"/tasks/([0-9a-f]{32})", everything)) == {mine, free, bobs}

    async def test_older_tasks_are_a_page_further(self, world: World, client: httpx2.AsyncClient) -> None:
        asked = [await world.ask(client, idempotency_key=f"key-{number}") for number in range(65)]
        seen: list[str] = []
        address = "/"
        while address:
            page = (await client.get(address, headers=as_person("ana"))).text
            seen += re.findall(r'href="/tasks/([0-9a-f]{32})"', page)
            older = re.findall(r'href="([^"]+)">Older', page)
            address = older[0].replace("&amp;", "&") if older else ""
        assert seen == list(reversed(asked))


class TestSettingUp:
    async def test_people_need_a_secret(self, world: World) -> None:
        from awaithumans.engine import Engine

        engine = Engine(world.store)
        with pytest.raises(ConfigurationError, match="the pages need a secret"):
            Router(engine, auth=lambda _: None)

    async def test_programs_alone_need_none(self, world: World) -> None:
        from awaithumans.engine import Engine

        router = Router(Engine(world.store), tokens=[ApiToken("bot", secret_of("bot"), [Scope.READ])])
        async with world.client(router) as client:
            assert (await client.get("/api/tasks", headers=as_program("bot"))).status_code == 200
            assert (await client.get("/")).json()["error"] == "NOT_FOUND"

    async def test_a_router_that_lets_nobody_in_is_a_mistake(self, world: World) -> None:
        from awaithumans.engine import Engine

        with pytest.raises(ConfigurationError, match="nobody could use"):
            Router(Engine(world.store))

    async def test_two_tokens_of_one_name_are_a_mistake(self, world: World) -> None:
        tokens = [ApiToken("bot", secret_of(name), [Scope.ASK]) for name in ("a", "b")]
        with pytest.raises(ConfigurationError, match="same name"):
            Router(world.engine, tokens=tokens)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"a=1&" * 10_001, "application/x-www-form-urlencoded", 422),
        (b"a=%00", "application/x-www-form-urlencoded", 422),
        (b"a=" + b"x" * 1_100_000, "application/x-www-form-urlencoded", 413),
        (b'{"approved": true}', "application/json", 415),
        (b"--y--", "multipart/form-data; boundary=x", 422),
        (b"", "", 415),
    ],
)
async def test_a_form_that_cannot_be_read_changes_nothing(
    world: World, client: httpx2.AsyncClient, content: bytes, kind: str, status: int
) -> None:
    task_id = await world.ask(client, assign_to=FOR_ANA)
    headers = {**as_person("ana"), "Content-Type": kind}
    for path in (f"/tasks/{task_id}", f"/tasks/{task_id}/claim", world.link(await world.task(task_id))):
        assert (await client.post(path, content=content, headers=headers)).status_code == status
    assert (await world.task(task_id)).version == 1


# ── Telling again ─────────────────────────────────────────────────────────────


class Dead(RecordingChannel):
    dead = True

    async def send(self, notice: Notice) -> str | None:
        if self.dead:
            raise DeliveryError("no such mailbox", permanent=True)
        return await super().send(notice)


async def test_an_operator_has_a_message_sent_again() -> None:
    channel = Dead()
    world = World(channels=[channel])
    async with world.client() as client:
        task_id = await world.ask(client, by="asker", notify=["test:ana"])
        await world.engine.tick()
        page = (await client.get(f"/tasks/{task_id}", headers=as_person("olga"))).text
        assert "no such mailbox" in page
        assert "Send again" in page
        channel.dead = False
        fields = await form(client, f"/tasks/{task_id}", "olga")
        sent = await client.post(f"/tasks/{task_id}/redeliver", data=fields, headers=as_person("olga"))
        assert (sent.status_code, sent.headers["Location"]) == (303, f"/tasks/{task_id}")
        await world.engine.tick()
        assert channel.events(task_id) == ["opened"]
        page = (await client.get(f"/tasks/{task_id}", headers=as_person("olga"))).text
        assert "Send again" not in page
        assert "had the message sent again" in page


async def test_nobody_else_does() -> None:
    world = World(channels=[Dead()])
    async with world.client() as client:
        task_id = await world.ask(client, by="asker", notify=["test:ana"])
        await world.engine.tick()
        assert "Send again" not in (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
        fields = await form(client, f"/tasks/{task_id}", "ana")
        sent = await client.post(f"/tasks/{task_id}/redeliver", data=fields, headers=as_person("ana"))
        assert sent.status_code == 403


async def test_words_are_shown_while_they_are_checked_and_so_is_a_check_that_does_not_work(
    world: World, client: httpx2.AsyncClient
) -> None:
    class Broken:
        reads_text = True

        async def verify(self, context: VerificationContext) -> Verdict:
            raise VerifierError("the model is away", retry_after=0.01)

    world.engine.verifiers["broken"] = Broken()
    task_id = await world.ask(client, verifier_config={"provider": "broken", "instructions": ""})
    said = {"text": "fine, <b>I think</b>", "completed_by_email": "ana@example.com"}
    reply = await client.post(f"/api/tasks/{task_id}/complete", json=said, headers=as_program("speaker"))
    assert (reply.status_code, reply.json()["status"]) == (200, "submitted")
    page = await client.get(f"/tasks/{task_id}", headers=as_person("ana"))
    assert "fine, &lt;b&gt;I think&lt;/b&gt;" in page.text
    with anyio.fail_after(20):
        while "The check does not work at the moment" not in page.text:
            await anyio.sleep(0.05)
            page = await client.get(f"/tasks/{task_id}", headers=as_person("ana"))


async def test_an_operator_has_one_of_several_messages_sent_again() -> None:
    channel = Dead()
    world = World(channels=[channel])
    async with world.client() as client:
        task_id = await world.ask(client, by="asker", notify=["test:ana", "test:bob"])
        await world.engine.tick()
        channel.dead = False
        path = f"/tasks/{task_id}"
        page = (await client.get(path, headers=as_person("olga"))).text
        assert "Send all again" in page
        failed = await world.engine.deliveries(task_id)
        notice = next(one.effect.id for one in failed if one.effect.recipient == "test:bob")
        assert f'name="notice" value="{notice}"' in page
        fields = await form(client, path, "olga", notice=notice)
        sent = await client.post(f"{path}/redeliver", data=fields, headers=as_person("olga"))
        assert sent.status_code == 303
        await world.engine.tick()
        left = [one.effect.recipient for one in await world.engine.deliveries(task_id) if one.failure]
        assert left == ["test:ana"]
        unknown = await form(client, path, "olga", notice="f" * 32)
        assert (await client.post(f"{path}/redeliver", data=unknown, headers=as_person("olga"))).status_code == 422


async def test_earlier_refusals_and_what_is_on_record_unfold(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, verifier_config={"provider": "moody", "instructions": "", "max_attempts": 3})
    for note in ("now", "quick"):
        fields = await form(client, f"/tasks/{task_id}", "ana", approved="true", note=note)
        await client.post(f"/tasks/{task_id}", data=fields, headers=as_person("ana"))
    page = (await client.get(f"/tasks/{task_id}", headers=as_person("ana"))).text
    assert "1 answer was refused before" in page
    assert "Attempts used: 2 of 3." in page
    [*_, latest] = await world.engine.trail(task_id)
    assert latest.digest in page


async def test_an_answer_on_record_speaks_as_its_form_did(world: World, client: httpx2.AsyncClient) -> None:
    trees = [{"value": "pine", "label": "Scots <Pine>"}, {"value": "oak", "label": "Oak"}]
    fields: list[dict[str, object]] = [
        {"name": "tree", "kind": "single_select", "label": "Which tree?", "options": trees},
        {"name": "fell", "kind": "switch", "label": "Fell it?", "true_label": "Fell", "false_label": "Leave"},
        {"name": "share", "kind": "slider", "label": "Share", "suffix": "%"},
        {"name": "order", "kind": "ranking", "options": trees},
        {"name": "proof", "kind": "file_upload", "multiple": True},
    ]
    proof = {
        "name": "a.pdf",
        "mime": "application/pdf",
        "size": 193,
        "data": "data:application/pdf;base64," + base64.b64encode(b"z" * 193).decode(),
    }
    answer = {"share": 25, "fell": False, "tree": "pine", "order": ["oak", "pine"], "proof": [proof], "more": "so"}
    task_id = await world.ask(
        client, form_definition={"version": 1, "fields": fields}, response_schema={"type": "object"}
    )
    await world.engine.act(task_id, Submit(value=answer, by=Actor.of(ANA, auth="host"), attempt=0))
    for path in (f"/tasks/{task_id}", f"/tasks/{task_id}/done"):
        page = (await client.get(path, headers=as_person("ana"))).text
        told = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
        places = [told.index(text) for text in ("Which tree? Scots &lt;Pine&gt;", "Fell it? Leave", "Share 25 %", "so")]
        assert places == sorted(places)
        assert re.search(r'<ol class="values"><li>\s*<bdi>Oak</bdi>', page)
        assert "(193 bytes)" in told


async def test_a_stranger_is_led_to_their_own_questions(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, assign_to={"emails": ["ana@example.com"]})
    page = await client.get(f"/tasks/{task_id}", headers=as_person("eve"))
    assert page.status_code == 403
    assert "Go to the open questions" in page.text
