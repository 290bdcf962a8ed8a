"""Reading request bodies: never more than the limit, whatever is announced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from starlette.datastructures import UploadFile
from starlette.formparsers import FormParser, MultiPartException
from starlette.requests import Request

from awaithumans.documents import ensure_json, loads
from awaithumans.errors import BodyTooLargeError, InvalidInputError
from awaithumans.web.envelope import MediaTypeError
from awaithumans.words import words

MAX_FIELDS = 10_000

_URLENCODED = "application/x-www-form-urlencoded"


async def read_json(request: Request, limit: int) -> object:
    """Return the body as strict JSON.

    A missing content type is taken for JSON, as old clients send none.
    Raises `BodyTooLargeError`, `MediaTypeError` or `InvalidInputError`.
    """
    kind = _content_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise MediaTypeError("application/json")
    return loads(await read_bytes(request, limit))


async def read_bytes(request: Request, limit: int) -> bytes:
    """Return the body as it came. Raises `BodyTooLargeError`."""
    return b"".join([chunk async for chunk in _limited(request, limit)])


async def read_optional_json(request: Request, limit: int) -> object:
    """Return the body as strict JSON; an empty object if there is none.

    Raises `BodyTooLargeError` or `InvalidInputError`.
    """
    body = await read_bytes(request, limit)
    return loads(body) if body else {}


async def read_form(request: Request, limit: int) -> Mapping[str, list[str]]:
    """Return a posted form's values by name.

    Raises `BodyTooLargeError`, `MediaTypeError` or `InvalidInputError`.
    """
    if _content_type(request) != _URLENCODED:
        raise MediaTypeError(_URLENCODED)
    try:
        form = await FormParser(request.headers, _limited(request, limit)).parse()
    except (MultiPartException, UnicodeDecodeError) as error:
        raise InvalidInputError(words("the form cannot be read: %(reason)s", reason=error)) from None
    submitted: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            raise MediaTypeError(_URLENCODED)
        submitted.setdefault(name, []).append(value)
    if len(form.multi_items()) > MAX_FIELDS:
        raise InvalidInputError(words("the form has more than %(count)s fields", count=MAX_FIELDS))
    ensure_json(submitted)
    return submitted


async def discard(request: Request, limit: int) -> None:
    """Read a body that means nothing here, within the limit."""
    async for _ in _limited(request, limit):
        pass


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise BodyTooLargeError(limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError(limit)
        yield chunk


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
