"""The whole way: an agent asks, a person answers in a browser, the agent goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from typing import Literal

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.types import ASGIApp

from awaithumans import Engine, Human, Query, await_human_sync
from awaithumans.blocking import BlockingEngine
from awaithumans.stores.sqlalchemy import SQLAlchemyStore
from awaithumans.web import Router


class Refund(BaseModel):
    order: str
    amount: Decimal


class Decision(BaseModel):
    approved: bool
    amount: Decimal = Field(ge=0, le=500)
    reason: Literal["damaged", "late"]
    pay_on: date
    note: str = ""


def current_user(_: Request) -> Human:
    return Human(id="ana", email="ana@example.com", display_name="Ana")


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"])
def test_from_the_question_to_the_typed_answer(
    database: str,
    serve: Callable[[ASGIApp], str],
    browser: Browser,
    database_url: Callable[[str], str],
) -> None:
    engine = Engine(SQLAlchemyStore(database_url(database)), secret="s" * 32)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.run():
            yield
        await engine.aclose()

    app = FastAPI(lifespan=lifespan)
    app.mount("/humans", Router(engine, auth=current_user))
    site = serve(app)
    with ThreadPoolExecutor(1) as pool:
        agent = pool.submit(
            await_human_sync,
            task="Approve this refund?",
            payload_schema=Refund,
            payload=Refund(order="A-1", amount=Decimal("99.99")),
            response_schema=Decision,
            timeout_seconds=600,
            assign_to="ana@example.com",
            engine=engine,
        )
        page = browser.new_page()
        while not BlockingEngine(engine).find(Query()):
            assert not agent.done(), agent.result()
            page.wait_for_timeout(10)
        page.goto(f"{site}/humans/")
        page.get_by_role("link", name="Approve this refund?").click()
        expect(page.get_by_text("99.99").first).to_be_visible()
        page.get_by_label("Yes").check()
        page.get_by_label("Amount").fill("99,99")
        page.get_by_label("late").check()
        page.get_by_label("Pay on").fill("2026-12-01")
        page.get_by_role("button", name="Send the answer").click()
        expect(page.get_by_role("alert")).to_contain_text("Amount")
        page.get_by_label("Amount").fill("99.99")
        page.get_by_role("button", name="Send the answer").click()
        decision = agent.result(timeout=30)
    assert decision == Decision(approved=True, amount=Decimal("99.99"), reason="late", pay_on=date(2026, 12, 1))
