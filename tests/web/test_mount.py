"""The router works wherever it is mounted, and its addresses are right there."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from awaithumans.web.mount import located
from tests.web.world import World, as_person, as_program, body, form

pytestmark = pytest.mark.anyio


def behind_proxy(app: ASGIApp, prefix: str, *, strips: bool) -> ASGIApp:
    """Do to a request what a proxy and a server told of its prefix do."""

    async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(prefix) if strips else scope["path"]
        await app({**scope, "root_path": prefix, "path": path}, receive, send)

    return proxied


def mounted(world: World, *paths: str, host: type[Starlette] = Starlette) -> ASGIApp:
    app: ASGIApp = world.router
    for path in reversed(paths):
        outer = host()
        outer.mount(path, app)
        app = outer
    return app


PLACES = {
    "root": ("", lambda world: world.router),
    "mounted": ("/humans", lambda world: mounted(world, "/humans")),
    "mounted in FastAPI": ("/humans", lambda world: mounted(world, "/humans", host=FastAPI)),
    "nested": ("/shop/humans", lambda world: mounted(world, "/shop", "/humans")),
    "words in the path": ("/höhle 1/q", lambda world: mounted(world, "/höhle 1", "/q")),
    "proxy that keeps": ("/app", lambda world: behind_proxy(world.router, "/app", strips=False)),
    "proxy that strips": ("/app", lambda world: behind_proxy(world.router, "/app", strips=True)),
    "proxy and mount": (
        "/app/humans",
        lambda world: behind_proxy(mounted(world, "/humans"), "/app", strips=False),
    ),
    "stripping proxy and mount": (
        "/app/humans",
        lambda world: behind_proxy(mounted(world, "/humans"), "/app", strips=True),
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_every_address_on_every_page_leads_somewhere(place: str) -> None:
    """Ask, open each page, follow each of its addresses, and answer by its form."""
    mount, build = PLACES[place]
    world = World(mount=mount)
    async with world.engine.run(), world.client(build(world)) as client:
        task_id = await world.ask(client)
        for path in ("/", f"/tasks/{task_id}", "/tasks/nope", "/nope"):
            page = await client.get(path, headers=as_person("ana"))
            for address in re.findall(r'(?:href|src)="(/[^"]*)"', page.text):
                found = await client.get(f"http://app.example{address}", headers=as_person("ana"))
                assert found.status_code == 200, (path, address)
        led = await client.get(f"/task?id={task_id}", headers=as_person("ana"))
        assert (await client.get(f"http://app.example{led.headers['Location']}")).status_code == 401

        fields = await form(client, f"/tasks/{task_id}", "ana", approved="true")
        page = await client.get(f"/tasks/{task_id}", headers=as_person("ana"))
        [action] = re.findall(r'<form method="post" action="([^"]*)" class="answer"', page.text)
        sent = await client.post(f"http://app.example{action}", data=fields, headers=as_person("ana"))
        assert sent.status_code == 303
        done = await client.get(f"http://app.example{sent.headers['Location']}", headers=as_person("ana"))
        assert "that is answered" in done.text


@pytest.mark.parametrize("place", PLACES)
async def test_authentication_holds_everywhere(place: str) -> None:
    mount, build = PLACES[place]
    world = World(mount=mount)
    async with world.engine.run(), world.client(build(world)) as client:
        task_id = await world.ask(client)
        for path in ("/api/tasks", f"/api/tasks/{task_id}", "/api/stats/tasks", "/", f"/tasks/{task_id}"):
            for variant in (path, f"{path}/" if path != "/" else "//"):
                response = await client.get(variant)
                assert response.status_code == 401, variant
                assert "refund" not in response.text


async def test_a_slash_behind_an_address_does_not_matter(world: World) -> None:
    """Some hosts add one to what is mounted."""
    async with world.client() as client:
        created = await client.post("/api/tasks/", json=body(), headers=as_program("asker"))
        assert created.status_code == 201
        found = await client.get(f"/api/tasks/{created.json()['id']}/", headers=as_program("asker"))
        assert found.status_code == 200


async def test_the_openapi_document_and_page_links_name_the_mount(world: World) -> None:
    async with world.client(mounted(world, "/humans")) as client:
        document = (await client.get("/humans/api/openapi.json")).json()
        assert document["servers"] == [{"url": "/humans/api"}]
        first = await client.post("/humans/api/tasks", json=body(), headers=as_program("admin"))
        assert first.status_code == 201
        listed = await client.get("/humans/api/tasks?limit=1", headers=as_program("admin"))
        assert listed.links["next"]["url"].startswith("/humans/api/tasks?limit=1&after=")


async def test_the_hosts_own_state_reaches_its_log_in() -> None:
    world = World()
    host = Starlette()
    host.state.who = "ana"
    seen: list[object] = []

    def auth(request: object) -> None:
        seen.append(request.app.state.who)  # type: ignore[attr-defined]

    from awaithumans.web import Router

    host.mount("/humans", Router(world.engine, auth=auth))
    async with world.engine.run(), world.client(host) as client:
        await client.get("/humans/")
    assert seen == ["ana"]


@pytest.mark.parametrize(
    ("asked", "root_path", "left", "mount", "inner"),
    [
        ("/humans/tasks/1", "", "/tasks/1/", "/humans", "/tasks/1"),
        ("/humans", "", "/", "/humans", "/"),
        ("/tasks/tasks/1", "", "/tasks/1/", "/tasks", "/tasks/1"),
        ("/shop/humans/tasks/1", "/shop", "/tasks/1/", "/shop/humans", "/tasks/1"),  # the server was told of /shop
        ("/humans/tasks/1", "/shop", "/tasks/1/", "/shop/humans", "/tasks/1"),  # and a proxy has stripped it
        ("/humans/tasks/1", "/shop/humans", "/tasks/1", "/shop/humans", "/tasks/1"),  # the host tells, too
        ("/h%C3%B6hle%201/tasks/1?a=/b", "", "/tasks/1/", "/höhle 1", "/tasks/1"),
        ("//evil.example//tasks//1", "", "/tasks/1/", "/evil.example", "/tasks/1"),  # links stay on this site
        ("/humans.evil/tasks", "", ".evil/tasks/", "", "/.evil/tasks"),
        ("/somewhere/else", "", "/tasks/1", "", "/tasks/1"),  # rewritten: nothing follows from it
    ],
)
def test_what_a_host_cuts_off_the_path_is_where_it_mounted(
    asked: str, root_path: str, left: str, mount: str, inner: str
) -> None:
    scope = {"type": "http", "raw_path": asked.encode(), "root_path": root_path, "path": left}
    found = located(scope)
    assert (found["root_path"], found["path"]) == (mount, f"{mount}{inner}")


async def test_no_lifespan_is_needed() -> None:
    """The first request starts the background work where nobody else did."""
    world = World()
    verifier = {"provider": "moody", "instructions": "x"}
    async with world.client(mounted(world, "/humans")) as client:
        created = await client.post(
            "/humans/api/tasks", json=body(verifier_config=verifier), headers=as_program("asker")
        )
        answered = await client.post(
            f"/humans/api/tasks/{created.json()['id']}/complete",
            json={"response": {"approved": True, "note": "please"}},
            headers=as_program("answerer"),
        )
    assert answered.json()["status"] == "completed"


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_connections_are_ended_politely(world: World, kind: str) -> None:
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": next(events)}

    async def send(message: object) -> None:
        sent.append(message["type"])  # type: ignore[index]

    await world.router({"type": kind}, receive, send)
    expected = (
        ["lifespan.startup.complete", "lifespan.shutdown.complete"] if kind == "lifespan" else ["websocket.close"]
    )
    assert sent == expected
