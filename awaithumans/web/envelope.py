"""What goes wrong on the way, in one shape for every status."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from awaithumans.documents import dumps
from awaithumans.errors import AwaitHumansError, ConfigurationError, InvalidInputError, NotAuthenticatedError
from awaithumans.words import words

logger = logging.getLogger("awaithumans.web")

REQUEST_ID = "awaithumans.request_id"
"""Where a request's id is kept in its ASGI scope."""

_CLIENT_ERRORS = range(400, 500)


class RouteNotFoundError(AwaitHumansError, LookupError):
    """There is nothing at this address."""

    code = "NOT_FOUND"
    anchor = "not-found"
    status = 404
    default_hint = "Check the address, and where the router is mounted; GET openapi.json lists what there is."


class MethodNotAllowedError(AwaitHumansError):
    """The address does not take this method."""

    code = "METHOD_NOT_ALLOWED"
    anchor = "method-not-allowed"
    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(
            words("%(method)s is not possible here", method=method[:20]),
            hint=words("Allowed: %(methods)s.", methods=allowed),
        )
        self.allowed = allowed


class EmbedOriginError(InvalidInputError):
    """Pages of this origin may not show tasks inside them."""

    code = "EMBED_ORIGIN_NOT_ALLOWED"
    anchor = "embed-origin-not-allowed"
    status = 400
    default_hint = "Name it in Router(embed_origins=[...])."


class MediaTypeError(AwaitHumansError):
    """The body is of a type that is not read here."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    anchor = "unsupported-media-type"
    status = 415

    def __init__(self, wanted: str) -> None:
        super().__init__(
            words("the body’s content type is not read here"),
            hint=words("Send “Content-Type: %(type)s”.", type=wanted),
        )


class HostError(AwaitHumansError):
    """The host's log-in refused the request in its own words."""

    code = "REFUSED_BY_HOST"
    anchor = "refused-by-host"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


class InternalError(AwaitHumansError):
    """Something broke that should not; the log has the rest."""

    default_hint = words("Look for the request id in the server’s log. Trying again is safe.")

    def __init__(self) -> None:
        super().__init__(words("an internal error occurred"))


def explained(error: Exception, request: Request) -> AwaitHumansError:
    """Return what may be said of an error to whoever made the request.

    What is not meant for them is logged, and said as an internal error.
    """
    if isinstance(error, HTTPException):
        detail = cast("object", error.detail)  # FastAPI's may be any JSON
        said = detail if isinstance(detail, str) else HTTPStatus(error.status_code).phrase
        return HostError(error.status_code, said)
    if (
        isinstance(error, AwaitHumansError)
        and not isinstance(error, ConfigurationError)
        and type(error).status in _CLIENT_ERRORS
    ):
        return error
    task_id = str(request.path_params.get("task_id", "-"))[:64]
    logger.error("request %s failed (task %s)", request.scope[REQUEST_ID], task_id, exc_info=error)
    return InternalError()


def document(error: AwaitHumansError) -> dict[str, object]:
    """Write the envelope."""
    written: dict[str, object] = {
        "error": error.code,
        "message": error.message,
        "hint": error.hint,
        "docs": error.docs_url,
    }
    if isinstance(error, InvalidInputError) and error.fields:
        written["fields"] = dict(error.fields)
    return written


def headers(error: AwaitHumansError) -> dict[str, str]:
    """Give the headers that belong to an error's status."""
    if isinstance(error, NotAuthenticatedError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, MethodNotAllowedError):
        return {"Allow": error.allowed}
    return {}


def json_response(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON that is nobody else's to keep."""
    sent = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(written(value), status, sent, media_type="application/json")


def json_error(error: AwaitHumansError) -> Response:
    """Answer with the envelope."""
    return json_response(document(error), status=error.status, headers=headers(error))


def written(value: object) -> bytes:
    """Write JSON in one line; what no UTF-8 can say is escaped."""
    return dumps(value).encode(errors="backslashreplace")
