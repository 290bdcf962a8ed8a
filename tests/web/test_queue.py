"""The queue and the figures, as they come from the server."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx2
import pytest

from awaithumans.types import Actor, Claim, Human
from tests.web.world import BOB, PEOPLE, YES, World, as_person

pytestmark = pytest.mark.anyio

OPTIONS = [{"value": "a", "label": "A"}, {"value": "b", "label": "B"}]
FOR_BOB = {"email": "bob@example.com"}


async def listed(client: httpx2.AsyncClient, who: str = "olga", **parameters: str) -> list[str]:
    """Return the headings on a page of the queue."""
    page = await client.get("/", params=parameters, headers=as_person(who))
    assert page.status_code == 200, page.text
    return re.findall(r"<h2><a [^>]*>([^<]+)</a>", page.text)


@pytest.mark.parametrize("sort", ["newest", "oldest", "deadline"])
async def test_every_order_is_followed_page_by_page(world: World, client: httpx2.AsyncClient, sort: str) -> None:
    for number in range(65):
        seconds = 3_600 + number * 7_919 % 65
        await world.ask(client, task=f"Task {number:02}", idempotency_key=f"k{number}", timeout_seconds=seconds)
    address, seen = f"/?sort={sort}&q=task", list[str]()
    while address:
        page = (await client.get(address, headers=as_person("olga"))).text
        seen += re.findall(r"<h2><a [^>]*>Task (\d+)</a>", page)
        [address] = [found.replace("&amp;", "&") for found in re.findall(r'rel="next" href="([^"]+)"', page)] or [""]
    by_deadline = sorted(range(65), key=lambda number: number * 7_919 % 65)
    expected = {"newest": list(range(64, -1, -1)), "oldest": list(range(65)), "deadline": by_deadline}[sort]
    assert list(map(int, seen)) == expected


async def test_a_search_finds_what_a_person_may_see(world: World, client: httpx2.AsyncClient) -> None:
    await world.ask(client, task="Refund Ana?", idempotency_key="one", assign_to={"email": "eve@example.com"})
    await world.ask(client, task="Refund Bob?", idempotency_key="two", assign_to=FOR_BOB, payload={"iban": "DE02"})
    cases: Mapping[tuple[str, str], list[str]] = {
        ("olga", "refund"): ["Refund Bob?", "Refund Ana?"],
        ("eve", "refund"): ["Refund Ana?"],
        ("eve", " BOB "): [],
        ("eve", "email:eve refund"): ["Refund Ana?"],
        ("olga", "two"): ["Refund Bob?"],
        ("olga", "de02"): [],
        ("olga", "   "): ["Refund Bob?", "Refund Ana?"],
    }
    for (who, words), expected in cases.items():
        assert await listed(client, who, q=words) == expected, (who, words)


@pytest.mark.parametrize("q", ["x" * 513, "\0", "\ud800"])
async def test_what_cannot_be_searched_is_refused(client: httpx2.AsyncClient, q: str) -> None:
    address = "/?q=" + "".join(f"%{byte:02x}" for byte in q.encode(errors="surrogatepass"))
    page = await client.get(address, headers=as_person("ana"))
    assert page.status_code in {200, 422}
    assert "went wrong" not in page.text


async def test_what_is_mine_is_so_by_any_of_my_addresses_and_by_no_part_of_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    async with world.client() as client:
        await world.ask(client, task="Of Ana?", idempotency_key="ana", assign_to={"email": "ana@example.com"})
        monkeypatch.setitem(PEOPLE, "ana", Human(id="42", email="Ana@example.com"))
        monkeypatch.setitem(PEOPLE, "eve", Human(id="bo"))
        free = await world.ask(client, task="Of Bob?", idempotency_key="bob")
        await world.engine.act(free, Claim(by=Actor.of(BOB, auth="host")))
        assert await listed(client, "ana", show="mine") == ["Of Ana?"]
        assert await listed(client, "eve", show="mine") == []


async def test_a_filter_outlives_a_change_of_tab(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/?q=a%26b&sort=deadline&status=closed", headers=as_person("ana"))).text
    assert 'href="/?show=mine&amp;status=closed&amp;sort=deadline&amp;q=a%26b"' in page


async def test_a_confirmation_is_a_get_that_changes_nothing(world: World, client: httpx2.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
    task_id = await world.ask(client, response_schema=schema)
    page = await client.get(f"/tasks/{task_id}?answer=true", headers=as_person("ana"))
    assert "Nothing is sent yet" in page.text
    assert (await world.task(task_id)).version == 1
    page = await client.get(f"/tasks/{task_id}?answer=perhaps", headers=as_person("ana"))
    assert "Nothing is sent yet" not in page.text


async def test_the_next_question_is_one_they_may_answer(world: World, client: httpx2.AsyncClient) -> None:
    done = await world.ask(client, idempotency_key="done")
    await world.engine.submit(done, YES, by=Actor.of(BOB, auth="host"))
    await world.ask(client, task="Of Bob?", idempotency_key="bobs", assign_to=FOR_BOB, timeout_seconds=60)
    await world.ask(client, task="Free?", idempotency_key="free", timeout_seconds=600)
    await world.ask(client, task="Mine?", idempotency_key="mine", assign_to={"email": "ana@example.com"})
    for who, expected in (("ana", "Mine?"), ("eve", "Free?"), ("olga", "Free?"), ("bob", "Of Bob?")):
        page = (await client.get(f"/tasks/{done}/done", headers=as_person(who))).text
        assert re.findall(r'<h2 id="next"[^>]*>([^<]+)<', page) == [expected], who


async def test_figures_are_for_operators(world: World, client: httpx2.AsyncClient) -> None:
    refused = await client.get("/figures", headers=as_person("ana"))
    assert refused.status_code == 403
    assert "/figures" not in (await client.get("/", headers=as_person("ana"))).text
    shown = await client.get("/figures?window_days=7", headers=as_person("olga"))
    assert shown.status_code == 200
    assert "Nothing was asked in these days" in shown.text
    assert (await client.get("/figures?window_days=0", headers=as_person("olga"))).status_code == 422


async def test_figures_show_who_answered_and_what_expired(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    await world.engine.submit(task_id, YES, by=Actor.of(BOB, auth="host", via="slack"))
    page = (await client.get("/figures", headers=as_person("olga"))).text
    assert re.search(r"<dt>Answered</dt><dd>1 <small>100 %</small>", page)
    assert re.search(r'<th scope="row"><bdi>Bob</bdi></th><td class="number">1</td>', page)
    assert re.search(r'<th scope="row"><bdi>slack</bdi></th><td class="number">1</td>', page)


async def test_the_first_page_is_small(world: World, client: httpx2.AsyncClient) -> None:
    """A full queue, with everything it loads, uncompressed."""
    for number in range(31):
        await world.ask(client, task=f"{number} {'long ' * 30}", idempotency_key=f"k{number}")
    page = await client.get("/", headers=as_person("olga"))
    files = [await client.get(address) for address in re.findall(r'"(/static/[^"]+)"', page.text)]
    assert sum(len(one.content) for one in (page, *files)) < 60_000


async def test_the_page_of_a_task_is_small(world: World, client: httpx2.AsyncClient) -> None:
    """With a form that needs every script there is."""
    fields = [
        {"kind": "signature", "name": "signed", "label": "Sign"},
        {"kind": "file_upload", "name": "files", "label": "Files"},
        {"kind": "ranking", "name": "order", "label": "Order", "options": OPTIONS},
    ]
    order = {"items": [{"sku": f"LAMP-{n}", "quantity": n, "price": "12.50"} for n in range(10)], "note": "word " * 200}
    task_id = await world.ask(client, payload=order, form_definition={"version": 1, "fields": fields})
    page = await client.get(f"/tasks/{task_id}", headers=as_person("olga"))
    assert {"sign.js", "fields.js", "keys.js"} <= set(re.findall(r'/([a-z]+\.js)"', page.text))
    files = [await client.get(address) for address in re.findall(r'"(/static/[^"]+)"', page.text)]
    assert sum(len(one.content) for one in (page, *files)) < 60_000


async def test_figures_are_small_however_many_people_answer(world: World, client: httpx2.AsyncClient) -> None:
    for number in range(120):
        task_id = await world.ask(client, idempotency_key=f"k{number}")
        person = Human(id=f"person-{number}@example.com", display_name=f"Person {number}")
        await world.engine.submit(task_id, YES, by=Actor.of(person, auth="host", via=f"door-{number % 4}"))
    page = await client.get("/figures?window_days=90", headers=as_person("olga"))
    files = [await client.get(address) for address in re.findall(r'"(/static/[^"]+)"', page.text)]
    assert sum(len(one.content) for one in (page, *files)) < 60_000
