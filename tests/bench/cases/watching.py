"""Watchers of one job: what they cost the vendor, in memory, in CPU, and when all of them leave at once."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from adapters import registry
from tests.bench.figures import Row, at_most, single
from tests.bench.load import Load
from tests.bench.processes import Process, Setup
from tests.bench.servers import Servers
from tests.bench.work import GETS, SHOP, WATCH_ONE

FEW = (1, 100)
INTERVAL_S = registry.adapters()[SHOP].limits.min_poll_interval_s
"""The shortest between two looks at a job; a quiet job is looked at less often."""
NEARLY = 0.9
MOST_CALLS = 1_000_000
QUIET_CPU = 0.05
"""A server that uses less of a core than this has nothing left to do but wait."""
STEP_S = 0.1
SETTLES_S = 60.0


class Crowd(NamedTuple):
    """Watchers in processes of their own."""

    processes: "list[subprocess.Popen[bytes]]"

    def received(self) -> int:
        """Return how many messages they have had."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        return sum(_told(process)["received"] for process in self.processes)

    def kill(self) -> None:
        """Let all of them go at once."""
        for process in self.processes:
            process.kill()


class Watched(NamedTuple):
    """What some watchers led to."""

    looks: int
    """At the vendor, within any of the shortest intervals."""
    memory_kib: float
    """For each watcher."""
    cpu_us: float
    """For each message that a watcher had."""
    leaving_s: float
    """Until the server was quiet again, after all watchers had left."""
    leaving_us: float
    """CPU for each of them."""


async def watch(servers: Servers) -> list[Row]:
    """Measure some watchers, more, and many; and many bare streams."""
    many, rows = servers.size.watchers, list[Row]()
    setup = Setup(sections={"server": {"max_concurrent_calls": MOST_CALLS}})
    for count in sorted({*(few for few in FEW if few < many), many}):
        async with servers.gateway(setup) as side:
            ours = await _watched(servers, side, count)
        title = f"{count:,} watchers of one job" if count > 1 else "1 watcher of one job"
        rows.append(single(f"{title}: vendor calls per interval", ours.looks, "", at_most(1)))
        rows.append(single(f"{title}: CPU per delivered message, gateway", ours.cpu_us, "µs"))
    async with servers.bare() as side:
        theirs = await _watched(servers, side, many)
    title = f"{many:,} watchers of one job"
    return [
        *rows,
        single(f"{title}: memory ÷ bare streams", ours.memory_kib / theirs.memory_kib, "", at_most(1.3)),
        single(f"{title}: memory each, gateway", ours.memory_kib, "KiB"),
        single(f"{title}: memory each, bare streams", theirs.memory_kib, "KiB"),
        single(f"{title}: CPU per delivered message ÷ bare streams", ours.cpu_us / theirs.cpu_us, ""),
        single(f"{title}: all leave at once, CPU ÷ bare streams", ours.leaving_us / theirs.leaving_us, ""),
        single(f"{title}: all leave at once, CPU for each, gateway", ours.leaving_us, "µs"),
        single(f"{title}: all leave at once, until quiet, gateway", ours.leaving_s, "s"),
        single(f"{title}: all leave at once, until quiet, bare streams", theirs.leaving_s, "s"),
    ]


async def _watched(servers: Servers, side: Load, count: int) -> Watched:
    """Open streams, let some changes come, and let all of them leave."""
    server = side.server
    await side.calls(GETS.method, GETS.requests, 50, 1)
    idle_mib, looked = server.memory_mib(), len(await servers.looks())
    with _crowd(server, count) as crowd:
        await _quiet(server)
        memory_kib = (server.memory_mib() - idle_mib) * 1024 / count
        had, before_s = crowd.received(), server.cpu_s()
        received = await _change(crowd, had, count)
        await _quiet(server)
        message_us = (server.cpu_s() - before_s) / received * 1e6
        before_s, started_s = server.cpu_s(), time.perf_counter()
        crowd.kill()
        quiet_s = await _quiet(server) - started_s
        leaving_us = (server.cpu_s() - before_s) / count * 1e6
    looks = most_within(INTERVAL_S * NEARLY, (await servers.looks())[looked:])
    return Watched(looks, memory_kib, message_us, quiet_s, leaving_us)


async def _change(crowd: Crowd, had: int, count: int) -> int:
    """Wait until every watcher may have been told of a change; return how many messages came."""
    for _ in range(int(SETTLES_S / STEP_S)):
        if crowd.received() - had >= count:
            break
        await asyncio.sleep(STEP_S)
    return max(1, crowd.received() - had)


def most_within(seconds: float, times_s: Sequence[float]) -> int:
    """Return how many of the times lie within as many seconds, at most."""
    return max(sum(first <= time_s < first + seconds for time_s in times_s) for first in times_s)


async def _quiet(server: Process) -> float:
    """Wait until a server has nothing to do, or too long; return since when that was so."""
    started_s = time.perf_counter()
    while time.perf_counter() - started_s < SETTLES_S:
        began_s, cpu_s = time.perf_counter(), server.cpu_s()
        await asyncio.sleep(STEP_S)
        if server.cpu_s() - cpu_s < STEP_S * QUIET_CPU:
            return began_s
    return time.perf_counter()


@contextmanager
def _crowd(server: Process, count: int) -> Iterator[Crowd]:
    """Run watchers in two processes, where there are some for both."""
    command = [sys.executable, "-m", "tests.bench.watchers", server.address]
    shares = [share for share in (count // 2, count - count // 2) if share]
    request = WATCH_ONE.SerializeToString().hex()
    with ExitStack() as stack:
        crowd = Crowd(
            [
                stack.enter_context(
                    subprocess.Popen([*command, str(share), request], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                )
                for share in shares
            ]
        )
        stack.callback(crowd.kill)
        for process in crowd.processes:
            _told(process)
        yield crowd


def _told(process: "subprocess.Popen[bytes]") -> dict[str, int]:
    assert process.stdout is not None
    found: dict[str, int] = json.loads(process.stdout.readline())
    return found
