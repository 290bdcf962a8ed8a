"""The router as a WSGI app: mounted anywhere, in any thread, and never waiting in vain."""

from __future__ import annotations

import builtins
import io
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import anyio
import pytest
from flask import Flask, request, session, url_for
from starlette.requests import Request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from awaithumans import BlockingEngine, ConfigurationError, Human
from awaithumans.blocking import own_home
from awaithumans.testing.channels import RecordingChannel
from awaithumans.types import Actor, Inbound, Reply
from awaithumans.web import Router
from awaithumans.web import seats as seats_module
from awaithumans.web.seats import BRIEF, SEATS, Seats, permitted_wait
from awaithumans.web.wsgi import WSGIApp, wsgi_auth
from tests.web.test_departure import until
from tests.web.world import ANA, HOST, World, as_person, as_program, body, hidden_token

PATIENCE = 20


def nothing(environ, start_response):
    start_response("404 Not Found", [])
    return [b"the host has nothing here"]


def mounted(app, *paths: str):
    for path in reversed(paths):
        app = DispatcherMiddleware(nothing, {path: app})
    return app


def stripped(app, prefix: str):
    """Put a proxy before the app that serves it below `prefix`, and strips that."""
    inner = ProxyFix(app, x_prefix=1)

    def proxy(environ, start_response):
        below = environ["PATH_INFO"].removeprefix(prefix)
        return inner({**environ, "PATH_INFO": below, "HTTP_X_FORWARDED_PREFIX": prefix}, start_response)

    return proxy


