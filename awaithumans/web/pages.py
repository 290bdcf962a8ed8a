"""Pages for people the host knows: the page of each task, and what they do there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from awaithumans import forms
from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ConflictError, ForbiddenError, NotAuthenticatedError
from awaithumans.lifecycle import may_see
from awaithumans.types import Actor, Cancel, Claim, Command, Human, Release, Task
from awaithumans.web import csrf, queries
from awaithumans.web.access import Access, ensure
from awaithumans.web.bodies import read_form
from awaithumans.web.mount import url
from awaithumans.web.queue import next_question
from awaithumans.web.rendering import Frame, json_file, redirected, rendered
from awaithumans.web.resource import Handler
from awaithumans.web.review import (
    MOST_LINES,
    FormReturnedError,
    Review,
    check_fails,
    failures_of,
    line_of,
    quick_answer,
    send_answer,
)
from awaithumans.web.seats import permitted_wait
from awaithumans.words import words

ERROR_HEADINGS = {
    "TASK_NOT_FOUND": words("This task is not here"),
    "TASK_GONE": words("This task is gone"),
    "BODY_TOO_LARGE": words("That was too much"),
    "NOT_FOUND": words("There is nothing at this address"),
    "FORBIDDEN": words("This is not yours to open"),
    "CROSS_SITE": words("Please send the form again"),
    "NOT_AUTHENTICATED": words("Please log in"),
    "TASK_ALREADY_CLAIMED": words("Somebody else has this task"),
    "TASK_ALREADY_TERMINAL": words("This question is closed"),
    "ANSWER_UNDER_REVIEW": words("An answer is being checked"),
    "LINK_ENDED": words("There is nothing left to do here"),
    "LINK_UNKNOWN": words("This link leads nowhere"),
    "INVALID_EMBED_TOKEN": words("This page has to be loaded again"),
    "INTERNAL_ERROR": words("Something broke on our side"),
}
ERROR_WORDS = {
    "BODY_TOO_LARGE": (
        words("Nothing was sent: it is more than this service takes at once"),
        words("Go back: what you filled in is still there. Choose smaller files, or fewer."),
    ),
    "TASK_NOT_FOUND": (
        words("It was deleted, or the address is not quite right"),
        words("Open it from the message again, exactly as it stands there, or look for it among the questions."),
    ),
    "NOT_FOUND": (
        words("No page of this service has it"),
        words("The address may have been cut short on its way to you."),
    ),
    "TASK_ALREADY_TERMINAL": (
        words("it was decided, withdrawn or expired before that"),
        words("Open it to see how it ended."),
    ),
    "TASK_ALREADY_CLAIMED": (
        words("somebody else took it before you"),
        words("Ask them to give it back if you should answer it."),
    ),
    "ANSWER_UNDER_REVIEW": (
        words("an answer was given, and is being checked"),
        words("If it is refused, the question is open again."),
    ),
    "SELF_ANSWER": (
        words("whoever asks a question cannot answer it"),
        words("Let somebody else answer."),
    ),
}
"""What people read where the API's words are for programmers."""


