"""Requests that other sites make a browser send."""

from __future__ import annotations

import httpx2
import pytest

from awaithumans.signing import KeyRing
from awaithumans.types import TaskStatus
from tests.web.world import ANA, HOST, SECRET, World, as_person, as_program, form

pytestmark = pytest.mark.anyio

COOKIE = {"Cookie": "user=ana"}


async def post_answer(world: World, client: httpx2.AsyncClient, headers: dict[str, str]) -> bool:
    """Post a good form with these headers; tell whether it counted."""
    task_id = await world.ask(client)
    fields = await form(client, f"/tasks/{task_id}", "ana", approved="true")
    response = await client.post(f"/tasks/{task_id}", data=fields, headers={**COOKIE, **headers})
    completed = (await world.task(task_id)).status is TaskStatus.COMPLETED
    assert response.status_code == (303 if completed else 403)
    return completed


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": HOST},
        {"Referer": f"{HOST}/tasks/x"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
async def test_our_own_pages_may_post(world: World, client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert await post_answer(world, client, headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": HOST},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://app.example.evil.example"},
        {"Origin": "http://app.example:81"},
        {"Origin": "http://evil.example", "Referer": f"{HOST}/"},
        {"Origin": "http://["},
        {"Origin": "app.example"},
        {"Origin": "ftp://app.example"},
        {"Referer": "http://evil.example/?http://app.example"},
        {"Referer": "http://app.example@evil.example/"},
    ],
)
async def test_other_sites_may_not(world: World, client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    assert not await post_answer(world, client, headers)


OTHERS = {
    "missing": None,
    "empty": "",
    "nonsense": "nonsense",
    "not text": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "somebody else's": KeyRing(SECRET).form_token("bob@example.com", ""),
    "another mount's": KeyRing(SECRET).form_token(ANA.id, "/elsewhere"),
    "another secret's": KeyRing("other" * 8).form_token(ANA.id, ""),
    "a link's": KeyRing(SECRET).form_token("link:" + ANA.id, ""),
}


@pytest.mark.parametrize("token", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("deed", ["", "/claim", "/release", "/cancel"])
async def test_a_form_needs_the_token_of_its_person_and_place(
    world: World, client: httpx2.AsyncClient, token: str | None, deed: str
) -> None:
    task_id = await world.ask(client)
    fields = {"approved": "true", **({} if token is None else {"_awaithumans_csrf": token})}
    response = await client.post(f"/tasks/{task_id}{deed}", data=fields, headers=as_person("ana"))
    assert response.status_code == 403
    assert (await world.task(task_id)).version == 1


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "not text"])
async def test_the_api_needs_it_in_a_header_from_people(world: World, client: httpx2.AsyncClient, name: str) -> None:
    token = OTHERS[name]
    task_id = await world.ask(client)
    headers = {**as_person("ana"), **({} if token is None else {"X-CSRF-Token": token})}
    for deed in ("claim", "release", "complete", "cancel", "collect"):
        response = await client.post(f"/api/tasks/{task_id}/{deed}", json={"response": {}}, headers=headers)
        assert (response.status_code, response.json()["error"]) == (403, "CROSS_SITE")
    assert (await client.delete(f"/api/tasks/{task_id}", headers=headers)).status_code == 403


async def test_programs_need_neither(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client)
    headers = {**as_program("asker"), "Sec-Fetch-Site": "cross-site"}
    assert (await client.post(f"/api/tasks/{task_id}/cancel", headers=headers)).status_code == 200


async def test_getting_changes_nothing(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, assign_to={"email": "ana@example.com"})
    link = world.link(await world.task(task_id))
    for path in ("/", f"/tasks/{task_id}", f"/tasks/{task_id}/done", f"/task?id={task_id}", link):
        for method in ("GET", "HEAD"):
            await client.request(method, path, headers=as_person("ana"))
    for deed in ("claim", "release", "cancel"):
        assert (await client.get(f"/tasks/{task_id}/{deed}", headers=as_person("ana"))).status_code == 405
    assert (await world.task(task_id)).version == 1
