"""Several reads at once, for what a vendor only tells one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

WIDTH = 8
"""How many run at a time."""


async def together(read: Callable[[A], Awaitable[T]], items: Iterable[A]) -> list[T]:
    """Return what *read* returns for each of *items*, in their order; the first that fails ends the others."""
    turn = asyncio.Semaphore(WIDTH)

    async def in_turn(item: A) -> T:
        async with turn:
            return await read(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(item)) for item in items]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
