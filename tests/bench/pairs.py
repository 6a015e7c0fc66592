"""Two servers that do the same work, measured in turn, round by round.

A call's CPU varied twofold between rounds on a shared machine. What is slow for one side of a pair is slow for the
other, as long as they take turns quickly: so only the ratios of pairs are compared, and of those the median.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.bench.load import Load

Work = Callable[[Load], Awaitable[float]]
"""Does some work on a server; returns what was measured besides its CPU, mostly the seconds it took."""


class Pair(NamedTuple):
    """The gateway and the bare pipe."""

    ours: Load
    theirs: Load


class Taken(NamedTuple):
    """One round's measurements of one server."""

    cpu_s: float
    value: float


class Rounds(NamedTuple):
    """What both measured, round by round."""

    ours: list[Taken]
    theirs: list[Taken]

    def ratios(self, measure: Callable[[Taken], float]) -> list[float]:
        """Return ours ÷ theirs, one a round."""
        return [measure(mine) / measure(other) for mine, other in zip(self.ours, self.theirs, strict=True)]


async def measure(pair: Pair, work: Work, count: int) -> Rounds:
    """Let both do *work*, *count* times in turn; who begins changes, and a first round is not counted."""
    taken: dict[Load, list[Taken]] = {load: [] for load in pair}
    for number in range(count + 1):
        for load in pair if number % 2 else reversed(pair):
            before_s = load.server.cpu_s()
            value = await work(load)
            taken[load].append(Taken(load.server.cpu_s() - before_s, value))
    return Rounds(taken[pair.ours][1:], taken[pair.theirs][1:])
