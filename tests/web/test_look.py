"""The pages in a host's look: name, logo, colour, templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from awaithumans.errors import ConfigurationError
from tests.web.world import World, as_person

pytestmark = pytest.mark.anyio

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


async def page_of(world: World, path: str = "/") -> str:
    async with world.client() as client:
        return (await client.get(path, headers=as_person("ana"))).text


async def test_a_logo_is_served_from_its_bytes_and_can_do_nothing() -> None:
    world = World(logo=SVG)
    async with world.client() as client:
        page = (await client.get("/nope", headers=as_person("ana"))).text
        [address] = re.findall(r'<img class="logo" src="([^"]+)"', page)
        logo = await client.get(address)
    assert (logo.content, logo.headers["Content-Type"]) == (SVG, "image/svg+xml")
    assert "sandbox" in logo.headers["Content-Security-Policy"]
    assert "immutable" in logo.headers["Cache-Control"]


async def test_a_logo_may_be_a_path_of_the_site() -> None:
    assert '<img class="logo" src="/static/logo.svg" alt=""' in await page_of(World(logo="/static/logo.svg"))


@pytest.mark.parametrize("logo", ["https://evil.example/x.svg", "//evil.example/x", "/\\\\evil.example", "x", b"no"])
async def test_what_cannot_be_a_logo_is_refused(logo: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="logo"):
        World(logo=logo)


async def test_an_accent_has_a_style_sheet_of_its_own() -> None:
    world = World(accent="#d9a400")
    [address] = re.findall(r'href="(/static/[^"]+/accent.css)"', await page_of(world))
    async with world.client() as client:
        style = await client.get(address)
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "--accent-ink" in style.text
    assert "accent.css" not in await page_of(World())


async def test_a_template_takes_the_place_of_ours_and_may_extend_it(tmp_path: Path) -> None:
    override = """{% extends "awaithumans/message.html" %}
    {% block main %}{{ super() }}<p>Call 4711 & ask <b>Kim</b>, {{ name }}.</p>{% endblock %}"""
    (tmp_path / "message.html").write_text(override)
    page = await page_of(World(templates=tmp_path, name="<Bank>"), "/tasks/nope")
    assert "This task is not here" in page
    assert "<p>Call 4711 & ask <b>Kim</b>, &lt;Bank&gt;.</p>" in page
    assert "<h1>Questions</h1>" in await page_of(World(templates=tmp_path))


async def test_a_part_of_every_page_can_be_replaced(tmp_path: Path) -> None:
    foot = "{% extends 'awaithumans/base.html' %}{% block foot %}<footer>Nordlicht</footer>{% endblock %}"
    (tmp_path / "base.html").write_text(foot)
    world = World(templates=tmp_path)
    for path in ("/", "/nope", "/l/nope"):
        assert "<footer>Nordlicht</footer>" in await page_of(world, path)


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no folder"):
        World(templates=tmp_path / "nowhere")


async def test_two_routers_of_a_process_each_have_their_own_look() -> None:
    one, other = World(accent="#ff0000", name="One"), World(accent="#00ff00", name="Other")
    assert re.findall("static/[^/]+/accent", await page_of(one)) != re.findall(
        "static/[^/]+/accent", await page_of(other)
    )
