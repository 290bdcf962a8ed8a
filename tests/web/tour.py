"""Every kind of page there is, over one server: for what must hold on all of them.

What agents and people wrote is in Cyrillic letters: whatever is in Latin ones
is a text of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx2
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.types import ASGIApp

from tests.web.world import World, as_program

PATIENCE_SECONDS = 20
ANSWER = {
    "type": "object",
    "properties": {
        "a": {"type": "boolean", "title": "Вернуть деньги"},
        "b": {"type": "integer", "title": "Сумма", "minimum": 1, "maximum": 500, "multipleOf": 5},
        "c": {"enum": ["полностью", "частично", "нет"], "title": "Вид"},
        "d": {"type": "string", "title": "Заметка", "maxLength": 200},
        "e": {
            "type": "array",
            "title": "Строки",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"x": {"type": "string", "title": "Товар"}, "y": {"type": "integer", "title": "Штук"}},
                "required": ["x"],
            },
        },
        "f": {"type": "string", "format": "date", "title": "Когда"},
    },
    "required": ["a", "b", "e"],
}
YES_OR_NO = {"type": "object", "properties": {"a": {"type": "boolean", "title": "Вернуть"}}, "required": ["a"]}
PAYLOAD = {
    "заказ": "№ 1047",
    "клиент": {"имя": "Юрий", "постоянный": True},
    "строки": [{"товар": "Лампа", "штук": 3}, {"товар": "Кабель", "штук": 6}],
    "пусто": None,
    "текст": "Лампа пришла разбитой.\nЯ хотел бы получить деньги назад.",
}
STAY = """document.addEventListener("readystatechange", () => {
  document.querySelector("[data-reload]")?.removeAttribute("data-reload");
});"""
"""Has the page of what is being checked not load itself anew while it is looked at: scripts run after this."""
CHECKED = {"provider": "moody", "instructions": "вежливо", "max_attempts": 2}


@dataclass
class Tour:
    """A served world, and where its pages are."""

    base: str
    paths: Mapping[str, str]
    """The addresses by what they show."""

    def page(self, browser: Browser, **options: object) -> Page:
        """Open a tab of an operator."""
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.add_cookies([{"name": "user", "value": "olga", "url": self.base}])
        context.add_init_script(STAY)
        return context.new_page()


@contextmanager
def touring(serve: Callable[[ASGIApp], str], **options: Any) -> Iterator[Tour]:
    """Serve a world in which there is a page of every kind."""
    world = World(
        mount="/humans", name="Сервис", verdict_seconds=0.2, embed_origins=["https://app.example.com"], **options
    )
    host = Starlette()
    host.mount("/humans", world.router)
    base = f"{serve(host)}/humans"
    with httpx2.Client(base_url=base) as client:
        yield Tour(base, _Guide(world, client).paths())


class _Guide:
    def __init__(self, world: World, client: httpx2.Client) -> None:
        self._world = world
        self._client = client
        self._count = 0

    def paths(self) -> Mapping[str, str]:
        tasks = {
            "open": self._ask(ANSWER, payload=PAYLOAD),
            "yes or no": self._ask(YES_OR_NO, task="Вернуть деньги за заказ № 1047?\nКлиент ждёт с понедельника."),
            "with Ana": self._ask(YES_OR_NO, assign_to={"email": "ana@example.com"}),
            "refused": self._answered(verifier_config=CHECKED),
            "refused for good": self._answered(verifier_config={**CHECKED, "max_attempts": 1}),
            "being checked": self._answered(verifier_config={**CHECKED, "provider": "broken"}),
            "answered": self._answered(payload=PAYLOAD),
            "expired": self._ask(YES_OR_NO, timeout_seconds=1),
            "withdrawn": self._withdrawn(),
        }
        self._await_status(tasks["expired"], "timed_out")
        pages = {name: f"/tasks/{task_id}" for name, task_id in tasks.items()}
        ended = ("answered", "being checked", "refused for good", "withdrawn", "yes or no")
        return {
            "queue": "/",
            "closed": "/?status=closed",
            "mine": "/?show=mine",
            "free": "/?show=unassigned",
            "found": "/?q=деньги",
            "not found": "/?q=зебра",
            "no more": "/?after=1.1",
            "none of these": "/?status=cancelled&q=зебра",
            "figures": "/figures",
            **pages,
            **{f"{name}, done": f"{pages[name]}/done" for name in ended},
            "confirming": f"{pages['yes or no']}?answer=true",
            "link": self._link(tasks["with Ana"]),
            "link of what expired": self._link(tasks["expired"]),
            "broken link": "/l/nope",
            "frame": self._frame(tasks["with Ana"]),
            "no task": "/tasks/nope",
            "nothing": "/nope",
        }

    def _ask(self, schema: object, **changes: object) -> str:
        self._count += 1
        asked = {
            "task": f"Вернуть деньги за заказ № {self._count}?",
            "payload": {},
            "payload_schema": {"type": "object"},
            "response_schema": schema,
            "timeout_seconds": 7_200,
            "idempotency_key": f"k{self._count}",
            **changes,
        }
        return str(self._post("/tasks", asked, "asker", status=201)["id"])

    def _answered(self, **changes: object) -> str:
        task_id = self._ask(YES_OR_NO, **changes)
        self._post(f"/tasks/{task_id}/complete", {"response": {"a": True}}, "answerer")
        return task_id

    def _withdrawn(self) -> str:
        task_id = self._ask(YES_OR_NO)
        self._post(f"/tasks/{task_id}/cancel", {"reason": "Уже не нужно"}, "operator")
        return task_id

    def _link(self, task_id: str) -> str:
        return f"/l/{self._world.engine.keys.link_token(task_id, 'ana@example.com', 0)}"

    def _frame(self, task_id: str) -> str:
        wanted = {"task_id": task_id, "parent_origin": "https://app.example.com", "sub": "ana@example.com"}
        address = str(self._post("/embed/tokens", wanted, "speaker")["embed_url"])
        return address.partition("/humans")[2]

    def _await_status(self, task_id: str, status: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read(task_id)["status"] != status:
            assert time.monotonic() < deadline, f"the task is not {status} yet"
            time.sleep(0.05)

    def _read(self, task_id: str) -> dict[str, Any]:
        found = self._client.get(f"/api/tasks/{task_id}", headers=as_program("admin"))
        return cast("dict[str, Any]", found.json())

    def _post(self, path: str, wanted: object, who: str, *, status: int = 200) -> dict[str, Any]:
        sent = self._client.post(f"/api{path}", json=wanted, headers=as_program(who))
        assert sent.status_code == status, sent.text
        return cast("dict[str, Any]", sent.json())
