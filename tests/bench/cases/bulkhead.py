"""One vendor takes calls and never answers: what callers of the others notice."""

from functools import partial
from itertools import cycle, islice
from statistics import median, quantiles
from typing import NamedTuple

from audiencegateway.v1.destinations_pb2 import GetDestinationRequest
from tests.bench.answers import DATASET_ID, FIRST_ID, SEGMENT_ID
from tests.bench.figures import Row, at_most, rounds
from tests.bench.load import Load
from tests.bench.pairs import in_turn, ratios
from tests.bench.processes import Account, Setup
from tests.bench.servers import EVERY_VENDOR, Servers
from tests.bench.work import GET, SHOP

OTHERS = {"mediarithmics": "21577", "adobe": DATASET_ID, "segment": SEGMENT_ID}
"""A destination of each."""
PER_SECOND = 200
"""To all others together."""
GIVES_UP_S = 0.5
ROUND_S = 1.5
"""Beyond the size's own: enough for a p99 that is not the worst of all."""
ANSWERS, SILENT = Account("answers", SHOP), Account("silent", SHOP, "/never")


class Felt(NamedTuple):
    """By callers of the other vendors, in one round."""

    p50_ms: float
    p99_ms: float
    gave_up: float
    """Of a hundred calls: where there are some, the machine was too busy for the pace."""


async def bulkhead(servers: Servers) -> list[Row]:
    """Call three vendors, and with them one that answers or one that does not, in turn."""
    async with servers.gateway(Setup(accounts=[*EVERY_VENDOR, ANSWERS, SILENT])) as side:
        count = int(PER_SECOND * servers.size.seconds * ROUND_S)
        sides = [partial(_felt, side, account, count) for account in (SILENT, ANSWERS)]
        silent, answering = await in_turn(sides, max(2, servers.size.rounds // 2))
    title = f"one vendor of {len(OTHERS) + 1} silent, {PER_SECOND} calls/s to the others"
    rows = list[Row]()
    for name, read in (("p50", _p50_ms), ("p99", _p99_ms)):
        with_it, without = ([read(felt) for felt in side] for side in (silent, answering))
        target = at_most(1.05) if name == "p99" else None
        rows += [
            rounds(f"{title}: {name} ÷ all answer", ratios(with_it, without), "", target),
            rounds(f"{title}: {name}", with_it, "ms"),
            rounds(f"{title}: {name} where all answer", without, "ms"),
        ]
    return [*rows, rounds(f"{title}: callers who gave up", [felt.gave_up for felt in silent], "%")]


def _p50_ms(felt: Felt) -> float:
    return felt.p50_ms


def _p99_ms(felt: Felt) -> float:
    return felt.p99_ms


async def _felt(side: Load, fourth: Account, count: int) -> Felt:
    """Call the others at their pace, and the fourth in between; return how long the others took."""
    others = [(GET, _get(vendor, destination_id)) for vendor, destination_id in OTHERS.items()]
    troubled = (GET, _get(fourth.id, str(FIRST_ID)))
    mixed = list(islice(cycle([*others, troubled]), count * (len(others) + 1) // len(others)))
    taken = await side.paced_ms(mixed, PER_SECOND * len(mixed) / count, GIVES_UP_S)
    felt = [taken_ms for call, taken_ms in zip(mixed, taken, strict=True) if call is not troubled]
    gave_up = sum(taken_ms >= GIVES_UP_S * 1000 for taken_ms in felt) / len(felt) * 100
    return Felt(median(felt), quantiles(felt, n=100, method="inclusive")[98], gave_up)


def _get(connection: str, destination_id: str) -> bytes:
    return GetDestinationRequest(name=f"connections/{connection}/destinations/{destination_id}").SerializeToString()
