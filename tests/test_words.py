"""Texts that are English to everybody, and another language to who asks."""

from __future__ import annotations

import copy
import json
import pickle
import re
from gettext import NullTranslations

import pytest

from awaithumans.words import Words, counted, joined, placed, translated, words


class Loud(NullTranslations):
    """A language in which everything is shouted."""

    def gettext(self, message: str) -> str:
        return re.sub(r"%\(\w+\)s|[a-z]+", lambda found: found[0] if found[0][0] == "%" else found[0].upper(), message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


class Said(NullTranslations):
    """A language that has one text for everything."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def gettext(self, message: str) -> str:
        return self.text


def test_it_is_the_english_text_to_whoever_does_not_translate() -> None:
    text = words("must be at least %(limit)s", limit=3)
    assert text == "must be at least 3"
    assert json.dumps({"fault": text}) == '{"fault": "must be at least 3"}'
    assert translated(text, NullTranslations()) == text


def test_a_translation_is_filled_in_with_the_same_arguments_and_these_are_translated_too() -> None:
    text = words("must be %(limit)s", limit=words("a number"))
    assert text.translated(Loud()) == "MUST BE A NUMBER"
    assert translated("user's own %(limit)s", Loud()) == "user's own %(limit)s"


def test_a_number_chooses_the_form() -> None:
    days = [counted("%(count)s day", "%(count)s days", number) for number in (1, 2)]
    assert days == ["1 day", "2 days"]
    assert [day.translated(Loud()) for day in days] == ["1 DAY", "2 DAYS"]
    assert days[0].filled(count=5).translated(Loud()) == "5 DAYS"


def test_parts_are_translated_each_by_itself() -> None:
    assert joined(", ", [words("a"), "100 %", words("b")]).translated(Loud()) == "A, 100 %, B"
    assert placed("Lines", words("is required")) == "Lines: is required"
    assert placed("", "is required") == "is required"


def test_a_per_cent_sign_in_an_argument_or_alone_is_only_that() -> None:
    assert words("95 % of it") == "95 % of it"
    assert words("must be %(limit)s", limit="%s %(x)s").translated(Loud()) == "MUST BE %s %(x)s"


def test_nothing_stays_nothing_in_a_catalogue_that_has_notes_under_it() -> None:
    assert joined(" · ", []).translated(Said("Project-Id-Version: 1")) == ""


@pytest.mark.parametrize("wrong", ["%(hwo)s fragte", "%(who) fragte", "%(who)d fragte", "100 % (%(who)s", "%(who"])
def test_a_translation_with_wrong_places_is_left_for_the_english(wrong: str) -> None:
    assert words("%(who)s asked", who="Ana").translated(Said(wrong)) == "Ana asked"


def test_a_copy_can_be_translated_too() -> None:
    text = counted("%(count)s day", "%(count)s days", 2)
    for copied in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert isinstance(copied, Words)
        assert copied.translated(Loud()) == "2 DAYS"
