"""What is asked, and what becomes of the replies; nobody has to type for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Self

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model, field_validator, model_validator

from awaithumans.client import build_spec
from awaithumans.errors import SchemaValidationError
from awaithumans.forms import (
    SelectOption,
    display_text,
    long_text,
    multi_select,
    password,
    section,
    short_text,
    single_select,
    slider,
    switch,
    validate_response,
)
from awaithumans.terminal.conversation import Ask, Conversation
from awaithumans.terminal.screen import Screen
from awaithumans.testing.tasks import make_task
from awaithumans.types import JsonObject

END_OF_INPUT = object()
SEND = "y"


SWAPPED = [SelectOption(value="yes", label="No"), SelectOption(value="no", label="Yes")]


class Order(BaseModel):
    order: str = "A-1"


class Colour(Enum):
    DARK_RED = "r"
    BLUE = "b"


class Stars(IntEnum):
    ONE = 1
    TWO = 2


class Heard:
    """What came of a conversation, and everything that was said in it."""

    def __init__(self, value: JsonObject | None, asked: Sequence[Ask]) -> None:
        self.value = value
        self.asked = asked
        self.screen = "".join(f"{ask.said}{ask.prompt}⏎\n" for ask in asked)


def hold(model: type[BaseModel], *lines: object, screen: Screen | None = None, **spec: Any) -> Heard:
    """Reply with these lines, one after another."""
    built = build_spec(
        task="Well?",
        payload_schema=Order,
        payload=Order(),
        response_schema=model,
        timeout_seconds=60,
    )
    task = make_task(spec=replace(built, **spec))

    def misfits(value: JsonObject) -> Mapping[str, str]:
        faults = validate_response(task.spec.form, task.spec.response_schema, value)
        try:
            model.model_validate(value)
        except ValidationError as error:
            return {**SchemaValidationError.of_model("response", error).fields, **faults}
        return faults

    talk = Conversation(task, screen or Screen(), misfits, task.created_at).talk()
    asked = [next(talk)]
    try:
        for line in lines:
            asked.append(talk.throw(EOFError) if line is END_OF_INPUT else talk.send(str(line)))
    except StopIteration as end:
        assert line is lines[-1]
        return Heard(end.value, asked)
    raise AssertionError(f"it still asks: {asked[-1]}")


def one(annotation: Any, default: Any = ...) -> type[BaseModel]:
    """Make a model with one field, named `it`."""
    return create_model("Answer", it=(annotation, default))


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        (bool, ["y"], True),
        (bool, ["NO"], False),
        (bool, ["false"], False),
        (Annotated[bool, switch(true_label="Approve", false_label="Reject")], ["2"], False),
        (Annotated[bool, switch(true_label="Approve", false_label="Reject")], ["approve"], True),
        (Annotated[bool, switch(true_label="Approve", false_label="Reject")], ["no"], False),
        (Annotated[bool, switch(true_label="No", false_label="Yes")], ["yes"], False),
        (Annotated[bool, switch(true_label="No", false_label="Yes")], ["Y"], False),
        (Annotated[bool, switch(true_label="No", false_label="Yes")], ["NO"], True),
        (Annotated[bool, switch(true_label="No, release", false_label="Yes, hold")], ["n"], True),
        (Annotated[bool, switch(true_label="False", false_label="True")], ["true"], False),
        (Annotated[bool, switch(true_label="Yes, pay", false_label="Wait")], ["no"], False),
        (Annotated[str, single_select(options=SWAPPED)], ["no"], "yes"),
        (Colour, ["1"], "r"),
        (Colour, ["dark red"], "r"),
        (Colour, [" b "], "b"),
        (Stars, ["2"], 2),
        (Stars, ["two"], 2),
        (list[Colour], ["2, dark red"], ["b", "r"]),
        (list[Colour], ["1"], ["r"]),
        (int, ["007"], 7),
        (float, ["-1.5e3"], -1500.0),
        (Decimal, ["12345678901234567890.10"], "12345678901234567890.10"),
        (date, ["2026-02-28"], "2026-02-28"),
        (time, ["14:30"], "14:30:00"),
        (datetime, ["2026-01-31 14:30"], "2026-01-31T14:30:00+00:00"),
        (str, ["two words, and ümläuts"], "two words, and ümläuts"),
        (str, ["  indented"], "  indented"),
        (Annotated[str, long_text()], ["One.", "", "Two.", "."], "One.\n\nTwo."),
        (Annotated[str, long_text()], ["One.", END_OF_INPUT], "One."),
        (dict[str, int], ['{"a":', "1}"], {"a": 1}),
        (list[Order], ['[{"order": "B"}]'], [{"order": "B"}]),
        (int | None, [""], None),
        (Annotated[float, slider(min=0, max=10)], ["10"], 10),
    ],
)
def test_a_reply_becomes_a_value(annotation, typed, value):
    nullable = annotation == int | None
    assert hold(one(annotation, None if nullable else ...), *typed, SEND).value == ({} if nullable else {"it": value})


@pytest.mark.parametrize(
    ("annotation", "wrong", "fault", "right"),
    [
        (bool, "maybe", "choose one", "y"),
        (bool, "", "choose one", "y"),
        (bool, "1", "choose one", "y"),
        (Annotated[bool, switch(true_label="No", false_label="Keep")], "yes", "choose one", "keep"),
        (Colour, "3", "choose one of the options", "1"),
        (Colour, "0", "choose one of the options", "1"),
        (list[Colour], "1, green", "choose one of the options", "1"),
        (int, "1.5", "must be a whole number", "1"),
        (int, "", "is required", "1"),
        (Annotated[int, Field(le=5)], "6", "5", "5"),
        (Annotated[str, Field(max_length=3)], "four", "3", "abc"),
        (Annotated[str, short_text(pattern="^[A-Z]+$")], "abc", "^[A-Z]+$", "ABC"),
        (date, "31.01.2026", "a date like 2026-01-31", "2026-01-31"),
        (date, "2026-02-30", "a date like 2026-01-31", "2026-02-28"),
        (str, "a\x1b[Db", "arrow keys", "ab"),
        (str, "sch\udcc3n", "encoding", "fine"),
        (str, "x" * 4095, "longer than a terminal takes", "fine"),
        (Annotated[float, slider(min=0, max=10)], "11", "at most 10", "10"),
    ],
)
def test_a_reply_that_does_not_fit_is_refused_at_once(annotation, wrong, fault, right):
    heard = hold(one(annotation), wrong, right, SEND)
    assert heard.asked[1].said.startswith("! ")
    assert fault in heard.asked[1].said


def test_json_that_never_ends_is_ended_and_refused():
    heard = hold(one(dict[str, int]), '{"a": 1', ".", '{"a": 1}', SEND)
    assert "! is not valid JSON" in heard.asked[2].said


class Defaults(BaseModel):
    sure: bool = True
    colour: Colour = Colour.BLUE
    count: int = 3
    name: str = "Ana"
    note: Annotated[str, long_text()] = "One.\nTwo."


def test_enter_takes_what_is_in_brackets():
    heard = hold(Defaults, "", "", "", "", "", SEND)
    assert [ask.prompt for ask in heard.asked[:5]] == [
        "[Yes] > ",
        "[Blue] > ",
        "[3] > ",
        "[Ana] > ",
        "[Enter keeps it] > ",
    ]
    assert "| One.\n| Two.\n" in heard.screen
    assert heard.value == {"sure": True, "colour": "b", "count": 3, "name": "Ana", "note": "One.\nTwo."}


def test_what_is_optional_can_be_left_empty():
    class Optional(BaseModel):
        name: str | None = "Ana"
        count: int | None = 3

    heard = hold(Optional, ":empty", ":empty", SEND)
    assert heard.value == {"name": None, "count": None}
    assert heard.screen.count(":empty to clear") == 2


def test_only_what_can_be_cleared_is_said_to_be():
    assert ":empty" not in hold(one(Colour, Colour.BLUE), "", SEND).screen


def test_the_agents_proposal_is_what_enter_takes_and_its_errors_are_shown():
    heard = hold(one(str), "", SEND, initial_response={"it": "draft"}, initial_errors={"it": "too short"})
    assert heard.asked[0].said.endswith("! too short\n")
    assert heard.value == {"it": "draft"}


def test_options_that_are_numbers_have_none():
    """2 would mean two things."""
    options = [SelectOption(value=str(10 - number), label=str(10 - number)) for number in range(3)]
    heard = hold(one(Annotated[int, single_select(options=options)]), "3", "10", SEND)
    assert "  - 10\n" in heard.screen
    assert "! choose one" in heard.asked[1].said
    assert heard.value == {"it": 10}


def test_an_option_with_a_hint_goes_by_its_label():
    options = [SelectOption(value="a", label="First", hint="the best"), SelectOption(value="b", label="Second")]
    heard = hold(one(Annotated[list[str], multi_select(options=options)]), "first", SEND)
    assert heard.value == {"it": ["a"]}


def test_a_password_is_not_seen():
    heard = hold(one(Annotated[str, password()]), "hunter2", SEND)
    assert [ask.hidden for ask in heard.asked] == [True, False]
    assert "hunter2" not in heard.screen
    assert heard.value == {"it": "hunter2"}


def test_a_secret_is_not_seen_and_its_default_stays_the_models():
    class Secrets(BaseModel):
        token: SecretStr
        other: SecretStr | None = None
        preset: SecretStr = SecretStr("kept")

    heard = hold(Secrets, "hunter2", "", "", SEND)
    assert [ask.hidden for ask in heard.asked] == [True, True, True, False]
    assert "hunter2" not in heard.screen
    assert heard.value is not None
    answer = Secrets.model_validate(heard.value)
    assert answer.token.get_secret_value() == "hunter2"
    assert answer.preset.get_secret_value() == "kept"


def test_only_what_is_typed_after_the_question_and_after_the_summary_counts():
    assert [ask.fresh for ask in hold(Defaults, "", "", "", "", "", SEND).asked] == [True, *[False] * 4, True]


class TestTheEnd:
    def test_shows_what_will_be_sent(self):
        heard = hold(Defaults, "n", "1", "4", "Bo", "", SEND)
        shown = " ".join(heard.asked[-1].said.split())
        assert shown == "Well? 1 Sure No 2 Colour Dark Red 3 Count 4 4 Name Bo 5 Note One. Two."

    @pytest.mark.parametrize("line", ["", " ", "Yeah", "1.", "send"])
    def test_sends_only_what_was_said_yes_to(self, line):
        heard = hold(one(bool), "y", line, "YES")
        assert heard.asked[2].said == "! y, e or c\n"
        assert heard.asked[2].fresh
        assert heard.value == {"it": True}

    @pytest.mark.parametrize("edit", [["3"], ["e", "3"], ["edit", "9", "x", "3"], ["what?", "3"]])
    def test_lets_a_field_be_changed(self, edit):
        heard = hold(Defaults, "", "", "", "", "", *edit, "4", SEND)
        assert heard.value is not None
        assert heard.value["count"] == 4

    def test_of_a_single_field_needs_no_number_to_change_it(self):
        assert hold(one(int), "1", "e", "2", SEND).value == {"it": 2}

    @pytest.mark.parametrize("word", ["c", "cancel", ":q", END_OF_INPUT])
    def test_may_be_a_cancellation(self, word):
        assert hold(one(int), "1", word).value is None

    @pytest.mark.parametrize("typed", [[":q"], [END_OF_INPUT], ["{", ":q"]])
    def test_may_come_early(self, typed):
        assert hold(one(dict[str, int]), *typed).value is None


class Checked(BaseModel):
    approved: bool
    code: str
    reason: str = ""

    @field_validator("code")
    @classmethod
    def _even(cls, value: str) -> str:
        if len(value) % 2:
            raise ValueError("must have an even length")
        return value

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if not (self.approved or self.reason):
            raise ValueError("say why not")
        return self


def test_a_field_that_the_model_refuses_is_asked_again_at_once():
    heard = hold(Checked, "y", "abc", "ab", "", SEND)
    assert "even length" in heard.asked[2].said


def test_what_the_model_says_of_the_whole_has_to_be_mended_before_it_is_sent():
    heard = hold(Checked, "n", "ab", "", "", "3", "Broken", SEND)
    assert "say why not" in heard.asked[3].said
    assert heard.asked[3].prompt == "[e]dit, [c]ancel > "
    assert heard.asked[4].said == "! e or c\n"
    assert heard.value == {"approved": False, "code": "ab", "reason": "Broken"}


def test_what_has_no_fields_is_asked_for_as_a_whole():
    heard = hold(
        one(int),
        '{"it": "x"}',
        '{"it": 5}',
        SEND,
        form={"version": 1, "fields": []},
        response_schema={
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "minProperties": 1,
        },
    )
    assert "! it: " in heard.asked[1].said
    assert heard.value == {"it": 5}


def test_what_is_only_to_be_read_is_shown():
    form = {
        "version": 1,
        "fields": [
            section("About the order").model_dump(),
            display_text("Mind the \x1b[2J gap.").model_dump(),
            short_text().model_dump() | {"name": "it", "label": "It", "hint": "In one word."},
        ],
    }
    screen = hold(one(str), "x", SEND, form=form).screen
    assert "About the order" in screen
    assert r"Mind the \x1b[2J gap." in screen
    assert "In one word." in screen


def test_the_question_comes_with_its_text_its_payload_and_the_time_there_is():
    heard = hold(one(int), "1", SEND, task="Title\n\nBody of the question.", metadata={"run": "7"})
    assert heard.asked[0].said == (
        "\nTitle\nBody of the question.\n\n  Order  A-1\n\n  Run  7\n\n"
        "0:01:00 left. :q cancels, Enter takes what is in [brackets].\n\nIt  a whole number\n"
    )


@pytest.mark.parametrize("width", [20, 40, 200])
def test_lines_fit_the_screen(width):
    payload = {"order": "A-1", "text": "word " * 100, "rows": [{"a": "x" * 30, "b": "y " * 20}] * 2}
    heard = hold(Defaults, "", "", "", "", "", SEND, screen=Screen(width=width), payload=payload)
    assert max(len(line) for ask in heard.asked for line in ask.said.splitlines()) < max(width, 24)
