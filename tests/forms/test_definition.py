"""Form definitions: the kinds, their defaults, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans import forms
from awaithumans.errors import InvalidInputError
from awaithumans.forms import FormDefinition, check_form
from awaithumans.forms.definition import MAX_FIELDS, MAX_NESTING
from awaithumans.forms.helpers import Option

OPTION = {"value": "a", "label": "A", "hint": None}
PICTURE = {**OPTION, "image_url": "https://example.com/a.png"}
COLUMN = {
    "name": "a",
    "label": "A",
    "kind": "short_text",
    "required": True,
    "placeholder": None,
    "options": None,
    "currency_code": None,
    "min_value": None,
    "max_value": None,
    "default": None,
}

# Every kind of the wire format: what must be given, and what else there is, with its default.
KINDS = [
    ("display_text", {"text": "a"}, {"markdown": False}),
    (
        "short_text",
        {},
        dict.fromkeys(["placeholder", "min_length", "max_length", "pattern", "currency_code"]) | {"subtype": "plain"},
    ),
    ("long_text", {}, dict.fromkeys(["placeholder", "min_length", "max_length", "rows"])),
    ("rich_text", {}, dict.fromkeys(["placeholder", "max_length"])),
    ("switch", {}, {"true_label": "Yes", "false_label": "No", "default": None}),
    ("single_select", {"options": [OPTION]}, {"default": None}),
    ("multi_select", {"options": [OPTION]}, {"default": [], "min_count": None, "max_count": None}),
    ("picture_choice", {"options": [PICTURE]}, {"multiple": False, "default": []}),
    ("slider", {}, {"min": 0, "max": 100, "step": 1, "default": None, "prefix": None, "suffix": None}),
    ("star_rating", {}, {"max": 5, "default": None}),
    ("opinion_scale", {}, {"min": 1, "max": 10, "min_label": None, "max_label": None, "default": None}),
    ("ranking", {"options": [OPTION]}, {}),
    ("date", {}, {"min_date": None, "max_date": None, "default": None}),
    ("datetime", {}, dict.fromkeys(["min_datetime", "max_datetime", "timezone", "default"])),
    ("date_range", {}, dict.fromkeys(["min_date", "max_date", "min_days", "max_days"])),
    ("time", {}, {"min_time": None, "max_time": None, "step_minutes": 15, "default": None}),
    (
        "file_upload",
        {},
        {"accept": None, "max_size_bytes": None, "multiple": False, "min_count": None, "max_count": None},
    ),
    ("signature", {}, {"format": "png"}),
    ("image", {"url": "u"}, {"alt": None, "width": None, "height": None}),
    ("video", {"url": "u"}, {"poster_url": None, "autoplay": False}),
    ("pdf_viewer", {"url": "u"}, {"height": None}),
    ("html", {"html": "<b>"}, {}),
    ("section", {"title": "a"}, {"subtitle": None}),
    ("divider", {}, {}),
    ("section_collapse", {"title": "a"}, {"subtitle": None, "fields": [], "default_open": True}),
    (
        "table",
        {"columns": [COLUMN]},
        {"min_rows": None, "max_rows": None, "initial_rows": 1, "allow_add_row": True, "allow_remove_row": True},
    ),
    (
        "subform",
        {},
        {
            "fields": [],
            "min_count": None,
            "max_count": None,
            "initial_count": 1,
            "add_label": "Add",
            "remove_label": "Remove",
        },
    ),
]
SHOWN = {"display_text", "image", "video", "pdf_viewer", "html", "section", "divider", "section_collapse"}


def form(*fields: object) -> dict[str, object]:
    return {"version": 1, "fields": list(fields)}


def faults(definition: object) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        check_form(definition)  # type: ignore[arg-type]
    return dict(caught.value.fields)


def nested(depth: int) -> dict[str, object]:
    field: dict[str, object] = {"kind": "divider"}
    for _ in range(depth):
        field = {"kind": "section_collapse", "title": "a", "fields": [field]}
    return field


@pytest.mark.parametrize(("kind", "given_keys", "defaults"), KINDS)
def test_each_kind_has_exactly_the_keys_and_defaults_of_the_wire(kind, given_keys, defaults):
    read = check_form(form({"name": "a", "kind": kind, **given_keys}))
    assert read.model_dump(mode="json")["fields"] == [
        {
            "name": "a",
            "kind": kind,
            "label": None,
            "hint": None,
            "required": kind not in SHOWN,
            **given_keys,
            **defaults,
        }
    ]


def test_an_absent_version_is_the_first_and_another_is_refused():
    assert check_form({"fields": []}).version == 1
    assert faults({"version": 2, "fields": []}).keys() == {"form_definition.version"}


def test_a_definition_already_read_is_given_back():
    read = FormDefinition(fields=())
    assert check_form(read) is read


def test_keys_of_a_newer_client_are_ignored():
    assert check_form(form({"name": "a", "kind": "switch", "colour": "red"})).fields[0].kind == "switch"


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ({"name": "a", "kind": "hologram"}, "form_definition.fields.0"),
        ({"name": "a"}, "form_definition.fields.0"),
        ("a", "form_definition.fields.0"),
        ({"name": "a", "kind": "single_select"}, "form_definition.fields.0.options"),
        (
            {"name": "a", "kind": "single_select", "options": [{"label": "A"}]},
            "form_definition.fields.0.options.0.value",
        ),
        ({"name": "a", "kind": "short_text", "min_length": -1}, "form_definition.fields.0.min_length"),
        ({"name": "a", "kind": "short_text", "pattern": "a(?=b)"}, "form_definition.fields.0.pattern"),
        ({"name": "a", "kind": "short_text", "pattern": "("}, "form_definition.fields.0.pattern"),
        ({"name": "a", "kind": "datetime", "timezone": "Mars/Base"}, "form_definition.fields.0.timezone"),
        ({"name": "a", "kind": "datetime", "timezone": "../../etc/passwd"}, "form_definition.fields.0.timezone"),
        ({"name": "a", "kind": "slider", "step": 0}, "form_definition.fields.0.step"),
        ({"name": "a", "kind": "date", "min_date": "soon"}, "form_definition.fields.0.min_date"),
        ({"kind": "switch"}, "form_definition.fields.0.name"),
        (
            {"kind": "section_collapse", "title": "a", "fields": [{"kind": "slider"}]},
            "form_definition.fields.0.fields.0.name",
        ),
        ({"kind": "subform", "name": "a", "fields": [{"kind": "slider"}]}, "form_definition.fields.0.fields.0.name"),
    ],
)
def test_a_fault_is_told_at_its_place(field, place):
    assert list(faults(form(field))) == [place]


def test_two_fields_of_one_name_are_refused():
    inner = {"kind": "section_collapse", "title": "t", "fields": [{"kind": "slider", "name": "a"}]}
    assert faults(form({"kind": "switch", "name": "a"}, inner)) == {
        "form_definition.fields.1.fields.0.name": "another field has this name"
    }


def test_the_names_that_a_page_needs_itself_are_refused():
    inner = {"kind": "section_collapse", "title": "t", "fields": [{"kind": "slider", "name": "_awaithumans_add"}]}
    assert faults(form(inner)) == {"form_definition.fields.0.fields.0.name": "a name may not begin with _awaithumans_"}


def test_too_many_fields_are_refused_however_deep_they_stand():
    check_form(form(*[{"kind": "divider"}] * MAX_FIELDS))
    many = {"kind": "section_collapse", "title": "t", "fields": [{"kind": "divider"}] * MAX_FIELDS}
    assert "at most" in faults(form(many))["form_definition.fields"]


def test_deep_nesting_is_refused():
    check_form(form(nested(MAX_NESTING - 1)))
    assert "nested" in faults(form(nested(MAX_NESTING)))["form_definition.fields"]
    assert faults(form(nested(200)))


def test_what_is_not_json_is_refused():
    assert faults(form({"kind": "slider", "name": "a", "min": float("nan")}))
    assert faults(form({"kind": "switch", "name": "a\0"}))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.sampled_from([kind for kind, _, _ in KINDS]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kind", "name", "fields", "options", "columns", "title"]), inner)
        ),
        max_leaves=10,
    )
)
def test_whatever_comes_is_read_or_refused(fields):
    try:
        read = check_form({"fields": fields})
    except InvalidInputError:
        return
    assert check_form(read.model_dump(mode="json")) == read


# ── Helpers ───────────────────────────────────────────────────────────────────


def test_each_helper_makes_its_kind():
    options: list[Option] = ["a", ("b", "B"), forms.SelectOption(value="c", label="C")]
    picture = forms.PictureOption(value="a", label="A", image_url="https://example.com/a.png")
    made = [
        forms.display_text("a"),
        forms.short_text(),
        forms.long_text(rows=3),
        forms.rich_text(),
        forms.switch(true_label="Approve"),
        forms.single_select(options),
        forms.multi_select(options, default=["a"]),
        forms.picture_choice([picture]),
        forms.slider(max=5),
        forms.star_rating(),
        forms.opinion_scale(),
        forms.ranking(options),
        forms.date_picker(),
        forms.datetime_picker(timezone="Europe/Berlin"),
        forms.date_range(),
        forms.time_picker(),
        forms.file_upload(accept=["image/png"]),
        forms.signature(),
        forms.image("u"),
        forms.video("u"),
        forms.pdf_viewer("u"),
        forms.html("<b>"),
        forms.section("a"),
        forms.divider(),
        forms.section_collapse("a", [forms.divider()]),
        forms.table([forms.TableColumn(name="a", label="A")]),
        forms.subform([forms.switch()]),
    ]
    assert [field.kind for field in made] == [kind for kind, _, _ in KINDS]


def test_options_are_given_in_three_ways():
    made = forms.single_select(["a", ("b", "Bee"), forms.SelectOption(value="c", label="Sea")])
    assert [(option.value, option.label) for option in made.options] == [("a", "a"), ("b", "Bee"), ("c", "Sea")]


def test_presets_are_short_texts_of_a_subtype():
    made = [forms.email(), forms.url(), forms.phone(), forms.currency(currency_code="EUR"), forms.password()]
    assert [field.subtype for field in made] == ["email", "url", "phone", "currency", "password"]
    assert made[3].currency_code == "EUR"


def test_scales_are_bounded():
    assert faults(form({"kind": "star_rating", "name": "a", "max": 101}))
    assert faults(form({"kind": "opinion_scale", "name": "a", "max": 10**400}))
    assert check_form(form({"kind": "opinion_scale", "name": "a", "min": 0, "max": 100}))


@pytest.mark.parametrize(
    ("good", "hostile"),
    [
        ([{"kind": "switch", "name": "a", "x": 1}], ({"kind": "switch", "name": "a", "x": 1},)),
        ([{"kind": "switch", "name": "a", "x": {"1": 2}}], [{"kind": "switch", "name": "a", "x": {1: 2}}]),
    ],
)
def test_what_is_written_as_a_good_form_is_and_is_none_is_refused(good, hostile):
    assert check_form({"fields": good}) == check_form({"fields": good})
    with pytest.raises(InvalidInputError, match="form_definition"):
        check_form({"fields": hostile})
