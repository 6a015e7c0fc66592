"""Several reads at once: in order, a few at a time, and none left behind when one fails."""

import asyncio

import pytest

from adapters.errors import Unavailable
from adapters.together import WIDTH, together


async def test_results_come_in_the_order_of_the_items() -> None:
    async def read(number: int) -> str:
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return str(number)

    assert await together(read, range(20)) == [str(number) for number in range(20)]
    assert await together(read, []) == []


async def test_only_a_few_run_at_a_time() -> None:
    running = most = 0

    async def read(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1

    await together(read, range(5 * WIDTH))
    assert most == WIDTH


@pytest.mark.parametrize("failing", [0, 1, WIDTH - 1])
async def test_the_first_failure_ends_the_others_and_is_the_error(failing: int) -> None:
    running = set()

    async def read(number: int) -> None:
        if number == failing:
            raise Unavailable("the vendor is gone")
        running.add(number)
        try:
            await asyncio.Event().wait()
        finally:
            running.remove(number)

    with pytest.raises(Unavailable, match="the vendor is gone"):
        await together(read, range(3 * WIDTH))
    assert not running


async def test_a_caller_that_leaves_takes_the_reads_along() -> None:
    ended = asyncio.Event()

    async def wait(_: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(together(wait, [1]))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
