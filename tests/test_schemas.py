"""JSON Schema: what is admitted, what fits, and what people are told."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from awaithumans import schemas
from awaithumans.errors import InvalidSchemaError
from awaithumans.schemas import check_schema, follow, validate, without_annotations

DRAFT_07 = "http://json-schema.org/draft-07/schema#"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
KEYWORDS = st.sampled_from(
    [
        "$anchor",
        "$defs",
        "$id",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "dependencies",
        "enum",
        "format",
        "if",
        "items",
        "minLength",
        "minimum",
        "multipleOf",
        "not",
        "pattern",
        "properties",
        "required",
        "type",
    ]
)
WILD = st.recursive(
    JSON | st.sampled_from(["#", "#/$defs/a", "string", "integer", "(", "(?=a)", "^(?!a)b", DRAFT_07, {}, True]),
    lambda inner: st.dictionaries(KEYWORDS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=15,
)


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Price(BaseModel):
    amount: Decimal


def ladder(height: int) -> dict[str, object]:
    """Make a schema whose references double with every step."""
    defs: dict[str, object] = {"d0": {"type": "string"}}
    for step in range(1, height):
        defs[f"d{step}"] = {"anyOf": [{"$ref": f"#/$defs/d{step - 1}"}, {"$ref": f"#/$defs/d{step - 1}"}]}
    return {"$defs": defs, "$ref": f"#/$defs/d{height - 1}"}


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


# ── check_schema ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        {"$anchor": "here", "properties": {"a": {"$ref": "#here"}}},
        {"$schema": DRAFT_07, "definitions": {"a": {"type": "string"}}, "$ref": "#/definitions/a"},
        {"$schema": DRAFT_07, "items": [{"type": "string"}], "dependencies": {"a": ["b"]}},
        {"$id": "https://example.com/a", "type": "object"},
        {"const": {"$ref": "http://example.com/"}, "default": {"$ref": "#/nope"}},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}},
        {"maximum": 10**80, "minLength": 10**80},
        {"pattern": "^[\\w.-]{1,255}$"},
        {"format": "no such format"},
        nested(60),
        Node.model_json_schema(),
        Price.model_json_schema(),
    ],
)
def test_a_usable_schema_is_admitted(schema):
    check_schema(schema, "response_schema")


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        "{}",
        True,
        {1: 2},
        {"default": float("nan")},
        {"title": "\ud800"},
        {"type": 5},
        {"type": "text"},
        {"$schema": 5},
        {"$schema": "http://example.com/mine"},
        {"multipleOf": 0},
        {"minLength": -1},
        {"minLength": 1.5},
        {"required": "a"},
        {"enum": 5},
        {"allOf": 5},
        {"properties": {"a": 5}},
        {"$id": "::::"},
        {"$defs": {"a": {"$id": "http://example.com/"}}},
        nested(100),
    ],
)
def test_what_is_no_schema_is_refused(schema):
    with pytest.raises(InvalidSchemaError) as caught:
        check_schema(schema, "payload_schema")
    assert list(caught.value.fields) == ["payload_schema"]


@pytest.mark.parametrize(
    "reference",
    ["http://169.254.169.254/", "file:///etc/passwd", "other.json", "//host/a", 5, "#/nope", "#nope", "#/%zz", "%%%"],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_a_reference_out_of_the_schema_or_to_nothing_is_refused(reference, keyword):
    for schema in ({keyword: reference}, {"properties": {"a": {"items": {keyword: reference}}}}):
        with pytest.raises(InvalidSchemaError):
            check_schema(schema, "response_schema")


def test_nothing_is_ever_retrieved(monkeypatch, tmp_path):
    (tmp_path / "there.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for schema in ({"$ref": url}, {"$schema": url}, {"$id": url, "$ref": "other.json"}):
            with pytest.raises(InvalidSchemaError):
                check_schema(schema, "response_schema")
        with pytest.raises(TimeoutError):
            server.accept()
    with pytest.raises(InvalidSchemaError):
        check_schema({"$ref": (tmp_path / "there.json").as_uri()}, "response_schema")


@pytest.mark.parametrize(
    "pattern",
    ["(", "(?=a)", "a(?!b)", "(?<=a)b", "^(?=a)b|c", "^(?!(?=a))b", "(a)\\1", "a{1000000}", "(a{1000}){1000}", "^(?=a"],
)
@pytest.mark.parametrize("where", ["pattern", "patternProperties"])
def test_a_pattern_that_cannot_run_in_linear_time_is_refused(pattern, where):
    schema = {"pattern": pattern} if where == "pattern" else {"patternProperties": {pattern: {}}}
    with pytest.raises(InvalidSchemaError):
        check_schema({"properties": {"a": schema}}, "response_schema")


def test_the_refusal_of_a_pattern_names_it():
    with pytest.raises(InvalidSchemaError, match="cannot run in linear time") as caught:
        check_schema({"properties": {"a": {"pattern": "a(?=b)"}}}, "response_schema")
    assert "a(?=b)" in caught.value.fields["response_schema"]


@pytest.mark.parametrize(
    ("pattern", "fits", "misfits"),
    [
        ("^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$", ["-5.5", "0", ".5"], ["-.", "", "5x"]),
        ("^(?=.*[A-Z])(?=.*\\d).{8,}$", ["Passw0rdd"], ["passw0rdd", "Passwordd", "P4ss"]),
        ("^(?!\\.)(?!.*\\.\\.)([a-z.]*)[a-z]@x\\.de$", ["a.b@x.de"], [".a@x.de", "a..b@x.de", "a@x.com"]),
        ("^(?![)]a)b", ["b"], ["a"]),
    ],
)
def test_look_ahead_at_the_start_is_understood(pattern, fits, misfits):
    schema = {"pattern": pattern, "allOf": [{"maxLength": 20}]}
    check_schema(schema, "response_schema")
    assert [text for text in [*fits, *misfits] if not validate(schema, text)] == fits
    assert validate(schema, 5) == {}
    assert "" in validate(schema, fits[0] * 30)


@pytest.mark.parametrize("height", [30, 200])
def test_references_that_multiply_are_refused_at_once(height):
    with pytest.raises(InvalidSchemaError, match=r"multiply|deep"):
        check_schema(ladder(height), "response_schema")


def test_a_language_of_many_mutually_recursive_parts_is_admitted():
    parts = {
        f"p{one}": {
            "properties": {"kind": {"const": one}, "to": {"anyOf": [{"$ref": f"#/$defs/p{two}"} for two in range(25)]}},
            "required": ["kind"],
        }
        for one in range(25)
    }
    schema = {"$defs": parts, "$ref": "#/$defs/p0"}
    check_schema(schema, "response_schema")
    assert validate(schema, {"kind": 0, "to": {"kind": 5, "to": {"kind": 7}}}) == {}
    assert validate(schema, {"kind": 0, "to": {"kind": 5, "to": {"kind": 99}}})


def test_a_schema_of_very_many_parts_is_refused():
    with pytest.raises(InvalidSchemaError, match="parts"):
        check_schema({"enum": list(range(schemas.MAX_NODES + 1))}, "response_schema")
    with pytest.raises(InvalidSchemaError, match="patterns"):
        check_schema({"allOf": [{"pattern": "a"}] * (schemas.MAX_PATTERNS + 1)}, "response_schema")


def test_a_panic_of_the_engine_is_an_error_like_any_other(monkeypatch):
    class PanicException(BaseException):
        pass

    def panic(_text):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(schemas, "_compiled", panic)
    with pytest.raises(InvalidSchemaError):
        check_schema({}, "response_schema")
    with pytest.raises(InvalidSchemaError):
        validate({}, {})


def test_an_interruption_is_not_mistaken_for_a_panic(monkeypatch):
    def interrupted(_text):
        raise KeyboardInterrupt

    monkeypatch.setattr(schemas, "_compiled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check_schema({}, "response_schema")


def admitted(schema: object) -> bool:
    try:
        check_schema(schema, "response_schema")
    except InvalidSchemaError:
        return False
    return True


@given(st.dictionaries(KEYWORDS, WILD, max_size=4))
def test_whatever_comes_is_admitted_or_refused(schema: dict[str, object]):
    if admitted(schema):
        validate(schema, {"a": ["a", 1, None]})
        assert admitted(without_annotations(schema))


# ── validate ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "value", "faults"),
    [
        ({"type": "object"}, [], {"": "must be an object"}),
        ({"type": ["integer", "null"]}, "x", {"": "must be a whole number"}),
        ({"type": "boolean"}, "false", {"": "must be true or false"}),
        ({"required": ["a"]}, {}, {"a": "is required"}),
        ({"properties": {"a": {"required": ["b"]}}}, {"a": {}}, {"a.b": "is required"}),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"b": 1, "c": 2},
            {"b": "is not a known field", "c": "is not a known field"},
        ),
        (
            {"properties": {"items": {"items": {"properties": {"amount": {"maximum": 3}}}}}},
            {"items": [{"amount": 5}]},
            {"items.0.amount": "must be at most 3"},
        ),
        ({"minimum": 3}, 1, {"": "must be at least 3"}),
        ({"exclusiveMinimum": 3}, 3, {"": "must be more than 3"}),
        ({"exclusiveMaximum": 3}, 3, {"": "must be less than 3"}),
        ({"minLength": 3}, "a", {"": "must have at least 3 characters"}),
        ({"maxItems": 1}, [1, 2], {"": "must have at most 1 entry"}),
        ({"enum": ["a", 2]}, "x", {"": "choose one of: a, 2"}),
        ({"const": "yes"}, "no", {"": "must be yes"}),
        ({"pattern": "^a"}, "b", {"": "must match the pattern ^a"}),
        ({"format": "date"}, "2024-02-30", {"": "must be a date like 2026-01-31"}),
        ({"uniqueItems": True}, [1, 1], {"": "must not have the same entry twice"}),
        ({"propertyNames": {"maxLength": 1}}, {"aa": 1}, {"": "has a field whose name is not allowed"}),
        ({"properties": {"a": False}}, {"a": 1}, {"a": "is not allowed"}),
        ({"unevaluatedProperties": False}, {"a": 1}, {"a": "is not a known field"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", {"": "must be a whole number"}),
        ({"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]}, 1, {"": "must be at least 3"}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, [], {"": "must be a whole number or text"}),
        ({"anyOf": [{"const": "a"}, {"enum": ["b", 3]}]}, "x", {"": "choose one of: a, b, 3"}),
        ({"anyOf": [{"minimum": 3}, {"multipleOf": 2}]}, 1, {"": "fits none of the alternatives"}),
        ({"oneOf": [{}, {}]}, 1, {"": "fits more than one of the alternatives"}),
        ({"const": 5, "x-error": "keep it"}, 6, {"": "keep it"}),
        ({"required": ["a"], "x-error": "is missed"}, {}, {"a": "is missed"}),
        ({"anyOf": [{"minimum": 3}, {"multipleOf": 2}], "x-error": "no luck"}, 1, {"": "no luck"}),
        (
            {"allOf": [{"if": {}, "then": {"properties": {"x-error": {"not": {}, "x-error": "stay away"}}}}]},
            {"x-error": 1},
            {"x-error": "stay away"},
        ),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string", "x-error": "say it"}}}, 1, {"": "say it"}),
        ({"pattern": "^(?=a)b", "x-error": 5}, "c", {"": "must match the pattern ^(?:a)"}),
        (
            {
                "oneOf": [
                    {"properties": {"kind": {"const": "a"}, "v": {"type": "integer"}}},
                    {"properties": {"kind": {"const": "b"}, "v": {"type": "string"}}},
                ]
            },
            {"kind": "b", "v": 4},
            {"v": "must be text"},
        ),
    ],
)
def test_the_fault_is_told_at_its_place_and_in_plain_words(schema, value, faults):
    assert validate(schema, value) == faults


@pytest.mark.parametrize(
    ("form", "fits", "misfits"),
    [
        ("date", ["2024-02-29"], ["2023-02-29", "20240229", "today"]),
        ("date-time", ["2024-01-01T10:00:00Z", "2024-01-01T10:00", "2024-01-01 10:00:00.5+02:00"], ["2024-01-01", "x"]),
        ("time", ["14:30", "14:30:05", "14:30:05Z", "14:30:05.25+01:00"], ["25:00", "14", "14:30:99", "٣:00"]),
        ("email", ["ana@example.com"], ["ana", "ana@host", "Ana <ana@example.com>", "ana@[10.0.0.1]"]),
        ("uri", ["https://example.com/a?b"], ["example", "http://a b"]),
        ("uuid", ["12345678-1234-1234-1234-123456789abc"], ["1234"]),
    ],
)
def test_formats_count(form, fits, misfits):
    schema = {"type": "string", "format": form}
    assert [text for text in [*fits, *misfits] if not validate(schema, text)] == fits


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"multipleOf": 0.01}, 99.99),
        ({"multipleOf": 0.01}, 19.99),
        ({"multipleOf": 0.1}, 0.3),
        ({"maximum": 10**400}, 10**400),
        ({"type": "integer"}, 1.0),
        ({"const": 1}, 1.0),
    ],
)
def test_numbers_are_exact(schema, value):
    assert validate(schema, value) == {}


def test_numbers_near_a_bound_are_told_apart():
    assert validate({"maximum": 10**18}, 10**18 + 1)
    assert validate({"multipleOf": 0.01}, 99.999)


def test_nothing_long_is_quoted():
    cases: list[tuple[dict[str, object], object]] = [
        ({"type": "object"}, "x" * 100_000),
        ({"const": "y" * 100_000}, "x"),
        ({"enum": ["y" * 100_000] * 1_000}, "x"),
        ({"minimum": 10**900}, 1),
        ({"required": ["k" * 100_000]}, {}),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"k" * 100_000: 1}),
        ({"pattern": "a" * 3_000}, "x"),
        ({"type": "object", "x-error": "z" * 100_000}, "x"),
    ]
    for schema, value in cases:
        [(path, message)] = validate(schema, value).items()
        assert len(path) < 300
        assert len(message) < 1_000


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": "\ud800"}, {"a": Decimal(1)}, {"a": "\0"}])
def test_what_is_not_json_does_not_fit(value):
    assert list(validate({}, value)) == ["a"]


def test_a_large_or_doubling_misfit_is_refused_without_an_essay():
    assert validate({"items": {"type": "integer"}}, ["x"] * 100_000).keys() == {""}
    expression: dict[str, object] = {
        "$defs": {
            "E": {"anyOf": [{"$ref": "#/$defs/And"}, {"$ref": "#/$defs/Or"}, {"type": "integer"}]},
            "And": {"properties": {"k": {"const": "and"}, "l": {"$ref": "#/$defs/E"}}, "required": ["k"]},
            "Or": {"properties": {"k": {"const": "or"}, "l": {"$ref": "#/$defs/E"}}, "required": ["k"]},
        },
        "type": "object",
        "$ref": "#/$defs/E",
    }
    check_schema(expression, "response_schema")
    value: object = {"k": "xor"}
    for _ in range(40):
        value = {"k": "or", "l": value}
    assert validate(expression, value) != {}


def language(words: int, told_by: str) -> dict[str, object]:
    """Make a schema of parts that contain one another in `b`, told apart by a name."""
    any_part = {"anyOf": [{"$ref": f"#/$defs/p{number}"} for number in range(words)]}
    parts = {
        f"p{number}": {
            "type": "object",
            "properties": {told_by: {"const": number}, "b": any_part, "c": {}, "d": {}},
            "additionalProperties": False,
        }
        for number in range(words)
    }
    return {"$defs": parts, "$ref": "#/$defs/p0"}


@pytest.mark.parametrize("leaf", [{"c": 1}, {"c": 1, "zz": 1}])
def test_a_deep_value_of_a_rich_language_is_checked_at_once(leaf):
    value: dict[str, object] = leaf
    for _ in range(40):
        value = {"b": value, "a": 0}
    schema = language(20, "a")
    check_schema(schema, "response_schema")
    assert bool(validate(schema, value)) is ("zz" in leaf)


def test_a_value_that_would_take_for_ever_to_check_is_refused_at_once():
    value: dict[str, object] = {"b": 5}
    for _ in range(30):
        value = {"b": value, "z": 0}
    schema = language(20, "z")
    check_schema(schema, "response_schema")
    assert validate(schema, value) == {"": "is nested in too many ways to be checked"}


def test_doubling_references_that_also_go_round_cannot_take_for_ever():
    schema = ladder(50)
    steps: Any = schema["$defs"]
    steps["d0"] = {"type": "object", "properties": {"z": {"$ref": "#/$defs/d49"}}, "required": ["z"]}
    check_schema(schema, "response_schema")
    assert validate(schema, 5)
    assert validate(schema, {"z": {"z": 5}})


def test_a_recursive_model_is_checked_all_the_way_down():
    tree = {"name": "a", "children": [{"name": "b", "children": [{"name": 5}]}]}
    assert validate(Node.model_json_schema(), tree) == {"children.0.children.0.name": "must be text"}


def test_validators_are_shared_between_threads():
    schema = {"properties": {"a": {"type": "integer"}}, "title": "shared between threads"}
    gate = threading.Barrier(8)

    def check(number: int) -> dict[str, str]:
        gate.wait()
        return validate(schema, {"a": number if number % 2 else "x"})

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(check, range(8)))
    assert [not faults for faults in found] == [False, True] * 4


@given(JSON)
def test_an_empty_schema_fits_and_a_constant_fits_itself(value):
    printable = "\0" not in json.dumps(value) and "\\u0000" not in json.dumps(value)
    if printable and "\\ud" not in json.dumps(value):
        assert validate({}, value) == {}
        assert validate({"const": value}, value) == {}


def test_the_engine_is_imported_when_it_is_first_used():
    program = "import sys, awaithumans.forms, awaithumans.schemas; print('jsonschema_rs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"


# ── without_annotations ───────────────────────────────────────────────────────


def test_annotations_go_and_the_rest_stays():
    described = {
        "$schema": DRAFT_07,
        "title": "Refund",
        "description": "words",
        "$comment": "more",
        "x-ui": {"type": "string"},
        "type": "object",
        "properties": {
            "title": {"type": "string", "title": "Title", "default": "a", "examples": ["b"]},
            "description": {"enum": [{"title": "kept"}], "deprecated": True},
            "x-rate": {"const": {"default": 1}, "readOnly": True, "writeOnly": True},
        },
        "required": ["title"],
        "items": [{"title": "a", "type": "string"}],
        "additionalProperties": {"title": "b"},
        "$defs": {"default": {"title": "c", "not": {"title": "d", "minimum": 1}}},
        "anyOf": [{"description": "e", "pattern": "f"}, True],
        "dependencies": {"title": ["description"], "x": {"title": "g"}},
    }
    assert without_annotations(described) == {
        "$schema": DRAFT_07,
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "description": {"enum": [{"title": "kept"}]},
            "x-rate": {"const": {"default": 1}},
        },
        "required": ["title"],
        "items": [{"type": "string"}],
        "additionalProperties": {},
        "$defs": {"default": {"not": {"minimum": 1}}},
        "anyOf": [{"pattern": "f"}, True],
        "dependencies": {"title": ["description"], "x": {}},
    }


def test_a_reworded_docstring_changes_nothing():
    def model(words: str) -> type[BaseModel]:
        return type("Reply", (BaseModel,), {"__doc__": words, "__annotations__": {"node": Node}})

    one, other = (without_annotations(model(words).model_json_schema()) for words in ("a", "b"))
    assert one == other


@given(WILD)
def test_taking_annotations_away_twice_is_taking_them_away_once(schema):
    once = without_annotations(schema)
    assert without_annotations(once) == once


# ── follow ────────────────────────────────────────────────────────────────────


def test_a_reference_is_followed_to_its_end():
    root = {"$defs": {"a": {"$ref": "#/$defs/b~1c"}, "b/c": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}}}
    assert follow({"$ref": "#/$defs/a"}, root) == {"type": "string"}
    assert follow({"$ref": "#/$defs/loop"}, root) == {}
    assert follow({"$ref": "#/nope/0"}, root) == {}
    assert follow({"$ref": "#/anyOf/1"}, {"anyOf": [{}, {"minimum": 1}]}) == {"minimum": 1}
    assert follow({"type": "null"}, root) == {"type": "null"}
    assert follow(True, root) is True


def test_a_schema_that_explodes_where_references_are_written_out_is_refused_before_it_does():
    doubling: dict[str, object] = {
        f"n{i}": {"anyOf": [{"$ref": f"#/$defs/n{i + 1}"}, {"$ref": f"#/$defs/n{i + 1}"}]} for i in range(22)
    }
    bomb = {"unevaluatedProperties": False, "$ref": "#/$defs/n0", "$defs": {**doubling, "n22": {"type": "object"}}}
    with pytest.raises(InvalidSchemaError, match="multiply"):
        check_schema(bomb, "response_schema")


def test_no_schema_hides_where_its_patterns_are_not_counted():
    hidden = {"x-defs": [{"pattern": "a"}], "$ref": "#/x-defs/0"}
    with pytest.raises(InvalidSchemaError, match=r"\$defs"):
        check_schema(hidden, "response_schema")


def test_long_patterns_are_refused():
    with pytest.raises(InvalidSchemaError):
        check_schema({"pattern": "^" + "(?=a)" * 100_000}, "response_schema")


def test_what_is_written_as_a_good_schema_is_and_is_none_is_refused():
    check_schema({"required": ["a"], "properties": {"1": {}}}, "response_schema")
    for hostile in ({"required": ("a",), "properties": {"1": {}}}, {"required": ["a"], "properties": {1: {}}}):
        with pytest.raises(InvalidSchemaError):
            check_schema(hostile, "response_schema")
