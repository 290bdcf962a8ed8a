"""Every kind of field with what a person can do to it, and what the agent is to have of that.

An exhibit is one way to ask: a type, with the helper that asks for it. A deed
is what somebody does to a field on the page, with hands: it types, clicks and
chooses, and finds what it needs by its label, as they do.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, TypeAlias, get_args

from playwright.sync_api import FilePayload, Locator, Page, expect
from pydantic import BaseModel, Field, SecretStr

from awaithumans import forms
from awaithumans.forms import definition
from awaithumans.forms.definition import FormFieldBase

Deed: TypeAlias = Callable[[Page, str], None]
"""Does something to the field with this label."""

MODELS: tuple[type[FormFieldBase], ...] = get_args(get_args(definition.FormField)[0])
KINDS: Mapping[str, type[FormFieldBase]] = {model.model_fields["kind"].default: model for model in MODELS}
"""Every kind of field that a form can have."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is done to a field, and the value that the agent gets of it."""

    deed: Deed
    value: object


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What is done to a field that is no answer, and part of what the page says to it."""

    deed: Deed
    fault: str


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One way to ask, and what can be answered to it."""

    name: str
    of: Any
    """The type of the answer."""
    helper: FormFieldBase | None = None
    """Asks for it; without one, the field follows from the type."""
    native: Given
    edges: Sequence[Given]
    """What is just about right."""
    garbage: Refused
    comes_back: bool = True
    """Whether the garbage stands there again, as somebody who types it would expect; not where it was forged."""
    blank: str = "is required"
    """What the page says where nothing is filled in; "" where it begins with an answer."""
    left_out: object = None
    """What the agent gets of an optional one that is left alone."""

    @property
    def asked(self) -> Any:
        """Give the annotation of a field that has to be filled in."""
        return Annotated[self.of, self.helper] if self.helper else self.of

    @property
    def asked_if_wanted(self) -> Any:
        """Give the annotation of a field that may be left alone."""
        return Annotated[self.of | None, self.helper] if self.helper else self.of | None


@dataclass(frozen=True, kw_only=True)
class Display:
    """Something that is only shown, and what is to be seen of it."""

    name: str
    helper: FormFieldBase
    seen: Callable[[Page], Locator]
    beside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Attributes of the answer that it asks for."""
    deeds: Mapping[str, Given] = field(default_factory=dict[str, Given])
    """What is done to them, by label."""


# ── Deeds ─────────────────────────────────────────────────────────────────────


def group(page: Page, label: str) -> Locator:
    """Find the parts of a field, or its options."""
    return page.get_by_role("group", name=re.compile(rf"^{re.escape(label)}(?! \d)"))


def line(page: Page, label: str) -> Locator:
    found = page.get_by_label(re.compile(rf"^{re.escape(label)}(?! \d)"))
    return found.and_(page.locator("input:not([type=range]), textarea, select"))


def nothing(_page: Page, _label: str) -> None:
    """Leave it alone."""


def types(text: str) -> Deed:
    """Put text in a line."""
    return lambda page, label: line(page, label).fill(text)


def keys(text: str) -> Deed:
    """Type on the keyboard."""

    def deed(page: Page, label: str) -> None:
        line(page, label).focus()
        page.keyboard.type(text)

    return deed


def forges(text: str) -> Deed:
    """Send what the browser's own control would not let through."""
    script = "(element, text) => { element.type = 'text'; element.value = text; }"
    return lambda page, label: line(page, label).evaluate(script, text)


def chooses(*options: str) -> Deed:
    """Click on options."""

    def deed(page: Page, label: str) -> None:
        boxes = group(page, label).get_by_role("checkbox")
        for box in boxes.all() if boxes.count() else ():
            box.uncheck()
        for option in options:
            kinds = [group(page, label).get_by_role(kind, name=option, exact=True) for kind in ("radio", "checkbox")]
            kinds[0].or_(kinds[1]).check()

    return deed


def grades(option: str, number: str) -> Deed:
    """Choose a step of a scale, or write it where something stands that is none."""

    def deed(page: Page, label: str) -> None:
        (chooses(option) if group(page, label).count() else types(number))(page, label)

    return deed


def forges_option(value: str) -> Deed:
    """Send an option that there is not."""
    script = "(element, value) => { element.value = value; element.checked = true; }"
    return lambda page, label: group(page, label).locator("input").first.evaluate(script, value)


