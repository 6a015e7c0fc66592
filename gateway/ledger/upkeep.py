"""What goes on in the background as long as the process serves: lost calls, news of other replicas, what is too old."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable

from adapters.errors import StoreUnavailable
from gateway.ledger.known import MAX_LOST, MAX_STARTED
from gateway.ledger.ledger import Ledger, Sleep
from gateway.ledger.reconciler import Reconciler

LOG = logging.getLogger(__name__)

DAY_S = 24 * 3600.0
OVERLAP_S = 60.0
"""How far clocks may be apart, and statements late, so that no news is missed."""
FORGETTING = "forgetting"
FORGET_EVERY_S = 600.0
FORGET_AT_ONCE = 500
AT_ONCE = 2_000
"""Names of jobs that are learned in one go: some milliseconds in which nothing else is done."""
THE_NEWEST = (1e15, "")
"""Before which all rows are."""


class Upkeep:
    """Of one ledger, in one process."""

    def __init__(
        self,
        ledger: Ledger,
        reconciler: Reconciler,
        *,
        every_s: float = 30.0,
        ids_days: float = 7.0,
        jobs_days: float = 400.0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._reconciler = reconciler
        self._every_s = every_s
        self._ids_days, self._jobs_days = ids_days, jobs_days
        self._sleep = sleep
        self._known_until = 0.0
        self._parts: tuple[Callable[[], Awaitable[None]], ...] = (self.learn, self._reconciler.look, self.forget)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, with a round at once; no part waits for another one."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._again(part), context=contextvars.Context()) for part in self._parts]

    async def stop(self) -> None:
        """End; a round that is interrupted is taken up by whoever comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def round(self) -> None:
        """Do what is due, once."""
        for part in self._parts:
            await self._tried(part)

    async def learn(self) -> None:
        """Learn of the jobs that other processes started, lost and found since the last time."""
        since, now = self._known_until - OVERLAP_S, self._store.now()
        at: tuple[float, str] = THE_NEWEST
        for _ in range(0, MAX_STARTED, AT_ONCE):
            page = await self._store.names(since, at, AT_ONCE)
            # The first time there are many, newest first.
            self._ledger.known.started(*(name for name, *_ in page), newest=since > 0)
            if len(page) < AT_ONCE:
                break
            at = page[-1][1:]
        for row in reversed(await self._store.lost(since, MAX_LOST)):
            self._ledger.known.lost(row)
        self._known_until = now

    async def forget(self) -> None:
        """Take out what is too old, where no other replica does."""
        now = self._store.now()
        ids_before, jobs_before = now - self._ids_days * DAY_S, now - self._jobs_days * DAY_S
        self._ledger.known.forget(jobs_before)
        if not await self._store.lease(FORGETTING, self._ledger.owner, now + FORGET_EVERY_S):
            return
        gone = -1
        while gone:
            gone = await self._store.forget(ids_before=ids_before, jobs_before=jobs_before, limit=FORGET_AT_ONCE)

    async def _again(self, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._tried(part)
            await self._sleep(self._every_s)

    async def _tried(self, part: Callable[[], Awaitable[None]]) -> None:
        """Do a part; where it fails, by whatever mistake, it stays due."""
        if self._store.unused:
            return
        (error,) = await asyncio.gather(part(), return_exceptions=True)
        if isinstance(error, StoreUnavailable):
            LOG.warning("%s: tried again later", error.message)
        elif error is not None:
            LOG.error("the ledger's upkeep failed: tried again later", exc_info=error)
