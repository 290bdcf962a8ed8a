"""Signatures: what the page draws gets through, and nothing else."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Literal

import pytest

from awaithumans.forms import (
    FormDefinition,
    Submission,
    parse,
    posted_file,
    render_fields,
    signature,
    validate_response,
)
from awaithumans.forms.signatures import MAX_CHARACTERS, is_png

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 200">'
PEN = 'fill="none" stroke="#111" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"'
DRAWN = f'{HEAD}<path d="M1 2L3.5 4M-1 0L600 200" {PEN}/></svg>'
SCHEMA = {"type": "object", "properties": {"s": {"type": "string"}}}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int = 2, height: int = 2, *, pixels: bytes | None = None, interlaced: int = 0, end: bytes = b""
) -> bytes:
    raw = (b"\0" + b"\xff" * width * 3) * height if pixels is None else pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    parts = [(b"IHDR", header), (b"tEXt", b"a\0b"), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts) + end


def address(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def form(kind: Literal["png", "svg"], *, required: bool = True) -> FormDefinition:
    return FormDefinition(fields=(signature(format=kind).model_copy(update={"name": "s", "required": required}),))


def sent(kind: Literal["png", "svg"], *posted: str) -> Submission:
    return parse(form(kind), SCHEMA, {"s": list(posted)})


def test_what_was_drawn_is_the_value():
    assert sent("png", address(png()), "", "").value == {"s": address(png())}
    assert sent("svg", DRAWN, "", "").value == {"s": DRAWN}


def test_an_uploaded_picture_is_the_value():
    upload = posted_file("mine.png", "image/png", png())
    assert sent("png", "", upload).value == {"s": address(png())}
    assert sent("svg", "", "", upload).value == {"s": address(png())}
    assert sent("png", posted_file("mine.png", "image/png", b"GIF89a")).errors == {"s": "must be a PNG picture"}


def test_a_typed_name_is_written_and_escaped():
    value = sent("svg", "", 'Ana <O\'Neil> & "Co"', "").value["s"]
    assert ">Ana &lt;O&#x27;Neil&gt; &amp; &quot;Co&quot;</text></svg>" in str(value)
    assert sent("svg", "x" * 101).errors == {"s": "must be a name of at most 100 characters"}


def test_a_name_is_no_png():
    assert sent("png", "Ana").errors == {"s": "draw your signature, or upload a PNG picture of it"}


def test_the_last_way_of_signing_counts():
    assert "Ana" in str(sent("svg", DRAWN, "Ana", "").value["s"])


@pytest.mark.parametrize(
    "hostile",
    [
        "<svg onload=alert(1)></svg>",
        f"{HEAD}<script>alert(1)</script></svg>",
        f'{HEAD}<path d="M1 2" {PEN} onclick="x()"/></svg>',
        f'{HEAD}<image href="https://evil.example/x"/></svg>',
        f'{HEAD}<a href="javascript:x()"><path d="M1 2" {PEN}/></a></svg>',
        f"{HEAD}<foreignObject><p/></foreignObject></svg>",
        f'<!DOCTYPE svg [<!ENTITY x "y">]>{DRAWN}',
        f"{DRAWN}<script/>",
        DRAWN.replace("M1 2", "M1e9 2"),
        DRAWN.replace("#111", "url(https://evil.example/x)"),
        f"{HEAD}{'<g>' * 10}</svg>",
        f'{HEAD}<path d="{"M1 2" * 200_000}" {PEN}/></svg>',
        "data:image/svg+xml,<svg/>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "Ana",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_nothing_else_is_a_signature(kind: Literal["png", "svg"], hostile: str):
    assert validate_response(form(kind), SCHEMA, {"s": hostile}).keys() == {"s"}


def test_a_drawing_is_no_png():
    assert validate_response(form("png"), SCHEMA, {"s": DRAWN}) == {"s": "must be a PNG picture"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        png()[:-1],
        png()[:40],
        png(end=b"<script>"),
        png(end=chunk(b"IEND", b"") + b"PK\x03\x04"),
        png(end=chunk(b"tEXt", b"a") + chunk(b"IEND", b"")),
        png().replace(b"a\0b", b"a\0c"),
        png(width=0),
        png(width=5_000, pixels=b""),
        png(width=4_000, height=4_000, pixels=b""),
        png(pixels=b"\0" * 3),
        png(pixels=b"\0" * 1_000_000),
        png(interlaced=2),
    ],
)
def test_a_broken_or_swollen_picture_is_none(content: bytes):
    assert not is_png(content)
    assert validate_response(form("png"), SCHEMA, {"s": address(content)})


def test_a_whole_picture_is_one():
    assert is_png(png())
    assert is_png(png(40, 30))


def test_a_signature_has_a_limit():
    assert f"at most {MAX_CHARACTERS}" in validate_response(form("png"), SCHEMA, {"s": "x" * (MAX_CHARACTERS + 1)})["s"]


def test_a_refused_form_keeps_the_signature():
    for posted in (address(png()), DRAWN, posted_file("a.png", "image/png", png())):
        typed = sent("svg", posted).typed
        [control] = render_fields(form("svg"), SCHEMA, typed, {"s": "no"})
        assert control.drawing is not None
        assert control.drawing.picture.startswith("data:image/")
        assert sent("svg", control.drawing.text).errors == {}
    for texts in (["Ana"], ["", "Ana", ""]):  # a page sends its empty pad along
        [control] = render_fields(form("svg"), SCHEMA, sent("svg", *texts).typed, {})
        assert (control.drawing, control.signed) == (None, "Ana")


def test_a_hostile_value_is_not_shown_as_a_picture():
    [control] = render_fields(form("svg"), SCHEMA, {"s": "<svg onload=alert(1)></svg>"}, {})
    assert control.drawing is None


def test_nothing_is_signed():
    assert sent("png", "", "", "").errors == {"s": "is required"}
    assert parse(form("png", required=False), SCHEMA, {"s": ["", "", ""]}).value == {}
