"""The JSON API: the wire format under `<mount>/api`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response

from awaithumans import wire
from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ForbiddenError, IdempotencyConflictError, TaskNotFoundError
from awaithumans.origins import is_among, read_origin
from awaithumans.types import (
    Cancel,
    Claim,
    Command,
    EffectKind,
    Human,
    Query,
    Reassign,
    Release,
    Submit,
    Task,
    TaskStatus,
    microseconds,
)
from awaithumans.web import queries
from awaithumans.web.access import Access, Principal, answering_actor, ensure
from awaithumans.web.bodies import discard, read_json, read_optional_json
from awaithumans.web.departure import until_departure
from awaithumans.web.envelope import EmbedOriginError, json_error, json_response
from awaithumans.web.events import EventStream, event, opening
from awaithumans.web.mount import url
from awaithumans.web.openapi import openapi_document
from awaithumans.web.resource import Handler, until_disconnect
from awaithumans.web.seats import permitted_wait
from awaithumans.web.shapes import MAX_EMBED_SECONDS, EmbedBody, LeaseBody, ReassignBody, RedeliverBody

_TO_LIST = "Give the token the scope read. Without it, a token gets the tasks that it asked itself, each by its id."
NOT_YOURS = "you don't have access to this task"


class Api:
    """The handlers of the JSON API; `wire.py` has its shapes."""

    def __init__(
        self,
        engine: Engine,
        access: Access,
        *,
        embed_origins: Sequence[str],
        max_body_bytes: int,
        verdict_seconds: float,
    ) -> None:
        self._engine = engine
        self._access = access
        self._embed_origins = embed_origins
        self._limit = max_body_bytes
        self._verdict_seconds = verdict_seconds

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        return {
            "/tasks": {"POST": self._create, "GET": self._list},
            "/tasks/{task_id}": {"GET": self._get, "DELETE": self._delete},
            "/tasks/{task_id}/poll": {"GET": self._poll},
            "/tasks/{task_id}/events": {"GET": self._task_events},
            "/tasks/{task_id}/complete": {"POST": self._complete},
            "/tasks/{task_id}/claim": {"POST": self._claim},
            "/tasks/{task_id}/release": {"POST": self._release},
            "/tasks/{task_id}/reassign": {"POST": self._reassign},
            "/tasks/{task_id}/cancel": {"POST": self._cancel},
            "/tasks/{task_id}/collect": {"POST": self._collect},
            "/tasks/{task_id}/audit": {"GET": self._audit},
            "/tasks/{task_id}/deliveries": {"GET": self._deliveries},
            "/tasks/{task_id}/redeliver": {"POST": self._redeliver},
            "/deliveries/failed": {"GET": self._failures},
            "/embed/tokens": {"POST": self._embed},
            "/leases": {"POST": self._lease},
            "/events": {"GET": self._events},
            "/stats/tasks": {"GET": self._stats},
            "/me": {"GET": self._me},
            "/health": {"GET": self._health},
            "/version": {"GET": self._version},
            "/openapi.json": {"GET": self._openapi},
        }

    async def on_error(self, request: Request, error: AwaitHumansError) -> Response:  # noqa: ARG002 - pages need it
        """Answer with the envelope."""
        return json_error(error)

    # ── Asking, and looking after what was asked ──────────────────────────────

    async def _create(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.may_ask, "asking needs the scope ask")
        document = await read_json(request, self._limit)
        spec = wire.spec_from_wire(document, requested_by=principal.actor.principal)
        task, new = await self._engine.ask(spec, by=principal.actor)
        if not (new or principal.may_see(task)):
            raise IdempotencyConflictError(spec.idempotency_key, "of another principal")
        headers = {} if new else {"Idempotent-Replayed": "true"}
        return json_response(wire.task_to_wire(task), status=201, headers=headers)

    async def _list(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.may_list, "listing needs the scope read", hint=_TO_LIST)
        query = replace(queries.task_query(request), visible_to=_viewer(principal))
        tasks = [] if query.statuses == frozenset() else await self._engine.find(query)
        headers = {"Link": f'<{_next_page(request, tasks[-1])}>; rel="next"'} if len(tasks) == query.limit else {}
        return json_response([wire.task_to_wire(task, redact=True) for task in tasks], headers=headers)

    async def _get(self, request: Request) -> Response:
        task = await self._readable(request)
        return json_response(wire.task_to_wire(task))

    async def _poll(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        task_id = queries.task_id_of(request)
        timeout = queries.whole(request, "timeout", default=25, least=1, most=30)

        def theirs(task: Task) -> Task:
            """Return a task that they may read: whatever is told was looked at, however the wait ended."""
            ensure(principal.may_read(task), NOT_YOURS)
            return task

        async def wait() -> Response:
            with permitted_wait(request, timeout) as seconds, until_departure():
                seen = await self._engine.wait_until(task_id, lambda task: theirs(task).closed, timeout=seconds)
                return json_response(wire.poll_to_wire(theirs(seen)))
            return json_response(wire.poll_to_wire(theirs(await self._engine.get(task_id))))

        return await until_disconnect(request, wait)

    async def _cancel(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        body = await read_optional_json(request, self._limit)
        reason = wire.read_body(wire.CancelBody, body).reason
        task = await self._looked_after(request, principal, "cancelling")
        return await self._act(task.id, Cancel(by=principal.actor, reason=reason))

    async def _collect(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        await discard(request, self._limit)
        task = await self._looked_after(request, principal, "collecting")
        return json_response(wire.task_to_wire(await self._engine.collect(task.id, by=principal.actor)))

    async def _lease(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.may_lease, "leasing needs a token with the scope ask")
        body = wire.read_body(LeaseBody, await read_json(request, self._limit))
        held = await self._engine.lease(body.name, holder=body.holder, seconds=body.seconds)
        return json_response({"held": held})

    async def _audit(self, request: Request) -> Response:
        task = await self._readable(request)
        trail = await self._engine.trail(task.id)
        return json_response(wire.trail_to_wire(trail))

    # ── Following ─────────────────────────────────────────────────────────────

    async def _task_events(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        task = await self._visible(request, principal)
        seen = queries.last_event_id(request)
        if task.closed and task.version == seen:
            return Response(status_code=204)  # the one answer that ends a browser's coming back
        return EventStream(self._versions(task.id, principal, seen), clock=self._engine.clock)

    async def _versions(self, task_id: str, principal: Principal, seen: int | None) -> AsyncGenerator[bytes]:
        yield opening()
        with suppress(TaskNotFoundError):
            async with self._engine.follow(task_id, seen=seen) as versions:
                async for task in versions:
                    if not principal.may_read(task):
                        return
                    yield event("task", wire.task_to_wire(task), task.version)

    async def _events(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.may_list, "following tasks needs the scope read", hint=_TO_LIST)
        query = replace(queries.changes_query(request), visible_to=_viewer(principal))
        return EventStream(self._changes(query), clock=self._engine.clock)

    async def _changes(self, query: Query) -> AsyncGenerator[bytes]:
        async with self._engine.changes(query) as tasks:
            begin = query.changed_after.at if query.changed_after else self._engine.clock.now()
            yield opening(microseconds(begin))
            async for task in tasks:
                yield event("task", wire.task_to_wire(task, redact=True), microseconds(task.changed_at))

    # ── Answering ─────────────────────────────────────────────────────────────

    async def _complete(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        body = wire.read_body(wire.CompleteBody, await read_json(request, self._limit))
        task = await self._engine.get(queries.task_id_of(request))
        ensure(principal.may_complete(task), NOT_YOURS)
        actor = await answering_actor(self._engine, principal, body.completed_by_email, body.completed_via_channel)
        command = Submit(
            value=body.response,
            text=body.text,
            by=actor,
            own=principal.may_answer_own,
            attempt=body.verification_attempt,
        )
        task = await self._engine.act_on(task, command)
        if task.status is TaskStatus.SUBMITTED:
            with permitted_wait(request, self._verdict_seconds) as seconds:
                task = await self._engine.wait_for_verdict(task.id, timeout=seconds)
        return json_response(wire.task_to_wire(task))

    async def _claim(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        await discard(request, self._limit)
        ensure(principal.human, "only a person can claim a task", hint="Log in as a person: a token has no name.")
        return await self._act((await self._visible(request, principal)).id, Claim(by=principal.actor))

    async def _release(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        await discard(request, self._limit)
        ensure(principal.human or principal.commands, "releasing needs the scope operate")
        return await self._act((await self._visible(request, principal)).id, Release(by=principal.actor))

    async def _embed(self, request: Request) -> Response:
        """Make an address of a task's page for a frame in the host's product."""
        principal = await self._access.principal(request)
        ensure(principal.may_answer_for_others, "embedding needs the scope answer:as")
        body = wire.read_body(EmbedBody, await read_json(request, self._limit))
        task = await self._engine.get(body.task_id)
        human = await self._engine.directory.find(body.sub)
        if human is None:
            raise ForbiddenError("sub names nobody in the directory")
        if not is_among(origin := read_origin(body.parent_origin, "parent_origin"), self._embed_origins):
            raise EmbedOriginError(f"pages of {origin} may not show tasks")
        page = self._engine.embed(
            task,
            human,
            origin=origin,
            valid_for=timedelta(seconds=min(body.ttl_seconds, MAX_EMBED_SECONDS)),
            stated_by=principal.actor.principal,
            color_scheme=body.color_scheme,
        )
        expires_at = page.expires_at.isoformat()
        return json_response({"embed_token": page.token, "embed_url": page.url, "expires_at": expires_at})

    # ── Operating ─────────────────────────────────────────────────────────────

    async def _reassign(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.commands, "reassigning needs the scope operate")
        body = wire.read_body(ReassignBody, await read_json(request, self._limit))
        task_id = queries.task_id_of(request)
        people = tuple(await self._engine.resolve(body.assign_to))
        return await self._act(task_id, Reassign(to=people, by=principal.actor))

    async def _delete(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        await discard(request, self._limit)
        ensure(principal.commands, "deleting needs the scope operate")
        await self._engine.delete(queries.task_id_of(request), by=principal.actor)
        return Response(status_code=204)

    async def _stats(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.may_list, "statistics need the scope read")
        found = await self._engine.statistics(queries.window(request), visible_to=_viewer(principal))
        return json_response(wire.statistics_to_wire(found))

    async def _deliveries(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.commands, "reading deliveries needs the scope operate")
        deliveries = await self._engine.deliveries(queries.task_id_of(request))
        told = [one for one in deliveries if one.effect.kind is EffectKind.NOTIFY]
        return json_response([wire.delivery_to_wire(one) for one in told])

    async def _redeliver(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        body = await read_optional_json(request, self._limit)
        ensure(principal.commands, "redelivering needs the scope operate")
        notice = wire.read_body(RedeliverBody, body).id
        task = await self._engine.redeliver(queries.task_id_of(request), by=principal.actor, notice=notice)
        return json_response(wire.task_to_wire(task))

    async def _failures(self, request: Request) -> Response:
        principal = await self._access.principal(request)
        ensure(principal.commands, "reading deliveries needs the scope operate")
        limit = queries.whole(request, "limit", default=50, least=1, most=queries.MAX_PAGE)
        failures = await self._engine.failures(after=queries.cursor(request, "after"), limit=limit)
        headers = {}
        if len(failures) == limit and (at := failures[-1].settled_at):
            behind = queries.cursor_text(at, failures[-1].effect.id)
            following = url(request, "/api/deliveries/failed", {"limit": str(limit), "after": behind})
            headers = {"Link": f'<{following}>; rel="next"'}
        return json_response([wire.delivery_to_wire(one) for one in failures], headers=headers)

    # ── About the service ─────────────────────────────────────────────────────

    async def _me(self, request: Request) -> Response:
        """Say who asks; a page's script finds its `X-CSRF-Token` here."""
        principal = await self._access.principal(request)
        human = principal.human
        return json_response(
            {
                "principal": principal.actor.principal,
                "email": human and human.email,
                "display_name": human and human.label,
                "is_operator": principal.actor.operator,
                "scopes": sorted(principal.scopes),
                "csrf_token": self._access.form_token(request, human) if human else None,
            }
        )

    async def _health(self, request: Request) -> Response:  # noqa: ARG002 - handlers take the request
        health = await self._engine.health()
        return json_response(wire.health_to_wire(ok=health.ok, lag=health.lag))

    async def _version(self, request: Request) -> Response:  # noqa: ARG002 - handlers take the request
        return json_response({"name": "awaithumans", "version": version("awaithumans")})

    async def _openapi(self, request: Request) -> Response:
        return json_response(openapi_document(self._engine, url(request, "/api")))

    # ── Parts ─────────────────────────────────────────────────────────────────

    async def _readable(self, request: Request) -> Task:
        return await self._visible(request, await self._access.principal(request))

    async def _visible(self, request: Request, principal: Principal) -> Task:
        task = await self._engine.get(queries.task_id_of(request))
        ensure(principal.may_read(task), NOT_YOURS)
        return task

    async def _looked_after(self, request: Request, principal: Principal, deed: str) -> Task:
        allowed = principal.commands or principal.may_ask
        ensure(allowed, f"{deed} needs the scope operate, or ask for a task of its own")
        task = await self._engine.get(queries.task_id_of(request))
        ensure(principal.commands or principal.asked(task), NOT_YOURS)
        return task

    async def _act(self, task_id: str, command: Command) -> Response:
        return json_response(wire.task_to_wire(await self._engine.act(task_id, command)))


def _viewer(principal: Principal) -> Human | None:
    """Return through whose eyes lists are read; None sees everything."""
    return None if principal.sees_all else principal.human


def _next_page(request: Request, last: Task) -> str:
    name = "changed_after" if "changed_after" in request.query_params else "after"
    kept = {key: value for key, value in request.query_params.items() if key not in {name, "offset"}}
    behind = queries.cursor_behind(last, queries.order(request), by_change=name == "changed_after")
    return url(request, "/api/tasks", {**kept, name: behind})
