"""The two connection pools of one connection to a vendor, its timeouts and its clocks."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver

from adapters.breaker import Breaker
from adapters.errors import VendorError
from adapters.places import Places
from adapters.policy import Policy
from adapters.rates import Rate, Rates, TakeShared
from adapters.retry import Budget

V = TypeVar("V", bound=VendorError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a vendor may take, in seconds."""

    operation_s: float = 30.0
    """All attempts of one call, where the caller's deadline leaves more."""
    attempt_s: float = 10.0
    """One attempt of a read or an idempotent write."""
    connect_s: float = 3.0
    idle_s: float = 30.0
    """Between two pieces of a download or upload, which have no end of their own."""


class Transport:
    """The two connection pools of one connection, its timeouts and clocks, and what all its calls share.

    Nothing here is shared with another connection: a vendor that hangs takes no place of another's.

    Make it inside a running event loop; close it when the connection is no longer used.
    """

    def __init__(
        self,
        vendor: str,
        connection: str,
        *,
        timeouts: Timeouts | None = None,
        policy: Policy | None = None,
        rates: Mapping[str, Rate] | None = None,
        shared_rates: TakeShared | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.vendor = vendor
        self.connection = connection
        self.timeouts = timeouts or Timeouts()
        self.policy = policy or Policy()
        self.now = now
        """Epoch seconds; may be set back."""
        self.clock = clock
        """Seconds since some moment; never goes back."""
        self.sleep = sleep
        self.jitter = jitter
        self.places = Places(self.policy.concurrency, self.policy.queue)
        self.polling = Places(self.policy.polling_concurrency, self.policy.queue)
        """Those of pollers."""
        self.downloads = Places(self.policy.download_concurrency, self.policy.queue)
        """Those of downloads, which last as long as their readers like."""
        self.breaker = Breaker(connection, self.policy, attempt_s=self.timeouts.attempt_s, clock=clock, now=now)
        self.budget = Budget(self.policy)
        self.rates = Rates(
            rates, max_quiet_s=self.policy.retry_after_max_s, clock=clock, sleep=sleep, shared=shared_rates
        )
        self.writes = 0
        """Goes up whenever a write begins or ends: what was read before is old."""
        self.pooled = self._session(
            aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30, resolver=resolver)
        )
        # A pooled connection that the vendor has just closed would make the outcome of a POST unknown for nothing.
        self.fresh = self._session(aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, force_close=True, resolver=resolver))

    @staticmethod
    def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "audience-gateway", "Accept-Encoding": "identity"},
        )
        # aiohttp sends idempotent methods again by itself after a drop; attempts are ours to count.
        session._retry_connection = False  # noqa: SLF001 - no public switch; a test notices when the name goes
        return session

    def named(self, error: V) -> V:
        """Return *error* with the vendor and the connection on it."""
        error.vendor = self.vendor
        error.connection = self.connection
        return error

    def reset(self) -> None:
        """Forget what calls came to: nothing is suspended, and every attempt may be made."""
        self.breaker.reset()
        self.budget = Budget(self.policy)
        self.rates.reset()

    async def close(self) -> None:
        """Close both pools."""
        await self.pooled.close()
        await self.fresh.close()