def selects(option: str) -> Deed:
    """Choose from a list that opens."""
    return lambda page, label: _chosen(line(page, label).select_option(label=option))


def _chosen(values: list[str]) -> None:
    assert values


def forges_hidden(value: str) -> Deed:
    """Change what stands first among what the page sends by itself."""
    script = "(element, value) => { element.value = value; }"
    return lambda page, label: group(page, label).locator("input[type=hidden]").first.evaluate(script, value)


def forges_selection(value: str) -> Deed:
    script = "(element, value) => { element.options[0].value = value; element.selectedIndex = 0; }"
    return lambda page, label: line(page, label).evaluate(script, value)


def press(page: Page, button: Locator) -> None:
    """Press a button that has the form drawn anew, and wait for that."""
    page.locator("form.answer").evaluate("form => form.setAttribute('data-old', '')")
    button.click()
    expect(page.locator("form.answer")).to_have_count(1)
    expect(page.locator("form[data-old]")).to_have_count(0)
    button.page.wait_for_load_state()


def fills_rows(*rows: Mapping[str, Deed], add: str = "Add") -> Deed:
    """Fill in as many rows as needed, each by the labels in it."""

    def deed(page: Page, label: str) -> None:
        for number, row in enumerate(rows, start=1):
            name = f"{label} {number}"
            one = page.get_by_role("group", name=name, exact=True)
            if not one.count():
                press(page, group(page, label).get_by_role("button", name=f"{add} {label}", exact=True))
            expect(one).to_be_visible()
            within(one, row)

    return deed


def fills_group(**parts: str) -> Deed:
    """Fill in the lines of a group."""

    def deed(page: Page, label: str) -> None:
        for name, text in parts.items():
            group(page, label).get_by_label(re.compile(f"^{name.replace('_', ' ')}")).fill(text)

    return deed


def within(one: Locator, parts: Mapping[str, Deed]) -> None:
    for label, deed in parts.items():
        deed(_Inside(one), label)  # type: ignore[arg-type] # finds what stands in it as a page does


class _Inside:
    """A part of a page, looked through as if it were all."""

    def __init__(self, part: Locator) -> None:
        self.get_by_label = part.get_by_label
        self.get_by_role = part.get_by_role
        self.locator = part.page.locator
        self.keyboard = part.page.keyboard


def takes(alternative: str, deed: Deed = nothing) -> Deed:
    """Choose one of several, then do something to the field itself."""

    def both(page: Page, label: str) -> None:
        group(page, label).get_by_label(alternative, exact=True).check()
        deed(page, label)

    return both


# ── Lines of text ─────────────────────────────────────────────────────────────

LONGEST = "ż" * 40


def _texts() -> Iterator[Exhibit]:
    yield Exhibit(
        name="plain",
        of=str,
        helper=forms.short_text(min_length=2, max_length=40, pattern=r"^\S"),
        native=Given(deed=types("Zoë & <b>Søren</b>"), value="Zoë & <b>Søren</b>"),
        edges=[Given(deed=types("ab"), value="ab"), Given(deed=types(LONGEST), value=LONGEST)],
        garbage=Refused(deed=types(" x"), fault="pattern"),
    )
    yield Exhibit(
        name="email",
        of=str,
        helper=forms.email(),
        native=Given(deed=types("ana@example.com"), value="ana@example.com"),
        edges=[Given(deed=types("a+b@x.co"), value="a+b@x.co")],
        garbage=Refused(deed=types("ana at example"), fault="e-mail"),
    )
    yield Exhibit(
        name="url",
        of=str,
        helper=forms.url(),
        native=Given(deed=types("https://example.com/a?b=c#d"), value="https://example.com/a?b=c#d"),
        edges=[Given(deed=types("http://x.co"), value="http://x.co")],
        garbage=Refused(deed=types("javascript:alert(1)"), fault="web address"),
    )
    yield Exhibit(
        name="phone",
        of=str,
        helper=forms.phone(),
        native=Given(deed=types("+49 30 901820"), value="+49 30 901820"),
        edges=[Given(deed=types("112"), value="112")],
        garbage=Refused(deed=types("call me"), fault="phone"),
    )
    yield Exhibit(
        name="currency",
        of=Decimal,
        helper=forms.currency(currency_code="EUR"),
        native=Given(deed=types("99.99"), value=Decimal("99.99")),
        edges=[
            Given(deed=types("0.1"), value=Decimal("0.1")),
            Given(deed=types("123456789012345678.01"), value=Decimal("123456789012345678.01")),
        ],
        garbage=Refused(deed=types("1,50"), fault="write a point for decimals"),
    )
    yield Exhibit(
        name="number",
        of=Annotated[int, Field(ge=-3, le=10, multiple_of=1)],
        helper=forms.short_text(subtype="number"),
        native=Given(deed=types("7"), value=7),
        edges=[Given(deed=types("-3"), value=-3), Given(deed=types("10"), value=10)],
        garbage=Refused(deed=types("11"), fault="at most 10"),
    )
    yield Exhibit(
        name="password",
        of=SecretStr,
        helper=forms.password(),
        native=Given(deed=types("correct horse"), value=SecretStr("correct horse")),
        edges=[Given(deed=types(" "), value=SecretStr(" "))],
        garbage=Refused(deed=nothing, fault="is required"),
    )


