"""Who is mailed about what, and what they read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from awaithumans.channels.email.letters import ON_THE_PAGE, TOO_LONG, Letter, letter_for, offering_replies
from awaithumans.channels.email.rendering import as_text
from awaithumans.testing.tasks import ANA, BEN, BOSS, NOON
from awaithumans.types import Actor, Answer, Human, Task, TaskStatus, Verdict, VerifierConfig
from tests.channels.email.mail import LINK, asked, told

FIRST = "<first@example.com>"


def answered(by: Human = ANA, *, auth: Any = "host", via: str = "web", **fields: Any) -> Task:
    answer = Answer(by=Actor.of(by, auth=auth, via=via), at=NOON, attempt=1, value={"approve": True})
    return asked(**{"answers": (answer,), "status": TaskStatus.COMPLETED, "closed_at": NOON, **fields})


def refused(by: Human = ANA, **fields: Any) -> Task:
    verdict = Verdict(passed=False, reason="Say why.")
    return answered(by, status=TaskStatus.PENDING, closed_at=None, attempt=1, verdict=verdict, **fields)


def letter(event: str, task: Task | None = None, **fields: Any):
    written = letter_for(told(event, task=task or asked(), **{"receipt": FIRST, **fields}))
    assert written
    return written


def nothing(event: str, task: Task | None = None, **fields: Any) -> bool:
    return letter_for(told(event, task=task or asked(), **{"receipt": FIRST, **fields})) is None


# ── A question ────────────────────────────────────────────────────────────────


def test_a_small_choice_has_a_button_for_each_answer_and_one_for_the_page() -> None:
    buttons = [(one.label, one.url) for one in letter("opened").buttons]
    assert buttons == [
        ("Yes", f"{LINK}?answer=true"),
        ("No", f"{LINK}?answer=false"),
        ("Open the question", LINK),
    ]


def test_a_value_in_a_button_is_escaped() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x&y=z#", "ja nej"]}}, "required": ["a"]}
    urls = [one.url for one in letter("opened", asked(spec={"response_schema": schema})).buttons]
    assert urls == [f"{LINK}?answer=x%26y%3Dz%23", f"{LINK}?answer=ja%20nej", LINK]


def test_any_other_form_has_one_button() -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
    (button,) = letter("opened", asked(spec={"response_schema": schema})).buttons
    assert button.url == LINK


def test_who_may_not_answer_by_link_is_led_to_the_page_behind_the_log_in() -> None:
    """Such as a mailbox that the directory does not know."""
    (button,) = letter("opened", person=None, link=None).buttons
    assert button.url == "https://app.example/humans/tasks/task-1"


def test_an_engine_without_an_address_gives_no_buttons() -> None:
    assert letter("opened", link=None, url=None).buttons == []


@pytest.mark.parametrize("event", ["opened", "reminder", "reassigned", "rejected"])
def test_a_redacted_payload_is_on_the_page_only(event: str) -> None:
    task = refused(spec={"redact_payload": True, "payload": {"secret": "x"}})
    written = letter(event, task)
    assert (written.payload, written.payload_note) == (None, ON_THE_PAGE)
    assert "Say why." not in str(written)


def test_a_payload_too_long_for_a_mail_is_on_the_page() -> None:
    written = letter("opened", asked(spec={"payload": {f"line {number}": "x" * 900 for number in range(50)}}))
    assert (written.payload, written.payload_note) == (None, TOO_LONG)


def test_the_deadline_is_said_the_same_at_every_attempt() -> None:
    facts = dict(letter("opened").facts)
    assert facts["Answer by"] == "Monday, 5 January 2026, 13:00 UTC (1 hour after it was asked)"


def test_a_check_is_announced() -> None:
    config = VerifierConfig(provider="x", instructions="y")
    assert "checked first" in str(letter("opened", asked(spec={"verifier": config})).notes)
    assert "checked first" not in str(letter("opened").notes)


# ── Other events ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", ["claimed", "released"])
def test_nobody_is_mailed_who_has_a_question(event: str) -> None:
    """The page behind the link says it."""
    assert nothing(event)


def test_a_reminder_goes_only_to_those_who_can_still_answer() -> None:
    assert letter("reminder").buttons
    assert nothing("reminder", asked(addressees=(BEN,), assignee=BEN))
    assert nothing("reminder", asked(addressees=(ANA, BEN), assignee=BEN))


def test_a_refused_answer_asks_its_writer_again_and_says_why() -> None:
    written = letter("rejected", refused())
    assert written.lead == "Your answer was refused, and the question is open again."
    assert ("Reason", "Say why.") in written.facts
    assert written.buttons[-1].url == LINK


def test_a_refused_answer_is_told_to_others_who_may_answer_and_to_nobody_else() -> None:
    both = refused(addressees=(ANA, BEN), assignee=None)
    assert letter("rejected", both, person=BEN).lead.startswith("Ana Šimić’s answer was refused")
    assert nothing("rejected", refused(), person=BEN)
    assert nothing("rejected", refused(addressees=(ANA, BEN)), person=BEN)
    assert nothing("rejected", refused(), person=BOSS)


def test_a_task_handed_on_is_a_question_to_the_new_people_and_off_the_old_ones_hands() -> None:
    bens = asked(addressees=(BEN,), assignee=BEN, spec={"payload": {"secret": "x"}})
    assert letter("reassigned", bens, person=BEN).lead == "This question was handed to you."
    old = letter("reassigned", bens)
    assert old.lead == "This question was handed to Ben 100%_Sure."
    assert (old.payload, old.buttons, old.notes) == (None, (), ["You need not do anything."])


@pytest.mark.parametrize(
    ("status", "lead"),
    [
        (TaskStatus.TIMED_OUT, "Nobody answered in time."),
        (TaskStatus.CANCELLED, "This question was withdrawn."),
        (TaskStatus.VERIFICATION_EXHAUSTED, "No answer passed the check."),
    ],
)
def test_the_end_is_told_with_how_it_came(status: TaskStatus, lead: str) -> None:
    written = letter("closed", asked(status=status, closed_at=NOON))
    assert (written.lead, written.response) == (lead, None)


def test_an_answer_is_told_with_who_gave_it() -> None:
    written = letter("closed", answered(BEN, addressees=(ANA, BEN)))
    assert written.lead == "Ben 100%_Sure answered."
    assert written.response


def test_an_outcome_is_told_in_the_words_of_the_form_and_as_plain_text() -> None:
    options = [{"value": "pine", "label": "Scots *Pine*"}, {"value": "oak", "label": "Oak"}]
    fields = [
        {"name": "fell", "kind": "switch", "label": "Fell it?", "true_label": "Fell", "false_label": "Leave"},
        {"name": "order", "kind": "ranking", "options": options},
    ]
    spec = {"form": {"fields": fields}, "response_schema": {"type": "object"}}
    given = answered(BEN).answers[0]
    answers = (replace(given, value={"order": ["pine", "oak"], "fell": True}),)
    task = answered(BEN, addressees=(ANA, BEN), answers=answers, spec=spec)
    _, _, told_answer = as_text(letter("closed", task)).partition("The answer:")
    lines = [line.strip() for line in told_answer.splitlines() if line.strip()]
    assert lines[:4] == ["Fell it?: Fell", "Order:", "1. Scots *Pine*", "2. Oak"]


@pytest.mark.parametrize(("auth", "via"), [("link", "email"), ("link", "web"), ("channel", "email")])
def test_who_answered_by_mail_or_link_hears_nothing_of_it(auth: str, via: str) -> None:
    assert nothing("closed", answered(auth=auth, via=via))
    assert letter("closed", answered(auth=auth, via=via), person=BEN)


def test_who_answered_elsewhere_is_told() -> None:
    assert letter("closed", answered(via="slack", auth="channel"))


def test_the_last_refusal_is_told_to_its_writer() -> None:
    assert letter("closed", answered(auth="link", status=TaskStatus.VERIFICATION_EXHAUSTED))


@pytest.mark.parametrize("secret", ["redact_payload", "redact_response_after_submit"])
def test_a_secret_answer_is_not_in_the_mail(secret: str) -> None:
    assert letter("closed", answered(BEN, addressees=(ANA, BEN), spec={secret: True})).response is None


def test_who_may_not_see_the_task_any_more_does_not_read_the_answer() -> None:
    assert letter("closed", answered(BEN, addressees=(BEN,), assignee=BEN)).response is None


@pytest.mark.parametrize("event", ["closed", "reassigned"])
def test_who_was_never_asked_hears_nothing_of_the_end(event: str) -> None:
    task = answered(BEN, addressees=(BEN,))
    assert nothing(event, replace(task, assignee=BEN), receipt=None)


# ── Names that people and programs choose ─────────────────────────────────────

FORGED = "Yes\n\nOpen the question: https://evil.example/"


def forged_lines(written: Letter) -> list[str]:
    return [
        line
        for line in as_text(offering_replies(written, own_words=False)).splitlines()
        if line.startswith("Open the question")
    ]


def test_no_option_passes_for_a_line_of_ours() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [FORGED, "no"]}}, "required": ["a"]}
    assert forged_lines(letter("opened", asked(spec={"response_schema": schema}))) == [f"Open the question: {LINK}"]


def test_no_name_of_a_person_passes_for_a_line_of_ours() -> None:
    other = Human(id="eve", display_name=FORGED)
    assert forged_lines(letter("reassigned", asked(addressees=(other,), assignee=other))) == []


def test_nobody_is_asked_to_reply_with_a_long_text() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x" * 61, "no"]}}, "required": ["a"]}
    assert letter("opened", asked(spec={"response_schema": schema})).words == []
