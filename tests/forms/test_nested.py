"""Nested answers, part by part: whatever a model allows, a person can say on the page."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, create_model

from awaithumans.forms import (
    form_from_model,
    parse,
    render_fields,
)
from tests.forms.person import Person, as_posted


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=8)
OFFSETS = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
MOMENTS = st.datetimes(datetime(1900, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - offsets are drawn
CENTS = st.decimals(min_value=0, max_value=10**6, places=2)
Typing = tuple[Any, st.SearchStrategy[Any]]
SCALARS: list[Typing] = [
    (bool, st.booleans()),
    (str, TEXT),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (Decimal, CENTS),
    (date, st.dates()),
    (AwareDatetime, MOMENTS),
    (time, st.times()),
    (Literal["p", 2, True], st.sampled_from(["p", 2, True])),
    (Colour, st.sampled_from(Colour)),
    (Annotated[int, Field(ge=0, le=9)], st.integers(0, 9)),
    (
        Annotated[str, Field(min_length=2, max_length=3, pattern="^[a-z]+$")],
        st.from_regex("[a-z]{2,3}", fullmatch=True),
    ),
]
_SCALAR = st.sampled_from(SCALARS)


CHOICES: dict[Any, list[Any]] = {Literal["p", 2, True]: ["p", 2, True], Colour: list(Colour)}
CHOICE_TYPES: list[Typing] = [part for part in SCALARS if part[0] in CHOICES]


def _list(part: Typing) -> Typing:
    annotation, values = part
    listed: Any = list[annotation]  # type: ignore[valid-type]
    options = CHOICES.get(annotation)
    if not options:
        return listed, st.lists(values, max_size=3)
    # Boxes to tick: each option once, in their order.
    ticks = st.tuples(*[st.booleans() for _ in options])
    return listed, ticks.map(lambda some: [one for one, tick in zip(options, some, strict=True) if tick])


def _optional(part: Typing) -> Typing:
    # Nothing in a list that may be missing is no list.
    return part[0] | None, st.none() | part[1].filter(lambda value: value not in ([], {}))


_NULLABLE = [annotation | None for annotation, _ in (*SCALARS, *map(_list, CHOICE_TYPES))]


def _mapping(part: Typing) -> Typing:
    annotation, values = part
    mapped: Any = dict[str, annotation]  # type: ignore[valid-type]
    return mapped, st.dictionaries(TEXT, values, max_size=3)


def _model(parts: list[Typing], name: str = "Part", **fixed: Any) -> Typing:
    fields: dict[str, Any] = {f"f{number}": (annotation, ...) for number, (annotation, _) in enumerate(parts)}
    model: Any = create_model(name, **fixed, **fields)
    return model, st.builds(model, **{f"f{number}": values for number, (_, values) in enumerate(parts)})


def _union(parts: list[list[Typing]]) -> Typing:
    kinds = [f"k{at}" for at in range(len(parts))]
    models = [_model(each, kind.upper(), kind=(Literal[kind], kind)) for kind, each in zip(kinds, parts, strict=True)]
    either: Any = Union[tuple(model for model, _ in models)]  # noqa: UP007 - of a tuple
    return Annotated[either, Field(discriminator="kind")], st.one_of([values for _, values in models])


def _plain_union() -> st.SearchStrategy[Typing]:
    return st.just((int | str, st.integers() | TEXT))


def _wider(inner: st.SearchStrategy[Typing]) -> st.SearchStrategy[Typing]:
    several = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        inner.map(_list),
        inner.map(_optional),
        several.map(_model),
        _SCALAR.map(_mapping),
        st.lists(several, min_size=2, max_size=2).map(_union),
        _plain_union(),
    )


@st.composite
def answers(draw: st.DrawFn) -> BaseModel:
    """Make a model of nested types, and an answer."""
    types = draw(st.lists(st.recursive(_SCALAR, _wider, max_leaves=4), min_size=1, max_size=3))
    fields: dict[str, Any] = {}
    values: dict[str, object] = {}
    for number, part in enumerate(types):
        # What one control asks for and has to be filled in cannot be null, even where the model would take that.
        defaulted = draw(st.booleans()) or part[0] in _NULLABLE
        annotation, strategy = _optional(part) if defaulted else part
        fields[f"f{number}"] = (annotation, None) if defaulted else (annotation, ...)
        values[f"f{number}"] = draw(strategy)
    answered: BaseModel = create_model("Answer", **fields)(**values)
    return answered


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(answers(), st.booleans())
def test_every_answer_that_a_model_takes_can_be_given_from_a_blank_form(answer: BaseModel, sent: bool):  # noqa: FBT001
    submission = Person.before(type(answer), sent=sent).answers(answer)
    assert submission.errors == {}
    assert type(answer).model_validate_json(json.dumps(submission.value)) == answer


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(answers(), st.booleans())
def test_a_nested_value_drawn_into_a_form_and_sent_back_is_the_same(answer: BaseModel, sent: bool):  # noqa: FBT001
    model = type(answer)
    form, schema = form_from_model(model) if sent else None, model.model_json_schema()
    value = json.loads(answer.model_dump_json())
    submission = parse(form, schema, as_posted(render_fields(form, schema, value, {})), value)
    assert submission.errors == {}
    assert model.model_validate_json(json.dumps(submission.value)) == answer
    again = render_fields(form, schema, submission.typed, {})
    assert as_posted(again) == as_posted(render_fields(form, schema, value, {}))
