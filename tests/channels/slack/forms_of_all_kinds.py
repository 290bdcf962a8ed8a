"""Forms of every kind of field, with ordinary and awkward limits, and where each begins."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) | st.sampled_from(
    ["x" * 200, "<!here>", "  "]
)
SMALL = st.integers(0, 12)
FLOATS = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
DAYS = st.dates().map(str)
ZONES = st.sampled_from([None, "Europe/Berlin", "Asia/Kathmandu"])
MOMENTS = st.datetimes(timezones=st.none() | st.timezones(no_cache=True).filter(lambda zone: zone.key == "UTC")).map(
    lambda moment: moment.isoformat()
)
OPTIONS = st.lists(
    st.fixed_dictionaries({"value": TEXT, "label": TEXT}, optional={"hint": TEXT}), min_size=1, max_size=14
)
PICTURES = OPTIONS.map(lambda options: [{**one, "image_url": "https://a.example/p"} for one in options])


def kind(name: str, given: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> Any:
    common = {"label": TEXT, "hint": TEXT, "required": st.booleans()}
    return st.fixed_dictionaries({"kind": st.just(name), **given}, optional={**common, **optional})


KINDS = [
    kind("display_text", {"text": TEXT}),
    kind(
        "short_text",
        {},
        subtype=st.sampled_from(["plain", "email", "url", "phone", "currency", "number", "password"]),
        placeholder=TEXT,
        min_length=SMALL,
        max_length=SMALL | st.just(5_000),
    ),
    kind("long_text", {}, placeholder=TEXT, min_length=SMALL, max_length=SMALL),
    kind("rich_text", {}),
    kind("switch", {}, true_label=TEXT, false_label=TEXT, default=st.booleans()),
    kind("single_select", {"options": OPTIONS}, default=TEXT),
    kind("multi_select", {"options": OPTIONS}, default=st.lists(TEXT, max_size=2), min_count=SMALL),
    kind("picture_choice", {"options": PICTURES}, multiple=st.booleans(), default=st.lists(TEXT, max_size=2)),
    kind("slider", {}, min=FLOATS, max=FLOATS, step=st.sampled_from([0.1, 0.5, 1, 3]), default=FLOATS),
    kind("star_rating", {}, max=st.integers(0, 100), default=SMALL),
    kind("opinion_scale", {}, min=st.integers(-3, 3), max=st.integers(0, 97), min_label=TEXT, default=SMALL),
    kind("ranking", {"options": OPTIONS}),
    kind("date", {}, default=DAYS),
    kind("datetime", {}, default=MOMENTS, timezone=ZONES),
    kind("date_range", {}),
    kind("time", {}, default=st.times().map(str)),
    kind(
        "file_upload",
        {},
        accept=st.lists(st.sampled_from([".pdf", "image/*"])),
        multiple=st.booleans(),
        max_count=SMALL,
    ),
    kind("signature", {}),
    kind("image", {"url": st.sampled_from(["https://a.example/i.png", "data:,", ""])}, alt=TEXT),
    kind("video", {"url": st.just("https://a.example/v")}),
    kind("section", {"title": TEXT}, subtitle=TEXT),
    kind("divider", {}),
    kind("table", {"columns": st.just([{"name": "c", "label": "C"}])}),
]
SCHEMAS: dict[str, Any] = {
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "multi_select": {"type": "array", "items": {"type": "string"}},
    "short_text": {"type": "string"},
    "slider": {"type": "number"},
    "star_rating": {"type": "integer"},
    "switch": {"type": "boolean"},
    "time": {"type": "string", "format": "time"},
}


@st.composite
def forms_of_all_kinds(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """Make a form, a response schema that knows some of its fields, and what it begins with."""
    drawn = draw(st.lists(st.one_of(KINDS), min_size=1, max_size=5))
    fields = [{"name": f"f{number}", **field} for number, field in enumerate(drawn)]
    if draw(st.booleans()):
        fields = [{"kind": "section_collapse", "title": "More", "fields": fields}]
    named = {f"f{number}": SCHEMAS[field["kind"]] for number, field in enumerate(drawn) if field["kind"] in SCHEMAS}
    known = {name: schema for name, schema in named.items() if draw(st.booleans())}
    start = draw(st.none() | st.dictionaries(st.sampled_from([f"f{n}" for n in range(5)]), TEXT | FLOATS | DAYS))
    return {"version": 1, "fields": fields}, {"type": "object", "properties": known}, start


FIELDS: list[dict[str, Any]] = [
    {"kind": "display_text", "text": "Read this"},
    {"kind": "short_text", "placeholder": "p", "min_length": 1, "max_length": 9},
    {"kind": "short_text", "subtype": "email"},
    {"kind": "short_text", "subtype": "url"},
    {"kind": "short_text", "subtype": "currency", "placeholder": "0.00"},
    {"kind": "long_text", "hint": "At length"},
    {"kind": "switch", "default": True},
    {"kind": "single_select", "options": [{"value": "a", "label": "A"}], "default": "a"},
    {"kind": "single_select", "options": [{"value": str(n), "label": str(n)} for n in range(9)], "default": "3"},
    {"kind": "multi_select", "options": [{"value": "a", "label": "A"}], "default": ["a"]},
    {"kind": "multi_select", "options": [{"value": str(n), "label": str(n)} for n in range(20)], "default": ["3"]},
    {"kind": "picture_choice", "options": [{"value": "a", "label": "A", "image_url": "https://a.example/p"}]},
    {"kind": "slider", "default": 5},
    {"kind": "star_rating"},
    {"kind": "opinion_scale"},
    {"kind": "date", "default": "2026-01-31"},
    {"kind": "datetime", "default": "2026-01-31T10:00:00Z"},
    {"kind": "time", "default": "10:00:00"},
    {"kind": "file_upload", "accept": [".pdf"]},
    {"kind": "image", "url": "https://a.example/i.png", "label": "A picture"},
    {"kind": "section", "title": "More", "subtitle": "of it"},
    {"kind": "divider"},
    {"kind": "section_collapse", "title": "More", "fields": [{"kind": "switch", "name": "b"}]},
    {"kind": "signature"},
]
