"""Which forms can be answered with a button."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from awaithumans.forms import FormDefinition, display_text, form_from_model, quick_answers, switch


class Approval(BaseModel):
    approved: bool


class Speed(StrEnum):
    SLOW = "slow"
    FAST = "fast"


class Choice(BaseModel):
    speed: Speed


class Level(BaseModel):
    level: Literal[1, 2, 3]


class Labelled(BaseModel):
    intro: Annotated[str | None, display_text("Read this first.")] = None
    approved: Annotated[bool, switch(true_label="Approve", false_label="Reject")]


class Five(BaseModel):
    letter: Literal["a", "b", "c", "d", "e"]


class Two(BaseModel):
    approved: bool
    note: str = ""


class Text(BaseModel):
    text: str


class Impossible(BaseModel):
    approved: bool
    reason: str = Field(min_length=1)


def answers_to(model: type[BaseModel]) -> list[tuple[str, object]]:
    schema = model.model_json_schema()
    return [(one.label, one.value) for one in quick_answers(form_from_model(model), schema)]


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        (Approval, [("Yes", {"approved": True}), ("No", {"approved": False})]),
        (Choice, [("Slow", {"speed": "slow"}), ("Fast", {"speed": "fast"})]),
        (Level, [("1", {"level": 1}), ("2", {"level": 2}), ("3", {"level": 3})]),
        (Labelled, [("Approve", {"approved": True}), ("Reject", {"approved": False})]),
        (Five, []),
        (Two, []),
        (Text, []),
    ],
)
def test_a_lone_small_choice_has_a_button_for_each_answer(
    model: type[BaseModel], answers: list[tuple[str, object]]
) -> None:
    assert answers_to(model) == answers


def test_a_choice_that_would_be_refused_has_none() -> None:
    form = FormDefinition.model_validate({"fields": [{"kind": "switch", "name": "approved"}]})
    assert quick_answers(form, Impossible.model_json_schema()) == []
