"""Slack's Web API on loopback: it remembers each call, and replies as it is told.

For what the emulator does not do: refusals, the fields of `users.info`, OAuth,
and addresses that come with a click.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.serving import serving

TEAM = "T0000ACME"
BOT = "U0000BOT"


@dataclass(frozen=True)
class Call:
    method: str
    """Such as `views.open`."""
    given: Mapping[str, Any]
    token: str


@dataclass
class SlackApi:
    """What is behind `url`; `replies` has what it says to each method."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    replies: dict[str, Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]] = field(
        default_factory=dict
    )

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def response_url(self) -> str:
        return f"{self.url}/response/1"

    def fails(self, method: str, error: str) -> None:
        self.replies[method] = {"ok": False, "error": error}

    def given(self, method: str) -> list[Mapping[str, Any]]:
        """Return what each call of a method was given, in order."""
        return [call.given for call in self.calls if call.method == method]

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        method = "response_url" if request.url.path.startswith("/response/") else request.url.path.rpartition("/")[2]
        given = await _given(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.calls.append(Call(method, given, token))
        reply = self.replies.get(method, _DEFAULTS.get(method, {}))
        content = {"ok": True, **(reply(given) if callable(reply) else reply)}
        await JSONResponse(content, 200 if content["ok"] or method != "response_url" else 404)(scope, receive, send)


_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "auth.test": {"team_id": TEAM, "user_id": BOT, "bot_id": "B0000BOT"},
    "views.open": {"view": {"id": "V1"}},
    "chat.postMessage": {"channel": "C1", "ts": "1.1"},
}


async def _given(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        return json.loads(await request.body())  # type: ignore[no-any-return]
    form = {key: str(value) for key, value in (await request.form()).items()} if request.method == "POST" else {}
    given: dict[str, Any] = {**request.query_params, **form}
    return {key: json.loads(value) if key in {"view", "blocks"} else value for key, value in given.items()}


@contextmanager
def slack_api() -> Iterator[SlackApi]:
    """Serve one."""
    api = SlackApi()
    with serving(api) as url:
        api.url = url
        yield api
