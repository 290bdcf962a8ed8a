"""The ASGI app: where each address leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.routing import Router as Routing
from starlette.types import Receive, Scope, Send

from awaithumans.engine import Engine
from awaithumans.errors import AwaitHumansError, ConfigurationError
from awaithumans.origins import read_origin
from awaithumans.web import departure
from awaithumans.web.access import Access, Auth
from awaithumans.web.api import Api
from awaithumans.web.embeds import EmbedGrants
from awaithumans.web.envelope import json_error
from awaithumans.web.figures import FigurePages
from awaithumans.web.guests import GuestPages
from awaithumans.web.inbound import ChannelDoor
from awaithumans.web.languages import LanguageChoice
from awaithumans.web.links import LinkGrants
from awaithumans.web.look import LOOK, Look
from awaithumans.web.mount import located, mount_of
from awaithumans.web.pages import Pages, error_page
from awaithumans.web.queue import QueuePages
from awaithumans.web.resource import ErrorPage, Handler, Resource
from awaithumans.web.tokens import ApiToken


class Router:
    """An ASGI app over an engine: the JSON API and the pages.

    Mount it anywhere: `app.mount("/humans", Router(engine, auth=...))`. It
    needs no lifespan events, and honours `root_path`.

    Arguments:
        engine: the engine it is a door to.
        auth: the host's log-in, `(request) -> Human | None`, plain or async.
            It may raise the host's own `HTTPException`, for example to
            redirect to a log-in page.
        tokens: what programs may come with.
        max_body_bytes: request bodies longer than this are refused. The files
            of a form may have three quarters of it.
        name: what the pages call this service.
        logo: beside the name: a path of this site, such as `/static/logo.svg`,
            or the bytes of an SVG, PNG, JPEG, GIF or WebP.
        accent: the colour of links and buttons, as `#2450c8`. It is darkened
            on light ground and lightened on dark ground until it can be read.
        templates: a folder with templates of your own. Each takes the place of
            ours of that name, and can extend it as `awaithumans/<name>`.
        translations: a folder with gettext catalogues of your own, as
            `<language>/LC_MESSAGES/awaithumans.mo`. They add languages, and
            their words come before ours; a catalogue of `en` rewords English.
        language: in which language the pages are: `(request) -> str | None`,
            as `de` or `pt-BR`, or one for everybody. For None, or one that is
            not there, it is what the browser asks for, else English.
        media_origins: from where pages may show pictures, videos and PDFs as
            part of themselves: `https://cdn.example.com`, or
            `https://*.example.com` for each name directly below. Those of this
            site are shown too; those of any other are links, so that nobody
            learns who reads a page.
        embed_origins: whose pages a task can be shown inside, as programs ask
            for by `POST /api/embed/tokens`: `https://app.example.com`, or
            `https://*.example.com` for each name directly below.
        verdict_seconds: how long somebody who answered waits for a verifier
            before the task is shown as it then stands.

    Raises `ConfigurationError` if nobody could get in, if people could but the
    engine has no secret to protect their forms with, and for a logo, a colour,
    a folder or a language that cannot be used.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        auth: Auth | None = None,
        tokens: Sequence[ApiToken] = (),
        max_body_bytes: int = 1_048_576,
        name: str = "awaithumans",
        logo: str | bytes | None = None,
        accent: str | None = None,
        templates: str | PathLike[str] | None = None,
        translations: str | PathLike[str] | None = None,
        language: LanguageChoice | str | None = None,
        media_origins: Sequence[str] = (),
        embed_origins: Sequence[str] = (),
        verdict_seconds: float = 5.0,
    ) -> None:
        _ensure_usable(engine, auth, tokens)
        self._telemetry = engine.telemetry
        self._name = name
        self._look = Look(
            logo=logo,
            accent=accent,
            templates=templates,
            translations=translations,
            language=language,
            media_origins=media_origins,
        )
        self._with_pages = engine.keys.keyed
        access = Access(engine, auth=auth, tokens=tokens)
        api = Api(
            engine,
            access,
            embed_origins=[read_origin(origin, "embed_origins", wildcard=True) for origin in embed_origins],
            max_body_bytes=max_body_bytes,
            verdict_seconds=verdict_seconds,
        )
        door = ChannelDoor(engine, max_body_bytes=max_body_bytes)
        routes = _routes({**api.routes(), **door.routes()}, api.on_error, prefix="/api")
        if engine.keys.keyed:
            pages = Pages(engine, access, name=name, max_body_bytes=max_body_bytes, verdict_seconds=verdict_seconds)
            queue, figures = QueuePages(engine, access, name=name), FigurePages(engine, access, name=name)
            routes += _routes({**pages.routes(), **queue.routes(), **figures.routes()}, pages.on_error)
            for grants in (LinkGrants(engine), EmbedGrants(engine)):
                guests = GuestPages(
                    engine, grants, name=name, max_body_bytes=max_body_bytes, verdict_seconds=verdict_seconds
                )
                routes += _routes(guests.routes(), guests.on_error)
            routes += _routes({"/static/{fingerprint}/{name}": {"GET": self._look.assets.answer}}, pages.on_error)
        self._routing = Routing(routes, redirect_slashes=False, default=Resource({}, on_error=self._nothing_here))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await _no_lifespan(receive, send)
        elif scope["type"] == "http":
            departure.overhear()
            with self._telemetry.received(Headers(scope=scope)):
                await self._routing({**located(scope), LOOK: self._look}, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _nothing_here(self, request: Request, error: AwaitHumansError) -> Response:
        below = request.scope["path"].removeprefix(mount_of(request))
        if not self._with_pages or below == "/api" or below.startswith("/api/"):
            return json_error(error)
        return error_page(request, error, name=self._name)


def _routes(handlers: Mapping[str, Mapping[str, Handler]], on_error: ErrorPage, *, prefix: str = "") -> list[Route]:
    return [Route(prefix + path, Resource(methods, on_error=on_error)) for path, methods in handlers.items()]


def _ensure_usable(engine: Engine, auth: Auth | None, tokens: Sequence[ApiToken]) -> None:
    if auth is not None and not engine.keys.keyed:
        raise ConfigurationError(
            "the pages need a secret, and this engine has none",
            hint="Pass Engine(secret=...), at least 32 bytes that only this host knows; "
            "without auth=, a router with tokens alone needs none.",
        )
    if auth is None and not tokens and not engine.keys.keyed:
        raise ConfigurationError(
            "nobody could use this router",
            hint="Pass auth= for people, tokens=[ApiToken(...)] for programs, or Engine(secret=...) for links.",
        )
    names = [token.name for token in tokens]
    if len(set(names)) < len(names):
        raise ConfigurationError("two API tokens have the same name", hint="The name is who acts in audit trails.")


async def _no_lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
