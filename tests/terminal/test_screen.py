"""Values and text, laid out for a screen."""

from __future__ import annotations

import pytest

from awaithumans.display import shown
from awaithumans.terminal.screen import Screen, cells, cut, printable, value_lines, wrapped


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain, ümläut, 日本, 👍🏽", "plain, ümläut, 日本, 👍🏽"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\r\tb", "a  b"),
        ("invoice\u202egpj.exe", r"invoice\u202egpj.exe"),
        ("\u200dfamily", "\u200dfamily"),
        ("back\x08space", r"back\x08space"),
    ],
)
def test_text_cannot_control_the_terminal(text, safe):
    assert printable(text) == safe


def test_text_keeps_its_lines_and_their_indentation():
    assert wrapped("one\n  - two three four\n\nfive", 14) == ["one", "  - two three", "  four", "", "five"]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({"name": "Ana", "due_date": None, "ok": True}, ["Name      Ana", "Due date  -", "Ok        Yes"]),
        ({"日本": "a", "b": "c"}, ["日本  a", "B     c"]),
        ({"tags": ["a", "b c"]}, ["Tags", "  - a", "  - b c"]),
        (
            {"items": [{"name": "Cup", "price": 40}, {"name": "Other cup", "price": None}]},
            ["Items", "  Name       Price", "  Cup        40", "  Other cup  -"],
        ),
        ({"text": "word " * 8}, ["Text  word word word word", "      word word word word"]),
        ({"a very long name indeed": "x"}, ["A very long name indeed", "  x"]),
        (
            {"a name that is longer than the screen is wide": 1},
            ["A name that is longer than", "the screen is wide", "  1"],
        ),
        ({"e": {"m": {"p": "t"}}}, ["E", "  M", "    P  t"]),
    ],
)
def test_values_are_laid_out(value, lines):
    assert value_lines(shown(value), 28) == lines


def test_a_table_too_wide_is_a_list_of_records():
    rows = [{"name": "Cup", "about": "b" * 20}, {"name": "Mug", "about": "c" * 20}]
    assert value_lines(shown(rows), 25) == [
        "- Name   Cup",
        f"  About  {'b' * 16}",
        f"         {'b' * 4}",
        "- Name   Mug",
        f"  About  {'c' * 16}",
        f"         {'c' * 4}",
    ]


def test_colour_is_only_for_screens_that_have_it():
    assert Screen().strong("x") == Screen().wrong("x") == Screen().quiet("x") == "x"
    assert Screen(colour=True).strong("x") == "\x1b[1mx\x1b[0m"
    assert Screen(colour=True).strong("") == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("short", "short"),
        ("exactly 10", "exactly 10"),
        ("eleven long", "eleven lo…"),
        ("two\nlines  and \tblanks"[:12], "two lines…"),
        ("日本語のタイトル", "日本語の…"),
        ("\x1b[2J", r"\x1b[2J"),
        ("e" + "\u0301" * 1_000, "e" + "\u0301" * 39 + "…"),
        ("", ""),
    ],
)
def test_text_is_cut_to_a_line(text, line):
    assert cut(text, 10) == line
    assert cells(line) <= 10
