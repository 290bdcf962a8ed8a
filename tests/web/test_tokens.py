"""API tokens keep no secret and compare in constant time."""

from __future__ import annotations

import pytest

from awaithumans.errors import ConfigurationError
from awaithumans.web import ApiToken, Scope
from awaithumans.web.tokens import token_of

SECRET = "a-secret-of-the-bot"


def test_the_secret_is_not_kept() -> None:
    token = ApiToken("bot", SECRET, [Scope.ASK])
    assert SECRET not in repr(token)
    assert not any(SECRET in repr(value) for value in vars(token).values())


@pytest.mark.parametrize("credential", ["", "wrong", SECRET.upper(), SECRET + " ", "\udcff", "ключ", "\0"])
def test_anything_else_is_wrong(credential: str) -> None:
    assert not ApiToken("bot", SECRET, [Scope.ASK]).matches(credential)


def test_the_one_that_matches_is_found() -> None:
    tokens = [ApiToken("a", "secret-of-a-0123456789", ["ask"]), ApiToken("b", SECRET, ["read"])]
    found = token_of(tokens, SECRET)
    assert found
    assert (found.name, found.scopes) == ("b", frozenset({Scope.READ}))
    assert token_of(tokens, "nonsense") is None


def test_the_admin_token_may_everything_but_answer_its_own() -> None:
    assert ApiToken.admin(SECRET).scopes == set(Scope) - {Scope.ANSWER_OWN}
    assert ApiToken.admin(SECRET, may_answer_own=True).scopes == set(Scope)


def test_the_principal_is_an_agent() -> None:
    actor = ApiToken("bot", SECRET, []).actor
    assert (actor.principal, actor.auth, actor.via) == ("agent:bot", "token", "api")


@pytest.mark.parametrize(
    ("name", "secret", "scopes"), [("", SECRET, ["ask"]), ("bot", "short", ["ask"]), ("bot", SECRET, ["everything"])]
)
def test_what_cannot_be_meant_is_refused(name: str, secret: str, scopes: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        ApiToken(name, secret, scopes)
