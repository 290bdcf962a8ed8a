"""Reply addresses: short, proof against letter case, and bound to one question, person and attempt."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.channels.email.tokens import read_reply_address, reply_address
from awaithumans.errors import ConfigurationError
from awaithumans.signing import KeyRing

KEYS = KeyRing("0123456789" * 4)
TASK = "0123456789abcdef" * 2


def made(mailbox: str = "reply@example.com", keys: KeyRing = KEYS, task_id: str = TASK, attempt: int = 0) -> str:
    address = reply_address(mailbox, keys, task_id=task_id, address="ana@example.com", attempt=attempt)
    assert address
    return address


def test_an_address_has_50_characters_before_its_domain() -> None:
    """`reply+` and 44; 64 are allowed."""
    assert len(made().partition("@")[0]) == 50
    assert reply_address("x" * 20 + "@example.com", KEYS, task_id=TASK, address="a", attempt=0) is None
    assert made("x" * 19 + "@example.com")


@pytest.mark.parametrize("task_id", [TASK, "task-1", "é"])
@pytest.mark.parametrize("attempt", [0, 1, 10])
@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_it_says_what_it_was_made_for_in_any_letter_case(task_id: str, attempt: int, change) -> None:
    token = read_reply_address(change(made(task_id=task_id, attempt=attempt)))
    assert token
    assert (token.task_id, token.attempt) == (task_id, attempt)
    assert token.recipient_of(["bob@example.com", "Ana@Example.com"], KEYS) == "Ana@Example.com"


def test_it_is_the_same_whenever_it_is_made() -> None:
    assert made() == made()


def test_it_is_nobody_elses() -> None:
    token = read_reply_address(made())
    assert token
    assert token.recipient_of(["bob@example.com"], KEYS) is None
    assert token.recipient_of(["ana@example.com"], KeyRing("another secret, of 32 bytes or more")) is None


def test_a_secret_that_is_being_replaced_still_counts() -> None:
    token = read_reply_address(made())
    new = KeyRing(["a newer secret, of 32 bytes or more", "0123456789" * 4])
    assert token
    assert token.recipient_of(["ana@example.com"], new) == "ana@example.com"


@given(st.integers(6, 49), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_no_changed_character_is_let_pass(place: int, letter: str) -> None:
    address = made()
    changed = address[:place] + letter + address[place + 1 :]
    token = read_reply_address(changed)
    same = changed == address or place == 49  # the last character has one bit that counts
    assert same or token is None or token.recipient_of(["ana@example.com"], KEYS) is None


@pytest.mark.parametrize("named", ["a\0bcdefgh", "a\nbcdefgh"])
def test_a_name_that_no_store_may_be_asked_for_is_no_token(named: str) -> None:
    token = base64.b32encode(b"\x80" + named.encode() + b"m" * 10).decode().rstrip("=").lower()
    assert read_reply_address(f"reply+{token}@example.com") is None


@given(st.text(max_size=80) | st.from_regex(r"reply\+[a-z2-7]{0,62}@example\.com", fullmatch=True))
def test_nothing_that_comes_in_breaks_the_reader(address: str) -> None:
    token = read_reply_address(address)
    assert token is None or token.recipient_of(["ana@example.com"], KEYS) is None


def test_a_ring_without_secrets_makes_none() -> None:
    with pytest.raises(ConfigurationError):
        made(keys=KeyRing.unkeyed())