LONG = "Sehr geehrte Damen,\n\n\tes tut uns leid.\n"


def _long_texts() -> Iterator[Exhibit]:
    yield Exhibit(
        name="lines",
        of=str,
        helper=forms.long_text(min_length=2, max_length=100),
        native=Given(deed=types(LONG), value=LONG),
        edges=[Given(deed=types("\n\n"), value="\n\n"), Given(deed=types("x" * 100), value="x" * 100)],
        garbage=Refused(deed=types("x"), fault="at least 2"),
    )
    yield Exhibit(
        name="JSON",
        of=tuple[int, str],
        native=Given(deed=types('[1, "a"]'), value=(1, "a")),
        edges=[Given(deed=types(' [ 9007199254740993 , "" ] '), value=(9007199254740993, ""))],
        garbage=Refused(deed=types("[1,"), fault="is not valid JSON"),
    )


# ── Choices ───────────────────────────────────────────────────────────────────


class Colour(Enum):
    DARK_RED = "dr"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


MANY = [("de", "Germany"), ("fr", "France"), ("pl", "Poland"), ("es", "Spain"), ("it", "Italy"), ("nl", "Netherlands")]
PICTURES = [
    forms.PictureOption(value="lamp", label="Lamp", image_url="/static/lamp.png"),
    forms.PictureOption(value="bulb", label="Bulb", image_url="/static/bulb.png"),
]


def _choices() -> Iterator[tuple[str, Exhibit]]:
    yield (
        "switch",
        Exhibit(
            name="yes or no",
            of=bool,
            helper=forms.switch(true_label="Refund", false_label="Keep"),
            native=Given(deed=chooses("Refund"), value=True),
            edges=[Given(deed=chooses("Keep"), value=False)],
            garbage=Refused(deed=forges_option("maybe"), fault="choose one"),
            comes_back=False,
            blank="choose one",
        ),
    )
    yield (
        "single_select",
        Exhibit(
            name="few",
            of=Literal["S", "M", ""],
            helper=forms.single_select(["S", ("M", "Medium"), ("", "None at all")]),
            native=Given(deed=chooses("Medium"), value="M"),
            edges=[Given(deed=chooses("None at all"), value="")],
            garbage=Refused(deed=forges_option("XL"), fault="choose one of the options"),
            comes_back=False,
            blank="choose one",
        ),
    )
    yield (
        "single_select",
        Exhibit(
            name="many",
            of=str,
            helper=forms.single_select(MANY),
            native=Given(deed=selects("Poland"), value="pl"),
            edges=[Given(deed=selects("Netherlands"), value="nl")],
            garbage=Refused(deed=forges_selection("us"), fault="choose one of the options"),
            comes_back=False,
            blank="choose one",
        ),
    )
    yield (
        "multi_select",
        Exhibit(
            name="several",
            of=list[Literal["a", "b", "c"]],
            helper=forms.multi_select(["a", "b", "c"], min_count=1, max_count=2),
            native=Given(deed=chooses("a"), value=["a"]),
            edges=[Given(deed=chooses("a", "c"), value=["a", "c"])],
            garbage=Refused(deed=chooses("a", "b", "c"), fault="at most 2"),
            blank="at least 1",
        ),
    )
    yield (
        "picture_choice",
        Exhibit(
            name="one",
            of=str,
            helper=forms.picture_choice(PICTURES),
            native=Given(deed=chooses("Lamp"), value="lamp"),
            edges=[Given(deed=chooses("Bulb"), value="bulb")],
            garbage=Refused(deed=forges_option("sofa"), fault="choose one of the options"),
            comes_back=False,
            blank="choose one",
        ),
    )
    yield (
        "picture_choice",
        Exhibit(
            name="several",
            of=Annotated[list[str], Field(min_length=1)],
            helper=forms.picture_choice(PICTURES, multiple=True),
            native=Given(deed=chooses("Bulb"), value=["bulb"]),
            edges=[Given(deed=chooses("Lamp", "Bulb"), value=["lamp", "bulb"])],
            garbage=Refused(deed=forges_option("sofa"), fault="choose one of the options"),
            comes_back=False,
            blank="at least 1",
        ),
    )


