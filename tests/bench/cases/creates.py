"""Starting export jobs: what the ledger costs, in memory, in a file, and on a server."""

from tests.bench.figures import Row, rounds
from tests.bench.pairs import measure
from tests.bench.servers import Servers
from tests.bench.work import create as start_jobs


async def create(servers: Servers) -> list[Row]:
    """Measure CreateExportJob."""
    pair, calls = await servers.pair(), max(2, servers.size.calls // 4)
    found = await measure(pair, lambda side: start_jobs(side, calls), servers.size.rounds)
    cpu_us = [taken.cpu_s / calls * 1e6 for taken in found.ours]
    return [
        rounds("CreateExportJob: CPU per call ÷ bare pipe", found.ratios(lambda taken: taken.cpu_s), ""),
        rounds("CreateExportJob: CPU per call, gateway", cpu_us, "µs"),
        rounds("CreateExportJob: time per call ÷ bare pipe", found.ratios(lambda taken: taken.value), ""),
    ]
