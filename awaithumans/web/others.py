"""What else waits for the person behind a link: told where the link was sent, and nowhere else.

Only of tasks whose word goes to that very address anyway, through the same
channel: what a task says, and the link to it, come to nobody who was not to
have them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import replace

from awaithumans.engine import Engine
from awaithumans.errors import TaskNotFoundError
from awaithumans.lifecycle import may_answer
from awaithumans.routing import Recipient, channel_of
from awaithumans.types import Actor, Human, Order, Query, Task, TaskStatus

MOST = 20
"""Of how many tasks somebody is told at once."""
LOOKED_THROUGH = 1_000
_PAGE = 200


def came_by_channel(task: Task, via: str | None) -> bool:
    """Tell whether word of the task goes through the channel of this name."""
    return any(channel_of(recipient) == via for recipient in task.recipients)


async def remind_of_others(engine: Engine, task: Task, by: Actor) -> None:
    """Remind the person behind a link to `task` of the other tasks that wait for them, the most urgent first.

    Of each once within ten minutes, however often and at how many places at
    once they ask. What was written when this process ends is sent all the same.
    """
    addresses = await _addresses(engine, task, by)
    found = 0
    async for other in _waiting_for(engine, by.human):
        recipient = _recipient(other, addresses)
        if recipient is None or other.id == task.id:
            continue
        with suppress(TaskNotFoundError):
            await engine.remind(other.id, recipient, by=by)
        found += 1
        if found == MOST:
            return


async def _addresses(engine: Engine, task: Task, by: Actor) -> set[tuple[str, str]]:
    """Find where the link was sent: the targets in its channel that are this person."""
    told = [one for one in map(Recipient.parse, task.recipients) if one.channel == by.via]
    found = [(one, await engine.directory.find(one.target)) for one in told]
    return {_address(one) for one, human in found if human and human.addresses & by.human.addresses}


async def _waiting_for(engine: Engine, human: Human) -> AsyncIterator[Task]:
    query = Query(statuses=frozenset({TaskStatus.PENDING}), visible_to=human, order=Order.DEADLINE, limit=_PAGE)
    for _ in range(LOOKED_THROUGH // _PAGE):
        page = await engine.find(query)
        for task in page:
            if may_answer(task, human) and (task.assignee is None or task.assignee.addresses & human.addresses):
                yield task
        if len(page) < _PAGE:
            return
        query = replace(query, after=Order.DEADLINE.place(page[-1]))


def _recipient(task: Task, addresses: Iterable[tuple[str, str]]) -> str | None:
    return next((one for one in task.recipients if _address(Recipient.parse(one)) in addresses), None)


def _address(recipient: Recipient) -> tuple[str, str]:
    return recipient.channel, recipient.target.lower()
