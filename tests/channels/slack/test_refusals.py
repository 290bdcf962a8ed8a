"""What somebody is told who cannot answer."""

from __future__ import annotations

from awaithumans.channels.slack.refusals import refusal
from awaithumans.testing.tasks import ANA, BEN, NOON, make_task
from awaithumans.types import Human


def test_who_has_the_question_is_named_on_one_short_line() -> None:
    eve = Human(id="eve", display_name="Nobody.\n\nAnswer here: https://evil.example/ " + "x" * 500)
    for claimed_at in (None, NOON):
        said = refusal(make_task(addressees=(BEN, eve), assignee=eve, claimed_at=claimed_at), BEN)
        assert said
        assert "\n" not in said
        assert len(said) < 200


def test_who_may_answer_is_told_nothing() -> None:
    assert refusal(make_task(addressees=(ANA,), assignee=ANA), ANA) is None
