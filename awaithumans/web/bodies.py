"""Reading request bodies: never more than the limit, whatever is announced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from awaithumans.documents import ensure_json, loads
from awaithumans.errors import BodyTooLargeError, InvalidInputError
from awaithumans.forms import posted_file
from awaithumans.web.envelope import MediaTypeError
from awaithumans.words import words

MAX_FIELDS = 10_000
MAX_FILES = 100

_UTF_8 = frozenset({b"utf-8", b"utf8"})
_WRITTEN_OUT = {"%0D": "\r", "%0A": "\n", "%22": '"'}
"""What browsers write instead in the name of a part."""


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
    items = await _items(request, limit)
    if len(items) > MAX_FIELDS:
        raise InvalidInputError(words("the form has more than %(count)s fields", count=MAX_FIELDS))
    if sum(len(text) for _, text in items) > limit:
        raise BodyTooLargeError(limit)
    submitted: dict[str, list[str]] = {}
    for name, text in items:
        submitted.setdefault(name, []).append(text)
    ensure_json(submitted)
    return submitted


async def _items(request: Request, limit: int) -> Sequence[tuple[str, str]]:
    match _content_type(request):
        case "application/x-www-form-urlencoded":
            return _pairs(await read_bytes(request, limit))
        case "multipart/form-data":
            return await _parts(request, limit)
        case _:
            raise MediaTypeError("application/x-www-form-urlencoded or multipart/form-data")


def _pairs(body: bytes) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise _unreadable(error) from None


async def _parts(request: Request, limit: int) -> Sequence[tuple[str, str]]:
    # The parser would take any codec that is named, one of which needs a quarter of a minute for a megabyte.
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() not in _UTF_8:
        raise _unreadable(words("it is not in UTF-8"))
    stream = _limited(request, limit)
    parser = MultiPartParser(request.headers, stream, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=limit)
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeDecodeError) as error:
        raise _unreadable(error) from None
    try:
        return [(_name(name), await _text(value)) for name, value in form.multi_items()]
    finally:
        await form.close()


def _unreadable(reason: object) -> InvalidInputError:
    return InvalidInputError(words("the form cannot be read: %(reason)s", reason=reason))


def _name(posted: str) -> str:
    for written, meant in _WRITTEN_OUT.items():
        posted = posted.replace(written, meant)
    return posted


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
