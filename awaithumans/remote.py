"""The engine of another process, over the JSON API."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import anyio
from anyio.lowlevel import current_token
from pydantic import BaseModel

from awaithumans.ambient import ambient_telemetry
from awaithumans.clock import SystemClock, sleep
from awaithumans.documents import dumps
from awaithumans.errors import (
    ERRORS_BY_CODE,
    AwaitHumansError,
    InvalidInputError,
    LeaseError,
    PollError,
    ServerUnreachableError,
    TaskCreateError,
)
from awaithumans.leases import ensure_lease
from awaithumans.protocols import Clock, TaskEngine
from awaithumans.telemetry import Telemetry
from awaithumans.types import (
    Cancel,
    Claim,
    Command,
    Cursor,
    JsonObject,
    Order,
    Query,
    Reassign,
    Release,
    Submit,
    Task,
    TaskSpec,
    TaskStatus,
    microseconds,
)
from awaithumans.wire import spec_to_wire, task_from_wire

if TYPE_CHECKING:
    import ssl

    import httpx2

logger = logging.getLogger("awaithumans.remote")

POLL_SECONDS = 25
SHORTEST_POLL = 1.0
FEWEST_TRIES = 5
READ_TIMEOUT = 35.0
CLOSE_WITHIN = 5.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
ASK_PATIENCE = 15.0
WAIT_PATIENCE = 24 * 60 * 60.0
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class RemoteEngine(TaskEngine):
    """A task engine behind a URL, with the same verbs as one in-process.

    Arguments:
        server_url: where the router is mounted; its API is below `/api`.
        api_key: an API token of that router.
        clock: for pauses; by default this machine's.
        rng: jitter for retries.
        wait_patience: seconds without any usable reply after which `wait`
            gives up; a day by default, so that a restart, a
            deploy or a broken line does not end a wait.
        telemetry: who is told of spans; by default the process's global
            OpenTelemetry providers, where its API is installed.

    An async context manager; connections are reused until it is closed, those
    of each event loop there. Creating is retried for a few seconds,
    harmlessly, since the key names the task, and so is leasing; commands are
    sent once.

    Raises `ServerUnreachableError` besides what the verbs raise, and for
    replies that are not of this API `TaskCreateError`, `PollError` or
    `LeaseError`.
    """

    def __init__(
        self,
        server_url: str,
        api_key: str | None = None,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        wait_patience: float = WAIT_PATIENCE,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.server_url = server_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._wait_patience = wait_patience
        self._telemetry: Telemetry = telemetry or ambient_telemetry()
        self._clients: dict[object, httpx2.AsyncClient] = {}
        """One for each event loop, since connections belong to theirs."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, of whatever event loop; harmless when repeated."""
        here = current_token().native_token
        while self._clients:
            loop, client = self._clients.popitem()
            if loop is here:
                await client.aclose()
            elif isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(client.aclose(), loop)
                with suppress(TimeoutError):
                    await anyio.to_thread.run_sync(closing.result, CLOSE_WITHIN)

    # ── Verbs ─────────────────────────────────────────────────────────────────

    async def create(self, spec: TaskSpec, *, response_model: type[BaseModel] | None = None) -> Task:
        """Ask; return the task that the idempotency key names."""
        body = spec_to_wire(spec)
        with self._telemetry.asking(by=None) as deed:
            reply = await self._persistently("POST", "/tasks", body, patience=ASK_PATIENCE)
            task = self._task(reply, lambda: TaskCreateError(reply.status_code, reply.text))
            deed.concerns(task)
            return task

    async def get(self, task_id: str) -> Task:
        """Return the task as it stands."""
        return await self._get(task_id, patience=ASK_PATIENCE)

    async def _get(self, task_id: str, *, patience: float) -> Task:
        reply = await self._persistently("GET", f"/tasks/{task_id}", patience=patience, foreign=True)
        return self._task(reply, lambda: _unreadable(task_id, reply))

    async def _poll(self, task_id: str) -> object:
        path = f"/tasks/{task_id}/poll?timeout={POLL_SECONDS}"
        reply = await self._persistently("GET", path, patience=self._wait_patience, foreign=True)
        return self._document(reply, lambda: _unreadable(task_id, reply)).get("status")

    async def find(self, query: Query) -> list[Task]:
        """Return the tasks that fit `query`, in its order.

        `visible_to` is decided by the server, from the token. Raises
        `InvalidInputError` for `refused=False` among closed tasks, which the
        API cannot be asked for.
        """
        if query.ids == () or query.statuses == frozenset():
            return []
        reply = await self._persistently("GET", "/tasks", params=_parameters(query), patience=ASK_PATIENCE)
        try:
            return [task_from_wire(document) for document in reply.raise_for_status().json()]
        except (*_unusable(), _status_error()):
            raise _error_of(_json_object(reply) or {}) or PollError("", reply.status_code, reply.text) from None

    async def wait(self, task_id: str, *, timeout: float | None = None) -> Task:
        """Return the task once it is closed, or as it stands after `timeout`."""
        with self._telemetry.waiting(task_id, remote=True) as deed:
            task = await self._wait(task_id, timeout)
            deed.concerns(task)
            return task

    async def _wait(self, task_id: str, timeout: float | None) -> Task:
        with self._clock.move_on_after(timeout):
            while True:
                began = anyio.current_time()
                if await self._poll(task_id) in _CLOSED:
                    break
                if anyio.current_time() - began < SHORTEST_POLL:
                    await sleep(self._clock, SHORTEST_POLL)
            return await self._get(task_id, patience=self._wait_patience)
        return await self.get(task_id)

    async def act(self, task_id: str, command: Command) -> Task:
        """Carry out one command and return the task after it."""
        with self._telemetry.acting(command, remote=True) as deed:
            task = await self._act(task_id, command)
            deed.concerns(task)
            return task

    async def _act(self, task_id: str, command: Command) -> Task:
        deed, body = _deed(command)
        try:
            reply = await self._send("POST", f"/tasks/{task_id}/{deed}", body)
        except _transport_errors() as error:
            raise ServerUnreachableError(self.server_url, error) from error
        return self._task(reply, lambda: _unreadable(task_id, reply))

    async def collect(self, task_id: str, *, seen: Task | None = None) -> Task:
        """Say that the outcome has been taken over; harmless when repeated."""
        reply = await self._persistently("POST", f"/tasks/{task_id}/collect", patience=ASK_PATIENCE, foreign=True)
        return self._task(reply, lambda: _unreadable(task_id, reply))

    async def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take, or keep, a right for some time; tell whether `holder` has it."""
        ensure_lease(name, holder, seconds)
        body: JsonObject = {"name": name, "holder": holder, "seconds": seconds}
        reply = await self._persistently("POST", "/leases", body, patience=ASK_PATIENCE)
        document = self._document(reply, lambda: LeaseError(name, reply.status_code, reply.text))
        if not isinstance(held := document.get("held"), bool):
            raise LeaseError(name, reply.status_code, reply.text)
        return held

    def page_url(self, task_id: str) -> str:
        """Return the address of the task's page."""
        return f"{self.server_url}/task?id={task_id}"

    # ── HTTP ──────────────────────────────────────────────────────────────────

    async def _persistently(
        self,
        method: str,
        path: str,
        body: JsonObject | None = None,
        *,
        patience: float,
        params: Mapping[str, str] | None = None,
        foreign: bool = False,
    ) -> httpx2.Response:
        """Send until there is a usable reply; give up after `patience`.

        With `foreign`, what something in between says is no usable reply.
        """
        give_up_at = self._clock.monotonic() + patience
        pause = FIRST_PAUSE
        for tries in count(1):
            fault: object
            try:
                reply = await self._send(method, path, body, params)
            except _transport_errors() as error:
                fault, last = error, None
            else:
                if reply.status_code not in _TRY_AGAIN and not (foreign and _is_foreign(reply)):
                    return reply
                fault, last = f"HTTP {reply.status_code}", reply
            if tries >= FEWEST_TRIES and self._clock.monotonic() + pause > give_up_at:
                if last is not None:
                    return last
                raise ServerUnreachableError(self.server_url, fault)
            logger.warning("%s %s: %s; trying again", method, path.partition("?")[0], _named(fault))
            await sleep(self._clock, pause * self._rng.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)
        raise AssertionError("counting does not end")

    async def _send(
        self, method: str, path: str, body: JsonObject | None = None, params: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        content = dumps(body).encode() if body is not None else None
        headers = self._telemetry.trace_context()
        if content is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self.server_url}/api{path}"
        return await self._http().request(method, url, content=content, headers=headers, params=params)

    def _http(self) -> httpx2.AsyncClient:
        here = current_token().native_token
        if client := self._clients.get(here):
            return client
        import httpx2

        for loop in [one for one in self._clients if getattr(one, "is_closed", bool)()]:
            del self._clients[loop]  # its connections ended with it

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)  # a wait holds one
        client = httpx2.AsyncClient(headers=self._headers, timeout=READ_TIMEOUT, verify=_tls(), limits=limits)
        self._clients[here] = client
        return client

    def _task(self, reply: httpx2.Response, unknown: Callable[[], AwaitHumansError]) -> Task:
        document = self._document(reply, unknown)
        try:
            return task_from_wire(document)
        except _unusable() as error:
            raise unknown() from error

    def _document(self, reply: httpx2.Response, unknown: Callable[[], AwaitHumansError]) -> JsonObject:
        """Read a reply; raise the error it stands for."""
        document = _json_object(reply)
        if reply.is_success and document is not None:
            return document
        raise _error_of(document or {}) or unknown()


