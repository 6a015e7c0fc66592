"""Starting export jobs: what the ledger costs, in memory, in a file, and on a server."""

from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob
from tests.bench.figures import Row, rounds
from tests.bench.pairs import Pair, measure
from tests.bench.servers import Servers
from tests.bench.work import CREATE, creates
from tests.bench.work import create as start_jobs


async def create(servers: Servers) -> list[Row]:
    """Measure CreateExportJob."""
    pair, calls = await servers.pair(), max(2, servers.size.calls // 4)
    await _compare(pair)
    found = await measure(pair, lambda side: start_jobs(side, calls), servers.size.rounds)
    cpu_us = [taken.cpu_s / calls * 1e6 for taken in found.ours]
    return [
        rounds("CreateExportJob: CPU per call ÷ bare pipe", found.ratios(lambda taken: taken.cpu_s), ""),
        rounds("CreateExportJob: CPU per call, gateway", cpu_us, "µs"),
        rounds("CreateExportJob: time per call ÷ bare pipe", found.ratios(lambda taken: taken.value), ""),
    ]


async def _compare(pair: Pair) -> None:
    """See that both answer the same, but for what the vendor counts and the gateway alone knows."""
    asked = CreateExportJobRequest.FromString(creates(1)[0])
    ours, theirs = [ExportJob.FromString(await side.call(CREATE, asked)) for side in pair]
    for job in (ours, theirs):
        for field in ("name", "vendor_job_id", "etag", "started_by_gateway"):
            job.ClearField(field)
    assert ours == theirs, f"the two do not answer the same:\n{ours}\n{theirs}"
