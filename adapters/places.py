"""How many calls to a vendor may be under way at once; the others wait in line, a few of them, for a while."""

import asyncio
from collections import deque

from adapters.errors import Overloaded

FOLLOWERS = 256
"""Calls that may wait for what another one reads; they cost the vendor nothing, but memory here."""


class Bound:
    """Those that do something, within `with`: so many, and one more is refused."""

    __slots__ = ("_doing", "free")

    def __init__(self, size: int, doing: str) -> None:
        self.free = size
        self._doing = doing

    def __enter__(self) -> None:
        """Begin.

        Raises:
            Overloaded: Too many do already.
        """
        if self.free <= 0:
            raise Overloaded(f"too many calls to this connection {self._doing}")
        self.free -= 1

    def __exit__(self, *_: object) -> None:
        """End."""
        self.free += 1


class Places:
    """So many places; whoever waits gets the next one that is given back, in turn.

    Take one by counting `free` down, where there is one; by `wait` otherwise. Nobody waits while one is free.
    """

    __slots__ = ("_queue", "_waiting", "followers", "free", "tokens", "turns")

    def __init__(self, size: int, queue: int) -> None:
        self.free = size
        self.tokens = Bound(size + queue, "wait for a token")
        """Those that wait for one before: as many as could be under way and in line with it."""
        self.turns = Bound(size + queue, "wait for the vendor's limits")
        """Apart, since the login that others wait for may wait here itself."""
        self.followers = Bound(FOLLOWERS, "wait for what others read")
        """Those that need no place: another call reads what they want."""
        self._queue = queue
        self._waiting: deque[asyncio.Future[bool]] = deque()

    async def wait(self, patience_s: float) -> None:
        """Wait for a place, and take it.

        Raises:
            Overloaded: Too many wait already, or none came free in time.
        """
        if len(self._waiting) >= self._queue or patience_s <= 0:
            raise Overloaded("too many calls to this connection wait for their turn")
        loop = asyncio.get_running_loop()
        # One future a waiter: a shared one would make many cancellations quadratic.
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(patience_s, self._give_up, waiter)
        try:
            got = await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiting.remove(waiter)
            elif waiter.result():
                # It was handed over in the moment in which its caller left.
                self.give_back()
            raise
        finally:
            timer.cancel()
        if not got:
            raise Overloaded("the calls to this connection that are under way leave no place in time")

    def give_back(self) -> None:
        """Hand a place to who waits longest, or leave it free."""
        for waiter in self._waiting:
            if not waiter.done():
                self._waiting.remove(waiter)
                waiter.set_result(True)
                return
        self.free += 1

    def _give_up(self, waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            self._waiting.remove(waiter)
            waiter.set_result(False)