_CLOSED = frozenset({"completed", "timed_out", "cancelled", "verification_exhausted"})


@cache
def _tls() -> ssl.SSLContext:
    """Load the trusted certificates once: it costs milliseconds."""
    import httpx2

    return httpx2.create_ssl_context()


def _unusable() -> tuple[type[Exception], ...]:
    """Name what reading a reply of another kind of server ends in."""
    return (KeyError, TypeError, ValueError, AttributeError)


def _status_error() -> type[Exception]:
    import httpx2

    return httpx2.HTTPStatusError


def _is_foreign(reply: httpx2.Response) -> bool:
    """Tell whether something in between replied, and not the API."""
    document = _json_object(reply)
    return document is None or not (reply.is_success or str(document.get("error")) in ERRORS_BY_CODE)


def _transport_errors() -> type[Exception]:
    import httpx2

    return httpx2.TransportError


def _json_object(reply: httpx2.Response) -> JsonObject | None:
    try:
        document: object = json.loads(reply.content)
    except ValueError:
        return None
    return cast(JsonObject, document) if isinstance(document, dict) else None


def _error_of(document: JsonObject) -> AwaitHumansError | None:
    known = ERRORS_BY_CODE.get(str(document.get("error")))
    if known is None:
        return None
    error = known.described(str(document.get("message", "")), cast("str | None", document.get("hint")))
    if isinstance(error, InvalidInputError):
        error.fields = cast("Mapping[str, str]", document.get("fields") or {})
    return error


