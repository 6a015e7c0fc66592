"""The soak: some of everything for many minutes, and whether what the gateway holds stays as it is.

A line is fitted to what is sampled after the warm-up, in which caches and the allocator's arenas fill up; its rise
from the end of the warm-up to the end is what has to be small.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from statistics import linear_regression, mean
from typing import NamedTuple

import grpc

from audiencegateway.v1.destinations_pb2 import GetDestinationRequest, ListDestinationsRequest
from tests.bench.answers import FIRST_ID
from tests.bench.figures import Report, Row, at_most, report, single
from tests.bench.load import Load
from tests.bench.processes import Account, Process, Setup
from tests.bench.servers import EVERY_VENDOR, Servers, Size
from tests.bench.work import CREATE, GET, GET_EACH, LIST, SHOP, WATCH, WATCH_ONE, batch, creates, download, upload

WARM_UP = 0.4
"""Of the whole time."""
SAMPLES = 300
HURRY_S = 1.0
"""What callers of a vendor that does not answer wait."""
WATCHED_S = 5.0
SETTLES_S = 70.0
"""A start that its caller left may go on for a minute."""
MEMBERS = 20_000
FLAKY, SILENT = Account("flaky", SHOP, "/flaky"), Account("silent", SHOP, "/never")


class Sample(NamedTuple):
    """What the gateway held at a moment."""

    time_s: float
    memory_mib: float
    tasks: float
    files: float


class Crowd:
    """Callers of all kinds, each at its own pace."""

    def __init__(self, side: Load, member_destination: str) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._side = side
        self._destination = member_destination
        self._batch = batch()
        self._under_way: set[asyncio.Task[None]] = set()
        self._numbers = count()

    async def call(self, seconds: float) -> None:
        """Call for some time, then wait for what is under way."""
        kinds: dict[str, tuple[float, Callable[[], Awaitable[object]]]] = {
            "get": (50, lambda: self._once(GET, GET_EACH[next(self._numbers) % len(GET_EACH)])),
            "get, flaky vendor": (10, lambda: self._once(GET, _get(FLAKY))),
            "get, silent vendor": (2, lambda: self._once(GET, _get(SILENT), HURRY_S)),
            "list": (4, lambda: self._once(LIST, _list(SHOP))),
            "list of all": (0.5, lambda: self._once(LIST, _list("-"), HURRY_S)),
            "create": (10, lambda: self._once(CREATE, creates(1)[0])),
            "watch": (2, lambda: self._side.watch(WATCH, WATCH_ONE, min(WATCHED_S, seconds))),
            "download": (0.2, partial(download, self._side)),
            "upload": (0.2, lambda: upload(self._side, self._destination, self._batch, MEMBERS)),
        }
        await asyncio.gather(*(self._paced(kind, *kinds[kind], seconds) for kind in kinds))
        await asyncio.gather(*self._under_way)

    async def _once(self, method: str, payload: bytes, timeout_s: float = 30.0) -> None:
        await self._side.once(method, payload, timeout_s)

    async def _paced(self, kind: str, per_second: float, do: Callable[[], Awaitable[object]], seconds: float) -> None:
        started_s = time.monotonic()
        for number in range(max(1, int(seconds * per_second))):
            await asyncio.sleep(started_s + number / per_second - time.monotonic())
            task = asyncio.create_task(self._noted(kind, do))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _noted(self, kind: str, do: Callable[[], Awaitable[object]]) -> None:
        try:
            await do()
        except grpc.aio.AioRpcError as error:
            self.outcomes[kind, error.code().name] += 1
        else:
            self.outcomes[kind, "OK"] += 1


def _get(account: Account) -> bytes:
    return GetDestinationRequest(name=f"connections/{account.id}/destinations/{FIRST_ID}").SerializeToString()


def _list(connection: str) -> bytes:
    return ListDestinationsRequest(parent=f"connections/{connection}", page_size=50).SerializeToString()


async def soak(minutes: float, destination: str = "connections/mediarithmics/destinations/21577") -> Report:
    """Call for some time and sample; print nothing."""
    async with AsyncExitStack() as stack:
        servers = Servers(stack, Size())
        setup = Setup(accounts=(*EVERY_VENDOR, FLAKY, SILENT), observed=True)
        side = await stack.enter_async_context(servers.gateway(setup))
        crowd = Crowd(side, destination)
        await crowd.call(1.0)
        idle = await _settled(side.server, 0)
        crowd.outcomes.clear()
        calling = asyncio.create_task(crowd.call(minutes * 60))
        samples = await _samples(side.server, minutes * 60)
        await calling
        left = await _settled(side.server, idle)
    return report([*_rows(minutes, samples, left - idle), *_outcomes(minutes, crowd.outcomes)])


async def _samples(server: Process, seconds: float) -> list[Sample]:
    started_s, found = time.monotonic(), list[Sample]()
    for number in range(SAMPLES):
        await asyncio.sleep(started_s + seconds * number / SAMPLES - time.monotonic())
        now_s = time.monotonic() - started_s
        found.append(Sample(now_s, server.memory_mib(), server.ask()["tasks"], server.files()))
    return found


async def _settled(server: Process, few: int) -> int:
    """Return how many tasks are left when there are few, or time is up."""
    started_s = time.monotonic()
    tasks: int = server.ask()["tasks"]
    while tasks > few and time.monotonic() - started_s < (SETTLES_S if few else 3.0):
        await asyncio.sleep(0.5)
        tasks = server.ask()["tasks"]
    return tasks


def rise(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much the line that is fitted to the values rises from their first to their last."""
    return linear_regression(times_s, values).slope * (times_s[-1] - times_s[0])


def _rows(minutes: float, samples: list[Sample], left: int) -> list[Row]:
    warm = samples[int(len(samples) * WARM_UP) :]
    times_s = [sample.time_s for sample in warm]
    memory, tasks, files = ([sample[place] for sample in warm] for place in (1, 2, 3))
    title, hour_s = f"soak of {minutes:g} minutes", 3600 / (times_s[-1] - times_s[0])
    return [
        single(f"{title}: memory, rise after warm-up", rise(times_s, memory) / mean(memory) * 100, "%", at_most(2)),
        single(f"{title}: tasks, rise after warm-up", rise(times_s, tasks), "", at_most(5)),
        single(f"{title}: file descriptors, rise after warm-up", rise(times_s, files), "", at_most(5)),
        single(f"{title}: tasks left when it is over", left, "", at_most(0)),
        single(f"{title}: memory, slope after warm-up", rise(times_s, memory) * hour_s, "MiB/h"),
        single(f"{title}: memory before", samples[0].memory_mib, "MiB"),
        single(f"{title}: memory at the end of the warm-up", warm[0].memory_mib, "MiB"),
        single(f"{title}: memory at the end", warm[-1].memory_mib, "MiB"),
        single(f"{title}: tasks, mean", mean(tasks), ""),
        single(f"{title}: file descriptors, mean", mean(files), ""),
    ]


def _outcomes(minutes: float, outcomes: Counter[tuple[str, str]]) -> list[Row]:
    return [
        single(f"soak of {minutes:g} minutes: {kind}: {code}", number, "calls")
        for (kind, code), number in sorted(outcomes.items())
    ]
