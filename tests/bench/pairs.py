"""Two servers that do the same work, measured in turn, round by round.

A call's CPU varied twofold between rounds on a shared machine. What is slow for one side of a pair is slow for the
other, as long as they take turns quickly: so only the ratios of pairs are compared, and of those the median.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple, TypeVar

from tests.bench.load import Load

T = TypeVar("T")
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
        return ratios(map(measure, self.ours), map(measure, self.theirs))


async def measure(pair: Pair, work: Work, count: int) -> Rounds:
    """Let both do *work*, *count* times in turn; who begins changes, and a first round is not counted."""
    return Rounds(*await in_turn([partial(_taken, load, work) for load in pair], count))


async def in_turn(sides: Iterable[Callable[[], Awaitable[T]]], count: int) -> list[list[T]]:
    """Call all of *sides*, *count* times in turn; return what each gave, without that of a first round."""
    order = list(enumerate(sides))
    taken: list[list[T]] = [[] for _ in order]
    for number in range(count + 1):
        for place, side in order if number % 2 else reversed(order):
            taken[place].append(await side())
    return [found[1:] for found in taken]


async def _taken(load: Load, work: Work) -> Taken:
    before_s = load.server.cpu_s()
    value = await work(load)
    return Taken(load.server.cpu_s() - before_s, value)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """Return ours ÷ theirs, one a round."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]