# ── Scales ────────────────────────────────────────────────────────────────────


def _scales() -> Iterator[tuple[str, Exhibit]]:
    yield (
        "slider",
        Exhibit(
            name="per cent",
            of=float,
            helper=forms.slider(min=0, max=1, step=0.1, suffix=" %"),
            native=Given(deed=types("0.3"), value=0.3),
            edges=[Given(deed=types("0"), value=0.0), Given(deed=types("1"), value=1.0)],
            garbage=Refused(deed=types("1.1"), fault="at most 1"),
        ),
    )
    yield (
        "star_rating",
        Exhibit(
            name="stars",
            of=int,
            helper=forms.star_rating(max=4),
            native=Given(deed=grades("3 stars", "3"), value=3),
            edges=[Given(deed=chooses("1 star"), value=1), Given(deed=chooses("4 stars"), value=4)],
            garbage=Refused(deed=forges_option("5"), fault="at most 4"),
        ),
    )
    yield (
        "opinion_scale",
        Exhibit(
            name="opinion",
            of=int,
            helper=forms.opinion_scale(min=0, max=10, min_label="Never", max_label="Surely"),
            native=Given(deed=grades("7", "7"), value=7),
            edges=[Given(deed=chooses("0 Never"), value=0), Given(deed=chooses("10 Surely"), value=10)],
            garbage=Refused(deed=forges_option("11"), fault="at most 10"),
        ),
    )


# ── The calendar ──────────────────────────────────────────────────────────────


class Span(BaseModel):
    start: date
    end: date


BERLIN = timezone(timedelta(hours=1))


def _calendar() -> Iterator[tuple[str, Exhibit]]:
    yield (
        "date",
        Exhibit(
            name="a day",
            of=date,
            helper=forms.date_picker(min_date=date(2026, 1, 31), max_date=date(2028, 2, 29)),
            native=Given(deed=types("2026-02-28"), value=date(2026, 2, 28)),
            edges=[
                Given(deed=keys("01312026"), value=date(2026, 1, 31)),
                Given(deed=types("2028-02-29"), value=date(2028, 2, 29)),
            ],
            garbage=Refused(deed=forges("2026-02-30"), fault="must be a date"),
        ),
    )
    yield (
        "datetime",
        Exhibit(
            name="a moment",
            of=datetime,
            helper=forms.datetime_picker(timezone="Europe/Berlin", min_datetime=datetime(2026, 1, 1, tzinfo=BERLIN)),
            native=Given(deed=types("2026-01-31T14:30"), value=datetime(2026, 1, 31, 13, 30, tzinfo=UTC)),
            edges=[
                Given(deed=types("2026-01-01T00:00"), value=datetime(2025, 12, 31, 23, tzinfo=UTC)),
                Given(deed=types("2026-07-01T00:00:01"), value=datetime(2026, 6, 30, 22, 0, 1, tzinfo=UTC)),
            ],
            garbage=Refused(deed=types("2026-03-29T02:30"), fault="that exist"),
        ),
    )
    yield (
        "time",
        Exhibit(
            name="a time of day",
            of=time,
            helper=forms.time_picker(min_time=time(8), max_time=time(17, 45)),
            native=Given(deed=types("09:15"), value=time(9, 15)),
            edges=[
                Given(deed=types("08:00"), value=time(8)),
                Given(deed=types("17:45"), value=time(17, 45)),
            ],
            garbage=Refused(deed=types("17:46"), fault="17:45"),
        ),
    )
    yield (
        "date_range",
        Exhibit(
            name="days",
            of=Span,
            helper=forms.date_range(min_days=2, max_days=4),
            native=Given(
                deed=fills_group(Start="2026-01-30", End="2026-02-01"),
                value=Span(start=date(2026, 1, 30), end=date(2026, 2, 1)),
            ),
            edges=[
                Given(
                    deed=fills_group(Start="2026-01-30", End="2026-02-03"),
                    value=Span(start=date(2026, 1, 30), end=date(2026, 2, 3)),
                )
            ],
            garbage=Refused(deed=fills_group(Start="2026-02-01", End="2026-01-30"), fault="end"),
        ),
    )


