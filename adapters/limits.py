"""What a vendor is known to take in a time, kept here, so that it does not have to refuse."""

from collections import deque
from collections.abc import Callable

from adapters.errors import RateLimited


class Pace:
    """At most *calls* within any *period_s*, whoever makes them."""

    def __init__(self, calls: int, period_s: float, *, clock: Callable[[], float]) -> None:
        self._turns: deque[float] = deque(maxlen=calls)
        self._period_s = period_s
        self._clock = clock

    def take(self) -> None:
        """Count one call, or refuse it.

        Raises:
            RateLimited: GATEWAY_RATE_LIMITED, with the wait until the next one is free; nothing is counted.
        """
        now = self._clock()
        if len(self._turns) == self._turns.maxlen and (wait_s := self._turns[0] + self._period_s - now) > 0:
            message = f"the vendor takes {self._turns.maxlen} such calls in {self._period_s:g} s from this connection"
            raise RateLimited(message, reason="GATEWAY_RATE_LIMITED", retry_after_s=wait_s)
        self._turns.append(now)
