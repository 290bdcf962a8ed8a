"""Helpers that attach a field to an attribute: `Annotated[str, long_text()]`.

The attribute gives the field its name, its label unless one is set, and
whether it is required; the first helper in the annotation wins.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal, TypeAlias

from awaithumans.forms import definition as kinds
from awaithumans.forms.definition import FormField, SelectOption, TableColumn

Option: TypeAlias = SelectOption | tuple[str, str] | str
"""An option, its value and label, or a value that is its own label."""


def display_text(text: str, *, markdown: bool = False) -> kinds.DisplayText:
    """Show text."""
    return kinds.DisplayText(text=text, markdown=markdown)


def short_text(
    *,
    label: str | None = None,
    hint: str | None = None,
    subtype: Literal["plain", "email", "url", "phone", "currency", "number", "password"] = "plain",
    placeholder: str | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    currency_code: str | None = None,
) -> kinds.ShortText:
    """Ask for one line of text, or a number.

    Lengths are in characters; `pattern` is a regular expression that has to
    match somewhere in the text, without look-around or back-references.
    """
    return kinds.ShortText(
        label=label,
        hint=hint,
        subtype=subtype,
        placeholder=placeholder,
        min_length=min_length,
        max_length=max_length,
        pattern=pattern,
        currency_code=currency_code,
    )


def email(*, label: str | None = None, hint: str | None = None, placeholder: str | None = None) -> kinds.ShortText:
    """Ask for an e-mail address."""
    return short_text(label=label, hint=hint, subtype="email", placeholder=placeholder)


def url(*, label: str | None = None, hint: str | None = None, placeholder: str | None = None) -> kinds.ShortText:
    """Ask for a web address."""
    return short_text(label=label, hint=hint, subtype="url", placeholder=placeholder)


def phone(*, label: str | None = None, hint: str | None = None, placeholder: str | None = None) -> kinds.ShortText:
    """Ask for a telephone number."""
    return short_text(label=label, hint=hint, subtype="phone", placeholder=placeholder)


def currency(
    *,
    currency_code: str = "USD",
    label: str | None = None,
    hint: str | None = None,
    placeholder: str | None = None,
) -> kinds.ShortText:
    """Ask for an amount of money, in the currency of `currency_code` (ISO 4217)."""
    return short_text(label=label, hint=hint, subtype="currency", placeholder=placeholder, currency_code=currency_code)


def password(*, label: str | None = None, hint: str | None = None, placeholder: str | None = None) -> kinds.ShortText:
    """Ask for a secret, which the page does not show while it is typed."""
    return short_text(label=label, hint=hint, subtype="password", placeholder=placeholder)


def long_text(
    *,
    label: str | None = None,
    hint: str | None = None,
    placeholder: str | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    rows: int | None = None,
) -> kinds.LongText:
    """Ask for lines of text; lengths are in characters, `rows` is the height of the box."""
    return kinds.LongText(
        label=label, hint=hint, placeholder=placeholder, min_length=min_length, max_length=max_length, rows=rows
    )


def rich_text(
    *,
    label: str | None = None,
    hint: str | None = None,
    placeholder: str | None = None,
    max_length: int | None = None,
) -> kinds.RichText:
    """Ask for formatted text."""
    return kinds.RichText(label=label, hint=hint, placeholder=placeholder, max_length=max_length)


def switch(
    *,
    label: str | None = None,
    hint: str | None = None,
    true_label: str = "Yes",
    false_label: str = "No",
    default: bool | None = None,
) -> kinds.Switch:
    """Ask yes or no."""
    return kinds.Switch(label=label, hint=hint, true_label=true_label, false_label=false_label, default=default)


def single_select(
    options: Sequence[Option],
    *,
    label: str | None = None,
    hint: str | None = None,
    default: str | None = None,
) -> kinds.SingleSelect:
    """Ask for one of several."""
    return kinds.SingleSelect(label=label, hint=hint, options=_options(options), default=default)


def multi_select(
    options: Sequence[Option],
    *,
    label: str | None = None,
    hint: str | None = None,
    default: Sequence[str] = (),
    min_count: int | None = None,
    max_count: int | None = None,
) -> kinds.MultiSelect:
    """Ask for any of several; the answer is a list of values."""
    return kinds.MultiSelect(
        label=label,
        hint=hint,
        options=_options(options),
        default=tuple(default),
        min_count=min_count,
        max_count=max_count,
    )


def picture_choice(
    options: Sequence[kinds.PictureOption],
    *,
    label: str | None = None,
    hint: str | None = None,
    multiple: bool = False,
    default: Sequence[str] = (),
) -> kinds.PictureChoice:
    """Ask for one or any of several pictures."""
    return kinds.PictureChoice(
        label=label, hint=hint, options=tuple(options), multiple=multiple, default=tuple(default)
    )


def slider(
    *,
    label: str | None = None,
    hint: str | None = None,
    min: float = 0,  # noqa: A002 - the key of the wire format
    max: float = 100,  # noqa: A002 - the key of the wire format
    step: float = 1,
    default: float | None = None,
    prefix: str | None = None,
    suffix: str | None = None,
) -> kinds.Slider:
    """Ask for a number between two others."""
    return kinds.Slider(
        label=label, hint=hint, min=min, max=max, step=step, default=default, prefix=prefix, suffix=suffix
    )


def star_rating(
    *,
    label: str | None = None,
    hint: str | None = None,
    max: int = 5,  # noqa: A002 - the key of the wire format
    default: int | None = None,
) -> kinds.StarRating:
    """Ask for one star or more."""
    return kinds.StarRating(label=label, hint=hint, max=max, default=default)


def opinion_scale(
    *,
    label: str | None = None,
    hint: str | None = None,
    min: int = 1,  # noqa: A002 - the key of the wire format
    max: int = 10,  # noqa: A002 - the key of the wire format
    min_label: str | None = None,
    max_label: str | None = None,
    default: int | None = None,
) -> kinds.OpinionScale:
    """Ask for a whole number between two others."""
    return kinds.OpinionScale(
        label=label, hint=hint, min=min, max=max, min_label=min_label, max_label=max_label, default=default
    )


def ranking(options: Sequence[Option], *, label: str | None = None, hint: str | None = None) -> kinds.Ranking:
    """Ask for an order; the answer is a list of all the values."""
    return kinds.Ranking(label=label, hint=hint, options=_options(options))


def date_picker(
    *,
    label: str | None = None,
    hint: str | None = None,
    min_date: dt.date | None = None,
    max_date: dt.date | None = None,
    default: dt.date | None = None,
) -> kinds.Date:
    """Ask for a day."""
    return kinds.Date(label=label, hint=hint, min_date=min_date, max_date=max_date, default=default)


def datetime_picker(
    *,
    label: str | None = None,
    hint: str | None = None,
    min_datetime: dt.datetime | None = None,
    max_datetime: dt.datetime | None = None,
    timezone: str | None = None,
    default: dt.datetime | None = None,
) -> kinds.DateTime:
    """Ask for a moment, in `timezone` (such as `Europe/Berlin`) or in UTC."""
    return kinds.DateTime(
        label=label,
        hint=hint,
        min_datetime=min_datetime,
        max_datetime=max_datetime,
        timezone=timezone,
        default=default,
    )


def date_range(
    *,
    label: str | None = None,
    hint: str | None = None,
    min_date: dt.date | None = None,
    max_date: dt.date | None = None,
    min_days: int | None = None,
    max_days: int | None = None,
) -> kinds.DateRange:
    """Ask for a first and a last day."""
    return kinds.DateRange(
        label=label, hint=hint, min_date=min_date, max_date=max_date, min_days=min_days, max_days=max_days
    )


def time_picker(
    *,
    label: str | None = None,
    hint: str | None = None,
    min_time: dt.time | None = None,
    max_time: dt.time | None = None,
    step_minutes: int = 15,
    default: dt.time | None = None,
) -> kinds.Time:
    """Ask for a time of day."""
    return kinds.Time(
        label=label, hint=hint, min_time=min_time, max_time=max_time, step_minutes=step_minutes, default=default
    )


def file_upload(
    *,
    label: str | None = None,
    hint: str | None = None,
    accept: Sequence[str] | None = None,
    max_size_bytes: int | None = None,
    multiple: bool = False,
    min_count: int | None = None,
    max_count: int | None = None,
) -> kinds.FileUpload:
    """Ask for files; the answer is a list of what describes them.

    `accept` has media types and endings, as an HTML form has them.
    """
    return kinds.FileUpload(
        label=label,
        hint=hint,
        accept=None if accept is None else tuple(accept),
        max_size_bytes=max_size_bytes,
        multiple=multiple,
        min_count=min_count,
        max_count=max_count,
    )


def signature(
    *,
    label: str | None = None,
    hint: str | None = None,
    format: Literal["png", "svg"] = "png",  # noqa: A002 - the key of the wire format
) -> kinds.Signature:
    """Ask for a signature."""
    return kinds.Signature(label=label, hint=hint, format=format)


def image(url: str, *, alt: str | None = None, width: int | None = None, height: int | None = None) -> kinds.Image:
    """Show a picture."""
    return kinds.Image(url=url, alt=alt, width=width, height=height)


def video(url: str, *, poster_url: str | None = None, autoplay: bool = False) -> kinds.Video:
    """Show a film."""
    return kinds.Video(url=url, poster_url=poster_url, autoplay=autoplay)


def pdf_viewer(url: str, *, height: int | None = None) -> kinds.PdfViewer:
    """Show a document."""
    return kinds.PdfViewer(url=url, height=height)


def html(html: str) -> kinds.Html:
    """Show markup, in the channels that can."""
    return kinds.Html(html=html)


def section(title: str, *, subtitle: str | None = None) -> kinds.Section:
    """Show a heading."""
    return kinds.Section(title=title, subtitle=subtitle)


def divider() -> kinds.Divider:
    """Show a line."""
    return kinds.Divider()


def section_collapse(
    title: str,
    fields: Sequence[FormField] = (),
    *,
    subtitle: str | None = None,
    default_open: bool = True,
) -> kinds.SectionCollapse:
    """Show fields under a heading that can be closed."""
    return kinds.SectionCollapse(title=title, subtitle=subtitle, fields=tuple(fields), default_open=default_open)


def table(
    columns: Sequence[TableColumn],
    *,
    label: str | None = None,
    hint: str | None = None,
    min_rows: int | None = None,
    max_rows: int | None = None,
    initial_rows: int = 1,
    allow_add_row: bool = True,
    allow_remove_row: bool = True,
) -> kinds.Table:
    """Ask for rows of values; the answer is a list of objects, with a key per column."""
    return kinds.Table(
        label=label,
        hint=hint,
        columns=tuple(columns),
        min_rows=min_rows,
        max_rows=max_rows,
        initial_rows=initial_rows,
        allow_add_row=allow_add_row,
        allow_remove_row=allow_remove_row,
    )


def subform(
    fields: Sequence[FormField],
    *,
    label: str | None = None,
    hint: str | None = None,
    min_count: int | None = None,
    max_count: int | None = None,
    initial_count: int = 1,
    add_label: str = "Add",
    remove_label: str = "Remove",
) -> kinds.Subform:
    """Ask the same several times over; the answer is a list of objects."""
    return kinds.Subform(
        label=label,
        hint=hint,
        fields=tuple(fields),
        min_count=min_count,
        max_count=max_count,
        initial_count=initial_count,
        add_label=add_label,
        remove_label=remove_label,
    )


def _options(options: Sequence[Option]) -> tuple[SelectOption, ...]:
    return tuple(map(_option, options))


def _option(option: Option) -> SelectOption:
    match option:
        case SelectOption():
            return option
        case str():
            return SelectOption(value=option, label=option)
        case (value, label):
            return SelectOption(value=value, label=label)
