"""What the same costs without a gateway: one vendor, called by aiohttp, or by what most would reach for today."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from typing import NamedTuple

import aiohttp
import requests

from audiencegateway.v1.destinations_pb2 import GetDestinationRequest
from tests.bench.answers import DATASET_ID, FIRST_ID, LISTED
from tests.bench.figures import Row, rounds, skipped
from tests.bench.load import Load
from tests.bench.pairs import in_turn, ratios
from tests.bench.servers import Servers
from tests.bench.work import GETS, LISTS, Kind

TOKEN = {"X-Access-Token": "bench-token"}
TIMEOUT_S = 30
AEPP_PYTHON = os.environ.get("AEPP_PYTHON", "")
PATHS = {
    GETS: f"/api/segments/export/destinations/{FIRST_ID}",
    LISTS: f"/api/segments/export/destinations?limit={LISTED}&offset=0&order_by=id&order_dir=ASC",
}


class Cost(NamedTuple):
    """Of one call, to its caller."""

    p50_ms: float
    cpu_us: float
    """Of the calling process."""


async def peers(servers: Servers) -> list[Row]:
    """Measure one call at a time, each client in turn; what they get is JSON, and for ours a message's bytes."""
    pair, rows = await servers.pair(), list[Row]()
    async with aiohttp.ClientSession(servers.stub.address, headers=TOKEN) as session:
        with requests.Session() as blocking:
            blocking.headers.update(TOKEN)
            for kind, path in PATHS.items():
                calls = max(2, servers.size.calls // (4 if kind is GETS else 16))
                clients: dict[str, Callable[[], Awaitable[object]]] = {
                    "through the gateway": partial(_ours, pair.ours, kind),
                    "direct, aiohttp": partial(_direct, session, path),
                    "direct, requests": partial(_requests, blocking, servers.stub.address + path),
                }
                sides = [partial(_cost, client, calls) for client in clients.values()]
                found = dict(zip(clients, await in_turn(sides, servers.size.rounds), strict=True))
                rows += _rows(kind.title, found)
    return [*rows, *await _published(servers, pair.ours)]


async def _published(servers: Servers, ours: Load) -> list[Row]:
    """Measure a vendor's published client, where there is an environment that has it."""
    title = "GetDestination of Adobe"
    if not AEPP_PYTHON:
        return [skipped(f"{title}: p50, aepp", "ms", None, "AEPP_PYTHON names no interpreter that has aepp")]
    command = [AEPP_PYTHON, "-m", "tests.bench.published", servers.stub.address, DATASET_ID]
    request = GetDestinationRequest(name=f"connections/adobe/destinations/{DATASET_ID}").SerializeToString()
    calls = max(2, servers.size.calls // 4)
    client = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sides = {
        "through the gateway": partial(_cost, partial(ours.calls, GETS.method, [request], 1, 1), calls),
        "aepp": partial(_told, client, calls),
    }
    try:
        found = dict(zip(sides, await in_turn(sides.values(), servers.size.rounds), strict=True))
    finally:
        client.kill()
        await client.wait()
    return _rows(title, found)


async def _told(client: asyncio.subprocess.Process, calls: int) -> Cost:
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"%d\n" % calls)
    return Cost(**json.loads(await client.stdout.readline()))


def _rows(title: str, found: dict[str, list[Cost]]) -> list[Row]:
    ours, *others = found
    rows = [
        rounds(
            f"{title}: p50, {ours} ÷ {other}",
            ratios((cost.p50_ms for cost in found[ours]), (cost.p50_ms for cost in found[other])),
            "",
        )
        for other in others
    ]
    for client, costs in found.items():
        rows.append(rounds(f"{title}: p50, {client}", [cost.p50_ms for cost in costs], "ms"))
        rows.append(rounds(f"{title}: the caller's own CPU per call, {client}", [cost.cpu_us for cost in costs], "µs"))
    return rows


async def _cost(client: Callable[[], Awaitable[object]], calls: int) -> Cost:
    times_ms, before_s = [], time.process_time()
    for _ in range(calls):
        started_s = time.perf_counter()
        await client()
        times_ms.append((time.perf_counter() - started_s) * 1000)
    return Cost(median(times_ms), (time.process_time() - before_s) / calls * 1e6)


async def _ours(side: Load, kind: Kind) -> float:
    return await side.calls(kind.method, kind.requests, 1, 1)


async def _direct(session: aiohttp.ClientSession, path: str) -> object:
    async with session.get(path) as response:
        return await response.json()


async def _requests(session: requests.Session, url: str) -> object:
    return session.get(url, timeout=TIMEOUT_S).json()
