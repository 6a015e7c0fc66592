"""The cases: what is measured, and what it should be."""

import time
import uuid
from collections.abc import Iterator
from statistics import median, quantiles
from typing import Any, NamedTuple

import aiohttp
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from adapters import registry
from audiencegateway.v1.destinations_pb2 import (
    Destination,
    GetDestinationRequest,
    ListDestinationsRequest,
    ListDestinationsResponse,
)
from audiencegateway.v1.export_jobs_pb2 import DownloadExportJobRequest, GetExportJobRequest
from audiencegateway.v1.members_pb2 import (
    AudienceMember,
    UploadAudienceMembersRequest,
    UploadAudienceMembersResponse,
    UploadBatch,
    UploadFinish,
    UploadHeader,
)
from tests.bench import processes
from tests.bench.answers import DOWNLOAD_BYTES, JOB, LISTED, SLOW_ID
from tests.bench.figures import Row, at_least, at_most, rounds, single, skipped
from tests.bench.load import Load, load
from tests.bench.pairs import Pair, Taken, measure

GET = "DestinationService/GetDestination"
LIST = "DestinationService/ListDestinations"
NOTHING = "ExportJobService/GetExportJob"
DOWNLOAD = "ExportJobService/DownloadExportJob"
UPLOAD = "AudienceMemberService/UploadAudienceMembers"
GET_ONE = GetDestinationRequest(name="connections/meiro/destinations/100")
GET_SLOW = GetDestinationRequest(name=f"connections/meiro/destinations/{SLOW_ID}")
LIST_FIFTY = ListDestinationsRequest(parent="connections/meiro", page_size=LISTED)
GET_FILE = DownloadExportJobRequest(name=f"connections/meiro/exportJobs/{JOB}")

IN_FLIGHT = 16
IDENTICAL = 64
MEMBERS_A_MESSAGE = 1000
FEW_MEMBERS = 10_000
TAKES_MEMBERS = "mediarithmics"


class Size(NamedTuple):
    """How much of everything: what a run takes in time, and gives in certainty."""

    rounds: int = 20
    calls: int = 400
    members: int = 200_000
    many_members: int = 3_000_000
    starts: int = 5


class Case(NamedTuple):
    """One kind of single call."""

    title: str
    method: str
    request: Message
    calls: int
    bound: float
    """What its CPU may be of the bare pipe's."""


async def unary(pair: Pair, size: Size) -> list[Row]:
    """Measure single calls: CPU, latency, throughput; and what the load itself can do."""
    for method, request, kind in ((GET, GET_ONE, Destination), (LIST, LIST_FIFTY, ListDestinationsResponse)):
        ours, theirs = [_as_answered(kind.FromString(await side.call(method, request))) for side in pair]
        assert ours == theirs, f"{method}: the two do not answer the same:\n{ours}\n{theirs}"
    few = size.calls // 4 + 1
    return [
        *await _unary(pair, size.rounds, Case("GetDestination", GET, GET_ONE, size.calls, 1.15)),
        *await _unary(pair, size.rounds, Case(f"ListDestinations of {LISTED}", LIST, LIST_FIFTY, few, 1.10)),
        *await _latency(pair, size),
        await _generator(pair.theirs, size),
    ]


def _as_answered(message: Any) -> list[Destination]:
    """Return the destinations of an answer, without what the gateway alone puts on them."""
    found = [message] if isinstance(message, Destination) else list(message.destinations)
    for destination in found:
        destination.ClearField("etag")
    return found


async def _unary(pair: Pair, count: int, case: Case) -> list[Row]:
    def cpu_us(taken: Taken) -> float:
        return taken.cpu_s / case.calls * 1e6

    def throughput(taken: Taken) -> float:
        return case.calls / taken.value

    found = await measure(pair, lambda side: side.calls(case.method, case.request, case.calls, IN_FLIGHT), count)
    return [
        rounds(f"{case.title}: CPU per call ÷ bare pipe", found.ratios(cpu_us), "", at_most(case.bound)),
        rounds(f"{case.title}: CPU per call, gateway", [cpu_us(taken) for taken in found.ours], "µs"),
        rounds(f"{case.title}: CPU per call, bare pipe", [cpu_us(taken) for taken in found.theirs], "µs"),
        rounds(f"{case.title}: {IN_FLIGHT} in flight, gateway", list(map(throughput, found.ours)), "calls/s"),
        rounds(f"{case.title}: {IN_FLIGHT} in flight, bare pipe", list(map(throughput, found.theirs)), "calls/s"),
    ]


