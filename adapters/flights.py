"""Reads under way, so that whoever asks for the same meanwhile shares the answer."""

import asyncio
import copy
from typing import Generic, TypeVar

from adapters.errors import VendorError

T = TypeVar("T")


class Flight(Generic[T]):
    """One read under way: its leader makes it as it would alone, the others wait, each until its own end."""

    __slots__ = ("_followers",)

    def __init__(self) -> None:
        # One future a follower: a shared one would make many cancellations quadratic.
        self._followers: dict[asyncio.Future[T | VendorError | None], None] = {}

    async def follow(self, ends_at: float) -> T | None:
        """Return what the leader gets; None where it left, or *ends_at* came first, on the event loop's clock.

        Raises:
            VendorError: What the vendor answered the leader.
        """
        loop = asyncio.get_running_loop()
        follower: asyncio.Future[T | VendorError | None] = loop.create_future()
        self._followers[follower] = None
        timer = loop.call_at(ends_at, _tell, follower, None)
        try:
            outcome = await follower
        finally:
            timer.cancel()
            del self._followers[follower]
        if isinstance(outcome, VendorError):
            # One of its own: a traceback grows by every place where its exception is raised.
            raise copy.copy(outcome)
        return outcome

    def end(self, outcome: T | VendorError | None) -> None:
        """Tell the followers what came of it; None: the first of them may lead."""
        for follower in self._followers:
            _tell(follower, outcome)


def _tell(follower: "asyncio.Future[T | VendorError | None]", outcome: T | VendorError | None) -> None:
    if not follower.done():
        follower.set_result(outcome)