PLACES = {
    "root": ("", lambda app: app),
    "mounted": ("/humans", lambda app: mounted(app, "/humans")),
    "nested": ("/shop/humans", lambda app: mounted(app, "/shop", "/humans")),
    "proxy that keeps": ("/app/humans", lambda app: mounted(app, "/app", "/humans")),
    "proxy that strips": ("/app/humans", lambda app: stripped(mounted(app, "/humans"), "/app")),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_address_on_every_page_leads_somewhere(place: str) -> None:
    mount, build = PLACES[place]
    world = World(mount=mount)
    client = browser(build(WSGIApp(world.router)))
    task_id = asked(client, mount)
    for page in (f"{mount}/", f"{mount}/tasks/{task_id}", f"{mount}/tasks/nope", f"{mount}/nope"):
        shown = client.get(page, headers=as_person("ana")).text
        addresses = re.findall(r'(?:href|src)="(/[^"]*)"', shown)
        assert addresses
        for address in addresses:
            assert client.get(unescape(address), headers=as_person("ana")).status_code == 200, address
    page = client.get(f"{mount}/tasks/{task_id}", headers=as_person("ana")).text
    [action] = re.findall(r'<form method="post" action="([^"]*)" class="answer"', page)
    fields = {"_awaithumans_csrf": hidden_token(page), "approved": "true"}
    sent = client.post(action, data=fields, headers=as_person("ana"))
    assert sent.status_code == 303
    assert "that is answered" in client.get(sent.headers["Location"], headers=as_person("ana")).text


@pytest.mark.parametrize("place", PLACES)
def test_authentication_holds_everywhere(place: str) -> None:
    mount, build = PLACES[place]
    client = browser(build(WSGIApp(World(mount=mount).router)))
    task_id = asked(client, mount)
    for path in ("/api/tasks", f"/api/tasks/{task_id}", "/", f"/tasks/{task_id}", f"/tasks/{task_id}/"):
        assert client.get(mount + path).status_code == 401, path


def test_making_one_starts_nothing() -> None:
    before = threading.active_count()
    WSGIApp(World().router)
    assert threading.active_count() == before


def test_requests_verbs_and_background_work_share_one_event_loop() -> None:
    world = World()
    task_id = asked(browser(WSGIApp(world.router)))
    assert BlockingEngine(world.engine).get(task_id).id == task_id
    home = world.engine.home
    assert home is not None
    assert home.thread == own_home().thread
    assert len(world.engine._background._homes) == 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: object, **options: object) -> object:
        if name == "a2wsgi":
            raise ModuleNotFoundError(name)
        return imported(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'awaithumans\[wsgi\]'"):
        WSGIApp(World().router)


class TestWhatComesIn:
    @pytest.mark.parametrize("path", ["/tasks/%ff", "/api/tasks/%ff%fe", "/%c3%28"])
    def test_an_address_that_is_no_utf8_is_not_found(self, path: str) -> None:
        client = browser(WSGIApp(World().router))
        assert client.get(path, headers=as_person("ana")).status_code == 404

    def test_a_query_that_is_no_ascii_is_read(self) -> None:
        environ = environ_of("/api/tasks", headers=as_program("reader"))
        environ["QUERY_STRING"] = "status=\xff"
        _, status, _ = run_wsgi_app(WSGIApp(World().router), environ)
        assert status.startswith("422 ")

    def test_a_body_of_many_chunks_arrives_whole(self) -> None:
        world = World()
        document = body(payload={"order": "x" * 300_000})
        created = browser(WSGIApp(world.router)).post("/api/tasks", json=document, headers=as_program("asker"))
        assert created.status_code == 201
        task = BlockingEngine(world.engine).get(created.get_json()["id"])
        assert task.spec.payload == document["payload"]

    def test_a_body_over_the_limit_is_refused(self) -> None:
        client = browser(WSGIApp(World(max_body_bytes=1_000).router))
        refused = client.post("/api/tasks", data=b"x" * 2_000_000, headers=as_program("asker"))
        assert refused.status_code == 413

    def test_a_body_that_ends_too_early_ends_the_request(self) -> None:
        """Read on and on, it would keep the thread busy for ever."""
        environ = environ_of("/api/tasks", method="POST", headers=as_program("asker"))
        environ |= {"CONTENT_LENGTH": "1000", "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(b'{"a"')}
        _, status, _ = run_wsgi_app(WSGIApp(World().router), environ)
        assert status.startswith("400 ")

    @pytest.mark.parametrize("path", ["/api/events", "/api/tasks/{}/events", "/api/tasks/{}/poll", "/api/version"])
    def test_a_client_that_half_closes_in_its_body_does_not_keep_the_thread(self, path: str) -> None:
        app = WSGIApp(World().router)
        environ = environ_of(path.format(asked(browser(app))), headers=as_program("admin"))
        environ |= {"CONTENT_LENGTH": "10", "wsgi.input": io.BytesIO(b"x")}
        request = threading.Thread(target=run_wsgi_app, args=(app, environ, True), daemon=True)
        request.start()
        request.join(PATIENCE)
        assert not request.is_alive()

    @pytest.mark.parametrize("port", ["b", "", "-1", "８０", "9" * 5_000])
    def test_a_port_that_is_none_is_the_usual_one(self, port: str) -> None:
        """On a unix socket, gunicorn takes it from the client's Host."""
        _, status, _ = run_wsgi_app(WSGIApp(World().router), environ_of("/api/version") | {"SERVER_PORT": port})
        assert status == "200 OK"

    def test_a_place_in_the_host_that_is_no_utf8_is_served(self) -> None:
        _, status, _ = run_wsgi_app(WSGIApp(World().router), environ_of("/api/version") | {"SCRIPT_NAME": "/\xff"})
        assert status == "200 OK"

    def test_the_hosts_own_environ_is_left_alone(self) -> None:
        environ = environ_of("/tasks/%ff")
        before = dict(environ)
        run_wsgi_app(WSGIApp(World().router), environ)
        assert environ == before


class TestLogIn:
    def test_it_is_a_function_of_the_environ_in_a_worker_thread(self) -> None:
        seen: list[tuple[object, ...]] = []

        def log_in(environ) -> Human:
            seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["wsgi.input"].read()))
            assert threading.get_ident() != own_home().thread
            return ANA

        world = World(mount="/humans")
        app = WSGIApp(Router(world.engine, auth=wsgi_auth(log_in, mount="/humans")))
        assert browser(mounted(app, "/shop", "/humans")).get("/shop/humans/").status_code == 200
        assert seen == [("/shop", "/humans/", b"")]

    def test_flasks_session_and_addresses_are_those_of_the_host(self) -> None:
        host = Flask(__name__)
        host.secret_key = "s"
        seen: list[str] = []

        @host.get("/login/<name>")
        def login(name: str) -> str:
            session["user"] = name
            return "welcome"

        def log_in(environ) -> Human | None:
            with host.request_context(environ):
                seen.append(f"{request.path} {url_for('login', name='x')}")
                return ANA if session.get("user") == "ana" else None

        router = Router(World(mount="/humans").engine, auth=wsgi_auth(log_in, mount="/humans"))
        host.wsgi_app = DispatcherMiddleware(host.wsgi_app, {"/humans": WSGIApp(router)})  # type: ignore[method-assign]
        client = Client(mounted(host, "/shop"))
        assert client.get("/shop/humans/").status_code == 401
        client.get("/shop/login/ana")
        assert client.get("/shop/humans/").status_code == 200
        assert set(seen) == {"/humans/ /shop/login/x"}

    def test_it_may_block_while_others_are_served(self) -> None:
        asked_of, go_on = threading.Event(), threading.Event()

        def log_in(environ) -> Human:
            asked_of.set()
            assert go_on.wait(PATIENCE)
            return ANA

        client = browser(WSGIApp(Router(World().engine, auth=wsgi_auth(log_in))))
        with ThreadPoolExecutor() as threads:
            slow = threads.submit(client.get, "/")
            assert asked_of.wait(PATIENCE)
            assert threads.submit(client.get, "/api/health").result(PATIENCE).status_code == 200
            go_on.set()
            assert slow.result(PATIENCE).status_code == 200