class Pages:
    """The handlers of the pages behind the host's log-in."""

    def __init__(
        self, engine: Engine, access: Access, *, name: str, max_body_bytes: int, verdict_seconds: float
    ) -> None:
        self._engine = engine
        self._access = access
        self._name = name
        self._limit = max_body_bytes
        self._verdict_seconds = verdict_seconds

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the handlers by path and method."""
        return {
            "/task": {"GET": self._printed_link},
            "/tasks/{task_id}": {"GET": self._task, "POST": self._answer},
            "/tasks/{task_id}/done": {"GET": self._done},
            "/tasks/{task_id}/payload": {"GET": self._payload},
            "/tasks/{task_id}/response": {"GET": self._response},
            "/tasks/{task_id}/claim": {"POST": self._claim},
            "/tasks/{task_id}/release": {"POST": self._release},
            "/tasks/{task_id}/cancel": {"POST": self._cancel},
            "/tasks/{task_id}/redeliver": {"POST": self._redeliver},
        }

    async def on_error(self, request: Request, error: AwaitHumansError) -> Response:
        """Answer with a page that says what to do."""
        return error_page(request, error, name=self._name)

    # ── Reading ───────────────────────────────────────────────────────────────

    async def _printed_link(self, request: Request) -> Response:
        """Lead on from the address that deployed clients print."""
        task_id = request.query_params.get("id", "")
        known = task_id.isalnum() and task_id.isascii()  # our ids are; anything else could lead elsewhere
        return redirected(url(request, f"/tasks/{task_id}" if known else "/"))

    async def _task(self, request: Request) -> Response:
        """Show a task, and its form to those who may answer."""
        human, task = await self._visible(request)
        values, errors = forms.prefilled(task)
        return await self._page(request, await self._review(task, human, values, errors))

    async def _done(self, request: Request) -> Response:
        """Say what became of an answer, right after it was given."""
        human, task = await self._visible(request)
        review = Review(task=task, human=human, now=self._engine.clock.now())
        following = await next_question(self._engine, human)
        return rendered(request, "done.html", {**self._frame(human), "review": review, "home": True, "next": following})

    async def _payload(self, request: Request) -> Response:
        """Give what the task is about as JSON."""
        _, task = await self._visible(request)
        return json_file(task.spec.payload, "payload.json")

    async def _response(self, request: Request) -> Response:
        """Give the decided response as JSON; `null` if there is none."""
        _, task = await self._visible(request)
        return json_file(task.response, "response.json")

    # ── Acting ────────────────────────────────────────────────────────────────

    async def _answer(self, request: Request) -> Response:
        """Answer the task with the posted form."""
        human, submitted = await self._posted(request)
        task = await self._seen_by(request, human)
        actor = Actor.of(human, auth="host", via="web")
        try:
            with permitted_wait(request, self._verdict_seconds) as seconds:
                task = await send_answer(self._engine, task, actor, submitted, verdict_seconds=seconds)
        except FormReturnedError as returned:
            review = await self._review(task, human, returned.values, returned.errors)
            return await self._page(request, replace(review, edited=returned.edited), status=returned.status)
        except ConflictError as error:
            return await self._closed_meanwhile(request, human, error)
        return redirected(url(request, f"/tasks/{task.id}" if task.refused else f"/tasks/{task.id}/done"))

    async def _claim(self, request: Request) -> Response:
        """Take the task."""
        return await self._act(request, lambda actor, _: Claim(by=actor))

    async def _release(self, request: Request) -> Response:
        """Give the task back."""
        return await self._act(request, lambda actor, _: Release(by=actor))

    async def _cancel(self, request: Request) -> Response:
        """Withdraw the question."""
        return await self._act(request, lambda actor, reason: Cancel(by=actor, reason=reason))

    async def _redeliver(self, request: Request) -> Response:
        """Tell those again who could not be told, or the one that is named."""
        human, submitted = await self._posted(request)
        task = await self._seen_by(request, human)
        ensure(human.operator, words("only an operator may have messages sent again"))
        notice = "".join(submitted.get("notice", ())) or None
        await self._engine.redeliver(task.id, by=Actor.of(human, auth="host", via="web"), notice=notice)
        return redirected(url(request, f"/tasks/{task.id}"))

    # ── Parts ─────────────────────────────────────────────────────────────────

    async def _visible(self, request: Request) -> tuple[Human, Task]:
        human = await self._access.visitor(request)
        return human, await self._seen_by(request, human)

    async def _seen_by(self, request: Request, human: Human) -> Task:
        task = await self._engine.get(queries.task_id_of(request))
        if not may_see(task, human):
            raise ForbiddenError(
                words("this task is addressed to other people"),
                hint=words(
                    "You are logged in as %(who)s. If that is right, ask an operator to hand it to you.",
                    who=human.label,
                ),
            )
        return task

    async def _posted(self, request: Request) -> tuple[Human, Mapping[str, list[str]]]:
        human = await self._access.visitor(request)
        submitted = dict(await read_form(request, self._limit))
        self._access.ensure_own_page(request, human, "".join(submitted.pop(csrf.FIELD, [])))
        return human, submitted

    async def _act(self, request: Request, command: Callable[[Actor, str], Command]) -> Response:
        human, submitted = await self._posted(request)
        task = await self._seen_by(request, human)
        reason = "".join(submitted.get("reason", []))[: queries.MAX_TEXT]
        await self._engine.act(task.id, command(Actor.of(human, auth="host", via="web"), reason))
        return redirected(url(request, f"/tasks/{task.id}"))

    async def _closed_meanwhile(self, request: Request, human: Human, error: AwaitHumansError) -> Response:
        task = await self._seen_by(request, human)
        review = replace(await self._review(task, human, {}, {}), banner=_for_people(error)[0])
        return await self._page(request, review, status=error.status)

    async def _review(
        self, task: Task, human: Human, values: Mapping[str, object], errors: Mapping[str, str]
    ) -> Review:
        deliveries, trail = await self._engine.deliveries(task.id), await self._engine.trail(task.id)
        return Review(
            task=task,
            human=human,
            now=self._engine.clock.now(),
            values=values,
            errors=errors,
            trail=[line_of(entry) for entry in trail[-MOST_LINES:]],
            earlier=max(0, len(trail) - MOST_LINES),
            failures=failures_of(deliveries),
            check_fails=check_fails(deliveries),
        )

    async def _page(self, request: Request, review: Review, *, status: int = 200) -> Response:
        context = {
            **self._frame(review.human),
            "review": review,
            "action": url(request, f"/tasks/{review.task.id}"),
            "csrf_field": csrf.FIELD,
            "csrf_token": self._access.form_token(request, review.human),
            "by_link": False,
            "limit": self._limit,
            "quick": quick_answer(review.task, request) if review.may_answer else None,
        }
        return rendered(request, "task.html", context, status=status, posts=True)

    def _frame(self, human: Human) -> dict[str, object]:
        return {"name": self._name, "human": human}


def error_page(
    request: Request, error: AwaitHumansError, *, name: str, home: bool = True, frame: Frame | None = None
) -> Response:
    """Answer with a page that says what went wrong and what to do."""
    message, hint = _for_people(error)
    context = {
        "name": name,
        "human": None,
        "heading": ERROR_HEADINGS.get(error.code, words("That did not work")),
        "message": message,
        "hint": hint,
        "home": home and not isinstance(error, NotAuthenticatedError),
        "code": error.code,
        "glyph": {401: "shut", 403: "shut", 404: "lost", 409: "over", 410: "over"}.get(error.status, "stop"),
    }
    return rendered(request, "message.html", context, status=error.status, frame=frame)


def _for_people(error: AwaitHumansError) -> tuple[str, str]:
    """Give what went wrong, and what to do."""
    if isinstance(error, NotAuthenticatedError):
        return error.message, words("Log in to the application that sent you here, and open this address again.")
    return ERROR_WORDS.get(error.code, (error.message, error.hint))
