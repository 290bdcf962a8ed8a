"""The form definition: what a client may ask to be shown, field by field."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, cast, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)

from awaithumans import schemas
from awaithumans.documents import dumps, ensure_json, remembered
from awaithumans.errors import InvalidInputError, InvalidSchemaError
from awaithumans.types import JsonObject

RESERVED = "_awaithumans_"
"""How the names begin that a page posts for itself, and no field may."""
MAX_FIELDS = 500
"""How many fields a form may have, those inside other fields included."""
MAX_STEPS = 100
"""How long a scale of stars or opinions may be."""
MAX_NESTING = 8
"""How deep fields may stand inside other fields."""


def _pattern(value: str) -> str:
    try:
        schemas.check_schema({"pattern": value}, "pattern")
    except InvalidSchemaError as error:
        raise ValueError(error.fields["pattern"]) from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise ValueError("is not a known time zone, like Europe/Berlin") from None
    return value


def _zoneless(value: dt.time) -> dt.time:
    return value.replace(tzinfo=None)


Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
Zone: TypeAlias = Annotated[str, AfterValidator(_zone)]
ClockTime: TypeAlias = Annotated[dt.time, AfterValidator(_zoneless)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class _Part(BaseModel, frozen=True):
    model_config = ConfigDict(allow_inf_nan=False)


class SelectOption(_Part, frozen=True):
    """One thing to choose."""

    value: str
    """What stands in the response."""
    label: str
    """What people read."""
    hint: str | None = None


class PictureOption(SelectOption, frozen=True):
    """One picture to choose."""

    image_url: str
    """Where the picture is, as people's browsers see it."""


