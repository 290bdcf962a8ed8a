"""What is shown as part of a page, and what is a link."""

from __future__ import annotations

import httpx2
import pytest

from awaithumans.errors import InvalidInputError
from awaithumans.web.media import Media, MediaKind
from tests.web.world import World, as_person

MEDIA = Media(["https://cdn.example.com", "https://*.images.example"])


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("/files/1", "image"),
        ("/files/a%20b.pdf?page=1#2", "pdf"),
        ("https://cdn.example.com/a.png", "image"),
        ("HTTPS://CDN.example.com:443/a.mp4", "video"),
        ("https://eu.images.example/a.png", "image"),
        ("data:image/png;base64,iVBORw0KGgo=", "image"),
        ("data:image/svg+xml;charset=utf-8,%3Csvg/%3E", "image"),
        ("data:video/mp4;base64,AAAA", "video"),
    ],
)
def test_what_the_host_vouches_for_is_part_of_the_page(address: str, kind: MediaKind) -> None:
    assert MEDIA.inline(address, kind)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("", "image"),
        ("a.png", "image"),
        ("//evil.example/a.png", "image"),
        ("/\\evil.example/a.png", "image"),
        ("/a\\b.png", "image"),
        ("/a b.png", "image"),
        ("/a\t.png", "image"),
        ("https://evil.example/a.png", "image"),
        ("https://cdn.example.com@evil.example/a.png", "image"),
        ("https://cdn.example.com.evil.example/a.png", "image"),
        ("https://a.eu.images.example/a.png", "image"),
        ("http://cdn.example.com/a.png", "image"),
        ("https://cdn.example.com:8443/a.png", "image"),
        ("https://cdn.example.com\\@evil.example/a.png", "image"),
        ("data:text/html,<script>", "image"),
        ("data:image/png;base64,AAAA", "video"),
        ("data:application/pdf;base64,AAAA", "pdf"),
        ("data:image/png;base64,AA AA", "image"),
        ("javascript:alert(1)", "image"),
    ],
)
def test_anything_else_is_not(address: str, kind: MediaKind) -> None:
    assert not MEDIA.inline(address, kind)


@pytest.mark.parametrize("origin", ["cdn.example.com", "https://cdn.example.com/a", "https://*", "*"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidInputError):
        Media([origin])


@pytest.mark.anyio
async def test_the_policy_of_every_page_says_the_same() -> None:
    world = World(media_origins=["https://cdn.example.com"])
    async with world.client() as client:
        policy = (await client.get("/", headers=as_person("ana"))).headers["Content-Security-Policy"]
    assert "img-src 'self' https://cdn.example.com data:;" in policy
    assert "media-src 'self' https://cdn.example.com data:;" in policy
    assert "object-src 'self' https://cdn.example.com; frame-src 'self' https://cdn.example.com" in policy


@pytest.mark.anyio
async def test_without_origins_nothing_comes_from_elsewhere(client: httpx2.AsyncClient) -> None:
    policy = (await client.get("/", headers=as_person("ana"))).headers["Content-Security-Policy"]
    assert "https:" not in policy
