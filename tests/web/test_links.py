"""Capability links: one task, one person, one attempt, and no way further."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx2
import pytest

from awaithumans.types import Actor, TaskStatus
from tests.web.world import ANA, BOB, HOST, OLGA, YES, World, as_person, as_program, form

pytestmark = pytest.mark.anyio

SAME = {"Sec-Fetch-Site": "same-origin"}
FOR_ANA = {"email": "ana@example.com"}
VERIFIER = {"provider": "moody", "instructions": "Be polite."}


async def link_to(world: World, client: httpx2.AsyncClient, **changes: object) -> tuple[str, str]:
    task_id = await world.ask(client, by="asker", assign_to=changes.pop("assign_to", FOR_ANA), **changes)
    return task_id, world.link(await world.task(task_id))


async def test_a_link_opens_its_task_and_takes_its_answer(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    assert "Approve the refund?" in (await client.get(link)).text
    fields = await form(client, link, None, approved="true")
    sent = await client.post(link, data=fields, headers=SAME)
    assert (sent.status_code, sent.headers["Location"]) == (303, link)
    assert "that is answered" in (await client.get(link)).text
    answer = (await world.task(task_id)).answer
    assert answer
    assert (answer.by.id, answer.by.auth, answer.by.via) == (ANA.id, "link", "web")


async def test_a_row_more_is_no_answer_whatever_else_is_posted(world: World, client: httpx2.AsyncClient) -> None:
    tags = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}}
    task_id, link = await link_to(world, client, response_schema=tags)
    posted = {"tags.?": ["", "0"], "tags.0": "vip", "_awaithumans_add": "tags"}
    more = await client.post(link, data={**await form(client, link, None), **posted}, headers=SAME)
    assert more.status_code == 200
    assert [f'name="tags.{number}"' in more.text for number in range(3)] == [True, True, False]
    assert 'value="vip"' in more.text
    assert (await world.task(task_id)).answer is None
    without = await client.post(link, data=posted, headers=SAME)
    assert without.status_code == 403


@pytest.mark.parametrize(
    "button", ["order.x", "order.", "order.²", "order", "same", "same.0", "either", "nothing.0", ".", "?"]
)
async def test_a_button_that_no_page_has_breaks_nothing(world: World, client: httpx2.AsyncClient, button: str) -> None:
    only = {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]}
    parts = {
        "same": {"type": "array", "items": only},
        "either": {"anyOf": [only, {"type": "integer"}, {"type": "null"}]},
        "order": {"type": "array", "items": {"type": "string"}},
    }
    options = [{"value": one, "label": one} for one in "ab"]
    form_definition = {"version": 1, "fields": [{"kind": "ranking", "name": "order", "options": options}]}
    schema = {"type": "object", "properties": parts, "required": [*parts]}
    _, link = await link_to(world, client, response_schema=schema, form_definition=form_definition)
    drawn = {**await form(client, link, None), "same.?": "", "either.?": ""}
    for name in ("_awaithumans_add", "_awaithumans_remove", "_awaithumans_up", "_awaithumans_down"):
        assert (await client.post(link, data={**drawn, name: button}, headers=SAME)).status_code in {200, 422}


async def test_rows_that_are_only_named_are_not_all_drawn(world: World, client: httpx2.AsyncClient) -> None:
    tags = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}}
    _, link = await link_to(world, client, response_schema=tags)
    posted = {**await form(client, link, None), "tags.?": [str(number) for number in range(2_001)]}
    refused = await client.post(link, data=posted, headers=SAME)
    assert (refused.status_code, len(refused.text) < 10_000) == (422, True)
    assert "more than 2000 entries" in refused.text


async def test_it_leads_nowhere_else(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    page = await client.get(link)
    addresses = set(re.findall(r'(?:href|action)="(/[^"]*)"', page.text))
    assert {address for address in addresses if not address.startswith("/static/")} == {link}
    assert "set-cookie" not in page.headers
    for path in ("/", f"/tasks/{task_id}", f"/api/tasks/{task_id}"):
        assert (await client.get(path)).status_code == 401
    for deed in ("claim", "release", "cancel"):
        assert (await client.post(f"{link}/{deed}", data={}, headers=SAME)).status_code == 404


async def test_a_link_is_spent_by_the_answer(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    fields = await form(client, link, None, approved="true")
    await client.post(link, data=fields, headers=SAME)
    again = await client.post(link, data={**fields, "approved": "false"}, headers=SAME)
    assert again.status_code == 410
    assert (await world.task(task_id)).response == YES


async def test_somebody_elses_answer_ends_it_and_is_told(world: World, client: httpx2.AsyncClient) -> None:
    both = {"emails": ["ana@example.com", "bob@example.com"]}
    task_id, link = await link_to(world, client, assign_to=both)
    await world.engine.submit(task_id, YES, by=Actor.of(BOB, auth="host"))
    page = await client.get(link)
    assert page.status_code == 410
    assert "Bob answered this question on" in page.text
    assert "A-1" not in page.text
    payload = await client.get(f"{link}/payload")
    assert payload.status_code == 410
    assert "A-1" not in payload.text


@pytest.mark.parametrize("token", ["x", "AAAA", "%00", "é", "a" * 5_000, "..%2f..%2ftasks"])
async def test_a_forged_link_is_404(client: httpx2.AsyncClient, token: str) -> None:
    for response in (await client.get(f"/l/{token}"), await client.post(f"/l/{token}", data={"a": "b"}, headers=SAME)):
        assert response.status_code == 404


async def test_a_changed_link_is_404(world: World, client: httpx2.AsyncClient) -> None:
    _, link = await link_to(world, client)
    swapped = link[:-1] + ("A" if link[-1] != "A" else "B")
    assert (await client.get(swapped)).status_code == 404


async def ensure_dead(
    world: World, client: httpx2.AsyncClient, task_id: str, link: str, fields: dict[str, str]
) -> None:
    """Fail if the link still shows or takes anything."""
    before = await world.task(task_id)
    for response in (await client.get(link), await client.post(link, data=fields, headers=SAME)):
        assert response.status_code == 410
        assert "A-1" not in response.text
    assert (await world.task(task_id)).answers == before.answers


async def test_handing_the_task_on_ends_it(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    fields = await form(client, link, None, approved="true")
    await world.engine.reassign(task_id, [BOB], by=Actor.of(OLGA, auth="host"))
    await ensure_dead(world, client, task_id, link, fields)


async def test_leaving_the_directory_ends_it(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    fields = await form(client, link, None, approved="true")
    world.directory.gone.add("ana@example.com")
    await ensure_dead(world, client, task_id, link, fields)


async def test_cancelling_ends_it(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    fields = await form(client, link, None, approved="true")
    await world.engine.cancel(task_id, by=Actor.of(OLGA, auth="host"))
    await ensure_dead(world, client, task_id, link, fields)
    assert "was withdrawn" in (await client.get(link)).text


async def test_the_deadline_ends_it(world: World, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id, link = await link_to(world, client)
    fields = await form(client, link, None, approved="true")
    later = world.engine.clock.now() + timedelta(hours=2)
    monkeypatch.setattr(world.engine.clock, "now", lambda: later)
    late = await client.post(link, data=fields, headers=SAME)
    assert late.status_code == 410
    assert (await world.task(task_id)).status is TaskStatus.TIMED_OUT
    assert "expired" in (await client.get(link)).text


async def test_deleting_ends_it(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    await client.post(f"/api/tasks/{task_id}/cancel", headers=as_program("asker"))
    await client.delete(f"/api/tasks/{task_id}", headers=as_program("admin"))
    assert (await client.get(link)).status_code == 404


async def test_each_attempt_has_its_own_link(world: World, client: httpx2.AsyncClient) -> None:
    """Who was refused is led on to try again; the link in the first message is spent."""
    task_id, link = await link_to(world, client, verifier_config=VERIFIER)
    fields = await form(client, link, None, approved="true")
    refused = await client.post(link, data=fields, headers=SAME)
    follow_up = refused.headers["Location"]
    assert follow_up != link
    assert "Say please." in (await client.get(follow_up)).text
    await ensure_dead(world, client, task_id, link, fields)
    fields = await form(client, follow_up, None, approved="true", note="please")
    assert (await client.post(follow_up, data=fields, headers=SAME)).status_code == 303
    assert (await world.task(task_id)).status is TaskStatus.COMPLETED


async def test_it_never_has_operator_rights(world: World, client: httpx2.AsyncClient) -> None:
    task_id, _ = await link_to(world, client)
    olgas = world.link(await world.task(task_id), OLGA)
    assert (await client.get(olgas)).status_code == 410


async def test_a_task_that_somebody_else_has_cannot_be_answered(world: World, client: httpx2.AsyncClient) -> None:
    both = {"emails": ["ana@example.com", "bob@example.com"]}
    task_id, link = await link_to(world, client, assign_to=both)
    fields = await form(client, link, None, approved="true")
    await world.engine.claim(task_id, by=Actor.of(BOB, auth="host"))
    assert "Bob</bdi> has this question" in (await client.get(link)).text
    assert (await client.post(link, data=fields, headers=SAME)).status_code == 409
    assert (await world.task(task_id)).answers == ()


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}])
async def test_other_sites_cannot_post_it(world: World, client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    task_id, link = await link_to(world, client)
    fields = await form(client, link, None, approved="true")
    assert (await client.post(link, data=fields, headers=headers)).status_code == 403
    assert (await world.task(task_id)).version == 1


async def test_its_form_needs_its_own_hidden_token(world: World, client: httpx2.AsyncClient) -> None:
    task_id, link = await link_to(world, client)
    logged_in = await form(client, f"/tasks/{task_id}", "ana", approved="true")
    bobs = world.engine.keys.form_token(f"link:{BOB.id}", "")
    for fields in (logged_in, {"_awaithumans_csrf": bobs, "approved": "true"}, {"approved": "true"}):
        assert (await client.post(link, data=fields, headers=SAME)).status_code == 403
    assert (await world.task(task_id)).version == 1


async def test_a_bad_form_comes_back_filled_in(world: World, client: httpx2.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
    task_id, link = await link_to(world, client, response_schema=schema)
    fields = await form(client, link, None, amount="a lot")
    response = await client.post(link, data=fields, headers=SAME)
    assert response.status_code == 422
    assert 'value="a lot"' in response.text
    assert (await world.task(task_id)).version == 1


async def test_a_log_in_does_not_widen_or_hinder_it(world: World, client: httpx2.AsyncClient) -> None:
    _, link = await link_to(world, client)
    page = await client.get(link, headers=as_person("eve"))
    assert page.status_code == 200
    assert ">Ana</bdi>" in page.text


async def test_nobody_learns_the_address_of_a_link(world: World, client: httpx2.AsyncClient) -> None:
    """Pages with forms show where they are to this origin only; others to nobody."""
    _, link = await link_to(world, client)
    assert (await client.get(link)).headers["Referrer-Policy"] == "same-origin"
    assert (await client.get("/l/x")).headers["Referrer-Policy"] == "no-referrer"
    assert (await client.get(link)).headers["Cache-Control"] == "no-store"
    assert HOST not in (await client.get(link)).text


# ── Answers on a button ───────────────────────────────────────────────────────

ONE_CHOICE = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}


async def test_a_button_in_a_message_only_proposes_an_answer(world: World, client: httpx2.AsyncClient) -> None:
    """Scanners and previews open every link of a message."""
    task_id, link = await link_to(world, client, response_schema=ONE_CHOICE)
    for answer in ("true", "false"):
        page = await client.get(f"{link}?answer={answer}")
        assert page.status_code == 200
        assert "Nothing is sent yet." in page.text
        assert f'<input type="hidden" name="approved" value="{answer}">' in page.text
    assert (await client.head(f"{link}?answer=true")).status_code == 200
    assert (await world.task(task_id)).answers == ()
    fields = await form(client, f"{link}?answer=false", None, approved="false")
    sent = await client.post(link, data=fields, headers=SAME)
    assert sent.status_code == 303
    assert (await world.task(task_id)).response == {"approved": False}


@pytest.mark.parametrize("answer", ["maybe", "", "True", "<b>"])
async def test_an_answer_that_is_none_of_the_buttons_shows_the_form(
    world: World, client: httpx2.AsyncClient, answer: str
) -> None:
    _, link = await link_to(world, client, response_schema=ONE_CHOICE)
    page = await client.get(link, params={"answer": answer})
    assert "Nothing is sent yet." not in page.text
    assert 'type="radio"' in page.text


async def test_the_trail_names_the_channel_that_brought_the_link(world: World, client: httpx2.AsyncClient) -> None:
    task_id, _ = await link_to(world, client)
    link = world.engine.link(await world.task(task_id), ANA, via="email").removeprefix(HOST)
    fields = await form(client, link, None, approved="true")
    await client.post(link, data=fields, headers=SAME)
    answer = (await world.task(task_id)).answer
    assert answer
    assert (answer.by.auth, answer.by.via) == ("link", "email")
