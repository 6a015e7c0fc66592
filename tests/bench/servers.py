"""What the cases share: the stub, the gateway and the bare pipe that take turns, and how much of everything."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import aiohttp

from adapters import registry
from tests.bench import processes
from tests.bench.load import Load, load
from tests.bench.pairs import Pair
from tests.bench.processes import Account, Setup
from tests.bench.work import SHOPS


class Size(NamedTuple):
    """How much of everything: what a run takes in time, and gives in certainty."""

    rounds: int = 20
    calls: int = 400
    members: int = 200_000
    many_members: int = 3_000_000
    starts: int = 5
    watchers: int = 10_000
    seconds: float = 2.0
    """Of a round that is measured by the clock."""


QUICK = Size(rounds=6, calls=200, members=50_000, many_members=300_000, starts=2, watchers=1000, seconds=1.0)
TINY = Size(rounds=2, calls=4, members=2000, many_members=20_000, starts=1, watchers=20, seconds=0.2)
EVERY_VENDOR = tuple(Account(vendor, vendor) for vendor in registry.adapters())


class Servers:
    """Servers that run until *stack* ends."""

    def __init__(self, stack: AsyncExitStack, size: Size) -> None:
        self.size = size
        self.stub = stack.enter_context(processes.stub())
        self._stack = stack
        self._pair: Pair | None = None

    async def pair(self) -> Pair:
        """Return the gateway and the bare pipe that most cases have in common."""
        if self._pair is None:
            ours = self.gateway(Setup(accounts=(*EVERY_VENDOR, *SHOPS)))
            self._pair = Pair(
                await self._stack.enter_async_context(ours), await self._stack.enter_async_context(self.bare())
            )
        return self._pair

    @asynccontextmanager
    async def gateway(self, setup: Setup = processes.USUAL) -> AsyncIterator[Load]:
        """Run a gateway for one case."""
        with processes.gateway(self.stub.address, setup) as server:
            async with load(server) as side:
                yield side

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[Load]:
        """Run a bare pipe for one case."""
        with processes.bare(self.stub.address) as server:
            async with load(server) as side:
                yield side

    async def counted(self) -> int:
        """Return how many calls the stub has had."""
        return int(await self._ask("_counted"))

    async def looks(self) -> list[float]:
        """Return when the job that is watched was asked for, in seconds."""
        found: list[float] = json.loads(await self._ask("_looks"))
        return found

    async def _ask(self, path: str) -> bytes:
        async with aiohttp.ClientSession() as session, session.get(f"{self.stub.address}/{path}") as response:
            return await response.read()
