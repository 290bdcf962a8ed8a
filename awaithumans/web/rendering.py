"""Turning templates into pages, with the headers that keep them safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from awaithumans.display import raw_json
from awaithumans.types import ColorScheme
from awaithumans.web.look import LOOK, Look
from awaithumans.web.mount import url

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; connect-src 'self'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Vary": "Cookie, Authorization, Accept-Language",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a page is shown inside another one."""

    origin: str
    """Of the page around it."""
    task_id: str
    color_scheme: ColorScheme | None = None
    """In which colours alone it is shown; None for those that the browser is set to."""


def rendered(
    request: Request,
    template: str,
    context: Mapping[str, object],
    *,
    status: int = 200,
    posts: bool = False,
    frame: Frame | None = None,
) -> Response:
    """Answer with a page; `posts` tells whether it has a form to send.

    Only pages of the frame's origin may show it inside theirs.

    Addresses may be capabilities, so no other site gets them as a referrer.
    With `no-referrer` browsers send `Origin: null` along with forms, which
    over plain HTTP is all there is to tell a form of ours from another
    site's: a page with a form lets this origin, and no other, see where it
    came from.
    """
    look: Look = request.scope[LOOK]
    language = look.languages.of(request)
    known = {
        "frame": frame,
        "language": language,
        "href": partial(url, request),
        "static": partial(_static, request, look),
        "logo": _logo(request, look),
        "accented": look.accented,
    }
    page = look.render(template, language, {**context, **known})
    around = frame.origin if frame else "'none'"
    headers = {
        **_HEADERS,
        "Content-Security-Policy": f"{_POLICY}; frame-ancestors {around}; {look.media.policy}",
        "Content-Language": language.tag,
        "Referrer-Policy": "same-origin" if posts else "no-referrer",
    }
    if frame:
        del headers["X-Frame-Options"]  # which cannot name an origin
    return Response(page.encode(errors="replace"), status, headers, media_type="text/html")


def json_file(value: object, name: str) -> Response:
    """Answer with a value as JSON that browsers show, or save under a name."""
    headers = {
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Disposition": f'inline; filename="{name}"',
    }
    return Response(raw_json(value).encode(errors="replace"), headers=headers, media_type="application/json")


def redirected(address: str) -> Response:
    """Answer a form that was accepted: go on there, by GET."""
    headers = {"Location": address, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status_code=303, headers=headers)


def _static(request: Request, look: Look, name: str) -> str:
    return url(request, look.assets.path(name))


def _logo(request: Request, look: Look) -> str | None:
    return _static(request, look, look.logo_file.name) if look.logo_file else look.logo_url