class TestWaiting:
    @pytest.fixture
    def world(self) -> World:
        return World()

    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seats_module, "LONGEST_WAIT", 1.0)

    def test_an_answer_wakes_who_waits(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seats_module, "LONGEST_WAIT", 2.0 * PATIENCE)
        client = browser(WSGIApp(world.router))
        task_id = asked(client)
        with ThreadPoolExecutor() as threads:
            poll = threads.submit(polled, client, task_id)
            until(lambda: task_id in world.engine._hub.awaited())
            BlockingEngine(world.engine).submit(task_id, {"approved": True}, by=Actor.of(ANA, auth="engine"))
            assert poll.result(PATIENCE) == "completed"

    def test_half_the_threads_may_wait_and_the_rest_make_a_pause(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(seats_module, "LONGEST_WAIT", 2.0 * PATIENCE)
        client = browser(WSGIApp(world.router, threads=6))
        task_id = asked(client)
        heard: list[str] = []

        def poll() -> None:
            heard.append(polled(client, task_id))

        with ThreadPoolExecutor(8) as threads:
            took = [threads.submit(seconds, poll) for _ in range(8)]
            until(lambda: len(heard) == 5)
            BlockingEngine(world.engine).submit(task_id, {"approved": True}, by=Actor.of(ANA, auth="engine"))
            shortest = min(one.result(PATIENCE) for one in took)
        assert heard == ["created"] * 5 + ["completed"] * 3
        assert shortest >= BRIEF, "or clients without a pause of their own ask without end"

    def test_a_seat_is_free_again_afterwards(self, world: World) -> None:
        client = browser(WSGIApp(world.router))
        task_id = asked(client)
        for _ in range(3):
            assert seconds(polled, client, task_id) >= 1

    def test_in_a_server_with_one_thread_nobody_waits_long(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seats_module, "LONGEST_WAIT", 2.0 * PATIENCE)
        app = WSGIApp(world.router, threads=8)
        environ = environ_of(f"/api/tasks/{asked(browser(app))}/poll?timeout=30", headers=as_program("asker"))
        started = time.monotonic()
        _, status, _ = run_wsgi_app(app, {**environ, "wsgi.multithread": False})
        assert (status, BRIEF <= time.monotonic() - started < PATIENCE) == ("200 OK", True)

    def test_who_answers_waits_for_the_verdict_only_with_a_seat(self) -> None:
        """The person's page comes at once, and says that the answer is being checked."""

        class Slow:
            async def verify(self, context: object) -> None:
                await anyio.sleep_forever()

        world = World(verdict_seconds=PATIENCE)
        world.engine.verifiers["moody"] = Slow()  # type: ignore[assignment]
        client = browser(WSGIApp(world.router, threads=1))
        task_id = asked(client, verifier_config={"provider": "moody", "instructions": "x"})
        answer = {"json": {"response": {"approved": True}}, "headers": as_program("answerer")}
        sent = client.post(f"/api/tasks/{task_id}/complete", **answer)
        assert sent.get_json()["status"] == "submitted"

    def test_a_thread_that_leaves_ends_the_wait(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """As when the server closes what its client does not read any more."""
        monkeypatch.setattr(seats_module, "LONGEST_WAIT", 2.0 * PATIENCE)
        ended = threading.Event()

        async def endless(scope: object, receive: object, send: Callable[..., object]) -> None:
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})  # type: ignore[misc]
            finally:
                ended.set()

        app = WSGIApp(endless)  # type: ignore[arg-type]
        reply: Iterator[bytes] = app(environ_of("/"), lambda *_: lambda _: None)
        assert next(reply) == b"x"
        reply.close()  # type: ignore[attr-defined]
        assert ended.wait(PATIENCE)


