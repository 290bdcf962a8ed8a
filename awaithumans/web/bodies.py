"""Reading request bodies: never more than the limit, whatever is announced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from starlette.datastructures import UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from awaithumans.documents import ensure_json, loads
from awaithumans.errors import BodyTooLargeError, InvalidInputError
from awaithumans.forms import posted_file
from awaithumans.web.envelope import MediaTypeError
from awaithumans.words import words

MAX_FIELDS = 10_000
MAX_FILES = 100


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
    """Return a posted form's values by name, each file as the text that describes it.

    What the values have together is within the limit, too, so that a form
    that goes back to the person, files and all, can be sent again.
    Raises `BodyTooLargeError`, `MediaTypeError` or `InvalidInputError`.
    """
    try:
        form = await _parser(request, limit).parse()
    except (MultiPartException, UnicodeDecodeError) as error:
        raise InvalidInputError(words("the form cannot be read: %(reason)s", reason=error)) from None
    try:
        items = [(name, await _text(value)) for name, value in form.multi_items()]
    finally:
        await form.close()
    if len(items) > MAX_FIELDS:
        raise InvalidInputError(words("the form has more than %(count)s fields", count=MAX_FIELDS))
    if sum(len(text) for _, text in items) > limit:
        raise BodyTooLargeError(limit)
    submitted: dict[str, list[str]] = {}
    for name, text in items:
        submitted.setdefault(name, []).append(text)
    ensure_json(submitted)
    return submitted


def _parser(request: Request, limit: int) -> FormParser | MultiPartParser:
    stream = _limited(request, limit)
    match _content_type(request):
        case "application/x-www-form-urlencoded":
            return FormParser(request.headers, stream)
        case "multipart/form-data":
            return MultiPartParser(
                request.headers, stream, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=limit
            )
        case _:
            raise MediaTypeError("application/x-www-form-urlencoded or multipart/form-data")


async def _text(value: UploadFile | str) -> str:
    """Describe an upload; "" for the one that a browser sends where no file was chosen."""
    if isinstance(value, str):
        return value
    content = await value.read()
    return posted_file(value.filename or "", value.content_type or "", content) if value.filename or content else ""


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
