"""Rates that several replicas keep to together, counted in Redis. Loaded only where one is configured.

Redis is never waited for longer than a call's patience, and no call fails for want of it: while it is gone each replica
keeps to the rates alone, and asks again from time to time.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from adapters.rates import Rate

LOG = logging.getLogger(__name__)

REST_S = 5.0
"""After Redis failed it is not asked for so long."""
MIN_WAIT_S = 0.01
"""Where the turn that was refused is free by the time that its wait is asked for."""


class SharedRates:
    """The turns of all connections, in one Redis."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.prefix = prefix
        """What all keys begin with."""
        self.patience_s = patience_s
        """How long a call waits for Redis at most."""
        self._storage = RedisStorage(url, implementation="redispy", key_prefix=prefix)
        self._windows = MovingWindowRateLimiter(self._storage)
        self._clock = clock
        self._now = now
        self._ask_again_at = 0.0
        self._gone = False

    async def take(self, connection: str, kind: str, rate: Rate) -> float:
        """Take a turn; return 0, or the wait until there may be one. Where Redis does not answer, there is one."""
        if self._gone and self._clock() < self._ask_again_at:
            return 0.0
        item = RateLimitItemPerSecond(rate.calls, rate.period_s)
        try:
            async with asyncio.timeout(self.patience_s):
                wait_s = 0.0
                if not await self._windows.hit(item, connection, kind):
                    stats = await self._windows.get_window_stats(item, connection, kind)
                    wait_s = max(MIN_WAIT_S, stats.reset_time - self._now())
        except (RedisError, OSError) as error:
            self._ask_again_at = self._clock() + REST_S
            if not self._gone:
                LOG.warning("rates are not shared with other replicas: Redis fails (%s)", type(error).__name__)
            self._gone = True
            return 0.0
        if self._gone:
            LOG.info("rates are shared with other replicas again")
            self._gone = False
        return wait_s

    async def close(self) -> None:
        """Close the connections to Redis."""
        await cast(RedispyBridge, self._storage.bridge).storage.aclose()
