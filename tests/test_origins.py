"""What counts as an origin, and which others it stands for."""

from __future__ import annotations

import pytest

from awaithumans.errors import InvalidInputError
from awaithumans.origins import is_among, is_private, read_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
    ],
)
def test_an_origin_is_written_in_one_way(text: str, origin: str) -> None:
    assert read_origin(text, "origin") == origin


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "null", "app.example.com", "https://", "https://*", "https://*.example.com", "ftp://example.com"),
        *("http://app.example.com", "https://app.example.com/", "https://app.example.com/a", "https://a.example?b"),
        *(
            "https://a@b.example",
            "https://-a.example",
            "https://a..example",
            "https://a.example:0",
            "https://é.example",
        ),
        *("https://a.example; script-src *", "https://a.example https://b.example", "https://a.example\n"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """It goes into a header, where a blank or a semicolon would say something else."""
    with pytest.raises(InvalidInputError) as refused:
        read_origin(text, "embed_origins")
    assert set(refused.value.fields) == {"embed_origins"}


KNOWN = [read_origin(text, "origin", wildcard=True) for text in ("https://*.example.com", "https://one.example")]


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://a-b.example.com", "https://one.example"])
def test_a_star_stands_for_one_label(origin: str) -> None:
    assert is_among(origin, KNOWN)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://example.com", "https://a.b.example.com", "https://app.example.com:8443"),
        *("https://appxexample.com", "https://one.example:444", "http://one.example"),
    ],
)
def test_and_for_nothing_else(origin: str) -> None:
    assert not is_among(origin, KNOWN)


@pytest.mark.parametrize(
    "url",
    ["https://api.example/a?b", "http://localhost:8025/a", "HTTP://LOCALHOST", "http://127.0.0.9", "http://[::1]:1"],
)
def test_nobody_on_the_way_reads_https_or_what_stays_on_this_machine(url: str) -> None:
    assert is_private(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost", "https://", "http://api.example", "http://10.0.0.1", "http://localhost.example"),
        *("http://127.0.0.1.example", "http://localhost@api.example", "http://[::1", "ftp://localhost"),
    ],
)
def test_anything_else_may_be_read(url: str) -> None:
    assert not is_private(url)
