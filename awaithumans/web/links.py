"""Capability links: one task, for one person, for one attempt.

A link is no log-in: it opens its task and nothing else. It is held against
the directory and the task each time it is used, so handing the task on or
removing the person from the directory ends it, and so does an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.display import moment
from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ConflictError, TaskNotFoundError
from awaithumans.forms import QuickAnswer, quick_answers
from awaithumans.lifecycle import may_answer
from awaithumans.types import Actor, Human, Task, TaskStatus
from awaithumans.web import csrf
from awaithumans.web.bodies import read_form
from awaithumans.web.mount import mount_of, url
from awaithumans.web.pages import error_page
from awaithumans.web.rendering import redirected, rendered
from awaithumans.web.resource import Handler
from awaithumans.web.review import FormRefusedError, Review, prefilled, send_answer
from awaithumans.web.seats import permitted_wait


class LinkUnknownError(AwaitHumansError, LookupError):
    """The link was not made here, or its task is gone."""

    code = "LINK_UNKNOWN"
    anchor = "link-unknown"
    status = 404
    default_hint = "Open it exactly as it stands in the message; some programs cut long links."


class LinkEndedError(AwaitHumansError):
    """The link was good, and is not any more."""

    code = "LINK_ENDED"
    anchor = "link-ended"
    status = 410


class Links:
    """The handlers of `/l/{token}`."""

    def __init__(self, engine: Engine, *, name: str, max_body_bytes: int, verdict_seconds: float) -> None:
        self._engine = engine
        self._name = name
        self._limit = max_body_bytes
        self._verdict_seconds = verdict_seconds

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        return {"/l/{token}": {"GET": self._show, "POST": self._answer}}

    async def on_error(self, request: Request, error: AwaitHumansError) -> Response:
        """Answer with a page that leads nowhere else."""
        return error_page(request, error, name=self._name, home=False)

    async def _show(self, request: Request) -> Response:
        """Show the task and its form, or what became of it."""
        task, human, _ = await self._granted(request)
        if task.closed and not _answered_by(task, human):
            raise _ended(task)
        if task.status is TaskStatus.SUBMITTED and not _answered_by(task, human):
            raise LinkEndedError("somebody else's answer is being checked", hint="You need not do anything.")
        if task.closed or task.status is TaskStatus.SUBMITTED:
            review = Review(task=task, human=human, now=self._engine.clock.now())
            return rendered(request, "done.html", {"name": self._name, "human": human, "review": review, "home": False})
        quick = _quick_answer(task, request.query_params.get("answer"))
        return self._page(request, task, human, *prefilled(task), quick=quick)

    async def _answer(self, request: Request) -> Response:
        """Answer the task as the person the link was made for."""
        submitted = dict(await read_form(request, self._limit))
        csrf.ensure_same_origin(request, self._engine.public_url)
        token = "".join(submitted.pop(csrf.FIELD, []))
        task, human, via = await self._granted(request)
        csrf.ensure_token(self._engine.keys, token, _visitor(human), mount_of(request))
        actor = Actor.of(human, auth="link", via=via)
        try:
            with permitted_wait(request, self._verdict_seconds) as seconds:
                task = await send_answer(self._engine, task, actor, submitted, verdict_seconds=seconds)
        except FormRefusedError as refused:
            return self._page(request, task, human, refused.values, refused.errors, status=422)
        except ConflictError:
            task = await self._engine.get(task.id)
            if task.closed:
                raise _ended(task) from None
            raise
        return redirected(url(request, f"/l/{self._token(request, task, human, via)}"))

    async def _granted(self, request: Request) -> tuple[Task, Human, str]:
        """Return what the link still grants, and what brought it. Raises what a page can say."""
        link = self._engine.keys.read_link(request.path_params["token"])
        if link is None:
            raise LinkUnknownError("this link is not valid")
        try:
            task = await self._engine.get(link.task_id)
        except TaskNotFoundError:
            raise LinkUnknownError("the question behind this link is not here any more") from None
        human = await self._engine.directory.find(link.address)
        guest = human and replace(human, operator=False)
        if guest is None or not may_answer(task, guest):
            raise LinkEndedError("this question is not addressed to you any more", hint="You need not do anything.")
        if link.attempt != task.attempt and not task.closed:
            raise LinkEndedError(
                "this link was for an earlier answer",
                hint="An answer was refused, and a newer message has the link to try again.",
            )
        return task, guest, link.via

    def _token(self, request: Request, task: Task, human: Human, via: str) -> str:
        """Return the link to go on with: after a refused answer, the next one's."""
        if task.refused:
            return self._engine.keys.link_token(task.id, human.email or human.id, task.attempt, via)
        return str(request.path_params["token"])

    def _page(
        self,
        request: Request,
        task: Task,
        human: Human,
        values: Mapping[str, object],
        errors: Mapping[str, str],
        *,
        status: int = 200,
        quick: QuickAnswer | None = None,
    ) -> Response:
        context = {
            "name": self._name,
            "human": human,
            "review": Review(task=task, human=human, now=self._engine.clock.now(), values=values, errors=errors),
            "action": url(request, request.url.path.removeprefix(mount_of(request))),
            "csrf_field": csrf.FIELD,
            "csrf_token": self._engine.keys.form_token(_visitor(human), mount_of(request)),
            "by_link": True,
            "quick": quick,
        }
        return rendered(request, "task.html", context, status=status, posts=True)


def _quick_answer(task: Task, text: str | None) -> QuickAnswer | None:
    """Return the answer that a button in a message stands for; it is given once the page is sent."""
    answers = quick_answers(task.spec.form, task.spec.response_schema)
    return next((answer for answer in answers if answer.text == text), None)


def _visitor(human: Human) -> str:
    """Name who comes by a link; not the same as when logged in."""
    return f"link:{human.id}"


def _answered_by(task: Task, human: Human) -> bool:
    return task.answer is not None and bool(task.answer.by.human.addresses & human.addresses)


def _ended(task: Task) -> LinkEndedError:
    when = moment(task.closed_at or task.changed_at)
    if task.response is not None and task.answer is not None:
        return LinkEndedError(
            f"{task.answer.by.human.label} answered this question on {when}", hint="You need not do anything."
        )
    ended = {"timed_out": "expired", "cancelled": "was withdrawn"}.get(task.status.value, "was closed")
    return LinkEndedError(f"this question {ended} on {when}", hint="You need not do anything.")
