"""The form that follows from a response model, or from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from awaithumans.forms.definition import (
    MAX_FIELDS,
    Date,
    DateTime,
    FormDefinition,
    FormField,
    FormFieldBase,
    LongText,
    MultiSelect,
    SectionCollapse,
    SelectOption,
    ShortText,
    SingleSelect,
    Switch,
    Time,
    check_form,
)
from awaithumans.forms.shape import DECIMAL, Shape, as_list, shapes
from awaithumans.types import JsonObject

_ENUM_NAMES = "x-enum-varnames"
_LONG_MINIMUM = 100
_LONG_MAXIMUM = 255


class _Naming(GenerateJsonSchema):
    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Name the members, where a generator of code or of forms looks for it."""
        return {**super().enum_schema(schema), _ENUM_NAMES: [member.name for member in schema["members"]]}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Mark the text as a number's, which any other union of number and text is not."""
        made = super().decimal_schema(schema)
        either = [{**one, DECIMAL: True} if one.get("type") == "string" else one for one in made.get("anyOf", [])]
        return {**made, "anyOf": either} if either else made


def schema_of(model: type[BaseModel]) -> dict[str, object]:
    """Give the JSON Schema of a model, with the names of the members of each Enum in it, and decimals marked."""
    return model.model_json_schema(schema_generator=_Naming)


def form_from_model(model: type[BaseModel]) -> dict[str, object] | None:
    """Build the form that asks for a model, as the wire has it.

    A field's own annotation wins (`Annotated[str, long_text()]`); for the
    others the kind follows from the type. What a section asks for, which is
    `None` itself, is asked for there alone. None if the model has no fields.
    """
    properties = shapes(schema_of(model))
    attributes = {_alias(name, info): info for name, info in model.model_fields.items()}
    fields = [_model_field(name, shape, attributes.get(name)) for name, shape in properties.items()]
    sections = [one for one in fields if isinstance(one, SectionCollapse) and properties[one.name].only_null]
    inside = {name for section in sections for name in _names(section.fields)}
    return _written([field for field in fields if field.name not in inside])


def form_from_schema(schema: JsonObject) -> dict[str, object] | None:
    """Build the form that asks for an object of this JSON Schema.

    What no kind of field is made for is asked for as JSON, in a long text.
    None unless the schema has between one and `MAX_FIELDS` properties.
    """
    return _written([_schema_field(name, shape) for name, shape in shapes(schema).items()])


def form_for(form: FormDefinition | JsonObject | None, schema: JsonObject) -> FormDefinition:
    """Give the form to show: the client's own, or the one the schema implies.

    What the schema requires and the client's form does not ask for is asked
    for after its fields, so that every task can be answered.
    """
    given = FormDefinition(fields=()) if form is None else check_form(form)
    if form is None:
        implied = form_from_schema(schema)
        return check_form(implied) if implied else given
    asked = set(_names(given.fields))
    missing = {name: shape for name, shape in shapes(schema).items() if shape.needed and name and name not in asked}
    return given.model_copy(update={"fields": (*given.fields, *(_schema_field(*each) for each in missing.items()))})


def _names(fields: Sequence[FormField]) -> Iterator[str]:
    for field in fields:
        yield field.name
        if isinstance(field, SectionCollapse):
            yield from _names(field.fields)


def _written(fields: list[FormFieldBase]) -> dict[str, object] | None:
    named = [field.model_dump(mode="json") for field in fields if field.name]
    return {"version": 1, "fields": named} if 0 < len(named) <= MAX_FIELDS else None


# ── One field ─────────────────────────────────────────────────────────────────


def field_for(name: str, shape: Shape) -> FormField:
    """Make the field that asks for a part of an answer; what may be null may be left blank."""
    one = _schema_field(name, shape)
    return one.model_copy(update={"required": one.required and not shape.nullable})


def _schema_field(name: str, shape: Shape) -> FormField:
    inferred = _inferred(shape)
    if isinstance(inferred, ShortText) and inferred.subtype == "plain" and _is_long(shape.schema):
        inferred = LongText()
    return _titled(inferred, name, shape)


def _model_field(name: str, shape: Shape, info: FieldInfo | None) -> FormFieldBase:
    for own in info.metadata if info else ():
        if isinstance(own, FormFieldBase):
            required = own.answered and not shape.defaulted and shape.needed
            return own.model_copy(
                update={"name": name, "required": required, "label": own.label or humanised(name)},
            )
    return _titled(_inferred(shape), name, shape)


def humanised(name: str) -> str:
    """Make a label of a name."""
    return name.replace("_", " ").replace("-", " ").title()


def _titled(field: FormField, name: str, shape: Shape) -> FormField:
    return field.model_copy(
        update={
            "name": name,
            "label": shape.title or humanised(name),
            "hint": shape.description,
            "required": shape.needed and not shape.defaulted,
        }
    )


def _inferred(shape: Shape) -> FormField:
    if shape.members is not None:
        return _select(shape.members, shape) or LongText()
    match sorted(shape.types):
        case ["boolean"]:
            return Switch(default=shape.default if isinstance(shape.default, bool) else None)
        case ["string"]:
            return ShortText(subtype="password") if shape.secret else _text(shape.schema.get("format"))
        case ["integer"] | ["number"] | ["integer", "number"]:
            return ShortText(subtype="number")
        case ["array"] if shape.items and shape.items.members and not shape.items.nullable:
            return _multi_select(shape.items.members, shape) or LongText()
        case _:
            return LongText()


def _text(form: object) -> FormField:
    match form:
        case "date":
            return Date()
        case "date-time":
            return DateTime()
        case "time":
            return Time()
        case _:
            return ShortText()


def _is_long(schema: JsonObject) -> bool:
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    return (isinstance(shortest, int | float) and shortest >= _LONG_MINIMUM) or (
        isinstance(longest, int | float) and longest > _LONG_MAXIMUM
    )


# ── Choices ───────────────────────────────────────────────────────────────────


def _select(members: Sequence[object], shape: Shape) -> FormField | None:
    options = _options(members, shape)
    default = str(shape.default) if shape.default is not None else None
    known = default in {option.value for option in options}
    return SingleSelect(options=options, default=default if known else None) if options else None


def _multi_select(members: Sequence[object], shape: Shape) -> FormField | None:
    options = _options(members, shape.items or shape)
    default = set(map(str, as_list(shape.default)))
    chosen = tuple(option.value for option in options if option.value in default)
    return MultiSelect(options=options, default=chosen) if options else None


def _options(members: Sequence[object], shape: Shape) -> tuple[SelectOption, ...]:
    """Make options that can be told apart, labelled by the names of an Enum's members; none if that cannot be."""
    values = [str(member) for member in members]
    simple = all(isinstance(member, str | int | float) for member in members)
    if not simple or len(set(values)) < len(values):
        return ()
    names = as_list(shape.schema.get(_ENUM_NAMES))
    labels = [humanised(str(name)) for name in names] if len(names) == len(values) else values
    return tuple(SelectOption(value=value, label=label) for value, label in zip(values, labels, strict=True))


def _alias(name: str, info: FieldInfo) -> str:
    match info.validation_alias:
        case str() as alias:
            return alias
        case AliasChoices(choices=[str() as first, *_]):
            return first
        case _:
            return name
