"""Files in a form: how they are posted, and what a field says of them."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from pydantic import BaseModel

from awaithumans.display import size as size_of
from awaithumans.documents import loads
from awaithumans.errors import InvalidInputError
from awaithumans.forms.definition import FileUpload
from awaithumans.types import JsonObject
from awaithumans.words import words

MAX_NAME = 200
"""How long a file's name may be; of a longer one the beginning and the ending are kept."""

BROKEN = words("a file did not come through; choose it again")
_ANY = "application/octet-stream"
_MIME = re.compile(r"[a-z0-9][\w.+-]*/[a-z0-9][\w.+-]*", re.ASCII)
_DATA = re.compile(r"data:([^;,]*)(?:;[\w.=+-]*)?;base64,", re.ASCII)
_KNOWN = mimetypes.MimeTypes()
_LONGEST_ENDING = 20


class UploadedFile(BaseModel, frozen=True):
    """One file of an answer to a `file_upload`.

    A page sends the content along, as `data`; Slack says where it is, as `url`.
    """

    name: str
    """As the person's device calls it, without folders."""
    mime: str
    size: int
    """In bytes."""
    data: str | None = None
    """The content as a `data:` URL."""
    id: str | None = None
    url: str | None = None

    @property
    def content(self) -> bytes:
        """Give the content. Raises `ValueError` where it did not come along."""
        content = content_of(self.data)
        if content is None:
            raise ValueError(f"the content of {self.name!r} did not come with the answer")
        return content


class Kept(NamedTuple):
    """A file that was sent already, as it is posted again and as it reads."""

    text: str
    name: str
    size: str


def described(name: str, mime: str, content: bytes) -> JsonObject:
    """Describe a file as it stands in an answer.

    The name loses its folders and what cannot be seen in it. The type is the
    one that the name's ending stands for, and only without one the stated one.
    """
    plain = _plain_name(name)
    kind = _mime_of(plain, mime)
    data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return {"name": plain, "mime": kind, "size": len(content), "data": data}


def posted_file(name: str, mime: str, content: bytes) -> str:
    """Write a file as the text that a form posts of it."""
    return _written(described(name, mime, content))


def read_files(typed: Sequence[str], known: Sequence[object]) -> list[object]:
    """Make the list of files of what was posted: a file is one of those `known`, or has its content with it.

    Raises `ValueError`.
    """
    found = [one for text in typed if text.strip() for one in _descriptions(text)]
    return [one if one in known else _read(one) for one in found]


def write_files(value: object) -> tuple[str, ...]:
    """Give the texts for a list of files."""
    files = cast("list[object]", value) if isinstance(value, list) else [value] if value else []
    return tuple(map(_written, files))


def kept_files(texts: Sequence[str]) -> list[Kept]:
    """List the files among the texts of a control; what is none is left out."""
    found: list[Kept] = []
    for text in texts:
        try:
            found += [_kept(one) for one in _descriptions(text)]
        except ValueError:
            continue
    return found


def file_faults(field: FileUpload, file: object) -> Iterator[str]:
    """Say what is wrong with one file of an answer."""
    if not isinstance(file, dict) or not isinstance(cast("JsonObject", file).get("name"), str):
        yield words("is not a file")
        return
    known = cast("JsonObject", file)
    name, size = cast("str", known["name"]), known.get("size")
    if not _is_whole(known):
        yield words("“%(name)s” did not come through whole", name=name)
    most = field.max_size_bytes
    if most is not None and not (isinstance(size, int) and size <= most):
        yield words("“%(name)s” is larger than %(size)s", name=name, size=size_of(most))
    if field.accept and not any(_accepts(token, name, known.get("mime")) for token in field.accept):
        yield words("“%(name)s” is not of a kind asked for: %(kinds)s", name=name, kinds=", ".join(field.accept))


def has_content(file: object) -> bool:
    """Tell whether the content of a file came along, and nothing says that it is somewhere else."""
    if not isinstance(file, dict):
        return False
    known = cast("JsonObject", file)
    return content_of(known.get("data")) is not None and not (known.get("url") or known.get("id"))


def _is_whole(file: JsonObject) -> bool:
    """Tell whether the content came along, as much as is said, or it is said where it is."""
    size, data = file.get("size"), file.get("data")
    if data is None:
        placed = any(isinstance(file.get(name), str) and file[name] for name in ("url", "id"))
        return placed and isinstance(size, int) and not isinstance(size, bool) and size >= 0
    content = content_of(data)
    return content is not None and size == len(content)


def content_of(data: object) -> bytes | None:
    """Decode a `data:` URL; None for anything else."""
    start = _DATA.match(data) if isinstance(data, str) else None
    if start is None:
        return None
    try:
        return base64.b64decode(cast("str", data)[start.end() :], validate=True)
    except (binascii.Error, ValueError):
        return None


def _descriptions(text: str) -> list[JsonObject]:
    try:
        value = loads(text)
    except InvalidInputError:
        raise ValueError(BROKEN) from None
    files = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in files):
        raise ValueError(BROKEN)
    return cast("list[JsonObject]", files)


def _read(file: JsonObject) -> JsonObject:
    name, mime, content = file.get("name"), file.get("mime"), content_of(file.get("data"))
    if not isinstance(name, str) or content is None:
        raise ValueError(BROKEN)
    return described(name, mime if isinstance(mime, str) else "", content)


def _kept(file: JsonObject) -> Kept:
    size = file.get("size")
    return Kept(_written(file), str(file.get("name", "")), size_of(size) if isinstance(size, int) else "")


def _written(file: object) -> str:
    return json.dumps(file, ensure_ascii=False)


def _plain_name(name: str) -> str:
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C").strip().lstrip(".")
    stem, dot, ending = seen.rpartition(".")
    if len(seen) <= MAX_NAME:
        return seen or "file"
    short = f"{dot}{ending}" if stem and len(ending) < _LONGEST_ENDING else ""
    return seen[: MAX_NAME - len(short)] + short


def _mime_of(name: str, stated: str) -> str:
    known, packed = _KNOWN.guess_type(name)
    kind = stated.partition(";")[0].strip().lower()
    if packed:
        return "application/gzip" if packed == "gzip" else _ANY
    return known or (kind if _MIME.fullmatch(kind) else _ANY)


def _accepts(token: str, name: str, mime: object) -> bool:
    wanted = token.strip().lower()
    if wanted.startswith("."):
        return name.lower().endswith(wanted)
    kinds = {mime, _KNOWN.guess_type(name)[0] or mime}
    return all(isinstance(kind, str) and _is_of(kind, wanted) for kind in kinds)


def _is_of(kind: str, wanted: str) -> bool:
    family = wanted.removesuffix("*")
    return kind == wanted or (family != wanted and kind.startswith(family))