class TestBehindTheReply:
    """What a channel does then keeps no thread, and no reply back."""

    def bell(self, work: Callable[[], Awaitable[None]]) -> Client:
        class Bell(RecordingChannel):
            async def receive(self, request: Inbound) -> Reply:
                return Reply(afterwards=work)

        return browser(WSGIApp(World(channels=[Bell("bell")]).router))

    def test_it_goes_on_when_the_thread_is_free_again(self) -> None:
        go_on, done = threading.Event(), threading.Event()

        async def work() -> None:
            await anyio.to_thread.run_sync(go_on.wait)
            done.set()

        reply = self.bell(work).post("/api/channels/bell/x", buffered=True)
        assert (reply.status_code, reply.data, done.is_set()) == (200, b"", False)
        go_on.set()
        assert done.wait(PATIENCE)

    def test_its_failure_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def work() -> None:
            raise RuntimeError("the line is dead")

        assert self.bell(work).post("/api/channels/bell/x", buffered=True).status_code == 200
        until(lambda: "the line is dead" in caplog.text)


class TestSeats:
    def test_in_an_asgi_server_everybody_may_wait(self) -> None:
        with permitted_wait(Request({"type": "http"}), 30) as granted:
            assert granted == 30

    def test_a_seat_is_for_a_while_and_for_one(self) -> None:
        seated = Request({"type": "http", SEATS: Seats(1)})
        with permitted_wait(seated, 30) as first, permitted_wait(seated, 30) as second:
            assert (first, second) == (seats_module.LONGEST_WAIT, BRIEF)
        with permitted_wait(seated, 3) as third:
            assert third == 3


def browser(app) -> Client:
    return Client(app, use_cookies=False)


def environ_of(path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None):
    builder = EnvironBuilder(path, HOST, method=method, headers=list((headers or {}).items()), multithread=True)
    return builder.get_environ()


def asked(client: Client, mount: str = "", **changes: object) -> str:
    created = client.post(f"{mount}/api/tasks", json=body(**changes), headers=as_program("asker"))
    assert created.status_code == 201, created.text
    task_id: str = created.get_json()["id"]
    return task_id


def polled(client: Client, task_id: str) -> str:
    reply = client.get(
        f"/api/tasks/{task_id}/poll?timeout=30",
        headers=as_program("asker"),
        environ_overrides={"wsgi.multithread": True},
    )
    status: str = reply.get_json()["status"]
    return status


def seconds(call: Callable[..., object], *arguments: object) -> float:
    started = time.monotonic()
    call(*arguments)
    return time.monotonic() - started