# ── Rows ──────────────────────────────────────────────────────────────────────


class Line(BaseModel):
    sku: str
    count: int
    gift: bool = False


COLUMNS = [
    forms.TableColumn(name="sku", label="SKU"),
    forms.TableColumn(name="count", label="Count", kind="number", min_value=1, max_value=9),
    forms.TableColumn(name="gift", label="Gift", kind="switch", required=False),
]
LAMP: Mapping[str, Deed] = {"SKU": types("LAMP"), "Count": types("1"), "Gift": chooses("Yes")}
BULB: Mapping[str, Deed] = {"SKU": types("BULB"), "Count": types("9")}
RANKED = ["a", "b", "c"]


def ranks(*wanted: str) -> Deed:
    """Move the options of a ranking up until they stand in this order."""

    def deed(page: Page, label: str) -> None:
        options = group(page, label).get_by_role("listitem")
        expect(options).to_have_count(len(wanted))
        for place, option in enumerate(wanted):
            while (at := [one.get_attribute("data-label") for one in options.all()].index(option)) > place:
                group(page, label).get_by_role("button", name=f"Move {option} up", exact=True).click()
                expect(options.nth(at - 1)).to_have_attribute("data-label", option)

    return deed


def _named(name: str, one: FormFieldBase) -> Any:
    """Name a field that no attribute names."""
    return one.model_copy(update={"name": name})


def _rows() -> Iterator[tuple[str, Exhibit]]:
    yield (
        "ranking",
        Exhibit(
            name="an order",
            of=list[str],
            helper=forms.ranking(RANKED),
            native=Given(deed=ranks("b", "a", "c"), value=["b", "a", "c"]),
            edges=[
                Given(deed=nothing, value=RANKED),
                Given(deed=ranks("c", "b", "a"), value=["c", "b", "a"]),
            ],
            garbage=Refused(deed=forges_hidden("z"), fault="choose"),
            comes_back=False,
            blank="",
        ),
    )
    yield (
        "table",
        Exhibit(
            name="lines",
            of=list[Line],
            helper=forms.table(COLUMNS, min_rows=1, max_rows=2),
            native=Given(deed=fills_rows(LAMP), value=[Line(sku="LAMP", count=1, gift=True)]),
            edges=[
                Given(
                    deed=fills_rows(LAMP, BULB),
                    value=[Line(sku="LAMP", count=1, gift=True), Line(sku="BULB", count=9)],
                )
            ],
            garbage=Refused(deed=fills_rows({**LAMP, "Count": types("10")}), fault="at most 9"),
        ),
    )
    inside = [_named("sku", forms.short_text(label="SKU")), _named("count", forms.short_text(subtype="number"))]
    yield (
        "subform",
        Exhibit(
            name="lines",
            of=list[Line],
            helper=forms.subform(inside, min_count=1, max_count=2, add_label="One more"),
            native=Given(deed=fills_rows(BULB), value=[Line(sku="BULB", count=9)]),
            edges=[
                Given(
                    deed=fills_rows(BULB, {**BULB, "Count": types("-1")}, add="One more"),
                    value=[Line(sku="BULB", count=9), Line(sku="BULB", count=-1)],
                )
            ],
            garbage=Refused(deed=fills_rows({**BULB, "Count": types("nine")}), fault="must be a number"),
        ),
    )


# ── By the type alone ─────────────────────────────────────────────────────────


class Address(BaseModel):
    street: str = Field(min_length=2)
    city: str


class Card(BaseModel):
    kind: Literal["card"] = "card"
    last_four: str = Field(pattern=r"^\d{4}$")


class Transfer(BaseModel):
    kind: Literal["transfer"] = "transfer"
    iban: str


