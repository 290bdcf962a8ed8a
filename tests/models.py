"""Model providers on loopback, which speak the wire of Anthropic, OpenAI, Azure OpenAI and Google."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.serving import serving

INPUT, OUTPUT = 120, 30
"""The tokens that each reply is said to have taken."""


@dataclass(frozen=True)
class Says:
    """The model calls the tool it was given with these arguments, as text if it is not to be JSON."""

    arguments: Mapping[str, object] | str
    cut: bool = False
    """It stopped there, for it may not write more."""
    after: float = 0.0

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Declines:
    """The model does not want to talk about it."""


@dataclass(frozen=True)
class Breaks:
    """The provider answers something else: an error, or what is no answer of its kind."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Says | Declines | Breaks


@dataclass
class Provider:
    """What the providers were asked, and what they are to reply: one reply for each call, the last one ever after."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def will(self, *replies: Reply) -> None:
        self.replies[:] = replies


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    peer: tuple[str, int]


@contextmanager
def model_provider() -> Iterator[Provider]:
    """Serve all four of them at one address."""
    provider = Provider("")

    async def answer(request: Request) -> Response:
        body = await request.json()
        client = request.client
        assert client
        provider.asked.append(
            Asked(request.url.path, request.query_params, request.headers, body, (client.host, client.port))
        )
        reply = provider.next()
        if isinstance(reply, Breaks):
            kind = {"content-type": "application/json"}
            return Response(reply.body, reply.status, headers={**kind, **reply.headers})
        if isinstance(reply, Says) and reply.after:
            await asyncio.sleep(reply.after)
        return _spoken(request.url.path, body, reply)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    with serving(app) as url:
        provider.url = url
        yield provider


def _spoken(path: str, body: Any, reply: Says | Declines) -> Response:
    if path.endswith("/messages"):
        return _events(_anthropic(body, reply)) if body.get("stream") else JSONResponse(_anthropic_whole(body, reply))
    if path.endswith("/responses"):
        return JSONResponse(_openai(body, reply))
    if path.endswith("/chat/completions"):
        return JSONResponse(_azure(body, reply))
    if path.endswith(":streamGenerateContent"):
        return _events([("", _google(reply))])
    assert path.endswith(":generateContent"), path
    return JSONResponse(_google(reply))


def _events(events: Sequence[tuple[str, object]]) -> Response:
    async def lines() -> AsyncIterator[str]:
        for name, data in events:
            yield (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


def _anthropic_whole(body: Any, reply: Says | Declines) -> object:
    content: list[object] = []
    reason = "refusal"
    if isinstance(reply, Says):
        arguments = reply.arguments if isinstance(reply.arguments, Mapping) else {"passed": reply.text}
        content = [{"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": arguments}]
        reason = "max_tokens" if reply.cut else "tool_use"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT},
    }


def _anthropic(body: Any, reply: Says | Declines) -> list[tuple[str, object]]:
    usage = {"input_tokens": INPUT, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    start = {
        "type": "message_start",
        "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage},
    }
    block: list[tuple[str, dict[str, object]]] = []
    if isinstance(reply, Says):
        tool = {"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": {}}
        block = [("content_block_start", {"index": 0, "content_block": tool})]
        middle = len(reply.text) // 2
        for part in (reply.text[:middle], reply.text[middle:]):
            delta = {"type": "input_json_delta", "partial_json": part}
            block.append(("content_block_delta", {"index": 0, "delta": delta}))
        block.append(("content_block_stop", {"index": 0}))
    reason = "refusal" if isinstance(reply, Declines) else "max_tokens" if reply.cut else "tool_use"
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": OUTPUT},
    }
    told = [(name, {"type": name, **data}) for name, data in block]
    return [("message_start", start), *told, ("message_delta", end), ("message_stop", {"type": "message_stop"})]


def _openai(body: Any, reply: Says | Declines) -> object:
    if isinstance(reply, Says):
        name = body["tools"][0]["name"]
        status = "incomplete" if reply.cut else "completed"
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": reply.text}
        output = {**call, "status": status}
    else:
        status = "completed"
        refusal = {"type": "refusal", "refusal": "I would rather not."}
        output = {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": [refusal]}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": body["model"],
        "status": status,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": [output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": INPUT,
            "output_tokens": OUTPUT,
            "total_tokens": INPUT + OUTPUT,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _azure(body: Any, reply: Says | Declines) -> object:
    message: dict[str, object] = {"role": "assistant", "content": None}
    reason = "content_filter"
    if isinstance(reply, Says):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": reply.text}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        reason = "length" if reply.cut else "tool_calls"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": reason, "message": message, "logprobs": None}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
    }


def _google(reply: Says | Declines) -> object:
    candidate: dict[str, object] = {"index": 0, "finishReason": "SAFETY"}
    if isinstance(reply, Says):
        arguments = reply.arguments if isinstance(reply.arguments, Mapping) else {"passed": reply.text}
        part = {"functionCall": {"name": "submit_verdict", "args": arguments}}
        content = {"role": "model", "parts": [part]}
        candidate = {"index": 0, "finishReason": "MAX_TOKENS" if reply.cut else "STOP", "content": content}
    usage = {"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}
