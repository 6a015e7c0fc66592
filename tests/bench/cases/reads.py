"""Reads, one at a time or many: CPU, latency, and what is asked for once though many want it."""

from statistics import median, quantiles
from typing import Any

from google.protobuf.message import Message

from audiencegateway.v1.destinations_pb2 import (
    Destination,
    GetDestinationRequest,
    ListDestinationsRequest,
    ListDestinationsResponse,
)
from tests.bench.answers import FIRST_ID
from tests.bench.figures import Row, at_most, rounds, single
from tests.bench.load import Load
from tests.bench.pairs import Pair, Taken, measure
from tests.bench.processes import Account, Setup
from tests.bench.servers import Servers
from tests.bench.work import GET, GET_EACH, GETS, IN_FLIGHT, LISTS, SHOP, Kind

IDENTICAL = 64


async def get(servers: Servers) -> list[Row]:
    """Measure GetDestination."""
    pair = await servers.pair()
    await _compare(pair, GETS, GetDestinationRequest, Destination)
    return await _calls(pair, GETS, servers.size.calls, servers.size.rounds)


async def many(servers: Servers) -> list[Row]:
    """Measure a list."""
    pair = await servers.pair()
    await _compare(pair, LISTS, ListDestinationsRequest, ListDestinationsResponse)
    return await _calls(pair, LISTS, servers.size.calls // 4 + 1, servers.size.rounds)


async def _compare(pair: Pair, kind: Kind, request: type[Message], response: type[Message]) -> None:
    """See that both answer the same, before it is measured how fast."""
    asked = request.FromString(kind.requests[0])
    ours, theirs = [_without_etags(response.FromString(await side.call(kind.method, asked))) for side in pair]
    assert ours == theirs, f"{kind.method}: the two do not answer the same:\n{ours}\n{theirs}"


def _without_etags(message: Any) -> list[Destination]:
    """Return the destinations of an answer, without what the gateway alone puts on them."""
    found = [message] if isinstance(message, Destination) else list(message.destinations)
    for destination in found:
        destination.ClearField("etag")
    return found


async def _calls(pair: Pair, kind: Kind, calls: int, count: int) -> list[Row]:
    def cpu_us(taken: Taken) -> float:
        return taken.cpu_s / calls * 1e6

    def throughput(taken: Taken) -> float:
        return calls / taken.value

    found = await measure(pair, lambda side: side.calls(kind.method, kind.requests, calls, IN_FLIGHT), count)
    title = kind.title
    return [
        rounds(f"{title}: CPU per call ÷ bare pipe", found.ratios(cpu_us), "", at_most(kind.bound)),
        rounds(f"{title}: CPU per call, gateway", [cpu_us(taken) for taken in found.ours], "µs"),
        rounds(f"{title}: CPU per call, bare pipe", [cpu_us(taken) for taken in found.theirs], "µs"),
        rounds(f"{title}: {IN_FLIGHT} in flight, gateway", list(map(throughput, found.ours)), "calls/s"),
        rounds(f"{title}: {IN_FLIGHT} in flight, bare pipe", list(map(throughput, found.theirs)), "calls/s"),
    ]


async def latency(servers: Servers) -> list[Row]:
    """Compare 1 in flight, in blocks that are too short for the machine to change its mood in."""
    pair, block = await servers.pair(), max(2, servers.size.calls // 4)
    ours: list[float] = []
    theirs: list[float] = []
    p50_ms = []
    for side in pair:
        await side.latencies_ms(GET, GET_EACH, block)
    for number in range(servers.size.rounds):
        sides: tuple[tuple[Load, list[float]], ...] = ((pair.ours, ours), (pair.theirs, theirs))
        for side, taken in sides if number % 2 else reversed(sides):
            taken.extend(await side.latencies_ms(GET, GET_EACH, block))
        p50_ms.append(median(ours[-block:]) - median(theirs[-block:]))
    ours_p99_ms, theirs_p99_ms = (quantiles(taken, n=100, method="inclusive")[98] for taken in (ours, theirs))
    title = "GetDestination"
    return [
        rounds(f"{title}: p50 at 1 in flight, gateway - bare pipe", p50_ms, "ms", at_most(0.15)),
        single(f"{title}: p99 at 1 in flight, gateway - bare pipe", ours_p99_ms - theirs_p99_ms, "ms", at_most(0.7)),
        single(f"{title}: p50 at 1 in flight, gateway", median(ours), "ms"),
        single(f"{title}: p99 at 1 in flight, gateway", ours_p99_ms, "ms"),
        single(f"{title}: p50 at 1 in flight, bare pipe", median(theirs), "ms"),
        single(f"{title}: p99 at 1 in flight, bare pipe", theirs_p99_ms, "ms"),
    ]


async def identical(servers: Servers) -> list[Row]:
    """Count the vendor calls that many identical reads at once lead to."""
    name = f"connections/slow/destinations/{FIRST_ID}"
    wanted = [GetDestinationRequest(name=name).SerializeToString()]
    async with servers.gateway(Setup(accounts=[Account("slow", SHOP, "/after-1000")])) as side:
        before = await servers.counted()
        await side.calls(GET, wanted, IDENTICAL, IDENTICAL)
        made = await servers.counted() - before
    return [single(f"{IDENTICAL} identical reads in flight: vendor calls", made, "calls", at_most(1))]
