"""As many calls as there can be: one process beside the bare pipe, and two processes beside one."""

from collections.abc import Sequence
from functools import partial

import msgspec

from audiencegateway.v1.destinations_pb2 import GetDestinationRequest
from tests.bench.answers import FIRST_ID
from tests.bench.figures import Row, at_least, rounds
from tests.bench.generator import H2LOAD, Burst, burst
from tests.bench.load import Load
from tests.bench.pairs import in_turn, ratios
from tests.bench.processes import Setup
from tests.bench.servers import EVERY_VENDOR, Servers
from tests.bench.work import GETS, LISTS, SHOPS

EACH_ITS_OWN = tuple(
    GetDestinationRequest(name=f"connections/{shop.id}/destinations/{FIRST_ID + number}").SerializeToString()
    for number, shop in enumerate(SHOPS)
)
WHO = "h2load" if H2LOAD else "Python, since h2load is not installed"
WORKERS = 2


async def saturation(servers: Servers) -> list[Row]:
    """Compare what the gateway and the bare pipe can do."""
    pair, rows = await servers.pair(), list[Row]()
    for title, method, requests in (
        (GETS.title, GETS.method, EACH_ITS_OWN),
        (LISTS.title, LISTS.method, LISTS.requests),
    ):
        ours, theirs = await _bursts(servers, [pair.ours, pair.theirs], method, requests)
        rows += [
            rounds(f"{title}, saturated: calls/s ÷ bare pipe", ratios(map(_calls, ours), map(_calls, theirs)), ""),
            rounds(f"{title}, saturated: gateway", list(map(_calls, ours)), "calls/s"),
            rounds(f"{title}, saturated: bare pipe", list(map(_calls, theirs)), "calls/s"),
            _by(
                rounds(f"{title}: the load generator's own limit", [one.generators_limit for one in theirs], "calls/s")
            ),
        ]
    return rows


async def workers(servers: Servers) -> list[Row]:
    """Compare two workers with one, and say who else wanted the cores."""
    several = Setup(accounts=(*EVERY_VENDOR, *SHOPS), arguments=("--workers", str(WORKERS)))
    async with servers.gateway(several._replace(arguments=())) as one, servers.gateway(several) as two:
        alone, together = await _bursts(servers, [one, two], GETS.method, EACH_ITS_OWN)
    title = f"{WORKERS} workers"
    return [
        _by(rounds(f"{title} ÷ 1: calls/s", ratios(map(_calls, together), map(_calls, alone)), "", at_least(1.8))),
        rounds(f"{title}: calls/s", list(map(_calls, together)), "calls/s"),
        rounds("1 worker: calls/s", list(map(_calls, alone)), "calls/s"),
        rounds(
            f"{title} ÷ 1: calls/s of CPU",
            ratios((one.by_core for one in together), (one.by_core for one in alone)),
            "",
        ),
        *_cores(title, together),
        *_cores("1 worker", alone),
    ]


async def _bursts(servers: Servers, sides: list[Load], method: str, requests: Sequence[bytes]) -> list[list[Burst]]:
    size = servers.size
    bursts = [partial(burst, servers, side.server, method, requests, size.seconds) for side in sides]
    return await in_turn(bursts, max(2, size.rounds // 4))


def _cores(title: str, bursts: list[Burst]) -> list[Row]:
    parts = zip(*(one.cores for one in bursts), strict=True)
    return [
        rounds(f"{title}: cores of the {part}", values, "cores")
        for part, values in zip(("gateway", "load generator", "vendors' stub"), parts, strict=True)
    ]


def _calls(one: Burst) -> float:
    return one.calls


def _by(row: Row) -> Row:
    return msgspec.structs.replace(row, note=f"by {WHO}")
