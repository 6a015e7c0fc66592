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
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a round at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def stop(self) -> None:
        """End; a round that is interrupted is taken up by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def round(self) -> None:
        """Do what is due; where the store fails, it stays due."""
        if self._store.unused:
            return
        for part in (self.learn, self._reconciler.look, self.forget):
            await self._tried(part)

    async def learn(self) -> None:
        """Learn of the jobs that other processes started, lost and found since the last time."""
        since, now = self._known_until - OVERLAP_S, self._store.now()
        for name, _, __ in reversed(await self._store.names(since, MAX_STARTED)):
            self._ledger.known.started(name)
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

    async def _run(self) -> None:
        while True:
            await self.round()
            await self._sleep(self._every_s)

    async def _tried(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except StoreUnavailable as error:
            LOG.warning("%s: tried again later", error.message)
