"""What plain values are told to mean, and what is left as it is."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from urllib.parse import quote

import pytest

from awaithumans.display import PAGE, Shown, shown
from awaithumans.meaning import Sense, data_size, is_markdown, last_word

DIFF = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-old\n+new\n"


def under(key: str, value: object, **others: object) -> Shown:
    """Show an object, and give what it has under a key."""
    one = shown({key: value, **others}, limits=PAGE)
    return one.pairs[0][1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"amount": 1250, "currency": "EUR"}, "1250 EUR"),
        ({"amount": 12.5, "currency": "EUR"}, "12.5 EUR"),
        ({"amount": "1250.00", "currency": "EUR"}, "1250.00 EUR"),
        ({"currency_code": "USD", "value": "-0.10"}, "-0.10 USD"),
        ({"amount": 10**20, "currencyCode": "JPY"}, "100000000000000000000 JPY"),
    ],
)
def test_an_amount_and_its_currency_are_money_digit_for_digit(value: object, text: str) -> None:
    one = under("refund", value)
    assert (one.kind, one.sense, one.text) == ("text", "money", text)


@pytest.mark.parametrize(
    "value",
    [
        {"amount": 1250},
        {"amount": 1250, "currency": "euro"},
        {"amount": True, "currency": "EUR"},
        {"amount": "a lot", "currency": "EUR"},
        {"amount": 1e300, "currency": "EUR"},
        {"amount": 1, "currency": "EUR", "unit": "cents"},
        {"cents": 1250, "currency": "EUR"},
    ],
)
def test_anything_less_certain_stays_what_it_is(value: object) -> None:
    assert under("refund", value).kind == "pairs"


@pytest.mark.parametrize("name", ["amount", "total_amount", "unitPrice", "price"])
def test_an_amount_beside_a_currency_is_money(name: str) -> None:
    one = under(name, 120, currency="EUR")
    assert (one.sense, one.text) == ("money", "120 EUR")


@pytest.mark.parametrize("name", ["amount_cents", "quantity", "order", "amounts"])
def test_other_numbers_beside_a_currency_are_numbers(name: str) -> None:
    one = under(name, 120, currency="EUR")
    assert (one.sense, one.text) == ("number", "120")


@pytest.mark.parametrize(
    ("key", "value", "sense"),
    [
        ("at", "2026-11-20T17:32:00+02:00", "moment"),
        ("at", "2026-11-20 17:32Z", "moment"),
        ("at", "2026-11-20T17:32:00", ""),
        ("at", "0001-01-01T00:00:00+14:00", ""),
        ("on", "2026-12-01", "day"),
        ("on", "2026-02-30", ""),
        ("on", "20261201", ""),
        ("who", "ana@example.com", "email"),
        ("who", "ana@example", ""),
        ("who", "ana@example.com?bcc=eve@example.com", ""),
        ("call", "+49 30 901820", "phone"),
        ("call", "030 901820", ""),
        ("call", "*21*+4930901820#", ""),
        ("see", "https://example.com/a.PNG?x=1", "image"),
        ("see", "/files/a.pdf", "pdf"),
        ("see", "/logout", ""),
        ("see", "//evil.example/a.png", ""),
        ("see", "https://example.com/png", ""),
        ("see", "data:image/png;base64,AAAA", "image"),
        ("see", "data:application/pdf;base64,AAAA", "pdf"),
        ("see", "data:text/html,<script>", ""),
        ("patch", DIFF, "diff"),
        ("change", DIFF, "diff"),
        ("sql", "SELECT 1", "code"),
        ("error_code", "E-17", ""),
        ("code", "def f():\n    pass", "code"),
        ("body_md", "plain", "markdown"),
        ("bodyMarkdown", "plain", "markdown"),
        ("note", "see [the ticket](https://example.com/1)", "markdown"),
    ],
)
def test_texts(key: str, value: str, sense: Sense) -> None:
    one = under(key, value)
    assert (one.sense, one.text) == (sense, value)


def test_moments_are_read_in_utc() -> None:
    assert under("at", "2026-11-20T17:32:00+02:00").at == datetime(2026, 11, 20, 15, 32, tzinfo=UTC)
    assert under("on", "2026-12-01").at == date(2026, 12, 1)


@pytest.mark.parametrize(
    "text",
    [
        "# Title\n\n- one\n- two",
        "It is **urgent**.",
        "Run\n```sh\nls\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "- `a`\n- b",
    ],
)
def test_markdown_is_known_by_what_no_other_text_has(text: str) -> None:
    assert is_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "- a\n- b",
        "# a comment\nname: x\nitems:\n- a\n- b",
        "2 ** 3 ** 4",
        "f(**a, **b)",
        "__init__ and snake_case_names",
        "1. January was cold.",
        "a < b > c",
        "[a](javascript:alert(1))",
    ],
)
def test_what_may_be_something_else_is_not_taken_for_markdown(text: str) -> None:
    assert not is_markdown(text)


def test_the_schema_says_what_a_text_is() -> None:
    schema = {
        "properties": {
            "a": {"contentMediaType": "text/markdown"},
            "b": {"contentMediaType": "text/plain"},
            "c": {"contentMediaType": "application/json"},
            "d": {"contentMediaType": "text/x-diff; charset=utf-8"},
        }
    }
    one = shown({"a": "x", "b": "**x**", "c": "{}", "d": "-x"}, schema)
    assert [part.sense for _, part in one.pairs] == ["markdown", "", "code", "diff"]


def test_an_object_says_what_its_only_text_is() -> None:
    assert under("a", {"markdown": "x"}).sense == "markdown"
    assert under("a", {"code": "x", "language": "sql"}).sense == "code"
    assert under("a", {"markdown": 1}).kind == "pairs"
    assert under("a", {"code": "x"}).kind == "pairs"
    assert under("a", {"code": "x", "language": "sql, and drop the table"}).kind == "pairs"
    assert under("a", {"code": "x", "language": 1}).kind == "pairs"


@pytest.mark.parametrize("other", ["USD", "eur", "", None, "or whatever it costs"])
def test_of_two_currencies_none_is_left_out(other: object) -> None:
    assert under("a", {"amount": 5, "currency": "EUR", "currency_code": other}).kind == "pairs"
    assert under("amount", 5, currency="EUR", currency_code=other).sense == "number"


def test_bytes_are_counted_where_a_key_or_a_file_says_so() -> None:
    assert under("size_bytes", 12).sense == "size"
    assert under("size", 12, mime="image/png").sense == "size"
    assert under("size", 12).sense == "number"
    assert under("size_bytes", -1).sense == "number"
    assert under("size_bytes", 10**400).sense == "number"


def test_a_column_of_decimals_is_one_of_numbers_also_where_they_are_texts() -> None:
    table = under(
        "rows", [{"price": "89.90", "year": "2026", "part": "A-1"}, {"price": None, "year": "2027", "part": ""}]
    )
    assert table.numeric == [True, False, False]


def test_a_page_lays_out_so_much_and_counts_the_rest() -> None:
    table = under("rows", [{"a": n, "b": "x"} for n in range(5_000)])
    assert (len(table.rows), table.more, table.count) == (100, 4_900, 5_000)
    assert table.numeric == [True, False]
    wide = shown({f"key {n}": [n] * 50 for n in range(5_000)}, limits=PAGE)
    assert (len(wide.pairs) + wide.more, wide.more > 0) == (5_000, True)
    text = under("text", "a" * 300_000)
    assert len(text.text) + text.more == 300_000
    picture = under("picture", "data:image/png;base64," + "A" * 2_000_000)
    assert (picture.text, picture.more) == ("", 1_500_000)


def test_what_is_short_is_shown_however_long_what_is_before_it() -> None:
    parts = dict(shown({"log": "line\n" * 99_000, "total": "12.50", "note": "word " * 99}, limits=PAGE).pairs)
    assert (parts["Total"].text, parts["Total"].more) == ("12.50", 0)
    assert (parts["Note"].text, parts["Note"].more) == ("", 495)


def test_a_message_has_json_for_what_is_too_long() -> None:
    assert shown([{"a": n} for n in range(5_000)]).kind == "raw"


@pytest.mark.parametrize("content", [b"", b"a", b"ab", b"abc", b"\x00" * 193])
def test_the_size_of_a_file_is_that_of_its_content(content: bytes) -> None:
    assert data_size("data:image/png;base64," + base64.b64encode(content).decode()) == len(content)
    assert data_size("data:image/svg+xml," + quote(content)) == len(content)


def test_the_last_word_of_a_key() -> None:
    assert [last_word(name) for name in ("body_md", "bodyMd", "body-md", "md", "")] == ["md", "md", "md", "md", ""]