async def _latency(pair: Pair, size: Size) -> list[Row]:
    """Compare 1 in flight, in blocks that are too short for the machine to change its mood in."""
    block = max(2, size.calls // 4)
    ours: list[float] = []
    theirs: list[float] = []
    p50_ms = []
    for number in range(size.rounds):
        sides = ((pair.ours, ours), (pair.theirs, theirs))
        for side, taken in sides if number % 2 else reversed(sides):
            taken.extend(await side.latencies_ms(GET, GET_ONE, block))
        p50_ms.append(median(ours[-block:]) - median(theirs[-block:]))
    ours_p99_ms, theirs_p99_ms = (quantiles(taken, n=100, method="inclusive")[98] for taken in (ours, theirs))
    return [
        rounds("GetDestination: p50 at 1 in flight, gateway - bare pipe", p50_ms, "ms", at_most(0.15)),
        single(
            "GetDestination: p99 at 1 in flight, gateway - bare pipe", ours_p99_ms - theirs_p99_ms, "ms", at_most(0.7)
        ),
        single("GetDestination: p50 at 1 in flight, gateway", median(ours), "ms"),
        single("GetDestination: p99 at 1 in flight, gateway", ours_p99_ms, "ms"),
        single("GetDestination: p50 at 1 in flight, bare pipe", median(theirs), "ms"),
        single("GetDestination: p99 at 1 in flight, bare pipe", theirs_p99_ms, "ms"),
    ]


async def _generator(side: Load, size: Size) -> Row:
    """Tell how many calls a second this process could make, had it a core for itself."""
    request = GetExportJobRequest(name="connections/meiro/exportJobs/1")
    limits = []
    for _ in range(max(2, size.rounds // 4)):
        before_s = time.process_time()
        await side.calls(NOTHING, request, size.calls, IN_FLIGHT)
        limits.append(size.calls / (time.process_time() - before_s))
    return rounds("the load generator's own limit", limits, "calls/s")


async def identical(pair: Pair, stub: processes.Process) -> list[Row]:
    """Count the vendor calls that many identical reads at once lead to."""
    before = await _counted(stub)
    await pair.ours.calls(GET, GET_SLOW, IDENTICAL, IDENTICAL)
    made = await _counted(stub) - before
    return [single(f"{IDENTICAL} identical reads in flight: vendor calls", made, "calls", at_most(1))]


async def _counted(stub: processes.Process) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{stub.address}/_counted") as response:
        return int(await response.read())


async def download(pair: Pair, size: Size) -> list[Row]:
    """Measure a file on its way to the caller."""

    async def whole(side: Load) -> float:
        started_s = time.perf_counter()
        received = await side.download(DOWNLOAD, GET_FILE)
        assert received >= DOWNLOAD_BYTES, f"{received} bytes of {DOWNLOAD_BYTES}"
        return time.perf_counter() - started_s

    def by_core(taken: Taken) -> float:
        return DOWNLOAD_BYTES / 1e6 / taken.cpu_s

    def by_clock(taken: Taken) -> float:
        return DOWNLOAD_BYTES / 1e6 / taken.value

    found, target = await measure(pair, whole, size.rounds), at_least(0.85, 0.95)
    return [
        rounds("download: bytes/s ÷ bare pipe", found.ratios(by_clock), "", target),
        rounds("download: bytes/s per core ÷ bare pipe", found.ratios(by_core), "", target),
        rounds("download, gateway", [by_clock(taken) for taken in found.ours], "MB/s"),
        rounds("download, bare pipe", [by_clock(taken) for taken in found.theirs], "MB/s"),
    ]


async def upload(pair: Pair, size: Size) -> list[Row]:
    """Measure members on their way to the vendor."""
    title, target = "upload: rows/s per core ÷ bare pipe", at_least(0.75, 0.9)
    if TAKES_MEMBERS not in registry.adapters():
        return [skipped(title, "", target, f"no adapter for {TAKES_MEMBERS} is registered")]
    destination = await _destination(pair.ours)
    batch = _batch()

    async def whole(side: Load) -> float:
        started_s = time.perf_counter()
        await _upload(side, destination, batch, size.members)
        return time.perf_counter() - started_s

    def by_core(taken: Taken) -> float:
        return size.members / taken.cpu_s

    found = await measure(pair, whole, max(1, size.rounds // 2))
    return [
        rounds(title, found.ratios(by_core), "", target),
        rounds("upload: rows/s ÷ bare pipe", found.ratios(lambda taken: 1 / taken.value), ""),
        rounds("upload: CPU per row, gateway", [taken.cpu_s / size.members * 1e6 for taken in found.ours], "µs"),
        rounds("upload: CPU per row, bare pipe", [taken.cpu_s / size.members * 1e6 for taken in found.theirs], "µs"),
        rounds("upload, gateway", [size.members / taken.value for taken in found.ours], "rows/s"),
        rounds("upload, bare pipe", [size.members / taken.value for taken in found.theirs], "rows/s"),
        rounds(
            "upload: received, gateway",
            [len(batch) * size.members / MEMBERS_A_MESSAGE / 1e6 / taken.value for taken in found.ours],
            "MB/s",
        ),
    ]


async def memory(stub: processes.Process, size: Size) -> list[Row]:
    """Compare the highest memory of a server that took few members with that of one that took many."""
    title = f"upload: peak memory, {size.many_members:,} rows - {FEW_MEMBERS:,} rows"
    if TAKES_MEMBERS not in registry.adapters():
        return [skipped(title, "MiB", at_most(32, 16), f"no adapter for {TAKES_MEMBERS} is registered")]
    with processes.gateway(stub.address) as server:
        async with load(server) as side:
            destination, batch = await _destination(side), _batch()
            await _upload(side, destination, batch, FEW_MEMBERS)
            few_mib = server.memory_mib("VmHWM")
            await _upload(side, destination, batch, size.many_members)
            many_mib = server.memory_mib("VmHWM")
    return [
        single(title, many_mib - few_mib, "MiB", at_most(32, 16)),
        single(f"upload: peak memory, {size.many_members:,} rows", many_mib, "MiB"),
    ]


async def _destination(side: Load) -> str:
    """Return the name of the destination that the stub has for members."""
    request = ListDestinationsRequest(parent=f"connections/{TAKES_MEMBERS}")
    found = ListDestinationsResponse.FromString(await side.call(LIST, request))
    return found.destinations[0].name


def _batch() -> bytes:
    members = [
        AudienceMember(
            operation=AudienceMember.REMOVE if number % 10 == 0 else AudienceMember.ADD,
            user_account_id=f"account-{number:08}",
            audience_id="4711",
            ttl=Duration(seconds=30 * 24 * 3600),
        )
        for number in range(MEMBERS_A_MESSAGE)
    ]
    return UploadAudienceMembersRequest(batch=UploadBatch(audience_members=members)).SerializeToString()


async def _upload(side: Load, destination: str, batch: bytes, count: int) -> None:
    def messages() -> Iterator[bytes]:
        header = UploadHeader(destination=destination, request_id=str(uuid.uuid4()))
        yield UploadAudienceMembersRequest(header=header).SerializeToString()
        for _ in range(count // MEMBERS_A_MESSAGE):
            yield batch
        yield UploadAudienceMembersRequest(finish=UploadFinish(member_count=count)).SerializeToString()

    answer = UploadAudienceMembersResponse.FromString(await side.upload(UPLOAD, messages()))
    assert answer.next_member_index == count, answer


def starts(stub: processes.Process, size: Size) -> list[Row]:
    """Measure the gateway's start, and what it holds before anybody called."""
    ready_s, idle_mib = [], []
    for _ in range(size.starts):
        with processes.gateway(stub.address) as server:
            ready_s.append(server.ready_s)
            idle_mib.append(server.memory_mib())
    return [
        rounds("start to ready", ready_s, "s", at_most(1)),
        rounds("resident memory, idle", idle_mib, "MiB", at_most(90)),
    ]


def after_load(server: processes.Process) -> Row:
    """Measure what the gateway holds after all that was asked of it."""
    return single("resident memory, after load", server.memory_mib(), "MiB")
