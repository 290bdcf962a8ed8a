"""Any payload on a page: all of it can be read, and none of it is obeyed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from awaithumans.display import PAGE, shown
from awaithumans.meaning import sense_of
from awaithumans.web.look import Look
from awaithumans.web.texts import plain
from tests.web.world import ANA, World, as_person

TAGS = {
    *("a", "bdi", "blockquote", "br", "code", "dd", "details", "div", "dl", "dt", "em", "hr", "img", "li", "object"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "s", "span", "strong", "summary", "table", "tbody", "td"),
    *("th", "thead", "time", "tr", "ul", "video"),
}
ATTRIBUTES = {
    *("alt", "aria-label", "class", "controls", "data", "data-day", "data-moment", "datetime", "dir", "download"),
    *("href", "loading", "preload", "rel", "role", "scope", "src", "start", "tabindex", "target", "title", "type"),
    "value",
}
ADDRESS = re.compile(r"https?://|mailto:|tel:\+?[0-9%]|data:(image|video)/|data:application/pdf|/[^/\\]")


class Reader(HTMLParser):
    """Reads HTML as a browser would, and refuses what could do something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, value in attrs:
            assert name in ATTRIBUTES
            if name in {"href", "src", "data"}:
                assert ADDRESS.match(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    folder: Path = tmp_path_factory.mktemp("templates")
    (folder / "probe.html").write_text('{% from "_parts.html" import value %}{{ value(item) }}')
    return Look(templates=folder)


def written(look: Look, value: object) -> str:
    language = look.languages.of(Request({"type": "http", "headers": []}))
    return look.render("probe.html", language, {"item": shown(value, limits=PAGE)})


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in cast("dict[str, object]", value).items():
            yield from leaves(part, key)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            yield from leaves(part)
    else:
        yield name, value


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


NAMES = (
    st.sampled_from(["amount", "currency", "note_md", "sql", "code", "size", "mime", "a_bytes", "due", ""]) | st.text()
)
TEXTS = (
    st.text()
    | st.from_regex(r"\A(https?://[a-z]{1,5}|/|data:image/|data:application/)[a-z./:?#\\@<>\"' ]{0,20}\Z")
    | st.from_regex(r"\A\d{4}-\d\d-\d\d([T ]\d\d:\d\d(Z|[+-]\d\d:\d\d))?\Z")
    | st.lists(
        st.sampled_from(
            ["# ", "- ", "**", "`", "\n", "\n\n", "[a](", "https://x.example", ")", "![", "|", "<b>", "&lt;"]
        )
    ).map("".join)
    | st.sampled_from(["EUR", "12.50", "<script>alert(1)</script>", "\u202e", "javascript:alert(1)", "+49 30 901820"])
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=40,
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=300)
@given(value=VALUES)
def test_any_value_is_shown_whole_and_obeyed_nowhere(look: Look, value: object) -> None:
    text = squeezed(Reader(written(look, value)).text)
    for name, leaf in leaves(value):
        if isinstance(leaf, str):
            if sense_of(leaf, name, {}) in {"", "code", "email", "phone", "diff"}:
                assert squeezed(plain(leaf).striptags()) in text or is_raw(leaf, text)
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            assert json.dumps(leaf) in text


def is_raw(leaf: str, text: str) -> bool:
    """Tell whether a text is shown in JSON, as those are that lie very deep."""
    return squeezed(plain(json.dumps(leaf, ensure_ascii=False)).unescape()) in text


def test_a_telephone_dials_and_a_mail_reaches_what_is_written(look: Look) -> None:
    assert 'href="tel:+49301234567"><bdi>+49 (0) 30 1234567<' in written(look, {"call": "+49 (0) 30 1234567"})
    assert 'href="mailto:a+b@example.com"' in written(look, {"mail": "a+b@example.com"})


def test_a_link_to_a_host_that_looks_like_another_says_so(look: Look) -> None:
    assert "(xn--pple-43d.com)" in written(look, {"shop": "https://\u0430pple.com/"})
    html = written(look, {"shop": "https://bank.example@evil.example/"})
    assert re.findall('href="([^"]*)"', html) == ["https://bank.example"]


def test_a_page_stays_small_and_fast_whatever_the_payload(look: Look) -> None:
    table = [{"sku": f"LAMP-{n}", "quantity": n, "price": n / 4, "note": "x" * 20, "ok": True} for n in range(5_000)]
    words = {f"key_{n}": "word " * 40 for n in range(1_000)}
    hidden = {"text": "\u202ea\u202d" * 50_000}
    links = {f"key_{n}": "https://a.example/ " * 10 for n in range(1_000)}
    for value in (
        {"rows": table},
        words,
        hidden,
        links,
        {"text": "word " * 40_000},
        {"text_md": "- **a** `b`\n" * 20_000},
        [[n] * 50 for n in range(200)],
    ):
        written(look, value)  # templates are compiled once
        begun = time.process_time()
        html = written(look, value)
        assert time.process_time() - begun < 0.5  # a tenth of it on a machine at rest
        assert len(html) < 400_000 if value is not hidden else 2_000_000


@pytest.mark.anyio
async def test_the_rest_is_one_click_away(world: World, client: httpx2.AsyncClient) -> None:
    payload = {"rows": [{"n": n, "text": "<b>"} for n in range(5_000)]}
    task_id = await world.ask(client, payload=payload, assign_to={"emails": [ANA.email]})
    page = await client.get(f"/tasks/{task_id}", headers=as_person("ana"))
    assert "and 4980 more rows" in page.text
    assert len(page.content) < 100_000
    assert f'href="/tasks/{task_id}/payload"' in page.text
    link = world.link(await world.task(task_id))
    assert f'href="{link}/payload"' in (await client.get(link)).text
    for address, headers in ((f"/tasks/{task_id}/payload", as_person("ana")), (f"{link}/payload", {})):
        raw = await client.get(address, headers=headers)
        assert raw.json() == payload
        assert raw.headers["Content-Type"] == "application/json"
        assert "sandbox" in raw.headers["Content-Security-Policy"]


@pytest.mark.anyio
async def test_nobody_reads_the_json_who_may_not_see_the_task(world: World, client: httpx2.AsyncClient) -> None:
    task_id = await world.ask(client, assign_to={"emails": [ANA.email]})
    for path in ("payload", "response"):
        assert (await client.get(f"/tasks/{task_id}/{path}", headers=as_person("eve"))).status_code == 403
        assert (await client.get(f"/tasks/{task_id}/{path}")).status_code == 401
    assert (await client.get("/l/nope/payload")).status_code == 404
