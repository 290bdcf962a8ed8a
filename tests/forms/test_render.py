"""What a page is told to draw."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from awaithumans.forms import (
    Control,
    Typed,
    check_form,
    date_picker,
    datetime_picker,
    display_text,
    divider,
    email,
    form_from_model,
    html,
    image,
    is_json_box,
    long_text,
    multi_select,
    opinion_scale,
    password,
    pdf_viewer,
    picture_choice,
    render_fields,
    rich_text,
    section,
    section_collapse,
    short_text,
    single_select,
    slider,
    star_rating,
    switch,
    time_picker,
    video,
)
from awaithumans.forms.definition import FormDefinition, FormField, PictureOption, SelectOption


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Line(BaseModel):
    amount: float


class Answer(BaseModel):
    approved: bool
    reason: str = Field(max_length=80, description="One sentence")
    amount: Decimal | None = None
    count: int = Field(3, ge=1, le=9)
    size: Size = Size.SMALL
    sizes: list[Size] = []
    lines: list[Line] = []
    when: datetime | None = None


SCHEMA = Answer.model_json_schema()


def drawn(values: dict[str, object], errors: dict[str, str] | None = None) -> dict[str, Control]:
    controls = render_fields(form_from_model(Answer), SCHEMA, values, errors or {})
    return {control.name: control for control in controls}


def one(field: FormField, **values: object) -> Control:
    form = FormDefinition(fields=(field.model_copy(update={"name": field.name or "a"}),))
    return render_fields(form, {"properties": {"a": True}}, values, {})[0]


def test_each_field_has_the_control_that_suits_its_value():
    assert {name: control.widget for name, control in drawn({}).items()} == {
        "approved": "switch",
        "reason": "text",
        "amount": "number",
        "count": "number",
        "size": "radio",
        "sizes": "checkboxes",
        "lines": "json",
        "when": "datetime-local",
    }


def test_a_control_knows_its_words_and_limits():
    controls = drawn({})
    assert (controls["reason"].label, controls["reason"].hint, controls["reason"].required) == (
        "Reason",
        "One sentence",
        True,
    )
    assert controls["reason"].attributes == {"maxlength": "80"}
    assert controls["count"].attributes == {"inputmode": "numeric", "min": "1", "max": "9"}
    assert controls["amount"].attributes == {"inputmode": "decimal"}
    assert controls["when"].hint == "Time zone: UTC"
    assert [tuple(option) for option in controls["approved"].options] == [("true", "Yes"), ("false", "No")]
    assert [tuple(option) for option in controls["size"].options] == [("s", "Small"), ("l", "Large")]


def test_a_new_form_starts_with_the_defaults():
    assert {name: control.values for name, control in drawn({}).items() if control.values} == {
        "count": ("3",),
        "size": ("s",),
        "lines": ("[]",),
    }


def test_values_stand_in_their_controls_as_text():
    values: dict[str, object] = {
        "approved": False,
        "reason": "Because",
        "amount": "0.10000000000000000000001",
        "count": 5,
        "size": "l",
        "sizes": ["s", "l"],
        "lines": [{"amount": 99.99}],
        "when": "2024-05-01T14:30:00+02:00",
    }
    assert {name: control.values for name, control in drawn(values).items()} == {
        "approved": ("false",),
        "reason": ("Because",),
        "amount": ("0.10000000000000000000001",),
        "count": ("5",),
        "size": ("l",),
        "sizes": ("s", "l"),
        "lines": ('[\n  {\n    "amount": 99.99\n  }\n]',),
        "when": ("2024-05-01T12:30:00",),
    }


def test_null_and_values_that_do_not_fit_can_be_drawn_too():
    values: dict[str, object] = {
        "approved": "maybe",
        "reason": None,
        "count": [1],
        "size": {},
        "when": "soon",
        "sizes": 5,
    }
    assert {name: control.values for name, control in drawn(values).items() if name in values} == {
        "approved": ("maybe",),
        "reason": (),
        "count": ("[1]",),
        "size": (),
        "when": ("soon",),
        "sizes": ("5",),
    }


def test_what_was_typed_comes_back_letter_by_letter():
    assert drawn({"count": Typed(["1,5"]), "reason": Typed([""])})["count"].values == ("1,5",)
    assert drawn({"count": Typed([""])})["count"].values == ("",)
    assert drawn({"lines": Typed(["[oops"])})["lines"].values == ("[oops",)


def test_errors_stand_at_their_field_also_those_from_inside_it():
    errors = {"count": "must be at least 1", "lines.0.amount": "is required", "linesman": "no", "": "whole"}
    controls = drawn({}, errors)
    assert controls["count"].error == "must be at least 1"
    assert controls["lines"].error == "0.amount: is required"
    assert controls["reason"].error == ""


@pytest.mark.parametrize(
    ("field", "attributes"),
    [
        (slider(min=0.5, max=3, step=0.5), {"inputmode": "decimal", "min": "0.5", "max": "3", "step": "0.5"}),
        (star_rating(), {"inputmode": "decimal", "min": "1", "max": "5", "step": "1"}),
        (opinion_scale(max=7), {"inputmode": "decimal", "min": "1", "max": "7", "step": "1"}),
        (email(placeholder="you@"), {"type": "email", "placeholder": "you@"}),
        (password(), {"type": "password"}),
        (short_text(min_length=2, max_length=5), {"minlength": "2", "maxlength": "5"}),
        (long_text(rows=9), {"rows": "9", "spellcheck": "false"}),
        (rich_text(), {}),
        (date_picker(min_date=date(2024, 1, 1)), {"min": "2024-01-01"}),
        (time_picker(max_time=time(17)), {"max": "17:00:00", "step": "1"}),
        (
            datetime_picker(min_datetime=datetime(2024, 7, 1, tzinfo=UTC), timezone="Europe/Berlin"),
            {"min": "2024-07-01T02:00:00", "step": "1"},
        ),
        (switch(), {}),
    ],
)
def test_limits_of_a_field_become_attributes(field, attributes):
    assert one(field).attributes == attributes


def test_many_options_are_a_list_to_open():
    assert one(single_select(["a", "b"])).widget == "radio"
    assert one(single_select(list("abcdef"))).widget == "select"


def test_the_hint_of_an_option_stands_behind_its_label():
    picture = PictureOption(value="a", label="A", hint="red", image_url="https://example.com/")
    assert one(picture_choice([picture])).options[0] == ("a", "A – red")
    assert one(single_select([SelectOption(value="a", label="A")])).options[0].label == "A"


def test_defaults_of_a_field_are_drawn():
    picture = PictureOption(value="a", label="A", image_url="https://example.com/")
    assert one(switch(default=False)).values == ("false",)
    assert one(multi_select(["a", "b"], default=["b"])).values == ("b",)
    assert one(picture_choice([picture], default=["a"])).values == ("a",)
    assert one(slider(default=7)).values == ("7",)
    assert one(slider(default=7.5)).values == ("7.5",)
    assert one(datetime_picker(timezone="Asia/Tokyo", default=datetime(2024, 1, 1, tzinfo=UTC))).values == (
        "2024-01-01T09:00:00",
    )


def test_lines_of_text_are_not_squeezed_into_one():
    assert one(short_text(), a="one").widget == "text"
    assert one(short_text(), a="one\ntwo").widget == "textarea"


def test_what_is_only_shown_has_no_value():
    fields = (
        display_text("Read this"),
        html("<b>bold</b>"),
        section("Money", subtitle="In euros"),
        divider(),
        image("https://example.com/a.png", alt="A"),
        video("http://example.com/a.mp4"),
        pdf_viewer("javascript:alert(1)"),
    )
    controls = render_fields(FormDefinition(fields=fields), {}, {"": "x"}, {"": "x"})
    assert {(control.widget, control.values, control.error) for control in controls} == {("display", (), "")}
    assert [control.text for control in controls] == ["Read this", "<b>bold</b>", "", "", "A", "", ""]
    assert (controls[2].label, controls[2].hint) == ("Money", "In euros")
    assert [control.url for control in controls[4:]] == ["https://example.com/a.png", "http://example.com/a.mp4", ""]


def test_the_fields_of_a_section_follow_it():
    inner = switch().model_copy(update={"name": "ok"})
    form = FormDefinition(fields=(section_collapse("More", [inner]), short_text().model_copy(update={"name": "a"})))
    controls = render_fields(form, {}, {"ok": True}, {})
    assert [(control.widget, control.label, control.values) for control in controls] == [
        ("display", "More", ()),
        ("switch", "Ok", ("true",)),
        ("text", "A", ()),
    ]


def test_a_response_without_named_fields_is_drawn_as_one_json_box():
    schema: dict[str, object] = {"type": "object", "minProperties": 1}
    [control] = render_fields(None, schema, {}, {})
    assert (control.name, control.widget, control.values) == ("response", "json", ("{}",))
    [control] = render_fields(None, schema, {"b": 1}, {"b": "is odd", "": "is short"})
    assert control.values == ('{\n  "b": 1\n}',)
    assert control.error == "b: is odd; is short"
    [control] = render_fields(None, schema, {"response": Typed(["{"])}, {"response": "is not valid JSON"})
    assert (control.values, control.error) == (("{",), "is not valid JSON")


def test_a_json_box_is_told_by_the_response_schema():
    class Mixed(BaseModel):
        text: Annotated[str, long_text()]
        money: Decimal
        tags: list[str]
        union: int | str
        kind: Literal["a"]

    form = check_form(form_from_model(Mixed) or {})
    boxes = [field.name for field in form.fields if is_json_box(field, Mixed.model_json_schema())]
    assert boxes == ["tags", "union"]
