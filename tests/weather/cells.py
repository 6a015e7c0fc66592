"""Which cells the matrix has: every fault by every RPC by every vendor, and why some show nothing."""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from adapters import registry
from gateway.desk import VERBS
from gateway.methods import METHODS
from tests.weather.weathers import WEATHERS

ANSWERED_HERE = frozenset({"GetConnection", "ListConnections", "ResolveExportJob"})
"""What no vendor is asked for."""


class Kind(Enum):
    """What is to be seen in a cell."""

    STORM = "the vendor is asked, and the fault is there"
    NOT_OFFERED = "the vendor has no such operation: refused as ever, and nothing is sent"
    HERE = "the gateway answers by itself: as ever, and nothing is sent"
    NO_PAGES = "the fault is about pages, and the RPC is no list"


class Cell(NamedTuple):
    """One fault, for one RPC of one vendor."""

    vendor: str
    weather: str
    rpc: str

    @property
    def kind(self) -> Kind:
        if self.rpc in ANSWERED_HERE:
            return Kind.HERE
        if not offered(self.vendor, self.rpc):
            return Kind.NOT_OFFERED
        return Kind.NO_PAGES if WEATHERS[self.weather].pages and not self.rpc.startswith("List") else Kind.STORM


def offered(vendor: str, rpc: str) -> bool:
    """Tell whether the vendor's adapter has what the RPC needs."""
    verb = next(method.verb for method in METHODS.values() if method.name == rpc)
    return VERBS.get(verb, verb) in registry.adapters()[vendor].verbs()


def cells(vendors: Iterable[str], weathers: Iterable[str] = WEATHERS) -> Iterator[Cell]:
    """Yield every cell of these vendors and faults."""
    for vendor in vendors:
        for weather in weathers:
            for method in METHODS.values():
                yield Cell(vendor, weather, method.name)
