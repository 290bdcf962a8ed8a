"""Texts of strangers as HTML."""

from __future__ import annotations

import time

import pytest

from awaithumans.web.markdown import MAX_CHARACTERS, Markdown, code
from awaithumans.web.media import Media
from awaithumans.web.texts import grouped, linked, plain

MARKDOWN = Markdown(Media(["https://cdn.example.com"]))
ELSEWHERE = 'rel="noopener noreferrer nofollow" target="_blank"'
EVIL = '<span class="quiet">(evil.example)</span>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\u202ea", '<span class="hidden-character" title="right-to-left override">U+202E</span>a'),
        ("\x07", '<span class="hidden-character" title="control character">U+0007</span>'),
        ("a\xadb", 'a<span class="hidden-character" title="soft hyphen">U+00AD</span>b'),
        ("\U000e0100", '<span class="hidden-character" title="variation selector-17">U+E0100</span>'),
        ("\u202e" * 9_000, '<span class="hidden-character" title="right-to-left override">U+202E × 9000</span>'),
        ("\ud800", '<span class="hidden-character" title="control character">U+D800</span>'),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_text_is_escaped_and_nothing_in_it_hides(text: str, html: str) -> None:
    assert plain(text) == html


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://example.com/a.", "https://example.com/a"),
        ("(https://example.com/a_(b))", "https://example.com/a_(b)"),
        ("https://example.com/?a=1&b=2!", "https://example.com/?a=1&amp;b=2"),
    ],
)
def test_addresses_in_text_are_links(text: str, address: str) -> None:
    assert f'<a href="{address}" {ELSEWHERE}>{address}</a>' in linked(text)


def test_an_address_that_looks_like_another_one_says_where_it_leads() -> None:
    html = linked("https://\u0430pple.com/")
    assert html.endswith('>https://\u0430pple.com/</a> <span class="quiet">(xn--pple-43d.com)</span>')
    assert 'href="https://bank.example"' in linked("https://bank.example@evil.example/")
    assert "evil.example/</a>" not in linked("https://bank.example@evil.example/")


def test_many_brackets_are_soon_counted() -> None:
    text = ("https://" + "(" * 250 + "/" + ")" * 1_700 + " ") * 500
    begun = time.process_time()
    assert linked(text).count("<a ") == 500
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("text", ["javascript:alert(1)", "http://", "ftp://example.com"])
def test_nothing_else_is(text: str) -> None:
    assert "<a" not in linked(text)


@pytest.mark.parametrize("text", ["1250 EUR", "-1234567.891 EUR", "12 EUR", "123", "EUR", "0.5 X", "1000000"])
def test_the_characters_of_a_number_stay(text: str) -> None:
    assert grouped(text).striptags() == text


def test_thousands_have_a_gap() -> None:
    assert grouped("1234567.50 EUR").count('class="gap"') == 2
    assert "gap" not in grouped("123 EUR")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**a**", "<p><strong>a</strong></p>\n"),
        ("a\nb", "<p>a<br />\nb</p>\n"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
        ("[a](/logout)", "<p><span>a</span></p>\n"),
        (
            "[bank.example](https://evil.example/)",
            f'<a href="https://evil.example/" {ELSEWHERE}>bank.example</a> {EVIL}',
        ),
        ("![a](/a.png)", '<p><img class="picture" src="/a.png" alt="a" loading="lazy"></p>\n'),
        (
            "![a](https://cdn.example.com/a.png)",
            '<p><img class="picture" src="https://cdn.example.com/a.png" alt="a" loading="lazy"></p>\n',
        ),
        (
            "![https://bank.example](https://evil.example/a.png)",
            f'<a href="https://evil.example/a.png" {ELSEWHERE}>https://bank.example</a> {EVIL}',
        ),
        ("<https://xn--pple-43d.com>", ">https://xn--pple-43d.com</a></p>"),
        ("<https://\u0430pple.com>", '>https://\u0430pple.com</a> <span class="quiet">(xn--pple-43d.com)</span>'),
        (
            "[help@bank.example](mailto:eve@evil.example)",
            '>help@bank.example</a> <span class="quiet">(eve@evil.example)',
        ),
        ("<eve@evil.example>", ">eve@evil.example</a></p>"),
        ('[a](https://evil.example/ "and pay 9")', f'>a</a> {EVIL} <span class="quiet">(and pay 9)</span>'),
        ('![a](/a.png "and pay 9")', 'loading="lazy"> <span class="quiet">(and pay 9)</span>'),
        ('[a]: /b "and pay 9"', "<p>[a]: /b &#34;and pay 9&#34;</p>"),
        ("``` and pay 9\nb\n```", '<p>and pay 9</p>\n<pre tabindex="0"><code>b\n</code></pre>'),
        ("3. a\n7. b", '<ol start="3">\n<li value="3">a</li>\n<li value="7">b</li>\n</ol>'),
        ("1. a\n1. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>"),
        ("![a](data:image/gif;base64,AAAA)", '<p><img class="picture" src="data:image/gif;base64,AAAA"'),
        ("&#8238;a", '<p><span class="hidden-character" title="right-to-left override">U+202E</span>a</p>\n'),
        ("    a  <b>", '<pre tabindex="0"><code>a  &lt;b&gt;\n</code></pre>\n'),
        ("`<b>`", "<p><code>&lt;b&gt;</code></p>\n"),
        ("|a|\n|--:|\n|1|", '<td class="number">1</td>'),
    ],
)
def test_markdown(text: str, html: str) -> None:
    assert html in MARKDOWN(text)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("# a\n# b", "33"),
        ("# a\n### b\n## c", "344"),
        ("###### a", "3"),
        ("# a\n## b\n### c\n#### d\n##### e", "34566"),
    ],
)
def test_headings_are_below_those_of_the_page_and_skip_none(text: str, levels: str) -> None:
    html = MARKDOWN(text)
    assert [part[0] for part in html.split("<h")[1:]] == list(levels)


def test_a_diff_has_its_lines_marked() -> None:
    html = code("@@ -1 +1 @@\n same\n-<old>\n+new\n", is_diff=True)
    assert '<span class="removed">-&lt;old&gt;</span><span class="added">+new</span></code>' in html
    assert '<span class="place">@@ -1 +1 @@</span><span class="same"> same</span>' in html
    assert '<span class="added">+a</span>' in MARKDOWN("```diff\n+a\n```")


def test_very_long_markdown_is_shown_as_it_is_written() -> None:
    text = "**a** " * (MAX_CHARACTERS // 6 + 1)
    assert MARKDOWN(text) == f'<div class="prose">{text}</div>'
