"""Is it really this site's own page that posts? Asked of every request without a bearer token.

Two answers are needed, since each alone has failed somebody: the browser's
word that the request comes from this origin, and a token that only a page of
this site could have read. The token is bound to the person and to the mount
point, so that a form of one log-in or of a sibling application is no use here.

The browser's word is `Sec-Fetch-Site`; where that is missing (plain HTTP, old
browsers) `Origin`; where that is missing too, `Referer`. A request with none
of the three was not made by a browser, and programs have tokens: refused.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from awaithumans.errors import ForbiddenError
from awaithumans.signing import KeyRing
from awaithumans.words import words

FIELD = "_awaithumans_csrf"
HEADER = "x-csrf-token"


class CrossSiteError(ForbiddenError):
    """A request cannot be shown to come from this site's own page."""

    code = "CROSS_SITE"
    anchor = "cross-site"
    default_hint = words("Load the page again and send it from there. Programs use an API token instead.")


def ensure_same_origin(request: Request, public_url: str | None) -> None:
    """Raise `CrossSiteError` unless the browser says it posts from here."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        own = site == "same-origin"
    else:
        claimed = request.headers.get("origin") or request.headers.get("referer") or ""
        own = _names_this_origin(claimed, request, public_url)
    if not own:
        raise CrossSiteError(words("the request does not come from a page of this site"))


def ensure_token(keys: KeyRing, token: str, person: str, mount: str) -> None:
    """Raise `CrossSiteError` unless `token` was given to this person here."""
    if not keys.form_token_valid(token, person, mount):
        raise CrossSiteError(words("the form’s hidden token is missing, or was made for somebody else"))


def _names_this_origin(claimed: str, request: Request, public_url: str | None) -> bool:
    try:
        origin = urlsplit(claimed)
        public = urlsplit(public_url or "")
    except ValueError:
        return False
    if origin.scheme not in {"http", "https"} or not origin.netloc:
        return False
    here = origin.netloc.lower() == request.headers.get("host", "").lower()
    published = (origin.scheme, origin.netloc.lower()) == (public.scheme, public.netloc.lower())
    return here or published