def inferred() -> Iterator[Exhibit]:
    """Give what is asked for by the type alone."""
    yield Exhibit(
        name="bool",
        of=bool,
        native=Given(deed=chooses("Yes"), value=True),
        edges=[Given(deed=chooses("No"), value=False)],
        garbage=Refused(deed=forges_option("1"), fault="choose one"),
        comes_back=False,
        blank="choose one",
    )
    yield Exhibit(
        name="str",
        of=Annotated[str, Field(max_length=3)],
        native=Given(deed=types("abc"), value="abc"),
        edges=[Given(deed=types(" "), value=" ")],
        garbage=Refused(deed=forges("abcd"), fault="3"),
    )
    yield Exhibit(
        name="int",
        of=int,
        native=Given(deed=types("42"), value=42),
        edges=[Given(deed=types("-9007199254740993"), value=-9007199254740993), Given(deed=types("0"), value=0)],
        garbage=Refused(deed=types("4.2"), fault="must be a whole number"),
    )
    yield Exhibit(
        name="float",
        of=float,
        native=Given(deed=types("0.1"), value=0.1),
        edges=[Given(deed=types("1e-7"), value=1e-7), Given(deed=types("-.5"), value=-0.5)],
        garbage=Refused(deed=types("NaN"), fault="must be a number"),
    )
    yield Exhibit(
        name="Decimal",
        of=Annotated[Decimal, Field(gt=0, decimal_places=2)],
        native=Given(deed=types("99.99"), value=Decimal("99.99")),
        edges=[Given(deed=types("0.01"), value=Decimal("0.01"))],
        garbage=Refused(deed=types("ninety"), fault="must be a number"),
    )
    yield Exhibit(
        name="date",
        of=date,
        native=Given(deed=types("2026-12-31"), value=date(2026, 12, 31)),
        edges=[Given(deed=keys("02292028"), value=date(2028, 2, 29))],
        garbage=Refused(deed=forges("tomorrow"), fault="must be a date"),
    )
    yield Exhibit(
        name="datetime",
        of=datetime,
        native=Given(deed=types("2026-01-31T14:30"), value=datetime(2026, 1, 31, 14, 30, tzinfo=UTC)),
        edges=[
            Given(deed=forges("2026-01-31T14:30:00+05:30"), value=datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ],
        garbage=Refused(deed=forges("soon"), fault="must be a date and time"),
    )
    yield Exhibit(
        name="time",
        of=time,
        native=Given(deed=types("14:30"), value=time(14, 30)),
        edges=[Given(deed=types("00:00"), value=time(0)), Given(deed=types("23:59:59"), value=time(23, 59, 59))],
        garbage=Refused(deed=forges("25:00"), fault="must be a time"),
    )
    yield Exhibit(
        name="Enum",
        of=Colour,
        native=Given(deed=chooses("Dark Red"), value=Colour.DARK_RED),
        edges=[Given(deed=chooses("Blue"), value=Colour.BLUE)],
        garbage=Refused(deed=forges_option("green"), fault="choose one of the options"),
        comes_back=False,
        blank="choose one",
    )
    yield Exhibit(
        name="IntEnum",
        of=Level,
        native=Given(deed=chooses("Low"), value=Level.LOW),
        edges=[Given(deed=chooses("High"), value=Level.HIGH)],
        garbage=Refused(deed=forges_option("3"), fault="choose one of the options"),
        comes_back=False,
        blank="choose one",
    )
    yield Exhibit(
        name="Literal",
        of=Literal["p", 2],
        native=Given(deed=chooses("2"), value=2),
        edges=[Given(deed=chooses("p"), value="p")],
        garbage=Refused(deed=forges_option("q"), fault="choose one of the options"),
        comes_back=False,
        blank="choose one",
    )
    yield Exhibit(
        name="list of Enum",
        of=Annotated[list[Colour], Field(min_length=1)],
        native=Given(deed=chooses("Blue"), value=[Colour.BLUE]),
        edges=[Given(deed=chooses("Dark Red", "Blue"), value=[Colour.DARK_RED, Colour.BLUE])],
        garbage=Refused(deed=forges_option("green"), fault="choose one of the options"),
        comes_back=False,
        blank="at least 1",
    )
    yield Exhibit(
        name="list of str",
        of=Annotated[list[Annotated[str, Field(max_length=3)]], Field(min_length=1)],
        native=Given(deed=fills_rows({"": types("vip")}), value=["vip"]),
        edges=[Given(deed=fills_rows({"": types("a")}, {"": types(" ")}), value=["a", " "])],
        garbage=Refused(deed=fills_rows({"": forges("long")}), fault="3"),
    )
    yield Exhibit(
        name="list of models",
        of=Annotated[list[Address], Field(min_length=1, max_length=2)],
        native=Given(
            deed=fills_rows({"Street": types("Markt 1"), "City": types("Jena")}),
            value=[Address(street="Markt 1", city="Jena")],
        ),
        edges=[
            Given(
                deed=fills_rows(*[{"Street": types("Ab"), "City": types("x")}] * 2),
                value=[Address(street="Ab", city="x")] * 2,
            )
        ],
        garbage=Refused(deed=fills_rows({"Street": types("A"), "City": types("Jena")}), fault="at least 2"),
    )
    yield Exhibit(
        name="a model",
        of=Address,
        native=Given(deed=fills_group(Street="Markt 1", City="Jena"), value=Address(street="Markt 1", city="Jena")),
        edges=[Given(deed=fills_group(Street="Ab", City=" "), value=Address(street="Ab", city=" "))],
        garbage=Refused(deed=fills_group(Street="A", City="Jena"), fault="at least 2"),
    )
    yield Exhibit(
        name="one of two models",
        of=Annotated[Card | Transfer, Field(discriminator="kind")],
        native=Given(deed=takes("Card", fills_group(Last_Four="0042")), value=Card(last_four="0042")),
        edges=[Given(deed=takes("Transfer", fills_group(Iban="DE02")), value=Transfer(iban="DE02"))],
        garbage=Refused(deed=takes("Card", fills_group(Last_Four="42")), fault="pattern"),
        blank="choose one",
    )
    yield Exhibit(
        name="int or str",
        of=int | str,
        native=Given(deed=takes("Whole number", fills_last("7")), value=7),
        edges=[Given(deed=takes("Text", fills_last("7")), value="7")],
        garbage=Refused(deed=takes("Whole number", fills_last("seven")), fault="must be a number"),
        blank="choose one",
    )
    yield Exhibit(
        name="dict",
        of=Annotated[dict[str, int], Field(min_length=1)],
        native=Given(deed=fills_rows({"Name": types("a day"), "Value": types("3")}), value={"a day": 3}),
        edges=[
            Given(
                deed=fills_rows({"Name": types("a"), "Value": types("0")}, {"Name": types(" "), "Value": types("-1")}),
                value={"a": 0, " ": -1},
            )
        ],
        garbage=Refused(deed=fills_rows({"Name": types("a"), "Value": types("many")}), fault="must be a number"),
    )


def fills_last(text: str) -> Deed:
    """Fill in the line that can be seen, of several."""
    return lambda page, label: group(page, label).locator("input:not([type=radio]):visible").fill(text)


# ── What is only shown ────────────────────────────────────────────────────────


def _displays() -> Iterator[Display]:
    hostile = "<script>alert(1)</script> & more"
    yield Display(name="display_text", helper=forms.display_text(hostile), seen=lambda page: page.get_by_text(hostile))
    yield Display(
        name="html",
        helper=forms.html("<b onclick=alert(1)>Bold</b>"),
        seen=lambda page: page.frame_locator("form.answer iframe").get_by_text("Bold"),
    )
    yield Display(
        name="section",
        helper=forms.section("The customer", subtitle="Since 2019"),
        seen=lambda page: page.get_by_role("heading", name="The customer"),
    )
    yield Display(name="divider", helper=forms.divider(), seen=lambda page: page.locator("form.answer hr"))
    for kind, helper in (
        ("image", forms.image("https://cdn.example.com/lamp.png", alt="A broken lamp")),  # a link: no page loads it
        ("video", forms.video("https://cdn.example.com/lamp.mp4")),
        ("pdf_viewer", forms.pdf_viewer("https://cdn.example.com/lamp.pdf")),
    ):
        yield Display(name=kind, helper=helper, seen=lambda page: page.locator('a[href^="https://cdn.example.com/"]'))
    inside = _named("inside", forms.short_text(label="Inside"))
    yield Display(
        name="section_collapse",
        helper=forms.section_collapse("More of it", [inside]),
        seen=lambda page: page.get_by_text("More of it"),
        beside={"inside": (str, ...)},
        deeds={"Inside": Given(deed=types("within"), value="within")},
    )


# ── Files ─────────────────────────────────────────────────────────────────────

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
NOTE = "Zoë\n".encode()
TYPED_NAME = re.compile("^Type your name")


def uploads(*files: tuple[str, str, bytes], to: str = "") -> Deed:
    """Choose files from the device."""
    given: list[FilePayload] = [{"name": name, "mimeType": mime, "buffer": content} for name, mime, content in files]

    def deed(page: Page, label: str) -> None:
        for box in page.locator(f"input[type=checkbox][name={label.lower().replace(' ', '_')}]").all():
            box.uncheck()
        (group(page, label).get_by_label(to) if to else line(page, label)).set_input_files(given)

    return deed


def described(name: str, mime: str, content: bytes) -> forms.UploadedFile:
    """Say how a file comes to the agent."""
    data = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return forms.UploadedFile(name=name, mime=mime, size=len(content), data=data)


def signs(name: str) -> Deed:
    return lambda page, label: group(page, label).get_by_label(TYPED_NAME).fill(name)


def _signed(text: str) -> str:
    hand = 'x="24" y="124" fill="#111" font-size="56" font-family="cursive"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 200"><text {hand}>{text}</text></svg>'


def _files() -> Iterator[tuple[str, Exhibit]]:
    yield (
        "file_upload",
        Exhibit(
            name="pictures and text",
            of=list[forms.UploadedFile],
            helper=forms.file_upload(accept=[".txt", "image/*"], max_size_bytes=100, multiple=True, max_count=2),
            native=Given(
                deed=uploads(("note.txt", "text/plain", NOTE)), value=[described("note.txt", "text/plain", NOTE)]
            ),
            edges=[
                Given(
                    deed=uploads(("a.png", "image/png", PNG), ("../b.txt", "text/plain", b"x" * 100)),
                    value=[described("a.png", "image/png", PNG), described("b.txt", "text/plain", b"x" * 100)],
                )
            ],
            garbage=Refused(deed=uploads(("run.exe", "text/plain", b"MZ")), fault="not of a kind asked for"),
            comes_back=False,
        ),
    )
    picture = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    upload = uploads(("me.png", "image/png", PNG), to="Or upload a picture of it (PNG)")
    yield (
        "signature",
        Exhibit(
            name="svg",
            of=str,
            helper=forms.signature(format="svg"),
            native=Given(deed=signs("Ana <Groß>"), value=_signed("Ana &lt;Groß&gt;")),
            edges=[Given(deed=upload, value=picture), Given(deed=signs("x" * 100), value=_signed("x" * 100))],
            garbage=Refused(
                deed=signs_forged("<svg onload=alert(1)></svg>"), fault="must be a drawing of strokes alone"
            ),
            comes_back=False,
        ),
    )
    yield (
        "signature",
        Exhibit(
            name="png",
            of=str,
            helper=forms.signature(),
            native=Given(deed=upload, value=picture),
            edges=[Given(deed=upload, value=picture)],
            garbage=Refused(
                deed=uploads(("me.png", "image/png", b"GIF89a"), to="Or upload a picture of it (PNG)"),
                fault="must be a PNG picture",
            ),
            comes_back=False,
        ),
    )


def signs_forged(text: str) -> Deed:
    script = "(element, text) => { element.value = text; }"
    return lambda page, label: group(page, label).get_by_label(TYPED_NAME).evaluate(script, text)


def _by_kind() -> dict[str, list[Exhibit]]:
    found: dict[str, list[Exhibit]] = {"short_text": list(_texts()), "long_text": list(_long_texts())}
    found["rich_text"] = [
        Exhibit(
            name="text",
            of=str,
            helper=forms.rich_text(max_length=30),
            native=Given(deed=types("**Bold**\n\n- one"), value="**Bold**\n\n- one"),
            edges=[Given(deed=types("x" * 30), value="x" * 30)],
            garbage=Refused(deed=forges_length("x" * 31), fault="30"),
        )
    ]
    for source in (_choices, _scales, _calendar, _rows, _files):
        for kind, exhibit in source():
            found.setdefault(kind, []).append(exhibit)
    return found


def forges_length(text: str) -> Deed:
    """Send more than the control takes."""
    script = "(element, text) => { element.removeAttribute('maxlength'); element.value = text; }"
    return lambda page, label: line(page, label).evaluate(script, text)


EXHIBITS: Mapping[str, Sequence[Exhibit]] = _by_kind()
DISPLAYS: Mapping[str, Display] = {one.name: one for one in _displays()}
