"""In which language pages are, who says so, and that nothing on them was forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.types import ASGIApp

from awaithumans.errors import ConfigurationError
from awaithumans.types import Actor
from tests.web.catalogues import HEBREW, compiled, pseudo
from tests.web.tour import touring
from tests.web.world import ANA, YES, World, as_person, as_program, form

anyio_test = pytest.mark.anyio


async def read(world: World, path: str = "/", language: str = "", who: str = "olga") -> httpx2.Response:
    async with world.client() as client:
        return await client.get(path, headers={**as_person(who), "Accept-Language": language})


async def heading(world: World, language: str = "") -> str:
    found = re.search("<h1>([^<]*)</h1>", (await read(world, language=language)).text)
    assert found
    return found[1]


@anyio_test
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", "Questions"),
        ("de", "Fragen"),
        ("DE-at", "Fragen"),
        ("fr, de;q=0.5", "Fragen"),
        ("de;q=0.1, en;q=0.9", "Questions"),
        ("de;q=0, fr", "Questions"),
        ("*", "Questions"),
        ("de;q=x;;, ,\x7f", "Fragen"),
        ("x" * 5_000, "Questions"),
        ("de" + "-a" * 30_000, "Questions"),
    ],
)
async def test_the_browser_says_what_its_person_reads(wanted: str, expected: str) -> None:
    assert await heading(World(), wanted) == expected


@anyio_test
async def test_a_page_says_its_language_and_that_another_browser_may_get_another() -> None:
    page = await read(World(), language="de")
    assert page.headers["Content-Language"] == "de"
    assert "Accept-Language" in page.headers["Vary"]
    assert '<html lang="de" dir="ltr">' in page.text


@anyio_test
async def test_the_host_may_know_better() -> None:
    def choose(request: Request) -> str | None:
        return request.query_params.get("language")

    world = World(language=choose)
    strange = "/?language=" + "de" + "-" * 5_000
    for path, expected in (("/?language=de_DE", "de"), ("/?language=tlh", "en"), ("/", "en"), (strange, "en")):
        assert (await read(world, path, language="en")).headers["Content-Language"] == expected
    assert await heading(World(language="en"), "de") == "Questions"


@anyio_test
async def test_a_choice_that_fails_costs_nobody_the_page(caplog: pytest.LogCaptureFixture) -> None:
    def choose(request: Request) -> str | None:
        raise KeyError("language")

    for path in ("/", "/tasks/nope"):
        assert (await read(World(language=choose), path, language="de")).headers["Content-Language"] == "de"
    assert "could not choose" in caplog.text


@anyio_test
async def test_a_host_brings_a_language_and_what_it_lacks_is_english(tmp_path: Path) -> None:
    world = World(translations=compiled(tmp_path, "he", HEBREW))
    page = await read(world, language="he")
    assert '<html lang="he" dir="rtl">' in page.text
    assert "<h1>שאלות</h1>" in page.text
    assert "Nothing is waiting for you" in page.text
    assert await heading(world, "de") == "Fragen"


@anyio_test
async def test_a_host_rewords_what_we_say(tmp_path: Path) -> None:
    compiled(tmp_path, "en", {"Questions": "Approvals", "Figures": "<i>Numbers</i>"})
    world = World(translations=compiled(tmp_path, "de_CH", {"Questions": "Bewilligungen"}))
    assert await heading(world, "en-GB") == "Approvals"
    assert await heading(world, "de") == "Fragen"
    assert await heading(world, "de-ch") == "Bewilligungen"
    assert "Nichts wartet auf Sie" in (await read(world, language="de-CH")).text
    assert "<i>Numbers</i>" in (await read(world)).text  # a catalogue is the host's own


@anyio_test
async def test_a_slip_of_a_hosts_translator_breaks_no_page(tmp_path: Path) -> None:
    said = {"asked by %(who)s": "von %(hwo)s", "Search": 'nach "Worten"', "%(span)s left": "noch %(span)d"}
    world = World(translations=compiled(tmp_path, "de", said))
    async with world.client() as client:
        await world.ask(client)
    page = await read(world, language="de")
    assert page.status_code == 200
    assert "asked by <bdi>asker</bdi>" in page.text
    assert 'placeholder="nach &#34;Worten&#34;"' in page.text


def test_what_cannot_be_a_catalogue_or_a_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no awaithumans\.mo"):
        World(translations=tmp_path)
    with pytest.raises(ConfigurationError, match="'fr'"):
        World(language="fr")
    broken = tmp_path / "fr" / "LC_MESSAGES" / "awaithumans.mo"
    broken.parent.mkdir(parents=True)
    for body in (b"no catalogue", b"", b"\xde\x12\x04\x95" + bytes(4)):
        broken.write_bytes(body)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            World(translations=tmp_path)
    broken.parent.parent.rename(tmp_path / "french!")
    with pytest.raises(ConfigurationError, match="is no language"):
        World(translations=tmp_path)


@anyio_test
async def test_faults_of_a_form_are_told_in_its_language_and_to_programs_in_english() -> None:
    world = World()
    async with world.client() as client:
        task_id = await world.ask(client)
        fields = await form(client, f"/tasks/{task_id}", "ana", note="x")
        german = {**as_person("ana"), "Accept-Language": "de"}
        page = await client.post(f"/tasks/{task_id}", data=fields, headers=german)
        assert page.status_code == 422
        assert "Approved: bitte eine Möglichkeit wählen" in page.text
        sent = await client.post(
            f"/api/tasks/{task_id}/complete",
            json={"response": {"approved": 1}},
            headers={**as_program("answerer"), "Accept-Language": "de"},
        )
        assert sent.json()["fields"] == {"approved": "must be true or false"}


@anyio_test
async def test_what_ended_a_link_is_said_whole() -> None:
    world = World()
    async with world.client() as client:
        task = await world.task(await world.ask(client, assign_to={"emails": ["ana@example.com", "bob@example.com"]}))
        link = world.link(task)
        await world.engine.submit(task.id, YES, by=Actor.of(ANA, auth="host", via="web"))
        page = await client.get(link, headers={"Accept-Language": "de"})
    assert re.search(r"Sie haben am <time[^>]*>\d+\. [\w.]+ \d{4}, \d\d:\d\d UTC</time> geantwortet\.", page.text)


@anyio_test
async def test_what_a_person_is_called_is_never_markup() -> None:
    world = World(name="<Bank>")
    async with world.client() as client:
        await world.ask(client, task="<script>1</script> 100 %s %(who)s", by="asker")
        for language in ("en", "de"):
            page = (await client.get("/", headers={**as_person("olga"), "Accept-Language": language})).text
            assert "&lt;script&gt;1&lt;/script&gt; 100 %s %(who)s" in page


class _Reader(HTMLParser):
    """Collects what a page says, without what agents and people wrote."""

    SPOKEN = ("aria-label", "title", "placeholder", "alt", "data-left-text", "data-over-text", "data-new", "data-gone")
    THEIRS = ("bdi", "pre", "kbd", "script", "style")

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._theirs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.said += [value or "" for name, value in attrs if name in self.SPOKEN]
        if self._theirs or tag in self.THEIRS:
            self._theirs += [] if tag in ("input", "br", "hr", "img", "meta", "link") else [tag]

    def handle_endtag(self, tag: str) -> None:
        if self._theirs:
            self._theirs.pop()

    def handle_data(self, data: str) -> None:
        if not self._theirs:
            self.said.append(data)


def outside_brackets(text: str) -> str:
    """Leave out what stands in ⟦brackets⟧, which may stand in one another."""
    depth, left = 0, ""
    for letter in text:
        depth += (letter == "⟦") - (letter == "⟧")
        left += letter if depth == 0 and letter != "⟧" else ""
    return left


def forgotten(page: str) -> Iterator[str]:
    """Yield what is in Latin letters and not from the catalogue."""
    reader = _Reader()
    reader.feed(page)
    rest = outside_brackets("\n".join(reader.said))
    yield from re.findall(r"[A-Za-z][A-Za-z ,.'-]*", rest)


def test_every_text_of_every_page_is_translated(serve: Callable[[ASGIApp], str], tmp_path: Path) -> None:
    with touring(serve, translations=pseudo(tmp_path, "eo"), language="eo") as tour, httpx2.Client() as client:
        found = {}
        for name, path in tour.paths.items():
            page = client.get(tour.base + path, headers={"Cookie": "user=olga"}).text.replace("Say please.", "")
            assert '<html lang="eo"' in page, name
            found[name] = list(forgotten(page))
        assert {name: texts for name, texts in found.items() if texts} == {}
