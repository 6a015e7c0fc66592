"""Several reads at once, for what a vendor only tells one by one."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

WIDTH = 8
"""How many run at a time."""


async def together(reads: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what *reads* return, in their order; the first that fails ends the others."""
    turn = asyncio.Semaphore(WIDTH)

    async def in_turn(read: Coroutine[Any, Any, T]) -> T:
        async with turn:
            return await read

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(read)) for read in reads]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
