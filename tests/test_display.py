"""JSON becomes something a person can read."""

from __future__ import annotations

import pytest

from awaithumans.display import AFTER, BEFORE, CURRENCY, LABELS, ORDERED, humanised, shown, size


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("due_date", "Due date"),
        ("dueDate", "Due date"),
        ("VAT", "VAT"),
        ("order-id", "Order id"),
        ("_", "_"),
        ("", ""),
        ("Größe", "Größe"),
    ],
)
def test_keys_become_words(name: str, words: str) -> None:
    assert humanised(name) == words


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "empty", ""),
        ("", "empty", ""),
        ([], "empty", ""),
        ({}, "empty", ""),
        (True, "flag", "Yes"),
        (0, "text", "0"),
        (99.99, "text", "99.99"),
        (1e300, "text", "1e+300"),
        ("a", "text", "a"),
        ("a\nb", "prose", "a\nb"),
        ("https://example.com/a?b=c", "link", "https://example.com/a?b=c"),
        ("javascript:alert(1)", "text", "javascript:alert(1)"),
        ("https://a b", "text", "https://a b"),
    ],
)
def test_plain_values(value: object, kind: str, text: str) -> None:
    one = shown(value)
    assert (one.kind, one.text) == (kind, text)


def test_titles_of_the_schema_name_the_parts_through_local_references() -> None:
    schema = {
        "properties": {"lines": {"title": "Order lines", "type": "array", "items": {"$ref": "#/$defs/Line"}}},
        "$defs": {"Line": {"properties": {"sku": {"title": "Article"}}}},
    }
    one = shown({"lines": [{"sku": "a", "n": 1}, {"sku": "b"}]}, schema)
    [(label, table)] = one.pairs
    assert (label, table.kind, list(table.columns)) == ("Order lines", "table", ["Article", "N"])
    assert [[cell.text for cell in row] for row in table.rows] == [["a", "1"], ["b", ""]]


def test_one_record_is_a_table_as_two_are() -> None:
    assert [shown([{"a": 1}] * count).kind for count in (1, 2)] == ["table", "table"]


def test_parts_are_in_the_order_of_the_schema_and_others_come_after() -> None:
    schema: dict[str, object] = {"properties": {"b": {}, "a": {"items": {"properties": {"d": {}, "c": {}}}}}}
    one = shown({"z": 1, "a": [{"e": 1, "c": 2, "d": 3}], "b": 4}, schema)
    assert [label for label, _ in one.pairs] == ["B", "A", "Z"]
    table = one.pairs[1][1]
    assert (list(table.columns), [cell.text for cell in table.rows[0]]) == (["D", "C", "E"], ["3", "2", "1"])


def test_titles_are_found_beside_null() -> None:
    schema: dict[str, object] = {
        "properties": {"to": {"anyOf": [{"$ref": "#/$defs/To"}, {"type": "null"}]}},
        "$defs": {"To": {"properties": {"zip": {"title": "Postal code"}}}},
    }
    [(_, to)] = shown({"to": {"zip": "1"}}, schema).pairs
    assert to.pairs[0][0] == "Postal code"


def test_a_schema_says_how_values_are_read() -> None:
    schema: dict[str, object] = {
        "properties": {
            "done": {LABELS: {"true": "Sent", "false": 7}},
            "part": {BEFORE: "about", AFTER: "%"},
            "fee": {CURRENCY: "EUR"},
            "order": {ORDERED: True},
        }
    }
    [(_, done), (_, part), (_, fee), (_, order)] = shown(
        {"done": True, "part": 5, "fee": "1.50", "order": ["a"]}, schema
    ).pairs
    assert (done.text, part.text, fee.text, order.ordered) == ("Sent", "about 5 %", "1.50 EUR", True)
    assert dict(shown({"done": False}, schema).pairs)["Done"].text == "No"


@pytest.mark.parametrize("value", [[{"a": [1]}, {"a": 2}], [1, {"a": 1}], [{str(n): n} for n in range(20)]])
def test_what_makes_no_table_is_a_list(value: object) -> None:
    assert shown(value).kind == "list"


def test_deep_values_end_as_json() -> None:
    value: object = 1
    for _ in range(20):
        value = {"a": value}
    one = shown(value)
    while one.pairs:
        [(_, one)] = one.pairs
    assert one.kind == "raw"


@pytest.mark.parametrize("schema", [{"properties": 7}, {"properties": {"a": 7}}, {"$ref": 7}, {"$ref": "#/$defs/x"}])
def test_odd_schemas_do_no_harm(schema: dict[str, object]) -> None:
    [(label, _)] = shown({"a": 1}, schema).pairs
    assert label == "A"


def test_a_size_beyond_all_measure_can_be_written():
    assert size(10**400).endswith("0.0 GB")
    assert [size(count) for count in (0, 999, 1000, 1_250_000)] == ["0 bytes", "999 bytes", "1.0 kB", "1.2 MB"]
