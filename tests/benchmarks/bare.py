"""The limit of a server: the least that Starlette can do with JSON.

It replies with a document as long as a task's.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.benchmarks.asking import DOCUMENT


async def get(request: Request) -> JSONResponse:
    return JSONResponse(DOCUMENT)


async def post(request: Request) -> JSONResponse:
    await request.json()
    return JSONResponse(DOCUMENT, status_code=201)


app = Starlette(routes=[Route("/", get), Route("/", post, methods=["POST"])])
