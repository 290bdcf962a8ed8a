"""A reverse proxy: a real one between two real servers, in a few lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding"}


def reverse_proxy(upstream: str, prefix: str, *, strips: bool) -> Starlette:
    """Return an app that hands what is below `prefix` to the server at `upstream`.

    It passes on the `Host` header and, byte by byte, the path, with or without
    the prefix. Outside the prefix there is nothing.
    """
    client = httpx2.AsyncClient(timeout=40)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with client:
            yield

    async def forward(request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        if not path.startswith(f"{prefix}/"):
            return Response("outside of the prefix", 404)
        target = httpx2.URL(f"{upstream}{path.removeprefix(prefix) if strips else path}", query=_query(request))
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
        reply = await client.request(request.method, target, content=await request.body(), headers=headers)
        response = Response(reply.content, reply.status_code)
        end_to_end = [(name, value) for name, value in reply.headers.multi_items() if name not in HOP_BY_HOP]
        response.raw_headers += [(name.encode(), value.encode()) for name, value in end_to_end]
        return response

    return Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])], lifespan=lifespan)


def _query(request: Request) -> bytes | None:
    return request.scope["query_string"] or None
