"""How many calls a vendor takes in a time, kept here, so that it does not have to refuse.

Calls are counted by class: `reads`, `writes`, and those that an adapter declares because its vendor counts them by
themselves. A class without a limit is held back only once the vendor has refused (429), and for as long as it matters:
quiet for as long as the vendor asks for, then at a cap that begins below what the vendor took last, comes back to that
and goes beyond it (the curve of CUBIC, RFC 9438, stretched to any rate), and ends when nothing was refused meanwhile.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.errors import NoTurn
from adapters.retry import until_s

READS = "reads"
WRITES = "writes"
BOTH = (READS, WRITES)

CUT = 0.3
"""By how much of what the vendor took last the cap begins below it."""
RECOVERY_S = 10.0
"""Until the cap is back there; three times as long, and it ends."""
MIN_CAP_PER_S = 0.2
FIRST_CAP_PER_S = 10.0
"""Of a vendor that refused before it took anything."""
LATELY_S = 10.0
"""How far back what the vendor took is counted, of at most `COUNTED` calls."""
COUNTED = 128
BURST_S = 1.0
"""Calls refused within this time after a cut were sent before it, and cut no further."""
HINT_S = 60.0
"""How long the word of an answer that it was the last one for now counts; then a call may go and find out."""
_EPOCH_S = 1e9
"""A number of seconds above this is a moment, below it a wait."""

TakeShared = Callable[[str, "Rate"], Awaitable[float]]
"""Take a turn among all replicas: 0 where there was one, else the wait until there may be one."""


class Rate(msgspec.Struct, frozen=True):
    """At most so many calls in any so many seconds."""

    calls: Annotated[int, Meta(ge=0)]
    """0: no limit."""
    period_s: Annotated[int, Meta(ge=1)] = 60
    """Whole seconds."""


class Rates:
    """The turns of one connection, by class of call."""

    def __init__(
        self,
        configured: Mapping[str, Rate] | None = None,
        *,
        max_quiet_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        shared: TakeShared | None = None,
    ) -> None:
        self._configured = configured or {}
        self._max_quiet_s = max_quiet_s
        self._clock = clock
        self._sleep = sleep
        self._shared = shared
        self._lanes: dict[str, _Lane] = {}
        self._rates: dict[str, Rate] = {}
        self.declare({})

    def declare(self, rates: Mapping[str, Rate]) -> None:
        """Take the rates that a vendor is known to take; those that are configured stand."""
        self._rates = {**dict.fromkeys(BOTH, Rate(0)), **rates, **self._configured}
        self.reset()

    def reset(self) -> None:
        """Forget every turn that was taken, and what the vendor said."""
        self._lanes = {kind: _Lane(rate) for kind, rate in self._rates.items()}

    def open(self, kind: str) -> bool:
        """Tell whether a call of a declared class needs no turn."""
        return self._lanes[kind].open

    @property
    def limits(self) -> dict[str, Rate]:
        """What holds, by class; without those that are unlimited."""
        return {kind: rate for kind, rate in self._rates.items() if rate.calls}

    async def turn(self, kind: str, left_s: float) -> float | None:
        """Wait for the turn of a call of a declared class, and return it; None where none is needed.

        Raises:
            NoTurn: At once, where that takes longer than *left_s*; the turn is not taken.
        """
        lane = self._lanes[kind]
        if lane.open:
            return None
        now = self._clock()
        ends_at = now + left_s
        while (turn := lane.promise(now, ends_at)) > now:
            taken = False
            try:
                await self._sleep(turn - now)
                now = max(turn, self._clock())
                # The vendor may have asked for quiet meanwhile.
                taken = lane.quiet_until <= now
            finally:
                if not taken:
                    lane.give_back(turn)
            if taken:
                break
        return turn

    async def elsewhere_s(self, kind: str, left_s: float) -> float:
        """Count a call that has its turn among those of all replicas: return 0, or the wait until it may ask again.

        Raises:
            NoTurn: At once, where that is longer than *left_s*.
        """
        lane = self._lanes[kind]
        if self._shared is None or not lane.rate.calls:
            return 0.0
        wait_s = await self._shared(kind, lane.rate)
        if wait_s > left_s:
            raise lane.refusal(wait_s)
        return wait_s

    def give_back(self, kind: str, turn: float | None) -> None:
        """Take back a turn of a call that was not sent."""
        if turn is not None:
            self._lanes[kind].give_back(turn)

    def succeeded(self, kind: str, headers: Mapping[str, str], now_s: float) -> None:
        """Learn from an answer; *now_s* is epoch seconds."""
        lane, now = self._lanes[kind], self._clock()
        lane.accepted.append(now)
        if lane.cap_per_s:
            lane.recover(now)
        if headers.get("X-RateLimit-Remaining") == "0":
            reset_s = _reset_s(headers.get("X-RateLimit-Reset", ""), now_s)
            self._hush(lane, now, min(reset_s, HINT_S))

    def refused(self, kind: str, wait_s: float | None) -> None:
        """Learn from a vendor that takes no more (429); *wait_s* is what it asks for, where it says."""
        lane, now = self._lanes[kind], self._clock()
        self._hush(lane, now, wait_s or 0.0)
        lane.cut(now)

    def _hush(self, lane: "_Lane", now: float, wait_s: float) -> None:
        lane.quiet_until = max(lane.quiet_until, now + min(wait_s, self._max_quiet_s))


class _Lane:
    """The turns of one class of calls: those taken, and those promised to calls that wait."""

    __slots__ = ("_cut_at", "_peak_per_s", "_turns", "accepted", "cap_per_s", "quiet_until", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.accepted: deque[float] = deque(maxlen=COUNTED)
        """When the vendor took the last calls."""
        self.quiet_until = 0.0
        """No call leaves before, because the vendor said so."""
        self.cap_per_s = 0.0
        """How many calls a second leave at most; 0: no cap."""
        self._peak_per_s = 0.0
        self._cut_at = 0.0
        self._turns: deque[float] = deque()

    @property
    def open(self) -> bool:
        """Whether calls come and go uncounted."""
        return not (self.rate.calls or self.cap_per_s or self.quiet_until)

    def promise(self, now: float, ends_at: float) -> float:
        """Promise the next turn, and return when it is."""
        turns, (calls, period_s) = self._turns, (self.rate.calls, self.rate.period_s)
        while len(turns) > 1 and turns[0] <= now - (period_s if calls else 0):
            turns.popleft()
        if not self.cap_per_s and self.quiet_until <= now:
            self.quiet_until = 0.0
        turn = max(now, self.quiet_until)
        if turns:
            turn = max(turn, turns[-1] + (1 / self.cap_per_s if self.cap_per_s else 0.0))
        if 0 < calls <= len(turns):
            turn = max(turn, turns[-calls] + period_s)
        if turn > ends_at:
            raise self.refusal(turn - now)
        turns.append(turn)
        return turn

    def give_back(self, turn: float) -> None:
        """Take back a promise, or a turn of a call that was not sent."""
        # On a late loop another call may come first, to which this turn is over and counts no more.
        with suppress(ValueError):
            self._turns.remove(turn)

    def refusal(self, wait_s: float) -> NoTurn:
        """Return the error for a call that can't wait so long."""
        if self.rate.calls:
            message = f"the vendor takes {self.rate.calls} such calls in {self.rate.period_s} s from this connection"
        else:
            message = "the vendor has asked for fewer such calls from this connection"
        error = NoTurn(message, retry_after_s=wait_s)
        # Others may have more time.
        error.hurried = True
        return error

    def cut(self, now: float) -> None:
        """Begin a cap, below what the vendor took lately."""
        if self.cap_per_s and now - self._cut_at < BURST_S:
            return
        lately = [moment for moment in self.accepted if moment > now - LATELY_S]
        if lately:
            self._peak_per_s = len(lately) / max(BURST_S, now - lately[0])
        else:
            self._peak_per_s = self.cap_per_s or FIRST_CAP_PER_S
        # A quiet that the vendor asks for is no time in which it took anything.
        self._cut_at = max(now, self.quiet_until)
        self.cap_per_s = max(MIN_CAP_PER_S, (1 - CUT) * self._peak_per_s)

    def recover(self, now: float) -> None:
        """Raise the cap with time, after a call that the vendor took."""
        since = (now - self._cut_at) / RECOVERY_S
        self.cap_per_s = max(MIN_CAP_PER_S, self._peak_per_s * (1 + CUT * (since - 1) ** 3)) if since < 3 else 0.0  # noqa: PLR2004 - as RECOVERY_S says


def _reset_s(text: str, now_s: float) -> float:
    """Return the wait until a limit is reset, given as a date, a moment or a wait; 0 where it says nothing."""
    try:
        number = float(text)
    except ValueError:
        return until_s(text, now_s) or 0.0
    return max(0.0, number - now_s if number > _EPOCH_S else number)
