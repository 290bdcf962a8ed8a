"""The page of one task for somebody without a log-in: to read it, and to answer it.

What grants the page is no log-in: it opens its task and nothing else. It is
held against the directory and the task each time it is used, so handing the
task on or removing the person from the directory ends it, and so does an
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.display import moment
from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ConflictError, TaskNotFoundError
from awaithumans.forms import QuickAnswer, prefilled
from awaithumans.lifecycle import may_answer
from awaithumans.types import Actor, Human, Task, TaskStatus
from awaithumans.web import csrf
from awaithumans.web.bodies import read_form
from awaithumans.web.mount import mount_of, url
from awaithumans.web.others import came_by_channel, remind_of_others
from awaithumans.web.pages import error_page
from awaithumans.web.rendering import Frame, json_file, redirected, rendered
from awaithumans.web.resource import Handler
from awaithumans.web.review import FormReturnedError, Review, quick_answer, send_answer
from awaithumans.web.seats import permitted_wait
from awaithumans.words import words

NOTHING_TO_DO = words("You need not do anything.")


class LinkUnknownError(AwaitHumansError, LookupError):
    """The link was not made here, or its task is gone."""

    code = "LINK_UNKNOWN"
    anchor = "link-unknown"
    status = 404
    default_hint = words("Open it exactly as it stands in the message; some programs cut long links.")


class LinkEndedError(AwaitHumansError):
    """The link was good, and is not any more."""

    code = "LINK_ENDED"
    anchor = "link-ended"
    status = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What somebody may do here: answer this task as this person."""

    task: Task
    human: Human
    actor: Actor
    path: str
    """Where the form is sent to, below the mount."""


class Grants(Protocol):
    """One way to be let in."""

    path: str
    """The address, with a `{token}`."""
    tells_of_others: bool
    """Whether the person may have themselves told what else waits for them."""

    async def grant(self, request: Request) -> Grant:
        """Return what the request's token still grants. Raises what a page can say."""
        ...

    def path_after(self, grant: Grant, task: Task) -> str:
        """Return where to go on once the task was answered."""
        ...

    def frame(self, request: Request) -> Frame | None:
        """Return whose pages may show this one inside theirs, if anybody's."""
        ...


