"""A list over all connections at once, beside one of the slowest of them alone."""

from functools import partial
from statistics import median

from adapters import registry
from audiencegateway.v1.destinations_pb2 import ListDestinationsRequest, ListDestinationsResponse
from tests.bench.answers import LISTED
from tests.bench.figures import Row, at_most, rounds
from tests.bench.load import Load
from tests.bench.pairs import in_turn, ratios
from tests.bench.processes import Account, Setup
from tests.bench.servers import Servers
from tests.bench.work import LIST

FASTEST_MS, STEP_MS = 20, 10
BLOCK = 5


async def fan_out(servers: Servers) -> list[Row]:
    """Measure how long each takes; vendors that take no time at all would leave but the gateway's own CPU."""
    accounts = [
        Account(vendor, vendor, f"/after-{FASTEST_MS + STEP_MS * place}")
        for place, vendor in enumerate(registry.adapters())
    ]
    slowest_ms = FASTEST_MS + STEP_MS * (len(accounts) - 1)
    everywhere = ListDestinationsRequest(parent="connections/-", page_size=LISTED)
    alone = ListDestinationsRequest(parent=f"connections/{accounts[-1].id}", page_size=LISTED)
    async with servers.gateway(Setup(accounts=accounts)) as side:
        found = ListDestinationsResponse.FromString(await side.call(LIST, everywhere))
        assert not found.unreachable, found
        sides = [partial(_p50_ms, side, request) for request in (everywhere, alone)]
        all_ms, alone_ms = await in_turn(sides, servers.size.rounds)
    title = f"ListDestinations over {len(accounts)} connections of {FASTEST_MS} to {slowest_ms} ms"
    return [
        rounds(f"{title}: p50 ÷ the slowest alone", ratios(all_ms, alone_ms), "", at_most(1.15)),
        rounds(f"{title}: p50", all_ms, "ms"),
        rounds(f"{title}: p50 of the slowest alone", alone_ms, "ms"),
    ]


async def _p50_ms(side: Load, request: ListDestinationsRequest) -> float:
    return median(await side.latencies_ms(LIST, [request.SerializeToString()], BLOCK))
