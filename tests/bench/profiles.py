"""Where the gateway's time goes in one case: its functions by their own time, in microseconds a call."""

import io
import pstats
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from tests.bench.load import Load
from tests.bench.observed import NAME
from tests.bench.processes import Setup
from tests.bench.servers import EVERY_VENDOR, Servers, Size
from tests.bench.work import GETS, IN_FLIGHT, LISTS, SHOPS, batch, create, download, member_destination, upload

ROOT = Path(__file__).parents[2]
SHOWN = 45


async def _get(side: Load, calls: int) -> None:
    await side.calls(GETS.method, GETS.requests, calls, IN_FLIGHT)


async def _list(side: Load, calls: int) -> None:
    await side.calls(LISTS.method, LISTS.requests, calls, IN_FLIGHT)


async def _create(side: Load, calls: int) -> None:
    await create(side, calls)


async def _download(side: Load, calls: int) -> None:
    for _ in range(calls):
        await download(side)


async def _upload(side: Load, calls: int) -> None:
    await upload(side, await member_destination(side), batch(), calls)


PROFILED: dict[str, tuple[Callable[[Load, int], Awaitable[None]], int, str]] = {
    "get": (_get, 2000, "call"),
    "list": (_list, 400, "call"),
    "create": (_create, 1000, "call"),
    "download": (_download, 10, "file of 32 MiB"),
    "upload": (_upload, 200_000, "member"),
}
"""What is done, how often, and what that counts."""


async def profile(case: str, share: float = 1) -> str:
    """Return a table for people, of *share* of the usual calls.

    The profiler makes what is written in Python look slower beside what is written in C.
    """
    work, calls, each = PROFILED[case]
    calls = int(calls * share)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        servers = Servers(stack, Size())
        setup = Setup(accounts=(*EVERY_VENDOR, *SHOPS), observed=True, profile=folder)
        side = await stack.enter_async_context(servers.gateway(setup))
        await work(side, calls)
        before_s = side.server.cpu_s()
        await work(side, calls)
        plain_us = (side.server.cpu_s() - before_s) / calls * 1e6
        with side.server.profiled():
            await work(side, calls)
        return f"{case}: {plain_us:.4g} µs CPU a {each} without the profiler\n" + _table(folder / NAME, calls, each)


def _table(file: Path, calls: int, each: str) -> str:
    stats = pstats.Stats(str(file), stream=io.StringIO())
    lines = [f"{'own µs':>9} {'with called':>11} {'times':>7}  a {each}; function"]
    # (file, line, name) -> (primitive calls, calls, own seconds, cumulative seconds, callers)
    found = cast(dict[tuple[str, int, str], tuple[int, int, float, float, Any]], vars(stats)["stats"])
    rows = sorted(found.items(), key=lambda item: -item[1][2])
    for (path, line, name), (_, times, own_s, all_s, _) in rows[:SHOWN]:
        where = f"{path.removeprefix(f'{ROOT}/').rpartition('site-packages/')[2]}:{line} " if line else ""
        lines.append(f"{own_s / calls * 1e6:9.2f} {all_s / calls * 1e6:11.2f} {times / calls:7.2f}  {where}{name}")
    total_us = sum(row[2] for row in found.values()) / calls * 1e6
    return "\n".join([*lines, f"{total_us:9.2f} {'':11} {'':7}  all functions, with the profiler's own time"])