class GuestPages:
    """The handlers of one way in."""

    def __init__(
        self, engine: Engine, grants: Grants, *, name: str, max_body_bytes: int, verdict_seconds: float
    ) -> None:
        self._engine = engine
        self._grants = grants
        self._name = name
        self._limit = max_body_bytes
        self._verdict_seconds = verdict_seconds

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        path = self._grants.path
        own: dict[str, Mapping[str, Handler]] = {
            path: {"GET": self._show, "POST": self._answer},
            f"{path}/payload": {"GET": self._payload},
        }
        return own | ({f"{path}/others": {"POST": self._tell_of_others}} if self._grants.tells_of_others else {})

    async def on_error(self, request: Request, error: AwaitHumansError) -> Response:
        """Answer with a page that leads nowhere else."""
        return error_page(request, error, name=self._name, home=False, frame=self._grants.frame(request))

    async def _show(self, request: Request) -> Response:
        """Show the task and its form, or what became of it."""
        grant = await self._grants.grant(request)
        _ensure_theirs(grant)
        if grant.task.status is not TaskStatus.PENDING:
            return self._done(request, grant)
        return self._page(request, grant, *prefilled(grant.task), quick=quick_answer(grant.task, request))

    async def _tell_of_others(self, request: Request) -> Response:
        """Have the person told what else waits for them; the page does not say whether anything does."""
        grant, _ = await self._posted(request)
        _ensure_theirs(grant)
        await remind_of_others(self._engine, grant.task, grant.actor)
        context = {"name": self._name, "human": grant.human, "back": url(request, grant.path)}
        return rendered(request, "others.html", context)

    async def _payload(self, request: Request) -> Response:
        """Give what the task is about as JSON."""
        grant = await self._grants.grant(request)
        _ensure_theirs(grant)
        return json_file(grant.task.spec.payload, "payload.json")

    async def _answer(self, request: Request) -> Response:
        """Answer the task as the person who was let in."""
        grant, submitted = await self._posted(request)
        try:
            with permitted_wait(request, self._verdict_seconds) as seconds:
                task = await send_answer(self._engine, grant.task, grant.actor, submitted, verdict_seconds=seconds)
        except FormReturnedError as returned:
            return self._page(
                request, grant, returned.values, returned.errors, edited=returned.edited, status=returned.status
            )
        except ConflictError:
            task = await self._engine.get(grant.task.id)
            if task.closed:
                raise _ended(task) from None
            raise
        return redirected(url(request, self._grants.path_after(grant, task)))

    async def _posted(self, request: Request) -> tuple[Grant, dict[str, list[str]]]:
        submitted = dict(await read_form(request, self._limit))
        csrf.ensure_same_origin(request, self._engine.public_url)
        token = "".join(submitted.pop(csrf.FIELD, []))
        grant = await self._grants.grant(request)
        csrf.ensure_token(self._engine.keys, token, _visitor(grant.human), mount_of(request))
        return grant, submitted

    def _done(self, request: Request, grant: Grant) -> Response:
        review = Review(task=grant.task, human=grant.human, now=self._engine.clock.now())
        context = {**self._context(request, grant), "review": review, "home": False, "next": None}
        return rendered(request, "done.html", context, posts=True, frame=self._grants.frame(request))

    def _context(self, request: Request, grant: Grant) -> dict[str, object]:
        """Give what the page of a task and the one after it have in common."""
        told = self._grants.tells_of_others and came_by_channel(grant.task, grant.actor.via)
        return {
            "name": self._name,
            "human": grant.human,
            "csrf_field": csrf.FIELD,
            "csrf_token": self._engine.keys.form_token(_visitor(grant.human), mount_of(request)),
            "others": url(request, f"{grant.path}/others") if told else None,
        }

    def _page(
        self,
        request: Request,
        grant: Grant,
        values: Mapping[str, object],
        errors: Mapping[str, str],
        *,
        edited: str = "",
        status: int = 200,
        quick: QuickAnswer | None = None,
    ) -> Response:
        now = self._engine.clock.now()
        review = Review(task=grant.task, human=grant.human, now=now, values=values, errors=errors, edited=edited)
        context = {
            **self._context(request, grant),
            "review": review,
            "action": url(request, grant.path),
            "by_link": True,
            "limit": self._limit,
            "quick": quick,
        }
        return rendered(request, "task.html", context, status=status, posts=True, frame=self._grants.frame(request))


async def guest_and_task(engine: Engine, address: str, task_id: str) -> tuple[Human, Task]:
    """Return who is let in, without an operator's rights, and to what.

    Raises `LinkUnknownError` for a task that is gone, and `LinkEndedError`
    for a person who is, or whom the task is not addressed to.
    """
    try:
        task = await engine.get(task_id)
    except TaskNotFoundError:
        raise LinkUnknownError(words("the question behind this link is not here any more")) from None
    human = await engine.directory.find(address)
    guest = human and replace(human, operator=False)
    if guest is None or not may_answer(task, guest):
        raise LinkEndedError(words("this question is not addressed to you any more"), hint=NOTHING_TO_DO)
    return guest, task


def _ensure_theirs(grant: Grant) -> None:
    """Raise `LinkEndedError` where somebody else has answered, or nobody in time."""
    task = grant.task
    if task.status is TaskStatus.PENDING or _answered_by(task, grant.human):
        return
    if task.closed:
        raise _ended(task)
    raise LinkEndedError(words("somebody else’s answer is being checked"), hint=NOTHING_TO_DO)


def _visitor(human: Human) -> str:
    """Name who comes without a log-in; not the same as when logged in."""
    return f"link:{human.id}"


def _answered_by(task: Task, human: Human) -> bool:
    return task.answer is not None and bool(task.answer.by.human.addresses & human.addresses)


def _ended(task: Task) -> LinkEndedError:
    when = moment(task.closed_at or task.changed_at)
    if task.response is not None and task.answer is not None:
        how = words("%(who)s answered this question on %(time)s", who=task.answer.by.human.label, time=when)
    elif task.status is TaskStatus.TIMED_OUT:
        how = words("this question expired on %(time)s", time=when)
    elif task.status is TaskStatus.CANCELLED:
        how = words("this question was withdrawn on %(time)s", time=when)
    else:
        how = words("this question was closed on %(time)s", time=when)
    return LinkEndedError(how, hint=NOTHING_TO_DO)
