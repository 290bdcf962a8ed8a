"""An answer is laid out in the words of its form."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel

from awaithumans.display import Shown, shown
from awaithumans.forms import (
    FormField,
    PictureOption,
    SelectOption,
    TableColumn,
    check_form,
    currency,
    form_from_model,
    multi_select,
    picture_choice,
    ranking,
    readable_schema,
    rich_text,
    schema_of,
    section_collapse,
    short_text,
    single_select,
    slider,
    subform,
    switch,
    table,
)

PINE, OAK = SelectOption(value="pine", label="Scots Pine"), SelectOption(value="oak", label="Oak")
TREES = [PINE, OAK]


def read(value: object, *fields: FormField, schema: dict[str, object] | None = None) -> list[tuple[str, Shown]]:
    form = check_form({"fields": [field.model_dump(mode="json") for field in fields]})
    return list(shown(value, readable_schema(form, schema or {"type": "object"})).pairs)


def one(value: object, field: FormField, **schema: object) -> Shown:
    known: dict[str, object] | None = {"type": "object", "properties": {"it": schema}} if schema else None
    [(_, part)] = read({"it": value}, field, schema=known)
    return part


def named(field: FormField, name: str = "it", label: str | None = None) -> FormField:
    return field.model_copy(update={"name": name, "label": label or field.label})


def test_labels_are_those_of_the_fields_in_their_order_and_the_rest_comes_after() -> None:
    value = {"extra": 1, "b": "x", "a": "y"}
    fields = named(short_text(label="First"), "a"), named(short_text(label="Second"), "b")
    assert [(label, part.text) for label, part in read(value, *fields)] == [
        ("First", "y"),
        ("Second", "x"),
        ("Extra", "1"),
    ]


def test_what_a_section_asks_for_stands_beside_the_rest() -> None:
    inner = named(switch(label="Is it fine?"), "fine")
    [(label, part)] = read({"fine": True}, section_collapse(title="More", fields=[inner]))
    assert (label, part.text) == ("Is it fine?", "Yes")


def test_an_option_is_read_by_its_label_and_what_is_none_as_it_is() -> None:
    choice = named(single_select(options=TREES))
    assert [one(value, choice).text for value in ("pine", "oak", "Pine", "elm", 7)] == [
        "Scots Pine",
        "Oak",
        "Pine",
        "elm",
        "7",
    ]
    several = named(multi_select(options=TREES))
    assert [part.text for part in one(["oak", "elm", "pine"], several).items] == ["Oak", "elm", "Scots Pine"]


@pytest.mark.parametrize("kind", [{"type": "integer"}, {"enum": [1, 2]}, {"type": "string"}, {}])
def test_options_are_known_by_the_text_of_a_value(kind: dict[str, object]) -> None:
    levels = named(single_select(options=[SelectOption(value="1", label="Low"), SelectOption(value="2", label="High")]))
    value = "2" if kind.get("type") == "string" else 2
    assert one(value, levels, **kind).text == "High"


def test_two_options_of_one_label_are_told_apart() -> None:
    twins = [SelectOption(value="a", label="Same"), SelectOption(value="b", label="Same")]
    assert one("b", named(single_select(options=twins))).text == "Same (b)"


def test_pictures_are_read_by_their_labels() -> None:
    options = [PictureOption(value="a", label="A cat", image_url="/a.png")]
    assert [part.text for part in one(["a"], named(picture_choice(options=options))).items] == ["A cat"]


def test_a_switch_says_what_its_buttons_say() -> None:
    gate = named(switch(true_label="Grant", false_label="Deny"))
    assert [one(value, gate).text for value in (True, False)] == ["Grant", "Deny"]
    assert one(True, named(switch())).text == "Yes"


def test_a_number_keeps_its_digits_and_has_its_unit() -> None:
    assert one(25, named(slider(suffix="%"))).text == "25 %"
    assert one(2.50, named(slider(prefix="about", suffix=" kg"))).text == "about 2.5 kg"
    assert one("2.50", named(currency(currency_code="EUR"))).text == "2.50 EUR"
    assert one("two", named(currency(currency_code="EUR"))).text == "two"


def test_a_ranking_is_an_order() -> None:
    order = one(["oak", "pine"], named(ranking(options=TREES)))
    assert order.ordered
    assert [(mark, part.text) for mark, part in order.marked("-")] == [("1.", "Oak"), ("2.", "Scots Pine")]
    assert not one(["oak"], named(multi_select(options=TREES))).ordered


def test_formatted_text_is_markdown() -> None:
    assert one("**so**", named(rich_text())).sense == "markdown"


def test_columns_and_cells_are_those_of_the_table() -> None:
    columns = [
        TableColumn(name="tree", label="Which tree", kind="single_select", options=(PINE, OAK)),
        TableColumn(name="price", label="Price each", kind="currency", currency_code="EUR"),
    ]
    grid = one([{"price": 5, "note": "n", "tree": "pine"}], named(table(columns=columns)))
    assert grid.columns == ["Which tree", "Price each", "Note"]
    assert [cell.text for cell in grid.rows[0]] == ["Scots Pine", "5 EUR", "n"]


def test_fields_that_repeat_have_their_labels() -> None:
    inner = named(switch(label="Safe to fell?", true_label="Safe", false_label="Not safe"), "safe")
    nested = named(subform(fields=[named(single_select(options=TREES), "kind", "Kind of tree")]), "trees", "Trees")
    parts = one([{"safe": False, "trees": [{"kind": "pine"}]}], named(subform(fields=[nested, inner])))
    [(first, trees), (second, safe)] = parts.items[0].pairs
    assert (first, list(trees.columns), trees.rows[0][0].text) == ("Trees", ["Kind of tree"], "Scots Pine")
    assert (second, safe.text) == ("Safe to fell?", "Not safe")


class Tree(Enum):
    SCOTS_PINE = "p1"
    OAK = "o7"


class Plot(BaseModel):
    tree: Tree
    spare: Tree | None = None


class Plan(BaseModel):
    main: Tree
    others: list[Tree]
    plots: list[Plot]
    spare: Plot | None = None
    mode: Literal["now", "later"]
    rank: Annotated[int, slider(label="How sure", suffix="%")]


def test_members_of_an_enum_are_read_by_their_names_wherever_they_are() -> None:
    schema = schema_of(Plan)
    value = Plan(
        main=Tree.OAK,
        others=[Tree.SCOTS_PINE],
        plots=[Plot(tree=Tree.SCOTS_PINE)],
        spare=Plot(tree=Tree.OAK, spare=Tree.OAK),
        mode="now",
        rank=9,
    ).model_dump(mode="json")
    for form in (form_from_model(Plan), None):
        parts = dict(shown(value, readable_schema(form, schema)).pairs)
        assert (parts["Main"].text, parts["Others"].items[0].text) == ("Oak", "Scots Pine")
        assert [cell.text for cell in parts["Plots"].rows[0]] == ["Scots Pine", ""]
        assert [part.text for _, part in parts["Spare"].pairs] == ["Oak", "Oak"]
        assert parts["Mode"].text == "now"
    assert dict(shown(value, readable_schema(form_from_model(Plan), schema)).pairs)["How sure"].text == "9 %"


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "array"}, {"type": "string"}, {"$ref": "#"}, {"$defs": 7}, {"$defs": {"x": 7}}, {"properties": 7}],
)
def test_schemas_without_fields_do_no_harm(schema: dict[str, object]) -> None:
    assert shown({"a": 1}, readable_schema(None, schema)).pairs[0][0] == "A"
    assert shown(["a"], readable_schema(None, schema)).items[0].text == "a"
