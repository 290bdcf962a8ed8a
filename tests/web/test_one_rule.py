"""Who may answer: one rule, whichever door they come by.

The assignee, the candidates while nobody has it, and operators; anybody, where
it is addressed to nobody. A link has no operator's rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import anyio
import httpx2
import pytest

from awaithumans import Engine
from awaithumans.directory import StaticDirectory
from awaithumans.errors import AwaitHumansError
from awaithumans.stores.memory import MemoryStore
from awaithumans.testing.engines import a_question
from awaithumans.types import Actor, Submit, Task, Verdict, VerificationContext
from awaithumans.web import Router, csrf
from tests.web.world import ANA, OLGA, PEOPLE, SECRET, YES, World, as_person, form, hidden_token

pytestmark = pytest.mark.anyio

SAME = {"Sec-Fetch-Site": "same-origin"}
BOTH = {"emails": ["ana@example.com", "bob@example.com"]}
DOORS = ("engine", "api", "page", "link")
NOBODY: set[str] = set()

STATES: Mapping[str, set[str]] = {
    "for ana and bob": {"ana", "bob", "olga"},
    "taken by ana": {"ana", "olga"},
    "given back": {"ana", "bob", "olga"},
    "for ana": {"ana", "olga"},
    "handed on to ana": {"ana", "olga"},
    "for anybody": {"ana", "bob", "eve", "olga"},
    "for anybody, taken by ana": {"ana", "olga"},
    "under review": NOBODY,
    "answered": NOBODY,
    "withdrawn": NOBODY,
}
"""Who may answer in each state."""

WITHOUT_RANK = {"for anybody": {"ana", "bob", "eve", "olga"}}
"""Where an operator may answer as one of those who are asked."""


class Undecided:
    """A verifier that comes to no verdict."""

    async def verify(self, context: VerificationContext) -> Verdict:
        await anyio.sleep_forever()
        raise AssertionError


async def prepared(world: World, client: httpx2.AsyncClient, state: str) -> str:
    """Bring a task into a state; return its id."""
    assign_to: Mapping[str, object] | None = BOTH
    if state == "for ana":
        assign_to = {"email": "ana@example.com"}
    elif state.startswith("for anybody"):
        assign_to = None
    checked = {"verifier_config": {"provider": "moody", "instructions": "Be polite."}} if "review" in state else {}
    task_id = await world.ask(client, by="asker", assign_to=assign_to, **checked)
    ana, olga = Actor.of(ANA, auth="host"), Actor.of(OLGA, auth="host")
    if "taken" in state or state == "given back":
        await world.engine.claim(task_id, by=ana)
    if state == "given back":
        await world.engine.release(task_id, by=ana)
    if state.startswith("handed on"):
        await world.engine.reassign(task_id, [ANA], by=olga)
    world.engine.verifiers["moody"] = Undecided()
    if state in {"under review", "answered"}:
        await world.engine.submit(task_id, YES, by=olga)
    if state == "withdrawn":
        await world.engine.cancel(task_id, by=olga)
    return task_id


async def by_engine(world: World, client: httpx2.AsyncClient, task: Task, name: str) -> bool:
    try:
        await world.engine.act(task.id, Submit(value=YES, by=Actor.of(PEOPLE[name], auth="channel", via="test")))
    except AwaitHumansError:
        return False
    return True


async def by_api(world: World, client: httpx2.AsyncClient, task: Task, name: str) -> bool:
    token = world.engine.keys.form_token(PEOPLE[name].id, "")
    headers = {**as_person(name), csrf.HEADER: token}
    sent = await client.post(f"/api/tasks/{task.id}/complete", json={"response": YES}, headers=headers)
    return sent.status_code == 200


async def by_page(world: World, client: httpx2.AsyncClient, task: Task, name: str) -> bool:
    shown = await client.get(f"/tasks/{task.id}", headers=as_person(name))
    offered = 'name="approved"' in shown.text
    token = world.engine.keys.form_token(PEOPLE[name].id, "")
    fields = {"_awaithumans_csrf": token, "approved": "true"}
    sent = await client.post(f"/tasks/{task.id}", data=fields, headers=as_person(name))
    assert offered == (sent.status_code == 303), "the page offers a form to those alone whose answer counts"
    return offered


async def by_link(world: World, client: httpx2.AsyncClient, task: Task, name: str) -> bool:
    link = world.link(task, PEOPLE[name])
    shown = await client.get(link)
    offered = 'name="approved"' in shown.text
    token = hidden_token(shown.text) if offered else world.engine.keys.form_token(f"link:{PEOPLE[name].id}", "")
    sent = await client.post(link, data={"_awaithumans_csrf": token, "approved": "true"}, headers=SAME)
    assert offered == (sent.status_code == 303), "the link shows a form to those alone whose answer counts"
    return offered


ATTEMPTS = {"engine": by_engine, "api": by_api, "page": by_page, "link": by_link}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", PEOPLE)
async def test_the_rule(world: World, client: httpx2.AsyncClient, name: str, state: str, door: str) -> None:
    task = await world.task(await prepared(world, client, state))
    may = name in STATES[state]
    if door == "link" and name == "olga":
        may = name in WITHOUT_RANK.get(state, NOBODY)
    assert await ATTEMPTS[door](world, client, task, name) == may
    answers = (await world.task(task.id)).answers
    assert len(answers) - len(task.answers) == may
    if may:
        assert answers[-1].by.id == PEOPLE[name].id


# ── Links, and people who leave ───────────────────────────────────────────────

FILE = '[[people]]\nid = "u-1"\nemail = "ana@example.com"\n[[people]]\nid = "u-2"\nemail = "ben@example.com"\n'


async def test_a_link_is_dead_from_the_moment_that_somebody_is_no_longer_active(tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_text(FILE)
    engine = Engine(
        MemoryStore(),
        directory=StaticDirectory.from_file(file),
        secret=SECRET,
        public_url="http://app.example",
        background=False,
    )
    task = await engine.create(a_question(assign_to={"userId": "U-1"}))
    link = engine.link(task, task.addressees[0])
    router = Router(engine, auth=lambda _: None)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(router), base_url="http://app.example") as client:
        fields = await form(client, link, None, approved="true", amount="1")
        file.write_text(FILE.replace('id = "u-1"', 'id = "u-1"\nactive = false'))
        for response in (await client.get(link), await client.post(link, data=fields, headers=SAME)):
            assert response.status_code == 410
        assert (await engine.get(task.id)).answers == ()
        file.write_text(FILE)
        assert (await client.post(link, data=fields, headers=SAME)).status_code == 303
        assert (await engine.get(task.id)).response == {"approved": True, "amount": 1}
    await engine.aclose()