class FormFieldBase(_Part, frozen=True):
    """What every field has."""

    answered: ClassVar[bool] = True
    """Whether the kind takes an answer at all, or is only shown."""

    name: str = ""
    """The key of the answer in the response."""
    kind: str
    label: str | None = None
    """What it is called; by default the name, spelt out."""
    hint: str | None = None
    """A line of help beside it."""
    required: bool = True
    """Whether it must be filled in."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> Any:
        # Pydantic asks this of a field in an annotation, too; it changes nothing there.
        return handler(source)


class _Shown(FormFieldBase, frozen=True):
    answered: ClassVar[bool] = False

    required: bool = False


class DisplayText(_Shown, frozen=True):
    """Text to read."""

    kind: Literal["display_text"] = "display_text"
    text: str
    markdown: bool = False


class ShortText(FormFieldBase, frozen=True):
    """One line of text, or a number."""

    kind: Literal["short_text"] = "short_text"
    subtype: Literal["plain", "email", "url", "phone", "currency", "number", "password"] = "plain"
    placeholder: str | None = None
    min_length: Count | None = None
    max_length: Count | None = None
    pattern: Pattern | None = None
    currency_code: str | None = None


class LongText(FormFieldBase, frozen=True):
    """Lines of text; JSON where the response is neither text nor number."""

    kind: Literal["long_text"] = "long_text"
    placeholder: str | None = None
    min_length: Count | None = None
    max_length: Count | None = None
    rows: Count | None = None


class RichText(FormFieldBase, frozen=True):
    """Formatted text."""

    kind: Literal["rich_text"] = "rich_text"
    placeholder: str | None = None
    max_length: Count | None = None


class Switch(FormFieldBase, frozen=True):
    """Yes or no."""

    kind: Literal["switch"] = "switch"
    true_label: str = "Yes"
    false_label: str = "No"
    default: bool | None = None


class SingleSelect(FormFieldBase, frozen=True):
    """One of several."""

    kind: Literal["single_select"] = "single_select"
    options: tuple[SelectOption, ...]
    default: str | None = None


class MultiSelect(FormFieldBase, frozen=True):
    """Any of several."""

    kind: Literal["multi_select"] = "multi_select"
    options: tuple[SelectOption, ...]
    default: tuple[str, ...] = ()
    min_count: Count | None = None
    max_count: Count | None = None


class PictureChoice(FormFieldBase, frozen=True):
    """One or any of several pictures."""

    kind: Literal["picture_choice"] = "picture_choice"
    options: tuple[PictureOption, ...]
    multiple: bool = False
    default: tuple[str, ...] = ()


class Slider(FormFieldBase, frozen=True):
    """A number between two others."""

    kind: Literal["slider"] = "slider"
    min: float = 0
    max: float = 100
    step: Annotated[float, Field(gt=0)] = 1
    default: float | None = None
    prefix: str | None = None
    suffix: str | None = None


class StarRating(FormFieldBase, frozen=True):
    """One star to `max`."""

    kind: Literal["star_rating"] = "star_rating"
    max: Annotated[int, Field(ge=0, le=MAX_STEPS)] = 5
    default: int | None = None


class OpinionScale(FormFieldBase, frozen=True):
    """A whole number between two others, at most `MAX_STEPS` apart."""

    kind: Literal["opinion_scale"] = "opinion_scale"
    min: int = 1
    max: int = 10
    min_label: str | None = None
    max_label: str | None = None
    default: int | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.max - self.min > MAX_STEPS:
            raise ValueError(f"max must be at most {MAX_STEPS} more than min")
        return self


class Ranking(FormFieldBase, frozen=True):
    """All of several, in an order."""

    kind: Literal["ranking"] = "ranking"
    options: tuple[SelectOption, ...]


class Date(FormFieldBase, frozen=True):
    """A day."""

    kind: Literal["date"] = "date"
    min_date: dt.date | None = None
    max_date: dt.date | None = None
    default: dt.date | None = None


class DateTime(FormFieldBase, frozen=True):
    """A moment; typed without a zone it is meant in `timezone`, else in UTC."""

    kind: Literal["datetime"] = "datetime"
    min_datetime: dt.datetime | None = None
    max_datetime: dt.datetime | None = None
    timezone: Zone | None = None
    default: dt.datetime | None = None

    def aware(self, moment: dt.datetime) -> dt.datetime:
        """Give `moment` with a zone."""
        zone = ZoneInfo(self.timezone) if self.timezone else dt.UTC
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)


class DateRange(FormFieldBase, frozen=True):
    """A first day and a last day."""

    kind: Literal["date_range"] = "date_range"
    min_date: dt.date | None = None
    max_date: dt.date | None = None
    min_days: Count | None = None
    max_days: Count | None = None


class Time(FormFieldBase, frozen=True):
    """A time of day; its limits are those of a clock, without a zone."""

    kind: Literal["time"] = "time"
    min_time: ClockTime | None = None
    max_time: ClockTime | None = None
    step_minutes: Annotated[int, Field(gt=0)] = 15
    default: dt.time | None = None


class FileUpload(FormFieldBase, frozen=True):
    """Files."""

    kind: Literal["file_upload"] = "file_upload"
    accept: tuple[str, ...] | None = None
    max_size_bytes: Count | None = None
    multiple: bool = False
    min_count: Count | None = None
    max_count: Count | None = None


class Signature(FormFieldBase, frozen=True):
    """A drawn signature."""

    kind: Literal["signature"] = "signature"
    format: Literal["png", "svg"] = "png"


class Image(_Shown, frozen=True):
    """A picture to look at."""

    kind: Literal["image"] = "image"
    url: str
    alt: str | None = None
    width: Count | None = None
    height: Count | None = None


class Video(_Shown, frozen=True):
    """A film to look at."""

    kind: Literal["video"] = "video"
    url: str
    poster_url: str | None = None
    autoplay: bool = False


class PdfViewer(_Shown, frozen=True):
    """A document to read."""

    kind: Literal["pdf_viewer"] = "pdf_viewer"
    url: str
    height: Count | None = None


class Html(_Shown, frozen=True):
    """Markup to read; only e-mail shows it as markup."""

    kind: Literal["html"] = "html"
    html: str


class Section(_Shown, frozen=True):
    """A heading."""

    kind: Literal["section"] = "section"
    title: str
    subtitle: str | None = None


class Divider(_Shown, frozen=True):
    """A line between fields."""

    kind: Literal["divider"] = "divider"


class SectionCollapse(_Shown, frozen=True):
    """A heading with the fields under it; their answers stand beside others."""

    kind: Literal["section_collapse"] = "section_collapse"
    title: str
    subtitle: str | None = None
    fields: tuple[FormField, ...] = ()
    default_open: bool = True


class TableColumn(_Part, frozen=True):
    """One column of a table."""

    name: str
    """The key of its values in each row."""
    label: str
    kind: Literal["short_text", "long_text", "number", "currency", "switch", "single_select", "date", "datetime"] = (
        "short_text"
    )
    required: bool = True
    placeholder: str | None = None
    options: tuple[SelectOption, ...] | None = None
    currency_code: str | None = None
    min_value: float | None = None
    max_value: float | None = None
    default: str | int | float | bool | None = None


class Table(FormFieldBase, frozen=True):
    """Rows of values."""

    kind: Literal["table"] = "table"
    columns: tuple[TableColumn, ...]
    min_rows: Count | None = None
    max_rows: Count | None = None
    initial_rows: Count = 1
    allow_add_row: bool = True
    allow_remove_row: bool = True


class Subform(FormFieldBase, frozen=True):
    """The same fields several times over."""

    kind: Literal["subform"] = "subform"
    fields: tuple[FormField, ...] = ()
    min_count: Count | None = None
    max_count: Count | None = None
    initial_count: Count = 1
    add_label: str = "Add"
    remove_label: str = "Remove"


FormField: TypeAlias = Annotated[
    DisplayText
    | ShortText
    | LongText
    | RichText
    | Switch
    | SingleSelect
    | MultiSelect
    | PictureChoice
    | Slider
    | StarRating
    | OpinionScale
    | Ranking
    | Date
    | DateTime
    | DateRange
    | Time
    | FileUpload
    | Signature
    | Image
    | Video
    | PdfViewer
    | Html
    | Section
    | Divider
    | SectionCollapse
    | Table
    | Subform,
    Field(discriminator="kind"),
]
"""A field of any kind, as the helpers make them."""


class FormDefinition(_Part, frozen=True):
    """A form: its fields, in the order in which they are shown."""

    version: Literal[1] = 1
    fields: tuple[FormField, ...]


SectionCollapse.model_rebuild()
Subform.model_rebuild()
FormDefinition.model_rebuild()


def check_form(form: JsonObject | FormDefinition) -> FormDefinition:
    """Read a form definition.

    Raises `InvalidInputError` with the place of each fault below
    `form_definition`: a kind or value that is not known, a field to answer
    without a name, two of one name, more than `MAX_FIELDS` fields, fields
    nested deeper than `MAX_NESTING`, a pattern that cannot run in linear time.
    """
    if isinstance(form, FormDefinition):
        return form
    ensure_json(dict(form), "form_definition")
    return _checked(dumps(dict(form)))


@remembered
def _checked(text: str) -> FormDefinition:
    """Check what was not found good before: agents ask with the same few forms again and again."""
    form: dict[str, object] = json.loads(text)
    _check_extent(form.get("fields"))
    try:
        definition = FormDefinition.model_validate(form)
    except ValidationError as error:
        raise _refused({_place(fault["loc"]): fault["msg"] for fault in error.errors(include_url=False)}) from None
    _check_names(definition.fields, "form_definition.fields")
    return definition


def _check_extent(fields: object) -> None:
    """Bound the work before any of it is done."""
    level, count = [fields], 0
    for _ in range(MAX_NESTING):
        here = [field for group in level if isinstance(group, list) for field in cast("list[object]", group)]
        count += len(here)
        if count > MAX_FIELDS:
            raise _refused({"form_definition.fields": f"must have at most {MAX_FIELDS} fields"})
        level = [cast("JsonObject", field).get("fields") for field in here if isinstance(field, dict)]
    if any(level):
        raise _refused({"form_definition.fields": f"must be nested at most {MAX_NESTING} levels deep"})


def _check_names(fields: tuple[FormField, ...], place: str) -> None:
    seen: set[str] = set()
    for path, field in _in_one_place(fields, place):
        if field.answered and not field.name:
            raise _refused({f"{path}.name": f"a {field.kind} field needs a name"})
        if field.name.startswith(RESERVED):
            raise _refused({f"{path}.name": f"a name may not begin with {RESERVED}"})
        if field.answered and field.name in seen:
            raise _refused({f"{path}.name": "another field has this name"})
        seen.add(field.name)
        if isinstance(field, Subform):
            _check_names(field.fields, f"{path}.fields")


def _in_one_place(fields: tuple[FormField, ...], place: str) -> Iterator[tuple[str, FormField]]:
    for index, field in enumerate(fields):
        yield f"{place}.{index}", field
        if isinstance(field, SectionCollapse):
            yield from _in_one_place(field.fields, f"{place}.{index}.fields")


def _place(steps: tuple[int | str, ...]) -> str:
    """Name a place without the kinds that lead into the union."""
    named = [
        str(step) for at, step in enumerate(steps) if not (at and isinstance(steps[at - 1], int) and step in _KINDS)
    ]
    return ".".join(["form_definition", *named])[:200]


def _refused(fields: Mapping[str, str]) -> InvalidInputError:
    details = "; ".join(f"{place}: {fault}" for place, fault in fields.items())
    return InvalidInputError(f"the form definition cannot be used: {details}"[:1000], fields=fields)


_MODELS: tuple[type[FormFieldBase], ...] = get_args(get_args(FormField)[0])
_KINDS = frozenset(model.model_fields["kind"].default for model in _MODELS)
