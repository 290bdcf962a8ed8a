"""One of three processes that share a task and, each on its own, trace it.

Usage: python -m tests.programs.traced agent URL TOKEN PERSONS_TOKEN SPANS
       python -m tests.programs.traced serve|work DATABASE_URL TOKEN PERSONS_TOKEN SPANS

`serve` is a router that leaves the due work to others and prints its address;
`work` delivers, saying so, and verifies; both run until their standard input closes.
`agent` asks over HTTP, prints the task's id and waits. Each writes its spans to
the file SPANS, a JSON document per line.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from awaithumans import Engine, Notice, RemoteEngine, Verdict, VerificationContext, VerifierConfig
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.testing.channels import RecordingChannel
from awaithumans.testing.engines import a_question
from awaithumans.web import ApiToken, Router
from tests.serving import serving

Role = Callable[[str, str, str], Awaitable[None]]


class Lenient:
    """A verifier that passes everything."""

    async def verify(self, context: VerificationContext) -> Verdict:
        return Verdict(passed=True)


class Herald(RecordingChannel):
    """A channel that prints which event it told of."""

    async def send(self, notice: Notice) -> str | None:
        say(notice.event)
        return await super().send(notice)


@asynccontextmanager
async def engine_on(url: str) -> AsyncIterator[Engine]:
    store = SQLAlchemyStore(url)
    yield Engine(store, channels=[Herald()], verifiers={"lenient": Lenient()})
    await store.aclose()


async def agent(url: str, token: str, _: str) -> None:
    question = a_question(
        notify=("test:ana",), verifier=VerifierConfig(provider="lenient", instructions="Pass."), timeout_seconds=60
    )
    async with RemoteEngine(url, token) as engine:
        with trace.get_tracer("the-agent").start_as_current_span("agent"):
            task = await engine.create(question)
            say(task.id)
            await engine.wait(task.id)


async def serve(url: str, token: str, persons_token: str) -> None:
    async with engine_on(url) as engine:
        tokens = [ApiToken("agent", token, ["ask"]), ApiToken.admin(persons_token)]
        engine._runner.run = anyio.sleep_forever  # type: ignore[method-assign]
        with serving(Router(engine, tokens=tokens)) as served:
            say(served)
            await anyio.to_thread.run_sync(sys.stdin.read)


async def work(url: str, _: str, __: str) -> None:
    async with engine_on(url) as engine, engine.run():
        say("ready")
        await anyio.to_thread.run_sync(sys.stdin.read)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    role, url, token, persons_token, spans = sys.argv[1:]
    with Path(spans).open("w") as file:
        exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
        provider = TracerProvider(resource=Resource({"service.name": role}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        roles: dict[str, Role] = {"agent": agent, "serve": serve, "work": work}
        anyio.run(roles[role], url, token, persons_token)
