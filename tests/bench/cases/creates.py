"""Starting export jobs: what the ledger costs, in memory, in a file, and on a server."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it brings no types

from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob
from tests.bench.figures import Row, rounds, skipped
from tests.bench.load import Load
from tests.bench.pairs import in_turn, ratios
from tests.bench.processes import Setup
from tests.bench.servers import Servers
from tests.bench.work import CREATE, creates
from tests.bench.work import create as start_jobs

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "")
BARE, MEMORY, SQLITE, POSTGRESQL = "bare pipe", "memory", "sqlite", "postgresql"


class Cost(NamedTuple):
    """Of one call."""

    cpu_us: float
    """Of the server alone: what PostgreSQL's own takes is not in it."""
    time_ms: float


async def create(servers: Servers) -> list[Row]:
    """Measure CreateExportJob, one at a time, over each of the stores and without any of ours."""
    calls, rows = max(2, servers.size.calls // 4), list[Row]()
    async with AsyncExitStack() as stack:
        sides = {BARE: await stack.enter_async_context(servers.bare())}
        for store in (MEMORY, SQLITE):
            sides[store] = await stack.enter_async_context(servers.gateway(_over(store)))
        if POSTGRES:
            setup = _over(POSTGRESQL, await stack.enter_async_context(_database()))
            sides[POSTGRESQL] = await stack.enter_async_context(servers.gateway(setup))
        await _compare(sides[BARE], sides[MEMORY])
        costs = [partial(_cost, side, calls) for side in sides.values()]
        found = dict(zip(sides, await in_turn(costs, servers.size.rounds), strict=True))
    for store, than in ((MEMORY, BARE), (SQLITE, MEMORY), (POSTGRESQL, MEMORY)):
        title = f"CreateExportJob, ledger in {store}"
        if store not in found:
            rows.append(skipped(f"{title}: CPU per call ÷ {than}", "", None, "TEST_POSTGRES_URL is not set"))
            continue
        cpu_us, times_ms = _columns(found[store])
        than_us, than_ms = _columns(found[than])
        rows += [
            rounds(f"{title}: CPU per call ÷ {than}", ratios(cpu_us, than_us), ""),
            rounds(f"{title}: time per call ÷ {than}", ratios(times_ms, than_ms), ""),
            rounds(f"{title}: CPU per call", cpu_us, "µs"),
            rounds(f"{title}: time per call", times_ms, "ms"),
        ]
    return rows


async def _cost(side: Load, calls: int) -> Cost:
    before_s = side.server.cpu_s()
    elapsed_s = await start_jobs(side, calls)
    return Cost((side.server.cpu_s() - before_s) / calls * 1e6, elapsed_s / calls * 1000)


def _columns(costs: list[Cost]) -> tuple[list[float], list[float]]:
    return [cost.cpu_us for cost in costs], [cost.time_ms for cost in costs]


def _over(store: str, url: str = "") -> Setup:
    """Return the setup of a gateway whose ledger is there; where there is a URL, it is a secret."""
    secret = {"url": {"env": "BENCH_LEDGER_URL"}} if url else {}
    return Setup(sections={"ledger": {"store": store, **secret}}, environ={"BENCH_LEDGER_URL": url})


@asynccontextmanager
async def _database() -> AsyncIterator[str]:
    """Make a database on the server that is there for tests, and drop it afterwards."""
    name = f"bench_{os.getpid()}"
    connection = await asyncpg.connect(POSTGRES)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(POSTGRES)._replace(path=f"/{name}"))
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


async def _compare(theirs: Load, ours: Load) -> None:
    """See that both answer the same, but for what the vendor counts and the gateway alone knows."""
    asked = CreateExportJobRequest.FromString(creates(1)[0])
    answers = [ExportJob.FromString(await side.call(CREATE, asked)) for side in (ours, theirs)]
    for job in answers:
        for field in ("name", "vendor_job_id", "etag", "started_by_gateway"):
            job.ClearField(field)
    assert answers[0] == answers[1], f"the two do not answer the same:\n{answers}"
