"""Signatures: a picture of strokes, or a name; nothing else gets through."""

from __future__ import annotations

import base64
import html
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from awaithumans.forms.definition import Signature
from awaithumans.forms.files import content_of, read_files
from awaithumans.types import JsonObject
from awaithumans.words import words

MAX_CHARACTERS = 400_000
"""How long a signature may be, as text."""
MAX_SIDE = 4_096
"""How wide and how high a picture of one may be, in pixels."""
MAX_UNPACKED = 8_000_000
"""How many bytes its pixels may have; a form can have dozens of pictures that unpack to so many."""
MAX_SIGNED_NAME = 100

WIDTH, HEIGHT = 600, 200
"""The size of the page's own pad, which its script has, too."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PREFIX = "data:image/png;base64,"
_AT_ONCE = 65_536
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_HEAD = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
_PEN = 'fill="none" stroke="#111" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"'
_HAND = 'x="24" y="124" fill="#111" font-size="56" font-family="cursive"'
_NUMBER = r"-?\d{1,5}(?:\.\d{1,3})?"
_POINT = rf"[ML]{_NUMBER} {_NUMBER}"
_DRAWN = re.compile(rf'<path d="(?:{_POINT})+" {re.escape(_PEN)}/>', re.ASCII)
_LETTER = r"(?:[^<>&\x00-\x1f]|&(?:amp|lt|gt|quot|#x27);)"
_WRITTEN = re.compile(rf"<text {re.escape(_HAND)}>{_LETTER}{{1,{MAX_SIGNED_NAME}}}</text>")


def read_signature(typed: Sequence[str], field: Signature) -> str:
    """Make the signature of what was posted: drawn, uploaded, or a name to be written.

    The last that is not empty counts. Raises `ValueError`.
    """
    text = [one for one in typed if one.strip()][-1]
    if text.startswith("{"):
        return _uploaded(text)
    if text.startswith(("data:", "<svg")):
        return text
    return _signed(text, field)


def signature_faults(field: Signature, value: object) -> Iterator[str]:
    """Say what is wrong with a signature."""
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        yield words("must be a signature of at most %(count)s characters", count=MAX_CHARACTERS)
    elif field.format == "svg" and not value.startswith(_PREFIX):
        if not _is_ours(value):
            yield words("must be a drawing of strokes alone")
    elif not value.startswith(_PREFIX) or not is_png(content_of(value) or b""):
        yield words("must be a PNG picture")


class Drawing(NamedTuple):
    """A signature that was sent already, as it is posted again, and the address of its picture."""

    text: str
    picture: str


def drawing_in(texts: Sequence[str]) -> Drawing | None:
    """Find the last signature among the texts of a control; a name that was typed is none."""
    return next((drawing for text in reversed(texts) if (drawing := _drawing(text))), None)


def _drawing(text: str) -> Drawing | None:
    try:
        drawn = _uploaded(text) if text.startswith("{") else text
    except ValueError:
        return None
    if drawn.startswith(_PREFIX):
        return Drawing(drawn, drawn)
    if _is_ours(drawn):
        return Drawing(drawn, f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}")
    return None


def is_png(content: bytes) -> bool:
    """Tell whether this is one whole PNG picture of a bearable size, with nothing behind it."""
    try:
        chunks = list(_chunks(content))
        size = _size_of(chunks[0])
        pixels = b"".join(chunk.body for chunk in chunks if chunk.kind == b"IDAT")
        unpacked, whole = _unpacked(pixels, size.most)
    except (ValueError, IndexError, struct.error, zlib.error):
        return False
    ended = [at for at, chunk in enumerate(chunks) if chunk.kind == b"IEND"] == [len(chunks) - 1]
    return whole and size.least <= unpacked <= size.most and ended


def _signed(name: str, field: Signature) -> str:
    if field.format == "png":
        raise ValueError(words("draw your signature, or upload a PNG picture of it"))
    if len(name.strip()) > MAX_SIGNED_NAME:
        raise ValueError(words("must be a name of at most %(count)s characters", count=MAX_SIGNED_NAME))
    return f"{_HEAD}<text {_HAND}>{html.escape(name.strip())}</text></svg>"


def _uploaded(text: str) -> str:
    [file] = read_files([text], ())
    data = cast("JsonObject", file)
    content = content_of(data.get("data")) or b""
    if not is_png(content):
        raise ValueError(words("must be a PNG picture"))
    return f"{_PREFIX}{base64.b64encode(content).decode()}"


def _is_ours(text: str) -> bool:
    if len(text) > MAX_CHARACTERS or not (text.startswith(_HEAD) and text.endswith("</svg>")):
        return False
    inside = text[len(_HEAD) : -len("</svg>")]
    return bool(_DRAWN.fullmatch(inside) or _WRITTEN.fullmatch(inside))


# ── PNG ───────────────────────────────────────────────────────────────────────


class _Chunk(NamedTuple):
    kind: bytes
    body: bytes


class _Size(NamedTuple):
    """Between how many bytes the unpacked pixels have."""

    least: int
    most: int


def _chunks(content: bytes) -> Iterator[_Chunk]:
    if not content.startswith(_PNG):
        raise ValueError
    at = len(_PNG)
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError
        yield _Chunk(kind, body)
        at += length + 12


def _unpacked(pixels: bytes, most: int) -> tuple[int, bool]:
    """Count the bytes that are packed, a little beyond `most` at most, and tell whether that is all of them."""
    unpacker = zlib.decompressobj()
    count = 0
    while pixels and count <= most:
        count += len(unpacker.decompress(pixels, _AT_ONCE))
        pixels = unpacker.unconsumed_tail
    return count, unpacker.eof


def _size_of(chunk: _Chunk) -> _Size:
    width, height, depth, colour, packing, filtering, interlaced = struct.unpack(">IIBBBBB", chunk.body)
    fits = 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and depth in _DEPTHS.get(colour, ())
    if chunk.kind != b"IHDR" or not fits or packing or filtering or interlaced not in {0, 1}:
        raise ValueError
    exact = height * (1 + (width * depth * _SAMPLES[colour] + 7) // 8)
    if exact > MAX_UNPACKED:
        raise ValueError
    return _Size(exact, 2 * exact) if interlaced else _Size(exact, exact)