def _unreadable(task_id: str, reply: httpx2.Response) -> AwaitHumansError:
    return PollError(task_id, reply.status_code, reply.text)


def _named(fault: object) -> str:
    return type(fault).__name__ if isinstance(fault, Exception) else str(fault)


def _deed(command: Command) -> tuple[str, JsonObject | None]:
    match command:
        case Submit():
            return "complete", _answer(command)
        case Claim():
            return "claim", None
        case Release():
            return "release", None
        case Reassign(to=to):
            return "reassign", {"assign_to": {"emails": [human.email or human.id for human in to]}}
        case Cancel(reason=reason):
            return "cancel", {"reason": reason} if reason else None


def _answer(command: Submit) -> JsonObject:
    by = command.by
    named = (by.email or by.id) if by.kind == "human" else None
    said = {"response": command.value} if command.text is None else {"text": command.text}
    attempt = {} if command.attempt is None else {"verification_attempt": command.attempt}
    return {**said, **attempt, "completed_by_email": named, "completed_via_channel": by.via}


def _parameters(query: Query) -> dict[str, str]:
    asked: dict[str, object] = {
        "id": ",".join(query.ids) if query.ids is not None else None,
        "status": _status_parameter(query),
        "idempotency_key": query.idempotency_key,
        "assigned_to": query.assigned_to,
        "search": query.search,
        "order": None if query.order is Order.NEWEST else query.order.value,
        "unassigned": None if query.unassigned is None else str(query.unassigned).lower(),
        "after": _cursor_parameter(query.after),
        "changed_after": _cursor_parameter(query.changed_after),
        "limit": query.limit,
        "offset": query.offset,
    }
    return {name: str(value) for name, value in asked.items() if value is not None}


def _status_parameter(query: Query) -> str | None:
    if query.refused is not None:
        return _pending_parameter(query)
    return ",".join(sorted(query.statuses)) if query.statuses else None


def _pending_parameter(query: Query) -> str:
    among_pending = query.statuses == frozenset({TaskStatus.PENDING}) or (query.refused and query.statuses is None)
    if not among_pending:
        raise InvalidInputError(
            "over HTTP, `refused` can be asked of pending tasks only",
            hint="Pass statuses=frozenset({TaskStatus.PENDING}) with it.",
        )
    return "rejected" if query.refused else "created"


def _cursor_parameter(cursor: Cursor | None) -> str | None:
    return f"{microseconds(cursor.at)}.{cursor.id}" if cursor else None
