"""Work beside a block: it ends with the block, and hides nothing that ends the block."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from awaithumans.beside import beside

LAST_STEP = 20
"""Steps of the event loop after which the program below has long left its block."""


class Lasting:
    """Work that lasts, and takes some steps of the event loop to end."""

    def __init__(self) -> None:
        self.ended = 0

    async def work(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                await anyio.sleep_forever()
        finally:
            self.ended += 1


@pytest.mark.anyio
async def test_work_ends_behind_the_block():
    lasting = Lasting()
    async with beside(lasting.work):
        await anyio.lowlevel.checkpoint()
        assert lasting.ended == 0
    assert lasting.ended == 1


@pytest.mark.anyio
async def test_an_error_of_the_block_comes_out_as_it_is():
    with pytest.raises(ConnectionError):
        async with beside(anyio.sleep_forever):
            raise ConnectionError


@pytest.mark.anyio
async def test_an_error_of_the_work_cuts_the_block_off():
    async def fail() -> None:
        raise ConnectionError

    with pytest.raises(BaseExceptionGroup) as raised:
        async with beside(fail):
            await anyio.sleep_forever()
    assert raised.group_contains(ConnectionError)


@pytest.mark.parametrize("step", range(LAST_STEP))
def test_a_cancellation_by_asyncio_is_not_lost_whenever_it_comes(step: int):
    async def program() -> None:
        async with beside(Lasting().work):
            for _ in range(3):
                await asyncio.sleep(0)
        await asyncio.sleep(60)

    async def cancelled_at_the_step() -> bool:
        run, loop = asyncio.create_task(program()), asyncio.get_running_loop()

        def count_down(left: int) -> None:
            if left:
                loop.call_soon(count_down, left - 1)
            else:
                run.cancel()

        count_down(step)
        await asyncio.wait([run], timeout=5)
        return run.cancelled()

    assert asyncio.run(cancelled_at_the_step())


def test_a_cancellation_by_asyncio_is_not_lost_with_a_deadline_of_the_block():
    """Both come in one step of the event loop, which makes one exception of them."""

    async def program() -> None:
        loop, run = asyncio.get_running_loop(), asyncio.current_task()
        assert run
        async with beside(Lasting().work):
            with anyio.CancelScope() as pause:
                loop.call_soon(pause.cancel)
                loop.call_soon(run.cancel)
                await anyio.sleep_forever()

    async def cancelled() -> bool:
        run = asyncio.create_task(program())
        await asyncio.wait([run], timeout=5)
        return run.cancelled()

    assert asyncio.run(cancelled())
